from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.replay import rrweb
from agent.replay.rrweb import Event
from agent.replay.steps import LONG_MS, UNREAD_MS, Step, merged, steps
from bridge.types import TouchKind

START = 1_760_000_000_000
SIZE = (360, 800)


def box(node: int, place: tuple[int, int, int, int], **attributes: str) -> Event:
    left, top, width, height = place
    style = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    named = {f"data-{name}" if name != "label" else "aria-label": value for name, value in attributes.items()}
    return rrweb.element(node, "div", {"class": "v", "style": style, **named})


LIST = box(100, (0, 0, 360, 700), **{"class": "android.widget.ScrollView"}, res="list", flags="scrollable")
PAY = box(101, (20, 600, 320, 50), **{"class": "android.widget.Button"}, res="pay", label="Pay", flags="clickable")
EMAIL = box(102, (20, 100, 320, 50), **{"class": "android.widget.EditText"}, res="email", flags="clickable")


def opened(views: Sequence[Event] = (LIST, PAY, EMAIL), at: int = START) -> list[Event]:
    return [rrweb.meta(at, "android-app://shop/", *SIZE), rrweb.full_snapshot(at + 1, "picture:0", *SIZE, views)]


def finger(
    at: int, *path: tuple[float, float], held: int = 80, pointer: int = 0, make: Any = rrweb.touch
) -> list[Event]:
    kinds: list[TouchKind] = ["down", *["move"] * (len(path) - 2), "up"]  # type: ignore[list-item]
    path = path if len(path) > 1 else path * 2
    times = [START + at + held * n // (len(path) - 1) for n in range(len(path))]
    return [make(time, kind, x, y, pointer) for time, kind, (x, y) in zip(times, kinds, path, strict=True)]


def told(*events: Event, views: Sequence[Event] = (LIST, PAY, EMAIL)) -> list[Step]:
    return steps(opened(views) + sorted(events, key=lambda event: event["timestamp"]))


def one(*events: Event) -> Step:
    (step,) = told(*events)
    return step


def test_a_tap_names_what_it_met() -> None:
    step = one(*finger(1000, (100, 620)))
    assert (step.kind, step.at_ms, step.end_ms) == ("tap", START + 1000, START + 1080)
    assert step.target is not None
    assert (step.target.words, step.target.name) == ("Pay", "pay")
    assert one(*finger(1000, (100, 620), held=LONG_MS)).kind == "long-press"
    nowhere = one(*finger(1000, (100, 750)))
    assert (nowhere.target, nowhere.place) == (None, (100, 750))


def test_a_list_goes_the_other_way_than_the_finger() -> None:
    step = one(*finger(1000, (100, 500), (100, 400), (100, 300)))
    assert (step.kind, step.way, step.target and step.target.name) == ("scroll", "down", "list")
    assert one(*finger(1000, (100, 300), (110, 500))).way == "up"
    across = one(*finger(1000, (200, 620), (100, 620)))
    assert (across.kind, across.way, across.target and across.target.name) == ("swipe", "left", "pay")


def test_scrolls_in_a_row_are_one_step() -> None:
    step = one(*finger(1000, (100, 500), (100, 300)), *finger(2000, (100, 500), (100, 300)))
    assert (step.kind, step.count, step.end_ms) == ("scroll", 2, START + 2080)
    both = told(*finger(1000, (100, 500), (100, 300)), *finger(2000, (100, 300), (100, 500)))
    assert [step.way for step in both] == ["down", "up"]
    late = told(*finger(1000, (100, 500), (100, 300)), *finger(9000, (100, 500), (100, 300)))
    assert len(late) == 2


def test_a_finger_that_strays_on_a_button_still_presses_it() -> None:
    (step,) = told(*finger(1000, (100, 620), (112, 620)), views=(PAY,))
    assert step.kind == "tap"
    (step,) = told(*finger(1000, (100, 620), (160, 620)), views=(PAY,))
    assert step.kind == "swipe"


def test_from_the_edge_it_is_the_way_back() -> None:
    assert one(*finger(1000, (4, 300), (120, 305))).kind == "back"
    step = one(*finger(1000, (356, 300), (200, 305)))
    assert (step.kind, step.way, step.target) == ("back", "left", None)


def test_two_fingers() -> None:
    def pair(one_end: int, other_end: int) -> Step:
        first = finger(1000, (100, 300), (100, one_end), held=300)
        return one(*first, *finger(1050, (100, 500), (100, other_end), held=200, pointer=1, make=rrweb.other_finger))

    assert pair(200, 600).kind == "spread"
    assert pair(380, 420).kind == "pinch"
    assert pair(300, 500).kind == "two-fingers"


def test_what_had_been_read_by_then_counts() -> None:
    def words(told_ms: int, read_ms: int | None) -> str:
        """What is named by a tap at 1000 when its label changes at `told_ms`, read by `read_ms`."""
        read = None if read_ms is None else START + read_ms
        change = rrweb.mutation(START + told_ms, [(101, {"aria-label": "Paid"})], read_ms=read)
        target = one(change, *finger(1000, (100, 620))).target
        assert target is not None
        return target.words

    assert words(500, 900) == words(500, 1000) == "Paid"
    # It was told with an earlier picture, and may be what came of the tap.
    assert words(500, 1100) == "Pay"
    # An older recording does not say when.
    assert words(500, None) == words(1000 - UNREAD_MS, None) == "Paid"
    assert words(1001 - UNREAD_MS, None) == "Pay"


def test_while_the_screen_is_hidden_only_what_stood_there_before_and_after_is_told() -> None:
    def hidden(*after: Event) -> Step:
        gone = rrweb.mutation(START + 500, removes=[100, 101, 102])
        return one(gone, *finger(1000, (100, 620)), rrweb.mutation(START + 1500, adds=after))

    step = hidden(LIST, PAY)
    assert step.target is not None
    assert step.target.name == "pay"
    assert hidden(LIST).target is None
    assert hidden().target is None


def test_typing_is_told_by_the_input_it_goes_to() -> None:
    tapped, typed = told(*finger(1000, (100, 120)), rrweb.untold(START + 1500), rrweb.untold(START + 9000))
    assert (tapped.kind, typed.kind) == ("tap", "type")
    assert typed.target is not None
    assert typed.target.name == "email"
    focus = rrweb.mutation(START + 400, [(102, {"data-flags": "clickable focused"})])
    assert one(focus, rrweb.untold(START + 500)).target == typed.target
    keyboard = rrweb.custom(START + 400, "keyboard", {"name": "Keyboard shown", "shown": True})
    assert one(keyboard, rrweb.untold(START + 500)).kind == "type"
    untold = one(rrweb.untold(START + 500), rrweb.untold(START + 5000))
    assert (untold.kind, untold.count, untold.target) == ("untold", 2, None)


def test_what_was_seen_belongs_to_what_was_done() -> None:
    screen = rrweb.custom(START + 1200, "segment:screen", {"event": "Checkout"})
    event = rrweb.custom(START + 1300, "segment:track", {"event": "Paid"})
    early = rrweb.custom(START + 100, "app", {"state": "front", "activity": "shop.MainActivity"})
    start, tap = told(early, *finger(1000, (100, 620)), screen, event, event)
    assert [(sight.kind, sight.name) for sight in start.seen] == [("activity", "MainActivity")]
    assert [(sight.kind, sight.name) for sight in tap.seen] == [("screen", "Checkout"), ("event", "Paid")]


def test_what_an_app_answers_while_the_finger_still_goes_up_is_its_answer() -> None:
    early = rrweb.custom(START + 2070, "segment:screen", {"event": "Paid"})
    first, second = told(*finger(1000, (100, 120)), *finger(2000, (100, 620)), early)
    assert (first.seen, [sight.name for sight in second.seen]) == ((), ["Paid"])


def test_leaving_and_coming_back_but_not_when_the_app_died() -> None:
    def app(at: int, state: str) -> Event:
        return rrweb.custom(START + at, "app", {"state": state, "activity": "shop.Main"})

    away = app(1000, "another app"), rrweb.untold(START + 1500), app(2000, "front")
    assert [step.kind for step in told(*away)] == ["leave", "return"]
    text = "FATAL EXCEPTION: main\nProcess: shop, PID: 1\njava.lang.IllegalStateException: cart is null\n\tat a.b"
    crash = rrweb.custom(START + 900, "crash", {"name": "Crash", "kind": "java", "text": text})
    (died,) = told(crash, app(1000, "another app"))
    assert (died.kind, died.text) == ("crash", "java.lang.IllegalStateException: cart is null")


def test_marks_notes_gaps_and_turns() -> None:
    found = told(
        rrweb.custom(START + 100, "marker", {"name": "wrong total", "note": "", "by": "key"}),
        rrweb.custom(START + 200, "marker", {"name": "", "note": "it flickered", "by": "key"}),
        rrweb.custom(
            START + 300, "gap", {"stage": "screen", "reason": "slow", "from_ms": START, "to_ms": START + 300, "ms": 300}
        ),
        rrweb.custom(START + 400, "rotation", {"degrees": 90}),
        rrweb.custom(START + 500, "rotation", {"degrees": 90}),
        rrweb.custom(START + 600, "screen-state", {"state": "off"}),
    )
    assert [(step.kind, step.text) for step in found] == [
        ("marker", ""), ("note", "it flickered"), ("gap", "screen: slow"), ("turn", "90"), ("screen-state", "off"),
    ]  # fmt: skip
    assert found[0].facts == {"name": "wrong total", "by": "key"}


def test_sessions_of_a_device_go_on_from_each_other() -> None:
    first = told(*finger(1000, (100, 620))[:1])
    screen = rrweb.custom(START + 3000, "segment:screen", {"event": "Welcome"})
    second = steps([*opened(at=START + 2000), screen, *finger(5000, (100, 120))])
    logout, tap = merged([second, first])
    # The finger was lifted in the next session.
    assert (logout.kind, [sight.name for sight in logout.seen]) == ("tap", ["Welcome"])
    assert tap.target is not None
    assert tap.target.name == "email"


def test_a_gesture_that_is_broken_off_ends_where_it_was() -> None:
    down = finger(1000, (100, 620))[0]
    assert one(down, rrweb.touch(START + 1100, "cancel", 0, 0, 0)).kind == "tap"
    again = told(down, *finger(2000, (100, 120)))
    assert [step.target and step.target.name for step in again] == ["pay", "email"]


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2000) | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "source",
                    "x",
                    "y",
                    "pointer",
                    "kind",
                    "payload",
                    "tag",
                    "positions",
                    "plugin",
                    "state",
                    "ms",
                    "text",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.integers(0, 6), "timestamp": st.integers(0, 10_000), "data": _JUNK},
        )
        | st.builds(
            lambda at, tag, payload: rrweb.custom(at, tag, payload),
            st.integers(0, 9999), st.sampled_from(sorted(rrweb.CUSTOM_TAGS)), _JUNK,
        ),
        max_size=12,
    )
)  # fmt: skip
def test_no_event_breaks_it(events: list[Event]) -> None:
    found = steps(opened() + events)
    assert all(step.end_ms >= 0 for step in found)


@pytest.mark.parametrize("pointer", [None, "0", 1.5])
def test_a_finger_that_is_none_is_passed_over(pointer: object) -> None:
    assert (
        told({"type": 3, "timestamp": START, "data": {"source": 2, "type": 7, "x": 1, "y": 1, "pointer": pointer}})
        == []
    )


@pytest.mark.parametrize("positions", [5, 0.5, True, {"x": 1, "y": 2}, "ab", [1, None], None])
def test_positions_that_are_none_are_passed_over(positions: object) -> None:
    moved = {"type": 3, "timestamp": START + 1001, "data": {"source": 6, "positions": positions}}
    assert one(*finger(1000, (100, 620)), moved).kind == "tap"

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.getevent import Axis, Panel, TouchReader, newest_ns, parse_panels
from bridge.types import Gap, Rotation, Size, Stamp, Touch

LISTING = """\
add device 1: /dev/input/event7
  name:     "pen"
  events:
    KEY (0001): BTN_TOOL_PEN          BTN_TOUCH             BTN_STYLUS
    ABS (0003): ABS_X                 : value 0, min 0, max 20000, fuzz 0, flat 0, resolution 100
                ABS_Y                 : value 0, min 0, max 10000, fuzz 0, flat 0, resolution 100
  input props:
    INPUT_PROP_DIRECT
add device 2: /dev/input/event3
  name:     "touch "pad""
  events:
    KEY (0001): BTN_TOUCH
    ABS (0003): ABS_X                 : value 0, min 0, max 100, fuzz 0, flat 0, resolution 0
                ABS_Y                 : value 0, min 0, max 100, fuzz 0, flat 0, resolution 0
  input props:
    INPUT_PROP_POINTER
could not get driver version for /dev/input/mice, Not a typewriter
add device 3: /dev/input/event2
  name:     "fts_ts"
  events:
    KEY (0001): KEY_WAKEUP            BTN_TOOL_FINGER       BTN_TOUCH
    ABS (0003): ABS_X                 : value 0, min 0, max 9, fuzz 0, flat 0, resolution 0
                ABS_Y                 : value 0, min 0, max 9, fuzz 0, flat 0, resolution 0
                ABS_MT_SLOT           : value 3, min 0, max 9, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_X     : value 0, min -10, max 1069, fuzz 0, flat 0, resolution 11
                ABS_MT_POSITION_Y     : value 0, min 0, max 4799, fuzz 0, flat 0, resolution 11
                ABS_MT_TRACKING_ID    : value 0, min 0, max 65535, fuzz 0, flat 0, resolution 0
  input props:
    INPUT_PROP_DIRECT
add device 4: /dev/input/event0
  name:     "gpio-keys"
  events:
    KEY (0001): KEY_VOLUMEDOWN        KEY_VOLUMEUP
  input props:
    <none>
"""
PANEL = Panel("/dev/input/event2", "touch", Axis(0, 1079), Axis(0, 2399), 0)
SINGLE = Panel("/dev/input/event2", "old", Axis(0, 1079), Axis(0, 2399), None)
NATURAL = Size(1080, 2400)


def at(ns: int) -> Stamp:
    return Stamp(ns, ns // 1_000_000)


def reader(panel: Panel = PANEL, rotation: Rotation = 0, natural: Size = NATURAL) -> TouchReader:
    return TouchReader(panel, lambda: natural, lambda: rotation, at)


def line(kind: str, code: str, value: int | str, ms: int = 0, named: str = "") -> bytes:
    text = value if isinstance(value, str) else f"{value & 0xFFFFFFFF:08x}"
    return f"[{ms // 1000:8d}.{ms % 1000 * 1000:06d}] {named}{kind:<12} {code:<20} {text:<20}\n".encode()


def lines(*events: tuple[str, int | str], ms: int = 0) -> bytes:
    """A report: axes by their name behind ABS_, other codes by their own."""
    whole = []
    for code, value in events:
        kind, name = ("EV_KEY", code) if code.startswith("BTN") else ("EV_ABS", f"ABS_{code}")
        whole.append(line(kind, name, value, ms))
    return b"".join([*whole, line("EV_SYN", "SYN_REPORT", 0, ms)])


def down(x: int, y: int, slot: int | None = None, ms: int = 0) -> bytes:
    where = [] if slot is None else [("MT_SLOT", slot)]
    return lines(*where, ("MT_TRACKING_ID", 7), ("MT_POSITION_X", x), ("MT_POSITION_Y", y), ms=ms)


def seen(found: list[Touch | Gap]) -> list[tuple[str, int, float, float]]:
    return [(touch.kind, touch.pointer, touch.x, touch.y) for touch in found if isinstance(touch, Touch)]


def gaps(found: list[Touch | Gap]) -> list[str]:
    return [gap.reason for gap in found if isinstance(gap, Gap)]


def test_panels() -> None:
    assert parse_panels(LISTING) == (
        Panel("/dev/input/event2", "fts_ts", Axis(-10, 1069), Axis(0, 4799), 3),
        Panel("/dev/input/event7", "pen", Axis(0, 20000), Axis(0, 10000), None, pen=True),
    )
    assert parse_panels(LISTING.replace("\n", "\r\n")) == parse_panels(LISTING)


@pytest.mark.parametrize("text", ["", "could not open /dev/input/event2, Permission denied\n", "getevent: not found"])
def test_no_panels(text: str) -> None:
    assert parse_panels(text) == ()


def test_an_axis_that_no_panel_has_is_none() -> None:
    assert parse_panels(LISTING.replace("max 4799", "max " + "9" * 5000).replace("max 20000", "max 0")) == ()


def test_a_panel_without_extent_is_none() -> None:
    assert parse_panels(LISTING.replace("max 4799", "max 0").replace("max 20000", "max 0")) == ()


@given(st.text(max_size=200), st.integers(0, len(LISTING)))
def test_any_listing_is_read(text: str, cut: int) -> None:
    parse_panels(text)
    parse_panels(LISTING[:cut] + text + LISTING[cut:])


def test_a_gesture() -> None:
    data = down(100, 200, ms=12_345_678) + lines(("MT_POSITION_Y", 210), ms=12_345_690)
    data += lines(("MT_TRACKING_ID", -1), ("BTN_TOUCH", "UP"), ms=12_345_700)
    assert reader().feed(data) == [
        Touch(at(12_345_678_000_000), "down", 0, 100.0, 200.0, 0),
        Touch(at(12_345_690_000_000), "move", 0, 100.0, 210.0, 0),
        Touch(at(12_345_700_000_000), "up", 0, 100.0, 210.0, 0),
    ]


def test_lines_that_name_the_device() -> None:
    listed = LISTING.encode()
    ours = b"".join(
        line("EV_ABS", code, value, named="/dev/input/event2: ")
        for code, value in (("ABS_MT_TRACKING_ID", 1), ("ABS_MT_POSITION_X", 5), ("ABS_MT_POSITION_Y", 6))
    )
    other = line("EV_ABS", "ABS_MT_POSITION_X", 9, named="/dev/input/event7: ")
    end = line("EV_SYN", "SYN_REPORT", 0, named="/dev/input/event2: ")
    head = b"\n".join(text for text in listed.split(b"\n") if text.startswith((b"add", b"  name:"))) + b"\n"
    assert reader().feed(head + ours + other + end) == [Touch(at(0), "down", 0, 5.0, 6.0, 0)]


def test_a_position_outlives_its_contact() -> None:
    feed = reader().feed
    feed(down(100, 200) + lines(("MT_TRACKING_ID", -1)))
    assert seen(feed(lines(("MT_TRACKING_ID", 8), ("MT_POSITION_X", 101)))) == [("down", 0, 101, 200)]


def test_the_slot_of_the_first_event_is_the_one_that_the_listing_named() -> None:
    panel = Panel("/dev/input/event2", "touch", Axis(0, 1079), Axis(0, 2399), 4)
    assert seen(reader(panel).feed(down(1, 2) + down(3, 4, slot=0))) == [("down", 4, 1, 2), ("down", 0, 3, 4)]


def test_a_finger_that_was_down_before_is_not_invented() -> None:
    feed = reader().feed
    assert feed(lines(("MT_POSITION_X", 1), ("MT_POSITION_Y", 2))) == []
    assert feed(lines(("MT_TRACKING_ID", -1))) == []
    assert seen(feed(lines(("MT_TRACKING_ID", 9)))) == [("down", 0, 1, 2)]


def test_a_contact_whose_place_was_never_told_is_a_gap() -> None:
    found = reader().feed(
        lines(("MT_TRACKING_ID", 1), ("MT_POSITION_X", 5), ms=1) + lines(("MT_TRACKING_ID", -1), ms=9)
    )
    assert found == [Gap(at(1_000_000), at(9_000_000), "touch", "no position", "1 contacts")]


def test_a_contact_within_one_report_and_one_in_place_of_another() -> None:
    feed = reader().feed
    place = [("MT_POSITION_X", 1), ("MT_POSITION_Y", 2)]
    whole = feed(lines(("MT_TRACKING_ID", 1), *place, ("MT_TRACKING_ID", -1)))
    assert seen(whole) == [("down", 0, 1, 2), ("up", 0, 1, 2)]
    feed(down(3, 4))
    replaced = feed(lines(("MT_TRACKING_ID", 3), ("MT_POSITION_X", 9)))
    assert seen(replaced) == [("up", 0, 3, 4), ("down", 0, 9, 4)]


@pytest.mark.parametrize("value", ["MT_TOOL_PALM", 2])
def test_a_palm_cancels(value: int | str) -> None:
    feed = reader().feed
    feed(down(3, 4))
    found = feed(lines(("MT_TOOL_TYPE", value)) + lines(("MT_POSITION_X", 9)) + lines(("MT_TRACKING_ID", -1)))
    assert seen(found) == [("cancel", 0, 3, 4)]
    assert seen(feed(down(5, 6))) == [("down", 0, 5, 6)]
    assert seen(feed(lines(("MT_TOOL_TYPE", "MT_TOOL_FINGER"), ("MT_POSITION_X", 7)))) == [("move", 0, 7, 6)]


def pens(found: list[Touch | Gap]) -> list[bool]:
    return [touch.pen for touch in found if isinstance(touch, Touch)]


@pytest.mark.parametrize("value", ["MT_TOOL_PEN", 1])
def test_a_slot_keeps_the_tool_that_touches_it(value: int | str) -> None:
    feed = reader().feed
    assert pens(feed(down(3, 4) + lines(("MT_TRACKING_ID", -1)))) == [False, False]
    told = ("MT_TRACKING_ID", 8), ("MT_TOOL_TYPE", value), ("MT_POSITION_X", 9)
    assert pens(feed(lines(*told) + lines(("MT_TRACKING_ID", -1)))) == [True, True]
    # The kernel does not say again what is so.
    assert pens(feed(down(5, 6))) == [True]
    feed(line("EV_SYN", "SYN_DROPPED", 0, 40) + line("EV_SYN", "SYN_REPORT", 0, 50))
    assert pens(feed(down(5, 6, slot=0) + down(5, 6, slot=1))) == [True, False]
    assert pens(feed(lines(("MT_SLOT", 0), ("MT_TRACKING_ID", -1)) + lines(("MT_TOOL_TYPE", 0)) + down(1, 1))) == [
        True, False,
    ]  # fmt: skip


def test_a_pen_that_came_or_went_while_events_were_lost_is_known() -> None:
    feed = reader(SINGLE).feed
    stroke = lines(("X", 5), ("Y", 6), ("BTN_TOUCH", "DOWN")) + lines(("BTN_TOUCH", "UP"))
    lost = line("EV_SYN", "SYN_DROPPED", 0, 40)
    feed(lost + line("EV_KEY", "BTN_TOOL_PEN", "DOWN", 40) + line("EV_SYN", "SYN_REPORT", 0, 50))
    assert pens(feed(stroke)) == [True, True]
    feed(lost + line("EV_KEY", "BTN_TOOL_PEN", "UP", 40) + line("EV_SYN", "SYN_REPORT", 0, 50))
    assert pens(feed(stroke)) == [False, False]


def test_no_two_panels_have_a_finger_of_one_number() -> None:
    feed = TouchReader(PANEL, lambda: NATURAL, lambda: 0, at, 64).feed
    assert [pointer for _, pointer, _, _ in seen(feed(down(3, 4) + down(5, 6, slot=1)))] == [64, 65]


def test_a_listing_may_say_that_a_pen_touched_last() -> None:
    tool = "    ABS_MT_TOOL_TYPE     : value 1, min 0, max 2, fuzz 0, flat 0, resolution 0"
    slot = next(one for one in LISTING.splitlines() if "ABS_MT_SLOT" in one)
    (panel, *_) = parse_panels(LISTING.replace(slot, f"{slot}\n{tool}"))
    assert panel.pen
    feed = reader(panel).feed
    assert pens(feed(down(3, 4))) == [True]
    assert pens(feed(down(3, 4, slot=1))) == [False]


@pytest.mark.parametrize("always", [False, True])
def test_on_a_panel_without_slots_keys_tell_of_a_pen(always: bool) -> None:
    feed = reader(replace(SINGLE, pen=always)).feed
    stroke = lines(("X", 5), ("Y", 6), ("BTN_TOUCH", "DOWN")) + lines(("BTN_TOUCH", "UP"))
    assert pens(feed(stroke)) == [always, always]
    assert pens(feed(lines(("BTN_TOOL_PEN", "DOWN")) + stroke)) == [True, True]
    assert pens(feed(lines(("BTN_TOOL_PEN", "UP")) + stroke)) == [always, always]


def test_one_finger_panel() -> None:
    found = reader(SINGLE).feed(
        lines(("X", 5), ("Y", 6), ("BTN_TOUCH", "DOWN")) + lines(("X", 7)) + lines(("BTN_TOUCH", "UP"))
    )
    assert seen(found) == [("down", 0, 5, 6), ("move", 0, 7, 6), ("up", 0, 7, 6)]


def test_a_panel_with_slots_is_not_read_as_one_finger() -> None:
    found = reader().feed(lines(("BTN_TOUCH", "DOWN"), ("X", 5), ("Y", 6)) + lines(("X", 7)))
    assert found == []


def test_dropped_events_cancel_contacts_and_leave_a_gap() -> None:
    feed = reader().feed
    feed(down(3, 4, ms=10) + down(5, 6, slot=1, ms=20))
    lost = line("EV_SYN", "SYN_DROPPED", 0, 40) + line("EV_ABS", "ABS_MT_POSITION_X", 77, 40)
    found = feed(lost + line("EV_ABS", "ABS_MT_SLOT", 0, 40) + line("EV_SYN", "SYN_REPORT", 0, 50))
    assert seen(found) == [("cancel", 0, 3, 4), ("cancel", 1, 5, 6)]
    assert found[-1] == Gap(at(20_000_000), at(50_000_000), "touch", "overrun", "the phone dropped touch events")
    # What goes on after that belongs to contacts whose start is not known.
    assert feed(lines(("MT_POSITION_X", 8)) + lines(("MT_TRACKING_ID", -1))) == []
    assert seen(feed(down(8, 9))) == [("down", 0, 8, 9)]


def test_what_is_no_event_is_a_gap() -> None:
    noise = b"\xff\x00garbage\n\n" + line("EV_ABS", "ABS_MT_POSITION_X", "zz") + b"x" * 10_000
    found = reader().feed(noise)
    assert found == []
    feed = reader().feed
    feed(noise)
    found = feed(b"\n" + down(3, 4, ms=5))
    assert found[0] == Gap(at(5_000_000), at(5_000_000), "touch", "unreadable", "3 lines")
    assert seen(found) == [("down", 0, 3, 4)]


@given(st.lists(st.binary(max_size=60) | st.sampled_from(down(3, 4, slot=2).splitlines(keepends=True)), max_size=30))
def test_any_bytes_are_read(chunks: list[bytes]) -> None:
    feed = reader().feed
    for chunk in chunks:
        for found in feed(chunk):
            assert isinstance(found, Gap | Touch)


# The natural screen's corners and where they lie in each rotation (AOSP Surface.ROTATION_*: turned anticlockwise).
CORNERS: list[tuple[Rotation, tuple[float, float], tuple[float, float]]] = [
    (0, (0, 0), (1080, 0)),
    (1, (0, 1080), (0, 0)),
    (2, (1080, 2400), (0, 2400)),
    (3, (2400, 0), (2400, 1080)),
]


@pytest.mark.parametrize(("rotation", "top_left", "top_right"), CORNERS)
def test_rotation(rotation: Rotation, top_left: tuple[float, float], top_right: tuple[float, float]) -> None:
    panel = Panel("/dev/input/event2", "touch", Axis(100, 4419), Axis(-50, 9549), 0)
    found = reader(panel, rotation).feed(down(100, -50) + lines(("MT_POSITION_X", 4420)))
    assert [point[2:] for point in seen(found)] == [top_left, top_right]


def test_the_rotation_is_that_of_the_moment() -> None:
    turned: list[Rotation] = [0]
    touches = TouchReader(PANEL, lambda: NATURAL, lambda: turned[0], at)
    touches.feed(down(3, 4))
    turned[0] = 2
    assert seen(touches.feed(lines(("MT_POSITION_X", 80)))) == [("move", 0, 1000, 2396)]


def test_the_size_is_that_of_the_moment() -> None:
    sizes = [NATURAL]
    touches = TouchReader(PANEL, lambda: sizes[0], lambda: 0, at)
    touches.feed(down(540, 1200))
    sizes[0] = Size(2160, 1200)
    assert seen(touches.feed(lines(("MT_POSITION_X", 270)))) == [("move", 0, 540, 600)]


LISTS = Panel("/dev/input/event2", "old", Axis(0, 1079), Axis(0, 2399), None, lists=True)


def listed(*places: tuple[int, int], ms: int = 0, key: str = "") -> bytes:
    """A report of protocol A: all fingers that touch, each ended by a line of its own."""
    whole = [line("EV_KEY", "BTN_TOUCH", key, ms)] if key else []
    for x, y in places:
        whole += [line("EV_ABS", "ABS_MT_POSITION_X", x, ms), line("EV_ABS", "ABS_MT_POSITION_Y", y, ms)]
        whole.append(line("EV_SYN", "SYN_MT_REPORT", 0, ms))
    if not places:
        whole.append(line("EV_SYN", "SYN_MT_REPORT", 0, ms))
    return b"".join([*whole, line("EV_SYN", "SYN_REPORT", 0, ms)])


def test_a_panel_that_lists_its_fingers() -> None:
    text = LISTING.replace("ABS_MT_SLOT ", "ABS_MT_TOUCH").replace("ABS_MT_TRACKING_ID", "ABS_MT_WIDTH_MAJOR")
    (panel,) = parse_panels(text)[:1]
    assert (panel.path, panel.slot, panel.lists) == ("/dev/input/event2", None, True)
    found = reader(LISTS)
    data = (
        listed((10, 20)) + listed((12, 22), (500, 600)) + listed((501, 601), (13, 23)) + listed((502, 602)) + listed()
    )
    assert seen(found.feed(data)) == [
        ("down", 0, 10, 20),
        ("move", 0, 12, 22), ("down", 1, 500, 600),
        ("move", 0, 13, 23), ("move", 1, 501, 601),
        ("up", 0, 13, 23), ("move", 1, 502, 602),
        ("up", 1, 502, 602),
    ]  # fmt: skip


def test_a_listed_finger_that_rests_is_not_told_again() -> None:
    found = reader(LISTS)
    found.feed(listed((10, 20), (300, 400)))
    assert seen(found.feed(listed((10, 20), (301, 400)))) == [("move", 1, 301, 400)]


def test_a_panel_that_lists_its_fingers_and_says_only_by_its_key_that_none_is_left() -> None:
    found = reader(LISTS)
    found.feed(listed((10, 20), key="DOWN"))
    assert seen(found.feed(lines(("BTN_TOUCH", "UP")))) == [("up", 0, 10, 20)]


def test_a_report_that_is_none_of_fingers_lifts_none() -> None:
    found = reader(LISTS)
    found.feed(listed((10, 20)))
    assert seen(found.feed(lines() + listed((11, 20)))) == [("move", 0, 11, 20)]


def test_lost_events_of_a_listing_panel_cancel_its_fingers() -> None:
    found = reader(LISTS)
    found.feed(listed((10, 20), (30, 40)))
    lost = found.feed(line("EV_SYN", "SYN_DROPPED", 0) + listed((11, 21)))
    assert seen(lost) == [("cancel", 0, 10, 20), ("cancel", 1, 30, 40)]
    assert gaps(lost) == ["overrun"]
    assert seen(found.feed(listed((12, 22)))) == [("down", 0, 12, 22)]


@given(
    st.lists(
        st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 9), st.integers(0, 2399)), max_size=4), max_size=12
    ),
    st.sampled_from([0, 1, 2, 3]),
)
def test_any_fingers_of_a_listing_panel(reports: list[dict[int, tuple[int, int]]], rotation: Rotation) -> None:
    # Each finger keeps to a column of its own, so that the nearest place is always its own.
    touching = reader(LISTS, rotation)
    fingers: dict[int, tuple[float, float]] = {}
    for number, report in enumerate(reports):
        places = [(300 * finger + x, 5 * (y // 2400)) for finger, (x, y) in report.items()]
        for touch in touching.feed(listed(*places, ms=number)):
            assert isinstance(touch, Touch)
            if touch.kind == "up":
                del fingers[touch.pointer]
            else:
                assert (touch.kind == "down") == (touch.pointer not in fingers)
                fingers[touch.pointer] = (touch.x, touch.y)
        turn = {
            0: lambda x, y: (x, y),
            1: lambda x, y: (y, 1080 - x),
            2: lambda x, y: (1080 - x, 2400 - y),
            3: lambda x, y: (2400 - y, x),
        }[rotation]
        assert sorted(fingers.values()) == sorted(turn(x, y) for x, y in places)


@pytest.mark.parametrize(
    ("across", "down_", "natural", "turned"),
    [
        (1080, 2400, Size(1080, 2400), False),
        (2400, 1080, Size(1080, 2400), True),
        (1080, 2400, Size(2400, 1080), True),
        (4096, 4096, Size(1080, 2400), False),
        (2176, 1812, Size(1812, 2176), False),
    ],
)
def test_a_panel_across_the_screen(across: int, down_: int, natural: Size, turned: bool) -> None:
    assert Panel("p", "n", Axis(0, across - 1), Axis(0, down_ - 1), 0).turned(natural) is turned


class Kernel:
    """Fingers on a panel as evdev tells them: only what changed (drivers/input/input.c)."""

    def __init__(self) -> None:
        self.slot = 0
        self.tracking = 0
        self.places: dict[int, tuple[int, int]] = {}

    def events(self, slot: int, kind: str, x: int, y: int) -> list[tuple[str, int | str]]:
        events: list[tuple[str, int | str]] = []
        if slot != self.slot:
            self.slot = slot
            events.append(("MT_SLOT", slot))
        if kind == "up":
            return [*events, ("MT_TRACKING_ID", -1)]
        if kind == "down":
            self.tracking += 1
            events.append(("MT_TRACKING_ID", self.tracking))
        old = self.places.get(slot, (-1, -1))
        self.places[slot] = (x, y)
        return events + [
            (f"MT_POSITION_{axis}", new) for axis, new, was in zip("XY", (x, y), old, strict=True) if new != was
        ]


@st.composite
def gestures(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, int, float, float]], list[int]]:
    """The lines of random fingers, the touches that they are, and the stamps of the touches in ms."""
    kernel, data, touches, stamps, fingers = Kernel(), b"", [], [], dict[int, tuple[int, int]]()
    ms = draw(st.integers(0, 10**9))
    for slots in draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True), max_size=15)):
        events: list[tuple[str, int | str]] = []
        ups, others = [], {}
        for slot in slots:
            place = (draw(st.integers(0, 1079)), draw(st.integers(0, 2399)))
            if slot not in fingers:
                kind = "down"
                fingers[slot] = place
                others[slot] = ("down", slot, *place)
            elif draw(st.booleans()):
                kind = "up"
                ups.append(("up", slot, *fingers.pop(slot)))
            else:
                kind = "move"
                if fingers[slot] != place:
                    others[slot] = ("move", slot, *place)
                fingers[slot] = place
            events += kernel.events(slot, kind, *place)
        data += lines(*events, ms=ms)
        touches += [*ups, *(others[slot] for slot in others)]
        stamps += [ms] * (len(ups) + len(others))
        ms += draw(st.integers(0, 5000))
    return data, touches, stamps


@given(gestures(), st.lists(st.integers(0, 5000)), st.sampled_from([0, 1, 2, 3]))
def test_any_gesture_in_any_chunking(
    gesture: tuple[bytes, list[tuple[str, int, float, float]], list[int]], cuts: list[int], rotation: Rotation
) -> None:
    data, touches, stamps = gesture
    touching = reader(rotation=rotation)
    edges = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    found = [touch for start, end in pairwise(edges) for touch in touching.feed(data[start:end])]
    turn = {
        0: lambda x, y: (x, y),
        1: lambda x, y: (y, 1080 - x),
        2: lambda x, y: (1080 - x, 2400 - y),
        3: lambda x, y: (2400 - y, x),
    }[rotation]
    by_stamp = sorted(seen(found)), [touch.stamp.mono_ns for touch in found if isinstance(touch, Touch)]
    assert by_stamp[1] == [ms * 1_000_000 for ms in stamps]
    assert by_stamp[0] == sorted((kind, slot, *turn(x, y)) for kind, slot, x, y in touches)
    for slot in range(4):
        kinds = [touch.kind for touch in found if isinstance(touch, Touch) and touch.pointer == slot]
        assert all(kind == "down" for kind, before in zip(kinds, ["up", *kinds], strict=False) if before == "up")
        assert [kind for kind in kinds if kind == "down"] == ["down"] * sum(
            kind == "down" and pointer == slot for kind, pointer, *_ in touches
        )


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=80), st.integers(0, 200))
def test_newest_stamp(stamps: list[int], cut: int) -> None:
    whole = [down(1, 2, ms=ms) for ms in stamps]
    assert newest_ns(b"".join(whole)) == stamps[-1] * 1_000_000
    last = newest_ns(b"".join(whole)[:-cut] if cut else b"")
    assert last is None or last // 1_000_000 in stamps
    assert newest_ns(b"noise\n") is None

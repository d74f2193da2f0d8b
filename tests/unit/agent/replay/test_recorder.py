from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from fakes.loggers import LOGGERS, WITH_ID, big
from fakes.views import (
    APP,
    DPI,
    EDIT,
    EPOCH,
    SCREEN,
    app,
    at,
    event,
    keyboard,
    log,
    painted,
    snapshot,
    status_bar,
    still,
    touch,
    tree,
    view,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.analytics.relayed import Merge, read
from agent.analytics.sniffer import Sniffer
from agent.model import (
    Finding,
    Happening,
    Loss,
    Marker,
    MaskedNode,
    MaskedSnapshot,
    ParseFailure,
    Relayed,
    SealedSegment,
    SegmentEvent,
    SessionKey,
)
from agent.replay import rrweb
from agent.replay import tree as tree_module
from agent.replay.canvas import RgbaCanvas
from agent.replay.marks import MAX_PROOF_CHARS
from agent.replay.mask import Masker
from agent.replay.recorder import MAX_LOGS, Item, Recorder
from agent.replay.reports import MAX_TOLD
from agent.replay.validator import validate
from bridge.types import Bounds, Foreground, Gap, LogEntry, NodeFlag, Size

ONE, TWO = EPOCH + 1000, EPOCH + 40_000


def effective(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else -1


def recorder(masker: Masker | None = None, **more: Any) -> Recorder:
    return Recorder("serial-1", {"model": "m"}, masker or Masker("medium", APP), effective, SCREEN, DPI, **more)


def picture(seconds: float, shade: int, label: str = "", size: Size = SCREEN, blocked: str = "") -> MaskedSnapshot:
    """A small picture, of its shade's look."""
    pixels = np.full((24, 11, 4), shade * 20 % 256, np.uint8)
    nodes = (MaskedNode("k", Bounds(0, 0, 105, 105), "v", "", label, NodeFlag.NONE),) if label else ()
    return MaskedSnapshot(at(seconds), size, DPI, 0, RgbaCanvas(pixels, size), nodes, (), blocked)


def run(items: Iterable[Item], to: Recorder | None = None, until: float | None = None) -> list[SealedSegment]:
    to = to or recorder()
    sealed = [segment for item in items for segment in to.feed(item)]
    if until is not None:
        sealed += to.advance(at(until))
    sealed += to.finish()
    check(sealed)
    return sealed


def check(sealed: Sequence[SealedSegment]) -> None:
    for segment in sealed:
        assert validate(segment.events, segment.pictures) == []
        m = segment.manifest
        events = parsed(segment)
        assert (events[0]["timestamp"], events[-1]["timestamp"]) == (m.start_ms, m.end_ms)
        assert set(m.pictures) == set(segment.pictures)
    assert len({segment.manifest.id for segment in sealed}) == len(sealed)
    per_key: dict[SessionKey, list[int]] = {}
    for segment in sorted(sealed, key=lambda s: s.manifest.seq):
        key = SessionKey(segment.manifest.session_id, segment.manifest.device_id)
        per_key.setdefault(key, []).append(segment.manifest.seq)
    assert all(seqs == list(range(len(seqs))) for seqs in per_key.values())


def parsed(segment: SealedSegment) -> list[dict[str, Any]]:
    return [orjson.loads(data) for data in segment.events]


def tagged(segment: SealedSegment, tag: str) -> list[dict[str, Any]]:
    return [e["data"]["payload"] for e in parsed(segment) if e["type"] == 5 and e["data"]["tag"] == tag]


def logs(segment: SealedSegment) -> list[str]:
    return [e["data"]["payload"]["payload"][0] for e in parsed(segment) if e["type"] == 6]


def test_nothing_in_nothing_out() -> None:
    assert run([]) == []


def test_one_session_is_one_segment_with_all_in_its_place() -> None:
    sealed = run(
        [
            Foreground(at(0.5), APP, ".Main", False, 0),
            picture(2, 10, "Pay"),
            event(3, ONE, name="Opened", message_id="m1", properties={"a": 1}),
            touch(4, "down"),
            touch(4.1, "move"),
            touch(4.2, "up"),
            log(5, "hello"),
            picture(6, 20, "Paid"),
        ],
        until=10,
    )
    (segment,) = sealed
    m = segment.manifest
    assert (m.session_id, m.device_id, m.serial, m.seq, m.reason) == (ONE, "device-1", "serial-1", 0, "stop")
    assert (m.start_ms, m.end_ms) == (EPOCH + 2000, EPOCH + 10_000)
    assert (m.counts.frames, m.counts.touches, m.counts.events, m.counts.logs) == (2, 3, 1, 1)
    assert (m.session_from, m.device_from) == ("integrations", "anonymousId")
    events = parsed(segment)
    assert events[0]["data"]["href"] == f"android-app://{APP}/.Main"
    assert [e["timestamp"] - EPOCH for e in events[-7:]] == [3000, 4000, 4100, 4200, 5000, 6000, 10_000]
    assert tagged(segment, "segment:track") == [
        {
            "event": "Opened",
            "messageId": "m1",
            "session_id": ONE,
            "device_id": "device-1",
            "session_from": "integrations",
            "device_from": "anonymousId",
            "stage": "after",
            "complete": True,
            "missing": [],
            "bound_ms": 1.0,
            "properties": {"a": 1},
        }
    ]
    assert tagged(segment, "session")[0] == {
        "session_id": ONE,
        "device_id": "device-1",
        "session_from": "integrations",
        "device_from": "anonymousId",
        "start_ms": ONE,
    }
    assert logs(segment) == ["I/ReactNativeJS: hello"]


@pytest.mark.parametrize(
    ("user", "kept"), [("user-4711", "user-4711"), ("anna@example.com", None), (7, "7"), (True, None)]
)
def test_whose_event_it_is_stays_unless_it_is_private(user: object, kept: str | None) -> None:
    (segment,) = run(
        [picture(2, 10), event(3, ONE, event={"type": "track", "event": "Opened", "userId": user})], until=5
    )
    (told,) = tagged(segment, "segment:track")
    assert told.get("userId") == kept
    assert b"anna" not in b"".join(segment.events)


def test_items_may_come_out_of_order_within_the_settle_time() -> None:
    (segment,) = run(
        [picture(1, 1), event(1, ONE), log(3, "c"), log(2, "b"), picture(3.5, 2), log(1.8, "a"), picture(9, 3)]
    )
    assert [line[-1] for line in logs(segment)] == ["a", "b", "c"]


def test_what_is_later_than_that_is_kept_in_its_place_but_for_pictures() -> None:
    to = recorder()
    (segment,) = run(
        [picture(1, 1), event(1, ONE), log(9, "b"), picture(20, 2), log(3, "a"), picture(23, 3), picture(4, 4)], to
    )
    assert [line[-1] for line in logs(segment)] == ["a", "b"]
    assert to.losses == (Loss("timeline", "late picture", 1),)


def test_segments_are_cut_by_time_and_carry_the_picture_over() -> None:
    sealed = run([picture(1, 10), event(1, ONE), *(log(s, f"{s}") for s in range(2, 100, 4))], until=100)
    assert [(s.manifest.reason, s.manifest.end_ms - s.manifest.start_ms) for s in sealed[:-1]] == [("time", 30_000)] * 3
    names = {f"picture:{digest}" for s in sealed for digest in s.pictures}
    assert len(names) == 1
    assert all(name.encode() in s.events[1] for s in sealed for name in names)


def test_an_idle_screen_makes_no_segments() -> None:
    sealed = run([picture(0.9, 10), event(1, ONE), *(picture(s, 10) for s in range(1, 600))], until=600)
    assert len(sealed) == 1
    assert sealed[0].manifest.reason == "time"
    assert len(sealed[0].events) < 8


def test_segments_are_cut_by_size() -> None:
    to = recorder(segment_bytes=100_000)
    lines = [log(2 + i / 100, "x" * 1900) for i in range(200)]
    sealed = run([picture(1, 10), event(1, ONE), *lines], to, until=10)
    assert {s.manifest.reason for s in sealed[:-1]} == {"size"}
    assert all(sum(map(len, s.events)) <= 100_000 for s in sealed)
    assert sum(len(logs(s)) for s in sealed) == 200


def test_large_pictures_are_cut_by_size() -> None:
    noise = np.random.default_rng(7).integers(0, 256, (400, 200, 4), np.uint8)
    pictures = [replace(picture(1 + i, 0), canvas=RgbaCanvas(np.roll(noise, i * 7, axis=0), SCREEN)) for i in range(20)]
    sealed = run([event(1, ONE), *pictures], recorder(segment_bytes=100_000))
    assert len(sealed) > 2
    for segment in sealed:
        inlined = sum(len(p.data) * 4 // 3 for p in segment.pictures.values()) + sum(map(len, segment.events))
        assert inlined <= 100_000
    assert sum(s.manifest.counts.frames for s in sealed) == 20


def test_a_turned_screen_opens_a_new_segment() -> None:
    turned = picture(5, 10, size=Size(2400, 1080))
    one, two = run([event(1, ONE), picture(1, 10), turned])
    assert (one.manifest.reason, one.manifest.end_ms) == ("resize", EPOCH + 5000)
    meta = parsed(two)[0]["data"]
    assert (meta["width"], meta["height"]) == (914, 411)


def test_a_new_session_is_cut_where_it_began() -> None:
    items = [event(2, ONE), picture(2, 10), log(39, "old"), log(41, "new"), event(45, TWO), log(46, "newer")]
    sealed = run(sorted(items, key=lambda i: i.stamp), until=60)
    keys = [(s.manifest.session_id, logs(s)) for s in sealed]
    assert keys == [
        (ONE, []),
        (ONE, ["I/ReactNativeJS: old"]),
        (TWO, ["I/ReactNativeJS: new", "I/ReactNativeJS: newer"]),
    ]
    assert sealed[1].manifest.reason == "session"
    assert sealed[1].manifest.end_ms == TWO


def test_an_event_of_the_old_session_after_a_rollover_goes_to_the_old_one() -> None:
    items = [
        event(20, ONE, name="a"),
        picture(20, 10),
        event(40.1, TWO, name="b"),
        event(40.9, ONE, name="late"),
        event(41, TWO, name="c"),
        picture(41.5, 11),
        picture(46, 12),
        event(47, ONE, name="very late"),
        event(48, TWO, name="d"),
    ]
    sealed = run(items, until=60)
    names = {(s.manifest.session_id, s.manifest.seq): [e["event"] for e in tagged(s, "segment:track")] for s in sealed}
    assert names == {(ONE, 0): ["a", "late"], (TWO, 0): ["b", "c", "d"], (ONE, 1): ["very late"]}


def test_an_event_without_a_session_never_cuts() -> None:
    (segment,) = run(
        [picture(1, 1), event(2, ONE), event(3, -1, name="none"), event(4, ONE, None, name="half")], until=9
    )
    assert [e["event"] for e in tagged(segment, "segment:track")] == ["Tapped", "none", "half"]
    assert tagged(segment, "segment:track")[1]["session_id"] == -1


def test_what_came_before_the_first_session_is_in_it() -> None:
    to = recorder()
    (segment,) = run([picture(1, 10), log(2, "start"), picture(20, 11), event(25, 7)], to)
    assert logs(segment) == ["I/ReactNativeJS: start"]
    assert segment.manifest.start_ms == EPOCH + 1000
    assert to.losses == ()


def test_the_wait_for_a_session_is_bounded_and_what_falls_out_is_counted() -> None:
    to = recorder()
    items: list[Item] = [picture(0, 10), *(log(s, f"{s}") for s in range(1, 100))]
    for item in items:
        to.feed(item)
    to.advance(at(102))
    sealed = run([event(102, 7)], to, until=110)
    assert to.losses == (Loss("timeline", "no session", 40),)
    assert [int(line.split()[-1]) for s in sealed for line in logs(s)] == list(range(40, 100))
    assert len(sealed[0].pictures) == 1
    assert sealed[0].manifest.losses == (Loss("timeline", "no session", 40),)


def test_without_any_session_all_is_counted_and_nothing_kept() -> None:
    to = recorder()
    assert run([picture(1, 10), log(2, "x"), event(3, -1), touch(4, "down")], to) == []
    assert to.losses == (Loss("timeline", "no session", 4),)


def test_a_session_under_way_can_be_told_without_recording_its_event() -> None:
    to = recorder()
    to.note(event(-100, ONE))
    (segment,) = run([picture(1, 10), log(2, "x")], to)
    assert segment.manifest.session_id == ONE
    assert tagged(segment, "segment:track") == []


def test_a_clock_that_was_set_closes_the_segment_and_its_gap_opens_the_next() -> None:
    gap = Gap(at(5), at(8), "clock", "clock set", "by +90.000 s")
    one, two = run([picture(1, 10), event(1, ONE), log(4, "x"), gap, picture(9, 11)])
    assert (one.manifest.reason, one.manifest.end_ms) == ("clock", EPOCH + 8000)
    (told,) = tagged(two, "gap")
    assert (told["from_ms"], told["to_ms"], told["detail"]) == (EPOCH + 5000, EPOCH + 8000, "by +90.000 s")


def test_an_event_states_how_far_its_mark_may_be_off() -> None:
    exact = event(2, ONE)
    first, second, third = (
        replace(exact, stamp=replace(at(t), bound_ns=ns), message_id=name)
        for t, ns, name in ((2, 2_500_000, "m1"), (3, 0, "m2"), (1, 0, "m3"))
    )
    (segment,) = run([picture(1.5, 10), first, second, third, picture(6, 20)])
    bounds = {told["messageId"]: told["bound_ms"] for told in tagged(segment, "segment:track")}
    starts = {
        e["data"]["payload"]["messageId"]: e["timestamp"]
        for e in parsed(segment)
        if e["data"].get("tag") == "segment:track"
    }
    assert (bounds["m1"], bounds["m2"]) == (3.5, 1.0)
    # A mark that can only stand after its segment's opening is off by as much.
    assert starts["m3"] - at(1).wall_ms <= bounds["m3"]


def test_a_lost_device_closes_the_segment_and_the_gap_opens_the_next() -> None:
    gap = Gap(at(5), at(15), "device", "DeviceGone", "mail anna@example.com")
    one, two = run([picture(1, 10), event(1, ONE), log(4, "x"), gap, picture(16, 11)])
    assert (one.manifest.reason, one.manifest.end_ms) == ("lost", EPOCH + 5000)
    assert tagged(two, "gap") == [
        {
            "stage": "device",
            "reason": "DeviceGone",
            "detail": "mail *****",
            "from_ms": EPOCH + 5000,
            "to_ms": EPOCH + 15_000,
            "ms": 10_000,
        }
    ]


def test_views_of_an_open_segment_keep_their_ids_when_another_one_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_KEYS", 1)

    def views(seconds: float, *keys: str) -> MaskedSnapshot:
        nodes = tuple(MaskedNode(key, Bounds(0, 0, 105, 105), "v", "", key, NodeFlag.NONE) for key in keys)
        return replace(picture(seconds, int(seconds)), nodes=nodes)

    late = event(45, ONE, message_id="late")
    sealed = run(
        [
            views(2),
            event(3, ONE),
            views(41, "a", "b", "c"),
            event(41.5, TWO),
            late,
            views(50, "c"),
            views(52, "c", "d"),
        ],
        until=60,
    )
    # The late event has a segment of its own while that of the other session is open.
    times = [(m.session_id, m.start_ms, m.end_ms) for m in (segment.manifest for segment in sealed)]
    (other,) = [(start, end) for session, start, end in times if session == TWO]
    assert any(session == ONE and other[0] < start < other[1] for session, start, _ in times)


def test_log_lines_of_a_segment_are_bounded_and_the_rest_counted() -> None:
    to = recorder()
    (segment,) = run(
        [picture(1, 1), event(1, ONE), *(log(2 + i / 1000, "x") for i in range(MAX_LOGS + 7))], to, until=9
    )
    assert segment.manifest.counts.logs == len(logs(segment)) == MAX_LOGS
    assert to.losses == segment.manifest.losses == (Loss("logs", "over the limit of a segment", 7),)


def test_what_goes_on_in_the_next_segment_may_have_begun_in_a_line_that_was_left_out() -> None:
    begun, ended = '{"note":"x","access_token":"a1b2', 'c3d4","a":1}'
    lines = [*(log(2 + i / 1000, "x") for i in range(MAX_LOGS)), log(30.96, begun), log(31.04, ended)]
    sealed = run([picture(1, 1), event(1, ONE), *lines, picture(40, 2)], recorder(), until=45)
    assert len(sealed) == 2
    assert logs(sealed[1]) == ['I/ReactNativeJS: *****,"a":1}']
    refusing = recorder(refusal=lambda session: "not in the sample" if session == ONE else "")
    (segment,) = run([event(1, ONE), log(39.99, begun), event(40, TWO), log(40.01, ended)], refusing, until=60)
    assert logs(segment) == ['I/ReactNativeJS: *****,"a":1}']


def test_one_event_at_several_stages_is_told_once_at_its_best() -> None:
    raw = event(2, -1, None, message_id="m", stage="raw", complete=False)
    (segment,) = run([picture(1, 1), raw, event(2.2, ONE, message_id="m"), event(2.3, ONE, message_id="m")], until=9)
    assert [e["stage"] for e in tagged(segment, "segment:track")] == ["after"]


def told(sealed: Iterable[SealedSegment]) -> Counter[tuple[str, str]]:
    return Counter((e["messageId"], e["stage"]) for s in sealed for e in tagged(s, "segment:track"))


def test_more_events_than_are_remembered_may_wait_for_the_relay() -> None:
    to = recorder(settle_ms=35_000)
    many = MAX_TOLD + 100
    items = [event(3 + n * 0.005, ONE, message_id=f"m{n}") for n in range(many)]
    assert told(run(items, to, until=100)) == {(f"m{n}", "after"): 1 for n in range(many)}
    assert to.losses == ()


def test_more_events_than_are_remembered_may_wait_for_their_session() -> None:
    to = recorder()
    many = MAX_TOLD + 100
    items = [event(3 + n * 0.01, -1, message_id=f"m{n}") for n in range(many)]
    sealed = run([*items, event(50, ONE, message_id="last")], to, until=60)
    assert told(sealed) == {(name, "after"): 1 for name in [*(f"m{n}" for n in range(many)), "last"]}
    assert to.losses == ()


def test_a_report_that_falls_out_is_a_loss_only_if_its_event_is_not_told() -> None:
    to = recorder()
    reports = [
        event(1, -1, message_id="m"),
        event(1.2, -1, message_id="lost", stage="before"),
        event(1.5, -1, message_id="lost"),
        event(30, -1, message_id="m", stage="before"),
    ]
    for each in reports:
        to.feed(each)
    assert to.advance(at(64)) == []
    sealed = run([event(70, ONE, message_id="last")], to, until=80)
    assert told(sealed) == {("m", "before"): 1, ("last", "after"): 1}
    assert to.losses == (Loss("timeline", "no session", 1),)


@pytest.mark.parametrize(
    "lesser",
    [
        event(2, ONE, message_id="m", complete=False, missing=("context",)),
        event(2, -1, message_id="m", session_from=""),
        event(2, ONE, message_id="m", stage="enriched"),
    ],
)
def test_of_reports_of_one_stage_the_one_that_shows_more_is_told(lesser: SegmentEvent) -> None:
    """Parts of it are lost, or a line is taken for a final one, and then the app uploads the event."""
    for stamps in ((2, 2.5), (2.5, 2)):
        reports = [replace(lesser, stamp=at(stamps[0])), event(stamps[1], ONE, message_id="m", name="Whole")]
        (segment,) = run([picture(1, 1), event(1.5, ONE), *reports], until=9)
        (mine,) = (each for each in tagged(segment, "segment:track") if each["messageId"] == "m")
        assert (mine["event"], mine["complete"], mine["session_id"]) == ("Whole", True, ONE)


REPORTS = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(["raw", "before", "enriched", "after"]),
        st.floats(0, 40, allow_nan=False),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(REPORTS, st.sampled_from([2_000, 35_000]))
def test_each_event_is_told_once_and_at_its_fullest_of_what_came_in_time(
    reports: list[tuple[int, Any, float, bool]], settle_ms: int
) -> None:
    """Reports come in order of arrival, an upload of an event up to 33 s after the moment that it is stamped with."""
    to = recorder(settle_ms=settle_ms)
    to.note(event(0, ONE))
    late = 33 if settle_ms > 33_000 else 1.5
    arrivals = [
        (seconds + (late if upload else 0), event(seconds, ONE, message_id=f"m{n}", stage="after" if upload else stage))
        for n, stage, seconds, upload in reports
    ]
    sealed: list[SealedSegment] = []
    for arrival, item in sorted(arrivals, key=lambda each: each[0]):
        sealed += to.advance(at(arrival))
        sealed += to.feed(item)
    sealed += to.finish()
    counts = told(sealed)
    names = {item.message_id for _, item in arrivals}
    assert sorted(name for name, _ in counts) == sorted(names)
    assert set(counts.values()) <= {1}
    assert to.losses == ()
    order = ["raw", "before", "enriched", "after"]
    for name, stage in counts:
        mine = [(arrival, item) for arrival, item in arrivals if item.message_id == name]
        first = min(item.stamp.mono_ns for _, item in mine) / 1e9 + settle_ms / 1000
        in_time = [order.index(item.stage) for arrival, item in mine if arrival < first]
        assert order.index(stage) >= max(in_time)


def test_lines_of_the_session_plugin_are_no_events() -> None:
    (segment,) = run([picture(1, 1), event(2, ONE, stage="session"), log(3, "x")], until=9)
    assert tagged(segment, "segment:track") == []


def test_what_happened_to_the_app_is_marked_and_its_text_cleaned() -> None:
    crash = Happening(at(3), "crash", "Crash", {"kind": "java", "pid": 7}, "FATAL EXCEPTION: no card 4539578763621486")
    front = Happening(at(3.5), "app", "Pay in front", {"state": "front", "activity": f"{APP}.Pay"})
    (segment,) = run([picture(1, 1), event(2, ONE), crash, front], until=9)
    (marked,) = tagged(segment, "crash")
    assert (marked["name"], marked["kind"], marked["pid"]) == ("Crash", "java", 7)
    assert marked["text"].startswith("FATAL EXCEPTION: no card ")
    assert "4539" not in marked["text"]
    assert tagged(segment, "app") == [{"name": "Pay in front", "state": "front", "activity": f"{APP}.Pay"}]


def test_a_crash_text_that_was_cut_holds_no_half_of_what_is_hidden() -> None:
    masker = Masker("medium", APP)
    masker.hide(["correct horse battery"], [])
    text = "4539578763621486 " * 240 + "at correct horse"
    (segment,) = run([picture(1, 1), event(2, ONE), Happening(at(3), "crash", "Crash", {}, text)], recorder(masker), 9)
    (marked,) = tagged(segment, "crash")
    assert len(marked["text"]) < 2_000
    assert "correct" not in marked["text"]


def test_a_marker_stands_in_the_session_of_its_moment_and_its_words_are_cleaned() -> None:
    early = Marker(at(0.5), "before", by="control")
    paid = Marker(at(3), "paid", "with 4539578763621486", "key", {"attempt": 2})
    (segment,) = run([early, picture(1, 1), event(2, ONE), paid], until=9)
    first, second = tagged(segment, "marker")
    assert first == {"name": "before", "note": "", "by": "control"}
    assert (second["name"], second["by"], second["attempt"]) == ("paid", "key", 2)
    assert second["note"].startswith("with ")
    assert "4539" not in second["note"]


def test_the_page_is_named_by_what_came_to_be_in_front() -> None:
    front = Happening(at(3), "app", "Pay in front", {"state": "front", "activity": f"{APP}.Pay"})
    first, second = run([picture(1, 1), event(2, ONE), front, picture(40, 2)], until=60)
    assert parsed(first)[0]["data"]["href"] != parsed(second)[0]["data"]["href"] == f"android-app://{APP}/{APP}.Pay"


def test_what_happens_before_a_session_is_known_names_the_page_and_waits() -> None:
    front = Happening(at(0.5), "app", "Pay in front", {"state": "front", "activity": f"{APP}.Pay"})
    (segment,) = run([front, picture(1, 1), event(2, ONE)], until=9)
    assert parsed(segment)[0]["data"]["href"] == f"android-app://{APP}/{APP}.Pay"
    assert len(tagged(segment, "app")) == 1


def test_losses_and_parse_failures_are_counted_in_the_manifest() -> None:
    failure = ParseFailure(at(2), 5, "cut", "{")
    (segment,) = run([picture(1, 1), event(2, ONE), Loss("capture", "late", 3), failure, failure], until=9)
    assert segment.manifest.losses == (Loss("capture", "late", 3), Loss("events", "cut", 2))


def test_the_name_of_another_app_is_not_told() -> None:
    shown, hidden = (
        Foreground(at(1), APP, ".Pay", False, 0),
        Foreground(at(2), "com.private.clinic", ".Visit", False, 0),
    )
    (segment,) = run([event(2.5, ONE), shown, hidden, picture(3, 1)])
    assert parsed(segment)[0]["data"]["href"] == f"android-app://{APP}/.Pay"
    assert b"clinic" not in b"".join(segment.events)


def test_without_a_picture_a_covered_one_stands_in() -> None:
    (segment,) = run([event(1, ONE), log(2, "x")], until=9)
    assert tagged(segment, "mask")[0]["blocked"] == "no-picture"


def test_a_stamp_in_the_future_does_not_move_time() -> None:
    to = recorder()
    to.feed(picture(1, 1))
    to.feed(event(1, ONE))
    assert to.feed(log(9000, "x")) == []
    assert to.advance(at(5)) == []
    (segment, *_) = to.finish()
    assert segment.manifest.counts.frames == 1


def test_masking_reaches_the_bytes() -> None:
    masker = Masker("medium", APP)
    canary = "Zanzibar Street 9"
    form = app(view(0, 100, 900, 200, text="Form"), view(40, 300, 1040, 420, EDIT, canary, hint="Where"))
    sealed = run(
        [
            masker.snapshot(*still(form, status_bar(), seconds=1), DPI),
            event(2, ONE, properties={"where": canary, "deep": [{"x": f"to {canary}!"}]}, name="Sent to a@b.example"),
            log(3, f"typed {canary}"),
            log(3.5, canary, tag=canary),
            Gap(at(4), at(4), "screen", "Failed", canary),
        ],
        recorder(masker),
    )
    stored = b"".join(b"".join(s.events) for s in sealed)
    assert b"Zanzibar" not in stored
    assert b"a@b.example" not in stored
    assert b"Form" in stored


KEYS = [(ONE, "a"), (TWO, "a"), (ONE, "b"), (5, "a"), (-1, "a"), (ONE, None)]
ITEMS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, 900), st.integers(0, len(KEYS) - 1)),
        st.tuples(
            st.sampled_from(["picture", "log", "down", "up", "gap", "lost", "turn"]),
            st.integers(0, 900),
            st.integers(0, 3),
        ),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(ITEMS, st.booleans(), st.integers(0, 30))
def test_no_segment_mixes_keys_and_every_one_is_valid(
    plan: list[tuple[str, int, int]], in_order: bool, step: int
) -> None:
    to = recorder(segment_bytes=3000)
    sealed: list[SealedSegment] = []
    given_events: Counter[str] = Counter()
    if in_order:
        plan = sorted(plan, key=lambda entry: entry[1])
    for n, (kind, tenths, x) in enumerate(plan):
        t = tenths / 10
        item: Item
        if kind == "event":
            item = event(t, *KEYS[x], name=f"{n}:{x}")
            given_events[item.name] += 1
        elif kind in ("picture", "turn"):
            item = picture(t, x, f"label {x}", size=SCREEN if kind == "picture" else Size(2400, 1080))
        elif kind == "log":
            item = log(t, f"line {n}")
        elif kind in ("down", "up"):
            item = touch(t, "down" if kind == "down" else "up", pointer=x)
        else:
            item = Gap(at(t), at(t + x), "device" if kind == "lost" else "screen", "X")
        sealed += to.feed(item)
        if step and n % step == 0:
            sealed += to.advance(at(t))
    sealed += to.finish()
    check(sealed)
    told: Counter[str] = Counter()
    for segment in sealed:
        for payload in tagged(segment, "segment:track"):
            told[payload["event"]] += 1
            own = KEYS[int(payload["event"].split(":")[1])]
            if own[0] > 0 and own[1] is not None:
                assert own == (segment.manifest.session_id, segment.manifest.device_id)
    lost = sum(loss.count for loss in to.losses if loss == Loss("timeline", "no session", loss.count))
    assert told + (given_events - told) == given_events
    assert (given_events - told).total() <= lost


def test_a_still_screen_is_stored_once() -> None:
    masker = Masker("medium", APP)
    pixels = painted(app(view(0, 100, 900, 200, text="x")))
    dump = tree(app(view(0, 100, 900, 200, text="x")), status_bar())
    to = recorder(masker)
    to.feed(event(0.5, ONE))
    for i in range(5):
        later = replace(dump, stamp=at(i))
        to.feed(masker.snapshot(snapshot(pixels, later, later, i), RgbaCanvas(pixels), DPI))
    (segment,) = to.finish()
    assert len(segment.pictures) == 1
    assert segment.manifest.counts.frames == 5


@pytest.mark.parametrize("level", ["verbatim", 12.9, True, [], {"a": 1}, float("nan"), 2**70, "\ud83d"])
def test_session_ids_are_told_verbatim_whatever_they_are(level: object) -> None:
    (segment,) = run([picture(1, 1), event(2, ONE), event(3, level, name="odd")], until=9)
    assert len(tagged(segment, "segment:track")) == 2


@pytest.mark.parametrize(("reason", "before"), [("CaptureFailed", 0), ("ScreenBlocked", 1)])
def test_no_touch_is_told_while_the_screen_is_not_seen(reason: str, before: int) -> None:
    masker = Masker("medium", APP)
    seen = view(0, 300, 1080, 400, text="Welcome")

    def shot(seconds: float) -> MaskedSnapshot:
        return masker.snapshot(*still(app(seen), status_bar(), seconds=seconds), DPI)

    to = recorder(masker)
    items: list[Item] = [event(1, ONE), shot(1), touch(2.9, "down"), touch(2.95, "up")]
    sealed = run([*items, Gap(at(3), at(3.2), "screen", reason), touch(9, "down"), touch(9.1, "up")], to, until=30)
    assert sum(segment.manifest.counts.touches for segment in sealed) == 2 * before
    assert to.losses == (Loss("touch", "where typing would show", 4 - 2 * before),)


def test_that_touches_are_held_back_is_said_once_for_each_burst_and_without_places() -> None:
    masker = Masker("medium", APP)
    to = recorder(masker)
    shot = masker.snapshot(*still(app(view(0, 300, 1080, 400, text="PIN")), keyboard(), seconds=1), DPI)
    keys = [touch(second, kind, 500, 2000) for second in (3, 3.4, 3.8, 4.2, 8, 8.4) for kind in ("down", "up")]
    sealed = run([event(1, ONE), shot, *keys], to, until=30)
    found = [
        (e["timestamp"], e["data"]["payload"])
        for segment in sealed for e in map(orjson.loads, segment.events)
        if e["type"] == 6 and e["data"]["plugin"] == rrweb.TOUCH
    ]  # fmt: skip
    assert found == [(at(3).wall_ms, {"kind": "untold"}), (at(8).wall_ms, {"kind": "untold"})]


def test_touches_are_told_again_once_the_screen_is_seen() -> None:
    masker = Masker("medium", APP)
    still_app = app(view(0, 300, 1080, 400, text="Welcome"))
    first = masker.snapshot(*still(still_app, seconds=1), DPI)
    to = recorder(masker)
    for item in (event(1, ONE), first, Gap(at(3), at(3.2), "screen", "CaptureFailed")):
        to.feed(item)
    again = masker.snapshot(*still(still_app, seconds=5), DPI)
    sealed = run([again, touch(6, "down"), touch(6.1, "up")], to, until=30)
    assert sum(segment.manifest.counts.touches for segment in sealed) == 2


def test_a_touch_waits_for_the_end_of_a_look_that_began_after_it() -> None:
    masker = Masker("medium", APP)
    free, typing = app(view(0, 300, 1080, 400, text="Welcome")), (app(view(0, 300, 1080, 400, EDIT, "1")), keyboard())
    to = recorder(masker)
    to.looked(at(0.5))
    for item in (event(1, ONE), masker.snapshot(*still(free, seconds=1), DPI), touch(2, "down", 500, 2000)):
        to.feed(item)
    assert to.looked(at(1.9)) == []
    # A dump is under way for long; what is typed meanwhile may be so on a keyboard that it tells of.
    assert to.advance(at(7)) == []
    to.feed(touch(2.5, "up", 500, 2000))
    to.feed(masker.snapshot(*still(*typing, seconds=3), DPI))
    to.looked(at(7.5))
    sealed = run([touch(8, "down", 500, 350), touch(8.1, "up", 500, 350)], to)
    # Nor does anybody know what was there when all ended, half a second after the last look.
    assert sum(segment.manifest.counts.touches for segment in sealed) == 0
    assert to.losses == (Loss("touch", "where typing would show", 4),)


def test_a_touch_that_no_look_comes_after_holds_up_nothing_for_long() -> None:
    masker = Masker("medium", APP)
    to = recorder(masker)
    to.looked(at(0.5))
    for item in (event(1, ONE), masker.snapshot(*still(app(), seconds=1), DPI), touch(2, "down"), log(3, "later")):
        to.feed(item)
    to.advance(at(11))
    assert "later" not in repr(to.drafts())
    to.advance(at(12.1))
    assert "later" in repr(to.drafts())
    to.finish()
    assert to.losses == (Loss("touch", "where typing would show", 1),)


def test_a_session_opens_with_no_picture_of_one_that_is_not_recorded() -> None:
    to = recorder(refusal=lambda session: "not in the sample" if session == ONE else "")
    items: list[Item] = [event(1, ONE), picture(2, 3, "somebody else's"), event(40, TWO), log(41, "x")]
    (segment,) = run(items, to, until=60)
    assert "somebody" not in repr(segment.events)
    assert tagged(segment, "mask")[0]["blocked"] == "no-picture"


def test_after_an_absence_a_session_opens_with_no_picture_of_the_one_before() -> None:
    items: list[Item] = [
        event(1, ONE), picture(2, 3, "somebody else's"), Gap(at(5), at(30), "capture", "stopped"), event(40, TWO),
        log(41, "x"), picture(45, 7, "mine"),
    ]  # fmt: skip
    segments = [segment for segment in run(items, until=60) if segment.manifest.session_id == TWO]
    assert "somebody" not in repr([segment.events for segment in segments])
    assert "mine" in repr([segment.events for segment in segments])


def fault(seconds: float, rule: str, proof: str = "I/T: line") -> Finding:
    return Finding(rule, "warning", at(seconds), 7, "seen of nora@quill.example", "It means.", "Do.", proof)


def test_a_fault_of_the_instrumentation_is_marked_once_a_session() -> None:
    items: list[Item] = [
        picture(1, 1), event(2, ONE), fault(3, "plugin-order"), fault(4, "plugin-order"), fault(5, "event-cut"),
        event(41, TWO), picture(42, 2), fault(43, "plugin-order"),
    ]  # fmt: skip
    sealed = run(items, until=60)
    marks = {
        session: [m["rule"] for s in sealed if s.manifest.session_id == session for m in tagged(s, "doctor")]
        for session in (ONE, TWO)
    }
    assert marks == {ONE: ["plugin-order", "event-cut"], TWO: ["plugin-order"]}


def test_the_log_line_of_an_event_says_no_more_than_the_event() -> None:
    line = log(3, "IDENTIFY event saved { traits: { name: 'Anna Bell', firstName: 'Anna' }, plan: 'gold' }")
    traits = {"name": "Anna Bell", "firstName": "Anna"}
    made = event(3, ONE, message_id="m1", event={"type": "identify", "traits": traits})
    for items in ([line, made], [made, line]):
        (sealed,) = run([picture(2, 10), *items, log(4, "hello anna bell"), picture(6, 20)], until=10)
        assert "Bell" not in repr(sealed.events)
        assert "Anna" not in repr(sealed.events)
        assert b"gold" in b"".join(sealed.events)


def test_what_was_typed_is_in_no_name_and_in_no_id_that_is_none() -> None:
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(view(0, 300, 900, 400, EDIT, "anna bell")), status_bar(), seconds=1), DPI)
    odd = event(3, {"email": "anna@example.com"}, name="Searched Anna Bell", missing=("properties.anna bell",))
    sealed = run([event(2, ONE), odd, event(3.5, "anna@example.com")], recorder(masker), until=10)
    stored = b"".join(data for segment in sealed for data in segment.events).lower()
    assert b"searched *****" in stored
    assert b"anna" not in stored


def test_what_begins_in_one_piece_may_end_two_pieces_on() -> None:
    pieces = [log(3, "x" * 900 + '{"access_token":"' + "a1" * 100), log(3.01, "b2" * 600), log(3.02, 'c3c3","x":1}')]
    (sealed,) = run([picture(2, 10), event(2.5, ONE), *pieces, picture(6, 20)], until=10)
    assert not any(half in repr(logs(sealed)) for half in ("a1", "b2", "c3"))
    assert logs(sealed)[2].endswith('*****,"x":1}')


def test_a_short_piece_between_two_of_a_long_text_parts_nothing() -> None:
    pieces = [log(3, "x" * 1_000 + ' token="' + "a1" * 50), log(3.01, "b2b2"), log(3.02, 'c3c3" x=1')]
    (sealed,) = run([picture(2, 10), event(2.5, ONE), *pieces, picture(6, 20)], until=10)
    assert not any(half in repr(logs(sealed)) for half in ("a1", "b2", "c3"))


def test_of_a_line_that_is_known_to_be_cut_the_last_word_is_starred() -> None:
    whole, cut = log(3, "mail anna.bell@exam"), replace(log(4, "mail anna.bell@exam"), cut=True)
    (sealed,) = run([picture(2, 10), event(2.5, ONE), whole, cut, picture(6, 20)], until=10)
    assert [line.endswith("exam") for line in logs(sealed)] == [True, False]


def test_an_address_in_the_id_of_a_message_is_starred() -> None:
    (sealed,) = run([picture(2, 10), event(2.5, ONE, message_id="anna.bell@example.com-7"), picture(6, 20)], until=10)
    assert tagged(sealed, "segment:track")[0]["messageId"] == "*****"


def test_a_text_that_was_logged_in_pieces_is_masked_as_one() -> None:
    pieces = [log(3, '{"note":"x","password":"hun'), log(3.01, 'ter22","a":1}'), log(3.5, "ter is a word")]
    other = log(3.005, "ter22 of another process", "Other")
    (sealed,) = run([picture(2, 10), event(2.5, ONE), *pieces, other, picture(6, 20)], until=10)
    assert logs(sealed) == [
        'I/ReactNativeJS: {"note":"x","password":"*****',
        "I/Other: ter22 of another process",
        'I/ReactNativeJS: *****,"a":1}',
        "I/ReactNativeJS: ter is a word",
    ]


def test_an_object_that_is_logged_line_by_line_is_masked_as_one() -> None:
    lines = [
        '"user": {', '  "name": "Anna Bell",', '  "plan": "gold"', "},", '"name": "Shoe",',
        '"address": {', '  "line1": "12 Main St",', '  "line2": "Apt 4B"', "}", 'done "line2"',
    ]  # fmt: skip
    items = [log(3 + n / 100, line) for n, line in enumerate(lines)]
    (sealed,) = run([picture(2, 10), event(2.5, ONE), *items, picture(6, 20)], until=10)
    said = [line.removeprefix("I/ReactNativeJS: ") for line in logs(sealed)]
    assert said[:5] == ['"user": {', '  "name": "*****",', '  "plan": "gold"', "},", '"name": "Shoe",']
    assert said[5:] == ['"address": {', "*****", "*****", "}", 'done "line2"']


def test_a_text_in_pieces_within_an_object_is_one_too() -> None:
    pieces = [log(3, '{"to":"anna@exam'), log(3.01, 'ple.com","n":1}'), log(4, "odd\n"), log(4.01, "name: Shoe")]
    (sealed,) = run([picture(2, 10), event(2.5, ONE), *pieces, picture(6, 20)], until=10)
    assert [line.removeprefix("I/ReactNativeJS: ") for line in logs(sealed)] == [
        '{"to":"anna@exam', '*****","n":1}', "odd\n", "name: Shoe"
    ]  # fmt: skip


def test_who_the_user_is_is_told_beside_a_password_of_about_the_same_length() -> None:
    masker = Masker("medium", APP)
    field = view(40, 900, 1040, 1020, EDIT, "\u2022" * 8, flags=NodeFlag.PASSWORD | NodeFlag.VISIBLE)
    masker.tree(tree(app(field), seconds=3), SCREEN, DPI)
    who = event(4, ONE, message_id="m2", event={"type": "track", "userId": "user-20417", "properties": {}})
    (sealed,) = run([picture(2, 10), event(2.5, ONE), who, picture(6, 20)], recorder(masker), until=10)
    assert tagged(sealed, "segment:track")[1]["userId"] == "user-20417"


def test_what_is_logged_while_a_password_shows_as_dots_is_starred_by_its_length() -> None:
    masker = Masker("medium", APP)
    field = view(40, 900, 1040, 1020, EDIT, "\u2022" * 8, flags=NodeFlag.PASSWORD | NodeFlag.VISIBLE)
    masker.tree(tree(app(field), seconds=3), SCREEN, DPI)
    typed = event(4, ONE, message_id="m2", event={"type": "track", "properties": {"cmd": "hunter22", "plan": "gold"}})
    lines = [log(4, "'signIn', 'anna', 'hunter22'"), log(20, "order-4711 placed")]
    (sealed,) = run([picture(2, 10), event(2.5, ONE), typed, *lines, picture(21, 20)], recorder(masker), until=30)
    assert "hunter22" not in repr(sealed.events)
    assert logs(sealed) == ["I/ReactNativeJS: 'signIn', 'anna', '*****'", "I/ReactNativeJS: order-4711 placed"]
    assert b'"plan":"gold"' in b"".join(sealed.events)


def test_the_proof_of_a_fault_is_cleaned_and_bounded() -> None:
    long = "x" * (MAX_PROOF_CHARS - 5) + " nora@quill.example " + "y" * 5000
    sealed = run([picture(1, 1), event(2, ONE), fault(3, "plugin-order", long)], until=9)
    (mark,) = tagged(sealed[0], "doctor")
    assert len(mark["proof"]) == MAX_PROOF_CHARS
    assert "nora" not in str(mark)


def test_a_fault_with_no_session_is_counted() -> None:
    to = recorder()
    assert run([picture(1, 1), fault(3, "plugin-order")], to) == []
    assert Loss("timeline", "no session", 2) in to.losses


def test_what_was_masked_before_masking_became_stricter_opens_no_segment_and_is_not_placed_any_more() -> None:
    to = recorder()
    sealed = [s for item in (picture(1, 10, "told"), event(1, ONE), log(2, "2")) for s in to.feed(item)]
    sealed += to.advance(at(20))
    # Still on its way to its place when masking becomes stricter.
    sealed += to.feed(picture(19.5, 11, "told later"))
    to.forget()
    sealed += to.advance(at(31.9))
    sealed += to.feed(log(40, "40"))
    sealed += to.advance(at(50))
    sealed += to.feed(picture(51, 12, "new"))
    sealed += to.advance(at(60))
    sealed += to.finish()
    check(sealed)
    first, second = sealed
    assert b"told" in b"".join(first.events)
    assert b"told" not in b"".join(second.events)
    assert b"new" in b"".join(second.events)
    assert not set(first.pictures) & set(second.pictures)
    assert tagged(second, "mask")[0]["blocked"] == "tightened"
    assert Loss("timeline", "masked before masking became stricter", 1) in to.losses


def test_a_log_line_that_was_cut_ends_with_no_half_of_anything() -> None:
    filler = '{"a":1} ' * 150
    lines = [log(3, filler + '"to":"anna.bell@exam'), log(4, filler + "4242 4242 4242 4"), log(5, "short: Anna")]
    (sealed,) = run([picture(2, 10), event(2.5, ONE), *lines, picture(6, 20)], until=10)
    stored = b"".join(sealed.events)
    assert b"anna.bell" not in stored
    assert b"4242" not in stored
    assert b"short: Anna" in stored


@settings(max_examples=40)
@given(st.data(), st.booleans())
def test_from_the_log_and_the_relay_to_the_replay_each_event_comes_once_at_its_fullest(
    data: st.DataObject, strict: bool
) -> None:
    """What loggers print of events, cut or whole, and their uploads, repeated and up to 30 s late."""
    sniffer, merge, to = Sniffer(strict=strict), Merge(), recorder(settle_ms=35_000)
    to.note(event(0, ONE))
    lines: list[LogEntry] = []
    uploads: list[tuple[int, SegmentEvent]] = []
    shown: dict[str, tuple[int, set[str], bool]] = {}
    for n in range(data.draw(st.integers(1, 5))):
        made = big("Opened", f"m{n}", n, session=ONE)
        began = data.draw(st.integers(0, 4_000))
        loggers = data.draw(st.sets(st.sampled_from(sorted(LOGGERS)), min_size=1))
        for logger in sorted(loggers):
            lines += LOGGERS[logger](made, (began + data.draw(st.integers(0, 1_400))) * 1_000_000)
        tries = data.draw(st.lists(st.integers(0, 30_000), max_size=2))
        for late in tries:
            late += began + 1_400
            upload = read(Relayed(at(late / 1000), {**made, "timestamp": None}), None, 10_123)
            assert isinstance(upload, SegmentEvent)
            uploads.append((late, replace(upload, stamp=at((began + 700) / 1000))))
        shown[f"m{n}"] = n, loggers, bool(tries)
    sealed: list[SealedSegment] = []
    lines = [replace(each, stamp=at(each.stamp.mono_ns / 1e9)) for each in lines]
    lines.sort(key=lambda each: each.stamp)
    uploads.sort(key=lambda each: each[0])
    for ms in range(0, 42_000, 400):
        now = at(ms / 1000)
        found = []
        while lines and lines[0].stamp <= now:
            found += sniffer.feed(lines.pop(0))
        found += sniffer.advance(now)
        assert all(isinstance(each, SegmentEvent) for each in found)
        events = [one for each in found if isinstance(each, SegmentEvent) for one in merge.log(each)]
        while uploads and uploads[0][0] <= ms:
            events += merge.relay(uploads.pop(0)[1])
        for each in [*events, *merge.advance(now)]:
            sealed += to.feed(each)
        sealed += to.advance(now)
    sealed += to.finish()
    got = [payload for segment in sealed for payload in tagged(segment, "segment:track")]
    assert to.losses == ()
    for name, (n, loggers, uploaded) in shown.items():
        known = uploaded or bool(loggers & WITH_ID)
        (mine,) = (each for each in got if each["properties"]["n"] == n)
        assert mine["messageId"] == (name if known else "")
        if uploaded or "parts" in loggers:
            assert (mine["stage"], mine["complete"], mine["session_id"]) == ("after", True, ONE)
        assert (mine["stage"] == "raw") == (loggers == {"saved"} and not uploaded)
    assert len(got) == len(shown)

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics import relayed
from agent.analytics.relayed import HOLD_NS, Merge, package, read
from agent.analytics.sniffer import Sniffer
from agent.model import EventStage, ParseFailure, Relayed, SegmentEvent
from bridge.types import LogEntry, Stamp

CAME = Stamp(50_000_000_000, 1_767_225_650_000)
# The device's wall clock is 3 s ahead of the host's.
OFFSET_NS = (CAME.wall_ms + 3_000) * 1_000_000 - CAME.mono_ns
UPLOADED: dict[str, Any] = {
    "type": "track",
    "event": "Added",
    "properties": {"sku": "a", "n": 1},
    "messageId": "m1",
    "timestamp": "2026-01-01T00:00:43.250Z",
    "integrations": {"Actions Amplitude": {"session_id": 1_767_225_600_000}},
    "anonymousId": "anon",
    "context": {"app": {"namespace": "com.example.shop"}},
    "_metadata": {"bundled": [], "unbundled": [], "bundledIds": []},
}


def read_event(event: dict[str, Any] = UPLOADED, offset: int | None = OFFSET_NS) -> SegmentEvent:
    found = read(Relayed(CAME, event), offset, 10_123)
    assert isinstance(found, SegmentEvent)
    return found


def test_an_upload_is_a_final_whole_event() -> None:
    found = read_event()
    assert (found.stage, found.complete, found.missing) == ("after", True, ())
    assert (found.kind, found.name, found.message_id, found.uid) == ("track", "Added", "m1", 10_123)
    assert (found.session_id, found.session_from) == (1_767_225_600_000, "integrations")
    assert (found.device_id, found.device_from) == ("anon", "anonymousId")
    assert found.event == {key: value for key, value in UPLOADED.items() if key != "_metadata"}


def test_half_a_character_is_replaced_wherever_it_stands() -> None:
    cut = {
        "event": "Piz \ud83c",
        "messageId": "\udf55",
        "anonymousId": "a\ud83c",
        "properties": {"\ud83c": ["\ud83c", 1]},
    }
    found = read_event({**UPLOADED, **cut})
    assert (found.name, found.message_id, found.device_id) == ("Piz \ufffd", "\ufffd", "a\ufffd")
    assert found.event["properties"] == {"\ufffd": ["\ufffd", 1]}
    json.dumps(found.event, ensure_ascii=False).encode()


def test_its_own_time_on_the_hosts_clock_is_its_stamp() -> None:
    found = read_event()
    assert found.event_ms == 1_767_225_643_250
    # 43.25 by a clock that is 3 s ahead; it came at 50 s.
    assert found.stamp == Stamp(40_250_000_000, 1_767_225_640_250)
    assert found.stamp.wall_ms == 1_767_225_640_250


def test_its_bound_is_that_of_the_clock_and_its_whole_milliseconds() -> None:
    found = read(Relayed(CAME, UPLOADED), OFFSET_NS, 10_123, 3_000_000)
    assert isinstance(found, SegmentEvent)
    assert found.stamp.bound_ns == 4_000_000
    # Without its own time it may be a flush interval old.
    assert read_event({**UPLOADED, "timestamp": None}).stamp.bound_ns == HOLD_NS
    assert read_event(offset=None).stamp.bound_ns == HOLD_NS


@pytest.mark.parametrize("stamp", [None, "yesterday", 7, "2026-01-01T00:09:00.000Z"])
def test_without_a_time_of_its_own_or_with_one_to_come_it_is_of_now(stamp: object) -> None:
    assert read_event({**UPLOADED, "timestamp": stamp}).stamp == CAME


def test_with_no_clock_known_it_is_of_now() -> None:
    assert read_event(offset=None).stamp == CAME


@pytest.mark.parametrize("event", [{}, {"type": "page"}, {"type": None}, {"type": ["track"]}, {"type": {"a": 1}}])
def test_what_is_no_event_is_said_to_be_none(event: dict[str, Any]) -> None:
    assert isinstance(read(Relayed(CAME, event), None, None), ParseFailure)


def test_odd_values_are_no_ids() -> None:
    found = read_event({"type": "screen", "name": 5, "messageId": 7, "anonymousId": {"a": 1}})
    assert (found.name, found.message_id, found.device_id, found.session_id) == ("", "", None, -1)


def test_the_app_that_an_event_names() -> None:
    assert package(UPLOADED) == "com.example.shop"
    for event in ({}, {"context": None}, {"context": {"app": []}}, {"context": {"app": {"namespace": 1}}}):
        assert package(event) == ""


def raw(at: Stamp, **more: Any) -> SegmentEvent:
    event = {"type": "track", "event": "Added", "properties": {"sku": "a", "n": 1}}
    fields: dict[str, Any] = {
        "stamp": at,
        "pid": 4,
        "uid": 10_123,
        "stage": "raw",
        "kind": "track",
        "name": "Added",
        "message_id": "",
        "event_ms": None,
        "complete": False,
        "session_id": -1,
        "session_from": "",
        "device_id": None,
        "device_from": "",
        "missing": ("messageId", "timestamp", "integrations", "anonymousId", "context"),
        "event": event,
    }
    return SegmentEvent(**{**fields, **more})


NEAR = Stamp(40_300_000_000, 1_767_225_640_300)


def test_a_saved_line_gives_way_to_the_upload_of_the_same_event() -> None:
    merge = Merge()
    assert merge.log(raw(NEAR)) == []
    assert merge.relay(read_event()) == [read_event()]
    assert merge.flush() == []


def test_a_saved_line_that_comes_after_the_upload_is_not_told() -> None:
    merge = Merge()
    merge.relay(read_event())
    assert merge.log(raw(NEAR)) == []
    merge.log(raw(NEAR))
    assert merge.flush() == [raw(NEAR)]


def test_plugins_may_have_added_properties() -> None:
    merge = Merge()
    merge.log(raw(NEAR))
    more = {**UPLOADED, "properties": {**UPLOADED["properties"], "added": True}}
    merge.relay(read_event(more))
    assert merge.flush() == []


@pytest.mark.parametrize(
    "other",
    [
        raw(NEAR, name="Removed"),
        raw(NEAR, kind="screen"),
        raw(NEAR, event={"type": "track", "event": "Added", "properties": {"sku": "b"}}),
        raw(NEAR, event={"type": "track", "event": "Added", "properties": {"gone": 1}}),
        raw(NEAR, event={"type": "track", "event": "Added", "userId": "u", "properties": {}}),
        raw(Stamp(30_000_000_000, 1_767_225_630_000)),
    ],
)
def test_another_events_line_stays(other: SegmentEvent) -> None:
    merge = Merge()
    merge.log(other)
    merge.relay(read_event())
    assert merge.flush() == [other]


def test_of_two_equal_lines_one_upload_takes_one() -> None:
    merge = Merge()
    later = raw(Stamp(NEAR.mono_ns + 10, NEAR.wall_ms))
    merge.log(raw(NEAR))
    merge.log(later)
    merge.relay(read_event())
    assert merge.flush() == [later]


def test_a_line_that_nobody_uploads_is_told_when_its_time_is_up() -> None:
    merge = Merge()
    merge.log(raw(NEAR))
    assert merge.advance(Stamp(NEAR.mono_ns + HOLD_NS - 1, 0)) == []
    assert merge.advance(Stamp(NEAR.mono_ns + HOLD_NS, 0)) == [raw(NEAR)]


def test_lines_with_a_message_id_and_fuller_ones_go_through() -> None:
    merge = Merge()
    for event in (raw(NEAR, message_id="m1"), raw(NEAR, stage="after", message_id="m2"), raw(NEAR, stage="session")):
        assert merge.log(event) == [event]


def test_a_second_upload_is_the_sdk_trying_again() -> None:
    merge = Merge()
    assert len(merge.relay(read_event())) == 1
    assert merge.relay(read_event()) == []


def test_uploads_without_a_message_id_are_all_told() -> None:
    merge = Merge()
    nameless = read_event({**UPLOADED, "messageId": None})
    assert len(merge.relay(nameless) + merge.relay(nameless)) == 2


def cut(at: Stamp, properties: dict[str, Any] | None = None, **more: Any) -> SegmentEvent:
    """An event of an app's own logger whose line ends within the properties."""
    event = {"type": "track", "event": "Added", "properties": {"sku": "a"} if properties is None else properties}
    missing = ("properties", "messageId", "timestamp", "integrations", "anonymousId", "context")
    return raw(at, **{"stage": "before", "event": event, "missing": missing, **more})


@pytest.mark.parametrize("stage", ["before", "enriched", "after"])
def test_a_line_that_was_cut_before_its_id_gives_way_to_the_upload_in_either_order(stage: EventStage) -> None:
    merge = Merge()
    assert merge.log(cut(NEAR, stage=stage)) == []
    assert merge.relay(read_event()) == [read_event()]
    assert merge.flush() == []
    merge = Merge()
    assert merge.relay(read_event()) == [read_event()]
    assert merge.log(cut(NEAR, stage=stage)) == []
    merge.log(cut(NEAR, stage=stage))
    assert merge.flush() == [cut(NEAR, stage=stage)]


@pytest.mark.parametrize(
    "other",
    [
        cut(NEAR, name="Removed"),
        cut(NEAR, {"sku": "b"}),
        cut(NEAR, {"items": [{"sku": "a"}]}),
        cut(Stamp(30_000_000_000, 1_767_225_630_000)),
    ],
)
def test_a_cut_line_of_another_event_stays(other: SegmentEvent) -> None:
    merge = Merge()
    merge.log(other)
    upload = {**UPLOADED, "properties": {"sku": "a", "n": 1, "items": [{"sku": "b"}]}}
    merge.relay(read_event(upload))
    assert merge.advance(Stamp(other.stamp.mono_ns + HOLD_NS - 1, 0)) == []
    assert merge.advance(Stamp(other.stamp.mono_ns + HOLD_NS, 0)) == [other]


def test_of_two_lines_the_upload_takes_the_one_that_it_adds_least_to() -> None:
    merge = Merge()
    bare = raw(NEAR, event={"type": "track", "event": "Added", "properties": {}})
    merge.log(bare)
    merge.log(raw(NEAR))
    merge.relay(read_event())
    assert merge.flush() == [bare]


def test_an_upload_that_the_log_shows_takes_no_line_that_the_sniffer_has_not_joined_with_it() -> None:
    shown = raw(NEAR, stage="after", message_id="m1")
    for upload_first in (False, True):
        merge = Merge()
        calls = [lambda m: m.log(shown), lambda m: m.relay(read_event()), lambda m: m.log(raw(NEAR))]
        for call in calls[::-1] if upload_first else calls:
            call(merge)
        if upload_first:
            # The line of the upload came first, and was held no longer; the next one is another event's.
            merge.log(raw(NEAR))
        assert merge.flush() == [raw(NEAR)]


def test_a_line_from_long_before_the_log_showed_its_event_gives_way() -> None:
    """Lifecycle events are "saved" seconds before the plugins run: the sniffer has told of the line by then."""
    merge = Merge()
    merge.log(raw(NEAR))
    later = Stamp(NEAR.mono_ns + 3_000_000_000, NEAR.wall_ms + 3_000)
    merge.log(raw(later, stage="after", message_id="m1"))
    merge.relay(read_event())
    assert merge.flush() == []


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("upload_ms", [200, 20_000])
def test_a_cut_line_of_the_log_and_its_upload_are_one_event(strict: bool, upload_ms: int) -> None:
    properties = {"sku": "a", **{f"k{n}": "v" * 50 for n in range(100)}}
    upload = {**UPLOADED, "properties": properties, "_metadata": None}
    logged = Stamp(NEAR.mono_ns, NEAR.wall_ms)
    text = f"[tap] {json.dumps(upload)}"[:4052]
    entry = LogEntry(logged, NEAR.mono_ns + OFFSET_NS, 4, 5, 10_123, "I", "ReactNativeJS", text, "main", True)
    sniffer, merge = Sniffer(10_123, strict=strict), Merge()
    told: list[SegmentEvent] = []
    found = sniffer.feed(entry)
    for ms in range(0, 40_000, 100):
        now = Stamp(logged.mono_ns + ms * 1_000_000, logged.wall_ms + ms)
        found += sniffer.advance(now)
        told += [event for each in found if isinstance(each, SegmentEvent) for event in merge.log(each)]
        found = []
        if ms == upload_ms:
            event = read(Relayed(now, upload), OFFSET_NS, 10_123)
            assert isinstance(event, SegmentEvent)
            told += merge.relay(event)
        told += merge.advance(now)
    assert [(event.message_id, event.session_id, event.device_id) for event in told] == [
        ("m1", 1_767_225_600_000, "anon")
    ]


# Within what the sniffer joins.
MOMENTS = st.integers(0, 1_400)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), MOMENTS, st.sampled_from(["raw", "cut", "after", ""]), st.booleans(), st.integers(1, 3)
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_each_event_is_told_once_in_any_order(made: list[tuple[int, int, str, bool, int]], random: Random) -> None:
    """Events that look alike or not, in the log with or without an id or not at all, uploaded once, often or never."""
    with_id, without, uploads = [], [], []
    names, nameless = set(), 0
    for number, (sku, ms, form, uploaded, times) in enumerate(made):
        stamp = Stamp(NEAR.mono_ns + ms * 1_000_000, NEAR.wall_ms + ms)
        event = {**UPLOADED, "properties": {"sku": sku, "n": 1}, "messageId": f"m{number}"}
        if form == "after":
            with_id.append(raw(stamp, stage="after", message_id=f"m{number}", event=event))
        else:
            # Of those that look alike all are uploaded or none is: else whose line it is could not be known.
            uploaded = sku > 0
        if form == "raw":
            without.append(raw(stamp, event={"type": "track", "event": "Added", "properties": event["properties"]}))
        elif form == "cut":
            without.append(cut(stamp, {"sku": sku}))
        nameless += form in ("raw", "cut") and not uploaded
        uploads += [replace(read_event(event), stamp=stamp)] * (times * uploaded)
        names |= {f"m{number}"} if uploaded or form == "after" else set()
    # What has no id the sniffer has held for longer than all this takes.
    log = [*random.sample(with_id, len(with_id)), *random.sample(without, len(without))]
    random.shuffle(uploads)
    merge, told = Merge(), []
    while log or uploads:
        if log and (not uploads or random.random() < 0.5):
            told += merge.log(log.pop(0))
        else:
            told += merge.relay(uploads.pop())
    told += merge.flush()
    assert {event.message_id for event in told if event.message_id} == names
    assert sum(not event.message_id for event in told) == nameless


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayed, "MAX_HELD", 2)
    monkeypatch.setattr(relayed, "MAX_SEEN", 2)
    merge = Merge()
    told = [event for number in range(5) for event in merge.log(raw(NEAR, name=f"e{number}"))]
    assert [event.name for event in told] == ["e0", "e1", "e2"]
    for number in range(5):
        merge.relay(read_event({**UPLOADED, "messageId": f"m{number}"}))
    assert len(merge._seen) == 2

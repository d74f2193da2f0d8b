from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable

import orjson
import pytest
from fakes.hostile import ENTRIES, TEXTS, entry
from fakes.loggers import LOGGERS, S1, WITH_ID, abridged, big, body, cut, parts, saved, whole
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.sniffer import HOLD_MS, Sniffer
from agent.model import NO_SESSION, ParseFailure, SegmentEvent
from bridge.types import LogEntry, Stamp

SECOND = 1_000_000_000
S2 = 1_772_538_288_263


def sniff(entries: Iterable[LogEntry], **options: object) -> list[SegmentEvent | ParseFailure]:
    sniffer = Sniffer(**options)  # type: ignore[arg-type]
    found = [each for item in entries for each in sniffer.feed(item)]
    return found + sniffer.flush()


def events(entries: Iterable[LogEntry], **options: object) -> list[SegmentEvent]:
    found = sniff(entries, **options)
    assert all(isinstance(each, SegmentEvent) for each in found), found
    return found  # type: ignore[return-value]


def line(text: str, ns: int = 0, pid: int = 4242) -> LogEntry:
    return entry(f"[AmplitudeSession] {text}", ns=ns, pid=pid)


def test_an_event_is_heard_at_once_though_it_is_held() -> None:
    heard: list[object] = []
    sniffer = Sniffer(heard=lambda event: heard.append(event.get("event")))
    assert sniffer.feed(entry("'TRACK event saved', { type: 'track', event: 'Opened', properties: {} }")) == []
    assert heard == ["Opened"]


# Parts.


@given(st.randoms(use_true_random=False), st.integers(7, 90))
def test_parts_in_any_order_repeated_and_mixed_with_others(random, size: int) -> None:
    one, two = body(message="m-1"), body("Bought", "m-2")
    texts = parts(one, size) + parts(two, size)
    texts += random.sample(texts, len(texts) // 2)
    random.shuffle(texts)
    found = events(map(entry, texts))
    assert {event.message_id: event.event for event in found} == {"m-1": one, "m-2": two}
    assert len(found) == 2
    assert all(event.complete and event.stage == "after" for event in found)


def test_a_lost_part_leaves_what_came_before_it() -> None:
    (event,) = events(map(entry, parts(body(), 80)[:3]))
    assert not event.complete
    assert event.missing
    assert event.event["messageId"] == "m-1"


def test_a_lost_first_part_is_a_failure_with_a_reason() -> None:
    (failure,) = sniff(map(entry, parts(body(), 60)[1:]))
    assert isinstance(failure, ParseFailure)
    assert failure.reason == "part lost"


def test_parts_under_any_tag_of_the_app() -> None:
    (event,) = events(entry(text, tag="MyNativeTag") for text in parts(body()))
    assert event.complete


# Forms.


def forms() -> dict[str, str]:
    event = body()
    text = json.dumps(event)
    inspect = (
        "{ type: 'track',\n  event: 'Opened',\n  properties: { a: 'é\u2028' },\n  messageId: 'm-1',\n"
        f"  timestamp: '2026-03-03T09:41:12.319Z',\n"
        f"  integrations: {{ 'Actions Amplitude': {{ session_id: {S1} }} }},\n"
        "  anonymousId: 'anonymous',\n  context: { device: { id: 'dev-1' } },\n  enrichment: undefined }"
    )
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return {
        "alone": text,
        "after a label": f"[SegmentEvent] {text}",
        "pretty": json.dumps(event, indent=2),
        "pretty after a label": f"event: {json.dumps(event, indent=4)}",
        "second argument": f"'event', '{quoted}'",
        "inspect": inspect,
        "inspect after a label": f"'[analytics]', {inspect}",
        "inspect in a group": f"│ {inspect}",
    }


@pytest.mark.parametrize("form", forms())
def test_each_form_gives_the_whole_event(form: str) -> None:
    (event,) = events([entry(forms()[form])])
    assert event.event == body()
    assert (event.session_id, event.session_from) == (S1, "integrations")
    assert (event.device_id, event.device_from) == ("dev-1", "context.device.id")
    assert event.complete


def test_values_that_only_the_console_has() -> None:
    text = (
        "{ type: 'track', event: 'x', messageId: 'm', properties: { d: Tue Mar 03 2026 11:00:00 GMT+0100,\n"
        "  i: Invalid Date, e: [Error: gone], r: /a/g, f: [Function: f], u: undefined, n: NaN, h: [ 1, , 3 ],\n"
        "  w: { Tue, 03 Mar 2026 10:00:00 GMT own: 1 }, o: { [Error: x] code: 7 }, big: 12345678901234567000 } }"
    )
    (event,) = events([entry(text)])
    shown = dict(event.event["properties"])  # type: ignore[call-overload]
    assert shown.pop("n") != 0
    assert shown == {
        "d": "2026-03-03T10:00:00Z", "i": None, "e": {}, "r": {}, "h": [1, None, 3], "w": "2026-03-03T10:00:00Z",
        "o": {"code": 7}, "big": 12345678901234567000,
    }  # fmt: skip


@pytest.mark.parametrize("hidden", ["[Object]", "[Circular]", "[TOO BIG formatValueCalls 201 exceeded limit of 200]"])
def test_what_the_console_leaves_out_is_named(hidden: str) -> None:
    text = f"'l', {{ type: 'track', event: 'x', messageId: 'm', properties: {hidden}, integrations: {hidden} }}"
    (event,) = events([entry(text)])
    assert not event.complete
    assert {"properties", "integrations"} <= set(event.missing)
    assert (event.session_id, event.session_from) == (NO_SESSION, "")


def test_the_coming_one_line_form_and_its_payload_are_one_event() -> None:
    bare = entry("'TRACK event saved', { type: 'track', messageId: 'm-1', name: 'Opened' }")
    payload = entry("'TRACK event payload', { type: 'track',\n  event: 'Opened',\n  properties: { a: 1 } }")
    (event,) = events([bare, payload])
    assert (event.stage, event.name, event.event["properties"]) == ("raw", "Opened", {"a": 1})
    (event,) = events([bare])
    assert (event.stage, event.name, event.message_id, event.complete) == ("raw", "Opened", "m-1", False)


def test_an_event_and_its_saved_line_are_one_report_in_either_order() -> None:
    whole = entry(json.dumps(body()))
    for order in ([whole, saved("Opened")], [saved("Opened"), whole]):
        (event,) = events(order)
        assert event.stage == "after"


# Lines that were cut before the message id.


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("lines", [[cut], [abridged], [cut, abridged]])
def test_a_cut_line_and_the_parts_are_one_event_in_either_order(
    lines: list[Callable[..., LogEntry]], strict: bool
) -> None:
    for order in (1, -1):
        entries = [[each(big(), ns=n) for n, each in enumerate(lines)], whole(big(), 10)][::order]
        (event,) = events([each for some in entries for each in some], strict=strict)
        assert (event.stage, event.complete, event.event) == ("after", True, big())
        assert (event.message_id, event.session_id, event.session_from) == ("m-1", S1, "integrations")
        assert (event.device_id, event.device_from) == ("dev-1", "context.device.id")


def test_two_loggers_whose_lines_are_cut_show_one_event() -> None:
    (event,) = events([cut(big()), cut(big(), "[after] ", ns=5), saved("Opened", "{ n: 0 }", ns=6)])
    assert (event.message_id, event.complete) == ("", False)
    # Told: no one could know it again by a further line.
    (event,) = events([cut(big()), cut(big(), "[after] ", ns=1_499_000_000), saved("Opened", ns=3 * SECOND)])
    assert event.stage == "after"


def test_a_cut_line_that_shows_the_session_is_held_as_well() -> None:
    """Where a logger shows session ids it is an after plugin; a line of it that was cut waits for a fuller one."""
    small = cut(body("Small", "m-0"), ns=0)
    for order in ([cut(big(), ns=5), *whole(big(), 9)], [*whole(big(), 5), cut(big(), ns=9)]):
        found = events([small, *order])
        assert [(event.name, event.message_id) for event in found] == [("Small", "m-0"), ("Opened", "m-1")]
    found = events([small, cut(big(), ns=5)])
    assert [(event.name, event.message_id, event.session_id) for event in found] == [
        ("Small", "m-0", S1),
        ("Opened", "", S1),
    ]
    strict = events([small, cut(big(), ns=5)], strict=True)[-1]
    assert (strict.stage, strict.session_id, strict.session_from) == ("after", NO_SESSION, "")


@pytest.mark.parametrize("label", ["EVENT ", "[12:00:0{}.12{}] EVENT ", "{} ", "[c0ffee{}-beef-4e1{}] "])
def test_the_same_line_twice_is_two_events(label: str) -> None:
    twice = [cut(big(), label.format(n, n), ns=n) for n in range(2)]
    assert len(events(twice)) == 2
    for parted in (whole(big(message="m-1"), 5) + whole(big(message="m-2"), 6), whole(big(), 5)):
        found = events(twice + parted)
        assert len(found) == 2
        assert {event.message_id for event in found} >= {"m-1"}


@pytest.mark.parametrize(
    "other",
    [
        cut(big("Closed")),
        cut(big(n=1)),
        cut(big(), pid=7),
        cut(big(), ns=2 * SECOND),
        cut({"type": "screen", "name": "Opened", **big()} | {"type": "screen"}),
    ],
)
def test_a_cut_line_of_another_event_stays(other: LogEntry) -> None:
    entries = sorted([*whole(big()), other], key=lambda each: each.stamp)
    assert sorted(event.message_id for event in events(entries)) == ["", "m-1"]


def test_each_saved_line_is_of_one_event_though_that_was_shown_twice() -> None:
    """A report before and one after the session plugin stand for one event, and take one "saved" line."""
    entries = [
        line(f"startNewSession -> {S1}"),
        entry("BEFORE " + json.dumps(body(session=None)), ns=1),
        entry("AFTER " + json.dumps(body()), ns=2),
        saved("Opened", "{ a: 'é\u2028' }", ns=3),
        saved("Opened", "{ a: 'é\u2028' }", ns=SECOND),
    ]
    assert [event.stage for event in events(entries) if event.name == "Opened"] == ["after", "raw"]


def test_the_line_that_agrees_best_is_taken() -> None:
    bare = [saved("Opened", "{}", ns=1), saved("Opened", "{ a: 1 }", ns=2)]
    late = [entry(json.dumps(body("Opened", f"m-{n}", properties=p)), ns=3 + n) for n, p in enumerate([{"a": 1}, {}])]
    assert [event.message_id for event in events(bare + late)] == ["m-0", "m-1"]


def test_deep_lines_that_were_cut_are_compared() -> None:
    deep = '{"type":"track","event":"x","properties":{"k":' + '{"a":[' * 120 + '"x",'
    assert len(events([entry("A " + deep), entry("B " + deep)])) == 1


def test_the_payload_of_an_identify_is_joined_with_its_named_line() -> None:
    named = entry("'IDENTIFY event saved', { type: 'identify', messageId: 'm-1' }")
    payload = entry("'IDENTIFY event payload', { type: 'identify', userId: 'u', traits: { a: 1 } }")
    (event,) = events([named, payload])
    assert event.event["traits"] == {"a": 1}


# One report an event, whatever the order.


def check_each_is_told_once(found: list[SegmentEvent], shown: dict[str, tuple[int, set[str]]]) -> None:
    """`shown`: of each event, by message id, its `n` and the loggers that printed it."""
    left = list(found)
    for message, (n, loggers) in shown.items():
        if WITH_ID & loggers:
            (told,) = (event for event in left if event.message_id == message)
        else:
            told = next(event for event in left if not event.message_id and event.event["properties"]["n"] == n)  # type: ignore[index]
        left.remove(told)
        if "parts" in loggers:
            assert (told.stage, told.complete, told.session_id) == ("after", True, S1)
        elif loggers == {"saved"}:
            assert told.stage == "raw"
        else:
            assert told.stage != "raw"
            assert told.complete is False or "before" in loggers
    assert left == []


@given(st.data(), st.booleans())
def test_of_distinct_events_each_is_told_once_and_at_its_fullest(data: st.DataObject, strict: bool) -> None:
    shown: dict[str, tuple[int, set[str]]] = {}
    entries: list[LogEntry] = []
    for n in range(data.draw(st.integers(1, 6))):
        event = big(data.draw(st.sampled_from(["Opened", "Closed"])), f"m-{n}", n)
        loggers = data.draw(st.sets(st.sampled_from(sorted(LOGGERS)), min_size=1))
        shown[f"m-{n}"] = n, loggers
        began = data.draw(st.integers(0, 4_000))
        for logger in sorted(loggers):
            # Uneven times put what is printed of one event in every order, mixed with that of others.
            at = (began + data.draw(st.integers(0, 1_400))) * 1_000_000
            again = data.draw(st.integers(1, 2)) if logger in WITH_ID else 1
            entries += LOGGERS[logger](event, at) * again
    found = events(sorted(entries, key=lambda each: each.stamp), strict=strict)
    check_each_is_told_once(found, shown)


@given(st.data())
def test_events_that_are_all_alike_are_as_many_as_they_are(data: st.DataObject) -> None:
    """Which line is of which event cannot be known, only how many there are."""
    loggers = data.draw(st.sets(st.sampled_from(sorted(LOGGERS)), min_size=1))
    shown = {f"m-{n}": (0, loggers) for n in range(data.draw(st.integers(1, 5)))}
    entries: list[LogEntry] = []
    for message in shown:
        began = data.draw(st.integers(0, 4_000))
        for logger in sorted(loggers):
            at = (began + data.draw(st.integers(0, 1_400))) * 1_000_000
            entries += LOGGERS[logger](big(message=message), at)
    check_each_is_told_once(events(sorted(entries, key=lambda each: each.stamp)), shown)


# Sessions.


def test_a_session_line_and_its_event_are_one_report() -> None:
    started = body("session_start", session=S1, properties={"integrations": {"Actions Amplitude": {"session_id": S1}}})
    for order in ([line(f"startNewSession -> {S1}"), entry(json.dumps(started))],) * 2:
        (event,) = events(order)
        assert (event.stage, event.name) == ("after", "session_start")
    (event,) = events([entry(json.dumps(started)), line(f"startNewSession -> {S1}")])
    assert event.stage == "after"


def test_a_session_line_alone_stands_for_its_event_and_an_end_is_told_once() -> None:
    lines = [line(f"endSession -> {S1}"), line(f"startNewSession -> {S2}"), line(f"EndSession = {S1}")]
    found = events(lines)
    assert [(event.stage, event.name, event.session_id) for event in found] == [
        ("session", "session_end", S1),
        ("session", "session_start", S2),
    ]
    assert all(event.session_from == "session plugin line" for event in found)


def test_a_bare_event_has_the_session_of_the_line_marked_as_inferred() -> None:
    entries = [line(f"startNewSession -> {S1}"), saved("Opened", ns=SECOND)]
    event = events(entries)[-1]
    assert (event.session_id, event.session_from) == (S1, "inferred: session plugin line")
    strict = events(entries, strict=True)[-1]
    assert (strict.session_id, strict.session_from) == (NO_SESSION, "")


def test_no_event_of_the_first_moment_keeps_a_session_that_may_be_over() -> None:
    """After five idle minutes the plugin decides anew: several events may be printed before its line."""
    idle = 301 * SECOND
    entries = [
        line(f"startNewSession -> {S1}"),
        saved("Before", ns=SECOND),
        saved("First", ns=SECOND + idle),
        saved("Second", ns=SECOND + idle + 1_000_000),
        line(f"endSession -> {S1}", ns=SECOND + idle + 2_000_000),
        line(f"startNewSession -> {S2}", ns=SECOND + idle + 3_000_000),
    ]
    found = {event.name: event.session_id for event in events(entries) if event.stage == "raw"}
    assert found == {"Before": S1, "First": S2, "Second": S2}


def test_a_session_that_is_not_ended_goes_on_where_the_plugin_prints_each_start() -> None:
    idle = 301 * SECOND
    entries = [line(f"startNewSession -> {S1}"), saved("Before", ns=SECOND), saved("After", ns=SECOND + idle)]
    assert [event.session_id for event in events(entries) if event.stage == "raw"] == [S1, S1]


def test_no_session_of_before_lines_that_are_missing_outlives_its_idle_time() -> None:
    pruned = entry("uid=10123(com.example.shop) expire 7 lines", tag="chatty", ns=2 * SECOND, uid=10_123)
    entries = [
        line(f"startNewSession -> {S1}"),
        saved("Before", ns=SECOND),
        pruned,
        saved("Soon", ns=3 * SECOND),
        saved("Late", ns=400 * SECOND),
        line(f"startNewSession -> {S2}", ns=500 * SECOND),
        saved("Later", ns=501 * SECOND),
    ]
    found = [each for each in sniff(entries, uid=10_123) if isinstance(each, SegmentEvent) and each.stage == "raw"]
    assert [(each.session_id, each.session_from) for each in found] == [
        (S1, "inferred: session plugin line"),
        (S1, "inferred: session from before lines that are missing"),
        (NO_SESSION, ""),
        (S2, "inferred: session plugin line"),
    ]


def test_settings_that_cannot_be_had_switch_off_no_plugin_that_was_at_work_before() -> None:
    for said, stage in (("Plugins", "before"), ("Will use the default settings.", "before")):
        entries = [
            line(f"startNewSession -> {S1}", pid=100),
            entry(f"Could not receive settings from Segment. {said}", ns=20 * SECOND, pid=200),
            entry(json.dumps(body(session=None)), ns=25 * SECOND, pid=200),
        ]
        *_, event = events(entries, uid=10_123)
        assert (event.stage, event.complete, event.session_id) == (stage, False, S1)
    alone = [
        entry("Could not receive settings from Segment. Plugins"),
        entry(json.dumps(body(session=None)), ns=SECOND),
    ]
    *_, event = events(alone)
    assert (event.stage, event.complete, event.session_id) == ("after", True, NO_SESSION)


# Whose.


def test_only_the_apps_own_uid_is_heard() -> None:
    other = entry(json.dumps(body("Elsewhere", "m-2")), uid=10_999, pid=9)
    (event,) = events([other, entry(json.dumps(body()))], uid=10_123)
    assert event.name == "Opened"


def test_the_uid_is_learnt_from_the_start_of_the_process_and_follows_its_restarts() -> None:
    def started(pid: int, app: int) -> LogEntry:
        return entry(f"Start proc {pid}:com.example.shop/u0a{app} for top-activity", tag="ActivityManager", uid=1000)

    entries = [
        started(7, 123),
        entry(json.dumps(body("One", "m-1")), pid=7, uid=None),
        started(8, 123),
        entry(json.dumps(body("Two", "m-2")), pid=8, uid=None),
        started(7, 200),
        entry(json.dumps(body("Foreign", "m-3")), pid=7, uid=None),
    ]
    assert [event.name for event in events(entries, uid=10_123)] == ["One", "Two"]


def test_folded_lines_are_counted_only_where_events_were() -> None:
    chatty = entry("uid=10123(com.example.shop) mqt_js identical 3 lines", tag="chatty", uid=10_123)
    assert sniff([chatty], uid=10_123) == []
    found = sniff([entry(json.dumps(body())), chatty], uid=10_123)
    assert [each.reason for each in found if isinstance(each, ParseFailure)] == ["lines folded by logd"]


def test_what_is_held_comes_with_time_alone() -> None:
    sniffer = Sniffer()
    assert sniffer.feed(saved("Opened")) == []
    assert sniffer.advance(Stamp(HOLD_MS * 1_000_000 - 1, 0)) == []
    (event,) = sniffer.advance(Stamp(HOLD_MS * 1_000_000, 0))
    assert isinstance(event, SegmentEvent)


# A log that comes late, its entries older than the hold.


@pytest.mark.parametrize("late_s", [0, 2, 240])
def test_parts_that_come_late_are_one_event_though_time_goes_on_between_them(late_s: int) -> None:
    sniffer = Sniffer()
    came_ns = 300 * SECOND
    sniffer.advance(Stamp(came_ns, 0))
    found = []
    for number, text in enumerate(parts(body(), 120)):
        found += sniffer.feed(entry(text, ns=came_ns - late_s * SECOND + number))
        found += sniffer.advance(Stamp(came_ns + (number + 1) * 100_000_000, 0))
    (event,) = found
    assert isinstance(event, SegmentEvent)
    assert (event.complete, event.session_id, event.device_id) == (True, S1, "dev-1")


def test_a_saved_line_and_an_event_that_come_late_are_one_report() -> None:
    sniffer = Sniffer()
    sniffer.advance(Stamp(300 * SECOND, 0))
    found = sniffer.feed(saved("Opened", ns=9 * SECOND)) + sniffer.advance(Stamp(301 * SECOND, 0))
    found += sniffer.feed(entry(json.dumps(body()), ns=9 * SECOND)) + sniffer.advance(Stamp(303 * SECOND, 0))
    (event,) = found
    assert isinstance(event, SegmentEvent)
    assert (event.stage, event.session_id) == ("after", S1)


def test_a_log_that_comes_late_and_goes_on_tells_what_it_would_have_told_in_time() -> None:
    """What waits for a session gets the one that began next to it, not the newest that the backlog names."""
    entries = [
        line(f"startNewSession -> {S1}"),
        saved("Before", ns=SECOND),
        saved("Over", ns=302 * SECOND),
        saved("First", ns=602 * SECOND),
        line(f"endSession -> {S1}", ns=602 * SECOND + 1),
        line(f"startNewSession -> {S2}", ns=602 * SECOND + 2),
    ]
    late = Sniffer()
    found = late.advance(Stamp(900 * SECOND, 0))
    for item in entries:
        found += late.feed(item)
    found += late.flush()
    assert found == events(entries)
    assert [each.session_id for each in found if isinstance(each, SegmentEvent) and each.stage == "raw"] == [S1, S1, S2]


def test_a_log_whose_clock_was_set_back_holds_nothing_until_it_is_that_late_again() -> None:
    sniffer = Sniffer()
    sniffer.feed(saved("Ahead", ns=3600 * SECOND))
    (event,) = sniffer.feed(saved("Now", ns=SECOND))
    assert isinstance(event, SegmentEvent)
    assert event.name == "Ahead"
    (event,) = sniffer.advance(Stamp(3 * SECOND, 0))
    assert isinstance(event, SegmentEvent)
    assert event.name == "Now"


# Bad input.


@pytest.mark.parametrize("name", TEXTS)
def test_bombs_end_in_reports_that_can_be_printed(name: str) -> None:
    found = sniff([entry(TEXTS[name])])
    for each in found:
        if isinstance(each, SegmentEvent):
            orjson.dumps(each.event, option=orjson.OPT_NON_STR_KEYS)
        else:
            assert 0 < len(each.reason) < 40
            assert len(each.sample) <= 160
    if "json depth" in name or "open" in name:
        assert [each.reason for each in found if isinstance(each, ParseFailure)] == ["nested too deep"]


@given(st.lists(ENTRIES, max_size=12), st.booleans())
def test_any_entries_are_events_or_failures(entries: list[LogEntry], strict: bool) -> None:
    for each in sniff(entries, strict=strict):
        assert isinstance(each, SegmentEvent | ParseFailure)
        if isinstance(each, SegmentEvent):
            orjson.dumps(each.event, option=orjson.OPT_NON_STR_KEYS)
            assert not (each.complete and each.missing)


def test_memory_is_bounded_whatever_comes() -> None:
    wide = '{"type":"track","messageId":"%s","p":{' + ",".join(f'"k{i}":{i}' for i in range(5_000)) + "}}"
    sniffer = Sniffer()
    tracemalloc.start()
    try:
        for n in range(600):
            sniffer.feed(entry(wide % (f"{n}" * 2_000)))
            sniffer.feed(entry(f"SegmentReplay/1 p-{n} 1/2 " + "x" * 60_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 120e6


def test_apps_of_one_log_do_not_lend_each_other_their_sessions() -> None:
    entries = [
        entry("[AmplitudeSession] startNewSession -> 1772527272315", pid=1, uid=10_001),
        entry(json.dumps(body("Ours", "m-1")), ns=1, pid=1, uid=10_001),
        saved("Theirs", ns=2, pid=2, uid=10_002),
        saved("Mine", ns=3, pid=1, uid=10_001),
    ]
    found = {event.name: event for event in events(entries)}
    assert found["Mine"].session_id == S1
    assert found["Mine"].device_id == "dev-1"
    assert (found["Theirs"].session_id, found["Theirs"].device_id) == (NO_SESSION, None)
    assert (found["Theirs"].uid, found["Theirs"].pid) == (10_002, 2)


def test_one_message_id_in_two_processes_is_two_events() -> None:
    entries = [entry(json.dumps(body()), ns=pid, pid=pid, uid=pid) for pid in (1, 2)]
    assert [event.pid for event in events(entries)] == [1, 2]
    assert len(events(entries * 3)) == 2


def test_a_fuller_report_that_comes_late_is_told_again() -> None:
    sniffer = Sniffer()
    sniffer.feed(entry("[AmplitudeSession] startNewSession -> 1772527272315"))
    assert sniffer.feed(entry(json.dumps(body(session=None)))) == []
    stages = [each.stage for each in sniffer.advance(Stamp(HOLD_MS * 1_000_000, 0)) if isinstance(each, SegmentEvent)]
    assert "before" in stages
    (late,) = sniffer.feed(entry(json.dumps(body()), ns=3 * SECOND))
    assert isinstance(late, SegmentEvent)
    assert (late.stage, late.session_id) == ("after", S1)
    assert sniffer.feed(entry(json.dumps(body()), ns=3 * SECOND)) == []


def test_a_fuller_report_within_the_hold_takes_the_place_of_the_lesser() -> None:
    entries = [
        line("startNewSession -> 1772527272315"),
        entry(json.dumps(body(session=None)), ns=1),
        entry(json.dumps(body()), ns=2),
    ]
    opened = [event for event in events(entries) if event.name == "Opened"]
    assert [event.stage for event in opened] == ["after"]


def test_a_call_that_looks_alike_before_and_after_the_session_plugin_hides_no_id() -> None:
    entries, ns = [], 0
    for n in range(4):
        for session in (None, S1):
            ns += 1_000_000
            entries.append(entry("EVENT " + json.dumps(body(f"E{n}", f"m-{n}", session)), ns=ns))
    assert [(event.name, event.session_id) for event in events(entries)] == [(f"E{n}", S1) for n in range(4)]


@pytest.mark.parametrize("pid", [4242, 5555], ids=["reset", "data deleted"])
def test_the_first_events_of_another_person_have_the_session_that_begins_with_them(pid: int) -> None:
    def before(name: str, person: str, ns: int, pid: int) -> LogEntry:
        one = body(name, name, None, anonymousId=person, context={"device": {"id": person}})
        return entry("before " + json.dumps(one), ns=ns, pid=pid)

    entries = [
        line(f"startNewSession -> {S1}"),
        before("Old", "d1", SECOND, 4242),
        before("Installed", "d2", 20 * SECOND, pid),
        before("Opened", "d2", 20 * SECOND + 1_000_000, pid),
        line(f"startNewSession -> {S2}", ns=20 * SECOND + 2_000_000, pid=pid),
        before("Later", "d2", 30 * SECOND, pid),
    ]
    found = {event.name: (event.session_id, event.device_id) for event in events(entries) if event.stage == "before"}
    assert found == {"Old": (S1, "d1"), "Installed": (S2, "d2"), "Opened": (S2, "d2"), "Later": (S2, "d2")}
    # An app may choose an id of its own, and keeps its session.
    kept = {event.name: event.session_id for event in events(entries[:4]) if event.stage == "before"}
    assert kept == {"Old": S1, "Installed": S1, "Opened": S1}


def test_what_another_person_s_session_was_found_for_keeps_it_though_a_second_reset_follows() -> None:
    def before(name: str, ns: int) -> LogEntry:
        one = body(name, name, None, anonymousId="d2", context={"device": {"id": "d2"}})
        return entry("before " + json.dumps(one), ns=ns)

    first = body("Old", "m-0", None, anonymousId="d1", context={"device": {"id": "d1"}})
    entries = [
        line(f"startNewSession -> {S1}"),
        entry("before " + json.dumps(first), ns=1),
        entry("Client has been reset", ns=20 * SECOND),
        before("A", 20 * SECOND + 1),
        line(f"startNewSession -> {S2}", ns=20 * SECOND + 2),
        before("B", 20 * SECOND + 400_000_000),
        entry("Client has been reset", ns=20 * SECOND + 900_000_000),
        line(f"startNewSession -> {S2 + 900}", ns=20 * SECOND + 950_000_000),
    ]
    found = {event.name: event.session_id for event in events(entries) if event.stage == "before"}
    assert found == {"Old": S1, "A": S2, "B": S2}


def test_an_event_whose_line_was_cut_keeps_the_device_of_its_time() -> None:
    one = big("Signed Out", anonymousId="d1", context={"device": {"id": "d1"}})
    two = body("Opened", "m-2", S2, anonymousId="d2", context={"device": {"id": "d2"}})
    first = body("First", "m-0", S1, anonymousId="d1", context={"device": {"id": "d1"}})
    texts = ["EVENT " + json.dumps(each) for each in (first, two)]
    entries = [entry(texts[0], ns=1), cut(one, ns=2), entry(texts[1], ns=SECOND)]
    found = {event.name: (event.session_id, event.device_id) for event in events(entries)}
    assert found == {"First": (S1, "d1"), "Signed Out": (S1, "d1"), "Opened": (S2, "d2")}


def test_pruned_lines_are_told_for_the_app_that_is_looked_at() -> None:
    pruned = entry("uid=10123(com.example.shop) expire 7 lines", tag="chatty", uid=10_123)
    (failure,) = sniff([pruned], uid=10_123)
    assert isinstance(failure, ParseFailure)
    assert failure.reason == "lines pruned by logd"
    assert sniff([pruned], uid=10_124) == []
    assert sniff([pruned]) == []


FIELDS = (*body(), "name", "userId", "traits", "groupId", "previousId")
STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(FIELDS), STRANGE, max_size=6).map(lambda odd: body() | {**odd}), max_size=8
    ),
    st.booleans(),
)
def test_strange_values_in_any_field(bodies: list[dict[str, object]], strict: bool) -> None:
    entries = [entry(json.dumps(each), ns=number * SECOND // 2) for number, each in enumerate(bodies)]
    entries += [saved("Opened", "{ a: [Object] }", ns=5 * SECOND)]
    for each in sniff(entries, strict=strict):
        assert isinstance(each, SegmentEvent | ParseFailure)
        if isinstance(each, SegmentEvent):
            assert isinstance(each.name, str)
            assert each.device_id is None or isinstance(each.device_id, str)

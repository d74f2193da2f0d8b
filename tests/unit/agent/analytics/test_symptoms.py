from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest

from agent.analytics import symptoms
from agent.analytics.symptoms import App, Process
from agent.model import ParseFailure, SegmentEvent
from bridge.types import LogEntry, Stamp

NOW = Stamp(1, 1_772_000_000_500)
SESSION = 1_772_000_000_000
LINE = LogEntry(NOW, 1, 7, 8, 10123, "I", "ReactNativeJS", "the line")


def event(session: object = SESSION, source: str = "integrations", **more: object) -> SegmentEvent:
    base = SegmentEvent(
        NOW, 7, 10123, "after", "track", "Opened", "m-1", NOW.wall_ms, True, session, source, "device-1",
        "context.device.id", (), {"integrations": {}},
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


def rules(hits: object) -> list[str]:
    return [hit.rule for hit in hits]  # type: ignore[attr-defined]


def test_a_sound_event_has_no_symptom() -> None:
    process, app = Process(), App()
    assert rules(symptoms.session(event(), process, LINE)) == []
    assert rules(symptoms.device(event(), app)) == []
    assert rules(symptoms.completeness(event(), LINE)) == []
    assert process.works


def test_events_without_an_id_wait_for_what_explains_them() -> None:
    process = Process()
    idless = event(-1, "")
    assert rules(symptoms.session(idless, process, LINE)) == []
    assert rules(symptoms.session(idless, process, LINE)) == []
    # The plugin's own line comes: the events were logged before it had its turn.
    (hit,) = symptoms.plugin_seen(process, LINE)
    assert (hit.rule, hit.times) == ("plugin-order", 2)
    assert rules(symptoms.without_ids(process)) == []


def test_enough_events_without_an_id_are_no_moment() -> None:
    process = Process()
    told = [rules(symptoms.session(event(-1, ""), process, LINE)) for _ in range(4)]
    assert told == [[], [], ["no-session-plugin", "negative-session-id"], ["negative-session-id"]]


def test_a_plugin_of_an_earlier_process_is_at_work_unless_this_one_has_no_settings() -> None:
    app = App(plugin=LINE)
    assert Process(app).works
    off = Process(app, no_settings=LINE)
    assert not off.works
    assert rules(symptoms.session(event(-1, ""), off, LINE)) == ["destination-off", "negative-session-id"]


def test_an_id_that_the_log_does_not_show_is_no_missing_id() -> None:
    for missing in (("integrations",), ("properties",)):
        process = Process()
        for _ in range(5):
            assert rules(symptoms.session(event(-1, "", missing=missing), process, LINE)) == []
    inferred = event(SESSION, "inferred: session plugin line")
    assert rules(symptoms.session(inferred, Process(), LINE)) == []


def test_a_session_is_started_by_a_line_and_an_event_once() -> None:
    app = App()
    start = event(name="session_start")
    line = event(name="session_start", stage="session", message_id="")
    saved = event(name="session_start", stage="raw", message_id="")
    for each in (line, start, saved, start):
        assert rules(symptoms.starts(each, app)) == []
    again = replace(start, message_id="m-2")
    assert rules(symptoms.starts(again, app)) == ["duplicate-session-start"]
    assert rules(symptoms.starts(replace(again, session_id=SESSION + 1), app)) == []


@pytest.mark.parametrize(
    ("reason", "line", "rule"),
    [
        ("lines folded by logd", None, "lines-folded"),
        ("lines pruned by logd", None, "log-overrun"),
        ("part malformed", LINE, "event-unreadable"),
        ("unclosed", replace(LINE, cut=True), "event-cut"),
    ],
)
def test_failures(reason: str, line: LogEntry | None, rule: str) -> None:
    assert rules(symptoms.failure(ParseFailure(NOW, 7, reason, ""), line)) == [rule]


def test_what_a_stage_never_has_is_not_lost() -> None:
    before = event(stage="before", missing=("integrations",))
    assert rules(symptoms.completeness(before, LINE)) == []
    assert rules(symptoms.completeness(before, replace(LINE, cut=True))) == []
    cut = replace(before, missing=("context", "integrations"))
    assert rules(symptoms.completeness(cut, replace(LINE, cut=True))) == ["event-cut"]
    raw = event(stage="raw", missing=("messageId", "context"))
    assert rules(symptoms.completeness(raw, LINE)) == []
    abridged = replace(LINE, message="{ a: [Object] }")
    assert rules(symptoms.completeness(event(missing=("properties",)), abridged)) == ["event-abridged"]
    assert rules(symptoms.completeness(event(missing=("properties",)), LINE)) == ["event-unreadable"]


def test_remembering_forgets_the_oldest() -> None:
    table: OrderedDict[int, int] = OrderedDict()
    for n in range(5):
        assert symptoms.remember(table, n, n, 3) == n
    assert list(table) == [2, 3, 4]
    assert symptoms.remember(table, 2, 99, 3) == 2
    assert list(table) == [3, 4, 2]


@pytest.mark.parametrize(
    ("name", "brief"),
    [
        ("Opened", "Opened"),
        ("x " * 25 + "anna.bell@example.com", "x " * 25 + "…"),
        ("x" * 40 + " 4111 1111 1111 1111 paid", "x" * 40 + " …"),
    ],
)
def test_what_is_cut_ends_before_a_word(name: str, brief: str) -> None:
    assert symptoms._brief(name) == brief

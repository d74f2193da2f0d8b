"""`events` on logs that the published packages wrote, against the events as they were in the app."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[5] / "shared" / "fixtures"
FIXTURES = SHARED / "segment_logs"
INDEX = FIXTURES / "index.json"
SCENARIOS = json.loads(INDEX.read_text())["scenarios"] if INDEX.is_file() else []
# How the id fields of a truth entry are called in an event.
VISIBLE = {"messageId": "messageId", "timestamp": "timestamp", "anonymousId": "anonymousId"}

pytestmark = pytest.mark.skipif(not SCENARIOS, reason="the shared fixtures are not here")


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def same(ours: object, truth: object) -> bool:
    """Equal in value and type; the console prints a date without its milliseconds."""
    if isinstance(ours, dict) and isinstance(truth, dict):
        return ours.keys() == truth.keys() and all(same(ours[name], truth[name]) for name in ours)
    if isinstance(ours, list) and isinstance(truth, list):
        return len(ours) == len(truth) and all(map(same, ours, truth))
    if isinstance(ours, str) and isinstance(truth, str) and re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", ours):
        return truth[:19] + "Z" == ours
    return type(ours) is type(truth) and ours == truth


@pytest.fixture(params=[(scenario["name"], kind) for scenario in SCENARIOS for kind in ("logcat.txt", "logcat.bin")])
def read(request: pytest.FixtureRequest, call) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The facts that `events` prints of one log of one app, and what is true of that app's events."""
    name, kind = request.param
    (scenario,) = (scenario for scenario in SCENARIOS if scenario["name"] == name)
    ended = call("events", str(FIXTURES / name / kind), "--json", "--app", scenario["app"]["package"])
    assert ended.code == 0
    assert " 0 lines unread" in ended.err
    facts = [json.loads(line) for line in ended.out.split("\n") if line]
    truth = lines_of(FIXTURES / name / "events.jsonl")
    assert {fact["pid"] for fact in facts} <= set(scenario["app"]["pids"])
    return facts, [entry for entry in truth if entry["main"]]


def test_each_event_is_reported_once_and_none_is_invented(read) -> None:
    facts, truth = read
    assert len(facts) == len(truth)
    known = Counter(fact["event"]["messageId"] for fact in facts if "messageId" in fact["event"])
    assert known.keys() <= {entry["event"]["messageId"] for entry in truth}
    assert set(known.values()) <= {1}


def test_whole_events_equal_the_truth(read) -> None:
    facts, truth = read
    found = {fact["event"].get("messageId"): fact for fact in facts}
    for entry in truth:
        if entry["log"]["status"] != "full":
            continue
        fact, expect = found[entry["event"]["messageId"]], entry["expect"]
        assert same(fact["event"], entry["event"]), (fact["event"], entry["event"])
        assert same(fact["session_id"], expect["session_id"])
        assert same(fact["device_id"], expect["device_id"])
        assert (fact["session_from"], fact["device_from"]) == (expect["session_from"], expect["device_from"])
        assert (fact["stage"], fact["complete"], fact["missing"]) == ("after", True, [])


def test_events_that_the_log_shows_in_part_say_so(read) -> None:
    facts, truth = read
    found = {fact["event"].get("messageId"): fact for fact in facts}
    nameless = Counter(fact["event"].get("event", fact["event"].get("name")) for fact in facts if not fact["complete"])
    for entry in truth:
        if entry["log"]["status"] != "partial":
            continue
        event, visible = entry["event"], entry["log"]["visible"]
        fact = found.get(event["messageId"])
        if fact is None:
            assert "messageId" not in visible
            assert nameless[event.get("event", event.get("name"))] > 0
            continue
        assert (fact["stage"], fact["complete"]) == ("after", False)
        assert fact["missing"]
        for name in VISIBLE.keys() & set(visible):
            assert fact["event"][name] == event[name]
        if "session_id" in visible:
            assert fact["session_id"] == entry["expect"]["session_id"]
            assert fact["session_from"] == entry["expect"]["session_from"]
        if "device_id" in visible:
            assert fact["device_id"] == entry["expect"]["device_id"]
            assert fact["device_from"] == entry["expect"]["device_from"]


def test_ids_of_events_without_them_are_marked_and_never_wrong(read) -> None:
    facts, truth = read
    expected = {entry["event"]["messageId"]: entry["expect"] for entry in truth}
    for fact in facts:
        expect = expected.get(fact["event"].get("messageId"))
        if expect is None or fact["complete"]:
            continue
        if fact["session_from"] not in ("none", expect["session_from"]):
            assert fact["session_from"].startswith(("inferred: ", "properties.integrations"))
        if fact["session_from"] != "none":
            assert fact["session_id"] == expect["session_id"]
        if fact["device_id"] is not None:
            assert fact["device_id"] == expect["device_id"]


def test_events_before_the_session_plugin_and_bare_ones(read) -> None:
    facts, truth = read
    before = {fact["event"].get("messageId"): fact for fact in facts}
    for entry in truth:
        if entry["log"]["status"] == "incomplete":
            fact = before[entry["event"]["messageId"]]
            assert (fact["stage"], fact["complete"]) == ("before", False)
            assert "integrations" in fact["missing"]
            differ = set(entry["log"]["differs_from_event"])
            shared = entry["event"].keys() - differ
            assert same({name: fact["event"][name] for name in shared}, {name: entry["event"][name] for name in shared})


def test_lines_of_the_sdk_alone(read) -> None:
    facts, truth = read
    wanted = [entry for entry in truth if entry["log"]["status"] == "raw"]
    raw = [fact for fact in facts if fact["stage"] == "raw"]
    # Plugins may have added properties afterwards: the type and name are those of the line.
    assert Counter(kind_and_name(fact["event"]) for fact in raw) == Counter(
        kind_and_name(entry["event"]) for entry in wanted
    )
    sessions = Counter((*kind_and_name(entry["event"]), entry["expect"]["session_id"]) for entry in wanted)
    inferred = Counter(
        (*kind_and_name(fact["event"]), fact["session_id"]) for fact in raw if fact["session_from"] != "none"
    )
    assert inferred <= sessions
    assert inferred.total() >= 0.9 * sessions.total()


def kind_and_name(event: dict[str, Any]) -> tuple[object, object]:
    return event["type"], event.get("event", event.get("name"))


@pytest.mark.parametrize("file", sorted((FIXTURES / "formats").glob("*.[tb][xi][tn]")), ids=lambda file: file.name)
def test_every_format_shows_the_same_three_events(call, file: Path) -> None:
    ended = call("events", str(file), "--json")
    assert ended.code == 0
    facts = [json.loads(line) for line in ended.out.split("\n") if line]
    assert [(fact["event"]["event"], fact["stage"], fact["complete"]) for fact in facts] == [
        ("Product Added", "raw", False),
        ("Same ms", "raw", False),
        ("Long", "after", False),
    ]
    assert facts[0]["event"]["properties"] == {"id": "sku-1", "price": 9.5, "tags": ["a", "b"]}
    assert {fact["pid"] for fact in facts} == {None if file.stem in ("raw", "tag") else 14822}
    assert {fact["uid"] for fact in facts} == {10231 if "uid" in file.stem or file.suffix == ".bin" else None}
    assert " 0 lines unread" in ended.err


@pytest.mark.parametrize("file", sorted((SHARED / "logcat").rglob("*.log")), ids=lambda file: file.name)
def test_logs_of_real_phones_are_read_and_hold_no_event(call, file: Path) -> None:
    ended = call("events", str(file), "--json")
    assert (ended.code, ended.out) == (0, "")

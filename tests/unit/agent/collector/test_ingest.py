from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.traced import traced
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.collector.ingest import EVENTS, FILE, JUNK_IDS, Ingest
from agent.errors import StorageDenied, StorageError

EVENT = {"device_id": "device-1", "event_type": "tap", "insert_id": "one"}


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[Ingest]:
    ingest = Ingest(tmp_path)
    yield ingest
    ingest.close()


def post(*events: Any, key: object = "key", **more: object) -> bytes:
    return json.dumps({"api_key": key, "events": events, **more}).encode()


def kept(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]


def test_events_are_kept_as_they_are(ingest: Ingest, tmp_path: Path) -> None:
    events = [EVENT, {"user_id": "nora-1", "event_type": "buy", "time": 5, "event_properties": {"a": "ü\n"}}]
    sent = post(*events)
    status, answer = ingest.take(sent, "key")
    assert status == answer["code"] == 200
    assert (answer["events_ingested"], answer["payload_size_bytes"]) == (2, len(sent))
    assert answer["server_upload_time"] > 1_700_000_000_000
    assert kept(tmp_path) == events


def test_how_long_a_wrong_key_takes_tells_nothing_of_the_right_one(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, right: bytes) -> bool:
        compared.append((given, right))
        return given == right

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert ingest.take(post(EVENT, key="kéz"), "kéy")[0] == 400
    assert ingest.take(post(EVENT, key="kéy"), "kéy")[0] == 200
    assert compared == [("kéz".encode(), "kéy".encode()), ("kéy".encode(), "kéy".encode())]


def test_a_repeat_is_dropped_even_after_a_restart(tmp_path: Path) -> None:
    other_phone, other_event = {**EVENT, "device_id": "device-2"}, {**EVENT, "insert_id": "two"}
    first = Ingest(tmp_path)
    assert first.take(post(EVENT, EVENT, other_phone), "")[0] == 200
    assert first.take(post(EVENT), "")[0] == 200
    first.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'7\n{"torn')
    second = Ingest(tmp_path)
    assert second.take(post(EVENT, other_event), "")[0] == 200
    second.close()
    lines = (tmp_path / FILE).read_bytes().splitlines()
    assert lines[2:4] == [b"7", b'{"torn']
    assert [json.loads(line) for line in (*lines[:2], *lines[4:])] == [EVENT, other_phone, other_event]


def test_what_came_more_than_a_week_ago_is_forgotten_and_no_key_takes_more_than_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 1_800_000_000_000
    monkeypatch.setattr("agent.collector.ingest.time.time_ns", lambda: now_ms * 1_000_000)
    ingest = Ingest(tmp_path)
    with traced():
        for number in range(200):
            ingest.take(post({**EVENT, "insert_id": f"{number} " + "x" * 10_000}), "")
        assert tracemalloc.get_traced_memory()[0] < 200_000
    for days, lines in ((0, 200), (7, 200), (8, 400), (9, 400)):
        now_ms = 1_800_000_000_000 + days * 86_400_000
        # What is forgotten goes with the next that comes.
        ingest.take(post({"device_id": "device-1", "event_type": "tap"}), "")
        for number in range(200):
            ingest.take(post({**EVENT, "insert_id": f"{number} " + "x" * 10_000}), "")
        assert sum("insert_id" in line for line in kept(tmp_path)) == lines
    ingest.close()


def test_a_start_reads_line_by_line_and_knows_the_last_week(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    rows = [
        {**EVENT, "insert_id": "first", "time": 5},
        {**EVENT, "insert_id": "old", "time": now_ms - 9 * 86_400_000},
        {**EVENT, "insert_id": "among the old"},
        {**EVENT, "insert_id": "new", "time": now_ms - 86_400_000},
        {**EVENT, "insert_id": "late", "time": now_ms - 20 * 86_400_000},
        {**EVENT, "insert_id": "ahead", "time": now_ms + 86_400_000},
    ]
    with (tmp_path / FILE).open("wb") as file:
        for row in rows:
            file.write(json.dumps(row).encode() + b"\n")
        for _ in range(400):
            file.write(json.dumps({"event_properties": "x" * 10_000, "time": now_ms}).encode() + b"\n")
    with traced():
        ingest = Ingest(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    assert ingest.take(post(*rows), "")[0] == 200
    ingest.close()
    assert [row["insert_id"] for row in kept(tmp_path)[406:]] == ["old", "among the old"]


def test_what_is_taken_is_durable_at_once_and_all_of_it(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("agent.store.disk._datasync", lambda descriptor: synced.append(len(kept(tmp_path))))
    assert ingest.take(post(EVENT, {**EVENT, "insert_id": "two"}, EVENT), "")[0] == 200
    assert ingest.take(post(EVENT), "")[0] == 200
    assert synced == [2]


def test_without_an_insert_id_nothing_is_a_repeat(ingest: Ingest, tmp_path: Path) -> None:
    plain = {"device_id": "device-1", "event_type": "tap"}
    assert ingest.take(post(plain, plain), "")[0] == 200
    assert kept(tmp_path) == [plain, plain]


@pytest.mark.parametrize(
    ("data", "error", "field"),
    [
        (b"", "Invalid request body", None),
        (b"{", "Invalid request body", None),
        (b"[]", "Invalid request body", None),
        (b'{"events":[]}', "Request missing required field", "api_key"),
        (post(EVENT, key=""), "Request missing required field", "api_key"),
        (post(EVENT, key=7), "Request missing required field", "api_key"),
        (post(), "Request missing required field", "events"),
        (b'{"api_key":"key","events":{}}', "Request missing required field", "events"),
        (b'{"api_key":"key"}', "Request missing required field", "events"),
    ],
)
def test_a_body_at_fault(ingest: Ingest, tmp_path: Path, data: bytes, error: str, field: str | None) -> None:
    assert ingest.take(data, "key") == (400, {"code": 400, "error": error, "missing_field": field})
    assert kept(tmp_path) == []


def test_the_key(ingest: Ingest, tmp_path: Path) -> None:
    status, answer = ingest.take(post(EVENT, key="secretsecret"), "key")
    assert (status, answer["error"]) == (400, "Invalid API key: secr...")
    assert kept(tmp_path) == []
    assert ingest.take(post(EVENT, key="secretsecret"), "")[0] == 200


def test_too_many_events(ingest: Ingest, tmp_path: Path) -> None:
    plain = {"device_id": "device-1", "event_type": "tap"}
    assert ingest.take(post(*[plain] * (EVENTS + 1)), "")[0] == 413
    assert kept(tmp_path) == []
    assert ingest.take(post(*[plain] * EVENTS), "")[0] == 200


@pytest.mark.parametrize(
    ("event", "missing", "invalid"),
    [
        ({"device_id": "device-1"}, {"event_type": [1]}, {}),
        ({"device_id": "device-1", "event_type": ""}, {"event_type": [1]}, {}),
        ({"device_id": "device-1", "event_type": 7}, {"event_type": [1]}, {}),
        ({"event_type": "tap"}, {"user_id": [1]}, {}),
        ({"event_type": "tap", "user_id": None, "device_id": None}, {"user_id": [1]}, {}),
        ({"event_type": "tap", "user_id": "four"}, {"user_id": [1]}, {}),
        ({"event_type": "tap", "user_id": "four", "device_id": "f"}, {"user_id": [1]}, {}),
        ({"event_type": "tap", "user_id": "four", "device_id": "null"}, {}, {"device_id": [1]}),
        ({"event_type": "tap", "user_id": 1234, "device_id": "device-1"}, {}, {"user_id": [1]}),
        ({"event_type": "tap", "device_id": 12345}, {}, {"device_id": [1]}),
        ({"event_type": "tap", "device_id": "UNDEFINED"}, {}, {"device_id": [1]}),
        ({"event_type": "tap", "device_id": "device-1", "time": "now"}, {}, {"time": [1]}),
        ({"event_type": "tap", "device_id": "device-1", "time": True}, {}, {"time": [1]}),
        ("text", {}, {"events": [1]}),
        ({"user_id": "x"}, {"event_type": [1], "user_id": [1]}, {}),
    ],
)
def test_events_at_fault_are_named(
    ingest: Ingest, tmp_path: Path, event: Any, missing: dict[str, list[int]], invalid: dict[str, list[int]]
) -> None:
    status, answer = ingest.take(post(EVENT, event), "key")
    assert status == 400
    assert answer["events_with_missing_fields"] == missing
    assert answer["events_with_invalid_fields"] == invalid
    assert kept(tmp_path) == []


def test_the_shortest_id_may_be_set(ingest: Ingest) -> None:
    event = {"event_type": "tap", "user_id": "ab"}
    assert ingest.take(post(event), "")[0] == 400
    assert ingest.take(post(event, options={"min_id_length": 2}), "")[0] == 200
    assert ingest.take(post(event, options={"min_id_length": "2"}), "")[0] == 400
    assert ingest.take(post(event, options=[]), "")[0] == 400
    for junk in JUNK_IDS:
        assert ingest.take(post({**event, "user_id": junk}, options={"min_id_length": 1}), "")[0] == 400


@pytest.mark.parametrize("short", ["user_id", "device_id"])
def test_an_id_that_is_too_short_is_removed(ingest: Ingest, tmp_path: Path, short: str) -> None:
    whole = {"event_type": "tap", "user_id": "nora-1", "device_id": "device-1"}
    for value in ("bob", ""):
        assert ingest.take(post({**whole, short: value}), "")[0] == 200
    del whole[short]
    assert kept(tmp_path) == [whole, whole]


def test_room_is_asked_for_before_a_body_is_read(ingest: Ingest, tmp_path: Path) -> None:
    class Full(Exception):
        pass

    def full(size: int) -> None:
        raise Full

    taken: list[int] = []
    assert ingest.take(post(EVENT), "", taken.append)[0] == 200
    assert 0 < sum(taken) < 10_000
    taken.clear()
    # Of no key, and of few bytes that would take up many.
    sent = b'{"api_key":"x","events":[' + b"{}," * 100_000 + b"{}]}"
    with traced():
        assert ingest.take(sent, "key", taken.append)[0] == 400
        assert sum(taken) > tracemalloc.get_traced_memory()[1] > 5_000_000
        tracemalloc.reset_peak()
        with pytest.raises(Full):
            ingest.take(sent, "key", full)
        assert ingest.take(sent.replace(b"{},", b"{}," * 5), "key")[0] == 413
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    assert len(kept(tmp_path)) == 1


def test_events_that_cannot_be_written_are_refused_whole(ingest: Ingest, tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    status, answer = ingest.take(post(EVENT, {**EVENT, "insert_id": "two", "event_properties": deep}), "")
    assert (status, answer["error"]) == (400, "Invalid request body")
    assert kept(tmp_path) == []


def test_a_folder_in_the_way_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageDenied, match=FILE):
        Ingest(tmp_path)


def test_closed_is_closed(ingest: Ingest) -> None:
    ingest.close()
    ingest.close()
    with pytest.raises(StorageError, match="closed"):
        ingest.take(post(EVENT), "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["device_id", "user_id", "event_type", "insert_id", "time"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.dictionaries(FIELDS, JSON | st.just("device-1")) | JSON, max_size=3), options=JSON)
def test_whatever_comes_gets_an_answer(ingest: Ingest, tmp_path: Path, events: list[Any], options: Any) -> None:
    before = len(kept(tmp_path))
    status, answer = ingest.take(post(*events, options=options), "key")
    assert answer["code"] == status
    assert status in (200, 400)
    assert status == 200 or len(kept(tmp_path)) == before

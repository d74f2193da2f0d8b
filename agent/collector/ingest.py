"""Events as Amplitude's HTTP V2 and Batch APIs take them (amplitude.com/docs, http-v2 and batch-event-upload)."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from agent.collector.upload import VALUE_BYTES, values
from agent.store.disk import AppendFile, guarded

FILE = "events.jsonl"
EVENTS = 2000
# In all events of a body, keys among them: what may be held of those that come without a key has room for them.
VALUES = 800_000
# Within so many days Amplitude takes an insert id for a repeat.
REPEAT_DAYS = 7
_DAY_MS = 86_400_000
# No clock that can be meant was earlier.
_EARLIEST_MS = 1_600_000_000_000
MIN_ID_LENGTH = 5
# Ids that Amplitude refuses: left-overs of broken clients, lower case (a part of the documented list).
JUNK_IDS = {
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "-1",
    "0",
    "true",
    "false",
    "{}",
    "[]",
}
JUNK_IDS |= {"00000000-0000-0000-0000-000000000000", "lmy47d", "user", "unset"}
_IDS = ("user_id", "device_id")
_TOO_LARGE = {"code": 413, "error": "Payload too large"}


class Ingest:
    """Keeps events, one JSON line each, and drops repeats of (device id, insert id) within a week. Any thread."""

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        self._lock = threading.Lock()
        path = folder / FILE
        self._seen = _Seen()
        # Of when a line came only its place in the file tells, and the times of those before it.
        now_ms = at_ms = time.time_ns() // 1_000_000
        told_ms = _EARLIEST_MS
        for event in _events(path):
            at = event.get("time")
            if isinstance(at, int) and told_ms < at <= now_ms:
                told_ms = at_ms = at
            key = _key(event)
            if key is not None and at_ms // _DAY_MS >= now_ms // _DAY_MS - REPEAT_DAYS:
                self._seen.add(key, at_ms)
        self._file = AppendFile(path)

    def take(
        self, data: bytes, api_key: str, room: Callable[[int], object] = lambda size: None
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer for a body; `api_key` is the one it must carry, "" for any. A body is taken
        whole or not at all, and is durable on return. Before it is read `room` is told how many bytes that takes up.
        Raises StorageError, and what `room` raises."""
        count = values(data)
        if count > VALUES:
            return 413, _TOO_LARGE
        room(count * VALUE_BYTES)
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            return _bad("Invalid request body", None)
        if not isinstance(body, dict):
            return _bad("Invalid request body", None)
        if not isinstance(body.get("api_key"), str) or not body["api_key"]:
            return _bad("Request missing required field", "api_key")
        if api_key and not hmac.compare_digest(body["api_key"].encode(), api_key.encode()):
            return 400, {"code": 400, "error": "Invalid API key: " + body["api_key"][:4] + "..."}
        events = body.get("events")
        if not isinstance(events, list) or not events:
            return _bad("Request missing required field", "events")
        if len(events) > EVENTS:
            return 413, _TOO_LARGE
        options = body.get("options")
        shortest = options.get("min_id_length") if isinstance(options, dict) else None
        _drop_short(events, shortest if isinstance(shortest, int) else MIN_ID_LENGTH)
        missing, invalid = _faults(events)
        if missing or invalid:
            status, answer = _bad("Invalid field values on some events", None)
            return status, answer | {"events_with_missing_fields": missing, "events_with_invalid_fields": invalid}
        try:
            rows = [(_key(event), orjson.dumps(event) + b"\n") for event in events]
        except orjson.JSONEncodeError:
            # What can be read may be nested too deeply to be written.
            return _bad("Invalid request body", None)
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            fresh: list[bytes] = []
            keys: set[tuple[str, str]] = set()
            for key, row in rows:
                if key is None or (key not in keys and key not in self._seen):
                    fresh.append(row)
                if key is not None:
                    keys.add(key)
            if fresh:
                self._file.append(b"".join(fresh), sync=True)
            for key in keys:
                self._seen.add(key, now_ms)
            self._seen.forget(now_ms)
        counted = {"events_ingested": len(events), "payload_size_bytes": len(data), "server_upload_time": now_ms}
        return 200, {"code": 200, **counted}

    def close(self) -> None:
        with self._lock:
            self._file.close()


class _Seen:
    """What came, by the day. Sixteen bytes stand for a key, which may be as long as its sender likes."""

    def __init__(self) -> None:
        self._days: dict[int, set[bytes]] = {}

    def __contains__(self, key: tuple[str, str]) -> bool:
        short = _short(key)
        return any(short in day for day in self._days.values())

    def add(self, key: tuple[str, str], at_ms: int) -> None:
        if key not in self:
            self._days.setdefault(at_ms // _DAY_MS, set()).add(_short(key))

    def forget(self, now_ms: int) -> None:
        """Let go of what came more than REPEAT_DAYS ago."""
        for day in [day for day in self._days if day < now_ms // _DAY_MS - REPEAT_DAYS]:
            del self._days[day]


def _short(key: tuple[str, str]) -> bytes:
    return hashlib.blake2b(orjson.dumps(key), digest_size=16).digest()


def _bad(error: str, field: str | None) -> tuple[int, dict[str, Any]]:
    return 400, {"code": 400, "error": error, "missing_field": field}


def _drop_short(events: list[Any], shortest: int) -> None:
    """Remove ids of fewer than `shortest` characters, as Amplitude does; those that it refuses stay."""
    for event in events:
        for name in _IDS if isinstance(event, dict) else ():
            value = event.get(name)
            if isinstance(value, str) and len(value) < shortest and value.lower() not in JUNK_IDS:
                del event[name]


def _faults(events: list[Any]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The indexes of events at fault, by field: what is missing, what is invalid."""
    missing: dict[str, list[int]] = {}
    invalid: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        if not isinstance(event, dict):
            invalid.setdefault("events", []).append(index)
            continue
        if not isinstance(event.get("event_type"), str) or not event["event_type"]:
            missing.setdefault("event_type", []).append(index)
        ids = {name: event[name] for name in _IDS if event.get(name) is not None}
        for name, value in ids.items():
            if not isinstance(value, str) or value.lower() in JUNK_IDS:
                invalid.setdefault(name, []).append(index)
        if not ids:
            missing.setdefault("user_id", []).append(index)
        at = event.get("time")
        if at is not None and (isinstance(at, bool) or not isinstance(at, int)):
            invalid.setdefault("time", []).append(index)
    return missing, invalid


def _key(event: object) -> tuple[str, str] | None:
    """What makes an event a repeat; None when it has no insert id."""
    if not isinstance(event, dict) or not isinstance(event.get("insert_id"), str):
        return None
    return str(event.get("device_id")), event["insert_id"]


def _events(path: Path) -> Iterator[dict[str, Any]]:
    with guarded(path):
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                with suppress(orjson.JSONDecodeError):
                    event = orjson.loads(line)
                    if isinstance(event, dict):
                        yield event

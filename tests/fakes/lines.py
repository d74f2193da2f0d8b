"""Log entries as an instrumented app writes them."""

from __future__ import annotations

import json

from bridge.types import LogEntry, Stamp


def event_line(
    stamp: Stamp,
    session_id: object,
    device_id: str | None,
    message_id: str,
    name: str = "Opened",
    uid: int = 10123,
    pid: int = 4242,
) -> LogEntry:
    """A recommended `SegmentReplay/1` line of one track event."""
    event: dict[str, object] = {
        "type": "track",
        "event": name,
        "messageId": message_id,
        "anonymousId": device_id,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "properties": {},
        "integrations": {"Actions Amplitude": {"session_id": session_id}},
        "context": {"device": {"id": device_id}},
    }
    text = f"SegmentReplay/1 {message_id} 1/1 " + json.dumps(event)
    return entry(stamp, text, uid=uid, pid=pid)


def entry(stamp: Stamp, text: str, tag: str = "ReactNativeJS", uid: int = 10123, pid: int = 4242) -> LogEntry:
    return LogEntry(stamp, stamp.wall_ms * 1_000_000, pid, pid, uid, "I", tag, text)

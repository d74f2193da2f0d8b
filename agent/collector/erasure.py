"""Erasing from what a collector keeps beside its segments: analytics events and interactions, a JSON line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import orjson

from agent.collector.app import INTERACTIONS
from agent.collector.ingest import FILE as EVENTS
from agent.store.disk import erase_lines, guarded
from agent.store.replays import Key, Who


def events(folder: Path, who: Who, replays: Set[Key]) -> Iterator[Mapping[str, Any]]:
    """The analytics events that `who` means or that belong to these replays. Raises StorageError."""
    file = folder / EVENTS
    with guarded(file):
        if not file.exists():
            return
        with file.open("rb") as lines:
            for line in lines:
                event = _object(line)
                if event is not None and _meant(event, who, replays):
                    yield event


def erase(folder: Path, who: Who, replays: Set[Key]) -> tuple[int, int]:
    """Erase what `who` means or what belongs to these replays; the numbers of lines and of bytes.

    The caller holds the folder's lock. Lines that cannot be read go, too: nobody reads them, and they may hold what is
    meant. Raises StorageError.
    """

    def gone(line: bytes) -> bool:
        row = _object(line)
        return row is None or _meant(row, who, replays)

    def unnamed(line: bytes) -> bool:
        row = _object(line)
        return row is not None and _user(row) != who.user and _meant(row, who, replays)

    # What names the user goes last: a run that was interrupted finds the rest by it.
    found = [erase_lines(folder / name, unnamed, gone) for name in (EVENTS, INTERACTIONS)]
    return sum(lines for lines, _ in found), sum(size for _, size in found)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _meant(row: Mapping[str, Any], who: Who, replays: Set[Key]) -> bool:
    device, session, user = row.get("device_id"), row.get("session_id"), _user(row)
    if isinstance(device, str) and isinstance(session, int) and (device, session) in replays:
        return True
    return bool(who) and who.device in (None, device) and who.session in (None, session) and who.user in (None, user)


def _user(row: Mapping[str, Any]) -> object:
    """The user id of an event; one that is a number as its text, as people ask for it."""
    user = row.get("user_id")
    return str(user) if isinstance(user, int) and not isinstance(user, bool) else user

"""Which replays a recording holds, and of whom: by device id, session id, and the user ids that its events show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from agent.errors import RecordingError
from agent.model import SegmentManifest
from agent.store.recording import Problem, Recording

Key = tuple[str, int]
_EVENT = "segment:"


@dataclass(frozen=True, slots=True)
class Who:
    """What is meant: all that is given must hold; nothing given means everything."""

    device: str | None = None
    session: int | None = None
    user: str | None = None

    def __bool__(self) -> bool:
        return (self.device, self.session, self.user) != (None, None, None)

    def means(self, key: Key, users: Iterable[str]) -> bool:
        """Whether it means a replay in which these users' ids stand."""
        return (
            self.device in (None, key[0])
            and self.session in (None, key[1])
            and (self.user is None or self.user in users)
        )


@dataclass(slots=True)
class Replay:
    """One replay of a recording: its segments in order, the user ids that its Segment events show, and which segments
    have events that cannot be read."""

    key: Key
    segments: list[SegmentManifest] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    unread: list[Problem] = field(default_factory=list)


def replays(recording: Recording) -> dict[Key, Replay]:
    """The replays of the readable segments. A segment whose events are damaged shows no users. Raises StorageError."""
    found: dict[Key, Replay] = {}
    for manifest in recording.manifests():
        replay = found.setdefault(manifest.key, Replay(manifest.key))
        replay.segments.append(manifest)
        try:
            replay.users |= users(recording.events(manifest.id))
        except RecordingError as error:
            if recording.holds(manifest.id):
                replay.unread.append(Problem(f"{manifest.id}.jsonl", error.message))
            else:
                # A spool's, delivered since it was listed.
                replay.segments.pop()
    return {key: replay for key, replay in found.items() if replay.segments}


def users(lines: Iterable[bytes]) -> set[str]:
    """The user ids that the Segment events among rrweb events show."""
    found = (event.get("userId") for event in tracked_in(lines))
    return {str(user) for user in found if isinstance(user, str | int) and not isinstance(user, bool)}


def tracked(recording: Recording, segment_id: str) -> Iterator[Mapping[str, Any]]:
    """The Segment events of a segment: their payloads with `kind` and `at_ms`. Raises RecordingError when damaged."""
    return tracked_in(recording.events(segment_id))


def tracked_in(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """The same of rrweb events."""
    for line in lines:
        if b'"' + _EVENT.encode() not in line:
            continue
        try:
            event = orjson.loads(line)
            tag, payload = event["data"]["tag"], event["data"]["payload"]
            if isinstance(tag, str) and tag.startswith(_EVENT) and isinstance(payload, dict):
                yield {**payload, "kind": tag.removeprefix(_EVENT), "at_ms": int(event["timestamp"])}
        except (KeyError, TypeError, ValueError):
            # Another client's event: whatever it says, it is none of ours.
            continue

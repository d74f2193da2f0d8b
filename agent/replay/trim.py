"""A replay segment cut to a stretch of time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from agent.model import NO_COST, Counts, Picture, SealedSegment
from agent.replay import rrweb
from agent.replay.flattening import Flattener, Seen
from agent.replay.playback import Change, Playback
from agent.replay.rrweb import CONSOLE, TOUCH
from agent.replay.segment import closed

_PICTURE = re.compile(rb'"picture:([0-9a-f]{32})"')


def trim(segment: SealedSegment, from_ms: int, to_ms: int, seen: Seen | None = None) -> SealedSegment | None:
    """What the segment tells of from `from_ms` to `to_ms` (epoch ms, both inside); None when that is nothing.

    It opens with all that the screen showed at `from_ms`, and with nothing that this hides: `seen` is what the stretch
    has shown in segments before this one. It is the segment itself when all of it lies inside. Its counts are those of
    what is left in it; what it cost and what was lost is told by the whole alone.
    """
    m = segment.manifest
    if m.start_ms >= from_ms and m.end_ms <= to_ms:
        return _clean(segment, seen)
    if m.end_ms < from_ms or m.start_ms > to_ms or from_ms > to_ms:
        return None
    playback = Playback()
    kept: list[tuple[int, bytes]] = []
    for line in segment.events:
        event = orjson.loads(line)
        at = int(event["timestamp"])
        if at < from_ms or not playback.opened:
            playback.feed(event)
        elif at <= to_ms and not _ends(event):
            kept.append((at, line))
    start_ms, end_ms = max(m.start_ms, from_ms), min(m.end_ms, to_ms)
    if start_ms > m.start_ms:
        lines = [(event["timestamp"], rrweb.dumps(event)) for event in playback.opening(start_ms)]
        lines += [_not_before(start_ms + 1, *event) for event in kept]
    else:
        lines = [(orjson.loads(line)["timestamp"], line) for line in segment.events[:2]] + kept
    lines, pictures = _flattened(segment, lines, seen)
    manifest = replace(
        m,
        id="",
        start_ms=start_ms,
        end_ms=max(end_ms, *(at for at, _ in lines)) + (end_ms < m.end_ms),
        reason="cut" if end_ms < m.end_ms else m.reason,
        counts=_counts(orjson.loads(line) for _, line in lines),
        pictures=tuple(pictures),
        losses=(),
        cost=NO_COST,
    )
    return closed(manifest, lines, pictures)


def _clean(segment: SealedSegment, seen: Seen | None) -> SealedSegment:
    """The whole segment, without what lies hidden in it from before the stretch."""
    events = [(orjson.loads(line), line) for line in segment.events]
    lines = [(int(event["timestamp"]), line) for event, line in events if not _ends(event)]
    clean, pictures = _flattened(segment, lines, seen)
    if clean == lines:
        return segment
    return closed(replace(segment.manifest, id="", pictures=tuple(pictures)), clean, pictures)


def _flattened(
    segment: SealedSegment, lines: Iterable[tuple[int, bytes]], seen: Seen | None
) -> tuple[list[tuple[int, bytes]], dict[str, Picture]]:
    """The lines without what is hidden beneath the pictures, and the pictures that they name."""

    def load(digest: str) -> bytes | None:
        picture = segment.pictures.get(digest)
        return None if picture is None else picture.data

    flattener = Flattener(load, seen)
    clean: list[tuple[int, bytes]] = []
    for at, line in lines:
        event = orjson.loads(line)
        told = flattener.feed(event)
        clean.append((at, line if told is event else rrweb.dumps(told)))
    named = {digest.decode() for _, line in clean for digest in _PICTURE.findall(line)}
    everything = {**segment.pictures, **flattener.made}
    return clean, {digest: picture for digest, picture in everything.items() if digest in named}


def _not_before(least_ms: int, at_ms: int, line: bytes) -> tuple[int, bytes]:
    if at_ms >= least_ms:
        return at_ms, line
    return least_ms, rrweb.dumps({**orjson.loads(line), "timestamp": least_ms})


def _ends(event: Mapping[str, Any]) -> bool:
    return bool(event["type"] == 5 and event["data"].get("tag") == "end")


def _counts(events: Iterable[Mapping[str, Any]]) -> Counts:
    playback, counts = Playback(), Counts()
    for event in events:
        change, data = playback.feed(event), event["data"]
        tag, plugin = data.get("tag", ""), data.get("plugin", "")
        counts = replace(
            counts,
            frames=counts.frames + bool(change & Change.PICTURE),
            hierarchies=counts.hierarchies + bool(change & Change.VIEWS),
            touches=counts.touches + (bool(change & Change.FINGERS) and plugin != TOUCH),
            events=counts.events + tag.startswith("segment:"),
            logs=counts.logs + (plugin == CONSOLE),
            gaps=counts.gaps + (tag == "gap"),
            blocked=counts.blocked + (tag == "mask" and bool(data["payload"].get("blocked"))),
        )
    return counts

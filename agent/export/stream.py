"""The rrweb events of a part of a recording, segment after segment, in one order of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from agent.errors import RecordingError
from agent.export.part import Part
from agent.model import Picture, SegmentManifest
from agent.replay import rrweb
from agent.replay.flattening import Flattener, Seen
from agent.replay.playback import Playback
from agent.replay.rrweb import Event
from agent.replay.validator import misshapen
from agent.store.recording import Recording

# What nobody wants to sit through, and what is left of it: as in the viewer. An unmodified player that skips inactivity
# overshoots anything longer.
LONG_MS = 60_000
SHORT_MS = 3_000
_PICTURE = "picture:"


class Stream:
    """Iterating gives the events with their true times, pictures as references; `load` gives a picture's bytes.

    Every segment brings its Meta and its full snapshot; one that begins while another still lasts begins after it. A
    segment that cannot be read leaves a `gap` event in its place and a sentence in `problems`. Events that are none of
    rrweb are left out, and a `gap` event of no length behind their segment says so, as a sentence in `notes` does.
    """

    def __init__(self, recording: Recording, part: Part) -> None:
        self._recording = recording
        self._part = part
        self._pictures: dict[str, Picture] = {}
        self._before: dict[str, Picture] = {}
        self._last_ms = 0
        self._absent: set[str] = set()
        self.problems: list[str] = []
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Event]:
        part = self._part
        missing: list[Event] = []
        end: Event | None = None
        opened = False
        self._last_ms, self._absent, self.problems, self.notes = 0, set(), [], []
        seen = Seen()
        for manifest in part.segments:
            try:
                events, pictures, strange = self._read(manifest)
            except RecordingError as error:
                self.problems.append(error.message)
                missing.append(_gap(manifest, part))
            else:
                if strange:
                    self.notes.append(f"{len(strange)} events of segment {manifest.id} are left out ({strange[0]}).")
                    missing.append(_left_out(manifest, part, strange))
                self._before, self._pictures = self._pictures, pictures
                for event in self._cut(events, seen):
                    if end is not None:
                        yield self._next(end)
                        end = None
                    if is_end(event):
                        # Kept: nothing but the next segment comes after it.
                        end = event
                        continue
                    yield self._next(event)
                    opened = opened or event["type"] == 2
            for gap in missing if opened else ():
                yield self._next(gap)
            missing = [] if opened else missing
        if opened:
            payload = {"session_id": part.session_id, "device_id": part.device_id, "reason": "export"}
            yield self._next(end or rrweb.custom(part.to_ms, "end", payload))

    def load(self, source: str) -> bytes:
        """The encoded picture that a `src` of a recent event names. Empty when none is stored by that name, which
        `problems` then say once."""
        picture = self.picture(source.removeprefix(_PICTURE))
        if picture is not None:
            return picture.data
        told = f"{self._recording.shown}: an event shows {source[:60]!r}, which is not stored."
        if told not in self._absent:
            self._absent.add(told)
            self.problems.append(told)
        return b""

    def picture(self, digest: str) -> Picture | None:
        """A picture of a recent event: of the segment that is played, or of the one before."""
        return self._pictures.get(digest) or self._before.get(digest)

    def _read(self, manifest: SegmentManifest) -> tuple[list[Event], dict[str, Picture], list[str]]:
        """The segment's events in order of time, as a player takes them, and its pictures, and of each event that is
        none of rrweb what it lacks. Raises RecordingError."""
        pictures = {digest: self._recording.picture(digest) for digest in manifest.pictures}
        events: list[Event] = []
        strange: list[str] = []
        for number, line in enumerate(self._recording.events(manifest.id)):
            try:
                event = _timed(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise RecordingError(f"Segment {manifest.id}: event {number} is not JSON: {error}.") from error
            wrong = misshapen(event)
            if not wrong:
                events.append(event)
            else:
                strange.append(f"event {number}: {wrong}")
        if not events:
            raise RecordingError(f"Segment {manifest.id}: no event in it is one of rrweb.")
        events.sort(key=lambda event: int(event["timestamp"]))
        if strange and [event["type"] for event in events[:2]] != [4, 2]:
            # Its changes would be played on the document before.
            raise RecordingError(f"Segment {manifest.id}: its document cannot be read ({strange[0]}).")
        return events, pictures, strange

    def _cut(self, events: Iterable[Event], seen: Seen) -> Iterator[Event]:
        """The events of the wanted time; what the screen shows when it begins comes first, set to that time, and
        nothing that it hides."""
        part = self._part
        flattener = Flattener(self._data, seen)
        before: Playback | None = Playback()
        begun = False
        for event in events:
            at = event["timestamp"]
            if before is not None:
                if at < part.from_ms or (begun and not before.opened):
                    before.feed(event)
                    begun = True
                    continue
                for opening in before.opening(part.from_ms):
                    yield self._flat(flattener, opening)
                before = None
            if at > part.to_ms:
                return
            yield self._flat(flattener, event)
        if before is not None:
            for opening in before.opening(part.from_ms):
                yield self._flat(flattener, opening)

    def _flat(self, flattener: Flattener, event: Event) -> Event:
        told = flattener.feed(event)
        self._pictures |= flattener.made
        return told

    def _data(self, digest: str) -> bytes | None:
        picture = self.picture(digest)
        return None if picture is None else picture.data

    def _next(self, event: Event) -> Event:
        opening = event["type"] in (2, 4)
        event["timestamp"] = self._last_ms = max(event["timestamp"], self._last_ms + (1 if opening else 0))
        return event


def shortened(events: Iterable[Event]) -> Iterator[Event]:
    """The events with each pause of more than LONG_MS played as SHORT_MS, and a `gap` event that says its length."""
    removed = 0
    held: Event | None = None
    for event in events:
        at = event["timestamp"]
        if held is not None:
            before = held["timestamp"]
            held["timestamp"] = before - removed
            # Nothing but the next segment comes after a segment's end.
            told = [rrweb.custom(before - removed, "gap", pause(before, at))] if at - before > LONG_MS else []
            yield from [*told, held] if is_end(held) else [held, *told]
            removed += at - before - SHORT_MS if told else 0
        held = event
    if held is not None:
        held["timestamp"] -= removed
        yield held


def pause(from_ms: int, to_ms: int) -> Mapping[str, Any]:
    """The payload of a `gap` event for a stretch in which nothing was recorded."""
    return {
        "stage": "recording",
        "reason": "nothing was recorded",
        "detail": f"played as {SHORT_MS / 1000:g} s",
        "from_ms": from_ms,
        "to_ms": to_ms,
        "ms": to_ms - from_ms,
    }


def is_end(event: Event) -> bool:
    return bool(event["type"] == 5 and event["data"].get("tag") == "end")


def _timed(event: Any) -> Any:
    """The event, its time in whole ms: other writers give fractions of one."""
    if isinstance(event, dict) and isinstance(at := event.get("timestamp"), float) and math.isfinite(at):
        event["timestamp"] = math.floor(at)
    return event


def _gap(manifest: SegmentManifest, part: Part) -> Event:
    from_ms, to_ms = max(manifest.start_ms, part.from_ms), min(manifest.end_ms, part.to_ms)
    payload = {
        "stage": "recording",
        "reason": "segment damaged",
        "detail": manifest.id,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "ms": max(0, to_ms - from_ms),
    }
    return rrweb.custom(from_ms, "gap", payload)


def _left_out(manifest: SegmentManifest, part: Part, strange: Sequence[str]) -> Event:
    at_ms = max(manifest.start_ms, part.from_ms)
    payload = {
        "stage": "recording",
        "reason": "events left out",
        "detail": f"{len(strange)} of {manifest.id} that are none of rrweb, the first is {strange[0]}",
        "from_ms": at_ms,
        "to_ms": at_ms,
        "ms": 0,
    }
    return rrweb.custom(at_ms, "gap", payload)

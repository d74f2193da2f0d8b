"""A ring of the last seconds of one device, in memory, of which only what is around a trigger is kept."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.errors import ConfigError
from agent.model import Happening, Marker, SealedSegment, SegmentEvent
from agent.replay.flattening import Seen
from agent.replay.recorder import Item
from agent.replay.trim import trim
from bridge.types import LogEntry, Stamp

log = logging.getLogger(__name__)

# What is told of a moment comes this much later at most: a relay's events do.
LATE_MS = 40_000
# A ring is not to fill the memory of a host with many phones.
MAX_BYTES = 64_000_000
KINDS = "crash, error, event:NAME, signal"
_CRASHES = frozenset(("crash", "anr"))


@dataclass(frozen=True, slots=True)
class Triggers:
    """What makes a ring keep: the app's crash or hang, an error that it logs, events of these names, a signal."""

    crash: bool = False
    error: bool = False
    events: frozenset[str] = frozenset()
    signal: bool = False

    @classmethod
    def parse(cls, words: tuple[str, ...]) -> Triggers:
        """`crash`, `error`, `event:NAME` and `signal`. Raises ConfigError."""
        for word in words:
            if word not in ("crash", "error", "signal") and not (word.startswith("event:") and word[6:]):
                raise ConfigError(f"{word!r} is nothing to keep on.", f"Known: {KINDS}.")
        events = frozenset(word[6:] for word in words if word.startswith("event:"))
        return cls("crash" in words, "error" in words, events, "signal" in words)

    def met(self, item: Item) -> Stamp | None:
        """When it was, if it is one. A marker counts as a signal: somebody says that this moment matters."""
        if isinstance(item, Happening):
            return item.stamp if self.crash and item.kind in _CRASHES else None
        if isinstance(item, LogEntry):
            return item.stamp if self.error and item.level in ("E", "F") else None
        if isinstance(item, SegmentEvent):
            return item.stamp if item.name in self.events else None
        return item.stamp if isinstance(item, Marker) and self.signal else None


@dataclass(slots=True)
class _Held:
    """A segment, and the stretches of it that were not kept so far (epoch ms, both inside)."""

    sealed: SealedSegment
    left: list[tuple[int, int]]


class Ring:
    """Holds sealed segments until they are too old, and hands what lies within `seconds` around a trigger to `keep`.

    Nothing else leaves the memory. `hear` and `take` belong to the stage's thread, `trigger` to any.
    """

    def __init__(self, seconds: float, triggers: Triggers, keep: Callable[[SealedSegment], None]) -> None:
        self._ms = round(seconds * 1000)
        self._triggers = triggers
        self._keep = keep
        self._held: deque[_Held] = deque()
        self._bytes = 0
        # What is to be kept, apart from each other, and may reach into segments that are still open.
        self._wanted: deque[tuple[int, int]] = deque()
        self._seen = Seen()
        self._lock = threading.Lock()
        self.triggered = 0

    def hear(self, item: Item) -> None:
        """What is recorded passes by; `take` is told the same in segments, later."""
        at = self._triggers.met(item)
        if at is not None:
            self.trigger(at)

    def trigger(self, at: Stamp) -> None:
        """Keep what is around this moment. Raises StorageError."""
        with self._lock:
            self.triggered += 1
            wanted = self._want(at.wall_ms - self._ms, at.wall_ms + self._ms)
            for held in self._held:
                self._release(held, *wanted)
            self._forget()

    def take(self, sealed: SealedSegment) -> None:
        """A segment is closed. Raises StorageError."""
        m = sealed.manifest
        with self._lock:
            held = _Held(sealed, [(m.start_ms, m.end_ms)])
            self._held.append(held)
            self._bytes += m.bytes
            for wanted in self._wanted:
                self._release(held, *wanted)
            while self._bytes > MAX_BYTES and len(self._held) > 1:
                gone = self._held.popleft().sealed.manifest
                self._bytes -= gone.bytes
                log.warning("%s: the ring is full: it goes back %.0f s only", m.serial, (m.end_ms - gone.end_ms) / 1000)
            self._forget(m.end_ms - self._ms - LATE_MS)

    def _want(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        """The stretch with those that it meets: triggers follow each other closely, and a segment is not to be cut at
        each of them."""
        apart = []
        for begin, end in self._wanted:
            if begin <= to_ms + 1 and end >= from_ms - 1:
                from_ms, to_ms = min(begin, from_ms), max(end, to_ms)
            else:
                apart.append((begin, end))
        self._wanted = deque(sorted([*apart, (from_ms, to_ms)]))
        return from_ms, to_ms

    def _release(self, held: _Held, from_ms: int, to_ms: int) -> None:
        left: list[tuple[int, int]] = []
        for begin, end in held.left:
            piece = None
            if begin <= to_ms and end >= from_ms:
                piece = trim(held.sealed, max(begin, from_ms), min(end, to_ms), self._seen)
            if piece is None:
                left.append((begin, end))
                continue
            self._keep(piece)
            left += [part for part in ((begin, from_ms - 1), (to_ms + 1, end)) if part[0] <= part[1]]
        held.left = left

    def _forget(self, oldest_ms: int = 0) -> None:
        """Let go of what is kept, and of what no trigger can want any more."""
        held = [one for one in self._held if one.left and one.sealed.manifest.end_ms >= oldest_ms]
        self._held = deque(held)
        self._bytes = sum(one.sealed.manifest.bytes for one in held)
        while self._wanted and self._wanted[0][1] < oldest_ms:
            self._wanted.popleft()

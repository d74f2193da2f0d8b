"""Sessions that are too short to be worth keeping, told from those that are not yet known to be long enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.model import Draft, SealedSegment, SegmentManifest

# Sessions go back and forth around a rollover; one that has waited behind so many others is over.
MAX_WAITING = 4


@dataclass(slots=True)
class _Waiting:
    start_ms: int
    end_ms: int
    items: list[SealedSegment | Draft] = field(default_factory=list)


class Least:
    """Hands on what belongs to sessions that were recorded for `seconds()`, all of it and in order; the rest waits, in
    memory, and is lost with this process. What an open segment told by and by goes when it is sealed.

    `short` hears how often a session was left out for good. One thread at a time, the stage's.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        keep: Callable[[SealedSegment], None],
        append: Callable[[Draft], object],
        short: Callable[[], None],
    ) -> None:
        self._seconds = seconds
        self._keep = keep
        self._append = append
        self._short = short
        self._waiting: dict[tuple[int, str], _Waiting] = {}
        self._long: set[tuple[int, str]] = set()

    def keep(self, sealed: SealedSegment) -> None:
        """A segment is closed."""
        self._take(sealed, sealed.manifest)

    def append(self, draft: Draft) -> None:
        """An open segment has grown."""
        self._take(draft, draft.manifest)

    def finish(self) -> None:
        """Nothing more comes: what is too short by now stays so."""
        for key in [*self._waiting]:
            self._judge(key)
        while self._waiting:
            self._leave_out()

    def _take(self, item: SealedSegment | Draft, m: SegmentManifest) -> None:
        key = m.session_id, m.device_id
        if key in self._long:
            self._pass(item)
            return
        held = self._waiting.setdefault(key, _Waiting(m.start_ms, m.end_ms))
        held.start_ms, held.end_ms = min(held.start_ms, m.start_ms), max(held.end_ms, m.end_ms)
        if isinstance(item, SealedSegment):
            # All that its drafts told is in it.
            held.items = [one for one in held.items if one.manifest.seq != m.seq]
        held.items.append(item)
        self._judge(key)
        while len(self._waiting) > MAX_WAITING:
            self._leave_out()

    def _judge(self, key: tuple[int, str]) -> None:
        """Hand on what waits of a session that is long enough."""
        held = self._waiting[key]
        if held.end_ms - held.start_ms >= round(self._seconds() * 1000):
            del self._waiting[key]
            self._long.add(key)
            for one in held.items:
                self._pass(one)

    def _pass(self, item: SealedSegment | Draft) -> None:
        if isinstance(item, Draft):
            self._append(item)
        else:
            self._keep(item)

    def _leave_out(self) -> None:
        del self._waiting[next(iter(self._waiting))]
        self._short()

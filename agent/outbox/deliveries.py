"""What is queued for whom, by segment id: out of the ledger's rows and into them, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.model import SegmentManifest
from agent.outbox.ledger import Row

# A host without a clock of its own counts from 1970 until it is told the time.
_EARLIEST_MS = 1_600_000_000_000


@dataclass(slots=True)
class Delivery:
    """A segment on its way to one sink; `not_before` is on the monotonic clock. `failed` = a try of this process was in
    vain."""

    state: Literal["open", "claimed", "acked", "rejected"] = "open"
    attempts: int = 0
    not_before: float = 0.0
    asked: bool = False
    failed: bool = False
    reason: str = ""


@dataclass(slots=True)
class Entry:
    """A segment in the queue. `session` is what its deliveries to one sink must not overtake each other in; `planned`
    = it was to be written, and nobody said that it was; `since` = when this process put it, in seconds of a clock that
    nobody sets, None for what was there before."""

    session: tuple[str, int]
    size: int
    sinks: dict[str, Delivery] = field(default_factory=dict)
    at_ms: int = 0
    planned: bool = False
    since: float | None = None

    @property
    def finished(self) -> bool:
        """Nobody needs it any more. An orphan has no sinks and is not finished."""
        return bool(self.sinks) and all(delivery.state == "acked" for delivery in self.sinks.values())

    @property
    def hopeless(self) -> bool:
        """Every sink that has not had it failed or refused, or there is none. Its age alone says nothing of that: the
        clock that it was put by may have been behind, and the network may be back."""
        left = [delivery for delivery in self.sinks.values() if delivery.state != "acked"]
        return all(delivery.state == "rejected" or (delivery.state == "open" and delivery.failed) for delivery in left)


class Entries(dict[str, Entry]):
    """By segment id, oldest first; `size` is the bytes of all. They come by item assignment and go by `del`."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __setitem__(self, name: str, entry: Entry) -> None:
        if name in self:
            self.size -= self[name].size
        super().__setitem__(name, entry)
        self.size += entry.size

    def __delitem__(self, name: str) -> None:
        self.size -= self[name].size
        super().__delitem__(name)


def replay(rows: Iterable[Row], stored: Mapping[str, SegmentManifest], now_ms: int) -> tuple[Entries, set[str]]:
    """The entries that a ledger's rows leave, and the segments that nobody needs any more."""
    entries = Entries()
    finished: set[str] = set()
    for row in rows:
        _replay(row, entries, stored, finished, now_ms)
    return entries, finished


def _replay(row: Row, entries: Entries, stored: Mapping[str, SegmentManifest], finished: set[str], now_ms: int) -> None:
    if row.op == "put":
        manifest = stored.get(row.segment)
        session = ("", 0) if manifest is None else manifest.key
        finished.discard(row.segment)
        at_ms = row.at_ms if row.at_ms >= _EARLIEST_MS else now_ms
        sinks = {sink: Delivery() for sink in row.sinks}
        entries[row.segment] = Entry(session, row.size, sinks, at_ms, row.planned)
        return
    if row.op == "expire":
        if row.segment in entries:
            del entries[row.segment]
            finished.add(row.segment)
        return
    entry = entries.get(row.segment)
    delivery = entry.sinks.get(row.sinks[0]) if entry is not None and row.sinks else None
    if entry is None or delivery is None:
        return
    delivery.attempts, delivery.reason = max(row.attempts, delivery.attempts), row.reason
    if row.op == "retry" and delivery.state == "rejected":
        delivery.state = "open"
    elif row.op == "ack":
        delivery.state = "acked"
    elif row.op == "reject":
        delivery.state = "rejected"
    if entry.finished:
        finished.add(row.segment)
        del entries[row.segment]


def rows_of(entries: Mapping[str, Entry]) -> Iterator[Row]:
    """The fewest rows that make these entries. An orphan has none."""
    for name, entry in entries.items():
        if not entry.sinks:
            continue
        yield Row("put", name, tuple(entry.sinks), entry.size, at_ms=entry.at_ms)
        for sink, delivery in entry.sinks.items():
            if delivery.attempts:
                yield Row("retry", name, (sink,), attempts=delivery.attempts, reason=delivery.reason)
            if delivery.state == "acked":
                yield Row("ack", name, (sink,))
            elif delivery.state == "rejected":
                yield Row("reject", name, (sink,), reason=delivery.reason)


def waits(name: str, delivery: Delivery, sink: str | None) -> bool:
    """Whether a delivery to the sink `name` is still to be made, and is to `sink` (None = any)."""
    return delivery.state in ("open", "claimed") and sink in (None, name)


def due(entries: Mapping[str, Entry], sink: str, now: float) -> str | None:
    """The segment whose turn it is at a sink; None when it is nobody's."""
    held: set[tuple[str, int]] = set()
    found: list[tuple[int, str]] = []
    for name, entry in entries.items():
        delivery = entry.sinks.get(sink)
        if delivery is None or delivery.state in ("acked", "rejected") or entry.session in held:
            continue
        if delivery.state == "open" and delivery.not_before <= now:
            if delivery.attempts == 0:
                return name
            found.append((delivery.attempts, name))
        held.add(entry.session)
    # Least often first: one that fails each time must not be first in line each time.
    return min(found, key=lambda one: one[0])[1] if found else None


def next_due(entries: Mapping[str, Entry], sink: str, now: float) -> float:
    """When to look again, if nothing changes before."""
    waiting = (entry.sinks[sink] for entry in entries.values() if sink in entry.sinks)
    times = [delivery.not_before for delivery in waiting if delivery.state == "open" and delivery.not_before > now]
    return min(times, default=float("inf"))

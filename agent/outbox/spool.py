"""A durable queue of sealed segments, one delivery per (segment, sink).

    lock                 held by the one process that uses the folder
    ledger.jsonl         what was put for which sinks, what became of each delivery (agent.outbox.ledger)
    receipts.jsonl       what the sinks answered (agent.outbox.receipts)
    queue/               the segments, as a recording
    drafts/              what was appended to segments that are still open (agent.outbox.journal)

Invariants. For which sinks a segment is, is durable before it: in its draft, else in a `planned` row. The segment is
durable before its `put` row, the row before `put` returns. A segment leaves the queue only after the row that completes
its deliveries is durable. A crash between two of these steps leaves one of: a segment without a `put` row (it is put at
open for those sinks; where nothing tells them any more it is an orphan, and `adopt` gives it to the sinks of the next
run), a completed one still in the queue (removed at open), a row without `ack` (delivered again, under the same id). A
rejected delivery keeps its segment.
A draft goes once the row of its segment is durable; one that is left at open had a recorder that ended without sealing
it, and is sealed then. What waits for longer than the age limit and fails once more is deleted, the receipt and the row
of that first; never at open, before anything was tried. A full disk keeps a spool neither from being opened nor from
being drained: what its ledger lacks then is written once there is room (`agent.outbox.recovery`).
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.errors import RecordingError, StorageDenied, StorageError, StorageFull
from agent.model import Draft, Loss, SealedSegment
from agent.outbox import journal
from agent.outbox.deliveries import Delivery, Entry, due, next_due, rows_of, waits
from agent.outbox.journal import Journal
from agent.outbox.ledger import Ledger, Row
from agent.outbox.receipts import Receipt, Receipts
from agent.outbox.recovery import Found, recover
from agent.replay.segment import draft_id, recovered
from agent.store import disk
from agent.store.disk import Fit, FolderLock, guarded, make_folder
from agent.store.recording import Recording, Unreadable

log = logging.getLogger(__name__)

BUDGET_BYTES = 4_000_000_000
# What is left free on the disk for others, and for the rows and receipts that draining needs.
RESERVE_BYTES = 50_000_000
KEEP_SECONDS = 72 * 3600.0
EXPIRY_SECONDS = 60.0
# By so much no clock drifts meanwhile: it was set.
SET_MS = 60_000
# By how many rows at least the ledger grows before it is written anew: some three megabytes.
LEDGER_ROWS = 20_000
DISK_SECONDS = 5.0
# What may wait in memory until a full disk has room again.
HELD_BYTES = 64_000_000
SPOOLS = 256


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `Spool` found at open: a torn last row, damaged rows, rows whose segment is gone, segments without a row;
    open segments that it sealed, those that it could not and that stay, and those of which nothing whole was left."""

    torn: bool = False
    damaged: int = 0
    lost: int = 0
    orphans: int = 0
    sealed: int = 0
    unsealed: int = 0
    discarded: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A delivery that will not be tried again; its segment stays in the spool."""

    segment: str
    sink: str
    reason: str


class Spool:
    """The queue. Any thread may call; the sinks' threads claim, the recorder's puts."""

    def __init__(
        self,
        folder: Path,
        budget: int = BUDGET_BYTES,
        keep_seconds: float = KEEP_SECONDS,
        reserve: int = RESERVE_BYTES,
    ) -> None:
        """Opens and recovers the folder, made when needed. Raises StorageError.

        `budget` is in bytes, `reserve` what stays free on the disk. What has waited for longer than `keep_seconds` is
        deleted when it fails once more; 0 = never.
        """
        self.folder = folder
        self._budget = budget
        self._reserve = reserve
        self._keep_seconds = keep_seconds
        self._changed = threading.Condition()
        self._reserved = 0
        # Of what is on its way into the queue, as the ledger has it.
        self._planned: dict[str, Row] = {}
        # A file that should be gone could not be removed: rows that are done with tell of it.
        self._untidy = False
        self._next_expiry = 0.0
        self._losses: Counter[str] = Counter()
        self._held: deque[tuple[SealedSegment, tuple[str, ...]]] = deque()
        self._storing = threading.Lock()
        self._troubled = False
        # What was deleted for its age since this process opened the folder, oldest first.
        self.expired: list[Receipt] = []
        # How many segments found no room, neither on the disk nor in memory.
        self.dropped = 0
        make_folder(folder)
        with ExitStack() as undo:
            self._lock = FolderLock(folder / "lock")
            undo.callback(self._lock.close)
            self._queue = Recording.create(folder / "queue")
            self._journal = Journal(folder)
            found = recover(folder, self._queue, self._journal, _now_ms())
            self._entries, self._notes = found.entries, found.notes
            # A full disk did not take rows: the ledger is to be written anew once it has room.
            self._behind = found.undone is not None
            self._ledger = Ledger(folder)
            undo.callback(self._ledger.close)
            self._receipts = Receipts(folder)
            undo.callback(self._receipts.close)
            self.recovery = self._seal_drafts(found)
            undo.pop_all()

    def append(self, draft: Draft, sinks: Iterable[str]) -> bool:
        """Keep what was written into an open segment, so that it outlives this process; `put` of the segment ends it.

        False when there is no room or the disk refuses it: that is told once, and it is written with the next append.
        """
        try:
            self._journal.append(draft, tuple(sinks), check=self._check)
        except StorageError as error:
            self._trouble(error)
            return False
        if self._held:
            self._store()
        return True

    def keep(self, sealed: SealedSegment, sinks: Iterable[str]) -> None:
        """As `put`, but what a full or failing disk refuses waits in memory and is tried again.

        Of what is more than HELD_BYTES the oldest is lost, and counted. Raises StorageDenied, RecordingError.
        """
        self._held.append((sealed, tuple(sinks)))
        self._store()

    def unstored(self) -> int:
        """How many segments wait in memory, after a last try. Raises StorageDenied, RecordingError."""
        self._store()
        return len(self._held)

    def lost(self) -> int:
        """How many segments found no room: dropped, and in memory alone after a last try. Raises as `unstored`."""
        return self.unstored() + self.dropped

    def miss(self, what: Mapping[str, int]) -> None:
        """So many segments are missing, by reason."""
        with self._changed:
            self._losses.update(what)

    def take_losses(self) -> tuple[Loss, ...]:
        """What was given up since the last call, to be told in a manifest."""
        with self._changed:
            losses = tuple(Loss("spool", reason, count) for reason, count in sorted(self._losses.items()))
            self._losses.clear()
            return losses

    def put(self, sealed: SealedSegment, sinks: Iterable[str]) -> None:
        """Queue a segment for `sinks` (at least one); durable on return. One that is queued already is left as it is.

        Raises StorageFull when it would pass the budget or the disk is full, other StorageError when the disk fails.
        """
        name, wanted = sealed.manifest.id, tuple(dict.fromkeys(sinks))
        if not wanted:
            raise ValueError("a segment is put for at least one sink")
        size, draft = _size(sealed), draft_id(sealed.manifest)
        try:
            with self._changed:
                if name in self._entries:
                    return
                # Its draft goes when it comes.
                self._check_budget(size, self._journal.size(draft))
                self._reserved += size
            try:
                self._check_room(size)
                self._enqueue(sealed, wanted, size)
            finally:
                with self._changed:
                    self._reserved -= size
        except StorageError:
            # Whoever holds the segment has all of it; if they are killed, its draft is what the next to open has.
            self._journal.park(draft)
            raise

    def adopt(self, sinks: Iterable[str]) -> int:
        """Queue the orphans for these sinks; returns how many there were. Raises StorageError."""
        wanted = tuple(sinks)
        with self._changed:
            orphans = [(name, entry) for name, entry in self._entries.items() if not entry.sinks]
            for name, entry in orphans:
                self._append(Row("put", name, wanted, entry.size, at_ms=entry.at_ms), sync=True)
                entry.sinks = {sink: Delivery() for sink in wanted}
            self._changed.notify_all()
            return len(orphans)

    def claim(self, sink: str) -> SealedSegment | None:
        """The segment to try now at this sink, None when there is none: the oldest of those that failed least often.

        Segments of one session go one after the other, so one that waits for its retry holds its session back, but no
        other. A segment that is damaged is rejected on the way, one that the disk does not give now waits. The claim
        ends with ack, reject or retry.
        """
        while True:
            with self._changed:
                if time.monotonic() >= self._next_expiry:
                    self._expire()
                name = due(self._entries, sink, time.monotonic())
                if name is None:
                    return None
                self._entries[name].sinks[sink].state = "claimed"
            try:
                return self._queue.sealed(name)
            except Unreadable as error:
                self.retry(name, sink, DISK_SECONDS, error.message)
            except RecordingError as error:
                log.warning("segment %s cannot be sent: %s", name, error)
                self.reject(name, sink, error.message)

    def ack(self, segment: str, sink: str) -> None:
        """The sink has it. Raises StorageError."""
        with self._changed:
            entry = self._entries[segment]
            entry.sinks[sink].state = "acked"
            self._changed.notify_all()
            row = Row("ack", segment, (sink,))
            if not entry.finished:
                self._append(row, sync=False)
                return
            # Whatever the disk says, nothing is to be delivered any more.
            del self._entries[segment]
            with self._tidily():
                try:
                    self._ledger.append(row, sync=True)
                    self._queue.remove(segment)
                except StorageFull:
                    # Draining is what frees a full disk. A crash right here counts the segment as lost; it is not.
                    self._queue.remove(segment)
                    self._append(row, sync=True)
            if self._behind:
                self._tidy()

    def reject(self, segment: str, sink: str, reason: str) -> None:
        """The sink will never take it; the segment is kept. Raises StorageError."""
        with self._changed:
            delivery = self._entries[segment].sinks[sink]
            delivery.state, delivery.reason = "rejected", reason
            self._changed.notify_all()
            self._ledger.append(Row("reject", segment, (sink,), reason=reason), sync=True)

    def retry(self, segment: str, sink: str, after_s: float, reason: str, asked: bool = False) -> None:
        """Try again in `after_s` seconds; `asked` = the server wants it so, and `hurry` does not change that."""
        with self._changed:
            delivery = self._entries[segment].sinks[sink]
            delivery.state, delivery.reason, delivery.failed = "open", reason, True
            delivery.attempts += 1
            delivery.not_before, delivery.asked = time.monotonic() + after_s, asked
            self._changed.notify_all()
            # Only the count of attempts depends on this row.
            with suppress(StorageError):
                self._ledger.append(
                    Row("retry", segment, (sink,), attempts=delivery.attempts, reason=reason), sync=False
                )

    def release(self, segment: str, sink: str) -> None:
        """Nothing came of a claim, through nobody's fault: it is due as before."""
        with self._changed:
            self._entries[segment].sinks[sink].state = "open"
            self._changed.notify_all()

    def reopen(self) -> int:
        """Make what was rejected due once more; returns how many deliveries. Raises StorageError."""
        count = 0
        with self._changed:
            for name, entry in self._entries.items():
                for sink, delivery in entry.sinks.items():
                    if delivery.state == "rejected":
                        delivery.attempts = max(1, delivery.attempts)
                        row = Row("retry", name, (sink,), attempts=delivery.attempts, reason=delivery.reason)
                        self._append(row, sync=False)
                        delivery.state, delivery.not_before, delivery.asked, delivery.failed = "open", 0.0, False, False
                        count += 1
            self._changed.notify_all()
        return count

    def redirect(self, sinks: Iterable[str]) -> None:
        """Deliver what is queued to these sinks (at least one) instead of those it was put for; not twice to one.

        Nothing may be claimed. A crash on a full disk leaves it as it was. Raises StorageError.
        """
        wanted = tuple(dict.fromkeys(sinks))
        with self._changed:
            for name, entry in self._entries.items():
                acked = {sink for sink, delivery in entry.sinks.items() if delivery.state == "acked"}
                left = tuple(sink for sink in wanted if sink not in acked)
                if left and set(left) != entry.sinks.keys() - acked:
                    self._append(Row("put", name, left, entry.size, at_ms=entry.at_ms), sync=True)
                    entry.sinks = {sink: Delivery() for sink in left}
            self._changed.notify_all()

    def replace(self, segment: str, copy: SealedSegment) -> None:
        """Deliver a redacted copy to the sinks that have not had the segment, whose bytes are destroyed.

        Nothing may be claimed. Raises StorageError; the next try finishes it.
        """
        name, size = copy.manifest.id, _size(copy)
        with self._changed, self._tidily():
            entry = self._entries[segment]
            left = tuple(sink for sink, delivery in entry.sinks.items() if delivery.state != "acked")
            if left:
                self._ledger.append(Row("put", name, left, size, at_ms=entry.at_ms), sync=True)
            self._queue.write(copy)
            sinks = {sink: Delivery() for sink in left}
            self._entries[name] = Entry(copy.manifest.key, size, sinks, entry.at_ms)
            del self._entries[segment]
            for sink in left:
                self._ledger.append(Row("ack", segment, (sink,)), sync=sink == left[-1])
            self._queue.destroy()
            self._changed.notify_all()

    def segments(self) -> dict[str, tuple[str, ...]]:
        """What is queued, and the sinks that have not had it; an orphan has none."""
        with self._changed:
            return {
                name: tuple(sink for sink, delivery in entry.sinks.items() if delivery.state != "acked")
                for name, entry in self._entries.items()
            }

    def key(self, segment: str) -> tuple[str, int]:
        """The device id and session id of a queued segment."""
        with self._changed:
            return self._entries[segment].session

    def sealed(self, segment: str) -> SealedSegment:
        """A queued segment. Raises RecordingError."""
        return self._queue.sealed(segment)

    def destinations(self) -> tuple[str, ...]:
        """The sinks that something is still to be delivered to."""
        with self._changed:
            waiting = (
                sink for entry in self._entries.values() for sink, at in entry.sinks.items() if waits(sink, at, None)
            )
            return tuple(dict.fromkeys(waiting))

    def hurry(self, sink: str) -> None:
        """Make what waits for a retry due now, except where the server asked for the wait."""
        with self._changed:
            for entry in self._entries.values():
                delivery = entry.sinks.get(sink)
                if delivery is not None and not delivery.asked:
                    delivery.not_before = 0.0
            self._changed.notify_all()

    def attempts(self, segment: str, sink: str) -> int:
        """How often the delivery failed so far."""
        with self._changed:
            return self._entries[segment].sinks[sink].attempts

    def pending(self, sink: str | None = None) -> int:
        """The number of deliveries still to be made, to one sink or to all."""
        with self._changed:
            return sum(
                1 for entry in self._entries.values() for name, at in entry.sinks.items() if waits(name, at, sink)
            )

    def rejections(self) -> tuple[Rejection, ...]:
        """What was rejected and is kept."""
        with self._changed:
            return tuple(
                Rejection(name, sink, delivery.reason)
                for name, entry in self._entries.items()
                for sink, delivery in entry.sinks.items()
                if delivery.state == "rejected"
            )

    def refused(self, sink: str) -> int:
        """How many deliveries to a sink were rejected, of this run and of earlier ones."""
        with self._changed:
            return sum(entry.sinks[sink].state == "rejected" for entry in self._entries.values() if sink in entry.sinks)

    @property
    def used(self) -> int:
        """Bytes of the budget in use: drafts, and events and pictures as put, one that two segments share twice."""
        with self._changed:
            return self._reserved + self._journal.size() + self._entries.size

    def note(self, receipt: Receipt) -> None:
        """Keep what a sink answered. A full disk loses the note, not the delivery."""
        with self._changed, suppress(StorageError):
            self._receipts.add(receipt)

    def wait(self, sink: str, timeout_s: float, stopped: Callable[[], bool]) -> None:
        """Block until something is due at the sink, `stopped()` holds (tell with `wake`), or the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not stopped():
                now = time.monotonic()
                if now >= deadline or due(self._entries, sink, now) is not None:
                    return
                self._changed.wait(min(deadline, next_due(self._entries, sink, now)) - now)

    def wait_drained(self, sinks: Iterable[str], timeout_s: float) -> bool:
        """Block until nothing is to be delivered to these sinks; False when the time is over first."""
        names = tuple(sinks)
        with self._changed:
            return self._changed.wait_for(lambda: not any(self.pending(name) for name in names), timeout_s)

    def wake(self) -> None:
        """Make every `wait` look at its `stopped` again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of the folder; idempotent. What is queued stays queued."""
        self._journal.close()
        with self._changed:
            self._ledger.close()
            self._receipts.close()
            self._lock.close()

    def _check(self, size: int) -> None:
        """Raises StorageFull when there is no room for so much more."""
        self._check_budget(size)
        self._check_room(size)

    def _check_budget(self, size: int, freed: int = 0) -> None:
        used = self.used
        if used - freed + size > self._budget:
            raise StorageFull(
                f"The spool {self.folder} holds {used} bytes, its budget is {self._budget}.",
                "Make its sinks reachable so that it drains, or delete what they rejected.",
            )

    def _check_room(self, size: int) -> None:
        """Raises StorageFull when the disk would be fuller than it may be."""
        with guarded(self.folder):
            free = shutil.disk_usage(self.folder).free
        if free - size < self._reserve:
            raise StorageFull(
                f"{free} bytes are free on the disk of {self.folder}; {self._reserve} are left to others.",
                "Free some space, or choose another folder.",
            )

    def _enqueue(self, sealed: SealedSegment, wanted: tuple[str, ...], size: int) -> None:
        """The segment, then its row, then its draft away, then let others see it. Raises StorageError."""
        name, draft = sealed.manifest.id, draft_id(sealed.manifest)
        try:
            with self._changed:
                known = self._planned.get(name)
                if not self._journal.holds(draft) and (known is None or known.sinks != wanted):
                    plan = Row("put", name, wanted, size, at_ms=_now_ms(), planned=True)
                    self._ledger.append(plan, sync=True)
                    self._planned[name] = plan
            self._queue.write(sealed)
            with self._changed:
                row = Row("put", name, wanted, size, at_ms=_now_ms(), draft=draft)
                self._ledger.append(row, sync=True)
                try:
                    self._journal.discard(draft)
                except StorageError as error:
                    # The row tells the next to open the folder that this draft is none any more.
                    self._untidy = True
                    self._trouble(error)
                sinks = {sink: Delivery() for sink in wanted}
                self._entries[name] = Entry(sealed.manifest.key, size, sinks, row.at_ms, since=_steady())
                self._planned.pop(name, None)
                self._changed.notify_all()
        except StorageError:
            try:
                self._queue.remove(name)
            except StorageError:
                self._untidy = True
            raise

    def _store(self) -> None:
        """Put what waits in memory, oldest first. Raises StorageDenied, RecordingError."""
        with self._storing:
            while self._held:
                sealed, sinks = self._held[0]
                try:
                    self.put(sealed, sinks)
                except (StorageDenied, RecordingError):
                    self._held.popleft()
                    raise
                except StorageError as error:
                    self._trouble(error)
                    break
                self._held.popleft()
                self._troubled = False
            while sum(_size(sealed) for sealed, _ in self._held) > HELD_BYTES:
                sealed, _ = self._held.popleft()
                log.error("segment %s is lost: there is no room for it on the disk, nor in memory", sealed.manifest.id)
                with self._changed:
                    self._planned.pop(sealed.manifest.id, None)
                    self.dropped += 1
                    self._losses["a segment, since the disk took nothing more"] += 1

    def _trouble(self, error: StorageError) -> None:
        if not self._troubled:
            self._troubled = True
            log.warning("%s %s Segments wait in memory until then.", error, error.hint)

    def _append(self, row: Row, sync: bool) -> None:
        """A row without which something is at worst delivered, or asked for, once more: what a full disk does not take
        is written when it has room. Raises other StorageErrors."""
        try:
            self._ledger.append(row, sync)
        except StorageFull:
            self._behind = True

    def _expire(self) -> None:
        """Delete what was put too long ago and cannot be delivered, once that is noted. Raises StorageError."""
        now_ms = _now_ms()
        self._next_expiry = time.monotonic() + EXPIRY_SECONDS
        self._date(now_ms)
        self._tidy()
        if not self._keep_seconds:
            return
        old_ms = now_ms - int(self._keep_seconds * 1000)
        for name, entry in list(self._entries.items()):
            if entry.at_ms > old_ms or not entry.hopeless:
                continue
            sinks = tuple(sink for sink, delivery in entry.sinks.items() if delivery.state != "acked")
            words = f"kept for {self._keep_seconds / 3600:g} hours without delivery, deleted"
            told = [Receipt(now_ms, name, sink, "expired", words) for sink in sinks or ("nobody",)]
            note = Row("expire", name, sinks, entry.size, reason=words, at_ms=entry.at_ms)
            try:
                for receipt in told:
                    self._receipts.add(receipt, sync=True)
                self._ledger.append(note, sync=True)
            except StorageFull:
                # Of what goes there is always a word; what is delivered makes room for it.
                break
            self.expired += told
            self._notes.append(note)
            del self._entries[name]
            self._losses[f"a segment, {words}"] += 1
            log.warning("segment %s: %s", name, words)
            with self._tidily():
                self._queue.remove(name)
        self._changed.notify_all()

    def _date(self, now_ms: int) -> None:
        """What this process put is as old as it is, whatever the clock said then: a host may boot days behind."""
        moved = False
        for entry in self._entries.values():
            if entry.since is not None:
                at_ms = now_ms - round((_steady() - entry.since) * 1000)
                if abs(at_ms - entry.at_ms) > SET_MS:
                    entry.at_ms, moved = at_ms, True
        if moved:
            # For the next process, too.
            self._ledger.grown += LEDGER_ROWS + 4 * len(self._entries)

    @contextmanager
    def _tidily(self) -> Iterator[None]:
        try:
            yield
        except StorageError:
            self._untidy = True
            raise

    def _tidy(self) -> None:
        """Leave out rows and receipts that nobody needs, once they are many; write what a full disk did not take."""
        if self._untidy:
            # Whoever opens the folder next sees to it.
            return
        try:
            if self._behind or self._ledger.grown > max(LEDGER_ROWS, 4 * len(self._entries)):
                self._ledger.rewrite([*self._notes, *rows_of(self._entries), *self._planned.values()])
                self._behind = False
            self._receipts.tidy()
        except StorageError as error:
            log.info("ledger and receipts stay as they are: %s", error)

    def _seal_drafts(self, found: Found) -> Recovery:
        """Seal what a recorder that is no more left open. Raises StorageError."""
        sealed = unsealed = discarded = 0
        for name, file in journal.drafts(self.folder).items():
            if found.undone is not None and name in found.undone:
                unsealed += 1
                continue
            opened = journal.read(file)
            if opened is None:
                # Nothing was ever appended to an empty one.
                discarded += _filled(file)
                self._journal.discard(name)
                continue
            segment = recovered(opened.manifest, opened.events, opened.pictures, opened.damaged)
            try:
                self._enqueue(segment, opened.sinks, _size(segment))
            except RecordingError as error:
                log.warning("the draft %s cannot be sealed: %s", file, error)
                unsealed += 1
            except StorageFull as error:
                # It stays, for whoever opens the folder when there is room.
                log.warning("the draft %s is not sealed now: %s", file, error)
                unsealed += 1
            else:
                sealed += 1
        recovery = Recovery(found.torn, found.damaged, found.lost, found.orphans, sealed, unsealed, discarded)
        if found.lost:
            # Where a full disk took no row of a delivery, that is what it looks like.
            self._losses["a queued segment that is gone, unless it was delivered from a full disk"] += found.lost
        if discarded:
            self._losses["an open segment of which nothing whole was left"] += discarded
        if recovery != Recovery():
            level = logging.WARNING if found.lost or found.damaged or unsealed or discarded else logging.INFO
            log.log(level, "the spool %s was not closed in order: %s", self.folder, recovery)
        return recovery


def open_free(
    folder: Path, sinks: Collection[str], budget: int = BUDGET_BYTES, keep_seconds: float = KEEP_SECONDS
) -> Spool:
    """A spool below `folder` (`1`, `2`, ...) that no other process uses: several may record at the same time.

    One with deliveries still to be made to `sinks` comes first, so that a later run finishes what an earlier one left.
    One that is full to nine tenths, or holds what goes elsewhere, comes last: here it would only be in the way, and be
    kept from who delivers it (`upload`). Raises StorageError when none can be opened.
    """

    missed: Counter[str] = Counter()

    def fit(spool: Spool) -> Fit:
        # Its next open knows nothing of what is gone, whether it is taken or not.
        missed.update({loss.reason: loss.count for loss in spool.take_losses()})
        if 10 * spool.used > 9 * budget:
            return "poor"
        if spool.recovery.orphans or any(spool.pending(sink) for sink in sinks):
            return "best"
        return "poor" if spool.pending() else "good"

    free = disk.open_free(folder, SPOOLS, lambda place: Spool(place, budget, keep_seconds), fit)
    if free is None:
        raise StorageError(
            f"All {SPOOLS} spools in {folder} are in use.", "Set ANDROID_REPLAY_SPOOL to another folder."
        )
    free.miss(missed)
    return free


def _filled(file: Path) -> bool:
    """Whether there is anything in it. Raises StorageError."""
    with guarded(file), suppress(FileNotFoundError):
        return file.stat().st_size > 0
    return False


def _steady() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the host sleeps where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def _now_ms() -> int:
    """The host's time: what is kept must outlive this process, and a restart of the host."""
    return time.time_ns() // 1_000_000


def _size(sealed: SealedSegment) -> int:
    return sum(len(event) + 1 for event in sealed.events) + sum(len(shown.data) for shown in sealed.pictures.values())

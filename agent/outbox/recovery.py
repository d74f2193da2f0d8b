"""What a spool's folder holds at open: ledger, queue and drafts reconciled, however the last process ended."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from agent.errors import StorageFull
from agent.outbox import journal
from agent.outbox.deliveries import Delivery, Entries, Entry, replay, rows_of
from agent.outbox.journal import Journal
from agent.outbox.ledger import Row, cut_torn, read_ledger, write_ledger
from agent.replay.segment import draft_id
from agent.store.recording import Recording
from agent.store.schema import SEGMENT_ID

log = logging.getLogger(__name__)

NOTES = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What is queued, and the newest rows of what was kept for too long.

    `torn`, `damaged`, `lost`, `orphans` as `agent.outbox.spool.Recovery` has them. `undone` is not None when the disk
    is full and the ledger still the old one: the drafts that alone tell where a segment is to go, which is not queued.
    """

    entries: Entries
    notes: deque[Row]
    torn: bool
    damaged: int
    lost: int
    orphans: int
    undone: frozenset[str] | None


def recover(folder: Path, queue: Recording, drafted: Journal, now_ms: int) -> Found:
    """Reconcile them; afterwards the ledger holds the rows of what is still queued, if there is room for it. What
    nobody needs any more is removed. Raises StorageError."""
    read = read_ledger(folder)
    manifests, problems = queue.scan()
    stored = {manifest.id: manifest for manifest in manifests}
    entries, finished = replay(read.rows, stored, now_ms)
    notes = deque((row for row in read.rows if row.op == "expire"), NOTES)
    for name in finished:
        stored.pop(name, None)
    drafts = journal.drafts(folder)
    # The drafts that alone say where a segment is to go: its recorder was killed before it could say that it is there.
    named: list[tuple[str, str]] = []
    unnamed = [manifest for name, manifest in stored.items() if name not in entries]
    for manifest in sorted(unnamed, key=lambda manifest: manifest.start_ms):
        draft = draft_id(manifest)
        opened = journal.read(drafts[draft]) if draft in drafts else None
        if opened is not None:
            sinks = {sink: Delivery() for sink in opened.sinks}
            entries[manifest.id] = Entry(manifest.key, manifest.bytes, sinks, now_ms)
            named.append((draft, manifest.id))
    # Whatever became of the segment: what is in its draft is in the segment.
    closed = {row.draft for row in read.rows} | {draft_id(manifest) for manifest in manifests}
    for name in drafts.keys() & closed - {draft for draft, _ in named}:
        drafted.discard(name)
    for name in finished:
        queue.remove(name)
    # What is there and cannot be read is rejected by name when its turn comes.
    unreadable = {problem.stem for problem in problems}
    # Deleted or redacted, and its rows were about to follow.
    gone = queue.condemned() | {manifest.supersedes for manifest in manifests}
    lost = 0
    for name in [name for name in entries if name not in stored and name not in unreadable]:
        lost += not entries[name].planned and name not in gone
        del entries[name]
    orphans = [manifest for name, manifest in stored.items() if name not in entries]
    # Without a row it counts by its bytes, and is an orphan as any other, so that something ends it.
    unknown = {name for name in unreadable - entries.keys() - finished if SEGMENT_ID.fullmatch(name)}
    undone: frozenset[str] | None = None
    try:
        write_ledger(folder, [*notes, *rows_of(entries)])
    except StorageFull as error:
        # What is delivered makes room. Until then the old rows tell as much of all that has some.
        log.warning("the ledger stays as it is: %s", error)
        cut_torn(folder)
        undone = frozenset(draft for draft, _ in named)
        # The next open finds the same rows: whichever writes them down anew tells what is gone.
        lost = 0
        for _, name in named:
            del entries[name]
    else:
        for draft, _ in named:
            drafted.discard(draft)
    for manifest in sorted(orphans, key=lambda manifest: manifest.start_ms):
        entries[manifest.id] = Entry(manifest.key, manifest.bytes, at_ms=now_ms)
    for name in sorted(unknown):
        entries[name] = Entry(("", 0), queue.weight(name), at_ms=now_ms)
    queue.sweep()
    for problem in problems:
        log.warning("the spool %s holds a damaged segment %s: %s", folder, problem.file, problem.reason)
    return Found(entries, notes, read.torn, read.damaged, lost, len(orphans) + len(unknown), undone)

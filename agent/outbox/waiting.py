"""What waits in a spool's folder, read from its files: nothing is changed, and another process may use the folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.model import SealedSegment, SegmentManifest
from agent.outbox import journal
from agent.outbox.journal import Opened
from agent.outbox.ledger import read_ledger, undelivered
from agent.replay.segment import draft_id, recovered
from agent.store.disk import FolderLock, FolderTaken, guarded
from agent.store.recording import HEADER, LOCK, Problem, Recording

QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A segment and the sinks that have not had it; None when nothing tells where it is to go.

    `open` is the draft of one that is not sealed: then the manifest is that which sealing it now would give it.
    """

    manifest: SegmentManifest
    sinks: tuple[str, ...] | None
    sealed: Callable[[], SealedSegment]
    open: Path | None = None


def spools(folder: Path) -> list[Path]:
    """The spools in a folder, or the folder when it is one."""
    return [place for place in (folder, *sorted(folder.glob("*"))) if (place / QUEUE / HEADER).exists()]


def waiting(folder: Path) -> list[Waiting]:
    """The readable segments in a spool that somebody still needs, those that are still open last. Raises
    StorageError."""
    return scan(folder)[0]


def scan(folder: Path) -> tuple[list[Waiting], list[Problem]]:
    """The same, and those that somebody may need and that cannot be read, from one look. Raises StorageError."""
    queue = Recording.open(folder / QUEUE)
    manifests, problems = queue.scan()
    left = undelivered(read_ledger(folder).rows)
    drafts = journal.drafts(folder)

    def queued(manifest: SegmentManifest) -> Waiting:
        sinks = left.get(manifest.id)
        if sinks is None and (file := drafts.get(draft_id(manifest))) is not None:
            # Its recorder is not done with it, or was killed before it was.
            opened = journal.read(file)
            sinks = None if opened is None else opened.sinks
        return Waiting(manifest, sinks, lambda: queue.sealed(manifest.id))

    def drafted(file: Path, opened: Opened) -> Waiting:
        return Waiting(_closed(opened).manifest, opened.sinks, lambda: _closed(journal.read(file) or opened), file)

    found = [queued(manifest) for manifest in manifests if left.get(manifest.id) != ()]
    found += [drafted(file, opened) for file, opened in still_open(folder) if opened is not None]
    needed = [problem for problem in problems if left.get(problem.stem) != ()]
    # A recorder may be at work there, and done with one just now.
    return found, [problem for problem in needed if not _gone(queue.path / "segments" / problem.file)]


def still_open(folder: Path) -> Iterator[tuple[Path, Opened | None]]:
    """The drafts of which no sealed segment is in the queue yet; None for one that holds nothing whole.

    Raises RecordingError when a newer version of this program wrote one, other StorageErrors.
    """
    closed = {row.draft for row in read_ledger(folder).rows}
    closed |= {draft_id(manifest) for manifest in Recording.open(folder / QUEUE).manifests()}
    for name, file in journal.drafts(folder).items():
        opened = None if name in closed else journal.read(file)
        if name not in closed and (opened is not None or file.exists()):
            yield file, opened


def left_open(folder: Path) -> int:
    """How many segments a recorder that runs no more left open. Raises StorageError."""
    lock = folder / LOCK
    try:
        if lock.exists():
            FolderLock(lock, mark=False).close()
    except FolderTaken:
        return 0
    return sum(1 for _, opened in still_open(folder) if opened is not None)


def held(folder: Path) -> int:
    """How many bytes of its budget a spool's segments and drafts take. Raises StorageError."""
    size = sum(manifest.bytes for manifest in Recording.open(folder / QUEUE).manifests())
    for file in journal.drafts(folder).values():
        # Its recorder may have sealed it meanwhile.
        with guarded(file), suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def _gone(file: Path) -> bool:
    try:
        file.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _closed(opened: Opened) -> SealedSegment:
    return recovered(opened.manifest, opened.events, opened.pictures, opened.damaged)

"""Redacting reaches what waits in the spools: a redacted copy takes the place of its segment, whose bytes go.

What is on its way into the recording's folder goes into it before it is redacted, whatever session it is of: nothing
comes there later as it was. A spool is held from then until its segments are replaced, so that nothing of it is sent
meanwhile. A run that was interrupted is finished by the next, which finds in the recording what each copy was made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from agent.errors import RecordingError, StorageError
from agent.model import Picture, SealedSegment, SegmentManifest
from agent.outbox.spool import Spool
from agent.outbox.waiting import Waiting, scan, spools
from agent.store.disk import FolderLock, FolderTaken
from agent.store.erasure import copies
from agent.store.recording import LOCK, Problem, Recording

Scan = tuple[list[Waiting], list[Problem]]


class Foreseen(Recording):
    """A recording as it is once what waits for its folder is in it. It is only read."""

    def __init__(self, recording: Recording, coming: Iterable[Waiting]) -> None:
        super().__init__(recording.path, recording.header)
        self._coming = {one.manifest.id: one for one in coming}
        self._pictured = {digest: one.manifest.id for one in self._coming.values() for digest in one.manifest.pictures}
        self._last: SealedSegment | None = None

    def scan(self) -> tuple[tuple[SegmentManifest, ...], tuple[Problem, ...]]:
        manifests, problems = super().scan()
        found = [*manifests, *(one.manifest for one in self._coming.values())]
        return tuple(
            sorted(found, key=lambda each: (each.device_id, each.session_id, each.seq, each.start_ms))
        ), problems

    def events(self, segment_id: str) -> list[bytes]:
        return list(self._sealed_of(segment_id).events) if segment_id in self._coming else super().events(segment_id)

    def picture(self, digest: str) -> Picture:
        return (
            self._sealed_of(self._pictured[digest]).pictures[digest]
            if digest in self._pictured
            else super().picture(digest)
        )

    def _sealed_of(self, segment_id: str) -> SealedSegment:
        if self._last is None or self._last.manifest.id != segment_id:
            self._last = _sealed(self._coming[segment_id])
        return self._last


def hold(folder: Path, recording: Recording, stack: ExitStack) -> list[Spool]:
    """Open the spools in `folder` until the stack ends. What waits there for the recording's folder, drafts of
    recorders that ended included, goes into it first.

    Raises FolderTaken when a process that runs writes to the folder, or holds segments for it or of its replays;
    StorageError when some of these wait for others alone, which nobody could redact; RecordingError when one cannot be
    read and may be of these; other StorageErrors.
    """
    with ExitStack() as alone:
        _lock(recording.path, alone)
        held: list[Spool] = []
        taken: dict[Path, FolderTaken] = {}
        for place in spools(folder):
            try:
                # Sealing what was left open brings it within reach; how old it is does not matter now.
                spool = Spool(place, keep_seconds=0)
            except FolderTaken as error:
                taken[place] = error
                continue
            stack.callback(spool.close)
            held.append(spool)
        found = {spool.folder: scan(spool.folder) for spool in held}
        coming = _coming(recording, found, taken)
        queued = {name for spool in held for name in spool.segments()}
        closed = [one for each, _ in found.values() for one in each if one.open is None]
        unreached = [one for one in closed if one.manifest.id not in queued]
        for one in [*unreached, *(one for one in coming if one.open is not None)]:
            raise StorageError(
                f"{one.open or one.manifest.id} was still open when its recorder ended, and cannot be closed now.",
                "Free some space on its disk, then redact.",
            )
        for one in coming:
            recording.write(_sealed(one))
        stored = {manifest.id for manifest in recording.manifests()} | copies(recording).keys()
        for spool in held:
            for name, sinks in spool.segments().items():
                for sink in sinks:
                    if is_here(sink, recording.path):
                        if name not in stored:
                            raise _unread(name, spool.folder, "it did not come into the recording.")
                        spool.ack(name, sink)
        return held


def foresee(folder: Path, recording: Recording, stack: ExitStack) -> tuple[Foreseen, set[str]]:
    """What `hold` makes of the recording, and the segments that wait for others, too; nothing is changed.

    It raises what `hold` raises, and keeps others from the spools until the stack ends.
    """
    taken: dict[Path, FolderTaken] = {}
    found: dict[Path, Scan] = {}
    _lock(recording.path, stack)
    for place in spools(folder):
        try:
            _lock(place, stack)
            found[place] = scan(place)
        except FolderTaken as error:
            taken[place] = error
    coming = _coming(recording, found, taken)
    others = {
        one.manifest.id
        for each, _ in found.values()
        for one in each
        if one.sinks is None or not all(is_here(sink, recording.path) for sink in one.sinks)
    }
    return Foreseen(recording, coming), others


def replace(held: Iterable[Spool], recording: Recording) -> int:
    """Put the redacted copies in the place of what waits; how many. Raises StorageError."""
    made = copies(recording)
    there = {manifest.id for manifest in recording.manifests()}
    count = 0
    for spool in held:
        for name in spool.segments():
            last = _last(name, made)
            if last != name and last in there:
                spool.replace(name, recording.sealed(last))
                count += 1
    return count


def _lock(folder: Path, stack: ExitStack) -> None:
    """Nobody else may use the folder until the stack ends; its lock stays as it is. Raises FolderTaken."""
    if (folder / LOCK).exists():
        stack.callback(FolderLock(folder / LOCK, mark=False).close)


def _coming(recording: Recording, found: Mapping[Path, Scan], taken: Mapping[Path, FolderTaken]) -> list[Waiting]:
    """What waits for the recording's folder and is not in it. Raises FolderTaken, StorageError, RecordingError."""
    for place, (_, problems) in found.items():
        for problem in problems:
            raise _unread(problem.stem, place, problem.reason)
    manifests = recording.manifests()
    known = {manifest.id for manifest in manifests} | copies(recording).keys()

    def here(one: Waiting) -> bool:
        return any(is_here(sink, recording.path) for sink in one.sinks or ())

    keys = {manifest.key for manifest in manifests}
    keys |= {one.manifest.key for each, _ in found.values() for one in each if here(one)}
    for place, error in taken.items():
        theirs, problems = scan(place)
        what = "more of these sessions" if any(here(one) or one.manifest.key in keys for one in theirs) else ""
        for problem in problems:
            what = what or f"{problem.stem}, which cannot be read and may be of these sessions"
        if what:
            raise FolderTaken(f"{error.message} It holds {what}.", "Stop that process, then redact.") from error
    coming: dict[str, Waiting] = {}
    for place, (each, _) in found.items():
        for one in each:
            if one.manifest.id in known:
                continue
            if here(one):
                coming[one.manifest.id] = one
            elif one.manifest.key in keys:
                raise StorageError(
                    f"Segment {one.manifest.id} of one of these sessions waits in {place} for "
                    f"{', '.join(one.sinks or ()) or 'nobody'} alone: it would be sent as it is.",
                    f"Run `android-replay upload --spool {place} --sink dir:{recording.path}`, then redact.",
                )
    return list(coming.values())


def is_here(sink: str, folder: Path) -> bool:
    """Whether a sink is this folder, by whatever path."""
    kind, _, path = sink.partition(":")
    return kind == "dir" and Path(path).resolve() == folder.resolve()


def _sealed(one: Waiting) -> SealedSegment:
    """Raises RecordingError that names the next step."""
    try:
        return one.sealed()
    except RecordingError as error:
        raise RecordingError(
            f"Segment {one.manifest.id}, which waits in the spool, cannot be read: {error.message}",
            "Delete it there (the files of that name in queue/segments), then redact.",
        ) from error


def _unread(name: str, spool: Path, reason: str) -> RecordingError:
    return RecordingError(
        f"Segment {name}, which waits in {spool}, cannot be read and may be of these sessions: {reason}",
        "Redact once the disk gives it, or with the version that wrote it; or delete it there (the files of that name "
        "in queue/segments).",
    )


def _last(name: str, made: Mapping[str, str]) -> str:
    """The copy of the copy ... of a segment."""
    seen: set[str] = set()
    while name in made and name not in seen:
        seen.add(name)
        name = made[name]
    return name

"""Redacting reaches what waits in the spools: a redacted copy takes the place of its segment, whose bytes go.

A spool is held from before the recording is redacted until its segments are replaced, so that nothing of it is sent
meanwhile. A run that was interrupted is finished by the next, which finds in the recording what each copy was made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from agent.errors import StorageError
from agent.outbox.erasure import still_open
from agent.outbox.spool import Spool
from agent.store.disk import FolderTaken
from agent.store.erasure import copies
from agent.store.recording import HEADER, Recording


def hold(folder: Path, recording: Recording, stack: ExitStack) -> list[Spool]:
    """Open the spools in `folder` until the stack ends; what waits there for the recording's folder goes into it first.

    Raises FolderTaken when a process that runs holds segments of the recording's replays; StorageError when some wait
    for others alone, which nobody could redact; other StorageErrors.
    """
    keys = {(manifest.device_id, manifest.session_id) for manifest in recording.manifests()}
    held: list[Spool] = []
    for place in sorted(folder.glob("*")):
        queue = place / "queue"
        if not (queue / HEADER).exists():
            continue
        try:
            # Sealing what was left open brings it within reach; how old it is does not matter now.
            spool = Spool(place, keep_seconds=0)
        except FolderTaken as error:
            there = {(manifest.device_id, manifest.session_id) for manifest in Recording.open(queue).manifests()}
            if keys.isdisjoint(there | {key for key, _ in still_open(place)}):
                continue
            raise FolderTaken(
                f"{error.message} It holds more of these sessions.", "Stop that process, then redact."
            ) from error
        stack.callback(spool.close)
        held.append(spool)
        _fetch(spool, recording, keys)
    return held


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


def _fetch(spool: Spool, recording: Recording, keys: set[tuple[str, int]]) -> None:
    known = {manifest.id for manifest in recording.manifests()} | copies(recording).keys()
    here = {f"dir:{recording.path.absolute()}", f"dir:{recording.path.resolve()}"}
    for name, sinks in spool.segments().items():
        if name not in known and spool.key(name) not in keys:
            continue
        if name not in known and here.isdisjoint(sinks):
            raise StorageError(
                f"Segment {name} of one of these sessions waits in {spool.folder} for {', '.join(sinks) or 'nobody'} "
                f"alone: it would be sent as it is.",
                f"Run `android-replay upload --spool {spool.folder} --sink dir:{recording.path}`, then redact.",
            )
        if name not in known:
            recording.write(spool.sealed(name))
        for sink in here & {*sinks}:
            spool.ack(name, sink)


def _last(name: str, made: Mapping[str, str]) -> str:
    """The copy of the copy ... of a segment."""
    seen: set[str] = set()
    while name in made and name not in seen:
        seen.add(name)
        name = made[name]
    return name

"""A job's recordings on their way to whoever asked for it: copied into a folder, or by the spool to a sink."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from agent.errors import AgentError, RecordingError
from agent.outbox.receipts import Receipt, meaning
from agent.outbox.sink import folder_named, parse_sink
from agent.outbox.spool import Spool, open_free
from agent.outbox.uploader import BACKOFFS, Uploader
from agent.settings import Upload
from agent.store.bundle import unpacked
from agent.store.disk import FolderTaken, guarded, make_folder, sync_folder

log = logging.getLogger(__name__)

REPLAY = "*.replay"
DRAIN_SECONDS, LOOK_SECONDS = 60.0, 0.2


class Courier(Protocol):
    """Takes what is in a job's folder of replays to sinks: where it went, and what went wrong, "" = nothing."""

    def __call__(self, folder: Path, name: str, sinks: Sequence[str]) -> tuple[list[str], str]: ...


class SinkCourier:
    """`dir:PATH` gets the replays and tables as a folder of the job's name; other sinks get the segments.

    What a sink does not take in time waits in a spool in `spools`, for the host's `drain`, its next job or `upload`.
    """

    def __init__(self, spools: Path, upload: Upload) -> None:
        self._spools = spools
        self._upload = upload

    def __call__(self, folder: Path, name: str, sinks: Sequence[str]) -> tuple[list[str], str]:
        places: list[str] = []
        problems: list[str] = []
        if not folder.is_dir():
            return places, ""
        posted = []
        for sink in sinks:
            kind, _, rest = sink.partition(":")
            try:
                if kind == "dir":
                    places.append(str(_copied(folder, folder_named(rest) / name)))
                else:
                    posted.append(sink)
            except AgentError as error:
                problems.append(f"{sink} got nothing: {error}")
        if posted:
            try:
                waiting, refusing = self._post(folder, posted, problems)
                places += [sink for sink in posted if sink not in refusing]
                if waiting:
                    problems.append(
                        f"{waiting} deliveries wait in {self._spools}; `farm host` tries again, and `upload --spool`."
                    )
            except AgentError as error:
                problems.append(f"{', '.join(posted)} got nothing: {error} {error.hint}".strip())
        return places, " ".join(problems)

    def drain(self, ended: threading.Event, every: float = DRAIN_SECONDS) -> None:
        """Deliver what jobs left waiting, and those whose consumer was killed; again `every` so many seconds until
        `ended`. What a consumer holds is left to it."""
        while not ended.is_set():
            for place in sorted(self._spools.glob("[0-9]*")):
                try:
                    self._drain(place, ended)
                except FolderTaken:
                    continue
                except AgentError as error:
                    log.warning("what waits in %s stays there: %s", place, error)
            ended.wait(every)

    def _drain(self, place: Path, ended: threading.Event) -> None:
        """Raises AgentError."""
        with ExitStack() as stack:
            spool = Spool(place, keep_seconds=self._upload.keep_hours * 3600)
            stack.callback(spool.close)
            targets = []
            for name in spool.destinations():
                targets.append(parse_sink(name, self._upload))
                stack.callback(targets[-1].close)
            if not targets:
                return
            uploader = Uploader(spool, targets, BACKOFFS[self._upload.conformance])
            stack.callback(uploader.stop)
            uploader.start()
            until = time.monotonic() + self._upload.flush_seconds
            while not spool.wait_drained(uploader.names, LOOK_SECONDS):
                if ended.is_set() or (time.monotonic() > until and not uploader.sending):
                    return
            log.info("what waited in %s is delivered", place)

    def _post(self, folder: Path, sinks: Sequence[str], problems: list[str]) -> tuple[int, set[str]]:
        """How many deliveries wait since they could not be made in time, and the sinks that refused all. A replay that
        cannot be read is a problem, and so is why deliveries wait, what found no room to wait, or what a server will
        never take. Raises AgentError."""
        with ExitStack() as stack:
            targets = [parse_sink(sink, self._upload) for sink in sinks]
            for target in targets:
                stack.callback(target.close)
            names = tuple(target.name for target in targets)
            spool = open_free(self._spools, names, keep_seconds=self._upload.keep_hours * 3600)
            stack.callback(spool.close)
            put = set()
            for file in sorted(folder.glob(REPLAY)):
                try:
                    with unpacked(file) as recording:
                        for manifest in recording.manifests():
                            spool.keep(recording.sealed(manifest.id), names)
                            put.add(manifest.id)
                except RecordingError as error:
                    problems.append(f"{file.name} is not delivered: {error}")
            why: dict[str, str] = {}

            def told(receipt: Receipt) -> None:
                if receipt.outcome == "retry":
                    why[receipt.sink] = receipt.words

            uploader = Uploader(spool, targets, BACKOFFS[self._upload.conformance], told=told)
            stack.callback(uploader.stop)
            uploader.start()
            uploader.drain(self._upload.flush_seconds)
            refusing = set()
            for sink, (name, stats) in zip(sinks, uploader.stats().items(), strict=True):
                # What earlier jobs left goes the same way, and is theirs.
                refused = [each for each in spool.rejections() if each.sink == name and each.segment in put]
                if refused:
                    problems.append(
                        f"{name} refused {len(refused)} segments, which are kept in {self._spools}: "
                        f"{refused[0].reason}. `upload --spool` tries them again."
                    )
                if len(refused) == len(put) > 0:
                    refusing.add(sink)
                if name in why and spool.pending(name):
                    means = meaning(why[name])
                    problems.append(f"{name} took not all: {why[name]}{f' ({means})' if means else ''}.")
                if stats.dropped:
                    problems.append(f"Parts of {stats.dropped} segments are dropped, {name} would not take them.")
            if lost := spool.lost():
                problems.append(
                    f"{lost} segments found no room in {self._spools} and are not sent; they are in {folder}."
                )
            return sum(map(spool.pending, names)), refusing


def _copied(folder: Path, target: Path) -> Path:
    """Whole, or not there. Raises StorageError."""
    part = target.with_name(f".{target.name}.part")
    make_folder(target.parent)
    with guarded(target):
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(folder, part)
        part.rename(target)
        sync_folder(target.parent)
    return target

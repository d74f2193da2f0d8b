"""The folder of a run: the working recording of all of it, the replays cut out of that, the tables.

Nothing in it is ever written over: a name that is taken gets the next number.

    .run-<time>-<pid>-<number>/  the working recording, while the run lasts (kept when it was interrupted)
    <test>-attempt<n>.replay     what was on the screen during one attempt of a test
    run.json, run.md, index.html the table of test, attempt, session, device and replay
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import RecordingError
from agent.runs.ledger import Attempt
from agent.runs.table import Row, met
from agent.store.bundle import SUFFIX, pack
from agent.store.disk import alive, guarded, make_folder, new_part, sync_folder, take
from agent.store.excerpt import excerpt
from agent.store.recording import HEADER, Recording

_WORKING = re.compile(r"\.run-\d{8}-\d{6}-(\d+)-[0-9a-f]{4}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Shelf:
    """The folder `out` for one run that began at `at_ms` (epoch ms). Made when it is not there. Raises StorageError."""

    def __init__(self, out: Path, at_ms: int) -> None:
        make_folder(out)
        self.out = out
        began = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%d-%H%M%S")
        # Containers give the same numbers to processes, and may share a folder.
        self.working = out / f".run-{began}-{os.getpid()}-{secrets.token_hex(2)}"
        self._recording: Recording | None = None

    def left(self) -> list[Path]:
        """The working recordings of earlier runs that were killed, or kept. Raises StorageError."""
        with guarded(self.out):
            folders = sorted(self.out.iterdir())
        found = ((folder, _WORKING.fullmatch(folder.name)) for folder in folders)
        return [
            folder
            for folder, match in found
            if match is not None
            and folder != self.working
            and (folder / HEADER).is_file()
            and (int(match[1]) == os.getpid() or not alive(int(match[1])))
        ]

    def recording(self) -> Recording | None:
        """The working recording; None when nothing was recorded."""
        if not (self.working / HEADER).is_file():
            return None
        # Keeps the manifests that it has read.
        self._recording = self._recording or Recording.open(self.working)
        return self._recording

    def holds(self) -> bool:
        """Whether the working recording has anything in it. Raises RecordingError, StorageError."""
        recording = self.recording()
        return recording is not None and any(recording.scan())

    def clear(self) -> None:
        """Remove the working recording. Raises StorageError."""
        with guarded(self.working):
            if self.working.exists():
                shutil.rmtree(self.working)

    def row(self, attempt: Attempt, serials: Sequence[str], wanted: str) -> Row:
        """What was recorded of an attempt; `wanted` = why it is not to be kept, "" if it is.

        Raises RecordingError when the working recording is damaged, StorageError.
        """
        recording = self.recording()
        manifests = () if recording is None else recording.manifests()
        sessions = met(attempt, manifests)
        if attempt.start_ms is None or attempt.end_ms is None:
            return Row(attempt, (), "", "when it ran is not known")
        if attempt.serial is not None and attempt.serial not in serials:
            return Row(attempt, (), "", f"{attempt.serial} is not recorded by this run")
        if wanted or recording is None or not sessions:
            return Row(attempt, sessions, "", wanted if sessions else "no session was recorded while it ran")
        with guarded(self.out), tempfile.TemporaryDirectory(prefix=".cut-", dir=self.out) as base:
            into = Path(base) / "recording"
            written = [
                manifest
                for serial in (serials if attempt.serial is None else [attempt.serial])
                for manifest in excerpt(recording, serial, attempt.start_ms, attempt.end_ms, into)
            ]
            if not written:
                return Row(attempt, sessions, "", "nothing was shown while it ran")
            several = len(serials) > 1 and attempt.serial is not None
            phone = "-" + _UNSAFE.sub("_", attempt.serial or "") if several else ""
            stem = f"{attempt.case.stem}{phone}-attempt{attempt.number}"
            file = self.place(stem, SUFFIX, lambda aside: _pack(into, aside))
        return Row(attempt, met(attempt, written), file.name)

    def whole(self) -> Path | None:
        """All that was recorded as one file; None when that is nothing. Raises RecordingError, StorageError."""
        recording = self.recording()
        if recording is None or not recording.manifests():
            return None
        return self.place("run", SUFFIX, lambda aside: _pack(self.working, aside))

    def place(self, stem: str, suffix: str, fill: Callable[[Path], None]) -> Path:
        """A new file, whole or not there, for the owner only: `stem``suffix`, or with the next number that is free."""
        with guarded(self.out / f"{stem}{suffix}"), new_part(self.out / stem) as aside:
            fill(aside)
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            for number in itertools.count(1):
                target = self.out / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
                if take(aside, target):
                    break
            sync_folder(self.out)
        return target


def write_back(file: Path, data: bytes) -> None:
    """Another program's file with new content, whole or as it was, with its rights. Raises StorageError."""
    target = file.resolve()
    with guarded(file):
        mode = target.stat().st_mode & 0o777
        with new_part(target) as aside:
            with aside.open("rb+") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            aside.chmod(mode)
            aside.replace(target)
            sync_folder(target.parent)


def _pack(folder: Path, file: Path) -> None:
    if not pack(Recording.open(folder), file):
        raise RecordingError(f"{folder}: nothing is in it.")

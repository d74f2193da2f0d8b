"""What this host has changed on devices and not undone yet: written before it is changed, so that a later run can undo
what a killed one left.

    <folder>/<number>.lock     held by the process that writes beside it
    <folder>/<number>.json     its changes, serial to [kind, what]
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

from agent.errors import StorageError
from agent.store.disk import FolderLock, FolderTaken, guarded, make_folder, write_files
from bridge.types import Trace

log = logging.getLogger(__name__)

MOST = 256


class Traces:
    """A `bridge.ports.Notebook` on disk. Takes over what dead processes have written. Any thread.

    A disk that takes no more is told in the log and stops nothing: what is changed on a device is small, and is named
    after this program.
    """

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        make_folder(folder)
        self._folder = folder
        self._guard = threading.Lock()
        self._left: dict[str, list[Trace]] = {}
        self._ours: dict[str, list[Trace]] = {}
        self._lock, self._name = self._claim()
        try:
            for other in sorted(folder.glob("*.json")):
                self._adopt(other)
        except BaseException:
            self._lock.close()
            raise

    def made(self, serial: str, trace: Trace) -> None:
        """This is about to be changed."""
        with self._guard:
            mine = self._ours.setdefault(serial, [])
            if trace not in mine:
                mine.append(trace)
                self._write()

    def undone(self, serial: str, trace: Trace) -> None:
        """It is as it was."""
        with self._guard:
            for book in (self._ours, self._left):
                if trace in book.get(serial, ()):
                    book[serial].remove(trace)
                    self._write()

    def left(self, serial: str) -> tuple[Trace, ...]:
        """What runs that have ended without undoing it changed."""
        with self._guard:
            return tuple(self._left.get(serial, ()))

    def ours(self, serial: str) -> tuple[Trace, ...]:
        """What this run changed."""
        with self._guard:
            return tuple(self._ours.get(serial, ()))

    def close(self) -> None:
        """Let go; what is not undone stays for a later run. Idempotent."""
        with self._guard:
            if not any((*self._ours.values(), *self._left.values())):
                for suffix in ("json", "lock"):
                    with suppress(OSError):
                        (self._folder / f"{self._name}.{suffix}").unlink(missing_ok=True)
            self._lock.close()

    def _claim(self) -> tuple[FolderLock, str]:
        for number in range(1, MOST + 1):
            path = self._folder / f"{number}.lock"
            with suppress(FolderTaken):
                return FolderLock(path), path.stem
        raise StorageError(f"{MOST} processes use {self._folder}.", "Stop some of them.")

    def _adopt(self, file: Path) -> None:
        """Take over what a dead process left, our own number's included."""
        try:
            lock = None if file.stem == self._name else FolderLock(file.with_suffix(".lock"))
        except FolderTaken:
            return
        try:
            with guarded(file):
                try:
                    found = _read(file.read_bytes())
                except FileNotFoundError:
                    # Another process took it over since it was listed, or its own ended in order.
                    return
            for serial, traces in found.items():
                book = self._left.setdefault(serial, [])
                book.extend(trace for trace in traces if trace not in book)
            # Until it stands in our note, too, that one alone tells of it.
            if self._write() and lock is not None:
                with suppress(OSError):
                    file.unlink()
                    file.with_suffix(".lock").unlink()
        finally:
            if lock is not None:
                lock.close()

    def _write(self) -> bool:
        """Whether the disk took it."""
        both: dict[str, list[list[str]]] = {}
        for book in (self._left, self._ours):
            for serial, traces in book.items():
                both.setdefault(serial, []).extend([trace.kind, trace.what] for trace in traces)
        try:
            write_files(self._folder, [(f"{self._name}.json", [orjson.dumps(both)])])
        except StorageError as error:
            log.warning("what is changed on devices cannot be noted: %s", error)
            return False
        return True


def _read(data: bytes) -> Mapping[str, list[Trace]]:
    """What a note says; nothing for one that is torn or of another form."""
    with suppress(orjson.JSONDecodeError, TypeError, ValueError, AttributeError):
        return {
            str(serial): [Trace(kind, str(what)) for kind, what in traces if kind in ("file", "process", "reverse")]
            for serial, traces in orjson.loads(data).items()
        }
    return {}

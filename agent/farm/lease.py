"""The exclusive right to a device among the processes of this host. A dead holder's lease is free at once.

    leases/<serial>      locked (flock) by its holder; what is in it says who that is and which job runs

The lock is shared with the job's own process (`run`), which inherits the descriptor: when the holder is killed the
device stays leased until that process has ended. Whoever comes next ends it first: it works for nobody. What a job
started is known by a variable in its environment, so that nothing else can be meant by a number that came again.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any

import orjson

from agent.errors import StorageDenied, StorageError
from agent.store.disk import alive, guarded, make_folder

if sys.platform != "win32":
    import fcntl

MARK = "ANDROID_REPLAY_FARM_JOB"
NOTE_BYTES = 4096
STEP_SECONDS = 0.05
# How long what a job left behind has to end by itself (a recorder seals what it has), and then at once.
GENTLY_SECONDS, AT_ONCE_SECONDS = 10.0, 2.0


class LeaseTaken(StorageError):
    """Another process of this host has the device, or another user's had it last."""


class Lease:
    """One device, held until `close` or the end of this process and of the job that it runs.

    Where the platform has no `fcntl` it is not enforced.
    """

    def __init__(self, folder: Path, serial: str) -> None:
        """Takes the device. What a dead holder's job left running is ended first, which may take some seconds.

        Raises LeaseTaken naming the holder's process, StorageError.
        """
        make_folder(folder)
        self.serial = serial
        path = folder / name(serial)
        try:
            with guarded(path):
                self._file = FileIO(path, "a+", opener=_private)
        except StorageDenied as error:
            if _is_anothers(path):
                raise LeaseTaken(
                    f"{serial} is leased by another user of this host, to whom {path} belongs.",
                    "Stop that user's farm, then delete the file.",
                ) from error
            raise
        try:
            with guarded(path):
                self._take(path)
                # A job whose `run` has ended may have left programs of its own.
                end_marked(self._said().get("job"))
            self.note("")
        except BaseException:
            self._file.close()
            raise

    @property
    def descriptor(self) -> int:
        """What the job's process inherits."""
        return self._file.fileno()

    def note(self, job: str) -> None:
        """Say which job runs, "" for none."""
        # For people and for who comes after a crash; a full disk must not keep a device from working.
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(orjson.dumps({"pid": os.getpid(), "job": job}))

    def close(self) -> None:
        """Let go; idempotent."""
        self._file.close()

    def _take(self, path: Path) -> None:
        until = time.monotonic() + GENTLY_SECONDS + AT_ONCE_SECONDS
        while not self._locked(path):
            said = self._said()
            holder = said.get("pid")
            if not isinstance(holder, int) or holder == os.getpid() or alive(holder) or time.monotonic() > until:
                raise LeaseTaken(
                    f"{self.serial} is leased by process {holder or 'unknown'} of this host.", "Stop that process."
                )
            end_marked(said.get("job"))
            time.sleep(STEP_SECONDS)

    def _locked(self, path: Path) -> bool:
        if sys.platform == "win32":
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StorageError(
                f"{path} cannot be locked: {error.strerror}.",
                "Set ANDROID_REPLAY_FARM__FOLDER to a folder of this host.",
            ) from error
        return True

    def _said(self) -> dict[str, Any]:
        self._file.seek(0)
        try:
            said = orjson.loads(self._file.read(NOTE_BYTES))
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


def name(serial: str) -> str:
    """A serial as a file's name, another for each."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda match: f"%{ord(match[0]):02x}", serial)


def held(folder: Path, serial: str) -> bool:
    """Whether a living process has the device now."""
    path = folder / name(serial)
    if sys.platform == "win32" or not path.exists():
        return False
    with guarded(path), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def end_marked(job: Any) -> int:
    """End what a job started and left behind: first as Ctrl-C does, then at once. How many it was.

    Known by the environment, which only Linux tells; elsewhere nothing is found.
    """
    if not isinstance(job, str) or not job:
        return 0
    found = marked(job)
    for number, seconds in ((signal.SIGINT, GENTLY_SECONDS), (signal.SIGKILL, AT_ONCE_SECONDS)):
        for pid in marked(job):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        until = time.monotonic() + seconds
        while marked(job) and time.monotonic() < until:
            time.sleep(STEP_SECONDS)
    return len(found)


def kill_marked(job: str) -> None:
    """End what a job started, at once."""
    for pid in marked(job) if job else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def marked(job: str) -> list[int]:
    """The living processes that carry a job's mark, but this one and a server of adb's: whoever started that, the
    devices of every other job hang on it."""
    wanted = f"{MARK}={job}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted not in (folder / "environ").read_bytes().split(b"\0") or int(folder.name) == os.getpid():
                continue
            if b"fork-server" not in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _is_anothers(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return sys.platform != "win32" and path.stat().st_uid != os.getuid()
    return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

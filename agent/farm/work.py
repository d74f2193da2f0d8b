"""One job on one leased device: a process of `android-replay run`, and the report of what became of it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from agent.errors import StorageError
from agent.farm.delivery import REPLAY, Courier
from agent.farm.job import LINE, Job, JobReport, Outcome, places, rows
from agent.farm.lease import MARK, Lease, end_marked
from agent.store.disk import guarded, make_folder

log = logging.getLogger(__name__)

# The recordings of a job, what it printed, and what `run --json` printed of itself, in the job's folder.
REPLAYS, OUTPUT, LOG = "replays", "output.txt", "log.txt"
# `run` seals what it has; then it is told less kindly.
SEAL_SECONDS, TERM_SECONDS = 45.0, 5.0
# What `run --json` says of tens of thousands of tests, in one line.
OUTPUT_BYTES = 64_000_000
COLUMNS = ("test", "attempt", "outcome", "start_ms", "end_ms", "replay", "why")
# A departure is believed when it has lasted for a quarter of a second.
TOLD_SECONDS = 0.4
OWN_VARIABLES = ("ANDROID_REPLAY_FARM_",)


class Ending:
    """Why a job must end before its command does. Set once, by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._wake: list[Callable[[], None]] = []
        self.outcome: Outcome | None = None
        self.reason = ""

    def set(self, outcome: Outcome, reason: str) -> None:
        """The first reason counts."""
        with self._lock:
            if self.outcome is not None:
                return
            self.outcome, self.reason = outcome, reason
            wake, self._wake = self._wake, []
        self._asked.set()
        for call in wake:
            call()

    def wait(self, seconds: float) -> bool:
        """Whether the end is asked for, now or in so long."""
        return self._asked.wait(seconds)

    def then(self, call: Callable[[], None]) -> None:
        """Call it when the end is asked for; at once when it was."""
        with self._lock:
            if self.outcome is None:
                self._wake.append(call)
                return
        call()


@dataclass(frozen=True, slots=True)
class Bench:
    """What jobs are done with on this host. `prefix` = the words that begin `android-replay run`, `now_ms` the wall
    clock, `folder` holds a folder a job, `courier` takes recordings to sinks; `seal_seconds` = how long a job that must
    end may take to do so in order."""

    host: str
    folder: Path
    prefix: tuple[str, ...]
    now_ms: Callable[[], int]
    courier: Courier
    seal_seconds: float = SEAL_SECONDS

    def work(self, job: Job, lease: Lease, ending: Ending) -> JobReport:
        """Do a job on the leased device. Whatever happens, there is a report, and nothing of the job runs any more."""
        try:
            return self._work(job, lease, ending)
        except Exception as error:
            # A job without a report would be waited for for ever.
            log.exception("a job came to no regular end")
            return JobReport(
                job=job.id, outcome="failed", host=self.host, serial=lease.serial, index=job.index, count=job.count,
                reason=f"Its worker failed unexpectedly ({type(error).__name__}); the host's log says more.",
                ended_ms=self.now_ms(),
            )  # fmt: skip

    def _work(self, job: Job, lease: Lease, ending: Ending) -> JobReport:
        began_ms = self.now_ms()
        folder = self.folder / job.id
        lease.note(job.id)

        def report(outcome: Outcome, reason: str = "", code: int | None = None, said: _Said = NOTHING) -> JobReport:
            table, left_out = rows(said.table)
            went, problem = self.courier(folder / REPLAYS, f"{job.index}-{job.id}", job.sinks)
            went = [*went, *_places(folder)]
            told = places(went)
            more = f"{len(went) - len(told)} replays more are in {folder / REPLAYS}." if len(told) < len(went) else ""
            return JobReport(
                job=job.id,
                outcome=outcome,
                host=self.host,
                serial=lease.serial,
                index=job.index,
                count=job.count,
                exit_code=code,
                reason=" ".join(filter(None, (reason, problem, more)))[:LINE],
                began_ms=began_ms,
                ended_ms=self.now_ms(),
                table=table,
                left_out=left_out,
                replays=told,
                log=str(folder / LOG)[:LINE],
            )

        if ending.outcome is not None:
            lease.note("")
            return report(ending.outcome, ending.reason)
        try:
            make_folder(folder)
            cwd = Path(job.cwd) if job.cwd else folder
            if not cwd.is_dir():
                return report("refused", f"This host has no folder {cwd}.")
            code, cut = self._run(job, lease, folder, cwd, ending)
        except StorageError as error:
            return report("refused", f"{error} {error.hint}")
        except OSError as error:
            return report("refused", f"{self.prefix[0]} cannot be started: {error.strerror}.")
        finally:
            # A runner may have forked; the next job has the device for itself.
            end_marked(job.id)
            lease.note("")
        said = _said(folder / OUTPUT)
        # A recorder whose device has gone may say so before we are told.
        if code and not cut and ending.wait(TOLD_SECONDS) and ending.outcome == "device-lost":
            cut = True
        if cut and ending.outcome is not None:
            return report(ending.outcome, ending.reason, None, said)
        if code < 0:
            return report("failed", f"The recorder was ended by {_signal(-code)}; the report is partial.", None, said)
        # A gate that is shut, or a recorder that failed, has a code of its own.
        own = code if said.exit_code is None else said.exit_code
        reason = f"`run` ended with {code}; {folder / LOG} says more." if code else ""
        if code != own:
            reason = f"{reason} {said.notes}"
        return report("failed" if code else "passed", reason, own, said)

    def _run(self, job: Job, lease: Lease, folder: Path, cwd: Path, ending: Ending) -> tuple[int, bool]:
        """The exit code, negative for a signal; whether it was cut short. Raises OSError, StorageError."""
        with ExitStack() as stack:
            with guarded(folder):
                output = stack.enter_context((folder / OUTPUT).open("wb"))
                log = stack.enter_context((folder / LOG).open("wb"))
            process = subprocess.Popen(  # noqa: S603 - a farm runs commands: SECURITY.md says for whom
                self._words(job, lease.serial, folder),
                cwd=cwd,
                env=self._environment(job, lease.serial),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
                # It holds the lease with us, see there.
                pass_fds=(lease.descriptor,) if os.name == "posix" else (),
            )
        done = threading.Event()
        wake = threading.Event()
        ending.then(wake.set)

        def wait() -> None:
            process.wait()
            done.set()
            wake.set()

        waiter = threading.Thread(target=wait, name=f"job:{lease.serial}", daemon=True)
        waiter.start()
        if not wake.wait(job.seconds):
            ending.set("expired", f"It took longer than the {job.seconds:g} seconds that it may.")
        cut = not done.is_set()
        if cut:
            _end(process, done, self.seal_seconds)
        waiter.join()
        return process.returncode, cut

    def _words(self, job: Job, serial: str, folder: Path) -> list[str]:
        words = [*self.prefix, "--device", serial, "--out", str(folder / REPLAYS), "--json", "--keep", job.keep]
        if job.app:
            words += ["--app", job.app]
        return [*words, "--", *job.command]

    def _environment(self, job: Job, serial: str) -> dict[str, str]:
        # The broker is none of the job's business.
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith(OWN_VARIABLES)}
        return {
            **own,
            "ANDROID_SERIAL": serial,
            "ANDROID_REPLAY_SHARD_INDEX": str(job.index),
            "ANDROID_REPLAY_SHARD_COUNT": str(job.count),
            MARK: job.id,
        }


@dataclass(frozen=True, slots=True)
class _Said:
    """What `run --json` said: its table, the exit code of its command, and notes on what went wrong."""

    table: Sequence[Mapping[str, Any]] = ()
    exit_code: int | None = None
    notes: str = ""


NOTHING = _Said()


def _said(path: Path) -> _Said:
    """From the last line that is such an object."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - OUTPUT_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return NOTHING
    for line in reversed(lines):
        if line.startswith(b"{"):
            with contextlib.suppress(ValueError):
                found = orjson.loads(line)
                tests = found.get("tests") if isinstance(found, dict) else None
                if isinstance(tests, list):
                    code, notes = found.get("exit_code"), found.get("notes")
                    return _Said(
                        [_test(row) for row in tests if isinstance(row, dict)],
                        code if isinstance(code, int) else None,
                        " ".join(map(str, notes)) if isinstance(notes, list) else "",
                    )
    return NOTHING


def _test(row: Mapping[str, Any]) -> dict[str, Any]:
    """Which test, which attempt, whose sessions, which replay. What it printed stays on the host."""
    sessions = row.get("sessions")
    known = [each for each in sessions if isinstance(each, dict)] if isinstance(sessions, list) else []
    ids = {
        name: ",".join(dict.fromkeys(str(session.get(name, "")) for session in known))
        for name in ("session_id", "device_id")
    }
    return {name: row.get(name) for name in COLUMNS} | ids


def _places(folder: Path) -> list[str]:
    """Where recordings are: the replays in the job's own folder."""
    return [str(file) for file in sorted((folder / REPLAYS).glob(REPLAY))]


def _end(process: subprocess.Popen[bytes], done: threading.Event, seal_seconds: float) -> None:
    """Ask the recorder alone first: it ends its command and seals what it has. Then all of them."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    if done.wait(seal_seconds):
        return
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (getattr(signal, "SIGKILL", signal.SIGTERM), None)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.kill()
        if done.wait(seconds):
            return


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def now_ms() -> int:
    """The wall clock: hosts of a farm are compared by it."""
    return time.time_ns() // 1_000_000

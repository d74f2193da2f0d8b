"""The consumer process of one device: takes jobs from an engine, one at a time, and does them. Knows no engine."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from io import RawIOBase
from pathlib import Path
from typing import Any

import orjson

from agent.errors import ConfigError, FarmError, StorageError
from agent.farm.delivery import Courier
from agent.farm.host import Board, abandoned, holder, holding
from agent.farm.job import Job, JobReport, Outcome, fits, read_job
from agent.farm.lease import Lease, LeaseTaken
from agent.farm.ledger import Ledger
from agent.farm.process import Spec
from agent.farm.status import DeviceState
from agent.farm.work import Bench, Ending, now_ms

log = logging.getLogger(__name__)

LEASE_SECONDS = 0.5


class Consumer:
    """The consumer process of one device: it leases the device, then takes jobs until it is told to end.

    `commands` gives the lines of the host after the first, and ends with it; `tell` takes lines for it.
    """

    def __init__(
        self, spec: Spec, board: Board, courier: Courier, commands: RawIOBase, tell: Callable[[bytes], None]
    ) -> None:
        self.spec = spec
        self._commands = commands
        self._tell = tell
        folder = Path(spec.folder)
        self._bench = Bench(spec.host, folder / "jobs", spec.prefix, now_ms, courier)
        self._ledger = Ledger(folder / "ledger")
        self._store = board
        # A signal's handler may come in between on the thread that holds it.
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._ending = Ending()
        self._job = ""
        self._claims: dict[str, str] = {}
        self._lease: Lease | None = None
        self._halt: Callable[[], None] = lambda: None
        self.bell, self._ringing = os.pipe()
        os.set_blocking(self.bell, False)
        os.set_blocking(self._ringing, False)

    def run(self, loop: Callable[[], None], halt: Callable[[], None]) -> None:
        """Lease the device, then run the engine's `loop`, which ends soon after `halt` (any thread), once its job has.
        Raises StorageError."""
        self._halt = halt
        threading.Thread(target=self._listen, name="farm:host", daemon=True).start()
        while not self._stop.is_set():
            try:
                self._lease = Lease(Path(self.spec.leases), self.spec.serial)
                break
            except StorageError as error:
                # Taken, or not to be had from this disk: both may pass.
                self.said("waiting", why=str(error) if isinstance(error, LeaseTaken) else f"{error} {error.hint}")
                self._stop.wait(LEASE_SECONDS)
        if self._lease is None:
            return
        try:
            # Whoever had the device before us and said nothing of its job is dead.
            for entry in self._ledger.running():
                if entry.serial == self.spec.serial:
                    self._keep(abandoned(entry.job, entry.host, entry.serial, entry.began_ms))
            if not self.stopping:
                loop()
        finally:
            self._lease.close()

    @property
    def stopping(self) -> bool:
        """Whether no further job is to be taken."""
        return self._stop.is_set()

    # By the engine's threads

    def claim(self, task: str, args: Any) -> bool:
        """Whether the message may be acknowledged: the job is claimed, or will never be begun by anyone."""
        if self.stopping:
            # It goes back into its queue, for another device.
            return False
        try:
            job = self._read(task, args[0] if args else None)
        except ConfigError as error:
            self._claims[task] = str(error)
            return True
        try:
            if self._store.get(f"report:{job.id}")[0] is not None:
                return True
            mine = self._store.put(f"claim:{job.id}", holding(self.spec.host, self.spec.serial), new=True)
            if not mine:
                who = holder(self._store.get(f"claim:{job.id}")[0])
                # Our own claim, of which the answer was lost; the ledger knows whether more came of it.
                mine = who is not None and who[0] == self.spec.host
            if mine and self._ledger.begin(job, self.spec.host, self.spec.serial, now_ms()):
                self._claims[task] = ""
                return True
        except FarmError:
            # It comes back when the broker does, to us or to others. Not to this engine, which takes no other before it
            # has an answer to this one: it is started anew.
            self.end(None, "the broker did not answer")
            return False
        except StorageError as error:
            self._claims[task] = f"{error} {error.hint}"
            return True
        log.info("a job was delivered again: it is already started")
        return True

    def work(self, task: str, facts: Any) -> None:
        """Do the job, if it is ours."""
        refused = self._claims.pop(task, None)
        if refused is None:
            return
        try:
            if refused:
                self._refuse(task, refused)
                return
            job = self._read(task, facts)
            with self._lock:
                if not self._stop.is_set() or self._ending.outcome is None:
                    self._ending = Ending()
                ending = self._ending
                self._job = job.id
            what = " ".join(job.command)[:60]
            self.said("busy", job.id, say=f"{self.spec.serial}: job {job.id[:8]} begins: {what}")
            assert self._lease is not None
            report = self._bench.work(job, self._lease, ending)
            self._keep(report)
            with self._lock:
                self._job = ""
            self.said("idle", say=f"{self.spec.serial}: job {job.id[:8]} {report.outcome} {report.reason}".rstrip())
        except StorageError as error:
            with self._lock:
                self._job = ""
            self.said("idle", say=f"{self.spec.serial}: {error} {error.hint}")

    def end_job(self, job: Any, outcome: Outcome, reason: str) -> None:
        with self._lock:
            if job and job == self._job:
                self._ending.set(outcome, reason)

    def _read(self, task: str, facts: Any) -> Job:
        if not isinstance(facts, Mapping):
            raise ConfigError("The job is no JSON object.", "")
        job = read_job(facts)
        if job.id != task:
            raise ConfigError("The job's id is not that of its message.", "")
        if not fits(job, self.spec.serial, self.spec.tags):
            raise ConfigError("The job is not for this device.", "")
        return job

    def _refuse(self, task: str, reason: str) -> None:
        try:
            report = JobReport(
                job=task, outcome="refused", host=self.spec.host, serial=self.spec.serial, reason=reason[:2000],
                ended_ms=now_ms(),
            )  # fmt: skip
        except ValueError:
            # Not even its id is one of ours: there is nobody to tell.
            log.warning("a message of the broker was no job: %s", reason)
            return
        self._keep(report)

    def _keep(self, report: JobReport) -> None:
        """Into the ledger, then to the farm; what the broker does not take now the host delivers later. What the disk
        does not take the broker may. Raises StorageError when the disk fails."""
        refusal: StorageError | None = None
        try:
            self._ledger.end(report)
        except StorageError as error:
            refusal = error
            report = report.noting(f"{error} {error.hint}")
        with contextlib.suppress(FarmError):
            self._store.put(f"report:{report.job}", report.model_dump_json().encode())
            self._ledger.delivered(report.job)
        if refusal is not None:
            raise refusal

    def said(self, state: DeviceState, job: str = "", why: str = "", say: str = "") -> None:
        # A host that has gone hears nothing.
        with contextlib.suppress(OSError, ValueError):
            self._tell(orjson.dumps({"state": state, "job": job, "why": why, "say": say}) + b"\n")

    # On the host's thread

    def _listen(self) -> None:
        for line in self._commands:
            with contextlib.suppress(ValueError, KeyError):
                said = json.loads(line)
                if "job" in said:
                    self.end_job(said["job"], said["end"], said["reason"])
                else:
                    self.end(said["end"], said["reason"])
        self.end("host-lost", "the host was killed")

    def end(self, outcome: Outcome | None, reason: str) -> None:
        """Take no further job; the running one ends with this outcome, or when its command does."""
        with self._lock:
            self._stop.set()
            if outcome is not None:
                self._ending.set(outcome, reason)
        self._halt()
        self.ring()

    def ring(self) -> None:
        """Wake the engine's loop, which reads the `bell`. Any thread; a signal handler, too."""
        with contextlib.suppress(OSError):
            os.write(self._ringing, b"!")

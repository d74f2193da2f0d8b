"""The farm of this host alone: one supervised worker, a thread, for each of its devices. Needs no broker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.errors import AgentError, StorageError
from agent.farm.health import HealthRecord, Limits
from agent.farm.job import Job, JobReport, Outcome, fits
from agent.farm.lease import Lease, LeaseTaken, kill_marked
from agent.farm.ledger import Ledger
from agent.farm.rack import HEALTH_SECONDS, Devices, Rack, Say
from agent.farm.status import DeviceState, FarmFacts, HostFacts, JobFacts, JobState
from agent.farm.work import Bench, Ending, now_ms

LEASE_SECONDS = 0.5


class LocalFarm:
    """Implements `Farm`. Its jobs end with it: what waits then is reported as stopped.

    `leases` is the folder of this host's leases. `wanted` are serials, none = all devices.
    """

    def __init__(
        self,
        devices: Devices,
        bench: Bench,
        ledger: Ledger,
        leases: Path,
        record: HealthRecord,
        limits: Limits,
        tags: Sequence[str] = (),
        wanted: Sequence[str] = (),
        say: Say = lambda text: None,
        health_seconds: float = HEALTH_SECONDS,
    ) -> None:
        self._bench = bench
        self._ledger = ledger
        self._leases = leases
        self._say = say
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._running: dict[str, tuple[str, Ending]] = {}
        self._reports: dict[str, JobReport] = {}
        # The devices that no process of this host could lease now, and why.
        self._unleasable: dict[str, str] = {}
        self._rack = Rack(devices, wanted, tags, limits, record, self._start, say, health_seconds)
        self._thread = threading.Thread(target=self._rack.serve, name="farm", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """See `Farm`. Nothing is tried of a job that an earlier process of this host has begun."""
        with self._changed:
            if job.id not in self._jobs:
                self._jobs[job.id] = job
                self._waiting.append(job)
                self._changed.notify_all()

    def report(self, job: str) -> JobReport | None:
        with self._changed:
            return self._reports.get(job)

    def stop(self, job: str) -> bool:
        with self._changed:
            running = self._running.get(job)
            if running is None:
                return self._withdraw(job, "it was stopped before it began")
        running[1].set("stopped", "it was stopped")
        return True

    def status(self) -> FarmFacts:
        host = HostFacts(self._bench.host, os.getpid(), self._rack.facts())
        with self._changed:
            jobs = tuple(self._facts(job) for job in self._jobs.values())
        return FarmFacts((host,), jobs)

    def close(self) -> None:
        """Running jobs are stopped in order and reported. Idempotent."""
        with self._changed:
            for job in list(self._waiting):
                self._withdraw(job.id, "the farm was closed before it began")
        self._rack.stop()
        self._thread.join()

    def kill(self) -> None:
        """End what runs now; the processes of jobs, too."""
        self._rack.kill()

    # With the lock

    def _facts(self, job: Job) -> JobFacts:
        report, running = self._reports.get(job.id), self._running.get(job.id)
        state: JobState = "ended" if report else "running" if running else "queued"
        serial = report.serial if report else running[0] if running else ""
        return JobFacts(
            job.id, state, job.queue, self._bench.host if serial else "", serial, report.outcome if report else ""
        )

    def _withdraw(self, job: str, reason: str) -> bool:
        found = next((each for each in self._waiting if each.id == job), None)
        if found is None:
            return False
        self._waiting.remove(found)
        self._reports[job] = JobReport(
            job=job, outcome="stopped", index=found.index, count=found.count, reason=reason, ended_ms=now_ms()
        )
        self._changed.notify_all()
        return True

    # By workers

    def _start(self, serial: str, tags: tuple[str, ...], ended: Callable[[], None]) -> _Worker:
        return _Worker(self, serial, tags, ended)

    def take(self, serial: str, tags: Sequence[str], ending: Ending, stop: threading.Event) -> Job | None:
        """The next job for a device, which is then running; None when the worker is to stop."""
        with self._changed:
            while not stop.is_set():
                for job in self._waiting:
                    if fits(job, serial, tags):
                        self._waiting.remove(job)
                        self._running[job.id] = (serial, ending)
                        return job
                self._changed.wait()
            return None

    def unleasable(self, serial: str, reason: str) -> None:
        """A device cannot be leased, through nobody's having it: jobs that no other may take are refused."""
        devices = self._rack.facts()
        with self._changed:
            news = self._unleasable.get(serial) != reason
            self._unleasable[serial] = reason
            starting = any(device.state == "starting" for device in devices)
            for job in list(self._waiting):
                able = [device.serial for device in devices if fits(job, device.serial, device.tags)]
                # What has not told its tags yet may fit as well.
                if serial in able and self._unleasable.keys() >= {*able} and (job.serial or not starting):
                    self._waiting.remove(job)
                    self._reports[job.id] = _refused(job, self._bench.host, reason)
            self._changed.notify_all()
        if news:
            self._say(f"{serial} waits: {reason}")

    def leasable(self, serial: str) -> None:
        """It can be leased, somebody has it, or it has gone."""
        with self._changed:
            self._unleasable.pop(serial, None)

    def say(self, text: str) -> None:
        self._say(text)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def done(self, report: JobReport) -> None:
        with self._changed:
            self._running.pop(report.job, None)
            self._reports[report.job] = report
            self._changed.notify_all()

    @property
    def bench(self) -> Bench:
        return self._bench

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    @property
    def leases(self) -> Path:
        return self._leases


class _Worker:
    """One device's thread."""

    def __init__(self, farm: LocalFarm, serial: str, tags: tuple[str, ...], ended: Callable[[], None]) -> None:
        self._farm = farm
        self._serial = serial
        self._tags = tags
        self._told = ended
        self._stop = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._ending = Ending()
        self._state: tuple[DeviceState, str, str] = ("starting", "", "")
        self._thread = threading.Thread(target=self._run, name=f"farm-worker:{serial}", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    @property
    def state(self) -> tuple[DeviceState, str, str]:
        return self._state

    def end(self, outcome: Outcome | None, reason: str) -> None:
        with self._lock:
            self._stop.set()
            if outcome is not None:
                self._ending.set(outcome, reason)
        self._farm.wake()

    def join(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def kill(self) -> None:
        self.end("stopped", "the farm was stopped at once")
        kill_marked(self._state[1])

    def _run(self) -> None:
        try:
            lease = self._lease()
            if lease is not None:
                try:
                    self._work(lease)
                finally:
                    lease.close()
        finally:
            self._farm.leasable(self._serial)
            self._over.set()
            self._told()

    def _lease(self) -> Lease | None:
        told = False
        while not self._stop.is_set():
            try:
                lease = Lease(self._farm.leases, self._serial)
            except LeaseTaken as error:
                self._state = ("waiting", "", str(error))
                self._farm.leasable(self._serial)
                if not told:
                    # Whoever has it may have it for days, as a farm's host does.
                    told = True
                    self._farm.say(f"{self._serial} waits: {error}")
            except StorageError as error:
                self._state = ("waiting", "", f"{error} {error.hint}")
                self._farm.unleasable(self._serial, self._state[2])
            else:
                self._farm.leasable(self._serial)
                return lease
            self._stop.wait(LEASE_SECONDS)
        return None

    def _work(self, lease: Lease) -> None:
        farm = self._farm
        while True:
            with self._lock:
                if not self._stop.is_set():
                    self._ending = Ending()
            self._state = ("idle", "", "")
            job = farm.take(self._serial, self._tags, self._ending, self._stop)
            if job is None:
                return
            self._state = ("busy", job.id, "")
            farm.done(self._report(job, lease))

    def _report(self, job: Job, lease: Lease) -> JobReport:
        farm = self._farm
        try:
            if not farm.ledger.begin(job, farm.bench.host, self._serial, now_ms()):
                known = farm.ledger.report(job.id)
                return known or _refused(job, farm.bench.host, "It is already started.")
        except AgentError as error:
            reason = f"{error} {error.hint}" if isinstance(error, StorageError) else str(error)
            return _refused(job, farm.bench.host, reason)
        report = farm.bench.work(job, lease, self._ending)
        try:
            farm.ledger.end(report)
            farm.ledger.delivered(job.id)
        except StorageError as error:
            # What became of it is known all the same.
            return report.noting(f"{error} {error.hint}")
        return report


def _refused(job: Job, host: str, reason: str) -> JobReport:
    return JobReport(
        job=job.id, outcome="refused", host=host, index=job.index, count=job.count, reason=reason, ended_ms=now_ms()
    )

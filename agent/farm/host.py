"""A host of the farm: its devices, a consumer process for each, and what it tells the others. Knows no engine."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import orjson

from agent.errors import FarmError, StorageError
from agent.farm.health import HealthRecord, Limits
from agent.farm.job import Job, JobReport
from agent.farm.lease import end_marked, held
from agent.farm.ledger import Ledger
from agent.farm.process import ConsumerProcess, Spec
from agent.farm.rack import Devices, Rack, Say
from agent.farm.status import HostFacts
from agent.farm.work import now_ms
from agent.store.disk import alive

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS, PAUSE_SECONDS, ALIVE_SECONDS = 2.0, 0.1, 10
KEEP_SECONDS = 7 * 86_400
RECONCILE_SECONDS = 30.0


class Board(Protocol):
    """Names and values that all of a farm see. Any thread; each method raises FarmError when it cannot be reached."""

    def ping(self) -> None: ...
    def get(self, *names: str) -> list[bytes | None]: ...
    def put(self, name: str, value: bytes, seconds: int = KEEP_SECONDS, new: bool = False) -> bool:
        """Whether it was put, for so long; `new`: only where nothing is."""

    def drop(self, *names: str) -> None: ...
    def join(self, host: str) -> None: ...
    def leave(self, host: str) -> None: ...
    def close(self) -> None: ...


def holding(host: str, serial: str) -> bytes:
    """Who has a job, as the board holds it."""
    return orjson.dumps([host, serial])


def holder(raw: bytes | None) -> tuple[str, str] | None:
    """The host and the serial; None where nobody has it."""
    if raw is None:
        return None
    try:
        host, serial = orjson.loads(raw)
    except ValueError:
        return "", ""
    return str(host), str(serial)


def read_host(raw: bytes | None) -> HostFacts | None:
    """A host as the board holds it; None where none is, or what is there is none."""
    if raw is None:
        return None
    try:
        return HostFacts.read(orjson.loads(raw))
    except (ValueError, KeyError, TypeError):
        return None


class HostSettings(Limits, Protocol):
    """The settings of the section `farm` that a host needs."""

    @property
    def folder(self) -> Path: ...
    @property
    def leases(self) -> Path: ...
    @property
    def keep_hours(self) -> float: ...


class Host:
    """This machine's side of the farm: its devices, a consumer process for each, and what is told to the others.

    `command` starts a consumer process, which takes jobs from the broker at `url` and runs them with `prefix`;
    `board` is what hosts and submitters share there. Raises StorageError.
    """

    def __init__(
        self,
        board: Board,
        url: str,
        name: str,
        devices: Devices,
        tags: Sequence[str],
        wanted: Sequence[str],
        settings: HostSettings,
        command: Sequence[str],
        prefix: Sequence[str],
        say: Say,
    ) -> None:
        self._store = board
        self._spec = Spec(url, name, "", (), str(settings.folder), str(settings.leases), tuple(prefix))
        self._name = name
        self._settings = settings
        self._command = command
        self._ledger = Ledger(settings.folder / "ledger")
        self._say = say
        self._away = False
        self._news = threading.Event()
        self.consumers: dict[str, ConsumerProcess] = {}
        record = HealthRecord(settings.folder / "health")
        self._rack = Rack(devices, wanted, tags, settings, record, self._start, say)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="farm:host", daemon=True)

    def open(self) -> None:
        """Raises FarmError when the broker does not answer, or another host of this name is there."""
        self._store.ping()
        there = read_host(self._store.get(f"host:{self._name}")[0])
        if there is not None and not _gone(there.pid):
            raise FarmError(f"The farm has a host {self._name} already.", "Give this one another name with --name.")
        self._store.drop(f"stop-host:{self._name}")
        self._reconcile()
        self._beat()

    def run(self) -> None:
        """Until `stop`. Running jobs are then ended in order and reported, as far as the broker answers."""
        self._thread.start()
        try:
            self._rack.serve()
        finally:
            self._stopping.set()
            self._news.set()
            self._thread.join()
            try:
                self._deliver()
                self._store.drop(f"host:{self._name}")
                self._store.leave(self._name)
            except FarmError as error:
                left = len(self._ledger.undelivered())
                self._say(f"{error} {left} reports wait on this host for its next start.")

    def close(self) -> None:
        """After `run`, or instead of it."""
        self._store.close()

    def stop(self) -> None:
        """Any thread; a signal handler, too."""
        self._rack.stop()

    def kill(self) -> None:
        """End all that runs, at once; what that was is reported by the next start."""
        self._rack.kill()

    def facts(self) -> HostFacts:
        return HostFacts(self._name, os.getpid(), self._rack.facts())

    def _start(self, serial: str, tags: tuple[str, ...], ended: Callable[[], None]) -> ConsumerProcess:
        consumer = ConsumerProcess(
            self._command, replace(self._spec, serial=serial, tags=tags), ended, self._news.set, self._say
        )
        self.consumers[serial] = consumer
        return consumer

    def _tell(self) -> None:
        reconciled = time.monotonic()
        while not self._stopping.is_set():
            # What a consumer says is told at once, and never more than some times a second.
            self._news.wait(HEARTBEAT_SECONDS)
            self._news.clear()
            self._stopping.wait(PAUSE_SECONDS)
            try:
                self._beat()
                if self._away:
                    self._away = False
                    self._say("The broker is back.")
                if time.monotonic() - reconciled > RECONCILE_SECONDS:
                    reconciled = time.monotonic()
                    self._reconcile()
            except FarmError as error:
                if not self._away:
                    self._away = True
                    self._say(f"{error} Running jobs go on and their reports wait here; it is tried again.")
            except StorageError as error:
                log.warning("the job ledger cannot be kept: %s", error)

    def _beat(self) -> None:
        host = self.facts()
        self._store.put(f"host:{self._name}", orjson.dumps(asdict(host)), ALIVE_SECONDS)
        self._store.join(self._name)
        busy = [device.job for device in host.devices if device.job]
        stop_host, *stops = self._store.get(f"stop-host:{self._name}", *(f"stop:{job}" for job in busy))
        for job, mark in zip(busy, stops, strict=True):
            for consumer in list(self.consumers.values()) if mark is not None else ():
                consumer.end_job(job, "stopped", "it was stopped")
        if stop_host is not None:
            self._store.drop(f"stop-host:{self._name}")
            self._say("The host is stopped by `farm stop --host`.")
            self._rack.stop()
        self._deliver()

    def _deliver(self) -> None:
        for report in self._ledger.undelivered():
            self._store.put(f"report:{report.job}", report.model_dump_json().encode())
            try:
                self._ledger.delivered(report.job)
            except StorageError as error:
                # It is put once more, and what comes after it is put as well.
                log.warning("the job ledger cannot be kept: %s", error)

    def _reconcile(self) -> None:
        """Report jobs that began here and run no more, for whoever ran them was killed; delete what is old."""
        busy = {device.job for device in self._rack.facts()}
        for entry in self._ledger.running():
            if entry.job.id not in busy and not held(self._settings.leases, entry.serial):
                end_marked(entry.job.id)
                self._ledger.end(abandoned(entry.job, self._name, entry.serial, entry.began_ms))
        if self._settings.keep_hours:
            self._ledger.forget(self._settings.keep_hours * 3600, self._settings.folder / "jobs")


def _gone(pid: int) -> bool:
    """Whether no other process of this machine has the number: enough to begin again after a crash, for a host that is
    elsewhere has another name. In a container each life of a host has the same."""
    return pid == os.getpid() or not alive(pid)


def abandoned(job: Job, host: str, serial: str, began_ms: int) -> JobReport:
    """What is said of a job whose worker can say nothing any more."""
    return JobReport(
        job=job.id, outcome="host-lost", host=host, serial=serial, index=job.index, count=job.count,
        reason="its worker was killed", began_ms=began_ms, ended_ms=now_ms(),
    )  # fmt: skip

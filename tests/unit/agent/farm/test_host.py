"""A host without an engine: what it tells the others, hears from them, and reports of what was killed."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fakes.board import SharedBoard
from fakes.wait import until
from farming.plugged import Plugged

from agent.errors import FarmError
from agent.farm import host as host_module
from agent.farm.host import Host, holder, holding, read_host
from agent.farm.job import Job, JobReport, read_report
from agent.farm.lease import Lease
from agent.farm.ledger import Ledger
from agent.farm.status import HostFacts
from agent.settings import Farm

# A consumer that does what its host says: busy with the job JOB until that is to end.
CONSUMER = """
import json, sys
def say(state, job):
    print(json.dumps({"state": state, "job": job, "why": "", "say": state}), flush=True)
say("busy", JOB)
for line in sys.stdin:
    told = json.loads(line)
    if told.get("job") == JOB:
        say("idle", "")
    elif "end" in told:
        break
"""
RUNNING = "ab" * 16


class Bed:
    def __init__(self, folder: Path) -> None:
        self.board, self.devices, self.ledger = SharedBoard(), Plugged(), Ledger(folder / "ledger")
        self.folder = folder
        self.said: list[str] = []
        self.settings = Farm(folder=folder, leases=folder / "leases", keep_hours=1)
        self.host = self.another("here")
        self._thread = threading.Thread(target=self.host.run)

    def another(self, name: str) -> Host:
        command = (sys.executable, "-S", "-c", f"JOB = {RUNNING!r}\n{CONSUMER}")
        say = self.said.append
        return Host(self.board, "redis://h", name, self.devices, ("rack",), (), self.settings, command, ("run",), say)

    def start(self) -> None:
        self.host.open()
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self.host.stop()
            self._thread.join()
        self.host.close()

    def told(self) -> HostFacts | None:
        return read_host(self.board.values.get("host:here"))


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.setattr(host_module, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(host_module, "PAUSE_SECONDS", 0.01)
    made = Bed(tmp_path)
    yield made
    made.close()


def test_it_tells_how_it_is_until_it_says_goodbye(bed: Bed) -> None:
    bed.start()
    assert bed.told() == HostFacts("here", os.getpid())
    bed.devices.plug("A1", "fold")
    until(lambda: (facts := bed.told()) and facts.devices and facts.devices[0].state == "busy", "the device")
    facts = bed.told()
    assert facts is not None
    assert (facts.devices[0].tags, facts.devices[0].job) == (("rack", "fold"), RUNNING)
    assert bed.board.hosts == {"here"}
    bed.close()
    assert bed.told() is None
    assert bed.board.hosts == set()
    assert bed.board.closed


def test_it_hears_what_is_to_be_stopped(bed: Bed) -> None:
    bed.start()
    bed.devices.plug("A1")
    until(lambda: "busy" in bed.said, "the job")
    bed.board.put(f"stop:{RUNNING}", b"1")
    until(lambda: "idle" in bed.said, "the job to be stopped")
    bed.board.put("stop-host:here", b"1")
    until(lambda: bed.told() is None, "the host to be stopped")
    assert "stop-host:here" not in bed.board.values


def test_it_delivers_what_waits_when_the_broker_is_back(bed: Bed) -> None:
    bed.start()
    bed.board.away = True
    until(lambda: bed.said, "it to notice")
    job = Job(command=("true",))
    bed.ledger.begin(job, "here", "A1", 5)
    bed.ledger.end(JobReport(job=job.id, outcome="passed"))
    bed.board.away = False
    until(lambda: f"report:{job.id}" in bed.board.values, "the report")
    until(lambda: len(bed.said) == 2, "it to notice")
    assert "Running jobs go on" in bed.said[0]
    assert bed.said[1] == "The broker is back."
    assert bed.ledger.undelivered() == []


def test_a_ledger_that_cannot_be_kept_hides_neither_other_reports_nor_what_is_to_be_stopped(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    jobs = [Job(command=("true",)), Job(command=("true",))]
    for job in jobs:
        bed.ledger.begin(job, "here", "A1", 5)
        bed.ledger.end(JobReport(job=job.id, outcome="passed"))
    bed.start()
    bed.devices.plug("A1")
    until(lambda: "busy" in bed.said, "the job")
    until(lambda: all(f"report:{job.id}" in bed.board.values for job in jobs), "both reports")
    bed.board.put(f"stop:{RUNNING}", b"1")
    until(lambda: "idle" in bed.said, "the job to be stopped")


def test_what_the_broker_does_not_take_at_the_end_waits_for_the_next_start(bed: Bed) -> None:
    bed.start()
    job = Job(command=("true",))
    bed.board.away = True
    bed.ledger.begin(job, "here", "A1", 5)
    bed.ledger.end(JobReport(job=job.id, outcome="passed"))
    bed.close()
    assert "1 reports wait on this host for its next start" in bed.said[-1]


def test_it_reports_jobs_whose_worker_was_killed_and_no_others(bed: Bed) -> None:
    cut, held = Job(command=("true",)), Job(command=("true",))
    bed.ledger.begin(cut, "here", "A1", 5)
    bed.ledger.begin(held, "here", "B2", 5)
    lease = Lease(bed.settings.leases, "B2")
    bed.start()
    until(lambda: f"report:{cut.id}" in bed.board.values, "the report")
    report = read_report(bed.board.values[f"report:{cut.id}"])
    assert (report.outcome, report.host, report.serial, report.began_ms) == ("host-lost", "here", "A1", 5)
    # Somebody has the device still: it is their job.
    assert [entry.job for entry in bed.ledger.running()] == [held]
    lease.close()


def test_what_was_delivered_long_ago_is_deleted(bed: Bed) -> None:
    job = Job(command=("true",))
    bed.ledger.begin(job, "here", "A1", 5)
    bed.ledger.end(JobReport(job=job.id, outcome="passed"))
    bed.ledger.delivered(job.id)
    os.utime(bed.folder / "ledger" / f"{job.id}.delivered", (1e9, 1e9))
    (bed.folder / "jobs" / job.id).mkdir(parents=True)
    bed.start()
    assert not (bed.folder / "jobs" / job.id).exists()
    assert bed.ledger.entry(job.id) is None


def test_of_one_name_there_is_one_host(bed: Bed) -> None:
    bed.board.put("host:here", orjson.dumps(HostFacts("here", os.getppid())))
    with pytest.raises(FarmError, match="has a host here already"):
        bed.host.open()
    # In a container each life of a host has the same number.
    bed.board.put("host:here", orjson.dumps(HostFacts("here", os.getpid())))
    bed.host.open()
    # One that was killed is shown for some seconds more.
    gone = HostFacts("here", 1 << 22)
    bed.board.put("host:here", orjson.dumps(replace(gone, pid=(1 << 22) + 5)))
    bed.start()


def test_it_ends_at_once(bed: Bed) -> None:
    bed.start()
    bed.devices.plug("A1")
    until(lambda: "busy" in bed.said, "the job")
    bed.host.kill()
    until(lambda: any("started again" in said for said in bed.said), "the worker to be gone")


def test_who_has_a_job() -> None:
    assert holder(holding("here", "A1")) == ("here", "A1")
    assert holder(None) is None
    assert holder(b"{") == ("", "")
    assert read_host(b"{") is read_host(None) is read_host(b"[]") is None

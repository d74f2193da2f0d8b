"""A consumer without an engine: what is claimed, begun and reported, and what the host says to it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import orjson
import pytest
from fakes.board import SharedBoard
from fakes.wait import until
from farming.running import PREFIX, nowhere

from agent.errors import StorageFull
from agent.farm.consumer import Consumer
from agent.farm.host import holding
from agent.farm.job import Job, JobReport, read_report
from agent.farm.lease import Lease, held
from agent.farm.ledger import Ledger
from agent.farm.process import Spec

PASS = (sys.executable, "-S", "-c", "pass")
SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


class Bed:
    """A running consumer of the device A1; its engine does nothing but wait for the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leases = folder / "leases"
        self.board = SharedBoard()
        self.ledger = Ledger(folder / "ledger")
        self.said: list[dict[str, str]] = []
        source, self._host = os.pipe()
        self._source = FileIO(source)
        spec = Spec("redis://h", "here", "A1", ("x",), str(folder), str(self.leases), PREFIX)
        self.consumer = Consumer(
            spec, self.board, nowhere, self._source, lambda line: self.said.append(orjson.loads(line))
        )
        self._halted, self.looping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self.consumer.run, args=(self._loop, self._halted.set))
        self._working = threading.Lock()
        self._open = True

    def start(self) -> Bed:
        self._thread.start()
        return self

    def _loop(self) -> None:
        self.looping.set()
        self._halted.wait()
        # A pool that ends waits for what it does.
        with self._working:
            pass

    def tell(self, **words: object) -> None:
        os.write(self._host, orjson.dumps(words) + b"\n")

    def deliver(self, job: Job, task: str = "") -> bool:
        """As the engine does: claim, then work. Whether the message was acknowledged."""
        facts = job.model_dump(mode="json")
        with self._working:
            acknowledged = self.consumer.claim(task or job.id, [facts])
            self.consumer.work(task or job.id, facts)
        return acknowledged

    def report(self, job: Job) -> JobReport | None:
        raw = self.board.values.get(f"report:{job.id}")
        return None if raw is None else read_report(raw)

    def leave(self) -> None:
        """The host is gone."""
        if self._open:
            self._open = False
            os.close(self._host)

    def join(self) -> None:
        self.leave()
        if self._thread.is_alive():
            self._thread.join(10)
        # Whoever reads it has come to its end.
        until(lambda: not any(each.name == "farm:host" for each in threading.enumerate()), "the reader's end")
        self._source.close()


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.setenv("FARM_TRUTH", str(tmp_path))
    made = Bed(tmp_path)
    yield made
    made.join()


def _job(command: tuple[str, ...] = PASS, **options: object) -> Job:
    return Job(command=command, **options)  # type: ignore[arg-type]


def test_a_job_is_claimed_then_noted_then_done_then_reported(bed: Bed) -> None:
    bed.start().looping.wait(10)
    job = _job()
    assert bed.deliver(job)
    report = bed.report(job)
    assert report is not None
    assert (report.outcome, report.serial, report.host) == ("passed", "A1", "here")
    assert bed.board.values[f"claim:{job.id}"] == holding("here", "A1")
    assert bed.ledger.report(job.id) == report
    assert bed.ledger.undelivered() == []
    assert [said["state"] for said in bed.said if said["say"]] == ["busy", "idle"]


def test_what_is_delivered_again_is_not_done_again(bed: Bed) -> None:
    bed.start().looping.wait(10)
    job, others, reported = _job(), _job(), _job()
    bed.deliver(job)
    said = len(bed.said)
    bed.board.put(f"claim:{others.id}", holding("there", "B2"))
    bed.board.put(f"report:{reported.id}", JobReport(job=reported.id, outcome="lost").model_dump_json().encode())
    for each in (job, others, reported):
        assert bed.deliver(each)
    assert len(bed.said) == said
    assert bed.ledger.entry(others.id) is bed.ledger.entry(reported.id) is None


def test_our_own_claim_of_which_we_did_not_hear_is_ours(bed: Bed) -> None:
    bed.start().looping.wait(10)
    job = _job()
    bed.board.put(f"claim:{job.id}", holding("here", "A1"))
    assert bed.deliver(job)
    assert bed.report(job) is not None


def test_without_a_broker_nothing_is_begun_and_nothing_acknowledged(bed: Bed) -> None:
    bed.start().looping.wait(10)
    job = _job()
    bed.board.away = True
    assert not bed.deliver(job)
    assert bed.ledger.entry(job.id) is None
    # Its engine would take no other before this one: the rack starts another.
    assert bed.consumer.stopping


def test_a_report_that_the_broker_does_not_take_waits(bed: Bed) -> None:
    bed.start().looping.wait(10)
    job = _job()
    facts = job.model_dump(mode="json")
    assert bed.consumer.claim(job.id, [facts])
    bed.board.away = True
    bed.consumer.work(job.id, facts)
    assert [report.outcome for report in bed.ledger.undelivered()] == ["passed"]


def _full(ledger: Ledger, report: JobReport) -> None:
    raise StorageFull("No room.", "Free some space.")


def test_a_report_that_the_disk_does_not_take_the_broker_does(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.start().looping.wait(10)
    job = _job()
    monkeypatch.setattr(Ledger, "end", _full)
    assert bed.deliver(job)
    report = bed.report(job)
    assert report is not None
    assert (report.outcome, report.reason) == ("passed", "No room. Free some space.")
    assert "No room" in bed.said[-1]["say"]
    # Nobody says later that its worker was killed.
    assert bed.ledger.running() == []


@pytest.mark.parametrize("args", [None, [], ["text"], [None], [{"command": []}], [{"bogus": 1}]])
def test_what_is_no_job_is_acknowledged_and_refused(bed: Bed, args: list[object] | None) -> None:
    bed.start().looping.wait(10)
    task = "ab" * 16
    assert bed.consumer.claim(task, args)
    bed.consumer.work(task, args)
    assert read_report(bed.board.values[f"report:{task}"]).outcome == "refused"
    # One whose id is none of ours has nobody to tell.
    assert bed.consumer.claim("bogus", args)
    bed.consumer.work("bogus", args)
    assert [name for name in bed.board.values if "bogus" in name] == []


def test_a_job_under_another_id_or_for_another_device_is_refused(bed: Bed) -> None:
    bed.start().looping.wait(10)
    foreign, job = _job(serial="B2"), _job()
    assert bed.deliver(foreign)
    assert bed.deliver(job, "cd" * 16)
    report = bed.report(foreign)
    assert report is not None
    assert "not for this device" in report.reason
    assert bed.report(job) is None


def _while_running(bed: Bed, job: Job, act: Callable[[], None]) -> JobReport:
    thread = threading.Thread(target=bed.deliver, args=(job,))
    thread.start()
    until(lambda: (bed.folder / "truth.jsonl").exists(), "the job to begin")
    act()
    thread.join()
    report = bed.report(job)
    assert report is not None
    return report


def test_the_host_stops_a_job(bed: Bed) -> None:
    bed.start().looping.wait(10)
    job = _job(SLEEP)
    report = _while_running(bed, job, lambda: bed.tell(job=job.id, end="stopped", reason="no need"))
    assert (report.outcome, report.reason) == ("stopped", "no need")
    assert not bed.consumer.stopping
    # A job that is no longer there is not meant.
    bed.tell(job=job.id, end="stopped", reason="no need")
    next_job = _job()
    bed.deliver(next_job)
    after = bed.report(next_job)
    assert after is not None
    assert after.outcome == "passed"


def test_the_device_goes(bed: Bed) -> None:
    bed.start().looping.wait(10)
    report = _while_running(bed, _job(SLEEP), lambda: bed.tell(end="device-lost", reason="it went away"))
    assert report.outcome == "device-lost"
    late = _job()
    # What comes now goes back, for another device.
    assert not bed.deliver(late)
    assert f"claim:{late.id}" not in bed.board.values


def test_the_host_goes(bed: Bed) -> None:
    bed.start().looping.wait(10)
    report = _while_running(bed, _job(SLEEP), bed.leave)
    assert (report.outcome, report.reason) == ("host-lost", "the host was killed")
    bed.join()
    assert not held(bed.leases, "A1")


def test_it_waits_for_the_device_and_reports_what_its_last_holder_did_not(bed: Bed) -> None:
    other = Lease(bed.leases, "A1")
    cut, elsewhere = _job(), _job()
    bed.ledger.begin(cut, "here", "A1", 5)
    bed.ledger.begin(elsewhere, "here", "B2", 5)
    bed.start()
    until(lambda: any(said["state"] == "waiting" for said in bed.said), "it to wait")
    assert bed.report(cut) is None
    other.close()
    until(lambda: bed.report(cut), "the report")
    report = bed.report(cut)
    assert report is not None
    assert (report.outcome, report.serial) == ("host-lost", "A1")
    assert bed.report(elsewhere) is None


def test_it_waits_for_a_lease_that_the_disk_refuses_and_says_why(bed: Bed) -> None:
    bed.leases.touch()
    bed.start()
    until(lambda: bed.said, "it to wait")
    assert bed.said[0]["state"] == "waiting"
    assert f"{bed.leases} cannot be written" in bed.said[0]["why"]
    bed.leases.unlink()
    assert bed.looping.wait(10)


def test_one_that_is_ended_while_it_waits_takes_no_job(bed: Bed) -> None:
    other = Lease(bed.leases, "A1")
    bed.start()
    until(lambda: bed.said, "it to wait")
    bed.tell(end=None, reason="")
    bed.join()
    assert not bed.looping.is_set()
    other.close()

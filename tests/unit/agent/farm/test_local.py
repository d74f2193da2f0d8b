"""What is LocalFarm's own; what every farm promises is in tests/integration/test_farm.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.wait import until
from farming.plugged import Plugged
from farming.running import PREFIX, nowhere

from agent.errors import StorageFull
from agent.farm.health import HealthRecord
from agent.farm.job import Job, JobReport
from agent.farm.lease import Lease
from agent.farm.ledger import Ledger
from agent.farm.local import LocalFarm
from agent.farm.work import Bench, now_ms
from agent.settings import Farm

PASS = (sys.executable, "-S", "-c", "pass")
SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
Make = Callable[[], tuple[LocalFarm, Plugged]]


@pytest.fixture
def said() -> list[str]:
    """What the farms say."""
    return []


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Iterator[Make]:
    monkeypatch.setenv("FARM_TRUTH", str(tmp_path))
    made: list[LocalFarm] = []

    def farm() -> tuple[LocalFarm, Plugged]:
        devices = Plugged()
        bench = Bench("here", tmp_path / "jobs", PREFIX, now_ms, nowhere)
        record = HealthRecord(tmp_path / "health")
        ledger = Ledger(tmp_path / "ledger")
        made.append(LocalFarm(devices, bench, ledger, tmp_path / "leases", record, Farm(), say=said.append))
        return made[-1], devices

    yield farm
    for each in made:
        each.close()


def _report(farm: LocalFarm, job: Job) -> JobReport:
    until(lambda: farm.report(job.id), "the report")
    report = farm.report(job.id)
    assert report is not None
    return report


def test_what_an_earlier_farm_has_done_is_not_done_again(make: Make) -> None:
    (first, devices), job = make(), Job(command=PASS)
    devices.plug("A1")
    first.submit(job)
    done = _report(first, job)
    first.close()
    second, devices = make()
    devices.plug("A1")
    second.submit(job)
    assert _report(second, job) == done


def test_what_an_earlier_farm_has_begun_is_already_started(make: Make, tmp_path: Path) -> None:
    job = Job(command=PASS)
    Ledger(tmp_path / "ledger").begin(job, "here", "A1", 5)
    farm, devices = make()
    devices.plug("A1")
    farm.submit(job)
    report = _report(farm, job)
    assert (report.outcome, report.reason) == ("refused", "It is already started.")


def test_what_became_of_a_job_is_told_whatever_the_disk_says_of_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(ledger: Ledger, report: JobReport) -> None:
        raise StorageFull("No room.", "Free some space.")

    monkeypatch.setattr(Ledger, "end", full)
    (farm, devices), job = make(), Job(command=PASS)
    devices.plug("A1")
    farm.submit(job)
    report = _report(farm, job)
    assert (report.outcome, report.exit_code, report.reason) == ("passed", 0, "No room. Free some space.")


def test_two_farms_of_one_host_never_share_a_device(make: Make, said: list[str]) -> None:
    (first, one), (second, two) = make(), make()
    one.plug("A1")
    long, job = Job(command=SLEEP), Job(command=PASS)
    first.submit(long)
    until(lambda: first.status().hosts[0].devices and first.status().hosts[0].devices[0].state == "busy", "the job")
    two.plug("A1")
    second.submit(job)
    until(lambda: second.status().hosts[0].devices and second.status().hosts[0].devices[0].state == "waiting", "it")
    why = second.status().hosts[0].devices[0].why
    assert "leased by process" in why
    first.close()
    assert _report(second, job).outcome == "passed"
    # Nobody waits without a word, and nobody hears it twice.
    assert [text for text in said if "waits" in text] == [f"A1 waits: {why}"]


def _why(farm: LocalFarm) -> dict[str, str]:
    """Why devices wait."""
    return {device.serial: device.why for device in farm.status().hosts[0].devices if device.state == "waiting"}


def test_a_lease_that_the_disk_refuses_is_told_and_what_hangs_on_it_is_refused(
    make: Make, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / "leases").touch()
    farm, devices = make()
    early, later, elsewhere = Job(command=PASS), Job(command=PASS, serial="A1"), Job(command=PASS, serial="C3")
    farm.submit(early)
    devices.plug("A1")
    until(lambda: _why(farm), "it to wait")
    for job in (later, elsewhere):
        farm.submit(job)
    for job in (early, later):
        report = _report(farm, job)
        assert report.outcome == "refused"
        assert f"{tmp_path / 'leases'} cannot be written: a file is in the way" in report.reason
        assert report.reason == _why(farm)["A1"]
    # What waits for another device goes on to wait, and the worker lives.
    assert farm.report(elsewhere.id) is None
    assert said == [f"A1 waits: {report.reason}"]
    (tmp_path / "leases").unlink()
    again = Job(command=PASS)
    until(lambda: not _why(farm), "the lease")
    farm.submit(again)
    assert _report(farm, again).outcome == "passed"
    assert len(said) == 1


def test_what_another_device_may_take_is_not_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(Lease):
        def __init__(self, folder: Path, serial: str) -> None:
            if serial == "A1":
                raise StorageFull("No room.", "Free some space.")
            super().__init__(folder, serial)

    monkeypatch.setattr("agent.farm.local.Lease", Half)
    farm, devices = make()
    devices.plug("A1")
    devices.plug("B2")
    until(lambda: _why(farm) and len(farm.status().hosts[0].devices) == 2, "them")
    long, job = Job(command=SLEEP), Job(command=PASS)
    farm.submit(long)
    until(lambda: any(each.state == "running" for each in farm.status().jobs), "the job")
    farm.submit(job)
    only = Job(command=PASS, serial="A1")
    farm.submit(only)
    assert _report(farm, only).reason == "No room. Free some space."
    assert farm.report(job.id) is None
    farm.stop(long.id)
    assert _report(farm, job).outcome == "passed"


def test_a_farm_that_closes_reports_all_of_its_jobs(make: Make) -> None:
    farm, devices = make()
    devices.plug("A1")
    running, waiting = Job(command=SLEEP), Job(command=PASS, tags=("nobody",))
    farm.submit(running)
    farm.submit(waiting)
    until(lambda: any(job.state == "running" for job in farm.status().jobs), "the job")
    farm.close()
    assert {job.outcome for job in farm.status().jobs} == {"stopped"}
    assert _report(farm, running).serial == "A1"
    assert _report(farm, waiting).serial == ""


def test_it_is_ended_at_once(make: Make) -> None:
    farm, devices = make()
    devices.plug("A1")
    job = Job(command=SLEEP)
    farm.submit(job)
    until(lambda: any(each.state == "running" for each in farm.status().jobs), "the job")
    farm.kill()
    assert _report(farm, job).outcome == "stopped"

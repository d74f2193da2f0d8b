"""What a farm promises, by this host alone and by Celery over Redis: the same tests for both."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes.broker import redis_server
from fakes.wait import until
from farming.plugged import Plugged
from farming.redis_server import PASSWORD, RedisServer
from farming.running import PREFIX, nowhere

from agent.errors import FarmError
from agent.farm.health import HealthRecord
from agent.farm.job import Job, JobReport
from agent.farm.lease import Lease
from agent.farm.ledger import Ledger
from agent.farm.local import LocalFarm
from agent.farm.status import Farm
from agent.farm.work import Bench, now_ms
from agent.settings import Farm as FarmSettings

SECONDS = 20.0
SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
PASS = (sys.executable, "-S", "-c", "pass")
CONSUME = (sys.executable, "-P", "-m", "agent.cli", "farm", "consume")


class Bed:
    """A farm under test, its devices, and what the stand-in for `run` noted."""

    def __init__(
        self,
        farm: Farm,
        devices: Plugged,
        folder: Path,
        redis: RedisServer | None = None,
        said: Sequence[str] = (),
    ) -> None:
        self.farm = farm
        self.redis = redis
        self.said = said
        self.devices = devices
        self.folder = folder
        self.leases = folder / "leases"

    def report(self, job: Job) -> JobReport:
        found: list[JobReport] = []

        def ended() -> bool:
            try:
                report = self.farm.report(job.id)
            except FarmError:
                return False
            found.extend([] if report is None else [report])
            return bool(found)

        until(ended, f"the report of {job.command}", SECONDS, 0.02)
        return found[0]

    def state(self, serial: str) -> str:
        devices = [each for host in self.farm.status().hosts for each in host.devices if each.serial == serial]
        return devices[0].state if devices else ""

    def become(self, serial: str, state: str) -> None:
        until(lambda: self.state(serial) == state, f"{serial} to be {state!r}", SECONDS, 0.05)

    def began(self, job: Job) -> list[dict[str, object]]:
        return [row for row in self.truth() if row["job"] == job.id and row["what"] == "began"]

    def truth(self) -> list[dict[str, object]]:
        file = self.folder / "truth.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module", params=["local", "celery"])
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("farm")
    settings = FarmSettings(
        folder=folder, leases=folder / "leases", quarantine_offline=99, broker=""  # type: ignore[arg-type]
    )  # fmt: skip
    devices = Plugged()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARM_TRUTH", str(folder))
        if request.param == "local":
            bench = Bench("here", folder / "jobs", PREFIX, now_ms, nowhere)
            record = HealthRecord(folder / "health")
            local = LocalFarm(
                devices, bench, Ledger(folder / "ledger"), settings.leases, record, settings, ("rack",),
                health_seconds=0.2,
            )  # fmt: skip
            try:
                yield Bed(local, devices, folder)
            finally:
                local.close()
            return
        redis = redis_server(folder, durable=True)
        from agent.farm import celery

        with redis:
            said: list[str] = []
            host = celery.host(redis.url, "here", devices, ("rack",), (), settings, CONSUME, PREFIX, said.append)
            host.open()
            thread = threading.Thread(target=host.run)
            thread.start()
            farm = celery.CeleryFarm(redis.url)
            try:
                yield Bed(farm, devices, folder, redis, said)
            finally:
                farm.close()
                host.stop()
                thread.join()
                host.close()


@pytest.fixture(scope="module")
def one(bed: Bed) -> Bed:
    """With one device that stays."""
    bed.devices.plug("ONE", "android-14")
    bed.become("ONE", "idle")
    return bed


def test_a_job_runs_on_a_device_and_is_reported(one: Bed) -> None:
    job = Job(command=PASS, tags=("rack", "android-14"), index=1, count=3)
    one.farm.submit(job)
    report = one.report(job)
    assert (report.outcome, report.exit_code, report.serial, report.host) == ("passed", 0, "ONE", "here")
    assert (report.index, report.count) == (1, 3)
    assert report.table[0]["test"] == " ".join(PASS)
    assert (report.table[0]["session_id"], report.table[0]["device_id"]) == ("1760000000000", "d-1")
    assert Path(report.replays[0]).name == "whole.replay"
    (row,) = one.began(job)
    assert row["env"] == {
        "ANDROID_SERIAL": "ONE",
        "ANDROID_REPLAY_SHARD_INDEX": "1",
        "ANDROID_REPLAY_SHARD_COUNT": "3",
        "ANDROID_REPLAY_FARM_JOB": job.id,
    }
    (known,) = [each for each in one.farm.status().jobs if each.id == job.id]
    assert (known.state, known.outcome, known.serial) == ("ended", "passed", "ONE")


def test_a_job_that_is_handed_in_again_does_not_run_again(one: Bed) -> None:
    job, next_job = Job(command=PASS), Job(command=PASS)
    one.farm.submit(job)
    first = one.report(job)
    one.farm.submit(job)
    one.farm.submit(next_job)
    one.report(next_job)
    assert len(one.began(job)) == 1
    assert one.farm.report(job.id) == first


def test_the_command_has_its_own_exit_code(one: Bed) -> None:
    job = Job(command=(sys.executable, "-S", "-c", "raise SystemExit(7)"))
    one.farm.submit(job)
    report = one.report(job)
    assert (report.outcome, report.exit_code, report.table[0]["outcome"]) == ("failed", 7, "failed")
    assert "log.txt" in report.reason


def test_a_job_that_cannot_run_is_refused(one: Bed) -> None:
    job = Job(command=PASS, cwd="/no/such/folder")
    one.farm.submit(job)
    report = one.report(job)
    assert (report.outcome, report.exit_code) == ("refused", None)
    assert "/no/such/folder" in report.reason


def test_a_job_that_takes_too_long_is_ended(one: Bed) -> None:
    job = Job(command=SLEEP, seconds=0.3)
    one.farm.submit(job)
    report = one.report(job)
    assert (report.outcome, report.partial, report.exit_code) == ("expired", True, None)
    assert "longer than the 0.3 seconds" in report.reason


def test_jobs_are_stopped_while_they_run_and_while_they_wait(one: Bed) -> None:
    running, waiting = Job(command=SLEEP), Job(command=SLEEP)
    one.farm.submit(running)
    until(lambda: one.began(running), "the job to begin", SECONDS)
    one.become("ONE", "busy")
    one.farm.submit(waiting)
    assert one.farm.stop(waiting.id)
    assert one.farm.stop(running.id)
    assert (one.report(waiting).outcome, one.report(running).outcome) == ("stopped", "stopped")
    assert not one.farm.stop(running.id)
    assert not one.farm.stop("0" * 32)
    assert one.began(waiting) == []


def test_devices_come_and_go(one: Bed) -> None:
    """A job waits for its tags; the device that comes is another process's, and takes it when that lets go, while the
    other one is busy; its loss ends the job."""
    long, wanted = Job(command=SLEEP, serial="ONE"), Job(command=SLEEP, tags=("rack", "fold"))
    one.farm.submit(long)
    until(lambda: one.began(long), "the job to begin", SECONDS)
    one.farm.submit(wanted)
    other = Lease(one.leases, "TWO")
    one.devices.plug("TWO", "fold")
    one.become("TWO", "waiting")
    assert one.farm.report(wanted.id) is None
    other.close()
    until(lambda: one.began(wanted), "the device that came to take its job", SECONDS)
    assert one.began(wanted)[0]["device"] == "TWO"
    one.devices.pull("TWO")
    report = one.report(wanted)
    assert (report.outcome, report.partial, report.serial) == ("device-lost", True, "TWO")
    assert report.table[0]["outcome"] == "cut"
    one.become("TWO", "")
    one.farm.stop(long.id)
    assert one.report(long).outcome == "stopped"
    assert len(one.began(wanted)) == 1


def test_what_is_no_job_is_refused(one: Bed) -> None:
    if one.redis is None:
        pytest.skip("comes from a broker alone")
    from agent.farm import celery

    app = celery.application(one.redis.url)
    wrong, foreign = Job(command=PASS), Job(command=PASS, serial="TWO")
    app.send_task(celery.TASK, args=[{"id": wrong.id, "command": []}], task_id=wrong.id, queue=wrong.queue)
    app.send_task(celery.TASK, args=[foreign.model_dump(mode="json")], task_id=foreign.id, queue=wrong.queue)
    app.send_task(celery.TASK, args=["no job"], task_id="no-id", queue=wrong.queue)
    app.send_task("os.system", args=["true"], queue=wrong.queue)
    assert "command" in one.report(wrong).reason
    assert "not for this device" in one.report(foreign).reason
    assert one.began(wrong) == one.began(foreign) == []


def test_a_broker_that_goes_away_ends_no_job(one: Bed) -> None:
    if one.redis is None:
        pytest.skip("needs a broker")
    go = one.folder / "go"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(.02)"
    slow = Job(command=(*PASS[:-1], wait))
    one.farm.submit(slow)
    until(lambda: one.began(slow), "the job to begin", SECONDS)
    one.redis.kill()
    until(lambda: any("Running jobs go on" in said for said in one.said), "the host to notice", SECONDS)
    go.touch()
    until(lambda: Ledger(one.folder / "ledger").report(slow.id), "the job to end", SECONDS)
    one.redis.start()
    assert one.report(slow).outcome == "passed"
    until(lambda: "The broker is back." in one.said, "the host to notice", SECONDS)
    assert not any(PASSWORD in said for said in one.said)
    after = Job(command=PASS)
    one.farm.submit(after)
    assert one.report(after).outcome == "passed"
    assert len(one.began(slow)) == 1


def test_no_device_was_shared(one: Bed) -> None:
    assert [row for row in one.truth() if row["what"] == "shared"] == []

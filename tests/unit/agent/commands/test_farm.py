from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.adb_server import FakeAdbServer, says
from fakes.broker import redis_server, require_redis
from fakes.wait import until
from farming.redis_server import PASSWORD
from farming.running import PREFIX

from agent.commands import farm
from agent.errors import FarmError
from agent.farm.job import Job, JobReport
from agent.farm.ledger import Ledger
from agent.farm.rack import Change
from agent.settings import load

PASS = (sys.executable, "-S", "-c", "pass")
AWAY = f"redis://:{PASSWORD}@127.0.0.1:1/0"
BATTERY = b"  level: 83\n  scale: 100\n  temperature: 287\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAdbServer]:
    """adb with two phones; jobs are done by the stand-in for `run`."""
    monkeypatch.setenv("FARM_TRUTH", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(farm, "_run_words", lambda config: PREFIX)
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        server.states = {"emulator-5554": "device", "R58": "device"}
        server.services["exec:getprop ro.build.version.release"] = says(b"14\n")
        yield server


def test_without_a_broker_the_phones_of_this_host_do_it(call, server: FakeAdbServer, tmp_path: Path) -> None:
    script = "import os, sys; sys.exit(int(os.environ['ANDROID_REPLAY_SHARD_INDEX']) == 2)"
    ended = call("farm", "submit", "--tag", "android-14", "--shard", "3", "--", sys.executable, "-S", "-c", script)
    assert ended.code == 21
    assert "1 of 3 jobs did not pass; the first is shard 2" in ended.err
    assert "[3/3]" in ended.err
    lines = ended.out.splitlines()
    assert [line.split()[4] for line in lines[1:4]] == ["passed", "passed", "failed"]
    assert {line.split()[3] for line in lines[1:4]} <= {"emulator-5554", "R58"}
    # It ran here, in this folder.
    tests = [line.split() for line in lines[5:]]
    assert [words[-4:] for words in tests] == [
        [outcome, "1760000000000", "d-1", "whole.replay"] for outcome in ("passed", "passed", "failed")
    ]
    assert not (tmp_path / "android-replay" / "farm" / "jobs" / "x").exists()


def test_reports_as_json(call, server: FakeAdbServer) -> None:
    ended = call("farm", "submit", "-s", "R58", "--json", "--", *PASS)
    assert ended.code == 0
    (report,) = map(json.loads, ended.out.splitlines())
    assert (report["outcome"], report["serial"], report["exit_code"]) == ("passed", "R58", 0)
    assert report["table"][0]["outcome"] == "passed"


def test_no_device_fits(call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm, "FOUND_SECONDS", 1.0)
    ended = call("farm", "submit", "--tag", "fold", "--", *PASS)
    assert ended.code == 3
    assert "has the tags fold" in ended.err
    assert "android-14" in ended.err
    server.states = {}
    ended = call("farm", "submit", "--", *PASS)
    assert (ended.code, "has no device" in ended.err) == (3, True)


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "--tag", "Not A Tag", "--", "true"),
        ("submit", "--sink", "ftp:x", "--", "true"),
        ("submit",),
        ("stop",),
        ("stop", "abc", "--host", "x"),
        ("stop", "abc"),
        ("status",),
        ("host", "--all"),
        ("host", "--all", "--broker", "http://nonsense"),
        ("fly",),
    ],
)
def test_wrong_words_are_the_users_error(call, server: FakeAdbServer, words: tuple[str, ...]) -> None:
    ended = call("farm", *words)
    assert ended.code == 2
    assert ended.err


@pytest.mark.parametrize("words", [("host", "--all"), ("status",), ("stop", "abc"), ("submit", "--", "true")])
def test_a_broker_that_is_away(call, server: FakeAdbServer, words: tuple[str, ...], tmp_path: Path) -> None:
    require_redis()
    file = tmp_path / "broker"
    file.write_text(AWAY + "\n")
    before, after = words[:1], words[1:]
    config = tmp_path / "farm.toml"
    config.write_text(f'[farm]\nbroker_file = "{file}"\n')
    ended = call("farm", *before, "--config", str(config), *after)
    assert ended.code == 20
    assert "The broker redis://127.0.0.1:1/0 cannot be used: Connection refused." in ended.err
    assert PASSWORD not in ended.err


def test_a_password_among_the_words_is_warned_of(call, server: FakeAdbServer) -> None:
    require_redis()
    ended = call("farm", "status", "--broker", AWAY)
    assert "farm.broker_file" in ended.err
    assert PASSWORD not in ended.err


def test_without_the_extra_it_says_how_to_install_it() -> None:
    program = (
        "import sys; sys.modules['celery'] = None; sys.argv = ['android-replay', 'farm', 'status', '--broker', 'redis://h'];"
        "from agent.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 14
    assert "android-replay-agent[farm]" in done.stderr


def test_what_adb_sees_for_the_rack(server: FakeAdbServer) -> None:
    devices = farm.AdbDevices(load({}).settings)
    server.states = {"R58": "device", "0a1": "unauthorized"}
    changes = devices.watch()
    found = {change.serial: change for change in (next(changes), next(changes))}
    assert found["R58"] == Change("attached", "R58")
    assert (found["0a1"].kind, "accept" in found["0a1"].why) == ("unusable", True)
    server.services["exec:dumpsys battery; echo @@next@@; df -k /data"] = says(
        BATTERY + b"@@next@@\n/dev/block/dm-5 112000000 40000000 72000000 36% /data\n"
    )
    condition = devices.condition("R58")
    assert (condition.battery, condition.temperature, condition.free_bytes) == (83, 28.7, 72_000_000 * 1024)
    assert "android-14" in devices.tags("R58")
    devices.close()
    assert list(changes) == []


class Slow:
    """A farm whose jobs end when they are stopped, and that cannot be reached at first."""

    def __init__(self) -> None:
        self.away = 2
        self.stopped: list[str] = []

    def report(self, job: str) -> JobReport | None:
        if self.away:
            self.away -= 1
            raise farm_error()
        return JobReport(job=job, outcome="stopped") if job in self.stopped else None

    def stop(self, job: str) -> bool:
        self.stopped.append(job)
        return True


def farm_error() -> Exception:
    return FarmError("The broker is away.")


def test_ctrl_c_stops_the_jobs_and_a_broker_that_goes_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(farm, "AWAY_SECONDS", 0.01)
    monkeypatch.setattr(farm, "LOOK_SECONDS", 0.01)
    slow, jobs = Slow(), [Job(command=PASS, index=index, count=2) for index in range(2)]
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    reports = farm.await_reports(slow, jobs, lambda *_: None)  # type: ignore[arg-type]
    timer.join()
    assert [report.job for report in reports] == slow.stopped == [job.id for job in jobs]
    assert [(report.index, report.count) for report in reports] == [(0, 2), (1, 2)]
    said = capsys.readouterr().err
    assert said.count("The jobs go on") == said.count("The broker is back.") == 1


def test_of_jobs_that_are_not_all_taken_none_stays(capsys: pytest.CaptureFixture[str]) -> None:
    class Half(Slow):
        def submit(self, job: Job) -> None:
            if job.index == 3:
                raise farm_error()

        def stop(self, job: str) -> bool:
            if job == jobs[1].id:
                raise farm_error()
            return super().stop(job)

    half, jobs = Half(), [Job(command=PASS, index=index, count=5) for index in range(5)]
    with pytest.raises(FarmError):
        farm._hand_in(half, jobs)  # type: ignore[arg-type]
    # Once it cannot be reached no other is tried.
    assert half.stopped == [jobs[3].id, jobs[2].id]
    said = capsys.readouterr().err
    assert "2 of 5 jobs may be in the farm" in said
    assert all(jobs[n].id in said for n in (0, 1))


def test_without_a_broker_old_jobs_are_forgotten(call, server: FakeAdbServer, tmp_path: Path) -> None:
    folder, job = tmp_path / "android-replay" / "farm", Job(command=PASS)
    ledger = Ledger(folder / "ledger")
    ledger.begin(job, "here", "R58", 5)
    ledger.end(JobReport(job=job.id, outcome="passed"))
    ledger.delivered(job.id)
    os.utime(folder / "ledger" / f"{job.id}.delivered", (1e9, 1e9))
    (folder / "jobs" / job.id / "replays").mkdir(parents=True)
    assert call("farm", "submit", "-s", "R58", "--", *PASS).code == 0
    assert not (folder / "jobs" / job.id).exists()
    assert len(list((folder / "jobs").iterdir())) == 1


def test_ctrl_c_twice_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(Slow):
        def report(self, job: str) -> JobReport | None:
            if self.stopped:
                os.kill(os.getpid(), signal.SIGINT)
            return None

    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        farm.await_reports(Deaf(), [Job(command=PASS)], lambda *_: None)  # type: ignore[arg-type]
    timer.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_host_from_its_start_to_ctrl_c(call, server: FakeAdbServer, tmp_path: Path, monkeypatch) -> None:
    """What the commands say of a host; what it does with phones is in tests/integration."""
    with redis_server(tmp_path) as redis:
        monkeypatch.setenv("ANDROID_REPLAY_FARM__BROKER", redis.url)
        server.states = {}
        # Of a host that was killed there is a job that began, and its process is gone.
        ledger, cut = Ledger(tmp_path / "android-replay" / "farm" / "ledger"), Job(command=PASS)
        ledger.begin(cut, "here", "R58", 5)

        def meanwhile() -> None:
            # No `call`: that is for the main thread, where signals come.
            from agent.farm.celery import CeleryFarm

            remote = CeleryFarm(redis.url)
            until(lambda: remote.report(cut.id), "the report of what was cut off")
            until(lambda: [host.name for host in remote.status().hosts] == ["here"], "the host")
            remote.close()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=meanwhile)
        thread.start()
        hosted = call("farm", "host", "--all", "--name", "here")
        thread.join()
        assert hosted.code == 0
        assert f"here offers every device to the farm at redis://127.0.0.1:{redis.port}/0" in hosted.err
        assert "Stopping: running jobs are ended in order" in hosted.err
        assert PASSWORD not in hosted.err
        report = ledger.report(cut.id)
        assert report is not None
        assert (report.outcome, report.reason) == ("host-lost", "its worker was killed")
        # It has said goodbye; what waits can be shown and stopped all the same.
        assert "No host is or was there" in call("farm", "status").err
        ended = call("farm", "submit", "--queue", "--tag", "fold", "--", *PASS)
        job = ended.out.strip()
        assert (ended.code, len(job)) == (0, 32)
        shown = next(line for line in call("farm", "status").out.splitlines() if line.startswith(f"  {job[:8]}"))
        assert shown.split() == [job[:8], "queued", "-", "-", "tags=fold"]
        assert "told to stop" in call("farm", "stop", job[:6]).err
        assert "has ended already" in call("farm", "stop", job[:6]).err
        facts = json.loads(call("farm", "status", "--json").out)
        assert [each["outcome"] for each in facts["jobs"] if each["id"] == job] == ["stopped"]
        assert call("farm", "submit", "--", *PASS).code == 3
        assert call("farm", "stop", "--host", "here").code == 2
        assert call("farm", "stop", "nothing").code == 2
        assert call("farm", "stop", "").code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_host_goes_on_when_nobody_listens_any_more(
    server: FakeAdbServer, tmp_path: Path, monkeypatch, number: signal.Signals
) -> None:
    with redis_server(tmp_path) as redis:
        monkeypatch.setenv("ANDROID_REPLAY_FARM__BROKER", redis.url)
        server.states = {}
        words = [sys.executable, "-P", "-m", "agent.cli", "farm", "host", "--all"]
        with subprocess.Popen(words, stderr=subprocess.PIPE) as host:
            assert host.stderr is not None
            assert b"offers every device" in host.stderr.readline()
            host.stderr.close()
            # It has to say that the device cannot be used.
            server.set_states({"R58": "unauthorized"})
            redis.kill()
            host.send_signal(number)
            assert host.wait(20) == 0

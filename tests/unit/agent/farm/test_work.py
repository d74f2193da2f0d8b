from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes.emulate import alive
from fakes.wait import until
from farming.running import PREFIX, nowhere

from agent.farm import work
from agent.farm.job import Job, JobReport, read_report
from agent.farm.lease import Lease, marked
from agent.farm.work import LOG, OUTPUT, Bench, Ending, now_ms

PYTHON = (sys.executable, "-S", "-c")


@pytest.fixture
def lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    monkeypatch.setenv("FARM_TRUTH", str(tmp_path))
    monkeypatch.setenv("ANDROID_REPLAY_FARM__BROKER", "redis://:secret@host/0")
    taken = Lease(tmp_path / "leases", "A1")
    yield taken
    taken.close()


def _bench(folder: Path, prefix: tuple[str, ...] = PREFIX, seal_seconds: float = 10.0) -> Bench:
    return Bench("here", folder / "jobs", prefix, now_ms, nowhere, seal_seconds)


def _python(code: str, **options: object) -> Job:
    return Job(command=(*PYTHON, code), **options)  # type: ignore[arg-type]


def test_the_recorder_is_told_what_the_job_says(lease: Lease, tmp_path: Path) -> None:
    say = "import sys, json; print(json.dumps({'tests': [{'test': ' '.join(sys.argv[1:])}]}))"
    job = Job(command=("make", "-k"), app="com.x", keep="failed")
    report = _bench(tmp_path, (*PYTHON, say)).work(job, lease, Ending())
    replays = tmp_path / "jobs" / job.id / "replays"
    assert report.table[0]["test"] == (
        f"--device A1 --out {replays} --json --keep failed --app com.x -- make -k"
    )  # fmt: skip
    assert report.replays == ()


def test_a_report_names_the_replays_that_it_can_hold_and_says_how_many_more_there_are(
    lease: Lease, tmp_path: Path
) -> None:
    make = (
        "import sys, pathlib; out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1]); out.mkdir()\n"
        "for n in range(700): (out / f'{n:0200}.replay').touch()"
    )
    report = _bench(tmp_path, (*PYTHON, make)).work(Job(command=("make",)), lease, Ending())
    assert read_report(report.model_dump_json()) == report
    assert 300 < len(report.replays) < 700
    assert f"{700 - len(report.replays)} replays more are in {tmp_path}" in report.reason


def test_the_command_s_own_code_is_reported_beside_the_recorder_s(lease: Lease, tmp_path: Path) -> None:
    say = "import json; print(json.dumps({'tests': [], 'exit_code': 0, 'notes': ['A gate.']})); raise SystemExit(18)"
    report = _bench(tmp_path, (*PYTHON, say)).work(_python("pass"), lease, Ending())
    assert (report.outcome, report.exit_code) == ("failed", 0)
    assert "`run` ended with 18" in report.reason
    assert report.reason.endswith("A gate.")


def test_the_job_knows_its_shard_and_not_the_broker(lease: Lease, tmp_path: Path) -> None:
    job = _python("import os; print(sorted(k for k in os.environ if k.startswith('ANDROID_')))", index=2, count=5)
    report = _bench(tmp_path).work(job, lease, Ending())
    assert (report.outcome, report.index, report.count) == ("passed", 2, 5)
    said = (tmp_path / "jobs" / job.id / OUTPUT).read_text()
    assert "ANDROID_REPLAY_SHARD_INDEX" in said
    assert "BROKER" not in said
    assert report.began_ms <= report.ended_ms
    assert report.log.endswith(LOG)


def test_a_recorder_that_cannot_be_started_refuses_the_job(lease: Lease, tmp_path: Path) -> None:
    report = _bench(tmp_path, ("/no/such/program",)).work(_python("pass"), lease, Ending())
    assert report.outcome == "refused"
    assert "/no/such/program cannot be started" in report.reason


def test_a_disk_that_takes_nothing_refuses_the_job(lease: Lease, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file is in the way")
    report = _bench(tmp_path).work(_python("pass"), lease, Ending())
    assert report.outcome == "refused"


def test_a_recorder_that_is_killed_leaves_a_report(lease: Lease, tmp_path: Path) -> None:
    report = _bench(tmp_path, (*PYTHON, "import os; os.kill(os.getpid(), 9)")).work(_python("pass"), lease, Ending())
    assert (report.outcome, report.exit_code, report.table) == ("failed", None, ())
    assert "SIGKILL" in report.reason


@pytest.mark.parametrize("text", ["", "no json", '{"tests": 5}', "{", '{"other": []}'])
def test_a_recorder_that_says_nothing_of_itself_leaves_no_table(lease: Lease, tmp_path: Path, text: str) -> None:
    report = _bench(tmp_path, (*PYTHON, f"print({text!r})")).work(_python("pass"), lease, Ending())
    assert (report.outcome, report.table) == ("passed", ())


def test_of_thousands_of_tests_a_report_has_the_first_and_counts_the_others(lease: Lease, tmp_path: Path) -> None:
    say = (
        "import json; row = {'test': 'a', 'message': 'm' * 1000}\n"
        "print(json.dumps({'tests': [row] * 6000, 'exit_code': 0}))"
    )
    report = _bench(tmp_path, (*PYTHON, say)).work(_python("pass"), lease, Ending())
    assert (report.outcome, report.exit_code, report.table[0]["test"]) == ("passed", 0, "a")
    assert len(report.table) + report.left_out == 6000


def test_a_job_that_is_deaf_is_ended_all_the_same(
    lease: Lease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "TERM_SECONDS", 0.2)
    deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(1, flush=True); "
    deaf += "time.sleep(60)"
    bench = _bench(tmp_path, (*PYTHON, deaf), seal_seconds=0.2)
    job, ending = _python("pass"), Ending()
    done: list[JobReport] = []
    thread = threading.Thread(target=lambda: done.append(bench.work(job, lease, ending)))
    thread.start()
    output = tmp_path / "jobs" / job.id / OUTPUT
    until(lambda: output.exists() and output.read_text(), "the job to begin")
    (pid,) = marked(job.id)
    ending.set("device-lost", "it went away")
    ending.set("stopped", "too late to be the reason")
    thread.join()
    assert (done[0].outcome, done[0].reason) == ("device-lost", "it went away")
    assert not alive(pid)


def test_one_that_ends_before_it_begins_is_not_begun(lease: Lease, tmp_path: Path) -> None:
    ending = Ending()
    ending.set("stopped", "no need")
    job = _python("pass")
    assert _bench(tmp_path).work(job, lease, ending).outcome == "stopped"
    assert not (tmp_path / "jobs" / job.id).exists()


def test_a_recorder_that_knows_first_that_the_device_is_gone_is_believed(lease: Lease, tmp_path: Path) -> None:
    ending = Ending()
    timer = threading.Timer(0.15, ending.set, ("device-lost", "it went away"))
    bench = _bench(tmp_path, (*PYTHON, "raise SystemExit(4)"))
    timer.start()
    report = bench.work(_python("pass"), lease, ending)
    timer.join()
    assert report.outcome == "device-lost"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="what a job leaves running is found by /proc")
def test_what_a_runner_leaves_running_ends_with_the_job(lease: Lease, tmp_path: Path) -> None:
    fork = "import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'], "
    job = _python(fork + "start_new_session=True)")
    assert _bench(tmp_path).work(job, lease, Ending()).outcome == "passed"
    assert marked(job.id) == []


def test_the_device_stays_leased_while_the_recorder_lives(lease: Lease, tmp_path: Path) -> None:
    """The descriptor is inherited by the recorder and by nothing that it starts."""
    look = (
        "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') "
        "if os.path.exists(f'/proc/self/fd/{n}')])"
    )
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are read from /proc")
    own, theirs = _python("pass"), _python(look)
    _bench(tmp_path, (*PYTHON, look)).work(own, lease, Ending())
    _bench(tmp_path).work(theirs, lease, Ending())
    assert "leases/A1" in (tmp_path / "jobs" / own.id / OUTPUT).read_text()
    assert "leases/A1" not in (tmp_path / "jobs" / theirs.id / OUTPUT).read_text()


def test_a_worker_that_fails_leaves_a_report(lease: Lease, tmp_path: Path) -> None:
    def broken(folder: Path, name: str, sinks: Sequence[str]) -> tuple[list[str], str]:
        raise LookupError("nobody thought of this")

    job = _python("pass", index=1, count=2)
    report = Bench("here", tmp_path / "jobs", PREFIX, now_ms, broken).work(job, lease, Ending())
    assert (report.outcome, report.index, "LookupError" in report.reason) == ("failed", 1, True)
    assert marked(job.id) == []


def test_endings_call_whoever_waits() -> None:
    called: list[int] = []
    ending = Ending()
    ending.then(lambda: called.append(1))
    assert not ending.wait(0)
    ending.set("expired", "time is up")
    ending.then(lambda: called.append(2))
    assert called == [1, 2]
    assert ending.wait(0)


def test_the_stand_in_takes_the_options_of_run() -> None:
    own = subprocess.run([*PREFIX, "--help"], capture_output=True, text=True, env={**os.environ, "FARM_TRUTH": "/"})
    real = subprocess.run([sys.executable, "-P", "-m", "agent.cli", "run", "--help"], capture_output=True, text=True)
    assert all(
        option in said.stdout for said in (own, real) for option in ("--device", "--out", "--json", "--keep", "--app")
    )

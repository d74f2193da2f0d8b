from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.errors import StorageError
from agent.farm.job import Job, JobReport
from agent.farm.ledger import Ledger

BEGIN = """
import os, signal, sys
from pathlib import Path
from agent.farm.job import Job
from agent.farm.ledger import Ledger
print(Ledger(Path(sys.argv[1])).begin(Job(id=sys.argv[2], command=("true",)), "here", "A1", 5), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _job() -> Job:
    return Job(command=("true",))


def test_a_job_begins_once(tmp_path: Path) -> None:
    job, ledger = _job(), Ledger(tmp_path / "ledger")
    assert ledger.begin(job, "here", "A1", 5)
    assert not ledger.begin(job, "here", "A2", 6)
    entry = Ledger(tmp_path / "ledger").entry(job.id)
    assert entry is not None
    assert (entry.job, entry.host, entry.serial, entry.began_ms) == (job, "here", "A1", 5)
    assert [each.job for each in ledger.running()] == [job]


def test_a_job_begins_once_where_the_disk_knows_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unable)
    job, ledger = _job(), Ledger(tmp_path)
    assert ledger.begin(job, "here", "A1", 5)
    assert not ledger.begin(job, "here", "A2", 6)
    assert [entry.serial for entry in ledger.running()] == ["A1"]
    assert [path.suffix for path in tmp_path.iterdir()] == [".began"]


def test_of_many_at_once_one_begins_it(tmp_path: Path) -> None:
    job = _job()
    began: list[bool] = []
    gate = threading.Barrier(8)

    def begin() -> None:
        gate.wait()
        began.append(Ledger(tmp_path).begin(job, "here", "A1", 5))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(began) == [False] * 7 + [True]
    assert [path.suffix for path in tmp_path.iterdir()] == [".began"]


def test_what_was_killed_has_begun(tmp_path: Path) -> None:
    job = _job()
    done = subprocess.run([sys.executable, "-c", BEGIN, tmp_path, job.id], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "True\n")
    assert not Ledger(tmp_path).begin(job, "here", "A1", 6)


def test_reports_wait_until_they_are_delivered(tmp_path: Path) -> None:
    job, ledger = _job(), Ledger(tmp_path)
    ledger.begin(job, "here", "A1", 5)
    report = JobReport(job=job.id, outcome="passed", exit_code=0)
    ledger.end(report)
    # The first one counts.
    ledger.end(JobReport(job=job.id, outcome="host-lost"))
    assert ledger.running() == []
    assert ledger.report(job.id) == report
    assert Ledger(tmp_path).undelivered() == [report]
    ledger.delivered(job.id)
    assert ledger.undelivered() == []


def test_what_was_delivered_long_ago_is_forgotten(tmp_path: Path) -> None:
    old, young, running = _job(), _job(), _job()
    ledger = Ledger(tmp_path)
    for job in (old, young, running):
        ledger.begin(job, "here", "A1", 5)
    for job in (old, young):
        ledger.end(JobReport(job=job.id, outcome="passed"))
        ledger.delivered(job.id)
    os.utime(tmp_path / f"{old.id}.delivered", (1e9, 1e9))
    jobs = tmp_path / "jobs"
    for job in (old, young, running):
        (jobs / job.id / "replays").mkdir(parents=True)
    assert ledger.forget(3600, jobs) == [old.id]
    assert sorted(folder.name for folder in jobs.iterdir()) == sorted((young.id, running.id))
    assert ledger.entry(old.id) is None
    assert [entry.job for entry in ledger.running()] == [running]
    assert ledger.report(young.id) is not None


def test_a_damaged_entry_has_begun_all_the_same(tmp_path: Path) -> None:
    job, ledger = _job(), Ledger(tmp_path)
    (tmp_path / f"{job.id}.began").write_bytes(b"{")
    (tmp_path / f"{job.id}.report").write_bytes(b"{")
    assert not ledger.begin(job, "here", "A1", 5)
    assert ledger.entry(job.id) is ledger.report(job.id) is None
    assert ledger.running() == ledger.undelivered() == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Ledger(tmp_path / "file" / "ledger")

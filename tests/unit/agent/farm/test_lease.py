from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.emulate import alive
from fakes.wait import until

from agent.errors import StorageError
from agent.farm import lease
from agent.farm.lease import MARK, Lease, LeaseTaken, end_marked, held, marked, name

HOLD = """
import sys, time
from pathlib import Path
from agent.farm.lease import Lease
held = Lease(Path(sys.argv[1]), "A1")
print("held", flush=True)
if len(sys.argv) > 2:
    import os, subprocess
    held.note(sys.argv[2])
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; print('runs', flush=True); time.sleep(60)"],
        pass_fds=(held.descriptor,), env={**os.environ, "ANDROID_REPLAY_FARM_JOB": sys.argv[2]},
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_device_has_one_holder(tmp_path: Path) -> None:
    first = Lease(tmp_path, "A1")
    assert held(tmp_path, "A1")
    with pytest.raises(LeaseTaken, match=f"process {os.getpid()}"):
        Lease(tmp_path, "A1")
    Lease(tmp_path, "A2").close()
    first.close()
    first.close()
    assert not held(tmp_path, "A1")
    assert not held(tmp_path, "A9")
    Lease(tmp_path, "A1").close()


def test_a_dead_holders_device_is_free_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        holder.stdout.readline()
        with pytest.raises(LeaseTaken, match=f"process {holder.pid}"):
            Lease(tmp_path, "A1")
        holder.kill()
        holder.wait()
    Lease(tmp_path, "A1").close()


def test_what_a_dead_holders_job_left_running_is_ended_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = "c0ffee" * 4 + "12345678"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, job], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        holder.stdout.readline()
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
    assert marked(job) == [child]
    # The job has the device still, whatever became of who started it.
    assert held(tmp_path, "A1")
    taken = Lease(tmp_path, "A1")
    assert not alive(child)
    taken.close()


def test_a_server_of_adb_outlives_the_job_that_started_it(tmp_path: Path) -> None:
    job = "e" * 32
    runs = "import time; print(1, flush=True); time.sleep(60)"
    words = [sys.executable, "-S", "-c", runs, "-L", "tcp:5037", "fork-server", "server", "--reply-fd", "4"]
    with subprocess.Popen(words, env={**os.environ, MARK: job}, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert marked(job) == []
        assert end_marked(job) == 0
        assert server.poll() is None
        server.kill()


def test_what_hears_no_ctrl_c_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "GENTLY_SECONDS", 0.2)
    job = "d" * 32
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", deaf], env={**os.environ, MARK: job}, stdout=subprocess.PIPE
    )  # fmt: skip
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        assert lease.end_marked(job) == 1
    assert child.wait() == -9
    assert lease.end_marked(job) == lease.end_marked("") == lease.end_marked(None) == 0


def test_a_damaged_note_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "A1").write_bytes(b"\xff{")
    taken = Lease(tmp_path, "A1")
    taken.note("e" * 32)
    until(lambda: b"eeee" in (tmp_path / "A1").read_bytes(), "the note")
    taken.close()


@pytest.mark.parametrize("user", ["another", "this"])
def test_a_lease_of_another_user_is_taken_and_ours_that_cannot_be_opened_is_a_fault_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    def denied(*arguments: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    Lease(tmp_path, "A1").close()
    monkeypatch.setattr(lease, "FileIO", denied)
    if user == "another":
        monkeypatch.setattr(os, "getuid", lambda: (tmp_path / "A1").stat().st_uid + 1)
    with pytest.raises(StorageError, match=r"/A1 ") as told:
        Lease(tmp_path, "A1")
    assert isinstance(told.value, LeaseTaken) == (user == "another")
    assert told.value.hint


def test_a_disk_that_knows_no_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unable)
    with pytest.raises(StorageError, match="No locks available") as told:
        Lease(tmp_path, "A1")
    assert not isinstance(told.value, LeaseTaken)


def test_a_lease_that_the_disk_does_not_give_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(held: Lease) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Lease, "_said", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        Lease(tmp_path, "A1")


def test_names_differ_where_serials_do() -> None:
    assert name("127.0.0.1:5555") == "127.0.0.1%3a5555"
    assert name("[::1]:5555") != name("(::1):5555")
    assert "/" not in name("../x")

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from fakes.emulate import wait_gone
from fakes.wait import until

from agent.commands.process import TERM_SECONDS, Process, check
from agent.errors import NoCommand


def started(program: str, quiet: bool = False) -> Process:
    return Process([sys.executable, "-c", program], os.environ, quiet)


@pytest.mark.parametrize(
    ("program", "code", "name"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(5)", 5, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139, "SIGSEGV"),
    ],
)
def test_its_exit_code_is_a_shell_s(program: str, code: int, name: str) -> None:
    process = started(program)
    assert process.wait() == code
    assert process.killed_by == name
    assert process.end() is False


def test_a_signal_reaches_all_that_it_started(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = f"""
import signal, subprocess, sys
child = subprocess.Popen(["sleep", "60"])
def end(number, frame):
    sys.exit(10 - child.wait(5))
signal.signal(signal.SIGINT, end)
open({str(ready)!r}, "w").close()
signal.pause()
"""
    process = started(program)
    until(ready.exists, "the command to be ready")
    process.tell(signal.SIGINT)
    # Its child ended by the same signal.
    assert process.wait() == 10 + signal.SIGINT
    assert process.end() is False


@pytest.mark.parametrize("stubborn", [False, True])
def test_what_it_left_is_ended(tmp_path: Path, stubborn: bool) -> None:
    ready = tmp_path / "pid"
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if stubborn else ""
    child = f"import signal, time, os;{ignore} open({str(ready)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    process = started(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])")
    assert process.wait() == 0
    until(lambda: ready.exists() and ready.read_text(), "the child to be ready")
    assert process.end(at_once=stubborn) is True
    assert wait_gone([int(ready.read_text())])
    assert process.end() is False


def refuse(group: int, number: int) -> None:
    """What the kernel says of a process of another user."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_what_is_another_user_s_is_told_nothing_and_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    process = started("import time; time.sleep(60)")
    assert process.tell(0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", refuse)
        began = time.monotonic()
        assert not process.tell(signal.SIGINT)
        assert process.end() is True
        assert time.monotonic() - began < TERM_SECONDS
        assert process.lives
    process.end(at_once=True)
    assert not process.lives
    with monkeypatch.context() as patch:
        # Of the dead, macOS says the same.
        patch.setattr(os, "killpg", refuse)
        assert not process.lives
        assert process.tell(signal.SIGINT)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell whether they are dead")
def test_what_it_left_to_another_user_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    child = f"import time, os; open({str(ready)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    process = started(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])")
    assert process.wait() == 0
    until(lambda: ready.exists() and ready.read_text(), "the child to be ready")
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", refuse)
        assert process.end() is True
        assert process.lives
    assert process.end(at_once=True) is True
    assert wait_gone([int(ready.read_text())])


def test_its_output_can_be_kept_off_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert started("print('told')", quiet=True).wait() == 0
    assert started("print('shown')").wait() == 0
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("shown\n", "told\n")


def test_what_is_no_program_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no program")
    for words, why in (
        ([], "no command"),
        (["nowhere-at-all"], "not on PATH"),
        ([str(tmp_path / "notes")], "may be run"),
    ):
        with pytest.raises(NoCommand, match=why):
            check(words)
    (tmp_path / "notes").chmod(0o700)
    check([str(tmp_path / "notes")])
    with pytest.raises(NoCommand, match="cannot be started"):
        Process([str(tmp_path / "notes")], os.environ)

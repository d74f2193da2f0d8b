from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.emulate import alive
from fakes.wait import until


def test_ctrl_c_in_a_terminal_ends_the_recording_before_the_phone(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "agent.cli", "demo", "--seconds", "60", "--no-open", "--json"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
        start_new_session=True,
    ) as demo:
        assert demo.stderr
        said = ""
        for line in demo.stderr:
            said += line
            if " recording | session" in line:
                break
        # A terminal's Ctrl-C goes to every process of the group: phone and collector are not in it.
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children")
        started = children.read_text().split() if children.exists() else []
        assert all(os.getpgid(int(pid)) != demo.pid for pid in started)
        os.killpg(demo.pid, signal.SIGINT)
        out, rest = demo.communicate(timeout=60)
    said += rest
    assert demo.returncode == 0, said
    assert "Traceback" not in said
    assert "device lost" not in said
    assert json.loads(out)
    assert list((tmp_path / "out" / "collector" / "segments").iterdir()), said


def _children(pid: int) -> set[int]:
    """The processes below one, at any depth. Linux tells them."""
    below = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return below.union(*(_children(child) for child in below))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the processes of a process are told by Linux only")
def test_sigterm_while_it_starts_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "agent.cli", "demo", "--seconds", "60", "--no-open"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
        start_new_session=True,
    ) as demo:
        assert demo.stderr
        assert "Starting" in demo.stderr.readline()
        until(lambda: len(_children(demo.pid)) >= 2, "collector and phone")
        below = _children(demo.pid)
        demo.terminate()
        _, said = demo.communicate(timeout=60)
    assert demo.returncode == 143, said
    assert "Traceback" not in said
    until(lambda: not any(alive(pid) for pid in below), "the end of all it started")

"""A command beside a recorder when things end early: signals, and a command that is in nobody's way."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.emulate import wait_gone
from fakes.wait import until, until_async

from agent.commands.beside import Beside, _led_to, _past_proxies
from agent.store.recording import Recording
from bridge.clock import HostClock
from bridge.emulated.lab import Lab

# Two programs that do not end by the first signal, and say that they run.
STUBBORN = """
import os, pathlib, signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "100"])
signal.signal(signal.SIGINT, lambda number, frame: pathlib.Path("asked").touch())
pathlib.Path("pids.part").write_text(f"{os.getpid()} {child.pid}")
pathlib.Path("pids.part").rename("pids")
while True:
    time.sleep(100)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(1, profile="small", scenario="login") as lab:
        yield lab


def started(lab: Lab, folder: Path, *command: str) -> subprocess.Popen[str]:
    (folder / "command.py").write_text(STUBBORN)
    words = ["run", "--device", lab.serials[0], "--app", "com.northbay.shop", "--", *command]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "agent.cli", *words],
        cwd=folder,
        env={**os.environ, **lab.environment, "ANDROID_REPLAY_SPOOL": str(folder / "spool")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_is_passed_on_and_twice_ends_all_at_once_with_what_was_recorded(lab: Lab, tmp_path: Path) -> None:
    with started(lab, tmp_path, sys.executable, "command.py") as run:
        until((tmp_path / "pids").exists, "the command to run", 60)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        run.send_signal(signal.SIGINT)
        until((tmp_path / "asked").exists, "the command to be asked", 30)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert wait_gone(pids)
    (working,) = (tmp_path / "replays").iterdir()
    assert f"android-replay view replays/{working.name}" in said
    assert Recording.open(working).manifests()


def test_a_signal_in_the_very_moment_before_the_command_begins_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class Phone:
        serials = ("A",)

    beside = Beside(("true",), quiet=True)

    async def last_look() -> None:
        recording = asyncio.ensure_future(asyncio.sleep(60))
        beside._halt = asyncio.Event()
        halted = asyncio.ensure_future(beside._halt.wait())

        def seen(rig: object, serial: str) -> bool:
            # It is seen in the step in which the signal came.
            if looks:
                beside._on_signal(signal.SIGTERM)
            looks.append(serial)
            return len(looks) > 1

        looks: list[str] = []
        monkeypatch.setattr("agent.commands.beside._seen", seen)
        try:
            await beside._ready(Phone(), recording, halted)  # type: ignore[arg-type]
        finally:
            for task in (recording, halted):
                task.cancel()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(last_look())


def test_a_command_that_is_another_user_s_keeps_us_from_ending_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = Beside(("sleep", "20"), quiet=True)

    class Recorder:
        serials = ()
        clock = HostClock()

        async def run(self, stop: asyncio.Event) -> None:
            await until_async(lambda: beside._process is not None, "the command")
            # As of sudo's.
            monkeypatch.setattr(os, "killpg", refuse)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0.05)
            await stop.wait()

    def refuse(group: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    beside._rig = Recorder()  # type: ignore[assignment]
    beside._environment = dict(os.environ)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(beside.run())
        assert time.monotonic() - began < 10
        assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("command"))
        said = capsys.readouterr().err
        assert "another user's and cannot be told" in said
        assert "runs on" in said
    finally:
        assert beside._process is not None
        os.kill(beside._process.pid, signal.SIGKILL)


def test_what_a_runner_tells_goes_to_no_proxy() -> None:
    assert _past_proxies({"PATH": "/bin"}) == {"PATH": "/bin"}
    made = _past_proxies({"http_proxy": "http://proxy:3128", "no_proxy": "example.com"})
    # Of the two names some programs take the one first, some the other.
    assert made["no_proxy"] == made["NO_PROXY"] == "example.com,127.0.0.1"
    assert _past_proxies({"HTTPS_PROXY": "http://proxy"}) == {"HTTPS_PROXY": "http://proxy"}
    made = _past_proxies({"HTTP_PROXY": "http://proxy", "NO_PROXY": "internal.corp", "no_proxy": ""})
    assert made["no_proxy"] == made["NO_PROXY"] == "internal.corp,127.0.0.1"
    made = _past_proxies({"HTTP_PROXY": "http://proxy", "NO_PROXY": "*"})
    assert made["no_proxy"] == made["NO_PROXY"] == "*"
    kept = {"ALL_PROXY": "socks://proxy", "NO_PROXY": "*", "no_proxy": "localhost,127.0.0.1"}
    assert _past_proxies(kept) == kept


def test_the_command_s_adb_talks_to_the_server_that_is_recorded_from() -> None:
    others = {"PATH": "/bin", "ADB_SERVER_SOCKET": "tcp:elsewhere:5037", "ANDROID_ADB_SERVER_ADDRESS": "elsewhere"}
    assert _led_to(others, "127.0.0.1", 5038) == {"PATH": "/bin", "ANDROID_ADB_SERVER_PORT": "5038"}
    assert _led_to({}, "host.docker.internal", 5037) == {
        "ANDROID_ADB_SERVER_PORT": "5037",
        "ANDROID_ADB_SERVER_ADDRESS": "host.docker.internal",
        "ANDROID_ADB_SERVER_HOST": "host.docker.internal",
    }


def test_without_a_test_the_run_is_one_recording(lab: Lab, tmp_path: Path) -> None:
    with started(lab, tmp_path, "sh", "-c", "exit 7") as run:
        _, said = run.communicate(timeout=60)
    assert run.returncode == 7, said
    assert "No test was heard" in said
    names = {path.name for path in (tmp_path / "replays").iterdir()}
    assert names == {"run.replay", "run.json", "run.md", "index.html"}
    assert json.loads((tmp_path / "replays" / "run.json").read_bytes())["tests"] == []


def test_a_wrong_package_ends_before_the_command_begins(lab: Lab, tmp_path: Path) -> None:
    words = ["run", "--device", lab.serials[0], "--app", "com.example.nothing", "--", "touch", "started"]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "agent.cli", *words],
        cwd=tmp_path,
        env={**os.environ, **lab.environment, "ANDROID_REPLAY_SPOOL": str(tmp_path / "spool")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2, ended.stderr
    assert "com.example.nothing is not installed" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "started").exists()
    assert list((tmp_path / "replays").iterdir()) == []

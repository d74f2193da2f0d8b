"""`android-replay emulate` and adb programs as child processes, as a user has them."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

READY_SECONDS = 30.0
END_SECONDS = 15.0


class Emulate:
    """A running `emulate`. `line` is what it printed when it was ready, `environment` what `--print-env` said."""

    def __init__(self, *options: str, expect_ready: bool = True) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.cli", "emulate", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.line = ""
        if expect_ready:
            self.line = self._first_output()
        self.environment = {**os.environ, **_exports(self.line)}

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def adb(self) -> str:
        return self.environment["ADBUTILS_ADB_PATH"]

    @property
    def serial(self) -> str:
        return self.environment["ANDROID_SERIAL"]

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Send a signal; exit status, further standard output, standard error."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        try:
            out, err = self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        return self._process.returncode, out.decode(), err.decode()

    def children(self) -> list[int]:
        """Process numbers of its children."""
        return [pid for pid, parent in _parents().items() if parent == self.pid]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.end()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _first_output(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_SECONDS)
        text = os.read(self._process.stdout.fileno(), 1 << 16).decode() if ready else ""
        if not text:
            self._process.kill()
            raise AssertionError(f"not ready: {self.wait()}")
        return text


def run_emulate(*options: str) -> tuple[int, str, str]:
    """An `emulate` that is expected to end by itself: exit status, standard output, standard error."""
    with Emulate(*options, expect_ready=False) as emulate:
        return emulate.wait()


def run_adb(
    environment: dict[str, str], *words: str, stdin: bytes = b"", adb: str = "", seconds: float = 15.0
) -> subprocess.CompletedProcess[bytes]:
    """One command of the adb program of `environment`, or of another one."""
    return subprocess.run(
        [adb or environment["ADBUTILS_ADB_PATH"], *words],
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=seconds,
    )


def alive(pid: int) -> bool:
    """Whether a process of this number runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_gone(pids: list[int], seconds: float = 5.0) -> bool:
    """Whether all of these processes end in time."""
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.01)
    return True


def _exports(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = shlex.split(line)
        if words[:1] == ["export"]:
            name, _, value = words[1].partition("=")
            found[name] = value
    return found


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found

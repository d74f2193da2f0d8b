"""`android-replay relay` as a child process, as a user has it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from fakes.wait import until

READY_SECONDS = 30.0
END_SECONDS = 20.0


class RelayProcess:
    """A running relay; `err` is what it said, line by line, `out` its lines of data."""

    def __init__(self, *options: str, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.cli", "relay", *options],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines))
            for pipe, lines in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()
        until(lambda: self._waiting() or self._process.poll() is not None, f"the relay: {self.err}", READY_SECONDS)

    @property
    def port(self) -> int:
        """The host's port that it said it listens on."""
        found = re.search(r"127\.0\.0\.1:(\d+)", self._waiting())
        assert found is not None, self.err
        return int(found[1])

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._ended()

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL)

    def _waiting(self) -> str:
        return next((line for line in self.err.copy() if line.startswith("Waiting")), "")

    def _read(self, pipe: object, lines: list[str]) -> None:
        lines.extend(line.rstrip("\n") for line in iter(pipe.readline, ""))  # type: ignore[attr-defined]

    def _ended(self) -> int:
        code = self._process.wait(END_SECONDS)
        for reader in self._readers:
            reader.join(END_SECONDS)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        return code


def free_port() -> int:
    """A port of this host that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])

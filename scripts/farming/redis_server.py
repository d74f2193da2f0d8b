"""Debian's redis-server on a private port of loopback, with a password."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

PASSWORD = "farm-secret"  # noqa: S105 - a server of our own that lives for seconds
READY_SECONDS = 15.0
PROGRAM = shutil.which("redis-server")


class RedisServer:
    """`url` reaches it. What it holds is in memory only, or in `folder` when it is to outlive a kill."""

    def __init__(self, folder: Path, durable: bool = False) -> None:
        self._folder = folder
        self._durable = durable
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError."""
        if PROGRAM is None:
            raise RuntimeError("redis-server is not installed")
        words = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        self._process = subprocess.Popen([*words, *durable, "--dir", str(self._folder)], stdout=subprocess.DEVNULL)
        until = time.monotonic() + READY_SECONDS
        while not self._answers():
            if time.monotonic() > until:
                self.kill()
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as sock, sock.makefile("rb") as answers:
                sock.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
                return answers.readline() + answers.readline() == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

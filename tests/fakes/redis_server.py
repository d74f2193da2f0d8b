"""Debian's redis-server on a private port of loopback, with a password."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest
from fakes.wait import until

PASSWORD = "farm-secret"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def require_redis() -> str:
    """The program; skips the test where there is none."""
    program = shutil.which("redis-server")
    pytest.importorskip("celery", reason="Celery (extra `farm`) is not installed")
    if program is None:
        pytest.skip("redis-server is not installed")
    return program


class RedisServer:
    """`url` reaches it. What it holds is in memory only, or in `folder` when it is to outlive a kill."""

    def __init__(self, program: str, folder: Path, durable: bool = False) -> None:
        self._program = program
        self._folder = folder
        self._durable = durable
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        self._process = subprocess.Popen(
            [self._program, *words, *durable, "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        try:
            until(self._answers, "redis to listen")
        except BaseException:
            self.kill()
            raise

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
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as sock:
                sock.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
                with sock.makefile("rb") as answers:
                    return answers.readline() + answers.readline() == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

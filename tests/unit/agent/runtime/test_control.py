from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.analytics.gate import STOPPED, Gate
from agent.runtime.control import SOCKET, ask, serving

T = TypeVar("T")


def mark(name: str, note: str) -> int:
    return len(name) + len(note)


def during(folder: Path, gate: Gate, do: Callable[[], T]) -> T:
    """What `do` gives, on a thread of its own, while the socket is served."""

    async def run() -> T:
        async with serving(folder, gate, lambda: {"devices": []}, mark):
            return await asyncio.get_running_loop().run_in_executor(None, do)

    return asyncio.run(run())


def told(folder: Path, gate: Gate, *verbs: str) -> list[Mapping[str, Any] | None]:
    return during(folder, gate, lambda: [ask(folder / SOCKET, verb) for verb in verbs])


def test_stop_start_and_status(tmp_path: Path) -> None:
    gate = Gate()
    stopped, status, started = told(tmp_path, gate, "stop", "status", "start")
    assert stopped is not None
    assert status is not None
    assert started is not None
    assert (stopped["capturing"], stopped["reason"]) == (False, STOPPED)
    assert status["reason"] == STOPPED
    assert (started["capturing"], started["reason"], started["devices"]) == (True, "", [])
    assert gate.closed == ""


def test_an_unknown_word_changes_nothing(tmp_path: Path) -> None:
    gate = Gate()
    (answer,) = told(tmp_path, gate, "fly")
    assert answer == {"ok": False, "error": "known: start, stop, status, mark"}
    assert gate.closed == ""


def test_a_marker_is_handed_on(tmp_path: Path) -> None:
    def do() -> list[Mapping[str, Any] | None]:
        path = tmp_path / SOCKET
        return [ask(path, "mark", name="pay", note="slow"), ask(path, "mark"), ask(path, "mark", name="x" * 201)]

    made, bare, long = during(tmp_path, Gate(), do)
    assert made is not None
    assert (made["ok"], made["marked"]) == (True, 7)
    assert bare is not None
    assert bare["marked"] == 0
    assert long is not None
    assert long["ok"] is False
    (smiling,) = during(tmp_path, Gate(), lambda: [ask(tmp_path / SOCKET, "mark", name="😀" * 200, note="😀" * 2000)])
    assert smiling is not None
    assert smiling["marked"] == 2200


def test_the_socket_is_the_owner_s_alone_and_gone_afterwards(tmp_path: Path) -> None:
    mode = during(tmp_path, Gate(), lambda: stat.S_IMODE((tmp_path / SOCKET).stat().st_mode))
    assert mode == 0o600
    assert not (tmp_path / SOCKET).exists()
    assert ask(tmp_path / SOCKET, "status") is None


def test_a_socket_left_by_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET))
    left.close()
    assert ask(tmp_path / SOCKET, "status") is None
    (answer,) = told(tmp_path, Gate(), "status")
    assert answer is not None
    assert answer["capturing"] is True


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"[]\n", b'"start"\n', b"\xff\n", b"{" * 50_000])
def test_garbage_is_answered_or_dropped(tmp_path: Path, data: bytes) -> None:
    def send() -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(tmp_path / SOCKET))
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                return sock.recv(4096)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    gate = Gate()
    answer = during(tmp_path, gate, send)
    assert not answer or json.loads(answer)["ok"] is False
    assert gate.closed == ""


def test_a_path_that_is_too_long_leaves_the_recording_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    assert told(folder, Gate(), "status") == [None]
    assert "no control socket" in caplog.text

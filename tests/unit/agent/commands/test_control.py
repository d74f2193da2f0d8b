from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.wait import until

from agent.analytics.gate import Gate
from agent.runtime.control import SOCKET, ask, serving


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path))
    return tmp_path


@pytest.fixture
def recorder(spool: Path) -> Iterator[Gate]:
    """A recorder's control socket, on a thread with a loop of its own."""
    gate, folder = Gate(), spool / "1"
    folder.mkdir()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    device = {"serial": "fake-1", "state": "recording", "session_id": 5, "paused": "stopped"}

    async def run() -> None:
        async with serving(folder, gate, lambda: {"devices": [device]}, lambda name, note: 1):
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    until(lambda: ask(folder / SOCKET, "status"), "the socket")
    yield gate
    loop.call_soon_threadsafe(ended.set)
    thread.join(5)
    loop.close()


def test_stop_and_start(call, recorder: Gate) -> None:
    ended = call("control", "stop")
    assert ended.code == 0
    assert ": stopped" in ended.out
    assert "fake-1 recording, session 5, capturing nothing: stopped" in ended.out
    assert recorder.closed == "stopped"
    assert ": capturing" in call("control", "start").out
    assert recorder.closed == ""


def test_json(call, recorder: Gate) -> None:
    ended = call("control", "status", "--json")
    (fact,) = map(json.loads, ended.out.splitlines())
    assert fact["capturing"] is True
    assert fact["devices"][0]["serial"] == "fake-1"


def test_no_recorder(call, spool: Path) -> None:
    ended = call("control", "stop")
    assert ended.code == 2
    assert "android-replay attach" in ended.err


def test_an_unknown_word(call, spool: Path) -> None:
    ended = call("control", "fly")
    assert ended.code == 2
    assert "start, stop, status" in ended.err

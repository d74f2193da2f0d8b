from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.wait import until

from agent.analytics.gate import Gate
from agent.commands import control as module
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
    device = {"serial": "fake-1", "state": "recording", "session_id": 5, "paused": ""}

    async def run() -> None:
        async with serving(folder, gate, lambda: {"devices": [device]}, lambda name, note: 1):
            # As a device does: it looks now and then.
            while not ended.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 0.3)
                device["paused"] = gate.closed

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
    # What is said is how it is then, not how it was.
    ended = call("control", "start")
    assert ": capturing" in ended.out
    assert ended.out.endswith("fake-1 recording, session 5\n")
    assert recorder.closed == ""


def test_a_device_that_does_not_follow_is_not_waited_for_long(
    call, recorder: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.05)
    ended = call("control", "stop")
    assert (ended.code, "stopped" in ended.out) == (0, True)
    assert recorder.closed == "stopped"


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

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes.wait import until

from agent.analytics.gate import Gate
from agent.runtime.control import SOCKET, ask, serving


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path))
    return tmp_path


@contextmanager
def recorder(spool: Path, mark: Callable[[str, str], int]) -> Iterator[None]:
    """A recorder's control socket, on a thread with a loop of its own."""
    folder = spool / "1"
    folder.mkdir()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        async with serving(folder, Gate(), dict, mark):
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        until(lambda: ask(folder / SOCKET, "status"), "the socket")
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(5)
        loop.close()


def test_a_marker_reaches_the_recorder(call, spool: Path) -> None:
    marked: list[tuple[str, str]] = []

    def mark(name: str, note: str) -> int:
        marked.append((name, note))
        return 1

    with recorder(spool, mark):
        ended = call("mark", "wrong total", "--note", "tax twice")
        assert (ended.code, "'wrong total' marked for 1 device(s)" in ended.out) == (0, True)
        (fact,) = map(json.loads, call("mark", "--json").out.splitlines())
        assert (fact["marked"], fact["capturing"]) == (1, True)
        assert call("mark", "--note", "slow").code == 0
    assert marked == [("wrong total", "tax twice"), ("marker", ""), ("note", "slow")]


def test_a_recorder_without_a_device(call, spool: Path) -> None:
    with recorder(spool, lambda name, note: 0):
        ended = call("mark", "x")
    assert (ended.code, "no device yet" in ended.err) == (3, True)


def test_no_recorder(call, spool: Path) -> None:
    ended = call("mark", "x")
    assert (ended.code, "android-replay record" in ended.err) == (2, True)


def test_a_text_that_is_too_long(call, spool: Path) -> None:
    assert call("mark", "x" * 201).code == 2
    assert call("mark", "x", "--note", "y" * 2001).code == 2

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent.analytics.gate import Gate
from agent.commands.rig import until_stopped, video_settings
from agent.settings import Capture, load
from bridge.video import VideoSettings


def test_what_video_is_asked_for(tmp_path: Path) -> None:
    jar = tmp_path / "scrcpy-server-v4.1"
    jar.write_bytes(b"PK")
    assert video_settings(Capture()) == VideoSettings(540, 2_000_000, 10, None, "")
    asked = video_settings(Capture(width=720, touch_rate=12, bit_rate=900_000, scrcpy_server=jar))
    assert asked == VideoSettings(720, 900_000, 24, jar, "")
    assert video_settings(Capture(video=False)) is None
    assert video_settings(Capture(quality="text")) is None


class Endless:
    """A recorder that seals its segments for ever; `asked` counts how often it was told to stop."""

    def __init__(self) -> None:
        self.settings = load({}).settings
        self.gate = Gate()
        self.asked = 0

    async def run(self, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        self.asked += 1
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()


def test_the_first_signal_stops_in_order_and_a_second_at_once() -> None:
    rig = Endless()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(until_stopped(rig, None))  # type: ignore[arg-type]
    assert rig.asked == 1


def test_a_closed_terminal_stops_in_order_however_often_it_tells() -> None:
    class Hung(Endless):
        async def run(self, stop: asyncio.Event) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            await stop.wait()
            # The kernel tells it, and the shell.
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.05)
            self.asked += 1

    rig = Hung()
    asyncio.run(until_stopped(rig, None))  # type: ignore[arg-type]
    assert rig.asked == 1


def test_a_stop_by_key_is_no_signal() -> None:
    class Keyed(Endless):
        async def run(self, stop: asyncio.Event) -> None:
            stop.set()
            # Somebody who stopped it by a key may press Ctrl-C once and loses nothing.
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
            self.asked += 1

    rig = Keyed()

    async def run() -> None:
        await until_stopped(rig, None, asyncio.Event())  # type: ignore[arg-type]

    asyncio.run(run())
    assert rig.asked == 1

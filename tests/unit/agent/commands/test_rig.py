from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.adb_server import FakeAdbServer
from fakes.segments import SESSION, segment

from agent.analytics.gate import Gate
from agent.commands.rig import MOST_FILES, Rig, Wanted, _Keeping, allow_files, rigged, until_stopped, video_settings
from agent.errors import NoDevice
from agent.outbox.spool import Spool
from agent.runtime.status import DeviceStatus
from agent.settings import Capture, Replay, load
from bridge.video import VideoSettings


def test_what_video_is_asked_for(tmp_path: Path) -> None:
    jar = tmp_path / "scrcpy-server-v4.1"
    jar.write_bytes(b"PK")
    assert video_settings(Capture()) == VideoSettings(540, 2_000_000, 10, None, "")
    asked = video_settings(Capture(width=720, touch_rate=12, bit_rate=900_000, scrcpy_server=jar))
    assert asked == VideoSettings(720, 900_000, 24, jar, "")
    assert video_settings(Capture(video=False)) is None
    assert video_settings(Capture(quality="text")) is None


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The soft limit on open files is low; it, and the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 256 if hard == resource.RLIM_INFINITY else min(256, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    yield low, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A rig is made, as far as that goes where there is no phone."""
    with FakeAdbServer() as server:
        server.states = {}
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path))
        with pytest.raises(NoDevice), rigged(load({}).settings, Wanted(sinks=(f"dir:{tmp_path / 'replays'}",))):
            pass


def test_a_rack_of_phones_may_have_more_files_open_than_a_shell_allows(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hard = limits[1]
    begin(monkeypatch, tmp_path)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)


def test_a_limit_that_is_higher_or_cannot_be_raised_stays(
    limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: int, wanted: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    allow_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 20, 1 << 20))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("it was lowered"))
    allow_files()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")
def test_a_recorder_is_not_ended_by_what_steers_it_before_and_after_it_can_be_steered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    numbers = signal.SIGUSR1, signal.SIGUSR2
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]

    def survived() -> bool:
        return all(signal.getsignal(number) is not signal.SIG_DFL for number in numbers)

    class Steered(Endless):
        async def run(self, stop: asyncio.Event) -> None:
            for number in numbers:
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.05)
                asked.append(bool(self.gate.closed))

    asked: list[bool] = []
    try:
        begin(monkeypatch, tmp_path)
        assert survived()
        asyncio.run(until_stopped(Steered(), None))  # type: ignore[arg-type]
        assert asked == [False, True]
        assert survived()
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


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


def test_sessions_that_are_too_short_are_all_counted_whatever_a_stage_tells_of_its_losses(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        keeping = _Keeping(Replay(min_seconds=3600), spool, ("dir:/x",))
        status = DeviceStatus("one")
        keep, _, _ = keeping.ways(status)
        assert keeping.told(status) is status
        for number in range(10):
            keep(segment(0, SESSION + number))
            status.losses = {"timeline: late picture": number}
        keeping.finish()
        assert keeping.told(status).losses == {"timeline: late picture": 9, "session: shorter than 3600 s": 10}
        assert keeping.told(DeviceStatus("other")).losses == {}


@pytest.mark.parametrize(("ours", "theirs", "kept"), [(0, 0, 2), (0, 60, 0), (60, 5, 0), (5, 0, 2)])
def test_of_our_and_the_remote_config_s_least_length_the_larger_counts(
    tmp_path: Path, ours: float, theirs: float, kept: int
) -> None:
    with closing(Spool(tmp_path)) as spool:
        # It comes after the rig was made.
        asked = [0.0]
        keeping = _Keeping(Replay(min_seconds=ours), spool, ("dir:/x",), lambda: asked[0])
        keep, _, _ = keeping.ways(status := DeviceStatus("one"))
        asked[0] = theirs
        for session in (SESSION, SESSION + 100_000):
            keep(segment(0, session))
        keeping.finish()
        assert spool.pending() == kept
        left_out = {} if kept else {f"session: shorter than {max(ours, theirs):g} s": 2}
        assert keeping.told(status).losses == left_out


def test_segments_that_were_given_up_before_the_end_are_told_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.spool.HELD_BYTES", 5000)
    with closing(Spool(tmp_path, reserve=2**62)) as spool:
        for seq in range(3):
            spool.keep(segment(seq), ["dir:/x"])
        spool._reserve = 0
        idle = SimpleNamespace(statuses={}, stats=dict, sent=0)
        keeping = _Keeping(Replay(), spool, ("dir:/x",))
        rig = Rig(None, (), idle, None, spool, idle, None, idle, keeping)  # type: ignore[arg-type]
        assert rig.summary()["unstored"] == spool.dropped > 0
        assert spool.unstored() == 0


def test_a_relay_that_ended_by_itself_is_told_in_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Spool(tmp_path)) as spool:
        idle = SimpleNamespace(statuses={}, stats=dict, sent=0)
        relay = SimpleNamespace(counts={"batches": 2}, queue=SimpleNamespace(batches=0), fault="Too many open files")
        keeping, settings = _Keeping(Replay(), spool, ()), load({}).settings
        rig = Rig(settings, (), idle, None, spool, idle, None, idle, keeping, relay)  # type: ignore[arg-type]
        summary = rig.summary()
        rig.tell(summary)
    assert summary["relay"] == {"batches": 2, "waiting": 0, "fault": "Too many open files"}
    assert "The relay ended by a fault of its own: Too many open files. " in capsys.readouterr().err

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from fakes.adb_server import FakeAdbServer, Peer
from fakes.h264 import HEIGHT, WIDTH, drawn, encoded
from fakes.wait import until

from bridge import screenrecord
from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import BridgeError, CaptureFailed, DeviceGone, FrameMalformed, StreamRestarting
from bridge.picture import Display
from bridge.screenrecord import LATENCY_NS, OURS, Screenrecord, video_size
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.traces import Unnoted
from bridge.types import Frame, Rotation, Size
from bridge.video import VideoSettings

pytest.importorskip("av")
MARK = "@@next@@"
SCREEN = Size(WIDTH, HEIGHT)
UNITS = encoded([drawn(number) for number in range(20)])


def soon() -> Deadline:
    return Deadline(5)


class Tool:
    """`screenrecord` behind the fake adb server. Each run is scripted: `act` gets its number and its connection."""

    def __init__(self, server: FakeAdbServer) -> None:
        self.server = server
        self.lines: list[str] = []
        self.alive = 0
        self.rotation: Rotation = 0
        self.size = SCREEN
        self.act: Callable[[int, Peer], None] = lambda number, peer: self.film(peer, 1)
        self._lock = threading.Lock()
        server.services |= {"exec:wm size": self.look, "exec:screenrecord": self.run}

    def look(self, peer: Peer) -> None:
        size = f"Physical size: {self.size.width}x{self.size.height}"
        peer.send(f"{size}\n{MARK}\n  mRotation={self.rotation}\n".encode())

    def run(self, peer: Peer) -> None:
        with self._lock:
            number = len(self.lines)
            self.lines.append(self.server.requests[-1])
            self.alive += 1
        try:
            self.act(number, peer)
        finally:
            with self._lock:
                self.alive -= 1

    def film(self, peer: Peer, count: int, units: list[bytes] = UNITS) -> None:
        """Send pictures, then nothing more until the client goes."""
        for unit in units[:count]:
            peer.send(unit)
        peer.gone()


@pytest.fixture
def tool() -> Iterator[Tool]:
    with FakeAdbServer() as server:
        yield Tool(server)


@contextmanager
def recording(tool: Tool, limit: float = 180.0) -> Iterator[tuple[Screenrecord, Display, Future[None]]]:
    shell = AdbShell(SmartSocket(AdbServer(port=tool.server.port)), "SERIAL")
    display = Display(SCREEN)
    made = Screenrecord(shell, HostClock(), display, VideoSettings(width=WIDTH, limit_seconds=limit), Unnoted())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.run)
        try:
            yield made, display, running
        finally:
            made.close()
            running.exception(5)


def captured(made: Screenrecord, wanted: Callable[[Frame], bool] = lambda frame: True) -> Frame:
    """The first picture that is wanted; beginnings are waited for."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            frame = made.capture(soon())
        except StreamRestarting:
            continue
        if wanted(frame):
            return frame
    raise AssertionError("it did not come")


def shows(number: int) -> Callable[[Frame], bool]:
    """Whether a frame is picture `number` of the film."""
    grey = 16 + (30 + 12 * number) * 219 / 255

    def look(frame: Frame) -> bool:
        luma = np.frombuffer(frame.data, np.uint8)[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
        return bool(abs(luma[: HEIGHT // 4 - 4].mean() - grey) < 4)

    return look


def goes_on(made: Screenrecord) -> bool:
    """Whether picture 9 is there, that of a fresh run."""
    try:
        return shows(9)(made.capture(soon()))
    except (FrameMalformed, StreamRestarting):
        return False


def test_the_last_picture_is_shown_although_no_other_follows(tool: Tool) -> None:
    tool.act = lambda number, peer: tool.film(peer, 3)
    before_ns = time.monotonic_ns()
    with recording(tool) as (made, _, running):
        frame = captured(made, shows(2))
        assert (frame.size, frame.screen, frame.rotation, frame.source) == (SCREEN, SCREEN, 0, "screenrecord")
        assert frame.stamp.mono_ns + frame.bound_ns <= time.monotonic_ns()
        assert before_ns - LATENCY_NS <= frame.stamp.mono_ns - frame.bound_ns
        assert frame.bound_ns >= LATENCY_NS // 2
        # Silence is a screen that stands still.
        assert made.capture(soon()) is frame
        assert re.search(rf"--size {WIDTH}x{HEIGHT} --bit-rate {2_000_000 + OURS} --time-limit 180 -$", tool.lines[0])
        made.close()
        running.result(5)
        with pytest.raises(DeviceGone):
            made.capture(soon())
    until(lambda: not tool.alive, "the tool's end")


def test_the_next_run_takes_over_before_the_limit_without_a_hole(tool: Tool) -> None:
    turn = threading.Event()

    def act(number: int, peer: Peer) -> None:
        if number:
            assert turn.wait(10)
        tool.film(peer, 1, UNITS if number == 0 else encoded([drawn(9)]))

    tool.act = act
    with recording(tool, limit=1.5) as (made, _, _running):
        first = captured(made, shows(0))
        until(lambda: len(tool.lines) == 2, "the next run")
        # The next one has no picture yet, so the first goes on.
        assert made.capture(soon()) is first
        assert tool.alive == 2
        turn.set()
        end = time.monotonic() + 5
        while not shows(9)(made.capture(soon())):
            assert time.monotonic() < end
        until(lambda: len(tool.lines) >= 3, "the run after that")


def test_a_device_that_gives_one_at_a_time_names_the_hole(tool: Tool) -> None:
    over = threading.Event()

    def act(number: int, peer: Peer) -> None:
        if number == 1:
            peer.send(b"ERROR: unable to create video/avc codec instance\n")
            return
        peer.send(UNITS[0])
        if number == 0:
            assert over.wait(10)
            return
        peer.gone()

    tool.act = act
    with recording(tool, limit=0.9) as (made, _, _running):
        frame = captured(made)
        until(lambda: made._single, "the refusal")
        assert made.capture(soon()) is frame
        made._runs[0].began_ns -= 10**10
        over.set()
        until(lambda: len(tool.lines) == 3, "a new run")
        captured(made)


def test_a_run_that_ends_is_told_and_followed(tool: Tool) -> None:
    again, gate = threading.Event(), threading.Event()

    def hold(peer: Peer) -> None:
        assert again.wait(10)
        tool.look(peer)

    def script(number: int, peer: Peer) -> None:
        peer.send(UNITS[0])
        if number == 0:
            assert gate.wait(10)
            return
        peer.gone()

    tool.act = script
    with recording(tool) as (made, _, _running):
        frame = captured(made)
        made._runs[0].began_ns -= 10**10
        tool.server.services["exec:wm size"] = hold
        gate.set()

        def ended() -> bool:
            try:
                return made.capture(soon()) is not frame
            except StreamRestarting as error:
                return "ended" in error.detail

        until(ended, "the end to be told")
        again.set()
        captured(made)
        assert len(tool.lines) == 2


@pytest.mark.parametrize("words", [b"", b"/system/bin/sh: screenrecord: inaccessible or not found\n"])
def test_what_never_gives_a_picture_fails_with_its_words(tool: Tool, words: bytes) -> None:
    tool.act = lambda number, peer: peer.send(words)
    with recording(tool) as (made, _, running):
        running.result(5)
        with pytest.raises(CaptureFailed, match="inaccessible" if words else "ended"):
            made.capture(soon())
    assert len(tool.lines) == (1 if words else screenrecord.SHORT_RUNS)


def test_silence_from_the_start_is_a_failure(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screenrecord, "FIRST_SECONDS", 0.2)
    tool.act = lambda number, peer: tool.film(peer, 0)
    with recording(tool) as (made, _, running):
        running.result(5)
        with pytest.raises(CaptureFailed, match="silence"):
            made.capture(soon())


def test_a_turn_begins_a_new_run_at_once(tool: Tool) -> None:
    lying = encoded([np.ascontiguousarray(drawn(4, HEIGHT, WIDTH))])
    tool.act = lambda number, peer: tool.film(peer, 1, lying if number else UNITS)
    with recording(tool) as (made, display, _):
        captured(made)
        tool.rotation = 1
        display.rotation = 1
        # From here on no picture of the screen as it was.
        frame = captured(made)
        assert (frame.size, frame.screen, frame.rotation) == (Size(HEIGHT, WIDTH), Size(HEIGHT, WIDTH), 1)
        assert f"--size {HEIGHT}x{WIDTH}" in tool.lines[1]
        # Another size of screen, as after a fold.
        tool.size = Size(HEIGHT, HEIGHT)
        tool.act = lambda number, peer: tool.film(peer, 1, encoded([drawn(4, HEIGHT, HEIGHT)]))
        display.natural = Size(HEIGHT, HEIGHT)
        assert captured(made).screen == Size(HEIGHT, HEIGHT)
    until(lambda: not tool.alive, "the tool's end")


def banded() -> np.ndarray:
    """A screen that lies, as an upright picture shows it."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    height = WIDTH * WIDTH // HEIGHT
    picture[(HEIGHT - height) // 2 : (HEIGHT + height) // 2] = 200
    return picture


def test_a_turn_is_seen_in_the_picture(tool: Tool) -> None:
    turned = threading.Event()

    def act(number: int, peer: Peer) -> None:
        if number:
            tool.film(peer, 1, encoded([np.ascontiguousarray(drawn(4, HEIGHT, WIDTH))]))
            return
        first, second = encoded([drawn(0), banded()])
        peer.send(first)
        assert turned.wait(10)
        peer.send(second)
        peer.gone()

    tool.act = act
    with recording(tool) as (made, display, _):
        captured(made)
        tool.rotation = 3
        turned.set()
        frame = captured(made, lambda frame: frame.rotation != 0)
        assert (frame.screen, frame.rotation, display.rotation) == (Size(HEIGHT, WIDTH), 3, 3)


def test_a_film_between_black_bars_is_no_turn(tool: Tool) -> None:
    tool.act = lambda number, peer: tool.film(peer, 2, encoded([drawn(0), banded()]))
    with recording(tool) as (made, _, _running):
        frame = captured(made, lambda frame: frame.data[0] < 20)
        assert frame.size == SCREEN
        assert len(tool.lines) == 1


def test_an_encoder_that_gives_another_size_is_cut_to_the_screen(tool: Tool) -> None:
    # 160 x 160 where 96 x 160 was asked for: black on both sides.
    wide = np.zeros((160, 160, 3), np.uint8)
    wide[:, 32:128] = drawn(3)
    tool.act = lambda number, peer: tool.film(peer, 1, [b"WARNING: failed at 96x160, retrying\n" + encoded([wide])[0]])
    with recording(tool) as (made, _, _running):
        frame = captured(made)
        assert (frame.size, frame.screen) == (SCREEN, SCREEN)
        assert shows(3)(frame)


def test_an_encoder_that_refuses_the_size_is_asked_for_whole_macroblocks(tool: Tool) -> None:
    tool.size = Size(WIDTH + 4, HEIGHT + 2)

    def act(number: int, peer: Peer) -> None:
        size = re.search(r"--size (\d+)x(\d+)", tool.lines[number])
        assert size is not None
        if int(size[1]) % 16 or int(size[2]) % 16:
            peer.send(
                b"ERROR: unable to configure video/avc codec at %sx%s (err=-22)\n"
                % (size[1].encode(), size[2].encode())
            )
        else:
            tool.film(peer, 1)

    tool.act = act
    shell = AdbShell(SmartSocket(AdbServer(port=tool.server.port)), "SERIAL")
    made = Screenrecord(shell, HostClock(), Display(tool.size), VideoSettings(width=WIDTH + 4), Unnoted())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.run)
        try:
            captured(made)
        finally:
            made.close()
            running.exception(5)
    assert len(tool.lines) == 2


def test_a_lost_picture_is_named_and_a_new_run_brings_the_next(tool: Tool) -> None:
    told = threading.Event()

    def act(number: int, peer: Peer) -> None:
        if number:
            assert told.wait(10)
            tool.film(peer, 1, encoded([drawn(9)]))
            return
        for unit in (*UNITS[:3], *UNITS[5:7]):
            peer.send(unit)
        peer.gone()

    tool.act = act
    with recording(tool) as (made, _, _running):
        made._short_runs = -5
        with pytest.raises(FrameMalformed, match="lost"):
            while True:
                frame = captured(made)
                assert any(shows(number)(frame) for number in range(3))
        told.set()

        until(lambda: goes_on(made), "the picture after that")
        assert len(tool.lines) == 2


def test_a_lost_picture_while_the_next_run_begins_is_no_loss_of_the_device(tool: Tool) -> None:
    begun = threading.Event()

    def act(number: int, peer: Peer) -> None:
        if number == 0:
            peer.send(UNITS[0])
            assert begun.wait(10)
            for unit in UNITS[5:7]:
                peer.send(unit)
        if number > 1:
            peer.send(encoded([drawn(9)])[0])
        peer.gone()

    tool.act = act
    with recording(tool, limit=1.5) as (made, _, running):
        captured(made, shows(0))
        made._short_runs = -5
        until(lambda: len(tool.lines) == 2, "the next run")
        begun.set()

        until(lambda: goes_on(made), "the picture of a fresh run")
        assert not running.done()


def test_an_encoder_that_only_gives_broken_streams_fails(tool: Tool) -> None:
    tool.act = lambda number, peer: tool.film(peer, 9, UNITS[1:])
    with recording(tool) as (made, _, running):
        running.result(9)
        with pytest.raises(CaptureFailed):
            made.capture(soon())
    assert len(tool.lines) == screenrecord.SHORT_RUNS


def test_a_device_that_is_gone(tool: Tool) -> None:
    def act(number: int, peer: Peer) -> None:
        peer.send(UNITS[0])
        tool.server.states = {}

    tool.act = act
    with recording(tool) as (made, _, running):
        with pytest.raises(DeviceGone):
            running.result(5)
        with pytest.raises(BridgeError):
            made.capture(soon())


def test_nobody_looks_so_nothing_is_recorded(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording(tool) as (made, _, _running):
        captured(made)
        monkeypatch.setattr("bridge.video.UNWANTED_NS", 0)
        until(lambda: not tool.alive, "the tool's end")
        monkeypatch.setattr("bridge.video.UNWANTED_NS", 60 * 10**9)
        captured(made)
        assert len(tool.lines) == 2


def test_sizes_are_even_and_never_grown() -> None:
    upright = Display(Size(1080, 2400))
    assert video_size(Size(1080, 2400), 540, upright) == Size(540, 1200)
    assert video_size(Size(2400, 1080), 540, upright) == Size(1200, 540)
    assert video_size(Size(1080, 2401), 541, Display(Size(1080, 2401))) == Size(540, 1202)
    assert video_size(Size(320, 481), 540, Display(Size(320, 481))) == Size(320, 480)
    assert video_size(Size(2560, 1600), 540, Display(Size(2560, 1600))) == Size(864, 540)
    assert video_size(Size(1080, 2400), 540, upright, 16) == Size(544, 1200)
    assert video_size(Size(20, 20), 540, Display(Size(20, 20)), 16) == Size(16, 16)

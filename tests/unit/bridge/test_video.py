from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fakes.adb_server import FakeAdbServer, Peer
from fakes.wait import until
from numpy.typing import NDArray

from bridge import video
from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import CaptureFailed, DeviceGone, FrameMalformed, StreamRestarting
from bridge.picture import Display
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.types import Bounds, Frame, Size
from bridge.video import Held, Pulse, Shown, content, looks_turned, screen_size, turned

SIZE, SCREEN = Size(8, 16), Size(80, 160)
ALL = Bounds(0, 0, 8, 16)


class Grey:
    """A picture of one grey, as a decoder gives it."""

    def __init__(self, level: int, chroma: int = 128, size: Size = SIZE) -> None:
        self.size = size
        self._level, self._chroma = level, chroma

    def planes(self, part: Bounds) -> tuple[Size, bytes]:
        area = part.area
        return Size(part.width, part.height), bytes([self._level]) * area + bytes([self._chroma]) * (area // 2)


def soon() -> Deadline:
    return Deadline(5)


def shown(
    level: int, earliest_ns: int = 1000, latest_ns: int = 3000, chroma: int = 128, screen: Size = SCREEN
) -> Shown:
    return Shown(Grey(level, chroma), earliest_ns, latest_ns, screen, ALL)  # type: ignore[arg-type]


@pytest.fixture
def display() -> Display:
    return Display(SCREEN)


@pytest.fixture
def held(display: Display) -> Held:
    held = Held("SERIAL", "source", HostClock(), display)
    held.looked(time.monotonic_ns() + 10**12)
    return held


def test_the_newest_picture_is_a_frame(held: Held) -> None:
    held.put(shown(50))
    frame = held.capture(soon())
    assert (frame.size, frame.screen, frame.rotation, frame.source) == (SIZE, SCREEN, 0, "source")
    assert (frame.stamp.mono_ns, frame.bound_ns, frame.media_type) == (2000, 1000, "image/x-i420")
    assert frame.data == bytes([50]) * 128 + bytes([128]) * 64
    held.put(shown(90, 5000, 5001))
    after = held.capture(soon())
    assert (after.data[0], after.stamp.mono_ns) == (90, 5000)
    assert after.digest != frame.digest


def test_a_frame_says_where_it_was_in_the_coded_picture(held: Held) -> None:
    held.put(replace(shown(50), part=Bounds(2, 4, 8, 12)))
    assert held.capture(soon()).origin == (2, 4)


def test_while_nothing_changed_it_is_the_same_frame(held: Held) -> None:
    held.put(shown(50))
    frame = held.capture(soon())
    assert held.capture(soon()) is frame
    # A coder that sends the same screen again is a little off, time and again.
    for level in (53, 47, 56):
        held.put(shown(level, 9000, 9001))
        assert held.capture(soon()) is frame
    held.put(shown(50, chroma=135))
    assert held.capture(soon()) is not frame


def test_a_picture_is_told_only_when_what_came_since_has_been_looked_at(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.put(shown(50))
    held.looked(time.monotonic_ns() - 10**9)
    with pytest.raises(StreamRestarting, match="late"):
        held.capture(soon())
    monkeypatch.setattr(video, "PATIENCE_SECONDS", 5)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(held.capture, soon())
        held.put(shown(90))
        held.looked(time.monotonic_ns() + 10**9)
        assert waiting.result(4).data[0] == 90


def test_a_change_in_small_steps_is_a_change(held: Held) -> None:
    held.put(shown(50))
    first = held.capture(soon())
    frames: list[Frame] = []
    for level in range(51, 60):
        held.put(shown(level))
        frames.append(held.capture(soon()))
    assert frames[5] is first
    assert frames[6] is not first
    assert frames[8].data[0] == 57


def test_a_stream_that_has_not_begun_says_so_after_a_moment(held: Held) -> None:
    with pytest.raises(StreamRestarting, match="not begun"):
        held.capture(soon())
    with pytest.raises(StreamRestarting):
        held.capture(Deadline(0))


def test_a_waiting_capture_is_woken_by_the_first_picture(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "PATIENCE_SECONDS", 5)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(held.capture, soon())
        held.put(shown(70))
        assert waiting.result(4).data[0] == 70
        held.put(StreamRestarting("SERIAL", "source", "again"))
        waiting = pool.submit(held.capture, Deadline(60))
        held.close()
        with pytest.raises(DeviceGone, match="closed by us"):
            waiting.result(4)
    held.close()


@pytest.mark.parametrize("kind", [FrameMalformed, CaptureFailed])
def test_a_failure_is_told_at_once_and_again(held: Held, kind: type[CaptureFailed]) -> None:
    error = kind("SERIAL", "source", "why")
    held.put(shown(70))
    held.put(error)
    for _ in range(2):
        with pytest.raises(kind, match="why") as caught:
            held.capture(Deadline(60))
        # Each has a traceback of its own.
        assert caught.value is not error
    held.put(shown(71))
    assert held.capture(soon()).data[0] == 71


def test_a_picture_of_the_screen_as_it_was_is_held_back(held: Held, display: Display) -> None:
    held.put(shown(70))
    assert held.capture(soon()).rotation == 0
    display.rotation = 1
    with pytest.raises(StreamRestarting, match="shape"):
        held.capture(soon())
    held.put(shown(70, screen=Size(160, 80)))
    assert held.capture(soon()).rotation == 1
    # The other way round, it is the same shape.
    display.rotation = 3
    assert held.capture(soon()).rotation == 3
    display.rotation = 0
    held.put(shown(70))
    display.natural = Size(60, 160)
    with pytest.raises(StreamRestarting):
        held.capture(soon())


def test_a_stream_that_nobody_looks_at_rests(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    assert held.wanted
    monkeypatch.setattr(video, "UNWANTED_NS", 0)
    assert not held.wanted
    with ThreadPoolExecutor(1) as pool:
        resting = pool.submit(held.rest)
        with pytest.raises(StreamRestarting, match="nobody"):
            while True:
                held.capture(soon())
        monkeypatch.setattr(video, "UNWANTED_NS", 60 * 10**9)
        resting.result(5)
        monkeypatch.setattr(video, "UNWANTED_NS", 0)
        resting = pool.submit(held.rest)
        held.close()
        resting.result(5)


def test_the_shape_of_the_screen(display: Display) -> None:
    assert screen_size(display) == SCREEN
    assert not turned(SCREEN, display)
    display.rotation = 3
    assert screen_size(display) == Size(160, 80)
    assert turned(SCREEN, display)


@pytest.mark.parametrize(
    ("size", "screen", "part"),
    [
        (Size(540, 1200), Size(1080, 2400), Bounds(0, 0, 540, 1200)),
        # Sides are rounded to even numbers.
        (Size(540, 1204), Size(1080, 2408), Bounds(0, 0, 540, 1204)),
        (Size(540, 1170), Size(1440, 3120), Bounds(0, 0, 540, 1170)),
        (Size(360, 742), Size(1080, 2225), Bounds(0, 0, 360, 742)),
        # An encoder that gives what it likes: 576 wide in the middle, 324 high in the middle.
        (Size(720, 1280), Size(1080, 2400), Bounds(72, 0, 648, 1280)),
        (Size(1280, 720), Size(2400, 1080), Bounds(0, 72, 1280, 648)),
        (Size(1280, 720), Size(1080, 2400), Bounds(478, 0, 802, 720)),
    ],
)
def test_where_in_the_video_the_screen_is(size: Size, screen: Size, part: Bounds) -> None:
    assert content(size, screen) == part


def letterboxed(band: int, bars: int = 16) -> NDArray[np.uint8]:
    size = Size(54, 120)
    luma = np.full((size.height, size.width), bars, np.uint8)
    height = size.width * size.width // size.height
    top = (size.height - height) // 2
    luma[top : top + height] = band
    return luma


def test_a_screen_that_lies_in_an_upright_picture_is_seen() -> None:
    assert looks_turned(letterboxed(200))
    assert looks_turned(letterboxed(200, bars=18))
    assert looks_turned(letterboxed(200).T)
    assert not looks_turned(letterboxed(16))
    assert not looks_turned(letterboxed(200, bars=40))
    touched = letterboxed(200)
    touched[0] = 90
    assert not looks_turned(touched)
    assert not looks_turned(np.full((64, 60), 16, np.uint8))


def test_a_byte_that_does_not_come_back_in_time_says_that_pictures_are_late() -> None:
    held = threading.Event()

    def cat(peer: Peer) -> None:
        while byte := peer.read(1):
            held.wait(10)
            peer.send(byte)

    with FakeAdbServer() as server:
        server.services["exec:cat"] = cat
        smart = SmartSocket(AdbServer(port=server.port))
        pulse = Pulse(AdbShell(smart, "SERIAL"))
        assert not pulse.late()
        until(pulse.late, "the byte to be missed", 5)
        held.set()
        # On another stream: what comes back too late is no answer to what is asked then.
        assert not pulse.late()
        pulse.close()
        smart.close()


def test_a_device_without_the_program_is_never_late() -> None:
    with FakeAdbServer() as server:
        smart = SmartSocket(AdbServer(port=server.port))
        pulse = Pulse(AdbShell(smart, "SERIAL"))
        assert not any(pulse.late() for _ in range(3))
        assert len([request for request in server.requests if request == "exec:cat"]) == 1
        smart.close()

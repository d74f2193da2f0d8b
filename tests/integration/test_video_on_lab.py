"""Video of an emulated phone behind the real adb server: what the pictures say of themselves is true.

`SOAK_SECONDS` = for how many seconds `screenrecord` is watched while it begins anew again and again. With 600, by hand
on a machine that has nothing else to do, no hole may be longer than 0.3 s; a suite on a busy one only looks for real
ones.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes.wait import until

from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.device import AndroidDevice
from bridge.emulated.lab import Lab
from bridge.emulated.phone import Phone
from bridge.emulated.world import timecode
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.world import World
from bridge.errors import BridgeError, CaptureFailed, ScreenBlocked
from bridge.registry import AdbServer, Registry, VideoSettings
from bridge.types import Bounds, Frame, Rotation, Size

pytest.importorskip("av")
SIZE = Size(540, 1200)
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
# A change of the screen that is not seen for longer than this, with no word of why, is a hole.
HOLE_MS = 300 if "SOAK_SECONDS" in os.environ else 3_000
VERSIONS = {"screenrecord": "", "scrcpy-3": "3.3.4", "scrcpy-4": "4.1"}


def soon() -> Deadline:
    return Deadline(15)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(devices=1, profile="small", autopilot=False) as lab:
        yield lab
        # A phone is asked for nothing that a phone does not have.
        assert lab.gaps == []
        assert lab.phones[0].encoders == 0


@pytest.fixture
def phone(lab: Lab) -> Phone:
    return lab.phones[0]


@pytest.fixture
def world(lab: Lab, phone: Phone) -> World:
    """The app is open."""
    lab.call(lambda: phone.world.launch(PACKAGE))
    until(lambda: lab.call(lambda: phone.world.find("email")), "the app's first screen")
    lab.call(lambda: phone.world.act("permission"))
    return phone.world


@contextmanager
def filmed(lab: Lab, settings: VideoSettings) -> Iterator[AndroidDevice]:
    """The device, its screen run on a lane as the runtime does it; all of it ends at the end."""
    registry = Registry(AdbServer(port=lab.port), HostClock(), video=settings)
    device = registry.open(lab.serials[0], soon())
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            try:
                device.screen().run()
            except BridgeError:
                return
            stopped.wait(0.05)

    lane = threading.Thread(target=run)
    lane.start()
    try:
        yield device
    finally:
        stopped.set()
        device.close()
        lane.join(10)
        registry.close()
        assert not lane.is_alive()
        until(lambda: lab.call(lambda: lab.phones[0].encoders) == 0, "the encoders' end")


def settings_of(source: str, tmp_path: Path, **more: float) -> VideoSettings:
    version = VERSIONS[source]
    if not version:
        return VideoSettings(**more)  # type: ignore[arg-type]
    jar = tmp_path / f"scrcpy-server-v{version}"
    jar.write_bytes(f"PK scrcpy-server {version}".encode())
    return VideoSettings(scrcpy_server=jar)


def picture_of(device: AndroidDevice, wanted: Callable[[Frame], bool], what: str) -> Frame:
    """The next picture that is wanted; what is told meanwhile is let pass."""
    found: list[Frame] = []

    def look() -> bool:
        try:
            frame = device.screen().capture(soon())
        except CaptureFailed:
            return False
        found.append(frame)
        return wanted(frame)

    until(look, what, 20)
    return found[-1]


def of(source: str) -> Callable[[Frame], bool]:
    return lambda frame: frame.source == source.partition("-")[0]


def code_of(frame: Frame, strip: Bounds) -> int | None:
    """The time that a picture's bar code says, milliseconds of the phone's wall clock."""
    size, screen = frame.size, frame.screen
    luma = np.frombuffer(frame.data, np.uint8)[: size.width * size.height].reshape(size.height, size.width)
    across, down = size.width / screen.width, size.height / screen.height
    place = Bounds(
        round(strip.left * across), round(strip.top * down), round(strip.right * across), round(strip.bottom * down)
    )
    return timecode.read(luma[..., None], place)


def coded(drawn_ms: int, strip: Bounds) -> Callable[[Frame], bool]:
    return lambda frame: frame.media_type == "image/x-i420" and code_of(frame, strip) == drawn_ms


def strip_of(lab: Lab, world: World) -> Bounds:
    strip = lab.call(lambda: world.find("timecode"))
    assert strip is not None
    return strip


@pytest.mark.parametrize("source", VERSIONS)
def test_pictures_say_when_they_were_drawn(lab: Lab, world: World, phone: Phone, source: str, tmp_path: Path) -> None:
    with filmed(lab, settings_of(source, tmp_path)) as device:
        first = picture_of(device, of(source), "a picture of the stream")
        assert (first.screen, first.rotation, first.media_type) == (SIZE, 0, "image/x-i420")
        assert abs(first.size.width * SIZE.height / first.size.height / SIZE.width - 1) < 0.005
        strip, truth_ns = strip_of(lab, world), phone.clock.truth_offset_ns()
        seen = 0
        for _ in range(12):
            lab.call(lambda: world.act("redraw"))
            drawn_ms = lab.call(lambda: world.truth()[-1].code)
            frame = picture_of(device, coded(drawn_ms, strip), "the picture of that moment")
            # Whoever asks again gets the same, or what the encoder sent once more of a screen that stands still.
            again = picture_of(device, of(source), "a picture of the stream once more")
            assert again is frame or (again.stamp > frame.stamp and code_of(again, strip) == drawn_ms)
            drawn_ns = drawn_ms * 1_000_000 - truth_ns
            # The code has whole milliseconds.
            assert frame.stamp.mono_ns + frame.bound_ns >= drawn_ns
            assert frame.stamp.mono_ns - frame.bound_ns <= time.monotonic_ns()
            seen += frame.stamp.mono_ns - frame.bound_ns <= drawn_ns + 1_000_000
        # A busy host may take longer than any phone, now and then.
        assert seen >= 6


@pytest.mark.parametrize("source", VERSIONS)
def test_the_screen_turns(lab: Lab, world: World, source: str, tmp_path: Path) -> None:
    with filmed(lab, settings_of(source, tmp_path)) as device:
        picture_of(device, of(source), "a picture of the stream")
        turns: list[Rotation] = [1, 0, 3]
        for rotation in turns:
            lab.call(lambda rotation=rotation: world.rotate(rotation))
            drawn_ms = lab.call(lambda: world.truth()[-1].code)
            strip = strip_of(lab, world)

            def turned(frame: Frame, drawn_ms: int = drawn_ms, strip: Bounds = strip) -> bool:
                if of(source)(frame) and frame.screen == lab.call(lambda: world.size):
                    return code_of(frame, strip) == drawn_ms
                # Before the turn is known a picture may be of the screen as it was, and says so.
                device.foreground(soon())
                return False

            frame = picture_of(device, turned, f"a picture of rotation {rotation}")
            assert frame.rotation == rotation
            lying = rotation % 2 == 1
            assert (frame.screen.width > frame.screen.height, frame.size.width > frame.size.height) == (lying, lying)


@pytest.mark.parametrize("source", VERSIONS)
def test_the_screen_gets_another_size(lab: Lab, world: World, source: str, tmp_path: Path) -> None:
    with filmed(lab, settings_of(source, tmp_path)) as device:
        picture_of(device, of(source), "a picture of the stream")
        for words, size in (("600x1000", Size(600, 1000)), ("reset", SIZE)):
            device.shell.shell(f"wm size {words}", soon(), check=True)
            lab.call(lambda: world.act("redraw"))
            drawn_ms, strip = lab.call(lambda: world.truth()[-1].code), strip_of(lab, world)

            def resized(frame: Frame, size: Size = size, drawn_ms: int = drawn_ms, strip: Bounds = strip) -> bool:
                # What is in front is asked for every two seconds, and tells the size as well.
                device.foreground(soon())
                return of(source)(frame) and frame.screen == size and code_of(frame, strip) == drawn_ms

            picture_of(device, resized, f"a picture of {size}")


def test_a_process_that_is_killed_is_told_and_begun_again(lab: Lab, world: World, phone: Phone, tmp_path: Path) -> None:
    with filmed(lab, settings_of("screenrecord", tmp_path)) as device:
        picture_of(device, of("screenrecord"), "a picture of the stream")
        # It has run for long enough to be worth another try.
        time_ns = time.monotonic_ns()
        until(lambda: time.monotonic_ns() - time_ns > 2_100_000_000, "a run of some length")
        assert lab.call(lambda: phone.kill("screenrecord")) == 1
        lab.call(lambda: world.act("redraw"))
        drawn_ms = lab.call(lambda: world.truth()[-1].code)
        strip = strip_of(lab, world)
        frame = picture_of(device, lambda frame: of("screenrecord")(frame) and code_of(frame, strip) == drawn_ms, "it")
        assert frame.source == "screenrecord"


@pytest.mark.parametrize("source", VERSIONS)
def test_another_source_takes_over_and_the_stream_comes_back(
    lab: Lab, world: World, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.device.RETRY_SECONDS", 1.0)
    monkeypatch.setattr("bridge.device._Rest.__init__.__defaults__", (0, 1.0, ""))
    with filmed(lab, settings_of(source, tmp_path)) as device:
        picture_of(device, of(source), "a picture of the stream")
        lab.fault("video=refused")
        lab.fault("video=dies")
        reasons: list[str] = []

        def polled() -> bool:
            try:
                return device.screen().capture(soon()).source == "screencap"
            except CaptureFailed as error:
                reasons.append(str(error))
                return False

        until(polled, "the next source", 20)
        assert reasons
        lab.heal("video=dies")
        picture_of(device, of(source), "the stream again")


def test_lost_packets_are_named_and_no_picture_is_wrong(lab: Lab, world: World, tmp_path: Path) -> None:
    strip = strip_of(lab, world)
    with filmed(lab, settings_of("scrcpy-4", tmp_path)) as device:
        picture_of(device, of("scrcpy-4"), "a picture of the stream")
        lab.fault("video=lost")
        codes: set[int | None] = set()
        told: list[CaptureFailed] = []

        def lost() -> bool:
            lab.call(lambda: world.act("redraw"))
            try:
                frame = device.screen().capture(soon())
            except CaptureFailed as error:
                told.append(error)
            else:
                if of("scrcpy-4")(frame):
                    codes.add(code_of(frame, strip))
            return bool(told)

        until(lost, "the loss to be told", 20)
        assert "lost" in str(told[0])
        assert codes <= {shown.code for shown in lab.call(world.truth)}


def test_a_secure_window_is_a_blocked_screen(lab: Lab, world: World, tmp_path: Path) -> None:
    with filmed(lab, settings_of("screenrecord", tmp_path)) as device:
        picture_of(device, of("screenrecord"), "a picture of the stream")
        lab.call(lambda: world.act("pay"))

        def blocked() -> bool:
            try:
                device.screen().capture(soon())
            except ScreenBlocked:
                return True
            return False

        until(blocked, "the black screen")
        lab.call(lambda: world.act("go:list"))
        picture_of(device, of("screenrecord"), "the app again")


@pytest.mark.timeout(SOAK_SECONDS + 120)
def test_forced_restarts_leave_no_hole(tmp_path: Path) -> None:
    told: dict[str, int] = {}
    seen: list[tuple[int, int]] = []
    with Lab(devices=1, profile="small", scenario="shop") as lab:
        phone = lab.phones[0]

        def now_ms() -> int:
            return phone.clock.wall_ns() // 1_000_000

        with filmed(lab, settings_of("screenrecord", tmp_path, limit_seconds=3.0)) as device:
            picture_of(device, of("screenrecord"), "a picture of the stream")
            pause = threading.Event()
            end = time.monotonic() + SOAK_SECONDS
            while time.monotonic() < end:
                strip, asked_ms = lab.call(lambda: phone.world.find("timecode")), now_ms()
                try:
                    frame = device.screen().capture(soon())
                except CaptureFailed as error:
                    told[error.detail] = told.get(error.detail, 0) + 1
                else:
                    code = code_of(frame, strip) if strip and of("screenrecord")(frame) else None
                    if code is not None:
                        seen.append((asked_ms, code))
                pause.wait(0.03)
        drawn = sorted({shown.code for shown in lab.call(phone.world.truth)})
    # How long ago, when it was asked for, a picture had been followed by another.
    late = []
    for asked_ms, code in seen:
        assert code in drawn
        following = bisect_right(drawn, code)
        late.append(asked_ms - drawn[following] if following < len(drawn) else 0)
    moments = len({code for _, code in seen})
    print(f"{SOAK_SECONDS:.0f} s, {len(seen)} pictures of {moments} moments, at most {max(late)} ms late; told: {told}")
    assert max(late) < HOLE_MS
    assert device.screen().name == "screenrecord"

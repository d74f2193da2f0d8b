"""Pictures by an emulator's gRPC port, against a real gRPC server over an emulated phone's pixels."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.wait import until
from hypothesis import given
from hypothesis import strategies as st

from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.emulated.controller import Controller
from bridge.emulated.lab import Lab
from bridge.emulator import APART_SECONDS, EmulatorScreen, Endpoint, available, endpoint, find, read, request
from bridge.errors import BridgeTimeout, CaptureFailed, DeviceGone, FrameMalformed
from bridge.picture import Display, decode
from bridge.registry import AdbServer, Registry
from bridge.smartsocket import SmartSocket
from bridge.types import Size, Stamp

SIZE = Size(540, 1200)
TOKEN = "a-token"
INI = "port.serial=5554\nport.adb=5555\navd.name=Pixel\ngrpc.port=8554\ngrpc.token=secret==\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(1, profile="desk", scenario="idle", autopilot=False) as lab:
        yield lab


@pytest.fixture
def controller(lab: Lab) -> Iterator[Controller]:
    controller = Controller(lab.phones[0], TOKEN)
    yield controller
    controller.stop()


@pytest.fixture
def port(lab: Lab, controller: Controller) -> int:
    return lab.call(controller.start)


@pytest.fixture
def screens() -> Iterator[list[EmulatorScreen]]:
    made: list[EmulatorScreen] = []
    yield made
    for screen in made:
        screen.close()


def screen(port: int, made: list[EmulatorScreen], token: str = TOKEN, display: Display | None = None) -> EmulatorScreen:
    made.append(EmulatorScreen("emulator-5554", Endpoint(port, token), HostClock(), display or Display(SIZE)))
    return made[-1]


def soon() -> Deadline:
    return Deadline(10)


def test_a_picture_is_what_the_phone_shows(lab: Lab, port: int, screens: list[EmulatorScreen]) -> None:
    made = screen(port, screens)
    frame = made.capture(soon())
    assert (frame.size, frame.screen, frame.media_type, frame.source) == (SIZE, SIZE, "image/x-rgba", "emulator")
    assert np.array_equal(decode(frame), lab.call(lab.phones[0].world.pixels))
    assert made.capture(soon()).digest == frame.digest
    lab.call(lambda: lab.phones[0].world.rotate(1))
    try:
        turned = made.capture(soon())
        assert (turned.size, turned.rotation) == (Size(1200, 540), 1)
    finally:
        lab.call(lambda: lab.phones[0].world.rotate(0))


def test_a_picture_has_the_rotation_of_its_own(
    lab: Lab, controller: Controller, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that is locked to portrait, on a phone that is held upside down: the picture is, too."""

    class Clock(HostClock):
        ahead_s = 0.0

        def now(self) -> Stamp:
            stamp = super().now()
            return replace(stamp, mono_ns=stamp.mono_ns + int(self.ahead_s * 1e9))

    clock, display = Clock(), Display(SIZE)
    made = EmulatorScreen("emulator-5554", Endpoint(port, TOKEN), clock, display)
    try:
        controller.held = 2
        frame = made.capture(soon())
        assert (frame.size, frame.rotation) == (SIZE, 2)
        assert np.array_equal(decode(frame), np.rot90(lab.call(lab.phones[0].world.pixels), 2))
        # It may be a turn of the screen that is not known yet; when it is, all is well.
        display.rotation = 2
        made.capture(soon())
        display.rotation = 0
        made.capture(soon())
        clock.ahead_s = APART_SECONDS + 1
        with pytest.raises(CaptureFailed, match="turned by the phone's sensor"):
            made.capture(soon())
        controller.held = 1
        with pytest.raises(CaptureFailed, match="turned by the phone's sensor"):
            made.capture(soon())
        # An old one does not say so: then the shape tells.
        controller.mute = True
        assert made.capture(soon()).rotation == 1
        controller.held, controller.mute = None, False
        assert made.capture(soon()).rotation == 0
    finally:
        made.close()


def test_the_display_that_is_asked_for(port: int, screens: list[EmulatorScreen]) -> None:
    second = Display(Size(720, 960), id=2)
    assert screen(port, screens, display=second).capture(soon()).size == second.natural
    with pytest.raises(CaptureFailed, match="invalid_argument: Invalid display: 300"):
        screen(port, screens, display=Display(SIZE, id=300)).capture(soon())


def test_a_wrong_token_is_said(port: int, screens: list[EmulatorScreen]) -> None:
    for token in ("", "another"):
        with pytest.raises(CaptureFailed, match="unauthenticated: The token is not valid"):
            screen(port, screens, token).capture(soon())


def test_nothing_listens(lab: Lab, controller: Controller, screens: list[EmulatorScreen]) -> None:
    port = lab.call(controller.start)
    controller.stop()
    with pytest.raises((CaptureFailed, BridgeTimeout)):
        screen(port, screens).capture(Deadline(2))


def test_a_late_picture_ends_at_the_deadline(
    lab: Lab, controller: Controller, port: int, screens: list[EmulatorScreen]
) -> None:
    controller.seconds = 2
    with pytest.raises(BridgeTimeout):
        screen(port, screens).capture(Deadline(0.3))


def test_close_wakes_who_waits(lab: Lab, controller: Controller, port: int, screens: list[EmulatorScreen]) -> None:
    controller.seconds = 30
    made = screen(port, screens)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(made.capture, Deadline(60))
        until(lambda: controller.calls, "the call")
        made.close()
        made.close()
        with pytest.raises(DeviceGone):
            waiting.result(10)
    with pytest.raises(DeviceGone):
        made.capture(soon())


def test_what_is_no_picture(controller: Controller, port: int, screens: list[EmulatorScreen]) -> None:
    made = screen(port, screens)
    for garbage in (b"", b"\xff" * 20, b"\x22\xff\xff\xff\xff\x0f", b"\x0b", b"\x0a\x02\x08\x00"):
        controller.garbage = garbage
        with pytest.raises(FrameMalformed):
            made.capture(soon())
    controller.garbage = None
    assert made.capture(soon()).size == SIZE


def image(width: int, height: int, data: bytes, form: int = 1, nested: bool = True, turn: int = 0) -> bytes:
    def field(number: int, value: int) -> bytes:
        out = bytearray([number << 3])
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def counted(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2]) + field(0, len(body))[1:] + body

    sides = field(3 if nested else 2, width) + field(4 if nested else 3, height)
    described = field(1, form) + (counted(2, field(1, turn)) if turn else b"") + (sides if nested else b"")
    extra = b"\x31" + struct.pack("<Q", 5) + b"\x3d" + struct.pack("<I", 6)
    return counted(1, described) + (b"" if nested else sides) + counted(4, data) + extra


@given(st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_any_picture_is_read(width: int, height: int, nested: bool) -> None:
    data = os.urandom(width * height * 4)
    for turn in range(4):
        size, told, pixels = read(image(width, height, data, nested=nested, turn=turn))
        assert (size, told, bytes(pixels)) == (Size(width, height), turn, data)


@pytest.mark.parametrize(
    "answer",
    [
        image(2, 2, b"x" * 15),
        image(2, 2, b"x" * 16, form=0),
        image(2, 2, b"x" * 16, turn=4),
        image(0, 2, b""),
        image(1 << 30, 1 << 30, b""),
        b"\x80" * 11,
    ],
)
def test_pictures_that_are_wrong(answer: bytes) -> None:
    with pytest.raises(FrameMalformed):
        read(answer)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_bytes_are_read_or_refused(data: bytes, cut: int) -> None:
    for answer in (data, image(3, 4, data[:48])[:cut]):
        try:
            read(answer)
        except FrameMalformed:
            continue


def test_a_request() -> None:
    assert request(0) == b"\x08\x01"
    assert request(2) == b"\x08\x01\x28\x02"
    assert request(300) == b"\x08\x01\x28\xac\x02"


def test_an_emulator_is_found_by_its_file(tmp_path: Path) -> None:
    here, there = tmp_path / "run" / "avd" / "running", tmp_path / "home" / ".android" / "avd" / "running"
    for folder in (here, there):
        folder.mkdir(parents=True)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    home = tmp_path / "home"
    assert find("emulator-5554", environment, home) is None
    (there / "pid_9.ini").write_text(INI)
    assert find("emulator-5554", environment, home) == Endpoint(8554, "secret==")
    (here / "pid_1.ini").write_text(INI.replace("8554", "9000"))
    (here / "pid_2.ini").write_bytes(b"\xff\xfe\x00")
    assert find("emulator-5554", environment, home) == Endpoint(9000, "secret==")
    for other in ("emulator-5556", "R58", "127.0.0.1:5554", "emulator-5554x"):
        assert find(other, environment, home) is None
    (here / "pid_3.ini").mkdir()
    assert find("emulator-5554", environment, home) == Endpoint(8554, "secret==")
    # Not every user has a home.
    assert find("emulator-5554", {}, None) is None


@pytest.mark.parametrize("text", ["", "port.serial=5554\n", INI.replace("8554", "99999"), INI.replace("8554", "-1")])
def test_a_file_that_names_no_port(text: str) -> None:
    assert endpoint(text, 5554) is None


def test_without_a_token() -> None:
    assert endpoint("grpc.port = 8554\r\nport.serial = 5554\r\n", 5554) == Endpoint(8554, "")
    # One that takes signed tokens alone is recorded as a phone is.
    keys = "grpc.jwks=/run/avd/jwks\ngrpc.jwk_active=/run/avd/jwks/active.jwk\n"
    assert endpoint("grpc.port=8554\nport.serial=5554\n" + keys, 5554) is None
    assert endpoint(INI + keys, 5554) == Endpoint(8554, "secret==")


def test_an_emulator_s_device_takes_its_pictures_there(
    lab: Lab, controller: Controller, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert available()
    controller.announce(tmp_path, 5554, port)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    socket = SmartSocket(AdbServer(port=lab.port))
    registry = Registry(AdbServer(port=lab.port), HostClock())
    try:
        # The server calls a device so that it is told to be an emulator of this console port.
        socket.query(f"host:connect:emu:5554,{lab.adbds[0].port}", soon())
        until(lambda: any(each.serial == "emulator-5554" and each.usable for each in registry.list(soon())), "it")
        device = registry.open("emulator-5554", Deadline(40))
        try:
            assert device.screen().capture(soon()).source == "emulator"
            controller.stop()
            sources = set()
            for _ in range(6):
                try:
                    sources.add(device.screen().capture(soon()).source)
                except CaptureFailed:
                    continue
            assert sources == {"screencap"}
        finally:
            device.close()
    finally:
        registry.close()
        socket.close()

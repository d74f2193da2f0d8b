import shlex
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.adb_server import FakeAdbServer, Peer, says
from PIL import Image

import bridge.adb
from bridge.adb import AdbShell, Screencap, ScreencapPng
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeTimeout,
    CaptureFailed,
    CommandFailed,
    DeviceGone,
    FrameMalformed,
    ServiceRefused,
)
from bridge.picture import Display, decode
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.types import Frame, Size

MARK = "@@next@@"
BOOT_ID = "0b2c4b1e-6a3f-4c57-9d0e-2f1a7c8b9d10"
PROPERTIES = (
    "[ro.product.model]: [Pixel 7]\n[ro.product.manufacturer]: [Google]\n[ro.build.version.release]: [14]\n"
    "[ro.build.version.sdk]: [34]\n[ro.sf.lcd_density]: [420]\n"
)


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


@pytest.fixture
def shell(server: FakeAdbServer) -> AdbShell:
    return AdbShell(SmartSocket(AdbServer(port=server.port)), "SERIAL")


def soon() -> Deadline:
    return Deadline(5)


def ends(code: int, out: bytes = b"", err: bytes = b"") -> Callable[[Peer], None]:
    packets = ((1, out), (2, err), (3, bytes([code])))
    return says(b"".join(struct.pack("<BI", kind, len(data)) + data for kind, data in packets if data))


def facts(properties: str, size: str, density: str, boot_id: str, scales: str = "") -> Callable[[Peer], None]:
    return says(f"\n{MARK}\n".join((properties, size, density, boot_id, scales)) + "\n")


def test_info_in_one_round_trip(server: FakeAdbServer, shell: AdbShell) -> None:
    size, density = "Physical size: 1080x2400\nOverride size: 720x1600", "Physical density: 420"
    scales = "animator_duration_scale=5.0\ntransition_animation_scale=0.5\nwindow_animation_scale=1\n"
    scales += "enabled_accessibility_services=com.some.reader/.Service"
    server.services["exec:getprop"] = facts(PROPERTIES, size, density, BOOT_ID, scales)
    info = shell.info(soon())
    assert (info.serial, info.model, info.manufacturer, info.android) == ("SERIAL", "Pixel 7", "Google", "14")
    assert (info.api_level, info.size, info.density, info.boot_id) == (34, Size(720, 1600), 420, BOOT_ID)
    assert (info.animations, info.services) == (5, ("com.some.reader",))
    assert server.requests == ["host:transport:SERIAL", f"exec:getprop; echo {MARK}; wm size; echo {MARK}; "
                               f"wm density; echo {MARK}; cat /proc/sys/kernel/random/boot_id; echo {MARK}; "
                               "settings list global | grep _scale; "
                               "settings list secure | grep enabled_accessibility_services"]  # fmt: skip


def test_the_mark_means_nothing_to_a_shell() -> None:
    assert MARK == bridge.adb.MARK == shlex.quote(MARK)


def test_info_of_a_poor_device(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:getprop"] = facts("", "Physical size: 10x20", "no service", "Permission denied")
    info = shell.info(soon())
    assert (info.model, info.api_level, info.density, info.boot_id, info.animations) == ("", 0, 160, "", 1)


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5000])
def test_numbers_that_no_device_tells_count_as_none(server: FakeAdbServer, shell: AdbShell, number: str) -> None:
    properties = f"[ro.build.version.sdk]: [{number}]\n[ro.sf.lcd_density]: [{number}]\n"
    server.services["exec:getprop"] = facts(properties, "Physical size: 10x20", "", "")
    info = shell.info(soon())
    assert (info.api_level, info.density) == (0, 160)


HUGE, BREAK = "Physical size: 99999x99999", f"\n{MARK}\n"


@pytest.mark.parametrize("answer", ["", "half", f"a\n{MARK}\nno size{3 * BREAK}", f"a\n{MARK}\n{HUGE}{3 * BREAK}"])
def test_info_without_a_size_is_an_error(server: FakeAdbServer, shell: AdbShell, answer: str) -> None:
    server.services["exec:getprop"] = says(answer)
    with pytest.raises(CommandFailed):
        shell.info(soon())


def test_shell_check(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["shell,v2,raw:job"] = ends(3, err=b"job: no such thing\n")
    assert shell.shell("job", soon()).code == 3
    with pytest.raises(CommandFailed, match="exit status 3: job: no such thing"):
        shell.shell("job", soon(), check=True)


def test_foreground(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:dumpsys window"] = says(
        f"  mRotation=1\n  mCurrentFocus=Window{{1 u0 com.shop/.Main}}\n{MARK}\n  mInputShown=true\n"
    )
    display = Display(Size(10, 20))
    state = shell.foreground(HostClock(), display, soon())
    assert (state.package, state.activity) == ("com.shop", "com.shop.Main")
    assert state.keyboard_shown
    assert state.rotation == display.rotation == 1


def test_foreground_without_a_rotation_keeps_the_last(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:dumpsys window"] = says("")
    state = shell.foreground(HostClock(), Display(Size(10, 20), 3), soon())
    assert (state.package, state.activity, state.rotation) == ("", "", 3)


DISPLAYS = (
    '  Display 0:\n    mBaseDisplayInfo=DisplayInfo{"Inner", real 20 x 30, rotation 0, state ON, uniqueId "local:46", '
    "density 420}\n"
    '  Display 2:\n    mBaseDisplayInfo=DisplayInfo{"Desk", real 40 x 50, rotation 0, state ON, uniqueId "local:48", '
    "density 160}\n"
)
TWO = f"{DISPLAYS}{MARK}\nDisplay 46 (HWC display 0): port=0\nDisplay 48 (HWC display 1): port=1\n"


@pytest.mark.parametrize(
    ("number", "answer", "size", "physical", "density"),
    [
        (0, TWO, Size(20, 30), "46", None),
        (2, TWO, Size(40, 50), "48", 160),
        (0, f"{DISPLAYS}{MARK}\nDisplay 46 (HWC display 0): port=0\n", Size(20, 30), "", None),
        (0, "Can't find service: display\n", Size(10, 20), "", None),
    ],
)
def test_what_a_display_is_called_and_how_large_it_is(
    server: FakeAdbServer, shell: AdbShell, number: int, answer: str, size: Size, physical: str, density: int | None
) -> None:
    server.services["exec:dumpsys display"] = says(answer)
    display = Display(Size(10, 20), id=number)
    assert shell.settle(display, None, soon()) == density
    assert (display.natural, display.physical) == (size, physical)
    shell.settle(display, Size(7, 8), soon())
    assert display.natural == Size(7, 8)


def test_a_display_that_is_not_there_is_named(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:dumpsys display"] = says(TWO)
    with pytest.raises(CommandFailed, match="open display 5: the device has 0, 2"):
        shell.settle(Display(Size(10, 20), id=5), None, soon())


def test_a_size_that_changed_is_noted_with_what_is_in_front(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:dumpsys display"] = says(TWO)
    server.services["exec:dumpsys window"] = says(
        "  Display: mDisplayId=0\n    init=25x35 420dpi cur=25x35\n"
        "  mRotation=0\n  mCurrentFocus=Window{1 u0 com.shop/.Main}\n"
        "  Display: mDisplayId=2\n    init=40x50 160dpi cur=50x40\n"
        "  mRotation=1\n  mCurrentFocus=Window{1 u0 com.clock/.Main}\n"
    )
    display, second = Display(Size(20, 30)), Display(Size(40, 50), id=2)
    state = shell.foreground(HostClock(), display, soon())
    assert (state.size, display.natural, display.physical) == (Size(25, 35), Size(25, 35), "46")
    other = shell.foreground(HostClock(), second, soon())
    assert (other.package, other.size) == ("com.clock", Size(40, 50))


@pytest.mark.parametrize("shown", ["cur=0x0", "cur=0x30"])
def test_a_size_of_nothing_is_no_size(server: FakeAdbServer, shell: AdbShell, shown: str) -> None:
    server.services["exec:dumpsys window"] = says(f"  Display: mDisplayId=0\n    {shown}\n  mRotation=0\n")
    display = Display(Size(20, 30))
    assert shell.foreground(HostClock(), display, soon()).size == display.natural == Size(20, 30)


def test_pictures_are_of_the_display_that_is_named(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:screencap -d 48"] = says(struct.pack("<IIII", 1, 1, 1, 1) + b"abcd")
    frame = Screencap(shell, HostClock(), Display(Size(1, 1), id=2, physical="48")).capture(soon())
    assert bytes(frame.data) == b"abcd"
    with pytest.raises(FrameMalformed):
        server.services["exec:screencap -p -d 48"] = says("nothing")
        ScreencapPng(shell, HostClock(), Display(Size(1, 1), id=2, physical="48")).capture(soon())


def test_package_uid(server: FakeAdbServer, shell: AdbShell) -> None:
    server.services["exec:pm list packages -U com.shop"] = says("package:com.shop uid:10123\n")
    assert shell.package_uid("com.shop", soon()) == 10123
    server.services["exec:pm list packages -U com.shop"] = says("Error: Unknown option: -U\n")
    server.services["exec:dumpsys package com.shop"] = says("  Package [com.shop] (1):\n    userId=10124\n")
    assert shell.package_uid("com.shop", soon()) == 10124
    server.services["exec:pm list packages -U"] = says("")
    server.services["exec:dumpsys package"] = says("Unable to find package: x\n")
    assert shell.package_uid("x'; reboot", soon()) is None
    assert server.requests[-1] == "exec:dumpsys package 'x'\"'\"'; reboot'"


def test_screencap(server: FakeAdbServer, shell: AdbShell) -> None:
    pixels = bytes(range(200))
    server.services["exec:screencap"] = says(struct.pack("<4I", 10, 5, 1, 1) + pixels)
    clock = HostClock()
    source = Screencap(shell, clock, Display(Size(5, 10)))
    before = clock.now()
    frame = source.capture(soon())
    assert before <= frame.stamp <= clock.now()
    assert (frame.size, frame.rotation, frame.media_type) == (Size(10, 5), 1, "image/x-rgba")
    assert bytes(frame.data) == pixels
    assert source.capture(soon()).digest == frame.digest


def shows(width: int, height: int, value: int, before: bytes = b"") -> Callable[[Peer], None]:
    return says(before + struct.pack("<4I", width, height, 1, 1) + bytes([value]) * (width * height * 4))


def memory(frame: Frame) -> bytearray:
    """The bytearray that a frame's data are a view of."""
    assert isinstance(frame.data, memoryview)
    assert isinstance(frame.data.obj, bytearray)
    return frame.data.obj


@pytest.fixture
def source(shell: AdbShell) -> Screencap:
    return Screencap(shell, HostClock(), Display(Size(5, 10)))


def test_a_buffer_that_nobody_reads_is_used_again(server: FakeAdbServer, source: Screencap) -> None:
    buffers = set()
    for value in range(10):
        server.services["exec:screencap"] = shows(5, 10, value)
        frame = source.capture(soon())
        assert set(bytes(frame.data)) == {value}
        buffers.add(id(memory(frame)))
    # One is held by the loop's variable while the next picture comes.
    assert len(buffers) == 2


def test_pictures_that_are_held_stay_as_they_were(server: FakeAdbServer, source: Screencap) -> None:
    frames = []
    for value in range(8):
        server.services["exec:screencap"] = shows(5, 10, value)
        frames.append(source.capture(soon()))
    assert [set(bytes(frame.data)) for frame in frames] == [{value} for value in range(8)]
    assert len({id(memory(frame)) for frame in frames}) == 8


@pytest.mark.parametrize(
    "hold",
    [
        lambda frame: frame.data[10:11],
        lambda frame: decode(frame)[2:4, 1],
        lambda frame: np.asarray(frame.data)[::50],
        lambda frame: Image.frombuffer("RGBX", (5, 10), decode(frame), "raw", "RGBX", 0, 1),
    ],
    ids=["a byte", "decoded rows", "a strided array", "an image of Pillow"],
)
def test_the_smallest_view_of_a_picture_keeps_it(
    server: FakeAdbServer, source: Screencap, hold: Callable[[Frame], Any]
) -> None:
    server.services["exec:screencap"] = shows(5, 10, 7)
    held = hold(source.capture(soon()))
    for value in range(20, 26):
        server.services["exec:screencap"] = shows(5, 10, value)
        assert set(bytes(source.capture(soon()).data)) == {value}
    assert set(held.tobytes()) == {7}


def test_a_short_picture_shows_nothing_of_the_last(server: FakeAdbServer, source: Screencap) -> None:
    whole = struct.pack("<4I", 5, 10, 1, 1) + b"\x01" * 200
    server.services["exec:screencap"] = says(whole)
    source.capture(soon())
    # Behind these bytes the buffer still holds what would make them a whole picture.
    for cut in (whole[:16], whole[:100], whole[:215]):
        server.services["exec:screencap"] = says(cut)
        with pytest.raises(FrameMalformed):
            source.capture(soon())
    server.services["exec:screencap"] = says(b"")
    with pytest.raises(FrameMalformed, match="nothing was sent"):
        source.capture(soon())
    server.services["exec:screencap"] = shows(5, 10, 2)
    assert set(bytes(source.capture(soon()).data)) == {2}


def test_another_size_has_other_buffers(server: FakeAdbServer, source: Screencap) -> None:
    server.services["exec:screencap"] = shows(5, 10, 1)
    small = source.capture(soon())
    for width, height, value in ((50, 100, 2), (50, 100, 3), (100, 50, 4), (5, 10, 5), (5, 10, 6)):
        server.services["exec:screencap"] = shows(width, height, value)
        frame = source.capture(soon())
        assert (frame.size, set(bytes(frame.data))) == (Size(width, height), {value})
        assert len(frame.data) == width * height * 4
    # The large ones are not kept for small pictures.
    assert len(memory(frame)) < 50 * 100 * 4
    assert set(bytes(small.data)) == {1}


def test_words_before_the_picture_need_no_other_buffer(server: FakeAdbServer, source: Screencap) -> None:
    warning = b"WARNING: linker: app_process64 has text relocations\n"
    buffers = set()
    for value in range(6):
        server.services["exec:screencap"] = shows(5, 10, value, warning * (value % 3))
        frame = source.capture(soon())
        assert set(bytes(frame.data)) == {value}
        buffers.add(id(memory(frame)))
    assert len(buffers) == 2


def test_a_flood_that_is_no_picture_is_not_kept(server: FakeAdbServer, source: Screencap) -> None:
    server.services["exec:screencap"] = says(b"x" * 1_000_000)
    with pytest.raises(FrameMalformed):
        source.capture(soon())
    server.services["exec:screencap"] = shows(5, 10, 1)
    assert len(memory(source.capture(soon()))) < 10_000


@pytest.mark.parametrize(("source_class", "command"), [(Screencap, "screencap"), (ScreencapPng, "screencap -p")])
def test_a_picture_without_end_is_a_failed_one(
    server: FakeAdbServer, shell: AdbShell, monkeypatch: pytest.MonkeyPatch, source_class: Any, command: str
) -> None:
    monkeypatch.setattr(bridge.adb, "MAX_PICTURE", 10_000)
    server.services[f"exec:{command}"] = says(b"x" * 1_000_000)
    with pytest.raises(CaptureFailed, match="more than 10,000 bytes"):
        source_class(shell, HostClock(), Display(Size(5, 10))).capture(soon())


@pytest.mark.parametrize("said", ["cur=99999x99999", "cur=16000x16000"])
def test_a_size_that_no_screen_has_changes_nothing(server: FakeAdbServer, shell: AdbShell, said: str) -> None:
    server.services["exec:wm size"] = says(f"{HUGE}\n{MARK}\n{said}\n  mRotation=0\n")
    server.services["exec:dumpsys display"] = says(DISPLAYS.replace("20 x 30", "99999 x 99999"))
    display = Display(Size(20, 30))
    shell.look(display, soon())
    shell.settle(display, None, soon())
    assert display.natural == Size(20, 30)


def test_a_closed_source_leaves_its_frames_alone(server: FakeAdbServer, source: Screencap) -> None:
    server.services["exec:screencap"] = shows(5, 10, 1)
    frame = source.capture(soon())
    source.close()
    server.services["exec:screencap"] = shows(5, 10, 2)
    assert memory(source.capture(soon())) is not memory(frame)
    assert set(bytes(frame.data)) == {1}


@pytest.mark.parametrize("source_class", [Screencap, ScreencapPng])
def test_failed_screencap(
    server: FakeAdbServer, shell: AdbShell, source_class: type[Screencap] | type[ScreencapPng]
) -> None:
    source = source_class(shell, HostClock(), Display(Size(5, 10)))
    with pytest.raises(CaptureFailed, match="closed"):
        source.capture(soon())
    server.services["exec:screencap"] = says(b"")
    with pytest.raises(FrameMalformed, match="nothing was sent") as caught:
        source.capture(soon())
    assert caught.value.serial == "SERIAL"
    server.states = {}
    with pytest.raises(DeviceGone):
        source.capture(soon())


class Files:
    """The device's file service: takes one file, and answers."""

    def __init__(self, server: FakeAdbServer, answer: bytes = b"OKAY" + bytes(4)) -> None:
        self.answer = answer
        self.name = b""
        self.data = bytearray()
        self.seconds = 0
        self.stalled = threading.Event()
        self.resume = threading.Event()
        self.resume.set()
        self.pause_seconds = 0.0
        server.services["sync:"] = self.serve

    def serve(self, peer: Peer) -> None:
        # What is taken makes room at once.
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        while head := peer.read(8):
            kind, number = struct.unpack("<4sI", head)
            if kind == b"DONE":
                self.seconds = number
                break
            assert kind == (b"DATA" if self.name else b"SEND")
            assert number <= 1 << 16
            if kind == b"SEND":
                self.name = peer.read(number)
                if not self.resume.is_set():
                    self.stalled.set()
                    self.resume.wait(10)
            else:
                self.data += peer.read(number)
                if len(self.data) % (1 << 16) == 0:
                    self.stalled.wait(self.pause_seconds)
        peer.send(self.answer)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """More than the sockets between here and the device hold."""
    file = tmp_path / "file.jar"
    with file.open("wb") as out:
        out.truncate(32 << 20)
    return file


@pytest.mark.parametrize("data", [b"", b"PK", bytes(range(256)) * 1000])
def test_push(server: FakeAdbServer, shell: AdbShell, tmp_path: Path, data: bytes) -> None:
    files, source = Files(server), tmp_path / "file.jar"
    source.write_bytes(data)
    began = HostClock().now().wall_ms // 1000
    shell.push(source, "/data/local/tmp/\u00e4.jar", soon())
    assert files.name.decode() == f"/data/local/tmp/\u00e4.jar,{0o100755}"
    assert files.data == data
    assert began <= files.seconds <= HostClock().now().wall_ms // 1000
    assert server.requests == ["host:transport:SERIAL", "sync:"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"FAIL\x05\0\0\0no ro", "push /x: no ro"),
        (b"FAIL\xff\xff\xff\xff" + bytes(1 << 16), "push /x"),
        (b"FAIL\x05\0\0\0n", "ended after 1 of 5"),
        (b"QUIT\0\0\0\0", "answered b'QUIT'"),
        (b"", "ended after 0 of 8"),
    ],
)
def test_a_push_that_is_refused(
    server: FakeAdbServer, shell: AdbShell, tmp_path: Path, answer: bytes, words: str
) -> None:
    Files(server, answer)
    (tmp_path / "file").write_bytes(b"PK")
    with pytest.raises(ServiceRefused, match=words):
        shell.push(tmp_path / "file", "/x", soon())


def test_a_push_of_what_is_no_file_or_to_no_device(server: FakeAdbServer, shell: AdbShell, tmp_path: Path) -> None:
    Files(server)
    for source, words in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ServiceRefused, match=words):
            shell.push(source, "/x", soon())
    server.states = {}
    (tmp_path / "file").write_bytes(b"PK")
    with pytest.raises(DeviceGone, match="not found"):
        shell.push(tmp_path / "file", "/x", soon())


def test_the_deadline_of_a_push_is_for_the_whole_file(server: FakeAdbServer, shell: AdbShell, file: Path) -> None:
    files = Files(server)
    # Each part is taken in time, all of them are not.
    files.pause_seconds = 0.005
    began = time.monotonic()
    with pytest.raises(BridgeTimeout, match="push /x"):
        shell.push(file, "/x", Deadline(0.6))
    files.stalled.set()
    assert time.monotonic() - began < 3
    assert 0 < len(files.data) < file.stat().st_size


def test_close_wakes_a_push(server: FakeAdbServer, shell: AdbShell, file: Path) -> None:
    files = Files(server)
    files.resume.clear()
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(shell.push, file, "/x", Deadline(60))
        assert files.stalled.wait(10)
        shell.socket.close()
        with pytest.raises(DeviceGone, match="closed by us"):
            pushing.result(10)
        files.resume.set()

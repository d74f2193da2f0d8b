"""One device through the adb server: commands, facts, pictures, input, files."""

from __future__ import annotations

import contextlib
import shlex
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bridge import dumpsys, picture
from bridge.buffers import Buffers
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import CaptureFailed, CommandFailed, DeviceGone, ServiceRefused
from bridge.picture import Display
from bridge.smartsocket import MAX_ANSWER, ShellResult, SmartSocket, Stream
from bridge.types import MAX_PIXELS, Condition, DeviceInfo, DisplayInfo, Foreground, Frame, Size

MARK = "@@next@@"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
RAW_HEADER_BYTES = 16
KEPT_BUFFERS = 3
# Of a sync message: its name, and a length or, of DONE, when the file was changed. No DATA may hold more.
_SYNC = struct.Struct("<4sI")
SYNC_BYTES = 1 << 16
MAX_PICTURE = MAX_PIXELS * 4 + RAW_HEADER_BYTES + picture.GARBAGE_BYTES


class AdbShell:
    """Commands on one device. Holds no connection; any thread.

    Every method raises BridgeTimeout, DeviceGone, DeviceUnauthorized, ServiceRefused, AdbServerError, and CommandFailed
    when more is sent than anybody waits for.
    """

    def __init__(self, smart: SmartSocket, serial: str) -> None:
        self.socket = smart
        self.serial = serial

    def exec(self, command: str, deadline: Deadline, expect: int = 1 << 16, limit: int = MAX_ANSWER) -> bytearray:
        """The raw output of a command, both outputs mixed. `expect` = bytes to be ready for, `limit` = to take."""
        return self.socket.exec(self.serial, command, deadline, expect, limit)

    def exec_into(self, command: str, buffer: bytearray, deadline: Deadline, limit: int = MAX_ANSWER) -> int:
        """The same into the caller's buffer, which grows when it must; how many bytes came."""
        return self.socket.exec_into(self.serial, command, buffer, deadline, limit)

    def text(self, command: str, deadline: Deadline) -> str:
        """The output of a command as text; bytes that are not UTF-8 are replaced."""
        return self.exec(command, deadline).decode("utf-8", "replace")

    def shell(self, command: str, deadline: Deadline, check: bool = False) -> ShellResult:
        """Run a command, outputs apart. `check`: CommandFailed with its own words when the exit status is not 0."""
        result = self.socket.shell(self.serial, command, deadline)
        if check and result.code:
            words = (result.stderr or result.stdout).decode("utf-8", "replace").strip()
            raise CommandFailed(self.serial, command, f"exit status {result.code}: {words[:200]}")
        return result

    def stream(self, service: str, deadline: Deadline) -> Stream:
        """Open a service and keep its stream. The device's process ends when that is closed, also when we are killed:
        adbd gives `exec:` and `shell:` a terminal of their own, and closes it within a second, which is SIGHUP to all
        that runs there (AOSP shell_service.cpp StartSubprocess, since Android 7; sockets.cpp deferred_close)."""
        return self.socket.service(self.serial, service, deadline)

    def info(self, deadline: Deadline) -> DeviceInfo:
        """The device's facts, in one round trip. Raises CommandFailed when it has no screen size."""
        # Before Android 8 each call of it starts a Java program.
        scales = "settings list global | grep _scale; settings list secure | grep enabled_accessibility_services"
        answer = self.text(f"; echo {MARK}; ".join(("getprop", "wm size", "wm density", BOOT_ID, scales)), deadline)
        parts = [part.strip() for part in answer.split(MARK)]
        if len(parts) != 5:
            raise CommandFailed(self.serial, "read the device's properties", f"answered {answer[:80]!r}")
        properties = dumpsys.properties(parts[0])
        size = dumpsys.size(parts[1])
        if size is None:
            raise CommandFailed(self.serial, "wm size", f"answered {parts[1][:80]!r}")
        lcd = dumpsys.number(properties.get("ro.sf.lcd_density", ""))
        return DeviceInfo(
            serial=self.serial,
            model=properties.get("ro.product.model", ""),
            manufacturer=properties.get("ro.product.manufacturer", ""),
            android=properties.get("ro.build.version.release", ""),
            api_level=dumpsys.number(properties.get("ro.build.version.sdk", "")) or 0,
            size=size,
            density=dumpsys.density(parts[2]) or (160 if lcd is None else lcd),
            rotation=0,
            boot_id=_boot_id(parts[3]),
            animations=dumpsys.animations(parts[4]),
            services=dumpsys.services(parts[4]),
        )

    def boot_id(self, deadline: Deadline) -> str:
        """What tells one start of a phone from any other (Linux: random(4)), "" where it is not told. It is no proof:
        systems that were started from one saved state have the same, and such as share a kernel."""
        return _boot_id(self.text(BOOT_ID, deadline).strip())

    def foreground(self, clock: HostClock, display: Display, deadline: Deadline) -> Foreground:
        """The app in front, the keyboard and the rotation; the last one is noted in `display`."""
        began = clock.now()
        answer = self.text(f"dumpsys window; echo {MARK}; dumpsys input_method", deadline)
        ended = clock.now()
        everything, _, input_method = answer.partition(MARK)
        everything = dumpsys.current(everything)
        window = dumpsys.display_part(everything, display.id)
        front = dumpsys.front(window)
        turned = dumpsys.rotation(window)
        before = display.natural
        if turned is not None:
            display.rotation = turned
            display.resized(dumpsys.shown_size(window))
        if display.natural != before:
            self.settle(display, display.natural, deadline)
        natural = display.natural
        if display.id == 0 and display.density and display.measured != natural:
            # The other panel of a fold has a density of its own.
            display.density = dumpsys.density(self.text("wm density", deadline)) or display.density
            display.measured = natural
        return Foreground(
            stamp=picture.middle(began, ended),
            package=front.package,
            activity=front.activity,
            keyboard_shown=dumpsys.keyboard_shown(input_method),
            rotation=display.rotation,
            awake=dumpsys.awake(everything),
            size=display.natural,
            density=display.density,
            user=front.user,
        )

    def look(self, display: Display, deadline: Deadline) -> None:
        """Note the screen's size and rotation in `display`, as far as the device tells them."""
        size, _, everything = self.text(f"wm size; echo {MARK}; dumpsys window", deadline).partition(MARK)
        window = dumpsys.display_part(dumpsys.current(everything), display.id)
        if display.id == 0:
            display.natural = dumpsys.size(size) or display.natural
        turned = dumpsys.rotation(window)
        if turned is not None:
            display.rotation = turned
            display.resized(dumpsys.shown_size(window))

    def displays(self, deadline: Deadline) -> tuple[DisplayInfo, ...]:
        """The device's displays; none where `dumpsys display` has a layout that is not known."""
        return dumpsys.displays(self.text("dumpsys display", deadline))

    def condition(self, deadline: Deadline) -> Condition:
        """Battery and free storage, in one round trip."""
        battery, _, disk = self.text(f"dumpsys battery; echo {MARK}; df -k /data", deadline).partition(MARK)
        return dumpsys.condition(battery, disk)

    def settle(self, display: Display, size: Size | None, deadline: Deadline) -> int | None:
        """Note a display's size, and what it is called now: a fold puts another panel behind the same number. Gives
        back its density in dpi when it is not the default one. Raises CommandFailed for a display that is not there.

        `size` is known from elsewhere. A layout of `dumpsys` that is not known changes nothing.
        """
        answer = self.text(f"dumpsys display; echo {MARK}; dumpsys SurfaceFlinger --display-id", deadline)
        listed, _, flinger = answer.partition(MARK)
        found = dumpsys.displays(listed)
        mine = next((each for each in found if each.id == display.id), None)
        if mine is None and display.id != 0:
            there = ", ".join(str(each.id) for each in found) or "none that it tells of"
            raise CommandFailed(self.serial, f"open display {display.id}", f"the device has {there}")
        display.natural = size or (mine.size if mine else display.natural)
        if mine is not None:
            # The default display needs no name, as long as there is no other to take for it.
            display.physical = mine.physical if display.id or len(dumpsys.physical(flinger)) > 1 else ""
        if mine is None or not display.id:
            return None
        display.density = mine.density
        return mine.density

    def package_uid(self, package: str, deadline: Deadline) -> int | None:
        """The uid of an installed package, None when it is not installed."""
        name = shlex.quote(package)
        # `-U` came with Android 8; before, pm complains and lists nothing.
        uid = dumpsys.listed_uid(self.text(f"pm list packages -U {name}", deadline), package)
        if uid is not None:
            return uid
        return dumpsys.package_uid(self.text(f"dumpsys package {name}", deadline), package)

    def push(self, source: Path, target: str, deadline: Deadline) -> None:
        """Copy a file of this host to the device, for everybody to read and run. Raises ServiceRefused in the device's
        words when it cannot be there, in this host's when it cannot be read."""
        op = f"push {target}"
        try:
            with source.open("rb") as file, self.stream("sync:", deadline) as stream:
                stream.op = op
                try:
                    _send(stream, file, target, deadline)
                except DeviceGone as error:
                    if stream.closed:
                        raise
                    # That a device is gone is told by whatever is asked next; this may be its file service alone.
                    raise ServiceRefused(self.serial, op, error.detail) from error
        except OSError as error:
            raise ServiceRefused(self.serial, op, str(error)) from error


def _boot_id(answer: str) -> str:
    return answer if len(answer) == 36 else ""


def _send(stream: Stream, file: BinaryIO, target: str, deadline: Deadline) -> None:
    """The file through an open `sync:` service (AOSP adb/SYNC.TXT): SEND, DATA as often as it takes, DONE."""
    name = f"{target},{stat.S_IFREG | 0o755}".encode()
    stream.send(_SYNC.pack(b"SEND", len(name)) + name, deadline)
    while data := file.read(SYNC_BYTES):
        stream.send(_SYNC.pack(b"DATA", len(data)) + data, deadline)
    stream.send(_SYNC.pack(b"DONE", HostClock().now().wall_ms // 1000), deadline)
    status, length = _SYNC.unpack(stream.read_exactly(_SYNC.size, deadline))
    if status == b"FAIL":
        words = stream.read_exactly(min(length, SYNC_BYTES), deadline)
        raise ServiceRefused(stream.serial, stream.op, words.decode("utf-8", "replace"))
    if status != b"OKAY":
        raise ServiceRefused(stream.serial, stream.op, f"answered {status!r}")


class Screencap:
    """Raw pictures by `screencap`: no encoder on the phone, much data on the wire. One thread.

    A frame's data are a view of one of a few receive buffers, which is filled again only when no view of it is left.
    """

    name = "screencap"

    def __init__(self, shell: AdbShell, clock: HostClock, display: Display) -> None:
        self._shell = shell
        self._clock = clock
        self._display = display
        self._size = display.natural
        self._buffers = Buffers(KEPT_BUFFERS)

    def run(self) -> None:
        """Each picture is asked for."""

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture. Raises CaptureFailed, BridgeTimeout, DeviceGone."""
        buffer = self._buffers.take(_raw_bytes(self._size))
        began = self._clock.now()
        with _refused_is_failed(self._shell.serial, "screencap"):
            count = self._shell.exec_into(f"screencap{_of(self._display)}", buffer, deadline, MAX_PICTURE)
        ended = self._clock.now()
        self._size, pixels = picture.raw(memoryview(buffer)[:count], self._shell.serial)
        return picture.frame(began, ended, self._size, pixels, "image/x-rgba", self._display, self.name)

    def close(self) -> None:
        """Give up the buffers; frames that were taken keep theirs."""
        self._buffers.clear()


class ScreencapPng:
    """PNG pictures by `screencap -p`: slow on the phone, small on the wire. One thread."""

    name = "screencap-png"

    def __init__(self, shell: AdbShell, clock: HostClock, display: Display) -> None:
        self._shell = shell
        self._clock = clock
        self._display = display

    def run(self) -> None:
        """Each picture is asked for."""

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture. Raises CaptureFailed, BridgeTimeout, DeviceGone."""
        began = self._clock.now()
        with _refused_is_failed(self._shell.serial, "screencap -p"):
            data = self._shell.exec(f"screencap -p{_of(self._display)}", deadline, 1 << 20, MAX_PICTURE)
        ended = self._clock.now()
        size, image = picture.png(data, self._shell.serial)
        return picture.frame(began, ended, size, image, "image/png", self._display, self.name)

    def close(self) -> None:
        """Nothing is held between two pictures."""


@contextlib.contextmanager
def _refused_is_failed(serial: str, command: str) -> Iterator[None]:
    try:
        yield
    except (ServiceRefused, CommandFailed) as error:
        raise CaptureFailed(serial, command, error.detail) from error


def _of(display: Display) -> str:
    """Which display `screencap` is to show: it takes the first physical one, which on a fold may be the dark one."""
    return f" -d {display.physical}" if display.physical else ""


def _raw_bytes(size: Size) -> int:
    # Room for words before the picture, and one byte more so that the end is seen without growing the buffer.
    return size.width * size.height * 4 + RAW_HEADER_BYTES + picture.GARBAGE_BYTES + 1

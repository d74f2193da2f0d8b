"""Pictures of an Android emulator on this host, from its own gRPC port: no work inside the emulated phone.

Sources: the emulator's `emulator_controller.proto` (service `android.emulation.control.EmulatorController`; of
ImageFormat: 1 format with 1 = RGBA8888, 2 rotation with 1 = quarter turns, 3 width, 4 height, 5 display; of Image:
1 format, 2 width, 3 height, 4 image) and the discovery file that a running emulator writes. It turns its pictures as
the phone is held by its sensor, which is not always as Android has turned the screen. gRPC is there when the extra
`emulator` is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bridge import picture
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BridgeTimeout, CaptureFailed, DeviceGone, FrameMalformed
from bridge.picture import Display
from bridge.types import MAX_PIXELS, Frame, Rotation, Size

METHOD = "/android.emulation.control.EmulatorController/getScreenshot"
OP = "take the emulator's screenshot"
RGBA8888 = 1
MAX_MESSAGE = MAX_PIXELS * 4 + 4096
MAX_FILE = 64 * 1024
LOOPBACK = "127.0.0.1"
# We hear of a turn every two seconds.
APART_SECONDS = 5.0

_SERIAL = re.compile(r"emulator-(\d{1,5})")
_TURNS: Mapping[int, Rotation] = {0: 0, 1: 1, 2: 2, 3: 3}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an emulator on this host takes calls, and the token that it asks for ("" = none)."""

    port: int
    token: str


def available() -> bool:
    """Whether this host can speak gRPC."""
    return find_spec("grpc") is not None


def find(serial: str, environment: Mapping[str, str], home: Path | None) -> Endpoint | None:
    """The endpoint of the emulator with this serial, from the discovery files; None for any other device. `home` is
    the user's home folder, if there is one."""
    named = _SERIAL.fullmatch(serial)
    if named is None:
        return None
    for folder in _folders(environment, home):
        try:
            files = sorted(folder.glob("pid_*.ini"), key=lambda file: file.stat().st_mtime, reverse=True)
            texts = [file.read_bytes()[:MAX_FILE].decode("utf-8", "replace") for file in files]
        except OSError:
            continue
        for text in texts:
            found = endpoint(text, int(named[1]))
            if found is not None:
                return found
    return None


def endpoint(text: str, console: int) -> Endpoint | None:
    """The endpoint in a discovery file, if it is that of the emulator with this console port and takes the token there
    or none: one that has keys alone takes tokens that are signed with them."""
    facts = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}
    port = facts.get("grpc.port", "")
    if facts.get("port.serial") != str(console) or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        return None
    token = facts.get("grpc.token", "")
    return Endpoint(int(port), token) if token or not facts.get("grpc.jwks") else None


def _folders(environment: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    """Where running emulators tell of themselves: by variable, and where they fall back to on Linux and macOS."""
    for name in ("XDG_RUNTIME_DIR", "ANDROID_EMULATOR_HOME", "LOCALAPPDATA"):
        if environment.get(name):
            folder = Path(environment[name])
            yield (folder / "Temp" if name == "LOCALAPPDATA" else folder) / "avd" / "running"
    if home is not None:
        yield home / ".android" / "avd" / "running"
        yield home / "Library" / "Caches" / "TemporaryItems" / "avd" / "running"


class EmulatorScreen:
    """Raw pictures by the emulator's gRPC port. `capture` belongs to one thread, `close` to any."""

    name = "emulator"

    def __init__(self, serial: str, where: Endpoint, clock: HostClock, display: Display) -> None:
        self._serial = serial
        self._where = where
        self._clock = clock
        self._display = display
        self._channel: Any = None
        self._closed = False
        # Since when its pictures have been turned otherwise than the screen; 0 = they are not.
        self._apart_ns = 0

    def run(self) -> None:
        """Each picture is asked for."""

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture, with the rotation that it has itself. Raises CaptureFailed, also where that has not been
        the screen's for a while; BridgeTimeout, DeviceGone."""
        import grpc

        began = self._clock.now()
        try:
            answer = self._call(deadline)
        except grpc.RpcError as error:
            raise self._translated(error) from error
        except ValueError as error:
            # What grpc says of a channel that was closed.
            raise DeviceGone(self._serial, OP, "closed") from error
        ended = self._clock.now()
        size, turn, data = read(answer, self._serial)
        frame = picture.frame(began, ended, size, data, "image/x-rgba", self._display, self.name)
        natural = self._display.natural
        lies = size.width > size.height
        if size.width != size.height and (lies != (natural.width > natural.height)) != (turn % 2 == 1):
            # Old emulators do not say how they turned it.
            return frame
        if turn == self._display.rotation:
            self._apart_ns = 0
        else:
            # For a moment it may be Android's turn that we have not heard of yet.
            self._apart_ns = self._apart_ns or ended.mono_ns
            if ended.mono_ns - self._apart_ns > APART_SECONDS * 1e9:
                raise CaptureFailed(self._serial, OP, "it is turned by the phone's sensor, and the screen is not")
        return replace(frame, rotation=turn)

    def close(self) -> None:
        """End the connection, and a call that waits on it."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()

    def _call(self, deadline: Deadline) -> bytes:
        import grpc

        if self._channel is None:
            options = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.enable_http_proxy", 0)]
            self._channel = grpc.insecure_channel(f"{LOOPBACK}:{self._where.port}", options)
        if self._closed:
            self._channel.close()
        metadata = [("authorization", f"Bearer {self._where.token}")] if self._where.token else []
        call = self._channel.unary_unary(METHOD)
        answer: bytes = call(request(self._display.id), timeout=max(deadline.remaining(), 0.001), metadata=metadata)
        return answer

    def _translated(self, error: Any) -> BridgeError:
        import grpc

        code = error.code()
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return BridgeTimeout(self._serial, OP, "no answer within the deadline")
        if code == grpc.StatusCode.CANCELLED and self._closed:
            return DeviceGone(self._serial, OP, "closed")
        words = (error.details() or code.name).splitlines()[0][:200]
        return CaptureFailed(self._serial, OP, f"{code.name.lower()}: {words}")


def request(display: int) -> bytes:
    """An ImageFormat: RGBA at the display's own size."""
    return bytes([1 << 3 | _VARINT, RGBA8888]) + (bytes([5 << 3 | _VARINT]) + _varint(display) if display else b"")


def read(answer: bytes, serial: str = "") -> tuple[Size, Rotation, memoryview]:
    """The size, the rotation and the RGBA pixels of an Image. Raises FrameMalformed."""
    view = memoryview(answer)
    try:
        image = _message(view)
        form = _message(_bytes(image.get(1)))
        # The sides stand in the format; older emulators told them beside it.
        width, height = (_number(form.get(3)) or _number(image.get(2)), _number(form.get(4)) or _number(image.get(3)))
        data = _bytes(image.get(4))
        turn = _TURNS.get(_number(_message(_bytes(form.get(2))).get(1)))
    except (IndexError, ValueError) as error:
        raise FrameMalformed(serial, OP, "the answer is no image message") from error
    if _number(form.get(1)) != RGBA8888 or turn is None or not picture.possible(width, height):
        raise FrameMalformed(serial, OP, f"format {_number(form.get(1))}, rotation {turn}, {width}x{height}")
    if len(data) != width * height * 4:
        raise FrameMalformed(serial, OP, f"{len(data)} bytes for {width}x{height}")
    return Size(width, height), turn, data


def _message(view: memoryview) -> dict[int, int | memoryview]:
    """The fields of a protobuf message, the last of each number. Raises ValueError, IndexError for none."""
    found: dict[int, int | memoryview] = {}
    at = 0
    while at < len(view):
        key, at = _read_varint(view, at)
        kind = key & 7
        if kind == _VARINT:
            found[key >> 3], at = _read_varint(view, at)
            continue
        if kind == _BYTES:
            size, at = _read_varint(view, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if size > len(view) - at:
            raise ValueError("a field ends behind the message")
        found[key >> 3] = view[at : at + size]
        at += size
    return found


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number of more than 64 bits")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(value: int | memoryview | None) -> int:
    return value if isinstance(value, int) else 0


def _bytes(value: int | memoryview | None) -> memoryview:
    return value if isinstance(value, memoryview) else memoryview(b"")

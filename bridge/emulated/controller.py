"""The gRPC port of an emulated Android emulator: `getScreenshot`, with a token, over the world's pixels."""

from __future__ import annotations

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridge.emulated.displays import shown
from bridge.emulated.phone import Phone

SERVICE = "android.emulation.control.EmulatorController"
PNG, RGBA8888, RGB888 = 0, 1, 2
WAIT = 10.0


class Controller:
    """One phone's port. Belongs to the lab's event loop; its server has threads of its own. Needs the package grpc.

    `seconds` is what a picture takes, `garbage` is sent in place of one. `held` is how the phone is held, in quarter
    turns, by which pictures are turned; None = as its screen is turned. `mute`: it does not say so, as old ones.
    """

    def __init__(self, phone: Phone, token: str = "") -> None:
        self._phone = phone
        self._token = token
        self._server: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._stopping = threading.Event()
        self.calls = 0
        self.seconds = 0.0
        self.garbage: bytes | None = None
        self.held: int | None = None
        self.mute = False

    async def start(self) -> int:
        """Listen on a free port of loopback; which one."""
        import grpc

        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="controller")
        self._server = grpc.server(self._threads)
        handler = grpc.unary_unary_rpc_method_handler(self._screenshot)
        methods = grpc.method_handlers_generic_handler(SERVICE, {"getScreenshot": handler})
        self._server.add_generic_rpc_handlers([methods])
        port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return port

    def stop(self) -> None:
        """Close the port and end its threads. From another thread than the loop's, which calls may wait for; twice."""
        self._stopping.set()
        if self._server is not None and self._threads is not None:
            self._server.stop(None).wait()
            self._threads.shutdown()

    def announce(self, folder: Path, console: int, port: int) -> None:
        """Write the file by which a running emulator is found, into `folder`/avd/running."""
        running = folder / "avd" / "running"
        running.mkdir(parents=True, exist_ok=True)
        lines = [f"port.serial={console}", f"port.adb={console + 1}", "avd.name=Emulated", f"grpc.port={port}"]
        text = "\n".join([*lines, *([f"grpc.token={self._token}"] if self._token else [])]) + "\n"
        (running / f"pid_{console}.ini").write_text(text)

    def _screenshot(self, request: bytes, context: Any) -> bytes:
        """On a thread of the server."""
        import grpc

        self.calls += 1
        if self._token and ("authorization", f"Bearer {self._token}") not in tuple(context.invocation_metadata()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The token is not valid")
        self._stopping.wait(self.seconds)
        if self.garbage is not None:
            return self.garbage
        wanted = _fields(request)
        number, form = wanted.get(5, 0), wanted.get(1, PNG)
        assert self._loop is not None
        found = asyncio.run_coroutine_threadsafe(self._pixels(number), self._loop).result(WAIT)
        if found is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid display: {number}")
            raise AssertionError
        pixels, turned = found
        held = turned if self.held is None else self.held
        pixels = np.ascontiguousarray(np.rot90(pixels, held - turned))
        height, width = pixels.shape[:2]
        if form == PNG:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            data = file.getvalue()
        else:
            data = pixels.tobytes() if form == RGBA8888 else pixels[..., :3].tobytes()
        return _image(form, 0 if self.mute else held, width, height, number, data, self._phone.clock.wall_ns() // 1000)

    async def _pixels(self, number: int) -> tuple[NDArray[np.uint8], int] | None:
        """What a display shows and how it is turned, asked for on the loop; None for one that is not there."""
        panel = next((each for each in shown(self._phone) if each.number == number), None)
        return None if panel is None or panel.world is None else (panel.world.pixels(), panel.world.rotation)


def _fields(message: bytes) -> dict[int, int]:
    """The whole numbers of a flat message."""
    found: dict[int, int] = {}
    numbers: list[int] = []
    value = shift = 0
    for byte in message:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    for key, number in zip(numbers[::2], numbers[1::2], strict=True):
        found[key >> 3] = number
    return found


def _image(form: int, turn: int, width: int, height: int, display: int, data: bytes, time_us: int) -> bytes:
    rest = b"".join(_number(field, value) for field, value in ((3, width), (4, height), (5, display)))
    described = _number(1, form) + _counted(2, _number(1, turn)) + rest
    return _counted(1, described) + _number(2, width) + _number(3, height) + _counted(4, data) + _number(6, time_us)


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value)


def _counted(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])

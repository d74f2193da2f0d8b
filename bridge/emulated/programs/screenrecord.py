"""`screenrecord --output-format=h264 -`: a real H.264 stream (Annex B), a frame whenever the display changed."""

from __future__ import annotations

import asyncio
import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io

LIMIT_SECONDS = 180.0
KEY_FRAMES = 250
FRAME_RATE = 60
POLL_SECONDS = 1 / FRAME_RATE
RATES = {"K": 1_000, "M": 1_000_000}
MICROSECOND = Fraction(1, 1_000_000)
USAGE = b"Usage: screenrecord [options] <filename>\n"


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. `width` and `height` are those of the video, even."""

    width: int
    height: int
    bit_rate: int
    limit: float


async def screenrecord(io: Io, phone: Phone) -> int:
    """Runs until its limit, a hang-up, or a `kill`. A rotated picture is letterboxed: the stream keeps its size.

    Needs PyAV; without it the codec cannot be had, which is what is said.
    """
    world = phone.world
    try:
        request = _request(io.argv[1:], world.size.width, world.size.height)
    except (ValueError, IndexError):
        await io.error(USAGE)
        return 2
    if find_spec("av") is None:
        await io.error(b"ERROR: unable to create video/avc codec instance\n")
        return 1
    await phone.delay("screenrecord")
    loop = asyncio.get_running_loop()
    # An encoder is single-threaded; a thread of its own keeps the phones' loop free.
    with contextlib.closing(_Encoding(request)) as encoding:
        end = loop.time() + request.limit
        shown = -1
        while not io.hangup.is_set() and loop.time() < end:
            if world.revision != shown:
                shown = world.revision
                data = await loop.run_in_executor(
                    encoding.thread, encoding.encode, world.pixels(), phone.clock.mono_ns()
                )
                if data:
                    await io.write(data)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(io.hangup.wait(), POLL_SECONDS)
        await io.write(await loop.run_in_executor(encoding.thread, encoding.flush))
    return 0


class _Encoding:
    """One encoder and its thread; `encode` and `flush` run there."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._codec: Any = None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="screenrecord")

    def encode(self, pixels: NDArray[np.uint8], mono_ns: int) -> bytes:
        """The stream's next bytes for one more picture, RGBA (height, width, 4)."""
        import av

        request = self._request
        if self._codec is None:
            codec = self._codec = av.CodecContext.create("libx264", "w")
            codec.width, codec.height, codec.pix_fmt = request.width, request.height, "yuv420p"
            codec.bit_rate, codec.time_base = request.bit_rate, MICROSECOND
            # Else a frame gets the bits of one time unit, and shows nothing but grey.
            codec.framerate = Fraction(FRAME_RATE)
            codec.options = {"preset": "superfast", "tune": "zerolatency", "g": str(KEY_FRAMES), "threads": "1"}
        frame = av.VideoFrame.from_ndarray(_fitted(pixels, request.width, request.height), format="rgb24")
        frame.pts, frame.time_base = mono_ns // 1000, MICROSECOND
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))

    def flush(self) -> bytes:
        """What the encoder still holds."""
        return b"".join(bytes(packet) for packet in self._codec.encode(None)) if self._codec else b""

    def close(self) -> None:
        self.thread.shutdown()


def _fitted(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """RGB of the video's size: the display shrunk to fit, black around it."""
    picture = Image.fromarray(pixels).convert("RGB")
    picture.thumbnail((width, height), Image.Resampling.BILINEAR)
    ground = Image.new("RGB", (width, height))
    ground.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return np.asarray(ground)


def _request(words: list[str], width: int, height: int) -> Request:
    """Raises ValueError or IndexError for a command line that cannot be served."""
    bit_rate, limit, target, form = 20_000_000, LIMIT_SECONDS, "", ""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--size", "--bit-rate", "--time-limit", "--output-format", "--display-id"):
            value = value if equals else rest.pop(0)
            if name == "--size":
                width, height = map(int, value.split("x"))
            elif name == "--bit-rate":
                bit_rate = int(value[:-1]) * RATES[value[-1]] if value[-1:] in RATES else int(value)
            elif name == "--time-limit":
                limit = float(value) or math.inf
            elif name == "--output-format":
                form = value
        elif word.startswith("--"):
            raise ValueError(word)
        else:
            target = word
    if target != "-" or form != "h264" or width <= 0 or height <= 0 or bit_rate <= 0 or limit < 0:
        raise ValueError("only a raw stream to standard output")
    return Request(width + width % 2, height + height % 2, bit_rate, limit)

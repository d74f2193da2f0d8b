"""`screenrecord --output-format=h264 -`: a real H.264 stream (Annex B), a frame whenever the display changed."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator
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
from bridge.types import Size

LIMIT_SECONDS = 180.0
ENDLESS_LEVEL = 34
KEY_FRAMES = 250
FRAME_RATE = 60
POLL_SECONDS = 1 / FRAME_RATE
RATES = {"K": 1_000, "M": 1_000_000}
MICROSECOND = Fraction(1, 1_000_000)
# With the fault "lost" or "cut", one packet of so many is.
FAULTY_PACKETS = 5
USAGE = b"Usage: screenrecord [options] <filename>\n"
TOO_LONG = b"Time limit outside acceptable range [1,180]\n"
NO_CODEC = b"ERROR: unable to create video/avc codec instance\n"


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. `width` and `height` are those of the video, even."""

    width: int
    height: int
    bit_rate: int
    limit: float


async def screenrecord(io: Io, phone: Phone) -> int:
    """Runs until its limit, a hang-up, or a `kill`. A rotated picture is letterboxed: the stream keeps its size.

    Needs PyAV; without it, or when all of the phone's encoders are in use, the codec cannot be had, which is what is
    said. No limit (0) and limits above 180 s came with Android 14.
    """
    world = phone.world
    try:
        request = _request(io.argv[1:], world.size.width, world.size.height)
    except (ValueError, IndexError):
        await io.error(USAGE)
        return 2
    if not 0 < request.limit <= LIMIT_SECONDS and phone.profile.api_level < ENDLESS_LEVEL:
        await io.error(TOO_LONG)
        return 2
    await phone.delay("screenrecord")
    with contextlib.ExitStack() as stack:
        encoding = stack.enter_context(claimed(phone, Size(request.width, request.height), request.bit_rate))
        if encoding is None:
            await io.error(NO_CODEC)
            return 1
        loop = asyncio.get_running_loop()
        end = loop.time() + request.limit
        shown = -1
        while not io.hangup.is_set() and loop.time() < end:
            if phone.faults.video == "dies":
                return 1
            if world.revision != shown:
                shown = world.revision
                for packet in await encoding.encode(world.pixels(), world.drawn_ns):
                    await io.write(packet.data)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(io.hangup.wait(), POLL_SECONDS)
        for packet in await encoding.flush():
            await io.write(packet.data)
    return 0


@contextlib.contextmanager
def claimed(phone: Phone, size: Size, bit_rate: int) -> Iterator[Encoding | None]:
    """One of the phone's encoders for a while; None when there is none."""
    if find_spec("av") is None or phone.faults.video == "refused" or phone.encoders >= phone.profile.encoders:
        yield None
        return
    phone.encoders += 1
    encoding = Encoding(phone, size, bit_rate)
    try:
        yield encoding
    finally:
        phone.encoders -= 1
        encoding.close()


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded picture (Annex B, a key picture with its parameter sets) and when it was drawn, CLOCK_MONOTONIC."""

    data: bytes
    key: bool
    mono_ns: int


class Encoding:
    """One encoder and its thread: an encoder is single-threaded, and the phones' loop must stay free."""

    def __init__(self, phone: Phone, size: Size, bit_rate: int) -> None:
        self._phone = phone
        self._size = size
        self._bit_rate = bit_rate
        self._codec: Any = None
        self._count = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encoder")

    async def encode(self, pixels: NDArray[np.uint8], mono_ns: int) -> list[Packet]:
        """The next packets for one more picture, RGBA (height, width, 4), as the faults in force leave them."""
        loop = asyncio.get_running_loop()
        return self._spoiled(await loop.run_in_executor(self._thread, self._encode, pixels, mono_ns))

    async def flush(self) -> list[Packet]:
        """What the encoder still holds."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._packets, None, 0)

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    def _encode(self, pixels: NDArray[np.uint8], mono_ns: int) -> list[Packet]:
        import av

        size = self._size
        if self._codec is None:
            codec = self._codec = av.CodecContext.create("libx264", "w")
            codec.width, codec.height, codec.pix_fmt = size.width, size.height, "yuv420p"
            codec.bit_rate, codec.time_base = self._bit_rate, MICROSECOND
            # Else a frame gets the bits of one time unit, and shows nothing but grey.
            codec.framerate = Fraction(FRAME_RATE)
            codec.options = {"preset": "superfast", "tune": "zerolatency", "g": str(KEY_FRAMES), "threads": "1"}
        frame = av.VideoFrame.from_ndarray(_fitted(pixels, size), format="rgb24")
        # The encoder asks for times that rise, whatever the clocks do.
        frame.pts, frame.time_base = self._count * 1_000_000 // FRAME_RATE, MICROSECOND
        self._count += 1
        return self._packets(frame, mono_ns)

    def _packets(self, frame: Any, mono_ns: int) -> list[Packet]:
        if self._codec is None:
            return []
        return [Packet(bytes(packet), packet.is_keyframe, mono_ns) for packet in self._codec.encode(frame)]

    def _spoiled(self, packets: list[Packet]) -> list[Packet]:
        fault = self._phone.faults.video
        if fault == "silent":
            return []
        if fault in ("lost", "cut") and self._count % FAULTY_PACKETS == 0:
            return [] if fault == "lost" else [Packet(p.data[: len(p.data) // 2], p.key, p.mono_ns) for p in packets]
        return packets


def _fitted(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """RGB of the video's size: the display shrunk or grown to fit, black around it."""
    picture = Image.fromarray(pixels).convert("RGB")
    width, height = size.width, size.width * picture.height // picture.width
    if height > size.height:
        width, height = size.height * picture.width // picture.height, size.height
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    ground = Image.new("RGB", (size.width, size.height))
    ground.paste(picture, ((size.width - width) // 2, (size.height - height) // 2))
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

"""H.264 as encoders make it, from pictures that a test can tell apart, and pieces of it made bit by bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.h264 import AccessUnit, Splitter

WIDTH, HEIGHT = 96, 160


def drawn(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Picture `number` as RGB: another grey for each, and noise that moves, so that each builds on the one before."""
    noise = np.random.default_rng(7).integers(0, 90, (height, width, 3), np.uint8)
    picture = np.roll(noise, 2 * number, axis=0)
    picture[: height // 4] = 30 + 12 * (number % 16)
    return picture


def encoded(
    pictures: list[NDArray[np.uint8]],
    pix_fmt: str = "yuv420p",
    keys: int = 250,
    matrix: int = 2,
    **options: str,
) -> list[bytes]:
    """One access unit for each picture, by libx264 without delay."""
    import av

    codec: Any = av.CodecContext.create("libx264", "w")
    codec.height, codec.width = pictures[0].shape[:2]
    codec.pix_fmt, codec.bit_rate, codec.time_base, codec.framerate = pix_fmt, 4_000_000, Fraction(1, 30), Fraction(30)
    codec.colorspace = matrix
    codec.options = {
        "preset": "superfast", "tune": "zerolatency", "g": str(keys), "sc_threshold": "0", "threads": "1", **options,
    }  # fmt: skip
    units = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, codec.time_base
        units += [bytes(packet) for packet in codec.encode(frame)]
    return units


def split(stream: bytes) -> list[AccessUnit]:
    """All access units of a stream."""
    splitter = Splitter()
    return splitter.feed(stream) + splitter.flush()


class Bits:
    """Bits written one after the other."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, value: int, count: int) -> Bits:
        self._bits += f"{value:0{count}b}" if count else ""
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            digits = f"{value + 1:b}"
            self._bits += "0" * (len(digits) - 1) + digits
        return self

    def done(self) -> bytes:
        """With the stop bit, and with the bytes that keep start codes out."""
        text = self._bits + "1"
        text += "0" * (-len(text) % 8)
        data, zeros = bytearray(), 0
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if zeros >= 2 and byte <= 3:
                data.append(3)
                zeros = 0
            data.append(byte)
            zeros = 0 if byte else zeros + 1
        return bytes(data)

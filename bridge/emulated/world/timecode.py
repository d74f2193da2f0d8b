"""A bar code strip that says when the picture came to be; it survives scaling to 412 px and lossy encoding.

Cells from left to right: guard 1 0 1 0, 48 bits of the value (most significant first), 12 bits of the value modulo
4093, guard 0 1. White is 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bridge.types import Bounds

_LEFT = (1, 0, 1, 0)
_RIGHT = (0, 1)
_VALUE_BITS, _CHECK_BITS, _CHECK_MODULUS = 48, 12, 4093
CELLS = len(_LEFT) + _VALUE_BITS + _CHECK_BITS + len(_RIGHT)


def _bits(value: int, count: int) -> list[int]:
    return [value >> shift & 1 for shift in range(count - 1, -1, -1)]


def cells(bounds: Bounds, value: int) -> Iterator[tuple[int, int, bool]]:
    """The strip for `value` (0 .. 2**48 - 1) as (left, right, white) columns of `bounds`."""
    bits = [*_LEFT, *_bits(value, _VALUE_BITS), *_bits(value % _CHECK_MODULUS, _CHECK_BITS), *_RIGHT]
    edges = [bounds.left + round(bounds.width * i / CELLS) for i in range(CELLS + 1)]
    for left, right, bit in zip(edges[:-1], edges[1:], bits, strict=True):
        yield left, right, bool(bit)


def read(pixels: NDArray[np.uint8], bounds: Bounds) -> int | None:
    """The value drawn at `bounds` of (height, width, channels) pixels, None when there is no valid strip."""
    part = pixels[bounds.top : bounds.bottom, bounds.left : bounds.right, :3]
    if part.shape[0] < 1 or part.shape[1] < CELLS * 2:
        return None
    height = part.shape[0]
    rows = part[height // 3 : max(height // 3 + 1, height * 2 // 3)].mean(axis=(0, 2))
    centres = ((np.arange(CELLS) + 0.5) * part.shape[1] / CELLS).astype(int)
    seen = [int((rows[c - 1] + rows[c] + rows[min(c + 1, len(rows) - 1)]) / 3 > 127) for c in centres]
    if tuple(seen[: len(_LEFT)]) != _LEFT or tuple(seen[-len(_RIGHT) :]) != _RIGHT:
        return None
    value = int("".join(map(str, seen[len(_LEFT) : len(_LEFT) + _VALUE_BITS])), 2)
    check = int("".join(map(str, seen[len(_LEFT) + _VALUE_BITS : -len(_RIGHT)])), 2)
    return value if value % _CHECK_MODULUS == check else None

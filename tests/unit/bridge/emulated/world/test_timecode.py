from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge.emulated.world.timecode import CELLS, cells, read
from bridge.types import Bounds

VALUES = st.integers(0, 2**48 - 1)


def drawn(bounds: Bounds, value: int, width: int = 600, height: int = 40, ground: int = 90) -> NDArray[np.uint8]:
    pixels = np.full((height, width, 4), ground, np.uint8)
    for left, right, white in cells(bounds, value):
        pixels[bounds.top : bounds.bottom, left:right] = 255 if white else 0
    return pixels


@given(VALUES, st.integers(0, 50), st.integers(2 * CELLS, 500), st.integers(1, 20))
def test_what_is_drawn_is_read(value: int, left: int, width: int, height: int) -> None:
    bounds = Bounds(left, 10, left + width, 10 + height)
    assert read(drawn(bounds, value), bounds) == value


@given(VALUES)
def test_noise_is_survived(value: int) -> None:
    bounds = Bounds(0, 0, 412, 10)
    noise = np.random.default_rng(value % 2**32).integers(-60, 60, (40, 600, 4))
    pixels = np.clip(drawn(bounds, value).astype(int) + noise, 0, 255).astype(np.uint8)
    assert read(pixels, bounds) == value


@given(VALUES)
def test_the_cells_fill_the_strip(value: int) -> None:
    columns = list(cells(Bounds(7, 0, 407, 5), value))
    assert len(columns) == CELLS
    assert (columns[0][0], columns[-1][1]) == (7, 407)
    assert all(one[1] == two[0] for one, two in pairwise(columns))
    assert [white for _, _, white in columns[:4]] == [True, False, True, False]
    assert [white for _, _, white in columns[-2:]] == [False, True]


@given(VALUES, st.integers(0, CELLS - 1))
def test_one_wrong_cell_is_noticed(value: int, wrong: int) -> None:
    bounds = Bounds(0, 0, 400, 10)
    pixels = drawn(bounds, value)
    left, right, white = list(cells(bounds, value))[wrong]
    pixels[:10, left:right] = 0 if white else 255
    assert read(pixels, bounds) is None


def test_where_there_is_no_strip() -> None:
    bounds = Bounds(0, 0, 400, 10)
    for ground in (0, 90, 255):
        assert read(np.full((40, 600, 4), ground, np.uint8), bounds) is None
    pixels = drawn(bounds, 12345)
    assert read(pixels, Bounds(0, 0, 2 * CELLS - 1, 10)) is None
    assert read(pixels, Bounds(0, 20, 400, 20)) is None
    assert read(pixels, Bounds(700, 0, 1100, 10)) is None
    assert read(pixels, Bounds(3, 0, 403, 10)) is None

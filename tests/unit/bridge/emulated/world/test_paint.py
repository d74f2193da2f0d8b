from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.emulated.world import timecode
from bridge.emulated.world.paint import screen
from bridge.emulated.world.views import Look, View, Window
from bridge.types import Bounds, Size

SIZE = Size(200, 300)
GROUND, RED = (255, 255, 255), (255, 0, 0)


def painted(*views: View, scale: float = 1.0, code: int = 0) -> NDArray[np.uint8]:
    root = View((0, 0, 200, 300), look="fill", colour="#ffffff").add(*views)
    return screen([Window("com.app", root)], SIZE, scale, code)


def at(pixels: NDArray[np.uint8], x: int, y: int) -> tuple[int, ...]:
    return tuple(pixels[y, x, :3].tolist())


def inked(pixels: NDArray[np.uint8]) -> Bounds | None:
    """The rectangle of all that is not ground."""
    rows, columns = np.nonzero((pixels[..., :3] != GROUND).any(axis=2))
    return Bounds(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if rows.size else None


def test_rgba_of_the_screens_size_black_where_nothing_is() -> None:
    pixels = screen([], SIZE, 1.0, 0)
    assert (pixels.shape, pixels.dtype) == ((300, 200, 4), np.uint8)
    assert not pixels[..., :3].any()
    assert (pixels[..., 3] == 255).all()


def test_a_fill_covers_its_bounds_and_no_more() -> None:
    pixels = painted(View((10, 20, 60, 50), look="fill", colour="#ff0000"))
    assert inked(pixels) == Bounds(10, 20, 60, 50)
    assert at(pixels, 10, 20) == at(pixels, 59, 49) == RED
    assert inked(painted(View((10, 20, 60, 50), look="fill", colour="#ff0000"), scale=2.0)) == Bounds(20, 40, 120, 100)


def test_a_view_without_looks_shows_its_children_only() -> None:
    nested = View((10, 20, 60, 50), colour="#ff0000").add(View((20, 30, 30, 40), look="fill", colour="#00ff00"))
    assert inked(painted(nested)) == Bounds(20, 30, 30, 40)
    assert inked(painted(View((10, 20, 60, 50), colour="#ff0000", text="words"))) is None


@pytest.mark.parametrize("look", ["card", "key", "button", "circle"])
def test_round_corners(look: Look) -> None:
    pixels = painted(View((10, 20, 110, 120), look=look, colour="#ff0000"))
    assert inked(pixels) == Bounds(10, 20, 110, 120)
    assert at(pixels, 60, 70) == RED
    assert at(pixels, 10, 20) == GROUND


def test_a_later_window_is_drawn_over_an_earlier() -> None:
    over = Window("com.b", View((0, 0, 100, 300), look="fill", colour="#ff0000"))
    under = Window("com.a", View((0, 0, 200, 300), look="fill", colour="#ffffff"))
    assert inked(screen([under, over], SIZE, 1.0, 0)) == Bounds(0, 0, 100, 300)
    assert inked(screen([over, under], SIZE, 1.0, 0)) is None


def test_text_stays_in_its_place() -> None:
    box = (10, 40, 190, 70)
    left = inked(painted(View(box, look="text", text="words")))
    centred = inked(painted(View(box, look="text", text="words", align="center")))
    assert left is not None
    assert centred is not None
    for seen in (left, centred):
        assert seen.intersect(Bounds(10, 40, 190, 70)) == seen
    assert left.left < 15
    assert abs((centred.left + centred.right) / 2 - 100) < 3
    bold = inked(painted(View(box, look="text", text="words", font=20, bold=True)))
    assert bold is not None
    assert bold.width > left.width


def test_a_line_that_is_mostly_cut_off_is_not_written() -> None:
    pane = View((0, 0, 200, 50)).add(View((10, 40, 190, 70), look="text", text="words"))
    assert inked(painted(pane)) is None
    pane = View((0, 0, 200, 60)).add(View((10, 40, 190, 70), look="text", text="words"))
    assert inked(painted(pane)) is not None


def test_a_field_shows_its_hint_until_it_has_a_text() -> None:
    def field(**more: object) -> NDArray[np.uint8]:
        view = View((10, 40, 190, 90), look="field")
        for name, value in more.items():
            setattr(view, name, value)
        return painted(view)

    bare, hinted, filled = field(), field(hint="Email"), field(hint="Email", text="nora")
    assert not np.array_equal(bare, hinted)
    assert not np.array_equal(hinted, filled)
    assert np.array_equal(field(text="nora"), filled)
    assert not np.array_equal(bare, field(focused=True))
    # A hint is no text of another look.
    assert inked(painted(View((10, 40, 190, 90), look="text", hint="Email"))) is None


def test_a_photo_is_cut_not_shrunk() -> None:
    whole = painted(View((10, 10, 110, 110), look="image", colour="#b5652a"))
    pane = View((0, 0, 200, 60)).add(View((10, 10, 110, 110), look="image", colour="#b5652a"))
    cut = painted(pane)
    assert np.array_equal(cut[:60], whole[:60])
    assert inked(cut) == Bounds(10, 10, 110, 60)
    assert not np.array_equal(whole, painted(View((10, 10, 110, 110), look="image", colour="#2e7d8c")))


def test_the_strip_carries_the_code() -> None:
    strip = View((0, 100, 200, 110), look="timecode")
    for code in (0, 1, 1_772_532_000_318):
        assert timecode.read(painted(strip, code=code), Bounds(0, 100, 200, 110)) == code


def test_the_same_views_are_the_same_pixels() -> None:
    views = [View((10, 10, 110, 110), look="image"), View((10, 120, 190, 150), look="text", text="words")]
    assert np.array_equal(painted(*views), painted(*views))

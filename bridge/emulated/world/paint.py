"""Draws views into pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bridge.emulated.world import timecode
from bridge.emulated.world.views import Placed, View, Window, place
from bridge.types import Bounds, Size

# Whether a view of a window is private.
Marks = Callable[[Window, View], bool]
SECRET, SECRET_INK = "#ff00ff", "#900090"


@lru_cache(64)
def _font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=pixels)


@lru_cache(64)
def _photo(colour: str, width: int, height: int) -> Image.Image:
    """A drawn product picture: soft light over a plain ground, with a round and a square shape placed by the colour."""
    seed = hashlib.sha256(colour.encode()).digest()
    picture = Image.new("RGB", (width, height), colour)
    draw = ImageDraw.Draw(picture)
    for row in range(height):
        light = 1.25 - 0.5 * row / height
        shade = tuple(min(255, int(int(colour[i : i + 2], 16) * light)) for i in (1, 3, 5))
        draw.line([(0, row), (width, row)], shade)
    centre, radius = (width * (0.35 + seed[0] / 850), height * 0.52), min(width, height) * (0.22 + seed[1] / 1500)
    draw.ellipse([centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius], "#fffaf0")
    inner = radius * 0.6
    draw.rounded_rectangle(
        [centre[0] - inner, centre[1] - inner, centre[0] + inner, centre[1] + inner], inner * seed[2] / 256, colour
    )
    draw.rectangle(
        [0, height * 0.88, width, height], tuple(min(255, int(int(colour[i : i + 2], 16) * 0.6)) for i in (1, 3, 5))
    )
    return picture


def screen(windows: list[Window], size: Size, scale: float, code: int, marks: Marks | None = None) -> NDArray[np.uint8]:
    """The pixels of the display as RGBA, (height, width, 4).

    With `marks` what is private is drawn in SECRET's colours, which have more red and blue than green, and all else in
    colours that have not.
    """
    image = Image.new("RGBA", (size.width, size.height), "#000000")
    draw = ImageDraw.Draw(image)
    clip = Bounds(0, 0, size.width, size.height)
    for window in windows:
        for placed in place(window.root, scale, clip):
            if marks is not None:
                placed = Placed(_recoloured(placed.view, marks(window, placed.view)), placed.bounds, placed.depth)
            if placed.view.look == "timecode":
                b = placed.bounds
                if b.width < timecode.CELLS:
                    continue  # half slid out
                for left, right, white in timecode.cells(b, code):
                    draw.rectangle([left, b.top, right - 1, b.bottom - 1], "#ffffff" if white else "#000000")
            else:
                _draw(image, draw, placed, scale)
    return np.array(image)


def _recoloured(view: View, secret: bool) -> View:
    """A private view in SECRET's colours to its edges, any other in what no mixture makes one of them."""
    if not secret:
        return replace(view, colour=_plain(view.colour), ink=_plain(view.ink))
    if view.look in ("none", "timecode"):
        return view
    return replace(view, look="secret", colour=SECRET, ink=SECRET_INK)


@lru_cache(256)
def _plain(colour: str) -> str:
    """The colour with at least as much green as it has both of red and blue."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"#{red:02x}{max(green, min(red, blue)):02x}{blue:02x}"


def _draw(image: Image.Image, draw: ImageDraw.ImageDraw, placed: Placed, scale: float) -> None:
    view, b = placed.view, placed.bounds
    box = [b.left, b.top, b.right - 1, b.bottom - 1]
    if view.look in ("fill", "secret"):
        draw.rectangle(box, view.colour)
    elif view.look in ("card", "key", "field", "button"):
        radius = min((8 if view.look == "key" else 14) * scale, b.width / 2, b.height / 2)
        edge = {"card": "#e4dfd6", "field": "#0f5e6b" if view.focused else "#c9c4ba"}.get(view.look)
        draw.rounded_rectangle(box, radius, view.colour, edge, max(1, round(scale)) if edge else 0)
    elif view.look == "circle":
        draw.ellipse(box, view.colour)
    elif view.look == "image":
        left, top, right, bottom = (round(edge * scale) for edge in view.box)
        photo = _photo(view.colour, right - left, bottom - top)
        image.paste(photo.crop((b.left - left, b.top - top, b.right - left, b.bottom - top)), (b.left, b.top))
    words = view.text or (view.hint if view.look == "field" else "")
    if words and view.look in ("secret", "text", "field", "key", "button"):
        _write(draw, words, placed, scale, faded=not view.text)


def _write(draw: ImageDraw.ImageDraw, words: str, placed: Placed, scale: float, *, faded: bool) -> None:
    view, b = placed.view, placed.bounds
    left, top, right, bottom = (edge * scale for edge in view.box)
    if b.height < (bottom - top) * 0.6:
        return
    font = _font(max(8, round(view.font * scale)))
    if view.look == "secret":
        # Not beyond its own edges: what is private is where the view is.
        words = words[: max(1, int(len(words) * min(1.0, (right - left) / max(1.0, font.getlength(words)) * 0.9)))]
    middle = (top + bottom) / 2
    inset = 14 * scale if view.look == "field" else 0.0
    centred = view.align == "center" or view.look == "button"
    at = ((left + right) / 2, middle) if centred else (left + inset, middle)
    ink = "#9aa0a3" if faded else view.ink
    draw.text(
        at, words, ink, font, anchor="mm" if centred else "lm", stroke_width=round(scale * 0.25) if view.bold else 0
    )

"""Screens with one card on them, by the colour of which pictures tell what they show: layers on a base."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from fakes.views import DPI, SCREEN, at
from PIL import Image

from agent.model import MaskedNode, MaskedSnapshot
from agent.replay.canvas import RgbaCanvas, covered
from bridge.types import Bounds, NodeFlag

WIDTH, HEIGHT = 270, 600
CARD = Bounds(0, 100, WIDTH, 300)
RED, BLUE, GREEN = (200, 10, 10), (10, 10, 200), (10, 160, 10)
PLACE = Bounds(0, 400, 1080, 1200)


def card(seconds: float, colour: tuple[int, int, int], label: str = "") -> MaskedSnapshot:
    """A pale screen with a card of a colour, a third of it."""
    pixels = np.full((HEIGHT, WIDTH, 4), 250, np.uint8)
    pixels[CARD.top : CARD.bottom, :, :3] = colour
    nodes = (MaskedNode("card", PLACE, "android.view.View", "card", label, NodeFlag.NONE),) if label else ()
    return MaskedSnapshot(at(seconds), SCREEN, DPI, 0, RgbaCanvas(pixels, SCREEN), nodes, (), "")


def grey(seconds: float) -> MaskedSnapshot:
    """A screen that is covered whole."""
    return MaskedSnapshot(at(seconds), SCREEN, DPI, 0, covered(SCREEN, WIDTH), (), (), "settling")


def red(pictures: Iterable[bytes]) -> int:
    """How many pixels of all the encoded pictures are of the red card."""
    return sum(_red(data) for data in pictures)


def _red(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return int(((pixels[..., 0] > 150) & (pixels[..., 2] < 80)).sum())

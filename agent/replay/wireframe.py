"""A dump drawn as a picture: what masking covers can be seen without a screenshot. UNMASKED: only for `Masker`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bridge.types import Bounds, Hierarchy, NodeFlag, Size

MAX_LABEL = 200
PAD = 4
SMALLEST = 8
LARGEST = 48
_GROUND = (250, 250, 250)
_LINE = (176, 190, 212)
_INK = (30, 34, 44)
_TOUCHABLE = (226, 236, 252)
_PICTURE = (222, 226, 218)


def wireframe(tree: Hierarchy, size: Size) -> NDArray[np.uint8]:
    """RGBA, uint8, shape (height, width, 4): each view as a box, with its words."""
    image = Image.new("RGBA", (size.width, size.height), _GROUND)
    draw = ImageDraw.Draw(image)
    for node in tree.walk():
        b = node.bounds
        if b.empty or b.left >= size.width or b.top >= size.height or b.right <= 0 or b.bottom <= 0:
            continue
        fill = _TOUCHABLE if node.flags.has(NodeFlag.CLICKABLE) else _PICTURE if "Image" in node.cls else None
        draw.rectangle((b.left, b.top, b.right - 1, b.bottom - 1), fill, _LINE, 2)
        # What a picture shows is described, and not drawn in it.
        words = node.text or ("" if node.children or "Image" in node.cls else node.desc)
        if words:
            _write(image, b, " ".join(words.split()).encode("utf-8", "replace").decode()[:MAX_LABEL])
    return np.asarray(image)


def _write(image: Image.Image, b: Bounds, line: str) -> None:
    """Words inside a view's own box: what stands outside of it would be under no mask."""
    left, top = max(0, b.left + PAD), max(0, b.top + PAD)
    width, height = min(b.right - PAD, image.width) - left, min(b.bottom - PAD, image.height) - top
    if width < SMALLEST or height < SMALLEST:
        return
    size = min(LARGEST, height * 3 // 4)
    long = ImageFont.load_default(size).getlength(line)
    size = max(SMALLEST, int(size * min(1.0, width / max(1.0, long))))
    tile = image.crop((left, top, left + width, top + height))
    ImageDraw.Draw(tile).text((0, (height - size) // 2), line, _INK, ImageFont.load_default(size))
    image.paste(tile, (left, top))

"""What a viewer sees as pixels: the base picture with its layers, or the views drawn as boxes where there is none."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from agent.replay.playback import Box, State, View

# Colours and type of the document's style sheets (agent.replay.rrweb).
GROUND = (17, 17, 17)
PAPER, LINE, INK = (255, 255, 255), (184, 190, 199), (32, 36, 43)
LABEL_DP = 13.0
# Of a text that only a player could draw, as much as a box can hold.
MAX_LABEL = 200
# What PIL raises over bytes that are no picture, or more of one than it takes.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
# No window reaches so far, in pixels.
FAR = 1_000_000.0

Load = Callable[[str], bytes]


def compose(
    state: State, load: Load, size: tuple[int, int], below: tuple[State, Image.Image] | None = None
) -> Image.Image:
    """The window at `size` pixels, RGB. `load` gives the encoded picture of a `src`.

    Layers are laid over the base in order, each stretched to its box as a browser does it. A picture that PIL cannot
    read leaves the ground in its place. `below` is another state and what it was composed to at this size: if `state`
    is that with more layers on it, only those are laid. Raises what `load` raises.
    """
    if below is not None and size == below[1].size and on_top(state, below[0]):
        canvas = below[1].copy()
        for layer in state.layers[len(below[0].layers) :]:
            _lay(canvas, layer.source, load, _pixels(layer.box, state, size))
        return canvas
    canvas = Image.new("RGB", size, GROUND)
    if not state.width or not state.height:
        return canvas
    if state.base:
        _lay(canvas, state.base, load, (0, 0, *size))
    else:
        _wireframe(canvas, state)
    for layer in state.layers:
        _lay(canvas, layer.source, load, _pixels(layer.box, state, size))
    return canvas


def on_top(state: State, below: State) -> bool:
    """Whether it is the state `below` with more layers, or none, on the same picture."""
    same = (state.width, state.height, state.base) == (below.width, below.height, below.base)
    return bool(state.base) and same and state.layers[: len(below.layers)] == below.layers


def picture_size(data: bytes) -> tuple[int, int] | None:
    """The size in an encoded picture's header, None when it is none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except UNREADABLE:
        return None


def label(view: View) -> str:
    """The words that a wireframe shows in a view: its own, not those that a view in it shows, too."""
    shows = "t" in view.attributes.get("class", "").split()
    return view.attributes.get("aria-label", "")[:MAX_LABEL] if shows else ""


def _lay(canvas: Image.Image, source: str, load: Load, place: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = place
    # Of a box that leaves the window, only what is in it is drawn: it may be of any size.
    seen = max(0, left), max(0, top), min(canvas.width, right), min(canvas.height, bottom)
    if seen[2] <= seen[0] or seen[3] <= seen[1]:
        return
    try:
        with Image.open(io.BytesIO(load(source))) as image:
            picture = image if image.mode == "RGB" else image.convert("RGB")
            picture.load()
    except UNREADABLE:
        return
    size = seen[2] - seen[0], seen[3] - seen[1]
    if seen != place or picture.size != size:
        across, down = picture.width / (right - left), picture.height / (bottom - top)
        # A rounding error beyond its side, and PIL would refuse it.
        part = (
            (seen[0] - left) * across,
            (seen[1] - top) * down,
            min(picture.width, (seen[2] - left) * across),
            min(picture.height, (seen[3] - top) * down),
        )
        picture = picture.resize(size, Image.Resampling.BILINEAR, box=part)
    canvas.paste(picture, seen[:2])


def _wireframe(canvas: Image.Image, state: State) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, *canvas.size), fill=PAPER)
    scale = canvas.width / state.width
    font = ImageFont.load_default(max(6.0, LABEL_DP * scale))
    for view in state.views:
        left, top, right, bottom = _pixels(view.box, state, canvas.size)
        if right <= left or bottom <= top:
            continue
        draw.rectangle((left, top, right - 1, bottom - 1), outline=LINE)
        if words := label(view):
            size = min(right - left - 2, canvas.width), min(bottom - top - 2, canvas.height)
            inner = Image.new("RGB", (max(1, size[0]), max(1, size[1])), PAPER)
            ImageDraw.Draw(inner).multiline_text((0, 0), _wrapped(words, font, inner.width), INK, font)
            canvas.paste(inner, (left + 1, top + 1))


def _wrapped(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The words on as many lines as the width asks for."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _pixels(box: Box, state: State, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box's place in pixels of the canvas: left, top, right, bottom."""
    across, down = size[0] / state.width, size[1] / state.height
    right, bottom = (box.left + box.width) * across, (box.top + box.height) * down
    return _near(box.left * across), _near(box.top * down), _near(right), _near(bottom)


def _near(pixels: float) -> int:
    return round(max(-FAR, min(FAR, pixels)))

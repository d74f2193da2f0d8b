"""What a viewer sees as pixels: the base picture with its layers, or the views drawn as boxes where there is none."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from agent.replay.playback import Box, State, View

# Colours and type of the document's style sheets (agent.replay.rrweb).
GROUND = (17, 17, 17)
PAPER, LINE, INK = (255, 255, 255), (184, 190, 199), (32, 36, 43)
LABEL_DP = 13.0
# Of a text that only a player could draw, as much as a box can hold.
MAX_LABEL = 200

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
    except (OSError, ValueError):
        return None


def label(view: View) -> str:
    """The words that a wireframe shows in a view: its own, not those that a view in it shows, too."""
    shows = "t" in view.attributes.get("class", "").split()
    return view.attributes.get("aria-label", "")[:MAX_LABEL] if shows else ""


def _lay(canvas: Image.Image, source: str, load: Load, place: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = place
    if right <= left or bottom <= top:
        return
    try:
        with Image.open(io.BytesIO(load(source))) as image:
            picture = image if image.mode == "RGB" else image.convert("RGB")
            picture.load()
    except (OSError, ValueError):
        return
    size = right - left, bottom - top
    canvas.paste(picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR), (left, top))


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
            inner = Image.new("RGB", (max(1, right - left - 2), max(1, bottom - top - 2)), PAPER)
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
    left, top = round(box.left * across), round(box.top * down)
    return left, top, round((box.left + box.width) * across), round((box.top + box.height) * down)

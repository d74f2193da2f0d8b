"""What nobody was to see beneath what is shown: pictures of a stretch are made of that stretch alone.

A screen is a base picture and layers on it, and a layer hides what was recorded before it. Where a stretch begins (a
session, a cut, a recording that goes on after the phone was away) that may be another person's, or was left out on
purpose: what is shown then becomes one picture of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from agent.model import Picture
from agent.replay.canvas import RgbaCanvas
from agent.replay.composite import GROUND, UNREADABLE, compose, picture_size
from agent.replay.layers import Stack, key_picture
from agent.replay.picture import PictureEncoder
from agent.replay.playback import Change, Layer, Playback, State
from agent.replay.rrweb import LAYERS_ID, PICTURE_ID, Event
from bridge.types import Size

# More than `agent.replay.layers` may bring back; what is forgotten is made anew.
MAX_SEEN = 256
# In dp: places are written to thousandths.
ROUNDED = 0.01
_PICTURE = "picture:"

# A picture and the place of it, lowest first: left, top, right, bottom.
Piece = tuple[str, tuple[float, float, float, float]]


class Seen:
    """The pictures that a stretch has shown whole, with nothing over them. One thread at a time."""

    def __init__(self) -> None:
        self._digests: dict[str, None] = {}

    def holds(self, pieces: Sequence[Piece]) -> bool:
        """Whether what is shown hides nothing but what the stretch has shown before; learns what is whole now."""
        clean = True
        for n, (digest, box) in enumerate(pieces):
            hidden = any(_meet(box, above) for _, above in pieces[n + 1 :])
            if hidden and digest not in self._digests:
                clean = False
                continue
            # The latest stay: what is on the screen does.
            self._digests.pop(digest, None)
            self._digests[digest] = None
        while len(self._digests) > MAX_SEEN:
            del self._digests[next(iter(self._digests))]
        return clean


def stacked(stack: Stack) -> list[Piece]:
    """A stack as pieces."""
    pieces: list[Piece] = [(stack.base.digest, (0, 0, stack.size.width, stack.size.height))]
    return pieces + [(p.picture.digest, (p.box.left, p.box.top, p.box.right, p.box.bottom)) for p in stack.layers]


def flat(stack: Stack, encoder: PictureEncoder) -> Stack:
    """What a stack shows as one picture. Where a picture of it cannot be read the ground is left."""
    canvas = Image.new("RGB", (stack.size.width, stack.size.height), GROUND)
    for data, place in ((stack.base.data, (0, 0)), *((p.picture.data, (p.box.left, p.box.top)) for p in stack.layers)):
        try:
            with Image.open(io.BytesIO(data)) as image:
                canvas.paste(image.convert("RGB"), place)
        except UNREADABLE:
            continue
    return key_picture(_canvas(canvas), encoder)


class Flattener:
    """rrweb events of one stretch, in order from an opening on, without what is hidden beneath the pictures.

    `load` gives the bytes of a picture by its digest, None when there is none. `seen` goes on from one segment of a
    stretch to the next. `made` are the pictures that the events name in place of others. One thread at a time.
    """

    def __init__(self, load: Callable[[str], bytes | None], seen: Seen | None = None) -> None:
        self.made: dict[str, Picture] = {}
        self._load = load
        self._seen = seen or Seen()
        self._encoder = PictureEncoder()
        self._playback = Playback()
        # What is shown in place of a base and of the layers on it, "" while these are shown themselves; the layers that
        # a player has, those of the picture's own and those that came on top.
        self._flat = ""
        self._under: tuple[str, tuple[Layer, ...]] = "", ()
        self._raised: tuple[int, ...] = ()

    def feed(self, event: Event) -> Event:
        """The event, or what it is without what is hidden."""
        change = self._playback.feed(event)
        kind = event.get("type")
        if kind not in (2, 3) or not change & Change.PICTURE:
            return event
        state = self._playback.state
        before, raised = self._flat, self._raised
        over = state.layers
        if self._seen.holds(_pieces(state)):
            self._flat = ""
        elif (kept := self._over(state)) is not None:
            over = kept
        else:
            self._flat, self._under, over = self._flattened(state), (state.base, state.layers), ()
        self._raised = tuple(layer.id for layer in over)
        if not self._flat and (kind == 2 or not before):
            return event
        return self._opened(event) if kind == 2 else self._changed(event, state, raised)

    def _over(self, state: State) -> tuple[Layer, ...] | None:
        """The layers that came on what was made flat, where that is still there or beneath them, and they hide nothing
        of before."""
        base, under = self._under
        if not self._flat or state.base != base:
            return None
        kept = tuple(layer for layer in state.layers if layer in under)
        over = state.layers[len(kept) :]
        if state.layers[: len(kept)] != kept or not all(
            layer in kept or any(layer.box.within(above.box, ROUNDED) for above in over) for layer in under
        ):
            return None
        flat = replace(state, base=self._flat, layers=over)
        return over if self._seen.holds(_pieces(flat)) else None

    def _opened(self, event: Event) -> Event:
        """A full snapshot with what is shown in place of the pictures."""
        document = self._playback.opening(0)[1]["data"]["node"]
        nodes = [document]
        while nodes:
            node = nodes.pop()
            if node["id"] == PICTURE_ID:
                node["attributes"]["src"] = self._flat
            elif node["id"] == LAYERS_ID:
                node["childNodes"] = [child for child in node["childNodes"] if child["id"] in self._raised]
            nodes.extend(node.get("childNodes", ()))
        return {**event, "data": {**event["data"], "node": document}}

    def _changed(self, event: Event, state: State, raised: Iterable[int]) -> Event:
        """A mutation with the views' changes as they are, and all pictures anew."""
        data = event["data"]
        come: list[Event] = []
        upper: int | None = None
        for node in reversed(self._playback.raised):
            if node["id"] in self._raised:
                come.append({"parentId": LAYERS_ID, "nextId": upper, "node": node})
                upper = node["id"]
        return {
            **event,
            "data": {
                **data,
                "attributes": [
                    {"id": PICTURE_ID, "attributes": {"src": self._flat or state.base}},
                    *(entry for entry in data.get("attributes", ()) if entry.get("id") != PICTURE_ID),
                ],
                "removes": [
                    *({"parentId": LAYERS_ID, "id": node_id} for node_id in raised),
                    *(entry for entry in data.get("removes", ()) if entry.get("parentId") != LAYERS_ID),
                ],
                "adds": [
                    *come,
                    *(entry for entry in data.get("adds", ()) if entry.get("parentId") != LAYERS_ID),
                ],
            },
        }

    def _flattened(self, state: State) -> str:
        size = picture_size(self._bytes(state.base)) or (max(state.width, 1), max(state.height, 1))
        stack = key_picture(_canvas(compose(state, self._bytes, size)), self._encoder)
        self.made[stack.base.digest] = stack.base
        # It is shown whole.
        self._seen.holds([(stack.base.digest, (0, 0, 1, 1))])
        return _PICTURE + stack.base.digest

    def _bytes(self, source: str) -> bytes:
        return self._load(source.removeprefix(_PICTURE)) or b""


def _pieces(state: State) -> list[Piece]:
    if not state.base:
        return []
    found: list[Piece] = [(state.base.removeprefix(_PICTURE), (0, 0, state.width, state.height))]
    for layer in state.layers:
        b = layer.box
        place = b.left, b.top, b.left + b.width, b.top + b.height
        found.append((layer.source.removeprefix(_PICTURE), place))
    return found


def _canvas(image: Image.Image) -> RgbaCanvas:
    pixels = np.asarray(image.convert("RGBA"))
    return RgbaCanvas(pixels, Size(image.width, image.height))


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

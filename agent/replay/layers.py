"""What the screen shows as a stack of pictures: a base and up to 15 pieces of it that changed since.

As session replay SDKs for mobile do it (LaunchDarkly's: at most 15 layers, then a key picture, and back to an earlier
state of the stack by taking layers away).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.model import Canvas, Picture
from agent.replay.picture import PictureEncoder
from bridge.types import Bounds, Size

MAX_LAYERS = 15
KEY_SHARE = 0.6
KEPT = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """A piece of the screen; `box` in pixels of the base picture."""

    box: Bounds
    picture: Picture


@dataclass(frozen=True, slots=True)
class Stack:
    """A base picture of `size` pixels and the layers on it, lowest first."""

    size: Size
    base: Picture
    layers: tuple[Layer, ...] = ()

    @property
    def top(self) -> Picture:
        """The picture that came last."""
        return self.layers[-1].picture if self.layers else self.base


class Layers:
    """Turns the canvases of one screen into stacks, each from the one before. One thread at a time."""

    def __init__(self, encoder: PictureEncoder) -> None:
        self._encoder = encoder
        # The states of the stack with this base that may come back, the present one last.
        self._states: deque[tuple[Stack, Canvas]] = deque(maxlen=KEPT)

    def show(self, canvas: Canvas, *, covered: bool = False) -> Stack:
        """The stack that shows `canvas`. One that is `covered` whole lies over the others, which may come back."""
        if not self._states or self._states[-1][1].size != canvas.size:
            return self._key(canvas)
        stack, shown = self._states[-1]
        boxes = canvas.changes(shown)
        if not boxes:
            return stack
        for i, (earlier, then) in enumerate(self._states):
            if canvas.alike(then) and not canvas.changes(then):
                del self._states[i]
                self._states.append((earlier, then))
                return earlier
        whole = canvas.whole
        if covered:
            boxes, kept = (whole,), stack.layers
        else:
            kept = tuple(layer for layer in stack.layers if not any(_within(layer.box, box) for box in boxes))
        under_cover = bool(stack.layers) and stack.layers[-1].box == whole
        large = not covered and sum(box.area for box in boxes) > KEY_SHARE * whole.area
        if under_cover or large or len(kept) + len(boxes) > MAX_LAYERS:
            return self._key(canvas)
        made = Stack(stack.size, stack.base, (*kept, *(Layer(box, self._encoder.encode(canvas, box)) for box in boxes)))
        self._states.append((made, canvas))
        return made

    def _key(self, canvas: Canvas) -> Stack:
        self._states.clear()
        stack = key_picture(canvas, self._encoder)
        self._states.append((stack, canvas))
        return stack


def key_picture(canvas: Canvas, encoder: PictureEncoder) -> Stack:
    """A canvas as one picture."""
    return Stack(canvas.size, encoder.encode(canvas, canvas.whole))


def _within(inner: Bounds, outer: Bounds) -> bool:
    return inner.union(outer) == outer

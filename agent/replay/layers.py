"""What the screen shows as a stack of pictures: a base and up to 15 pieces of it that changed since.

As session replay SDKs for mobile do it (LaunchDarkly's: at most 15 layers, then a key picture, and back to an earlier
state of the stack by taking layers away). Here a screen that is left may come back, too: people go back to the list
that they came from, and its picture is there already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.model import Canvas, Picture
from agent.replay.picture import PictureEncoder
from bridge.types import Bounds, Size

MAX_LAYERS = 15
KEY_SHARE = 0.6
# States of one base that may come back, and bytes of screens that were left, of each the last state: eight of a video
# of 540 x 1200.
KEPT = 3
KEPT_BYTES = 8_000_000
# A change of less is of the same screen.
SMALL_SHARE = 0.1
# Where a sparse look finds more changed another key picture is the better choice.
FAMILIAR = 0.3


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

    @property
    def covered(self) -> bool:
        """Whether a layer lies over all of it."""
        return bool(self.layers) and self.layers[-1].box == Bounds(0, 0, self.size.width, self.size.height)


@dataclass(frozen=True, slots=True)
class _State:
    """A stack and the canvas that it was made of, each part as it was when it was encoded."""

    stack: Stack
    canvas: Canvas


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a canvas is shown on top of an earlier state: layers that stay and boxes that are encoded."""

    state: _State
    kept: tuple[Layer, ...]
    boxes: tuple[Bounds, ...]

    @classmethod
    def of(cls, state: _State, boxes: tuple[Bounds, ...]) -> _Plan:
        kept = tuple(layer for layer in state.stack.layers if not any(_within(layer.box, box) for box in boxes))
        return cls(state, kept, boxes)

    @property
    def area(self) -> int:
        return sum(box.area for box in self.boxes)

    @property
    def fits(self) -> bool:
        return len(self.kept) + len(self.boxes) <= MAX_LAYERS and not self.state.stack.covered


class Layers:
    """Turns the canvases of one screen into stacks, each from one before. One thread at a time."""

    def __init__(self, encoder: PictureEncoder) -> None:
        self._encoder = encoder
        # What may come back, the present state last.
        self._states: list[_State] = []

    def show(self, canvas: Canvas, *, covered: bool = False) -> Stack:
        """The stack that shows `canvas`. One that is `covered` whole lies over the others, which may come back."""
        if not self._states or self._states[-1].canvas.size != canvas.size:
            self._states.clear()
            return self._key(canvas)
        now = self._states[-1]
        boxes = canvas.changes(now.canvas)
        if not boxes:
            return now.stack
        whole = canvas.whole
        if covered:
            state = self._returned(canvas, (s for s in self._states if s.stack.base is now.stack.base))
            if state is not None:
                return state.stack
            plan = _Plan(now, now.stack.layers, (whole,))
            return self._put(plan, canvas) if plan.fits else self._key(canvas)
        plan = _Plan.of(now, boxes)
        small = plan.area < SMALL_SHARE * whole.area
        state = self._returned(canvas, (s for s in self._states if s.stack.base is now.stack.base or not small))
        if state is not None:
            return state.stack
        if not small or not plan.fits:
            plan = min((plan, *self._familiar(canvas)), key=lambda p: p.area if p.fits else whole.area)
        if not plan.fits or plan.area > KEY_SHARE * whole.area:
            return self._key(canvas)
        return self._put(plan, canvas)

    def _returned(self, canvas: Canvas, states: Iterable[_State]) -> _State | None:
        """The state that shows just this, now the present one."""
        for state in states:
            if not canvas.unlike(state.canvas) and not canvas.changes(state.canvas):
                self._states.remove(state)
                self._states.append(state)
                return state
        return None

    def _familiar(self, canvas: Canvas) -> list[_Plan]:
        """Plans on top of the screen that it is most like."""
        shares = [(canvas.unlike(state.canvas), n) for n, state in enumerate(self._states[:-1])]
        share, n = min(shares, default=(1.0, 0))
        return [] if share > FAMILIAR else [_Plan.of(self._states[n], canvas.changes(self._states[n].canvas))]

    def _put(self, plan: _Plan, canvas: Canvas) -> Stack:
        stack = plan.state.stack
        made = tuple(Layer(box, self._encoder.encode(canvas, box)) for box in plan.boxes)
        # Small changes that were left out add up: what is compared next is what was encoded.
        shown = canvas if plan.boxes == (canvas.whole,) else plan.state.canvas.patched(plan.boxes, canvas)
        return self._show(_State(Stack(stack.size, stack.base, (*plan.kept, *made)), shown))

    def _key(self, canvas: Canvas) -> Stack:
        return self._show(_State(key_picture(canvas, self._encoder), canvas))

    def _show(self, state: _State) -> Stack:
        """Make it the present state; what is too much is forgotten, the oldest first."""
        base = state.stack.base.digest
        self._states.append(state)
        own, left, others = 0, 0, set[str]()
        kept: list[_State] = []
        for each in reversed(self._states):
            digest = each.stack.base.digest
            if digest == base:
                own += 1
                if own > KEPT:
                    continue
            else:
                if digest in others:
                    continue
                others.add(digest)
                left += each.canvas.nbytes
                if left > KEPT_BYTES:
                    continue
            kept.append(each)
        self._states = kept[::-1]
        return state.stack


def key_picture(canvas: Canvas, encoder: PictureEncoder) -> Stack:
    """A canvas as one picture."""
    return Stack(canvas.size, encoder.encode(canvas, canvas.whole))


def _within(inner: Bounds, outer: Bounds) -> bool:
    return inner.union(outer) == outer

"""What may be seen around a window that does not fill itself: the private places of the screen behind it.

While a dialog is open the system tells nothing of the window behind it (AOSP AccessibilityController leaves out all
windows of a task below a modal one), and a dialog's window may be as large as the screen and see-through: a bottom
sheet, React Native's `Modal`. So its dump says nothing of the form that is drawn around the sheet. Nor does that of a
dialog in the same window, for which the app itself leaves out what is behind (Flutter's `ModalBarrier`). A screen whose
words and pictures reach over most of it counts as one that hides what was before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from agent.model import Canvas, MaskRect
from agent.replay.survey import Survey
from agent.replay.windows import hull, outside
from bridge.types import Bounds, Rotation

RULE = "behind"
# How much of the app's windows words and pictures reach over when nothing is to be seen behind them.
FILLED = 0.6
MAX_PLACES = 256
# Of so few pixels nobody knows. What differs less from its mean is one colour to a codec. How like itself what is still
# there is: of 1 that nothing was drawn over, less where something was.
LEAST, FAINT, ALIKE = 16, 3, 0.5
MAX_DRAWN = 200


class Behind:
    """Remembers where private views stood until a screen comes that hides them, or they themselves come back."""

    def __init__(self) -> None:
        # With each what was to be seen all over the screen when a dump told of it last, where pictures are taken.
        self._places: dict[Bounds, NDArray[np.uint8] | None] = {}
        self._frames: frozenset[str] = frozenset()
        self._words: frozenset[str] = frozenset()
        self._of: tuple[str, Rotation] | None = None
        self._keys = False
        # Where the private places of the screen behind are now, no dump has told.
        self._unknown = False

    def forget(self) -> None:
        """What is known of the screen behind counts no more: nobody looked for a while, or more of it is private."""
        self._unknown = True

    def note(self, found: Survey, rotation: Rotation, canvas: Canvas | None = None) -> None:
        """A dump was judged, taken about when `canvas` was."""
        if not found.package:
            return
        seen = None if canvas is None or not found.private else canvas.sketch()
        private: dict[Bounds, NDArray[np.uint8] | None] = dict.fromkeys(_private(found), seen)
        if self._of is None or self._of[0] != found.package or filled(found) or self._back(found):
            self._places, self._unknown = private, False
            self._frames, self._words, self._keys = found.frames, _words(found), _keys(found)
        else:
            other = not found.frames & self._frames
            # A window above takes the keyboard away, and the form behind it has its place again.
            moved = self._of[1] != rotation or (other and self._keys and not _keys(found))
            self._unknown = (self._unknown and other) or (moved and bool(self._places))
            self._places |= private
        self._of = found.package, rotation
        while len(self._places) > MAX_PLACES:
            del self._places[next(iter(self._places))]

    def covers(self, found: Survey, canvas: Canvas, *, every: bool = False) -> Iterator[MaskRect]:
        """What to cover around the words and pictures of a screen; a part of one colour hides nothing. Where `every`
        word is private, all around a window of another kind is: what comes behind it no dump tells."""
        if filled(found) or self._back(found):
            return
        drawn = found.drawn if len(found.drawn) <= MAX_DRAWN else ()
        # An app leaves a screen for another of the same window, too, and what was there is gone.
        same = bool(found.frames & self._frames)
        here = _private(found)
        places = dict.fromkeys(found.app) if self._unknown or (every and not same) else self._places
        for place, seen in places.items():
            if same and place in here:
                # Its private views are told of by themselves.
                continue
            parts = outside([*drawn, *(p.bounds for p in found.private)], place)
            if same and seen is not None and not _stands(seen, canvas, parts):
                continue
            for part in parts:
                if not canvas.flat(part):
                    yield MaskRect(part, "block", RULE)

    def _back(self, found: Survey) -> bool:
        """Whether it is the screen whose places are remembered: in its window, with most of its words and of them."""
        if not found.frames & self._frames:
            return False
        there = len(self._places.keys() & _private(found))
        return 2 * there >= len(self._places) and 2 * len(self._words & _words(found)) >= len(self._words)


def filled(found: Survey) -> bool:
    """Whether the words and pictures of the app's windows reach over most of them."""
    reach = sum(bounds.area for bounds in hull(list(found.drawn)))
    return reach >= FILLED * max(1, max((bounds.area for bounds in found.app), default=1))


def _private(found: Survey) -> set[Bounds]:
    """Where private views stand; what may have scrolled, all over what scrolls."""
    return {p.scrolls[-1][1] if p.scrolls else p.bounds for p in found.private}


def _keys(found: Survey) -> bool:
    """Whether a keyboard is on the screen."""
    return any(cover.rule == "keyboard" for cover in found.covers)


def _stands(seen: NDArray[np.uint8], canvas: Canvas, parts: Iterable[Bounds]) -> bool:
    """Whether what was to be seen in these parts of the screen still is, maybe dimmed."""
    now, screen = canvas.sketch(), canvas.screen
    if now.shape != seen.shape:
        return True
    down, across = now.shape[0] / screen.height, now.shape[1] / screen.width
    inside = np.zeros(now.shape, np.bool_)
    for b in parts:
        # Those pixels that lie in it: beside it something else is drawn.
        rows = slice(math.ceil(b.top * down), math.ceil(b.bottom * down))
        inside[rows, math.ceil(b.left * across) : math.ceil(b.right * across)] = True
    one, other = seen[inside].astype(float), now[inside].astype(float)
    if one.size < LEAST:
        return True
    one, other = one - one.mean(), other - other.mean()
    varied = math.sqrt(float((one * one).mean() * (other * other).mean()))
    return varied >= FAINT**2 and float((one * other).mean()) >= ALIKE * varied


def _words(found: Survey) -> frozenset[str]:
    """What the views say that are not private: people change what those say."""
    return frozenset(words for row in found.rows if not row.hidden and (words := row.node.text or row.node.desc))

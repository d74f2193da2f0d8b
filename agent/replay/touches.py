"""Fingers to rrweb events: one drawn finger, coordinates in dp, nothing where typing would show."""

from __future__ import annotations

from dataclasses import replace

from agent.replay import rrweb
from agent.replay.mask import Masker
from agent.replay.rrweb import Event
from bridge.types import Size, Touch


class TouchWriter:
    """Turns a device's touches, in order of time, into events. `muted` counts those that were held back."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._down: dict[int, Touch] = {}
        self._silent: set[int] = set()
        self._drawn: int | None = None

    @property
    def resting(self) -> bool:
        """Whether no finger is on the glass, as far as it is told."""
        return not self._down

    def events(self, touch: Touch, screen: Size, dpi: int, *, unseen: bool = False) -> tuple[list[Event], bool]:
        """The events of a touch and whether the touch was held back, as one is of which the screen is not known.

        A gesture that begins where typing would show is held back to its end; one that comes there later ends where
        it was seen last.
        """
        pointer = touch.pointer
        if touch.kind == "down":
            self._silent.discard(pointer)
        last = self._down.get(pointer)
        if unseen or pointer in self._silent or self._masker.touch(touch) is None:
            if touch.kind in ("up", "cancel"):
                self._silent.discard(pointer)
            else:
                self._silent.add(pointer)
            if last is None:
                return [], True
            end = replace(last, stamp=touch.stamp, kind="cancel")
            return [self._write(end, screen, dpi)], True
        return [self._write(touch, screen, dpi)], False

    def _write(self, touch: Touch, screen: Size, dpi: int) -> Event:
        if touch.kind == "down" and not self._down:
            self._drawn = touch.pointer
        drawn = self._drawn is None or touch.pointer == self._drawn
        if touch.kind in ("down", "move"):
            self._down[touch.pointer] = touch
        else:
            self._down.pop(touch.pointer, None)
            if not self._down:
                self._drawn = None
        x = round(min(max(touch.x, 0), screen.width) * 160 / dpi, 1)
        y = round(min(max(touch.y, 0), screen.height) * 160 / dpi, 1)
        make = rrweb.touch if drawn else rrweb.other_finger
        return make(touch.stamp.wall_ms, touch.kind, x, y, touch.pointer)

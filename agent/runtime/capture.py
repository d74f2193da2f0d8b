"""The capture loop of one device: pictures, each between two dumps of the view tree."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.model import Snapshot
from agent.settings import Capture
from bridge.deadline import Deadline
from bridge.errors import BridgeTimeout, CaptureFailed, DeviceBusy
from bridge.ports import Clock, HierarchySource, ScreenSource
from bridge.types import Frame, Gap, Hierarchy, Stamp

log = logging.getLogger(__name__)

CALL_SECONDS = 5.0
BUSY_SECONDS = 5.0
PAUSED_SECONDS = 0.2
TOUCH_TAIL_NS = 1_000_000_000
# As long as masking may cover what has just come, and a little more.
SETTLED_NS = 600_000_000


class CaptureLoop:
    """Takes pictures at the idle or the touch rate and yields a Snapshot whenever the picture or the tree changed.

    A picture is released only with the dump before and the dump after it, so that masking can use the union. When the
    two differ the tree was moving: the next rounds are released, too, even if their picture is the same, so that what
    was blocked for being unsettled is seen once it has settled.

    `paused` says why nothing may be captured now, "" when it may. `run` belongs to one thread; `touched` and `stop` may
    be called from any.
    """

    def __init__(
        self,
        screen: ScreenSource,
        hierarchy: HierarchySource,
        clock: Clock,
        settings: Capture,
        emit: Callable[[Snapshot | Gap], None],
        paused: Callable[[], str] = lambda: "",
    ) -> None:
        self._screen = screen
        self._hierarchy = hierarchy
        self._clock = clock
        self._settings = settings
        self._emit = emit
        self._paused = paused
        self._stopped = False
        self._wake = threading.Event()
        self._touched_ns = 0
        self._tree_blocked_until_ns = 0

    def touched(self) -> None:
        """A finger is on the glass: go to the touch rate for a second."""
        self._touched_ns = self._clock.now().mono_ns
        self._wake.set()

    def stop(self) -> None:
        """Make `run` return after the call that it is in."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Capture until stopped. Raises BridgeError when the device is lost; single failures become gaps."""
        self._rest()
        before = self._dump()
        shown: int | None = None
        settled = False
        moved_ns = -SETTLED_NS
        while not self._stopped:
            if self._rest():
                # What comes after a pause is shown even if it is what was there before.
                before, settled = self._dump(), False
                continue
            started = self._clock.now()
            frame = self._picture(started)
            if frame is not None:
                changed = frame.digest != shown
                if changed or not settled or self._tree_is_old(before):
                    after = self._dump()
                    same_tree = _digest(before) == _digest(after)
                    if changed or not settled or not same_tree:
                        self._emit(Snapshot(frame, before, after))
                    if not same_tree:
                        moved_ns = frame.stamp.mono_ns if after is None else after.stamp.mono_ns
                    settled = same_tree and frame.stamp.mono_ns >= moved_ns + SETTLED_NS
                    shown, before = frame.digest, after
            else:
                # What comes after a gap is shown even if it is what was there before.
                settled = False
            self._pause(started)

    def _rest(self) -> bool:
        """Take nothing for as long as capture is paused; whether it was. The pause becomes a gap with its reason."""
        started, reason = self._clock.now(), self._paused()
        rested = False
        while reason and not self._stopped:
            rested = True
            self._wake.clear()
            if not self._stopped:
                self._wake.wait(PAUSED_SECONDS)
            now = self._paused()
            if now != reason or self._stopped:
                self._emit(Gap(started, self._clock.now(), "capture", reason))
                started, reason = self._clock.now(), now
        return rested

    def _picture(self, started: Stamp) -> Frame | None:
        try:
            return self._screen.capture(Deadline(CALL_SECONDS))
        except (CaptureFailed, BridgeTimeout) as error:
            self._emit(Gap(started, self._clock.now(), "screen", type(error).__name__, error.detail))
            return None

    def _dump(self) -> Hierarchy | None:
        started = self._clock.now()
        if started.mono_ns < self._tree_blocked_until_ns:
            return None
        try:
            return self._hierarchy.dump(Deadline(CALL_SECONDS))
        except DeviceBusy as error:
            self._tree_blocked_until_ns = started.mono_ns + int(BUSY_SECONDS * 1e9)
            self._emit(Gap(started, self._clock.now(), "hierarchy", type(error).__name__, error.detail))
        except (CaptureFailed, BridgeTimeout) as error:
            self._emit(Gap(started, self._clock.now(), "hierarchy", type(error).__name__, error.detail))
        return None

    def _tree_is_old(self, tree: Hierarchy | None) -> bool:
        if tree is None:
            return True
        return self._clock.now().mono_ns - tree.stamp.mono_ns >= self._settings.tree_interval * 1e9

    def _pause(self, started: Stamp) -> None:
        now_ns = self._clock.now().mono_ns
        touching = now_ns - self._touched_ns < TOUCH_TAIL_NS
        interval_ns = int(1e9 / (self._settings.touch_rate if touching else self._settings.rate))
        left_ns = started.mono_ns + interval_ns - now_ns
        if left_ns > 0 and not self._stopped:
            self._wake.clear()
            if not self._stopped:
                self._wake.wait(left_ns / 1e9)


def _digest(tree: Hierarchy | None) -> int | None:
    return None if tree is None else tree.digest

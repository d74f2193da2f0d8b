"""The capture loop of one device: pictures, each between two dumps of the view tree."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

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
# A screen that stood still for so long is looked at with the beat of the tree.
IDLE_NS = 10_000_000_000
# Dumps that may be around a frame: a source that is sent pictures gives one that was drawn some dumps ago.
KEPT_DUMPS = 8


class Dumps:
    """The last dumps of one device, and which of them lie around a frame. One thread."""

    def __init__(self, oldest_ns: int) -> None:
        self._oldest_ns = oldest_ns
        self._kept: deque[Hierarchy] = deque(maxlen=KEPT_DUMPS)

    def add(self, tree: Hierarchy) -> None:
        self._kept.append(tree)

    def clear(self) -> None:
        """What comes has nothing to do with what was."""
        self._kept.clear()

    def before(self, frame: Frame, until: Stamp) -> tuple[Hierarchy, ...]:
        """The last dump that had ended when the screen began to show `frame`, and all that came after it.

        Without such a one: all from the first on that was taken while the screen showed the frame, which was still the
        newest at `until`. None of either: an empty tuple.
        """
        drawn = frame.stamp.mono_ns - frame.bound_ns
        kept = [tree for tree in self._kept if tree.stamp.mono_ns >= drawn - self._oldest_ns]
        for i in reversed(range(len(kept))):
            if kept[i].stamp.mono_ns + kept[i].bound_ns <= drawn:
                return tuple(kept[i:])
        # A picture may be under way for as long as its stamp is unsure: the last such stretch does not count.
        since, until_ns = frame.stamp.mono_ns + frame.bound_ns, until.mono_ns - 2 * frame.bound_ns
        for i, tree in enumerate(kept):
            if since <= tree.stamp.mono_ns - tree.bound_ns and tree.stamp.mono_ns + tree.bound_ns <= until_ns:
                return tuple(kept[i:])
        return ()


class CaptureLoop:
    """Takes pictures at the idle or the touch rate and yields a Snapshot whenever the picture or the tree changed.

    A picture is released only with the dumps around it, so that masking can use the union. When they differ the tree
    was moving: the next rounds are released, too, even if their picture is the same, so that what was blocked for being
    unsettled is seen once it has settled. Without a `screen` it yields each dump that is new.

    `paused` says why nothing may be captured now, "" when it may. `level` says how it will be masked: when the answer
    changes what is shown already is taken again. `run` belongs to one thread; `touched` and `stop` may
    be called from any.
    """

    def __init__(
        self,
        screen: ScreenSource | None,
        hierarchy: HierarchySource,
        clock: Clock,
        settings: Capture,
        emit: Callable[[Snapshot | Hierarchy | Gap], None],
        paused: Callable[[], str] = lambda: "",
        level: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._screen = screen
        self._hierarchy = hierarchy
        self._clock = clock
        self._settings = settings
        self._emit = emit
        self._paused = paused
        self._level = level
        self._known_level = level()
        self._stopped = False
        self._wake = threading.Event()
        self._touched_ns = -TOUCH_TAIL_NS
        self._changed_ns = 0
        self._tree_blocked_until_ns = 0
        self._dumps = Dumps(int(settings.tree_interval * 1.25e9))

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
        self._changed_ns = self._clock.now().mono_ns
        if self._screen is None:
            self._run_views()
        else:
            self._run_pictures(self._screen)

    def _run_pictures(self, screen: ScreenSource) -> None:
        last = self._dump()
        shown: int | None = None
        settled = False
        resumed_ns = self._clock.now().mono_ns
        moved_ns = -SETTLED_NS
        while not self._stopped:
            if self._rest() or self._other_level():
                # What comes after it is shown even if it is what was there before.
                self._dumps.clear()
                last, settled, resumed_ns = self._dump(), False, self._clock.now().mono_ns
                continue
            started = self._clock.now()
            frame = self._picture(screen, started)
            held = False
            if frame is not None:
                until = self._clock.now()
                held = frame.stamp.mono_ns + frame.bound_ns < started.mono_ns
                changed = frame.digest != shown
                if not changed or frame.stamp.mono_ns < resumed_ns:
                    # What is told is that the screen shows it still.
                    frame = _still(frame, until)
                if changed or not settled or self._tree_is_old(last):
                    earlier = self._dumps.before(frame, until)
                    after = self._dump() or self._dump()
                    same_tree = bool(earlier) and all(_digest(tree) == _digest(after) for tree in earlier)
                    if changed or not settled or not same_tree:
                        self._changed_ns = until.mono_ns
                        first = earlier[0] if earlier else None
                        self._emit(Snapshot(frame, first, after, earlier[1:], until))
                    if not same_tree:
                        moved_ns = frame.stamp.mono_ns if after is None else after.stamp.mono_ns
                    settled = same_tree and until.mono_ns >= moved_ns + SETTLED_NS
                    shown, last = frame.digest, after
            else:
                # What comes after a gap is shown even if it is what was there before.
                settled = False
            self._pause(started, costly=not held)

    def _run_views(self) -> None:
        shown: int | None = None
        while not self._stopped:
            if self._rest() or self._other_level():
                shown = None
                continue
            started = self._clock.now()
            tree = self._dump()
            if tree is not None and tree.digest != shown:
                self._changed_ns, shown = started.mono_ns, tree.digest
                self._emit(tree)
            self._pause(started, costly=True)

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

    def _other_level(self) -> bool:
        """Whether masking has changed since this was asked last."""
        before, self._known_level = self._known_level, self._level()
        return before != self._known_level

    def _picture(self, screen: ScreenSource, started: Stamp) -> Frame | None:
        try:
            return screen.capture(Deadline(CALL_SECONDS))
        except (CaptureFailed, BridgeTimeout) as error:
            self._emit(Gap(started, self._clock.now(), "screen", type(error).__name__, error.detail))
            return None

    def _dump(self) -> Hierarchy | None:
        """A dump, noted among the last ones; None when there is none, which becomes a gap."""
        started = self._clock.now()
        if started.mono_ns < self._tree_blocked_until_ns:
            return None
        try:
            tree = self._hierarchy.dump(Deadline(CALL_SECONDS))
        except DeviceBusy as error:
            self._tree_blocked_until_ns = started.mono_ns + int(BUSY_SECONDS * 1e9)
            self._emit(Gap(started, self._clock.now(), "hierarchy", type(error).__name__, error.detail))
            return None
        except (CaptureFailed, BridgeTimeout) as error:
            self._emit(Gap(started, self._clock.now(), "hierarchy", type(error).__name__, error.detail))
            return None
        self._dumps.add(tree)
        return tree

    def _tree_is_old(self, tree: Hierarchy | None) -> bool:
        if tree is None:
            return True
        return self._clock.now().mono_ns - tree.stamp.mono_ns >= self._settings.tree_interval * 1e9

    def _pause(self, started: Stamp, *, costly: bool) -> None:
        """Wait for the next look. A screen that stands still is asked rarely, if asking costs the device something.

        A finger ends a long wait, but the touch rate stays the ceiling however many moves a second it makes.
        """
        while not self._stopped:
            self._wake.clear()
            now_ns = self._clock.now().mono_ns
            interval_ns = int(1e9 / self._settings.rate)
            if now_ns - self._touched_ns < TOUCH_TAIL_NS:
                interval_ns = int(1e9 / self._settings.touch_rate)
            elif costly and now_ns - self._changed_ns > IDLE_NS:
                interval_ns = max(interval_ns, int(self._settings.tree_interval * 1e9))
            left_ns = started.mono_ns + interval_ns - now_ns
            if left_ns <= 0 or self._stopped or not self._wake.wait(left_ns / 1e9):
                return


def _digest(tree: Hierarchy | None) -> int | None:
    return None if tree is None else tree.digest


def _still(frame: Frame, until: Stamp) -> Frame:
    """The frame as of the last instant at which it is certain that the screen showed it."""
    shift_ns = until.mono_ns - 2 * frame.bound_ns - frame.stamp.mono_ns
    if shift_ns <= 0:
        return frame
    stamp = Stamp(frame.stamp.mono_ns + shift_ns, frame.stamp.wall_ms + shift_ns // 1_000_000)
    return replace(frame, stamp=stamp)

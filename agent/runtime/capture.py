"""The capture loop of one device: pictures, each between two dumps of the view tree."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from agent.model import Snapshot
from agent.replay.fingers import INK_NS, UNSURE_NS
from agent.replay.fingers import RULE as DRAGGED
from agent.replay.motion import LATE_NS, SETTLING_NS, enclosed, still
from agent.runtime.outage import Outages, Patience
from agent.settings import Capture
from bridge.errors import BridgeError, BridgeTimeout, CaptureFailed, DeviceBusy, HierarchyMalformed
from bridge.ports import Clock, HierarchySource, ScreenSource
from bridge.types import Frame, Gap, Hierarchy, Stamp, Touch

log = logging.getLogger(__name__)

PAUSED_SECONDS = 0.2
TOUCH_TAIL_NS = 1_000_000_000
# A finger that rests tells nothing; so long after its last word it is taken for one whose end was missed.
HELD_NS = 30_000_000_000
# A screen that changes much by itself goes on: looked at less often it would be covered again.
SETTLING_TAIL_NS = 2_000_000_000
# What a finger hides is seen so long after it and what its window does then: a pen's ink for longest, and one of which
# nobody knows whether it has gone.
HIDDEN_NS = max(INK_NS, UNSURE_NS) + 2_000_000_000
# A screen that stood still for so long is looked at with the beat of the tree.
IDLE_NS = 10_000_000_000
# A dump that ended so shortly before a picture was asked for is as good as one that begins then.
FRESH_NS = 20_000_000
# What changes in so many looks one after the other opens, or is scrolled once: it is seen again as soon as can be.
BRIEF_LOOKS = 8
# Dumps that may be around a frame: a source that is sent pictures gives one that was drawn some dumps ago.
KEPT_DUMPS = 8


class Wake(Protocol):
    """A wait that can be cut short: threading.Event, or the virtual time of a test."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float) -> bool: ...


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

    def before(self, frame: Frame, until: Stamp, shown: Stamp) -> tuple[Hierarchy, ...]:
        """The last dump that had ended when the screen began to show `frame`, and all that came after it.

        Without such a one: all from the first on that was taken while the screen showed the frame, which was still the
        newest at `until`. None of either: an empty tuple. A dump counts for a while, and as long as every picture is
        the same as that which the screen has shown since before it, at `shown`.
        """
        drawn = frame.stamp.mono_ns - frame.bound_ns
        same_ns = min(drawn - self._oldest_ns, shown.mono_ns + frame.bound_ns + LATE_NS)
        kept = [tree for tree in self._kept if tree.stamp.mono_ns - tree.bound_ns >= same_ns]
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
    unsettled is seen once it has settled. A picture that is new is taken again if the last dump before it is not fresh:
    dumps that lie close around it leave no time for anything to come and go unseen. Without a `screen` the loop yields
    each dump that is new.

    `paused` says why nothing may be captured now, "" when it may. `level` says how it will be masked: when the answer
    changes what is shown already is taken again. `looked` is told that a look is over, and what it found yielded, and
    when it began: at the start, while fingers come and a second after. `settling_ns` is how long a screen may still be
    in motion after its tree stands. `run` belongs to one thread; `touched`, `masked` and `stop` may be called from any.
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
        wake: Wake | None = None,
        looked: Callable[[Stamp], None] = lambda began: None,
        settling_ns: int = SETTLING_NS,
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
        self._wake: Wake = wake or threading.Event()
        self._looked = looked
        self._settling_ns = settling_ns
        self._touched_ns = -TOUCH_TAIL_NS
        self._down: frozenset[int] = frozenset()
        self._looked_ns = 0
        self._unsettled_ns = -SETTLING_TAIL_NS
        self._hidden = False
        self._hidden_ns = 0
        self._changed_ns = 0
        self._told: int | None = None
        self._moved_ns = 0
        # What the dumps of this look took: the app's own thread gathers the views.
        self._dumped_ns = 0
        self._outages = Outages(emit)
        self._patience = {"screen": Patience(), "hierarchy": Patience()}
        self._dumps = Dumps(int(settings.tree_interval * 1.25e9))

    def touched(self, item: Touch | Gap) -> None:
        """A finger does something, or may have: go to the touch rate until a second after the last one is up."""
        if isinstance(item, Gap):
            self._down = frozenset()
        elif item.kind in ("up", "cancel"):
            self._down -= {item.pointer}
        else:
            self._down |= {item.pointer}
        self._touched_ns = self._clock.now().mono_ns
        self._wake.set()

    def masked(self, blocked: str) -> None:
        """What was yielded is masked, "" or why all of it is covered, or a part for a finger: while it settles and a
        while after, look at the touch rate; while either lasts, yield it again."""
        now_ns = self._clock.now().mono_ns
        if blocked in ("settling", DRAGGED) and not self._hidden:
            self._hidden_ns = now_ns
        self._hidden = blocked in ("settling", DRAGGED)
        if blocked == "settling" and now_ns - self._hidden_ns < SETTLING_TAIL_NS:
            self._unsettled_ns = now_ns
            self._wake.set()

    def stop(self) -> None:
        """Make `run` return after the call that it is in."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Capture until stopped. Raises BridgeError when the device is lost; single failures become gaps."""
        self._rest()
        began = self._clock.now()
        self._looked(began)
        self._changed_ns = began.mono_ns
        if self._screen is None:
            self._run_views()
        else:
            self._run_pictures(self._screen)

    def _run_pictures(self, screen: ScreenSource) -> None:
        last = self._dump() or self._dump()
        shown: int | None = None
        settled = sure = False
        moves = 0
        # When the first dump ended that was around a picture: masking knows nothing of what the screen did before it.
        known_ns: int | None = None
        since = self._clock.now()
        left: Stamp | None = None
        resumed_ns = self._clock.now().mono_ns
        while not self._stopped:
            if self._rest() or self._other_level():
                # What comes after it is shown even if it is what was there before.
                self._dumps.clear()
                self._told = None
                last, settled, resumed_ns = self._dump(), False, self._clock.now().mono_ns
                known_ns = left = None
                continue
            started = self._clock.now()
            frame = self._picture(screen, started)
            sent = frame is not None and _held(frame, started)
            if frame is not None and frame.digest != shown and self._stale(last, started):
                # What came since the last dump may have gone already: the next picture has one shortly before it.
                if sent:
                    self._let_pass(frame.stamp)
                fresh = self._dump()
                if fresh is not None and not self._stopped:
                    last, frame = fresh, self._picture(screen, self._clock.now())
            held = False
            if frame is not None:
                until = self._clock.now()
                if frame.digest != shown:
                    since = frame.stamp
                held = _held(frame, started)
                changed = frame.digest != shown
                again = settled and self._covered()
                settled = settled and not again
                if not changed or frame.stamp.mono_ns < resumed_ns:
                    # What is told is that the screen shows it still.
                    frame = _still(frame, until)
                if not changed and last is not None and last.stamp.mono_ns - last.bound_ns >= since.mono_ns:
                    left = _surely(frame)
                if changed or not settled or self._tree_is_old(last, costly=not held):
                    earlier = self._dumps.before(frame, until, since)
                    self._let_pass(until)
                    after = self._dump() or self._dump()
                    if changed and sent and not self._stopped:
                        # A source that is sent pictures tells at no cost whether a screen still slides.
                        newest = self._picture(screen, self._clock.now())
                        until = self._clock.now() if newest is not None and newest.digest == frame.digest else until
                    same_tree = bool(earlier) and all(_digest(tree) == _digest(after) for tree in earlier)
                    # A picture that was released does not become worse by a tree that fails to come.
                    fresh_tree = after is not None or not again
                    if changed or (not settled and fresh_tree) or not (same_tree or after is None):
                        self._changed_ns = until.mono_ns
                        first = earlier[0] if earlier else None
                        snapshot = Snapshot(frame, first, after, earlier[1:], until, since, left)
                        self._emit(snapshot)
                        sure = enclosed(snapshot, self._settling_ns) and still(snapshot, self._settling_ns)
                        if known_ns is None and first is not None and after is not None:
                            known_ns = first.stamp.mono_ns + first.bound_ns
                    kept = (settled or again) and not changed and after is None
                    drawn_ns = frame.stamp.mono_ns - frame.bound_ns
                    moved_ns = max(self._moved_ns, known_ns or 0)
                    settled = kept or (same_tree and sure and drawn_ns >= moved_ns + self._settling_ns)
                    shown, last = frame.digest, after
            else:
                # What comes after a gap is shown even if it is what was there before.
                settled = False
            moves = moves + 1 if frame is not None and changed else 0
            self._over(started)
            self._pause(started, costly=not held, moving=moves > BRIEF_LOOKS)

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
            self._over(started)
            self._pause(started, costly=True)

    def _covered(self) -> bool:
        """Whether what is shown is covered for a while only. A finger that does not move holds it for longer than that:
        it is looked at again when the finger does."""
        since_ns = max(self._hidden_ns, self._touched_ns)
        looks_ns = int(2e9 / self._settings.rate)
        patience_ns = HIDDEN_NS + 2 * self._settling_ns + looks_ns
        return self._hidden and self._clock.now().mono_ns - since_ns < patience_ns

    def _over(self, started: Stamp) -> None:
        """Say that a look is over, if somebody waits for that: a finger is judged by what a look after it found."""
        if self._touched_ns + TOUCH_TAIL_NS > self._looked_ns:
            self._looked_ns = started.mono_ns
            self._looked(started)

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
        """A picture; None when there is none, which becomes a gap."""
        patience = self._patience["screen"]
        try:
            frame = screen.capture(patience.deadline())
        except (CaptureFailed, BridgeTimeout) as error:
            self._failed("screen", error, started)
            return None
        patience.took((self._clock.now().mono_ns - started.mono_ns) / 1e9)
        self._outages.over("screen", started)
        return frame

    def _dump(self) -> Hierarchy | None:
        """A dump, noted among the last ones; None when there is none, which becomes a gap."""
        started, patience = self._clock.now(), self._patience["hierarchy"]
        try:
            tree = self._hierarchy.dump(patience.deadline())
        except (CaptureFailed, BridgeTimeout, DeviceBusy) as error:
            if isinstance(error, HierarchyMalformed):
                # The phone gave it all the same.
                self._dumped_ns += self._clock.now().mono_ns - started.mono_ns
            self._failed("hierarchy", error, started)
            return None
        # Not since the call began: that may have started the device's server first.
        patience.took(2 * tree.bound_ns / 1e9)
        self._dumped_ns += 2 * tree.bound_ns
        self._outages.over("hierarchy", tree.stamp)
        self._dumps.add(tree)
        if tree.digest != self._told:
            self._told, self._moved_ns = tree.digest, tree.stamp.mono_ns + tree.bound_ns
        return tree

    def _failed(self, stage: str, error: BridgeError, started: Stamp) -> None:
        if isinstance(error, BridgeTimeout):
            self._patience[stage].timed_out()
        self._outages.failed(stage, error, started, self._clock.now())

    def _let_pass(self, since: Stamp) -> None:
        """Wait until a dump tells what the screen showed at `since`: what is drawn is told a little later.

        Neither a finger nor the end cuts it short.
        """
        while (left_ns := since.mono_ns + LATE_NS - self._clock.now().mono_ns) > 0:
            self._wake.clear()
            self._wake.wait(left_ns / 1e9)

    def _stale(self, tree: Hierarchy | None, now: Stamp) -> bool:
        return tree is None or tree.stamp.mono_ns + tree.bound_ns < now.mono_ns - FRESH_NS

    def _tree_is_old(self, tree: Hierarchy | None, *, costly: bool) -> bool:
        """Whether it is time for a dump; on an idle screen with each look, if looks cost something and are as rare."""
        if tree is None:
            return True
        now_ns = self._clock.now().mono_ns
        if costly and now_ns - self._changed_ns > IDLE_NS:
            return True
        return now_ns - tree.stamp.mono_ns >= self._settings.tree_interval * 1e9

    def _pause(self, started: Stamp, *, costly: bool, moving: bool = True) -> None:
        """Wait for the next look. A screen that stands still is asked rarely, if asking costs the device something, and
        one that goes on moving is dumped for no more than half of the time.

        A finger ends a long wait, but the touch rate stays the ceiling however many moves a second it makes.
        """
        least_ns, self._dumped_ns = 2 * self._dumped_ns if moving else 0, 0
        while not self._stopped:
            self._wake.clear()
            now = self._clock.now()
            now_ns = now.mono_ns
            interval_ns = int(1e9 / self._settings.rate)
            opening = now_ns - self._unsettled_ns < SETTLING_TAIL_NS
            tail_ns = HELD_NS if self._down else TOUCH_TAIL_NS
            if opening or now_ns - self._touched_ns < tail_ns or self._outages.recent(now):
                interval_ns = int(1e9 / self._settings.touch_rate)
            elif costly and now_ns - self._changed_ns > IDLE_NS:
                interval_ns = max(interval_ns, int(self._settings.tree_interval * 1e9))
            left_ns = started.mono_ns + max(interval_ns, least_ns) - now_ns
            if left_ns <= 0 or self._stopped or not self._wake.wait(left_ns / 1e9):
                return


def _digest(tree: Hierarchy | None) -> int | None:
    return None if tree is None else tree.digest


def _held(frame: Frame, asked: Stamp) -> bool:
    """Whether a source was sent it before it was asked for."""
    return frame.stamp.mono_ns + frame.bound_ns < asked.mono_ns


def _surely(frame: Frame) -> Stamp:
    """An instant at which the screen showed the frame, or had just begun to."""
    return Stamp(frame.stamp.mono_ns - frame.bound_ns, frame.stamp.wall_ms - frame.bound_ns // 1_000_000)


def _still(frame: Frame, until: Stamp) -> Frame:
    """The frame as of the last instant at which it is certain that the screen showed it."""
    shift_ns = until.mono_ns - 2 * frame.bound_ns - frame.stamp.mono_ns
    if shift_ns <= 0:
        return frame
    stamp = Stamp(frame.stamp.mono_ns + shift_ns, frame.stamp.wall_ms + shift_ns // 1_000_000)
    return replace(frame, stamp=stamp)

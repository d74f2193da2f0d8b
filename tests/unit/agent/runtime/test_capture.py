from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.model import Snapshot
from agent.replay.motion import CLOSE_NS, LATE_NS, SETTLING_NS
from agent.runtime.capture import HIDDEN_NS, CaptureLoop, Dumps
from agent.settings import Capture
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BridgeTimeout, CaptureFailed, DeviceBusy, FrameMalformed
from bridge.types import Bounds, Frame, Gap, Hierarchy, Node, Size, Stamp, Touch, TouchKind


class Clock:
    """A clock that moves by a step a look and by what is waited."""

    def __init__(self) -> None:
        self.ns = 0
        self.step_ns = 1_000_000

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float) -> bool:
        self.ns += int(timeout * 1e9)
        return False

    def now(self) -> Stamp:
        self.ns += self.step_ns
        return Stamp(self.ns, self.ns // 1_000_000)


class Script:
    """A screen and a tree that play a list of digests (or errors), then stop the loop."""

    name = "script"

    def __init__(self, pictures: list[int | BridgeError], trees: list[int | BridgeError]) -> None:
        self.clock = Clock()
        self.pictures = pictures
        self.trees = trees
        self.emitted: list[Snapshot | Gap] = []
        self.dumped_ns: list[int] = []
        self.stop: Callable[[], None] = lambda: None

    def capture(self, deadline: Deadline) -> Frame:
        step = self.pictures.pop(0)
        if not self.pictures:
            self.stop()
        if isinstance(step, BridgeError):
            raise step
        return Frame(self.clock.now(), 0, Size(1, 1), Size(1, 1), 0, "image/x-rgba", b"\0\0\0\0", step, self.name)

    def dump(self, deadline: Deadline) -> Hierarchy:
        self.dumped_ns.append(self.clock.ns)
        step = self.trees.pop(0) if len(self.trees) > 1 else self.trees[0]
        if isinstance(step, BridgeError):
            raise step
        return Hierarchy(self.clock.now(), 0, 0, (Node(Bounds(0, 0, 1, 1), "View"),), step)

    def close(self) -> None: ...

    def run(self) -> list[tuple[int, int | None, int | None] | str]:
        loop = CaptureLoop(
            self, self, self.clock, Capture(rate=30, touch_rate=30), self.emitted.append, wake=self.clock
        )
        self.stop = loop.stop
        loop.run()
        return [
            (item.frame.digest, item.before and item.before.digest, item.after and item.after.digest)
            if isinstance(item, Snapshot)
            else item.reason
            for item in self.emitted
        ]


def test_a_still_screen_is_shown_until_it_has_settled_and_never_again() -> None:
    script = Script([1] * 40, [10])
    assert set(script.run()) == {(1, 10, 10)}
    shown = [item.until.mono_ns for item in script.emitted if isinstance(item, Snapshot) and item.until]
    # For so long what is drawn may be an animation of which no tree tells.
    assert shown[-1] >= shown[0] + SETTLING_NS > shown[-2]
    assert len(shown) < 10


def test_a_picture_that_is_new_is_taken_again_after_a_fresh_dump() -> None:
    script = Script([1] * 12 + [2, 3, 3], [10] * 12 + [20])
    shown = script.run()
    assert (1, 10, 10) in shown
    assert 2 not in {digest for digest, _, _ in shown}
    first = next(item for item in script.emitted if isinstance(item, Snapshot) and item.frame.digest == 3)
    assert first.before is not None
    assert first.after is not None
    assert first.before.stamp < first.frame.stamp < first.after.stamp
    assert first.after.stamp.mono_ns - first.before.stamp.mono_ns < CLOSE_NS


def test_the_dump_after_a_picture_waits_until_the_tree_has_caught_up() -> None:
    script = Script([1], [10])
    script.run()
    (only,) = (item for item in script.emitted if isinstance(item, Snapshot))
    assert only.after is not None
    assert only.until is not None
    assert only.after.stamp.mono_ns >= only.until.mono_ns + LATE_NS


def test_a_picture_that_was_released_stays_when_a_tree_fails() -> None:
    late = CaptureFailed("s", "dump", "no answer")
    settling = Script([1] * 40, [10] * 100)
    settling.run()
    shown = Script([1] * 200, [*settling.trees[: 100 - len(settling.trees)], *[late] * 8, 10]).run()
    assert {item for item in shown if not isinstance(item, str)} == {(1, 10, 10)}
    assert "CaptureFailed" in shown


def test_a_changed_picture_comes_with_the_dumps_around_it() -> None:
    assert Script([1, 2, 2], [10, 10, 20, 20]).run() == [(1, 10, 10), (2, 10, 20), (2, 20, 20)]


def test_a_moving_tree_is_shown_again_when_it_has_settled() -> None:
    script = Script([1] * 12, [10, 11, 12, 12])
    script.clock.step_ns = 50_000_000
    shown = script.run()
    assert shown[:2] == [(1, 11, 12), (1, 12, 12)]
    shots = [item for item in script.emitted if isinstance(item, Snapshot)]
    moved = next(item.after for item in shots if item.after and item.after.digest == 12)
    again = [item.frame.stamp.mono_ns - item.frame.bound_ns for item in shots]
    # Masking may cover what has just come until the last of these; after it nothing is shown again.
    assert again[-1] >= moved.stamp.mono_ns + SETTLING_NS > again[-2]
    assert len(again) < 10
    assert set(shown[1:]) == {(1, 12, 12)}


def test_a_broken_picture_is_a_gap_with_its_reason() -> None:
    broken = FrameMalformed("s", "screencap", "cut")
    script = Script([1, broken, broken, 1], [10])
    told = script.run()
    assert [item for item in told if item != "FrameMalformed"] == [(1, 10, 10), (1, 10, 10)]
    gaps = [item for item in script.emitted if isinstance(item, Gap)]
    # From the first failure to when the picture was asked for that came, with no hole between.
    assert len(gaps) == 3
    assert all(earlier.end == later.start for earlier, later in pairwise(gaps))
    last = next(item for item in reversed(script.emitted) if isinstance(item, Snapshot))
    assert gaps[0].start < gaps[-1].end < last.frame.stamp


def test_no_tree_still_gives_the_picture_for_a_blocked_frame() -> None:
    script = Script([1, 2], [DeviceBusy("s", "dump", "taken")])
    assert [item for item in script.run() if item != "DeviceBusy"] == [(1, None, None), (2, None, None)]
    gaps = [item for item in script.emitted if isinstance(item, Gap)]
    assert all(earlier.end == later.start for earlier, later in pairwise(gaps))


def test_a_pause_takes_nothing_and_is_a_gap_with_its_reason() -> None:
    script = Script([1, 1, 1], [10])
    reasons = ["", "", "stopped", "stopped", "stopped", ""]
    taken: list[int] = []

    def paused() -> str:
        if len(reasons) == 1:
            return ""
        taken.append(len(script.pictures))
        return reasons.pop(0)

    loop = CaptureLoop(
        script, script, script.clock, Capture(rate=30, touch_rate=30), script.emitted.append, paused, wake=script.clock
    )
    script.stop = loop.stop
    loop.run()
    shown = [item.reason if isinstance(item, Gap) else item.frame.digest for item in script.emitted]
    assert shown[:3] == [1, "stopped", 1]
    assert len(set(taken[2:])) == 1, "a picture was taken in the pause"


def test_a_pause_from_the_start_to_the_end_takes_nothing_at_all() -> None:
    script = Script([1], [10])
    calls: list[int] = []

    def paused() -> str:
        calls.append(1)
        if len(calls) == 3:
            loop.stop()
        return "opted out"

    loop = CaptureLoop(
        script, script, script.clock, Capture(rate=30, touch_rate=30), script.emitted.append, paused, wake=script.clock
    )
    loop.run()
    assert [item.reason for item in script.emitted if isinstance(item, Gap)] == ["opted out"]
    assert script.pictures == [1]


def dump(at_ms: int, took_ms: int = 10, digest: int = 0) -> Hierarchy:
    """One that began at `at_ms` and took so long."""
    half = took_ms * 500_000
    stamp = Stamp(at_ms * 1_000_000 + half, at_ms)
    return Hierarchy(stamp, half, 0, (Node(Bounds(0, 0, 1, 1), "View"),), digest or at_ms)


def drawn(at_ms: int, bound_ms: int = 0) -> Frame:
    stamp = Stamp(at_ms * 1_000_000, at_ms)
    return Frame(stamp, bound_ms * 1_000_000, Size(1, 1), Size(1, 1), 0, "image/x-rgba", b"\0\0\0\0", at_ms, "video")


def around(dumps: list[Hierarchy], frame: Frame, until_ms: int, shown_ms: int | None = None) -> list[int]:
    kept = Dumps(2_500_000_000)
    for tree in dumps:
        kept.add(tree)
    shown = frame.stamp if shown_ms is None else Stamp(shown_ms * 1_000_000, shown_ms)
    return [tree.digest for tree in kept.before(frame, Stamp(until_ms * 1_000_000, until_ms), shown)]


def test_the_dump_before_a_frame_had_ended_when_the_frame_was_drawn() -> None:
    dumps = [dump(1000), dump(1100), dump(1200)]
    assert around(dumps, drawn(1300), 1310) == [1200]
    assert around(dumps, drawn(1210), 1310) == [1200]
    # It may have been drawn before the last dump was read, or the one before.
    assert around(dumps, drawn(1205), 1310) == [1100, 1200]
    assert around(dumps, drawn(1150, bound_ms=45), 1310) == [1000, 1100, 1200]


def test_a_frame_that_the_screen_still_showed_may_come_with_a_dump_of_that_time() -> None:
    dumps = [dump(1000), dump(1100)]
    assert around(dumps, drawn(500, bound_ms=50), 1310) == [1000, 1100]
    # What was under way to us at the dump's time is not known yet.
    assert around([dump(1100)], drawn(500, bound_ms=50), 1200) == []
    assert around([], drawn(500), 1310) == []


def test_dumps_of_long_ago_say_nothing() -> None:
    assert around([dump(1000)], drawn(3400), 3410) == [1000]
    assert around([dump(1000)], drawn(3600), 3610) == []


def test_a_dump_of_long_ago_speaks_for_a_screen_that_has_not_changed_since() -> None:
    assert around([dump(1000)], drawn(9000), 9010, shown_ms=900) == [1000]
    # It may tell of the screen before.
    assert around([dump(1000)], drawn(9000), 9010, shown_ms=950) == []
    assert around([dump(1000)], drawn(9000, bound_ms=20), 9010, shown_ms=890) == []


class Video(Script):
    """A screen that sends pictures: `frames` are those that are there at each look, with their times in ms."""

    def __init__(self, frames: list[tuple[int, int]], trees: list[int | BridgeError], bound_ms: int = 0) -> None:
        super().__init__([], trees)
        self.frames = frames
        self.bound_ms = bound_ms

    def capture(self, deadline: Deadline) -> Frame:
        digest, at_ms = self.frames.pop(0)
        if not self.frames:
            self.stop()
        return replace(drawn(at_ms, self.bound_ms), digest=digest)


def test_a_picture_that_is_told_again_is_told_as_of_now() -> None:
    # The new one is looked at once more, to see whether it stays.
    script = Video([(1, 0)] * 5, [10, 11, 12, 12])
    script.clock.step_ns = 50_000_000
    script.run()
    taken = [item for item in script.emitted if isinstance(item, Snapshot)]
    assert len(taken) >= 3
    for earlier, later in pairwise(taken):
        assert later.until is not None
        assert earlier.after is not None
        assert earlier.after.stamp < later.frame.stamp <= later.until


def test_a_still_screen_is_told_until_what_masking_knows_of_it_has_settled() -> None:
    # The first dumps came too late after the picture, and too early for it to be still there for sure.
    script = Video([(1, -88)] * 60, [10], bound_ms=88)
    script.clock.step_ns = 10_000_000
    script.run()
    taken = [item for item in script.emitted if isinstance(item, Snapshot)]
    assert taken[0].before is None
    known = next(item.before for item in taken if item.before is not None)
    drawn_ns = [item.frame.stamp.mono_ns - item.frame.bound_ns for item in taken]
    assert drawn_ns[-1] >= known.stamp.mono_ns + known.bound_ns + SETTLING_NS > drawn_ns[-2]
    assert len(taken) < 20


def test_an_idle_screen_that_sends_pictures_is_dumped_with_the_beat_of_the_tree() -> None:
    script = Video([(1, -400)] * 300, [10])
    loop = CaptureLoop(
        script, script, script.clock, Capture(rate=5, touch_rate=5), script.emitted.append, wake=script.clock
    )
    script.stop = loop.stop
    loop.run()
    idle = [at_ns for at_ns in script.dumped_ns if at_ns > 15_000_000_000]
    assert script.clock.ns > 50_000_000_000
    assert len(idle) > 15
    assert min(later - earlier for earlier, later in pairwise(idle)) >= 1_900_000_000


class Fingers:
    """Stands for the event on which the loop waits: while it waits a finger moves every 10 ms."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.moves: Callable[[], None] = lambda: None
        self.is_set = False

    def set(self) -> None:
        self.is_set = True

    def clear(self) -> None:
        self.is_set = False

    def wait(self, seconds: float) -> bool:
        end_ns = self.clock.ns + int(seconds * 1e9)
        while self.clock.ns < end_ns and not self.is_set:
            self.clock.ns += 10_000_000
            self.moves()
        return self.is_set


def test_a_moving_finger_brings_the_touch_rate_and_no_more() -> None:
    # Each but the first is taken again after a fresh dump.
    script = Script(list(range(1, 42)), [10])
    script.clock.step_ns = 1000
    loop = CaptureLoop(script, script, script.clock, Capture(rate=0.1, touch_rate=5), script.emitted.append)
    fingers = Fingers(script.clock)
    loop._wake = fingers  # type: ignore[assignment]
    fingers.moves = lambda: loop.touched(Touch(script.clock.now(), "move", 0, 0, 0))
    script.stop = loop.stop
    loop.run()
    taken = [item.frame.stamp.mono_ns for item in script.emitted if isinstance(item, Snapshot)]
    gaps_ms = [(after - before) / 1e6 for before, after in pairwise(taken)]
    assert len(gaps_ms) == 20
    assert 199 < min(gaps_ms) <= max(gaps_ms) < 220


def test_while_fingers_come_each_look_that_is_over_is_told_after_what_it_found() -> None:
    script = Script([1] * 30 + [2] * 30, [10])
    script.clock.step_ns = 1000
    told: list[int | str] = []
    began: list[int] = []

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        told.append(item.frame.digest if isinstance(item, Snapshot) else "gap")

    def looked(at: Stamp) -> None:
        told.append("looked")
        began.append(at.mono_ns)

    loop = CaptureLoop(
        script, script, script.clock, Capture(rate=2, touch_rate=5), emit, wake=script.clock, looked=looked
    )
    script.stop = loop.stop
    taken = script.capture

    def capture(deadline: Deadline) -> Frame:
        if len(script.pictures) == 30:
            loop.touched(Touch(script.clock.now(), "cancel", 0, 0, 0))
        return taken(deadline)

    script.capture = capture  # type: ignore[method-assign]
    loop.run()
    assert told[: told.index(2)].count("looked") == told[:1].count("looked") == 1
    # The finger came while a look was under way: what it found is told, and that it is over, and so for a second.
    after = told[told.index(2) :]
    assert after[:2] == [2, "looked"]
    assert 4 <= after.count("looked") <= 7
    assert began == sorted(began)
    assert script.clock.ns - began[-1] > 5_000_000_000


def test_while_a_screen_opens_it_is_looked_at_at_the_touch_rate() -> None:
    script = Script(list(range(1, 42)), [10])
    script.clock.step_ns = 1000
    loop = CaptureLoop(script, script, script.clock, Capture(rate=0.5, touch_rate=5), lambda item: masked(item))
    reasons = ["settling", "settling", "unstable"]

    def masked(item: Snapshot | Hierarchy | Gap) -> None:
        script.emitted.append(item)
        if isinstance(item, Snapshot) and reasons:
            loop.masked(reasons.pop(0))

    fingers = Fingers(script.clock)
    loop._wake = fingers  # type: ignore[assignment]
    script.stop = loop.stop
    loop.run()
    taken = [item.frame.stamp.mono_ns for item in script.emitted if isinstance(item, Snapshot)]
    gaps_ms = [round((after - before) / 1e6, -1) for before, after in pairwise(taken)][:12]
    # The second was not settled: for two seconds more.
    assert gaps_ms == [200] * 11 + [2000]


def test_a_finger_that_rests_keeps_the_touch_rate_until_a_second_after_it_is_up() -> None:
    script = Script(list(range(1, 82)), [10])
    script.clock.step_ns = 1000
    loop = CaptureLoop(script, script, script.clock, Capture(rate=0.5, touch_rate=5), lambda item: taken(item))
    loop._wake = script.clock
    script.stop = loop.stop
    at_ns: list[int] = []

    def taken(item: Snapshot | Hierarchy | Gap) -> None:
        if isinstance(item, Snapshot):
            at_ns.append(item.frame.stamp.mono_ns)
            if len(at_ns) in (2, 30, 40):
                kind: TouchKind = "down" if len(at_ns) == 2 else "up"
                loop.touched(Touch(script.clock.now(), kind, 0 if len(at_ns) < 40 else 1, 0, 0))

    loop.run()
    gaps_ms = [round((after - before) / 1e6, -1) for before, after in pairwise(at_ns)]
    assert gaps_ms[:1] == [2000]
    assert set(gaps_ms[1:29]) == {200}
    assert gaps_ms[29:39].count(2000) == 5


@pytest.mark.parametrize(("hidden", "again"), [("settling", True), ("dragged", True), ("unstable", False)])
def test_what_was_hidden_for_a_while_is_told_again_until_it_is_seen(hidden: str, again: bool) -> None:
    script = Script([1] * 200, [10])
    script.clock.step_ns = 1000
    loop = CaptureLoop(script, script, script.clock, Capture(), lambda item: masked(item), wake=script.clock)
    shown_ns = 4_000_000_000

    def masked(item: Snapshot | Hierarchy | Gap) -> None:
        if isinstance(item, Snapshot):
            script.emitted.append(item)
            loop.masked(hidden if item.frame.stamp.mono_ns < shown_ns else "")

    script.stop = loop.stop
    loop.run()
    last = [item.frame.stamp.mono_ns for item in script.emitted if isinstance(item, Snapshot)][-1]
    assert (last >= shown_ns) == again
    assert last < shown_ns + 1_500_000_000


def test_a_phone_is_not_dumped_for_more_than_half_of_the_time() -> None:
    script = Script(list(range(1, 202)), [10])
    script.clock.step_ns = 1000
    loop = CaptureLoop(script, script, script.clock, Capture(rate=30, touch_rate=30), lambda item: None)
    loop._wake = script.clock
    script.stop = loop.stop
    taken_ns = 0

    def dump(deadline: Deadline) -> Hierarchy:
        nonlocal taken_ns
        # As with 250 views.
        script.clock.ns += 310_000_000
        taken_ns += 310_000_000
        return replace(Script.dump(script, deadline), bound_ns=155_000_000)

    script.dump = dump  # type: ignore[method-assign]
    loop.run()
    assert 0.45 < taken_ns / script.clock.ns <= 0.52


def test_what_stays_hidden_is_not_looked_for_without_end() -> None:
    script = Script([1] * 400, [10])
    script.clock.step_ns = 1000
    loop = CaptureLoop(script, script, script.clock, Capture(), lambda item: masked(item), wake=script.clock)

    def masked(item: Snapshot | Hierarchy | Gap) -> None:
        if isinstance(item, Snapshot):
            script.emitted.append(item)
            loop.masked("dragged")

    script.stop = loop.stop
    loop.run()
    last_ns = [item.frame.stamp.mono_ns for item in script.emitted if isinstance(item, Snapshot)][-1]
    assert HIDDEN_NS < last_ns < HIDDEN_NS + 5_000_000_000 < script.clock.ns - 20_000_000_000


def test_without_pictures_each_new_dump_is_told() -> None:
    script = Script([], [10, 10, BridgeTimeout("s", "dump", "late"), 11, 11])
    emitted: list[Snapshot | Hierarchy | Gap] = []

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        emitted.append(item)
        if isinstance(item, Hierarchy) and item.digest == 11:
            loop.stop()

    loop = CaptureLoop(None, script, script.clock, Capture(rate=30, touch_rate=30), emit)
    loop.run()
    assert [item.digest if isinstance(item, Hierarchy) else "gap" for item in emitted] == [10, "gap", "gap", 11]


def test_a_tree_that_fails_once_is_asked_again() -> None:
    shown = Script([1, 2], [10, BridgeTimeout("s", "dump", "late"), 10]).run()
    assert shown == ["BridgeTimeout", "BridgeTimeout", (1, 10, 10), (2, 10, 10)]


def test_another_level_of_masking_takes_a_screen_again_that_stands_still() -> None:
    script = Script([1] * 40, [10])
    script.clock.step_ns = 30_000_000

    def level() -> str | None:
        return None if len(script.pictures) > 20 else "conservative"

    left: list[int] = []

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        left.append(len(script.pictures))

    loop = CaptureLoop(
        script, script, script.clock, Capture(rate=30, touch_rate=30), emit, level=level, wake=script.clock
    )
    script.stop = loop.stop
    loop.run()
    settled = [left for left in left if left > 20]
    assert 0 < len(settled) < 19
    assert max(left for left in left if left <= 20) >= 18


def test_a_changed_picture_tells_when_the_one_before_was_still_there() -> None:
    # Looks at 1 until it has settled, then 2, which is taken again after a fresh dump, and 3 at once.
    script = Script([1] * 20 + [2, 2, 3, 3, 3], [10])
    script.run()
    snapshots = [item for item in script.emitted if isinstance(item, Snapshot)]
    first = {digest: next(s for s in snapshots if s.frame.digest == digest) for digest in (1, 2, 3)}
    assert first[1].left is None
    left, dumped = first[2].left, first[2].before
    assert left is not None
    assert dumped is not None
    # After the last dump of the old picture, before the fresh one.
    assert max(ns for ns in script.dumped_ns if ns < left.mono_ns) < left.mono_ns < dumped.stamp.mono_ns
    # Nobody has seen 2 stand still.
    assert first[3].left == left


@pytest.mark.parametrize(("after", "longer"), [(2, True), (3, False)])
def test_a_new_picture_of_a_video_is_known_to_stay_by_the_next_look(after: int, longer: bool) -> None:
    script = Video([(1, 0)] * 12 + [(2, 1500), (2, 1500), (after, 1500), (after, 1500)], [10])
    script.clock.step_ns = 50_000_000
    script.run()
    shown = next(item for item in script.emitted if isinstance(item, Snapshot) and item.frame.digest == 2)
    assert shown.until is not None
    assert shown.after is not None
    assert (shown.until > shown.after.stamp) == longer

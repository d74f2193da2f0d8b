from __future__ import annotations

from dataclasses import replace

from fakes.views import EDIT, SCROLL, app, at, painted, snapshot, surveyed, tree, view
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Snapshot
from agent.replay.motion import (
    CLOSE_NS,
    LATE_NS,
    SETTLING_NS,
    Motion,
    Seen,
    enclosed,
    passed,
    returned,
    slowed,
    still,
)
from bridge.types import Hierarchy, Node, NodeFlag

MS = 1_000_000
TITLE = view(0, 100, 1080, 240, text="Checkout")
CARD = view(40, 700, 1040, 820, EDIT, "4111", hint="Card")


def dump(seconds: float, bound_ms: int = 0, *roots: Node) -> Hierarchy:
    return replace(tree(*(roots or (app(TITLE),)), seconds=seconds), bound_ns=bound_ms * MS)


def test_what_may_have_been_so_at_a_moment_or_later_is_told_from_the_dump_before_it_on() -> None:
    motion = Motion()
    found = surveyed(app(TITLE))
    for seconds in (1, 2, 3, 4):
        motion.note(dump(seconds), found)
    assert [seen.first_ns for seen in motion.since(at(2.5).mono_ns)] == [at(s).mono_ns for s in (2, 3, 4)]
    assert [seen.first_ns for seen in motion.since(at(9).mono_ns)] == [at(4).mono_ns]
    assert len(motion.since(0)) == 4


def test_a_slow_dump_tells_of_any_instant_of_its_call() -> None:
    motion = Motion()
    found = surveyed(app(TITLE))
    motion.note(dump(1), found)
    motion.note(dump(2, 700), found)
    # Until it ended the one before may have held.
    assert len(motion.since(at(2.5).mono_ns)) == 2
    assert len(motion.since(at(2.7).mono_ns)) == 1


def test_a_dump_is_taken_in_once() -> None:
    motion = Motion()
    found = surveyed(app(TITLE))
    for seconds in (1, 2, 1, 2):
        motion.note(dump(seconds), found)
    assert len(motion.since(0)) == 2


def test_what_the_first_dump_after_an_absence_tells_has_to_settle() -> None:
    motion = Motion()
    found = surveyed(app(TITLE))
    assert motion.known(0)
    motion.note(dump(1), found)
    motion.forget()
    motion.note(dump(5), found)
    motion.note(dump(5.2), found)
    assert len(motion.since(0)) == 2
    assert not motion.known(at(5.4).mono_ns)
    assert motion.known(at(5).mono_ns + SETTLING_NS)


def test_slowed_animations_take_so_much_longer_to_settle() -> None:
    assert slowed(0) == slowed(1) == SETTLING_NS
    assert slowed(10) == 10 * SETTLING_NS
    motion = Motion(slowed(10))
    motion.forget()
    found = surveyed(app(TITLE))
    for step in range(300):
        motion.note(dump(5 + 0.02 * step), found)
    assert not motion.known(at(9.9).mono_ns)
    assert motion.known(at(5).mono_ns + slowed(10))
    assert len(motion.since(at(6).mono_ns)) > 240
    s = replace(snapshot(painted(app(TITLE)), dump(1), dump(2), 1.2), since=at(1), until=at(2))
    assert still(s)
    assert not still(s, slowed(10))
    # What was there between the third dump and the next one may still slide out four seconds later.
    between = tuple(dump(seconds) for seconds in (1.3, 1.6, 3.6, 4.1, 4.6, 5.1, 5.6))
    late = replace(s, between=between, after=dump(6.1), frame=replace(s.frame, stamp=at(5.8)), since=None)
    assert enclosed(late)
    assert not enclosed(late, slowed(10))


def test_a_stretch_in_which_dumps_failed_is_a_hole() -> None:
    motion = Motion()
    found = surveyed(app(TITLE))
    motion.note(dump(1), found)
    motion.fail(at(1.4).mono_ns)
    motion.note(dump(2.0), found)
    motion.note(dump(4.0), found)
    motion.fail(at(4.1).mono_ns)
    motion.note(dump(4.3), found)
    # Nobody asked between the second and the third; the last failure left no time for anything.
    assert [seen.hole for seen in motion.since(0)] == [False, True, False, False]


def test_dumps_close_around_a_frame_enclose_it() -> None:
    pixels = painted(app(TITLE))
    close = snapshot(pixels, dump(1), dump(1 + CLOSE_NS / 1e9), 1.2)
    wide = snapshot(pixels, dump(1), dump(2), 1.2)
    assert enclosed(close)
    assert not enclosed(wide)
    assert not enclosed(replace(close, before=None))
    assert not enclosed(replace(close, before=dump(1, 30)))


def test_a_dump_taken_while_the_screen_showed_the_picture_encloses_it() -> None:
    wide = snapshot(painted(app(TITLE)), dump(1), dump(3), 2.5)
    since = at(1 - LATE_NS / 1e9)
    assert enclosed(replace(wide, since=since, until=at(2.6)))
    assert not enclosed(replace(wide, since=at(0.95), until=at(2.6)))
    assert not enclosed(replace(wide, since=since, until=at(0.99)))
    assert enclosed(replace(wide, before=dump(0), between=(dump(1),), since=since, until=at(2.6)))


def test_a_picture_is_still_when_it_was_there_for_as_long_as_anything_moves() -> None:
    s = snapshot(painted(app(TITLE)), dump(1), dump(2), 1.2)
    assert not still(s)
    assert still(replace(s, since=at(1), until=at(1 + SETTLING_NS / 1e9)))
    assert not still(replace(s, since=at(1), until=at(1.2)))


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 900)), min_size=1, max_size=30), st.floats(0, 100))
def test_the_last_dump_always_counts_and_all_that_ended_after_the_moment_do(
    dumps: list[tuple[float, int]], moment: float
) -> None:
    motion = Motion()
    found = surveyed(app(TITLE))
    for seconds, bound in sorted(dumps):
        motion.note(dump(seconds, bound), found)
    everything = motion.since(-(10**12))
    told = motion.since(at(moment).mono_ns)
    assert told[-1] is everything[-1]
    assert set(map(id, (seen for seen in everything if seen.last_ns > at(moment).mono_ns))) <= set(map(id, told))


LIST = view(0, 100, 1080, 240, text="Shop")


def seen(seconds: float, *roots: Node) -> Seen:
    return Seen(at(seconds).mono_ns, at(seconds).mono_ns, 0, surveyed(*roots))


def taken(seconds: float, since: float, until: float) -> Snapshot:
    around = dump(seconds - 0.05), dump(seconds + 0.05)
    return replace(snapshot(painted(app(TITLE)), *around, seconds), since=at(since), until=at(until))


def test_between_two_screens_another_may_have_passed_unseen() -> None:
    far = [seen(1, app(TITLE)), seen(1.4, app(LIST))]
    near = [seen(1.05, app(TITLE)), seen(1.4, app(LIST))]
    moving, calm = taken(1.55, 1.55, 1.56), taken(1.9, 1.5, 1.9)
    assert passed(far, moving)
    assert not passed(near, moving)
    # A picture that stands still shows no screen that slides out.
    assert not passed(far, calm)
    # Neither does one that was the same only before the dump could be drawn.
    assert passed(far, taken(1.42, 1.1, 1.45))
    assert not passed([seen(1, app(TITLE)), seen(1.4, app(TITLE))], moving)


def test_a_list_that_shows_other_rows_is_the_same_screen() -> None:
    def rows(first: int) -> Node:
        texts = [view(0, 300 + 100 * n, 1080, 400 + 100 * n, text=f"Row {first + n}") for n in range(4)]
        return app(view(0, 300, 1080, 2000, SCROLL, children=texts, flags=NodeFlag.SCROLLABLE))

    moving = taken(1.55, 1.55, 1.56)
    assert not passed([seen(1, rows(0)), seen(1.4, rows(50))], moving)
    assert passed([seen(1, app(TITLE)), seen(1.4, rows(50))], moving)


def test_a_screen_may_have_been_left_and_come_back_between_equal_dumps() -> None:
    apart = [seen(1, app(CARD)), seen(1.5, app(CARD))]
    assert returned(apart, taken(1.55, 1.55, 1.56))
    assert not returned([seen(1.2, app(CARD)), seen(1.5, app(CARD))], taken(1.55, 1.55, 1.56))
    assert not returned(apart, taken(1.9, 1.55, 1.9))
    # What came after the picture cannot slide in it.
    assert not returned(apart, taken(1.2, 1.2, 1.21))


def test_a_picture_that_was_still_the_same_leaves_less_time_for_another_screen() -> None:
    def dumped(left: float | None) -> list[Seen]:
        motion = Motion()
        motion.note(dump(1, 0, app(TITLE)), surveyed(app(TITLE)))
        motion.note(dump(1.6, 0, app(LIST)), surveyed(app(LIST)), None if left is None else at(left).mono_ns)
        return motion.since(0)

    moving = taken(1.75, 1.75, 1.76)
    assert passed(dumped(None), moving)
    assert passed(dumped(1.1), moving)
    assert not passed(dumped(1.4), moving)
    # A look before the first dump, or after the second, says nothing of the time between.
    assert passed(dumped(0.9), moving)
    assert passed(dumped(1.7), moving)

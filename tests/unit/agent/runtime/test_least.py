from __future__ import annotations

from dataclasses import replace

from fakes.segments import SESSION, segment
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Draft, SealedSegment
from agent.runtime.least import MAX_WAITING, Least


class Kept:
    """What was handed on, and how many sessions were left out."""

    def __init__(self, seconds: float) -> None:
        self.items: list[SealedSegment | Draft] = []
        self.short = 0
        self.seconds = seconds
        self.least = Least(lambda: self.seconds, self.items.append, self.items.append, self._short)

    def _short(self) -> None:
        self.short += 1


def draft(sealed: SealedSegment) -> Draft:
    return Draft(replace(sealed.manifest, id=""), sealed.events, sealed.pictures)


def test_a_session_is_kept_whole_once_it_is_long_enough() -> None:
    kept = Kept(40)
    first, second = segment(0), segment(1)
    kept.least.append(draft(first))
    kept.least.keep(first)
    assert kept.items == []
    kept.least.append(draft(second))
    assert kept.items == [first, draft(second)]
    kept.least.keep(second)
    kept.least.finish()
    assert kept.items[-1] is second
    assert kept.short == 0


def test_what_a_sealed_segment_repeats_is_not_held_twice() -> None:
    kept = Kept(3600)
    first, second, other = segment(0), segment(1), segment(0, SESSION + 100_000)
    for item in (first, other, second):
        kept.least.append(draft(item))
        kept.least.append(draft(item))
    kept.least.keep(first)
    held = [waiting.items for waiting in kept.least._waiting.values()]
    assert held == [[draft(second), draft(second), first], [draft(other), draft(other)]]
    kept.least.keep(second)
    assert next(iter(kept.least._waiting.values())).items == [first, second]


def test_what_is_asked_for_may_change() -> None:
    kept = Kept(3600)
    first, second = segment(0), segment(1)
    kept.least.keep(first)
    assert kept.items == []
    kept.seconds = 40
    kept.least.keep(second)
    assert kept.items == [first, second]


def test_in_the_end_what_is_asked_for_by_then_counts() -> None:
    kept = Kept(3600)
    kept.least.keep(segment(0))
    kept.seconds = 0
    kept.least.finish()
    assert (kept.items, kept.short) == ([segment(0)], 0)


def test_a_short_session_is_left_out_and_counted() -> None:
    kept = Kept(40)
    kept.least.keep(segment(0))
    kept.least.keep(segment(0, SESSION + 100_000))
    kept.least.finish()
    assert kept.items == []
    assert kept.short == 2


@given(st.lists(st.integers(0, 30), max_size=60))
def test_sessions_that_never_grow_do_not_pile_up(sessions: list[int]) -> None:
    kept = Kept(40)
    for number in sessions:
        kept.least.append(draft(segment(0, SESSION + number)))
    assert len(set(sessions)) - MAX_WAITING <= kept.short <= len(sessions)
    assert len(kept.least._waiting) <= MAX_WAITING

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.forms import Part, Unread
from agent.analytics.hold import Hold
from agent.analytics.parts import DONE_KEPT, MAX_CHARS, MAX_OPEN, MAX_TOTAL, Joined, Parts
from bridge.types import LogEntry, Stamp

WAIT_NS = 1_500_000_000


def entry(ns: int = 0, pid: int = 7, cut: bool = False) -> LogEntry:
    return LogEntry(Stamp(ns, ns // 1_000_000), ns, pid, pid, None, "I", "ReactNativeJS", "", cut=cut)


def split(text: str, size: int, message_id: str = "m") -> list[Part]:
    texts = [text[at : at + size] for at in range(0, len(text), size)]
    return [Part(message_id, number, len(texts), each) for number, each in enumerate(texts, 1)]


def joined(found: list[Joined | Unread]) -> list[tuple[str, str, bool]]:
    return [(each.message_id, each.text, each.whole) for each in found if isinstance(each, Joined)]


@given(
    st.dictionaries(st.text(max_size=5), st.text(min_size=1, max_size=60), min_size=1, max_size=6),
    st.integers(1, 20),
    st.randoms(use_true_random=False),
)
def test_parts_in_any_order_repeated_and_interleaved(texts: dict[str, str], size: int, order: random.Random) -> None:
    parts = [part for name, text in texts.items() for part in split(text, size, name)] * 2
    order.shuffle(parts)
    sut = Parts(Hold(WAIT_NS))
    found = [one for part in parts for one in sut.add(entry(), part)]
    assert sorted(joined(found)) == sorted((name, text, True) for name, text in texts.items())
    assert len(found) == len(texts)
    assert sut.flush() == []


def test_the_stamp_is_that_of_the_first_part_seen() -> None:
    sut = Parts(Hold(WAIT_NS))
    first, second = split("abcd", 2)
    assert sut.add(entry(5), second) == []
    assert sut.add(entry(9), first) == [Joined(entry(5), "m", "abcd", True)]


def test_two_processes_may_use_one_id() -> None:
    sut = Parts(Hold(WAIT_NS))
    ours, theirs = split("abcd", 2), split("wxyz", 2)
    assert sut.add(entry(pid=1), ours[0]) == []
    assert sut.add(entry(pid=2), theirs[1]) == []
    assert joined(sut.add(entry(pid=1), ours[1])) == [("m", "abcd", True)]
    assert joined(sut.add(entry(pid=2), theirs[0])) == [("m", "wxyz", True)]


def test_a_lost_part_ends_the_text_when_it_is_due() -> None:
    hold = Hold(WAIT_NS)
    sut = Parts(hold)
    parts = split("aabbcc", 2)
    hold.heard(10)
    sut.add(entry(10), parts[0])
    hold.heard(20)
    sut.add(entry(20), parts[2])
    hold.passed(9 + WAIT_NS)
    assert sut.expire() == []
    hold.passed(10 + WAIT_NS)
    ((where, one),) = sut.expire()
    assert where == entry(10)
    assert one == Joined(entry(10), "m", "aa", False)
    # What comes after that belongs to a text that is done.
    assert sut.add(entry(30), parts[1]) == []
    assert sut.flush() == []


def test_a_lost_first_part_leaves_nothing_to_read() -> None:
    sut = Parts(Hold(WAIT_NS))
    for part in split("aabbcc", 2)[1:]:
        sut.add(entry(), part)
    ((_, one),) = sut.flush()
    assert one == Unread("part lost", "m has 2 of 3 parts")


def test_a_part_that_the_log_cut_ends_the_text() -> None:
    sut = Parts(Hold(WAIT_NS))
    first, second, third = split("aabbcc", 2)
    sut.add(entry(), first)
    sut.add(entry(cut=True), second)
    assert joined(sut.add(entry(), third)) == [("m", "aabb", False)]


def test_a_part_shorter_than_the_first_was_cut() -> None:
    sut = Parts(Hold(WAIT_NS))
    for part in (Part("m", 1, 3, "aaaa"), Part("m", 2, 3, "bb")):
        assert sut.add(entry(), part) == []
    assert joined(sut.add(entry(), Part("m", 3, 3, "c"))) == [("m", "aaaabb", False)]


@pytest.mark.parametrize(("index", "total"), [(0, 1), (2, 1), (1, 0), (1, MAX_TOTAL + 1), (999_999, 999_999), (0, 0)])
def test_counts_that_cannot_be(index: int, total: int) -> None:
    sut = Parts(Hold(WAIT_NS))
    assert sut.add(entry(), Part("m", index, total, "x")) == [Unread("part malformed", f"m {index}/{total}")]
    assert sut.flush() == []


def test_a_part_that_contradicts_the_total_is_malformed_and_the_text_goes_on() -> None:
    sut = Parts(Hold(WAIT_NS))
    first, second = split("abcd", 2)
    sut.add(entry(), first)
    assert sut.add(entry(), Part("m", 2, 3, "zz")) == [Unread("part malformed", "m 2/3")]
    assert joined(sut.add(entry(), second)) == [("m", "abcd", True)]


def test_the_oldest_gives_way_when_too_many_are_open() -> None:
    sut = Parts(Hold(WAIT_NS))
    for number in range(MAX_OPEN):
        assert sut.add(entry(), Part(f"m{number}", 1, 2, "x")) == []
    assert joined(sut.add(entry(), Part("new", 1, 2, "x"))) == [("m0", "x", False)]
    assert len(sut.flush()) == MAX_OPEN


def test_the_oldest_gives_way_when_the_texts_are_too_long() -> None:
    sut = Parts(Hold(WAIT_NS))
    half = "x" * (MAX_CHARS // 2)
    assert sut.add(entry(), Part("a", 1, 2, half)) == []
    assert sut.add(entry(), Part("b", 1, 2, half)) == []
    assert [name for name, *_ in joined(sut.add(entry(), Part("c", 1, 2, "y")))] == ["a"]


def test_memory_is_bounded() -> None:
    sut = Parts(Hold(WAIT_NS))
    tracemalloc.start()
    try:
        for number in range(20 * DONE_KEPT):
            sut.add(entry(number), Part(f"m{number}", 1 + number % 2, 2, "x" * 100))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@given(
    st.lists(
        st.builds(Part, st.sampled_from(["a", "b"]), st.integers(-2, 5), st.integers(-2, 5), st.text(max_size=3)),
        max_size=40,
    ),
    st.booleans(),
)
def test_any_parts_end_in_texts_or_reasons(parts: list[Part], cut: bool) -> None:
    sut = Parts(Hold(WAIT_NS))
    found = [one for number, part in enumerate(parts) for one in sut.add(entry(number, cut=cut), part)]
    found += [one for _, one in sut.expire()] + [one for _, one in sut.flush()]
    assert all(isinstance(one, Joined | Unread) for one in found)
    assert len([one for one in found if isinstance(one, Joined)]) <= 2
    assert sut.flush() == []

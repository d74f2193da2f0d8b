from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.cadence import MERGED_BYTES, Cadence, Post, merged


def events(*times: int) -> list[tuple[int, int]]:
    return [(at, 10) for at in times]


def test_the_interval_grows_by_a_second_with_each_cut_up_to_ten() -> None:
    cadence = Cadence()
    posts = cadence.cut(events(*range(0, 100_000, 100)))
    seconds = [post.events / 10 for post in posts[:-1]]
    # More than the interval has passed when the event comes that is not in the post any more.
    assert seconds[:11] == [1.1, 2.1, 3.1, 4.1, 5.1, 6.1, 7.1, 8.1, 9.1, 10.1, 10.1]
    assert sum(post.events for post in posts) == 1000


def test_it_goes_on_from_segment_to_segment() -> None:
    cadence = Cadence()
    assert [post.events for post in cadence.cut(events(0, 500, 1001, 1500))] == [2, 2]
    # 2.0 s after the cut, not after the segment's begin.
    assert [post.events for post in cadence.cut(events(3001, 3002, 3003))] == [1, 2]


def test_nothing_is_cut_while_no_event_comes() -> None:
    assert Cadence().cut(events(0, 999_999)) == [Post(1, 10), Post(1, 10)]
    assert Cadence().cut([]) == []


@pytest.mark.parametrize(("limit", "counts"), [(24, [1, 1, 1]), (25, [2, 1]), (37, [2, 1]), (38, [3])])
def test_a_post_is_cut_where_the_sdk_thinks_that_it_would_be_too_large(limit: int, counts: list[int]) -> None:
    # Two of ten bytes are taken to be 2 + 1 + 4 + 20, one to be 2 + 2 + 10; the next comes to it as it is.
    assert [post.events for post in Cadence().cut(events(0, 1, 2), limit)] == counts


def test_a_cut_for_size_does_not_lengthen_the_interval() -> None:
    cadence = Cadence()
    cadence.cut(events(0, 1, 2, 3), 20)
    assert (cadence.interval_ms, cadence.last_ms) == (1000, 0)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3000)), max_size=60), st.integers(10, 5000))
def test_no_event_is_lost_and_no_post_is_larger_than_need_be(steps: list[tuple[int, int]], limit: int) -> None:
    at, given_events = 0, []
    for step, size in steps:
        at += step
        given_events.append((at, size))
    posts = Cadence().cut(given_events, limit)
    sizes = iter(size for _, size in given_events)
    for post in posts:
        held = [next(sizes) for _ in range(post.events)]
        assert held
        assert sum(held) == post.size
        assert len(held) == 1 or sum(held) + 3 * (len(held) - 1) + 1 < limit
    assert next(sizes, None) is None


@given(st.lists(st.integers(1, MERGED_BYTES * 2), max_size=30))
def test_merged_posts_hold_as_much_as_may_be(sizes: list[int]) -> None:
    posts = merged(Post(1, size) for size in sizes)
    assert sum(post.events for post in posts) == len(sizes)
    assert sum(post.size for post in posts) == sum(sizes)
    assert all(post.size <= MERGED_BYTES or post.events == 1 for post in posts)
    begins = [0]
    for post in posts:
        begins.append(begins[-1] + post.events)
    assert all(posts[n].size + sizes[begins[n + 1]] > MERGED_BYTES for n in range(len(posts) - 1))

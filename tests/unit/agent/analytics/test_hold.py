from __future__ import annotations

from agent.analytics.hold import LATE_NS, Hold

SECOND = 1_000_000_000


def test_the_logs_own_stamps_end_a_hold_whenever_they_come() -> None:
    hold = Hold(SECOND)
    hold.passed(100 * SECOND)
    hold.heard(SECOND)
    due = hold.due()
    hold.heard(2 * SECOND - 1)
    assert not hold.over(due)
    hold.heard(2 * SECOND)
    assert hold.over(due)


def test_with_a_silent_log_the_hosts_time_does_from_when_it_came() -> None:
    hold = Hold(SECOND)
    hold.passed(100 * SECOND)
    hold.heard(-SECOND)
    due = hold.due()
    hold.passed(101 * SECOND - 1)
    assert not hold.over(due)
    hold.passed(101 * SECOND)
    assert hold.over(due)


def test_an_entry_that_is_behind_the_others_is_held_like_them() -> None:
    hold = Hold(SECOND)
    hold.heard(LATE_NS)
    first = hold.due()
    hold.heard(0)
    assert not hold.over(first)
    assert hold.due() == first


def test_what_was_stamped_before_the_clock_was_set_back_is_held_no_more() -> None:
    hold = Hold(SECOND)
    hold.heard(LATE_NS + 1)
    before = hold.due()
    hold.heard(0)
    assert hold.over(before)
    assert not hold.over(hold.due())

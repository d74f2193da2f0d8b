from __future__ import annotations

import time

import pytest

from bridge import deadline as module
from bridge.deadline import Deadline


class Clock:
    """The monotonic clock as a test sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_it_is_an_instant_not_a_length(clock: Clock) -> None:
    deadline = Deadline(5)
    assert (deadline.remaining(), deadline.passed) == (5, False)
    clock.now += 3
    assert (deadline.remaining(), deadline.passed) == (2, False)
    clock.now += 2
    assert (deadline.remaining(), deadline.passed) == (0, True)
    clock.now += 10
    assert (deadline.remaining(), deadline.passed) == (0, True)


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all(clock: Clock, seconds: float) -> None:
    deadline = Deadline(seconds)
    # A socket takes no negative timeout.
    assert (deadline.remaining(), deadline.passed) == (0, True)


def test_it_goes_by_the_clock_that_is_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = Deadline(60)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert 50 < deadline.remaining() <= 60
    assert not deadline.passed

from __future__ import annotations

import pytest

from agent.runtime.outage import LEAST_SECONDS, MOST_SECONDS, RECENT_NS, TIMEOUTS, Outages, Patience
from bridge.errors import BridgeTimeout, CaptureFailed
from bridge.types import Gap, Stamp


def at(ms: int) -> Stamp:
    return Stamp(ms * 1_000_000, ms)


def told(gaps: list[Gap]) -> list[tuple[int, int, str, str]]:
    return [(gap.start.wall_ms, gap.end.wall_ms, gap.stage, gap.reason) for gap in gaps]


def test_an_outage_is_told_from_its_first_failure_to_the_next_success_without_a_hole() -> None:
    gaps: list[Gap] = []
    outages = Outages(gaps.append)
    outages.failed("screen", BridgeTimeout("s", "x", "late"), at(100), at(1600))
    outages.failed("hierarchy", CaptureFailed("s", "x", "none"), at(1600), at(1610))
    outages.failed("screen", CaptureFailed("s", "x", "cut"), at(2000), at(2010))
    outages.over("screen", at(2500))
    outages.over("hierarchy", at(2600))
    # Nothing is missing, so nothing ends.
    outages.over("screen", at(3000))
    assert told(gaps) == [
        (100, 1600, "screen", "BridgeTimeout"),
        (1600, 1610, "hierarchy", "CaptureFailed"),
        (1600, 2010, "screen", "CaptureFailed"),
        (2010, 2500, "screen", "CaptureFailed"),
        (1610, 2600, "hierarchy", "CaptureFailed"),
    ]
    assert [gap.calls for gap in gaps] == [1, 1, 1, 0, 0]


def test_what_is_missing_for_a_moment_is_asked_for_often_and_what_stays_away_is_not() -> None:
    outages = Outages(lambda gap: None)
    assert not outages.recent(at(0))
    outages.failed("screen", CaptureFailed("s", "x"), at(0), at(10))
    outages.failed("screen", CaptureFailed("s", "x"), at(5000), at(5010))
    assert outages.recent(at(5020))
    assert not outages.recent(at(RECENT_NS // 1_000_000 + 1))
    outages.over("screen", at(20_000))
    assert not outages.recent(at(20_000))


def test_a_call_is_waited_for_as_long_as_its_kind_may_take() -> None:
    patience = Patience()
    assert patience.seconds == MOST_SECONDS
    for _ in range(3):
        patience.took(0.05)
    assert patience.seconds == LEAST_SECONDS
    # One hiccup does not change what is usual.
    patience.took(3.0)
    assert patience.seconds == LEAST_SECONDS
    for _ in range(8):
        patience.took(0.6)
    assert patience.seconds == pytest.approx(2.4)
    patience.took(30.0)
    assert patience.deadline().remaining() <= MOST_SECONDS


def test_a_device_that_has_become_slow_is_given_more_and_more_time() -> None:
    patience = Patience()
    patience.took(0.05)
    given = []
    for _ in range(TIMEOUTS + 4):
        given.append(patience.seconds)
        patience.timed_out()
    assert set(given[:TIMEOUTS]) == {LEAST_SECONDS}
    assert given[TIMEOUTS:] == sorted(given[TIMEOUTS:])
    assert given[TIMEOUTS] > LEAST_SECONDS
    assert given[-1] == MOST_SECONDS
    patience.took(0.05)
    assert patience.seconds == LEAST_SECONDS

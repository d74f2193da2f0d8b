from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.drift import WINDOW_NS, Point, fit

SECOND = 1_000_000_000
START = 5_000 * SECOND
OFFSET = 1_700_000_000 * SECOND


def true_offset(at_ns: int, drift: float) -> int:
    return OFFSET + round((at_ns - START) * drift)


@st.composite
def measured(draw: st.DrawFn) -> tuple[float, list[Point]]:
    """A crystal's drift, and measurements in order of time, each off by no more than its bound."""
    drift = draw(st.floats(-90e-6, 90e-6))
    at, points = START, []
    for _ in range(draw(st.integers(1, 40))):
        at += draw(st.integers(0, 90 * SECOND))
        bound = draw(st.integers(1_000, 30_000_000))
        error = draw(st.integers(-bound + 2, bound - 2))
        points.append(Point(at, true_offset(at, drift) + error, bound))
    return drift, points


@given(measured(), st.integers(-300, 300))
def test_the_line_is_within_its_bound_whatever_the_errors(case: tuple[float, list[Point]], seconds: int) -> None:
    drift, points = case
    line = fit(points)
    at = points[-1].at_ns + seconds * SECOND
    assert abs(line.offset(at) - true_offset(at, drift)) <= line.bound(at)
    assert abs(line.host(at + line.offset(at)) - at) <= 2


@given(measured())
def test_a_measurement_more_is_never_a_worse_bound_than_it_alone(case: tuple[float, list[Point]]) -> None:
    _, points = case
    at = points[-1].at_ns
    assert fit(points).bound(at) <= 3 * max(point.bound_ns for point in points) + 10
    assert fit(points[-1:]).bound(at) == points[-1].bound_ns + 1


def test_of_one_measurement_no_drift_follows() -> None:
    line = fit([Point(START, OFFSET, 1000)])
    assert line.drift == 0
    assert line.bound(START + 10 * SECOND) == pytest.approx(1_000_000, rel=0.01)


def test_good_measurements_weigh_more() -> None:
    points = [Point(START + n * 20 * SECOND, true_offset(START + n * 20 * SECOND, 40e-6), 100_000) for n in range(10)]
    wild = Point(START + 195 * SECOND, true_offset(START + 195 * SECOND, 40e-6) + 19_000_000, 20_000_000)
    line = fit([*points, wild])
    assert line.drift == pytest.approx(40e-6, abs=1e-6)
    assert abs(line.offset(wild.at_ns) - true_offset(wild.at_ns, 40e-6)) < 200_000


def test_what_is_older_than_ten_minutes_does_not_count() -> None:
    old = Point(START, OFFSET, 10)
    new = Point(START + WINDOW_NS + 1, OFFSET + 40_000_000, 1_000_000)
    assert fit([old, new]).points == (new,)


def test_a_clock_that_was_set_a_little_begins_anew() -> None:
    points = [Point(START + n * 20 * SECOND, OFFSET, 1_000_000) for n in range(5)]
    moved = [Point(START + n * 20 * SECOND, OFFSET + 30_000_000, 1_000_000) for n in range(5, 8)]
    line = fit([*points, *moved])
    assert line.points == tuple(moved)
    assert abs(line.offset(moved[-1].at_ns) - OFFSET - 30_000_000) <= 1_000_000

"""How a device's clock runs against the host's: a straight line through the last ten minutes' measurements; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_NS = 600_000_000_000
# Crystals of phones are off by 5 to 50 parts per million; none is by twice that.
USUAL_DRIFT = 50e-6
MAX_DRIFT = 100e-6
MAX_POINTS = 64


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement: at `at_ns` of the host's monotonic clock the device's was ahead by `offset_ns` ± `bound_ns`."""

    at_ns: int
    offset_ns: int
    bound_ns: int


@dataclass(frozen=True, slots=True)
class Line:
    """The device's clock is ahead of the host's by `offset_ns` at `at_ns`, and by `drift` (1 = all of it) more for
    each ns after. It holds within `bound` as long as the crystal keeps its pace. `points` are what it was drawn by,
    `best` those of them that leave least open: as (at_ns, ns left open there).
    """

    at_ns: int
    offset_ns: int
    drift: float
    drift_bound: float
    points: tuple[Point, ...]
    best: tuple[tuple[int, int], ...]

    def offset(self, host_ns: int) -> int:
        """Device minus host at an instant of the host's monotonic clock."""
        return self.offset_ns + round((host_ns - self.at_ns) * self.drift)

    def host(self, device_ns: int) -> int:
        """The instant of the host's monotonic clock at which the device's read `device_ns`."""
        since = device_ns - self.offset_ns - self.at_ns
        return self.at_ns + since - round(since * self.drift / (1 + self.drift))

    def bound(self, host_ns: int) -> int:
        """How far `offset` may be wrong there: what the best measurement leaves open, and the drift since or until."""
        return min(left_ns + round(abs(host_ns - at_ns) * self.drift_bound) for at_ns, left_ns in self.best)


def fit(points: Sequence[Point]) -> Line:
    """The line by least squares, each point weighed by its bound; `points` in order of time, at least one.

    A measurement that no crystal can lead to the newest from (the clock was set by a little in between) and those
    before it do not count.
    """
    newest = points[-1]
    kept, low, high = _consistent(points)
    # A clock is right rather than wrong: of one measurement, or of two a moment apart, no drift follows.
    xx, x, xy, y, weights = 0.0, 0.0, 0.0, 0.0, 0.0
    for point in kept:
        weight = 1 / float(max(point.bound_ns, 1)) ** 2
        at, offset = float(point.at_ns - newest.at_ns), float(point.offset_ns - newest.offset_ns)
        weights += weight
        x += weight * at
        y += weight * offset
        xx += weight * at * at
        xy += weight * at * offset
    spread = xx - x * x / weights + 1 / USUAL_DRIFT**2
    drift = min(max((xy - x * y / weights) / spread, low), high)
    height = newest.offset_ns + round((y - drift * x) / weights)
    # Rounded towards the wider, for the line is in whole ns.
    left = [
        (p.at_ns, abs(height + round((p.at_ns - newest.at_ns) * drift) - p.offset_ns) + p.bound_ns + 1) for p in kept
    ]
    best = (left[-1], min(left, key=lambda each: each[1]))
    return Line(newest.at_ns, height, drift, max(high - drift, drift - low), kept, best)


def _consistent(points: Sequence[Point]) -> tuple[tuple[Point, ...], float, float]:
    """The newest points that one drift leads through, oldest first, and the least and the greatest such drift."""
    newest = points[-1]
    kept, low, high = [newest], -MAX_DRIFT, MAX_DRIFT
    for point in reversed(points[-MAX_POINTS:-1]):
        length = newest.at_ns - point.at_ns
        if length <= 0:
            continue
        if length > WINDOW_NS:
            break
        rise, slack = newest.offset_ns - point.offset_ns, newest.bound_ns + point.bound_ns
        lower, upper = max(low, (rise - slack) / length), min(high, (rise + slack) / length)
        if lower > upper:
            break
        kept.append(point)
        low, high = lower, upper
    return tuple(reversed(kept)), low, high

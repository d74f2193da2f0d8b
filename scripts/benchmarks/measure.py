"""What a benchmark reports, and how two ways of doing the same thing are measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

TOLERATED = 0.8


@dataclass(frozen=True)
class Result:
    """One row. `ours` and `peer` are in `unit`, smaller is better; `ratio` = peer / ours."""

    scenario: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    unit: str
    target: float
    ok: bool


def result(
    scenario: str, ours: float, peer: float, peer_name: str, unit: str, target: float, limit: float | None = None
) -> Result:
    """A row that is fine when its ratio reaches 80 % of the target and `ours` stays within `limit`, if there is one."""
    ratio = peer / ours if ours else float("inf")
    ok = ratio >= target * TOLERATED and (limit is None or ours <= limit)
    return Result(scenario, ours, peer, peer_name, ratio, unit, target, ok)


def alternating(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median milliseconds of both, run in turns so that a busy machine slows both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (ours, peer):
        call()
    for _ in range(rounds):
        for call, spent in zip((ours, peer), times, strict=True):
            began = time.perf_counter()
            call()
            spent.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

"""What a benchmark reports, and how two ways of doing the same thing are measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

TOLERATED = 0.8


class CheckFailed(Exception):
    """An output is not right, or a peer cannot run here: there is nothing to time. The text says what is wrong."""


@dataclass(frozen=True)
class Result:
    """One row. `ours` and `peer` are in `unit`, smaller is better; `ratio` = peer / ours. `note` = how it was measured,
    or why the target is missed; `failed` = why there are no figures, "" when there are."""

    scenario: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    unit: str
    target: float
    ok: bool
    note: str = ""
    failed: str = ""

    @property
    def missed(self) -> float:
        """By which share of the target the ratio stays below it, 0 when it does not or there is none."""
        return max(0.0, 1 - self.ratio / self.target) if self.target and not self.failed else 0.0

    @property
    def verdict(self) -> str:
        """Whether the target is met, and by how much it is not; nothing where there is neither target nor limit."""
        if self.failed:
            return "FAILED"
        if self.missed:
            missed = f"missed by {self.missed:.0%}"
            return missed if self.ok else missed.upper()
        if not self.ok:
            return "OVER ITS LIMIT"
        return "met" if self.target else ""


def failure(scenario: str, reason: str, peer_name: str = "", unit: str = "", target: float = 0.0) -> Result:
    """A row without figures."""
    return Result(scenario, 0.0, 0.0, peer_name, 0.0, unit, target, ok=False, failed=reason)


def result(
    scenario: str,
    ours: float,
    peer: float,
    peer_name: str,
    unit: str,
    target: float,
    limit: float | None = None,
    note: str = "",
) -> Result:
    """A row that is fine when its ratio reaches 80 % of the target and `ours` stays within `limit`, if there is one."""
    ratio = peer / ours if ours else float("inf")
    ok = ratio >= target * TOLERATED and (limit is None or ours <= limit)
    return Result(scenario, ours, peer, peer_name, ratio, unit, target, ok, note)


def contest(ways: Mapping[str, Callable[[], float]], rounds: int = 3) -> dict[str, float]:
    """The median of what each way says that it cost; in turns, so that a busy machine is hard on all alike."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            spent[name].append(way())
    return {name: median(values) for name, values in spent.items()}


def tried(makers: Mapping[str, Callable[[], Callable[[], float]]]) -> tuple[dict[str, float], dict[str, str]]:
    """`contest` of the ways that their makers make, and why the others could not be: one that is not right does not
    keep the rest from being timed."""
    ways: dict[str, Callable[[], float]] = {}
    wrong: dict[str, str] = {}
    for name, make in makers.items():
        try:
            ways[name] = make()
        except CheckFailed as error:
            wrong[name] = str(error)
    return contest(ways), wrong


def alternating(
    ours: Callable[[], object],
    peer: Callable[[], object],
    rounds: int,
    repeat: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Milliseconds of both, run in turns (`repeat` times each) so that a busy machine slows both alike.

    The lower quartile: what else the machine does only ever adds time. `clock` may be `time.process_time`.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for call in (ours, peer):
        call()
    for _ in range(rounds):
        for call, spent in zip((ours, peer), times, strict=True):
            for _ in range(repeat):
                began = clock()
                call()
                spent.append((clock() - began) * 1e3)
    return percentile(times[0], 0.25), percentile(times[1], 0.25)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

"""What a soak showed: memory that grows, threads and files that stay, events that are missing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from soaking.process import Sample

# Bytes an hour a device.
SLOPE_LIMIT = 1_000_000.0
# What has been up for a shorter time still fills its caches: a slope would be theirs.
SLOPE_SECONDS = 1200.0
# Likewise threads and connections: they come as the first segments are sent.
GROWTH_SECONDS = 120.0
WARM_SHARE, WARM_SECONDS = 0.2, 600.0
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Truth:
    """An event that an app sent, as the emulated world knows it. `wall_ms` on the host's clock."""

    serial: str
    message_id: str
    name: str
    wall_ms: int
    session_id: int
    device_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """An event in a recording, and whose segment holds it."""

    message_id: str
    session_id: int
    device_id: str


def warm(samples: Sequence[Sample]) -> list[Sample]:
    """The samples after the warm-up: ten minutes, or a fifth of a shorter run."""
    if not samples:
        return []
    since = min(WARM_SECONDS, samples[-1].at * WARM_SHARE)
    return [sample for sample in samples if sample.at >= since]


def memory(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """The memory of each minute: its middle in hours, and the median in bytes. All phones seal at once, so that within
    a minute it goes up and down by much more than it grows in hours."""
    minutes: dict[int, list[Sample]] = {}
    for sample in samples:
        minutes.setdefault(int(sample.at // MINUTE), []).append(sample)
    return [
        (statistics.fmean(s.at for s in inside) / 3600, statistics.median(s.rss for s in inside))
        for inside in minutes.values()
    ]


def slope(samples: Sequence[Sample]) -> float | None:
    """Bytes an hour by which the memory grows: the median of the slopes between the minutes (Theil and Sen), which a
    spike does not move. None when the samples span less than SLOPE_SECONDS."""
    if len(samples) < 2 or samples[-1].at - samples[0].at < SLOPE_SECONDS:
        return None
    return statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(memory(samples), 2))


def growth(samples: Sequence[Sample]) -> dict[str, int]:
    """By how many the threads and open descriptors grew from the first third to the last, by kind. Empty when the
    samples span less than GROWTH_SECONDS.

    What leaks raises the least and the median alike, and the lesser of the two counts: how many phones are between two
    sessions at once, and how many send at once, is chance that moves one of them.
    """
    third = len(samples) // 3
    if not third or samples[-1].at - samples[0].at < GROWTH_SECONDS:
        return {}
    counts = [{"thread": sample.threads, **sample.files} for sample in samples]
    kinds = {kind for count in counts for kind in count}
    more = {}
    for kind in sorted(kinds):
        held = [count.get(kind, 0) for count in counts]
        first, last = held[:third], held[-third:]
        more[kind] = min(min(last) - min(first), statistics.median_low(last) - statistics.median_low(first))
    return {kind: by for kind, by in more.items() if by > 0}


def missed(
    truths: Iterable[Truth], found: Iterable[Found], between: Mapping[str, tuple[int, int]]
) -> tuple[int, list[str]]:
    """How many events were looked for, and one line for each that is missing, under wrong ids, double or invented.

    `between` = from when to when each serial was recorded for certain, in ms of the host's wall clock.
    """
    held: dict[str, list[Found]] = {}
    for event in found:
        held.setdefault(event.message_id, []).append(event)
    wrong, asked, known = [], 0, set()
    for truth in truths:
        known.add(truth.message_id)
        here = held.get(truth.message_id, [])
        since, until = between.get(truth.serial, (0, 0))
        who = f"{truth.serial} {truth.name} {truth.message_id}"
        if since <= truth.wall_ms < until:
            asked += 1
            if not here:
                wrong.append(f"missed: {who}, {(truth.wall_ms - since) / 1000:.1f} s after the start")
        if len(here) > 1:
            wrong.append(f"{len(here)} times: {who}")
        wrong += [
            f"under other ids: {who}: {event.session_id} {event.device_id}"
            for event in here
            if (event.session_id, event.device_id) != (truth.session_id, truth.device_id)
        ]
    return asked, wrong + [f"never sent: {message}" for message in held if message not in known]


def faults(samples: Sequence[Sample], devices: int) -> list[str]:
    """What a run of so many devices did wrong with memory, threads and files; one line each."""
    judged = warm(samples)
    found = []
    rate = slope(judged)
    if rate is not None and rate / devices > SLOPE_LIMIT:
        found.append(f"memory grows by {rate / devices / 1e6:.2f} MB an hour a device")
    return found + [f"{by} more {kind}s at the end" for kind, by in growth(judged).items()]

"""What is missing while calls to a device fail: one stretch from the first failure to the next success. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median

from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.types import Gap, Stamp

# For so long after something went missing it is asked for often.
RECENT_NS = 10_000_000_000
# How long a call is waited for that is usually quick, at least and at most.
LEAST_SECONDS, MOST_SECONDS = 1.5, 5.0
# A call may take so many times as long as the last ones did.
SLOWER = 4
REMEMBERED = 8
# After so many timeouts in a row it is not that one call that hung: the device is slow.
TIMEOUTS = 3
GROWTH = 1.6


class Outages:
    """Tells gaps to `emit`, each from where the last one of its stage ended: together they leave no hole, and who puts
    those of one reason together gets a single one."""

    def __init__(self, emit: Callable[[Gap], None]) -> None:
        self._emit = emit
        self._last: dict[str, Gap] = {}
        self._began_ns: dict[str, int] = {}

    def failed(self, stage: str, error: BridgeError, began: Stamp, now: Stamp) -> None:
        """A call that began then has failed."""
        last = self._last.get(stage)
        gap = Gap(began if last is None else last.end, now, stage, type(error).__name__, error.detail)
        self._last[stage] = gap
        self._began_ns.setdefault(stage, gap.start.mono_ns)
        self._emit(gap)

    def over(self, stage: str, at: Stamp) -> None:
        """What the device gave shows how things were at `at`."""
        last = self._last.pop(stage, None)
        self._began_ns.pop(stage, None)
        if last is not None and at > last.end:
            self._emit(Gap(last.end, at, stage, last.reason, last.detail, calls=0))

    def recent(self, now: Stamp) -> bool:
        """Whether something is missing that was there a moment ago, and may be there again any moment."""
        return any(now.mono_ns - began_ns < RECENT_NS for began_ns in self._began_ns.values())


class Patience:
    """How long one kind of call is waited for: as long as a slow device needs, but no longer than a call that hangs
    may hold up the next one, which may well be answered."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque(maxlen=REMEMBERED)
        self._timeouts = 0

    @property
    def seconds(self) -> float:
        if not self._taken:
            return MOST_SECONDS
        usual = max(LEAST_SECONDS, SLOWER * median(self._taken))
        return min(MOST_SECONDS, usual * GROWTH ** max(0, self._timeouts - TIMEOUTS + 1))

    def deadline(self) -> Deadline:
        return Deadline(self.seconds)

    def took(self, seconds: float) -> None:
        """A call was answered."""
        self._taken.append(seconds)
        self._timeouts = 0

    def timed_out(self) -> None:
        """A call was not."""
        self._timeouts += 1

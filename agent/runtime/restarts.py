"""How soon a device is tried again that was lost or does not open: at once, then less and less often. Pure."""

from __future__ import annotations

from collections import deque

FIRST_SECONDS, LAST_SECONDS = 0.1, 1.0
WINDOW_NS = 300_000_000_000
BUDGET = 60
REST_SECONDS = 60.0
# A recording that ends sooner than this has come to nothing.
BRIEF_NS = 10_000_000_000


class Restarts:
    """The budget of one device: BUDGET tries that come to nothing in five minutes. One that has used it up is tried
    once a minute, so that it costs neither this host nor the phone much, and is not given up."""

    def __init__(self) -> None:
        self._failed: deque[int] = deque()
        self._in_a_row = 0

    def worked(self) -> None:
        """A recording has lasted."""
        self._in_a_row = 0

    def failed(self, now_ns: int) -> float:
        """A try has come to nothing; how many seconds the next one waits."""
        self._failed.append(now_ns)
        self._in_a_row += 1
        if self.used_up(now_ns):
            return REST_SECONDS
        return min(LAST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._in_a_row - 1, 16))

    def used_up(self, now_ns: int) -> bool:
        """Whether nothing is left of the budget."""
        while self._failed and self._failed[0] < now_ns - WINDOW_NS:
            self._failed.popleft()
        return len(self._failed) >= BUDGET

    def forget(self) -> None:
        """Somebody has done something about it."""
        self._failed.clear()
        self._in_a_row = 0

"""A point in time that is passed down a call chain instead of a number of seconds."""

from __future__ import annotations

import time


class Deadline:
    """An absolute instant on the host's monotonic clock. `remaining()` is what a socket timeout takes."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._at - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._at

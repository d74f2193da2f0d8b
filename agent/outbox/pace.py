"""The limit on what uploads take of a network: so many bytes a second, on average."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Threads take bytes and wait until the bytes taken before have had their time. 0 bytes a second = no limit.

    `taken` = the bytes so far.
    """

    def __init__(
        self,
        rate: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """`wait` blocks for so many seconds and says whether it was woken by `close`."""
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._free_at = 0.0
        self.taken = 0

    def take(self, size: int) -> bool:
        """Wait for the turn of `size` bytes. False when closed meanwhile. Any thread."""
        with self._lock:
            self.taken += size
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + (size / self._rate if self._rate > 0 else 0.0)
        if start <= now:
            return not self._closed.is_set()
        return not self._wait(start - now)

    def close(self) -> None:
        """Wake all who wait; idempotent."""
        self._closed.set()

"""The limit on what uploads take of a network: so many bytes a second, on average."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Threads take bytes and wait until the bytes taken before have had their time. 0 bytes a second = no limit.

    `sent` = the bytes that went out.
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
        self.sent = 0

    def take(self, size: int) -> bool:
        """Wait for the turn of `size` bytes. False when closed meanwhile. Any thread."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + (size / self._rate if self._rate > 0 else 0.0)
        if start <= now:
            return not self._closed.is_set()
        return not self._wait(start - now)

    def spent(self, size: int) -> None:
        """So many bytes went out: not all whose turn came do. Any thread."""
        with self._lock:
            self.sent += size

    def close(self) -> None:
        """Wake all who wait; idempotent."""
        self._closed.set()

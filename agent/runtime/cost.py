"""What recording costs this host: CPU and what goes out, shared among the devices that cause it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Meter:
    """The process's CPU seconds and the bytes it sends, in equal shares for the devices that were opened so far.

    Which device a worker of the shared pool, or an upload, served in each moment is not told apart. Any thread.
    """

    def __init__(self, sent: Callable[[], int], cpu: Callable[[], float] = time.process_time) -> None:
        self._sources = (cpu, sent)
        self._last = (cpu(), float(sent()))
        self._each = (0.0, 0.0)
        self._sharers = 0
        self._lock = threading.Lock()

    def share(self) -> Callable[[], tuple[int, int]]:
        """A device's share since this was asked for the first time: milliseconds of CPU, bytes sent."""
        begin: tuple[float, float] | None = None

        def so_far() -> tuple[int, int]:
            nonlocal begin
            with self._lock:
                self._settle()
                if begin is None:
                    begin = self._each
                    self._sharers += 1
                return round((self._each[0] - begin[0]) * 1000), round(self._each[1] - begin[1])

        return so_far

    def _settle(self) -> None:
        cpu, sent = self._sources
        now = (cpu(), float(sent()))
        if self._sharers:
            spent = tuple(new - old for new, old in zip(now, self._last, strict=True))
            self._each = self._each[0] + spent[0] / self._sharers, self._each[1] + spent[1] / self._sharers
        self._last = now

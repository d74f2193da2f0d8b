"""Until when what the log showed is held for more of the same: a log that comes late is held as long as one that does
not."""

from __future__ import annotations

from typing import NamedTuple

# How far behind the others an entry may come: several processes write into one log.
LATE_NS = 5_000_000_000


class Due(NamedTuple):
    """When a hold is over: by the log's time, by the host's, at once when the log's clock was set back since."""

    log_ns: int
    host_ns: int
    set_back: int


class Hold:
    """Two clocks. As long as the log goes on, its own stamps say how long ago something was printed, whenever it comes;
    when it is silent the host's time does, from when it came. One owner."""

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._log_ns: int | None = None
        self._host_ns = 0
        self._set_back = 0

    def heard(self, stamp_ns: int) -> None:
        """An entry of this stamp came."""
        if self._log_ns is not None and stamp_ns < self._log_ns - LATE_NS:
            # What is stamped by the clock as it was would be waited for until the new one gets there.
            self._set_back += 1
            self._log_ns = None
        self._log_ns = stamp_ns if self._log_ns is None else max(self._log_ns, stamp_ns)

    def passed(self, now_ns: int) -> None:
        """It is this time on the host."""
        self._host_ns = max(self._host_ns, now_ns)

    def due(self) -> Due:
        """For what the entry that was heard last shows."""
        log_ns = self._log_ns or 0
        return Due(log_ns + self._hold_ns, max(log_ns, self._host_ns) + self._hold_ns, self._set_back)

    def over(self, due: Due) -> bool:
        """Whether a hold is over. Of two the one that began first is over first."""
        log_over = self._log_ns is not None and self._log_ns >= due.log_ns
        return log_over or self._host_ns >= due.host_ns or self._set_back != due.set_back

"""Handlers for the standard logging: lines on stderr, repeats damped. Only the command line calls `setup`."""

from __future__ import annotations

import logging
import sys


class Damper(logging.Filter):
    """Lets an identical message through once in `every` occurrences, so that a failing stage cannot flood the log.

    The first comes at once; a later one says how many were held back.
    """

    def __init__(self, every: int = 50) -> None:
        super().__init__()
        self._every = every
        self._seen: dict[tuple[str, int, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, record.levelno, record.getMessage())
        if len(self._seen) > 1000:
            self._seen.clear()
        count = self._seen.get(key, 0)
        self._seen[key] = count + 1
        if count and count % self._every == 0:
            record.msg, record.args = f"{record.getMessage()} (and {self._every - 1} more like it)", ()
        return count % self._every == 0


def setup(verbose: bool) -> None:
    """Send our packages' log to stderr: warnings, or everything with `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Damper())
    for name in ("agent", "bridge"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
        logger.propagate = False

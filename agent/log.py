"""Handlers for the standard logging: lines on stderr, repeats damped. Only commands use it."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Collection, Iterator
from urllib.parse import quote

STARS = "*****"
# What is shorter is no secret, and would star words that have nothing to do with it.
SHORTEST = 4


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


# The plugin's logLevel (`session-replay-config.ts` and its Android module in amplitude/Amplitude-TypeScript).
LEVELS = (logging.CRITICAL + 1, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def hidden(text: str, *secrets: str) -> str:
    """The text with stars for each secret, as it is or as an address spells it."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = text.replace(secret, STARS).replace(quote(secret, safe=""), STARS)
    return text


class _Formatter(logging.Formatter):
    """Stars secrets wherever they come from, tracebacks included."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return hidden(super().format(record), *self._secrets)


@contextlib.contextmanager
def shown(level: int, secrets: Collection[str] = ()) -> Iterator[None]:
    """Send our packages' log to stderr while the block runs, from 0 (nothing) over 2 (warnings) to 4 (everything);
    `secrets` never show in it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(secrets))
    handler.addFilter(Damper())
    loggers = [logging.getLogger(name) for name in ("agent", "bridge")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(LEVELS[level])
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (number, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(number)
            logger.propagate = propagate

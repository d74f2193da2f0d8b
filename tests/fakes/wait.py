"""Waiting for what another thread does, with a deadline that names what did not come."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

STEP_SECONDS = 0.005


def until(condition: Callable[[], object], what: str, seconds: float = 10.0, step: float = STEP_SECONDS) -> None:
    """Return as soon as the condition holds, looked at every `step`. Raises AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        pause.wait(step)


async def until_async(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """The same inside a running loop."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        await asyncio.sleep(STEP_SECONDS)

"""A named thread that runs one blocking function for an asyncio task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def start_lane(name: str, work: Callable[[], None]) -> asyncio.Future[None]:
    """Run `work` in a thread of its own and return its end as a future of the running loop.

    Never a shared pool: a few blocked devices would fill it for good. Whoever starts a lane also makes its work return,
    by closing what it blocks on; cancelling the future does not stop the thread.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix=name)
    done = asyncio.get_running_loop().run_in_executor(executor, work)
    executor.shutdown(wait=False)
    return done

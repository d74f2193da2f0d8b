"""Threads that work for asyncio tasks: a named one for one blocking function, a pool for short calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


class Workers(ThreadPoolExecutor):
    """A pool whose threads know whose work they do: the caller's `agent.log.about` holds in them."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(copy_context().run, fn, *args, **kwargs)


def start_lane(name: str, work: Callable[[], None]) -> asyncio.Future[None]:
    """Run `work` in a thread of its own and return its end as a future of the running loop.

    Never a shared pool: a few blocked devices would fill it for good. Whoever starts a lane also makes its work return,
    by closing what it blocks on; cancelling the future does not stop the thread.
    """
    executor = Workers(1, thread_name_prefix=name)
    done = asyncio.get_running_loop().run_in_executor(executor, work)
    executor.shutdown(wait=False)
    return done

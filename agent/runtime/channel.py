"""A bounded, closable hand-off from many threads to one asyncio task."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """The other end has gone; nothing more can be put."""


class Channel(Generic[T]):
    """Threads `put`, one task on `loop` takes. A full channel blocks the putting thread: that is its back-pressure."""

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int) -> None:
        self._loop = loop
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._room = threading.Condition()
        self._closed = False
        self._wake = asyncio.Event()

    def put(self, item: T) -> None:
        """Hand one item over; blocks while the channel is full. Any thread but the loop's. Raises ChannelClosed."""
        with self._room:
            while len(self._items) >= self._capacity and not self._closed:
                self._room.wait()
            if self._closed:
                raise ChannelClosed
            self._items.append(item)
            first = len(self._items) == 1
        if first:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def take(self, limit: int = 64) -> list[T]:
        """The next items, at most `limit`, at least one; an empty list once the channel is closed and drained."""
        while True:
            self._wake.clear()
            with self._room:
                if self._items:
                    taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
                    self._room.notify_all()
                    return taken
                if self._closed:
                    return []
            await self._wake.wait()

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken. Any thread."""
        return not self._items

    def close(self) -> None:
        """No more items come in; those inside can still be taken. Loop thread only, idempotent."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._wake.set()

"""How the browser SDK cuts a session's events into posts, and puts posts together again. Pure.

Facts: @amplitude/session-replay-browser, events/base-events-store.ts and track-destination.ts. It looks whenever an
event comes: is the buffer as old as the interval, or would it grow too large, the buffer is posted without the event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.outbox.wire import BATCH_BYTES

# The interval grows by the first with each cut that was a matter of time, up to the last.
FIRST_MS, LONGEST_MS = 1_000, 10_000
# What a post may hold that is made of several which had to wait for a server that throttles.
MERGED_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Post:
    """How many events go into one post, and their size in bytes."""

    events: int
    size: int


@dataclass(slots=True)
class Cadence:
    """When one device's events are cut. `last_ms` = when they were for the last time, None before the first event."""

    interval_ms: int = FIRST_MS
    last_ms: int | None = None

    def cut(self, events: Iterable[tuple[int, int]], limit: int = BATCH_BYTES) -> list[Post]:
        """The posts of events given as (time in ms, size in bytes of the JSON text); the last is cut at their end."""
        made: list[Post] = []
        held = total = 0
        for at_ms, size in events:
            if self.last_ms is None:
                self.last_ms = at_ms
            if held and (_size(held, total) + size >= limit or self._due(at_ms)):
                made.append(Post(held, total))
                held = total = 0
            held, total = held + 1, total + size
        return [*made, Post(held, total)] if held else made

    def _due(self, now_ms: int) -> bool:
        if self.last_ms is None or now_ms - self.last_ms <= self.interval_ms:
            return False
        self.interval_ms, self.last_ms = min(LONGEST_MS, self.interval_ms + FIRST_MS), now_ms
        return True


def merged(posts: Iterable[Post], limit: int = MERGED_BYTES) -> list[Post]:
    """Neighbours in one, as far as they have `limit` bytes together."""
    made: list[Post] = []
    for post in posts:
        if made and made[-1].size + post.size <= limit:
            last = made.pop()
            post = Post(last.events + post.events, last.size + post.size)
        made.append(post)
    return made


def _size(events: int, size: int) -> int:
    """The SDK's estimate of a body: brackets, commas and quotes are counted, escapes are not."""
    return size + 2 + (events - 1) + 2 * events

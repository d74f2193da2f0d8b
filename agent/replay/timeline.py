"""Whose moment it is: items put back in order, gaps made one, sessions by the time they began."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from agent.model import SegmentEvent, SessionKey
from bridge.types import Gap, Stamp

T = TypeVar("T")

ROLLOVER_NS = 10_000_000_000
EPOCH_LIKE = 10**12
MAX_INTERVALS = 1024
MAX_UIDS = 64
# A failure that is met again within this time is the same one; none is told as one for longer than the other.
RUN_NS = 600_000_000
MAX_RUN_NS = 60_000_000_000


class Reorder(Generic[T]):
    """Holds items and gives them back by stamp, equal stamps in the order of arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Stamp, T]] = []
        self._count = 0

    def put(self, at: Stamp, item: T) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at.mono_ns, self._count, at, item))

    def until(self, mono_ns: int) -> Iterator[tuple[Stamp, T]]:
        """Take out what is stamped up to `mono_ns`."""
        while self._heap and self._heap[0][0] <= mono_ns:
            _, _, at, item = heapq.heappop(self._heap)
            yield at, item

    def rest(self) -> Iterator[tuple[Stamp, T]]:
        while self._heap:
            yield from self.until(self._heap[-1][0])


@dataclass(frozen=True, slots=True)
class Interval:
    """A session rules from `start` until the next interval's; nobody does where the key is not known."""

    start: Stamp
    key: SessionKey
    session_from: str
    device_from: str


def earlier(stamp: Stamp, ms: int) -> Stamp:
    """So many milliseconds before, by both clocks."""
    return replace(stamp, mono_ns=stamp.mono_ns - ms * 1_000_000, wall_ms=stamp.wall_ms - ms)


def offset_ms(stamp: Stamp) -> float:
    """How far the host's wall clock is ahead of its monotonic one by a stamp."""
    return stamp.wall_ms - stamp.mono_ns / 1e6


def restamped(stamp: Stamp, host: Stamp) -> Stamp:
    """The stamp by the host's clock as it was at `host`."""
    return replace(stamp, wall_ms=host.wall_ms + (stamp.mono_ns - host.mono_ns) // 1_000_000)


class Sessions:
    """The sessions met so far, ordered by when they began.

    A session id that is an epoch time (as Amplitude's are) says when its session began, on the device's clock; the
    event's own time on the same clock makes that a time on ours. Around a rollover the ids of both sessions are seen
    in any order, which must not switch back: an earlier session rules again only if its events still come
    ROLLOVER_NS after the later one began.
    """

    def __init__(self, effective: Callable[[object], int], reach_ms: int) -> None:
        self._effective = effective
        self._reach_ms = reach_ms
        self._intervals: list[Interval] = []
        self._announced: dict[int, Stamp] = {}
        self._seen: dict[SessionKey, None] = {}
        self._followed: tuple[int, Stamp] | None = None
        self._of_uid: dict[int, Interval] = {}

    @property
    def known(self) -> bool:
        """Whether somebody rules now."""
        return bool(self._intervals) and self._intervals[-1].key.known

    @property
    def latest(self) -> int | None:
        """The session that began last; None when nobody's may be the app's now."""
        return self._intervals[-1].key.session_id if self.known else None

    def key_of(self, event: SegmentEvent) -> SessionKey | None:
        """The event's own key, None when it does not have both ids."""
        key = SessionKey(self._effective(event.session_id), event.device_id)
        return key if key.known else None

    def follow(self, uid: int, at: Stamp) -> None:
        """From `at` on the app is that of another uid, with data of its own: its last session rules, and nobody until
        an event tells of one."""
        self._followed = uid, at
        if self._intervals:
            known = self._of_uid.get(uid)
            self._intervals.append(replace(known, start=at) if known else Interval(at, SessionKey(), "", ""))
            self._trim()

    def note(self, event: SegmentEvent) -> bool:
        """Learn from an event; whether another session is the latest now. Without a session id it says nothing, without
        a device id only when a session began."""
        before = self.latest
        self._note(event)
        return self.latest != before

    def _note(self, event: SegmentEvent) -> None:
        session_id = self._effective(event.session_id)
        if session_id <= 0:
            return
        key = self.key_of(event)
        if key is None:
            if event.stage == "session" and event.device_id is None:
                self._announced.setdefault(session_id, event.stamp)
                while len(self._announced) > MAX_INTERVALS:
                    del self._announced[next(iter(self._announced))]
            return
        last = self._intervals[-1] if self._intervals else None
        # What was on its way when the app became that of another uid tells nothing of whose it is since.
        uid, at = self._followed or (event.uid, event.stamp)
        late = event.stamp < at or event.uid not in (None, uid)
        if event.uid is not None and not late:
            self._of_uid[event.uid] = Interval(event.stamp, key, event.session_from, event.device_from)
        if last is None or not last.key.known:
            if late:
                return
            if last is not None:
                self._seen[key] = None
                self._intervals[-1] = Interval(last.start, key, event.session_from, event.device_from)
                self._trim()
                return
        if last is not None and key == last.key:
            return
        start = event.stamp
        if key in self._seen:
            assert last is not None
            if event.stamp.mono_ns - last.start.mono_ns <= ROLLOVER_NS or _made_before(event, last.key.session_id):
                return
        elif not any(k.session_id == session_id for k in self._seen):
            start = self._began(event, session_id)
        self._seen[key] = None
        place = bisect_right(self._intervals, start.mono_ns, key=lambda i: i.start.mono_ns)
        if last is not None and not late and _beside(start, session_id, last):
            # Its end may be the first that is heard of the session before: after more than 300 s without an event.
            if session_id > last.key.session_id:
                start, place = max(start, last.start), len(self._intervals)
            elif not _begins(event, session_id):
                start, place = min(start, last.start), min(place, len(self._intervals) - 1)
        self._intervals.insert(place, Interval(start, key, event.session_from, event.device_from))
        self._trim()

    def _trim(self) -> None:
        while len(self._intervals) > MAX_INTERVALS:
            del self._intervals[0]
        while len(self._seen) > MAX_INTERVALS:
            del self._seen[next(iter(self._seen))]
        while len(self._of_uid) > MAX_UIDS:
            del self._of_uid[next(iter(self._of_uid))]

    def at(self, mono_ns: int) -> Interval | None:
        """Who rules then. Before the first session it is the first one, whose beginning is seen late."""
        if not self._intervals:
            return None
        return self._intervals[max(0, bisect_right(self._intervals, mono_ns, key=lambda i: i.start.mono_ns) - 1)]

    def of(self, key: SessionKey) -> Interval | None:
        """The first interval of a key."""
        return next((i for i in self._intervals if i.key == key), None)

    def _began(self, event: SegmentEvent, session_id: int) -> Stamp:
        """When a session began that is met for the first time, at most `reach_ms` before the event."""
        announced = self._announced.pop(session_id, event.stamp)
        start = min(announced, event.stamp)
        if event.event_ms is not None and 0 <= event.event_ms - session_id <= self._reach_ms:
            age_ms = event.event_ms - session_id
            start = min(start, Stamp(event.stamp.mono_ns - age_ms * 1_000_000, event.stamp.wall_ms - age_ms))
        return start


def _beside(start: Stamp, session_id: int, last: Interval) -> bool:
    """Whether two sessions meet there that say by their ids which of them is the later one."""
    ids = session_id, last.key.session_id
    near = abs(start.mono_ns - last.start.mono_ns) <= ROLLOVER_NS
    return near and min(ids) > EPOCH_LIKE and ids[0] != ids[1]


def _begins(event: SegmentEvent, session_id: int) -> bool:
    """Whether it is of its session's first moments: a later session has a smaller id where the clock was set back."""
    return event.event_ms is not None and 0 <= event.event_ms - session_id <= ROLLOVER_NS // 1_000_000


def _made_before(event: SegmentEvent, session_id: int) -> bool:
    return session_id > EPOCH_LIKE and event.event_ms is not None and event.event_ms < session_id


class GapRuns:
    """Makes one gap of those of one stage and reason that follow each other: a screen that stays secure is one outage,
    however often it was asked. `count` = runs so far."""

    def __init__(self) -> None:
        self.count = 0
        self._open: dict[str, Gap] = {}

    def put(self, gap: Gap) -> Iterator[Gap]:
        """Take a gap; gives back the run that it ended."""
        last = self._open.get(gap.stage)
        if last is not None:
            follows = gap.start.mono_ns - last.end.mono_ns <= RUN_NS
            brief = gap.end.mono_ns - last.start.mono_ns <= MAX_RUN_NS
            if (last.reason, last.detail) == (gap.reason, gap.detail) and follows and brief:
                self._open[gap.stage] = replace(last, end=max(last.end, gap.end))
                return
            yield last
        self.count += 1
        self._open[gap.stage] = gap

    def over(self, mono_ns: int | None = None) -> Iterator[Gap]:
        """Take out the runs that nothing goes on with: those that ended RUN_NS before `mono_ns`, or all."""
        for stage, gap in list(self._open.items()):
            if mono_ns is None or gap.end.mono_ns < mono_ns - RUN_NS:
                del self._open[stage]
                yield gap


class PreRoll(Generic[T]):
    """Items that wait for their session, bounded by age and weight; `push` and `expire` give back what falls out."""

    def __init__(self, max_ns: int, max_bytes: int) -> None:
        self._max_ns = max_ns
        self._max_bytes = max_bytes
        self._items: deque[tuple[Stamp, T, int]] = deque()
        self._bytes = 0

    def push(self, at: Stamp, item: T, weight: int) -> list[T]:
        self._items.append((at, item, weight))
        self._bytes += weight
        dropped = []
        while self._bytes > self._max_bytes:
            dropped.append(self._pop()[1])
        return dropped

    def expire(self, mono_ns: int) -> list[T]:
        dropped = []
        while self._items and self._items[0][0].mono_ns < mono_ns - self._max_ns:
            dropped.append(self._pop()[1])
        return dropped

    def drain(self) -> Iterator[tuple[Stamp, T]]:
        while self._items:
            yield self._pop()

    def _pop(self) -> tuple[Stamp, T]:
        at, item, weight = self._items.popleft()
        self._bytes -= weight
        return at, item

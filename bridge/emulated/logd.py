"""The log daemon of an emulated phone: entries, ring buffers, readers."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

MAX_PAYLOAD = 4068  # LOGGER_ENTRY_MAX_PAYLOAD: priority byte, tag, NUL, text, NUL (AOSP liblog)
DEFAULT_BYTES = 256 * 1024
BUFFERS = {"main": 0, "radio": 1, "events": 2, "system": 3, "crash": 4}
# The event log's names on this phone (/system/etc/event-log-tags); a number of its own for each.
EVENT_TAGS = {
    "am_anr": 30008,
    "am_proc_died": 30011,
    "am_proc_start": 30014,
    "wm_on_paused_called": 30021,
    "wm_on_resume_called": 30022,
    "am_kill": 30023,
    "am_crash": 30039,
    "wm_task_moved": 31002,
    "screen_toggled": 70000,
    "killinfo": 10195355,
}

Value = int | float | str | tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One entry. `prio` is 2 V .. 7 F; `text` is cut as liblog cuts it when it enters a ring.

    One of the event log has typed `values` and a tag of EVENT_TAGS; its `text` is what logcat prints of them.
    """

    time_ns: int
    mono_ns: int
    pid: int
    tid: int
    uid: int
    prio: int
    tag: str
    text: bytes
    buffer: str = "main"
    values: tuple[Value, ...] | None = None

    @property
    def payload(self) -> bytes:
        """Priority, tag, NUL, text, NUL, cut at the limit: a cut entry has lost its last NUL. Of the event log: the
        tag's number and the values, as a list if they are several."""
        if self.values is not None:
            value = self.values[0] if len(self.values) == 1 else self.values
            return (struct.pack("<I", EVENT_TAGS[self.tag]) + packed(value))[:MAX_PAYLOAD]
        return (bytes([self.prio]) + self.tag.encode() + b"\0" + self.text + b"\0")[:MAX_PAYLOAD]

    @property
    def size(self) -> int:
        """The bytes of `payload`."""
        if self.values is not None:
            return len(self.payload)
        return min(MAX_PAYLOAD, len(self.tag.encode()) + len(self.text) + 3)


def packed(value: Value) -> bytes:
    """A value as liblog writes it: its type, then 4 or 8 bytes, a counted string or a counted list."""
    if isinstance(value, tuple):
        return bytes([3, len(value)]) + b"".join(map(packed, value))
    if isinstance(value, str):
        text = value.encode()
        return struct.pack("<BI", 2, len(text)) + text
    if isinstance(value, float):
        return struct.pack("<Bf", 4, value)
    return struct.pack("<Bi", 0, value) if -(2**31) <= value < 2**31 else struct.pack("<Bq", 1, value)


def printed(value: Value) -> str:
    """A value as `logcat` prints it."""
    if isinstance(value, tuple):
        return f"[{','.join(map(printed, value))}]"
    return f"{value:f}" if isinstance(value, float) else str(value)


class LogRing:
    """The rings of all buffers, in order of arrival. Belongs to the lab's event loop."""

    def __init__(self, capacity: int = DEFAULT_BYTES) -> None:
        self._capacity = dict.fromkeys(BUFFERS, capacity)
        self._used = dict.fromkeys(BUFFERS, 0)
        self._records: deque[tuple[int, Record]] = deque()
        self._count = 0
        self._changed = asyncio.Event()

    def append(self, record: Record) -> None:
        """Take an entry; the oldest of its buffer fall out when that is full."""
        self._records.append((self._count, record))
        self._count += 1
        self._used[record.buffer] += record.size
        while self._used[record.buffer] > self._capacity[record.buffer]:
            self._drop_oldest(record.buffer)
        self._changed.set()

    def since(self, position: int, buffers: Iterable[str]) -> tuple[list[Record], int]:
        """The entries of `buffers` from `position` on, and the position after the newest."""
        wanted = set(buffers)
        return [r for at, r in self._records if at >= position and r.buffer in wanted], self._count

    async def wait(self, position: int) -> None:
        """Until there is an entry at `position`."""
        while self._count <= position:
            self._changed.clear()
            await self._changed.wait()

    def clear(self, buffers: Iterable[str]) -> None:
        """Forget what the buffers hold."""
        wanted = set(buffers)
        self._records = deque((at, r) for at, r in self._records if r.buffer not in wanted)
        for name in wanted:
            self._used[name] = 0

    def resize(self, capacity: int, buffers: Iterable[str]) -> None:
        for name in buffers:
            self._capacity[name] = capacity
            while self._used[name] > capacity:
                self._drop_oldest(name)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """(capacity, used) in bytes by buffer."""
        return {name: (self._capacity[name], self._used[name]) for name in BUFFERS}

    def _drop_oldest(self, buffer: str) -> None:
        for index, (_, record) in enumerate(self._records):
            if record.buffer == buffer:
                self._used[buffer] -= record.size
                del self._records[index]
                return

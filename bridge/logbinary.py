"""Reader of `logcat -B`: bytes in any chunking go in, entries and gaps come out.

Source: AOSP liblog `log_read.h` (header); what stands in the event log is read by `bridge.eventlog`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bridge import eventlog
from bridge.types import Gap, Level, LogEntry, Stamp

ToStamp = Callable[[int], Stamp]
Facts = list[LogEntry | Gap]

# LOGGER_ENTRY_MAX_PAYLOAD: priority byte, tag, NUL, text and NUL together.
MAX_PAYLOAD = 4068
MAX_ENTRY = 5 * 1024
MAX_HEADER = 64

_LONGEST = MAX_ENTRY - 20
_LEVELS: dict[int, Level] = {2: "V", 3: "D", 4: "I", 5: "W", 6: "E", 7: "F", 8: "S"}
_BUFFERS = ("main", "radio", "events", "system", "crash", "stats", "security", "kernel")
_EVENT_BUFFERS = frozenset({"events", "stats", "security"})
_HEADER = struct.Struct("<HHiIII")
_WORD = struct.Struct("<I")
_LID_UID = struct.Struct("<II")
# A place where a header may begin: its size, the signs of its process id and the range of its nanoseconds fit.
_LIKELY_HEADER = re.compile(
    rb"(?=(?!\x00\x00).[\x00-\x13][\x00\x14\x18\x1c\x20\x24\x28\x2c\x30\x34\x38\x3c\x40]\x00.{3}[\x00-\x7f].{11}[\x00-\x3b])",
    re.DOTALL,
)
# Of a version 4 header: payload bytes, header bytes, nanoseconds, buffer.
_SIZES = struct.Struct("<HH12xII4x")
_V4 = _SIZES.size
_BINARY_TAG = re.compile(rb"[\x20-\xff]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are worth reading: those of `tags`, and those whose text begins with one of `openings`.

    A reader may give more than these, never less; what it left out it counts.
    """

    tags: tuple[str, ...]
    openings: tuple[str, ...] = ()


class BinaryReader:
    """`logcat -B`: entries with header versions 1 to 4. `to_stamp` maps device CLOCK_REALTIME ns to the host.

    `entries` counts all that passed, wanted or not.
    """

    def __init__(self, to_stamp: ToStamp, wanted: Wanted | None = None) -> None:
        self.entries = 0
        self._to_stamp = to_stamp
        self._buffer = b""
        self._skipped = 0
        self._last: Stamp | None = None
        self._tags = tuple(tag.encode() + b"\0" for tag in wanted.tags) if wanted else (b"",)
        self._initials: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None
        if wanted:
            self._initials = np.zeros(256, np.bool_)
            self._initials[[tag[0] for tag in self._tags]] = True
        self._openings = tuple(b"\0" + opening.encode() for opening in wanted.openings) if wanted else ()

    def feed(self, data: bytes) -> Facts:
        """Entries complete by now; bytes that are no entry come as one Gap in their place."""
        self._buffer = buffer = self._buffer + data
        found: Facts = []
        at = 0
        plain = not self._opens_elsewhere()
        if plain and self._initials is not None and not self._skipped:
            at = self._leap(self._initials, found)
        while True:
            if plain and not self._skipped:
                at = self._walk(at, found)
            size = entry_size(buffer, at, strict=self._skipped > 0)
            if size == 0:
                break
            if size < 0:
                candidate = _LIKELY_HEADER.search(buffer, at + 1)
                after = candidate.start() if candidate else max(at + 1, len(buffer) - _HEADER.size + 1)
                self._skipped += after - at
                at = after
                continue
            if self._skipped or self._wants(at):
                entry = self._entry(at)
                if self._skipped:
                    found.append(self._gap(entry.stamp))
                self._last = entry.stamp
                found.append(entry)
            at += size
            self.entries += 1
        self._buffer = buffer[at:]
        return found

    def _leap(self, initials: np.ndarray[tuple[int], np.dtype[np.bool_]], found: Facts) -> int:
        """Read the wanted of the entries that the buffer begins with; returns where they end.

        All places that look like today's header are found at once. They are the entries as far as each one ends where
        the next begins; a place that only looks like one breaks that, and the rest is left for `_walk`.
        """
        buffer = self._buffer
        data = np.frombuffer(buffer, np.uint8)
        heads = np.flatnonzero(data[2 : max(2, len(buffer) - _V4)] == _V4)
        if not heads.size or heads[0]:
            return 0
        words = np.ndarray((len(buffer) - 3,), "<u4", buffer, 0, (1,))  # that which begins at each byte
        first = words[heads]
        alike = (first >> 16 == _V4) & (words[heads + 20] < len(_BUFFERS))
        heads, sizes = heads[alike], first[alike] & 0xFFFF
        if not heads.size or heads[0]:
            return 0
        ends = heads + _V4 + sizes
        sound = (ends <= len(buffer)) & (sizes > 0) & (sizes <= _LONGEST)
        sound[1:] &= heads[1:] == ends[:-1]
        whole = int(sound.argmin()) if not sound.all() else sound.size
        heads = heads[:whole]
        for at in heads[initials[data[heads + _V4 + 1]]].tolist():
            if buffer.startswith(self._tags, at + _V4 + 1):
                found.append(self._entry(at))
        self.entries += whole
        if found and isinstance(found[-1], LogEntry):
            self._last = found[-1].stamp
        return int(ends[whole - 1]) if whole else 0

    def _walk(self, at: int, found: Facts) -> int:
        """Read whole entries with today's header, as many as follow each other; returns where that ends."""
        buffer, tags, entry = self._buffer, self._tags, self._entry
        begins, unpack, end = buffer.startswith, _SIZES.unpack_from, len(buffer) - _V4
        first, count = len(found), 0
        while at <= end:
            length, size, fraction, lid = unpack(buffer, at)
            after = at + _V4 + length
            if size != _V4 or after > end + _V4 or not 0 < length <= _LONGEST or fraction > 999_999_999 or lid > 7:
                break
            if begins(tags, at + _V4 + 1):
                found.append(entry(at))
            at = after
            count += 1
        self.entries += count
        if len(found) > first and isinstance(found[-1], LogEntry):
            self._last = found[-1].stamp
        return at

    def _opens_elsewhere(self) -> bool:
        """Whether a wanted text stands in the buffer under a tag that is not."""
        buffer = self._buffer
        for opening in self._openings:
            at = buffer.find(opening)
            while at >= 0:
                if not buffer.endswith(self._tags, 0, at + 1):
                    return True
                at = buffer.find(opening, at + 1)
        return False

    def _wants(self, at: int) -> bool:
        """Whether the entry at `at` is wanted."""
        start = at + (_HEADER.unpack_from(self._buffer, at)[1] or _HEADER.size)
        if self._buffer.startswith(self._tags, start + 1):
            return True
        text = self._buffer.find(b"\0", start + 1)
        return bool(self._openings) and self._buffer.startswith(self._openings, text)

    def flush(self) -> Facts:
        """The stream ended: what is left is a Gap."""
        self._skipped += len(self._buffer)
        self._buffer = b""
        return [self._gap(self._last or self._to_stamp(0))] if self._skipped else []

    def _gap(self, until: Stamp) -> Gap:
        gap = Gap(self._last or until, until, "log", "unreadable", f"{self._skipped} bytes")
        self._skipped = 0
        return gap

    def _entry(self, at: int) -> LogEntry:
        """The whole entry at `at`."""
        data = self._buffer
        length, size, pid, tid, seconds, fraction = _HEADER.unpack_from(data, at)
        size = size or _HEADER.size
        uid: int | None = None
        buffer = _BUFFERS[0]
        if size >= _V4:
            lid, uid = _LID_UID.unpack_from(data, at + 20)
            buffer = _BUFFERS[lid] if lid < len(_BUFFERS) else buffer
        elif size >= 24:
            lid = _WORD.unpack_from(data, at + 20)[0]
            if lid < len(_BUFFERS):
                buffer = _BUFFERS[lid]
            else:  # version 2 has the writer's uid in this place
                uid = lid
        time_ns = seconds * 1_000_000_000 + fraction
        begin = at + size
        end = begin + length
        if buffer in _EVENT_BUFFERS:
            said = eventlog.decode(data[begin:end])
            return LogEntry(
                self._to_stamp(time_ns), time_ns, pid, tid, uid, "I", said.tag, said.text, buffer, said.cut, said.values
            )
        stop = data.find(b"\0", begin + 1, end)
        if stop < 0:
            stop = end
        last = data.find(b"\0", stop + 1, end)
        cut = last < 0
        if cut:  # the byte that gives way to the missing NUL, as logcat itself prints it
            last = max(stop + 1, end - 1)
        tag = data[begin + 1 : stop].decode("utf-8", "replace")
        message = data[stop + 1 : last].decode("utf-8", "replace")
        level = _LEVELS.get(data[begin], "V")
        return LogEntry(self._to_stamp(time_ns), time_ns, pid, tid, uid, level, tag, message, buffer, cut)


def entry_size(data: bytes, at: int, *, strict: bool) -> int:
    """Bytes of the entry at `at`: 0 = more needed, -1 = none starts here. `strict` looks into the payload, too."""
    if len(data) - at < _HEADER.size:
        return 0
    length, size, pid, _, _, fraction = _HEADER.unpack_from(data, at)
    if size not in (0, 20, 24) and not (28 <= size <= MAX_HEADER and size % 4 == 0):
        return -1
    size = size or _HEADER.size
    if not 1 <= length <= MAX_ENTRY - _HEADER.size or fraction >= 1_000_000_000 or pid < 0:
        return -1
    if len(data) - at < size + min(length, 2):
        return 0
    if strict:
        if size >= 28 and _WORD.unpack_from(data, at + 20)[0] >= len(_BUFFERS):
            return -1
        start = at + size
        found = _BINARY_TAG.match(data, start + 1, start + length)
        end = found.end() if found else start
        if data[start] not in _LEVELS or end == start + 1 or (end < min(len(data), start + length) and data[end]):
            return -1
    return size + length if len(data) - at >= size + length else 0

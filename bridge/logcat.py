"""Reader of logcat's text: every format with its modifiers, and what Android Studio copies; which format a log has.

Bytes in any chunking go in, entries and gaps come out. Bad data costs a counted gap or an unread line, never an
exception. Source: AOSP liblog `logprint.cpp` (text layouts, cut entries).
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Literal

from bridge.logbinary import MAX_PAYLOAD, Facts, ToStamp, Wanted, entry_size
from bridge.types import Gap, Level, LogEntry

Format = Literal["threadtime", "epoch", "time", "brief", "long", "binary", "process", "tag", "thread", "raw", "studio"]

# A log without a year is laid into this one: a leap year, so that 29 February has a place.
NO_YEAR = 1972
# Seconds: no phone is up for ten years, and none had this format in the seventies.
DECADE = 315_360_000
MAX_LINE = 64 * 1024
MAX_TEXT = 64 * 1024

_LETTERS: dict[bytes, Level] = {b"V": "V", b"D": "D", b"I": "I", b"W": "W", b"E": "E", b"F": "F", b"A": "F", b"S": "S"}
# How many lines say which format it is.
VOTERS = 2000
_TIMED = frozenset({"threadtime", "epoch", "time", "long", "studio"})

_TIME = rb"(?:(?:(\d{4})-)?(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3,9})(?: ([+-]\d{4}))?|(-?\d{1,19})\.(\d{3,9}))"
_THREADTIME = re.compile(rb" *" + _TIME + rb"(?: +(\S+))? +(\d{1,10}) +(\d{1,10}) ([VDIWEFAS]) ")
_PREFIX = rb"([VDIWEFAS])/(?=.*\( *(?:\S{1,32}?: *)?\d{1,10}\):)(.*?)\( *(?:(\S{1,32}?): *)?(\d{1,10})\): ?"
_TIME_TAG = re.compile(rb" *" + _TIME + rb" " + _PREFIX)
_BRIEF = re.compile(_PREFIX)
_LONG = re.compile(rb"\[ *" + _TIME + rb" +(?:([^\s:]+): *)?(\d{1,10}): *(\d{1,10}) ([VDIWEFAS])/(.*)\]$")
_PROCESS = re.compile(rb"([VDIWEFAS])\( *(?:([^\s():]+): *)?(\d{1,10})\) (.*?)  \(([^()]*)\)$")
_THREAD = re.compile(rb"([VDIWEFAS])\( *(?:([^\s():]+): *)?(\d{1,10}): *(\d{1,10})\) ?")
# The tag is padded to 8 columns, so a ": " before that belongs to it.
_TAG = re.compile(rb"([VDIWEFAS])/(.{8,}?): ?")
# Android Studio's window, since 2022: pid-tid, tag, package, level; before: pid-tid/package level/tag.
_STUDIO = re.compile(rb" *" + _TIME + rb" +(\d{1,10})-(\d{1,10}) +(\S(?:.*?\S)?) +(\S+) +([VDIWEFA])  ")
_STUDIO_OLD = re.compile(rb" *" + _TIME + rb" (\d{1,10})-(\d{1,10})/(\S+) ([VDIWEFA])/(.*?): ")
_MARKER = re.compile(rb"-{6,} (beginning of|switch to|PROCESS (?:STARTED|ENDED)) (\S+)")
_COLOR = re.compile(rb"^\x1b\[[0-9;]*m|\x1b\[0m$")
# What a file may begin with to say its encoding.
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8)
# In the order in which they are tried: a line of the first may look like one of a later.
_PATTERNS: dict[Format, re.Pattern[bytes]] = {
    "long": _LONG, "studio": _STUDIO, "time": _TIME_TAG, "brief": _BRIEF, "process": _PROCESS, "thread": _THREAD,
    "tag": _TAG,
}  # fmt: skip
# Each line of these names its tag.
_TAGGED = frozenset({"threadtime", "epoch", "time", "brief", "process", "tag"})
_OVERRUN = re.compile(rb"(?:read: )?[Uu]nexpected EOF!")
_UID = re.compile(rb"(?:u(\d{1,4})_?)a(\d{1,6})")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BACKSLASHES = re.compile(rb"(?<!\\)(\\++)(x[0-9A-F]{2}|[^\\\n])")
# Fixed names of `android_filesystem_config.h` that `-v uid` prints instead of a number.
_SYSTEM_UIDS = {b"root": 0, b"system": 1000, b"radio": 1001, b"bluetooth": 1002, b"log": 1007, b"shell": 2000}


def detect(sample: bytes) -> Format | None:
    """The format of a log from its first bytes; None when no line tells. "raw" needs logcat's own line before it."""
    if entry_size(sample, 0, strict=True) > 0:
        return "binary"
    seen = Counter[Format]()
    marked = False
    for line in _to_utf8(sample).split(b"\n")[:VOTERS]:
        line = _clean(line)
        found = _format_of(line)
        if found is not None:
            seen[found] += 1
        marked = marked or _MARKER.match(line) is not None
    # A text may look like a line of a format without times; hardly ever like one with them.
    timed = [form for form in seen if form in _TIMED]
    if seen:
        return max(timed or seen, key=lambda form: seen[form])
    return "raw" if marked else None


def printable(sample: bytes) -> bool:
    """Whether a text log was written with `-v printable`: it has `\\x1B`-like escapes and no lone backslash."""
    escapes = [found[2] for found in _BACKSLASHES.finditer(sample) if len(found[1]) % 2]
    return any(len(what) == 3 for what in escapes) and all(what[0:1] in b"xabfnrtv" for what in escapes)


def unescape(text: str) -> str:
    """Text as it was before `-v printable`; broken UTF-8 stays the replacement character."""
    if "\\" not in text:
        return text

    def back(found: re.Match[str]) -> str:
        if found[1] is not None:
            code = int(found[1], 16)
            return chr(code) if code < 0x80 else "\ufffd"
        return _ESCAPED.get(found[2], found[2])

    return _ESCAPE.sub(back, text)


class TextReader:
    """A text log. Lines with an equal prefix are one entry, as logcat prints an entry with newlines.

    `entries` counts the entries that were read, `passed` the lines of which `wanted` says that nobody wants them.
    Process, thread and uid are 0, 0 and None where the format does not print them, the tag is "".

    `year` is that of the first line when the log has none (NO_YEAR without it); a zone in the line is honoured, else
    times are read as UTC. `absolute` and `dated` say whether the last line told the instant and the year. A joined
    entry may hold several entries of one thread in the same instant: text output does not tell them apart.
    """

    def __init__(
        self,
        to_stamp: ToStamp,
        form: Format | None = None,
        year: int | None = None,
        *,
        printable: bool = False,
        wanted: Wanted | None = None,
    ) -> None:
        self.unread = 0
        self.entries = 0
        self.passed = 0
        self.absolute = False
        self.dated = False
        self._to_stamp = to_stamp
        self._format: Format | None = form
        self._year = year or NO_YEAR
        self._month = 0
        self._printable = printable
        self._decoder: codecs.IncrementalDecoder | None = None
        self._fresh = True
        self._rest = b""
        self._long_line = False
        self._minute = (b"", 0)
        self._buffer = ""
        self._key = b""
        self._indent = b""
        words = (*wanted.tags, *wanted.openings) if wanted else ()
        self._words = (*(word.encode() for word in words), b"\n------", b"nexpected EOF!") if words else ()
        self._head: LogEntry | None = None
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def timed(self) -> bool:
        """Whether the format prints times."""
        return self._format in _TIMED

    @property
    def format(self) -> Format | None:
        """The format that was given or found."""
        return self._format

    def feed(self, data: bytes) -> Facts:
        """Entries that are complete: the next line does not continue them."""
        if self._fresh:
            data, self._rest = self._rest + data, b""
            if any(mark != data and mark.startswith(data) for mark in _MARKS):
                self._rest = data
                return []
            self._fresh = False
            data = data.removeprefix(codecs.BOM_UTF8)
            if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        if self._decoder is not None:
            data = self._decoder.decode(data).encode("utf-8", "replace")
        found: Facts = []
        block, whole, rest = (self._rest + data).rpartition(b"\n")
        if whole:
            self._block(block, found)
        if len(rest) > MAX_LINE and not self._long_line:
            self._line(rest, found)
            self._long_line = True
        self._rest = b"" if self._long_line else rest
        return found

    def flush(self) -> Facts:
        """The log ended: the last entry."""
        found: Facts = []
        if self._rest and not self._long_line:
            self._line(self._rest, found)
        self._rest = b""
        self._finish(found)
        return found

    def _block(self, block: bytes, found: Facts) -> None:
        """Whole lines. Where lines name their tags, those between wanted ones are counted and passed over."""
        at = 0
        if self._long_line:  # the end of a line whose beginning was taken at MAX_LINE
            self._long_line = False
            at = block.find(b"\n") + 1
            if not at:
                return
        for line in block[at:].split(b"\n") if self._words and self._format is None else ():
            self._format = _format_of(_clean(line[:MAX_LINE]))
            if self._format is not None:
                break
            self._line(line, found)
            at += len(line) + 1
        if not self._words or self._format not in _TAGGED:
            for line in block[at:].split(b"\n"):
                self._line(line, found)
            return
        for start, end in self._hits(block, at):
            if start > at:
                self._pass(block[at : start - 1], found)
            self._line(block[start:end], found)
            at = end + 1
        if at <= len(block):
            self._pass(block[at:], found)

    def _pass(self, lines: bytes, found: Facts) -> None:
        """Lines that nobody wants. Empty ones say nothing; all others end the entry before them."""
        self.passed += lines.count(b"\n") + 1
        if self._head is not None and lines.strip(b"\r\n"):
            self._finish(found)

    def _hits(self, block: bytes, begin: int) -> list[tuple[int, int]]:
        """Start and end of the lines that hold a wanted word, in order."""
        spans: set[tuple[int, int]] = set()
        for word in self._words:
            end = begin - 1
            while (at := block.find(word, max(0, end))) >= 0:
                start = block.rfind(b"\n", 0, at + 1) + 1
                end = block.find(b"\n", max(start, at + 1))
                if end < 0:
                    end = len(block)
                spans.add((start, end))
        if block.startswith(b"------", begin):
            end = block.find(b"\n", begin)
            spans.add((begin, end if end >= 0 else len(block)))
        return sorted(spans)

    def _line(self, line: bytes, found: Facts) -> None:
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE]
            self.unread += 1
        line = _clean(line)
        marker = _MARKER.match(line)
        if marker is not None and (self._format != "long" or not self._lines or not self._lines[-1]):
            self._finish(found)
            if marker[1] == b"switch to":
                self._buffer = marker[2].decode("ascii", "replace")
            return
        if self._format is None:
            self._format = _format_of(line)
        if self._format == "long":
            self._long(line, found)
            return
        read = self._threadtime(line) if self._format in ("threadtime", "epoch") else self._other(line)
        if read is None:
            if self._format == "studio" and self._head is not None and line.startswith(b"    "):
                self._add(line.removeprefix(self._indent))
            else:
                self._unread(line, found)
            return
        key, head, text = read
        if self._head is None or key != self._key or not self._joins(text):
            self._finish(found)
            self._key, self._head = key, head
        self._add(text)

    def _add(self, text: bytes) -> None:
        if self._size + len(text) > MAX_TEXT:
            self.unread += 1
            return
        self._lines.append(text)
        self._size += len(text) + 1

    def _joins(self, text: bytes) -> bool:
        if self._head is None or self._size + len(text) > MAX_TEXT or self._format == "studio":
            return False
        if self._size - 1 == _cut_size(self._head.tag):
            return False
        # Without a time the prefix says little: only an indented or closing line continues what was printed.
        return self._format in _TIMED or not text or text[:1] in b" \t}]"

    def _finish(self, found: Facts) -> None:
        top, lines = self._head, self._lines
        self._head, self._lines, self._size = None, [], 0
        if top is None:
            return
        if self._format == "long" and lines and not lines[-1]:
            lines.pop()
        data = b"\n".join(lines)
        text = data.decode("utf-8", "replace")
        if self._printable:
            text = unescape(text)
        cut = len(data) == _cut_size(top.tag)
        self.entries += 1
        entry = LogEntry(top.stamp, top.time_ns, top.pid, top.tid, top.uid, top.level, top.tag, text, top.buffer, cut)
        found.append(entry)

    def _unread(self, line: bytes, found: Facts) -> None:
        if not line:
            return
        if _OVERRUN.match(line):
            last = self._head.stamp if self._head else self._to_stamp(0)
            self._finish(found)
            found.append(Gap(last, last, "log", "overrun", line.decode("ascii", "replace")))
        else:
            if self._format != "long":
                self._finish(found)
            self.unread += 1

    def _long(self, line: bytes, found: Facts) -> None:
        match = _LONG.match(line)
        if match is not None:
            self._finish(found)
            uid, pid, tid, letter, tag = match.group(11, 12, 13, 14, 15)
            self._head = self._make(self._time(match), int(pid), int(tid), uid, letter, tag)
        elif self._head is None or self._size + len(line) > MAX_TEXT:
            self._unread(line, found)
        else:
            self._lines.append(line)
            self._size += len(line) + 1

    def _threadtime(self, line: bytes) -> tuple[bytes, LogEntry, bytes] | None:
        match = _THREADTIME.match(line)
        if match is None or (self._format == "epoch" and match[9] is None):
            return None
        start = match.end()
        # The tag is padded to 8 columns, so a ": " before that belongs to it.
        end = line.find(b": ", start + 8)
        if end < 0 and line.endswith(b":") and len(line) > start + 8:
            end = len(line) - 1
        if end < 0:
            end = line.find(b": ", start)
        if end < 0:
            return None
        uid, pid, tid, letter = match.group(11, 12, 13, 14)
        key = line[:end]
        if self._head is not None and key == self._key:
            return key, self._head, line[end + 2 :]
        return key, self._make(self._time(match), int(pid), int(tid), uid, letter, line[start:end]), line[end + 2 :]

    def _other(self, line: bytes) -> tuple[bytes, LogEntry, bytes] | None:
        """A line of the other formats: the key that lines of one entry share, the entry's head, the text."""
        form = self._format
        if form == "raw":
            return b"", self._head or self._make(0, 0, 0, None, b"I", b""), line
        pattern = _PATTERNS.get(form) if form else None
        match = pattern.match(line) if pattern else None
        if match is None and form == "studio":
            pattern, match = _STUDIO_OLD, _STUDIO_OLD.match(line)
        if match is None:
            return None
        time_ns = self._time(match) if form in _TIMED else 0
        tid, uid, text = b"0", None, line[match.end() :]
        if form == "process":
            letter, uid, pid, text, tag = match.groups()
            return match[1] + pid + b" " + tag, self._make(0, int(pid), 0, uid, letter, tag), text
        if form == "brief":
            letter, tag, uid, pid = match.groups()
        elif form == "time":
            letter, tag, uid, pid = match.group(11, 12, 13, 14)
        elif form == "thread":
            (letter, uid, pid, tid), tag = match.groups(), b""
        elif form == "tag":
            (letter, tag), pid = match.groups(), b"0"
        elif pattern is _STUDIO:
            pid, tid, tag, letter = match.group(11, 12, 13, 15)
            self._indent = b" " * match.end()
        else:
            pid, tid, letter, tag = match.group(11, 12, 14, 15)
            self._indent = b"    "
        return match[0].rstrip(b" "), self._make(time_ns, int(pid), int(tid), uid, letter, tag), text

    def _make(self, time_ns: int, pid: int, tid: int, uid: bytes | None, letter: bytes, tag: bytes) -> LogEntry:
        name = tag.rstrip(b" ").decode("utf-8", "replace")
        stamp = self._to_stamp(time_ns)
        return LogEntry(stamp, time_ns, pid, tid, _uid(uid), _LETTERS[letter], name, "", self._buffer)

    def _time(self, match: re.Match[bytes]) -> int:
        year, month, day, hour, minute, second, fraction, zone, epoch, tail = match.groups()[:10]
        if epoch is not None:
            # `-v monotonic` counts from the boot.
            self.absolute = self.dated = int(epoch) >= DECADE
            return int(epoch) * 1_000_000_000 + int(tail.ljust(9, b"0"))
        self.absolute, self.dated = zone is not None, year is not None
        key = match.string[match.start(2) if year is None else match.start(1) : match.end(5)] + (zone or b"")
        if key != self._minute[0]:
            self._minute = (key, self._minute_start(year, int(month), int(day), int(hour), int(minute), zone))
        return (self._minute[1] + int(second)) * 1_000_000_000 + int(fraction.ljust(9, b"0"))

    def _minute_start(
        self, year: bytes | None, month: int, day: int, hour: int, minute: int, zone: bytes | None
    ) -> int:
        if year is not None:
            number = int(year)
        else:
            # Lines are nearly in order: a leap of half a year is the turn of the year, seen from either side.
            number = self._year - 1 if self._month and month - self._month > 6 else self._year
            if self._month - month > 6:
                number = self._year = self._year + 1
            if number == self._year:
                self._month = month
        try:
            seconds = int(datetime(number, month, day, hour, minute, tzinfo=UTC).timestamp())
        except ValueError:
            seconds = self._minute[1]
        if zone is not None:
            offset = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
            seconds += offset if zone[:1] == b"-" else -offset
        return seconds


def _cut_size(tag: str) -> int:
    """Bytes that a text reader shows of a cut entry: the last one gave way to the NUL that was missing."""
    return MAX_PAYLOAD - 3 - len(tag.encode("utf-8", "replace"))


def _format_of(line: bytes) -> Format | None:
    match = _THREADTIME.match(line)
    if match is not None:
        return "threadtime" if match[9] is None else "epoch"
    if _STUDIO_OLD.match(line):
        return "studio"
    return next((form for form, pattern in _PATTERNS.items() if pattern.match(line)), None)


def _clean(line: bytes) -> bytes:
    if line.endswith(b"\r"):
        line = line[:-1]
    return _COLOR.sub(b"", line) if b"\x1b[" in line else line


def _to_utf8(sample: bytes) -> bytes:
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return sample.decode("utf-16", "replace").encode("utf-8", "replace")
    return sample.removeprefix(codecs.BOM_UTF8)


def _uid(name: bytes | None) -> int | None:
    """A uid from what `-v uid` prints: a number, `u0_a231`, or the name of a system user."""
    if name is None:
        return None
    if name.isdigit():
        return int(name[:10])
    match = _UID.fullmatch(name)
    if match is not None:
        return int(match[1]) * 100_000 + 10_000 + int(match[2])
    return _SYSTEM_UIDS.get(name)

"""`logcat`: text formats and the binary stream over the phone's rings (AOSP logcat and liblog logprint.cpp); `log`."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bridge.emulated.logd import BUFFERS, Record
from bridge.emulated.phone import Phone
from bridge.emulated.program import Io

BATCH_SECONDS = 0.005
SHELL = 2000
_LETTERS = "??VDIWEF"
_SETS = {"default": ("main", "system", "crash"), "all": tuple(BUFFERS)}
_SIZES = {"K": 1024, "M": 1024 * 1024, "": 1}


@dataclass(slots=True)
class _Options:
    formats: set[str] = field(default_factory=set)
    verb: str = "threadtime"
    binary: bool = False
    stay: bool = True
    since_ns: int | None = None
    tail: int | None = None
    buffers: tuple[str, ...] = _SETS["default"]
    filters: dict[str, int] = field(default_factory=dict)
    others: int = 2
    pid: int | None = None
    action: str = ""
    size: int = 0


async def logcat(io: Io, phone: Phone) -> int:
    """Read, clear or size the rings; goes on until the stream is closed unless -d, -t, -c, -g or -G is given."""
    options = _parse(io.argv[1:], phone)
    if isinstance(options, str):
        await io.error(options.encode() + b"\n")
        return 1
    logd = phone.logd
    if options.action == "clear":
        logd.clear(options.buffers)
        return 0
    if options.action == "resize":
        logd.resize(options.size, options.buffers)
        return 0
    if options.action == "sizes":
        for name in options.buffers:
            capacity, used = logd.sizes()[name]
            text = f"{name}: ring buffer is {capacity // 1024} KiB ({used // 1024} KiB consumed), max entry is 5120 B"
            await io.write(text.encode() + b", max payload is 4068 B\n")
        return 0
    records, position = logd.since(0, options.buffers)
    records = [r for r in records if options.since_ns is None or r.time_ns >= options.since_ns]
    wanted = [r for r in records if _passes(r, options)]
    if options.tail is not None:
        wanted = wanted[-options.tail :] if options.tail else []
    render = _binary if options.binary else _text(options)
    begun: set[str] = set()
    await _print(io, wanted, render, options, begun)
    while options.stay and not io.hangup.is_set():
        await logd.wait(position)
        await asyncio.sleep(BATCH_SECONDS)
        records, position = logd.since(position, options.buffers)
        await _print(io, [r for r in records if _passes(r, options)], render, options, begun)
    return 0


async def _print(
    io: Io, records: list[Record], render: Callable[[Record], bytes], options: _Options, begun: set[str]
) -> None:
    out = bytearray()
    for record in records:
        if not options.binary and record.buffer not in begun:
            begun.add(record.buffer)
            out += b"--------- beginning of %s\n" % record.buffer.encode()
        out += render(record)
    if out:
        await io.write(bytes(out))


def _passes(record: Record, options: _Options) -> bool:
    if options.pid is not None and record.pid != options.pid:
        return False
    # The binary stream ignores tag filters.
    return options.binary or record.prio >= options.filters.get(record.tag, options.others)


def _binary(record: Record) -> bytes:
    payload = record.payload
    seconds, nanoseconds = divmod(record.time_ns, 1_000_000_000)
    header = (len(payload), 28, record.pid, record.tid, seconds, nanoseconds, BUFFERS[record.buffer], record.uid)
    return struct.pack("<HHiIIIII", *header) + payload


def _text(options: _Options) -> Callable[[Record], bytes]:
    words = options.formats

    def moment(record: Record) -> str:
        ns = record.mono_ns if "monotonic" in words else record.time_ns
        seconds, rest = divmod(ns, 1_000_000_000)
        digits, unit = (9, 1) if "nsec" in words else (6, 1000) if "usec" in words else (3, 1_000_000)
        fraction = f".{rest // unit:0{digits}d}"
        if "epoch" in words or "monotonic" in words:
            return f"{seconds:19d}{fraction}"
        when = datetime.fromtimestamp(seconds, UTC)
        text = when.strftime("%Y-%m-%d %H:%M:%S" if "year" in words else "%m-%d %H:%M:%S") + fraction
        return text + " +0000" if words & {"zone", "UTC"} else text

    def render(record: Record) -> bytes:
        letter, tag, pid, tid = _LETTERS[record.prio], record.tag, record.pid, record.tid
        uid = f"{record.uid:5d} " if "uid" in words else ""
        body = record.text
        if record.values is None:
            # Without the last NUL, or the byte that the reader of a cut entry overwrites.
            body = record.payload[len(tag.encode()) + 2 : -1]
        if "printable" in words:
            body = body.replace(b"\\", b"\\\\")
        verb = options.verb
        if verb == "long":
            head = f"[ {moment(record)} {uid}{pid:5d}:{tid:5d} {letter}/{tag:<8} ]\n"
            return head.encode() + body + b"\n\n"
        before, after = {
            "threadtime": (f"{moment(record)} {uid}{pid:5d} {tid:5d} {letter} {tag:<8}: ", ""),
            "time": (f"{moment(record)} {letter}/{tag:<8}({pid:5d}): ", ""),
            "brief": (f"{letter}/{tag:<8}({pid:5d}): ", ""),
            "process": (f"{letter}({pid:5d}) ", f"  ({tag})"),
            "tag": (f"{letter}/{tag:<8}: ", ""),
            "thread": (f"{letter}({pid:5d}:{tid:5d}) ", ""),
            "raw": ("", ""),
        }[verb]
        lines = body[:-1].split(b"\n") if body.endswith(b"\n") else body.split(b"\n")
        return b"".join(before.encode() + line + after.encode() + b"\n" for line in lines)

    return render


def _parse(words: list[str], phone: Phone) -> _Options | str:
    options = _Options()
    rest = list(words)
    buffers: list[str] = []
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=")
        if word in ("-d", "-c", "-g", "-B", "-s", "-D", "-S"):
            value = ""
        elif name in ("-v", "-b", "-T", "-t", "-G", "--pid", "-m") and not value:
            if not rest:
                return f"logcat: option requires an argument -- {name}"
            value = rest.pop(0)
        if name == "-d":
            options.stay = False
        elif name == "-c":
            options.action = "clear"
        elif name == "-g":
            options.action = "sizes"
        elif name == "-B":
            options.binary = True
        elif name == "-s":
            options.others = 8
        elif name == "-v":
            for part in value.replace(",", " ").split():
                if part in ("brief", "process", "tag", "thread", "raw", "time", "threadtime", "long"):
                    options.verb = part
                else:
                    options.formats.add(part)
        elif name == "-b":
            buffers += value.split(",")
        elif name in ("-T", "-t"):
            options.stay = options.stay and name == "-T"
            if value.isdigit():
                options.tail = int(value)
            else:
                found = _moment(value, phone)
                if found is None:
                    return f'logcat: -{name[1]} "{value}" not in time format'
                options.since_ns = found
        elif name == "-G":
            number, unit = value.rstrip("KMkm"), value[-1:].upper()
            if not number.isdecimal():
                return f"logcat: -G needs a number, not {value!r}"
            options.action, options.size = "resize", int(number) * _SIZES.get(unit, 1)
        elif name == "--pid":
            if not value.isdecimal():
                return f"logcat: --pid needs a number, not {value!r}"
            options.pid = int(value)
        elif ":" in word and not word.startswith("-"):
            tag, _, level = word.partition(":")
            least = 8 if level == "S" else _LETTERS.find(level[:1].upper() or "V")
            if tag == "*":
                options.others = least
            else:
                options.filters[tag] = least
    known: list[str] = []
    for buffer in buffers:
        for one in _SETS.get(buffer, (buffer,)):
            if one not in BUFFERS:
                return f"logcat: unknown buffer {buffer}"
            known.append(one)
    if known:
        options.buffers = tuple(dict.fromkeys(known))
    return options


def _moment(text: str, phone: Phone) -> int | None:
    seconds, dot, fraction = text.partition(".")
    try:
        if seconds.isdigit() and dot:
            return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
        year = datetime.fromtimestamp(phone.clock.wall_ns() / 1e9, UTC).year
        when = datetime.strptime(f"{year}-{text}", "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(when.timestamp() * 1e6) * 1000


async def log(io: Io, phone: Phone) -> int:
    """Write an entry, as toybox's `log` does: [-p PRI] [-t TAG] MESSAGE..."""
    words, tag, letter = io.argv[1:], "log", "I"
    while len(words) > 1 and words[0] in ("-p", "-t"):
        tag, letter = (words[1], letter) if words[0] == "-t" else (tag, words[1][:1].upper())
        words = words[2:]
    if letter not in _LETTERS[2:]:
        await io.error(b"log: bad -p '%s'\n" % letter.encode())
        return 1
    number = 20_000 + phone.clock.mono_ns() // 1_000_000 % 10_000
    priority, text = _LETTERS.index(letter, 2), " ".join(words).encode()
    phone.logd.append(Record(phone.clock.wall_ns(), phone.clock.mono_ns(), number, number, SHELL, priority, tag, text))
    return 0

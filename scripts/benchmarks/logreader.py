"""One reading of a log in a process of its own: `python -m benchmarks.logreader WAY FILE` prints what it found, the
seconds it took and its peak memory as JSON. Ours are the ways binary, text
and events; regex and plain are what people write."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from pathlib import Path

from agent.analytics.sniffer import WANTED, Sniffer
from agent.model import SegmentEvent
from benchmarks.loglines import CONSOLE
from bridge.logbinary import BinaryReader
from bridge.logcat import TextReader
from bridge.types import LogEntry, Stamp

CHUNK = 1 << 16
LINE = re.compile(r"^(\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3}) +(\d+) +(\d+) ([VDIWEF]) (.*?) *: (.*)$")


def stamp(time_ns: int) -> Stamp:
    return Stamp(time_ns, time_ns // 1_000_000)


def ours(way: str, file: Path) -> dict[str, int]:
    """Our readers as `events` uses them."""
    return text(file) if way == "text" else binary(file)


def binary(file: Path) -> dict[str, int]:
    reader = BinaryReader(stamp, WANTED)
    tagged = characters = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            for entry in reader.feed(chunk):
                if isinstance(entry, LogEntry) and entry.tag == CONSOLE:
                    tagged += 1
                    characters += len(entry.message)
    return {"entries": reader.entries, "tagged": tagged, "characters": characters}


def text(file: Path) -> dict[str, int]:
    """Text does not tell entries of one instant apart: they come as one entry of several lines."""
    reader = TextReader(stamp, "threadtime", wanted=WANTED)
    tagged = characters = 0
    with file.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            for entry in reader.feed(chunk) if chunk else reader.flush():
                if isinstance(entry, LogEntry) and entry.tag == CONSOLE:
                    breaks = entry.message.count("\n")
                    tagged += breaks + 1
                    characters += len(entry.message) - breaks
            if not chunk:
                return {"entries": tagged + reader.passed, "tagged": tagged, "characters": characters}


def sniffed(file: Path) -> dict[str, int]:
    """The whole way from bytes to events."""
    reader, sniffer = BinaryReader(stamp, WANTED), Sniffer()
    events = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            for entry in reader.feed(chunk):
                if isinstance(entry, LogEntry):
                    events += sum(isinstance(found, SegmentEvent) and found.complete for found in sniffer.feed(entry))
    events += len(sniffer.flush())
    return {"entries": reader.entries, "events": events}


def plain(file: Path, *, events: bool) -> dict[str, int]:
    """What people write: a regular expression a line, and `json.loads` for the events in one part."""
    entries = tagged = characters = found = 0
    with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for line in lines:
            match = LINE.match(line)
            if match is None:
                continue
            entries += 1
            _date, _time, _pid, _tid, _level, tag, message = match.groups()
            if tag == CONSOLE:
                tagged += 1
                characters += len(message)
                if events and message.startswith("SegmentReplay/1 "):
                    found += "messageId" in json.loads(message.split(" ", 3)[3])
    return {"entries": entries, "tagged": tagged, "characters": characters, **({"events": found} if events else {})}


def peak_kib() -> int:
    """Peak memory. `ru_maxrss` of a process begins with what its parent had; Linux's VmHWM does not."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    way, file = sys.argv[1], Path(sys.argv[2])
    began = time.perf_counter()
    if way in ("regex", "plain"):
        found = plain(file, events=way == "plain")
    else:
        found = sniffed(file) if way == "events" else ours(way, file)
    seconds = time.perf_counter() - began
    print(json.dumps({**found, "seconds": seconds, "peak_kib": peak_kib()}))


if __name__ == "__main__":
    main()

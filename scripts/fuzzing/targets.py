"""What is fuzzed: each target takes any bytes, may raise nothing, and must be done in LIMIT_SECONDS."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from agent.analytics.sniffer import WANTED, Sniffer
from agent.model import ParseFailure, SegmentEvent
from bridge.logbinary import BinaryReader
from bridge.logcat import TextReader, detect, printable
from bridge.types import Gap, LogEntry, Stamp

LIMIT_SECONDS = 5.0
STEP = 97
TAGS = ("ReactNativeJS", "ReactNativeJS", "ReactNativeJS", "chatty", "ActivityManager", "", "Other")


def stamp(time_ns: int) -> Stamp:
    return Stamp(time_ns, time_ns // 1_000_000)


def binary(data: bytes) -> None:
    """A binary log in small chunks, with and without wishes: the wanted entries are the same."""
    found = []
    for wanted in (None, WANTED):
        reader = BinaryReader(stamp, wanted)
        read = [item for at in range(0, len(data), STEP) for item in reader.feed(data[at : at + STEP])] + reader.flush()
        assert all(isinstance(item, LogEntry | Gap) for item in read)
        found.append([item for item in read if isinstance(item, LogEntry) and item.tag in WANTED.tags])
    assert found[0] == found[1]


def text(data: bytes) -> None:
    """A text log in small chunks, in the format that it looks like."""
    reader = TextReader(stamp, detect(data), printable=printable(data), wanted=WANTED)
    for at in range(0, len(data), STEP):
        assert all(isinstance(item, LogEntry | Gap) for item in reader.feed(data[at : at + STEP]))
    assert all(isinstance(item, LogEntry | Gap) for item in reader.flush())


def events(data: bytes) -> None:
    """Messages of an app's console, parted by NUL; the first byte of each says under which tag and when."""
    for strict in (False, True):
        sniffer = Sniffer(strict=strict)
        now_ns = 0
        found: list[SegmentEvent | ParseFailure] = []
        for message in data.split(b"\0"):
            kind = message[0] if message else 0
            now_ns += (kind & 7) * 300_000_000
            uid = 10_123 if kind & 8 else None
            tag, words = TAGS[kind % len(TAGS)], message[1:].decode("utf-8", "replace")
            entry = LogEntry(stamp(now_ns), now_ns, kind & 3, 7, uid, "I", tag, words, "main", bool(kind & 16))
            found += sniffer.feed(entry)
        for each in found + sniffer.flush():
            if isinstance(each, SegmentEvent):
                orjson.dumps(each.event, option=orjson.OPT_NON_STR_KEYS)
                assert not (each.complete and each.missing)
            else:
                assert each.reason
                assert len(each.sample) <= 160


TARGETS: dict[str, Callable[[bytes], None]] = {"binary": binary, "text": text, "events": events}


def within_limit(target: Callable[[bytes], None], data: bytes) -> None:
    """Run a target; AssertionError when it takes too long."""
    began = time.monotonic()
    target(data)
    assert time.monotonic() - began < LIMIT_SECONDS, "too slow"


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with."""
    import struct

    lines = [
        b"SegmentReplay/1 m 1/2 {\"type\":\"track\",\"messageId\":\"m\",",
        b"SegmentReplay/1 m 2/2 \"event\":\"x\",\"properties\":{\"a\":[1,null]}}",
        b"'TRACK event saved', { type: 'track',\n  event: 'x',\n  properties: { a: [ 1, , 'b' ] } }",
        b'[e] {"type": "track", "messageId": "m", "integrations": {"Actions Amplitude": {"session_id": 1}}}',
        b"[AmplitudeSession] startNewSession -> 1772527272315",
        b"uid=10123(a) mqt_js identical 3 lines",
        b"Start proc 7:com.example.shop/u0a123 for top-activity",
    ]  # fmt: skip
    if name == "events":
        return [b"\0".join(b"\x08" + line for line in lines), *(b"\x08" + line for line in lines)]
    if name == "text":
        heads = ("03-03 15:30:00.318 14822 14871 I ReactNativeJS: ", "I/ReactNativeJS(14822): ", "I(14822) ")
        return [
            b"".join(head.encode() + line.replace(b"\n", b"\n" + head.encode()) + b"\n" for line in lines)
            for head in heads
        ]
    payloads = [b"\x04ReactNativeJS\0" + line + b"\0" for line in lines]
    return [b"".join(struct.pack("<HHiIIIII", len(p), 28, 7, 8, 1, 2, 0, 10123) + p for p in payloads)]

"""A long recording out of a short one: the same minute again and again, each time with pictures of its own bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import xxhash

from agent.model import Picture, SealedSegment
from agent.store.recording import Recording

SESSION = 1_760_000_000_000
DEVICE = "6c1b8a52-9f1d-4a07-8a8c-0f6f4a1c2d3e"
_TIMES = ("from_ms", "to_ms", "start_ms", "end_ms")


def record(folder: Path, short: Sequence[SealedSegment], minutes: float = 30.0) -> Recording:
    """The short recording's segments, all of one session, until `minutes` are full."""
    recording = Recording.create(folder)
    for sealed in _repeated(short, minutes):
        recording.write(sealed)
    return recording


def _repeated(short: Sequence[SealedSegment], minutes: float) -> Iterator[SealedSegment]:
    ordered = sorted(short, key=lambda sealed: sealed.manifest.start_ms)
    first = ordered[0].manifest.start_ms
    length = max(sealed.manifest.end_ms for sealed in ordered) - first
    seq = 0
    for turn in range(max(1, round(minutes * 60_000 / length))):
        for sealed in ordered:
            yield _again(sealed, SESSION + 1000 + turn * length - first, turn, seq)
            seq += 1


def _again(sealed: SealedSegment, shift_ms: int, turn: int, seq: int) -> SealedSegment:
    """The segment at another time. What follows a WebP picture's own end is not read: it makes the bytes new."""
    pictures: dict[str, Picture] = {}
    names: dict[bytes, bytes] = {}
    for digest, shown in sealed.pictures.items():
        data = shown.data + turn.to_bytes(4, "big")
        name = xxhash.xxh3_128_hexdigest(data)
        pictures[name] = Picture(name, shown.media_type, data)
        names[digest.encode()] = name.encode()
    events = []
    for line in sealed.events:
        event = orjson.loads(re.sub(rb"(?<=picture:)[0-9a-f]{32}", lambda match: names[match[0]], line))
        event["timestamp"] += shift_ms
        if event["type"] == 5:
            payload = event["data"]["payload"]
            payload |= {name: payload[name] + shift_ms for name in _TIMES if name in payload}
        events.append(orjson.dumps(event))
    manifest = replace(
        sealed.manifest,
        id=xxhash.xxh3_128_hexdigest(f"{turn}/{sealed.manifest.id}".encode()),
        session_id=SESSION,
        device_id=DEVICE,
        seq=seq,
        start_ms=sealed.manifest.start_ms + shift_ms,
        end_ms=sealed.manifest.end_ms + shift_ms,
        pictures=tuple(pictures),
    )
    return SealedSegment(manifest, tuple(events), pictures)

"""An upload's bytes made into a segment. Pure; what a client got wrong is `Refused` with the status to answer.

The form is described in `agent.outbox.wire`; read more tolerantly here: any client of Amplitude's protocol may send.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import xxhash

from agent.errors import RecordingError
from agent.model import Counts, Picture, SealedSegment, SegmentManifest
from agent.store import schema

# The server side of Amplitude splits or refuses above this size (comment in the browser SDK's constants.ts).
BODY_BYTES = 10_000_000
EVENT_BYTES = 10_000_000
# Packed events may grow once more; together to no more than this.
UNPACKED_BYTES = 64_000_000
PIECE_BYTES = 1 << 20
# What a value of JSON takes up once it is read, however few characters it has, and how many one text may hold.
VALUE_BYTES = 100
VALUES = 2_000_000
PARTS = 1000

_DATA_URI = re.compile(rb'"data:(image/(?:webp|jpeg|png));base64,([A-Za-z0-9+/]+={0,2})"')
_KEY = re.compile(r"([0-9a-f]{8,64})(?:;part=(\d{1,4});of=(\d{1,4}))?", re.ASCII)


class Refused(Exception):
    """The upload cannot be taken; `status` is the HTTP status to answer, `words` why.

    In `after_s` seconds it may be taken; 0 when it is not known.
    """

    def __init__(self, status: int, words: str, after_s: int = 0) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words
        self.after_s = after_s


class Reader:
    """Reads the JSON texts of one upload, one after the other: `take` is told how many bytes the largest takes up, as
    it is found. What is read of an event is let go of before the next, and what a plain one holds was counted with the
    body."""

    def __init__(self, take: Callable[[int], object] = lambda size: None) -> None:
        self.take = take
        self._most = 0

    def read(self, text: bytes, what: str) -> Any:
        """Raises Refused: 400 when it is no JSON, 413 when it holds too many values; and what `take` raises."""
        count = values(text)
        if count > VALUES:
            raise Refused(413, f"{what} holds more than {VALUES} values")
        if count > self._most:
            self.take((count - self._most) * VALUE_BYTES)
            self._most = count
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"{what} is not JSON: {error}") from error


def values(text: bytes) -> int:
    """How many values and keys a JSON text holds at most, without reading it."""
    return sum(map(text.count, (b",", b":", b"[", b"{")))


@dataclass(frozen=True, slots=True)
class Key:
    """An Idempotency-Key: the segment, and which of how many posts this is."""

    segment: str
    part: int = 1
    parts: int = 1


def parse_key(text: str) -> Key | None:
    """None when there is none, or it is not one of ours."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    part, parts = int(match[2] or 1), int(match[3] or 1)
    return Key(match[1], part, parts) if 1 <= part <= parts <= PARTS else None


def decompress(data: bytes, encoding: str, limit: int, take: Callable[[int], object]) -> bytes:
    """The body as text; `take` is told how many bytes each unpacked stretch of it is.

    Raises Refused: 413 above `limit` bytes, 400 for damage, 415 for another encoding; and what `take` raises.
    """
    if encoding in ("", "identity"):
        return data
    if encoding != "gzip":
        raise Refused(415, f"content encoding {encoding!r} is not taken")
    text = bytearray()
    for piece in _inflated(data, 16 + zlib.MAX_WBITS, limit):
        take(len(piece))
        text += piece
    return bytes(text)


def parse(data: bytes, reader: Reader | None = None) -> list[bytes]:
    """The rrweb events of a body, each a JSON text without newlines; the reader's `take` hears their bytes, too.

    An event may be plain or packed (zlib of its JSON as latin-1 characters: @amplitude/rrweb-packer). Raises Refused.
    """
    reader = reader or Reader()
    document = reader.read(data, "the body")
    if not isinstance(document, dict) or document.get("version") not in (1, 2):
        raise Refused(400, "the body is not an upload of version 1 or 2")
    items = document.get("events")
    if not isinstance(items, list) or not items:
        raise Refused(400, "there are no events")
    events: list[bytes] = []
    size = 0
    for index, item in enumerate(items):
        events.append(_event(item, index, reader))
        size += len(events[-1])
        reader.take(len(events[-1]))
        if size > UNPACKED_BYTES:
            raise Refused(413, "the unpacked events are too large")
    return events


def parse_interactions(data: bytes, reader: Reader | None = None) -> list[object]:
    """The objects of an upload of type `interaction`. Raises Refused."""
    document = (reader or Reader()).read(data, "the body")
    items = document.get("events") if isinstance(document, dict) else None
    if not isinstance(items, list) or not items:
        raise Refused(400, "there are no events")
    return items


def write(value: object, what: str) -> bytes:
    """The JSON text of what a client sent. Raises Refused: what can be read may be nested too deeply to be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise Refused(400, f"{what} is nested too deeply") from error


def seal(
    device_id: str, session_id: int, segment: str | None, events: Sequence[bytes], reader: Reader | None = None
) -> SealedSegment:
    """The segment that an upload is: facts from its `end` event, else from what its events show. Raises Refused."""
    reader = reader or Reader()
    pictures: dict[str, Picture] = {}
    lines = tuple(_keep_pictures(event, pictures) for event in events)
    size = sum(map(len, lines)) + sum(len(shown.data) for shown in pictures.values())
    tally = _Tally()
    for index, line in enumerate(lines):
        tally.add(reader.read(line, f"event {index}"))
    if tally.end is None:
        manifest = _synthesised(device_id, session_id, segment, lines, tally, tuple(pictures), size)
        return SealedSegment(manifest, lines, pictures)
    facts = {
        "schema": schema.SCHEMA,
        "pictures": list(pictures),
        "bytes": size,
        "lines": len(lines),
        "events_digest": "",
    }
    try:
        manifest = schema.read_manifest({**tally.end, **facts}).manifest
    except RecordingError as error:
        raise Refused(400, f"the end event is not one: {error.message}") from error
    if (manifest.device_id, manifest.session_id) != (device_id, session_id) or segment not in (None, manifest.id):
        raise Refused(400, "the end event belongs to another segment")
    return SealedSegment(manifest, lines, pictures)


def _event(item: object, index: int, reader: Reader) -> bytes:
    if not isinstance(item, str):
        raise Refused(400, f"event {index} is not a text")
    data = item.encode("utf-8", "surrogatepass")
    if len(data) > EVENT_BYTES:
        raise Refused(413, f"event {index} is too large")
    if item.startswith("x\x9c"):
        value: object = item
    else:
        value = reader.read(data, f"event {index}")
    if isinstance(value, str):
        value = reader.read(_unpack(value, index), f"event {index}")
        if isinstance(value, dict):
            value.pop("v", None)
        data = write(value, f"event {index}")
    if not isinstance(value, dict) or not _is_event(value):
        raise Refused(400, f"event {index} is no rrweb event")
    return write(value, f"event {index}") if b"\n" in data else data


def _is_event(value: dict[str, Any]) -> bool:
    kind, at = value.get("type"), value.get("timestamp")
    return type(kind) is int and type(at) in (int, float) and "data" in value


def _unpack(text: str, index: int) -> bytes:
    try:
        return b"".join(_inflated(text.encode("latin-1"), zlib.MAX_WBITS, EVENT_BYTES))
    except UnicodeEncodeError as error:
        raise Refused(400, f"event {index} is neither JSON nor packed") from error


def _inflated(data: bytes, wbits: int, limit: int) -> Iterator[bytes]:
    """What is compressed in the data, in pieces. Raises Refused: 413 above `limit` bytes, 400 for damage."""
    stream = zlib.decompressobj(wbits)
    size = 0
    full = True
    while full and not stream.eof:
        try:
            piece = stream.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise Refused(400, f"the compressed data is damaged: {error}") from error
        size += len(piece)
        if size > limit:
            raise Refused(413, f"more than {limit} bytes")
        yield piece
        data, full = stream.unconsumed_tail, len(piece) == PIECE_BYTES
    if not stream.eof or stream.unused_data:
        raise Refused(400, "the compressed data does not end where it should")


def _keep_pictures(event: bytes, pictures: dict[str, Picture]) -> bytes:
    """The event with its data URIs turned into references; their pictures are added to `pictures`."""

    def kept(match: re.Match[bytes]) -> bytes:
        try:
            data = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            return match[0]
        if base64.b64encode(data) != match[2]:
            # Would not come back as it was; it stays in the text.
            return match[0]
        digest = xxhash.xxh3_128_hexdigest(data)
        pictures.setdefault(digest, Picture(digest, match[1].decode(), data))
        return b'"picture:' + digest.encode() + b'"'

    return _DATA_URI.sub(kept, event)


class _Tally:
    """What the events of a segment show. Of the events themselves none is kept but the payload of the one `end`."""

    def __init__(self) -> None:
        # Of no event: no times either.
        self.start_ms, self.end_ms = schema.END_OF_TIME_MS, -1
        self.counted: Counter[str] = Counter()
        self.end: dict[str, Any] | None = None
        self._ends = 0

    def add(self, event: dict[str, Any]) -> None:
        kind, at, data = event["type"], int(event["timestamp"]), event["data"]
        self.start_ms, self.end_ms = min(at, self.start_ms), max(at, self.end_ms)
        self.counted["hierarchies"] += kind == 2
        self.counted["logs"] += kind == 6
        if not isinstance(data, dict):
            return
        if kind == 3:
            self.counted["touches"] += data.get("source") in (2, 6)
        if kind != 5:
            return
        tag, payload = data.get("tag"), data.get("payload")
        self.counted["events"] += isinstance(tag, str) and tag.startswith("segment:")
        self.counted["gaps"] += tag == "gap"
        if tag == "end" and isinstance(payload, dict):
            # Of two neither is to be believed.
            self._ends += 1
            self.end = payload if self._ends == 1 else None


def _synthesised(
    device_id: str,
    session_id: int,
    segment: str | None,
    lines: Sequence[bytes],
    tally: _Tally,
    pictures: tuple[str, ...],
    size: int,
) -> SegmentManifest:
    """A manifest for another client's upload. The id comes from the content: a repeat is the same segment. Raises
    Refused."""
    name = segment or xxhash.xxh3_128_hexdigest(f"{device_id}\0{session_id}\0".encode() + b"\n".join(lines))
    try:
        start_ms, end_ms = schema.check_times(tally.start_ms, tally.end_ms)
    except RecordingError as error:
        raise Refused(400, f"the events have no times: {error.message}") from error
    return SegmentManifest(
        id=name,
        session_id=session_id,
        device_id=device_id,
        serial="",
        seq=0,
        start_ms=start_ms,
        end_ms=end_ms,
        reason="time",
        counts=Counts(frames=len(pictures), **tally.counted),
        pictures=pictures,
        bytes=size,
    )

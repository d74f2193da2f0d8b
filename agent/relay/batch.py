"""A batch as the SDK posts it: read without changing a byte, enriched without changing another one.

The body is `{"batch": [event...], "sentAt": "...", "writeKey": "..."}` (@segment/analytics-react-native `src/api.ts`).
What cannot be read goes on as it came: Segment is the judge of it, not we.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

BODY_BYTES = 4 << 20
INFLATED_BYTES = 32 << 20
EVENTS = 10_000
# What is read here is written and walked through elsewhere, where a JSON library goes no deeper than 254.
DEPTH = 200
KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SPACE = re.compile(r"[ \t\n\r]*")

Event = Mapping[str, object]
Enrich = Callable[[Event], Event]


class Unreadable(Exception):
    """Why a body is not understood, in a few words."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a body says: its events in order, the key of the source they belong to, and the text itself."""

    write_key: str
    events: tuple[Event, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object, or an element of an array (`key` ""), with the span of its value in the text."""

    key: str
    value: object
    start: int
    end: int


def read(body: bytes, encoding: str) -> Batch:
    """Raises Unreadable. `encoding` is the Content-Encoding, "" for none."""
    try:
        text = inflate(body, encoding).decode()
        members, end = _members(text, _skip(text, 0))
        if _skip(text, end) != len(text):
            raise Unreadable("more than one JSON value")
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable("not JSON, or nested too deep") from error
    held = {member.key: member.value for member in members}
    events = held.get("batch")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise Unreadable("no batch of events")
    if len(events) > EVENTS:
        raise Unreadable(f"more than {EVENTS} events")
    if _deeper(events, DEPTH):
        raise Unreadable("nested too deep")
    key = held.get("writeKey")
    return Batch(key if isinstance(key, str) and KEY.fullmatch(key) else "", tuple(events), text)


def enriched(batch: Batch, enrich: Enrich) -> str:
    """The batch's text with what `enrich` adds to the properties of its events; every other character as it was.

    `enrich` gives back an event whose properties have more members, or other values of members; the rest of it is not
    looked at.
    """
    text, pieces, done = batch.text, list[str](), 0
    members, _ = _members(text, _skip(text, 0))
    place = next(member.start for member in reversed(members) if member.key == "batch")
    for element, event in zip(_elements(text, place), batch.events, strict=True):
        for start, end, new in _changes(text, element.start, event, enrich(event)):
            pieces += text[done:start], new
            done = end
    return "".join((*pieces, text[done:]))


def inflate(body: bytes, encoding: str, limit: int = INFLATED_BYTES) -> bytes:
    """The body without its Content-Encoding. Raises Unreadable, also when it makes more than `limit` bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Unreadable(f"Content-Encoding {encoding[:20]}")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)  # the header says whether it is gzip or zlib
    try:
        data = unpack.decompress(body, limit)
    except zlib.error as error:
        raise Unreadable("damaged compression") from error
    if unpack.unconsumed_tail:
        raise Unreadable(f"more than {limit} bytes unpacked")
    if not unpack.eof or unpack.unused_data:
        raise Unreadable("damaged compression")
    return data


def basic_key(header: str) -> str:
    """The write key in an Authorization header, as the user of HTTP Basic; "" without one."""
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        key = base64.b64decode(value.strip(), validate=True).partition(b":")[0].decode()
    except ValueError:
        return ""
    return key if KEY.fullmatch(key) else ""


def _changes(text: str, start: int, event: Event, new: Event) -> Iterator[tuple[int, int, str]]:
    """What to put where: (from, to, text), in order."""
    wanted, had = new.get("properties"), event.get("properties")
    if not isinstance(wanted, Mapping) or wanted == had:
        return
    members, end = _members(text, start)
    held = next((member for member in reversed(members) if member.key == "properties"), None)
    if held is None:
        yield end - 1, end - 1, f"{',' if members else ''}{_text('properties')}:{_text(wanted)}"
        return
    if not isinstance(had, Mapping):
        yield held.start, held.end, _text(wanted)
        return
    inner, inner_end = _members(text, held.start)
    last = {member.key: member for member in inner}
    for member in inner:
        if last[member.key] is member and member.key in wanted and wanted[member.key] != member.value:
            yield member.start, member.end, _text(wanted[member.key])
    added = ",".join(f"{_text(key)}:{_text(value)}" for key, value in wanted.items() if key not in last)
    if added:
        yield inner_end - 1, inner_end - 1, f"{',' if inner else ''}{added}"


def _deeper(values: Iterable[object], limit: int) -> bool:
    """Whether objects and arrays are within each other more than `limit` times."""
    held = [value for value in values if isinstance(value, dict | list)]
    for _ in range(limit):
        if not held:
            return False
        held = [
            value
            for each in held
            for value in (each.values() if isinstance(each, dict) else each)
            if isinstance(value, dict | list)
        ]
    return bool(held)


def _text(value: object) -> str:
    # ASCII: a value may hold half a surrogate pair, which UTF-8 cannot carry.
    return json.dumps(value, separators=(",", ":"), default=dict)


def _no_constant(name: str) -> NoReturn:
    # JSON has no NaN and no Infinity; Python's reader takes them.
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _members(text: str, at: int) -> tuple[list[Member], int]:
    """The members of the object that begins at `at`, and where it ends. Raises ValueError, RecursionError."""
    return _walk(text, at, "{}")


def _elements(text: str, at: int) -> list[Member]:
    return _walk(text, at, "[]")[0]


def _walk(text: str, at: int, brackets: str) -> tuple[list[Member], int]:
    opening, closing = brackets[0], brackets[1]
    found: list[Member] = []
    if text[at : at + 1] != opening:
        raise ValueError(f"no {opening}")
    at = _skip(text, at + 1)
    if text[at : at + 1] == closing:
        return found, at + 1
    while True:
        key = ""
        if opening == "{":
            if text[at : at + 1] != '"':
                raise ValueError("no key")
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise ValueError("no colon")
            at = _skip(text, at + 1)
        value, end = _DECODER.raw_decode(text, at)
        found.append(Member(key, value, at, end))
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark == closing:
            return found, at + 1
        if mark != ",":
            raise ValueError("no comma")
        at = _skip(text, at + 1)

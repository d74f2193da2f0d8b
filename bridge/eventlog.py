"""Entries of the event log: a tag number and typed values, decoded and printed as `logcat -b events` prints them; pure.

Sources: AOSP liblog `log_event_list` (types and sizes), `EventLogTags.logtags` of frameworks/base and lmkd (numbers).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from bridge.types import EventValue

# The tags that somebody here reads, by their numbers. On a phone the names stand in /system/etc/event-log-tags.
NAMES: Final = {
    30008: "am_anr",
    30011: "am_proc_died",
    30014: "am_proc_start",
    30021: "wm_on_paused_called",
    30022: "wm_on_resume_called",
    30023: "am_kill",
    30039: "am_crash",
    70000: "screen_toggled",
    10195355: "killinfo",
}
MAX_DEPTH = 16

_TAG = struct.Struct("<I")
_NUMBERS = {0: struct.Struct("<i"), 1: struct.Struct("<q"), 4: struct.Struct("<f")}
_STRING, _LIST = 2, 3


@dataclass(frozen=True, slots=True)
class Payload:
    """What an entry says. `tag` is its name, or its number where nobody here reads it; `cut`: values are missing."""

    tag: str
    values: tuple[EventValue, ...]
    text: str
    cut: bool


def decode(payload: bytes) -> Payload:
    """An entry's bytes: the tag's number, then one value, most often a list. Never raises: what is left out is `cut`.

    The values of the outermost list come as `values`; a value that stands alone is the only one.
    """
    if len(payload) < _TAG.size:
        return Payload("", (), "", cut=True)
    (number,) = _TAG.unpack_from(payload)
    tag = NAMES.get(number, str(number))
    found: list[EventValue] = []
    at, cut = _TAG.size, False
    while at < len(payload) and not cut:
        at, value, cut = _value(payload, at, 0)
        if value is not None:
            found.append(value)
    # A list of everything is what Java's EventLog writes; natively written values may follow each other without one.
    alone = found[0] if len(found) == 1 else None
    values = alone if isinstance(alone, tuple) else tuple(found)
    return Payload(tag, values, "".join(_text(value) for value in found), cut)


def _value(data: bytes, at: int, depth: int) -> tuple[int, EventValue | None, bool]:
    """The value at `at`: where the next begins, the value as far as it is there, whether something of it is not."""
    kind, at = data[at], at + 1
    number = _NUMBERS.get(kind)
    if number is not None:
        if len(data) - at < number.size:
            return len(data), None, True
        (value,) = number.unpack_from(data, at)
        return at + number.size, value, False
    if kind == _STRING:
        if len(data) - at < _TAG.size:
            return len(data), None, True
        (size,) = _TAG.unpack_from(data, at)
        at += _TAG.size
        return at + size, data[at : at + size].decode("utf-8", "replace"), at + size > len(data)
    if kind != _LIST or at >= len(data) or depth >= MAX_DEPTH:
        return len(data), None, True
    count, at = data[at], at + 1
    items: list[EventValue] = []
    for _ in range(count):
        if at >= len(data):
            return at, tuple(items), True
        at, value, cut = _value(data, at, depth + 1)
        if value is not None:
            items.append(value)
        if cut:
            return at, tuple(items), True
    return at, tuple(items), False


def _text(value: EventValue) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_text, value))}]"
    return f"{value:f}" if isinstance(value, float) else str(value)

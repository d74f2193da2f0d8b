"""How React Native's console prints a value: the `inspect` text of its polyfill (without the limit of 200 values)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_BARE = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")
_LINE = 60
_LEVELS = 11


class Undefined:
    """JavaScript's undefined."""


UNDEFINED = Undefined()


def inspect(value: object, level: int = 1) -> str:
    """The text of one value; members on lines of their own when their lengths, each plus one, pass 60. Objects from
    the 12th level on are not shown."""
    if isinstance(value, str):
        return "'" + json.dumps(value, ensure_ascii=False)[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"
    if value is UNDEFINED:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping | Sequence) and level > _LEVELS:
        return "[Object]"
    if isinstance(value, Mapping):
        return _braced([_member(key, item, level) for key, item in value.items()], "{", "}") if value else "{}"
    if isinstance(value, Sequence):
        return _braced([inspect(item, level + 1) for item in value], "[", "]") if value else "[]"
    return "{}"


def _member(key: str, value: object, level: int) -> str:
    text = inspect(value, level + 1)
    if "\n" in text:
        text = "\n" + "\n".join(f"   {line}" for line in text.split("\n"))
    return f"{key if _BARE.match(key) else inspect(key)}: {text}"


def _braced(members: list[str], opening: str, closing: str) -> str:
    if sum(len(member) + 1 for member in members) > _LINE:
        return f"{opening} " + ",\n  ".join(members) + f" {closing}"
    return f"{opening} {', '.join(members)} {closing}"

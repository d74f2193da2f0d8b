"""Reader of one JSON value inside a longer text. A value that was cut keeps the members that are complete."""

from __future__ import annotations

import contextlib
import json
import re

import orjson

from agent.analytics.inspect import Reading, paired

MAX_DEPTH = 256

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|["{}\[\]:,\n]')
_CLOSER = {"{": "}", "[": "]"}


def read(text: str, start: int = 0) -> Reading:
    """The object or array at `start`. One that begins with a line break may span lines, each indented or closing."""
    rest = text[start:]
    # Most often it is all that is left of the line; as many brackets as that cannot nest too deep.
    if rest[:1] in _CLOSER and "\n" not in rest and rest.count("{") + rest.count("[") <= MAX_DEPTH:
        with contextlib.suppress(orjson.JSONDecodeError):
            return Reading(orjson.loads(rest), start + len(rest.rstrip()), markers=False)
    stack: list[str] = []
    names: list[str] = []
    pretty = text[start + 1 : start + 2] == "\n"
    name = before = ""
    whole_to = stop = start
    for found in _TOKEN.finditer(text, start):
        token, stop = found[0], found.start()
        first = token[0]
        if first == '"':
            if len(token) == 1:
                break
            if before == ":" or (stack and stack[-1] == "]"):
                whole_to = found.end()
            else:
                name = token
        elif first in _CLOSER:
            if len(stack) >= MAX_DEPTH:
                return Reading(None, stop, "nested too deep")
            stack.append(_CLOSER[first])
            names.append("")
            whole_to = found.end()
        elif first in "}]":
            if not stack or stack.pop() != first:
                return Reading(None, stop, "grammar")
            names.pop()
            whole_to = found.end()
            if not stack:
                return _load(text[start:whole_to], whole_to)
        elif first == ",":
            whole_to = stop
        elif first == ":" and names:
            names[-1] = name
        elif first == "\n":
            if not pretty or text[stop + 1 : stop + 2] not in (" ", "\t", "}", "]"):
                break
            continue
        before = first
    else:
        stop = max(start, len(text))
    if not stack:
        return Reading(None, stop, "cut")
    shown = _load(text[start:whole_to] + "".join(reversed(stack)), stop)
    path = tuple(_name(each) for each in names[:-1])
    return Reading(shown.value, stop, shown.reason or "cut", path)


def _load(text: str, end: int) -> Reading:
    try:
        return Reading(orjson.loads(text), end, markers=False)
    except orjson.JSONDecodeError:
        pass
    try:  # what JavaScript writes and orjson refuses: lone surrogates; the depth is bounded by `read`
        value = json.dumps(json.loads(text), ensure_ascii=False)
        return Reading(json.loads(paired(value)), end)
    except ValueError:
        return Reading(None, end, "grammar")


def _name(token: str) -> str:
    try:
        return str(json.loads(token)) if token else ""
    except ValueError:
        return token

"""Reader of the text that React Native's console makes of objects (`inspect` of @react-native/js-polyfills console.js).

Objects `{ a: 1, 'b c': [ 1, , 'x' ] }`, real newlines between members, strings in single quotes with JSON escapes.
Reading is iterative and linear in the text; what cannot be read ends the value, it never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

MAX_DEPTH = 64


class Marker(str):
    """What the console printed in place of a value, as printed: `undefined`, `[Object]`, `[Function: f]`, a date..."""

    __slots__ = ()

    @property
    def hidden(self) -> bool:
        """A JSON value was there and is not shown: depth, cycle, size limit or getter."""
        return self in _HIDDEN or self.startswith("[TOO BIG formatValueCalls ")

    @property
    def absent(self) -> bool:
        """JSON has no place for it: undefined or a function."""
        return self == "undefined" or self.startswith("[Function")

    @property
    def json(self) -> object:
        """What JSON would have in its place. The console prints dates without their milliseconds, so do we."""
        if self.hidden or self.absent or self == "Invalid Date":
            return None
        return _iso(self) if _DATE.fullmatch(self) else {}


@dataclass(frozen=True, slots=True)
class Reading:
    """One value read from `start` to `end`. `reason` is "" for a whole value, else why it ends early.

    `open` is the path of containers (member names, "" within arrays) that were not closed, outermost first; `markers`
    whether there may be any in the value.
    """

    value: object
    end: int
    reason: str = ""
    open: tuple[str, ...] = field(default=())
    markers: bool = True


_HIDDEN = frozenset({"[Object]", "[Array]", "[Circular]", "[Getter]", "[Setter]", "[Getter/Setter]"})
# Every line of a value but its first is indented; a line that is not belongs to something else.
_SPACE = re.compile(r" *(?:\n  +)*")
_STRING = re.compile(r"'((?:[^'\\\n]|\\[^\n])*)'")
_NAME = re.compile(r"(?:([A-Za-z_][A-Za-z_0-9]*)|'((?:[^'\\\n]|\\[^\n])*)'|\[([^\]\n]*)\]):(?= )")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|Infinity)(?=[,\s]|\Z)")
_WORD = re.compile(r"(?:undefined|null|true|false|NaN)(?=[,\s]|\Z)")
_TOKEN = re.compile(
    r"\[(?:Object|Array|Circular|Getter|Setter|Getter/Setter|TOO BIG formatValueCalls [0-9]+ exceeded limit of [0-9]+"
    r"|Function(?:: [^\]\n]*)?)\]"
)
_ERROR = re.compile(r"\[[^\s\]\[](?:[^\]]|\](?!,|\s[}\]]|\n|\Z)){0,4096}\]")
_DATE = re.compile(
    r"(?:[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} -?[0-9]{4,6} [0-9:]{8} GMT[+-][0-9]{4}(?: \([^)\n]*\))?|Invalid Date"
    r"|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} -?[0-9]{4,6} [0-9:]{8} GMT)"
)
_REGEXP = re.compile(r"/(?:[^/\\\n\[]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n])*\])+/[a-z]{0,8}")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_WORDS: dict[str, object] = {"null": None, "true": True, "false": False, "NaN": float("nan")}


def parse(text: str, start: int = 0) -> Reading:
    """The value that begins at `start`. A value that ends early holds what was complete by then."""
    stack: list[dict[str, object] | list[object]] = []
    names: list[str] = []  # of the member each container is filling now
    bare: list[bool] = []  # whether the member being filled is an array's extra property, which JSON drops
    bases: list[Marker | None] = []  # the date or function that prints members of its own; JSON has only itself
    at = start
    while True:
        value, end, reason = _scalar(text, at)
        if reason:
            return _early(stack, names, at, reason)
        if end < 0:  # a container opens
            if len(stack) >= MAX_DEPTH:
                return _early(stack, names, at, "nested too deep")
            opened: dict[str, object] | list[object] = {} if text[at] == "{" else []
            at, base = _after_base(text, at + 1) if text[at] == "{" else (at + 1, None)
            bases.append(base)
            stack.append(opened)
            names.append("")
            bare.append(False)
            closed = False
        else:
            at = end
            if not stack:
                return Reading(value, at)
            # Inside a container a line never ends right after a value without a closing sign: it may be half of one.
            signed = isinstance(value, str) and not (isinstance(value, Marker) and value[0] != "[")
            if not signed and text[at : at + 1] in ("", "\n"):
                return _early(stack, names, at, "cut")
            closed = True
            _put(stack[-1], names[-1], bare[-1], value)
        # Now at a "," or an end after a value, or at the first member or the end of an empty container.
        while stack:
            at = _skip(text, at)
            inside = stack[-1]
            if text.startswith("}" if isinstance(inside, dict) else "]", at):
                at += 1
                stack.pop()
                names.pop()
                bare.pop()
                base = bases.pop()
                whole: object = inside if base is None else base
                if not stack:
                    return Reading(whole, at)
                _put(stack[-1], names[-1], bare[-1], whole)
                closed = True
                continue
            if closed:
                if not text.startswith(",", at):
                    return _early(stack, names, at, _why(text, at))
                at = _skip(text, at + 1)
            closed = True
            if isinstance(inside, list):
                if text.startswith((",", "]"), at):  # a hole
                    inside.append(None)
                    continue
                named = _NAME.match(text, at)
                names[-1], bare[-1] = "", named is not None
                at = _skip(text, named.end()) if named is not None else at
                break
            named = _NAME.match(text, at)
            if named is None:
                return _early(stack, names, at, _why(text, at))
            names[-1] = named[1] if named[1] is not None else unquote(named[2] if named[2] is not None else named[3])
            at = _skip(text, named.end())
            break


def unquote(body: str) -> str:
    """The string whose printed form between the quotes is `body`."""
    if "\\" not in body:
        return body

    def back(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2])

    return paired(_ESCAPE.sub(back, body))


def paired(text: str) -> str:
    """The text with halves of one character joined, and lone ones, which cannot be written as UTF-8, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _scalar(text: str, at: int) -> tuple[object, int, str]:
    """Value, end and reason of what stands at `at`; end is -1 for the opening of an object or array."""
    first = text[at : at + 1]
    if first == "'":
        found = _STRING.match(text, at)
        return (unquote(found[1]), found.end(), "") if found else (None, at, "cut")
    if first == "{" or (first == "[" and text[at + 1 : at + 2] in (" ", "]")):
        return None, -1, ""
    for pattern in (_NUMBER, _WORD, _TOKEN, _DATE, _REGEXP, _ERROR):
        found = pattern.match(text, at)
        if found is None:
            continue
        if pattern is _NUMBER:
            return _number(found[0]), found.end(), ""
        if pattern is _WORD and found[0] in _WORDS:
            return _WORDS[found[0]], found.end(), ""
        return Marker(found[0]), found.end(), ""
    return None, at, _why(text, at)


def _number(text: str) -> int | float:
    # Up to 64 bits as the JSON reader does it; JavaScript has no larger integer that is exact, anyway.
    if len(text) <= 20 and text.lstrip("-").isdigit():
        number = int(text)
        if -(1 << 63) <= number < 1 << 64:
            return number
    return float(text.replace("Infinity", "inf"))


def _iso(date: str) -> str:
    """A printed date as JSON has it, in UTC; as it is when it lies outside the years that are told here."""
    text = date.split(" (")[0]
    if text.endswith("GMT"):
        text += "+0000"
    for layout in ("%a %b %d %Y %H:%M:%S GMT%z", "%a, %d %b %Y %H:%M:%S GMT%z"):
        try:
            return f"{datetime.strptime(text, layout).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
        except (ValueError, OverflowError):
            continue
    return date


def _after_base(text: str, at: int) -> tuple[int, Marker | None]:
    """Past the `[Error: text]`, date or expression that an object with members of its own leads with.

    A date or function comes along: JSON has it without those members.
    """
    if text[at : at + 1] != " " or text[at + 1 : at + 2] in ("", " ", "'", "{", "\n"):
        return at, None
    if _NAME.match(text, at + 1):
        return at, None
    for pattern in (_TOKEN, _ERROR, _DATE, _REGEXP):
        found = pattern.match(text, at + 1)
        if found is not None:
            base = Marker(found[0])
            return found.end(), base if pattern is _DATE or base.absent else None
    return at, None


def _put(inside: dict[str, object] | list[object], name: str, bare: bool, value: object) -> None:
    if isinstance(inside, dict):
        inside[name] = value
    elif not bare:
        inside.append(value)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _why(text: str, at: int) -> str:
    return "cut" if at >= len(text) else "grammar"


def _early(stack: list[dict[str, object] | list[object]], names: list[str], at: int, reason: str) -> Reading:
    value: object = None
    path = tuple(names[:-1]) if stack else ()
    for depth in range(len(stack) - 1, -1, -1):
        value = stack[depth]
        if depth:
            _put(stack[depth - 1], names[depth - 1], False, value)
    return Reading(value, at, reason, path)

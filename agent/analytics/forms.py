"""The forms in which an app's console shows Segment events: one message in, what it states out.

Sources: the console of React Native (`inspect` layout, one string as it is), @segment/analytics-react-native
`logger.ts` and `analytics.ts` ("... event saved"), its Amplitude session plugin's lines, and the numbered parts
`SegmentReplay/1 <messageId> <part>/<total> <text>` of the recommended after plugin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from agent.analytics import jsontext
from agent.analytics.inspect import Marker, Reading, parse, unquote
from agent.model import EventKind
from bridge.logcat import unescape

Path = tuple[str, ...]

ABSENT = object()
UNKNOWN = object()
KINDS = frozenset(get_args(EventKind))
MAX_MESSAGE = 1 << 20
SAMPLE = 160


@dataclass(frozen=True, slots=True)
class Shown:
    """An event object as far as it is shown.

    `gaps` are the paths that cannot be trusted: at each, the value or some members are not shown; () is the object
    itself. `style` tells one logging call of the app from another; `saved` is the SDK's own line, `lifecycle` one that
    the SDK writes before the event's plugins run.
    """

    value: Mapping[str, object]
    gaps: frozenset[Path]
    style: str
    saved: bool = False
    lifecycle: bool = False

    def look(self, *path: str) -> object:
        """The value at a path; ABSENT when the object has none, UNKNOWN when the log does not tell."""
        value: object = self.value
        for depth, name in enumerate(path):
            if isinstance(value, Mapping) and name in value:
                value = value[name]
            else:
                hidden = path[:depth] in self.gaps or path[: depth + 1] in self.gaps
                return UNKNOWN if hidden else ABSENT
        return value


@dataclass(frozen=True, slots=True)
class Part:
    """One numbered part of an event's JSON text; `index` counts from 1."""

    message_id: str
    index: int
    total: int
    text: str


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A line of the Amplitude session plugin."""

    kind: Literal["start", "end"]
    session_id: int


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the SDK that changes what may be inferred: identity and session dropped, or no settings to be had."""

    kind: Literal["reset", "no settings"]


@dataclass(frozen=True, slots=True)
class Unread:
    """It looked like an event and could not be read."""

    reason: str
    sample: str


Statement = Shown | Part | SessionLine | Note | Unread

_PROMISING = re.compile(
    r"""SegmentReplay/|\[AmplitudeSession\]|Client has been reset|Could not receive settings|type: '|"type" ?:"""
)
_EVENTFUL = re.compile(
    r"""event (?:saved|payload)'|"?messageId"?:|"?type"?: ?["'](?:track|screen|identify|group|alias)["']"""
)
# Of settings that the app has brought along nobody knows what they switch on.
_DEFAULTS = "ill use the default settings"
_GROUP = re.compile(r"(?:│ ?)+")
_PART = re.compile(r"SegmentReplay/1 (\S{1,200}) (\d{1,6})/(\d{1,6}) (.*)", re.DOTALL)
_SESSION = re.compile(r"\[AmplitudeSession\] (startNewSession ->|endSession ->|EndSession =) (-?\d{1,19})\s*$")
_SAVED = re.compile(r"(?:TRACK|SCREEN|IDENTIFY|GROUP|ALIAS)( \(.*\))? event (?:saved|payload)")
_ARGUMENT = re.compile(r"'|\{[ }]|\[ |-?[0-9][0-9.e+-]*, |undefined, |null, |true, |false, |NaN, ")
_TORN_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?$")
_OBJECT = re.compile(r'\{(?=[ \n]*")')


def without_parts(message: str) -> str:
    """`message` without the text of an event's numbered parts: torn anywhere, what is private in it has no form.

    The event itself says all of it.
    """
    return _PART.sub(lambda m: m[0] if m[3] == "1" else f"SegmentReplay/1 {m[1]} {m[2]}/{m[3]}", message)


def statements(message: str) -> list[Statement]:
    """What a message states, in order. A message that cannot be an event yields nothing."""
    message = message[:MAX_MESSAGE]
    if not _PROMISING.search(message):
        return []
    found = _split(message)
    if "\\" in message and any(_imperfect(each) for each in found):
        # A log printed with -v printable has its backslashes doubled and, in `long`, its newlines escaped.
        other = _split(unescape(message))
        if sum(map(_imperfect, other)) < sum(map(_imperfect, found)):
            return other
    return found


def shown(reading: Reading, style: str, *, saved: bool = False, lifecycle: bool = False) -> Shown | None:
    """The event object in a reading; None when it is none."""
    value, gaps = reading.value, set[Path]()
    if reading.reason:
        gaps.update(reading.open[:depth] for depth in range(len(reading.open) + 1))
    plain = _plain(value, (), gaps) if reading.markers else value
    if not isinstance(plain, dict) or not isinstance(kind := plain.get("type"), str) or kind not in KINDS:
        return None
    if not saved and not isinstance(plain.get("messageId"), str):
        named = plain.keys() & {"event", "name", "userId", "groupId", "previousId", "traits", "properties"}
        if not named or not gaps & {(), ("messageId",)}:
            return None
    return Shown(plain, frozenset(gaps), style, saved, lifecycle)


def _imperfect(statement: Statement) -> bool:
    return isinstance(statement, Unread) or (isinstance(statement, Shown) and () in statement.gaps)


def _split(text: str) -> list[Statement]:
    found: list[Statement] = []
    at = 0
    while at < len(text):
        end = _line_end(text, at)
        group = _GROUP.match(text, at)
        begin = group.end() if group else at
        if at == 0 or (begin < end and not text[begin].isspace()):
            end = _line_end(text, max(end, _statement(text, begin, end, found)))
        at = end + 1
    return found


def _statement(text: str, at: int, end: int, found: list[Statement]) -> int:
    """Add what the line at `at` begins to state; returns how far it was read."""
    line = text[at:end]
    if line.startswith("SegmentReplay/"):
        found.append(_part(line))
        return end
    session = _SESSION.match(line)
    if session is not None:
        found.append(SessionLine("start" if session[1].startswith("start") else "end", int(session[2])))
        return end
    if line.startswith("Client has been reset"):
        found.append(Note("reset"))
        return end
    if line.startswith("Could not receive settings from Segment"):
        if _DEFAULTS not in line:
            found.append(Note("no settings"))
        return end
    if _ARGUMENT.match(text, at) and not _OBJECT.match(text, at):
        reached = _arguments(text, at, found)
        if reached >= 0:
            return reached
    return _objects(text, at, end, found)


def _part(line: str) -> Statement:
    match = _PART.match(line)
    if match is None:
        known = line.startswith("SegmentReplay/1 ")
        return Unread("part malformed" if known else "version unknown", line[:SAMPLE])
    return Part(match[1], int(match[2]), int(match[3]), match[4])


def _objects(text: str, at: int, end: int, found: list[Statement]) -> int:
    """JSON objects in a line, bare or after a label; one may end in a later line."""
    label = text[at:end]
    label = label[: label.find("{")][:SAMPLE]
    reached = at
    while True:
        start = text.find("{", reached, end)
        # What stands behind the brace may be in the next line.
        while start >= 0 and not _OBJECT.match(text, start):
            start = text.find("{", start + 1, end)
        if start < 0:
            return max(reached, at)
        reading = jsontext.read(text, start)
        _take(reading, f"json:{label}", text, start, found)
        reached = max(reading.end, start + 1)
        if reading.reason:
            return reached


def _arguments(text: str, at: int, found: list[Statement]) -> int:
    """Console arguments in inspect layout: where they end, or -1 when the line is no such list."""
    label = ""
    position = at
    taken: list[Statement] = []
    while True:
        reading = parse(text, position)
        value = reading.value
        torn = bool(reading.reason) and text[position] == "'"
        if torn:
            value = unquote(_TORN_ESCAPE.sub(r"\1", text[position + 1 : _line_end(text, position)]))
        if isinstance(value, str) and not isinstance(value, Marker):
            if value.lstrip().startswith(("{", "[")):
                start = len(value) - len(value.lstrip())
                _take(jsontext.read(value, start), f"text:{label}", value, start, taken)
            elif not label:
                label = value[:SAMPLE]
        else:
            saved = _SAVED.fullmatch(label)
            _take(reading, f"inspect:{label}", text, position, taken, saved)
        if reading.reason:
            found.extend(taken)
            return reading.end if taken else -1
        if text.startswith(", ", reading.end) and reading.end + 2 < len(text):
            position = reading.end + 2
            continue
        if reading.end < len(text) and text[reading.end] != "\n":
            return -1
        found.extend(taken)
        return reading.end


def _take(
    reading: Reading, style: str, text: str, at: int, found: list[Statement], saved: re.Match[str] | None = None
) -> None:
    event = shown(reading, style, saved=saved is not None, lifecycle=saved is not None and saved[1] is not None)
    if event is not None:
        found.append(event)
    elif reading.reason and _EVENTFUL.search(text, text.rfind("\n", 0, at) + 1, max(reading.end, at)):
        found.append(Unread(reading.reason, text[at : at + SAMPLE]))


def _plain(value: object, path: Path, gaps: set[Path]) -> object:
    """The JSON-like value behind an inspected one; what the text hides becomes a gap. The readers bound the depth."""
    if isinstance(value, dict):
        plain: dict[str, object] = {}
        for name, member in value.items():
            if isinstance(member, Marker):
                if member.hidden:
                    gaps.add((*path, name))
                    continue
                if member.absent:
                    continue
                plain[name] = member.json
            else:
                plain[name] = _plain(member, (*path, name), gaps)
        return plain
    if isinstance(value, list):
        items: list[object] = []
        for member in value:
            if isinstance(member, Marker):
                if member.hidden:
                    gaps.add(path)
                items.append(member.json)
            else:
                items.append(_plain(member, (*path, ""), gaps))
        return items
    return value.json if isinstance(value, Marker) else value


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)

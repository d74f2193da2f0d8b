"""What a replay says of a moment beside its picture: log lines, and the marks of events, findings, markers and gaps."""

from __future__ import annotations

from agent.model import Finding, Happening, Marker, SegmentEvent
from agent.replay import rrweb
from agent.replay.mask import Masker
from agent.replay.rrweb import Event
from agent.replay.text import is_open, may_be_cut
from bridge.types import Gap, LogEntry

MAX_LOG_CHARS = 2_000
MAX_MARKER_CHARS = 200
MAX_PROOF_CHARS = 600
# How soon a piece of a long text follows the one before.
PIECES_NS, PIECES_CHARS = 100_000_000, 16_384
# How much of an object that is printed line by line is kept for its next line: less than a line that was cut.
OPEN_CHARS = 900
MAX_WRITERS = 64
_LEVELS = {"V": "debug", "D": "debug", "I": "info", "W": "warn", "E": "error", "F": "error", "S": "log"}


class Marks:
    """Makes rrweb events of items, each without what is private. One thread at a time; keeps what lines may go on."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._last_logs: dict[tuple[int, int, str], tuple[int, str]] = {}

    def event(self, item: SegmentEvent, bound_ms: float) -> Event:
        """A Segment event, whose mark is within `bound_ms` of it."""
        masked = self._masker.event(item.event, item.stamp)
        properties = masked.get("properties", masked.get("traits", {}))
        payload = {
            "event": self._masker.name(item.name),
            "messageId": self._masker.event({"messageId": item.message_id})["messageId"],
            "session_id": self._masker.event({"session_id": item.session_id})["session_id"],
            "device_id": item.device_id,
            "session_from": item.session_from,
            "device_from": item.device_from,
            "stage": item.stage,
            "complete": item.complete,
            "missing": [self._masker.name(name) for name in item.missing],
            "bound_ms": bound_ms,
            "properties": properties,
        }
        user = self._masker.event({"userId": item.event.get("userId")})["userId"]
        if isinstance(user, str | int) and not isinstance(user, bool) and user == item.event.get("userId"):
            # Whose replay it is: people ask for theirs, or for its end, by this id. A starred one names nobody.
            payload["userId"] = str(user)
        return rrweb.custom(item.stamp.wall_ms, f"segment:{item.kind}", payload)

    def before(self, item: LogEntry) -> str:
        """The line that this one goes on with, "" for none. One that is not recorded counts: what ends here may begin
        there."""
        writer_of_it = item.pid, item.tid, item.tag
        last_ns, before = self._last_logs.pop(writer_of_it, (item.stamp.mono_ns + 1, ""))
        if not 0 <= item.stamp.mono_ns - last_ns < PIECES_NS:
            before = ""
        message = item.message.rstrip("\r\n")
        # What begins in one piece may end two pieces on, and an object lines on.
        so_far = before + message if may_be_cut(before) or before.endswith("\n") else message
        if not (may_be_cut(before) or may_be_cut(message)):
            so_far = f"{so_far[-OPEN_CHARS:]}\n" if is_open(so_far) else message
        self._last_logs[writer_of_it] = item.stamp.mono_ns, so_far[-PIECES_CHARS:]
        while len(self._last_logs) > MAX_WRITERS:
            del self._last_logs[next(iter(self._last_logs))]
        return before

    def log(self, item: LogEntry, before: str) -> Event:
        """A log line, which goes on with `before`."""
        cut = item.cut or may_be_cut(item.message)
        message = self._masker.text(item.message, before, cut=cut, at=item.stamp)
        text = f"{item.level}/{self._masker.text(item.tag)}: {message}"
        return rrweb.log(item.stamp.wall_ms, _LEVELS[item.level], text[:MAX_LOG_CHARS])

    def finding(self, item: Finding) -> Event:
        """What the doctor found."""
        payload = {
            "rule": item.rule,
            "severity": item.severity,
            "saw": self._masker.text(item.saw, at=item.stamp),
            "meaning": item.meaning,
            "fix": item.fix,
            # Cut last: half a secret is no pattern any more.
            "proof": self._masker.text(item.proof, cut=may_be_cut(item.proof), at=item.stamp)[:MAX_PROOF_CHARS],
            "pid": item.pid,
        }
        return rrweb.custom(item.stamp.wall_ms, "doctor", payload)

    def happening(self, item: Happening) -> Event:
        """What happened to the app or the phone."""
        payload = {"name": item.name, **item.facts}
        if item.text:
            # Cut last: half a secret is no pattern any more.
            cut = may_be_cut(item.text)
            payload["text"] = self._masker.text(item.text, cut=cut, at=item.stamp)[:MAX_LOG_CHARS]
        return rrweb.custom(item.stamp.wall_ms, item.kind, payload)

    def marker(self, item: Marker) -> Event:
        """What a person or a test marked."""
        name, note = self._masker.text(item.name), self._masker.text(item.note)
        payload = {"name": name[:MAX_MARKER_CHARS], "note": note[:MAX_LOG_CHARS], "by": item.by, **item.facts}
        return rrweb.custom(item.stamp.wall_ms, "marker", payload)

    def gap(self, item: Gap) -> Event:
        """What is missing, with its true length: by the clock that holds from its end on, which may be another than
        when it began."""
        lasted_ms = max(0, item.end.mono_ns - item.start.mono_ns) // 1_000_000
        from_ms = item.end.wall_ms - lasted_ms
        payload = {
            "stage": item.stage,
            "reason": item.reason,
            "detail": self._masker.text(item.detail),
            "from_ms": from_ms,
            "to_ms": item.end.wall_ms,
            "ms": lasted_ms,
        }
        return rrweb.custom(from_ms, "gap", payload)

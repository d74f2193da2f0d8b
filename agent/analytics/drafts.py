"""A Segment event on its way out: what the log shows of it, and the facts that the log shows elsewhere."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

from agent.analytics.forms import ABSENT, UNKNOWN, Shown
from agent.analytics.hold import Due
from agent.analytics.identity import DESTINATION, device_from, device_id, session_from, session_id
from agent.analytics.sessions import FROM_PROCESS, App
from agent.model import NO_SESSION, EventKind, EventStage, SegmentEvent
from bridge.types import LogEntry, Stamp

FROM_OWN_OPTIONS = "properties.integrations"
FROM_PROPERTIES_ALONE = "inferred: properties, no session plugin seen"

MAX_WEIGHT = 2_000_000
# An app may give an event a time of its own choice: one further off says nothing of when it was made.
MAX_LATE_NS = 60_000_000_000
_PARTS = ("messageId", "timestamp", "integrations", "anonymousId", "context")
_BODY = frozenset(("properties", "traits", "userId", "groupId", "previousId"))
_COUNTED = re.compile(r"[\w-]*\d[\w-]*")
SESSION_EVENTS = ("session_start", "session_end")


@dataclass(slots=True, eq=False)
class Draft:
    """`stage` None means: before or after the session plugin, decided by what the log still tells until `due`.

    `weight` is the characters of the text that shows it, `device` the process's as it came. `sources` are the logging
    calls that have shown the event, `told` = no longer held; two reports of one event have the same `titles`.
    """

    entry: LogEntry
    uid: int | None
    app: App
    shown: Shown
    message_id: str
    stage: EventStage | None
    due: Due
    weight: int
    inferred: tuple[int, str] = (NO_SESSION, "")
    device: str | None = None
    waits: bool = False
    told: bool = False
    sources: frozenset[str] = field(init=False)
    titles: tuple[int, str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.sources = frozenset((self._source(),))
        self.titles = self.entry.pid, self.kind, self.name

    @property
    def kind(self) -> EventKind:
        return cast(EventKind, self.shown.value["type"])

    @property
    def name(self) -> str:
        names = ("event", "name") if self.kind == "track" else ("name",)
        return next((value for value in map(self.shown.value.get, names) if isinstance(value, str)), "")

    @property
    def rank(self) -> int:
        """How much it shows, among reports of the same event."""
        if self.stage == "raw":
            return 1 if self.shown.value.keys() & _BODY else 0
        if self.stage != "after":
            return 2
        if integration_id(self.shown) in (ABSENT, UNKNOWN):
            # Maybe from before the session plugin all the same, by a call that looks like one from after it.
            return 3
        return 4 if self.shown.gaps else 5

    @property
    def fullness(self) -> tuple[int, bool]:
        """Which of two reports of an event stands for it, where one may be without the message id.

        By that the event is known again when it is shown again: what a later stage adds is worth less.
        """
        return self.rank if self.message_id else min(self.rank, 2), bool(self.message_id)

    def _source(self) -> str:
        """The call that shows it, which shows an event once; a label may count the events."""
        if not self.shown.saved:
            return _COUNTED.sub("", self.shown.style)
        # Newer SDKs print name and message id first, the payload in a line of its own.
        return "saved, named" if self.message_id else "saved"


class Shelf:
    """Drafts in order of arrival, to be bounded by number and by weight."""

    def __init__(self) -> None:
        self._drafts: deque[Draft] = deque()
        self._weight = 0

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._drafts)

    def __len__(self) -> int:
        return len(self._drafts)

    def __getitem__(self, index: int) -> Draft:
        return self._drafts[index]

    def over(self, limit: int) -> bool:
        """Whether there are more than `limit`, or more than one whose texts are too long together."""
        return len(self._drafts) > limit or (self._weight > MAX_WEIGHT and len(self._drafts) > 1)

    def append(self, draft: Draft) -> None:
        self._drafts.append(draft)
        self._weight += draft.weight

    def popleft(self) -> Draft:
        draft = self._drafts.popleft()
        self._weight -= draft.weight
        return draft

    def remove(self, draft: Draft) -> None:
        self._drafts.remove(draft)
        self._weight -= draft.weight


def integration_id(shown: Shown) -> object:
    """The session id that the session plugin put in; ABSENT or UNKNOWN without one."""
    value = shown.look("integrations", DESTINATION, "session_id")
    return ABSENT if value is None else value


def own_session(draft: Draft) -> int:
    """The session that a `session_start` or `session_end` event names in its properties, else NO_SESSION."""
    if draft.kind != "track" or draft.name not in SESSION_EVENTS:
        return NO_SESSION
    value = draft.shown.look("properties", "integrations", DESTINATION, "session_id")
    return value if isinstance(value, int) and not isinstance(value, bool) else NO_SESSION


def finish(draft: Draft, *, strict: bool) -> SegmentEvent:
    """The event with its ids; `strict` keeps to what the event itself shows."""
    shown, entry = draft.shown, draft.entry
    stage: EventStage = draft.stage or "after"
    missing = _missing(shown, stage, draft.kind)
    session, source = _session(draft, stage, strict=strict)
    device, holder = _device(draft, stage, strict=strict)
    stamp = shown.value.get("timestamp")
    event_ms = epoch_ms(stamp) if isinstance(stamp, str) else None
    return SegmentEvent(
        stamp=_stamp(entry, event_ms),
        pid=entry.pid,
        uid=draft.uid,
        stage=stage,
        kind=draft.kind,
        name=draft.name,
        message_id=draft.message_id,
        event_ms=event_ms,
        complete=stage == "after" and not missing,
        session_id=session,
        session_from=source,
        device_id=device,
        device_from=holder,
        missing=missing,
        event=shown.value,
    )


def session_event(entry: LogEntry, uid: int | None, app: App, kind: str, session: int, *, strict: bool) -> SegmentEvent:
    """The event behind a line of the session plugin. `kind` is "start" or "end"."""
    device = None if strict else app.process(entry.pid).device
    return SegmentEvent(
        stamp=entry.stamp,
        pid=entry.pid,
        uid=uid,
        stage="session",
        kind="track",
        name=f"session_{kind}",
        message_id="",
        event_ms=None,
        complete=False,
        session_id=session,
        session_from="session plugin line",
        device_id=device,
        device_from=FROM_PROCESS if device is not None else "",
        missing=("properties", *_PARTS),
    )


def _session(draft: Draft, stage: EventStage, *, strict: bool) -> tuple[object, str]:
    shown = draft.shown
    if stage == "after":
        held = integration_id(shown)
        known = held is not UNKNOWN
        if held is ABSENT and draft.kind in ("track", "screen"):
            known = shown.look("properties", "session_id") is not UNKNOWN
        if known:
            return session_id(shown.value), session_from(shown.value)
    if strict:
        return NO_SESSION, ""
    own = own_session(draft)
    if own != NO_SESSION:
        return own, FROM_OWN_OPTIONS
    if draft.inferred[0] != NO_SESSION:
        return draft.inferred
    if stage == "raw" and not draft.app.evidence and session_from(shown.value):
        return session_id(shown.value), FROM_PROPERTIES_ALONE
    return NO_SESSION, ""


def _device(draft: Draft, stage: EventStage, *, strict: bool) -> tuple[str | None, str]:
    shown = draft.shown
    if stage != "raw":
        held = shown.look("context", "device", "id")
        if held is not UNKNOWN and (held not in (ABSENT, None) or shown.look("anonymousId") is not UNKNOWN):
            value = device_id(shown.value)
            return value if isinstance(value, str) else None, device_from(shown.value)
    device = None if strict else draft.device or draft.app.process(draft.entry.pid).device
    return device, FROM_PROCESS if device is not None else ""


def _stamp(entry: LogEntry, event_ms: int | None) -> Stamp:
    """When it was logged. The bound covers how long that was after the event's own time, where it says one."""
    late_ns = 0 if event_ms is None else entry.time_ns - event_ms * 1_000_000
    if not 0 < late_ns <= MAX_LATE_NS:
        return entry.stamp
    return replace(entry.stamp, bound_ns=entry.stamp.bound_ns + late_ns)


def _missing(shown: Shown, stage: EventStage, kind: EventKind) -> tuple[str, ...]:
    body = "traits" if kind in ("identify", "group") else "properties"
    names = [name for name in (body, *_PARTS) if _lacks(shown, name, stage)]
    names += sorted({path[0] for path in shown.gaps if path} - {*names})
    return tuple(names)


def _lacks(shown: Shown, name: str, stage: EventStage) -> bool:
    value = shown.look(name)
    if stage == "raw":
        return value in (ABSENT, UNKNOWN) and name not in ("traits", "properties")
    return value is UNKNOWN or (stage == "before" and name == "integrations")


def epoch_ms(text: str) -> int | None:
    """An ISO timestamp as epoch milliseconds, None when it is none; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000

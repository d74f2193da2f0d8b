"""Segment events as the app uploads them: final, whole, with all ids, but up to a flush interval late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, get_args

from agent.analytics.alike import added
from agent.analytics.drafts import epoch_ms
from agent.analytics.identity import device_from, device_id, session_from, session_id
from agent.analytics.inspect import paired
from agent.analytics.sniffer import HOLD_MS
from agent.model import EventKind, ParseFailure, Relayed, SegmentEvent
from bridge.types import Stamp

# The SDK flushes every 30 s (src/constants.ts); a hold any longer would delay the recording for the rare late flush.
HOLD_NS = 33_000_000_000
# A "saved" line comes at, or for lifecycle events seconds before or after, the event's own time.
NEAR_NS = 5_000_000_000
# How much earlier than a report with the message id the sniffer still joins a line with it.
JOINS_NS = HOLD_MS * 1_000_000
MAX_HELD = 512
MAX_UPLOADED = 256
MAX_SEEN = 4_096

_T = TypeVar("_T")
_KINDS = frozenset(get_args(EventKind))
# Added for the upload alone, by src/plugins/DestinationMetadataEnrichment.ts.
_METADATA = "_metadata"


def read(item: Relayed, offset_ns: int | None, uid: int | None, bound_ns: int = 0) -> SegmentEvent | ParseFailure:
    """The event of an upload.

    `offset_ns` is the device's wall clock minus the host's monotonic clock, ± `bound_ns`: with it the event is stamped
    by its own timestamp, never later than it came. A value that is no event gives a ParseFailure.
    """
    event = {_sound(key): _sound(value) for key, value in item.event.items()}
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        return ParseFailure(item.stamp, 0, "relay: no event of a known type", str(kind)[:40])
    names = ("event", "name") if kind == "track" else ("name",)
    name = next((value for value in map(event.get, names) if isinstance(value, str)), "")
    message_id, stamp, device = event.get("messageId"), event.get("timestamp"), device_id(event)
    event_ms = epoch_ms(stamp) if isinstance(stamp, str) else None
    return SegmentEvent(
        stamp=_stamp(item.stamp, event_ms, offset_ns, bound_ns),
        pid=0,
        uid=uid,
        stage="after",
        kind=cast(EventKind, kind),
        name=name,
        message_id=message_id if isinstance(message_id, str) else "",
        event_ms=event_ms,
        complete=True,
        session_id=session_id(event),
        session_from=session_from(event),
        device_id=device if isinstance(device, str) else None,
        device_from=device_from(event),
        event={key: value for key, value in event.items() if key != _METADATA},
    )


def package(event: Mapping[str, object]) -> str:
    """The app that an event names as its own, "" when it names none."""
    context = event.get("context")
    app = context.get("app") if isinstance(context, Mapping) else None
    name = app.get("namespace") if isinstance(app, Mapping) else None
    return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class _Held:
    due_ns: int
    event: SegmentEvent


class Merge:
    """One stream of events from two: the log's at once, the relay's late, each event once and at its fullest.

    What the log shows with a message id goes through, the recorder knows it again by that. The SDK's own "saved" lines
    have none, nor has an event that was cut before it: they are held until the upload of the same event comes and takes
    their place, or HOLD_NS has passed. Where the log shows an event with its id the sniffer has joined its lines with
    that: its upload takes the place of earlier ones only.
    Pure; one owner; memory is bounded.
    """

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._uploaded: deque[SegmentEvent] = deque(maxlen=MAX_UPLOADED)
        self._seen: dict[str, None] = {}
        # When the log showed an event with its message id, by the hash of that.
        self._logged: dict[int, int] = {}

    def log(self, event: SegmentEvent) -> list[SegmentEvent]:
        """An event that the log showed."""
        if event.message_id:
            self._shown(event)
        if event.stage == "session" or event.message_id:
            return [event]
        fuller = _closest(self._uploaded, lambda uploaded: _added(event, uploaded))
        if fuller is not None:
            self._uploaded.remove(fuller)
            return []
        self._held.append(_Held(event.stamp.mono_ns + HOLD_NS, event))
        return [self._held.popleft().event] if len(self._held) > MAX_HELD else []

    def relay(self, event: SegmentEvent) -> list[SegmentEvent]:
        """An event that the app uploaded; nothing when it was uploaded before (the SDK tries again)."""
        if event.message_id:
            if event.message_id in self._seen:
                return []
            self._seen[event.message_id] = None
            if len(self._seen) > MAX_SEEN:
                del self._seen[next(iter(self._seen))]
        logged_ns = self._logged.get(hash(event.message_id)) if event.message_id else None
        lines = (
            self._held if logged_ns is None else [h for h in self._held if h.event.stamp.mono_ns < logged_ns - JOINS_NS]
        )
        lesser = _closest(lines, lambda held: _added(held.event, event))
        if lesser is not None:
            self._held.remove(lesser)
        elif logged_ns is None:
            # Its line may come yet: the sniffer holds lines back for a while.
            self._uploaded.append(event)
        return [event]

    def _shown(self, event: SegmentEvent) -> None:
        """The log shows an event with its message id: no later line of it comes here."""
        self._logged.setdefault(hash(event.message_id), event.stamp.mono_ns)
        if len(self._logged) > MAX_SEEN:
            del self._logged[next(iter(self._logged))]
        uploaded = next((each for each in self._uploaded if each.message_id == event.message_id), None)
        if uploaded is not None:
            self._uploaded.remove(uploaded)

    def advance(self, now: Stamp) -> list[SegmentEvent]:
        """The held lines that are due: no upload of them was seen."""
        found = []
        while self._held and self._held[0].due_ns <= now.mono_ns:
            found.append(self._held.popleft().event)
        return found

    def flush(self) -> list[SegmentEvent]:
        """All that is held."""
        found = [held.event for held in self._held]
        self._held.clear()
        return found


def _sound(value: Any) -> Any:
    """A JSON value without halves of characters: an app that cuts a text may post them, and UTF-8 cannot carry them."""
    if isinstance(value, str):
        return paired(value)
    if isinstance(value, Mapping):
        return {_sound(key): _sound(each) for key, each in value.items()}
    return [_sound(each) for each in value] if isinstance(value, list) else value


def _stamp(came: Stamp, event_ms: int | None, offset_ns: int | None, bound_ns: int) -> Stamp:
    if event_ms is None or offset_ns is None:
        return replace(came, bound_ns=HOLD_NS)
    late_ns = max(0, came.mono_ns - (event_ms * 1_000_000 - offset_ns))
    # The event's own time is in whole milliseconds.
    return Stamp(came.mono_ns - late_ns, came.wall_ms - late_ns // 1_000_000, bound_ns + 1_000_000)


def _closest(several: Iterable[_T], added_by: Callable[[_T], int | None]) -> _T | None:
    """The one that differs least, of equal ones the first."""
    far = [(more, each) for each in several if (more := added_by(each)) is not None]
    return min(far, key=lambda each: each[0])[1] if far else None


def _added(lesser: SegmentEvent, full: SegmentEvent) -> int | None:
    """How many properties the upload has that a line without a message id lacks; None when they are of two events."""
    if lesser.kind != full.kind or lesser.name != full.name:
        return None
    if abs(full.stamp.mono_ns - lesser.stamp.mono_ns) > NEAR_NS:
        return None
    return added(lesser.event, {(name,) for name in lesser.missing}, full.event, ())

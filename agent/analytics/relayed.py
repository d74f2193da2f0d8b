"""Segment events as the app uploads them: final, whole, with all ids, but up to a flush interval late."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast, get_args

from agent.analytics.drafts import epoch_ms
from agent.analytics.identity import device_from, device_id, session_from, session_id
from agent.model import EventKind, ParseFailure, Relayed, SegmentEvent
from bridge.types import Stamp

# The SDK flushes every 30 s (src/constants.ts); a hold any longer would delay the recording for the rare late flush.
HOLD_NS = 33_000_000_000
# A "saved" line comes at, or for lifecycle events seconds before or after, the event's own time.
NEAR_MS = 5_000
MAX_HELD = 512
MAX_UPLOADED = 256
MAX_SEEN = 4_096

_PLAIN = frozenset((bool, int, float, str))
_KINDS = frozenset(get_args(EventKind))
# Added for the upload alone, by src/plugins/DestinationMetadataEnrichment.ts.
_METADATA = "_metadata"


def read(item: Relayed, offset_ns: int | None, uid: int | None, bound_ns: int = 0) -> SegmentEvent | ParseFailure:
    """The event of an upload.

    `offset_ns` is the device's wall clock minus the host's monotonic clock, ± `bound_ns`: with it the event is stamped
    by its own timestamp, never later than it came. A value that is no event gives a ParseFailure.
    """
    event = item.event
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
    have none: they are held until the upload of the same event comes and takes their place, or HOLD_NS has passed.
    Pure; one owner; memory is bounded.
    """

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._uploaded: deque[SegmentEvent] = deque(maxlen=MAX_UPLOADED)
        self._seen: dict[str, None] = {}

    def log(self, event: SegmentEvent) -> list[SegmentEvent]:
        """An event that the log showed."""
        if event.stage != "raw" or event.message_id:
            return [event]
        fuller = next((uploaded for uploaded in self._uploaded if _same(event, uploaded)), None)
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
        lesser = next((held for held in self._held if _same(held.event, event)), None)
        if lesser is None:
            # Its line may come yet: the sniffer holds lines back for a while.
            self._uploaded.append(event)
        else:
            self._held.remove(lesser)
        return [event]

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


def _stamp(came: Stamp, event_ms: int | None, offset_ns: int | None, bound_ns: int) -> Stamp:
    if event_ms is None or offset_ns is None:
        return replace(came, bound_ns=HOLD_NS)
    late_ns = max(0, came.mono_ns - (event_ms * 1_000_000 - offset_ns))
    # The event's own time is in whole milliseconds.
    return Stamp(came.mono_ns - late_ns, came.wall_ms - late_ns // 1_000_000, bound_ns + 1_000_000)


def _same(raw: SegmentEvent, full: SegmentEvent) -> bool:
    """Whether a "saved" line is of this event. Plugins may have added properties on the way, and took none."""
    if raw.kind != full.kind or raw.name != full.name:
        return False
    if abs(full.stamp.wall_ms - raw.stamp.wall_ms) > NEAR_MS:
        return False
    if any(raw.event[key] != full.event.get(key) for key in ("userId", "groupId", "previousId") if key in raw.event):
        return False
    own, whole = raw.event.get("properties"), full.event.get("properties")
    if not isinstance(own, Mapping) or not isinstance(whole, Mapping) or "properties" in raw.missing:
        return True
    # The log prints dates and the like in another way than JSON does.
    return all(whole.get(key) == value for key, value in own.items() if type(value) in _PLAIN)

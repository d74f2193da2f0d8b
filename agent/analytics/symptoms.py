"""What an event, and what a process shows of its events, says of the app's instrumentation: one function a rule or two.

Each yields hits on the rules of `agent.analytics.rules`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from agent.analytics.identity import (
    DESTINATION,
    FROM_ANONYMOUS,
    FROM_CONTEXT,
    FROM_INTEGRATIONS,
    FROM_PROPERTIES,
    effective_session,
)
from agent.model import NO_SESSION, ParseFailure, SegmentEvent, Severity
from agent.privacy import torn
from bridge.types import LogEntry

_K = TypeVar("_K")
_V = TypeVar("_V")

MAX_DEVICES = 64
MAX_STARTS = 256
# How many events without a session id are a habit and not a moment.
ENOUGH = 3
ONLY_RAW = "events show as the SDK's own line only"

MAX_BRIEF = 60

_ABRIDGED = re.compile(r"\[TOO BIG formatValueCalls \d|\[Object\]")
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
# Allowed by Amplitude in ids that name a replay; "/" parts device and session there.
_ID = re.compile(r"[\w\-.|@:=]{5,}", re.ASCII)
# A time in milliseconds between 2001 and 2286: neither seconds nor microseconds.
_MILLISECONDS = range(10**12, 10**13)
# What Amplitude's ingestion refuses as nobody's id.
_NOBODY = frozenset((
    "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "empty", "lmy47d", "device",
    "00000000-0000-0000-0000-000000000000",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule is met. `proof` None: the line of what was judged."""

    rule: str
    saw: str
    proof: LogEntry | None = None
    severity: Severity | None = None
    times: int = 1


@dataclass(slots=True)
class App:
    """What one app has shown over its processes."""

    plugin: LogEntry | None = None
    devices: OrderedDict[str, None] = field(default_factory=OrderedDict)
    starts: OrderedDict[tuple[str, int], str] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class Process:
    """What one process of the app has shown. Its session plugin is known to work by its own lines, or, as a session
    goes on over a restart in silence, by those of an earlier process."""

    app: App = field(default_factory=App)
    began_ns: int | None = None
    began: LogEntry | None = None
    ended_ns: int | None = None
    plugin: LogEntry | None = None
    stamped: bool = False
    no_settings: LogEntry | None = None
    off_told: bool = False
    reports: int = 0
    whole: int = 0
    raw: LogEntry | None = None
    raw_count: int = 0
    raw_told: bool = False
    unstamped: LogEntry | None = None
    unstamped_count: int = 0
    idless: LogEntry | None = None
    idless_count: int = 0
    idless_told: bool = False

    @property
    def works(self) -> bool:
        """Whether the session plugin is at work, as far as is known."""
        return self.plugin is not None or (self.app.plugin is not None and self.no_settings is None)


def session(event: SegmentEvent, process: Process, line: LogEntry | None) -> Iterator[Hit]:
    """The rules on the session id of an event as it was after the plugins."""
    value, source = event.session_id, event.session_from
    integrations = event.event.get("integrations")
    if source == FROM_INTEGRATIONS:
        process.stamped = True
        if line is not None:
            yield from plugin_seen(process, line)
    if source == FROM_PROPERTIES:
        yield Hit("session-id-in-properties", f"{named(event)} has {_shown(value)} in its properties only")
    effective = effective_session(value)
    plain = isinstance(value, int) and not isinstance(value, bool) and effective in _MILLISECONDS
    if source in (FROM_INTEGRATIONS, FROM_PROPERTIES) and not plain and value != NO_SESSION:
        yield Hit("session-id-malformed", f"{named(event)} has the session id {_shown(value)}")
    if effective == NO_SESSION and value == NO_SESSION and source in (FROM_INTEGRATIONS, FROM_PROPERTIES):
        yield Hit("negative-session-id", f"{named(event)} has the session id -1")
    late = event.event_ms is not None and effective in _MILLISECONDS and effective > event.event_ms
    if source == FROM_INTEGRATIONS and late and event.name not in ("session_start", "session_end"):
        yield Hit("event-before-session", f"{named(event)} is {effective - (event.event_ms or 0)} ms older")
    if source == FROM_INTEGRATIONS or {"integrations", "properties"} & {*event.missing} or source.startswith("infer"):
        return
    if isinstance(integrations, Mapping):
        if _is_off(integrations):
            yield Hit("destination-off", f"{named(event)} has the destination switched off")
            return
        other = next((name for name in integrations if at(integrations, name, "session_id") is not None), None)
        if other is not None:
            yield Hit("session-id-under-other-key", f"{named(event)} has its session id under {other!r}")
            yield Hit("negative-session-id", f"{named(event)} has the session id -1")
            return
    if source == FROM_PROPERTIES and process.works:
        return
    process.unstamped = process.unstamped or line
    process.unstamped_count += 1
    if not source:
        process.idless = process.idless or line
        process.idless_count += 1
    if process.works:
        yield from _out_of_order(process)
    elif process.no_settings is not None or process.unstamped_count >= ENOUGH or process.idless_told:
        yield from without_ids(process)


def without_ids(process: Process) -> Iterator[Hit]:
    """Events with no session id, and no session plugin that could have given them one."""
    if process.unstamped is None or process.works:
        return
    if process.no_settings is not None and not process.off_told:
        process.off_told = True
        yield Hit("destination-off", "the settings could not be had", process.no_settings)
    if process.no_settings is None and not process.idless_told:
        yield Hit("no-session-plugin", "no event has a session id of the plugin", process.unstamped)
    process.idless_told = True
    if process.idless_count:
        yield Hit("negative-session-id", "an event has the session id -1", process.idless, times=process.idless_count)
        process.idless, process.idless_count = None, 0


def plugin_seen(process: Process, line: LogEntry) -> Iterator[Hit]:
    """The session plugin is at work: events without an id were logged before it had its turn."""
    process.plugin = process.plugin or line
    process.app.plugin = process.app.plugin or line
    yield from _out_of_order(process)


def _out_of_order(process: Process) -> Iterator[Hit]:
    if process.idless_count:
        yield Hit(
            "plugin-order", "an event is shown as it was before the session plugin", process.idless,
            times=process.idless_count,
        )  # fmt: skip
    process.idless, process.idless_count = None, 0


def raw(process: Process, line: LogEntry | None) -> Iterator[Hit]:
    process.raw = process.raw or line
    process.raw_count += 1
    if process.whole:
        return
    if process.raw_told:
        yield Hit("raw-events-only", ONLY_RAW)
    elif process.raw_count >= 2 * ENOUGH:
        process.raw_told = True
        yield Hit("raw-events-only", ONLY_RAW, process.raw, times=process.raw_count)


def starts(event: SegmentEvent, app: App) -> Iterator[Hit]:
    """A session may be started once by a line, and once by an event."""
    session = effective_session(event.session_id)
    if event.name != "session_start" or session == NO_SESSION:
        return
    form = event.stage if event.stage in ("session", "raw") else "event"
    first = app.starts.get((form, session))
    if first is None:
        remember(app.starts, (form, session), event.message_id or str(event.stamp.mono_ns), MAX_STARTS)
    elif first != event.message_id:
        yield Hit("duplicate-session-start", f"session {session} is started again")


def device(event: SegmentEvent, app: App) -> Iterator[Hit]:
    if {"context", "anonymousId"} & {*event.missing}:
        return
    device = event.device_id
    if event.device_from == FROM_ANONYMOUS:
        yield Hit("device-id-fallback", f"{named(event)} has no context.device.id")
    elif event.device_from not in (FROM_CONTEXT, ""):
        return
    if device is None or not _ID.fullmatch(device) or device.lower() in _NOBODY:
        yield Hit("device-id-unusable", f"{named(event)} has the device id {_shown(device)}")
    elif event.device_from == FROM_CONTEXT:
        changed = bool(app.devices) and device not in app.devices
        remember(app.devices, device, None, MAX_DEVICES)
        if changed or _RANDOM.fullmatch(device):
            how = "changed within the log" if changed else "is a random UUID"
            yield Hit("random-device-id", f"the device id {how}")


def completeness(event: SegmentEvent, line: LogEntry | None) -> Iterator[Hit]:
    """Whether the log shows as much of the event as its stage has."""
    # What a stage never has is not lost.
    lost = {*event.missing} - ({"integrations"} if event.stage == "before" else set())
    if line is None or not lost:
        return
    if line.cut:
        yield Hit("event-cut", f"{named(event)} is cut")
    elif event.missing and _ABRIDGED.search(line.message):
        yield Hit("event-abridged", f"{named(event)} lacks some of its values")
    elif event.stage != "raw":
        yield Hit("event-unreadable", f"a part of {named(event)} never came")


def failure(failure: ParseFailure, line: LogEntry | None) -> Iterator[Hit]:
    if failure.reason == "lines folded by logd":
        yield Hit("lines-folded", failure.sample[:80])
    elif failure.reason == "lines pruned by logd":
        yield Hit("log-overrun", failure.sample[:80])
    elif line is not None and line.cut:
        yield Hit("event-cut", "an event is cut")
    else:
        yield Hit("event-unreadable", failure.reason)


def _is_off(integrations: Mapping[object, object]) -> bool:
    own = integrations.get(DESTINATION)
    return own is False or (integrations.get("All") is False and not own)


def own_session(event: SegmentEvent) -> bool:
    return at(event.event, "properties", "integrations", DESTINATION, "session_id") is not None


def at(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def named(event: SegmentEvent) -> str:
    return f"{event.kind} {_brief(event.name)!r}" if event.name else event.kind


def _shown(value: object) -> str:
    return _brief(repr(value))


def _brief(text: str) -> str:
    """A text of MAX_BRIEF characters at most, without the word or number that this would cut: half an address has no
    form by which it is starred."""
    if len(text) <= MAX_BRIEF:
        return text
    end = min((start for start, _ in torn(text[:MAX_BRIEF])), default=MAX_BRIEF)
    return text[:end] + "…"


def remember(table: OrderedDict[_K, _V], key: _K, value: _V, limit: int) -> _V:
    """The value of a key, put in when new; the least lately used falls out."""
    kept = table.setdefault(key, value)
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)
    return kept

"""Segment events out of log entries: one report an event, at the fullest stage that the log shows.

An event can be in the log up to three times: before the session plugin, after it, and as the SDK's own "saved" line,
in no fixed order. Reports that a fuller one may follow are held for a while, so events come out of order by up to
`hold_ms`, counted from when they came; a fuller report that comes later still is reported again. The "saved" line and
one that was cut early show no message id: they are joined with reports that agree with them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from agent.analytics import jsontext
from agent.analytics.alike import added
from agent.analytics.drafts import SESSION_EVENTS, Draft, Shelf, finish, integration_id, own_session, session_event
from agent.analytics.forms import ABSENT, UNKNOWN, Note, Part, SessionLine, Shown, Unread, shown, statements
from agent.analytics.hold import LATE_NS, Due, Hold
from agent.analytics.identity import device_id, effective_session
from agent.analytics.parts import Joined, Parts
from agent.analytics.sessions import FROM_LINE, App
from agent.model import NO_SESSION, ParseFailure, SegmentEvent
from bridge.logbinary import Wanted
from bridge.types import LogEntry, Stamp

TAG = "ReactNativeJS"
OPENING = "SegmentReplay/"
# All that a sniffer reads: the console, parts under any tag, and what the system says of processes and lost lines.
WANTED = Wanted((TAG, "ActivityManager", "chatty"), (OPENING,))
HOLD_MS = 1500
# How long after its event the SDK may print the "saved" line.
SAVED_NS = 5_000_000_000
MAX_HELD = 512
MAX_APPS = 64
# Reports of one event come within seconds; later ones `agent.replay.reports` knows.
MAX_SEEN = 1024
MAX_TOLD = 256
MAX_PIDS = 512

_K = TypeVar("_K")
_V = TypeVar("_V")
Found = SegmentEvent | ParseFailure

_STARTED = re.compile(r"Start proc (\d{1,10}):[^/\s]+/(?:u(\d{1,4})a(\d{1,6})|(\d{1,10}))\b")
_FOLDED = re.compile(r"uid=(\d{1,10})\S* (?:\S+ )?(identical|expire) (\d+) lines?")


Turn = tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the session plugin, until the event that it speaks of is shown."""

    entry: LogEntry
    uid: int | None
    app: App
    due: Due


class Sniffer:
    """Feed it every entry, of all tags and processes; it keeps to `uid` when that is given, and may be set anew.

    `strict` turns inference off: ids come from the event itself or not at all. `heard` is called with each event as a
    line shows it, at once: what is found of it may be held. One owner; memory is bounded.
    """

    def __init__(
        self,
        uid: int | None = None,
        strict: bool = False,
        hold_ms: int = HOLD_MS,
        heard: Callable[[Mapping[str, object]], None] = lambda event: None,
    ) -> None:
        self.uid = uid
        self._heard = heard
        self._strict = strict
        self._hold_ns = hold_ms * 1_000_000
        self._hold = Hold(self._hold_ns)
        self._apps: OrderedDict[int, App] = OrderedDict()
        self._uids: OrderedDict[int, int] = OrderedDict()
        self._parts = Parts(self._hold)
        self._held = Shelf()
        # How much was shown of an event, by the hash of its process and message id.
        self._seen: dict[int, int] = {}
        self._told = Shelf()
        self._fruitful: OrderedDict[tuple[int, int], bool] = OrderedDict()
        self._lines: OrderedDict[Turn, Line] = OrderedDict()
        self._turns: OrderedDict[Turn, None] = OrderedDict()

    def feed(self, entry: LogEntry) -> list[Found]:
        """What the entry shows, and what was held for longer than the hold."""
        self._hold.heard(entry.stamp.mono_ns)
        found = self._due()
        if entry.tag == "ActivityManager":
            self._process_started(entry)
            return found
        if entry.tag == "chatty":
            found.extend(self._folded(entry))
            return found
        uid = self._uid_of(entry)
        if self.uid is not None and uid != self.uid:
            return found
        # A log printed without tags has only the text to go by.
        console = entry.tag in (TAG, "")
        if not console and not entry.message.startswith(OPENING):
            return found
        app = self._app(uid if uid is not None else -entry.pid)
        read = statements(entry.message)
        for statement in read:
            if isinstance(statement, Part):
                for joined in self._parts.add(entry, statement):
                    found.extend(self._joined(entry if isinstance(joined, Unread) else joined.entry, joined))
            elif not console:
                continue
            elif isinstance(statement, Shown):
                found.extend(self._shown(entry, uid, app, statement, "", len(entry.message)))
            elif isinstance(statement, SessionLine):
                found.extend(self._session_line(entry, uid, app, statement))
            elif isinstance(statement, Note):
                self._note(entry, app, statement)
            else:
                found.append(_failure(entry, statement))
        _remember(self._fruitful, (entry.pid, entry.tid), bool(read), MAX_PIDS)
        return found

    def advance(self, now: Stamp) -> list[Found]:
        """What was held and is due at `now`, with nothing new in the log."""
        self._hold.passed(now.mono_ns)
        return self._due()

    def _due(self) -> list[Found]:
        found: list[Found] = []
        for entry, joined in self._parts.expire():
            found.extend(self._joined(entry, joined))
        while self._lines and (self._hold.over(next(iter(self._lines.values())).due) or len(self._lines) > MAX_HELD):
            found.append(self._line_released())
        while self._held and (self._hold.over(self._held[0].due) or self._held.over(MAX_HELD)):
            found.append(self._release(self._held.popleft()))
        return found

    def flush(self) -> list[Found]:
        """The log ended: all that is held."""
        found: list[Found] = []
        for entry, joined in self._parts.flush():
            found.extend(self._joined(entry, joined))
        while self._lines:
            found.append(self._line_released())
        while self._held:
            found.append(self._release(self._held.popleft()))
        return found

    def missed(self) -> None:
        """Lines of the log are missing: sessions may have begun and ended in them."""
        for app in self._apps.values():
            app.holed = True

    def _uid_of(self, entry: LogEntry) -> int | None:
        return entry.uid if entry.uid is not None else self._uids.get(entry.pid)

    def _app(self, key: int) -> App:
        app = self._apps.get(key)
        if app is None:
            app = self._apps[key] = App()
            if len(self._apps) > MAX_APPS:
                self._apps.popitem(last=False)
        else:
            self._apps.move_to_end(key)
        return app

    def _process_started(self, entry: LogEntry) -> None:
        match = _STARTED.search(entry.message)
        if match is not None and entry.uid in (None, 0, 1000):
            uid = int(match[4]) if match[4] else int(match[2]) * 100_000 + 10_000 + int(match[3])
            _remember(self._uids, int(match[1]), uid, MAX_PIDS)

    def _folded(self, entry: LogEntry) -> list[Found]:
        """logd up to Android 11 says what it left out: repeats of one line, or lines pruned for room."""
        match = _FOLDED.search(entry.message)
        if match is None or (self.uid is not None and int(match[1]) != self.uid):
            return []
        if match[2] == "identical" and not self._fruitful.get((entry.pid, entry.tid)):
            return []
        ours = self.uid is not None or (entry.pid, entry.tid) in self._fruitful
        if ours and match[2] != "identical":
            self.missed()
        reason = "lines folded by logd" if match[2] == "identical" else "lines pruned by logd"
        return [ParseFailure(entry.stamp, entry.pid, reason, entry.message[:160])] if ours else []

    def _joined(self, entry: LogEntry, joined: Joined | Unread) -> list[Found]:
        if isinstance(joined, Unread):
            return [_failure(entry, joined)]
        reading = jsontext.read(joined.text)
        event = shown(reading, "parts")
        if event is None or (joined.whole and reading.reason):
            reason = reading.reason or "no event" if joined.whole else "part lost"
            return [_failure(entry, Unread(reason, joined.text[:160]))]
        if event.value.get("messageId", joined.message_id) != joined.message_id:
            return [_failure(entry, Unread("part malformed", joined.text[:160]))]
        uid = self._uid_of(entry)
        app = self._app(uid if uid is not None else -entry.pid)
        return self._shown(entry, uid, app, event, joined.message_id, len(joined.text))

    def _session_line(self, entry: LogEntry, uid: int | None, app: App, line: SessionLine) -> list[Found]:
        app.prints_lines = True
        if line.kind == "start":
            app.started(line.session_id, entry.pid, entry.stamp.mono_ns, FROM_LINE, now=True)
            self._resolve(app, entry.pid, line.session_id)
        else:
            app.ended(line.session_id)
        turn = (entry.pid, line.kind, line.session_id)
        if turn not in self._turns:  # the plugin prints an end twice
            _remember(self._turns, turn, None, MAX_SEEN)
            self._lines[turn] = Line(entry, uid, app, self._hold.due())
        return []

    def _line_released(self) -> SegmentEvent:
        """The log did not show the event that the plugin makes after its line: the line stands for it."""
        (_, kind, session), line = self._lines.popitem(last=False)
        return session_event(line.entry, line.uid, line.app, kind, session, strict=self._strict)

    def _turned(self, draft: Draft, own: int) -> None:
        """A `session_start` or `session_end` event is shown: a line that says the same is no report of its own."""
        for session in {own, effective_session(integration_id(draft.shown))} - {NO_SESSION}:
            turn = (draft.entry.pid, draft.name.removeprefix("session_"), session)
            if self._lines.pop(turn, None) is not None or session == own:
                _remember(self._turns, turn, None, MAX_SEEN)
                return

    def _note(self, entry: LogEntry, app: App, note: Note) -> None:
        if note.kind == "reset":
            app.reset(entry.pid)
        elif not app.evidence:
            # Where the plugin was at work before, the settings of then are stored and carry on.
            app.process(entry.pid).plugin_off = True

    def _shown(
        self, entry: LogEntry, uid: int | None, app: App, event: Shown, message_id: str, weight: int
    ) -> list[Found]:
        self._heard(event.value)
        held = event.value.get("messageId")
        message_id = held if isinstance(held, str) else message_id
        now_ns = entry.stamp.mono_ns
        draft = Draft(entry, uid, app, event, message_id, None, self._hold.due(), weight)
        process = app.process(entry.pid)
        session = integration_id(event)
        if event.saved:
            draft.stage = "raw"
        elif session not in (ABSENT, UNKNOWN) or event.style == "parts" or event.style in app.with_ids:
            draft.stage = "after"
        if not event.saved and event.look("context", "device", "id") is not UNKNOWN:
            device = device_id(event.value)
            process.device = device if isinstance(device, str) else process.device
        draft.device = process.device
        draft.inferred = app.at(entry.pid, now_ns)
        draft.waits = draft.inferred[0] == NO_SESSION
        anonymous = event.value.get("anonymousId")
        if isinstance(anonymous, str) and not event.saved:
            since_ns = app.since(anonymous, now_ns)
            # The line of its session comes just behind its first event.
            draft.waits |= since_ns is not None and now_ns - since_ns <= self._hold_ns
        effective = effective_session(session)
        if effective != NO_SESSION and draft.name != "session_end":
            app.shown(effective, entry.pid, now_ns, event.style)
        own = own_session(draft)
        if draft.kind == "track" and draft.name in SESSION_EVENTS:
            self._turned(draft, own)
        if own > 0 and draft.name == "session_start":
            app.started(own, entry.pid, now_ns, FROM_LINE)
            self._resolve(app, entry.pid, own)
        if not draft.waits:  # an event of a session that may have ended does not prolong it
            app.last_ns = max(app.last_ns, now_ns)
        if not self._is_news(draft):
            return []
        if draft.stage == "after" and message_id and (effective != NO_SESSION or event.style == "parts"):
            return [self._tell(draft)]
        self._held.append(draft)
        return []

    def _resolve(self, app: App, pid: int, session: int) -> None:
        """A session began: it is that of the events that were waiting for one."""
        for draft in self._held:
            if draft.waits and draft.app is app and draft.entry.pid == pid:
                draft.inferred, draft.waits = (session, FROM_LINE), False

    def _is_news(self, draft: Draft) -> bool:
        """Whether no report of the same event shows as much; takes lesser ones out of those held.

        Without message ids two reports are of one event if they agree, came close to each other, and no logging call
        has shown the event to them both: that shows two events, however much they are alike.
        """
        own = None
        if draft.message_id:
            pid, message_id = draft.entry.pid, draft.message_id
            own = next((d for d in self._known() if d.message_id == message_id and d.entry.pid == pid), None)
            key = hash((pid, message_id))
            if own is not None:
                own.sources |= draft.sources
            if self._seen.get(key, -1) >= draft.rank:
                return False
            self._seen.pop(key, None)
            self._seen[key] = draft.rank
            if len(self._seen) > MAX_SEEN:
                del self._seen[next(iter(self._seen))]
        sources = draft.sources if own is None else own.sources
        other = self._closest(draft, sources)
        if own is not None:
            self._drop(own)
        draft.sources = sources
        if other is None:
            return True
        if other.fullness >= draft.fullness or (other.told and not draft.message_id):
            # What is told and has no message id could not be known again.
            other.sources |= sources
            return False
        draft.sources |= other.sources
        self._drop(other)
        return True

    def _closest(self, draft: Draft, sources: frozenset[str]) -> Draft | None:
        """The report that is of the same event but for all that message ids say, the likeliest if there are several.

        Of equal ones it is the first: the next report of that event would come too late for it before all others.
        """
        best: tuple[int, bool, int] | None = None
        found = None
        for other in self._known():
            if other.titles != draft.titles or (draft.message_id and other.message_id):
                continue
            if not sources.isdisjoint(other.sources):
                continue
            more = self._added(draft, other)
            if more is not None:
                spent = other.told and other.fullness < draft.fullness
                rank = more, spent, other.entry.stamp.mono_ns
                if best is None or rank < best:
                    best, found = rank, other
        return found

    def _added(self, one: Draft, other: Draft) -> int | None:
        """How many properties the fuller of two reports adds; None when they are of two events."""
        late_ns = one.entry.stamp.mono_ns - other.entry.stamp.mono_ns
        if abs(late_ns) > SAVED_NS:
            return None
        lesser, fuller = (one, other) if one.fullness <= other.fullness else (other, one)
        if lesser.stage != "raw" and (late_ns if lesser is one else -late_ns) > self._hold_ns:
            return None
        less, full = lesser.shown, fuller.shown
        more = added(less.value, less.gaps, full.value, full.gaps)
        if more is None and lesser.fullness == fuller.fullness:
            more = added(full.value, full.gaps, less.value, less.gaps)
        return more

    def _known(self) -> Iterator[Draft]:
        yield from self._held
        yield from self._told

    def _drop(self, draft: Draft) -> None:
        (self._told if draft.told else self._held).remove(draft)

    def _tell(self, draft: Draft) -> SegmentEvent:
        draft.told = True
        self._told.append(draft)
        past_ns = draft.entry.stamp.mono_ns - SAVED_NS - LATE_NS
        while self._told.over(MAX_TOLD) or self._told[0].entry.stamp.mono_ns < past_ns:
            self._told.popleft()
        return finish(draft, strict=self._strict)

    def _release(self, draft: Draft) -> SegmentEvent:
        app, pid = draft.app, draft.entry.pid
        if draft.stage is None:
            plugin = app.evidence and not app.process(pid).plugin_off
            draft.stage = "before" if plugin and draft.shown.style not in app.with_ids else "after"
        # Had a session begun, the plugin would have printed it, and the log shown that.
        if draft.waits and draft.inferred[0] == NO_SESSION and app.prints_lines and not app.holed:
            draft.inferred = app.last_known(pid)
            app.last_ns = max(app.last_ns, draft.entry.stamp.mono_ns)
        return self._tell(draft)


def _failure(entry: LogEntry, unread: Unread) -> ParseFailure:
    return ParseFailure(entry.stamp, entry.pid, unread.reason, unread.sample)


def _remember(table: OrderedDict[_K, _V], key: _K, value: _V, limit: int) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)

"""One device's items in, its replay segments out."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from agent.model import (
    NO_COST,
    Cost,
    Draft,
    Finding,
    Happening,
    Loss,
    Marker,
    MaskedSnapshot,
    ParseFailure,
    SealedSegment,
    SealReason,
    SegmentEvent,
    SessionKey,
)
from agent.replay import rrweb
from agent.replay.flattening import Seen, flat, stacked
from agent.replay.layers import Layers, Stack, key_picture
from agent.replay.marks import Marks
from agent.replay.mask import Masker, blank
from agent.replay.picture import PictureEncoder
from agent.replay.reports import Reports
from agent.replay.rrweb import Event
from agent.replay.segment import Origin, SegmentWriter, Shown
from agent.replay.timeline import (
    GapRuns,
    Interval,
    PreRoll,
    Reorder,
    Sessions,
    earlier,
    offset_ms,
    restamped,
)
from agent.replay.touches import TouchWriter
from agent.replay.tree import NodeIds
from bridge.types import Foreground, Gap, LogEntry, Size, Stamp, Touch

Item = (
    MaskedSnapshot
    | Touch
    | LogEntry
    | SegmentEvent
    | ParseFailure
    | Finding
    | Happening
    | Marker
    | Foreground
    | Gap
    | Loss
)
_Held = Shown | Touch | LogEntry | SegmentEvent | Finding | Happening | Marker | Foreground | Gap

SETTLE_MS = 2_000
PREROLL_MS = 60_000
PREROLL_BYTES = 8_000_000
# For so long a finger waits for the end of a look that began after it: calls that hang end by then.
LOOK_NS = 10_000_000_000
HOST_SET = "host clock set"
# Half of what the host's clock must be off by for its time to be taken anew (`bridge.clock.SET_NS`).
SET_MS = 1_000
# Of one from before them a late event is told over a picture that is made anew.
MAX_SEEN_SESSIONS = 4
MAX_LOGS = 1_000
# After such a pause it is told again that fingers touch what is not told.
UNTOLD_NS = 2_000_000_000
MAX_MARKED = 512
MAX_SESSIONS = 8

# While a gap of one of these lasts nobody knows whether a keyboard is on the screen.
_EYES = frozenset(("screen", "hierarchy", "device", "capture"))
# After a gap of one of these nothing is known of what the screen did meanwhile.
_ABSENT = frozenset(("device", "capture"))


class Recorder:
    """Puts items in order, finds whose they are, writes segments. Pure; one thread at a time.

    Items may come up to `settle_ms` out of order. What comes before any session is known waits, at most PREROLL_MS and
    PREROLL_BYTES of it; what falls out is counted in `losses`. `screen` and `dpi` are the device's until a picture says
    otherwise. `effective` makes an effective session id of a verbatim one. `refusal` says why a session is not
    recorded, "" when it is: what belongs to a refused one is counted and left out.
    """

    def __init__(
        self,
        serial: str,
        device: Mapping[str, str],
        masker: Masker,
        effective: Callable[[object], int],
        screen: Size,
        dpi: int,
        *,
        segment_ms: int = 30_000,
        segment_bytes: int = 2_000_000,
        settle_ms: int = SETTLE_MS,
        width: int = 540,
        quality: int = 50,
        refusal: Callable[[int], str] = lambda session_id: "",
    ) -> None:
        self._serial = serial
        self._device = dict(device)
        self._masker = masker
        self._screen = screen
        self._dpi = dpi
        self._segment_ms = segment_ms
        self._segment_bytes = segment_bytes
        self._settle_ms = settle_ms
        self._width = width
        self._refusal = refusal
        self._refused: dict[SessionKey, str] = {}
        self._encoder = PictureEncoder(quality)
        self._layers = Layers(self._encoder)
        self._seen: dict[SessionKey, Seen] = {}
        self._clean_of: SessionKey | None = None
        self._clean_stack: Stack | None = None
        self._flat: tuple[Stack, Stack] | None = None
        self._masking = 0
        self._reorder: Reorder[_Held] = Reorder()
        self._gaps = GapRuns()
        self._preroll: PreRoll[_Held] = PreRoll(PREROLL_MS * 1_000_000, PREROLL_BYTES)
        self._sessions = Sessions(effective, PREROLL_MS)
        self._touches = TouchWriter(masker)
        self._marks = Marks(masker)
        self._untold_ns = -UNTOLD_NS
        self._aimed: list[int] = []
        self._looked_ns: int | None = None
        self._ids = NodeIds()
        self._open: dict[SessionKey, SegmentWriter] = {}
        self._closing: dict[SessionKey, tuple[int, int]] = {}
        self._current: SessionKey | None = None
        self._seqs: dict[SessionKey, int] = {}
        self._shown: Shown | None = None
        self._last_shown: dict[SessionKey, Shown] = {}
        self._href = f"android-app://{masker.package or 'unknown'}/"
        self._reports = Reports()
        self._marked: dict[tuple[SessionKey, str], None] = {}
        self._newest: Stamp | None = None
        self._placed_ns = -(2**63)
        self._host: Stamp | None = None
        self._losses: Counter[tuple[str, str]] = Counter()
        self._unreported: Counter[tuple[str, str]] = Counter()
        self._sealed: list[SealedSegment] = []
        self._cost = self._told_cost = NO_COST

    def describe(self, **facts: str) -> None:
        """Facts about the device that changed; in the manifests of the segments that are sealed from now on."""
        self._device = {**self._device, **facts}
        for writer in self._open.values():
            writer.describe(facts)

    def spent(self, cost: Cost) -> None:
        """What recording this device has cost so far, from the start on."""
        self._cost = cost

    @property
    def ruling(self) -> int | None:
        """The session that began last, None before the first. Any thread may ask."""
        return self._sessions.latest

    @property
    def gaps(self) -> int:
        """How many stretches are missing so far."""
        return self._gaps.count

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Everything missing so far, by stage and reason."""
        return _losses(self._losses)

    def note(self, event: SegmentEvent) -> None:
        """An event from before the recording: it says whose session is under way and is no part of the replay."""
        self._sessions.note(event)

    def follow(self, uid: int, at: Stamp) -> None:
        """The app is that of another uid from `at` on: another user's, or installed anew."""
        self._sessions.follow(uid, at)

    def feed(self, item: Item) -> list[SealedSegment]:
        """Take one item; gives back the segments that this closed."""
        if isinstance(item, Loss):
            self._lose(item.stage, item.reason, item.count)
            return []
        if isinstance(item, ParseFailure):
            self._lose("events", item.reason)
            return []
        if isinstance(item, Gap) and item.stage in _ABSENT:
            self._masker.away(item.start)
            self._layers = Layers(self._encoder)
        elif isinstance(item, Gap) and item.stage in _EYES:
            self._masker.blind(item.start, secure=item.reason == "ScreenBlocked")
        if isinstance(item, Gap):
            for gap in self._gaps.put(item):
                self._reorder.put(gap.end, gap)
            if item.reason == HOST_SET:
                self._cut(item)
            return self.advance(item.end)
        at = item.stamp
        if isinstance(item, SegmentEvent):
            if self._sessions.note(item):
                # What another session showed is to lie beneath nothing of this one.
                self._layers = Layers(self._encoder)
            self._masker.learn(item.event)
            self._reports.wait(item)
        if isinstance(item, Touch):
            insort(self._aimed, at.mono_ns)
        held = self._shown_of(item) if isinstance(item, MaskedSnapshot) else item
        self._reorder.put(at, held)
        # A device's clock may be set ahead: only what the host stamped moves time on.
        return self.advance(at) if isinstance(item, MaskedSnapshot | Foreground) else []

    def _cut(self, gap: Gap) -> None:
        """The host's clock was set: times from here on are of another one, and no segment holds those of two."""
        for at, item in self._reorder.rest():
            self._release(at, item)
        for key in list(self._open):
            self._seal(key, "clock", gap.start.wall_ms)
        self._host = gap.end

    def looked(self, at: Stamp) -> list[SealedSegment]:
        """All that was on the screen at `at` was fed. From the first such call on a touch waits for one that is later,
        at most LOOK_NS, and is held back without: nobody knows whether a keyboard was there."""
        self._looked_ns = max(at.mono_ns, self._looked_ns or at.mono_ns)
        return self._take() if self._newest is None else self.advance(self._newest)

    def _shown_of(self, snapshot: MaskedSnapshot) -> Shown:
        canvas = snapshot.canvas
        stack = None if canvas is None else self._layers.show(canvas, covered=bool(snapshot.blocked))
        return Shown.of(snapshot, stack, self._masking)

    def forget(self) -> None:
        """Masking became stricter: what was masked before is neither placed nor opens a segment any more."""
        self._masking += 1
        self._layers = Layers(self._encoder)
        self._last_shown = {key: self._covered(shown, "tightened") for key, shown in self._last_shown.items()}
        if self._shown is not None:
            self._shown = self._covered(self._shown, "tightened")

    def _clean(self, key: SessionKey, shown: Shown) -> Shown:
        """A screen without what it hides from before the session, or from before the phone was away."""
        if shown.stack is None or (key == self._clean_of and shown.stack is self._clean_stack):
            return shown
        seen = self._seen.pop(key, None) or Seen()
        self._seen[key] = seen
        while len(self._seen) > MAX_SEEN_SESSIONS:
            del self._seen[next(iter(self._seen))]
        if seen.holds(stacked(shown.stack)):
            self._clean_of, self._clean_stack = key, shown.stack
            return shown
        if self._flat is None or self._flat[0] != shown.stack:
            self._flat = shown.stack, flat(shown.stack, self._encoder)
            self._layers = Layers(self._encoder)
        return replace(shown, stack=self._flat[1])

    def _covered(self, shown: Shown, reason: str) -> Shown:
        """A screen of the same shape that shows nothing."""
        width = 0 if shown.stack is None else self._width
        none = replace(blank(shown.stamp, shown.screen, shown.dpi, width, reason), rotation=shown.rotation)
        stack = None if none.canvas is None else key_picture(none.canvas, self._encoder)
        return Shown.of(none, stack, self._masking)

    def advance(self, now: Stamp) -> list[SealedSegment]:
        """Time has passed, also when nothing came; gives back the segments that this closed."""
        if self._newest is None or now > self._newest:
            self._newest = now
        for gap in self._gaps.over(self._newest.mono_ns):
            self._reorder.put(gap.end, gap)
        settled = earlier(self._newest, self._settle_ms)
        if self._aimed and self._unseen(self._aimed[0]) and self._newest.mono_ns - self._aimed[0] < LOOK_NS:
            before_ms = (self._newest.mono_ns - self._aimed[0]) // 1_000_000 + 1
            settled = min(settled, earlier(self._newest, before_ms))
        for at, item in self._reorder.until(settled.mono_ns):
            self._release(at, item)
        self._tick(settled)
        return self._take()

    def drafts(self) -> list[Draft]:
        """What was written into the open segments since the last call."""
        told = _losses(self._unreported), self._cost.since(self._told_cost)
        found = [writer.draft(*(told if key == self._current else ((),))) for key, writer in self._open.items()]
        return [draft for draft in found if draft is not None]

    def finish(self) -> list[SealedSegment]:
        """Release and seal everything; what never got a session is counted as lost."""
        for gap in self._gaps.over():
            self._reorder.put(gap.end, gap)
        for at, item in self._reorder.rest():
            self._release(at, item)
        if self._sessions.known:
            self._flush()
        self._drop(item for _, item in self._preroll.drain())
        end_ms = 0 if self._newest is None else self._newest.wall_ms
        for key in list(self._open):
            closing = self._closing.get(key)
            if closing is None:
                self._seal(key, "stop", end_ms)
            else:
                self._seal(key, "session", closing[1])
        return self._take()

    def _release(self, at: Stamp, item: _Held) -> None:
        """An item's place in time is settled. In order of time, but for what came later than the settle time."""
        if isinstance(item, Touch):
            del self._aimed[0]
        interval = self._sessions.at(at.mono_ns)
        if interval is None or not interval.key.known:
            self._drop(self._preroll.push(at, item, _weight(item)))
            return
        if self._sessions.known:
            self._flush()
        self._place(at, item)

    def _flush(self) -> None:
        for at, item in self._preroll.drain():
            self._place(at, item)

    def _place(self, at: Stamp, item: _Held) -> None:
        if self._host is not None and abs(offset_ms(at) - offset_ms(self._host)) > SET_MS:
            # It was stamped before the host's clock was set, and comes after.
            at, item = restamped(at, self._host), _set_item(item, self._host)
        if self._outdated(item):
            self._lose("timeline", "masked before masking became stricter")
            return
        interval = self._switch(at)
        if isinstance(item, Foreground | Happening):
            self._note_front(item)
        if isinstance(item, Foreground):
            return
        if isinstance(item, Gap) and item.stage in _ABSENT and self._shown is not None:
            # What the screen showed before it may be another person's.
            self._shown = self._covered(self._shown, "no-picture")
            self._seen.clear()
            self._clean_of = None
        if not isinstance(item, SegmentEvent) and self._refuses(interval, at):
            if isinstance(item, Shown):
                # It may open no segment of the next session.
                self._shown = self._covered(item, "no-picture")
            elif isinstance(item, LogEntry):
                self._marks.before(item)
        elif isinstance(item, Shown):
            self._place_shown(interval, item)
        elif isinstance(item, SegmentEvent):
            self._place_event(interval, item)
        elif isinstance(item, Touch):
            self._place_touch(interval, item)
        elif isinstance(item, LogEntry):
            self._place_log(interval, item)
        elif isinstance(item, Finding):
            self._place_finding(interval, item)
        elif isinstance(item, Happening):
            self._append(interval, item.stamp, [self._marks.happening(item)])
        elif isinstance(item, Marker):
            self._append(interval, item.stamp, [self._marks.marker(item)])
        else:
            self._place_gap(interval, item)

    def _switch(self, at: Stamp) -> Interval:
        """Who rules at `at`; the segment of who ruled before stays open for a settle time, for its own late events."""
        interval = self._sessions.at(at.mono_ns)
        assert interval is not None
        if at.mono_ns < self._placed_ns:
            return interval
        self._placed_ns = at.mono_ns
        if interval.key != self._current:
            if self._current is not None and self._current in self._open:
                self._closing[self._current] = at.mono_ns, min(interval.start, at).wall_ms
            self._closing.pop(interval.key, None)
            self._current = interval.key
        return interval

    def _refuses(self, interval: Interval, at: Stamp) -> bool:
        """Whether a session is not recorded (any more). The first time that is counted, and said where it was open."""
        key = interval.key
        reason = self._refusal(key.session_id) if key.known else "no session"
        if not reason:
            return False
        self._lose("session", f"{reason}, items left out")
        if self._refused.pop(key, None) != reason:
            self._lose("session", reason)
        self._refused[key] = reason
        while len(self._refused) > MAX_SESSIONS:
            del self._refused[next(iter(self._refused))]
        writer = self._open.get(key)
        if writer is not None:
            payload = {
                "stage": "session", "reason": reason, "detail": "", "from_ms": at.wall_ms, "to_ms": at.wall_ms, "ms": 0,
            }  # fmt: skip
            writer.append([rrweb.custom(at.wall_ms, "gap", payload)])
            writer.count(gaps=1)
            self._seal(key, "stop", at.wall_ms)
        return True

    def _place_shown(self, interval: Interval, item: Shown) -> None:
        key = interval.key
        last = self._shown
        if last is not None and item.stamp < last.stamp:
            self._lose("timeline", "late picture")
            return
        item = self._clean(key, item)
        writer = self._writer(key, item.stamp.wall_ms)
        if writer is not None and writer.shown.geometry != item.geometry:
            self._seal(key, "resize", item.stamp.wall_ms)
            writer = None
        self._remember(key, item)
        if writer is None:
            if last is None or not item.same(last):
                self._open_segment(interval, item.stamp.wall_ms)
            else:
                return
        else:
            events, size = writer.change(item)
            if writer.size + size > self._segment_bytes and not writer.bare:
                self._seal(key, "size", item.stamp.wall_ms)
                self._open_segment(interval, item.stamp.wall_ms)
            else:
                writer.show(item, events)
        blocked = 1 if item.blocked else 0
        self._open[key].count(frames=1, hierarchies=1 - blocked, blocked=blocked)

    def _remember(self, key: SessionKey, item: Shown) -> None:
        self._shown = item
        self._last_shown.pop(key, None)
        self._last_shown[key] = item
        while len(self._last_shown) > MAX_SESSIONS:
            del self._last_shown[next(iter(self._last_shown))]

    def _place_event(self, interval: Interval, item: SegmentEvent) -> None:
        if item.stage == "session" or not self._reports.turn(item):
            return
        key = self._sessions.key_of(item)
        own = interval
        if key is not None and key != interval.key:
            own = self._sessions.of(key) or Interval(item.stamp, key, item.session_from, item.device_from)
        if self._refuses(own, item.stamp):
            return
        mark = self._marks.event(item, self._bound_ms(own.key, item.stamp))
        self._append(own, item.stamp, [mark], events=1)

    def _bound_ms(self, key: SessionKey, at: Stamp) -> float:
        """How far an event's mark may be from the event: its stamp's bound, the whole ms that marks are cut to, and by
        how much it must come after its segment's opening."""
        writer = self._writer(key, at.wall_ms)
        moved_ms = (at.wall_ms + 2 if writer is None else writer.clamp(at.wall_ms)) - at.wall_ms
        return round(at.bound_ns / 1e6 + 1 + moved_ms, 1)

    def _unseen(self, mono_ns: int) -> bool:
        """Whether no look at the screen is over that began after that."""
        return self._looked_ns is not None and mono_ns > self._looked_ns

    def _place_touch(self, interval: Interval, item: Touch) -> None:
        screen, dpi = (self._screen, self._dpi) if self._shown is None else (self._shown.screen, self._shown.dpi)
        events, held_back = self._touches.events(item, screen, dpi, unseen=self._unseen(item.stamp.mono_ns))
        if held_back:
            self._lose("touch", "where typing would show")
            # That it begins is told, not when each key is pressed.
            if item.kind == "down":
                if item.stamp.mono_ns - self._untold_ns > UNTOLD_NS:
                    events = [*events, rrweb.untold(item.stamp.wall_ms)]
                self._untold_ns = item.stamp.mono_ns
        else:
            self._untold_ns = -UNTOLD_NS
        if events:
            self._append(interval, item.stamp, events, touches=0 if held_back else 1)

    def _place_log(self, interval: Interval, item: LogEntry) -> None:
        before = self._marks.before(item)
        writer = self._writer(interval.key, item.stamp.wall_ms)
        if writer is not None and writer.counts.logs >= MAX_LOGS:
            self._lose("logs", "over the limit of a segment")
            return
        self._append(interval, item.stamp, [self._marks.log(item, before)], logs=1)

    def _place_finding(self, interval: Interval, item: Finding) -> None:
        """A session's replay has one mark of each rule: where it was met first."""
        mark = (interval.key, item.rule)
        if mark in self._marked:
            return
        self._marked[mark] = None
        if len(self._marked) > MAX_MARKED:
            del self._marked[next(iter(self._marked))]
        self._append(interval, item.stamp, [self._marks.finding(item)])

    def _place_gap(self, interval: Interval, item: Gap) -> None:
        if item.stage == "device" and interval.key in self._open:
            self._seal(interval.key, "lost", item.start.wall_ms)
        elif item.stage == "clock" and item.reason != HOST_SET and interval.key in self._open:
            # A segment's manifest states one relation of the clocks.
            self._seal(interval.key, "clock", item.end.wall_ms)
        self._append(interval, item.end, [self._marks.gap(item)], gaps=1)

    def _note_front(self, item: Foreground | Happening) -> None:
        if isinstance(item, Happening):
            if item.facts.get("state") == "front":
                self._href = f"android-app://{self._masker.package or 'unknown'}/{item.facts['activity']}"
        elif self._masker.package in (None, item.package):
            self._href = f"android-app://{item.package}/{item.activity}"
        # Which other app somebody uses is not ours to tell: the name stays what it was.

    def _append(self, interval: Interval, at: Stamp, written: list[Event], **counts: int) -> None:
        """Write events into the segment of `interval`'s key, which is cut or opened as needed."""
        key = interval.key
        writer = self._writer(key, at.wall_ms)
        if writer is not None:
            size = sum(len(rrweb.dumps(event)) for event in written)
            if writer.size + size > self._segment_bytes and not writer.bare:
                self._seal(key, "size", at.wall_ms)
                writer = None
        if writer is None:
            writer = self._open_segment(interval, at.wall_ms)
            if key != self._current:
                # A late event of a session that is over gets a segment that closes after it.
                self._closing[key] = max(at.mono_ns, self._placed_ns), at.wall_ms
        writer.append(written)
        writer.count(**counts)

    def _writer(self, key: SessionKey, wall_ms: int) -> SegmentWriter | None:
        """The open segment of a key, unless its time is up."""
        writer = self._open.get(key)
        if writer is not None and wall_ms >= writer.start_ms + self._segment_ms:
            self._seal(key, "time", writer.start_ms + self._segment_ms)
            return None
        return writer

    def _open_segment(self, interval: Interval, wall_ms: int) -> SegmentWriter:
        key = interval.key
        shown = self._shown if key == self._current else self._last_shown.get(key)
        if shown is None:
            none = blank(interval.start, self._screen, self._dpi, self._width, "no-picture")
            shown = Shown.of(none, None if none.canvas is None else key_picture(none.canvas, self._encoder))
        shown = self._clean(key, shown)
        seq = self._seqs.get(key, 0)
        self._seqs[key] = seq + 1
        if not self._open:
            self._ids.forget_oldest()
        origin = Origin(key, self._serial, self._device, interval.session_from, interval.device_from)
        writer = SegmentWriter(origin, seq, wall_ms, self._href, shown, self._ids, resting=self._touches.resting)
        self._open[key] = writer
        if seq == 0:
            payload = {
                "session_id": key.session_id,
                "device_id": key.device_id,
                "session_from": interval.session_from,
                "device_from": interval.device_from,
                "start_ms": interval.start.wall_ms,
            }
            writer.append([rrweb.custom(wall_ms, "session", payload)])
        return writer

    def _tick(self, settled: Stamp) -> None:
        if self._sessions.known:
            self._flush()
            self._switch(settled)
        else:
            self._drop(self._preroll.expire(settled.mono_ns))
            nobody = self._sessions.at(settled.mono_ns)
            if nobody is not None and not nobody.key.known and self._current in self._open:
                self._closing.setdefault(self._current, (nobody.start.mono_ns, nobody.start.wall_ms))
        for key, writer in list(self._open.items()):
            closing = self._closing.get(key)
            if closing is not None and settled.mono_ns >= closing[0] + self._settle_ms * 1_000_000:
                self._seal(key, "session", closing[1])
            elif settled.wall_ms >= writer.start_ms + self._segment_ms:
                self._seal(key, "time", writer.start_ms + self._segment_ms)

    def _seal(self, key: SessionKey, reason: SealReason, end_ms: int) -> None:
        writer = self._open.pop(key)
        self._closing.pop(key, None)
        losses = _losses(self._unreported)
        self._unreported.clear()
        cost, self._told_cost = self._cost.since(self._told_cost), self._cost
        self._sealed.append(writer.seal(reason, end_ms, losses, cost))

    def _take(self) -> list[SealedSegment]:
        sealed, self._sealed = self._sealed, []
        return sealed

    def _drop(self, items: Iterable[_Held]) -> None:
        for item in items:
            if isinstance(item, Shown) and not self._outdated(item):
                # It is still what the screen shows until the next one.
                self._shown = item
            if isinstance(item, Foreground | Happening):
                self._note_front(item)
            lost = self._reports.drop(item) if isinstance(item, SegmentEvent) else not isinstance(item, Foreground)
            if lost:
                self._lose("timeline", "no session")

    def _outdated(self, item: _Held) -> bool:
        return isinstance(item, Shown) and item.masking != self._masking

    def _lose(self, stage: str, reason: str, count: int = 1) -> None:
        self._losses[stage, reason] += count
        self._unreported[stage, reason] += count


def _set_item(item: _Held, host: Stamp) -> _Held:
    if isinstance(item, Gap):
        return replace(item, start=restamped(item.start, host), end=restamped(item.end, host))
    return replace(item, stamp=restamped(item.stamp, host))


def _weight(item: _Held) -> int:
    if isinstance(item, Shown):
        # The pictures below the last are those of the items before.
        return 200 * len(item.views) + (0 if item.stack is None else len(item.stack.top.data))
    return 200 + (len(item.message) if isinstance(item, LogEntry) else 0)


def _losses(counts: Counter[tuple[str, str]]) -> tuple[Loss, ...]:
    return tuple(Loss(stage, reason, count) for (stage, reason), count in sorted(counts.items()))

"""A session's events as steps: what a person did and what came of it. Pure and deterministic.

A touch is told by the view that stood at its place when it came, by views that had been read from the phone by then;
while the screen changes, by what stood there before and after, if that is the same. Where typing would show, a
recording holds no places; that something was touched is all that is told of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agent.replay.playback import Change, Playback, View
from agent.replay.rrweb import TOUCH, UNTOLD
from agent.replay.targets import Target, focused, scrolled, touched

Kind = Literal[
    "tap", "long-press", "scroll", "swipe", "back", "pinch", "spread", "two-fingers", "type", "untold", "turn", "leave",
    "return", "start", "session", "marker", "note", "gap", "crash", "anr", "lowmemory", "screen-state",
]  # fmt: skip
Way = Literal["", "up", "down", "left", "right"]
# What a person did; the other kinds are what befell.
ACTIONS = frozenset((
    "tap", "long-press", "scroll", "swipe", "back", "pinch", "spread", "two-fingers", "type", "untold", "turn", "leave",
    "return",
))  # fmt: skip

# What something may come of besides.
_ROOTS = frozenset(("start", "crash", "anr", "lowmemory"))
# How much later views were read that do not say when.
UNREAD_MS = 150
LONG_MS = 500
# Android's touch slop, and how far a finger strays on a button that it presses, in dp.
SLOP, STRAY = 8.0, 24.0
# How near to a side of the screen Android's back gesture begins, in dp.
EDGE = 24.0
ZOOM = 1.15
# Scrolls that follow each other so soon are one.
AGAIN_MS = 4_000
# What is in front changes when the app dies: that is no step.
DEATH_MS = 3_000
# Of how many sets of views the last are kept.
KEPT = 16
_DOWN, _UP, _CANCEL = 7, (9, 10), 10


@dataclass(frozen=True, slots=True)
class Sight:
    """What came of a step: a screen or an event that the app told, an activity in front."""

    at_ms: int
    kind: Literal["screen", "event", "activity"]
    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done, or that befell, from `at_ms` to `end_ms` (epoch ms).

    `target` is None when nothing at the place has a name, or the place is not told; `place` is where it was, in dp.
    `way` is where a finger or a list moved, `count` how often the same was done in a row. `sure` is False when the
    screen was changing, and the target is what stood there before and after.
    """

    at_ms: int
    end_ms: int
    kind: Kind
    target: Target | None = None
    place: tuple[float, float] | None = None
    way: Way = ""
    count: int = 1
    text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    seen: tuple[Sight, ...] = ()

    @property
    def action(self) -> bool:
        return self.kind in ACTIONS


@dataclass(slots=True)
class _Finger:
    """One finger's way over the glass, in dp; `far` is how far from its beginning it came."""

    down_ms: int
    x: float
    y: float
    last_x: float
    last_y: float
    far: float = 0.0

    def move(self, x: float, y: float) -> None:
        self.last_x, self.last_y = x, y
        self.far = max(self.far, math.hypot(x - self.x, y - self.y))


@dataclass(slots=True)
class _Aim:
    """The views that a touch was aimed at; `before` and `after` those around it while none were known."""

    views: Sequence[View]
    before: Sequence[View] = ()
    after: Sequence[View] = ()
    width: int = 0

    def target(self, x: float, y: float) -> Target | None:
        if self.views:
            return touched(self.views, x, y)
        # The screen was changing, and hidden for it: what stood there before and after is what stood there.
        target = touched(self.before, x, y)
        return target if target is not None and target == touched(self.after, x, y) else None

    @property
    def known(self) -> Sequence[View]:
        return self.views or self.before


def steps(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """The steps in a session's events, which come in order of time."""
    reader = Reader()
    for event in events:
        reader.feed(event)
    return reader.close()


def merged(parts: Iterable[Sequence[Step]]) -> list[Step]:
    """The steps of several sessions of one device in order of time. What was seen when a session begins came of what
    was done in the one before."""
    every = sorted((step for part in parts for step in part), key=lambda step: step.at_ms)
    found: list[Step] = []
    for step in every:
        last = next((n for n in range(len(found) - 1, -1, -1) if found[n].action), None)
        if step.kind == "start" and last is not None:
            found[last] = replace(found[last], seen=(*found[last].seen, *step.seen))
        else:
            found.append(step)
    return found


class Reader:
    """Takes a session's events one by one, in order of time; `close` gives the steps."""

    def __init__(self) -> None:
        self._playback = Playback()
        self._views: deque[tuple[int, Sequence[View]]] = deque(maxlen=KEPT)
        self._known: Sequence[View] = ()
        self._waiting: list[_Aim] = []
        self._fingers: dict[int, _Finger] = {}
        self._gesture: list[_Finger] = []
        self._aim = _Aim(())
        self._pending: list[Sight] = []
        # Steps whose targets may become known by what comes after them.
        self._steps: list[tuple[Step, _Aim | None]] = []
        self._keyboard = False
        self._away = False
        self._died_ms = -DEATH_MS
        self._degrees: object = 0
        self._screen = ""
        self._width = 0
        self._at_ms = 0

    def feed(self, event: Mapping[str, Any]) -> None:
        data = event.get("data")
        at = event.get("timestamp")
        if not isinstance(data, Mapping) or not isinstance(at, int):
            return
        self._at_ms = max(self._at_ms, at)
        change = self._playback.feed(event)
        if change & (Change.VIEWS | Change.WINDOW):
            self._look(at, data.get("read_ms"))
        kind = event.get("type")
        if kind == 3 and data.get("source") == 2:
            self._touch(at, data, data.get("type") == _DOWN, data.get("type") in _UP)
        elif kind == 3 and data.get("source") == 6:
            positions = data.get("positions")
            for position in positions if isinstance(positions, list) else ():
                if isinstance(position, Mapping):
                    self._touch(at, {"pointer": data.get("pointer", 0), **position}, False, False)
        elif kind == 6 and data.get("plugin") == TOUCH and isinstance(data.get("payload"), Mapping):
            payload = data["payload"]
            if payload.get("kind") == UNTOLD:
                self._untold(at)
            else:
                self._touch(at, payload, payload.get("kind") == "down", payload.get("kind") in ("up", "cancel"))
        elif kind == 5 and isinstance(data.get("payload"), Mapping):
            self._told(at, str(data.get("tag")), data["payload"])

    def close(self) -> list[Step]:
        for pointer, finger in list(self._fingers.items()):
            # It may have been lifted in another session: how long it was held is not known.
            self._lift(finger.down_ms, pointer)
        return [step if aim is None else self._aimed(step, aim) for step, aim in self._steps]

    def _look(self, at: int, read_ms: object) -> None:
        """The views changed at a time; by `read_ms` they had been read, which may be after what they were told with."""
        state = self._playback.state
        self._width = state.width
        if self._views and self._views[-1][1] == state.views:
            return
        # Until then the screen may have become what it is by a touch.
        self._views.append((max(at, read_ms) if isinstance(read_ms, int) else at + UNREAD_MS, state.views))
        if state.views:
            self._known = state.views
            for aim in self._waiting:
                aim.after = state.views
            self._waiting.clear()

    def _aiming(self, at: int) -> _Aim:
        """What was there to aim at. What was read only later may be what came of the touch already."""
        seen: Sequence[View] = ()
        known: Sequence[View] = ()
        late: Sequence[View] = ()
        for number, (by, views) in enumerate(self._views):
            if by <= at or not number:
                seen, known = views, views or known
            else:
                late = late or views
        aim = _Aim(seen, known, late, self._width)
        if not seen and not late:
            self._waiting.append(aim)
        return aim

    def _touch(self, at: int, finger: Mapping[str, Any], down: bool, up: bool) -> None:
        pointer, x, y = finger.get("pointer", 0), finger.get("x"), finger.get("y")
        if not isinstance(x, int | float) or not isinstance(y, int | float) or not isinstance(pointer, int):
            return
        if down:
            if pointer in self._fingers:
                self._lift(at, pointer)
            if not self._fingers:
                self._gesture, self._aim = [], self._aiming(at)
            self._fingers[pointer] = _Finger(at, x, y, x, y)
            self._gesture.append(self._fingers[pointer])
        elif pointer in self._fingers:
            # Where a gesture that is broken off ends was told before.
            if finger.get("type") != _CANCEL and finger.get("kind") != "cancel":
                self._fingers[pointer].move(x, y)
            if up:
                self._lift(at, pointer)

    def _lift(self, at: int, pointer: int) -> None:
        del self._fingers[pointer]
        if self._fingers:
            return
        first = self._gesture[0]
        step = Step(first.down_ms, at, "tap", place=(first.x, first.y))
        step = self._two(step, *self._gesture[:2]) if len(self._gesture) > 1 else self._one(step, first, at)
        if not (step.kind in ("scroll", "swipe") and self._again(step)):
            self._add(step, self._aim)
        # An app answers as a finger goes up, by a clock that may differ a little.
        pending, self._pending = self._pending, []
        for sight in pending:
            self._see(sight.at_ms, sight.kind, sight.name)

    def _one(self, step: Step, finger: _Finger, at: int) -> Step:
        if finger.far <= SLOP:
            return replace(step, kind="long-press" if at - finger.down_ms >= LONG_MS else "tap")
        across, down = finger.last_x - finger.x, finger.last_y - finger.y
        way: Way = ("right" if across > 0 else "left") if abs(across) > abs(down) else "down" if down > 0 else "up"
        width = self._aim.width
        from_left, from_right = finger.x <= EDGE, width > 0 and finger.x >= width - EDGE
        if (from_left and way == "right") or (from_right and way == "left"):
            return replace(step, kind="back", way=way)
        pane = scrolled(self._aim.known, finger.x, finger.y)
        if pane is None and finger.far <= STRAY:
            return step
        if pane is not None and way in ("up", "down"):
            # The list goes the other way than the finger.
            return replace(step, kind="scroll", target=pane, way="down" if way == "up" else "up")
        return replace(step, kind="swipe", way=way)

    def _two(self, step: Step, one: _Finger, other: _Finger) -> Step:
        before = math.hypot(one.x - other.x, one.y - other.y)
        after = math.hypot(one.last_x - other.last_x, one.last_y - other.last_y)
        if after > before * ZOOM:
            return replace(step, kind="spread")
        return replace(step, kind="pinch" if before > after * ZOOM else "two-fingers")

    def _again(self, step: Step) -> bool:
        """Whether it is the last step, done once more; then that one counts it."""
        if not self._steps:
            return False
        last, aim = self._steps[-1]
        alike = (last.kind, last.way, last.target) == (step.kind, step.way, step.target) and not last.seen
        if not alike or step.at_ms - last.end_ms > AGAIN_MS:
            return False
        if aim is not None and step.kind == "swipe":
            here, there = step.place or (0.0, 0.0), last.place or (0.0, 0.0)
            if self._aim.target(*here) != aim.target(*there):
                return False
        self._steps[-1] = replace(last, end_ms=step.end_ms, count=last.count + 1), aim
        return True

    def _untold(self, at: int) -> None:
        """A finger where typing would show."""
        if self._away:
            return
        last, aim = self._steps[-1] if self._steps else (None, None)
        if last is not None and last.kind == "type":
            return
        # An input that was tapped has the focus before a dump tells so.
        aimed = self._aimed(last, aim).target if last is not None and aim is not None else None
        views = self._views[-1][1] if self._views else ()
        goes_to = aimed if aimed is not None and aimed.role == "field" else focused(views or self._known)
        if goes_to is not None or self._keyboard:
            self._add(Step(at, at, "type", goes_to))
        elif last is not None and last.kind == "untold":
            self._steps[-1] = replace(last, end_ms=at, count=last.count + 1), None
        else:
            self._add(Step(at, at, "untold"))

    def _told(self, at: int, tag: str, payload: Mapping[str, Any]) -> None:
        name = str(payload.get("name") or "")
        if tag == "segment:screen":
            self._see(at, "screen", str(payload.get("event") or ""))
        elif tag == "segment:track":
            self._see(at, "event", str(payload.get("event") or ""))
        elif tag == "app":
            self._app(at, payload)
        elif tag == "keyboard":
            self._keyboard = payload.get("shown") is True
        elif tag == "rotation" and payload.get("degrees") != self._degrees:
            self._degrees = payload.get("degrees")
            self._add(Step(at, at, "turn", text=str(self._degrees)))
        elif tag in ("crash", "anr", "lowmemory"):
            self._died_ms = at
            text = str(payload.get("text") or "").strip().split("\n")
            # A Java crash's first line names the thread, its third what was thrown.
            line = text[2] if len(text) > 2 and text[1].startswith("Process: ") else text[0]
            kind: Kind = "crash" if tag == "crash" else "anr" if tag == "anr" else "lowmemory"
            self._add(Step(at, at, kind, text=line, facts={"name": name}))
        elif tag == "process" and payload.get("state") == "died":
            self._died_ms = at
        elif tag == "screen-state":
            self._add(Step(at, at, "screen-state", text=str(payload.get("state") or "")))
        elif tag == "marker":
            note = str(payload.get("note") or "")
            kind = "note" if note and name in ("", "note") else "marker"
            self._add(Step(at, at, kind, text=note, facts={"name": name, "by": str(payload.get("by") or "")}))
        elif tag == "gap":
            self._gap(at, payload)
        elif tag == "session":
            facts = {key: payload.get(key) for key in ("session_id", "device_id", "session_from", "device_from")}
            self._add(Step(at, at, "session", facts=facts))

    def _app(self, at: int, payload: Mapping[str, Any]) -> None:
        if payload.get("state") == "another app":
            if not self._away and at - self._died_ms > DEATH_MS:
                self._add(Step(at, at, "leave"))
            self._away = True
        elif payload.get("state") == "front":
            if self._away and at - self._died_ms > DEATH_MS:
                self._add(Step(at, at, "return"))
            self._away = False
            self._see(at, "activity", str(payload.get("activity") or "").rpartition(".")[2])

    def _gap(self, at: int, payload: Mapping[str, Any]) -> None:
        ms = payload.get("ms")
        begin, end = payload.get("from_ms"), payload.get("to_ms")
        begin, end = begin if isinstance(begin, int) else at, end if isinstance(end, int) else at
        text = ": ".join(filter(None, (str(payload.get("stage") or ""), str(payload.get("reason") or ""))))
        self._add(Step(begin, end, "gap", text=text, facts={"ms": ms if isinstance(ms, int) else end - begin}))

    def _see(self, at: int, kind: Literal["screen", "event", "activity"], name: str) -> None:
        """What is seen belongs to what was done last, or is being done."""
        if not name:
            return
        if self._fingers:
            self._pending.append(Sight(at, kind, name))
            return
        for index in range(len(self._steps) - 1, -1, -1):
            step, aim = self._steps[index]
            if step.action or step.kind in _ROOTS:
                break
        else:
            index, step, aim = 0, Step(at, at, "start"), None
            self._steps.insert(0, (step, aim))
        if step.seen and (step.seen[-1].kind, step.seen[-1].name) == (kind, name):
            return
        self._steps[index] = replace(step, seen=(*step.seen, Sight(at, kind, name))), aim

    def _add(self, step: Step, aim: _Aim | None = None) -> None:
        self._steps.append((step, aim))

    @staticmethod
    def _aimed(step: Step, aim: _Aim) -> Step:
        if step.target is not None or step.place is None or step.kind == "back":
            return step
        return replace(step, target=aim.target(*step.place))

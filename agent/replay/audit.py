"""What a recording shows and what it hides: the texts that stayed visible, the covers by rule, the blocked pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.replay.playback import OPENING_MS, Change, Playback, State, View
from agent.replay.text import STARS
from bridge.types import Bounds

SEEN = Change.VIEWS | Change.PICTURE | Change.MASK


@dataclass(slots=True)
class Visible:
    """A text that views showed: since when, how often a view began to, for how long any did, and which (id, class)."""

    text: str
    first_ms: int
    segment: str
    count: int = 0
    ms: int = 0
    views: dict[tuple[str, str], None] = field(default_factory=dict)


@dataclass(slots=True)
class Span:
    """How often something began, for how long it lasted, and which share of the screen it took on average then."""

    count: int = 0
    ms: int = 0
    area_ms: float = 0.0

    @property
    def area(self) -> float:
        return self.area_ms / self.ms if self.ms else 0.0


class Audit:
    """Sums up segments fed in order. `ms` is their length, `covers` is by rule, `blocked` by reason."""

    def __init__(self) -> None:
        self.ms = 0
        self.segments = 0
        self.texts: dict[str, Visible] = {}
        self.covers: dict[str, Span] = {}
        self.blocked: dict[str, Span] = {}
        self._of = ""
        self._labels: dict[int, str] = {}
        self._rules: set[str] = set()
        self._reason = ""

    def feed(self, segment: str, replay: str, events: Iterable[Mapping[str, Any]]) -> None:
        """A segment's events in order of time. Segments of the same `replay` go on where the one before ended."""
        self.segments += 1
        if replay != self._of:
            self._of, self._labels, self._rules, self._reason = replay, {}, set(), ""
        playback = Playback()
        shown: State | None = None
        opened_ms = began = last = 0
        for event in events:
            at = event.get("timestamp")
            if not isinstance(at, int):
                continue
            began, last = began or at, max(last, at)
            change = playback.feed(event)
            if not change & SEEN:
                continue
            covers = not change & (Change.VIEWS | Change.PICTURE) and at - opened_ms <= OPENING_MS
            if shown is not None and not covers:
                self._look(segment, shown, at)
            opened_ms = at if event.get("type") == 2 else opened_ms
            shown = playback.state
        if shown is not None:
            self._look(segment, shown, last)
        self.ms += max(0, last - began)

    def _look(self, segment: str, state: State, until_ms: int) -> None:
        """What is shown from then on, until something else is."""
        self._see(segment, state)
        self._pass(state, until_ms - state.at_ms)

    def _see(self, segment: str, state: State) -> None:
        labels: dict[int, str] = {}
        for view in state.views:
            text = visible(view)
            if not text:
                continue
            labels[view.id] = text
            if self._labels.get(view.id) != text:
                found = self.texts.setdefault(text, Visible(text, state.at_ms, segment))
                found.count += 1
                found.views[view.attributes.get("data-res", ""), view.attributes.get("data-class", "")] = None
        rules = rules_of(state)
        for rule in rules - self._rules:
            self.covers.setdefault(rule, Span()).count += 1
        if state.blocked and state.blocked != self._reason:
            self.blocked.setdefault(state.blocked, Span()).count += 1
        self._labels, self._rules, self._reason = labels, rules, state.blocked

    def _pass(self, state: State, ms: int) -> None:
        if ms <= 0:
            return
        for text in set(self._labels.values()):
            self.texts[text].ms += ms
        areas = _areas(state)
        for rule in self._rules:
            span = self.covers[rule]
            span.ms += ms
            span.area_ms += areas.get(rule, 0.0) * ms
        if self._reason:
            span = self.blocked[self._reason]
            span.ms += ms
            span.area_ms += ms


def visible(view: View) -> str:
    """What a view lets read, "" when that is nothing or stars."""
    text = view.attributes.get("aria-label", "") or view.text
    return "" if text == STARS else text


def rules_of(state: State) -> set[str]:
    """The rules whose covers lie on the picture; of one that is blocked whole, none."""
    rules = state.mask.get("rules")
    return set() if state.blocked or not isinstance(rules, Mapping) else {str(rule) for rule in rules}


def rects_of(state: State) -> list[tuple[Bounds, str]]:
    """The covers on the picture, in pixels of the screen, each with its rule."""
    given = state.mask.get("rects")
    return [
        (Bounds(*rect[:4]), str(rect[4]))
        for rect in (given if isinstance(given, list) else ())
        if isinstance(rect, list) and len(rect) == 5 and all(isinstance(edge, int) for edge in rect[:4])
    ]


def screen_of(state: State) -> tuple[int, int] | None:
    """The size of the screen in pixels, as far as it was written down."""
    screen = state.mask.get("screen")
    if isinstance(screen, list) and len(screen) == 2 and all(isinstance(side, int) and side > 0 for side in screen):
        return screen[0], screen[1]
    return None


def _areas(state: State) -> dict[str, float]:
    screen = screen_of(state)
    if screen is None:
        return {}
    areas: dict[str, float] = {}
    for bounds, rule in rects_of(state):
        areas[rule] = areas.get(rule, 0.0) + bounds.area / (screen[0] * screen[1])
    # Covers of one rule may lie over one another.
    return {rule: min(1.0, area) for rule, area in areas.items()}

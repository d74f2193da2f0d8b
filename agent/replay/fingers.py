"""Where fingers are on the glass, and what they take along before any dump tells of it.

What is dragged is drawn under the finger at once, and its views keep their bounds until it is let go. Android's
gestures take the app's whole surface (home, the overview, back with its preview of what is behind); another app's small
window, a card of the system's and a floating keyboard are moved by the system; the text of a field is magnified above
the finger and dragged with it; a list is stretched beyond its end; a pen leaves ink. Only fingers on the glass are
known: what a tool injects moves the same unseen.

What a finger took is found out when it comes down and while it is there, by the screens of that time, and stays so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from agent.model import MaskRect
from agent.replay.motion import LATE_NS
from agent.replay.survey import Survey
from agent.replay.windows import floats, is_bar
from bridge.types import Bounds, NodeFlag, Rotation, Size, Touch

RULE = "dragged"
# Of fingers that went so long ago nothing is left to be seen. Touches of pens are judged as late as they are written.
KEPT_NS, KEPT = 30_000_000_000, 512
# Android's touch slop (ViewConfiguration TOUCH_SLOP), in dp.
SLOP_DP = 8
# From where Android takes a finger for its own gesture: AOSP config_backGestureInset is 30 dp, which a user's setting
# widens, and a cutout where the screen lies on its side; navigation_bar_gesture_height 32, status_bar_height 24. It
# lets go of one that stays in its place for longer than a long press takes.
SIDE_DP, LYING_SIDE_DP, FOOT_DP, HEAD_DP = 48, 80, 32, 32
TAKEN_NS = 400_000_000
# How far around a window's edge a finger takes it. Edges so near to the screen's are the bars'.
GRIP_DP, BARS_DP = 24, 64
# Until a text is magnified or taken up, and how long one that was pressed stays selected, with handles to drag.
HELD_NS, PRESSED_NS, SELECTED_NS = 150_000_000, 300_000_000, 30_000_000_000
# How far around the finger and the line under it: a magnifier shows what is in five and a half line heights of a line,
# one and a half times as large, above it (AOSP Editor, Magnifier); what is dragged lies under the finger. The handles
# that move the cursor hang below the line.
LENS_SIDE_DP, LENS_UP_DP, LENS_DOWN_DP, HANDLE_DP = 120, 96, 48, 48
# AOSP EdgeEffect stretches by up to LINEAR_STRETCH_INTENSITY + EXP_STRETCH_INTENSITY, and lets go within 600 ms. A list
# that fits its place says that it does not scroll, and is stretched all the same.
STRETCH, STRETCH_NS = 0.032, 600_000_000
LISTS = ("RecyclerView", "ListView", "GridView", "ScrollView")
# A stroke from a field on begins a session of handwriting, which Android ends when no pen has come for ten seconds
# (AOSP HandwritingModeController), or the field goes. Until then each stroke is writing, wherever it is, and what was
# written may be seen.
INK_DP, INK_NS = 8, 10_000_000_000
# Of a finger that nobody follows any more: for so long it may be there still.
UNSURE_NS = 10_000_000_000
# Of these no text is dragged.
_WORDLESS = frozenset(("keypad", "map", "drawing"))
# When a dump told it at the earliest, and what.
Screen = tuple[int, Survey]


@dataclass(slots=True)
class _Writing:
    """A session of handwriting, over at `end_ns` or INK_NS after `last_ns`."""

    last_ns: int
    end_ns: int | None = None


@dataclass(slots=True)
class Contact:
    """A finger from `first` on, gone at `end_ns`. `path` is where it has been; since `left_ns` it is no longer where it
    came down, which it left by `across` and `down`.

    `grip` says that it came down where a window is taken, `inked` where a pen begins to write, `fields` are the inputs
    in which it works, `texts` what else is private and under it, `writing` is the session of a pen that writes. `seen`
    is the last screen that this is told by, and when that was told.
    """

    first: Touch
    path: Bounds
    end_ns: int | None = None
    left_ns: int | None = None
    across: float = 0.0
    down: float = 0.0
    grip: bool = False
    inked: bool = False
    fields: dict[Bounds, None] = field(default_factory=dict)
    texts: dict[Bounds, None] = field(default_factory=dict)
    writing: _Writing | None = None
    seen: tuple[int, Survey | None] = (-1, None)

    @property
    def came_ns(self) -> int:
        """When it came down, at the earliest."""
        return self.first.stamp.mono_ns - self.first.stamp.bound_ns

    def there(self, from_ns: int, until_ns: int) -> bool:
        """Whether it may have been on the glass at some instant of these."""
        return self.came_ns <= until_ns and (self.end_ns is None or self.end_ns >= from_ns)

    def near(self, b: Bounds, by: int) -> bool:
        """Whether it came down in `b`, or no further than `by` pixels from it."""
        x, y = self.first.x, self.first.y
        return not b.empty and b.left - by <= x <= b.right + by and b.top - by <= y <= b.bottom + by


class Fingers:
    """The contacts of one device, in order. One thread."""

    def __init__(self) -> None:
        self._contacts: deque[Contact] = deque(maxlen=KEPT)
        self._pens: deque[Contact] = deque(maxlen=KEPT)
        self._on: dict[int, Contact] = {}
        self._selected: dict[Bounds, int] = {}
        self._writing: _Writing | None = None

    def note(self, t: Touch, screens: Sequence[Screen], dpi: int) -> None:
        """Take in what a finger did, on a screen of `dpi` as it was told of last."""
        at_ns, bound_ns = t.stamp.mono_ns, t.stamp.bound_ns
        place = Bounds(int(t.x), int(t.y), int(t.x) + 1, int(t.y) + 1)
        if t.kind == "down":
            self._gone(t.pointer, at_ns)
            contact = self._on[t.pointer] = Contact(t, place)
            while self._contacts and (self._contacts[0].end_ns or at_ns) < at_ns - KEPT_NS:
                self._contacts.popleft()
            self._contacts.append(contact)
            if t.pen:
                self._pens.append(contact)
            if t.pen and self._writing is not None and at_ns < self._writing.last_ns + INK_NS:
                contact.writing = self._writing
                self._writing.last_ns = max(at_ns, self._writing.last_ns)
            self._see(contact, screens, dpi)
            return
        known = self._on.get(t.pointer)
        if known is None:
            return
        known.path, known.end_ns = known.path.union(place), None
        if known.writing is not None:
            known.writing.last_ns = max(at_ns, known.writing.last_ns)
        across, down = t.x - known.first.x, t.y - known.first.y
        if known.left_ns is None and max(abs(across), abs(down)) * 160 > SLOP_DP * dpi:
            known.left_ns, known.across, known.down = at_ns - bound_ns, across, down
        self._write(known)
        if t.kind != "move":
            known.end_ns = at_ns + bound_ns
            del self._on[t.pointer]

    def unsure(self, at_ns: int) -> None:
        """Nobody may be following the fingers that were on the glass then: they are gone some time after, unless they
        are told of again."""
        for contact in self._every():
            # One that was cancelled for that very reason may be there as well.
            if contact.came_ns <= at_ns and (contact.end_ns is None or 0 <= contact.end_ns - at_ns <= LATE_NS):
                contact.end_ns = at_ns + UNSURE_NS

    def since(
        self, from_ns: int, until_ns: int, screens: Sequence[Screen], dpi: int, settling_ns: int
    ) -> list[Contact]:
        """Those on the glass before `until_ns` of which there may still be a trace at `from_ns`, with what they took on
        these screens, the last of which ends handwriting if it has no place for that."""
        if self._writing is not None and screens and not screens[-1][1].inked:
            self._writing.end_ns, self._writing = until_ns + settling_ns, None
        trace_ns = max(2 * settling_ns, STRETCH_NS)
        found = [c for c in self._every() if c.there(from_ns - trace_ns, until_ns) or _inks(c, from_ns, until_ns)]
        for contact in found:
            self._see(contact, screens, dpi)
            self._write(contact)
        return found

    def wrote(self, t: Touch) -> bool:
        """Whether it is a pen's that wrote then."""
        at_ns = t.stamp.mono_ns
        return t.pen and any(
            c.writing is not None and c.first.pointer == t.pointer and c.there(at_ns, at_ns) for c in self._pens
        )

    def _every(self) -> Iterator[Contact]:
        oldest = self._contacts[0] if self._contacts else None
        yield from self._contacts
        # One that rests there may have come before all that are kept.
        yield from (c for c in self._on.values() if oldest is not None and c.came_ns < oldest.came_ns)

    def _gone(self, pointer: int, at_ns: int) -> None:
        for contact in self._contacts:
            if contact.first.pointer == pointer and (contact.end_ns is None or contact.end_ns > at_ns):
                contact.end_ns = at_ns

    def _see(self, c: Contact, screens: Iterable[Screen], dpi: int) -> None:
        """Note what it took on these screens, as far as it was there."""
        grip, handle, slop = (length * dpi // 160 for length in (GRIP_DP, HANDLE_DP, SLOP_DP))
        selected = [b for b, at_ns in self._selected.items() if c.came_ns < at_ns + SELECTED_NS]
        c.fields |= dict.fromkeys(b for b in selected if c.near(b, handle))
        for told_ns, found in screens:
            # Each is looked at once, and not after the finger has gone.
            if told_ns <= c.seen[0] or (c.end_ns is not None and told_ns > c.end_ns + LATE_NS):
                continue
            known, c.seen = c.seen[1], (told_ns, found)
            if found is known:
                continue
            c.grip = c.grip or any(c.near(edge, 0) for edge in _grips(found, grip, BARS_DP * dpi // 160))
            rows = (row for row in found.rows if row.hidden and row.node.flags.has(NodeFlag.FOCUSED))
            c.fields |= dict.fromkeys(row.bounds for row in rows if c.near(row.bounds, handle))
            texts = (p.bounds for p in found.private if p.rule not in _WORDLESS)
            c.texts |= dict.fromkeys(b for b in texts if c.near(b, slop))
            c.inked = c.inked or (c.first.pen and any(c.near(b, 0) for b in found.inked))

    def _write(self, c: Contact) -> None:
        """A pen that came down by a field and moves writes."""
        if c.inked and c.left_ns is not None and c.writing is None:
            last_ns = c.left_ns if c.end_ns is None else c.end_ns
            if self._writing is None or self._writing.last_ns + INK_NS < c.came_ns:
                self._writing = _Writing(last_ns)
            self._writing.last_ns = max(last_ns, self._writing.last_ns)
            c.writing = self._writing

    def dragged(
        self,
        contacts: Sequence[Contact],
        from_ns: int,
        until_ns: int,
        surveys: Sequence[Survey],
        screen: Size,
        dpi: int,
        settling_ns: int,
    ) -> Iterator[MaskRect]:
        """What to cover for what fingers do with private views: where a text may be magnified or dragged, until so long
        after, a pen's ink, and the views of a list that may be stretched."""
        whole = Bounds(0, 0, screen.width, screen.height)
        for c in contacts:
            lines = _lent(c, until_ns) if c.there(from_ns - settling_ns, until_ns) else {}
            if lines and c.texts:
                self._select(c)
            for line in lines:
                # Wherever the finger is in or below it, a magnifier stands above the line itself.
                high = Bounds(c.path.left, min(c.path.top, line.top), c.path.right, max(c.path.bottom, line.bottom))
                yield _cover(high, LENS_SIDE_DP, LENS_UP_DP, LENS_DOWN_DP, dpi, whole)
            if _inks(c, from_ns, until_ns):
                yield _cover(c.path, INK_DP, INK_DP, INK_DP, dpi, whole)
        pulled = [c for c in contacts if c.left_ns is not None and c.there(from_ns - STRETCH_NS, until_ns)]
        ran = _ran(surveys)
        for found in {id(found): found for found in surveys}.values() if pulled or ran else ():
            yield from _stretched(found, pulled, ran)

    def _select(self, c: Contact) -> None:
        """It pressed texts for long: they have handles for a while."""
        self._selected |= dict.fromkeys(c.texts, c.came_ns)
        while len(self._selected) > KEPT:
            del self._selected[next(iter(self._selected))]


def moves(
    contacts: Sequence[Contact],
    from_ns: int,
    until_ns: int,
    surveys: Sequence[Survey],
    rotation: Rotation,
    screen: Size,
    dpi: int,
    settling_ns: int,
) -> bool:
    """Whether a finger may be moving a whole surface over the screen: the app's, or one that floats over it.

    For so long after it has gone the app's is on its way back, and twice as long one that floats: a spring throws
    it to a side (AOSP PipMotionHelper). Of one that came when the screen was turned otherwise nobody knows where
    that was.
    """
    buttons = bool(surveys) and all(found.buttons for found in surveys)
    for c in contacts:
        if c.left_ns is None or c.left_ns > until_ns or not c.there(from_ns - 2 * settling_ns, until_ns):
            continue
        if c.grip:
            return True
        turned = c.first.rotation not in (None, rotation)
        if c.there(from_ns - settling_ns, until_ns) and (turned or _from_edge(c, screen, dpi, buttons)):
            return True
    return False


def _inks(c: Contact, from_ns: int, until_ns: int) -> bool:
    if c.writing is None or c.came_ns > until_ns:
        return False
    end_ns = c.writing.last_ns + INK_NS
    return from_ns <= (end_ns if c.writing.end_ns is None else min(end_ns, c.writing.end_ns))


def _from_edge(c: Contact, screen: Size, dpi: int, buttons: bool) -> bool:
    """Whether Android may have taken the finger for a gesture of its own: from the bar at the head, in from a side or
    anywhere from the foot. Where the navigation bar has buttons only the first is one."""
    x, y = c.first.x, c.first.y
    wide = screen.width > screen.height
    head, foot, side = (length * dpi // 160 for length in (HEAD_DP, FOOT_DP, LYING_SIDE_DP if wide else SIDE_DP))
    if y < head and c.down > 0:
        return True
    if buttons:
        return False
    soon = c.left_ns is not None and c.left_ns - c.came_ns <= TAKEN_NS
    # It lets go of one that goes up or down.
    across = (x < side or x >= screen.width - side) and 2 * abs(c.across) >= abs(c.down)
    return (across and soon) or y >= screen.height - foot


def _grips(found: Survey, by: int, bars: int) -> Iterator[Bounds]:
    """Where a finger takes hold of a window: one of another app's, a card of the system's or a keyboard that floats
    over the app's, the bar between two apps, the edges of the app's own beside another app's."""
    whole = Bounds(0, 0, found.screen.width, found.screen.height)
    for cover in found.over:
        b = cover.bounds
        card = cover.rule == "system-ui" and b.area * 2 <= whole.area
        keys = cover.rule == "keyboard" and floats(b, whole)
        if (cover.rule == "other-app" or card or keys) and not is_bar(b, whole):
            reach = b.grown(by, by, by)
            # Of an app beside it only what is near the bar between them.
            yield from (reach.intersect(app.grown(by, by, by)) for app in found.app)
    beside = any(cover.rule == "other-app" for cover in found.over)
    for app in found.app if beside else ():
        if any(app != other and app.union(other) == other for other in found.app):
            # A dialog of the app's.
            continue
        for near, edge in (
            (app.left, Bounds(app.left - by, app.top, app.left + by, app.bottom)),
            (app.top, Bounds(app.left, app.top - by, app.right, app.top + by)),
            (whole.right - app.right, Bounds(app.right - by, app.top, app.right + by, app.bottom)),
            (whole.bottom - app.bottom, Bounds(app.left, app.bottom - by, app.right, app.bottom + by)),
        ):
            if near > bars:
                yield edge


def _lent(c: Contact, until_ns: int) -> dict[Bounds, None]:
    """The private texts that the finger may have taken up by then: those of fields in which it works, and what it
    pressed for long."""
    left_ns = until_ns if c.left_ns is None else min(c.left_ns, until_ns)
    end_ns = until_ns if c.end_ns is None else min(c.end_ns, until_ns)
    if min(left_ns, end_ns) - c.came_ns >= PRESSED_NS:
        return {**c.fields, **c.texts}
    return c.fields if end_ns - c.came_ns >= HELD_NS or left_ns < until_ns else {}


def _stretched(found: Survey, pulled: Sequence[Contact], ran: set[str]) -> Iterator[MaskRect]:
    """The private views of lists that were pulled, or that ran, as far as they may be drawn."""
    lists = [
        row.bounds for row in found.rows if row.node.cls.endswith(LISTS) and not row.node.flags.has(NodeFlag.SCROLLABLE)
    ]
    lists = [box for box in lists if any(c.near(box, 0) for c in pulled)]
    for p in found.private:
        boxes = [b for key, b in p.scrolls if key in ran or any(c.near(b, 0) for c in pulled)]
        boxes = [p.scrolls[0][1]] if boxes else [box for box in lists if box.union(p.bounds) == box][:1]
        for box in boxes:
            by_x, by_y = round(box.width * STRETCH), round(box.height * STRETCH)
            b = p.bounds
            grown = b.grown(by_x, by_y, by_y).intersect(box)
            yield MaskRect(grown.union(b), p.kind, RULE)


def _ran(surveys: Sequence[Survey]) -> set[str]:
    """The scrolling views whose private content ran: at its end it is stretched by what was left of its speed."""
    ran: set[str] = set()
    for before, after in pairwise(surveys):
        if before is not after and before.private != after.private:
            was = {(p.key, p.bounds, p.scrolls[0]) for p in before.private if p.scrolls}
            now = {(p.key, p.bounds, p.scrolls[0]) for p in after.private if p.scrolls}
            ran |= {key for _, _, (key, _) in was ^ now}
    return ran


def _cover(path: Bounds, side_dp: int, up_dp: int, down_dp: int, dpi: int, whole: Bounds) -> MaskRect:
    side, up, down = (length * dpi // 160 for length in (side_dp, up_dp, down_dp))
    return MaskRect(path.grown(side, up, down).intersect(whole), "block", RULE)

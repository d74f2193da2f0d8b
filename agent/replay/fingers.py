"""Where fingers are on the glass, and what they take along before any dump tells of it.

What is dragged is drawn under the finger at once, and its views keep their bounds until it is let go. Android's
gestures take the app's whole surface (home, the overview, back with its preview of what is behind); the small window of
another app is moved by the system; the text of a field is magnified above the finger and dragged with it; a list is
stretched beyond its end; a pen leaves ink. Only fingers on the glass are known: what a tool injects moves the same
unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.model import MaskRect
from agent.replay.survey import Row, Survey
from bridge.types import Bounds, NodeFlag, Rotation, Size, Touch

RULE = "dragged"
KEPT = 256
# Android's touch slop (ViewConfiguration TOUCH_SLOP), in dp.
SLOP_DP = 8
# From where Android takes a finger for its own gesture (AOSP config_backGestureInset, navigation_bar_gesture_height).
SIDE_DP, FOOT_DP = 30, 32
# How far around another app's window a finger takes it, and the bar between two apps.
GRIP_DP = 24
# Until a text is magnified or taken up.
HELD_NS, PRESSED_NS = 150_000_000, 300_000_000
# How far around the finger: a magnifier shows some five lines' heights of a line, one and a half times as large, above
# it (AOSP Editor, Magnifier); what is dragged lies under it. The handles that move the cursor hang below the line.
LENS_SIDE_DP, LENS_UP_DP, LENS_DOWN_DP, HANDLE_DP = 120, 96, 48, 48
# AOSP EdgeEffect stretches by up to LINEAR_STRETCH_INTENSITY + EXP_STRETCH_INTENSITY, and lets go within 600 ms.
STRETCH, STRETCH_NS = 0.032, 600_000_000
# A pen's ink stays until it is read.
INK_DP, INK_NS = 8, 2_000_000_000
_LENT = frozenset(("web",))


@dataclass(slots=True)
class Contact:
    """A finger from `first` on, gone at `end_ns`. `path` is where it has been; since `left_ns` it is no longer where it
    came down, which it left by `across` and `down`."""

    first: Touch
    path: Bounds
    end_ns: int | None = None
    left_ns: int | None = None
    across: float = 0.0
    down: float = 0.0

    def near(self, b: Bounds, by: int) -> bool:
        """Whether it came down in `b`, or no further than `by` pixels from it."""
        x, y = self.first.x, self.first.y
        return not b.empty and b.left - by <= x <= b.right + by and b.top - by <= y <= b.bottom + by


class Fingers:
    """The contacts of one device, in order. One thread."""

    def __init__(self) -> None:
        self._contacts: deque[Contact] = deque(maxlen=KEPT)
        self._on: dict[int, Contact] = {}

    def note(self, t: Touch, dpi: int) -> None:
        """Take in what a finger did, on a screen of `dpi`."""
        at_ns = t.stamp.mono_ns
        place = Bounds(int(t.x), int(t.y), int(t.x) + 1, int(t.y) + 1)
        contact = self._on.get(t.pointer)
        if t.kind == "down":
            if contact is not None:
                contact.end_ns = at_ns
            self._on[t.pointer] = contact = Contact(t, place)
            self._contacts.append(contact)
            return
        if contact is None:
            return
        contact.path = contact.path.union(place)
        across, down = t.x - contact.first.x, t.y - contact.first.y
        if contact.left_ns is None and max(abs(across), abs(down)) * 160 > SLOP_DP * dpi:
            contact.left_ns, contact.across, contact.down = at_ns, across, down
        if t.kind != "move":
            contact.end_ns = at_ns
            del self._on[t.pointer]

    def forget(self) -> None:
        """Nobody knows any more where a finger is."""
        self._contacts.clear()
        self._on.clear()

    def since(self, from_ns: int, until_ns: int, settling_ns: int) -> list[Contact]:
        """Those on the glass at some instant from `from_ns` less the longest trace that one leaves, to `until_ns`."""
        oldest_ns = from_ns - max(INK_NS, 2 * settling_ns)
        return [c for c in self._contacts if _there(c, oldest_ns, until_ns)]


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

    For so long after it has gone the app's is on its way back, and twice as long one that floats: a spring throws it to
    a side (AOSP PipMotionHelper). Of one that came when the screen was turned otherwise nobody knows where that was.
    """
    edges = not all(found.buttons for found in surveys)
    grips = [grip for found in surveys for grip in _grips(found, GRIP_DP * dpi // 160)]
    for c in contacts:
        if c.left_ns is None or c.left_ns > until_ns:
            continue
        if c.first.rotation not in (None, rotation) and _there(c, from_ns - 2 * settling_ns, until_ns):
            return True
        if edges and _there(c, from_ns - settling_ns, until_ns) and _from_edge(c, screen, dpi):
            return True
        if _there(c, from_ns - 2 * settling_ns, until_ns) and any(c.near(grip, 0) for grip in grips):
            return True
    return False


def dragged(
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
    once = list({id(found): found for found in surveys}.values())
    for c in contacts:
        if _there(c, from_ns - settling_ns, until_ns) and _lent(c, until_ns, once, dpi):
            yield _cover(c.path, LENS_SIDE_DP, LENS_UP_DP, LENS_DOWN_DP, dpi, whole)
        if c.first.pen and any(c.near(b, 0) for found in once for b in found.inked):
            yield _cover(c.path, INK_DP, INK_DP, INK_DP, dpi, whole)
    pulled = [c for c in contacts if c.left_ns is not None and _there(c, from_ns - STRETCH_NS, until_ns)]
    ran = _ran(surveys)
    for found in once:
        for p in found.private:
            if p.scrolls and any(key in ran or any(c.near(b, 0) for c in pulled) for key, b in p.scrolls):
                box = p.scrolls[0][1]
                by_x, by_y = round(box.width * STRETCH), round(box.height * STRETCH)
                b = p.bounds
                grown = Bounds(b.left - by_x, b.top - by_y, b.right + by_x, b.bottom + by_y).intersect(box)
                yield MaskRect(grown.union(b), p.kind, RULE)


def _there(c: Contact, from_ns: int, until_ns: int) -> bool:
    return c.first.stamp.mono_ns <= until_ns and (c.end_ns is None or c.end_ns >= from_ns)


def _from_edge(c: Contact, screen: Size, dpi: int) -> bool:
    """Whether Android may have taken the finger for a gesture of its own: in from a side, or anywhere from the foot."""
    x, y, side = c.first.x, c.first.y, SIDE_DP * dpi // 160
    inward = c.across > 0 if x < side else c.across < 0 if x >= screen.width - side else False
    # It lets go of one that goes up or down.
    return (inward and 2 * abs(c.across) >= abs(c.down)) or y >= screen.height - FOOT_DP * dpi // 160


def _grips(found: Survey, by: int) -> Iterator[Bounds]:
    """Where a finger takes hold of another app's window that lies over the app's, or of the bar between them."""
    for cover in found.covers:
        if cover.rule == "other-app":
            reach = _grown(cover.bounds, by, by, by)
            for app in found.app:
                if not (common := reach.intersect(app)).empty:
                    yield _grown(common, by, by, by)


def _lent(c: Contact, until_ns: int, surveys: Sequence[Survey], dpi: int) -> bool:
    """Whether the finger may have taken up a private text: that of a field which it works in, or one that it pressed
    for long."""
    left_ns = until_ns if c.left_ns is None else min(c.left_ns, until_ns)
    came_ns = c.first.stamp.mono_ns
    end_ns = until_ns if c.end_ns is None else min(c.end_ns, until_ns)
    if end_ns - came_ns >= HELD_NS or left_ns < until_ns:
        handle = HANDLE_DP * dpi // 160
        if any(row.node.flags.has(NodeFlag.FOCUSED) and c.near(row.bounds, handle) for row in _typed(surveys)):
            return True
    slop = SLOP_DP * dpi // 160
    return min(left_ns, end_ns) - came_ns >= PRESSED_NS and any(
        (p.kind == "mask" or p.rule in _LENT) and c.near(p.bounds, slop) for found in surveys for p in found.private
    )


def _typed(surveys: Sequence[Survey]) -> Iterator[Row]:
    return (row for found in surveys for row in found.rows if row.hidden and row.typed)


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
    return MaskRect(_grown(path, side, up, down).intersect(whole), "block", RULE)


def _grown(b: Bounds, side: int, up: int, down: int) -> Bounds:
    return Bounds(b.left - side, b.top - up, b.right + side, b.bottom + down)

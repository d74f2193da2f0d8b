"""The last moments of a screen: dumps come late, and what is drawn moves without the tree."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.model import MaskRect, Snapshot
from agent.replay.survey import Private, Survey
from bridge.types import Bounds, Hierarchy, Rotation, Size

# Longer than what opens, closes and turns a screen (AOSP config_activityDefaultDur is 220 ms, activity_open 450).
SETTLING_NS = 500_000_000
# How far apart what is drawn and what the tree tells may be: a frame that is drawn is on the glass some 50 ms later,
# and the nodes of web views, React Native and Compose are told up to 100 ms after they changed.
LATE_NS = 100_000_000
# What a person does to a screen lasts longer: to see a notification and wipe it away (by itself one stays for at least
# two seconds, AOSP SystemUI heads_up_notification_minimum_time), to open a screen and leave it.
CLOSE_NS = 600_000_000
# What an app does by itself may be shorter: a screen that passes on to the next, or that comes back.
PASSING_NS, RETURN_NS = 380_000_000, 350_000_000
# Who switches apps and back again without looking (a double tap on the recent apps) is there for some 300 ms.
AWAY_NS = 450_000_000
# What moves is drawn anew each 8 to 17 ms, on a slow phone each 33.
CALM_NS = 100_000_000
# Which share of a picture changes when a screen slides, and not when a cursor blinks or a wheel turns.
WIDE = 0.02
# Dumps take 20 ms at least.
KEPT = 64
# Screens grow or shrink a little as they open: by less than this part of their height.
ZOOM = 16
# Rules of views that keep their bounds whatever words they hold.
_FIXED = frozenset(("password", "editable", "private-input", "unknown-input", "web", "map", "keypad"))
_FOREIGN = frozenset(("keyboard", "system-ui", "other-app"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a dump told: it was so at some instant from `first_ns` to `last_ns`. No survey: of no use for any frame.

    `hole` says that it comes after a stretch of which no dump told although some should have. Since `after_ns` nobody
    looked: neither a dump nor a picture that was still that of the dump before.
    """

    first_ns: int
    last_ns: int
    rotation: Rotation
    survey: Survey | None
    hole: bool = False
    after_ns: int | None = None


class Motion:
    """The dumps of one device in the order in which they were taken. One thread."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=KEPT)
        self._away = False
        self._back_ns: int | None = None
        self._failed_ns = -1

    def fail(self, mono_ns: int) -> None:
        """A dump that was asked for then did not come."""
        self._failed_ns = max(self._failed_ns, mono_ns)

    def forget(self) -> None:
        """Nobody knows what the screen did until the next dump: what that tells of may just be opening."""
        self._seen.clear()
        self._away = True

    def known(self, mono_ns: int) -> bool:
        """Whether what the first dump told had settled by `mono_ns`."""
        return self._back_ns is None or mono_ns >= self._back_ns + SETTLING_NS

    def note(self, tree: Hierarchy, found: Survey | None, left_ns: int | None = None) -> None:
        """Take in a dump, once; one that is older than the last is known. Until `left_ns` the screen showed the picture
        that it had shown during the dump before it."""
        first, last = _first(tree), _last(tree)
        if not self._seen or last > self._seen[-1].last_ns:
            before_ns = self._seen[-1].last_ns if self._seen else first
            hole = self._failed_ns >= before_ns and first - before_ns > CLOSE_NS
            looked = left_ns is not None and self._seen and before_ns <= left_ns <= first
            self._seen.append(Seen(first, last, tree.rotation, found, hole, left_ns if looked else None))
            if self._away:
                self._away, self._back_ns = False, last

    def since(self, mono_ns: int) -> list[Seen]:
        """What may have been so at `mono_ns` or later, oldest first."""
        seen = list(self._seen)
        start = 0
        for i, after in enumerate(seen[1:]):
            if after.last_ns <= mono_ns:
                start = i + 1
        return seen[start:]


def enclosed(s: Snapshot) -> bool:
    """Whether nothing can have come and gone unseen that the frame shows: the dumps around its drawing lie close
    together, or one of them was taken while the screen showed this picture."""
    if s.before is None or s.after is None:
        return False
    from_ns, to_ns = s.frame.stamp.mono_ns - s.frame.bound_ns, s.frame.stamp.mono_ns + s.frame.bound_ns
    if all(
        _last(later) - _first(earlier) <= CLOSE_NS
        for earlier, later in pairwise((s.before, *s.between, s.after))
        # What a frame shows was there when it was drawn, or had gone shortly before and was still sliding out.
        if _first(earlier) <= to_ns and _last(later) >= from_ns - SETTLING_NS
    ):
        return True
    since, until = s.since, s.until
    if since is None or until is None:
        return False
    return any(_first(x) >= since.mono_ns + LATE_NS and _last(x) <= until.mono_ns for x in (s.before, *s.between))


def passed(recent: Sequence[Seen], s: Snapshot) -> bool:
    """Whether another screen may have come and gone between two of the `recent` dumps and slide out in the picture.

    It did so if the app went on by itself: to another screen, not to other content of a list, which `moved` covers. A
    picture that stays the same is none of a screen that slides.
    """
    return any(
        before.survey is not None
        and after.survey is not None
        and (not after.survey.scrolling or before.survey.scrolling.keys() != after.survey.scrolling.keys())
        and _replaced(before.survey, after.survey)
        for before, after in _apart(recent, s, PASSING_NS)
    )


def returned(recent: Sequence[Seen], s: Snapshot, span_ns: int = RETURN_NS) -> bool:
    """Whether the screen may have been left and come back between two of the `recent` dumps that tell of nothing, and
    slide in in the picture; after AWAY_NS another app, to which a person went meanwhile, may slide out."""
    shown_ns = s.frame.stamp.mono_ns + s.frame.bound_ns
    return any(after.first_ns <= shown_ns for _, after in _apart(recent, s, span_ns))


def _apart(recent: Sequence[Seen], s: Snapshot, span_ns: int) -> Iterator[tuple[Seen, Seen]]:
    """Dumps between which nobody looked for longer than that, after which the picture did not stand still."""
    return (
        (before, after)
        for before, after in pairwise(recent)
        if after.last_ns - (before.first_ns if after.after_ns is None else after.after_ns) > span_ns
        and not _calm(s, after.last_ns + LATE_NS)
    )


def _calm(s: Snapshot, mono_ns: int) -> bool:
    """Whether the screen showed the picture for a few frames, and still at `mono_ns`, by which a change is drawn."""
    if s.since is None or s.until is None:
        return False
    from_ns, to_ns = s.since.mono_ns + s.frame.bound_ns, s.until.mono_ns - 2 * s.frame.bound_ns
    return to_ns >= mono_ns and to_ns - from_ns >= CALM_NS


def still(s: Snapshot) -> bool:
    """Whether the picture has been the same for so long that nothing in it moves."""
    return s.since is not None and s.until is not None and s.until.mono_ns - s.since.mono_ns >= SETTLING_NS


def _first(tree: Hierarchy) -> int:
    return tree.stamp.mono_ns - tree.bound_ns


def _last(tree: Hierarchy) -> int:
    return tree.stamp.mono_ns + tree.bound_ns


def moved(surveys: Sequence[Survey]) -> list[MaskRect] | None:
    """What to block because private views moved from dump to dump; None = everything.

    A private view that moved inside a scrolling one may have been anywhere in it. A scrolling view whose content was
    replaced entirely may have shown something that neither dump saw.
    """
    moving: list[MaskRect] = []
    for before, after in pairwise(surveys):
        for view, content in before.scrolling.items():
            then = after.scrolling.get(view)
            if then and content.isdisjoint(then):
                moving.append(MaskRect(view[1], "block", "moving"))
        lone = _lone(before, after)
        if lone:
            container = _container(lone, before, after)
            if container is None:
                return None
            moving.append(MaskRect(container, "block", "moving"))
    return moving


def unsettled(surveys: Sequence[Survey], screen: Size, *, sliding: bool = False) -> list[MaskRect]:
    """Covers for what came or went in the last moments.

    Screens slide in from a side or from below, and out again, by animations that move the drawing and not the bounds in
    the tree: until they are over a private view may be drawn anywhere in its rows, or further down. Windows over the
    app come from the edge that is nearer. `sliding` says that a screen may do so of which all the dumps tell.
    """
    now = surveys[-1]
    places = [{_place(p) for p in found.private} for found in surveys]
    always = set.intersection(*places)
    if sliding or any(_replaced(before, after) for before, after in pairwise(surveys)):
        # A screen of the same build: its inputs stand where those of the one before did.
        always = set()
    young = [p.bounds for found in surveys for p in found.private if _place(p) not in always]
    covers = [
        MaskRect(Bounds(app.left, max(app.top, top - app.height // ZOOM), app.right, app.bottom), "block", "settling")
        for app in now.app
        if (top := min((b.top for b in young if not b.intersect(app).empty), default=None)) is not None
    ]
    steady = set.intersection(*({*found.covers} for found in surveys))
    for found in surveys:
        for cover in found.covers:
            if cover.rule in _FOREIGN and cover not in steady:
                b = cover.bounds
                if b.top + b.bottom < screen.height:
                    covers.append(MaskRect(Bounds(b.left, 0, b.right, b.bottom), "block", cover.rule))
                else:
                    covers.append(MaskRect(Bounds(b.left, b.top, b.right, screen.height), "block", cover.rule))
    return covers


def _replaced(before: Survey, after: Survey) -> bool:
    """Whether most of what the app's window says is new."""
    if before is after:
        return False
    was, now = _words(before), _words(after)
    return len(was & now) * 2 < max(len(was), len(now))


def _words(found: Survey) -> set[tuple[str, str]]:
    return {(row.node.text, row.node.desc) for row in found.rows if (row.node.text or row.node.desc) and not row.typed}


def _lone(before: Survey, after: Survey) -> list[Private]:
    a, b = {p.bounds for p in before.private}, {p.bounds for p in after.private}
    return [p for p in before.private if p.bounds not in b] + [p for p in after.private if p.bounds not in a]


def _container(views: Sequence[Private], before: Survey, after: Survey) -> Bounds | None:
    """The innermost scrolling view around all `views` that stands at the same place in both dumps."""
    common = list(views[0].scrolls)
    for view in views[1:]:
        common = [scroll for scroll in common if scroll in view.scrolls]
    for scroll in reversed(common):
        if scroll in before.scrolling and scroll in after.scrolling:
            return scroll[1]
    return None


def _place(view: Private) -> Bounds | str:
    """By what a view is known again: where it is, or its place in the tree for what scrolls or fits its words."""
    return view.bounds if view.rule in _FIXED and not view.scrolls else view.key

"""What changed on a screen from one dump to the next, and what is covered for it: what is drawn follows by and by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from itertools import pairwise

from agent.model import MaskRect
from agent.replay.rows import Private, Row
from agent.replay.survey import Survey
from agent.replay.windows import floats, hull
from bridge.types import Bounds, Size

# How many characters a person types between two dumps.
KEYS = 3
# Screens grow or shrink a little as they open: by less than this part of their height.
ZOOM = 16
# Rules of views that keep their bounds whatever words they hold.
_FIXED = frozenset(("password", "editable", "private-input", "unknown-input", "web", "map", "keypad", "drawing"))
_FOREIGN = frozenset(("keyboard", "system-ui", "other-app"))
Words = tuple[str, str]
Step = tuple[int, int]


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
    the tree: until they are over a private view may be drawn anywhere in its rows, or further down. So may one that
    stands elsewhere than before. Windows over the app come from the edge that is nearer. `sliding` says that a screen
    may do so of which all the dumps tell.
    """
    now = surveys[-1]
    places = [{_place(p) for p in found.private} for found in surveys]
    always = set.intersection(*places)
    if sliding or any(replaced(before, after) for before, after in pairwise(surveys)):
        # A screen of the same build: its inputs stand where those of the one before did.
        always = set()
    shifted, boxes = _shifted(surveys)
    young = [p.bounds for found in surveys for p in found.private if _place(p) not in always or p.key in shifted]
    covers = [MaskRect(box, "block", "settling") for box in boxes]
    covers += [
        MaskRect(Bounds(app.left, max(app.top, top - app.height // ZOOM), app.right, app.bottom), "block", "settling")
        for app in now.app
        if (top := min((b.top for b in young if not b.intersect(app).empty), default=None)) is not None
    ]
    steady = set.intersection(*({*found.covers} for found in surveys))
    whole = Bounds(0, 0, screen.width, screen.height)
    gone = [c for found in surveys for c in found.over if c not in steady]
    # A small window of another app, or a keyboard that floats, goes from one place to the next.
    others = [c.bounds for c in gone if c.rule == "other-app"]
    keys = [c.bounds for c in gone if c.rule == "keyboard" and floats(c.bounds, whole)]
    covers += [MaskRect(box, "block", "other-app") for box in hull(others)]
    covers += [MaskRect(box, "block", "keyboard") for box in hull(keys)]
    for found in surveys:
        for cover in found.covers:
            if cover.rule in _FOREIGN and cover not in steady:
                b = cover.bounds
                if b.top + b.bottom < screen.height:
                    covers.append(MaskRect(Bounds(b.left, 0, b.right, b.bottom), "block", cover.rule))
                else:
                    covers.append(MaskRect(Bounds(b.left, b.top, b.right, screen.height), "block", cover.rule))
    return covers


def altered(surveys: Sequence[Survey]) -> bool:
    """Whether a screen may have given way to another one of the same build: the next step, another person's page.

    Its words are other ones, or what stands in its inputs, and not by typing. Lists without private views do not count,
    nor what only scrolled.
    """
    return any(_altered(before, after) for before, after in pairwise(surveys) if before is not after)


def lively(surveys: Sequence[Survey]) -> list[Bounds]:
    """What changes without the screen around it: scrolling views without private ones, and inputs that are typed in."""
    places = {bounds for found in surveys for key, bounds in found.scrolling if key not in _sensitive(found)}
    for before, after in pairwise(surveys):
        if before is after:
            continue
        was = {row.key: row for row in before.rows if row.typed}
        for row in after.rows:
            old = was.get(row.key) if row.typed else None
            same = old is None or row.bounds != old.bounds or row.node.text == old.node.text
            if not (old is None or same or _rewritten(_content(old), _content(row))):
                places.add(row.bounds)
    return list(places)


def _altered(before: Survey, after: Survey) -> bool:
    out = {key for key, _ in (*before.scrolling, *after.scrolling)} - _sensitive(before) - _sensitive(after)
    out |= {
        key
        for key in _sensitive(before) & _sensitive(after)
        if _offset([*_steps(before, after, key).values()]) not in (None, (0, 0))
    }
    was, now = _said(before, out), _said(after, out)
    if {words for words, typed in was.values() if not typed} != {words for words, typed in now.values() if not typed}:
        return True
    return any(typed and _rewritten(words[0], now[key][0][0]) for key, (words, typed) in was.items() if key in now)


def _said(found: Survey, out: Set[str]) -> dict[str, tuple[Words, bool]]:
    """What each view says, and whether that is typed, without what is in the scrolling views `out`."""
    return {
        row.key: ((_content(row), row.node.desc), row.typed)
        for row in found.rows
        if (row.node.text or row.node.desc or row.typed) and out.isdisjoint(key for key, _ in row.scrolls)
    }


def _content(row: Row) -> str:
    """What a view says; an empty input may show its hint."""
    return "" if row.typed and row.node.text == row.node.hint else row.node.text


def _sensitive(found: Survey) -> set[str]:
    """The keys of scrolling views with private ones in them."""
    return {key for p in found.private for key, _ in p.scrolls}


def _rewritten(before: str, after: str) -> bool:
    """Whether the content of an input is another one, not the same edited by a few keys."""
    short, long = sorted((before, after), key=len)
    if long.startswith(short) and len(long) - len(short) <= KEYS:
        return False
    same = _common(before, after)
    same += _common(before[same:][::-1], after[same:][::-1])
    return len(long) - same > same


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _shifted(surveys: Sequence[Survey]) -> tuple[set[str], list[Bounds]]:
    """Private views that stand elsewhere than in the dump before, though nothing scrolled: what is drawn may follow by
    and by. Their keys, and of those in scrolling views these."""
    keys: set[str] = set()
    boxes: dict[Bounds, None] = {}
    for before, after in pairwise(surveys):
        if before.private == after.private:
            continue
        then = {p.key: p for p in after.private if p.key}
        steps: dict[str, dict[Words, Step]] = {}
        for was in before.private:
            now = then.get(was.key)
            if now is None or not _elsewhere(was.bounds, now.bounds):
                continue
            common = [pair for pair in zip(was.scrolls, now.scrolls, strict=False) if pair[0][0] == pair[1][0]]
            if not common:
                keys.add(was.key)
                continue
            view = common[-1][0][0]
            if view not in steps:
                steps[view] = _steps(before, after, view)
            if not _scrolled(was.bounds, now.bounds, _same_words(before, after, was.key), steps[view]):
                boxes |= dict.fromkeys(bounds for _, bounds in common[-1])
    return keys, list(boxes)


def _elsewhere(one: Bounds, other: Bounds) -> bool:
    """Whether a view was moved, not only made longer by more words."""
    return one.top != other.top or (one.left != other.left and one.width == other.width)


def _scrolled(was: Bounds, now: Bounds, words: Words | None, steps: Mapping[Words, Step]) -> bool:
    """Whether a view went with the rest of what is in the scrolling view around it; without `words` of its own that are
    still the same it is a row that is used anew."""
    step = _offset([step for said, step in steps.items() if said != words])
    if step is None or words is None:
        return step not in (None, (0, 0))
    # At the edge of the view a row is cut: its other end tells.
    across, down = step
    return across in (now.left - was.left, now.right - was.right) and down in (
        now.top - was.top,
        now.bottom - was.bottom,
    )


def _offset(steps: Collection[Step]) -> Step | None:
    """How far the content of a scrolling view went, across and down: what at least half of it did. None when nothing
    tells."""
    if not steps:
        return None
    step, count = Counter(steps).most_common(1)[0]
    return step if count * 2 >= len(steps) else None


def _steps(before: Survey, after: Survey, view: str) -> dict[Words, Step]:
    """How far went what is said in a scrolling view in both dumps, once in each."""
    was, now = _sayings(before, view), _sayings(after, view)
    return {
        words: (then.left - bounds.left, then.top - bounds.top)
        for words, bounds in was.items()
        if bounds is not None and (then := now.get(words)) is not None
    }


def _sayings(found: Survey, view: str) -> dict[Words, Bounds | None]:
    """Where in a scrolling view something is said; None for what is said twice."""
    places: dict[Words, Bounds | None] = {}
    for row in found.rows:
        words = row.node.text, row.node.desc
        if any(words) and any(key == view for key, _ in row.scrolls):
            places[words] = None if words in places else row.bounds
    return places


def _same_words(before: Survey, after: Survey, key: str) -> Words | None:
    """What a view says, if that is the same in both dumps."""
    was, now = (
        next(((row.node.text, row.node.desc) for row in found.rows if row.key == key), None)
        for found in (before, after)
    )
    return was if was == now else None


def replaced(before: Survey, after: Survey) -> bool:
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

"""The last moments of a screen: dumps come late, and what is drawn moves without the tree."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from agent.model import MaskRect, Snapshot
from agent.replay.survey import Private, Row, Survey
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
# How many characters a person types between two dumps.
KEYS = 3
# Dumps take 20 ms at least.
KEPT = 64
# Screens grow or shrink a little as they open: by less than this part of their height.
ZOOM = 16
# Rules of views that keep their bounds whatever words they hold.
_FIXED = frozenset(("password", "editable", "private-input", "unknown-input", "web", "map", "keypad"))
_FOREIGN = frozenset(("keyboard", "system-ui", "other-app"))
Words = tuple[str, str]
Step = tuple[int, int]


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
    the tree: until they are over a private view may be drawn anywhere in its rows, or further down. So may one that
    stands elsewhere than before. Windows over the app come from the edge that is nearer. `sliding` says that a screen
    may do so of which all the dumps tell.
    """
    now = surveys[-1]
    places = [{_place(p) for p in found.private} for found in surveys]
    always = set.intersection(*places)
    if sliding or any(_replaced(before, after) for before, after in pairwise(surveys)):
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

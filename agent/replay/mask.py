"""The only maker of `MaskedSnapshot`: nothing that this module does not pass on is ever encoded.

Fail closed: what cannot be told apart for sure is covered, up to the whole picture with a named reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.model import Canvas, MaskedNode, MaskedSnapshot, MaskLevel, MaskRect, Snapshot
from agent.privacy import Rules, Span, starred, torn
from agent.replay.behind import Behind
from agent.replay.canvas import covered
from agent.replay.changes import altered, lively, moved, unsettled
from agent.replay.dots import Dots
from agent.replay.fingers import Fingers, moves
from agent.replay.motion import AWAY_NS, LATE_NS, Motion, enclosed, passed, returned, slowed, still
from agent.replay.properties import clean_event, private_values
from agent.replay.secrets import Secrets
from agent.replay.survey import Survey, survey
from agent.replay.text import STARS, may_be_cut, reaching, spans
from agent.replay.windows import is_keyboard, outside, owner
from bridge.buffers import Buffers
from bridge.types import Bounds, Hierarchy, Rotation, Size, Stamp, Touch

GROW = 2
# Which share of a picture changes when a screen slides, and not when a cursor blinks or a wheel turns.
WIDE = 0.02
MAX_PASSWORDS = 4096
# At conservative all that stood on the screens counts, and what was logged may be placed many screens later.
MORE_TEXTS = 384
# Touches are judged as they are written: late by the time that uploads take through a relay, or by that before a
# session is known.
HISTORY_NS = 120_000_000_000
HISTORY = 4096
# The window manager is asked every second or two.
TOLD_NS = 3_000_000_000
KEPT_SURVEYS = 8
# The last masked picture, and those that were the base or the top of what a session shows.
KEPT_BUFFERS = 4
TOUCH_SLACK_NS = 1_000_000_000
SLOW_DUMP_NS = 2_000_000_000
_LEVELS: tuple[MaskLevel, ...] = ("light", "medium", "conservative")
_BLIND = frozenset(("no-tree", "rotation", "size", "secure"))
_EVERYWHERE = Bounds(-(2**31), -(2**31), 2**31, 2**31)


@dataclass(frozen=True, slots=True)
class _Silent:
    """Where no touch may be told, by what was known at `mono_ns`, and how the screen was turned then (None: not known);
    it holds for touches up to `back_ns` earlier, too. `inked` are the places where a pen's stroke says what was
    written."""

    mono_ns: int
    zones: tuple[Bounds, ...]
    back_ns: int = SLOW_DUMP_NS
    rotation: Rotation | None = None
    inked: tuple[Bounds, ...] = ()

    def alike(self, other: _Silent) -> bool:
        return replace(self, mono_ns=other.mono_ns) == other


class Masker:
    """Masks the snapshots, texts, events and touches of one device. One thread at a time; keeps what it learned.

    `package` is the app to show, None for whatever app is in front. `width` is that of the pictures made in portrait.
    `rules` are the user's.
    """

    def __init__(self, level: MaskLevel, package: str | None, width: int = 540, rules: Rules | None = None) -> None:
        self.level = level
        self.package = package
        self._width = width
        self._rules = rules or Rules()
        self._named = Secrets()
        self._named.remember(self._rules.literals)
        self._secrets = Secrets()
        # What was learnt of events: some send one with each letter that is typed.
        self._told = Secrets()
        self._hard = Secrets()
        # What was seen and hidden without having been typed: plenty, so it must not crowd out what was.
        self._texts = Secrets()
        self._texts.widen(MORE_TEXTS if level == "conservative" else 0)
        self._ruled = Secrets()
        self._passwords: dict[str, None] = {}
        self._dots = Dots()
        # Whether dumps leave out a keyboard that the window manager tells of, when it did, and which dumps had one.
        self._left_out = False
        self._typing_ns: int | None = None
        self._dumps: deque[tuple[int, bool]] = deque(maxlen=KEPT_SURVEYS)
        self._surveys: dict[tuple[int, Size, int, bool], Survey] = {}
        self._touched: tuple[Hierarchy, tuple[Bounds, ...]] | None = None
        self._behind = Behind()
        self._motion = Motion()
        self._fingers = Fingers()
        self._buffers = Buffers(KEPT_BUFFERS)
        self._shown: Canvas | None = None
        self._looked: Canvas | None = None
        self._steady: Canvas | None = None
        self._slid_ns: int | None = None
        self._wide = False
        self._silent: deque[_Silent] = deque()
        self._forgotten = False

    def tighten(self, level: MaskLevel) -> bool:
        """Mask at `level` from now on, if that is stricter than what is masked already; whether it is."""
        stricter = _LEVELS.index(level) > _LEVELS.index(self.level)
        if stricter:
            self.level = level
            self._texts.widen(MORE_TEXTS if level == "conservative" else 0)
            self._surveys.clear()
            self._touched = None
            self._behind.forget()
        return stricter

    def snapshot(self, s: Snapshot, canvas: Canvas, dpi: int) -> MaskedSnapshot:
        """Burn the masks of all dumps around a frame into a copy of its `canvas`.

        `blocked` of the result is "no-tree", "rotation", "size", "unstable", "not-app", "settling" or "secure" when the
        whole picture is covered.
        """
        size = s.frame.screen
        if s.before is None or s.after is None:
            return self._blocked(s, dpi, "no-tree")
        trees = (s.before, *s.between, s.after)
        if not all(tree.roots for tree in trees):
            return self._blocked(s, dpi, "no-tree")
        if canvas.screen != size or not _alike(canvas.size, size):
            return self._blocked(s, dpi, "size")
        found: list[Survey] = []
        for tree in trees:
            same = tree.rotation == s.frame.rotation
            seen = self._survey(tree, size, dpi) if same else None
            self._motion.note(tree, seen, None if s.left is None else s.left.mono_ns)
            if seen is not None:
                self._behind.note(seen, tree.rotation, canvas)
                found.append(seen)
        if len(found) < len(trees):
            return self._blocked(s, dpi, "rotation")
        if any(x.extent[0] > size.width or x.extent[1] > size.height for x in found):
            return self._blocked(s, dpi, "size")
        settling_ns = self._motion.settling_ns
        if not (_around(s, s.before, s.after) and enclosed(s, settling_ns)):
            return self._blocked(s, dpi, "unstable")
        if not all(x.package for x in found):
            return self._blocked(s, dpi, "not-app")
        if any(x.package != found[0].package for x in found):
            return self._blocked(s, dpi, "unstable")
        drawn_ns = s.frame.stamp.mono_ns - s.frame.bound_ns
        recent = self._motion.since(drawn_ns - settling_ns)
        if any(seen.rotation != s.frame.rotation for seen in recent):
            return self._blocked(s, dpi, "rotation")
        past = [seen.survey for seen in recent if seen.survey is not None and seen.survey.package]
        resting = still(s, settling_ns)
        if canvas is not self._looked:
            # Beside what was shown last: from one covered picture to the next a slide's end moves hardly.
            self._wide = self._shown is None or canvas.unlike(self._shown) > WIDE
            self._looked = canvas
        came = self._wide and returned(recent, s, AWAY_NS)
        missed = not resting and (any(seen.hole for seen in recent[1:]) or passed(recent, s) or came)
        if len(past) < len(recent) or missed or not self._motion.known(drawn_ns):
            # The app's opening is drawn over what was there, by a tree that shows it in its place already; so is a
            # screen over one that no dump told of.
            return self._blocked(s, dpi, "settling")
        # What a finger does may be told a little late.
        until_ns = s.frame.stamp.mono_ns + s.frame.bound_ns + LATE_NS
        around, last = [*past, *found], found[-1]
        told = [(seen.first_ns, seen.survey) for seen in recent if seen.survey is not None]
        told += [(tree.stamp.mono_ns - tree.bound_ns, one) for tree, one in zip(trees, found, strict=True)]
        fingers = self._fingers.since(drawn_ns, until_ns, told, dpi, settling_ns)
        if moves(fingers, drawn_ns, until_ns, around, s.frame.rotation, size, dpi, settling_ns):
            return self._blocked(s, dpi, "settling")
        moving = moved(found)
        if moving is None:
            return self._blocked(s, dpi, "unstable")
        late = [seen.survey for seen in self._motion.since(drawn_ns - LATE_NS) if seen.survey is not None]
        left = moved(late)
        moving += left or ()
        self._shown = canvas
        slid = not resting and self._slid(canvas, around)
        self._slid_ns = (self._slid_ns or drawn_ns) if slid else None
        if self._slid_ns is None or drawn_ns - self._slid_ns >= 2 * settling_ns:
            # The end of a slide is told by what was there before all of it; none goes on for longer.
            self._steady = canvas
        sliding = slid or (not resting and (left is None or (self._wide and returned(recent, s))))
        settling = unsettled(around, size, sliding=sliding)
        if last.worded and _black(canvas, last):
            return self._blocked(s, dpi, "secure")
        private = [MaskRect(_grown(p.bounds, size), p.kind, p.rule) for x in (*late, *found) for p in x.private]
        strict = self.level == "conservative"
        behind = [cover for x in found for cover in self._behind.covers(x, canvas, every=strict)]
        taken = self._fingers.dragged(fingers, drawn_ns, until_ns, around, size, dpi, settling_ns)
        covers = tuple(
            dict.fromkeys((*(c for x in around for c in x.covers), *private, *moving, *behind, *settling, *taken))
        )
        masked = canvas.masked([cover.bounds for cover in covers], self._width, self._buffers.take)
        nodes = tuple(_told(node, canvas) for node in last.nodes)
        return MaskedSnapshot(
            s.frame.stamp, size, dpi, s.frame.rotation, masked, nodes, covers, read_ms=_read_ms(trees[-1])
        )  # fmt: skip

    def _slid(self, canvas: Canvas, around: Sequence[Survey]) -> bool:
        """Whether a screen of the same build may be sliding in: what it says is new, and the picture is, not only in
        lists and where somebody types."""
        return altered(around) and (self._steady is None or canvas.unlike(self._steady, lively(around)) > WIDE)

    def tree(self, tree: Hierarchy, screen: Size, dpi: int) -> MaskedSnapshot:
        """The views of a dump alone, for a recording without pictures; `screen` in the dump's rotation."""
        found = self._survey(tree, screen, dpi)
        self._behind.note(found, tree.rotation)
        covers = tuple(dict.fromkeys((*found.covers, *(MaskRect(p.bounds, p.kind, p.rule) for p in found.private))))
        reason = "no-tree" if not tree.roots else "" if found.package else "not-app"
        nodes = () if reason else found.nodes
        read_ms = None if reason else _read_ms(tree)
        return MaskedSnapshot(tree.stamp, screen, dpi, tree.rotation, None, nodes, covers, reason, read_ms)

    def judged(self, tree: Hierarchy, size: Size, dpi: int) -> Survey:
        """What is known of a dump on a screen of this size, view by view: what `snapshot` goes by."""
        return self._survey(tree, size, dpi)

    def text(self, s: str, before: str = "", *, cut: bool = False, at: Stamp | None = None) -> str:
        """`s` without private patterns and without what stood in masked fields so far.

        `before` is the line that `s` goes on from, when a long text was logged in pieces; it ends with a line break
        when it holds the lines of an object so far. `cut` says that the end of `s` may be missing: its last word is
        starred, which may be half of something. `at` is when it was logged, for what only shows as dots by then.
        """
        # What is no more than the end of an object shows nothing.
        before = before if any(map(str.isalnum, s)) else ""
        above = before.removesuffix("\n")
        begun = max(reaching(above, s, self.level), self._rules.reaching(above, s)) if above else 0
        every = self._secrets, self._hard, self._told, self._ruled, self._named, self._texts
        if may_be_cut(above):
            begun = max(begun, *(known.reaching(above, s) for known in every))
        found = [*spans(s, self.level), *self._secrets.spans(s), *self._also(s, False)]
        if at is not None:
            found += self._dots.spans(s, at.mono_ns)
        if before.endswith("\n"):
            edge = len(before)
            found += [(max(0, start - edge), end - edge) for start, end in spans(before + s, self.level) if end > edge]
        # Of what only stood on the screen a single word is more likely a name of the app's than anybody's.
        found += self._texts.spans(s, telling=True)
        if begun:
            found.append((0, begun))
        if cut:
            found += torn(s)
            if half := max(known.begun(s) for known in every):
                found.append((len(s) - half, len(s)))
        return starred(s, found)

    def name(self, s: str) -> str:
        """The name of an event or of a field, without what is private for sure: any word that somebody typed is not."""
        known = self._secrets, self._hard, self._told, self._ruled
        told = (span for each in known for span in each.spans(s, telling=True))
        return starred(s, (*spans(s), *self._ordered(s), *told))

    def made_of(self, name: str) -> bool:
        """Whether the name of a view is made of what was typed, or of words that a rule or the level hides."""
        known = self._secrets, self._hard, self._told, self._ruled, self._named, self._texts
        return any(each.named(name) for each in known)

    def learn(self, event: Mapping[str, object]) -> None:
        """Take the private values of an event out of all texts from now on: its log line says them, too."""
        self._told.remember(private_values(event, self.level))

    def hide(self, words: Sequence[str], texts: Sequence[str], told: Sequence[str] = ()) -> None:
        """Take all of these out of all texts from now on: the words of views that a rule and that the level hides, and
        the private values of events."""
        for known, more in ((self._ruled, words), (self._texts, texts), (self._told, told)):
            known.widen(len(more))
            known.remember(more)

    def _clean(self, s: str) -> str:
        return starred(s, (*spans(s), *self._ordered(s), *self._hard.spans(s, telling=True)))

    def _ordered(self, s: str) -> Iterator[Span]:
        """The words that a user's rule hides wherever they stand."""
        if self._rules:
            yield from self._rules.spans(s)
            yield from self._named.spans(s)

    def _also(self, s: str, name: bool) -> Iterable[Span]:
        """These, those of views that a rule hid, and what nothing that was typed may crowd out."""
        typed = (*self._hard.spans(s, telling=name), *self._told.spans(s, telling=name))
        return (*typed, *self._ruled.spans(s), *self._ordered(s))

    def event(self, event: Mapping[str, object], at: Stamp | None = None) -> dict[str, object]:
        """A deep copy with private values starred, by the name of the field and by what they look like; ids stay. `at`
        is when it was sent, as in `text`."""

        def also(text: str, name: bool) -> Iterator[Span]:
            yield from self._also(text, name)
            if not name:
                yield from self._texts.spans(text, telling=True)
                if at is not None:
                    yield from self._dots.spans(text, at.mono_ns)

        return clean_event(event, self.level, self._secrets, also)

    def touch(self, t: Touch, hierarchy: Hierarchy | None = None) -> Touch | None:
        """`t`, or None where it says what was typed: on a keyboard, on a keypad, on another app.

        Judged by `hierarchy` and by the dumps of earlier snapshots around the touch: the last one before it, all up to
        a second after it, because a keyboard is there before a dump shows it, and the next one if it was slow. While
        the picture is blocked for want of a tree that fits it, or as secure, nothing is known of any place; nor is it
        of a touch that is judged so late that its dumps are forgotten, or about which the screen was turned otherwise
        than was known when it came: it lies elsewhere than it says.
        """
        if (self._forgotten and t.stamp.mono_ns < self._silent[0].mono_ns) or self._fingers.wrote(t):
            return None
        zones = [self._zones(hierarchy)] if hierarchy is not None and hierarchy.roots else []
        last: tuple[Bounds, ...] = ()
        # How the screen was turned at the last dump before it, and at the first one after.
        before: Rotation | None = None
        after: Rotation | None = None
        slack_ns = SLOW_DUMP_NS
        for silent in self._silent:
            here = (*silent.zones, *silent.inked) if t.pen else silent.zones
            if silent.mono_ns <= t.stamp.mono_ns:
                last = here
                before = before if silent.rotation is None else silent.rotation
                continue
            after = silent.rotation if after is None else after
            if silent.mono_ns <= t.stamp.mono_ns + min(slack_ns, silent.back_ns):
                zones.append(here)
            slack_ns = TOUCH_SLACK_NS
        zones.append(last)
        if t.rotation is not None and any(known not in (None, t.rotation) for known in (before, after)):
            return None
        # Touches go up to the screen's width and height themselves: that edge is of the last pixel.
        hidden = any(b.contains(t.x, t.y) or b.contains(t.x - 1, t.y - 1) for zone in zones for b in zone)
        return None if hidden else t

    def finger(self, t: Touch, dpi: int) -> None:
        """A finger did this on a screen of `dpi`, told or not: what it drags is covered where no dump tells of it."""
        recent = self._motion.since(t.stamp.mono_ns - self._motion.settling_ns) if t.kind == "down" else ()
        self._fingers.note(t, [(seen.first_ns, seen.survey) for seen in recent if seen.survey is not None], dpi)

    def unsure(self, since: Stamp) -> None:
        """What the fingers that were on the glass then do is not told for sure."""
        self._fingers.unsure(since.mono_ns)

    def pace(self, scale: float) -> None:
        """Animations on this phone last so many times as long as they are made: screens settle so much later."""
        if slowed(scale) != self._motion.settling_ns:
            self._motion = Motion(slowed(scale))
            self._motion.forget()

    def away(self, since: Stamp) -> None:
        """Nothing of the screen is known from `since` to the next snapshot: neither where to touch nor what moved."""
        self._motion.forget()
        self._fingers.unsure(since.mono_ns)
        self._behind.forget()
        self.blind(since)

    def blind(self, since: Stamp, *, secure: bool = False) -> None:
        """No screen can be judged from `since` to the next snapshot: until then no touch is told.

        Nor is one shortly before, unless the cause is a `secure` window: the tap that leads there is none of its
        secrets.
        """
        self._motion.fail(since.mono_ns)
        self._hush(_Silent(since.mono_ns, (_EVERYWHERE,), 0 if secure else TOUCH_SLACK_NS))

    def _hush(self, silent: _Silent) -> None:
        last = self._silent[-1] if self._silent else None
        before = self._silent[-2] if len(self._silent) > 1 else None
        if last is not None and before is not None and last.alike(silent) and before.alike(silent):
            # Of a stretch through which the same places were silent the first and the last are enough.
            self._silent.pop()
        self._silent.append(silent)
        # The last one from before counts until the next.
        since_ns = silent.mono_ns - HISTORY_NS
        while len(self._silent) > HISTORY or (len(self._silent) > 1 and self._silent[1].mono_ns < since_ns):
            self._silent.popleft()
            self._forgotten = True

    def _zones(self, tree: Hierarchy) -> tuple[Bounds, ...]:
        if self._touched is None or self._touched[0] is not tree:
            # Nothing is clipped: the frame's size is not known here.
            extent = Size(max(r.bounds.right for r in tree.roots), max(r.bounds.bottom for r in tree.roots))
            found = self._judged(tree, extent, 0)
            self._touched = tree, found.silent
        return self._touched[1]

    def keyboard(self, shown: bool, at: Stamp) -> None:
        """What the window manager said of the keyboard at `at`. It counts where the dumps around that have none."""
        self._typing_ns = at.mono_ns if shown else None
        self._left_out = shown and (self._left_out or self._leaves_out())

    def _leaves_out(self) -> bool:
        """Whether dumps leave out a keyboard that is there: neither the last one before it was told of has one nor the
        first after, for as it comes or goes one does; or none had one for longer than a word of its end takes."""
        if self._typing_ns is None or not self._dumps:
            return False
        before = [has for mono_ns, has in self._dumps if mono_ns <= self._typing_ns]
        after = [has for mono_ns, has in self._dumps if mono_ns > self._typing_ns]
        seen_ns = max((mono_ns for mono_ns, has in self._dumps if has), default=self._dumps[0][0])
        long = self._dumps[-1][0] - max(seen_ns, self._typing_ns) > TOLD_NS
        return bool(after) and (not (any(before[-1:]) or after[0]) or long)

    def _survey(self, tree: Hierarchy, size: Size, dpi: int) -> Survey:
        if not self._dumps or self._dumps[-1][0] < tree.stamp.mono_ns:
            has = any(is_keyboard(owner(root)) for root in tree.roots)
            self._dumps.append((tree.stamp.mono_ns, has))
            self._left_out = not has and (self._left_out or self._leaves_out())
        key = (tree.digest, size, dpi, self._left_out)
        found = self._surveys.pop(key, None)
        if found is None:
            found = self._judged(tree, size, dpi)
            self._learn(found)
        # The dump after one picture is the dump before the next, and may be around several.
        self._surveys[key] = found
        while len(self._surveys) > KEPT_SURVEYS:
            del self._surveys[next(iter(self._surveys))]
        if found.dots:
            self._dots.note(tree.stamp.mono_ns, found.dots)
        if not self._silent or self._silent[-1].mono_ns < tree.stamp.mono_ns:
            self._hush(_Silent(tree.stamp.mono_ns, found.silent, rotation=tree.rotation, inked=found.inked))
        return found

    def _judged(self, tree: Hierarchy, size: Size, dpi: int) -> Survey:
        known, rules = self._passwords.keys(), self._rules
        return survey(
            tree, self.package, self.level, size, dpi, known, self._clean, rules, self.made_of, keyboard=self._left_out
        )

    def _learn(self, found: Survey) -> None:
        self._secrets.remember(found.secrets)
        self._hard.remember(found.hard)
        self._texts.remember(found.texts)
        self._ruled.remember(found.ruled)
        if not found.passwords <= self._passwords.keys():
            # A dump that comes again may show what stood in plain sight before anybody knew it for one.
            self._surveys.clear()
        self._passwords |= dict.fromkeys(found.passwords)
        while len(self._passwords) > MAX_PASSWORDS:
            del self._passwords[next(iter(self._passwords))]

    def _blocked(self, s: Snapshot, dpi: int, reason: str) -> MaskedSnapshot:
        size = s.frame.screen
        if reason in _BLIND:
            self.blind((s.after or s.frame).stamp, secure=reason == "secure")
        cover = MaskRect(Bounds(0, 0, size.width, size.height), "block", reason)
        canvas = covered(size, self._width)
        return MaskedSnapshot(s.frame.stamp, size, dpi, s.frame.rotation, canvas, (), (cover,), reason)


def _read_ms(tree: Hierarchy) -> int:
    """When a dump was over."""
    return tree.stamp.wall_ms + -(-tree.bound_ns // 1_000_000)


def blank(stamp: Stamp, screen: Size, dpi: int, width: int, reason: str) -> MaskedSnapshot:
    """A covered picture of a screen that was not captured; no picture when `width` is 0."""
    cover = MaskRect(Bounds(0, 0, screen.width, screen.height), "block", reason)
    return MaskedSnapshot(stamp, screen, dpi, 0, covered(screen, width) if width else None, (), (cover,), reason)


def _grown(b: Bounds, size: Size) -> Bounds:
    return Bounds(
        max(0, b.left - GROW), max(0, b.top - GROW), min(size.width, b.right + GROW), min(size.height, b.bottom + GROW)
    )


def _black(canvas: Canvas, found: Survey) -> bool:
    """Whether all that is seen of the app is black to the last pixel, which the system gives for a secure window."""
    left = [part for app in found.app for part in outside([cover.bounds for cover in found.covers], app)]
    return bool(left) and all(canvas.black(part) for part in left)


def _told(node: MaskedNode, canvas: Canvas) -> MaskedNode:
    """A view with its label, unless the picture of it is black to the last pixel: a secure window over others is."""
    if not node.label or node.label == STARS:
        return node
    return replace(node, label=STARS) if canvas.black(node.bounds) else node


def _alike(picture: Size, screen: Size) -> bool:
    """Whether a picture has the shape of the screen: a video's sides are even, or multiples of 16."""
    across, down = picture.width * screen.height, picture.height * screen.width
    return abs(across - down) * 50 <= max(across, down)


def _around(s: Snapshot, before: Hierarchy, after: Hierarchy) -> bool:
    """Whether the dumps lie around the moment at which the screen began to show the frame, or around one at which it
    still did."""
    drawn, bound = s.frame.stamp.mono_ns, s.frame.bound_ns
    slack = bound + max(before.bound_ns, after.bound_ns)
    if after.stamp.mono_ns < drawn - slack:
        return False
    if before.stamp.mono_ns <= drawn + slack:
        return True
    return s.until is not None and before.stamp.mono_ns + before.bound_ns <= s.until.mono_ns - 2 * bound

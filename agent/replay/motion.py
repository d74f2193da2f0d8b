"""When the last dumps of a screen were taken, and what can have been on it between them that none told of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.model import Snapshot
from agent.replay.changes import replaced
from agent.replay.survey import Survey
from bridge.types import Hierarchy, Rotation

# Longer than what opens, closes and turns a screen (AOSP config_activityDefaultDur is 220 ms, activity_open 450) where
# animations are not slowed down.
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
# Dumps take 20 ms at least.
KEPT = 64


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
    """The dumps of one device in the order in which they were taken. One thread.

    `settling_ns` is for how long a screen may be drawn elsewhere than its tree says.
    """

    def __init__(self, settling_ns: int = SETTLING_NS) -> None:
        self.settling_ns = settling_ns
        self._seen: deque[Seen] = deque(maxlen=KEPT * max(1, -(-settling_ns // SETTLING_NS)))
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
        return self._back_ns is None or mono_ns >= self._back_ns + self.settling_ns

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


def slowed(scale: float) -> int:
    """How long a screen takes to settle on a phone whose animations last so many times as long as they are made, in
    ns. Those of apps of their own making do not ask."""
    return int(SETTLING_NS * max(1.0, scale))


def enclosed(s: Snapshot, settling_ns: int = SETTLING_NS) -> bool:
    """Whether nothing can have come and gone unseen that the frame shows: the dumps around its drawing lie close
    together, or one of them was taken while the screen showed this picture."""
    if s.before is None or s.after is None:
        return False
    from_ns, to_ns = s.frame.stamp.mono_ns - s.frame.bound_ns, s.frame.stamp.mono_ns + s.frame.bound_ns
    if all(
        _last(later) - _first(earlier) <= CLOSE_NS
        for earlier, later in pairwise((s.before, *s.between, s.after))
        # What a frame shows was there when it was drawn, or had gone shortly before and was still sliding out.
        if _first(earlier) <= to_ns and _last(later) >= from_ns - settling_ns
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
        and replaced(before.survey, after.survey)
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


def still(s: Snapshot, settling_ns: int = SETTLING_NS) -> bool:
    """Whether the picture has been the same for so long that nothing in it moves."""
    return s.since is not None and s.until is not None and s.until.mono_ns - s.since.mono_ns >= settling_ns


def _first(tree: Hierarchy) -> int:
    return tree.stamp.mono_ns - tree.bound_ns


def _last(tree: Hierarchy) -> int:
    return tree.stamp.mono_ns + tree.bound_ns

"""The emulated world filmed without adb: pictures each between two dumps, log entries, touches, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from agent.analytics.identity import effective_session
from agent.analytics.sniffer import Sniffer
from agent.model import Loss, MaskLevel, SealedSegment, Snapshot
from agent.replay.canvas import RgbaCanvas
from agent.replay.mask import Masker
from agent.replay.recorder import Recorder
from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record
from bridge.emulated.world import shop
from bridge.emulated.world.analytics import Sent
from bridge.emulated.world.world import APP_UID, TruthFrame, World
from bridge.hierarchy import parse
from bridge.types import Foreground, Frame, Gap, Hierarchy, Level, LogEntry, Size, Stamp, Touch, TouchKind

SERIAL = "emulated-1"
SIZE, DENSITY = Size(540, 1200), 210
LEVELS = "??VDIWEFS"
LATE_NS = 30_000_000
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture with its dumps, not masked, and the state of the screen that it shows."""

    snapshot: Snapshot
    rgba: NDArray[np.uint8]
    truth: TruthFrame


@dataclass(slots=True)
class Film:
    """All facts of one run in order of time. `typed` are the touches on the keyboard."""

    shots: list[Shot] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)
    touches: list[Touch] = field(default_factory=list)
    typed: list[Touch] = field(default_factory=list)
    fronts: list[Foreground] = field(default_factory=list)
    truth: list[TruthFrame] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)


class Camera:
    """A world on a clock that only the test moves. The phone's wall clock is also the host's."""

    def __init__(self, scenario: str, seed: int) -> None:
        self._now = 10**12
        self._clock = DeviceClock(host=lambda: self._now)
        self.film = Film()
        self.world = World(self._clock, SIZE, DENSITY, scenario, seed, self._log)
        self.world.on_touch.append(self._touch)
        self._last: Hierarchy | None = None

    def run(self, seconds: float, interval_s: float) -> Film:
        """Let the world live; a picture every `interval_s` when the screen or its tree changed, and every second."""
        end = self._now + int(seconds * 1e9)
        self._last = self._dump()
        seen, since, settled = -1, 0, False
        while self._now < end:
            self._live(self._now + int(interval_s * 1e9) - LATE_NS)
            if self.world.revision != seen or not settled or self._now - since >= 1_000_000_000:
                seen, since = self.world.revision, self._now
                settled = self._shoot()
            else:
                self._live(self._now + LATE_NS)
        self.film.truth, self.film.sent = self.world.truth(), self.world.sent()
        return self.film

    def _live(self, until: int) -> None:
        while True:
            due = self.world.next_due_ns()
            at = until if due is None else max(self._now, due - self._clock.truth_boot_offset_ns())
            if at >= until:
                break
            self._now = at
            self.world.tick()
        self._now = until

    def _shoot(self) -> bool:
        """Take a picture between two dumps; whether those are the same."""
        package, activity = self.world.foreground
        front = Foreground(self._stamp(), package, activity, self.world.keyboard_shown, self.world.rotation)
        if not self.film.fronts or self.film.fronts[-1].package != package:
            self.film.fronts.append(front)
        rgba = self.world.pixels().copy()
        height, width = rgba.shape[:2]
        digest = xxhash.xxh3_64_intdigest(rgba)
        size = Size(width, height)
        frame = Frame(self._stamp(), _MS, size, size, self.world.rotation, "image/x-rgba", b"", digest, "world")
        truth = self.world.truth()[-1]
        before = self._last
        # The dump comes when the screen may have gone on.
        self._live(self._now + LATE_NS)
        self._last = self._dump()
        self.film.shots.append(Shot(Snapshot(frame, before, self._last), rgba, truth))
        return before is not None and before.digest == self._last.digest

    def _dump(self) -> Hierarchy:
        return parse(self.world.dump_xml(), self._stamp(), _MS, SERIAL)

    def _stamp(self) -> Stamp:
        return Stamp(self._now, self._clock.wall_ns() // _MS)

    def _log(self, record: Record) -> None:
        level = cast(Level, LEVELS[record.prio])
        self.film.entries.append(
            LogEntry(
                self._stamp(), record.time_ns, record.pid, record.tid, record.uid, level, record.tag,
                record.text.decode(), record.buffer,
            )
        )  # fmt: skip

    def _touch(self, kind: str, pointer: int, x: float, y: float) -> None:
        touch = Touch(self._stamp(), cast(TouchKind, kind), pointer, x, y)
        self.film.touches.append(touch)
        keys = SIZE.height - (shop.NAVIGATION + shop.KEYBOARD) * DENSITY / 160
        if self.world.keyboard_shown and y >= keys:
            self.film.typed.append(touch)


def film(scenario: str = "shop", seed: int = 1, seconds: float = 40.0, interval_s: float = 0.25) -> Film:
    """`seconds` of a scenario on a phone of 540 x 1200 pixels at 210 dpi."""
    return Camera(scenario, seed).run(seconds, interval_s)


def develop(
    taken: Film,
    level: MaskLevel = "medium",
    *,
    gaps: Sequence[Gap] = (),
    wireframe: bool = False,
    segment_ms: int = 30_000,
) -> tuple[list[SealedSegment], tuple[Loss, ...]]:
    """The film through masker, sniffer and recorder, in order of time: its segments and what they lack.

    `gaps` are put in; with `wireframe` the trees alone are taken.
    """
    masker = Masker(level, shop.PACKAGE)
    sniffer = Sniffer(APP_UID)
    device = {"manufacturer": "Emulated", "model": "Small", "android": "14"}
    recorder = Recorder(SERIAL, device, masker, effective_session, SIZE, DENSITY, segment_ms=segment_ms)
    sealed: list[SealedSegment] = []
    facts: list[tuple[int, Shot | LogEntry | Touch | Foreground | Gap]] = [
        # A snapshot is there when its second dump is.
        *((shot.snapshot.frame.stamp.mono_ns + LATE_NS, shot) for shot in taken.shots),
        *((entry.stamp.mono_ns, entry) for entry in taken.entries),
        *((touch.stamp.mono_ns, touch) for touch in taken.touches),
        *((front.stamp.mono_ns, front) for front in taken.fronts),
        *((gap.end.mono_ns, gap) for gap in gaps),
    ]
    facts.sort(key=lambda fact: fact[0])
    for _, fact in facts:
        if isinstance(fact, Shot) and wireframe:
            tree = fact.snapshot.after
            assert tree is not None
            sealed += recorder.feed(masker.tree(tree, fact.snapshot.frame.screen, DENSITY))
        elif isinstance(fact, Shot):
            sealed += recorder.feed(masker.snapshot(fact.snapshot, RgbaCanvas(fact.rgba), DENSITY))
        elif isinstance(fact, LogEntry):
            for found in sniffer.feed(fact):
                sealed += recorder.feed(found)
            if fact.uid == APP_UID:
                sealed += recorder.feed(fact)
        else:
            sealed += recorder.feed(fact)
    for found in sniffer.flush():
        sealed += recorder.feed(found)
    sealed += recorder.finish()
    return sealed, recorder.losses

"""The leak test: emulated worlds with known private pixels and words through the real capture, masking and recording.

Time is virtual: the world goes on while a call to the phone lasts, and no call lasts for real. What is private is drawn
in a colour that nothing else has (see `bridge.emulated.world.paint`), so that one stray pixel is found in the stored
pictures; a video, whose codec blurs colours, is also compared with one of other secrets (see `fakes.footage`). Private
words are looked for in every byte of text, in every writing.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import quote

import numpy as np
import xxhash
from fakes.footage import Footage, told
from numpy.typing import NDArray
from PIL import Image

from agent.model import Looked, MaskedSnapshot, MaskLevel, SealedSegment, Snapshot
from agent.replay.canvas import I420Canvas, RgbaCanvas
from agent.runtime.capture import CaptureLoop
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Settings
from bridge.deadline import Deadline
from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record
from bridge.emulated.world import hazards, paint, shop
from bridge.emulated.world.lively import LivelyWorld
from bridge.emulated.world.views import View, Window
from bridge.emulated.world.world import APP_UID
from bridge.errors import CaptureFailed, StreamRestarting
from bridge.hierarchy import parse
from bridge.types import (
    ClockFix,
    DeviceInfo,
    Foreground,
    Frame,
    Gap,
    Hierarchy,
    Level,
    LogEntry,
    Size,
    Stamp,
    Touch,
    TouchKind,
)
from bridge.video import PATIENCE_SECONDS, POLL_SECONDS

Source = Literal["screencap", "screenrecord", "scrcpy"]
SOURCES: tuple[Source, ...] = ("screencap", "screenrecord", "scrcpy")
Trees = Literal["prompt", "slow", "failing", "active", "lagging"]
TREES: tuple[Trees, ...] = ("prompt", "slow", "failing", "active", "lagging")
LEVELS: tuple[MaskLevel, ...] = ("medium", "conservative")
WORLDS = tuple(hazards.HAZARDS)
# A dump of the active window tells nothing of a notification over it; the product's own source dumps all windows.
UNTOLD = frozenset((("notices", "active"), ("floating", "active")))
SCREENS = ((Size(360, 800), 160), (Size(432, 960), 210), (Size(540, 1104), 240))
SERIAL = "emulated-1"
PRIORITIES = "??VDIWEFS"
MAX_LEAKS = 20
# What is private has 255 more; WebP's colours are off by up to 30.
TINT, FAINT = 40, 10
START_NS = 10**12
# Five frames of 50 Hz.
LAG_MS = 100
START_S = 6.0
STILL_TAKES = 4
MAX_BLOCKED, MAX_OVERMASKED = 0.01, 0.05
# Between two calls.
CALL_S = 0.0005
_MS = 1_000_000


@dataclass(slots=True)
class Outcome:
    """What one run showed.

    `taken` pictures of which `frames` went through masking, the others being as the one before. `blocked` is the share
    of the pictures that were covered whole, `overmasked` that of pixels covered that are the app's and not private;
    the app's start is in neither.
    """

    world: str
    level: MaskLevel
    trees: Trees
    source: Source
    taken: int = 0
    frames: int = 0
    blocked: float = 0.0
    overmasked: float = 0.0
    pictures: int = 0
    texts: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)


class _Over(Exception):
    """Enough frames were taken."""


class Handset:
    """A lively phone on virtual time, as the device that the stage attaches to and as clock, screen and view trees.

    A screencap shows what was drawn at some instant of the call, up to two frames late; a video is `Footage`. A dump
    tells the tree of some instant of its call, by `trees` slowly, not at all half of the time, of the active window
    only, or some frames late.
    """

    serial = SERIAL

    def __init__(
        self, world: str, level: MaskLevel, trees: Trees, source: Source, size: Size, density: int, seed: int
    ) -> None:
        self.ns = START_NS
        self.name = source
        self._rng = random.Random(f"{world} {trees} {source} {seed}")
        self._trees = trees
        self._clock = DeviceClock(host=lambda: self.ns)
        self.on_capture: Callable[[], None] = lambda: None
        self.stage: Stage | None = None
        self.loop: CaptureLoop | None = None
        self._size, self._density = size, density
        self.world = LivelyWorld(self._clock, size, density, world, seed, self._log, marks=marks(level))
        self.world.on_touch.append(self._touched)
        self.footage: Footage | None = None
        if source != "screencap":
            self.footage = Footage(source, self.world, self.at, self._rng, altered)
        self._painted: tuple[object, NDArray[np.uint8], int] = (None, np.zeros((0, 0, 4), np.uint8), 0)

    @property
    def info(self) -> DeviceInfo:
        return DeviceInfo(SERIAL, "Small", "Emulated", "14", 34, self._size, self._density, 0, "boot")

    @property
    def received(self) -> int:
        return 0

    def screen(self) -> Handset:
        return self

    def hierarchy(self) -> Handset:
        return self

    def foreground(self, deadline: Deadline) -> Foreground:
        package, activity = self.world.foreground
        return Foreground(self.now(), package, activity, self.world.keyboard_shown, self.world.rotation)

    def package_uid(self, package: str, deadline: Deadline) -> int | None:
        return APP_UID

    def clock_fix(self, deadline: Deadline) -> ClockFix:
        return ClockFix(self.now(), self._clock.truth_offset_ns(), _MS, self._clock.truth_boot_offset_ns(), _MS)

    def close(self) -> None: ...

    def now(self) -> Stamp:
        return self.at(self.ns)

    def at(self, mono_ns: int) -> Stamp:
        """The stamp of an instant of the host's clock."""
        return Stamp(mono_ns, (self._clock.wall_ns() + mono_ns - self.ns) // _MS)

    def live(self, seconds: float) -> None:
        """Let the world go on."""
        until, footage = self.ns + int(seconds * 1e9), self.footage
        while True:
            due = self.world.next_due_ns()
            at = until if due is None else max(self.ns + 1, due - self._clock.truth_boot_offset_ns())
            if footage is not None and footage.due_ns is not None:
                at = min(at, max(self.ns + 1, footage.due_ns))
            if at >= until:
                break
            self.ns = at
            self.world.tick()
            if footage is not None:
                footage.drawn(self.world.at(self._clock.boot_ns()))
                footage.tick(at)
        self.ns = until

    def capture(self, deadline: Deadline) -> Frame:
        self.on_capture()
        self.live(CALL_S)
        if self.footage is not None:
            return self._held(self.footage)
        began = self.now()
        self.live(self._rng.uniform(0.015, 0.09))
        ended = self.now()
        taken = self._rng.randint(began.mono_ns, ended.mono_ns) - self._rng.randint(0, 33 * _MS)
        scene = self.world.at(taken + self._clock.truth_boot_offset_ns())
        if self._painted[0] is not scene:
            pixels = self.world.picture(scene)
            self._painted = scene, pixels, xxhash.xxh3_64_intdigest(pixels)
        _, pixels, digest = self._painted
        stamp = Stamp((began.mono_ns + ended.mono_ns) // 2, (began.wall_ms + ended.wall_ms) // 2)
        bound = (ended.mono_ns - began.mono_ns + 1) // 2
        data = memoryview(pixels).cast("B")
        return Frame(stamp, bound, scene.size, scene.size, scene.rotation, "image/x-rgba", data, digest, self.name)

    def _held(self, footage: Footage) -> Frame:
        """What the host was sent last, as `bridge.video` waits for it."""
        until = self.ns + int(PATIENCE_SECONDS * 1e9)
        while True:
            try:
                return footage.capture()
            except StreamRestarting:
                if self.ns >= until:
                    raise
            self.live(POLL_SECONDS)

    def dump(self, deadline: Deadline) -> Hierarchy:
        self.live(CALL_S)
        began = self.now()
        rng = self._rng
        self.live(rng.uniform(0, 1.5) if self._trees == "slow" else rng.uniform(0.012, 0.07))
        ended = self.now()
        if self._trees == "failing" and rng.random() < 0.5:
            self.live(rng.uniform(0, 0.4))
            raise CaptureFailed(SERIAL, "dump the view tree", "no answer")
        taken = rng.randint(began.mono_ns, ended.mono_ns)
        if self._trees == "lagging":
            taken -= rng.randint(0, LAG_MS * _MS)
        scene = self.world.at(taken + self._clock.truth_boot_offset_ns())
        xml = self.world.tree(scene, only_active=self._trees == "active")
        stamp = Stamp((began.mono_ns + ended.mono_ns) // 2, (began.wall_ms + ended.wall_ms) // 2)
        tree = parse(xml, stamp, (ended.mono_ns - began.mono_ns + 1) // 2, SERIAL)
        if self.footage is not None:
            self.footage.display.rotation = tree.rotation
        return tree

    def wait(self, seconds: float) -> bool:
        self.live(seconds)
        return False

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def run(self) -> None: ...

    def _log(self, record: Record) -> None:
        level = cast(Level, PRIORITIES[record.prio])
        if self.stage is not None:
            entry = LogEntry(
                self.now(), record.time_ns, record.pid, record.tid, record.uid, level, record.tag,
                record.text.decode(), record.buffer,
            )  # fmt: skip
            self.stage.process([entry])

    def _touched(self, kind: str, pointer: int, x: float, y: float) -> None:
        if self.stage is not None and self.loop is not None:
            touch = Touch(self.now(), cast(TouchKind, kind), pointer, x, y)
            self.stage.process([touch])
            self.loop.touched(touch)


def marks(level: MaskLevel) -> paint.Marks:
    """What is private: all that is not the app's, its inputs and web pages, and at conservative its texts."""

    def private(window: Window, view: View) -> bool:
        if window.package != shop.PACKAGE or view.private or view.cls.endswith("EditText"):
            return True
        return level == "conservative" and bool(view.text)

    return private


def search(
    world: str,
    level: MaskLevel,
    trees: Trees,
    frames: int,
    size: Size,
    density: int,
    seed: int = 1,
    source: Source = "screencap",
) -> Outcome:
    """Record `frames` pictures of a world and look for what is private in all that would be stored."""
    outcome = Outcome(world, level, trees, source)
    handset = Handset(world, level, trees, source, size, density, seed)
    settings = Settings(privacy={"level": level})  # type: ignore[arg-type]
    finder = Finder(level)
    seen: dict[str, int] = {}

    def keep(segment: SealedSegment) -> None:
        for picture in segment.pictures.values():
            if picture.digest not in seen:
                seen[picture.digest] = stray(picture.data)
                outcome.pictures += 1
                if seen[picture.digest] and len(outcome.leaks) < MAX_LEAKS:
                    outcome.leaks.append(f"{seen[picture.digest]} private pixels in picture {picture.digest}")
        for text in (*segment.events, *facts(segment)):
            outcome.texts += len(text)
            found = finder.find(text)
            if found and len(outcome.leaks) < MAX_LEAKS:
                outcome.leaks.append(f"{found!r} in {text[:200]!r}")

    stage = Stage(shop.PACKAGE, settings, keep, DeviceStatus(SERIAL), handset.now)
    stage.attach(handset)
    handset.stage = stage
    meter = Meter(stage, outcome, handset.ns, handset.footage)

    def take() -> None:
        if outcome.frames >= frames or outcome.taken >= frames * STILL_TAKES:
            raise _Over
        meter.count(handset.ns)

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        if not isinstance(item, Snapshot):
            stage.process([item])
        else:
            outcome.frames += 1
            stage.process([(item, loop.masked)])

    def looked(began: Stamp) -> None:
        stage.process([Looked(began)])

    loop = CaptureLoop(handset, handset, handset, settings.capture, emit, wake=handset, looked=looked)
    handset.loop = loop
    handset.on_capture = take
    with suppress(_Over):
        loop.run()
    stage.finish()
    meter.close()
    return outcome


def faults(outcome: Outcome) -> list[str]:
    """What is wrong with how much was covered: a still screen is blocked or covered for nothing."""
    found: list[str] = []
    if outcome.world in hazards.STILL:
        if outcome.blocked >= MAX_BLOCKED:
            found.append(f"{outcome.blocked:.1%} of {outcome.world} blocked")
        if outcome.overmasked >= MAX_OVERMASKED:
            found.append(f"{outcome.overmasked:.1%} of {outcome.world} covered for nothing")
    return found


class Meter:
    """Measures what the masker of a stage covers beside what is private in the picture."""

    def __init__(self, stage: Stage, outcome: Outcome, started_ns: int, footage: Footage | None) -> None:
        self._footage = footage
        masker = stage._masker
        assert masker is not None
        self._mask = masker.snapshot
        self._outcome = outcome
        self._counts_ns = started_ns + int(START_S * 1e9)
        self._counted = 0
        self._blocked = 0
        self._over = 0.0
        self._last = False, 0.0
        masker.snapshot = self.snapshot  # type: ignore[method-assign, assignment]

    def count(self, now_ns: int) -> None:
        """Another picture is taken: what was released last is on show until then."""
        self._outcome.taken += 1
        if now_ns >= self._counts_ns:
            self._counted += 1
            self._blocked += self._last[0]
            self._over += self._last[1]

    def close(self) -> None:
        self._outcome.blocked = self._blocked / max(1, self._counted)
        self._outcome.overmasked = self._over / max(1, self._counted)

    def snapshot(self, s: Snapshot, *rest: object) -> MaskedSnapshot:
        result = self._mask(s, *rest)  # type: ignore[arg-type]
        reasons = self._outcome.reasons
        if result.blocked:
            reasons[result.blocked] = reasons.get(result.blocked, 0) + 1
        canvas = result.canvas
        if isinstance(canvas, RgbaCanvas) and len(self._outcome.leaks) < MAX_LEAKS:
            # Nothing has been encoded yet: one private pixel in ten others would be seen.
            count = int(tinted(canvas.rgb(), FAINT).sum())
            if count:
                at = (s.frame.stamp.mono_ns - START_NS) / 1e9
                self._outcome.leaks.append(f"{count} private pixels at {at:.3f} s in what was masked")
        if isinstance(canvas, I420Canvas) and self._footage is not None and len(self._outcome.leaks) < MAX_LEAKS:
            found = told(canvas, self._footage.twins[s.frame.digest], [cover.bounds for cover in result.covers])
            if found:
                self._outcome.leaks.append(f"{found} at {(s.frame.stamp.mono_ns - START_NS) / 1e9:.3f} s")
        covered = np.zeros((result.screen.height, result.screen.width), bool)
        for cover in result.covers:
            b = cover.bounds
            covered[max(0, b.top) : b.bottom, max(0, b.left) : b.right] = True
        if self._footage is not None:
            rgba = self._footage.twins[s.frame.digest].drawn
        else:
            rgba = np.frombuffer(s.frame.data, np.uint8).reshape(s.frame.size.height, s.frame.size.width, 4)
        over = float((covered & ~tinted(rgba, FAINT)).mean()) if rgba.shape[:2] == covered.shape else 0.0
        self._last = bool(result.blocked), over
        return result


def altered(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with other secrets: white letters on black for dark ones on bright."""
    private = tinted(rgba, FAINT)
    other = rgba.copy()
    red = rgba[private][:, :1].astype(np.int16)
    other[private, :3] = np.clip((255 - red) * 255 // 111, 0, 255).astype(np.uint8)
    return other


def tinted(pixels: NDArray[np.uint8], least: int) -> NDArray[np.bool_]:
    """Where pixels have more red and blue than green: the private ones, also mixed with any others."""
    red, green, blue = (pixels[..., i] for i in range(3))
    lower = np.minimum(red, blue)
    found: NDArray[np.bool_] = (lower > green) & (lower - green >= least)
    return found


def stray(data: bytes) -> int:
    """How many private pixels an encoded picture holds."""
    return int(tinted(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), TINT).sum())


def facts(segment: SealedSegment) -> list[bytes]:
    """All of a segment's words beside its events."""
    return [repr(segment.manifest).encode()]


class Finder:
    """Finds private words in text: as they are, in any case, escaped, spread by spaces, in base64 or per cent.

    Six letters and digits of one in a row are enough; all of them stand nowhere else.
    """

    def __init__(self, level: MaskLevel) -> None:
        words: Sequence[str] = hazards.HIDDEN + (hazards.MESSAGES if level == "conservative" else ())
        pieces = {piece for text in words for piece in _pieces(text)}
        codes = {code for text in words for code in _codes(text)}
        self._pieces = re.compile("|".join(sorted(pieces)).encode())
        self._codes = re.compile("|".join(map(re.escape, sorted(codes))).encode())

    def find(self, text: bytes) -> str:
        """The first private thing in `text`, "" for none."""
        found = self._codes.search(text) or self._pieces.search(_bare(text))
        return found[0].decode() if found else ""


_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}|\\+u[0-9A-Fa-f]{4}|\\[nrt]")
_HEXADECIMAL = re.compile(r"[0-9a-f]+")
_NOISE = bytes(code for code in range(128) if not chr(code).isalnum())


def _bare(text: bytes) -> bytes:
    """Letters and digits alone, in small letters."""
    return _ESCAPE.sub(b"", text).translate(None, _NOISE).lower()


def _pieces(text: str) -> Iterable[str]:
    """Runs of six of the parts that stand nowhere else: an ordinary word may."""
    for word in re.findall(r"[a-z0-9]+", text):
        # Times and ids are digits, too.
        run = 10 if word.isdigit() else 6
        if len(word) >= 10:
            pieces = [word[at : at + run] for at in range(len(word) - run + 1)]
            # A hash may hold those that are made of its digits alone.
            yield from (piece for piece in pieces if word.isdigit() or not _HEXADECIMAL.fullmatch(piece))


def _codes(text: str) -> Iterable[str]:
    for word in {text, json.dumps(text)[1:-1]}:
        for shift in range(3):
            code = base64.b64encode(b"\0" * shift + word.encode())
            # Without what depends on the bytes before and after it.
            yield code[(0, 2, 3)[shift] + (4 if shift else 0) : len(code) - 4].decode()
        yield quote(word)
        yield "".join(f"%{byte:02X}" for byte in word.encode())

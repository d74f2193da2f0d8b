"""The product over a clip, on a clock of its own: what takes a minute of a device takes the CPU time of its work here.

Everything above the wire is the product's own: the source's reader, the switch between sources, the dump's reader, the
capture loop, the stage (decode, mask, difference, encode, segments), the durable spool. What a device would send lies
ready; handing it over is not measured, for neither is it for the peers.
"""

from __future__ import annotations

import io
import resource
import struct
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from PIL import Image

from agent.model import SealedSegment, Snapshot
from agent.outbox.spool import Spool
from agent.replay.playback import Change, Playback, State
from agent.runtime.capture import CaptureLoop
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Capture, Settings
from benchmarks.clips import BOOT_NS, DPI, EPOCH_NS, SIZE, Clip, Pixels
from bridge.adb import Screencap, ScreencapPng
from bridge.deadline import Deadline
from bridge.decoder import Decoder
from bridge.device import Screen
from bridge.emulated.world.shop import ACTIVITY, PACKAGE
from bridge.emulated.world.world import APP_UID
from bridge.h264 import Splitter
from bridge.picture import Display
from bridge.screenrecord import LATENCY_NS
from bridge.types import DeviceInfo, Foreground, Frame, Gap, Hierarchy, LogEntry, Stamp, Touch
from bridge.uia import UiaHierarchy, UiaScreen
from bridge.video import Held, Shown, content, looks_turned

SERIAL = "BENCH"
# How long the device takes to answer; what these are does not change the work, but what the loop sees in motion.
PICTURE_NS, DUMP_NS = 15_000_000, 25_000_000
ADVANCE_NS = 500_000_000
# How long a reader of a stream waits at most before it looks whether it is to end.
WAIT_NS = 20_000_000
HEADER = struct.pack("<IIII", SIZE.width, SIZE.height, 1, 1)
LEVELS = {2: "V", 3: "D", 4: "I", 5: "W", 6: "E", 7: "F"}


class Meter:
    """CPU seconds of this process and its children, without what is done `outside`."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        return self._spent

    @contextmanager
    def inside(self) -> Iterator[None]:
        self._since = cpu_seconds()
        try:
            yield
        finally:
            self._spent += cpu_seconds() - self._since
            self._since = None

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What is done here is not measured."""
        if self._since is None:
            yield
            return
        self._spent += cpu_seconds() - self._since
        try:
            yield
        finally:
            self._since = cpu_seconds()


def cpu_seconds() -> float:
    """CPU time of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Clock:
    """A host's clock that goes on when somebody waits. `due` brings what comes up to an instant, `next_ns` says when
    the next comes."""

    def __init__(self) -> None:
        self.ns = 0
        self.due: Callable[[int], None] = lambda until_ns: None
        self.next_ns: Callable[[], int] = lambda: self.ns

    def now(self) -> Stamp:
        return self.at(BOOT_NS + self.ns)

    def at(self, mono_ns: int) -> Stamp:
        return Stamp(mono_ns, (EPOCH_NS - BOOT_NS + mono_ns) // 1_000_000)

    def forward(self, ns: int) -> None:
        """Time passes."""
        until_ns = self.ns + ns
        self.due(until_ns)
        self.ns = max(self.ns, until_ns)


class _Wake:
    """Stands for the event on which the capture loop waits: the wait is no wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, seconds: float) -> bool:
        # A finger on the glass ends the wait.
        end_ns = self._clock.ns + max(1, round(seconds * 1e9))
        while not self._set and self._clock.ns < end_ns:
            next_ns = self._clock.next_ns()
            # After the clip's end nothing comes any more.
            until_ns = min(next_ns, end_ns) if next_ns > self._clock.ns else end_ns
            self._clock.forward(until_ns - self._clock.ns)
        return self._set


class _Wire:
    """The device's end: answers the requests of the product's sources with what the clip shows."""

    def __init__(self, clip: Clip, clock: Clock, meter: Meter) -> None:
        self.serial = SERIAL
        self._clip = clip
        self._clock = clock
        self._meter = meter

    def exec_into(self, command: str, buffer: bytearray, deadline: Deadline) -> int:
        assert command == "screencap", command
        with self._meter.outside():
            self._clock.forward(PICTURE_NS // 2)
            pixels = self._clip.pixels(self._clip.index(self._clock.ns))
            count = len(HEADER) + pixels.nbytes
            # Its length is the product's own affair: by that it knows it again.
            assert len(buffer) > count, len(buffer)
            buffer[: len(HEADER)] = HEADER
            np.frombuffer(buffer, np.uint8)[len(HEADER) : count] = pixels.reshape(-1)
            self._clock.forward(PICTURE_NS // 2)
        return count

    def exec(self, command: str, deadline: Deadline, expect: int = 0) -> bytearray:
        assert command == "screencap -p", command
        self._clock.forward(PICTURE_NS // 2)
        data = bytearray(self._clip.shots[self._clip.index(self._clock.ns)].png)
        self._clock.forward(PICTURE_NS // 2)
        return data

    def revive(self) -> None:
        """It never goes down."""

    def text(self, command: str, deadline: Deadline) -> str:
        raise AssertionError(f"the screen's size is known: {command}")

    def call(self, method: str, params: list[Any], deadline: Deadline) -> str:
        if method == "takeScreenshot":
            self._clock.forward(PICTURE_NS // 2)
            index = self._clip.index(self._clock.ns)
            with self._meter.outside():
                answer = self._clip.jpeg(index)
            self._clock.forward(PICTURE_NS // 2)
            return str(orjson.loads(answer)["result"])
        assert method == "dumpWindowHierarchy", method
        self._clock.forward(DUMP_NS // 2)
        xml = self._clip.shots[self._clip.index(self._clock.ns)].xml
        self._clock.forward(DUMP_NS // 2)
        return xml.decode()


class _Device:
    """What the stage asks of a device at its attach."""

    info = DeviceInfo(SERIAL, "Pixel 7", "Google", "14", 34, SIZE, DPI, 0, "")
    received = 0

    def __init__(self, screen: Screen, clock: Clock) -> None:
        self._screen = screen
        self._clock = clock

    def screen(self) -> Screen:
        return self._screen

    def foreground(self, deadline: Deadline) -> Foreground:
        return Foreground(self._clock.now(), PACKAGE, ACTIVITY, False, 0)

    def package_uid(self, package: str, deadline: Deadline) -> int:
        return APP_UID


@dataclass(slots=True)
class Take:
    """What one rehearsal left behind."""

    clip: Clip
    seconds: float
    frames: int
    segments: list[SealedSegment]
    gaps: list[Gap]
    status: DeviceStatus
    stored: int
    _states: list[State] = field(default_factory=list)

    @property
    def per_minute(self) -> float:
        """CPU seconds for each minute of the device."""
        return self.seconds * 60 / self.clip.seconds

    @property
    def pictures(self) -> dict[str, bytes]:
        return {f"picture:{d}": picture.data for s in self.segments for d, picture in s.pictures.items()}

    @property
    def picture_bytes(self) -> int:
        return sum(map(len, self.pictures.values()))

    def states(self) -> list[State]:
        """What a viewer sees, one state for each change of the picture or its covers, in order of time."""
        if not self._states:
            for segment in sorted(self.segments, key=lambda s: s.manifest.start_ms):
                player = Playback()
                for event in map(orjson.loads, segment.events):
                    if not player.feed(event) & (Change.PICTURE | Change.MASK):
                        continue
                    state = player.state
                    # What is covered is told right after the picture, with the same time.
                    if self._states and self._states[-1].at_ms == state.at_ms:
                        self._states[-1] = state
                    elif state.base:
                        self._states.append(state)
        return self._states

    def state_at(self, at_ns: int) -> State | None:
        """What a viewer sees at a time of the clip; None before the recording begins."""
        states = self.states()
        index = bisect_right([state.at_ms for state in states], EPOCH_NS // 1_000_000 + at_ns // 1_000_000) - 1
        return states[index] if index >= 0 else None

    def composed(self, state: State) -> Pixels:
        """The picture of a state as the viewer's browser puts it together, RGB."""
        pictures = self.pictures
        base = _opened(pictures[state.base])
        for layer in state.layers:
            part = _opened(pictures[layer.source])
            x, y = base.width / state.width, base.height / state.height
            box = layer.box
            left, top = round(box.left * x), round(box.top * y)
            size = (round((box.left + box.width) * x) - left, round((box.top + box.height) * y) - top)
            base.paste(part if part.size == size else part.resize(size), (left, top))
        return np.asarray(base)


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def rehearse(clip: Clip, source: str, rate: float = 5.0, touch_rate: float = 5.0) -> Take:
    """Record a clip by a source ("raw", "png", "jpeg", or "h264-540" and other widths) at these rates."""
    clock, meter = Clock(), Meter()
    settings = Settings(capture=Capture(rate=rate, touch_rate=touch_rate))
    status = DeviceStatus(SERIAL)
    segments: list[SealedSegment] = []
    gaps: list[Gap] = []
    with tempfile.TemporaryDirectory(prefix="android-replay-bench-") as folder:
        spool = Spool(Path(folder))

        def keep(sealed: SealedSegment) -> None:
            segments.append(sealed)
            spool.put(sealed, ["dir:nowhere"])

        stage = Stage(PACKAGE, settings, keep, status, clock.now)
        frames = _record(clip, source, clock, meter, settings, stage, gaps)
        spool.close()
        stored = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return Take(clip, meter.seconds, frames, segments, gaps, status, stored)


def _record(
    clip: Clip, source: str, clock: Clock, meter: Meter, settings: Settings, stage: Stage, gaps: list[Gap]
) -> int:
    display = Display(SIZE)
    wire: Any = _Wire(clip, clock, meter)
    any_clock: Any = clock
    arriving: list[tuple[int, Callable[[], object]]] = []
    screen = Screen(wire, display, (_source(source, clip, wire, any_clock, display, arriving),))
    hierarchy = UiaHierarchy(SERIAL, wire, any_clock, display)
    frames = 0

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        nonlocal frames
        if isinstance(item, Gap):
            gaps.append(item)
            stage.process([item])
        elif isinstance(item, Snapshot):
            frames += 1
            stage.process([(item, loop.masked)])

    loop = CaptureLoop(screen, hierarchy, any_clock, settings.capture, emit, stage.paused)
    # The only place where the loop waits for time to pass.
    loop._wake = _Wake(clock)  # type: ignore[assignment]

    def touched(touch: Touch) -> None:
        loop.touched(touch)
        stage.process([touch])

    logs = [(at_ns, _entry(record, clock.at(BOOT_NS + at_ns))) for at_ns, record in clip.logs]
    for at_ns, entry in logs:
        if at_ns >= 0:
            arriving.append((at_ns, partial(stage.process, [entry])))
    for f in clip.fingers:
        kind: Any = f.kind
        touch = Touch(clock.at(BOOT_NS + f.at_ns), kind, f.pointer, f.x, f.y)
        arriving.append((f.at_ns, partial(touched, touch)))
    arriving += [(at_ns, lambda: stage.advance(clock.now())) for at_ns in range(ADVANCE_NS, clip.end_ns, ADVANCE_NS)]
    arriving.sort(key=lambda due: due[0], reverse=True)

    def due(until_ns: int) -> None:
        while arriving and arriving[-1][0] <= until_ns:
            at_ns, action = arriving.pop()
            clock.ns = max(clock.ns, at_ns)
            action()
        if until_ns >= clip.end_ns:
            loop.stop()

    stage.attach(_Device(screen, clock))  # type: ignore[arg-type]
    stage.process([entry for at_ns, entry in logs if at_ns < 0])
    clock.due, clock.next_ns = due, lambda: arriving[-1][0] if arriving else clip.end_ns
    with meter.inside():
        clock.forward(0)
        loop.run()
        stage.finish()
    return frames


def _source(
    name: str, clip: Clip, wire: Any, clock: Any, display: Display, arriving: list[tuple[int, Callable[[], object]]]
) -> Any:
    if name == "raw":
        return Screencap(wire, clock, display)
    if name == "png":
        return ScreencapPng(wire, clock, display)
    if name == "jpeg":
        return UiaScreen(SERIAL, wire, clock, display)
    stream = clip.stream(int(name.removeprefix("h264-")))
    video = _Video(clock, display)
    for shot, data in zip(clip.shots, stream, strict=True):
        arriving.append((shot.at_ns, partial(video.take, data)))
    return video


class _Video:
    """`bridge.screenrecord` without its process: what comes is cut, decoded and held as there."""

    name = "screenrecord"

    def __init__(self, clock: Any, display: Display) -> None:
        self._clock = clock
        self._held = Held(SERIAL, self.name, clock, display)
        self._splitter = Splitter()
        self._decoder = Decoder(SERIAL)

    def take(self, data: bytes) -> None:
        """A picture has come, and nothing after it for a while."""
        now_ns = self._clock.now().mono_ns
        for unit in (*self._splitter.feed(data), *self._splitter.flush()):
            picture = self._decoder.decode(unit.data, unit.key, unit.broken)
            if picture is not None and not looks_turned(picture.luma()):
                part = content(picture.size, SIZE)
                self._held.put(Shown(picture, now_ns - WAIT_NS - LATENCY_NS, now_ns, SIZE, part))

    def run(self) -> None:
        """What comes is taken when it is due."""

    def capture(self, deadline: Deadline) -> Frame:
        # What had come by now is taken; the reader's own clock is the real one.
        self._held.looked(time.monotonic_ns())
        return self._held.capture(deadline)

    def close(self) -> None:
        self._held.close()


def _entry(record: Any, stamp: Stamp) -> LogEntry:
    level: Any = LEVELS[record.prio]
    text = record.text.decode()
    return LogEntry(stamp, record.time_ns, record.pid, record.tid, record.uid, level, record.tag, text, record.buffer)

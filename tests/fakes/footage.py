"""A lively world as a phone's H.264 encoder sends it, taken in by the product's own video sources, in virtual time.

Whatever is drawn is encoded twice: as it is, and with other secrets in the same places. All else being the same, what
differs between the two after decoding comes from the secrets. Both have the same fixed quantiser, so that the bits that
a secret costs change nothing elsewhere.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast

import numpy as np
from fakes.h264 import split
from numpy.typing import NDArray

from agent.replay.canvas import COVER_CHROMA, COVER_LUMA, I420Canvas
from bridge.adb import AdbShell
from bridge.clock import DeviceClock, HostClock
from bridge.deadline import Deadline
from bridge.decoder import Decoder, Picture
from bridge.emulated.world.lively import LivelyWorld, Scene
from bridge.errors import StreamRestarting
from bridge.picture import Display
from bridge.scrcpy import _ALL, Scrcpy, max_size
from bridge.screenrecord import LATENCY_NS, Screenrecord, _Run, video_size
from bridge.smartsocket import Stream
from bridge.traces import Unnoted
from bridge.types import Bounds, Frame, Size, Stamp
from bridge.video import Shown, VideoSettings, content, screen_size, turned

Way = Literal["screenrecord", "scrcpy"]
WIDTH = 540
# What encoders use for a screen at 2 Mbit/s: fine while it stands still, coarse when all of it moves.
QUANTISERS = (22, 27, 32)
KEY_FRAMES = 300
# How long a picture is under way, and how long the encoder takes none after one: below LATENCY_NS together.
WAY_S, DROPPED_S = (0.015, 0.06), (0.0, 0.09)
# An encoder begins anew, after the screen has turned.
RESTART_S = (0.1, 0.4)
FLUSH_NS = 20_000_000
KEPT = 64
PAST = 24
# See `told`: Y, U, V; the shortest of secrets has this much of itself in a block.
LOUD = (100, 56, 56)
FAINT, BESIDE, TRACE = 8, 0.03, 0.25
BLOCK = 16
LEAST_ENERGY = 48 * 60**2
SERIAL = "emulated-1"
MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Twin:
    """What a decoded picture was made from, RGBA of the screen, and the planes of the same with other secrets.

    `past` are the secrets of it and of those before it, as the difference of both in luma.
    """

    drawn: NDArray[np.uint8]
    other: bytes
    past: list[NDArray[np.int16]]


def told(mine: I420Canvas, twin: Twin, covers: list[Bounds]) -> str:
    """What a masked picture tells of its secrets: "" when its twin, covered alike, differs by coding noise alone.

    A quantiser of 32 rounds by 26. What was never covered differs by 74 and more: fill and letters of the two do. No
    more than LOUD is allowed anywhere. What rings or bleeds out of a cover differs beside it, in colour first: at most
    BESIDE of the pixels there may by more than FAINT. What a codec left standing of a secret that has gone, or has
    moved, is like it, only fainter: no block may have more than TRACE of its contrast. By its noise a codec came to 72,
    43 and 43 in single pixels and to 14 % in a block that lay under a large secret shortly before.
    """
    other = I420Canvas(np.frombuffer(twin.other, np.uint8), mine.size, mine.screen).masked(covers, 0)
    pairs = list(zip(mine._parts(mine.whole), other._parts(other.whole), strict=True))
    off = [a.astype(np.int16) - b for a, b in pairs]
    if any(int(np.abs(each).max()) > loud for each, loud in zip(off, LOUD, strict=True)):
        return f"differs by {[int(np.abs(each).max()) for each in off]}"
    burnt = pairs[0][0][::2, ::2] == COVER_LUMA
    for a, b in pairs[1:]:
        burnt &= (a == COVER_CHROMA) & (b == COVER_CHROMA)
    band = _around(burnt, 2) & ~burnt
    for each in off[1:]:
        heard = int((np.abs(each[band]) > FAINT).sum())
        if heard > BESIDE * band.sum():
            return f"{heard} of {int(band.sum())} pixels beside covers differ"
    return _traced(off[0], pairs[0][0] == COVER_LUMA, twin.past)


def _traced(off: NDArray[np.int16], burnt: NDArray[np.bool_], past: list[NDArray[np.int16]]) -> str:
    """Whether a block of a luma difference is like a secret that was there."""
    height, width = (side // BLOCK * BLOCK for side in off.shape)

    def cut(plane: NDArray[Any]) -> NDArray[Any]:
        return plane[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)

    loud = np.abs(cut(off)).max(axis=(1, 3)) > FAINT
    rows, columns = np.nonzero(loud)
    if not rows.size:
        return ""
    now, seen = cut(off)[rows, :, columns].astype(np.float32), ~cut(burnt)[rows, :, columns]
    for secrets in past:
        if secrets.shape == off.shape:
            then = cut(secrets)[rows, :, columns] * seen
            energy = (then.astype(np.float32) ** 2).sum(axis=(1, 2))
            share = np.abs((now * then).sum(axis=(1, 2))) / np.maximum(energy, 1)
            share[energy < LEAST_ENERGY] = 0
            if share.max() > TRACE:
                return f"{share.max():.0%} of a secret's contrast are left"
    return ""


def _around(flags: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """What is set and the pixels around."""
    grown = flags.copy()
    for _ in range(pixels):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        before = grown.copy()
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown


def _luma(frame: Any) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


@dataclass(slots=True)
class _Sent:
    """A pair of encoded pictures on its way: when it was composed and when it comes, host monotonic."""

    composed_ns: int
    comes_ns: int
    data: tuple[bytes, bytes]
    drawn: NDArray[np.uint8]
    secrets: NDArray[np.int16]
    began: bool


class Footage:
    """The phone's screen and encoder, and the host's reader. Whoever moves time calls `drawn` and `tick`.

    `alter` gives the same picture with other secrets.
    """

    def __init__(
        self,
        way: Way,
        world: LivelyWorld,
        at: Callable[[int], Stamp],
        rng: random.Random,
        alter: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    ) -> None:
        self.name = way
        self.display = Display(world.natural, world.rotation)
        self.quantiser = rng.choice(QUANTISERS)
        self._world, self._rng, self._alter = world, rng, alter
        shell = cast(AdbShell, _Shell(world))
        settings = VideoSettings(WIDTH)
        clock = _Clock(at)
        if way == "screenrecord":
            self._source: Screenrecord | Scrcpy = Screenrecord(
                shell, cast(HostClock, clock), self.display, settings, Unnoted()
            )
        else:
            self._source = Scrcpy(shell, cast(DeviceClock, clock), self.display, settings, Unnoted())
        self._held = self._source._held
        # Whatever has come by virtual now is taken in.
        self._held.looked(2**62)
        self._screen = screen_size(self.display)
        self._shape = self._video(self._screen)
        self._codecs: tuple[Any, Any] | None = None
        self._count = 0
        self._next_ns = self._idle_ns = 0
        self._scene: Scene | None = None
        self._last: Scene | None = None
        self._sent: deque[_Sent] = deque()
        self._run: _Run | None = None
        self._decoders = Decoder(), Decoder()
        self._pair: tuple[Picture, Picture, NDArray[np.uint8]] | None = None
        self._past: deque[NDArray[np.int16]] = deque(maxlen=PAST)
        self.twins: dict[int, Twin] = {}

    @property
    def due_ns(self) -> int | None:
        """When the encoder takes the next picture or one arrives, host monotonic; None: nothing is under way."""
        times = [self._sent[0].comes_ns] if self._sent else []
        if self._scene is not None:
            times.append(self._next_ns)
        return min(times, default=None)

    def drawn(self, scene: Scene) -> None:
        """The screen shows it from now on."""
        if scene is not self._last:
            self._scene = self._last = scene

    def tick(self, now_ns: int) -> None:
        """Bring the encoder and the reader up to now."""
        if isinstance(self._source, Scrcpy):
            if self._source._last is not None and turned(self._source._last.screen, self.display):
                self._source._fit(self._source._last)
        elif self._run is not None and turned(self._run.screen, self.display):
            self._held.put(StreamRestarting(SERIAL, self.name, "the screen has changed its shape"))
            self._source._shell.look(self.display, Deadline(1))
            self._sent.clear()
            self._run = None
            self._screen = screen_size(self.display)
            self._anew(self._video(self._screen), now_ns)
        if self._scene is not None and self._next_ns <= now_ns:
            self._encode(self._scene, now_ns)
        while self._sent and self._sent[0].comes_ns <= now_ns:
            self._take(self._sent.popleft())

    def capture(self) -> Frame:
        """The newest picture. Raises what the product's sources do."""
        frame = self._held.capture(Deadline(0))
        if frame.digest not in self.twins:
            assert self._pair is not None
            assert self._held._frame is not None
            shown = self._held._frame[0]
            assert shown.picture is self._pair[0]
            part = shown.part
            past = [secrets[part.top : part.bottom, part.left : part.right] for secrets in self._past]
            self.twins[frame.digest] = Twin(self._pair[2], self._pair[1].planes(part)[1], past[::-2])
            while len(self.twins) > KEPT:
                del self.twins[next(iter(self.twins))]
        return frame

    def _anew(self, shape: Size, now_ns: int) -> None:
        self._shape, self._codecs, self._scene = shape, None, self._last
        self._next_ns = now_ns + int(self._rng.uniform(*RESTART_S) * 1e9)

    def _encode(self, scene: Scene, now_ns: int) -> None:
        if self.name == "scrcpy" and self._shape != self._video(scene.size):
            # The server begins anew by itself.
            self._anew(self._video(scene.size), now_ns)
            return
        began = self._codecs is None
        if self._codecs is None:
            self._codecs = self._codec(), self._codec()
        self._scene = None
        drawn = self._world.picture(scene)
        frames = self._fitted(drawn), self._fitted(self._alter(drawn))
        data = self._packet(self._codecs[0], frames[0]), self._packet(self._codecs[1], frames[1])
        secrets = _luma(frames[0]).astype(np.int16) - _luma(frames[1])
        self._count += 1
        comes_ns = now_ns + int(self._rng.uniform(*WAY_S) * 1e9)
        if self._sent:
            comes_ns = max(comes_ns, self._sent[-1].comes_ns)
        self._sent.append(_Sent(now_ns, comes_ns, data, drawn, secrets, began))
        self._next_ns = now_ns + int(self._rng.uniform(*DROPPED_S) * 1e9)

    def _video(self, screen: Size) -> Size:
        natural = self._world.natural
        if self.name == "screenrecord":
            return video_size(screen, WIDTH, self.display)
        longer = max_size(natural, WIDTH)
        shorter = longer * min(natural.width, natural.height) // max(natural.width, natural.height) // 8 * 8
        return Size(longer, shorter) if screen.width > screen.height else Size(shorter, longer)

    def _codec(self) -> Any:
        import av

        codec: Any = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = self._shape.width, self._shape.height, "yuv420p"
        codec.time_base, codec.framerate = MICROSECOND, Fraction(30)
        codec.options = {
            "preset": "superfast", "tune": "zerolatency", "g": str(KEY_FRAMES), "threads": "1", "sc_threshold": "0",
            "qp": str(self.quantiser), "weightp": "none",
        }  # fmt: skip
        return codec

    def _fitted(self, rgba: NDArray[np.uint8]) -> Any:
        """A picture of the screen in the shape of the video."""
        import av

        frame: Any = av.VideoFrame.from_ndarray(rgba, format="rgba")
        shape = self._shape
        width, height = shape.width, shape.height
        if (frame.width > frame.height) != (width > height):
            # A screen that has turned is shrunk into a band between black bars.
            part = content(shape, Size(frame.width, frame.height))
            width, height = part.width, part.height
        frame = frame.reformat(width, height, "yuv420p", interpolation="BILINEAR")
        if (width, height) != (shape.width, shape.height):
            frame = _framed(frame, shape)
        return frame

    def _packet(self, codec: Any, frame: Any) -> bytes:
        frame.pts, frame.time_base = self._count * 33_333, MICROSECOND
        return b"".join(bytes(packet) for packet in codec.encode(frame))

    def _take(self, sent: _Sent) -> None:
        if sent.began:
            self._decoders = Decoder(), Decoder()
            if isinstance(self._source, Screenrecord):
                self._run = _Run(cast(Stream, None), self._screen, 0, self._decoders[0])
                self._source._runs[:] = [self._run]
        other = None
        for unit in split(sent.data[1]):
            other = self._decoders[1].decode(unit.data, unit.key, unit.broken) or other
        since_ns, self._idle_ns = max(self._idle_ns, sent.comes_ns - FLUSH_NS), sent.comes_ns
        units = split(sent.data[0])
        if isinstance(self._source, Screenrecord):
            assert self._run is not None
            self._source._show_units(self._run, units, since_ns, sent.comes_ns)
            # That was by the real clock.
            self._source._bars_ns = min(self._source._bars_ns, sent.comes_ns)
        else:
            mine = self._decoders[0].decode(units[0].data, units[0].key)
            assert mine is not None
            slack_ns = LATENCY_NS // 2
            self._source._show(Shown(mine, sent.composed_ns - slack_ns, sent.composed_ns + slack_ns, mine.size, _ALL))
        shown = self._held._now
        if sent.began:
            self._past.clear()
        self._past.append(sent.secrets)
        if isinstance(shown, Shown) and other is not None:
            self._pair = shown.picture, other, sent.drawn


class _Shell:
    """What the sources ask a phone for."""

    serial = SERIAL

    def __init__(self, world: LivelyWorld) -> None:
        self._world = world

    def look(self, display: Display, deadline: Deadline) -> None:
        display.rotation = self._world.rotation


class _Clock:
    """The host's clock, as both clocks of a device."""

    def __init__(self, at: Callable[[int], Stamp]) -> None:
        self.at = at
        self.host = self


def _framed(frame: Any, shape: Size) -> Any:
    """The picture in the middle of a black one."""
    import av

    left, top = (shape.width - frame.width) // 4 * 2, (shape.height - frame.height) // 4 * 2
    rows = np.full((shape.height * 3 // 2, shape.width), 128, np.uint8)
    rows[: shape.height] = 16
    area = shape.width * shape.height
    flat = rows.reshape(-1)
    planes = (
        flat[:area].reshape(shape.height, shape.width),
        flat[area : area * 5 // 4].reshape(shape.height // 2, shape.width // 2),
        flat[area * 5 // 4 :].reshape(shape.height // 2, shape.width // 2),
    )
    for plane, target, part in zip(frame.planes, planes, (1, 2, 2), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        target[top // part : top // part + plane.height, left // part : left // part + plane.width] = lines
    return av.VideoFrame.from_ndarray(rows, format="yuv420p")

"""The inputs of the picture benchmarks: what an emulated screen shows in a minute, seeded, on a clock of its own.

A clip is made once a run and holds a shot for each picture that differs from the one before, at most 30 a second: the
PNG, the dump of the views, where private and where readable text stands; beside it touches, log records, and streams as
a phone's encoder would send them. The bar code that says when a picture was drawn is left out: no real screen has one.
"""

from __future__ import annotations

import base64
import io
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, lru_cache
from itertools import pairwise

import av
import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray
from PIL import Image

from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record
from bridge.emulated.world import paint, shop
from bridge.emulated.world.autopilot import SCENARIOS, Autopilot
from bridge.emulated.world.views import View, Window, place
from bridge.emulated.world.world import World
from bridge.types import Bounds, Size

SIZE, DPI = Size(1080, 2400), 420
FPS = 30
SUBSTEPS = 3
EPOCH_NS = 1_760_000_000_000_000_000
BOOT_NS = 1_000_000_000_000
BIT_RATE = 2_000_000
KEY_SECONDS = 2
SLIDE_SHOTS = 9
JPEG_QUALITY = 80
MICROSECOND = Fraction(1, 1_000_000)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Script:
    """What the user does. The first `skip` seconds are not in the clip; a ring turns while one of `spinning` runs, in
    the view with that resource id; `slides` = screens slide in."""

    seconds: float
    steps: tuple[str, ...]
    skip: float = 0.0
    spinning: tuple[tuple[float, float, str], ...] = ()
    slides: bool = False


_LOGIN = SCENARIOS["login"]
SCRIPTS = {
    # A whole visit: form, flings, pictures, checkout, notification, then more of the shop.
    "session": Script(
        60,
        (
            *SCENARIOS["shop"],
            *("tap go:list", "wait 0.8", "fling", "wait 1.8", "fling", "wait 1.5", "fling back", "wait 1.8"),
            *("tap product:0", "wait 1", "tap picture", "wait 0.8", "tap picture", "wait 0.8", "tap add", "wait 0.6"),
            *("back", "wait 0.6", "fling", "wait 1.2", "tap product:7", "wait 1", "tap picture", "wait 1"),
            *("tap add", "wait 0.5", "tap go:cart", "wait 1.5", "back", "wait 0.5", "fling", "wait 1.6", "fling back"),
            *("wait 1.5", "tap product:1", "wait 1", "tap picture", "wait 0.8", "back", "wait 1", "fling"),
        ),
    ),
    # Still for four fifths of its time: a fling, two slides, some typing, a ring that turns.
    "typical": Script(
        30,
        (
            *_LOGIN, "wait 4", "fling", "wait 5", "tap product:4", "wait 5", "tap add", "tap go:cart", "wait 4",
            "tap go:checkout", "wait 1", "tap card-number", "type 4539", "tap key:done",
        ),
        skip=8.0,
        spinning=((27.0, 28.5, ""),),
        slides=True,
    ),
    "scroll": Script(30, (*_LOGIN, *(("fling", "wait 0.9", "fling back", "wait 0.9") * 20)), skip=11.0),
    "spinner": Script(
        30, ("launch", "wait 1.2", "tap permission"), skip=4.0, spinning=((0.0, 30.0, "email"),)
    ),
    "idle": Script(60, ("launch", "wait 1.2", "tap permission"), skip=4.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shot:
    """The screen from `at_ns` (since the clip began) on. `visible` tells pictures apart by what `covers` leaves."""

    at_ns: int
    png: bytes
    xml: bytes
    secrets: tuple[Bounds, ...]
    texts: tuple[Bounds, ...]
    covers: tuple[Bounds, ...]
    screen: str
    visible: int


@dataclass(frozen=True, slots=True)
class Finger:
    """A touch of the user, in screen pixels."""

    at_ns: int
    kind: str
    pointer: int
    x: float
    y: float


@dataclass(slots=True, eq=False)
class Clip:
    """One clip; see the module."""

    name: str
    seconds: float
    shots: list[Shot]
    fingers: list[Finger]
    logs: list[tuple[int, Record]]
    _last: tuple[int, Pixels] | None = None
    _times: list[int] = field(default_factory=list)
    _jpegs: dict[int, bytes] = field(default_factory=dict)
    _streams: dict[int, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._times = [shot.at_ns for shot in self.shots]

    @property
    def end_ns(self) -> int:
        return round(self.seconds * 1e9)

    def index(self, at_ns: int) -> int:
        """Which shot is on the screen."""
        return max(0, bisect_right(self._times, at_ns) - 1)

    def every(self, fps: float) -> Iterator[int]:
        """The shots that somebody sees who looks `fps` times a second."""
        for n in range(round(self.seconds * fps)):
            yield self.index(round(n * 1e9 / fps))

    def changes(self, fps: float) -> int:
        """How often what is visible under the covers changes for somebody who looks so often."""
        seen = [self.shots[index].visible for index in self.every(fps)]
        return 1 + sum(a != b for a, b in pairwise(seen))

    def pixels(self, index: int) -> Pixels:
        """RGBA, (height, width, 4)."""
        if self._last is None or self._last[0] != index:
            with Image.open(io.BytesIO(self.shots[index].png)) as image:
                self._last = index, np.asarray(image.convert("RGBA"))
        return self._last[1]

    def jpeg(self, index: int) -> bytes:
        """The picture as uiautomator2's server sends it: JPEG in base64 in JSON."""
        if index not in self._jpegs:
            out = io.BytesIO()
            Image.fromarray(self.pixels(index)).convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY)
            result = base64.b64encode(out.getvalue()).decode()
            self._jpegs[index] = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})
        return self._jpegs[index]

    def stream(self, width: int) -> list[bytes]:
        """H.264 (Annex B) of the whole screen at this width: the bytes of each shot, sent when it is shown."""
        if width not in self._streams:
            self._streams[width] = _encoded(self, width)
        return self._streams[width]

    def height(self, width: int) -> int:
        """The even height of a video of this width."""
        return round(SIZE.height * width / SIZE.width / 2) * 2


@cache
def clip(name: str) -> Clip:
    """The clip of this name, made at the first call."""
    script = SCRIPTS[name]
    now = [BOOT_NS]
    clock = DeviceClock(host=lambda: now[0])
    clock.step((EPOCH_NS - clock.wall_ns()) / 1e9)
    logs: list[tuple[int, Record]] = []
    fingers: list[Finger] = []
    begin = BOOT_NS + round(script.skip * 1e9)
    world = World(clock, SIZE, DPI, seed=7, log=lambda r: logs.append((now[0] - begin, r)), autopilot=False)
    world.on_touch.append(lambda kind, p, x, y: fingers.append(Finger(now[0] - begin, kind, p, x, y)))
    pilot = Autopilot(world, script.steps, 7)
    camera = _Camera(world, script)
    shots: list[Shot] = []
    for frame in range(round((script.skip + script.seconds) * FPS)):
        for _ in range(SUBSTEPS):
            now[0] += round(1e9 / FPS / SUBSTEPS)
            world.tick()
            pilot.tick(clock.boot_ns())
        at_ns = now[0] - begin
        shot = camera.shot(max(0, at_ns), shows=frame >= script.skip * FPS)
        if shot is not None:
            # The clip begins with a picture on the screen.
            shots.append(shot if shots else replace(shot, at_ns=0))
    return Clip(
        name,
        script.seconds,
        shots,
        [finger for finger in fingers if finger.at_ns >= 0],
        # What was logged before is read for the session's ids.
        logs,
    )


class _Camera:
    """Takes the shots of one world."""

    def __init__(self, world: World, script: Script) -> None:
        self._world = world
        self._script = script
        self._seen: object = None
        # A ring that turns comes round to the same pictures.
        self._drawn: dict[object, Shot] = {}
        self._screen = ""
        self._still: Pixels | None = None
        self._sliding = 0

    def shot(self, at_ns: int, *, shows: bool) -> Shot | None:
        """A shot when the picture differs from that of the last call; none is drawn before it `shows`."""
        world = self._world
        screen = world.truth()[-1].screen
        if self._script.slides and shows and self._still is not None and screen != self._screen:
            self._sliding = SLIDE_SHOTS
        self._screen = screen
        turn, inside = self._spin(at_ns)
        state = (world.revision, self._sliding, turn)
        if not shows or state == self._seen:
            return None
        self._seen = state
        known = self._drawn.get(state)
        if known is not None:
            return replace(known, at_ns=at_ns)
        windows = world.windows()
        for window in windows:
            for view in _views(window.root):
                if view.look == "timecode":
                    view.look = "none"
                if turn >= 0 and view.res == inside and (inside or view is windows[0].root):
                    _ring(view, turn)
        pixels = self._painted(windows)
        sliding = self._sliding > 0
        if sliding:
            pixels = self._slid(pixels)
        else:
            self._still = pixels.copy()
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", compress_level=1)
        secrets, texts, covers = _places(windows, world)
        for b in covers:
            pixels[b.top : b.bottom, b.left : b.right] = 0
        visible = xxhash.xxh3_64_intdigest(np.ascontiguousarray(pixels))
        shot = Shot(at_ns, out.getvalue(), world.dump_xml(), secrets, texts, covers, screen, visible)
        if turn >= 0 and not sliding:
            self._drawn[state] = shot
        return shot

    def _spin(self, at_ns: int) -> tuple[int, str]:
        for since, until, inside in self._script.spinning:
            if since * 1e9 <= at_ns < until * 1e9:
                return int(at_ns * FPS // 1e9) % 12, inside
        return -1, ""

    def _painted(self, windows: list[Window]) -> Pixels:
        if self._world.secure:
            black = np.zeros((SIZE.height, SIZE.width, 4), np.uint8)
            black[..., 3] = 255
            return black
        return paint.screen(windows, SIZE, self._world.scale, 0)

    def _slid(self, new: Pixels) -> Pixels:
        """The new screen comes in from the right over the old one; the tree says that it is there already."""
        assert self._still is not None
        self._sliding -= 1
        left = round(SIZE.width * self._sliding / SLIDE_SHOTS)
        if left == 0:
            self._still = new.copy()
            return new
        pixels = self._still.copy()
        pixels[:, left:] = new[:, : SIZE.width - left]
        return pixels


def _views(view: View) -> Iterator[View]:
    yield view
    for child in view.children:
        yield from _views(child)


def _ring(view: View, turn: int) -> None:
    """Twelve dots around the view's middle, the brightest of them at `turn`."""
    x, y = (view.box[0] + view.box[2]) / 2, (view.box[1] + view.box[3]) / 2
    radius = min(20.0, (view.box[3] - view.box[1]) / 2 - 5)
    for dot in range(12):
        angle = math.tau * dot / 12
        shade = 0xD0 - 16 * ((dot - turn) % 12)
        cx, cy = x + radius * math.cos(angle), y + radius * math.sin(angle)
        box = (cx - 3, cy - 3, cx + 3, cy + 3)
        view.children.append(View(box, look="circle", colour=f"#{shade:02x}{shade:02x}{shade:02x}"))


def _places(windows: list[Window], world: World) -> tuple[tuple[Bounds, ...], tuple[Bounds, ...], tuple[Bounds, ...]]:
    """Where private text, readable text of the app, and what a recorder has to cover at level medium stand."""
    clip_to = Bounds(0, 0, SIZE.width, SIZE.height)
    secrets, texts, covers = [], [], []
    above: list[Bounds] = []
    for window in reversed(windows):
        foreign = window.package != shop.PACKAGE
        for placed in place(window.root, world.scale, clip_to):
            view, bounds = placed.view, placed.bounds
            if view.private:
                secrets.append(bounds)
            if foreign:
                if placed.depth == 0 and view.look != "none":
                    covers.append(bounds)
            elif view.cls.endswith("EditText"):
                covers.append(bounds)
            elif view.look == "text" and view.text and all(bounds.intersect(b).empty for b in above):
                texts.append(bounds)
        above.append(_extent(window, world.scale, clip_to))
    return tuple(secrets), tuple(texts), tuple(covers)


def _extent(window: Window, scale: float, clip_to: Bounds) -> Bounds:
    return next(place(window.root, scale, clip_to)).bounds


def _encoded(clip: Clip, width: int) -> list[bytes]:
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width, clip.height(width), "yuv420p"
    codec.bit_rate, codec.time_base, codec.framerate = BIT_RATE, MICROSECOND, Fraction(FPS)
    codec.options = {"preset": "superfast", "tune": "zerolatency", "g": "250", "threads": "1", "bf": "0"}
    size = codec.width, codec.height

    @lru_cache(16)
    def scaled(png: bytes) -> Image.Image:
        with Image.open(io.BytesIO(png)) as image:
            return image.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)

    packets, key_ns = [], -(10**18)
    for shot in clip.shots:
        frame = av.VideoFrame.from_image(scaled(shot.png))
        frame.pts, frame.time_base = shot.at_ns // 1000, MICROSECOND
        if shot.at_ns - key_ns >= KEY_SECONDS * 1e9:
            key_ns = shot.at_ns
            frame.pict_type = av.video.frame.PictureType.I
        packets.append(b"".join(bytes(packet) for packet in codec.encode(frame)))
    return packets

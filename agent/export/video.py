"""A part of a recording as an MP4 video with the fingers drawn: H.264, yuv420p, real times at a variable frame rate.

What is drawn when is decided here without a clock or a codec (`frames`); `write` encodes it with PyAV (extra `video`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFont

from agent.errors import BuildError, StorageError
from agent.export.part import Part
from agent.export.ring import draw, strength
from agent.export.stream import LONG_MS, SHORT_MS, Stream
from agent.replay.composite import GROUND, compose, on_top, picture_size
from agent.replay.playback import OPENING_MS, Change, Playback, State
from agent.replay.rrweb import Event
from agent.replay.verdicts import reason

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Box = tuple[int, int, int, int]
Tell = Callable[[float], None]

# 30 pictures a second at most: what changes faster is drawn at the next one.
STEP_MS = 33
# A still screen is repeated so often: players seek badly over a frame that lasts for minutes.
STILL_MS = 1_000
# How long nothing may be recorded, or no picture be had, before the video says so.
SILENT_MS = 2_000
MAX_SIDE = 2_160
MILLISECOND = Fraction(1, 1000)
# Numbers of ISO/IEC 23091-2 for the colours, of FFmpeg for the range.
BT709, VIDEO_RANGE = 1, 1
# Of what "ultrafast" leaves out, arithmetic coding and deblocking pay: half the time of "veryfast", with fewer bytes at
# the same likeness. The pictures were WebP before: below crf 34 its noise is kept better, but text is not. No B-frames
# ("zerolatency"): with them the file says a length that ends before its last pictures.
ENCODER = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "crf": "34",
    "threads": "1",
    "x264-params": "cabac=1:deblock=1,0,0",
}
WIREFRAME_PIXELS = 2.0
# Pixels of a dp, twice as many as phones have: rings and words are as large as that makes them.
SHARPEST = 8.0
KEPT = 4
CAPTION_DP = 16.0
MAX_CAPTION = 200
_DRAWN = Change.WINDOW | Change.PICTURE | Change.VIEWS | Change.FINGERS | Change.MASK
# Stages without which there is no picture.
_EYES = frozenset(("screen", "device", "capture", "recording"))
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Shot:
    """What the video shows from `t_ms` (from its start) on; `wall_ms` is the time of the recording that it is.

    `caption` says why nothing moves: a pause, with its true length, or a gap, with its reason; "" elsewhere. `opens`
    says that a segment begins.
    """

    t_ms: int
    wall_ms: int
    state: State
    caption: str = ""
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Canvas:
    """The video's size, both sides even, and how many of its pixels a dp is."""

    width: int
    height: int
    scale: float


def canvas(stream: Stream) -> Canvas:
    """A size in which every window of the part fits, as sharp as its sharpest picture."""
    playback = Playback()
    width = height = 1
    scale = 0.0
    for event in stream:
        change = playback.feed(event)
        if event["type"] != 2 and (event["type"] == 4 or not change & Change.WINDOW):
            continue
        state = playback.state
        width, height = max(width, state.width), max(height, state.height)
        size = picture_size(stream.load(state.base)) if state.base else None
        if size is not None and state.width:
            scale = max(scale, size[0] / state.width)
    return _fitting(width, height, scale)


def shots(events: Iterable[Event]) -> Iterator[Shot]:
    """What is drawn when, in order of time: at least one shot where there is a picture, the last one at the end."""
    return _Cutter().shots(events)


def write(stream: Stream, part: Part, file: Path, tell: Tell) -> int:
    """Write the video to `file`; the number of its frames. `tell` hears the share done.

    Raises StorageError, BuildError without PyAV.
    """
    try:
        import av
        from av.video.frame import PictureType
    except ImportError as error:
        raise BuildError(
            "A video needs PyAV, which is not installed.", 'pip install "android-replay-agent[video]"'
        ) from error
    size = canvas(stream)
    count = 0
    try:
        with av.open(str(file), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            track = container.add_stream("libx264", rate=30, options=ENCODER)
            _configure(track, size)
            film = _Film(_Painter(size, stream))
            last_ms = -1
            for shot in shots(stream):
                if shot.t_ms <= last_ms:
                    continue
                last_ms = shot.t_ms
                frame = film.frame(shot)
                frame.pts, frame.time_base = shot.t_ms, MILLISECOND
                frame.pict_type = PictureType.I if shot.opens else PictureType.NONE
                for packet in track.encode(frame):
                    container.mux(packet)
                count += 1
                tell((shot.wall_ms - part.from_ms) / max(1, part.ms))
            for packet in track.encode():
                container.mux(packet)
    except av.FFmpegError as error:
        raise StorageError(f"{file}: the video cannot be written: {error}.", "Is there room on the disk?") from error
    return count


class _Cutter:
    """Goes through events and decides at which instants the picture is drawn anew."""

    def __init__(self) -> None:
        self._playback = Playback()
        self._removed_ms = 0
        self._last: Shot | None = None
        self._due_ms: int | None = None
        # Until when what covers the document is still to come.
        self._opened_ms = 0
        self._opens = False
        self._quiet_from: int | None = None
        self._gap: tuple[int, str] | None = None

    def shots(self, events: Iterable[Event]) -> Iterator[Shot]:
        start = at = 0
        heard: int | None = None
        for event in events:
            at = event["timestamp"]
            if heard is None:
                start = self._removed_ms = heard = at
            if at - heard > (SILENT_MS if event["type"] == 4 else LONG_MS):
                self._quiet_from = heard
            # Between a Meta and its full snapshot the window is new and the document old.
            yield from self._until(at + 1 if event["type"] == 4 else at)
            change = self._playback.feed(event)
            if (gap := _gap(event)) is not None:
                self._gap, change = gap, Change.MASK
            if event["type"] == 2:
                self._opens, self._opened_ms = True, at + OPENING_MS
            if change & _DRAWN and event["type"] != 4 and self._due_ms is None and self._playback.opened:
                yield from self._still(at)
                self._due_ms = start if self._last is None else max(at, self._last.wall_ms + STEP_MS)
            heard = at
        self._opened_ms = 0
        yield from self._until(at + 1)
        yield from self._still(at)
        if self._last is not None and self._last.wall_ms < at:
            yield self._shot(at)

    def _until(self, at_ms: int) -> Iterator[Shot]:
        """The shots that are due before an event at `at_ms`."""
        yield from self._due(at_ms)
        if self._gap is not None and self._gap[0] < at_ms:
            until_ms, self._gap = self._gap[0], None
            yield from self._still(until_ms)
            yield self._shot(until_ms)
            yield from self._due(at_ms)

    def _due(self, at_ms: int) -> Iterator[Shot]:
        if at_ms <= self._opened_ms:
            return
        if self._due_ms is not None and self._due_ms < at_ms:
            yield self._shot(self._due_ms)
        while self._last is not None and self._last.wall_ms + STEP_MS < at_ms and self._fading(self._last.wall_ms):
            yield self._shot(self._last.wall_ms + STEP_MS)

    def _still(self, at_ms: int) -> Iterator[Shot]:
        """The shots of a stretch in which nothing changed, up to a change at `at_ms`."""
        if self._last is None:
            return
        quiet, self._quiet_from = self._quiet_from, None
        if quiet is not None:
            # Up to the last thing that was recorded; from there on there is nothing.
            yield from self._repeated(quiet + STEP_MS)
            if self._last.wall_ms < quiet:
                yield self._again(self._last.t_ms + quiet - self._last.wall_ms, quiet)
        last = self._last
        still_ms = at_ms - last.wall_ms
        if still_ms <= LONG_MS:
            if quiet is not None:
                self._last = replace(last, caption=f"{span(still_ms)} without a record")
                yield self._again(last.t_ms + STEP_MS, last.wall_ms + STEP_MS)
            yield from self._repeated(at_ms)
            return
        what = "without a change" if quiet is None else "without a record"
        yield replace(last, t_ms=last.t_ms + STEP_MS, caption=f"{span(still_ms)} {what}", opens=False)
        self._removed_ms += still_ms - SHORT_MS
        # As if it had been drawn just before the change.
        self._again(last.t_ms + SHORT_MS - STEP_MS, at_ms - STEP_MS)

    def _repeated(self, at_ms: int) -> Iterator[Shot]:
        while self._last is not None and self._last.wall_ms + STILL_MS <= at_ms - STEP_MS:
            yield self._again(self._last.t_ms + STILL_MS, self._last.wall_ms + STILL_MS)

    def _again(self, t_ms: int, wall_ms: int) -> Shot:
        assert self._last is not None
        self._last = replace(self._last, t_ms=t_ms, wall_ms=wall_ms, opens=False)
        return self._last

    def _shot(self, at_ms: int) -> Shot:
        caption = "" if self._gap is None else self._gap[1]
        shot = Shot(at_ms - self._removed_ms, at_ms, self._playback.state, caption, self._opens)
        self._last, self._due_ms, self._opens = shot, None, False
        return shot

    def _fading(self, at_ms: int) -> bool:
        return any(not finger.down and strength(finger, at_ms) > 0 for finger in self._playback.fingers)


class _Painter:
    """Draws shots; what lies under the fingers is kept as long as it stays."""

    def __init__(self, size: Canvas, stream: Stream) -> None:
        self.size = size
        # Where the last picture differs from the one before.
        self.changed: tuple[Box, ...] = ()
        self._stream = stream
        self._key: object = None
        self._over: object = None
        self._drawn: tuple[Box, ...] = ((0, 0, size.width, size.height),)
        self._under = self._picture = Image.new("RGB", (size.width, size.height), GROUND)
        # The last states and what they were composed to: a stack of layers goes back and forth.
        self._composed: deque[tuple[State, Image.Image]] = deque(maxlen=KEPT)
        self._corner = (0, 0)

    def paint(self, shot: Shot) -> Image.Image:
        """The picture of a shot, RGB. Not to be drawn on."""
        state, size = shot.state, self.size
        key = (state.width, state.height, state.sources, state.layers, () if state.base else state.views)
        fingers = [(f.x, f.y, seen) for f in state.fingers if (seen := strength(f, shot.wall_ms)) > 0]
        words = shot.caption or (f"Covered: {reason(state.blocked)}" if state.blocked else "")
        over = fingers, words, state.width, state.height
        if (key, over) == (self._key, self._over):
            self.changed = ()
            return self._picture
        changed = list(self._drawn)
        if key != self._key:
            before, self._under = self._under, self._laid(state)
            box = ImageChops.difference(before, self._under).getbbox()
            changed += [box] if box is not None else []
        self._key, self._over = key, over
        self._picture = picture = self._under.copy()
        left, top = self._corner
        rings = [draw(picture, left + x * size.scale, top + y * size.scale, size.scale, seen) for x, y, seen in fingers]
        drawn = [ring for ring in rings if ring is not None]
        if words:
            drawn.append(_caption(picture, words, size.scale))
        self._drawn = tuple(drawn)
        self.changed = (*changed, *drawn)
        return picture

    def _laid(self, state: State) -> Image.Image:
        """The state without what is drawn over it."""
        size = self.size
        window = _pixels(state, size)
        self._corner = (size.width - window[0]) // 2, (size.height - window[1]) // 2
        # The one with most of its layers comes last.
        known = sorted(self._composed, key=lambda seen: len(seen[0].layers))
        below = next((seen for seen in reversed(known) if seen[1].size == window and on_top(state, seen[0])), None)
        composed = compose(state, self._stream.load, window, below)
        self._composed.append((state, composed))
        if window == (size.width, size.height):
            return composed
        under = Image.new("RGB", (size.width, size.height), GROUND)
        under.paste(composed, self._corner)
        return under


class _Film:
    """Painted shots as frames of a video. Only what changed is made YUV, which else costs as much as the encoder."""

    def __init__(self, painter: _Painter) -> None:
        import av

        self._painter = painter
        self._frame = av.VideoFrame(painter.size.width, painter.size.height, "yuv420p")

    def frame(self, shot: Shot) -> VideoFrame:
        """The frame of a shot; the same object each time."""
        picture = self._painter.paint(shot)
        boxes = _apart(self._painter.changed, picture.size)
        if boxes:
            # The encoder may still hold the pixels.
            self._frame.make_writable()
        for box in boxes:
            self._convert(picture, box)
        return self._frame

    def _convert(self, picture: Image.Image, box: Box) -> None:
        import av
        from av.video.reformatter import ColorRange, Colorspace

        left, top, right, bottom = box
        part = av.VideoFrame.from_ndarray(np.asarray(picture.crop(box)), "rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        for whole, piece, step in zip(self._frame.planes, part.planes, (1, 2, 2), strict=True):
            into, of = _lines(whole), _lines(piece)
            rows, columns = slice(top // step, bottom // step), slice(left // step, right // step)
            into[rows, columns] = of[: (bottom - top) // step, : (right - left) // step]


def _lines(plane: Any) -> NDArray[np.uint8]:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)


def _apart(boxes: Iterable[Box], size: tuple[int, int]) -> list[Box]:
    """Boxes with even sides that hold all of these and do not meet: chroma has a sample for two pixels each way, and
    takes in those around it."""
    found: list[Box] = []
    for box in boxes:
        left, top = max(0, box[0] // 2 * 2 - 2), max(0, box[1] // 2 * 2 - 2)
        right, bottom = min(size[0], -(-box[2] // 2) * 2 + 2), min(size[1], -(-box[3] // 2) * 2 + 2)
        if right <= left or bottom <= top:
            continue
        meeting = [b for b in found if b[0] < right and left < b[2] and b[1] < bottom and top < b[3]]
        while meeting:
            found = [b for b in found if b not in meeting]
            left, top = min(left, *(b[0] for b in meeting)), min(top, *(b[1] for b in meeting))
            right, bottom = max(right, *(b[2] for b in meeting)), max(bottom, *(b[3] for b in meeting))
            meeting = [b for b in found if b[0] < right and left < b[2] and b[1] < bottom and top < b[3]]
        found.append((left, top, right, bottom))
    return found


def span(ms: int) -> str:
    """A length of time in words: "3.2 s", "12 min 5 s", "2 h 3 min"."""
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, rest = divmod(ms // 1000, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _gap(event: Event) -> tuple[int, str] | None:
    """Until when and why no picture could be had, if an event says that and it is worth a word."""
    data = event["data"]
    payload = data.get("payload")
    if event["type"] != 5 or data.get("tag") != "gap" or not isinstance(payload, dict):
        return None
    until, why = payload.get("to_ms"), payload.get("reason")
    if payload.get("stage") not in _EYES or not isinstance(until, int) or not isinstance(why, str):
        return None
    ms = until - event["timestamp"]
    return (until, f"{span(ms)} without a picture: {_CAMEL.sub(' ', why).lower()}") if ms > SILENT_MS else None


def _fitting(width: int, height: int, scale: float) -> Canvas:
    scale = min(scale or WIREFRAME_PIXELS, SHARPEST, MAX_SIDE / max(width, height))
    across, down = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    return Canvas(across, down, scale)


def _pixels(state: State, size: Canvas) -> tuple[int, int]:
    """The window's size in the video."""
    width, height = round(state.width * size.scale), round(state.height * size.scale)
    return max(1, min(size.width, width)), max(1, min(size.height, height))


def _configure(track: VideoStream, size: Canvas) -> None:
    track.width, track.height, track.pix_fmt = size.width, size.height, "yuv420p"
    track.time_base = track.codec_context.time_base = MILLISECOND
    # BT.709 in video range, and said so: players guess otherwise, each its own way.
    context = track.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = VIDEO_RANGE


def _caption(picture: Image.Image, words: str, scale: float) -> Box:
    """Words on a band across the middle; where that is."""
    # A gap's reason may be any text, and a line is drawn.
    band = _band(" ".join(words[:MAX_CAPTION].split()), picture.width, scale)
    top = picture.height // 2 - band.height // 2
    picture.paste(band, (0, top))
    return 0, top, picture.width, top + band.height


@lru_cache(maxsize=16)
def _band(words: str, width: int, scale: float) -> Image.Image:
    size = max(8.0, CAPTION_DP * scale)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    wide = pen.textlength(words, ImageFont.load_default(size))
    # As large as fits the width, and a little room at both ends.
    font = ImageFont.load_default(max(6.0, min(size, size * 0.94 * width / max(1.0, wide))))
    left, top, right, bottom = pen.textbbox((0, 0), words, font)
    band = Image.new("RGB", (width, round((bottom - top) * 2.5)), GROUND)
    ImageDraw.Draw(band).text(
        ((width - right + left) / 2, (band.height - bottom - top) / 2), words, (255, 255, 255), font
    )
    return band

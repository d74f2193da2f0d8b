"""What the sources share that are sent H.264: the newest picture, held for whoever captures, and its geometry."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import xxhash

from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.decoder import Picture
from bridge.errors import BridgeError, BridgeTimeout, CaptureFailed, DeviceGone, ServiceRefused, StreamRestarting
from bridge.picture import Data, Display
from bridge.smartsocket import Stream
from bridge.types import Bounds, Frame, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# How long a capture waits for a stream that begins anew before it says so.
PATIENCE_SECONDS = 0.25
# How far behind what has come the reader may be; with that a picture is under way for as long as its bound says.
LATE_NS = 50_000_000
POLL_SECONDS = 0.01
# A stream that nobody has captured from for so long ends until somebody does.
UNWANTED_NS = 60_000_000_000
REST_SECONDS = 0.05
# Video range black is 16; a coder leaves a little more or less.
BLACK = 20
BAR_ROWS = 8
# What is under way for longer makes a hole that somebody would see.
PULSE_SECONDS = 0.15
GLANCE_SECONDS = 0.001
OPEN_SECONDS = 1.0
NOISE = 6
# Bytes.
PIECE = 1 << 17


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """What video the phone is asked for: width in pixels of the upright screen, bits per second, pictures per second
    where a source can limit them. `scrcpy_server` = the scrcpy server's jar on this host, `scrcpy_version` its version
    when the file's name does not tell it. `limit_seconds` = how long one `screenrecord` runs."""

    width: int = 540
    bit_rate: int = 2_000_000
    rate: int = 30
    scrcpy_server: Path | None = None
    scrcpy_version: str = ""
    limit_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoded picture and when it was drawn: at some instant from `earliest_ns` to `latest_ns`, host monotonic.

    `screen` is the size of the screen that it shows, `part` where in the picture that is.
    """

    picture: Picture
    earliest_ns: int
    latest_ns: int
    screen: Size
    part: Bounds


class Pulse:
    """Whether what a device sends comes in time: a byte goes there and back on a stream of its own, the way that the
    pictures come. Nobody waits for it: it is looked for the next time. `late` belongs to one thread, `close` to any.
    """

    def __init__(self, shell: AdbShell) -> None:
        self._shell = shell
        self._stream: Stream | None = None
        self._sent_ns = 0
        self._told = True
        self._closed = False

    def late(self) -> bool:
        """Whether the byte of before is under way for too long. Sends the next one. Raises DeviceGone."""
        if not self._told:
            return False
        try:
            stream = self._stream or self._open()
            if self._sent_ns and stream.readable(Deadline(GLANCE_SECONDS)):
                self._sent_ns = 0
                if not stream.read_some(Deadline(PULSE_SECONDS)):
                    # There is no such program.
                    self._told = False
                    self._drop()
                    return False
            now_ns = time.monotonic_ns()
            if not self._sent_ns:
                stream.send(b".", Deadline(PULSE_SECONDS))
                self._sent_ns = now_ns
            elif now_ns - self._sent_ns > PULSE_SECONDS * 1e9:
                # What comes back now must not be taken for the next one.
                self._drop()
                return True
        except ServiceRefused:
            self._told = False
            self._drop()
        except BridgeTimeout:
            self._drop()
            return True
        return False

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _open(self) -> Stream:
        stream = self._stream = self._shell.stream("exec:cat", Deadline(OPEN_SECONDS))
        if self._closed:
            stream.close()
        return stream

    def _drop(self) -> None:
        stream, self._stream, self._sent_ns = self._stream, None, 0
        if stream is not None:
            stream.close()


class Held:
    """The newest of a stream: a picture, or why there is none. One thread puts, another captures, any closes."""

    def __init__(self, serial: str, name: str, clock: HostClock, display: Display) -> None:
        self._serial = serial
        self._name = name
        self._clock = clock
        self._display = display
        self._now: Shown | CaptureFailed = StreamRestarting(serial, name, "it has not begun")
        self._news: SimpleQueue[None] = SimpleQueue()
        self._frame: tuple[Shown, Frame] | None = None
        self._wanted_ns = time.monotonic_ns()
        self._looked_ns = 0
        self.closed = False

    def put(self, now: Shown | CaptureFailed) -> None:
        """From now on this is the newest."""
        self._now = now
        if self._news.empty():
            self._news.put(None)

    def looked(self, at_ns: int) -> None:
        """All that had come by this instant has been put."""
        self._looked_ns = at_ns

    def close(self) -> None:
        self.closed = True
        self._news.put(None)

    @property
    def began(self) -> bool:
        """Whether the newest is a picture."""
        return isinstance(self._now, Shown)

    @property
    def wanted(self) -> bool:
        """Whether anyone has captured of late: nobody does while capture is paused, and the phone need not encode."""
        return time.monotonic_ns() - self._wanted_ns < UNWANTED_NS

    def rest(self) -> None:
        """Wait until pictures are wanted again, or it is closed."""
        self.put(StreamRestarting(self._serial, self._name, "nobody has looked for a while"))
        while not self.wanted and not self.closed:
            time.sleep(REST_SECONDS)

    def capture(self, deadline: Deadline) -> Frame:
        """The newest picture, the same frame while nothing changed. A stream that begins, or whose pictures have come
        and are not looked at yet, is waited for a moment.

        Raises StreamRestarting, FrameMalformed, CaptureFailed, DeviceGone when closed.
        """
        began_ns = self._wanted_ns = time.monotonic_ns()
        patience = Deadline(min(PATIENCE_SECONDS, deadline.remaining()))
        while True:
            now = self._now
            if self.closed:
                raise DeviceGone(self._serial, self._name, "closed by us")
            if isinstance(now, Shown):
                if turned(now.screen, self._display):
                    now = StreamRestarting(self._serial, self._name, "the screen has changed its shape")
                elif self._looked_ns < began_ns - LATE_NS:
                    # A newer picture may have come, and masks that fit that one would be put on this one.
                    now = StreamRestarting(self._serial, self._name, "the pictures come late: this host is busy")
                else:
                    return self._made(now)
            if not isinstance(now, StreamRestarting) or patience.passed:
                raise type(now)(now.serial, now.op, now.detail)
            try:
                self._news.get(timeout=max(min(patience.remaining(), POLL_SECONDS), 0.001))
            except Empty:
                continue

    def _made(self, shown: Shown) -> Frame:
        # Upside down and back, or from one side to the other, changes no shape, and the stream goes on.
        rotation = self._display.rotation_of(shown.screen)
        kept = self._frame
        if kept is not None and (kept[1].screen, kept[1].rotation) == (shown.screen, rotation):
            if kept[0] is shown:
                return kept[1]
            size, data = shown.picture.planes(shown.part)
            if size == kept[1].size and _alike(kept[1].data, data):
                self._frame = (shown, kept[1])
                return kept[1]
        else:
            size, data = shown.picture.planes(shown.part)
        middle_ns = (shown.earliest_ns + shown.latest_ns) // 2
        frame = Frame(
            stamp=self._clock.at(middle_ns),
            bound_ns=shown.latest_ns - middle_ns,
            size=size,
            screen=shown.screen,
            rotation=rotation,
            media_type="image/x-i420",
            data=data,
            digest=xxhash.xxh3_64_intdigest(data),
            source=self._name,
            origin=(shown.part.left, shown.part.top),
        )
        self._frame = (shown, frame)
        return frame


def _alike(one: Data, other: Data) -> bool:
    """Whether two pictures differ by no more than what a coder adds when it sends the same screen again."""
    import numpy as np

    first, second = np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)
    # Piece by piece: what moved shows soon, and a piece stays in the processor's cache.
    for at in range(0, len(first), PIECE):
        here, there = first[at : at + PIECE], second[at : at + PIECE]
        if int((np.maximum(here, there) - np.minimum(here, there)).max()) > NOISE:
            return False
    return True


def screen_size(display: Display) -> Size:
    """The screen's size in the rotation seen last."""
    natural = display.natural
    return Size(natural.height, natural.width) if display.rotation % 2 else natural


def turned(screen: Size, display: Display) -> bool:
    """Whether the screen has another shape now."""
    return screen != screen_size(display)


def content(video: Size, screen: Size) -> Bounds:
    """Where in a video of this size the whole screen is, shrunk or grown to fit and centred as `screenrecord` does it
    (AOSP screenrecord.cpp, setDisplayProjection); grown to even edges. All of it when only rounding is between them."""
    if abs(video.width * screen.height - video.height * screen.width) <= 2 * max(screen.width, screen.height):
        return Bounds(0, 0, video.width, video.height)
    width, height = video.width, video.width * screen.height // screen.width
    if height > video.height:
        width, height = video.height * screen.width // screen.height, video.height
    left, top = (video.width - width) // 2, (video.height - height) // 2
    return Bounds(left // 2 * 2, top // 2 * 2, -(-(left + width) // 2) * 2, -(-(top + height) // 2) * 2)


def looks_turned(luma: NDArray[np.uint8]) -> bool:
    """Whether a picture holds a screen of the other orientation: black beyond a band in the middle, and not in it."""
    height, width = luma.shape
    if height < width:
        luma, height, width = luma.T, width, height
    bar = (height - width * width // height) // 2 - 2
    if bar < BAR_ROWS:
        return False
    step = max(1, bar // BAR_ROWS)
    if luma[:bar:step].max() > BLACK or luma[height - bar :: step].max() > BLACK:
        return False
    return bool(luma[bar : height - bar : 4, ::4].max() > BLACK)


def failed(serial: str, name: str, error: BridgeError) -> CaptureFailed:
    """An error as the reason why a stream gives no pictures."""
    if isinstance(error, CaptureFailed) and not isinstance(error, StreamRestarting):
        return error
    return CaptureFailed(serial, name, error.detail or error.op)

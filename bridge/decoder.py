"""H.264 to planes with PyAV, which is there when the extra `video` is installed.

A picture that was decoded from damaged data looks like mush, and mush may show what a mask should have covered: after
any damage nothing is given out until the next key picture. FFmpeg conceals lost pictures without a word (seen with
8.1), so the numbers of the pictures are checked here as well.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bridge.buffers import Buffers
from bridge.errors import FrameMalformed
from bridge.h264 import KEY_SLICE, PPS, SLICE, SPS, START, Continuity, nals
from bridge.types import Bounds, Size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OP = "decode H.264"
MAX_PIXELS = 1 << 24
# The picture that is told, those on their way, and those that masking compares with.
KEPT_BUFFERS = 5
# AVColorRange and AVColorSpace (FFmpeg libavutil/pixfmt.h).
FULL_RANGE = 2
BT709, UNSPECIFIED, BT470BG, SMPTE170M = 1, 2, 5, 6
UNKNOWN = (0, UNSPECIFIED)


def available() -> bool:
    """Whether there is a decoder on this host."""
    return find_spec("av") is not None


class Picture:
    """One decoded picture. Its pixels stay the decoder's, which reads them for later pictures: `planes` copies."""

    def __init__(self, frame: Any, buffers: Buffers) -> None:
        self._frame = frame
        self._buffers = buffers
        self.size = Size(frame.width, frame.height)

    def luma(self) -> NDArray[np.uint8]:
        """A read-only view of the plane Y, shape (height, width)."""
        return _view(self._frame.planes[0], self.size)

    def planes(self, part: Bounds | None = None) -> tuple[Size, memoryview]:
        """The planes Y, U and V of the picture, or of a part with even edges, without padding: BT.601, video range. To
        be called by the one thread that asks the decoder's pictures for theirs."""
        import numpy as np

        frame = self._frame
        full, matrix = int(frame.color_range) == FULL_RANGE, int(frame.colorspace)
        if frame.format.name == "yuvj420p" or full or matrix == BT709:
            frame = frame.reformat(
                format="yuv420p",
                src_colorspace="ITU709" if matrix == BT709 else "ITU601",
                dst_colorspace="ITU601",
                src_color_range="JPEG" if full or frame.format.name == "yuvj420p" else "MPEG",
                dst_color_range="MPEG",
            )
        bounds = part or Bounds(0, 0, self.size.width, self.size.height)
        half = Bounds(bounds.left // 2, bounds.top // 2, bounds.right // 2, bounds.bottom // 2)
        data = memoryview(self._buffers.take(bounds.area + 2 * half.area))
        begin = 0
        for plane, box in zip(frame.planes, (bounds, half, half), strict=True):
            view = _view(plane, Size(plane.width, plane.height))
            into = np.frombuffer(data[begin : begin + box.area], np.uint8).reshape(box.height, box.width)
            into[:] = view[box.top : box.bottom, box.left : box.right]
            begin += box.area
        return Size(bounds.width, bounds.height), data.toreadonly()


class Decoder:
    """Decodes one stream, picture by picture. One thread."""

    def __init__(self, serial: str = "") -> None:
        self._serial = serial
        self._continuity = Continuity()
        self._context: Any = None
        self._sound = False
        self._buffers = Buffers(KEPT_BUFFERS)

    def decode(self, unit: bytes, key: bool, broken: bool = False) -> Picture | None:
        """The picture of an access unit; None while the decoder waits for more.

        Raises FrameMalformed for damaged data, then for everything up to the next key picture; also for a picture that
        is not 4:2:0 in 8 bits, or too large.
        """
        whole = self._continuity.follows(unit)
        if key:
            self._sound = True
            broken = False
        if not self._sound or broken or not whole:
            raise self._damaged("the pictures before it were lost")
        picture = self._decoded(unit)
        if picture is None:
            return None
        size, name = picture.size, picture._frame.format.name
        if name not in ("yuv420p", "yuvj420p") or size.width % 2 or size.height % 2:
            raise self._damaged(f"{size.width}x{size.height} in {name} is not 4:2:0 in 8 bits")
        if size.width * size.height > MAX_PIXELS:
            raise self._damaged(f"a size of {size.width}x{size.height}")
        if int(picture._frame.colorspace) not in (*UNKNOWN, BT709, BT470BG, SMPTE170M):
            raise self._damaged(f"colours in the matrix {int(picture._frame.colorspace)}")
        return picture

    def _decoded(self, unit: bytes) -> Picture | None:
        import av

        if self._context is None:
            self._context = av.CodecContext.create("h264", "r")
            # Threads cost a picture of delay and hang at exit; without "low delay" it waits for pictures out of order.
            self._context.thread_type, self._context.thread_count = "NONE", 1
            self._context.flags |= av.codec.context.Flags.low_delay
            self._context.options = {"err_detect": "explode+bitstream+buffer+crccheck"}
        try:
            # What else an encoder writes between them is its own business, and no reason to refuse a picture.
            needed = [START + body for kind, body in nals(unit) if kind in (SLICE, KEY_SLICE, SPS, PPS)]
            frames = self._context.decode(av.Packet(b"".join(needed)))
        except (av.error.FFmpegError, ValueError) as error:
            raise self._damaged(getattr(error, "strerror", None) or str(error)) from error
        if any(frame.is_corrupt for frame in frames):
            raise self._damaged("parts of the picture are missing")
        return Picture(frames[-1], self._buffers) if frames else None

    def _damaged(self, detail: str) -> FrameMalformed:
        self._sound = False
        self._context = None
        return FrameMalformed(self._serial, OP, detail)


def _view(plane: Any, size: Size) -> NDArray[np.uint8]:
    import numpy as np

    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    view = rows[: size.height, : size.width]
    view.flags.writeable = False
    return view

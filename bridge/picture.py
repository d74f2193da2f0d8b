"""Pictures as devices send them: find them behind garbage, check them, decode them. A bad one is an error, never black.

A raw screencap is a header of little-endian words (width, height, pixel format, and from Android 9 on the colour
space), then rows of 4-byte pixels without padding (AOSP cmds/screencap/screencap.cpp).
"""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import xxhash

from bridge.errors import FrameMalformed
from bridge.types import Frame, MediaType, Rotation, Size, Stamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Data = bytes | bytearray | memoryview

RAW_HEADERS = (16, 12)
RAW_FORMATS = (1, 2)  # RGBA_8888 and RGBX_8888 (AOSP PixelFormat.h)
GARBAGE_BYTES = 4_096
# Black in video range (ITU-T H.273), and how far off a coder leaves a plain surface.
VIDEO_BLACK, VIDEO_GREY, CODER_NOISE = 16 + 2, 128, 2
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
JPEG_MAGIC = b"\xff\xd8\xff"
JPEG_END = b"\xff\xd9"
# Markers that start a frame header, which holds the size (ITU-T T.81 table B.1): all SOFs, without DHT, JPG and DAC.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Display:
    """The geometry of one display of a device: its natural size and the rotation that was seen last.

    `id` is Android's number of it, 0 the default one. `physical` is what `screencap -d` calls it, "" on a device that
    has no other. `density` in dpi is that of the size `measured`, 0 and None before it was read. Shared by the device's
    sources; each value is replaced whole, so any thread may write it.
    """

    def __init__(
        self, natural: Size, rotation: Rotation = 0, id: int = 0, physical: str = "", density: int = 0
    ) -> None:
        self.natural = natural
        self.density = density
        self.measured = natural if density else None
        self.rotation = rotation
        self.id = id
        self.physical = physical

    def resized(self, shown: Size | None) -> None:
        """The screen has this size as it is turned now: after a fold, or `wm size`, its sides are others."""
        natural = self.natural
        if shown is None or {shown.width, shown.height} == {natural.width, natural.height}:
            return
        self.natural = Size(shown.height, shown.width) if self.rotation % 2 else shown

    def rotation_of(self, picture: Size) -> Rotation:
        """The rotation in which a picture of this size was taken: the last one seen, if the shape agrees."""
        if picture.width == picture.height or self.natural.width == self.natural.height:
            return self.rotation
        turned = (picture.width > picture.height) != (self.natural.width > self.natural.height)
        if turned == (self.rotation % 2 == 1):
            return self.rotation
        return 1 if turned else 0


def frame(
    began: Stamp, ended: Stamp, size: Size, data: memoryview, media_type: MediaType, display: Display, source: str
) -> Frame:
    """A frame that was asked for at `began` and had arrived at `ended`."""
    return Frame(
        stamp=middle(began, ended),
        bound_ns=(ended.mono_ns - began.mono_ns + 1) // 2,
        size=size,
        screen=size,
        rotation=display.rotation_of(size),
        media_type=media_type,
        data=data,
        digest=xxhash.xxh3_64_intdigest(data),
        source=source,
    )


def again(frame: Frame, began: Stamp, ended: Stamp, display: Display) -> Frame:
    """The same picture, asked for anew at `began` and there at `ended`."""
    return replace(
        frame,
        stamp=middle(began, ended),
        bound_ns=(ended.mono_ns - began.mono_ns + 1) // 2,
        rotation=display.rotation_of(frame.size),
    )


def middle(began: Stamp, ended: Stamp) -> Stamp:
    """The instant halfway between two."""
    return Stamp((began.mono_ns + ended.mono_ns) // 2, (began.wall_ms + ended.wall_ms) // 2)


def raw(data: Data, serial: str = "") -> tuple[Size, memoryview]:
    """The size and the pixels (width x height x 4 bytes) of a raw screencap, without a copy. Raises FrameMalformed.

    Lines of text before the header (a linker's warning on stderr) are skipped.
    """
    view = memoryview(data)
    head = bytes(view[:GARBAGE_BYTES])
    start = 0
    while start >= 0:
        for header in RAW_HEADERS:
            if len(view) - start < header:
                continue
            width, height, pixel_format = struct.unpack_from("<III", view, start)
            if not possible(width, height) or pixel_format not in RAW_FORMATS:
                continue
            if len(view) - start == header + width * height * 4:
                return Size(width, height), view[start + header :]
        start = head.find(b"\n", start) + 1 or -1
    raise FrameMalformed(serial, "raw screencap", _describe(view))


def png(data: Data, serial: str = "") -> tuple[Size, memoryview]:
    """The size and the bytes of a whole PNG, text before it skipped. Raises FrameMalformed."""
    view = memoryview(data)
    start = bytes(view[:GARBAGE_BYTES]).find(PNG_MAGIC)
    if start < 0 or len(view) - start < 45 or bytes(view[start + 12 : start + 16]) != b"IHDR":
        raise FrameMalformed(serial, "PNG screencap", _describe(view))
    width, height = struct.unpack_from(">II", view, start + 16)
    if not possible(width, height):
        raise FrameMalformed(serial, "PNG screencap", f"a size of {width}x{height}")
    if bytes(view[-8:]) != PNG_END:
        raise FrameMalformed(serial, "PNG screencap", f"cut off after {len(view)} bytes")
    return Size(width, height), view[start:]


def jpeg(data: Data, serial: str = "") -> tuple[Size, memoryview]:
    """The size and the bytes of a whole JPEG. Raises FrameMalformed."""
    view = memoryview(data)
    if bytes(view[:3]) != JPEG_MAGIC:
        raise FrameMalformed(serial, "JPEG picture", _describe(view))
    if bytes(view[-2:]) != JPEG_END:
        raise FrameMalformed(serial, "JPEG picture", f"cut off after {len(view)} bytes")
    at = 2
    while at + 9 <= len(view) and view[at] == 0xFF:
        marker = view[at + 1]
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", view, at + 5)
            if not possible(width, height):
                raise FrameMalformed(serial, "JPEG picture", f"a size of {width}x{height}")
            return Size(width, height), view
        (length,) = struct.unpack_from(">H", view, at + 2)
        at += 2 + length
    raise FrameMalformed(serial, "JPEG picture", "no frame header")


def decode(frame: Frame, short: int | None = None) -> NDArray[np.uint8]:
    """The pixels of a frame: RGBA, uint8, shape (height, width, 4), maybe read-only. Raises FrameMalformed.

    A JPEG may come in eighths of its size, if its shorter side is at least `short`: that is several times faster.
    """
    # Imported here because listing devices must not pay for them.
    import numpy as np

    height, width = frame.size.height, frame.size.width
    if frame.media_type == "image/x-rgba":
        if len(frame.data) != width * height * 4:
            raise FrameMalformed("", "decode", f"{len(frame.data)} bytes for {width}x{height}")
        return np.frombuffer(frame.data, np.uint8).reshape(height, width, 4)
    pixels = _decode_png(frame) if frame.media_type == "image/png" else _decode_jpeg(frame, short)
    eighths = (8,) if short is None or frame.media_type == "image/png" else range(1, 9)
    if not any(pixels.shape == (-(-height * n // 8), -(-width * n // 8), 4) for n in eighths):
        raise FrameMalformed("", "decode", f"{pixels.shape[1]}x{pixels.shape[0]} where {width}x{height} was said")
    return pixels


def is_black(frame: Frame) -> bool:
    """Whether every pixel is black, whatever its alpha. A sparse look settles nearly every picture."""
    if frame.media_type == "image/x-i420":
        import numpy as np

        area = frame.size.width * frame.size.height
        planes = np.frombuffer(frame.data, np.uint8)
        luma, chroma = planes[:area], planes[area:]
        return bool(
            luma[::61].max() <= VIDEO_BLACK
            and luma.max() <= VIDEO_BLACK
            and chroma.min() >= VIDEO_GREY - CODER_NOISE
            and chroma.max() <= VIDEO_GREY + CODER_NOISE
        )
    rgba = decode(frame)
    return not rgba[::61, ::61, :3].any() and not rgba[..., :3].any()


def _decode_png(frame: Frame) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(frame.data), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGBA"))
    except UnidentifiedImageError as error:
        raise FrameMalformed("", "decode PNG", "what it holds is no PNG") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise FrameMalformed("", "decode PNG", str(error)) from error


def _decode_jpeg(frame: Frame, short: int | None) -> NDArray[np.uint8]:
    import simplejpeg

    size = frame.size
    least = {}
    if short is not None and short < min(size.width, size.height):
        least = {"min_width": short} if size.width <= size.height else {"min_height": short}
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(frame.data, "RGBA", **least)
    except ValueError as error:
        raise FrameMalformed("", "decode JPEG", str(error)) from error
    return pixels


def possible(width: int, height: int) -> bool:
    """Whether a picture can have these sides."""
    return Size(width, height).possible


def _describe(view: memoryview) -> str:
    """What came instead of a picture, in the device's own words where they are words."""
    head = bytes(view[:80])
    if not head:
        return "nothing was sent"
    words = head.split(b"\n")[0].strip()
    if words.isascii() and words.decode("ascii").isprintable():
        return f"{len(view)} bytes that begin with {words.decode('ascii')!r}"
    return f"{len(view)} bytes that are no picture"

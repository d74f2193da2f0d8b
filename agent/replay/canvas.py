"""Decoded pictures into which masks are burnt, and from which the replay's pictures are encoded.

Two kinds: RGBA from `screencap`, PNG and JPEG, and the planes of a video frame, which stay YUV up to the encoder (no
conversion, and WebP takes them as they are). Rectangles of masks are in pixels of the screen, boxes in pixels of the
picture, which may be smaller.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image

from agent.model import Canvas
from bridge import picture
from bridge.errors import FrameMalformed
from bridge.types import Bounds, Frame, Size

COVER = 0x80
# Video range: 16 is black, 126 the grey of COVER (ITU-R BT.601: 16 + 219/255 x 128).
COVER_LUMA, COVER_CHROMA = 126, 128
BLACK_LUMA = 20
# What shrinking a picture draws into a pixel comes from at most two pixels around it.
GROW = 2
# A transform block of H.264 is 8 pixels: what is in it may ring all over it, and deblocking (H.264 8.7) reaches three
# pixels into the next. A pixel of its edge may hold what the phone's scaler drew beyond it. The mean colours of a whole
# macroblock are transformed once more together (8.5.11.1): so far its colour may be off.
BLOCK, DEBLOCKED, SCALED = 8, 4, 1
MACROBLOCK = 16
# Where colour has half the pixels of brightness, as in Android's JPEG, a block of it is 16 (ITU-T T.81 A.2), and what
# enlarges it draws a pixel from the next.
JPEG_UNIT, JPEG_SMOOTHED = 16, 2
TILE = 16
# A video codec's noise: a few pixels of a tile as far off as SPIKE, or many that are hardly off at all. A change is
# what goes beyond either: a strong one in a pixel, or a weak one, pale text on white, in many.
SPIKE = 12
NOISE = 3
MEAN_NOISE = 1.5
# Where both pictures have edges, text above all, a codec is further off, and mends it in the frames after a motion: so
# far in a pixel, and on the mean, as shares of the tile's contrast, and never further than STRONG.
EDGE_SHARE, EDGE_MEAN_SHARE = 1 / 5, 1 / 40
STRONG = 50
# Where more than this is changed there is motion: a tile that is told to be noise saves nothing.
MOVING = 0.3
# What no eye sees in a surface of one colour.
EVEN = 6
SPARSE = 8
# No even number: what is drawn has a way of coming in steps of these.
SKETCHED = 5
# One picture more costs some hundred bytes, its node and a call of the encoder: as much as so many pixels more.
APART_PIXELS = 9_000
MAX_BOXES = 8
Room = Callable[[int], bytearray]
_COVER_WORD = 0xFF000000 | COVER << 16 | COVER << 8 | COVER


class RgbaCanvas:
    """A picture of 4 bytes a pixel, (height, width, 4), the fourth without meaning. Never painted in place.

    `jpeg` is the size of the JPEG from which it was decoded, maybe shrunk: what stood in a masked place may ring around
    it in that.
    """

    def __init__(self, pixels: NDArray[np.uint8], screen: Size | None = None, *, jpeg: Size | None = None) -> None:
        self._pixels = pixels
        self.size = Size(pixels.shape[1], pixels.shape[0])
        self.screen = screen or self.size
        self._jpeg = jpeg
        self._shrunk: tuple[Size, NDArray[np.uint8]] | None = None

    @property
    def whole(self) -> Bounds:
        """The box of all of it."""
        return Bounds(0, 0, self.size.width, self.size.height)

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self._pixels.nbytes

    def black(self, bounds: Bounds) -> bool:
        """Whether a part of the screen is black to the last pixel."""
        part = self._part(_inner(bounds, self.size, self.screen))[..., :3]
        return not (part[::16, ::16].any() or part.any())

    def flat(self, bounds: Bounds) -> bool:
        """Whether a part of the screen is of one colour, give or take what no eye sees."""
        return _even(self._part(_inner(bounds, self.size, self.screen))[..., :3])

    def masked(self, covers: Iterable[Bounds], width: int, room: Room = bytearray) -> RgbaCanvas:
        """A copy with the covers burnt in, its shorter side at most `width`. `room` gives so many bytes for it."""
        size = scaled(self.size, width)
        burnt = _copied(self._pixels if size == self.size else self._small(size), room)
        words = burnt.view(np.uint32)[:, :, 0]
        for cover in covers:
            if self._jpeg is None:
                b = _outer(cover, size, self.screen, 0 if size == self.size else GROW)
            else:
                coded = _grown(_blocks(_outer(cover, self._jpeg, self.screen, 0), JPEG_UNIT), JPEG_SMOOTHED)
                b = _outer(coded, size, self._jpeg, GROW)
            words[b.top : b.bottom, b.left : b.right] = _COVER_WORD
        return RgbaCanvas(burnt, self.screen)

    def _small(self, size: Size) -> NDArray[np.uint8]:
        """The pixels shrunk to `size`; kept, for the same picture is masked anew while the views around it settle."""
        if self._shrunk is None or self._shrunk[0] != size:
            source = np.ascontiguousarray(self._pixels)
            image = Image.frombuffer("RGBX", (self.size.width, self.size.height), source, "raw", "RGBX", 0, 1)
            # Whole-number reduction first: three times faster than one filtered pass from the full size.
            image = image.resize((size.width, size.height), Image.Resampling.BILINEAR, reducing_gap=1.0)
            self._shrunk = size, np.asarray(image)
        return self._shrunk[1]

    def changes(self, before: Canvas) -> tuple[Bounds, ...]:
        """Boxes of whole tiles outside which it is the same as `before`; none when it is the same."""
        if not isinstance(before, RgbaCanvas) or before.size != self.size:
            return (self.whole,)
        differs: NDArray[np.bool_] = self._words() != before._words()
        rows, columns = (-(-side // TILE) for side in differs.shape)
        padded = np.zeros((rows * TILE, columns * TILE), np.bool_)
        padded[: differs.shape[0], : differs.shape[1]] = differs
        # WebP rings beside something bright, within its blocks: that goes with what was bright.
        tiles = np.logical_or.reduce(padded.reshape(rows, TILE, columns, TILE), axis=(1, 3))
        return tuple(box.intersect(self.whole) for box in _boxes(tiles, TILE))

    def unlike(self, before: Canvas, beside: Iterable[Bounds] = ()) -> float:
        """Which share of it a sparse look finds changed, not counting what is in `beside` (parts of the screen)."""
        if not isinstance(before, RgbaCanvas) or before.size != self.size:
            return 1.0
        differs: NDArray[np.bool_] = self._words()[::SPARSE, ::SPARSE] != before._words()[::SPARSE, ::SPARSE]
        _forgive(differs, beside, self.size, self.screen)
        return float(np.count_nonzero(differs) / differs.size)

    def sketch(self) -> NDArray[np.uint8]:
        """The green of a pixel of every SKETCHED across and down."""
        return np.ascontiguousarray(self._pixels[::SKETCHED, ::SKETCHED, 1])

    def patched(self, boxes: Iterable[Bounds], source: Canvas) -> RgbaCanvas:
        """A copy that has what is in `boxes` from `source`."""
        assert isinstance(source, RgbaCanvas)
        pixels = self._pixels.copy()
        for b in boxes:
            pixels[b.top : b.bottom, b.left : b.right] = source._part(b)
        return RgbaCanvas(pixels, self.screen)

    def webp(self, box: Bounds, quality: int) -> bytes:
        """The part in `box` as WebP, method 0."""
        part = np.ascontiguousarray(self._part(box))
        image = Image.frombuffer("RGBX", (box.width, box.height), part, "raw", "RGBX", 0, 1)
        out = io.BytesIO()
        image.save(out, "WEBP", quality=quality, method=0)
        return out.getvalue()

    def digest(self, box: Bounds) -> bytes:
        """A hash of the pixels in `box`."""
        part = np.ascontiguousarray(self._words()[box.top : box.bottom, box.left : box.right])
        return xxhash.xxh3_128_digest(part.data, seed=box.width)

    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3)."""
        return self._pixels[..., :3]

    def _words(self) -> NDArray[np.uint32]:
        return np.ascontiguousarray(self._pixels).view(np.uint32)[:, :, 0]

    def _part(self, box: Bounds) -> NDArray[np.uint8]:
        return self._pixels[box.top : box.bottom, box.left : box.right]


class I420Canvas:
    """The planes of a video frame one after the other: Y, then U and V of half its sides; BT.601, video range.

    Never painted in place. A box of it has even sides. `origin` is that of the frame.
    """

    def __init__(self, data: NDArray[np.uint8], size: Size, screen: Size, origin: tuple[int, int] = (0, 0)) -> None:
        self.size = size
        self.screen = screen
        self._origin = origin
        self._data = data
        luma, chroma = size.width * size.height, size.width * size.height // 4
        self._y = data[:luma].reshape(size.height, size.width)
        self._u = data[luma : luma + chroma].reshape(size.height // 2, size.width // 2)
        self._v = data[luma + chroma :].reshape(size.height // 2, size.width // 2)
        self._looked: NDArray[np.uint8] | None = None

    @property
    def whole(self) -> Bounds:
        """The box of all of it."""
        return Bounds(0, 0, self.size.width, self.size.height)

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self._data.nbytes

    def black(self, bounds: Bounds) -> bool:
        """Whether a part of the screen is black, give or take what the codec adds."""
        b = _inner(bounds, self.size, self.screen)
        # Most are not, and one pixel says so: views by the dozen are asked for in each picture.
        if self._y[b.top, b.left] > BLACK_LUMA:
            return False
        part = self._y[b.top : b.bottom, b.left : b.right]
        return not ((part[::16, ::16] > BLACK_LUMA).any() or (part > BLACK_LUMA).any())

    def flat(self, bounds: Bounds) -> bool:
        """Whether a part of the screen is of one colour, give or take what the codec adds."""
        b = _inner(bounds, self.size, self.screen)
        halves = slice(b.top // 2, -(-b.bottom // 2)), slice(b.left // 2, -(-b.right // 2))
        return _even(self._y[b.top : b.bottom, b.left : b.right]) and _even(self._u[halves]) and _even(self._v[halves])

    def masked(self, covers: Iterable[Bounds], width: int, room: Room = bytearray) -> I420Canvas:
        """A copy with the covers burnt in. A video comes in about the wanted size: it is not scaled to `width`. `room`
        gives so many bytes for it."""
        burnt = I420Canvas(_copied(self._data, room), self.size, self.screen, self._origin)
        for cover in covers:
            drawn = _outer(cover, self.size, self.screen, SCALED)
            b = _grown(_blocks(drawn, BLOCK, self._origin), DEBLOCKED).intersect(self.whole)
            burnt._y[b.top : b.bottom, b.left : b.right] = COVER_LUMA
            b = _grown(_blocks(drawn, MACROBLOCK, self._origin), DEBLOCKED).intersect(self.whole)
            for plane in (burnt._u, burnt._v):
                plane[b.top // 2 : b.bottom // 2, b.left // 2 : b.right // 2] = COVER_CHROMA
        return burnt

    def changes(self, before: Canvas) -> tuple[Bounds, ...]:
        """Boxes of whole tiles outside which it is the same as `before` but for noise."""
        if not isinstance(before, I420Canvas) or before.size != self.size:
            return (self.whole,)
        tiles = _tiles(self._y, before._y, TILE)
        tiles |= _tiles(self._u, before._u, TILE // 2)
        tiles |= _tiles(self._v, before._v, TILE // 2)
        return tuple(box.intersect(self.whole) for box in _boxes(tiles, TILE))

    def unlike(self, before: Canvas, beside: Iterable[Bounds] = ()) -> float:
        """Which share of it a sparse look finds changed, not counting what is in `beside` (parts of the screen)."""
        if not isinstance(before, I420Canvas) or before.size != self.size:
            return 1.0
        now, then = self._sparse(), before._sparse()
        differs: NDArray[np.bool_] = np.maximum(now, then) - np.minimum(now, then) > SPIKE
        _forgive(differs, beside, self.size, self.screen)
        return float(np.count_nonzero(differs) / differs.size)

    def patched(self, boxes: Iterable[Bounds], source: Canvas) -> I420Canvas:
        """A copy that has what is in `boxes` from `source`."""
        assert isinstance(source, I420Canvas)
        made = I420Canvas(self._data.copy(), self.size, self.screen, self._origin)
        for box in boxes:
            for new, part in zip(made._parts(box), source._parts(box), strict=True):
                new[:] = part
        return made

    def webp(self, box: Bounds, quality: int) -> bytes:
        """The part in `box` as WebP, method 0, straight from the planes (FFmpeg's libwebp)."""
        import av

        frame: Any = av.VideoFrame(box.width, box.height, "yuv420p")
        for plane, part in zip(frame.planes, self._parts(box), strict=True):
            lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            lines[: part.shape[0], : part.shape[1]] = part
        codec: Any = av.CodecContext.create("libwebp", "w")
        codec.width, codec.height, codec.pix_fmt = box.width, box.height, "yuv420p"
        codec.time_base = Fraction(1, 1000)
        codec.options = {"quality": str(quality), "compression_level": "0"}
        return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))

    def digest(self, box: Bounds) -> bytes:
        """A hash of the pixels in `box`."""
        state = xxhash.xxh3_128(seed=box.width)
        for part in self._parts(box):
            state.update(np.ascontiguousarray(part).data)
        return state.digest()

    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3), by nearest chroma."""
        y = (self._y.astype(np.float32) - 16) * (255 / 219)
        u, v = (
            np.repeat(np.repeat(plane.astype(np.float32) - 128, 2, axis=0), 2, axis=1) * (255 / 224)
            for plane in (self._u, self._v)
        )
        red, green, blue = y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u
        pixels: NDArray[np.uint8] = np.rint(np.stack((red, green, blue), axis=2)).clip(0, 255).astype(np.uint8)
        return pixels

    def sketch(self) -> NDArray[np.uint8]:
        """The brightness of a pixel of every SKETCHED across and down."""
        return np.ascontiguousarray(self._y[::SKETCHED, ::SKETCHED])

    def _sparse(self) -> NDArray[np.uint8]:
        """A pixel of every SPARSE across and down; kept, for a picture is compared with many."""
        if self._looked is None:
            self._looked = np.ascontiguousarray(self._y[::SPARSE, ::SPARSE])
        return self._looked

    def _parts(self, box: Bounds) -> tuple[NDArray[np.uint8], ...]:
        rows, columns = slice(box.top // 2, box.bottom // 2), slice(box.left // 2, box.right // 2)
        return self._y[box.top : box.bottom, box.left : box.right], self._u[rows, columns], self._v[rows, columns]


def _copied(pixels: NDArray[np.uint8], room: Room) -> NDArray[np.uint8]:
    copy = np.frombuffer(room(pixels.nbytes), np.uint8).reshape(pixels.shape)
    copy[...] = pixels
    return copy


def canvas(frame: Frame, width: int) -> Canvas:
    """Decode a frame that is wanted `width` pixels wide, or wider. Raises FrameMalformed."""
    if frame.media_type == "image/x-i420":
        size = frame.size
        if size.width % 2 or size.height % 2 or len(frame.data) * 2 != size.width * size.height * 3:
            raise FrameMalformed("", "decode", f"{len(frame.data)} bytes for {size.width}x{size.height}")
        return I420Canvas(np.frombuffer(frame.data, np.uint8), size, frame.screen, frame.origin)
    jpeg = frame.size if frame.media_type == "image/jpeg" else None
    return RgbaCanvas(picture.decode(frame, width), frame.screen, jpeg=jpeg)


@lru_cache(maxsize=8)
def covered(screen: Size, width: int) -> RgbaCanvas:
    """A picture that shows nothing; made once, since fresh memory for it costs as much as half an encoded picture."""
    size = scaled(screen, width)
    return RgbaCanvas(np.full((size.height, size.width, 4), (COVER, COVER, COVER, 255), np.uint8), screen)


def scaled(size: Size, width: int) -> Size:
    """The size of a picture whose shorter side becomes `width`; it is never enlarged."""
    short = max(1, min(size.width, size.height))
    if short <= width:
        return size
    return Size(max(1, round(size.width * width / short)), max(1, round(size.height * width / short)))


def _outer(b: Bounds, size: Size, screen: Size, grow: int) -> Bounds:
    """The box of a picture that holds all pixels in which something of `b` may be, and `grow` more on each side."""
    across, down = size.width / max(1, screen.width), size.height / max(1, screen.height)
    if b.empty:
        return Bounds(0, 0, 0, 0)
    return Bounds(
        max(0, math.floor(b.left * across) - grow),
        max(0, math.floor(b.top * down) - grow),
        max(0, min(size.width, math.ceil(b.right * across) + grow)),
        max(0, min(size.height, math.ceil(b.bottom * down) + grow)),
    )


def _inner(b: Bounds, size: Size, screen: Size) -> Bounds:
    """The box of the pixels that lie wholly in `b`; of at least one, if there is any."""
    across, down = size.width / max(1, screen.width), size.height / max(1, screen.height)
    left, top = max(0, math.ceil(b.left * across)), max(0, math.ceil(b.top * down))
    right, bottom = min(size.width, math.floor(b.right * across)), min(size.height, math.floor(b.bottom * down))
    return Bounds(min(left, size.width - 1), min(top, size.height - 1), max(right, left + 1), max(bottom, top + 1))


def _forgive(differs: NDArray[np.bool_], beside: Iterable[Bounds], size: Size, screen: Size) -> None:
    """Set to False what of a sparse look lies wholly in parts of the screen."""
    for bounds in beside:
        b = _inner(bounds, size, screen)
        differs[-(-b.top // SPARSE) : -(-b.bottom // SPARSE), -(-b.left // SPARSE) : -(-b.right // SPARSE)] = False


def _even(part: NDArray[np.uint8]) -> bool:
    """Whether no value differs from another by more than noise, in each of the channels."""
    flat = part.reshape(-1, part.shape[2]) if part.ndim == 3 else part.reshape(-1, 1)
    return not bool((flat.max(axis=0) - flat.min(axis=0) > EVEN).any())


def _blocks(b: Bounds, side: int, origin: tuple[int, int] = (0, 0)) -> Bounds:
    """All blocks of which a pixel is in it; `origin` is where the first pixel of all is among them."""
    if b.empty:
        return b
    x, y = origin
    return Bounds(
        (b.left + x) // side * side - x, (b.top + y) // side * side - y,
        -(-(b.right + x) // side) * side - x, -(-(b.bottom + y) // side) * side - y,
    )  # fmt: skip


def _grown(b: Bounds, by: int) -> Bounds:
    return b if b.empty else Bounds(b.left - by, b.top - by, b.right + by, b.bottom + by)


def _boxes(flags: NDArray[np.bool_], tile: int) -> tuple[Bounds, ...]:
    """At most MAX_BOXES boxes that hold all that is set and do not overlap; each flag is `tile` pixels a side.

    A clock at the top and a line at the bottom are two small changes, not one as large as the screen: the box that
    gains most is cut in two where nothing is set, as long as that saves more than a picture costs.
    """
    rows, columns = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    if not rows.size:
        return ()
    least = APART_PIXELS // tile**2
    found = [_Cut.of(flags, int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)]
    while len(found) < MAX_BOXES:
        best = max(range(len(found)), key=lambda i: found[i].saves)
        if found[best].saves <= least:
            break
        found[best : best + 1] = found[best].parts(flags)
    return tuple(Bounds(c.left * tile, c.top * tile, c.right * tile, c.bottom * tile) for c in found)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A box of flags, and where it is best cut: `first` and `second` are the edges of an empty stretch across it."""

    top: int
    left: int
    bottom: int
    right: int
    saves: int
    down: bool
    first: int
    second: int

    @classmethod
    def of(cls, flags: NDArray[np.bool_], top: int, left: int, bottom: int, right: int) -> _Cut:
        part: NDArray[np.bool_] = flags[top:bottom, left:right]
        across, down = _stretch(np.flatnonzero(part.any(axis=0))), _stretch(np.flatnonzero(part.any(axis=1)))
        saved = (across[1] - across[0]) * (bottom - top), (down[1] - down[0]) * (right - left)
        first, second = down if saved[1] >= saved[0] else across
        return cls(top, left, bottom, right, max(saved), saved[1] >= saved[0], first, second)

    def parts(self, flags: NDArray[np.bool_]) -> tuple[_Cut, _Cut]:
        """Both sides of the cut, each as small as what is set in it."""
        if self.down:
            boxes = (
                (self.top, self.left, self.top + self.first, self.right),
                (self.top + self.second, self.left, self.bottom, self.right),
            )
        else:
            boxes = (
                (self.top, self.left, self.bottom, self.left + self.first),
                (self.top, self.left + self.second, self.bottom, self.right),
            )
        one, other = (_shrunk(flags, *box) for box in boxes)
        return _Cut.of(flags, *one), _Cut.of(flags, *other)


def _stretch(where: NDArray[np.intp]) -> tuple[int, int]:
    """The longest stretch in which nothing is set, `where` being what is."""
    gaps = np.diff(where)
    if not gaps.size:
        return 0, 0
    i = int(gaps.argmax())
    return int(where[i]) + 1, int(where[i + 1])


def _shrunk(flags: NDArray[np.bool_], top: int, left: int, bottom: int, right: int) -> tuple[int, int, int, int]:
    part = flags[top:bottom, left:right]
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return top + int(rows[0]), left + int(columns[0]), top + int(rows[-1]) + 1, left + int(columns[-1]) + 1


def _tiles(now: NDArray[np.uint8], then: NDArray[np.uint8], tile: int) -> NDArray[np.bool_]:
    """Which tiles differ by more than noise, (rows, columns); the last ones may be smaller."""
    height, width = now.shape
    changed = np.zeros((-(-height // tile), -(-width // tile)), np.bool_)
    touched = _touched(now, then, tile)
    if not touched.size:
        return changed
    here, there = _bands(now, tile), _bands(then, tile)
    if touched.size < here.shape[0]:
        here, there = here[touched], there[touched]
    differs = np.maximum(here, there)
    differs -= np.minimum(here, there)
    most = _most(differs, tile)
    found = most > SPIKE
    rows = np.flatnonzero(((most > NOISE) & ~found).any(axis=1))
    if rows.size:
        found[rows] |= _sums(differs[rows], tile) > MEAN_NOISE * tile**2
    edges = found & (most <= STRONG)
    rows = np.flatnonzero(edges.any(axis=1))
    if rows.size and np.count_nonzero(found) <= MOVING * changed.size:
        contrast = np.minimum(_contrast(here[rows], tile), _contrast(there[rows], tile))
        within = most[rows] <= np.maximum(SPIKE, contrast * EDGE_SHARE)
        within &= _sums(differs[rows], tile) <= np.maximum(MEAN_NOISE, contrast * EDGE_MEAN_SHARE) * tile**2
        found[rows] &= ~(edges[rows] & within)
    changed[touched] = found
    return changed


def _touched(now: NDArray[np.uint8], then: NDArray[np.uint8], tile: int) -> NDArray[np.intp]:
    """Which rows of tiles are not the same to the last bit: a codec sends nothing for most of a screen."""
    full = now.shape[0] // tile
    differs = (_octets(now, full, tile) != _octets(then, full, tile)).any(axis=1)
    if now.shape[0] % tile:
        rest = full * tile
        differs = np.append(differs, (now[rest:] != then[rest:]).any())
    return np.flatnonzero(differs)


def _octets(plane: NDArray[np.uint8], rows: int, tile: int) -> NDArray[np.uint64]:
    """So many rows of tiles, each as whole words; a tile is a multiple of 8 lines high."""
    return plane[: rows * tile].reshape(rows, tile * plane.shape[1]).view(np.uint64)


def _bands(plane: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    """The plane as rows of tiles, (rows, tile, width); its last line fills the last of them."""
    height, width = plane.shape
    if height % tile:
        plane = np.concatenate((plane, np.repeat(plane[-1:], -height % tile, axis=0)))
    # Reducing an axis of a reshaped array is vectorised, a list of slices is not: six times faster.
    return plane.reshape(-1, tile, width)


def _most(bands: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    """The greatest value of each tile."""
    most: NDArray[np.uint8] = np.maximum.reduceat(bands.max(axis=1), range(0, bands.shape[2], tile), axis=1)
    return most


def _sums(bands: NDArray[np.uint8], tile: int) -> NDArray[np.uint32]:
    """The sum of each tile."""
    columns = range(0, bands.shape[2], tile)
    total: NDArray[np.uint32] = np.add.reduceat(bands.sum(axis=1, dtype=np.uint16), columns, axis=1, dtype=np.uint32)
    return total


def _contrast(bands: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    """By how much the values of each tile differ."""
    return _most(bands, tile) - ~_most(~bands, tile)

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
import simplejpeg
from fakes.views import at
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from agent.model import Canvas
from agent.replay.canvas import (
    COVER,
    COVER_CHROMA,
    COVER_LUMA,
    MAX_BOXES,
    NOISE,
    SPIKE,
    I420Canvas,
    RgbaCanvas,
    canvas,
    covered,
    scaled,
)
from bridge.errors import FrameMalformed
from bridge.types import Bounds, Frame, MediaType, Size

SCREEN = Size(1080, 2400)
VIDEO = Size(540, 1200)


def rgba(size: Size = SCREEN, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 100, (size.height, size.width, 4), np.uint8)


def planes(size: Size = VIDEO, luma: int = 90) -> NDArray[np.uint8]:
    data = np.full(size.width * size.height * 3 // 2, 128, np.uint8)
    data[: size.width * size.height] = luma
    return data


def luma(data: NDArray[np.uint8], size: Size = VIDEO) -> NDArray[np.uint8]:
    return data[: size.width * size.height].reshape(size.height, size.width)


def frame(media_type: MediaType, data: bytes, size: Size, screen: Size = SCREEN) -> Frame:
    return Frame(at(0), 0, size, screen, 0, media_type, data, 1, "fake")


def grey(pixels: NDArray[np.uint8]) -> bool:
    return bool((np.abs(pixels.astype(int) - COVER) <= 1).all())


rectangles = st.builds(
    lambda x, y, w, h: Bounds(x, y, x + w, y + h),
    st.integers(-50, 1100),
    st.integers(-50, 2450),
    st.integers(1, 700),
    st.integers(1, 700),
)


@pytest.mark.parametrize("width", [540, 412, 500, 1080])
@given(rectangles)
def test_every_pixel_that_a_covered_one_is_drawn_into_is_covered(width: int, cover: Bounds) -> None:
    pixels = np.zeros((SCREEN.height, SCREEN.width, 4), np.uint8)
    inside = cover.intersect(Bounds(0, 0, *(SCREEN.width, SCREEN.height)))
    if not inside.empty:
        pixels[inside.top : inside.bottom, inside.left : inside.right, :3] = 255
    shown = RgbaCanvas(pixels).masked([cover], width).rgb()
    assert set(np.unique(shown)) <= {0, COVER}


@given(rectangles)
def test_a_video_is_covered_in_whole_blocks_and_beyond(cover: Bounds) -> None:
    shown = I420Canvas(planes(), VIDEO, SCREEN).masked([cover], 540)
    inside = cover.intersect(Bounds(0, 0, SCREEN.width, SCREEN.height))
    if inside.empty:
        return
    rgb = shown.rgb()
    # Whole blocks of 8 of what the scaler may have drawn it into, and what deblocking reaches of the next.
    left, top = max(0, (inside.left // 2 - 1) // 8 * 8 - 4), max(0, (inside.top // 2 - 1) // 8 * 8 - 4)
    right = min(540, -(-(-(-inside.right // 2) + 1) // 8) * 8 + 4)
    bottom = min(1200, -(-(-(-inside.bottom // 2) + 1) // 8) * 8 + 4)
    assert grey(rgb[top:bottom, left:right])
    rows, columns = np.nonzero((rgb != I420Canvas(planes(), VIDEO, SCREEN).rgb()[0, 0]).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (top, bottom - 1, left, right - 1)


def test_what_is_left_of_a_macroblock_has_no_colour() -> None:
    data = np.full(540 * 1200 * 3 // 2, 90, np.uint8)
    # Its left edge is in the second half of a macroblock that begins at 112.
    shown = I420Canvas(data, VIDEO, SCREEN).masked([Bounds(248, 400, 280, 440)], 540)
    found = []
    for plane in shown._parts(shown.whole):
        rows, columns = np.nonzero(plane != 90)
        found.append((columns.min(), columns.max() + 1, rows.min(), rows.max() + 1, *np.unique(plane[rows, columns])))
    assert found[0] == (116, 148, 188, 228, COVER_LUMA)
    assert found[1] == found[2] == (54, 74, 94, 114, COVER_CHROMA)


def test_the_blocks_of_a_video_that_was_cropped_begin_where_the_coded_picture_did() -> None:
    shown = I420Canvas(planes(), VIDEO, SCREEN, (6, 2)).masked([Bounds(200, 400, 240, 440)], 540)
    rows, columns = np.nonzero((shown.rgb() != shown.rgb()[0, 0]).any(axis=2))
    # 99 to 121 and 199 to 221, 6 and 2 pixels on among blocks of 8, and four more.
    assert (columns.min(), columns.max()) == (98 - 4, 122 + 3)
    assert (rows.min(), rows.max()) == (198 - 4, 222 + 3)
    assert shown.patched([], shown).masked([Bounds(200, 400, 240, 440)], 540).digest(shown.whole) == shown.digest(
        shown.whole
    )


def test_what_was_given_is_not_painted_on() -> None:
    pixels, data = rgba(), planes()
    before, drawn = pixels.copy(), data.copy()
    pixels.setflags(write=False)
    data.setflags(write=False)
    RgbaCanvas(pixels).masked([Bounds(0, 0, 500, 500)], 1080)
    I420Canvas(data, VIDEO, SCREEN).masked([Bounds(0, 0, 500, 500)], 540)
    assert (pixels == before).all()
    assert (data == drawn).all()


def test_a_change_is_found_where_it_is() -> None:
    pixels = rgba(VIDEO)
    other = pixels.copy()
    other[100:120, 30:77, 1] += 1
    one, two = RgbaCanvas(pixels, SCREEN), RgbaCanvas(other, SCREEN)
    assert two.changes(one) == (Bounds(16, 96, 80, 128),)
    assert one.changes(RgbaCanvas(pixels.copy(), SCREEN)) == ()
    assert one.changes(RgbaCanvas(rgba(Size(540, 1100)), SCREEN)) == (one.whole,)
    assert one.unlike(RgbaCanvas(rgba(VIDEO, 2), SCREEN)) > 0.9
    assert one.unlike(RgbaCanvas(pixels.copy(), SCREEN)) == 0
    assert one.unlike(RgbaCanvas(rgba(Size(540, 1100)), SCREEN)) == 1


def test_changes_far_apart_are_boxes_of_their_own() -> None:
    pixels = rgba(VIDEO)
    other = pixels.copy()
    for row, column in ((0, 0), (30, 7), (500, 20), (600, 500), (1100, 275)):
        other[row, column : column + 5] ^= 1
    found = RgbaCanvas(other, SCREEN).changes(RgbaCanvas(pixels, SCREEN))
    # The first two are so near each other that one picture costs less than two.
    assert set(found) == {
        Bounds(0, 0, 16, 32), Bounds(16, 496, 32, 512), Bounds(496, 592, 512, 608), Bounds(272, 1088, 288, 1104),
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 1199), st.integers(0, 539)), min_size=1, max_size=40))
def test_boxes_hold_all_that_changed_and_do_not_overlap(places: list[tuple[int, int]]) -> None:
    pixels = rgba(VIDEO)
    other = pixels.copy()
    for row, column in places:
        other[row, column] ^= 1
    boxes = RgbaCanvas(other, SCREEN).changes(RgbaCanvas(pixels, SCREEN))
    assert len(boxes) <= MAX_BOXES
    for row, column in places:
        held = [b for b in boxes if b.top <= row < b.bottom and b.left <= column < b.right]
        assert len(held) == bool((other[row, column] != pixels[row, column]).any()) or held
    assert all(one.intersect(two).empty for one, two in combinations(boxes, 2))
    patched = RgbaCanvas(pixels, SCREEN).patched(boxes, RgbaCanvas(other, SCREEN))
    assert (patched.rgb() == other[..., :3]).all()


@pytest.mark.parametrize("size", [VIDEO, Size(544, 1208), Size(62, 34)])
def test_a_change_of_a_video_is_more_than_noise(size: Size) -> None:
    data = planes(size)
    one = I420Canvas(data, size, SCREEN)
    noisy, changed, tinted, pale = data.copy(), data.copy(), data.copy(), data.copy()
    luma(noisy, size)[:] += 1
    luma(noisy, size)[::16, ::16] += SPIKE - 1
    luma(changed, size)[size.height - 1, size.width - 1] += SPIKE + 1
    tinted[-1] += SPIKE + 1
    # Pale letters on white: weak, but many pixels of it.
    luma(pale, size)[18:30, 18:30] += NOISE + 1
    assert I420Canvas(noisy, size, SCREEN).changes(one) == ()
    assert I420Canvas(noisy, size, SCREEN).unlike(one) == 0
    assert I420Canvas(pale, size, SCREEN).changes(one) == (Bounds(16, 16, 32, 32),)
    for other in (changed, tinted):
        (box,) = I420Canvas(other, size, SCREEN).changes(one)
        assert (box.right, box.bottom) == (size.width, size.height)
        assert box.left % 16 == box.top % 16 == 0
        assert max(box.width, box.height) <= 16
    assert one.changes(RgbaCanvas(rgba(size), SCREEN)) == (one.whole,)
    assert I420Canvas(planes(size, 200), size, SCREEN).unlike(one) == 1
    patched = one.patched(I420Canvas(changed, size, SCREEN).changes(one), I420Canvas(changed, size, SCREEN))
    assert (patched.rgb() == I420Canvas(changed, size, SCREEN).rgb()).all()


def test_at_edges_a_codec_is_further_off() -> None:
    """In a tile with letters of 200 on 40 a fifth of that is noise in few pixels, and a fortieth of it in all."""
    plain, text = planes(luma=40), planes(luma=40)
    luma(text)[20:24, 20:24] = 200

    def changed(before: NDArray[np.uint8], pixels: slice, by: int) -> bool:
        after = before.copy()
        luma(after)[pixels, pixels] += by
        boxes = I420Canvas(after, VIDEO, SCREEN).changes(I420Canvas(before, VIDEO, SCREEN))
        assert boxes in ((), (Bounds(16, 16, 32, 32),))
        return bool(boxes)

    one, all_of_them = slice(28, 29), slice(16, 32)
    assert not changed(text, one, 160 // 5)
    assert changed(text, one, 160 // 5 + 1)
    assert changed(plain, one, 160 // 5)
    assert not changed(text, all_of_them, 160 // 40)
    assert changed(text, all_of_them, 160 // 40 + 1)
    assert changed(plain, all_of_them, 160 // 40)
    # Letters that come and go, however pale.
    luma(text)[20:24, 20:24] = 60
    for one_way, other in ((plain, text), (text, plain)):
        assert I420Canvas(one_way, VIDEO, SCREEN).changes(I420Canvas(other, VIDEO, SCREEN))


@pytest.mark.parametrize("shown", [RgbaCanvas(rgba(VIDEO), SCREEN), I420Canvas(planes(), VIDEO, SCREEN)])
def test_a_part_becomes_a_picture_of_that_part(shown: Canvas) -> None:
    box = Bounds(32, 64, 132, 100)
    with Image.open(io.BytesIO(shown.webp(box, 80))) as image:
        assert (image.format, image.size) == ("WEBP", (100, 36))
        decoded = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decoded - shown.rgb()[64:100, 32:132]).mean() < 20
    assert shown.digest(box) != shown.digest(Bounds(32, 64, 68, 164)) != shown.digest(shown.whole)


def test_colours_of_a_video_survive() -> None:
    pytest.importorskip("av")
    import av

    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:32, :48], colours[:32, 48:], colours[32:, :48], colours[32:, 48:] = (
        (200, 30, 40), (20, 180, 60), (30, 60, 220), (250, 250, 250),
    )  # fmt: skip
    video = av.VideoFrame.from_ndarray(colours, format="rgb24").reformat(format="yuv420p")
    data = video.to_ndarray().reshape(-1)
    shown = I420Canvas(data, Size(96, 64), Size(96, 64))
    assert np.abs(shown.rgb().astype(int) - colours).mean() < 2
    with Image.open(io.BytesIO(shown.webp(shown.whole, 90))) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - colours).mean() < 6


def test_black_is_what_has_no_light() -> None:
    pixels = np.zeros((2400, 1080, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[1000, 500, 2] = 1
    shown = RgbaCanvas(pixels)
    assert shown.black(Bounds(0, 0, 1080, 1000))
    assert not shown.black(Bounds(400, 900, 600, 1100))
    data = planes(luma=17)
    luma(data)[500, 250] = 60
    video = I420Canvas(data, VIDEO, SCREEN)
    assert video.black(Bounds(0, 0, 1080, 998))
    assert not video.black(Bounds(400, 900, 600, 1100))
    assert video.black(Bounds(3, 3, 4, 4))


def test_frames_become_canvases() -> None:
    pixels = rgba()
    raw = canvas(frame("image/x-rgba", pixels.tobytes(), SCREEN), 540)
    assert (raw.size, raw.screen) == (SCREEN, SCREEN)
    video = canvas(frame("image/x-i420", planes().tobytes(), VIDEO), 540)
    assert (video.size, video.screen) == (VIDEO, SCREEN)
    assert (video.masked([Bounds(0, 0, 99, 99)], 540).rgb()[0, 0] == COVER).all()
    assert round(16 + COVER * 219 / 255) == COVER_LUMA


def test_a_jpeg_is_decoded_no_larger_than_wanted() -> None:
    picture = simplejpeg.encode_jpeg(np.full((2400, 1080, 3), 200, np.uint8), 80, "RGB")
    shown = canvas(frame("image/jpeg", picture, SCREEN), 540)
    assert (shown.size, shown.screen) == (VIDEO, SCREEN)
    assert canvas(frame("image/jpeg", picture, SCREEN), 541).size.width >= 541
    assert canvas(frame("image/jpeg", picture, SCREEN), 2000).size == SCREEN


@pytest.mark.parametrize(("size", "width"), [(SCREEN, 1080), (SCREEN, 540), (SCREEN, 412), (VIDEO, 540), (VIDEO, 300)])
@given(rectangles)
@settings(max_examples=20)
def test_what_rings_around_a_mask_of_a_jpeg_is_covered_too(size: Size, width: int, cover: Bounds) -> None:
    inside = cover.intersect(Bounds(0, 0, SCREEN.width, SCREEN.height))
    if inside.empty:
        return
    step = SCREEN.width // size.width
    inside = Bounds(inside.left // step, inside.top // step, -(-inside.right // step), -(-inside.bottom // step))
    pixels = np.full((size.height, size.width, 3), 250, np.uint8)

    def shown() -> Canvas:
        return canvas(frame("image/jpeg", simplejpeg.encode_jpeg(pixels, 80, "RGB", "420"), size), width)

    blank = shown()
    # Green and magenta by turns: as coarse in colour as in brightness.
    pixels[inside.top : inside.bottom, inside.left : inside.right] = (0, 255, 0)
    pixels[inside.top : inside.bottom : 2, inside.left : inside.right] = (255, 0, 255)
    drawn = shown()
    assert (drawn.masked([cover], width).rgb() == blank.masked([cover], width).rgb()).all()


@pytest.mark.parametrize(
    ("size", "length"), [(Size(540, 1200), 100), (Size(541, 1200), 541 * 1800), (Size(540, 1200), 540 * 1800 + 1)]
)
def test_planes_of_another_length_are_refused(size: Size, length: int) -> None:
    with pytest.raises(FrameMalformed):
        canvas(frame("image/x-i420", bytes(length), size), 540)


def test_sizes_keep_their_shape_and_never_grow() -> None:
    assert scaled(Size(2400, 1080), 540) == Size(1200, 540)
    assert scaled(Size(320, 480), 540) == Size(320, 480)
    assert covered(Size(2400, 1080), 540).size == Size(1200, 540)
    assert grey(covered(Size(100, 50), 540).rgb())


def test_flat_is_what_has_one_colour_but_for_noise() -> None:
    pixels = np.full((SCREEN.height, SCREEN.width, 4), 200, np.uint8)
    pixels[100:104, 50:54, :3] = 90
    pixels[300, 300, 1] += NOISE
    shown = RgbaCanvas(pixels)
    assert not shown.flat(Bounds(40, 90, 60, 110))
    assert shown.flat(Bounds(60, 90, 400, 400))
    data = planes()
    luma(data)[20:22, 20:22] += 40
    video = I420Canvas(data, VIDEO, VIDEO)
    assert not video.flat(Bounds(0, 0, 40, 40))
    assert video.flat(Bounds(0, 40, VIDEO.width, VIDEO.height))
    data[-1] ^= 0x40
    assert not video.flat(video.whole)


def test_a_picture_that_is_shrunk_is_masked_anew_each_time() -> None:
    pixels = np.full((80, 40, 4), 255, np.uint8)
    canvas = RgbaCanvas(pixels)
    first = canvas.masked([Bounds(0, 0, 40, 20)], 20)
    second = canvas.masked([Bounds(0, 60, 40, 80)], 20)
    assert (first.rgb()[:10] == COVER).all()
    assert (second.rgb()[:10] == 255).all()
    assert (second.rgb()[-10:] == COVER).all()
    assert (pixels == 255).all()

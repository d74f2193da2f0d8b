import io
import struct

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bridge import picture
from bridge.errors import FrameMalformed
from bridge.picture import Display
from bridge.types import Frame, MediaType, Rotation, Size, Stamp

WARNING = b"WARNING: linker: libdvm.so has text relocations\n[Warning] Multiple displays were found\n"
BEGAN, ENDED = Stamp(1_000, 1), Stamp(3_000, 3)


def painted(width: int, height: int) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    return pixels


def screencap(pixels: NDArray[np.uint8], words: int = 4, pixel_format: int = 1) -> bytes:
    height, width, _ = pixels.shape
    return struct.pack(f"<{words}I", width, height, pixel_format, *([1] * (words - 3))) + pixels.tobytes()


def png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def jpeg(width: int, height: int) -> bytes:
    grey = np.full((height, width, 3), 90, np.uint8)
    return bytes(simplejpeg.encode_jpeg(grey, quality=80, colorspace="RGB"))


def framed(size: Size, data: bytes, media_type: MediaType) -> Frame:
    return picture.frame(BEGAN, ENDED, size, memoryview(data), media_type, Display(size), "test")


@pytest.mark.parametrize("words", [3, 4])
@pytest.mark.parametrize("prefix", [b"", WARNING])
def test_raw(words: int, prefix: bytes) -> None:
    pixels = painted(6, 9)
    size, data = picture.raw(prefix + screencap(pixels, words))
    assert size == Size(6, 9)
    assert data.tobytes() == pixels.tobytes()


def test_raw_is_not_copied() -> None:
    data = bytearray(screencap(painted(4, 4)))
    _, view = picture.raw(data)
    data[16] ^= 0xFF
    assert view[0] == data[16]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 15,
        screencap(painted(6, 9))[:-1],
        screencap(painted(6, 9)) + b"\n",
        screencap(painted(6, 9), pixel_format=4),
        struct.pack("<4I", 0, 0, 1, 1),
        struct.pack("<4I", 60_000, 60_000, 1, 1) + b"\0" * 64,
        WARNING,
        b"screencap: permission denied\n",
    ],
)
def test_bad_raw(data: bytes) -> None:
    with pytest.raises(FrameMalformed):
        picture.raw(data)


def test_bad_raw_speaks_in_the_devices_words() -> None:
    with pytest.raises(FrameMalformed, match="permission denied") as caught:
        picture.raw(b"screencap: permission denied\nmore", "SERIAL")
    assert caught.value.serial == "SERIAL"


@given(st.binary(max_size=300))
def test_raw_of_any_bytes_is_a_picture_or_an_error(data: bytes) -> None:
    try:
        size, pixels = picture.raw(data)
    except FrameMalformed:
        return
    assert len(pixels) == size.width * size.height * 4


@pytest.mark.parametrize("prefix", [b"", WARNING])
def test_png(prefix: bytes) -> None:
    pixels = painted(12, 7)
    size, data = picture.png(prefix + png(pixels))
    assert size == Size(12, 7)
    assert np.array_equal(picture.decode(framed(size, bytes(data), "image/png")), pixels)


@pytest.mark.parametrize("cut", [0, 20, 60, -1])
def test_cut_png(cut: int) -> None:
    with pytest.raises(FrameMalformed):
        picture.png(png(painted(12, 7))[:cut])


def test_absurd_png() -> None:
    data = bytearray(png(painted(12, 7)))
    data[16:24] = struct.pack(">II", 70_000, 70_000)
    with pytest.raises(FrameMalformed, match="70000x70000"):
        picture.png(bytes(data))


def test_png_broken_in_the_middle_fails_at_decode() -> None:
    data = bytearray(png(painted(64, 64)))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(FrameMalformed):
        picture.decode(framed(Size(64, 64), bytes(data), "image/png"))


def test_jpeg() -> None:
    data = jpeg(34, 18)
    size, view = picture.jpeg(data)
    assert size == Size(34, 18)
    pixels = picture.decode(framed(size, bytes(view), "image/jpeg"))
    assert pixels.shape == (18, 34, 4)
    assert abs(int(pixels[5, 5, 0]) - 90) < 3
    assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize(
    "data", [b"", b"null", jpeg(34, 18)[:-2], jpeg(34, 18)[:20] + b"\xff\xd9", b"\xff\xd8\xff\xd9"]
)
def test_bad_jpeg(data: bytes) -> None:
    with pytest.raises(FrameMalformed):
        picture.jpeg(data)


@given(st.binary(max_size=100))
def test_checks_of_any_bytes_are_a_size_or_an_error(data: bytes) -> None:
    for check, head in ((picture.png, picture.PNG_MAGIC), (picture.jpeg, picture.JPEG_MAGIC)):
        for given_data in (data, head + data, head + data + picture.JPEG_END):
            try:
                check(given_data)
            except FrameMalformed:
                continue


def test_jpeg_broken_in_the_middle_fails_at_decode() -> None:
    noise = bytes(simplejpeg.encode_jpeg(painted(64, 64)[..., :3].copy(), quality=80, colorspace="RGB"))
    data = noise[: len(noise) // 2] + picture.JPEG_END
    with pytest.raises(FrameMalformed):
        picture.decode(framed(Size(64, 64), data, "image/jpeg"))


def test_decode_checks_the_size_that_was_said() -> None:
    with pytest.raises(FrameMalformed):
        picture.decode(framed(Size(3, 3), b"\0" * 35, "image/x-rgba"))
    with pytest.raises(FrameMalformed, match="12x7"):
        picture.decode(framed(Size(7, 12), png(painted(12, 7)), "image/png"))


def test_decode_raw_is_the_same_memory() -> None:
    pixels = painted(5, 3)
    found = picture.decode(framed(Size(5, 3), pixels.tobytes(), "image/x-rgba"))
    assert np.array_equal(found, pixels)


def test_black() -> None:
    def black(pixels: NDArray[np.uint8]) -> bool:
        return picture.is_black(framed(Size(pixels.shape[1], pixels.shape[0]), pixels.tobytes(), "image/x-rgba"))

    pixels = np.zeros((200, 100, 4), np.uint8)
    pixels[..., 3] = 255
    assert black(pixels)
    pixels[199, 98, 2] = 1
    assert not black(pixels)
    assert not black(painted(70, 70))


def test_black_in_video_range_is_sixteen() -> None:
    size = Size(50, 80)

    def black(luma: int, chroma: int, last: int) -> bool:
        data = bytes([luma]) * 3999 + bytes([last]) + bytes([chroma]) * 2000
        return picture.is_black(framed(size, data, "image/x-i420"))

    assert black(16, 128, 16)
    assert black(17, 129, 18)
    assert not black(16, 128, 40)
    assert not black(30, 128, 16)
    assert not black(16, 140, 16)
    assert not black(16, 110, 16)


def test_frame_is_stamped_in_the_middle_of_its_bracket() -> None:
    frame = framed(Size(1, 1), b"\1\2\3\4", "image/x-rgba")
    assert (frame.stamp, frame.stamp.wall_ms, frame.bound_ns) == (Stamp(2_000, 2), 2, 1_000)
    assert frame.digest == framed(Size(1, 1), b"\1\2\3\4", "image/x-rgba").digest
    assert frame.digest != framed(Size(1, 1), b"\1\2\3\5", "image/x-rgba").digest


@pytest.mark.parametrize(
    ("seen", "size", "rotation"),
    [
        (0, Size(10, 20), 0),
        (2, Size(10, 20), 2),
        (3, Size(10, 20), 0),
        (0, Size(20, 10), 1),
        (3, Size(20, 10), 3),
        (3, Size(15, 15), 3),
    ],
)
def test_rotation_of_a_picture(seen: Rotation, size: Size, rotation: Rotation) -> None:
    assert Display(Size(10, 20), seen).rotation_of(size) == rotation


def test_a_display_whose_sides_have_changed() -> None:
    display = Display(Size(100, 200))
    for shown in (None, Size(100, 200), Size(200, 100)):
        display.resized(shown)
        assert display.natural == Size(100, 200)
    display.resized(Size(150, 180))
    assert display.natural == Size(150, 180)
    display.rotation = 3
    display.resized(Size(300, 170))
    assert display.natural == Size(170, 300)

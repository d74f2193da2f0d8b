from __future__ import annotations

import io

import numpy as np
import pytest
import xxhash
from PIL import Image

from agent.replay.canvas import RgbaCanvas, covered
from agent.replay.picture import KEPT, PictureEncoder, media_type
from bridge.types import Bounds, Size

BLANK = covered(Size(64, 128), 540)


def shade(by: int) -> RgbaCanvas:
    return RgbaCanvas(np.dstack((BLANK.rgb(), BLANK.rgb()[..., :1])) + np.uint8(by))


def test_a_picture_is_webp_named_by_its_bytes() -> None:
    picture = PictureEncoder().encode(BLANK, BLANK.whole)
    assert picture.media_type == media_type(picture.data) == "image/webp"
    assert picture.digest == xxhash.xxh3_128_hexdigest(picture.data)
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (64, 128)


def test_equal_pixels_are_encoded_once() -> None:
    encoder = PictureEncoder()
    first = encoder.encode(BLANK, BLANK.whole)
    assert encoder.encode(covered(Size(64, 128), 540), BLANK.whole) is first
    other = encoder.encode(shade(60), BLANK.whole)
    assert other.digest != first.digest


def test_equal_bytes_of_another_shape_are_another_picture() -> None:
    encoder = PictureEncoder()
    first = encoder.encode(BLANK, BLANK.whole)
    turned = encoder.encode(covered(Size(128, 64), 540), Bounds(0, 0, 128, 64))
    assert turned.digest != first.digest


def test_the_memory_is_bounded() -> None:
    encoder = PictureEncoder()
    first = encoder.encode(BLANK, BLANK.whole)
    for by in range(1, KEPT + 1):
        encoder.encode(shade(by), BLANK.whole)
    again = encoder.encode(BLANK, BLANK.whole)
    assert again is not first
    assert again == first


@pytest.mark.parametrize(
    ("kind", "name"), [("WEBP", "image/webp"), ("JPEG", "image/jpeg"), ("PNG", "image/png"), ("BMP", "")]
)
def test_media_types_by_first_bytes(kind: str, name: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, kind)
    assert media_type(out.getvalue()) == name
    assert media_type(b"") == ""

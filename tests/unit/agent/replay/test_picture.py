from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import xxhash
from fakes.views import DPI, at
from PIL import Image

from agent.replay.mask import blank
from agent.replay.picture import KEPT, PictureEncoder, media_type
from bridge.types import Size

BLANK = blank(at(0), Size(64, 128), DPI, 540, "no-picture")


def test_a_picture_is_webp_named_by_its_bytes() -> None:
    picture = PictureEncoder().encode(BLANK)
    assert picture.media_type == media_type(picture.data) == "image/webp"
    assert picture.digest == xxhash.xxh3_128_hexdigest(picture.data)
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (64, 128)


def test_equal_pixels_are_encoded_once() -> None:
    encoder = PictureEncoder()
    first = encoder.encode(BLANK)
    assert encoder.encode(replace(BLANK, pixels=BLANK.pixels.copy())) is first
    other = encoder.encode(replace(BLANK, pixels=BLANK.pixels + np.uint8(60)))
    assert other.digest != first.digest


def test_equal_bytes_of_another_shape_are_another_picture() -> None:
    encoder = PictureEncoder()
    first = encoder.encode(BLANK)
    turned = encoder.encode(replace(BLANK, pixels=BLANK.pixels.reshape(64, 128, 3)))
    assert turned.digest != first.digest


def test_the_memory_is_bounded() -> None:
    encoder = PictureEncoder()
    first = encoder.encode(BLANK)
    for shade in range(1, KEPT + 1):
        encoder.encode(replace(BLANK, pixels=BLANK.pixels + np.uint8(shade)))
    again = encoder.encode(BLANK)
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

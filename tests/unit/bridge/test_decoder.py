from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fakes.h264 import HEIGHT, WIDTH, drawn, encoded, split
from numpy.typing import NDArray

from bridge.decoder import Decoder, Picture, available
from bridge.errors import FrameMalformed
from bridge.h264 import KEY_SLICE, SLICE, START, AccessUnit, nals
from bridge.types import Bounds, Size

pytest.importorskip("av")
AREA = WIDTH * HEIGHT
COUNT = 20


@pytest.fixture(scope="module")
def units() -> list[AccessUnit]:
    """Twenty pictures, each on the one before, with key pictures at 0 and 10."""
    return split(b"".join(encoded([drawn(number) for number in range(COUNT)], keys=10)))


def decoded(units: list[AccessUnit]) -> list[bytes]:
    decoder = Decoder()
    pictures = [decoder.decode(unit.data, unit.key) for unit in units]
    return [picture.planes()[1] for picture in pictures if picture is not None]


def luma_of(planes: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(planes, np.uint8)[:AREA].reshape(HEIGHT, WIDTH)


def test_there_is_a_decoder() -> None:
    assert available()


def test_each_unit_is_a_picture_at_once_and_the_right_one(units: list[AccessUnit]) -> None:
    planes = decoded(units)
    assert len(planes) == COUNT
    assert all(len(picture) == AREA * 3 // 2 for picture in planes)
    for number, picture in enumerate(planes):
        # BT.601 video range of a grey.
        grey = 16 + (30 + 12 * (number % 16)) * 219 / 255
        assert abs(luma_of(picture)[: HEIGHT // 4 - 4].mean() - grey) < 3
    assert all(one != other for one, other in pairwise(planes))


def test_planes_have_no_padding_and_a_part_is_cut_out(units: list[AccessUnit]) -> None:
    narrow = split(b"".join(encoded([drawn(3, 50, 70)])))
    picture = Decoder().decode(narrow[0].data, True)
    assert picture is not None
    size, planes = picture.planes()
    assert (size, len(planes)) == (Size(50, 70), 50 * 70 * 3 // 2)
    luma = np.frombuffer(planes, np.uint8)[: 50 * 70].reshape(70, 50)
    assert np.array_equal(luma, picture.luma())
    part, cut = picture.planes(Bounds(10, 20, 30, 60))
    assert part == Size(20, 40)
    assert np.array_equal(np.frombuffer(cut, np.uint8)[:800].reshape(40, 20), luma[20:60, 10:30])
    blue, red = (np.frombuffer(planes, np.uint8)[3500 + 875 * at :][:875].reshape(35, 25) for at in (0, 1))
    assert np.array_equal(np.frombuffer(cut, np.uint8)[800:1000].reshape(20, 10), blue[10:30, 5:15])
    assert np.array_equal(np.frombuffer(cut, np.uint8)[1000:].reshape(20, 10), red[10:30, 5:15])


def test_who_paints_on_the_planes_paints_on_no_later_picture(units: list[AccessUnit]) -> None:
    clean = decoded(units)
    decoder = Decoder()
    for unit, expected in zip(units, clean, strict=True):
        picture = decoder.decode(unit.data, unit.key)
        assert picture is not None
        assert not picture.luma().flags.writeable
        planes = bytearray(picture.planes()[1])
        assert planes == expected
        planes[:AREA] = bytes(AREA)


@pytest.mark.parametrize("lost", range(1, COUNT))
def test_after_a_lost_picture_there_is_none_until_the_next_key_picture(units: list[AccessUnit], lost: int) -> None:
    clean = decoded(units)
    decoder = Decoder()
    for number, unit in enumerate(units):
        if number == lost:
            continue
        if lost < number < 10 or 10 <= lost < number:
            with pytest.raises(FrameMalformed, match="lost"):
                decoder.decode(unit.data, unit.key)
        else:
            picture = decoder.decode(unit.data, unit.key)
            assert picture is not None
            assert picture.planes()[1] == clean[number]


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_half_a_picture_is_an_error_and_no_mush_follows(units: list[AccessUnit], cut: float) -> None:
    clean = decoded(units)
    decoder = Decoder()
    right = []
    for number, unit in enumerate(units):
        data = unit.data[: int(len(unit.data) * cut)] if number == 5 else unit.data
        try:
            picture = decoder.decode(data, unit.key)
        except FrameMalformed:
            continue
        assert picture is not None
        assert picture.planes()[1] == clean[number]
        right.append(number)
    assert right == [*range(5), *range(10, COUNT)]


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_picture_without_one_of_its_slices_is_an_error(lost: int) -> None:
    units = split(b"".join(encoded([drawn(number) for number in range(6)], slices="4")))
    decoder = Decoder()
    for number, unit in enumerate(units):
        parts = [(kind, START + body) for kind, body in nals(unit.data)]
        slices = [part for kind, part in parts if kind in (SLICE, KEY_SLICE)]
        assert len(slices) == 4
        if number < 3:
            assert decoder.decode(unit.data, unit.key) is not None
            continue
        data = unit.data if number > 3 else b"".join(part for _, part in parts if part is not slices[lost])
        with pytest.raises(FrameMalformed):
            decoder.decode(data, unit.key)


def test_what_an_encoder_writes_besides_is_passed_over(units: list[AccessUnit]) -> None:
    decoder = Decoder()
    odd = START + b"\x06\x05\xff\xff\xff" + START + b"\x1e\x01\x02"
    planes = [decoder.decode(odd + unit.data, unit.key).planes()[1] for unit in units]
    assert planes == decoded(units)


def test_what_comes_after_foreign_bytes_waits_for_a_key_picture(units: list[AccessUnit]) -> None:
    decoder = Decoder("SERIAL")
    decoder.decode(units[0].data, True)
    with pytest.raises(FrameMalformed, match="SERIAL"):
        decoder.decode(units[1].data, False, broken=True)
    with pytest.raises(FrameMalformed):
        decoder.decode(units[2].data, False)
    assert isinstance(decoder.decode(units[10].data, True, broken=True), Picture)


def test_garbage_is_an_error() -> None:
    decoder = Decoder()
    for data in (b"", b"words", b"\0\0\1\x65\x80", b"\0\0\1\x67", bytes(100)):
        for key in (False, True):
            with pytest.raises(FrameMalformed):
                decoder.decode(data, key)


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuv420p10le"])
def test_other_samplings_and_depths_are_refused(pix_fmt: str) -> None:
    (unit, *_) = split(b"".join(encoded([drawn(1)], pix_fmt)))
    with pytest.raises(FrameMalformed, match="4:2:0"):
        Decoder().decode(unit.data, unit.key)


def colour_of(unit: AccessUnit) -> list[int]:
    picture = Decoder().decode(unit.data, unit.key)
    assert picture is not None
    planes = np.split(np.frombuffer(picture.planes()[1], np.uint8), [AREA, AREA * 5 // 4])
    return [round(float(plane.mean())) for plane in planes]


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (230, 20, 40), (20, 200, 60), (30, 60, 220)])
def test_full_range_and_the_matrix_of_hdtv_are_converted(rgb: tuple[int, int, int]) -> None:
    import av

    red, green, blue = (value / 255 for value in rgb)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = [16 + 219 * luma, 128 + 112 * (blue - luma) / 0.886, 128 + 112 * (red - luma) / 0.701]
    picture = np.full((HEIGHT, WIDTH, 3), rgb, np.uint8)
    for matrix, colour_range in (("ITU601", "MPEG"), ("ITU601", "JPEG"), ("ITU709", "MPEG"), ("ITU709", "JPEG")):
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        codec.options = {"preset": "superfast", "tune": "zerolatency", "qp": "1"}
        codec.colorspace = 1 if matrix == "ITU709" else 6
        codec.color_range = 2 if colour_range == "JPEG" else 1
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p",
            src_colorspace="ITU601",
            dst_colorspace=matrix,
            src_color_range="JPEG",
            dst_color_range=colour_range,
        )
        (unit,) = split(b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)]))
        found = colour_of(unit)
        assert max(abs(one - other) for one, other in zip(found, expected, strict=True)) <= 3, (matrix, colour_range)


def test_another_matrix_is_refused() -> None:
    (unit, *_) = split(b"".join(encoded([drawn(1)], matrix=9)))
    with pytest.raises(FrameMalformed, match="matrix 9"):
        Decoder().decode(unit.data, unit.key)

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import pytest
from PIL import Image

from agent.errors import RecordingError
from agent.replay.composite import GROUND, compose, label, picture_size
from agent.replay.playback import Box, Layer, State, View

WHITE, RED, BLUE = (255, 255, 255), (200, 0, 0), (0, 0, 200)


def png(color: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


STORED = {"base": png(WHITE, (100, 200)), "red": png(RED, (20, 40)), "blue": png(BLUE, (3, 3)), "broken": b"RIFF"}


def state(base: str = "base", layers: tuple[Layer, ...] = (), views: tuple[View, ...] = ()) -> State:
    return State(0, "", 50, 100, base, layers, views, (), {})


def pixel(image: Image.Image, x: int, y: int) -> object:
    return image.getpixel((x, y))


def test_the_base_fills_the_window() -> None:
    image = compose(state(), STORED.__getitem__, (100, 200))
    assert image.size == (100, 200)
    assert image.getcolors() == [(20_000, WHITE)]
    assert compose(state(), STORED.__getitem__, (40, 80)).getcolors() == [(3200, WHITE)]


def test_layers_lie_where_their_box_is_the_later_one_on_top() -> None:
    layers = Layer(13, Box(10, 20, 10, 20), "red"), Layer(14, Box(15, 20, 5, 5), "blue")
    image = compose(state(layers=layers), STORED.__getitem__, (100, 200))
    assert sorted(image.getcolors() or []) == [(100, BLUE), (700, RED), (19_200, WHITE)]
    assert pixel(image, 20, 40) == RED
    assert pixel(image, 19, 40) == WHITE
    assert pixel(image, 30, 40) == pixel(image, 39, 49) == BLUE
    assert pixel(image, 39, 50) == RED
    assert pixel(image, 40, 49) == WHITE


def test_a_picture_that_is_none_leaves_the_ground() -> None:
    image = compose(state("broken", (Layer(13, Box(0, 0, 10, 10), "broken"),)), STORED.__getitem__, (100, 200))
    assert image.getcolors() == [(20_000, GROUND)]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def head(side: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


@pytest.mark.parametrize(
    "data",
    [head(20_000) + chunk(b"IDAT", b""), head(9) + chunk(b"IDAT", b"x\x9c") + bytes(12), STORED["red"][:40]],
    ids=["too large", "a chunk that is none", "cut"],
)
def test_whatever_is_wrong_with_a_picture_leaves_the_ground(data: bytes) -> None:
    image = compose(state("base"), {"base": data}.__getitem__, (100, 200))
    assert image.getcolors() == [(20_000, GROUND)]
    picture_size(data)


@pytest.mark.parametrize("far", [1e5, 1e7, 1e308])
def test_of_a_box_of_any_size_the_window_is_drawn(far: float) -> None:
    boxes = Box(-far, -far, 2 * far, 2 * far), Box(far, far, far, far), Box(-far, 0, far, 10), Box(0, 0, far, 0)
    view = View(100, boxes[0], {"class": "v t", "aria-label": "Pay"}, "")
    for box in boxes:
        image = compose(state(layers=(Layer(13, box, "red"),)), STORED.__getitem__, (100, 200))
        assert image.getcolors() == [(20_000, RED if box is boxes[0] else WHITE)]
        assert compose(state("", views=(replace(view, box=box),)), STORED.__getitem__, (100, 200)).size == (100, 200)


def test_a_layer_is_stretched_to_a_box_of_any_width() -> None:
    stored = {**STORED, "odd": png(BLUE, (49, 49))}
    for side in range(1, 100):
        image = compose(state(layers=(Layer(13, Box(0, 0, side / 2, 1), "odd"),)), stored.__getitem__, (100, 200))
        assert (2 * side, BLUE) in (image.getcolors() or [])


def test_a_layer_that_leaves_the_window_is_cut_not_squeezed() -> None:
    halves = Image.new("RGB", (40, 40), RED)
    halves.paste(BLUE, (20, 0, 40, 40))
    out = io.BytesIO()
    halves.save(out, "PNG")
    stored = {**STORED, "halves": out.getvalue()}
    image = compose(state(layers=(Layer(13, Box(-10, 0, 40, 40), "halves"),)), stored.__getitem__, (100, 200))
    assert pixel(image, 0, 40) == pixel(image, 17, 40) == RED
    assert pixel(image, 22, 40) == pixel(image, 59, 79) == BLUE
    assert pixel(image, 60, 40) == pixel(image, 59, 80) == WHITE


def test_a_picture_that_is_missing_is_the_callers_error() -> None:
    def load(source: str) -> bytes:
        raise RecordingError(source)

    with pytest.raises(RecordingError):
        compose(state(), load, (100, 200))


def test_without_a_picture_views_are_drawn_with_their_words() -> None:
    button = View(100, Box(5, 10, 40, 20), {"class": "v t", "aria-label": "Pay now"}, "")
    image = compose(state("", views=(button,)), STORED.__getitem__, (300, 600))
    inside = image.crop((32, 62, 268, 178)).convert("L")
    assert inside.getextrema()[0] < 100
    outside = image.crop((0, 0, 300, 58)).convert("L")
    assert outside.getextrema()[0] > 200


def test_no_window_no_picture() -> None:
    assert compose(State(0, "", 0, 0, "base", (), (), (), {}), STORED.__getitem__, (10, 10)).getcolors() == [
        (100, GROUND)
    ]


def test_only_a_view_of_its_own_words_shows_them() -> None:
    box = Box(0, 0, 1, 1)
    assert label(View(1, box, {"class": "v t", "aria-label": "a"}, "")) == "a"
    assert label(View(1, box, {"class": "v", "aria-label": "a"}, "")) == ""
    assert label(View(1, box, {"class": "v t"}, "")) == ""


def test_the_size_in_a_header() -> None:
    assert picture_size(STORED["red"]) == (20, 40)
    assert picture_size(b"no picture") is None

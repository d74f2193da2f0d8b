from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from agent.replay import layers as layer_module
from agent.replay.canvas import I420Canvas, RgbaCanvas, covered
from agent.replay.layers import MAX_LAYERS, Layers, Stack
from agent.replay.picture import PictureEncoder
from bridge.types import Bounds, Size

SIZE = Size(80, 160)


def ground() -> NDArray[np.uint8]:
    return np.full((SIZE.height, SIZE.width, 4), 240, np.uint8)


def with_box(pixels: NDArray[np.uint8], box: Bounds, shade: int) -> NDArray[np.uint8]:
    changed = pixels.copy()
    changed[box.top : box.bottom, box.left : box.right, :3] = shade
    return changed


def composed(stack: Stack) -> NDArray[np.uint8]:
    """The stack as a player draws it."""
    with Image.open(io.BytesIO(stack.base.data)) as image:
        whole = np.array(image.convert("RGB"))
    for layer in stack.layers:
        with Image.open(io.BytesIO(layer.picture.data)) as image:
            b = layer.box
            whole[b.top : b.bottom, b.left : b.right] = np.asarray(image.convert("RGB"))
    return whole


def layers() -> Layers:
    return Layers(PictureEncoder(90))


def test_a_small_change_is_a_layer_of_its_box() -> None:
    to = layers()
    first = to.show(RgbaCanvas(ground()))
    assert not first.layers
    box = Bounds(10, 20, 30, 50)
    second = to.show(RgbaCanvas(with_box(ground(), box, 40)))
    assert second.base is first.base
    # The blocks of WebP that it reaches into.
    assert [layer.box for layer in second.layers] == [Bounds(0, 16, 32, 64)]
    assert to.show(RgbaCanvas(with_box(ground(), box, 40))) is second


def test_what_a_layer_hides_whole_is_dropped() -> None:
    to = layers()
    to.show(RgbaCanvas(ground()))
    small, large = Bounds(10, 20, 30, 50), Bounds(5, 10, 60, 60)
    to.show(RgbaCanvas(with_box(ground(), small, 40)))
    stack = to.show(RgbaCanvas(with_box(ground(), large, 90)))
    assert [layer.box for layer in stack.layers] == [Bounds(0, 0, 64, 64)]


def test_a_large_change_is_a_key_picture() -> None:
    to = layers()
    first = to.show(RgbaCanvas(ground()))
    stack = to.show(RgbaCanvas(with_box(ground(), Bounds(0, 0, 80, 100), 40)))
    assert not stack.layers
    assert stack.base != first.base


def test_the_sixteenth_layer_is_a_key_picture() -> None:
    to = layers()
    pixels = np.full((1200, 540, 4), 240, np.uint8)
    first = to.show(RgbaCanvas(pixels))
    # So far apart that no two of them are worth one picture.
    spots = [Bounds(i % 2 * 500, i * 70, i % 2 * 500 + 10, i * 70 + 5) for i in range(MAX_LAYERS + 1)]
    for i, spot in enumerate(spots[:MAX_LAYERS]):
        pixels = with_box(pixels, spot, 30 + i)
        stack = to.show(RgbaCanvas(pixels))
        assert (stack.base, len(stack.layers)) == (first.base, i + 1)
    full = stack
    # A cover is a layer, too.
    assert not to.show(covered(Size(540, 1200), 540), covered=True).layers
    assert to.show(RgbaCanvas(pixels)) is full
    stack = to.show(RgbaCanvas(with_box(pixels, spots[MAX_LAYERS], 9)))
    assert not stack.layers


def test_an_earlier_state_comes_back_by_taking_layers_away() -> None:
    to = layers()
    dialog = RgbaCanvas(with_box(ground(), Bounds(10, 40, 70, 100), 60))
    first = to.show(RgbaCanvas(ground()))
    second = to.show(dialog)
    assert to.show(RgbaCanvas(ground())) is first
    assert to.show(dialog) is second


def test_a_covered_screen_lies_over_what_comes_back() -> None:
    to = layers()
    to.show(RgbaCanvas(ground()))
    before = to.show(RgbaCanvas(with_box(ground(), Bounds(10, 20, 30, 50), 40)))
    hidden = to.show(covered(SIZE, 540), covered=True)
    assert hidden.base is before.base
    assert hidden.layers[:-1] == before.layers
    assert hidden.layers[-1].box == Bounds(0, 0, 80, 160)
    assert to.show(RgbaCanvas(with_box(ground(), Bounds(10, 20, 30, 50), 40))) is before
    to.show(covered(SIZE, 540), covered=True)
    # What is shown after the cover lies on what was there before it, not on the cover.
    changed = with_box(ground(), Bounds(0, 0, 5, 5), 1)
    after = to.show(RgbaCanvas(changed))
    assert after.base is before.base
    assert all(layer.box != Bounds(0, 0, 80, 160) for layer in after.layers)
    assert np.abs(composed(after).astype(int) - changed[..., :3]).mean() < 2


def screen(seed: int) -> NDArray[np.uint8]:
    """A screen that is like no other."""
    return np.random.default_rng(seed).integers(0, 255, (SIZE.height, SIZE.width, 4), dtype=np.uint8)


def test_a_screen_that_was_left_comes_back_without_a_picture() -> None:
    to = layers()
    first = to.show(RgbaCanvas(screen(1)))
    with_dialog = to.show(RgbaCanvas(with_box(screen(1), Bounds(10, 20, 30, 50), 40)))
    second = to.show(RgbaCanvas(screen(2)))
    assert second.base != first.base
    back = to.show(RgbaCanvas(with_box(screen(1), Bounds(10, 20, 30, 50), 40)))
    assert back is with_dialog
    almost = to.show(RgbaCanvas(with_box(screen(2), Bounds(40, 100, 50, 110), 9)))
    assert (almost.base, [layer.box for layer in almost.layers]) == (second.base, [Bounds(32, 96, 64, 112)])


def test_only_the_last_screens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_module, "KEPT_BYTES", 4 * screen(0).nbytes)
    to = layers()
    shown = [to.show(RgbaCanvas(screen(n))) for n in range(6)]
    assert to.show(RgbaCanvas(screen(1))) is shown[1]
    assert to.show(RgbaCanvas(screen(0))) is not shown[0]


def test_what_small_changes_add_up_to_is_drawn() -> None:
    size = Size(64, 640)
    to = layers()
    base = np.full(64 * 640 * 3 // 2, 100, np.uint8)
    base[64 * 640 :] = 128
    to.show(I420Canvas(base, size, size))
    shown = []
    for step in range(1, 4):
        faded = base.copy()
        # To the one before it is noise, to what was encoded it is not for long. Elsewhere each is another picture.
        faded[: 64 * 16] += 2 * step
        faded[64 * 560 : 64 * 564] = 100 + 40 * step
        shown.append(to.show(I420Canvas(faded, size, size)))
    assert [any(layer.box.top == 0 for layer in stack.layers) for stack in shown] == [False, True, True]


def test_another_size_starts_anew() -> None:
    to = layers()
    to.show(RgbaCanvas(ground()))
    stack = to.show(covered(Size(160, 80), 540))
    assert (stack.size, stack.layers) == (Size(160, 80), ())


changes = st.lists(
    st.one_of(
        st.none(),
        st.tuples(
            st.integers(0, 70), st.integers(0, 150), st.integers(1, 80), st.integers(1, 160), st.integers(0, 220)
        ),
    ),
    max_size=30,
)


@given(changes)
def test_the_stack_always_shows_the_screen(run: list[tuple[int, int, int, int, int] | None]) -> None:
    to = layers()
    pixels = ground()
    to.show(RgbaCanvas(pixels))
    for change in run:
        if change is None:
            stack = to.show(covered(SIZE, 540), covered=True)
            assert np.abs(composed(stack).astype(int) - 128).max() < 4
            continue
        x, y, w, h, shade = change
        pixels = with_box(pixels, Bounds(x, y, x + w, y + h), shade)
        stack = to.show(RgbaCanvas(pixels))
        assert len(stack.layers) <= MAX_LAYERS
        assert np.abs(composed(stack).astype(int) - pixels[..., :3]).mean() < 4

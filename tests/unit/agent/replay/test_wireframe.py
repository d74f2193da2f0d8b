from __future__ import annotations

import numpy as np
from fakes.views import EDIT, SCREEN, app, tree, view

from agent.replay.wireframe import wireframe
from bridge.types import Size


def test_words_stand_inside_their_own_box() -> None:
    long = view(100, 300, 400, 380, EDIT, text="a very long text that needs much more room than that" * 3)
    with_words = wireframe(tree(app(long)), SCREEN)
    without = wireframe(tree(app(view(100, 300, 400, 380, EDIT))), SCREEN)
    assert with_words.shape == (2400, 1080, 4)
    changed = (with_words != without).any(axis=2)
    assert changed.any()
    changed[300:380, 100:400] = False
    assert not changed.any()


def test_odd_bounds_and_words_are_drawn_or_left_out() -> None:
    odd = [
        view(-50, -50, 20, 5000, text="x"),
        view(10, 10, 10, 30, text="x"),
        view(99, 99, 90, 90, text="x"),
        view(2000, 10, 3000, 30, text="outside"),
        view(5, 5, 60, 30, text="\ud800 broken é 漢字\n"),
    ]
    drawn = wireframe(tree(app(*odd)), Size(100, 200))
    assert drawn.shape == (200, 100, 4)
    assert drawn.dtype == np.uint8


def test_the_description_of_a_picture_is_not_drawn_in_it() -> None:
    for cls, drawn in (("android.widget.ImageView", False), ("android.view.View", True)):
        described = wireframe(tree(app(view(100, 300, 400, 380, cls, desc="Anna Bell"))), SCREEN)
        plain = wireframe(tree(app(view(100, 300, 400, 380, cls))), SCREEN)
        assert (described != plain).any() == drawn

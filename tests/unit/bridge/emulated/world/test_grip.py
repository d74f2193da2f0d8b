from __future__ import annotations

import numpy as np
import pytest
from fakes.live import Live

from bridge.emulated.world import grip, shop
from bridge.emulated.world.views import View, Window
from bridge.types import Bounds


def private(window: Window, view: View) -> bool:
    return window.package != shop.PACKAGE or view.cls.endswith("EditText") or bool(view.private)


class Hand(Live):
    """A lively world and a person's finger on it."""

    def __init__(self, *acts: str) -> None:
        super().__init__("still-list", private)
        for act in acts:
            self.world.act(act)
        self.go(1)

    def finger(self, kind: str, x: float, y: float) -> None:
        self.world.touch(kind, 0, x, y, injected=False)

    def secret(self) -> Bounds:
        """Around all private pixels but those of the bars."""
        part = self.world.pixels()[40:760, :, :3].astype(int)
        rows, columns = np.nonzero(np.minimum(part[..., 0], part[..., 2]) - part[..., 1] > 24)
        if not rows.size:
            return Bounds(0, 0, 0, 0)
        return Bounds(columns.min(), rows.min() + 40, columns.max() + 1, rows.max() + 41)


def test_the_foot_of_the_screen_lifts_the_app_off_what_runs_beneath() -> None:
    hand = Hand()
    told = hand.world.dump_xml()
    assert hand.secret().empty
    hand.finger("down", 180, 792)
    hand.finger("move", 180, 500)
    assert hand.secret().height > 200
    assert hand.world.dump_xml() == told
    hand.finger("up", 180, 500)
    hand.go(0.1)
    assert hand.secret().height > 20
    hand.go(grip.BACK_S)
    assert hand.secret().empty


@pytest.mark.parametrize(("x", "to"), [(5, 150), (355, 200)])
def test_a_side_of_the_screen_moves_the_app_aside(x: float, to: float) -> None:
    hand = Hand()
    hand.finger("down", x, 400)
    hand.finger("move", to, 400)
    assert 40 < hand.secret().width <= 64
    hand.finger("cancel", to, 400)
    hand.go(grip.BACK_S + 0.1)
    assert hand.secret().empty


def test_a_small_window_goes_with_the_finger_and_then_to_a_side() -> None:
    hand = Hand("float")
    there = hand.world.find("player")
    assert there == Bounds(12, 120, 172, 220)
    hand.finger("down", 90, 170)
    hand.finger("move", 250, 400)
    assert hand.secret() == Bounds(172, 350, 332, 450)
    assert hand.world.find("player") == there
    hand.finger("up", 250, 400)
    hand.go(0.1)
    assert 172 < hand.secret().left < 188
    hand.go(grip.BACK_S)
    assert hand.world.find("player") == hand.secret() == Bounds(188, 350, 348, 450)


def test_the_text_of_a_field_is_magnified_and_taken_along() -> None:
    hand = Hand("go:checkout", "focus:card-number", "fill")
    field = hand.world.find("card-number")
    assert field is not None
    keys = hand.world.pixels()
    hand.finger("down", 100, field.top + 20)
    hand.go(0.1)
    assert (hand.world.pixels()[110 : field.top - 4] == keys[110 : field.top - 4]).all()
    hand.go(0.3)
    assert hand.secret().top == field.top - 58
    hand.finger("move", 180, 320)
    assert hand.secret().top == field.top
    assert hand.world.pixels()[320, 130, 1] < 100
    hand.finger("up", 180, 320)
    hand.go(0.4)
    assert hand.secret().top == field.top


def test_a_list_is_stretched_at_its_end_by_a_finger_and_by_what_is_left_of_its_speed() -> None:
    hand = Hand("go:chat")
    calm = hand.world.pixels()
    hand.finger("down", 180, 300)
    hand.finger("move", 180, 480)
    low = hand.secret()
    assert (hand.world.pixels() != calm).any()
    hand.finger("up", 180, 480)
    hand.go(0.6)
    assert (hand.world.pixels()[110:] == calm[110:]).all()
    assert low.top > hand.secret().top
    for y in (500, 300, 100):
        hand.finger("down" if y == 500 else "move", 180, y)
    hand.finger("up", 180, 100)
    hand.go(3)
    for y in (100, 300, 500):
        hand.finger("down" if y == 100 else "move", 180, y)
    hand.finger("up", 180, 500)
    strained = False
    for _ in range(40):
        hand.go(0.05)
        strained = strained or "absorb" in hand.world._moving
    assert strained
    assert (hand.world.pixels()[110:] == calm[110:]).all()


def test_what_scrolls_is_drawn_longer_from_the_end_that_it_hangs_on() -> None:
    pane = View((0, 100, 300, 500), scrolls=True, children=[View((0, 100, 300, 200)), View((0, 400, 300, 500))])
    root = View((0, 0, 300, 600), children=[pane])
    for by, edges in ((0.1, (100, 210, 430, 540)), (-0.1, (60, 170, 390, 500))):
        drawn = grip.stretched(root, by).children[0].children
        assert [edge for view in drawn for edge in view.box[1::2]] == pytest.approx(edges)
    assert root.children[0].children[0].box == (0, 100, 300, 200)


def test_under_another_window_nothing_is_taken() -> None:
    windows = [Window(shop.PACKAGE, View((0, 0, 360, 800))), Window("other", View((0, 400, 360, 800)))]
    windows[0].root.add(View((0, 300, 360, 700), scrolls=True))
    assert grip.taken(windows, 100, 500, (360, 800), True, False) is None
    held = grip.taken(windows, 100, 350, (360, 800), True, False)
    assert held is not None
    assert held.kind == "list"
    assert grip.taken(windows, 100, 350, (360, 800), False, False) is None

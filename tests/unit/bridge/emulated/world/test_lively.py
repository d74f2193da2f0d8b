from __future__ import annotations

import numpy as np
import pytest
from fakes import live

from bridge.emulated.world import hazards, shop, system
from bridge.emulated.world.views import View, Window
from bridge.types import Bounds

SECRET = (255, 0, 255)


def private(window: Window, view: View) -> bool:
    return window.package != shop.PACKAGE or view.cls.endswith("EditText")


class Live(live.Live):
    """One whose private pixels are counted."""

    def __init__(self, scenario: str = "still-list", marked: bool = True) -> None:
        super().__init__(scenario, private if marked else None)

    def secret(self, left: int, top: int, right: int, bottom: int) -> float:
        """The share of private pixels in a part of the picture."""
        part = self.world.pixels()[top:bottom, left:right, :3].astype(int)
        return float((np.minimum(part[..., 0], part[..., 2]) - part[..., 1] > 24).mean())


def test_private_views_are_drawn_in_their_own_colours_and_nothing_else_is() -> None:
    live = Live("still-checkout")
    field = live.world.find("card-number")
    assert field is not None
    assert live.secret(field.left, field.top, field.right, field.bottom) == 1
    assert live.secret(0, field.bottom, 24, 700) == 0
    assert Live("still-list").secret(0, 40, 360, 760) == 0


def test_without_marks_a_screen_has_its_own_colours() -> None:
    live = Live("still-list", marked=False)
    assert not (live.world.pixels()[..., :3] == SECRET).all(axis=2).any()


def test_a_screen_slides_in_while_its_tree_stands_at_the_end() -> None:
    live = Live()
    live.world.act("go:checkout")
    live.go(0.1)
    assert live.world.find("card-number") == Bounds(24, 142, 336, 190)
    assert live.secret(24, 142, 60, 190) == 0
    assert live.secret(300, 142, 336, 190) > 0.5
    live.go(0.5)
    assert live.secret(24, 142, 60, 190) == 1
    assert not live.world.animating


def test_a_keyboard_comes_and_goes_by_the_lower_edge_and_no_tree_tells_of_its_leaving() -> None:
    live = Live("still-login")
    live.world.act("focus:email")
    live.go(0.05)
    assert any(window.package == system.INPUT for window in live.world.windows())
    assert live.secret(0, 500, 360, 520) == 0
    live.go(0.5)
    assert live.secret(0, 520, 360, 770) == 1
    live.world.act("key:done")
    live.go(0.05)
    assert not any(window.package == system.INPUT for window in live.world.windows())
    assert live.secret(0, 740, 360, 770) == 1
    live.go(0.5)
    assert live.secret(0, 560, 360, 770) == 0


def test_a_key_shows_its_letter_above_the_keyboard_while_it_is_down() -> None:
    live = Live("still-login")
    live.world.act("focus:email")
    live.go(0.5)
    key = live.world.find("key:5")
    assert key is not None
    above = (key.left, key.top - 40, key.right, key.top - 20)
    assert live.secret(*above) == 0
    live.world.touch("down", 0, key.left + 5, key.top + 5)
    assert live.secret(*above) == 1
    live.world.touch("up", 0, key.left + 5, key.top + 5)
    live.go(0.2)
    assert live.secret(*above) == 0


def test_a_notification_drops_in_from_above() -> None:
    live = Live()
    live.world.notify("Dr. Vale: hello")
    live.go(0.08)
    assert "Dr. Vale" in live.world.dump_xml().decode()
    assert live.secret(20, 90, 340, 120) == 0
    live.go(0.5)
    assert live.secret(20, 45, 340, 120) > 0.9


def test_another_app_is_drawn_before_the_tree_tells_of_it() -> None:
    live = Live()
    live.world.act("mail")
    assert live.world.foreground[0] == shop.PACKAGE
    live.go(0.04)
    assert live.secret(0, 740, 360, 776) > 0
    assert live.world.foreground[0] == shop.PACKAGE
    live.go(0.5)
    assert live.world.foreground[0] == hazards.MAIL
    assert hazards.SUBJECTS[0] in live.world.dump_xml().decode()
    live.world.act("back")
    live.go(0.5)
    assert live.world.foreground[0] == shop.PACKAGE


def test_a_turned_screen_shows_the_old_picture_for_a_moment() -> None:
    live = Live("still-checkout")
    before = live.world.pixels().copy()
    live.world.rotate(1)
    assert np.array_equal(live.world.pixels(), np.rot90(before))
    live.go(0.6)
    assert not np.array_equal(live.world.pixels(), np.rot90(before))
    assert live.world.pixels().shape == (360, 800, 4)


def test_a_carousel_moves_by_itself() -> None:
    live = Live()
    live.world.act("go:carousel")
    live.go(0.5)
    seen = live.world.revision
    live.go(4)
    assert live.world.revision > seen + 10


@pytest.mark.parametrize(("act", "words"), [("accounts", hazards.OWNER), ("coupon", hazards.COUPON)])
def test_a_dialog_comes_up_and_is_dismissed(act: str, words: str) -> None:
    live = Live()
    live.world.act(act)
    live.go(0.5)
    assert words in live.world.dump_xml().decode()
    live.world.act("back")
    assert words not in live.world.dump_xml().decode()
    live.go(0.5)
    assert live.secret(0, 40, 360, 760) == 0


def test_scenes_can_be_asked_for_by_the_time_at_which_they_were_there() -> None:
    live = Live()
    then = live.clock.boot_ns() - 1
    live.world.act("go:checkout")
    live.go(1)
    assert b"card-number" not in live.world.tree(live.world.at(then))
    assert b"card-number" in live.world.tree(live.world.at(live.clock.boot_ns()))
    assert live.world.at(0) is live.world.at(-1)
    assert b"status_bar" not in live.world.tree(live.world.at(then), only_active=True)


def test_a_careless_app_logs_what_was_typed() -> None:
    live = Live("still-login")
    live.world.act("fill")
    live.world.act("submit")
    logged = b"\n".join(record.text for record in live.records)
    assert hazards.TYPED[2].encode() in logged
    assert b"%20" in logged

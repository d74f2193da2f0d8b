from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.emulated.world.shop import (
    FIELDS,
    HEADER,
    NAVIGATION,
    PRODUCTS,
    STATUS,
    STRIP,
    State,
    screen,
    scroll_range,
)
from bridge.emulated.world.views import View, place
from bridge.types import Bounds

WIDTH, HEIGHT = 412.0, 914.0
SCREENS = ("splash", "login", "list", "product", "cart", "checkout", "pin", "done", "account")


def below(view: View) -> Iterator[View]:
    yield view
    for child in view.children:
        yield from below(child)


def shown(state: State, width: float = WIDTH, height: float = HEIGHT) -> dict[str, View]:
    """The views that can be seen, by what a tap on them does, their resource id, or their text."""
    clip = Bounds(0, 0, round(width), round(height))
    views = [placed.view for placed in place(screen(state, width, height), 1.0, clip)]
    return {name: view for view in views for name in (view.tap, view.res, view.text) if name}


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize(("width", "height"), [(412.0, 914.0), (914.0, 412.0)])
def test_every_screen_has_the_strip_and_keeps_the_bars_free(name: str, width: float, height: float) -> None:
    root = screen(State(name, cart=[1]), width, height)
    assert root.box == (0, 0, width, height)
    (strip,) = [view for view in below(root) if view.look == "timecode"]
    assert strip.box == (0, STATUS + HEADER, width, STATUS + HEADER + STRIP)
    taps = [view for view in below(root) if view.tap and not view.tap.startswith("product:")]
    assert all(view.box[1] >= STATUS for view in taps)


def test_the_nest_is_deep_as_react_native_makes_it() -> None:
    view, depth = screen(State("login"), WIDTH, HEIGHT), 0
    while len(view.children) == 1:
        view, depth = view.children[0], depth + 1
    assert depth >= 10


@pytest.mark.parametrize(
    ("name", "taps"),
    [
        ("splash", set()),
        ("login", {"focus:email", "focus:password", "signin"}),
        ("product", {"go:cart", "picture", "add"}),
        ("cart", {"go:checkout"}),
        ("checkout", {"focus:card-number", "focus:card-cvc", "focus:address", "pay"}),
        ("pin", {"approve"}),
        ("done", {"go:list"}),
        ("account", {"logout"}),
    ],
)
def test_what_can_be_tapped(name: str, taps: set[str]) -> None:
    assert {view.tap for view in below(screen(State(name), WIDTH, HEIGHT)) if view.tap} == taps


def test_the_list_has_every_product_and_the_tabs() -> None:
    taps = [view.tap for view in below(screen(State("list"), WIDTH, HEIGHT)) if view.tap]
    assert [tap for tap in taps if tap.startswith("product:")] == [f"product:{n}" for n in range(len(PRODUCTS))]
    assert {"go:list", "go:cart", "go:account"} <= set(taps)


def test_the_list_scrolls_to_its_last_product_and_no_further() -> None:
    last = f"product:{len(PRODUCTS) - 1}"
    limit = scroll_range(State("list"), HEIGHT)
    assert limit > 0
    assert last not in shown(State("list"))
    end = shown(State("list", scroll=limit))
    assert "product:0" not in end
    gap = (HEIGHT - NAVIGATION - 56) - end[last].box[3]
    assert 0 <= gap <= 40
    moved = shown(State("list", scroll=50.0))["product:0"].box[1]
    assert shown(State("list"))["product:0"].box[1] - moved == 50


@pytest.mark.parametrize("name", [name for name in SCREENS if name != "list"])
def test_no_other_screen_scrolls(name: str) -> None:
    assert scroll_range(State(name), HEIGHT) == 0
    assert scroll_range(State("list"), 10_000.0) == 0


@pytest.mark.parametrize("name", ["login", "checkout"])
def test_what_is_typed_is_shown_and_marked_private(name: str) -> None:
    typed = {key: f"secret {key}" for key, _, _ in FIELDS[name]}
    focus = FIELDS[name][0][0]
    views = shown(State(name, typed=typed, focus=focus))
    for key, label, password in FIELDS[name]:
        field = views[key]
        assert field.private == typed[key]
        assert field.text == ("•" * len(typed[key]) if password else typed[key])
        assert (field.password, field.hint, field.focused) == (password, label, key == focus)
    assert all(view.private == "" for view in below(screen(State(name), WIDTH, HEIGHT)))


def test_the_keyboard_is_there_for_a_field() -> None:
    assert not State("login").keyboard
    assert State("login", focus="email").keyboard


def test_the_cart_adds_up() -> None:
    views = shown(State("cart", cart=[0, 1, 1]))
    assert f"Total ${PRODUCTS[0][1] + 2 * PRODUCTS[1][1]}" in views
    assert "Total $0" in shown(State("cart"))
    assert "Cart 3" in shown(State("list", cart=[0, 1, 1]))


def test_a_product_and_its_pictures() -> None:
    name, price, colour = PRODUCTS[3]
    views = shown(State("product", product=3, picture=2))
    assert {name, f"${price}"} <= set(views)
    picture = views["picture"]
    assert (picture.look, picture.colour, picture.desc) == ("image", colour, "picture 3 of 3")

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil, floor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from fakes.views import (
    APP,
    APP_COLOR,
    DPI,
    EDIT,
    SCREEN,
    SCROLL,
    app,
    at,
    color,
    keyboard,
    painted,
    snapshot,
    status_bar,
    still,
    touch,
    tree,
    view,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.model import MaskedSnapshot, MaskLevel, Snapshot
from agent.privacy import Rules, rule
from agent.replay.canvas import COVER, RgbaCanvas, scaled
from agent.replay.mask import Masker, blank
from agent.replay.secrets import MAX_SECRETS
from bridge.types import Bounds, Node, NodeFlag, Rotation, Size

TITLE = view(0, 100, 1080, 240, text="Checkout")
EMAIL = view(40, 300, 1040, 420, EDIT, "anna@example.com", hint="Email")
NOTE = view(40, 500, 1040, 620, EDIT, "ring twice", hint="Note")
PASSWORD = view(40, 700, 1040, 820, EDIT, "hunter22", flags=NodeFlag.PASSWORD, desc="hunter22", hint="hunter22")
PAY = view(40, 900, 500, 1000, text="Pay", flags=NodeFlag.CLICKABLE)
FORM = app(TITLE, EMAIL, NOTE, PASSWORD, PAY)


def at_medium(taken: Snapshot, pixels: NDArray[np.uint8]) -> MaskedSnapshot:
    return Masker("medium", APP).snapshot(taken, RgbaCanvas(pixels), DPI)


def masked(*roots: Node, level: MaskLevel = "medium", package: str | None = APP) -> MaskedSnapshot:
    return Masker(level, package).snapshot(*still(*roots), DPI)


def region(result: MaskedSnapshot, bounds: Bounds, shrink: int = 0) -> NDArray[np.uint8]:
    """The part of a picture of half the size."""
    b = Bounds(max(0, bounds.left), max(0, bounds.top), bounds.right, bounds.bottom)
    return result.canvas.rgb()[
        b.top // 2 + shrink : -(-b.bottom // 2) - shrink, b.left // 2 + shrink : -(-b.right // 2) - shrink
    ]


def covered(result: MaskedSnapshot, node: Node) -> bool:
    part = region(result, node.bounds)
    return part.size > 0 and bool((part == COVER).all())


def visible(result: MaskedSnapshot, node: Node) -> bool:
    part = region(result, node.bounds, 2)
    return part.size > 0 and bool((part == color(node)).all())


def blocked(result: MaskedSnapshot) -> str:
    """The reason; checks that a blocked picture is one flat colour and says nothing else."""
    if result.blocked:
        assert (result.canvas.rgb() == COVER).all()
        assert result.nodes == ()
        assert [cover.rule for cover in result.covers] == [result.blocked]
    return result.blocked


def labels(result: MaskedSnapshot) -> list[str]:
    return [node.label for node in result.nodes if node.label]


def test_a_picture_is_half_the_size_and_shows_what_is_not_private() -> None:
    result = masked(FORM, status_bar())
    assert result.blocked == ""
    assert result.canvas.rgb().shape == (1200, 540, 3)
    assert result.canvas.rgb().dtype == np.uint8
    assert visible(result, TITLE)
    assert visible(result, PAY)
    assert tuple(result.canvas.rgb()[1000, 270]) == APP_COLOR


def test_it_is_told_when_its_views_had_been_read() -> None:
    s, canvas = still(app(PAY))
    assert s.after is not None
    after = replace(s.after, stamp=at(0.5), bound_ns=80_200_000)
    masker = Masker("medium", APP)
    assert masker.snapshot(replace(s, after=after), canvas, 440).read_ms == at(0.5).wall_ms + 81
    assert masker.tree(after, SCREEN, 440).read_ms == at(0.5).wall_ms + 81
    assert masker.snapshot(replace(s, after=None), canvas, 440).read_ms is None


@pytest.mark.parametrize(
    ("level", "private"),
    [
        ("light", {"anna@example.com", "hunter22"}),
        ("medium", {"anna@example.com", "ring twice", "hunter22"}),
        ("conservative", {"anna@example.com", "ring twice", "hunter22", "Checkout", "Pay"}),
    ],
)
def test_each_level_covers_its_views_and_no_other(level: MaskLevel, private: set[str]) -> None:
    result = masked(FORM, status_bar(), level=level)
    for node in (TITLE, EMAIL, NOTE, PASSWORD, PAY):
        assert covered(result, node) == (node.text in private), node.text
        assert visible(result, node) == (node.text not in private), node.text


def test_no_pixel_of_a_private_view_reaches_the_picture() -> None:
    result = masked(FORM, status_bar())
    for node in (EMAIL, NOTE, PASSWORD):
        assert not (result.canvas.rgb() == color(node)).all(axis=2).any()


def test_masks_do_not_bleed_when_the_scale_is_not_whole() -> None:
    masker = Masker("medium", APP, width=500)
    secret = view(101, 301, 333, 377, EDIT, "x")
    frame, picture = still(app(secret), status_bar())
    pixels = picture.rgb()
    pixels[..., :3] = 0
    pixels[301:377, 101:333, 0] = 255
    result = masker.snapshot(frame, picture, DPI)
    assert result.canvas.rgb().shape == (1111, 500, 3)
    reds = (result.canvas.rgb()[..., 0] > result.canvas.rgb()[..., 1]).sum()
    assert reds == 0


def test_the_pixels_given_are_not_painted_on() -> None:
    frame, picture = still(FORM, status_bar())
    pixels = picture.rgb()
    before = pixels.copy()
    Masker("medium", APP).snapshot(frame, picture, DPI)
    assert (pixels == before).all()


def test_read_only_pixels_are_fine() -> None:
    frame, _ = still(FORM, status_bar())
    pixels = painted(FORM)
    pixels.setflags(write=False)
    assert covered(Masker("medium", APP).snapshot(frame, RgbaCanvas(pixels), DPI), PASSWORD)


def test_labels_of_private_views_are_five_stars_whatever_their_length() -> None:
    long = view(40, 300, 1040, 420, EDIT, "a" * 200)
    empty = view(40, 500, 1040, 620, EDIT, "")
    result = masked(app(long, empty), status_bar())
    assert labels(result) == ["*****", "*****"]


def test_a_container_that_joins_its_childrens_words_says_nothing_of_a_private_child() -> None:
    open_box = view(0, 1200, 1080, 1300, children=[view(0, 1200, 500, 1300, text="Home")], desc="Home, 3 new")
    box = view(0, 200, 1080, 600, children=[TITLE, EMAIL], desc="Checkout, anna@example.com")
    result = masked(app(box, open_box), status_bar())
    assert not any("anna" in label for label in labels(result))
    assert "Home, 3 new" in labels(result)


@pytest.mark.parametrize("level", get_args(MaskLevel))
def test_a_container_that_draws_words_itself_is_covered_for_these(level: MaskLevel) -> None:
    """A row of Flutter's says in its description alone what is drawn in it, but for the button at its end."""
    button = view(940, 640, 1040, 760, "android.widget.Button", desc="Delete")
    said = "Anna Bell\nanna.bell@quill.example\n4485 2757 4230 8327"
    row = view(0, 600, 1080, 800, "android.view.View", desc=said, children=[button])
    joined = view(0, 900, 1080, 1000, "android.view.ViewGroup", desc="Saved cards, Delete", children=[
        view(0, 900, 500, 1000, text="Saved cards"), view(600, 900, 800, 1000, "android.widget.Button", desc="delete"),
    ])  # fmt: skip
    echo = view(0, 1100, 1080, 1300, desc="Sent to cart@quill.example", children=[view(900, 1100, 1000, 1200)])
    typed = view(0, 1400, 1080, 1500, EDIT, "cart@quill.example", hint="E-mail")
    result = masked(app(row, joined, echo, typed), status_bar(), level=level)
    assert covered(result, row)
    assert covered(result, echo)
    assert covered(result, joined) is False
    assert "Anna" not in repr(result.nodes)


def test_what_is_private_in_all_words_of_a_container_together_is_its_own() -> None:
    drawn = view(0, 600, 1080, 800, "android.view.View", desc="4111 1111 1111 1111, 1111", children=[
        view(900, 640, 1040, 760, text="1111"),
    ])  # fmt: skip
    joined = view(0, 900, 1080, 1000, "android.view.View", desc="Card, 4111 1111 1111 1111", children=[
        view(0, 900, 500, 1000, text="4111 1111 1111 1111"),
    ])  # fmt: skip
    result = masked(app(drawn, joined), status_bar())
    assert covered(result, drawn)
    assert covered(result, joined.children[0])
    assert not covered(result, joined)


@pytest.mark.parametrize("said", ["4485 2757 4230 8327", "3782 822463 10005", "DE89 3704 0044 0532 0130 00"])
@pytest.mark.parametrize("level", ["light", "medium"])
def test_a_number_whose_groups_are_views_of_their_own_is_covered(level: MaskLevel, said: str) -> None:
    groups = [view(i * 160, 300, i * 160 + 150, 380, text=part) for i, part in enumerate(said.split())]
    years = [view(i * 160, 500, i * 160 + 150, 580, text=str(2023 + i)) for i in range(4)]
    below = [view(0, 700 + i * 100, 150, 780 + i * 100, text=part) for i, part in enumerate(said.split())]
    result = masked(app(TITLE, *groups, *years, *below), status_bar(), level=level)
    assert all(covered(result, group) for group in groups)
    assert all(visible(result, each) for each in (TITLE, *years, *below))
    assert labels(result).count("*****") == len(groups)


def test_what_repeats_a_private_text_is_covered_too() -> None:
    echo = view(40, 1100, 1040, 1200, text="Signed in as anna@example.com.")
    other = view(40, 1300, 1040, 1400, text="Ask joanna")
    result = masked(app(EMAIL, echo, other), status_bar())
    assert covered(result, echo)
    assert visible(result, other)
    assert "Ask joanna" in labels(result)


def test_hint_and_description_of_a_password_field_are_not_told() -> None:
    layout = view(0, 650, 1080, 850, children=[PASSWORD], desc="Password, hunter22")
    result = masked(app(layout), status_bar(), level="light")
    assert "hunter22" not in repr(result)


def test_a_password_field_stays_one_when_its_content_is_shown() -> None:
    masker = Masker("light", APP)
    field = view(40, 700, 1040, 820, EDIT, "••••", flags=NodeFlag.PASSWORD, hint="Secret word")
    masker.snapshot(*still(app(TITLE, field), status_bar()), DPI)
    shown = replace(field, text="hunter22", flags=NodeFlag.VISIBLE)
    result = masker.snapshot(*still(app(TITLE, shown), status_bar(), seconds=1), DPI)
    assert covered(result, shown)


def test_a_screen_that_comes_again_is_judged_by_what_was_learnt_meanwhile() -> None:
    masker = Masker("light", APP)
    shown = view(40, 700, 1040, 820, EDIT, "hunter22", hint="Secret word")
    dots = replace(shown, text="••••••••", flags=NodeFlag.PASSWORD)
    masker.snapshot(*still(app(TITLE, shown), status_bar()), DPI)
    masker.snapshot(*still(app(TITLE, dots), status_bar(), seconds=1), DPI)
    result = masker.snapshot(*still(app(TITLE, shown), status_bar(), seconds=3), DPI)
    assert covered(result, shown)
    assert "hunter22" not in repr(result.nodes)


@pytest.mark.parametrize("name", ["android.webkit.WebView", "com.google.android.gms.maps.MapView"])
@pytest.mark.parametrize("level", get_args(MaskLevel))
def test_web_and_map_views_are_blocked_with_all_below(name: str, level: MaskLevel) -> None:
    inner = view(100, 300, 500, 400, text="balance 1234")
    web = view(0, 200, 1080, 1000, name, children=[inner])
    result = masked(app(TITLE, web), status_bar(), level=level)
    assert covered(result, web)
    assert "balance" not in repr(result.nodes)


def test_everything_outside_the_app_is_blocked() -> None:
    bar = status_bar()
    result = masked(app(TITLE, bounds=(0, 0, 1080, 2300)), bar)
    assert (result.canvas.rgb()[: bar.bounds.bottom // 2] == COVER).all()
    assert (result.canvas.rgb()[1150:] == COVER).all()
    assert {cover.rule for cover in result.covers} == {"system-ui", "outside-app"}


def test_a_keyboard_on_a_full_screen_sheet_hides_its_panel_and_the_letters_that_pop_up_above_it() -> None:
    keys = keyboard()
    result = masked(app(TITLE), status_bar(), keys)
    assert visible(result, TITLE)
    assert (result.canvas.rgb()[1650 // 2 :] == COVER).all()
    above = 72 * DPI // 160
    assert (result.canvas.rgb()[(1650 - above) // 2 :] == COVER).all()
    assert tuple(result.canvas.rgb()[(1640 - above) // 2, 270]) == APP_COLOR


def test_a_dialog_of_another_package_is_blocked() -> None:
    package = "com.google.android.permissioncontroller"
    text = view(150, 1000, 900, 1100, text="Allow?", package=package)
    dialog = view(100, 900, 980, 1500, children=[text], package=package)
    sheet = view(0, 0, 1080, 2400, children=[dialog], package=package)
    for root in (dialog, sheet):
        result = masked(app(TITLE, PAY), status_bar(), root)
        assert covered(result, dialog)
        assert visible(result, TITLE)


def test_a_heads_up_notification_is_blocked() -> None:
    package = "com.android.systemui"
    card = view(
        20, 80, 1060, 280, children=[view(40, 100, 900, 180, text="Mum: call me", package=package)], package=package
    )
    shade = view(0, 0, 1080, 2400, children=[view(0, 0, 1080, 2400, package=package), card], package=package)
    result = masked(app(PAY), shade)
    assert covered(result, card)
    assert visible(result, PAY)
    assert "Mum" not in repr(result)


def test_another_app_in_the_apps_own_window_is_blocked() -> None:
    guest = view(0, 1200, 1080, 1400, text="Rain at 5", package="com.other")
    result = masked(app(TITLE, guest), status_bar())
    assert covered(result, guest)
    assert "Rain" not in repr(result)


def test_a_dump_of_the_active_window_alone_hides_where_the_status_bar_is() -> None:
    result = masked(app(view(0, 0, 1080, 60, text="9:02 Mum: call me"), PAY))
    assert (result.canvas.rgb()[: 48 * DPI // 160 // 2] == COVER).all()
    assert visible(result, PAY)


def test_without_a_package_the_largest_app_is_shown() -> None:
    result = masked(app(TITLE, package=APP), status_bar(), keyboard(), package=None)
    assert visible(result, TITLE)
    assert (result.canvas.rgb()[1650 // 2 :] == COVER).all()


@pytest.mark.parametrize("package", ["com.android.systemui", "com.vendor.launcher3", "com.other"])
def test_no_window_of_the_app_blocks_all(package: str) -> None:
    assert blocked(masked(app(replace(TITLE, package=package), package=package))) == "not-app"


def test_a_tree_without_packages_blocks_all() -> None:
    bare = Node(Bounds(0, 0, 1080, 2400), "android.view.View", text="hello")
    assert blocked(masked(bare, package=None)) == "not-app"


def test_no_tree_blocks_all() -> None:
    pixels = painted(FORM)
    dump = tree(FORM)
    for before, after in ((None, dump), (dump, None), (None, None), (tree(), dump)):
        assert blocked(at_medium(snapshot(pixels, before, after), pixels)) == "no-tree"


def test_another_rotation_blocks_all() -> None:
    pixels = painted(FORM)
    dump, turned = tree(FORM), tree(FORM, rotation=1)
    for before, after in ((dump, turned), (turned, dump)):
        assert blocked(at_medium(snapshot(pixels, before, after), pixels)) == "rotation"
    turned_frame = snapshot(pixels, dump, dump, rotation=3)
    assert blocked(Masker("medium", APP).snapshot(turned_frame, RgbaCanvas(pixels), DPI)) == "rotation"


def test_a_tree_larger_than_the_picture_blocks_all() -> None:
    pixels = painted(FORM, size=Size(540, 1200))
    dump = tree(FORM)
    result = at_medium(snapshot(pixels, dump, dump), pixels)
    assert blocked(result) == "size"
    assert result.canvas.rgb().shape == (1200, 540, 3)


def test_pixels_of_another_shape_than_said_block_all() -> None:
    frame, _ = still(FORM, status_bar())
    for other in (RgbaCanvas(painted(FORM)[:-1]), RgbaCanvas(painted(FORM)[:1000], SCREEN)):
        assert blocked(Masker("medium", APP).snapshot(frame, other, DPI)) == "size"


def test_a_secure_window_is_named() -> None:
    frame, picture = still(FORM, status_bar())
    pixels = picture.rgb()
    pixels[63:, :, :3] = 0
    assert blocked(Masker("medium", APP).snapshot(frame, picture, DPI)) == "secure"
    pixels[2399, 1079, 2] = 1
    assert blocked(Masker("medium", APP).snapshot(frame, picture, DPI)) == ""


def test_dumps_that_do_not_enclose_the_picture_block_all() -> None:
    pixels = painted(FORM)
    early, late = tree(FORM, seconds=1), tree(FORM, seconds=3)
    assert blocked(at_medium(snapshot(pixels, early, late, 0.5), pixels)) == "unstable"
    assert blocked(at_medium(snapshot(pixels, early, late, 3.5), pixels)) == "unstable"


def test_a_private_view_that_moved_on_a_still_screen_blocks_all() -> None:
    pixels = painted(app(EMAIL))
    moved = replace(EMAIL, bounds=Bounds(40, 350, 1040, 470))
    before, after = tree(app(EMAIL), status_bar()), tree(app(moved), status_bar(), seconds=1)
    for a, b in ((before, after), (before, tree(app(), status_bar(), seconds=1))):
        assert blocked(at_medium(snapshot(pixels, a, b, 0.5), pixels)) == "unstable"


def test_a_private_view_that_moved_inside_a_scrolling_view_blocks_that() -> None:
    def scrolled(dy: int) -> Node:
        row = view(40, 900 - dy, 1040, 1000 - dy, text="Row")
        field = view(40, 1100 - dy, 1040, 1200 - dy, EDIT, "secret data")
        return app(TITLE, view(0, 300, 1080, 2000, SCROLL, children=[row, field], flags=NodeFlag.SCROLLABLE), PAY_BELOW)

    PAY_BELOW = view(40, 2100, 500, 2200, text="Pay")
    pixels = painted(scrolled(150))
    before, after = tree(scrolled(0), status_bar()), tree(scrolled(300), status_bar(), seconds=0.4)
    result = at_medium(snapshot(pixels, before, after, 0.2), pixels)
    assert result.blocked == ""
    assert (result.canvas.rgb()[150:1000] == COVER).all()
    assert visible(result, TITLE)
    assert visible(result, PAY_BELOW)


def test_a_scrolling_view_whose_content_was_replaced_is_blocked() -> None:
    def page(*words: str) -> Node:
        rows = [view(40, 400 + 150 * i, 1040, 500 + 150 * i, text=word) for i, word in enumerate(words)]
        return app(TITLE, view(0, 300, 1080, 2000, SCROLL, children=rows, flags=NodeFlag.SCROLLABLE))

    pixels = painted(page("c", "d"))
    far = tree(page("a", "b"), status_bar()), tree(page("x", "y"), status_bar(), seconds=0.4)
    near = tree(page("a", "b"), status_bar()), tree(page("b", "c"), status_bar(), seconds=0.4)
    assert (at_medium(snapshot(pixels, *far, 0.2), pixels).canvas.rgb()[150:1000] == COVER).all()
    assert not (at_medium(snapshot(pixels, *near, 0.2), pixels).canvas.rgb()[150:1000] == COVER).any(axis=2).any()


def test_masks_of_both_dumps_are_burnt_in() -> None:
    card = view(20, 80, 1060, 280, text="Mum", package="com.android.systemui")
    pixels = painted(app(PAY), card)
    before, after = tree(app(PAY), status_bar(), card), tree(app(PAY), status_bar(), seconds=0.4)
    for a, b in ((before, replace(after)), (replace(after, stamp=at(0)), replace(before, stamp=at(0.4)))):
        result = at_medium(snapshot(pixels, a, b, 0.2), pixels)
        assert covered(result, card)


def test_rows_of_a_view_that_has_just_come_stay_covered_while_its_screen_may_slide() -> None:
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(TITLE), status_bar(), seconds=0.6), DPI)
    form = app(TITLE, EMAIL, PAY)
    slid = painted(form)
    slid[300:420] = np.roll(slid[300:420], 200, axis=1)
    dump = tree(form, status_bar(), seconds=1)
    young = masker.snapshot(snapshot(slid, dump, replace(dump, stamp=at(1.4)), 1.2), RgbaCanvas(slid), DPI)
    assert not (young.canvas.rgb() == color(EMAIL)).all(axis=2).any()
    # Nor a little higher: a screen may shrink as it opens.
    above = 2400 // 16
    assert (young.canvas.rgb()[(300 - above) // 2 :] == COVER).all()
    assert (young.canvas.rgb()[60:70] == color(TITLE)).all()
    later = replace(dump, stamp=at(1.6))
    pixels = painted(form)
    assert visible(masker.snapshot(snapshot(pixels, later, later, 1.6), RgbaCanvas(pixels), DPI), PAY)


def test_a_keypad_is_blocked_and_a_calculator_is_not() -> None:
    keys = [
        view(100 + 250 * (i % 3), 1000 + 150 * (i // 3), 300 + 250 * (i % 3), 1100 + 150 * (i // 3), text=str(i))
        for i in range(10)
    ]
    pin = masked(app(TITLE, *keys), status_bar())
    assert all(covered(pin, key) for key in keys)
    assert not {"1", "2", "3"} & set(labels(pin))
    for sign in "×=":
        # It closes the screen, or takes a digit back.
        pin = masked(app(TITLE, *keys, view(850, 1000, 1000, 1100, text=sign)), status_bar())
        assert all(covered(pin, key) for key in keys)
    signs = [view(850, 1000 + 150 * i, 1000, 1100 + 150 * i, text=sign) for i, sign in enumerate("÷×-=")]
    calculator = masked(app(TITLE, *keys, *signs), status_bar())
    assert all(visible(calculator, key) for key in keys)


def test_the_days_of_a_calendar_are_no_keypad() -> None:
    days = [
        view(40 + 140 * (i % 7), 600 + 120 * (i // 7), 160 + 140 * (i % 7), 700 + 120 * (i // 7), text=str(i + 1))
        for i in range(30)
    ]
    shown = masked(app(TITLE, *days), status_bar())
    assert all(visible(shown, day) for day in days)
    # Where there is a zero, too, somebody may type.
    zero = view(40, 1800, 160, 1900, text="0")
    assert covered(masked(app(TITLE, *days, zero), status_bar()), days[0])


def test_a_keyboard_of_the_app_is_blocked_and_the_index_of_a_list_is_not() -> None:
    letters = "qwertyuiopasdfghjklzxcvbnm"
    rows = [letters[:10], letters[10:19], letters[19:]]
    keys = [
        view(10 + 105 * x, 1800 + 150 * y, 110 + 105 * x, 1940 + 150 * y, text=letter)
        for y, row in enumerate(rows)
        for x, letter in enumerate(row)
    ]
    index = [view(1020, 200 + 60 * i, 1060, 250 + 60 * i, text=c) for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")]
    heads = [view(40, 200 + 300 * i, 80, 260 + 300 * i, text=c) for i, c in enumerate("ABCDE")]
    shown = masked(app(TITLE, *index, *heads), status_bar())
    assert all(visible(shown, view) for view in (*index, *heads))
    for beside in ([], heads):
        hidden = masked(app(TITLE, *beside, *keys), status_bar())
        assert all(covered(hidden, key) for key in keys)


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("flag", [NodeFlag.FOCUSED, NodeFlag.SELECTED, NodeFlag.CHECKED])
@pytest.mark.parametrize("level", get_args(MaskLevel))
def test_which_key_of_a_keypad_has_the_focus_is_not_told(level: MaskLevel, flag: NodeFlag, boxed: bool) -> None:
    """A remote control types a PIN by moving it over the keys."""

    def nodes(focus: int) -> list[tuple[Bounds, NodeFlag]]:
        keys = []
        for d in range(1, 10):
            left, top = 100 + 300 * ((d - 1) % 3), 1000 + 200 * ((d - 1) // 3)
            flags = NodeFlag.VISIBLE | (flag if d == focus else NodeFlag.NONE)
            key = view(left, top, left + 220, top + 150, "android.widget.Button", text=str(d), flags=flags)
            keys.append(
                view(*key.bounds, children=[replace(key, flags=NodeFlag.VISIBLE)], flags=flags) if boxed else key
            )
        seen = Masker(level, APP).judged(tree(app(TITLE, *keys), status_bar()), SCREEN, DPI)
        return [(node.bounds, node.flags) for node in seen.nodes]

    assert nodes(4) == nodes(9)


def test_a_keypad_is_its_keys_and_not_what_stands_on_them() -> None:
    labels = [
        view(155 + 360 * (i % 3), 1075 + 200 * (i // 3), 205 + 360 * (i % 3), 1125 + 200 * (i // 3), text=str(i))
        for i in range(10)
    ]
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(TITLE, *labels), status_bar(), seconds=1), DPI)
    for x, y in ((5, 1005), (1075, 1005), (1075, 1590), (5, 1795), (500, 1100)):
        assert masker.touch(touch(1, "down", x, y)) is None
    assert masker.touch(touch(1, "down", 500, 950))
    # A touch may lie on the very edge of the screen, which the keys reach.
    assert masker.touch(touch(1, "down", 1080, 1300)) is None


def test_touches_where_one_types_are_dropped() -> None:
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(TITLE), status_bar(), seconds=1), DPI)
    masker.snapshot(*still(app(TITLE), status_bar(), keyboard(), seconds=5), DPI)
    masker.snapshot(*still(app(TITLE), status_bar(), seconds=9), DPI)
    assert masker.touch(touch(2, "down", 500, 1750))
    assert masker.touch(touch(4.5, "down", 500, 1750)) is None
    assert masker.touch(touch(6, "down", 505, 1810)) is None
    assert masker.touch(touch(6, "down", 500, 200))
    assert masker.touch(touch(9.5, "down", 500, 1750))
    assert masker.touch(touch(99, "down", 500, 1750), tree(app(TITLE), keyboard())) is None
    assert masker.touch(touch(99, "down", 500, 200), tree(app(TITLE), keyboard()))


def test_touches_on_a_screen_that_nobody_can_judge_are_dropped() -> None:
    masker = Masker("medium", APP)
    known = still(app(TITLE), status_bar(), seconds=1)
    masker.snapshot(*known, DPI)
    assert masker.touch(touch(3, "down"))
    masker.snapshot(replace(known[0], frame=replace(known[0].frame, stamp=at(4)), after=None), known[1], DPI)
    assert masker.touch(touch(2.9, "down"))
    assert masker.touch(touch(3.1, "down")) is None
    assert masker.touch(touch(60, "down")) is None
    masker.snapshot(*still(app(TITLE), status_bar(), seconds=70), DPI)
    assert masker.touch(touch(71, "down"))


def test_touches_on_a_secure_screen_are_dropped_and_the_tap_that_leads_there_is_not() -> None:
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(TITLE), status_bar(), seconds=1), DPI)
    shown, picture = still(app(TITLE), status_bar(), seconds=5)
    pixels = picture.rgb()
    pixels[..., :3] = 0
    assert masker.snapshot(shown, picture, DPI).blocked == "secure"
    assert masker.touch(touch(4.8, "down"))
    assert masker.touch(touch(5.2, "down")) is None


def test_touches_on_a_lock_screen_are_dropped_and_on_a_bar_are_not() -> None:
    package = "com.android.systemui"
    keys = [view(400, 900 + 100 * i, 500, 990 + 100 * i, text=str(i), package=package) for i in range(10)]
    lock = view(0, 0, 1080, 2400, children=[view(0, 0, 1080, 2400, children=keys, package=package)], package=package)
    masker = Masker("medium", APP)
    assert masker.touch(touch(1, "down", 450, 1295), tree(lock)) is None
    bar = view(
        0, 2274, 1080, 2400, children=[view(500, 2280, 600, 2400, desc="Home", package=package)], package=package
    )
    assert masker.touch(touch(1, "down", 550, 2300), tree(app(TITLE), status_bar(), bar))


def test_text_that_stood_in_a_masked_field_is_taken_out_of_later_texts() -> None:
    masker = Masker("medium", APP)
    assert masker.text("note: ring twice") == "note: ring twice"
    masker.snapshot(*still(FORM, status_bar()), DPI)
    assert masker.text("note: ring twice!") == "note: *****!"
    assert masker.event({"properties": {"where": "ring twice"}}) == {"properties": {"where": "*****"}}


def typing(*texts: str, flags: NodeFlag = NodeFlag.VISIBLE, hint: str = "Note") -> Masker:
    """A masker that saw one field with these texts, one after the other."""
    masker = Masker("medium", APP)
    for n, text in enumerate(texts):
        field = view(40, 300, 1040, 420, EDIT, text, hint=hint, flags=flags)
        masker.snapshot(*still(app(field), status_bar(), seconds=1 + n), DPI)
    return masker


def test_no_text_that_was_typed_on_the_way_breaks_the_whole_one() -> None:
    masker = typing("5 Ma", "Anna", "Anna B", "Anna Bell", "Anna Bell, 5 Main", "Anna Bell, 5 Main Street")
    assert masker.text("ship to Anna Bell, 5 Main Street today") == "ship to ***** today"
    assert masker.text("ship to Anna Bell") == "ship to *****"
    cleaned = masker.event({"event": "x", "properties": {"who": "Anna Bell", "to": "Anna Bell, 5 Main Street"}})
    assert cleaned["properties"] == {"who": "*****", "to": "*****"}
    words = "correct horse battery staple"
    masker = typing(*(words[:n] for n in (7, 13, 21, 28)), flags=NodeFlag.PASSWORD | NodeFlag.VISIBLE)
    assert masker.text(f"login with {words} failed") == "login with ***** failed"
    assert masker.name(f"login with {words} failed") == "login with ***** failed"


def test_a_long_message_crowds_no_password_out() -> None:
    masker = typing("correcthorse9", flags=NodeFlag.PASSWORD | NodeFlag.VISIBLE)
    masker.learn({"traits": {"email": "anna at home"}})
    message = " ".join(f"word{i}" for i in range(60))
    for n in range(4, len(message)):
        field = view(40, 1300, 1040, 1420, EDIT, message[:n], hint="Message", resource_id="message")
        masker.tree(tree(app(field), seconds=5 + n), SCREEN, DPI)
        masker.learn({"properties": {"query": message[:n], "address": message[:n]}})
    assert masker.text("login failed for correcthorse9 of anna at home") == "login failed for ***** of *****"
    assert masker.event({"properties": {"a": "correcthorse9"}}) == {"properties": {"a": "*****"}}


def test_a_password_is_known_longer_than_other_fields() -> None:
    masker = typing("correcthorse9", flags=NodeFlag.PASSWORD | NodeFlag.VISIBLE)
    for n in range(MAX_SECRETS):
        field = view(40, 1300, 1040, 1420, EDIT, f"note {n} of many", hint="Note", resource_id="note")
        masker.tree(tree(app(field), seconds=5 + n), SCREEN, DPI)
    assert masker.text("login failed for correcthorse9") == "login failed for *****"
    assert masker.event({"properties": {"a": "correcthorse9"}}) == {"properties": {"a": "*****"}}
    assert masker.name("login failed for correcthorse9") == "login failed for *****"


def test_what_stood_on_the_screen_some_screens_ago_is_starred_at_conservative() -> None:
    masker = Masker("conservative", APP)
    for n in range(8):
        rows = (view(0, 50 * i, 900, 50 * i + 40, text=f"Result {n}-{i} of the test") for i in range(40))
        masker.tree(tree(app(*rows), seconds=n), SCREEN, DPI)
    assert masker.text("shown: Result 0-3 of the test") == "shown: *****"
    assert masker.event({"properties": {"title": "Result 0-3 of the test"}}) == {"properties": {"title": "*****"}}


@pytest.mark.parametrize("name", ["row-anna-bell", "annaBellRow", "RowAnna Bell"])
def test_no_test_id_is_made_of_what_a_rule_hides(name: str) -> None:
    row = view(40, 500, 1040, 620, text="Pay", resource_id=name)
    who = view(40, 300, 1040, 420, text="Anna Bell", resource_id="com.example.shop:id/who")
    for masker in (ruled("mask text=Anna Bell"), ruled("mask id=who")):
        names = {n.resource_id for n in masker.snapshot(*still(app(row, who), status_bar()), DPI).nodes}
        assert not any("nna" in one for one in names), names
        later = masker.snapshot(*still(app(row), status_bar(), seconds=9), DPI)
        assert not any("nna" in n.resource_id for n in later.nodes)
        assert masker.event({"messageId": "row-anna-bell"}) == {"messageId": "row-anna-bell"}


def test_what_a_rule_hides_may_be_a_description_alone() -> None:
    who = view(40, 300, 1040, 420, "android.view.ViewGroup", desc="Anna Bell", resource_id="com.example.shop:id/who")
    box = view(40, 500, 1040, 620, "android.view.View", desc="Elm Road 5\nPay", resource_id="com.example.shop:id/box")
    pay = view(900, 520, 1000, 600, "android.view.View", desc="Pay")
    masker = ruled("mask id=who", "mask id=box")
    masker.snapshot(*still(app(who, replace(box, children=(pay,))), status_bar()), DPI)
    assert masker.text("hello anna bell, to Elm Road 5") == "hello *****, to *****"
    assert masker.event({"properties": {"who": "Anna Bell"}}) == {"properties": {"who": "*****"}}
    assert masker.text("Pay tapped") == "Pay tapped"
    strict = Masker("conservative", APP)
    strict.snapshot(*still(app(who), status_bar()), DPI)
    assert strict.text("hello anna bell") == "hello *****"


@pytest.mark.parametrize(
    "typed",
    [
        "my mail is anna@example.com and the door code is 99",
        "call +1 415 555 2671, gate 7, ask for Bell",
        "password: swordfish, tonight",
        "hunter2@home.net!x9",
        "pin=77 swordfish",
        "email=x nickname: y",
    ],
)
def test_no_pattern_breaks_what_was_typed(typed: str) -> None:
    for masker in (typing(typed), typing(typed, flags=NodeFlag.PASSWORD | NodeFlag.VISIBLE)):
        assert masker.text(f"note {typed} end") == "note ***** end"
        assert masker.event({"properties": {"n": f"is {typed}"}}) == {"properties": {"n": "is *****"}}
        assert masker.name(f"note {typed} end") == "note ***** end"


def test_no_rule_breaks_what_was_typed() -> None:
    masker = ruled("mask text=horse", "mask text=Bell")
    field = view(40, 300, 1040, 420, EDIT, "correct horse battery", hint="Note")
    masker.snapshot(*still(app(field), status_bar()), DPI)
    assert masker.text("with correct horse battery, Bell") == "with *****, *****"
    assert masker.event({"correct horse battery": "correct horse battery"}) == {"*****": "*****"}


@pytest.mark.parametrize("bounds", [(0, 0, 0, 0), (40, 300, 100, 420), (40, 420, 1040, 300)])
@pytest.mark.parametrize("cls", [EDIT, "android.webkit.WebView"])
def test_what_a_private_view_draws_beyond_itself_is_covered(bounds: tuple[int, int, int, int], cls: str) -> None:
    inner = view(40, 300, 1040, 420, text="ring twice")
    result = masked(app(TITLE, view(*bounds, cls, children=[inner])), status_bar())
    assert covered(result, inner)
    assert visible(result, TITLE)
    assert "ring" not in repr(result.nodes)


@pytest.mark.parametrize("bounds", [(0, 0, 0, 0), (100, 1200, 110, 1210)])
def test_windows_smaller_than_what_they_show_are_judged_all_the_same(bounds: tuple[int, int, int, int]) -> None:
    assert covered(masked(app(TITLE), app(PASSWORD, bounds=bounds), status_bar()), PASSWORD)
    guest = view(0, 1200, 1080, 1400, text="Mum: call me", package="com.other")
    foreign = view(*bounds, children=[guest], package="com.other")
    for roots in ((app(TITLE), foreign, status_bar()), (app(TITLE, foreign), status_bar())):
        result = masked(*roots)
        assert covered(result, guest)
        assert visible(result, TITLE)
        assert "Mum" not in repr(result)


@pytest.mark.parametrize("level", get_args(MaskLevel))
@pytest.mark.parametrize(
    "words", ["Signed in: anna@example.com", "Card 4111 1111 1111 1111", "Call +49 170 1234567", "PIN: 4711"]
)
def test_a_text_that_looks_private_is_covered_and_not_only_starred(words: str, level: MaskLevel) -> None:
    text = view(40, 300, 1040, 420, text=words)
    result = masked(app(TITLE, text), status_bar(), level=level)
    assert covered(result, text)
    assert visible(result, TITLE) == (level != "conservative")
    assert words not in labels(result)


def test_a_password_that_was_seen_is_on_no_later_screen() -> None:
    masker = Masker("light", APP)
    masker.snapshot(*still(app(TITLE, replace(PASSWORD, hint="Password")), status_bar()), DPI)
    later = view(40, 1100, 1040, 1200, text="Your login is HUNTER22.")
    result = masker.snapshot(*still(app(TITLE, later), status_bar(), seconds=2), DPI)
    assert covered(result, later)
    assert visible(result, TITLE)
    assert "HUNTER22" not in repr(result.nodes)


def test_conservative_tells_no_words_of_pictures_containers_and_names() -> None:
    photo = view(40, 300, 300, 500, "android.widget.ImageView", desc="Photo of Anna Bell")
    face = view(50, 610, 140, 690, "android.widget.ImageView")
    card = view(40, 600, 900, 700, "android.view.ViewGroup", desc="Anna Bell, online", children=[face])
    row = view(40, 800, 900, 900, "android.view.ViewGroup", resource_id="row Anna Bell", children=[PAY])
    result = masked(app(photo, card, row), status_bar(), level="conservative")
    assert "Anna" not in repr(result.nodes)
    assert visible(result, photo)
    # No view in it says these words: it draws them, beside the picture.
    assert covered(result, view(150, 600, 900, 700))
    assert not covered(result, face)


def test_classes_and_names_of_views_are_cleaned() -> None:
    odd = view(0, 100, 900, 200, "com.x.anna@example.com", text="a", resource_id="mail-anna@example.com")
    assert "anna" not in repr(masked(app(odd), status_bar()).nodes)


@pytest.mark.parametrize("typed", ["anna@exampl", "4111 1111 11", "0170 123"])
def test_light_covers_what_is_half_typed(typed: str) -> None:
    field = view(40, 300, 1040, 420, EDIT, typed, hint="Contact")
    assert covered(masked(app(field), status_bar(), level="light"), field)


def test_the_words_of_a_secure_window_over_others_are_not_told() -> None:
    code = view(150, 1000, 900, 1100, text="Recovery code ABCD")
    dialog = view(100, 900, 980, 1500, children=[code])
    pixels = painted(app(TITLE))
    pixels[900:1500, 100:980, :3] = 0
    dump = tree(app(TITLE), dialog, status_bar())
    result = at_medium(snapshot(pixels, dump, dump), pixels)
    assert labels(result) == ["Checkout", "*****"]
    assert visible(result, TITLE)


@pytest.mark.parametrize(
    "names",
    [
        ["0 +", "1", "2 ABC", "3\nDEF", "4 GHI", "5 J K L", "6, MNO", "7 PQRS", "8 TUV", "9 WXYZ"],
        [f"Digit {i}" for i in range(10)],
        [*"QWERTYUIOPASDFGHJKLZXCVBNM"],
    ],
)
def test_keys_are_known_by_what_else_they_say_and_so_is_a_keyboard_of_the_app(names: list[str]) -> None:
    keys = [
        view(100 * (i % 9), 1000 + 150 * (i // 9), 100 * (i % 9) + 90, 1100 + 150 * (i // 9), desc=name)
        for i, name in enumerate(names)
    ]
    masker = Masker("light", APP)
    result = masker.snapshot(*still(app(TITLE, *keys), status_bar()), DPI)
    assert all(covered(result, key) for key in keys)
    assert visible(result, TITLE)
    assert set(labels(result)) == {"Checkout", "*****"}
    assert masker.touch(touch(0.5, "down", 450, 1050)) is None


@pytest.mark.parametrize("unit", ["月", "ימים", "KG"])
def test_rows_with_one_unit_are_no_keypad(unit: str) -> None:
    rows = [view(40, 300 + 150 * i, 900, 400 + 150 * i, text=f"{i} {unit}") for i in range(10)]
    assert all(visible(masked(app(TITLE, *rows), status_bar()), row) for row in rows)
    pad = [
        replace(row, text=f"{i} {letters}")
        for i, (row, letters) in enumerate(zip(rows, "〇あかさたなはまやら", strict=True))
    ]
    assert all(covered(masked(app(TITLE, *pad), status_bar()), key) for key in pad)


def test_a_key_may_say_what_it_is_in_several_views() -> None:
    signs = ["0 +", "1", "2 ABC", "3 DEF", "4 GHI", "5 JKL", "6 MNO", "7 PQRS", "8 TUV", "9 WXYZ"]
    keys = []
    for i, sign in enumerate(signs):
        box = (100 * i, 1000, 100 * i + 90, 1100)
        keys.append(view(*box, desc=sign, children=[view(*box, desc=sign, children=[view(*box, text=sign)])]))
    assert all(covered(masked(app(TITLE, *keys), status_bar()), key) for key in keys)


def test_an_app_that_comes_back_is_not_shown_while_its_opening_is_drawn_over_another() -> None:
    masker = Masker("medium", APP)
    other = app(view(0, 500, 500, 600, text="Mum: call me", package="com.other"), package="com.other")
    masker.snapshot(*still(other, status_bar(), seconds=1), DPI)
    dump = tree(app(TITLE), status_bar(), seconds=1.1)
    pixels = painted(other)
    early = masker.snapshot(snapshot(pixels, dump, replace(dump, stamp=at(1.3)), 1.2), RgbaCanvas(pixels), DPI)
    assert blocked(early) == "settling"
    assert visible(masker.snapshot(*still(app(TITLE), status_bar(), seconds=1.7), DPI), TITLE)


def test_a_screen_that_comes_long_after_the_last_dump_is_shown_once_it_stands_still() -> None:
    masker = Masker("medium", APP)
    other = app(view(0, 500, 1080, 600, text="Your cart"))
    masker.snapshot(*still(other, status_bar(), seconds=1), DPI)
    dump = tree(app(TITLE), status_bar(), seconds=1.5)
    sliding, pixels = painted(other), painted(app(TITLE))
    early = snapshot(sliding, dump, replace(dump, stamp=at(1.6)), 1.55)
    early = replace(early, since=at(1.55), until=at(1.56))
    assert blocked(masker.snapshot(early, RgbaCanvas(sliding), DPI)) == "settling"
    calm = replace(snapshot(pixels, dump, replace(dump, stamp=at(1.9)), 1.8), since=at(1.65), until=at(1.85))
    assert visible(masker.snapshot(calm, RgbaCanvas(pixels), DPI), TITLE)


def test_inputs_of_a_screen_that_may_have_come_back_are_covered_wherever_they_slide() -> None:
    masker = Masker("medium", APP)
    card = view(40, 700, 1040, 820, EDIT, "4111", hint="Card")
    pay = view(40, 2100, 500, 2200, text="Pay")
    screen = app(TITLE, card, pay)
    masker.snapshot(*still(screen, status_bar(), seconds=1.1), DPI)
    dump = tree(screen, status_bar(), seconds=1.5)
    for change, seen in ((app(view(0, 500, 1080, 2000, text="Your cart")), False), (screen, True)):
        pixels = painted(change)
        frame = snapshot(pixels, dump, replace(dump, stamp=at(1.6)), 1.55)
        frame = replace(frame, since=at(1.55), until=at(1.56))
        result = masker.snapshot(frame, RgbaCanvas(pixels), DPI)
        assert blocked(result) == ""
        assert covered(result, card)
        assert covered(result, pay) is not seen
        masker.snapshot(*still(screen, status_bar(), seconds=1.1), DPI)


def slide(masker: Masker, one: Node, two: Node, secrets: Sequence[Node]) -> Iterator[tuple[float, MaskedSnapshot, int]]:
    """`two` comes in from the right in 450 ms while its tree stands in its place: when, what is shown, how much of the
    secrets is seen."""
    seconds = 1.0
    for _ in range(6):
        snap(masker, painted(one), one, seconds)
        seconds += 0.2
    old, new = painted(one), painted(two)
    for step in range(1, 10):
        gone = 0.06 * step + 0.05
        left = int(1080 * max(0.0, 1 - gone / 0.45)) // 2 * 2
        pixels = np.concatenate((old[:, 1080 - left :], new[:, : 1080 - left]), axis=1)
        shown = snap(masker, pixels, two, seconds + gone)
        rgb = shown.canvas.rgb()
        yield gone, shown, sum(int((rgb == color(secret)).all(axis=2).sum()) for secret in secrets)


def snap(masker: Masker, pixels: NDArray[np.uint8], root: Node, seconds: float) -> MaskedSnapshot:
    dumps = (tree(root, status_bar(), seconds=seconds + late) for late in (-0.03, 0.03))
    return masker.snapshot(snapshot(pixels, *dumps, seconds), RgbaCanvas(pixels), DPI)


def passenger(step: int, code: str, mail: str, scrolls: bool) -> tuple[Node, list[Node]]:
    secrets = [view(40, 460, 300, 580, EDIT, code, hint="CVC"), view(40, 680, 460, 740, text=mail)]
    views = [
        view(0, 100, 1080, 240, text=f"Passenger {step} of 2" if step else "Passenger"),
        *(view(40, top, 500, top + 40, text=text) for top, text in ((260, "Name"), (400, "Card code"), (620, "Mail"))),
        *secrets,
        *(view(40, top, 1040, top + 100, text=text) for top, text in ((1500, "Next"), (1700, "Cancel"))),
    ]
    body = [view(0, 90, 1080, 2300, SCROLL, children=views, flags=NodeFlag.SCROLLABLE)] if scrolls else views
    return app(*body), secrets


@pytest.mark.parametrize("scrolls", [False, True])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((1, "4711", "anna@example.com"), (2, "0815", "bell@example.org")),
        ((1, "4711", "anna@example.com"), (2, "4711", "anna@example.com")),
        ((0, "4711", "anna@example.com"), (0, "0815", "anna@example.com")),
        ((0, "4711", "anna@example.com"), (0, "", "anna@example.com")),
    ],
)
def test_a_screen_of_the_same_build_that_slides_in_shows_nothing_private(
    one: tuple[int, str, str], two: tuple[int, str, str], scrolls: bool
) -> None:
    (first, old), (second, new) = passenger(*one, scrolls), passenger(*two, scrolls)
    shown = list(slide(Masker("medium", APP), first, second, [*old, *(node for node in new if node.text)]))
    assert [(gone, seen) for gone, _, seen in shown if seen] == []
    assert blocked(shown[-1][1]) == ""
    assert not any(cover.rule == "settling" for cover in shown[-1][1].covers)


def test_results_that_change_under_a_search_stay_in_sight() -> None:
    def results(words: str, count: int) -> Node:
        rows = [
            view(0, 500 + 200 * n, 1080, 690 + 200 * n, text=f"item {n}", flags=NodeFlag.CLICKABLE)
            for n in range(count)
        ]
        return app(
            view(40, 260, 1040, 360, EDIT, words, hint="Search"),
            view(40, 380, 400, 430, text=f"{count} results"),
            view(0, 480, 1080, 2300, SCROLL, children=rows, flags=NodeFlag.SCROLLABLE),
        )

    masker = Masker("medium", APP)
    for n, (words, count) in enumerate((("", 8), ("s", 8), ("su", 7), ("sug", 5), ("suga", 4))):
        for part in range(3):
            root = results(words, count)
            shown = snap(masker, painted(root), root, 1 + 0.4 * n + 0.13 * part)
            assert blocked(shown) == ""
            assert n == 0 or not any(cover.rule == "settling" for cover in shown.covers)


@pytest.mark.parametrize(
    ("level", "rules", "secret"),
    [
        ("medium", None, view(40, 300, 1040, 420, EDIT, "ring twice", hint="Note")),
        ("medium", None, view(40, 300, 1040, 420, text="anna@example.com")),
        (
            "medium",
            Rules([rule("mask", "testid=secret")]),
            view(40, 300, 1040, 420, text="12,300", resource_id="secret"),
        ),
        ("conservative", None, view(40, 300, 1040, 420, text="12,300")),
    ],
)
@pytest.mark.parametrize("scrolls", [False, True])
def test_a_private_view_that_is_drawn_on_its_way_is_covered_on_all_of_it(
    level: MaskLevel, rules: Rules | None, secret: Node, scrolls: bool
) -> None:
    """The layout has it 300 px lower at once; its drawing gets there in 400 ms."""

    def at_height(top: int) -> tuple[Node, Node]:
        moved = replace(secret, bounds=Bounds(40, top, 1040, top + 120))
        views = [view(0, 100, 1080, 240, text="Title"), moved, view(0, 1500, 1080, 1600, text="foot")]
        body = [view(0, 90, 1080, 2300, SCROLL, children=views, flags=NodeFlag.SCROLLABLE)] if scrolls else views
        return app(*body), moved

    masker = Masker(level, APP, rules=rules)
    before, after = at_height(300)[0], at_height(600)[0]
    for step in range(6):
        snap(masker, painted(before), before, 1 + 0.2 * step)
    for step in range(1, 10):
        gone = 0.06 * step + 0.05
        drawn, moved = at_height(int(300 + 300 * min(1.0, gone / 0.4)))
        shown = snap(masker, painted(drawn), after, 2.2 + gone)
        assert not (shown.canvas.rgb() == color(moved)).all(axis=2).any(), gone
    assert not any(cover.rule == "settling" for cover in shown.covers)


def test_a_list_that_only_scrolled_is_covered_no_longer_than_it_moves() -> None:
    def rows(offset: int) -> Node:
        views = [
            view(0, 300 + 200 * n - offset, 1080, 480 + 200 * n - offset, text=f"person{n}@example.com")
            for n in range(12)
            if 90 <= 300 + 200 * n - offset <= 2100
        ]
        return app(TITLE, view(0, 250, 1080, 2300, SCROLL, children=views, flags=NodeFlag.SCROLLABLE))

    masker = Masker("medium", APP)
    for step in range(6):
        snap(masker, painted(rows(0)), rows(0), 1 + 0.2 * step)
    for step in range(1, 4):
        snap(masker, painted(rows(90 * step)), rows(90 * step), 2.2 + 0.1 * step)
    shown = snap(masker, painted(rows(270)), rows(270), 2.75)
    # What is left of its speed may stretch it.
    assert {cover.rule for cover in shown.covers} == {"pattern", "system-ui", "dragged"}
    shown = snap(masker, painted(rows(270)), rows(270), 3.1)
    assert {cover.rule for cover in shown.covers} == {"pattern", "system-ui"}


def test_a_touch_that_is_judged_late_goes_by_the_dumps_around_it() -> None:
    masker = Masker("medium", APP)
    field = view(40, 300, 1040, 420, EDIT, "x", flags=NodeFlag.FOCUSED)
    for n in range(600):
        roots = (app(TITLE, field), keyboard()) if 15 <= n < 45 else (app(TITLE, view(0, 500, 500, 560, text=str(n))),)
        masker.snapshot(*still(*roots, seconds=0.2 * n), DPI)
    assert masker.touch(touch(6, "down", 500, 1750)) is None
    assert masker.touch(touch(6, "down", 500, 200))
    assert masker.touch(touch(60, "down", 500, 1750))
    masker.snapshot(*still(app(TITLE), seconds=131), DPI)
    # What was there then is forgotten.
    assert masker.touch(touch(6, "down", 500, 200)) is None
    assert masker.touch(touch(60, "down", 500, 1750))


def test_where_a_keyboard_may_be_up_no_touch_is_told() -> None:
    """A dump of the active window alone tells of none."""
    field = view(40, 300, 1040, 420, EDIT, "x", flags=NodeFlag.FOCUSED)
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(TITLE, field), seconds=1), DPI)
    assert masker.touch(touch(1, "down", 500, 2000)) is None
    assert masker.touch(touch(1, "down", 500, 900))


def test_after_longer_another_app_may_slide_out_anywhere() -> None:
    masker = Masker("medium", APP)
    screen = app(TITLE, view(40, 700, 1040, 820, EDIT, "4111", hint="Card"))
    masker.snapshot(*still(screen, status_bar(), seconds=1), DPI)
    dump = tree(screen, status_bar(), seconds=1.65)
    for change, reason in ((app(view(0, 500, 1080, 2000, text="Mum: call me")), "settling"), (screen, "")):
        pixels = painted(change)
        frame = snapshot(pixels, dump, replace(dump, stamp=at(1.8)), 1.75)
        frame = replace(frame, since=at(1.75), until=at(1.76))
        assert blocked(masker.snapshot(frame, RgbaCanvas(pixels), DPI)) == reason
        masker.snapshot(*still(screen, status_bar(), seconds=1), DPI)
    calm = replace(snapshot(pixels, dump, replace(dump, stamp=at(2)), 1.9), since=at(1.8), until=at(1.98))
    assert blocked(masker.snapshot(calm, RgbaCanvas(pixels), DPI)) == ""


def test_the_end_of_a_slide_that_was_covered_is_covered() -> None:
    """It moves hardly any more beside the picture before, which nobody was shown."""
    masker = Masker("medium", APP)
    screen = app(TITLE, view(40, 700, 1040, 820, EDIT, "4111", hint="Card"))
    masker.snapshot(*still(screen, status_bar(), seconds=1), DPI)
    dump = tree(screen, status_bar(), seconds=1.65)
    pixels = painted(app(view(0, 500, 1080, 2000, text="Mum: call me")))
    for moment in (1.75, 1.8):
        frame = snapshot(pixels, dump, replace(dump, stamp=at(1.9)), moment)
        frame = replace(frame, since=at(moment), until=at(moment + 0.01))
        pixels = pixels.copy()
        pixels[1000, 500] = 0
        assert blocked(masker.snapshot(frame, RgbaCanvas(pixels), DPI)) == "settling"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_password_field_is_known_again_by_its_place_and_by_its_id(wrapped: bool) -> None:
    masker = Masker("light", APP)
    field = view(40, 700, 1040, 820, EDIT, "••••", flags=NodeFlag.PASSWORD, hint="Secret word", resource_id="word")
    masker.snapshot(*still(app(TITLE, field), status_bar()), DPI)
    shown = replace(field, text="open sesame", flags=NodeFlag.VISIBLE, resource_id="" if wrapped else "word")
    if not wrapped:
        shown = replace(shown, bounds=Bounds(40, 900, 1040, 1020))
    box = view(0, 600, 1080, 1100, "com.x.Box", children=[shown])
    assert covered(masker.snapshot(*still(app(TITLE, box), status_bar(), seconds=2), DPI), shown)


def test_a_touch_is_judged_by_the_next_dump_even_if_that_was_slow() -> None:
    masker = Masker("medium", APP)
    masker.snapshot(*still(app(TITLE), status_bar(), seconds=1), DPI)
    masker.snapshot(*still(app(TITLE), status_bar(), keyboard(), seconds=3.8), DPI)
    assert masker.touch(touch(2.5, "down", 500, 1750)) is None
    assert masker.touch(touch(2.5, "down", 500, 200))


def test_an_input_of_any_class_is_one_when_it_holds_more_than_its_hint() -> None:
    field = view(40, 300, 1040, 420, "com.x.Field", "Anna", hint="Name")
    assert covered(masked(app(field), status_bar()), field)
    empty = replace(field, text="Name")
    assert visible(masked(app(empty), status_bar()), empty)


def test_landscape_and_small_screens_keep_their_shape() -> None:
    assert scaled(Size(2400, 1080), 540) == Size(1200, 540)
    assert scaled(Size(320, 480), 540) == Size(320, 480)
    assert scaled(Size(1440, 3120), 540) == Size(540, 1170)
    assert blank(at(0), SCREEN, DPI, 540, "no-picture").canvas.rgb().shape == (1200, 540, 3)


BOUNDS = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    st.integers(-50, 110), st.integers(-50, 230), st.integers(-5, 110), st.integers(-5, 230),
)  # fmt: skip
NODES = st.recursive(
    st.builds(
        lambda b, cls, text, flags, package: view(*b, cls, text, flags=flags, package=package),
        BOUNDS,
        st.sampled_from([EDIT, "android.widget.TextView", "android.webkit.WebView", "android.view.View"]),
        st.sampled_from(["", "canary-7391", "Pay", "5"]),
        st.sampled_from([NodeFlag.NONE, NodeFlag.PASSWORD, NodeFlag.SCROLLABLE, NodeFlag.CLICKABLE]),
        st.sampled_from([APP, "com.android.systemui", "com.other", "", "com.x.inputmethod"]),
    ),
    lambda below: st.builds(lambda node, c: replace(node, children=tuple(c)), below, st.lists(below, max_size=4)),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NODES, min_size=1, max_size=3),
    st.lists(NODES, min_size=1, max_size=3),
    st.sampled_from(get_args(MaskLevel)),
    st.sampled_from([APP, None]),
)
def test_whatever_the_trees_no_password_or_foreign_window_is_seen(
    first: list[Node], second: list[Node], level: MaskLevel, package: str | None
) -> None:
    whole = Bounds(0, 0, 108, 240)
    clip = [[replace(root, bounds=root.bounds.intersect(whole)) for root in roots] for roots in (first, second)]
    before, after = tree(*clip[0]), tree(*clip[1], seconds=1)
    pixels = np.full((240, 108, 4), 255, np.uint8)
    result = Masker(level, package, width=540).snapshot(snapshot(pixels, before, after, 0.5), RgbaCanvas(pixels), DPI)
    if blocked(result):
        return
    for dump in (before, after):
        for root in dump.roots:
            for node in root.walk():
                b = node.bounds.intersect(whole)
                inside = not b.empty and not root.bounds.empty
                if inside and node.flags & NodeFlag.PASSWORD and APP in (root.package, package):
                    assert (
                        result.canvas.rgb()[b.top : b.bottom, b.left : b.right] == COVER
                    ).all() or root.package not in (
                        "",
                        APP,
                    )
            if root.package == "com.other" and package == APP:
                r = root.bounds
                assert (result.canvas.rgb()[r.top : r.bottom, r.left : r.right] == COVER).all()
    assert result.canvas.rgb().shape == (240, 108, 3)


FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "hierarchies"


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="fixtures folder absent")
@pytest.mark.parametrize("level", get_args(MaskLevel))
def test_real_dumps_are_masked(level: MaskLevel) -> None:
    hierarchy = pytest.importorskip("bridge.hierarchy")
    shown = 0
    for path in sorted(FIXTURES.glob("*.xml")):
        dump = hierarchy.parse(path.read_bytes(), at(0), 0)
        size = Size(max(r.bounds.right for r in dump.roots), max(r.bounds.bottom for r in dump.roots))
        pixels = np.full((size.height, size.width, 4), 255, np.uint8)
        result = Masker(level, None).snapshot(
            snapshot(pixels, dump, dump, rotation=dump.rotation), RgbaCanvas(pixels), DPI
        )
        if result.blocked:
            assert result.blocked == "not-app", path.name
            continue
        shown += 1
        scale = result.canvas.rgb().shape[1] / size.width
        for node in dump.walk():
            b = node.bounds
            if b.empty or not (node.flags & NodeFlag.PASSWORD or (level != "light" and node.cls.endswith("EditText"))):
                continue
            # The outermost pixels mix with what is around the view, never with its inside: the burn comes first.
            part = result.canvas.rgb()[
                ceil(b.top * scale) + 1 : floor(b.bottom * scale) - 1,
                ceil(b.left * scale) + 1 : floor(b.right * scale) - 1,
            ]
            assert (part == COVER).all(), path.name
            secret = node.text
            if len(secret) > 5 and node.text != node.hint:
                assert not any(secret in n.label for n in result.nodes), path.name
    assert shown >= 15


def ruled(*flags: str, level: MaskLevel = "medium") -> Masker:
    """A masker with rules written as `block id=card_*`."""
    pairs = [flag.partition(" ") for flag in flags]
    return Masker(level, APP, rules=Rules([rule(action, text) for action, _, text in pairs]))  # type: ignore[arg-type]


PRICE = view(40, 1200, 500, 1300, text="Total 12,50", resource_id="com.example.shop:id/total")
OWNER = view(60, 1420, 500, 1480, text="Anna Bell", resource_id="card_holder")
BOX = view(40, 1400, 1040, 1600, "android.view.ViewGroup", resource_id="card_box", children=[OWNER])


def test_a_rule_masks_a_view_and_all_below_it() -> None:
    result = ruled("mask testid=card_box").snapshot(*still(app(TITLE, PRICE, BOX), status_bar()), DPI)
    assert covered(result, OWNER)
    assert covered(result, BOX)
    assert visible(result, TITLE)
    assert visible(result, PRICE)
    assert labels(result) == ["Checkout", "Total 12,50", "*****", "*****"]
    assert {cover.rule for cover in result.covers if cover.kind == "mask"} == {"mask testid=card_box"}


def test_what_is_in_a_blocked_view_is_left_out_of_the_tree() -> None:
    masker = ruled("block id=card_*")
    result = masker.snapshot(*still(app(TITLE, BOX), status_bar()), DPI)
    assert covered(result, BOX)
    assert [node.resource_id for node in result.nodes if node.resource_id] == ["card_box"]
    assert masker.touch(touch(0.5, "down", 100, 1450)) is None
    assert masker.touch(touch(0.5, "down", 100, 150)) is not None


def test_a_block_below_a_mask_is_a_block() -> None:
    inner = view(50, 1410, 900, 1500, "android.view.ViewGroup", resource_id="inner", children=[OWNER])
    outer = view(40, 1400, 1040, 1600, "android.view.ViewGroup", resource_id="outer", children=[inner])
    result = ruled("mask id=outer", "block id=inner").snapshot(*still(app(outer), status_bar()), DPI)
    assert [node.resource_id for node in result.nodes if node.resource_id] == ["outer", "inner"]


def test_unmask_shows_what_the_level_masks_and_all_below() -> None:
    form = view(0, 280, 1080, 640, "android.view.ViewGroup", resource_id="form", children=[NOTE])
    result = ruled("unmask id=form").snapshot(*still(app(TITLE, form), status_bar()), DPI)
    assert visible(result, NOTE)
    assert "ring twice" in labels(result)
    strict = ruled("unmask id=form", level="conservative").snapshot(*still(app(TITLE, form), status_bar()), DPI)
    assert visible(strict, NOTE)
    assert covered(strict, TITLE)


def test_a_mask_anywhere_above_beats_unmask_and_holds_deeper_in_what_is_unmasked() -> None:
    note = replace(NOTE, resource_id="note")
    form = view(0, 280, 1080, 640, "android.view.ViewGroup", resource_id="form", children=[note])
    assert covered(ruled("mask id=form", "unmask id=note").snapshot(*still(app(form), status_bar()), DPI), note)
    assert covered(ruled("unmask id=form", "mask id=note").snapshot(*still(app(form), status_bar()), DPI), note)
    assert covered(ruled("unmask id=note", "mask id=note").snapshot(*still(app(form), status_bar()), DPI), note)


def test_a_password_field_is_never_unmasked_nor_what_once_was_one() -> None:
    field = replace(PASSWORD, resource_id="com.example.shop:id/secret", desc="", hint="")
    masker = ruled("unmask class=*", "unmask id=secret")
    first = masker.snapshot(*still(app(TITLE, field), status_bar()), DPI)
    assert covered(first, field)
    shown = replace(field, flags=NodeFlag.NONE)
    after = masker.snapshot(*still(app(TITLE, shown), status_bar(), seconds=9), DPI)
    assert covered(after, shown)
    assert "hunter22" not in repr(after.nodes)
    assert masker.text("password was hunter22!") == "password was *****!"


def test_a_password_inside_a_view_that_a_rule_masks_is_learnt_all_the_same() -> None:
    field = replace(PASSWORD, resource_id="com.example.shop:id/secret", desc="", hint="")
    box = view(0, 600, 1080, 900, "android.view.ViewGroup", resource_id="box", children=[field])
    masker = ruled("mask id=box", "unmask id=secret")
    masker.snapshot(*still(app(box), status_bar()), DPI)
    alone = replace(field, flags=NodeFlag.NONE)
    assert covered(masker.snapshot(*still(app(alone), status_bar(), seconds=9), DPI), alone)


@pytest.mark.parametrize("cls", ["android.webkit.WebView", "com.google.android.gms.maps.MapView"])
def test_a_web_or_map_view_may_be_unmasked_with_what_is_in_it(cls: str) -> None:
    page = view(0, 1000, 1080, 2000, cls, resource_id="help", children=[view(40, 1100, 900, 1200, text="Returns")])
    result = ruled("unmask testid=help").snapshot(*still(app(TITLE, page), status_bar()), DPI)
    assert visible(result, page.children[0])
    assert "Returns" in labels(result)


def test_what_looks_private_and_keypads_stay_covered_when_unmasked() -> None:
    card = view(40, 300, 1040, 420, text="4111 1111 1111 1111")
    keys = [
        view(200 * (i % 3), 1000 + 150 * (i // 3), 200 * (i % 3) + 190, 1140 + 150 * (i // 3), text=str(i + 1))
        for i in range(9)
    ]
    masker = ruled("unmask class=*")
    result = masker.snapshot(*still(app(card, *keys), status_bar()), DPI)
    assert covered(result, card)
    assert all(covered(result, key) for key in keys)
    assert masker.touch(touch(0.5, "down", 100, 1050)) is None


@pytest.mark.parametrize("flags", [[], ["mask id=pad"], ["block id=pad"], ["unmask id=pad"]])
@pytest.mark.parametrize("level", ["light", "medium", "conservative"])
def test_touches_on_a_keypad_are_dropped_by_whatever_rule_it_is_hidden(level: MaskLevel, flags: list[str]) -> None:
    keys = [view(100 * i, 1000, 100 * i + 90, 1140, text=str(i)) for i in range(10)]
    pad = view(0, 900, 1080, 1200, "android.view.ViewGroup", resource_id="pad", children=keys)
    masker = ruled(*flags, level=level)
    result = masker.snapshot(*still(app(TITLE, pad), status_bar()), DPI)
    assert all(covered(result, key) for key in keys)
    assert masker.touch(touch(0.5, "down", 450, 1050)) is None
    assert masker.touch(touch(0.5, "down", 450, 300)) is not None


def test_a_keyboard_counts_as_left_out_where_the_dumps_around_have_none() -> None:
    """It is told of now and then, and dumps tell of it while it is there."""
    form = app(view(0, 200, 900, 300, EDIT, "x", flags=NodeFlag.VISIBLE | NodeFlag.FOCUSED))
    open_roots, closed_roots = (form, status_bar(), keyboard()), (form, status_bar())

    def guessed(*steps: str) -> bool:
        masker = Masker("medium", APP)
        covers: set[str] = set()
        for second, step in enumerate(steps):
            if step in ("shown", "hidden"):
                masker.keyboard(step == "shown", at(second))
            else:
                roots = open_roots if step == "with" else closed_roots
                found = masker.judged(tree(*roots, seconds=second), SCREEN, DPI)
                covers = {cover.rule for cover in found.covers} if step == "without" else set()
        return "keyboard" in covers

    assert guessed("without", "shown", "without")
    assert guessed("without", "shown", "without", "without")
    # It comes up, and it goes away just after it was told of.
    assert not guessed("without", "shown", "with", "without")
    assert not guessed("with", "shown", "without")
    assert not guessed("without", "shown", "without", "hidden", "without")
    assert not guessed("without", "shown")
    # It was there before the first dump; and the dumps lose it while nobody says that it went.
    assert guessed("shown", "without")
    assert guessed("shown", *["with"] * 3, *["without"] * 5)
    assert not guessed("shown", *["with"] * 3, *["without"] * 2)


@pytest.mark.parametrize("told", [0, 1])
def test_a_touch_about_which_the_screen_turned_is_not_told(told: Rotation) -> None:
    """How it was turned is known from the last dump, and the finger may have come first."""
    masker = Masker("medium", APP)
    turned = Size(SCREEN.height, SCREEN.width)
    for seconds, rotation in ((1, 0), (3, 1), (5, 1)):
        form = app(
            view(40, 100, 600, 200, text="Pay"), bounds=(0, 0, *((1080, 2400) if not rotation else (2400, 1080)))
        )
        dump = tree(form, seconds=seconds, rotation=rotation)  # type: ignore[arg-type]
        masker.tree(dump, turned if rotation else SCREEN, DPI)
    between = replace(touch(2, "down", 700, 700), rotation=told)
    assert masker.touch(between) is None
    after = replace(touch(4, "down", 700, 700), rotation=told)
    assert masker.touch(after) == (after if told == 1 else None)
    before = replace(touch(0.5, "down", 700, 700), rotation=told)
    assert masker.touch(before) == (before if told == 0 else None)


def test_the_words_of_a_rule_are_taken_out_of_everything() -> None:
    masker = ruled("mask text=Anna Bell", "block text=ORD-*")
    order = view(40, 300, 1040, 420, text="Order ORD-7")
    row = view(
        40,
        500,
        1040,
        620,
        "android.view.ViewGroup",
        desc="Anna Bell, buy",
        children=[view(50, 510, 300, 600, text="Anna Bell")],
    )
    drawn = view(40, 700, 1040, 820, "android.view.View", desc="Anna Bell\nbuy", children=[view(900, 710, 1000, 800)])
    result = masker.snapshot(*still(app(TITLE, order, row, drawn), status_bar()), DPI)
    assert covered(result, order)
    assert not covered(result, row)
    assert covered(result, row.children[0])
    assert covered(result, drawn)
    assert "Anna" not in repr(result.nodes)
    assert "ORD-7" not in repr(result)
    assert masker.text('paid ORD-9 by "Anna Bell" (QW5uYSBCZWxs)') == 'paid ***** by "*****" (*****)'
    assert masker.text("l had ORD-", "") == "l had *****"
    assert masker.name("Seen by Anna Bell") == "Seen by *****"
    cleaned = masker.event({"event": "Paid", "properties": {"by": "anna bell", "ORD-5": 1, "n": [{"id": "ORD-7"}]}})
    assert cleaned["properties"] == {"by": "*****", "*****": 1, "n": [{"id": "*****"}]}


def test_words_that_are_cut_by_the_end_of_a_line_are_taken_out() -> None:
    masker = ruled("mask text=/account number \\d+/")
    assert masker.text("ber 1234 is", "my account num") == "***** is"


def test_what_a_rule_hides_is_in_no_log_line_and_no_event() -> None:
    masker = ruled("mask id=card_holder")
    masker.snapshot(*still(app(BOX), status_bar()), DPI)
    assert masker.text("drawn for Anna Bell") == "drawn for *****"
    assert masker.event({"properties": {"who": "Anna Bell"}}) == {"properties": {"who": "*****"}}


def test_at_conservative_no_log_line_repeats_what_stood_on_the_screen() -> None:
    masker = Masker("conservative", APP)
    masker.snapshot(*still(app(TITLE, PRICE), status_bar()), DPI)
    assert masker.text("rendered Total 12,50 on Checkout") == "rendered ***** on Checkout"
    event = {"event": "Total 12,50", "properties": {"on": "Checkout", "rows": [{"label": "Total 12,50 due"}]}}
    cleaned = {"event": "Total 12,50", "properties": {"on": "Checkout", "rows": [{"label": "***** due"}]}}
    assert masker.event(event) == cleaned
    many = [view(0, 100 + i, 1080, 101 + i, text=f"row number {i}") for i in range(900)]
    masker.snapshot(*still(app(NOTE, *many), status_bar(), seconds=9), DPI)
    assert "ring twice" not in masker.text("note: ring twice")


@pytest.mark.parametrize("name", ["row-ring twice", "suggestion_ring_twice_2", "ringTwice"])
def test_a_test_id_that_repeats_what_was_typed_is_not_told(name: str) -> None:
    masker = Masker("medium", APP)
    result = masker.snapshot(*still(app(NOTE, view(40, 900, 500, 1000, resource_id=name)), status_bar()), DPI)
    assert name not in repr(result.nodes)
    later = masker.snapshot(*still(app(view(40, 900, 500, 1000, resource_id=name)), status_bar(), seconds=9), DPI)
    assert name not in repr(later.nodes)
    fixed = view(40, 900, 500, 1000, resource_id=f"com.example.shop:id/{name}")
    assert name in repr(masker.snapshot(*still(app(NOTE, fixed), status_bar(), seconds=20), DPI).nodes)


@pytest.mark.parametrize("name", ["row-total-12-50", "rowTotal1250", "row Total 12,50"])
def test_at_conservative_no_test_id_is_made_of_what_stands_on_the_screen(name: str) -> None:
    row = view(40, 900, 500, 1000, "android.view.View", resource_id=name)
    masker = Masker("conservative", APP)
    for shown, seconds in ((app(PRICE, row), 3), (app(row), 9)):
        result = masker.snapshot(*still(shown, status_bar(), seconds=seconds), DPI)
        assert "1250" not in re.sub(r"\W", "", "".join(node.resource_id for node in result.nodes))
    told = Masker("medium", APP).snapshot(*still(app(PRICE, row), status_bar()), DPI)
    assert name in {node.resource_id for node in told.nodes}


def test_a_tree_alone_is_masked_as_with_a_picture() -> None:
    masker = Masker("medium", APP)
    shown = masker.tree(tree(FORM, status_bar()), SCREEN, DPI)
    assert shown.canvas is None
    assert shown.blocked == ""
    beside = Masker("medium", APP).snapshot(*still(FORM, status_bar()), DPI)
    assert shown.nodes == beside.nodes
    assert {cover.rule for cover in shown.covers} >= {"password", "system-ui"}
    assert masker.tree(tree(status_bar()), SCREEN, DPI).blocked == "not-app"
    assert masker.tree(tree(), SCREEN, DPI).blocked == "no-tree"


def test_all_dumps_that_may_show_what_a_frame_shows_are_burnt_in() -> None:
    scroller = view(0, 240, 1080, 2000, SCROLL, children=(), flags=NodeFlag.SCROLLABLE | NodeFlag.VISIBLE)
    low, middle, high = (
        app(TITLE, replace(scroller, children=(view(100, top, 900, top + 100, EDIT, "anna@example.com"),)))
        for top in (1000, 800, 600)
    )
    pixels = painted(middle)
    dumps = [tree(form, status_bar(), seconds=i) for i, form in enumerate((low, middle, high))]
    shot = replace(snapshot(pixels, dumps[0], dumps[2], 0.5), between=(dumps[1],))
    result = at_medium(shot, pixels)
    assert result.blocked == "unstable" or (result.canvas.rgb()[400:450, 50:450] == COVER).all()


def test_a_held_frame_needs_a_dump_of_its_time() -> None:
    pixels = painted(FORM)
    early, late = tree(FORM, status_bar(), seconds=5), tree(FORM, status_bar(), seconds=6)
    held = snapshot(pixels, early, late, 1.0)
    assert blocked(at_medium(held, pixels)) == "unstable"
    assert blocked(at_medium(replace(held, until=at(5.5), since=at(1.0)), pixels)) == ""
    assert blocked(at_medium(replace(held, until=at(4.9)), pixels)) == "unstable"


def test_what_was_typed_is_found_across_the_pieces_of_a_long_text() -> None:
    masker = Masker("medium", APP)
    masker.hide(["Anna Maria Bell"], [])
    first = "x " * 600 + "for Anna Ma"
    assert masker.text(first, cut=True).endswith("for *****")
    assert masker.text("ria Bell, twice", first) == "*****, twice"

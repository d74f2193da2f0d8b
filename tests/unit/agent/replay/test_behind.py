from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.views import APP, DPI, EDIT, FRAME, SCROLL, app, at, keyboard, painted, snapshot, status_bar, tree, view
from numpy.typing import NDArray

from agent.model import MaskedSnapshot, MaskLevel
from agent.replay.canvas import COVER, RgbaCanvas
from agent.replay.mask import Masker
from bridge.types import Bounds, Node, NodeFlag

NOTE = view(40, 300, 1040, 420, EDIT, "ring twice", hint="Note")
TITLE = view(0, 100, 1080, 240, text="Address")
PAY = view(40, 2000, 1040, 2200, text="Pay")
CARD = view(140, 1200, 940, 1300, text="Really pay?")


def activity(*children: Node) -> Node:
    content = view(0, 0, 1080, 2400, FRAME, resource_id="android:id/content", children=children)
    return app(view(0, 0, 1080, 2400, "android.widget.LinearLayout", children=[content]))


def dialog(*children: Node) -> Node:
    """A window as large as the screen, see-through, as React Native's Modal is."""
    return app(view(0, 0, 1080, 2400, FRAME, resource_id="android:id/content", children=children))


FORM = activity(TITLE, NOTE, PAY)
SHEET = dialog(view(100, 1100, 980, 1400, "android.view.ViewGroup", children=[CARD]))


def picture(*roots: Node) -> NDArray[np.uint8]:
    """Words are drawn as stripes: something of one colour is no word."""
    pixels = painted(*roots)
    for root in roots:
        for node in root.walk():
            if node.text:
                b = node.bounds
                pixels[b.top + 10 : b.bottom - 10 : 8, b.left : b.right, :3] = 0
    return pixels


class Phone:
    def __init__(self, level: MaskLevel = "medium") -> None:
        self.masker = Masker(level, APP)
        self.at = 0.0

    def shows(self, pixels: NDArray[np.uint8], *roots: Node, rotation: int = 0) -> MaskedSnapshot:
        self.at += 2
        dump = tree(*roots, status_bar(), seconds=self.at, rotation=rotation)  # type: ignore[arg-type]
        shot = snapshot(pixels, dump, dump, self.at, rotation)  # type: ignore[arg-type]
        # It has stood for a while: nothing slides.
        shot = replace(shot, since=at(self.at - 1), until=at(self.at))
        return self.masker.snapshot(shot, RgbaCanvas(pixels), DPI)


def covered(result: MaskedSnapshot, bounds: Bounds) -> bool:
    assert result.canvas is not None
    part = result.canvas.rgb()[bounds.top // 2 : bounds.bottom // 2, bounds.left // 2 : bounds.right // 2]
    return bool((part == COVER).all())


@pytest.mark.parametrize("level", ["medium", "conservative"])
def test_a_form_behind_a_sheet_stays_covered(level: MaskLevel) -> None:
    phone = Phone(level)
    assert covered(phone.shows(picture(FORM), FORM), NOTE.bounds)
    # The sheet's window is all that the dump tells of, and the form is drawn around it.
    coming, behind = (phone.shows(picture(FORM, SHEET), SHEET) for _ in range(2))
    # As it comes up it may be drawn anywhere.
    assert covered(coming, NOTE.bounds)
    assert behind.blocked == ""
    assert covered(behind, NOTE.bounds)
    assert covered(behind, TITLE.bounds) == (level == "conservative")
    assert covered(behind, CARD.bounds) == (level == "conservative")
    assert "behind" in {cover.rule for cover in behind.covers}
    again = phone.shows(picture(FORM, SHEET), SHEET)
    assert covered(again, NOTE.bounds)
    back = phone.shows(picture(FORM), FORM)
    assert "behind" not in {cover.rule for cover in back.covers}


@pytest.mark.parametrize("level", ["medium", "conservative"])
def test_a_form_that_moves_as_a_sheet_takes_the_keyboard_away_is_covered_wherever_it_is(level: MaskLevel) -> None:
    phone = Phone(level)
    phone.shows(picture(FORM, keyboard()), FORM, keyboard())
    # Without the keys the form has its place again, of which no dump tells while the sheet is there.
    moved = replace(NOTE, bounds=Bounds(40, 700, 1040, 820))
    for _ in range(3):
        result = phone.shows(picture(activity(TITLE, moved, PAY), SHEET), SHEET)
    assert covered(result, moved.bounds)
    # Back on the form all is as ever.
    form = activity(TITLE, moved, PAY)
    for _ in range(2):
        back = phone.shows(picture(form), form)
        assert "behind" not in {cover.rule for cover in back.covers}
    assert covered(back, PAY.bounds) == (level == "conservative")


def test_at_conservative_what_comes_behind_a_sheet_is_covered() -> None:
    loading = activity(view(400, 1800, 680, 1900, "android.widget.ProgressBar"))
    for level in ("medium", "conservative"):
        phone = Phone(level)
        phone.shows(picture(loading), loading)
        for _ in range(2):
            phone.shows(picture(loading, SHEET), SHEET)
        result = phone.shows(picture(activity(TITLE, PAY), SHEET), SHEET)
        assert result.blocked == ""
        assert covered(result, TITLE.bounds) == covered(result, PAY.bounds) == (level == "conservative")


def test_a_sheet_on_a_sheet_leaves_the_form_covered() -> None:
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    field = view(140, 1200, 940, 1300, EDIT, "secret word", hint="Word")
    first = dialog(view(100, 1100, 980, 1400, "android.view.ViewGroup", children=[field]))
    phone.shows(picture(FORM, first), first)
    second = dialog(view(300, 1600, 800, 1700, text="Sure?"))
    result = phone.shows(picture(FORM, first, second), second)
    assert covered(result, NOTE.bounds)
    assert covered(result, field.bounds)


def test_an_input_that_may_have_scrolled_hides_all_that_scrolls() -> None:
    phone = Phone()
    scroll = view(0, 250, 1080, 1000, SCROLL, children=[NOTE], flags=NodeFlag.SCROLLABLE)
    form = activity(TITLE, scroll, PAY)
    phone.shows(picture(form), form)
    moved = view(40, 700, 1040, 820, EDIT, "ring twice", hint="Note")
    result = phone.shows(picture(activity(TITLE, moved, PAY), SHEET), SHEET)
    assert covered(result, moved.bounds)


def test_nothing_is_covered_where_one_colour_is() -> None:
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    result = phone.shows(picture(SHEET), SHEET)
    assert "behind" not in {cover.rule for cover in result.covers}


def test_another_screen_of_the_same_window_hides_what_was_before() -> None:
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    thanks = activity(view(40, 1200, 1040, 1300, text="Thank you"))
    result = phone.shows(picture(thanks), thanks)
    assert "behind" not in {cover.rule for cover in result.covers}


def test_a_dialog_that_repeats_words_of_the_form_is_not_the_form_come_back() -> None:
    form = activity(view(0, 100, 1080, 240, text="Delete account"), NOTE, view(40, 2000, 1040, 2200, text="Continue"))
    inside = activity(
        view(140, 1100, 940, 1200, text="Delete account"), view(140, 1210, 440, 1300, text="Continue"),
        view(540, 1210, 940, 1300, text="Cancel"),
    )  # fmt: skip
    phone = Phone()
    phone.shows(picture(form), form)
    for _ in range(3):
        assert covered(phone.shows(picture(form, inside), inside), NOTE.bounds)
    back = phone.shows(picture(form), form)
    assert "behind" not in {cover.rule for cover in back.covers}


def test_what_another_screen_of_the_same_window_draws_there_is_no_form() -> None:
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    thanks = activity(view(40, 1200, 1040, 1300, text="Thank you"))
    drawn = picture(thanks)
    drawn[..., :3] = np.random.default_rng(1).integers(0, 255, drawn[..., :3].shape, np.uint8)
    for _ in range(2):
        result = phone.shows(drawn, thanks)
        assert "behind" not in {cover.rule for cover in result.covers}


def test_a_form_behind_a_dialog_of_its_own_window_stays_covered() -> None:
    """Flutter draws dialogs in the app's one window, and leaves what is behind out of the tree."""
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    inside = activity(view(140, 1100, 940, 1200, text="Delete this card?"), view(540, 1210, 940, 1300, text="Delete"))
    for dimmed in (1, 1, 2):
        result = phone.shows(picture(FORM, inside) // dimmed, inside)
        assert result.blocked == ""
        assert covered(result, NOTE.bounds)
        assert not covered(result, TITLE.bounds)
    for form in (FORM, activity(TITLE, replace(NOTE, text="ring thrice"), PAY)):
        back = phone.shows(picture(form), form)
        assert "behind" not in {cover.rule for cover in back.covers}
        assert covered(back, NOTE.bounds)


def test_a_dialog_that_fills_the_screen_hides_what_is_behind() -> None:
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    full = dialog(view(0, 100, 1080, 200, text="Terms"), view(0, 300, 1080, 2300, text="..."))
    result = phone.shows(picture(FORM, full), full)
    assert "behind" not in {cover.rule for cover in result.covers}


def test_when_the_phone_is_turned_nobody_knows_where_the_form_went() -> None:
    phone = Phone()
    phone.shows(picture(FORM), FORM)
    phone.shows(picture(FORM, SHEET), SHEET)
    moved = view(40, 700, 1040, 820, EDIT, "ring twice", hint="Note")
    result = phone.shows(picture(activity(TITLE, moved), SHEET), SHEET, rotation=2)
    assert covered(result, moved.bounds)
    assert covered(result, TITLE.bounds)


def test_what_a_stricter_level_hides_is_covered_behind_a_sheet_that_was_there_before() -> None:
    phone = Phone("medium")
    phone.shows(picture(FORM), FORM)
    for _ in range(2):
        assert not covered(phone.shows(picture(FORM, SHEET), SHEET), TITLE.bounds)
    phone.masker.tighten("conservative")
    for _ in range(2):
        shown = phone.shows(picture(FORM, SHEET), SHEET)
        assert covered(shown, TITLE.bounds)
        assert covered(shown, NOTE.bounds)
    back = phone.shows(picture(FORM), FORM)
    assert "behind" not in {cover.rule for cover in back.covers}


def test_after_a_pause_nobody_knows_what_a_sheet_lies_over() -> None:
    other = activity(view(0, 100, 1080, 240, text="Sign in"), view(40, 1700, 1040, 1820, EDIT, "tulip", hint="Name"))
    phone = Phone("medium")
    phone.shows(picture(FORM), FORM)
    phone.masker.away(at(phone.at + 1))
    for _ in range(2):
        shown = phone.shows(picture(other, SHEET), SHEET)
        assert covered(shown, Bounds(40, 1700, 1040, 1820))
    back = phone.shows(picture(other), other)
    assert "behind" not in {cover.rule for cover in back.covers}

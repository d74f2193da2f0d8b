from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.views import EDIT, SCREEN, SCROLL, app, keyboard, status_bar, surveyed, view

from agent.replay.changes import altered, lively, moved, unsettled
from bridge.types import Bounds, Node, NodeFlag

TITLE = view(0, 100, 1080, 240, text="Checkout")
CARD = view(40, 700, 1040, 820, EDIT, "4111", hint="Card")
PLACE = Bounds(0, 300, 1080, 2000)


def rows(first: int, *more: Node, offset: int = 0) -> Node:
    """A list from its row `first` on, so far scrolled."""
    texts = [
        view(0, 300 + 200 * n - offset, 1080, 400 + 200 * n - offset, text=f"Row {first + n}") for n in range(4)
    ]  # fmt: skip
    return view(*PLACE, SCROLL, children=(*texts, *more), flags=NodeFlag.SCROLLABLE)


def field(top: int) -> Node:
    return view(40, top, 900, top + 60, EDIT, "12 Main Street", hint="Address")


def test_rows_of_what_came_or_went_are_covered_and_what_stays_is_not() -> None:
    with_card, without = surveyed(app(TITLE, CARD), status_bar()), surveyed(app(TITLE), status_bar())
    for surveys in ((with_card, without), (without, with_card)):
        (cover,) = unsettled(surveys, SCREEN)
        assert (cover.bounds.left, cover.bounds.right, cover.bounds.bottom) == (0, 1080, 2400)
        assert 240 < cover.bounds.top <= 700 - 2400 // 16
    assert unsettled([with_card, with_card], SCREEN) == []


def test_inputs_of_a_new_screen_at_the_same_place_are_new() -> None:
    labels = [view(40, 300 + 60 * i, 900, 340 + 60 * i, text=word) for i, word in enumerate("abcd")]
    other = [replace(label, text=label.text * 2) for label in labels]
    first, second = surveyed(app(*labels, CARD), status_bar()), surveyed(app(*other, CARD), status_bar())
    assert unsettled([first, second], SCREEN)
    # One word that changes, a counter for instance, makes no new screen.
    assert unsettled([first, surveyed(app(*labels[:3], other[3], CARD), status_bar())], SCREEN) == []


def test_a_window_over_the_app_comes_from_the_nearer_edge() -> None:
    note = view(30, 120, 1050, 300, text="Mum", package="com.android.systemui")
    calm, noted = surveyed(app(TITLE), status_bar()), surveyed(app(TITLE), status_bar(), note)
    assert Bounds(30, 0, 1050, 300) in [cover.bounds for cover in unsettled([calm, noted], SCREEN)]
    typed = surveyed(app(TITLE), status_bar(), keyboard())
    (cover,) = unsettled([typed, calm], SCREEN)
    assert cover.rule == "keyboard"
    assert cover.bounds.bottom == 2400


def test_a_small_window_of_another_app_is_anywhere_between_two_of_its_places() -> None:
    high = view(700, 300, 1000, 500, text="Watching", package="com.example.video")
    low = view(700, 1900, 1000, 2100, text="Watching", package="com.example.video")
    before, after = surveyed(app(TITLE), status_bar(), high), surveyed(app(TITLE), status_bar(), low)
    assert Bounds(700, 300, 1000, 2100) in [cover.bounds for cover in unsettled([before, after], SCREEN)]
    assert unsettled([after, after], SCREEN) == []


def test_what_moved_in_a_list_blocks_the_list_over_all_dumps() -> None:
    assert moved([surveyed(app(TITLE, CARD), status_bar())] * 3) == []
    assert moved([surveyed(app(TITLE, CARD), status_bar()), surveyed(app(TITLE), status_bar())]) is None


def test_a_screen_of_which_all_dumps_tell_may_slide() -> None:
    found = [surveyed(app(CARD))] * 2
    assert unsettled(found, SCREEN) == []
    (cover,) = unsettled(found, SCREEN, sliding=True)
    assert cover.bounds.top <= CARD.bounds.top
    assert cover.bounds.bottom == SCREEN.height


@pytest.mark.parametrize(
    ("before", "after", "is_another"),
    [
        ([TITLE, CARD], [TITLE, CARD], False),
        ([TITLE, CARD], [replace(TITLE, text="Done"), CARD], True),
        # A few keys are typed, or taken back.
        ([TITLE, CARD], [TITLE, replace(CARD, text="41112")], False),
        ([TITLE, CARD], [TITLE, replace(CARD, text="")], True),
        ([TITLE, CARD], [TITLE, replace(CARD, text="0815")], True),
        # Its hint is no content.
        ([TITLE, replace(CARD, text="Card")], [TITLE, replace(CARD, text="411")], False),
        # What stands in a list without private views is its own affair.
        ([TITLE, rows(0)], [TITLE, rows(50)], False),
        ([TITLE, rows(0, field(1500))], [TITLE, rows(50, field(1500))], True),
        ([TITLE, rows(0, field(1500))], [TITLE, rows(0, field(1460), offset=40)], False),
    ],
)
def test_a_screen_is_another_one_by_its_words_and_by_what_stands_in_its_inputs(
    before: list[Node], after: list[Node], is_another: bool
) -> None:
    assert altered([surveyed(app(*before)), surveyed(app(*after))]) is is_another


def test_lists_and_inputs_that_are_typed_in_change_by_themselves() -> None:
    first = surveyed(app(TITLE, CARD, rows(0)))
    assert lively([first, first]) == [PLACE]
    typed, other = (surveyed(app(TITLE, replace(CARD, text=text), rows(0))) for text in ("41112", "0815"))
    assert set(lively([first, typed])) == {PLACE, CARD.bounds}
    assert lively([first, other]) == [PLACE]
    assert lively([surveyed(app(TITLE, rows(0, field(1500))))]) == []


def test_a_private_view_that_stands_elsewhere_is_on_its_way() -> None:
    before, after = surveyed(app(TITLE, CARD)), surveyed(app(TITLE, replace(CARD, bounds=Bounds(40, 900, 1040, 1020))))
    (cover,) = unsettled([before, after], SCREEN)
    assert (cover.rule, cover.bounds.bottom) == ("settling", SCREEN.height)
    assert cover.bounds.top < CARD.bounds.top
    # One that went with its list is where its rows are; one that did not is anywhere in it.
    places = ((1500, 0), (1460, 40), (1300, 40), (1700, 0))
    inside = [surveyed(app(TITLE, rows(0, field(top), offset=offset))) for top, offset in places]
    assert unsettled(inside[:2], SCREEN) == []
    assert [cover.bounds for cover in unsettled(inside[1:3], SCREEN)] == [PLACE]
    assert [cover.bounds for cover in unsettled(inside[2:], SCREEN)] == [PLACE]

from __future__ import annotations

import string
from collections.abc import Iterable

from fakes.views import EDIT, SCREEN, app, view

from agent.replay.keypads import keypads
from agent.replay.rows import Row
from bridge.types import Bounds, Node

WHOLE = Bounds(0, 0, SCREEN.width, SCREEN.height)
PHONE = ["1", "2 ABC", "3 DEF", "4 GHI", "5 JKL", "6 MNO", "7 PQRS", "8 TUV", "9 WXYZ", "", "0"]


def rows_of(nodes: Iterable[Node]) -> list[Row]:
    """Views in a window, which is the first row."""
    nodes = list(nodes)
    window = app(*nodes)
    return [Row(window, -1, "w", window.bounds, ()), *(Row(n, 0, "", n.bounds, ()) for n in nodes)]


def keys(labels: Iterable[str], across: int = 3, top: int = 1200) -> list[Node]:
    """Labels of 60 pixels in cells of 200."""
    found = []
    for n, label in enumerate(labels):
        x, y = 100 + n % across * 200, top + n // across * 200
        found.append(view(x, y, x + 60, y + 60, text=label))
    return found


def test_a_keypad_is_silent_with_all_that_lies_in_it() -> None:
    between = view(290, 1410, 310, 1430, "android.widget.ImageView")
    beside = view(900, 300, 1000, 400, text="7")
    rows = rows_of([*keys(PHONE), between, beside])
    pads = keypads(rows, WHOLE)
    assert pads
    assert all(any(b.intersect(row.bounds) == row.bounds for b in pads) for row in rows[1:13] if row.node.text)
    hidden = [row.node.text for row in rows if row.hidden == "keypad"]
    assert hidden == [label for label in PHONE if label] + ["7"]
    assert (rows[0].below, rows[12].pad, rows[0].pad) == (True, True, False)
    # A label is in the middle of its key, which is touched up to half the way to the next.
    assert min(b.left for b in pads) < 100 - 50


def test_a_key_that_is_hidden_already_keeps_its_rule() -> None:
    rows = rows_of(keys(PHONE))
    rows[1].hidden = "text"
    assert keypads(rows, WHOLE)
    assert [row.hidden for row in rows[1:4]] == ["text", "keypad", "keypad"]


def test_a_keyboard_has_letters_beside_one_another_and_an_index_has_not() -> None:
    letters = string.ascii_uppercase
    assert keypads(rows_of(keys(letters, across=5, top=400)), WHOLE)
    assert keypads(rows_of(keys(letters, across=1, top=0)), Bounds(0, 0, 1080, 6000)) == []


def test_calculators_calendars_and_steps_are_no_keypads() -> None:
    digits = [str(n) for n in range(10)]
    assert keypads(rows_of(keys(digits)), WHOLE)
    assert keypads(rows_of(keys([*digits, "=", "÷"])), WHOLE) == []
    assert keypads(rows_of(keys([str(n) for n in range(1, 32)], across=5, top=400)), WHOLE) == []
    assert keypads(rows_of(keys(digits[:8])), WHOLE) == []
    # Units of a list are no letters of a key: they are alike.
    assert keypads(rows_of(keys([f"{n} KG" for n in digits])), WHOLE) == []
    assert keypads(rows_of(view(0, n * 100, 90, n * 100 + 60, EDIT, d) for n, d in enumerate(digits)), WHOLE) == []
    assert keypads([], WHOLE) == []

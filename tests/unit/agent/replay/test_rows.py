from __future__ import annotations

import pytest
from fakes.views import view

from agent.replay.rows import Row, root_of, taint, within, words_of
from bridge.types import Bounds, Node


def row(parent: int, node: Node | None = None) -> Row:
    node = node or view(0, 0, 9, 9)
    return Row(node, parent, "", node.bounds, ())


def test_what_is_hidden_is_noted_up_to_its_window_and_no_farther() -> None:
    rows = [row(-1), row(0), row(1), row(1), row(-1), row(4)]
    taint(rows, 2)
    assert [each.below for each in rows] == [True, True, True, False, False, False]
    taint(rows, 3)
    assert rows[3].below
    taint(rows, -1)
    assert [root_of(rows, i) for i in range(6)] == [0, 0, 0, 0, 4, 4]


@pytest.mark.parametrize(
    ("inner", "outer", "lies"),
    [
        (Bounds(1, 1, 2, 2), Bounds(0, 0, 3, 3), True), (Bounds(0, 0, 3, 3), Bounds(0, 0, 3, 3), True),
        (Bounds(1, 1, 4, 2), Bounds(0, 0, 3, 3), False), (Bounds(1, 1, 2, 2), None, False),
        (Bounds(1, 1, 2, 2), Bounds(1, 1, 1, 9), False),
    ],
)  # fmt: skip
def test_within(inner: Bounds, outer: Bounds | None, lies: bool) -> None:
    assert within(inner, outer) is lies


def test_a_view_says_its_text_or_its_description() -> None:
    assert words_of(row(-1, view(0, 0, 9, 9, text=" a ", desc="b"))) == "a"
    assert words_of(row(-1, view(0, 0, 9, 9, desc=" b"))) == "b"

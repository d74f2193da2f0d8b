from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.views import APP, DPI, EDIT, SCREEN, app, tree, view

from agent.model import MaskLevel
from agent.replay.echoes import echoes, grouped
from agent.replay.rows import Row
from agent.replay.survey import Survey, survey
from agent.replay.text import STARS, scrub
from bridge.types import Node, NodeFlag


def surveyed(*roots: Node, level: MaskLevel = "medium") -> Survey:
    return survey(tree(*roots), APP, level, SCREEN, DPI, frozenset(), str)


def rows_of(*nodes: Node) -> list[Row]:
    """Views in a window, which is the first row."""
    window = app(*nodes)
    return [Row(window, -1, "w", window.bounds, ()), *(Row(n, 0, f"{i}", n.bounds, ()) for i, n in enumerate(nodes))]


def test_what_is_typed_into_several_boxes_is_one_text() -> None:
    boxes = [view(i * 100, 200, i * 100 + 90, 300, EDIT, c) for i, c in enumerate("482913")]
    card = [view(i * 200, 400, i * 200 + 190, 500, EDIT, part) for i, part in enumerate(("4485", "2757"))]
    apart = view(0, 600, 900, 700, EDIT, "Anna Bell")
    label = view(0, 350, 900, 390, text="or")
    found = surveyed(app(*boxes[:3], label, *boxes[3:], apart, *card))
    assert found.secrets == ("Anna Bell", "4485", "2757", "482913", "44852757")
    assert found.hard == ()
    assert surveyed(app(boxes[0], apart, boxes[1])).secrets == ("Anna Bell",)
    pins = [replace(box, flags=box.flags | NodeFlag.PASSWORD) for box in boxes]
    assert surveyed(app(*pins), level="light").hard == ("482913",)


FOCUSED = NodeFlag.FOCUSED | NodeFlag.VISIBLE


@pytest.mark.parametrize("level", ["light", "medium"])
@pytest.mark.parametrize(("typed", "flags"), [("4829", FOCUSED), ("48", FOCUSED), ("••", FOCUSED | NodeFlag.PASSWORD)])
@pytest.mark.parametrize("small", [False, True])
def test_boxes_that_show_a_code_are_hidden_with_its_input(
    level: MaskLevel, typed: str, flags: NodeFlag, small: bool
) -> None:
    """Of React Native: an input of no size, or one to see through over the boxes."""
    said = typed if typed.isdigit() else "•8"
    boxes = [
        view(i * 200, 400, i * 200 + 180, 600, "android.view.ViewGroup", children=[
            view(i * 200 + 60, 440, i * 200 + 120, 560, text=c)
        ])
        for i, c in enumerate(said)
    ]  # fmt: skip
    field = view(*((0, 400, 1, 401) if small else (0, 400, 780, 600)), EDIT, typed, flags=flags, resource_id="otp")
    step = view(0, 100, 100, 200, text="3")
    found = surveyed(app(step, *boxes, field), level=level)
    labels = {node.label for node in found.nodes if node.label}
    # Of dots nobody knows for which views they stand.
    assert labels == ({"3", "*****"} if typed.isdigit() or not small else {"*****"})
    hidden = {p.bounds for p in found.private}
    for box in boxes:
        assert box.children[0].bounds in hidden or (field.bounds in hidden and not small)


def test_the_groups_of_a_number_on_the_picture_of_a_card_are_hidden() -> None:
    groups = [
        view(i * 200, 300, i * 200 + 180, 380, text=part) for i, part in enumerate(("4485", "2757", "42••", "••••"))
    ]
    back = view(800, 400, 900, 480, text="123")
    total = view(0, 500, 400, 580, text="1234")
    number = view(0, 1000, 1000, 1100, EDIT, "4485 2757 42", hint="Number")
    code = view(0, 1200, 500, 1300, EDIT, "123", hint="Code")
    amount = view(0, 1400, 500, 1500, EDIT, "2", hint="How many")
    found = surveyed(app(*groups, back, total, view(0, 600, 90, 680, text="2"), number, code, amount))
    assert {p.bounds for p in found.private if p.rule == "echo"} == {g.bounds for g in (*groups[:3], back)}
    assert [node.label for node in found.nodes if node.label and node.label != "*****"] == ["••••", "1234", "2"]


def test_a_view_that_repeats_what_was_typed_is_hidden() -> None:
    rows = rows_of(
        view(0, 100, 900, 200, text="Near Quellenweg 7"), view(0, 300, 900, 400, text="Quellen"),
        view(0, 500, 900, 600, "android.widget.ImageView", desc="map of quellenweg 7"),
        view(0, 700, 900, 700, text="Quellenweg 7"),
    )  # fmt: skip
    rows[1].hidden = "text"
    found = echoes(rows, {"Quellenweg 7": None})
    # One that is hidden is not told twice, and one of no size has no place.
    assert [(p.key, p.rule) for p in found] == [("2", "echo")]
    assert [row.hidden for row in rows] == ["", "text", "", "echo", "echo"]
    assert rows[0].below
    assert echoes(rows_of(view(0, 0, 9, 9, text="x")), {}) == []


def test_groups_of_a_number_in_a_line_are_one() -> None:
    parts = ("4539", "1488", "0343", "6467")
    line = [view(i * 200, 300, i * 200 + 180, 380, text=part) for i, part in enumerate(parts)]

    def clean(text: str) -> str:
        return STARS if scrub(text) != text else text

    assert [[row.node.text for row in found] for found in grouped(rows_of(*line), clean)] == [list(parts)]
    # Columns of a table are farther apart, and a line ends with a word.
    table = [view(i * 250, 300, i * 250 + 60, 380, text=part) for i, part in enumerate(parts)]
    assert list(grouped(rows_of(*table), clean)) == []
    assert list(grouped(rows_of(*line[:2], view(400, 300, 580, 380, text="and more"), *line[2:]), clean)) == []
    assert list(grouped(rows_of(*line[:2], view(400, 900, 580, 980, text="0343"), line[3]), clean)) == []

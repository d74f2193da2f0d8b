from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.views import APP, DPI, EDIT, SCREEN, SCROLL, app, status_bar, tree, view

from agent.model import MaskLevel
from agent.replay.survey import MAX_SCROLLS, Survey, survey
from bridge.types import Bounds, Node, NodeFlag


def surveyed(*roots: Node, level: MaskLevel = "medium", known: frozenset[str] = frozenset()) -> Survey:
    return survey(tree(*roots), APP, level, SCREEN, DPI, known, str)


def keys(found: Survey) -> dict[str, str]:
    return {node.label: node.key for node in found.nodes}


def test_keys_are_unique_and_stay_when_another_kind_of_sibling_comes() -> None:
    rows = [view(0, 100 * i, 99, 100 * i + 50, text=f"row {i}") for i in range(50)]
    first = surveyed(app(*rows))
    assert len({node.key for node in first.nodes}) == len(first.nodes)
    banner = view(0, 0, 99, 99, "android.widget.ImageView", desc="banner")
    second = surveyed(app(banner, *rows))
    assert keys(first).items() <= keys(second).items()


def test_bounds_are_clipped_and_empty_views_are_left_out() -> None:
    found = surveyed(
        app(
            view(-50, 2300, 2000, 2500, text="wide"),
            view(0, 3000, 100, 3100, text="below"),
            view(48, 1314, 1032, 989, EDIT, text="upside down"),
        )
    )
    assert [(n.label, n.bounds) for n in found.nodes if n.label] == [("wide", Bounds(0, 2300, 1080, 2400))]
    assert found.private == ()
    assert found.secrets == ("upside down",)


def test_views_that_say_nothing_are_left_out() -> None:
    layout = view(0, 0, 1080, 900, "android.view.ViewGroup", children=[view(0, 0, 99, 99, text="x")])
    assert [n.label for n in surveyed(app(layout)).nodes] == ["x"]


def test_private_views_know_what_scrolls_around_them() -> None:
    field = view(0, 300, 900, 400, EDIT, "x")
    inner = view(0, 200, 1000, 800, SCROLL, children=[field], flags=NodeFlag.SCROLLABLE)
    outer = view(0, 100, 1000, 2000, SCROLL, children=[inner], flags=NodeFlag.SCROLLABLE)
    (private,) = surveyed(app(outer)).private
    assert [bounds for _, bounds in private.scrolls] == [outer.bounds, inner.bounds]


def test_a_label_names_one_input() -> None:
    label = view(0, 100, 900, 200, text="First name")
    first, second = view(0, 200, 900, 300, EDIT, "Anna"), view(0, 300, 900, 400, EDIT, "Bell")
    found = surveyed(app(label, first, second), level="light")
    assert [(p.bounds, p.rule) for p in found.private] == [(second.bounds, "unknown-input")]


@pytest.mark.parametrize("sign", ["*", "\ue0be", "•"])
def test_a_sign_beside_a_label_is_none(sign: str) -> None:
    label, star = view(0, 100, 400, 200, text="Security code"), view(400, 100, 500, 200, text=sign)
    field = view(0, 200, 900, 300, EDIT, "123")
    assert [p.rule for p in surveyed(app(label, star, field), level="light").private] == ["private-input"]


def test_what_fills_a_field_is_a_secret_and_its_hint_is_not() -> None:
    filled = view(0, 100, 900, 200, EDIT, "Anna Bell", hint="Your name")
    empty = view(0, 200, 900, 300, EDIT, "Wohnort", hint="Wohnort")
    short = view(0, 300, 900, 400, EDIT, "abc")
    assert surveyed(app(filled, empty, short)).secrets == ("Anna Bell",)


def test_password_fields_are_told_by_key() -> None:
    field = view(0, 100, 900, 200, EDIT, "x", flags=NodeFlag.PASSWORD, hint="Your name")
    found = surveyed(app(field), level="light")
    assert found.passwords
    plain = replace(field, flags=NodeFlag.NONE)
    assert surveyed(app(plain), level="light").private == ()
    assert surveyed(app(plain), level="light", known=found.passwords).private[0].rule == "password"


def test_what_is_below_a_masked_view_is_masked() -> None:
    inner = view(10, 110, 500, 150, text="hidden words")
    found = surveyed(app(view(0, 100, 900, 200, EDIT, children=[inner])))
    assert "hidden words" not in repr(found.nodes)
    assert found.secrets == ("hidden words",)


def test_the_content_of_scrolling_views_is_told_apart() -> None:
    def page(*texts: str) -> Node:
        rows = [view(0, 100 * i, 900, 100 * i + 90, text=text) for i, text in enumerate(texts)]
        return app(view(0, 0, 1080, 2000, SCROLL, children=rows, flags=NodeFlag.SCROLLABLE))

    (a,) = surveyed(page("a", "b")).scrolling.values()
    (b,) = surveyed(page("b", "c")).scrolling.values()
    assert len(a) == len(b) == 2
    assert len(a & b) == 1


def test_deep_trees_are_fine() -> None:
    node = view(0, 100, 900, 200, EDIT, "deep down")
    for _ in range(3000):
        node = view(0, 0, 1080, 2400, "android.view.ViewGroup", children=[node])
    assert len(survey_of_root(node).private) == 1


def test_what_is_in_very_many_scrolling_views_is_noted_for_the_outermost() -> None:
    node = view(0, 100, 900, 200, EDIT, "typed", flags=NodeFlag.VISIBLE)
    for _ in range(3 * MAX_SCROLLS):
        node = view(0, 0, 1080, 2400, SCROLL, children=[node], flags=NodeFlag.SCROLLABLE)
    found = surveyed(app(node))
    assert len(found.scrolling) == len(found.private[0].scrolls) == MAX_SCROLLS


def survey_of_root(node: Node) -> Survey:
    dump = replace(tree(status_bar()), roots=(node, status_bar()))
    return survey(dump, APP, "medium", SCREEN, DPI, frozenset(), str)


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


def test_pictures_of_a_window_that_tells_all_words_by_descriptions_are_words() -> None:
    row = view(0, 400, 1080, 600, "android.widget.ImageView", desc="Anna Bell")
    title = view(0, 100, 1080, 240, "android.view.View", desc="Friends")
    field = view(0, 700, 1080, 800, EDIT, "hello")
    found = surveyed(app(title, row, field), level="conservative")
    assert [(p.bounds, p.rule) for p in found.private] == [
        (title.bounds, "text"), (row.bounds, "text"), (field.bounds, "editable"),
    ]  # fmt: skip
    assert surveyed(app(title, row, field)).private == found.private[2:]
    # Where words are told as such a description is none.
    native = surveyed(app(view(0, 0, 90, 90, text="Friends"), title, row), level="conservative")
    assert row.bounds not in {p.bounds for p in native.private}


def test_words_that_a_container_draws_on_a_picture_are_hidden() -> None:
    ground = view(0, 400, 1080, 800, "android.widget.ImageView", desc="Sunset")
    icon = view(20, 420, 120, 520, "android.widget.ImageView", desc="Heart")
    card = view(0, 400, 1080, 800, "android.view.View", desc="Balance 1,024", children=[ground, icon])
    found = surveyed(app(card, view(0, 0, 90, 90, "android.widget.Button", desc="Home")), level="conservative")
    parts = [p.bounds for p in found.private if p.bounds.top >= 400]
    assert sum(b.area for b in parts) == card.bounds.area - icon.bounds.area
    # What is typed has a view of its own anywhere.
    typed = surveyed(app(card, view(0, 0, 900, 90, EDIT, text="Anna")), level="conservative")
    assert [p.bounds for p in typed.private if p.bounds.top >= 400] == parts
    # Where words have views of their own a card's may just be scrolled away.
    found = surveyed(app(card, view(0, 0, 90, 90, text="Home")), level="conservative")
    assert [p.bounds for p in found.private if p.bounds.top >= 400] == []


def test_where_a_code_is_drawn_no_touch_is_told() -> None:
    lock = view(100, 400, 900, 1200, "android.view.View", resource_id="pattern-lock")
    found = surveyed(app(lock, view(0, 0, 900, 100, text="Draw your pattern")), level="light")
    assert [(p.bounds, p.kind, p.rule) for p in found.private] == [(lock.bounds, "block", "drawing")]
    assert lock.bounds in found.silent

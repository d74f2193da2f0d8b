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

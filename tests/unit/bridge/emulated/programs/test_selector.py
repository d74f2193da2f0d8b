from __future__ import annotations

from typing import Any

import pytest

from bridge.emulated.programs.selector import View, find, info, views
from bridge.emulated.world.views import View as Drawn
from bridge.emulated.world.views import Window, dump
from bridge.types import Bounds

_TREE = Drawn((0, 0, 100, 200), "android.widget.FrameLayout", res="app:id/root").add(
    Drawn((0, 0, 100, 50), "android.view.ViewGroup", res="app:id/row", tap="row").add(
        Drawn((0, 0, 50, 50), "android.widget.TextView", text="Sign in", desc="first"),
        Drawn((50, 0, 100, 50), "android.widget.TextView", text="Sign out\nnow", desc="second"),
    ),
    Drawn((0, 50, 100, 100), "android.widget.EditText", text="a.b", res="app:id/field", focused=True),
    Drawn((0, 100, 100, 150), "android.widget.TextView", text="Sign in", desc="third", scrolls=True),
)
VIEWS = views(dump([Window("com.app", _TREE)], 2.0, Bounds(0, 0, 200, 400), 0))


def names(found: list[View]) -> list[str]:
    return [view.attributes["content-desc"] or view.attributes["resource-id"].rpartition("/")[2] for view in found]


def test_every_view_parents_before_children() -> None:
    assert names(VIEWS) == ["root", "row", "first", "second", "field", "third"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({"text": "Sign in"}, ["first", "third"]),
        ({"textContains": "ign"}, ["first", "second", "third"]),
        ({"textStartsWith": "Sign o"}, ["second"]),
        ({"textMatches": "Sign .*"}, ["first", "second", "third"]),
        ({"textMatches": "Sign"}, []),
        ({"textContains": "a.b"}, ["field"]),
        ({"textContains": "axb"}, []),
        ({"className": "android.widget.EditText"}, ["field"]),
        ({"classNameMatches": ".*View"}, ["first", "second", "third"]),
        ({"description": "third"}, ["third"]),
        ({"descriptionStartsWith": "s"}, ["second"]),
        ({"resourceId": "app:id/row"}, ["row"]),
        ({"resourceIdMatches": ".*/r.*"}, ["root", "row"]),
        ({"packageName": "com.app", "text": "Sign in"}, ["first", "third"]),
        ({"packageName": "com.other"}, []),
        ({"clickable": True}, ["row"]),
        ({"clickable": False, "className": "android.view.ViewGroup"}, []),
        ({"focused": True}, ["field"]),
        ({"longClickable": True}, ["field"]),
        ({"scrollable": True}, ["third"]),
        ({"index": 1}, ["second", "field"]),
        ({"text": "Sign in", "instance": 1, "mask": 0x01000000}, ["third"]),
        ({"text": "Sign in", "instance": 2, "mask": 0x01000000}, []),
        ({"text": "Sign in", "instance": 1, "mask": 1}, ["first", "third"]),
        ({}, ["root", "row", "first", "second", "field", "third"]),
    ],
)
def test_which_views_fit(selector: dict[str, Any], found: list[str]) -> None:
    assert names(find(VIEWS, selector)) == found


@pytest.mark.parametrize(
    ("relation", "outer", "inner", "found"),
    [
        ("child", {"resourceId": "app:id/row"}, {"text": "Sign in"}, ["first"]),
        ("child", {"resourceId": "app:id/root"}, {"text": "Sign in"}, ["first", "third"]),
        ("child", {"description": "first"}, {"text": "Sign in"}, []),
        ("sibling", {"description": "first"}, {"textContains": "Sign"}, ["first", "second"]),
        ("sibling", {"resourceId": "app:id/field"}, {"clickable": True}, ["row"]),
    ],
)
def test_relations(relation: str, outer: dict[str, Any], inner: dict[str, Any], found: list[str]) -> None:
    selector = {**outer, "childOrSibling": [relation], "childOrSiblingSelector": [inner]}
    assert names(find(VIEWS, selector)) == found


def test_where_a_view_is() -> None:
    (second,) = find(VIEWS, {"description": "second"})
    assert second.box == (100, 0, 200, 100)
    assert second.centre == (150, 50)


def test_what_is_told_of_a_view() -> None:
    (row,) = find(VIEWS, {"clickable": True})
    told = info(row)
    assert told["bounds"] == told["visibleBounds"] == {"left": 0, "top": 0, "right": 200, "bottom": 100}
    assert (told["childCount"], told["className"], told["packageName"]) == (2, "android.view.ViewGroup", "com.app")
    assert (told["resourceName"], told["clickable"], told["longClickable"]) == ("app:id/row", True, False)
    (first,) = find(VIEWS, {"description": "first"})
    assert info(first)["resourceName"] is None
    assert (info(first)["text"], info(first)["contentDescription"]) == ("Sign in", "first")

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics import jsontext
from agent.analytics.alike import added
from agent.analytics.forms import Shown, shown

NONE: frozenset[tuple[str, ...]] = frozenset()


def more(own: Any, whole: Any, cut: bool = False, gap: bool = False) -> int | None:
    paths = frozenset({("properties",)})
    return added({"properties": own}, paths if cut else NONE, {"properties": whole}, paths if gap else NONE)


@pytest.mark.parametrize(
    ("own", "whole", "count"),
    [
        ({}, {"a": 1, "b": 2}, 2),
        ({"a": 1}, {"a": 1}, 0),
        ({"a": 1}, {"a": 2}, None),
        ({"a": 1}, {"b": 1}, None),
        ({"a": None}, {"a": "x"}, None),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, 0),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, None),
        ({"a": [{"sku": 1}]}, {"a": [{"sku": 1, "added": 2}]}, 0),
        ({"a": [{"sku": 1}]}, {"a": [{"sku": 2}]}, None),
        ({"a": [1]}, {"a": [1, 2]}, None),
        ({"a": [1, 2]}, {"a": [1]}, None),
        ({"a": []}, {"a": "x"}, None),
        ({"a": []}, {"a": {}}, None),
        # What the console prints in another way than JSON.
        ({"a": float("nan"), "b": float("inf")}, {"a": None, "b": None}, 0),
        ({"at": "2026-03-03T10:00:00Z"}, {"at": "2026-03-03T10:00:00.319Z"}, 0),
        ({"at": "2026-03-03T10:00:00.319Z"}, {"at": "2026-03-03T10:00:00Z"}, 0),
        ({"at": "2026-03-03T10:00:00.319Z"}, {"at": "2026-03-03T10:00:00.320Z"}, None),
        ({"at": "2026-03-03T10:00:00Z"}, {"at": "2026-03-03T10:00:01.319Z"}, None),
        ({"price": {"cents": 5}}, {"price": "0.05"}, 0),
    ],
)
def test_what_one_shows_is_in_the_other(own: object, whole: object, count: int | None) -> None:
    assert more(own, whole) == count


def test_what_is_not_shown_is_in_nobodys_way() -> None:
    assert more({"a": 1, "b": 2}, {"a": 1}) is None
    assert more({"a": 1, "b": 2}, {"a": 1}, gap=True) == 0
    assert more({"a": 1, "b": 2}, {"a": 3}, gap=True) is None
    assert more({"a": [1, None]}, {"a": [1, {}, 3]}, cut=True) == 0
    assert more({"a": [1, 2]}, {"a": [1, 3, 3]}, cut=True) is None
    assert more({"a": [1, 2, 3]}, {"a": [1, None]}, gap=True) == 0
    assert more({}, {"a": 1}, cut=True) == 0


@pytest.mark.parametrize("name", ["userId", "groupId", "previousId", "timestamp"])
def test_ids_and_times_that_differ_are_of_two_events(name: str) -> None:
    assert added({name: "x"}, NONE, {name: "x"}, NONE) == 0
    assert added({name: "x"}, NONE, {name: "y"}, {()}) is None
    assert added({name: "x"}, NONE, {}, NONE) is None
    assert added({name: "x"}, NONE, {}, {()}) == added({name: "x"}, NONE, {}, {(name,)}) == 0
    assert added({}, NONE, {name: "x"}, NONE) == 0


def test_traits_are_looked_at_as_well() -> None:
    assert added({"traits": {"a": 1}}, NONE, {"traits": {"a": 1, "b": 2}}, NONE) == 1
    assert added({"traits": {"a": 1}}, NONE, {"traits": {"a": 2}}, NONE) is None
    assert added({"traits": 1}, NONE, {"traits": {"a": 2}}, NONE) == added({}, NONE, {"traits": 1}, NONE) == 0


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab€\n\"'\\", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abcd"), JSONS, max_size=4), st.integers(0, 400), st.integers(0, 400))
def test_an_event_agrees_with_itself_however_it_is_cut(properties: dict[str, Any], one: int, two: int) -> None:
    text = json.dumps({"type": "track", "event": "Opened", "properties": properties, "messageId": "m"})
    whole = Shown(json.loads(text), NONE, "")
    cuts = [found for at in (one, two) if (found := shown(jsontext.read(text[:at]), "")) is not None]
    for each in cuts:
        assert added(each.value, each.gaps, whole.value, whole.gaps) is not None
        for other in cuts:
            assert added(each.value, each.gaps, other.value, other.gaps) is not None

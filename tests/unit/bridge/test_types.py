from __future__ import annotations

import dataclasses
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import types as module
from bridge.types import Bounds, Hierarchy, Node, NodeFlag, Size, Stamp

EDGE = st.integers(-50, 50)
BOUNDS = st.builds(Bounds, EDGE, EDGE, EDGE, EDGE)
NOWHERE = Bounds(0, 0, 0, 0)


def node(name: str, *children: Node) -> Node:
    return Node(NOWHERE, name, children=children)


def test_stamps_are_ordered_by_the_clock_that_is_never_set() -> None:
    early, late = Stamp(1, 900), Stamp(2, 100)
    assert early < late
    assert sorted([late, early]) == [early, late]
    assert Stamp(1, 900) == Stamp(1, 100)


def test_sizes_that_a_screen_can_have() -> None:
    assert all(Size(*sides).possible for sides in ((1, 1), (1080, 2400), (16_384, 4_096)))
    assert not any(Size(*sides).possible for sides in ((0, 1), (1, 0), (16_384, 4_097), (16_385, 1), (99_999, 99_999)))


def test_the_sides_of_a_rectangle() -> None:
    bounds = Bounds(10, 20, 40, 80)
    assert (bounds.width, bounds.height, bounds.area, bounds.empty) == (30, 60, 1800, False)
    turned = Bounds(40, 80, 10, 20)
    assert (turned.width, turned.height, turned.area, turned.empty) == (0, 0, 0, True)
    assert Bounds(0, 0, 0, 5).empty
    assert Bounds(0, 0, 5, 0).empty
    assert not Bounds(0, 0, 1, 1).empty


def test_right_and_bottom_are_outside() -> None:
    bounds = Bounds(10, 20, 40, 80)
    assert bounds.contains(10, 20)
    assert bounds.contains(39.9, 79.9)
    for x, y in ((9.9, 20), (10, 19.9), (40, 20), (10, 80)):
        assert not bounds.contains(x, y)


def test_common_part_and_hull() -> None:
    one, other = Bounds(0, 0, 10, 10), Bounds(5, -5, 20, 8)
    assert one.intersect(other) == Bounds(5, 0, 10, 8)
    assert one.union(other) == Bounds(0, -5, 20, 10)
    assert one.intersect(Bounds(10, 0, 20, 10)).empty


@given(BOUNDS, BOUNDS, EDGE, EDGE)
def test_a_point_is_in_the_common_part_if_it_is_in_both(one: Bounds, other: Bounds, x: int, y: int) -> None:
    both = one.contains(x, y) and other.contains(x, y)
    assert one.intersect(other).contains(x, y) == both
    assert one.intersect(other) == other.intersect(one)
    if one.contains(x, y) or other.contains(x, y):
        assert one.union(other).contains(x, y)


@given(BOUNDS, EDGE, EDGE)
def test_an_empty_rectangle_holds_no_point(bounds: Bounds, x: int, y: int) -> None:
    assert not (bounds.empty and bounds.contains(x, y))
    assert bounds.empty == (bounds.area == 0)


def test_views_come_parents_first_in_drawing_order() -> None:
    first = node("a", node("b", node("c"), node("d")), node("e"))
    assert [view.cls for view in first.walk()] == ["a", "b", "c", "d", "e"]
    dump = Hierarchy(Stamp(1, 1), 0, 0, (first, node("f")), 0)
    assert [view.cls for view in dump.walk()] == ["a", "b", "c", "d", "e", "f"]
    assert list(Hierarchy(Stamp(1, 1), 0, 0, (), 0).walk()) == []


def test_a_deep_tree_is_walked() -> None:
    deep = node("0")
    for number in range(1, 5000):
        deep = node(str(number), deep)
    assert sum(1 for _ in deep.walk()) == 5000


def test_flags_are_one_bit_each() -> None:
    bits = [flag.value for flag in NodeFlag]
    assert bits == [1 << n for n in range(len(bits))]
    assert NodeFlag.NONE == 0
    assert NodeFlag.PASSWORD in (NodeFlag.PASSWORD | NodeFlag.FOCUSED)


def test_facts_cannot_be_changed() -> None:
    kinds = [cls for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)]
    assert Size in kinds
    for cls in kinds:
        assert cls.__dataclass_params__.frozen, cls
        assert "__slots__" in vars(cls), cls
    with pytest.raises(dataclasses.FrozenInstanceError):
        Size(1, 2).width = 3  # type: ignore[misc]

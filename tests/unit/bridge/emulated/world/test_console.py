from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.world.console import UNDEFINED, inspect

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (UNDEFINED, "undefined"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (1.5, "1.5"),
        ("", "''"),
        ("words", "'words'"),
        ("it's", "'it\\'s'"),
        ('say "x"', "'say \"x\"'"),
        ("a\nb", "'a\\nb'"),
        ("back\\slash", "'back\\\\slash'"),
        ("ü🛒", "'ü🛒'"),
        ({}, "{}"),
        ([], "[]"),
        ([1, "a"], "[ 1, 'a' ]"),
        ({"a": 1, "_b2": None}, "{ a: 1, _b2: null }"),
        ({"a-b": 1, "2": 2, "": 3}, "{ 'a-b': 1, '2': 2, '': 3 }"),
        ({"a": {"b": [1]}}, "{ a: { b: [ 1 ] } }"),
        (object(), "{}"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert inspect(value) == text


def test_up_to_sixty_stands_on_one_line() -> None:
    one, two = "x" * 24, "y" * 24
    assert inspect({"a": one, "b": two}) == f"{{ a: '{one}', b: '{two}' }}"
    assert inspect({"a": one, "b": two + "y"}) == f"{{ a: '{one}',\n  b: '{two}y' }}"


def test_what_is_broken_inside_is_indented() -> None:
    inner = {"first": "x" * 30, "second": "y" * 30}
    text = inspect({"type": "track", "properties": inner})
    assert text == (f"{{ type: 'track',\n  properties: \n   {{ first: '{'x' * 30}',\n     second: '{'y' * 30}' }} }}")


def test_the_twelfth_level_is_not_shown() -> None:
    nest: Any = 1
    for _ in range(11):
        nest = {"a": nest}
    assert "[Object]" not in inspect(nest)
    assert inspect({"a": nest}).count("[Object]") == 1
    assert inspect([[[[[[[[[[[[1]]]]]]]]]]]]).count("[Object]") == 1


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_no_text_breaks_a_line(value: dict[str, Any]) -> None:
    text = inspect(value)
    assert text.startswith("{")
    assert text.endswith("}")
    # A newline is layout: the next line is indented, or ends a broken member's key.
    assert all(line.startswith("  ") for line in text.split("\n")[1:])

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.jsontext import MAX_DEPTH, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=5)


@given(OBJECTS, st.sampled_from([None, 2, 4, "\t"]), st.sampled_from(["", " and more", "\nnext line", "}"]))
def test_a_value_inside_a_text(value: dict[str, object], indent: int | str | None, after: str) -> None:
    text = json.dumps(value, indent=indent)
    reading = read("label: " + text + after, 7)
    assert (reading.value, reading.end, reading.reason) == (value, 7 + len(text), "")


@given(OBJECTS, st.integers(1, 300))
def test_a_cut_value_keeps_what_is_whole(value: dict[str, object], at: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    reading = read(text[: min(at, len(text) - 1)])
    assert reading.reason
    shown = reading.value
    assert shown is None or isinstance(shown, dict)
    for name, member in (shown or {}).items():
        assert name in value
        assert name in reading.open or member == value[name]


@given(st.text(max_size=60))
def test_any_text_ends_somewhere(text: str) -> None:
    reading = read(text)
    assert 0 <= reading.end <= len(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deep"),
        ('{"a" 1}', "grammar"),
        ('{"a":1]', "grammar"),
        ('{"a":' + "9" * 5000 + "}", "grammar"),
        ('{"a":1\n"b":2}', "cut"),
        ("", "cut"),
    ],
)
def test_what_is_no_value(text: str, reason: str) -> None:
    assert read(text).reason == reason


def test_depth_up_to_the_bound_is_read() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH).reason == ""


def test_lone_surrogates_are_replaced() -> None:
    assert read('{"a":"\\ud800","b":"\\ud83d\\ude80"}').value == {"a": "\ufffd", "b": "🚀"}


def test_numbers_too_large_for_a_double() -> None:
    assert read('{"a":1e999}').value == {"a": float("inf")}

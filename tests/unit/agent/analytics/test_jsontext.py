from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.inspect import Reading
from agent.analytics.jsontext import MAX_DEPTH, read

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['"', "\\", '{"a":', "]}", "a,b"]
)
SCALARS = (
    TEXTS | st.booleans() | st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)
CONTAINERS = st.lists(VALUES, max_size=4) | st.dictionaries(TEXTS, VALUES, max_size=4)


@given(
    CONTAINERS,
    st.sampled_from([None, 1, 2, "\t"]),
    st.booleans(),
    TEXTS,
    st.sampled_from(["", " and more", "\nnext", "}"]),
)
def test_what_json_wrote_is_read_back(
    value: object, indent: int | str | None, plain: bool, before: str, after: str
) -> None:
    text = json.dumps(value, ensure_ascii=plain, indent=indent)
    reading = read(before + text + after, len(before))
    assert (reading.value, reading.end, reading.reason) == (value, len(before) + len(text), "")


def prefix(ours: object, truth: object) -> None:
    """`ours` is what `truth` begins with."""
    if isinstance(ours, dict):
        assert isinstance(truth, dict)
        assert list(ours) == list(truth)[: len(ours)]
        for name in ours:
            prefix(ours[name], truth[name])
    elif isinstance(ours, list):
        assert isinstance(truth, list)
        assert len(ours) <= len(truth)
        for mine, theirs in zip(ours, truth, strict=False):
            prefix(mine, theirs)
    else:
        assert ours == truth
        assert type(ours) is type(truth)


@given(CONTAINERS, st.booleans(), st.data())
def test_a_value_that_is_cut_keeps_whole_members(value: object, plain: bool, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=plain)
    cut = data.draw(st.integers(0, len(text) - 1))
    reading = read(text[:cut])
    assert reading.reason == "cut"
    assert reading.end <= cut
    if cut:
        prefix(reading.value, value)


@given(st.text(max_size=200) | st.text('{}[]",:\\\n tfn0-1.e', max_size=80))
def test_any_text_is_a_reading(text: str) -> None:
    for start in (0, 3):
        reading = read(text, start)
        assert isinstance(reading, Reading)
        assert reading.end <= max(start, len(text))
        assert reading.reason or isinstance(reading.value, dict | list)


@pytest.mark.parametrize(
    ("text", "value", "open_", "reason"),
    [
        ('{"a":1,"b":{"c":[1,2', {"a": 1, "b": {"c": [1]}}, ("b", "c"), "cut"),
        ('{"a":1,"b":12', {"a": 1}, (), "cut"),
        ('{"a":1,"b":"x', {"a": 1}, (), "cut"),
        ('{"a":1,"b', {"a": 1}, (), "cut"),
        ('{"a":[{"b":1},{"c":', {"a": [{"b": 1}, {}]}, ("a", ""), "cut"),
        ('{"a":1,\n"b":2}', {"a": 1}, (), "cut"),
        ('{"a\\u00e9":{"b":1', {"aé": {}}, ("aé",), "cut"),
        ("", None, (), "cut"),
        ('{"a":1]', None, (), "grammar"),
        ("}", None, (), "grammar"),
        ('{"a" 1}', None, (), "grammar"),
        ('{"a":tru}', None, (), "grammar"),
        ('{"a":' + "9" * 5000 + "}", None, (), "grammar"),
    ],
)
def test_what_ends_early(text: str, value: object, open_: tuple[str, ...], reason: str) -> None:
    reading = read(text)
    assert (reading.value, reading.open, reading.reason) == (value, open_, reason)


def test_only_a_value_that_begins_with_a_line_break_spans_lines() -> None:
    assert read('{\n  "a": 1\n}').value == {"a": 1}
    assert read('{\n"a": 1\n}').reason == "cut"
    assert read('{"a": 1,\n  "b": 2}').value == {"a": 1}
    assert read('{\n  "a": 1,\nnext').value == {"a": 1}


def test_lone_surrogates() -> None:
    assert read('{"a":"\\ud83d\\ude00 \\ud83d"}').value == {"a": "😀 \ufffd"}


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    assert read(nested(MAX_DEPTH)).reason == ""
    assert read(nested(MAX_DEPTH + 1)).reason == "nested too deep"
    assert read('{"a":' * 100_000).reason == "nested too deep"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    ['{"' + "\\" * 200_001, '{"a":"' + "x" * 500_000, "[" + '"' * 200_001, "[" + "1" * 200_000, "[" + "," * 200_000,
     "[" + " " * 200_000, "{" + '"a":1,' * 50_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_texts_made_to_keep_a_reader_busy(text: str) -> None:
    assert read(text).reason


def test_numbers_keep_their_type() -> None:
    value: Any = read('{"a":1760000000123,"b":1.5,"c":1.0,"d":-0}').value
    assert [type(each) for each in value.values()] == [int, float, float, int]


def test_numbers_too_large_for_a_double() -> None:
    assert read('{"a":1e999}').value == {"a": float("inf")}

"""The reader of the console's text against a printer written here by the rules of React Native's `inspect`."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.inspect import MAX_DEPTH, Marker, Reading, parse, unquote

UNDEFINED = Marker("undefined")
NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
NAME = NAME_FIRST | frozenset("0123456789")


def quoted(text: str) -> str:
    body = json.dumps(text, ensure_ascii=False)[1:-1]
    return "'" + body.replace("'", "\\'").replace('\\"', '"') + "'"


def number(value: int | float) -> str:
    if isinstance(value, float) and (math.isinf(value) or math.isnan(value)):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def printed(value: object) -> str:
    """A value as the console prints it: short members on one line, else one on each, texts in single quotes."""
    if isinstance(value, Marker):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, dict):
        opening, closing = "{}"
        members = [member(name, printed(each)) for name, each in value.items()]
    else:
        assert isinstance(value, list)
        opening, closing = "[]"
        members = ["\n".join(f"  {line}" for line in text.split("\n"))[2:] for text in map(printed, value)]
    if not members:
        return opening + closing
    if sum(len(each) + 1 for each in members) > 60:
        return opening + " " + ",\n  ".join(members) + " " + closing
    return opening + " " + ", ".join(members) + " " + closing


def member(name: str, text: str) -> str:
    bare = name and name[0] in NAME_FIRST and all(letter in NAME for letter in name)
    label = name if bare else quoted(name)
    if "\n" not in text:
        return f"{label}: {text}"
    return f"{label}: \n" + "\n".join(f"   {line}" for line in text.split("\n"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MARKERS = st.sampled_from(
    [UNDEFINED, Marker("[Object]"), Marker("[Circular]"), Marker("[Array]"), Marker("[Getter]"),
     Marker("[TOO BIG formatValueCalls 201 exceeded limit of 200]"), Marker("[Function: onPress]"),
     Marker("[Function]"), Marker("[Error: it failed]"),
     Marker("Tue Mar 03 2026 11:00:00 GMT+0100"), Marker("/a[/]b\\/c/gi")]
)  # fmt: skip
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none() | MARKERS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS | st.sampled_from(["type", "event"]), inner),
    max_leaves=25,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, min_size=1, max_size=5)


@given(VALUES)
def test_what_is_printed_is_read_back(value: object) -> None:
    text = printed(value)
    reading = parse(text)
    assert (reading.reason, reading.end, reading.open) == ("", len(text), ())
    same(reading.value, value)


def same(ours: object, truth: object) -> None:
    """Equal in value and in what kind of value it is."""
    if isinstance(truth, dict):
        assert isinstance(ours, dict)
        assert list(ours) == list(truth)
        for name in truth:
            same(ours[name], truth[name])
    elif isinstance(truth, list):
        assert isinstance(ours, list)
        assert len(ours) == len(truth)
        for mine, theirs in zip(ours, truth, strict=True):
            same(mine, theirs)
    else:
        assert ours == truth
        assert isinstance(ours, Marker) == isinstance(truth, Marker)
        assert isinstance(ours, bool) == isinstance(truth, bool)


@given(VALUES, st.text(max_size=20), st.sampled_from(["", ", ", ", 'more'", "\nmore"]))
def test_a_value_within_a_text(value: object, before: str, after: str) -> None:
    text = printed(value)
    reading = parse(before + text + after, len(before))
    assert (reading.reason, reading.end) == ("", len(before) + len(text))


@given(OBJECTS, st.data())
def test_a_value_that_is_cut_says_so(value: dict[str, object], data: st.DataObject) -> None:
    text = printed(value)
    kept = text[: data.draw(st.integers(0, len(text) - 1))]
    reading = parse(kept)
    assert reading.reason
    assert reading.end <= len(kept)
    # What is there is what was printed, as far as it goes.
    prefix(reading.value, value)


def prefix(ours: object, truth: object) -> None:
    if isinstance(ours, dict):
        assert isinstance(truth, dict)
        assert list(ours) == list(truth)[: len(ours)]
        for name in ours:
            prefix(ours[name], truth[name])
    elif isinstance(ours, list):
        assert isinstance(truth, list)
        for mine, theirs in zip(ours, truth, strict=False):
            prefix(mine, theirs)
    elif ours is not None:
        same(ours, truth)


@given(st.text(max_size=200) | st.text("{}[]', :\\\n \tabu0-1.e/", max_size=80), st.integers(0, 20))
def test_any_text_is_a_reading(text: str, start: int) -> None:
    reading = parse(text, start)
    assert isinstance(reading, Reading)
    assert reading.reason or reading.end <= len(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("[]", []),
        ("[ 1, , 3 ]", [1, None, 3]),
        ("{ a: 1, 'b c': [ 'x' ] }", {"a": 1, "b c": ["x"]}),
        ("{ '1': 'it\\'s', a: '\"q\"' }", {"1": "it's", "a": '"q"'}),
        ("{ a: '\\u0000\\n\\\\', b: 1e-7, c: -Infinity }", {"a": "\0\n\\", "b": 1e-7, "c": -math.inf}),
        ("12345678901234567000", 12345678901234567000),
        ("1e+21", 1e21),
        ("{ type: 'track',\n  properties: \n   { id: 'sku',\n     tags: [ 'a', 'b' ] } }",
         {"type": "track", "properties": {"id": "sku", "tags": ["a", "b"]}}),
        ("[ 1, 2, extra: 'dropped' ]", [1, 2]),
        ("{ [Error: failed: { x }]\n  type: 11 }", {"type": 11}),
        ("{ [Function: f] a: 1 }", Marker("[Function: f]")),
        ("'😀 \\ud83d\\ude00 \\ud83d'", "😀 😀 \ufffd"),
    ],
)  # fmt: skip
def test_readings(text: str, value: object) -> None:
    reading = parse(text)
    assert (reading.reason, reading.end) == ("", len(text))
    same(reading.value, value)


def test_nan() -> None:
    value = parse("{ a: NaN }").value
    assert isinstance(value, dict)
    assert math.isnan(value["a"])


@pytest.mark.parametrize(
    ("text", "value", "open_", "reason"),
    [
        ("{ a: 1, b: 12", {"a": 1}, (), "cut"),
        ("{ a: 1, b: 'x", {"a": 1}, (), "cut"),
        ("{ a: 1, b: \n   { c: 2,\n     d: [ 3, 4", {"a": 1, "b": {"c": 2, "d": [3]}}, ("b", "d"), "cut"),
        ("{ a: 1 x }", {"a": 1}, (), "grammar"),
        ("{ a: tru, b: 1 }", {}, (), "grammar"),
        ("{ a: 1,\nnext line }", {"a": 1}, (), "grammar"),
        ("", None, (), "cut"),
        ("'abc", None, (), "cut"),
    ],
)
def test_what_ends_early(text: str, value: object, open_: tuple[str, ...], reason: str) -> None:
    reading = parse(text)
    assert (reading.value, reading.open, reading.reason) == (value, open_, reason)


@pytest.mark.parametrize(
    ("text", "hidden", "absent", "value"),
    [
        ("[Object]", True, False, None),
        ("[Array]", True, False, None),
        ("[Circular]", True, False, None),
        ("[Getter/Setter]", True, False, None),
        ("[TOO BIG formatValueCalls 201 exceeded limit of 200]", True, False, None),
        ("undefined", False, True, None),
        ("[Function: a b]", False, True, None),
        ("[Error: x]", False, False, {}),
        ("/x/g", False, False, {}),
        ("Invalid Date", False, False, None),
        ("Tue Mar 03 2026 11:00:00 GMT+0100", False, False, "2026-03-03T10:00:00Z"),
        ("Tue Mar 03 2026 11:00:00 GMT+0100 (Central European Standard Time)", False, False, "2026-03-03T10:00:00Z"),
        ("Tue, 03 Mar 2026 10:00:00 GMT", False, False, "2026-03-03T10:00:00Z"),
        ("Tue Mar 03 12026 11:00:00 GMT+0100", False, False, "Tue Mar 03 12026 11:00:00 GMT+0100"),
    ],
)
def test_placeholders(text: str, hidden: bool, absent: bool, value: object) -> None:
    reading = parse(f"{{ a: {text}, b: 1 }}")
    assert reading.value == {"a": text, "b": 1}
    found = reading.value["a"]  # type: ignore[index]
    assert isinstance(found, Marker)
    assert (found.hidden, found.absent, found.json) == (hidden, absent, value)


def test_a_string_that_reads_like_a_placeholder_is_a_string() -> None:
    value = parse("{ a: '[Circular]', b: 'undefined' }").value
    assert isinstance(value, dict)
    assert not any(isinstance(each, Marker) for each in value.values())


def test_depth_is_bounded() -> None:
    fits = "[ " * MAX_DEPTH + "1" + " ]" * MAX_DEPTH
    assert parse(fits).reason == ""
    assert parse("[ " + fits + " ]").reason == "nested too deep"
    assert parse("{ a: " * 100_000).reason == "nested too deep"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[a" * 100_000, "[ [x" + "]" * 100_000, "'" + "\\" * 100_001, "{ '" * 50_000, " " * 200_000,
     "[ " + ", " * 100_000, "/" + "[" * 100_000, "/" + "a" * 100_000, "{ a: " + "1" * 100_000,
     "{ a: " + "\n  " * 70_000, "[ " + "[a]]" * 50_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_texts_made_to_keep_a_reader_busy(text: str) -> None:
    parse(text)


@given(TEXTS)
def test_unquote(text: str) -> None:
    assert unquote(quoted(text)[1:-1]) == text

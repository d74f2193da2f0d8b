"""Both ids against the plugin's rules: a table written by hand, and the rules run in real JavaScript.

The expected numbers are those of amplitude/Amplitude-TypeScript, `segment-session-replay-plugin.ts`.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from fakes.node import program
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.identity import (
    FROM_ANONYMOUS,
    FROM_CONTEXT,
    FROM_INTEGRATIONS,
    FROM_PROPERTIES,
    device_from,
    device_id,
    effective_session,
    js_number,
    session_from,
    session_id,
)

KINDS = ("track", "screen", "identify", "group", "alias")
INF, NAN = math.inf, math.nan
MS = 1_760_000_000_123

# A JSON text, and JavaScript's Number() of it (NaN where it is no number).
NUMBERS: list[tuple[str, float]] = [
    ("0", 0), ("-0", -0.0), ("1", 1), ("-1", -1), ("-7", -7), ("12.5", 12.5), ("-12.9", -12.9), ("1e3", 1000),
    ("1E-2", 0.01), ("1e21", 1e21), ("1e308", 1e308), ("1e309", INF), ("-1e309", -INF), ("5e-324", 5e-324),
    ("1e-400", 0), ("1760000000123", MS), ("1760000000123.0", MS), ("1760000000123.9", 1760000000123.9),
    ("9007199254740991", 9007199254740991), ("9007199254740992", 9007199254740992),
    ("9007199254740993", 9007199254740992), ("9223372036854775807", 9223372036854775808),
    ("9223372036854775808", 9223372036854775808), ("-9223372036854775809", -9223372036854775808),
    ("18446744073709551616", 18446744073709552000), ("123456789012345678901234567890", 1.2345678901234568e29),
    ("null", 0), ("true", 1), ("false", 0),
    ('""', 0), ('" "', 0), ('"\\t\\n\\r"', 0), ('"\\u00a0"', 0), ('"\\ufeff"', 0), ('"\\u2028\\u2029"', 0),
    ('"\\u3000"', 0), ('"\\u1680\\u2000\\u200a\\u202f\\u205f"', 0), ('"\\u200b"', NAN), ('"\\u180e"', NAN),
    ('"\\u0085"', NAN), ('"\\u001c"', NAN), ('"\\u000b\\u000c"', 0), ('"\\u0000"', NAN), ('"0"', 0), ('"-0"', -0.0),
    ('"+0"', 0), ('"1"', 1), ('"-5"', -5), ('"+5"', 5), ('"--5"', NAN), ('"+-5"', NAN), ('"- 5"', NAN),
    ('" 12 "', 12), ('"\\n12\\t"', 12), ('"\\u00a012\\ufeff"', 12), ('"1 2"', NAN), ('".5"', 0.5), ('"5."', 5),
    ('"-.5"', -0.5), ('"."', NAN), ('"+."', NAN), ('"-"', NAN), ('"+"', NAN), ('"e5"', NAN), ('".e5"', NAN),
    ('"5.e1"', 50), ('".5e1"', 5), ('"1e3"', 1000), ('"1E+3"', 1000), ('"1e-3"', 0.001), ('"1e"', NAN),
    ('"1e+"', NAN), ('"1e1.5"', NAN), ('"1e 3"', NAN), ('"1e400"', INF), ('"-1e400"', -INF), ('"1e-400"', 0),
    ('"0x1F"', 31), ('"0X1f"', 31), ('"0x"', NAN), ('"0xg"', NAN), ('"-0x1F"', NAN), ('"+0x1F"', NAN),
    ('" 0x1F "', 31), ('"0x1.8"', NAN), ('"0x1_0"', NAN), ('"0xffffffffffffffff"', 18446744073709552000),
    ('"0x20000000000001"', 9007199254740992), ('"0b101"', 5), ('"0B101"', 5), ('"0b102"', NAN), ('"-0b1"', NAN),
    ('"0b"', NAN), ('"0o17"', 15), ('"0O17"', 15), ('"0o18"', NAN), ('"0o"', NAN), ('"017"', 17), ('"08"', 8),
    ('"00x1"', NAN), ('"x1"', NAN), ('"1n"', NAN), ('"1_000"', NAN), ('"1,000"', NAN), ('"12px"', NAN),
    ('"$1"', NAN), ('"1/2"', NAN), ('"1%"', NAN), ('"abc"', NAN), ('"NaN"', NAN), ('"nan"', NAN), ('"true"', NAN),
    ('"false"', NAN), ('"null"', NAN), ('"undefined"', NAN), ('"Infinity"', INF), ('"+Infinity"', INF),
    ('"-Infinity"', -INF), ('" Infinity "', INF), ('"infinity"', NAN), ('"INFINITY"', NAN), ('"Inf"', NAN),
    ('"inf"', NAN), ('"-inf"', NAN), ('"Infinityx"', NAN), ('"1760000000123"', MS),
    ('"1760000000123.9"', 1760000000123.9),
    ('"9007199254740993"', 9007199254740992), ('"18446744073709551616"', 18446744073709552000),
    ('"00000000000000000000001"', 1), ('"0.1e1"', 1), ('"\\u0661"', NAN), ('"\\uff11"', NAN), ('"\\u00b2"', NAN),
    ('"\\u2212 1"', NAN), ('"1\\u0000"', NAN), ('"\\ud83d\\ude00"', NAN), ('"0.0000000000000000000000001"', 1e-25),
    ('"4.35"', 4.35), ('"0.30000000000000004"', 0.30000000000000004),
    ("[]", 0), ("[null]", 0), ("[5]", 5), ('["7"]', 7), ("[[8]]", 8), ('[["0x10"]]', 16), ("[1,2]", NAN),
    ('["abc"]', NAN), ("[[]]", 0), ("[[[]]]", 0), ("[true]", NAN), ("[false]", NAN), ("[-0]", 0), ("[[-0]]", 0),
    ('["-0"]', -0.0), ("[{}]", NAN), ("[null,null]", NAN), ('[""]', 0), ('[" 9 "]', 9), ("[1e21]", 1e21),
    ("[[1,2]]", NAN), ("[12.5]", 12.5), ("{}", NAN), ('{"a":1}', NAN), ('{"valueOf":5}', NAN), ('{"length":0}', NAN),
]  # fmt: skip


def same(ours: object, theirs: object) -> bool:
    """Equal as JavaScript's Object.is of numbers, an int and a float of the same value alike."""
    if isinstance(ours, bool) or isinstance(theirs, bool) or not isinstance(ours, int | float):
        return type(ours) is type(theirs) and ours == theirs
    if not isinstance(theirs, int | float):
        return False
    a, b = float(ours), float(theirs)
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b and math.copysign(1, a) == math.copysign(1, b)


def js(text: str) -> Any:
    """A JSON text as JavaScript reads it: minus zero is a number of its own."""
    return json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))


def test_the_table_is_long_enough() -> None:
    assert len(NUMBERS) >= 150
    assert len({text for text, _ in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_a_property_is_taken_as_javascript_s_number(text: str, number: float) -> None:
    value = js(text)
    assert same(js_number(value), number)
    expected = -1 if math.isnan(number) else number
    for kind in KINDS:
        event = {"type": kind, "properties": {"session_id": value}}
        assert same(session_id(event), expected if kind in ("track", "screen") else -1), kind
        assert session_from(event) == (FROM_PROPERTIES if kind in ("track", "screen") else "")


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_an_integration_s_value_is_taken_as_it_is(text: str, number: float) -> None:
    value = js(text)
    for kind in KINDS:
        event = {
            "type": kind,
            "integrations": {"Actions Amplitude": {"session_id": value}},
            "properties": {"session_id": 77},
        }
        if value is None:
            assert session_id(event) == (77 if kind in ("track", "screen") else -1)
        else:
            found = session_id(event)
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert same(found, number)
            else:
                assert type(found) is type(value)
                assert found == json.loads(text, parse_int=float)
            assert session_from(event) == FROM_INTEGRATIONS


@pytest.mark.parametrize(
    "destination", [True, False, "x", 1, 0, [], [1], {}, None, {"session_id": None}, {"sessionId": 5}]
)
def test_an_integration_without_an_id_lets_the_property_through(destination: object) -> None:
    event = {"type": "track", "integrations": {"Actions Amplitude": destination}, "properties": {"session_id": "8"}}
    assert session_id(event) == 8


@pytest.mark.parametrize("name", ["Amplitude", "actions amplitude", "Actions  Amplitude", "Actions Amplitude "])
def test_only_the_actions_destination_counts(name: str) -> None:
    assert session_id({"type": "track", "integrations": {name: {"session_id": 5}}}) == -1


@pytest.mark.parametrize("properties", [None, [], [1], "session_id", 5, True, {}])
def test_properties_without_an_id(properties: object) -> None:
    event = {"type": "screen", "properties": properties}
    assert session_id(event) == -1
    assert session_from(event) == ""


def test_the_session_plugin_s_own_minus_one_blocks_the_property() -> None:
    event = {
        "type": "track",
        "integrations": {"Actions Amplitude": {"session_id": -1}},
        "properties": {"session_id": MS},
    }
    assert session_id(event) == -1
    assert session_from(event) == FROM_INTEGRATIONS


DEVICES = ["d1", "", " padded ", 0, 1.5, False, True, [], ["x"], {}, {"a": 1}, "\ud83d\ude00", "a/b", "null"]


@pytest.mark.parametrize("value", DEVICES)
@pytest.mark.parametrize("anonymous", ["a1", "", None])
def test_the_device_falls_back_on_nothing_only(value: object, anonymous: object) -> None:
    for kind in KINDS:
        event = {"type": kind, "context": {"device": {"id": value}}, "anonymousId": anonymous}
        assert type(device_id(event)) is type(value)
        assert device_id(event) == value
        assert device_from(event) == FROM_CONTEXT


@pytest.mark.parametrize("context", [None, {}, {"device": None}, {"device": {}}, {"device": {"id": None}}, "x", 5, []])
def test_without_a_device_the_anonymous_id_is_it(context: object) -> None:
    for anonymous in ("a1", "", 0, False):
        event = {"context": context, "anonymousId": anonymous}
        assert device_id(event) is anonymous
        assert device_from(event) == FROM_ANONYMOUS
    assert device_id({"context": context, "anonymousId": None}) is None
    assert device_id({"context": context}) is None
    assert device_from({"context": context}) == ""


@pytest.mark.parametrize(
    ("value", "effective"),
    [
        (MS, MS), (MS + 0.9, MS), (1, 1), (0.9, -1), (0, -1), (-0.0, -1), (-1, -1), (-5.5, -1), (NAN, -1),
        (INF, 2**63 - 1), (-INF, -1), (2.0**63, 2**63 - 1), (2**80, 2**63 - 1), (-(2**80), -1), ("1760000000123", -1),
        (True, -1), (False, -1), (None, -1), ([5], -1), ({}, -1), ("", -1),
    ],
)  # fmt: skip
def test_the_id_that_counts(value: object, effective: int) -> None:
    assert effective_session(value) == effective


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON, JSON)
def test_any_values_give_ids_and_no_exception(integrations: object, properties: object, context: object) -> None:
    event = {"type": "track", "integrations": integrations, "properties": properties, "context": context}
    assert session_id(event) is not None
    assert isinstance(effective_session(session_id(event)), int)
    device_id(event)


# What the plugin does, in the language it is written in: the rules of sections 1.4 and 1.5 of the notes, not its code.
ORACLE = """
const rows = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const say = (v) => typeof v === 'number' ? (Object.is(v, -0) ? '-0' : String(v)) : v === undefined ? null : v;
const session = (e) => {
  const held = e?.integrations?.['Actions Amplitude']?.session_id;
  if (held !== undefined && held !== null) return held;
  if (e.type !== 'track' && e.type !== 'screen') return -1;
  const n = Number(e?.properties?.session_id);
  return Number.isNaN(n) ? -1 : n;
};
console.log(JSON.stringify(rows.map((text) => {
  const e = JSON.parse(text);
  return [say(session(e)), say(e?.context?.device?.id ?? e?.anonymousId ?? null)];
})));
"""


def _events() -> list[str]:
    texts = [text for text, _ in NUMBERS]
    rows = []
    for kind in KINDS:
        for text in texts:
            rows += [
                f'{{"type":"{kind}","properties":{{"session_id":{text}}},"anonymousId":{text}}}',
                f'{{"type":"{kind}","integrations":{{"Actions Amplitude":{{"session_id":{text}}}}},'
                f'"properties":{{"session_id":"9"}},"context":{{"device":{{"id":{text}}}}},"anonymousId":"a"}}',
                f'{{"type":"{kind}","integrations":{{"Actions Amplitude":{text}}},"properties":{{"session_id":4}},'
                f'"context":{{"device":{text}}},"anonymousId":"a"}}',
                f'{{"type":"{kind}","integrations":{text},"properties":{text},"context":{text}}}',
            ]
    return rows


def test_javascript_agrees() -> None:
    rows = _events()
    done = subprocess.run(
        [program(), "-e", ORACLE], input=json.dumps(rows), capture_output=True, text=True, timeout=60, check=True
    )
    for text, (session, device) in zip(rows, json.loads(done.stdout), strict=True):
        event: Mapping[str, Any] = js(text)
        for ours, theirs in ((session_id(event), session), (device_id(event), device)):
            if isinstance(ours, int | float) and not isinstance(ours, bool):
                assert same(ours, float(theirs)), (text, ours, theirs)
            else:
                assert json.loads(json.dumps(ours), parse_int=float) == json.loads(
                    json.dumps(theirs), parse_int=float
                ), (text, ours, theirs)


# What a Python reader of JSON gives for an integer is exact; what the plugin sees of it is a double.
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("9007199254740993", 9007199254740992),
        ("-9007199254740993", -9007199254740992),
        ("18446744073709551615", 18446744073709551616),
        ("[9007199254740993]", [9007199254740992]),
        ('{"a":[9007199254740993]}', {"a": [9007199254740992]}),
        ("1" + "0" * 400, INF),
    ],
)
def test_a_number_of_an_integration_or_a_device_is_a_double_at_any_depth(text: str, seen: object) -> None:
    value = json.loads(text)
    assert session_id({"integrations": {"Actions Amplitude": {"session_id": value}}}) == seen
    assert device_id({"context": {"device": {"id": value}}}) == seen
    assert device_id({"anonymousId": value}) == seen


def test_a_long_text_of_digits_is_read_in_time_of_its_length() -> None:
    assert math.isnan(js_number("1" * 300_000 + "x"))

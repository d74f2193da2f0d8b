from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.relay import batch as module
from agent.relay.batch import Unreadable, basic_key, enriched, inflate, read

TEXT = '{ "batch" : [ {"type":"track","n":1e3,"big":12345678901234567890123,"properties":{"a":1.0}} ],"writeKey":"K-1"}'

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.lists(
    st.fixed_dictionaries({"type": st.just("track")}, optional={"properties": VALUES, "context": VALUES}), max_size=4
)


def marked(event: Mapping[str, object]) -> Mapping[str, object]:
    properties = event.get("properties")
    return {**event, "properties": {**(properties if isinstance(properties, Mapping) else {}), "mark": "m"}}


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_reads_events_and_key() -> None:
    found = read(TEXT.encode(), "")
    assert found.write_key == "K-1"
    assert found.events[0]["big"] == 12345678901234567890123
    assert found.text == TEXT


def test_enrichment_changes_nothing_but_the_property() -> None:
    assert enriched(read(TEXT.encode(), ""), marked) == TEXT.replace('{"a":1.0}', '{"a":1.0,"mark":"m"}')


@pytest.mark.parametrize(
    ("event", "becomes"),
    [
        ('{"type":"track"}', '{"type":"track","properties":{"mark":"m"}}'),
        ("{ }", '{ "properties":{"mark":"m"}}'),
        ('{"properties": {} }', '{"properties": {"mark":"m"} }'),
        ('{"properties": null}', '{"properties": {"mark":"m"}}'),
        ('{"properties": [1]}', '{"properties": {"mark":"m"}}'),
        ('{"properties":{"mark": 1, "b":2}}', '{"properties":{"mark": "m", "b":2}}'),
        ('{"properties":{"mark":"m"}}', '{"properties":{"mark":"m"}}'),
        ('{"properties":1,"properties":{"z":0}}', '{"properties":1,"properties":{"z":0,"mark":"m"}}'),
        ('{"properties":{"mark":1,"mark":2}}', '{"properties":{"mark":1,"mark":"m"}}'),
    ],
)
def test_where_the_property_goes(event: str, becomes: str) -> None:
    text = f'{{"batch":[{event}, {event}]}}'
    assert enriched(read(text.encode(), ""), marked) == f'{{"batch":[{becomes}, {becomes}]}}'


# Drawing is slow on a busy machine; that is no fault of the code.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(EVENTS, st.booleans())
def test_an_enriched_body_is_the_body_with_enriched_events(events: list[dict[str, Any]], ascii_only: bool) -> None:
    text = json.dumps(
        {"x": [1], "batch": events, "writeKey": "K"}, ensure_ascii=ascii_only, indent=1 if ascii_only else None
    )
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        return
    found = read(text.encode(), "")
    assert json.loads(enriched(found, marked)) == {
        "x": [1],
        "batch": [marked(event) for event in events],
        "writeKey": "K",
    }
    assert enriched(found, lambda event: event) == text


def test_half_a_surrogate_pair_in_the_added_value_is_sendable() -> None:
    found = read(rb'{"batch":[{"type":"track"}]}', "")
    text = enriched(found, lambda event: {**event, "properties": {"id": "\ud83d"}})
    assert r'"\ud83d"' in text
    text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"batch"',
        b'{"batch":',
        b'{"batch":[',
        b'{"batch":[]',
        b'{"batch":[],}',
        b'{"batch":[1]}',
        b'{"batch":{}}',
        b'{"batch":[{"a":NaN}]}',
        b'{"batch":[{"a":-Infinity}]}',
        b'{"batch":[]} {}',
        b"{1:2}",
        b'{"batch" []}',
        b'{"batch":[] "a":1}',
        b"\xff\xfe",
        b'{"batch":' + b"[" * 200_000,
        b'{"batch":[{"a":' + b"9" * 10_000 + b"}]}",
    ],
)
def test_what_is_no_batch_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read(data, "")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for encoding in ("", "gzip", "deflate"):
        try:
            read(data, encoding)
        except Unreadable:
            continue


@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]")])
def test_events_are_read_as_deep_as_they_can_be_written(brackets: tuple[str, str]) -> None:
    def nested(depth: int) -> bytes:
        return b'{"batch":[{"a":%b1%b}]}' % tuple(mark.encode() * (depth - 1) for mark in brackets)

    (event,) = read(nested(200), "").events
    orjson.dumps({"type": 5, "data": {"payload": event}})
    with pytest.raises(Unreadable, match="nested too deep"):
        read(nested(201), "")


def test_too_many_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVENTS", 2)
    assert len(read(body(batch=[{}] * 2), "").events) == 2
    with pytest.raises(Unreadable, match="more than 2 events"):
        read(body(batch=[{}] * 3), "")


@pytest.mark.parametrize("key", ["", "a b", "k\n", "x" * 200, 7, None, "\ud800"])
def test_a_key_that_is_none_is_no_key(key: object) -> None:
    assert read(body(batch=[], writeKey=key), "").write_key == ""


def test_encodings() -> None:
    assert inflate(gzip.compress(b"abc", mtime=0), "gzip") == b"abc"
    assert inflate(zlib.compress(b"abc"), "deflate") == b"abc"
    assert inflate(b"abc", "identity") == b"abc"


@pytest.mark.parametrize(
    "data", [gzip.compress(b"abc", mtime=0)[:-4], gzip.compress(b"abc", mtime=0) + b"x", b"abc", b""]
)
def test_a_damaged_gzip_body(data: bytes) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        inflate(data, "gzip")


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(Unreadable, match="more than 1000 bytes"):
        inflate(gzip.compress(bytes(10_000_000)), "gzip", 1000)


def test_an_unknown_encoding() -> None:
    with pytest.raises(Unreadable, match="br"):
        inflate(b"abc", "br")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Basic " + base64.b64encode(b"KEY:").decode(), "KEY"),
        ("basic  " + base64.b64encode(b"KEY:secret").decode(), "KEY"),
        ("Basic ###", ""),
        ("Basic é", ""),
        ("Basic " + base64.b64encode(b"\xff:").decode(), ""),
        ("Basic " + base64.b64encode(b"a b:").decode(), ""),
        ("Bearer KEY", ""),
        ("", ""),
    ],
)
def test_the_key_of_an_authorization_header(header: str, key: str) -> None:
    assert basic_key(header) == key

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from fakes.segments import DEVICE, SESSION, custom, picture, segment
from fakes.traced import traced
from hypothesis import given
from hypothesis import strategies as st

from agent.collector import upload
from agent.collector.upload import (
    PIECE_BYTES,
    VALUE_BYTES,
    Key,
    Reader,
    Refused,
    decompress,
    parse,
    parse_interactions,
    parse_key,
    seal,
    values,
    write,
)
from agent.model import Counts
from agent.outbox import wire

META = {"type": 4, "timestamp": SESSION + 1, "data": {"href": "app://x", "width": 1, "height": 1}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.fixed_dictionaries({"type": st.integers(0, 6), "timestamp": st.integers(1, 2**52), "data": JSON})


def body(*events: object, version: object = 1) -> bytes:
    return json.dumps({"version": version, "events": events}).encode()


def packed(event: object) -> str:
    return zlib.compress(json.dumps(event).encode()).decode("latin-1")


@contextmanager
def refused(status: int, words: str) -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.status == status
    assert words in caught.value.words


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("deadbeef", Key("deadbeef")),
        ("0" * 64, Key("0" * 64)),
        ("deadbeef;part=2;of=3", Key("deadbeef", 2, 3)),
        ("deadbeef;part=3;of=3", Key("deadbeef", 3, 3)),
        ("deadbeef;part=1;of=1000", Key("deadbeef", 1, 1000)),
        ("deadbeef;part=1;of=1001", None),
        ("deadbeef;part=4;of=3", None),
        ("deadbeef;part=0;of=3", None),
        ("deadbeef;part=\u0663;of=3", None),
        ("deadbeef;part=1", None),
        ("deadbee", None),
        ("0" * 65, None),
        ("DEADBEEF", None),
        ("deadbeef\n", None),
        ("../deadbeef", None),
        ("", None),
    ],
)
def test_keys(text: str, key: Key | None) -> None:
    assert parse_key(text) == key


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_key_of_our_own_client_is_read(part: int, parts: int) -> None:
    sent = wire.idempotency("deadbeef01", min(part, parts), parts)["Idempotency-Key"]
    assert parse_key(sent) == Key("deadbeef01", min(part, parts) if parts > 1 else 1, parts)


def free(size: int) -> None:
    """There is room for everything."""


def test_bodies_are_unpacked_up_to_the_limit() -> None:
    assert decompress(gzip.compress(b"x" * 1000), "gzip", 1000, free) == b"x" * 1000
    assert decompress(b"text", "", 4, free) == decompress(b"text", "identity", 4, free) == b"text"
    with refused(413, "1000"):
        decompress(gzip.compress(b"x" * 1001), "gzip", 1000, free)
    with refused(415, "'br'"):
        decompress(b"text", "br", 4, free)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize("level", [0, 9])
def test_room_is_asked_for_each_stretch_before_the_next_is_unpacked(size: int, level: int) -> None:
    taken: list[int] = []
    data = gzip.compress(bytes(size), level, mtime=0)
    assert decompress(data, "gzip", size, taken.append) == bytes(size)
    assert sum(taken) == size
    assert max(taken) <= PIECE_BYTES

    def full(size: int) -> None:
        taken.append(size)
        raise Refused(503, "full")

    taken.clear()
    with refused(503, "full"):
        decompress(data, "gzip", size, full)
    assert len(taken) == 1


@given(st.binary(max_size=200), st.data())
def test_damaged_gzip_is_refused(data: bytes, draw: st.DataObject) -> None:
    whole = gzip.compress(data, mtime=0)
    with refused(400, "the compressed data"):
        decompress(whole[: draw.draw(st.integers(0, len(whole) - 1))], "gzip", 200, free)
    with refused(400, "the compressed data"):
        decompress(whole + draw.draw(st.binary(min_size=1, max_size=20)), "gzip", 200, free)


@given(st.lists(EVENTS, min_size=1, max_size=5), st.sampled_from([1, 2]))
def test_plain_and_packed_events_are_the_same(events: list[dict[str, Any]], version: int) -> None:
    plain = [json.dumps(event, ensure_ascii=False) for event in events]
    quoted = [json.dumps(packed(event)) for event in events]
    marked = [packed({**event, "v": "v1"}) for event in events]
    assert [json.loads(text) for text in parse(body(*plain, version=version))] == events
    assert [json.loads(text) for text in parse(body(*quoted, version=version))] == events
    assert [json.loads(text) for text in parse(body(*marked, version=version))] == events


def test_a_plain_event_is_kept_byte_by_byte() -> None:
    text = '{ "type":4, "timestamp": 1.50, "data":{"b":1,"a":"\\u00e9"} }'
    assert parse(body(text)) == [text.encode()]


def test_an_event_is_one_line() -> None:
    assert parse(body(json.dumps(META, indent=1))) == [orjson.dumps(META)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b"7", "version"),
        (body("{}", version=0), "version"),
        (body("{}", version="1"), "version"),
        (body("{}", version=None), "version"),
        (body(), "no events"),
        (b'{"version":1,"events":"x"}', "no events"),
        (body(META), "event 0 is not a text"),
        (body(json.dumps(META), None), "event 1 is not a text"),
        (body("{"), "event 0 is not JSON"),
        (body("[]"), "no rrweb event"),
        (body(json.dumps(packed([]))), "no rrweb event"),
        (body('{"type":4,"timestamp":1}'), "no rrweb event"),
        (body('{"type":4.0,"timestamp":1,"data":1}'), "no rrweb event"),
        (body('{"type":4,"timestamp":null,"data":1}'), "no rrweb event"),
        (body('{"type":4,"timestamp":true,"data":1}'), "no rrweb event"),
        (body('"text"'), "the compressed data"),
        (body("x\x9c\u20ac"), "neither JSON nor packed"),
        (body(packed(META)[:-1]), "does not end"),
        (body(packed(META) + "x"), "does not end"),
        (body(zlib.compress(b"{").decode("latin-1")), "event 0 is not JSON"),
    ],
)
def test_a_body_that_is_none(data: bytes, words: str) -> None:
    with refused(400, words):
        parse(data)


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for read in (parse, parse_interactions):
        try:
            assert read(data)
        except Refused as error:
            assert (error.status, bool(error.words)) == (400, True)


def test_large_events_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({**META, "note": "x" * 200})
    monkeypatch.setattr(upload, "EVENT_BYTES", len(text))
    assert len(parse(body(text, packed(json.loads(text))))) == 2
    for form in (text + " ", packed({**META, "note": "x" * 300})):
        with refused(413, ""):
            parse(body(form))
    monkeypatch.setattr(upload, "UNPACKED_BYTES", 2 * len(text))
    assert len(parse(body(text, text))) == 2
    with refused(413, "unpacked"):
        parse(body(text, text, text))


def test_room_is_asked_for_the_values_of_the_largest_text() -> None:
    large, small = {**META, "data": [{}] * 500}, {**META, "data": [{}] * 100}
    for sent in (body(*map(json.dumps, (small, large, small))), body(packed(small), packed(large), packed(small))):
        taken: list[int] = []
        reader = Reader(taken.append)
        events = parse(sent, reader)
        most = max(values(sent), values(json.dumps(large).encode()))
        assert sum(taken) == most * VALUE_BYTES + sum(map(len, events))
        assert seal(DEVICE, SESSION, None, events, reader).events == tuple(events)
        assert sum(taken) == most * VALUE_BYTES + sum(map(len, events))


@pytest.mark.parametrize("read", [parse, parse_interactions])
def test_what_takes_up_more_than_there_is_is_not_read(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes, Reader], object]
) -> None:
    def full(size: int) -> None:
        raise Refused(503, "full")

    sent = b'{"version":1,"events":[' + b"{}," * 100_000 + b"{}]}"
    with traced():
        with refused(503, "full"):
            read(sent, Reader(full))
        monkeypatch.setattr(upload, "VALUES", 100_000)
        with refused(413, "the body holds more than 100000 values"):
            read(sent, Reader())
        assert tracemalloc.get_traced_memory()[1] < 1_000_000


def test_an_unpacked_event_is_not_read_if_it_takes_up_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    event = packed({**META, "data": [{}] * 1000})
    assert len(parse(body(event))) == 1
    monkeypatch.setattr(upload, "VALUES", 1000)
    with refused(413, "event 0 holds more than 1000 values"):
        parse(body(event))


def test_events_are_not_held_all_at_once_to_be_counted() -> None:
    event = json.dumps({"type": 3, "timestamp": SESSION, "data": {"source": 0, "adds": [{}] * 4000}}).encode()
    ended = json.dumps(custom(SESSION, "end", {"adds": [{}] * 4000})).encode()
    for lines in ([event] * 40, [ended] * 40):
        with traced():
            assert len(seal(DEVICE, SESSION, None, lines).events) == 40
            # Of one alone 300 KB; the texts are there besides.
            assert tracemalloc.get_traced_memory()[1] < 4_000_000


def test_what_is_nested_too_deeply_cannot_be_written() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    with refused(400, "event 7 is nested too deeply"):
        write(deep, "event 7")
    text = json.dumps({"type": 4, "timestamp": 1, "data": deep})
    assert parse(body(text)) == [text.encode()]
    with refused(400, "nested too deeply"):
        parse(body(text + "\n"))


def test_interactions() -> None:
    assert parse_interactions(b'{"events":["{}",{"x":1}]}') == ["{}", {"x": 1}]
    for data in (b"", b"[]", b"{}", b'{"events":[]}', b'{"events":{}}'):
        with refused(400, ""):
            parse_interactions(data)


def test_our_own_segments_come_back_as_they_were() -> None:
    sealed = segment()
    assert seal(DEVICE, SESSION, sealed.manifest.id, list(wire.inlined(sealed))) == sealed
    assert seal(DEVICE, SESSION, None, list(wire.inlined(sealed))) == sealed


def test_an_end_event_of_another_segment() -> None:
    events = list(wire.inlined(segment()))
    for device, session, name in (
        (DEVICE + "x", SESSION, None),
        (DEVICE, SESSION + 1, None),
        (DEVICE, SESSION, "ab" * 8),
    ):
        with refused(400, "another segment"):
            seal(device, session, name, events)


@pytest.mark.parametrize(
    "change", [{"id": "../x"}, {"seq": "0"}, {"reason": "whim"}, {"counts": []}, {"losses": 1}, {"start_ms": None}]
)
def test_an_end_event_that_is_none(change: dict[str, Any]) -> None:
    *events, end = wire.inlined(segment())
    told = json.loads(end)
    told["data"]["payload"].update(change)
    with refused(400, "the end event is not one"):
        seal(DEVICE, SESSION, None, [*events, json.dumps(told).encode()])


def test_the_end_event_cannot_speak_of_the_store() -> None:
    *events, end = wire.inlined(segment())
    told = json.loads(end)
    told["data"]["payload"] |= {"schema": 99, "pictures": ["f" * 32], "bytes": 1, "lines": 1, "events_digest": "x"}
    sealed = seal(DEVICE, SESSION, None, [*events, json.dumps(told).encode()])
    assert sealed.manifest.pictures == segment().manifest.pictures
    assert sealed.manifest.bytes > 1


def test_another_clients_events_are_counted() -> None:
    shown = picture(7)
    uri = f"data:image/webp;base64,{base64.b64encode(shown.data).decode()}"
    events = [
        {"type": 2, "timestamp": SESSION + 5, "data": {"src": uri, "again": uri}},
        {"type": 3, "timestamp": SESSION + 9.7, "data": {"source": 2}},
        {"type": 3, "timestamp": SESSION + 8, "data": {"source": 6}},
        {"type": 3, "timestamp": SESSION + 8, "data": {"source": 0}},
        {"type": 3, "timestamp": SESSION + 8, "data": None},
        {"type": 6, "timestamp": SESSION + 8, "data": "text"},
        custom(SESSION + 8, "segment:track", {}),
        custom(SESSION + 8, "gap", {}),
        {"type": 5, "timestamp": SESSION + 8, "data": {"tag": 7}},
        {"type": 5, "timestamp": SESSION + 8, "data": {"tag": "end", "payload": "no mapping"}},
    ]
    lines = [orjson.dumps(event) for event in events]
    sealed = seal("device", SESSION, None, lines)
    manifest = sealed.manifest
    assert (manifest.start_ms, manifest.end_ms) == (SESSION + 5, SESSION + 9)
    assert manifest.counts == Counts(frames=1, hierarchies=1, touches=2, events=1, logs=1, gaps=1)
    assert sealed.pictures == {shown.digest: shown}
    assert sealed.events[0].count(f'"picture:{shown.digest}"'.encode()) == 2
    assert list(wire.inlined(sealed)) == lines
    assert seal("device", SESSION, None, lines).manifest.id == manifest.id
    assert seal("other", SESSION, None, lines).manifest.id != manifest.id
    assert seal("device", SESSION, "ab" * 8, lines).manifest.id == "ab" * 8


@pytest.mark.parametrize(
    "uri", ["data:image/gif;base64,AAAA", "data:image/png;base64,AAA", "data:image/png;base64,AB==", "data:image/png,A"]
)
def test_what_would_not_come_back_stays_in_the_text(uri: str) -> None:
    line = orjson.dumps({"type": 2, "timestamp": 1, "data": {"src": uri}})
    sealed = seal("device", SESSION, None, [line])
    assert (sealed.events, dict(sealed.pictures)) == ((line,), {})


def test_two_end_events_are_none() -> None:
    events = list(wire.inlined(segment()))
    sealed = seal(DEVICE, SESSION, None, [*events, events[-1]])
    assert sealed.manifest.serial == ""


@pytest.mark.parametrize("at", [-5, 10**14, 1e300])
def test_events_at_times_that_no_calendar_tells_are_refused(at: float) -> None:
    with pytest.raises(Refused, match="no time") as told:
        seal("d" * 8, SESSION, None, [json.dumps({"type": 4, "timestamp": at, "data": {}}).encode()])
    assert told.value.status == 400

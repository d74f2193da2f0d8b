from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.forms import (
    ABSENT,
    MAX_MESSAGE,
    UNKNOWN,
    Note,
    Part,
    SessionLine,
    Shown,
    Statement,
    Unread,
    statements,
)

EVENT = {"type": "track", "event": "Product Added", "properties": {"id": "sku-1", "price": 9.5}, "messageId": "m-1"}
JSON = json.dumps(EVENT, separators=(",", ":"))
INSPECT = (
    "{ type: 'track',\n  event: 'Product Added',\n  properties: { id: 'sku-1', price: 9.5 },\n  messageId: 'm-1' }"
)


def one(message: str) -> Shown:
    (found,) = statements(message)
    assert isinstance(found, Shown)
    return found


@pytest.mark.parametrize(
    ("message", "style"),
    [
        (JSON, "json:"),
        (json.dumps(EVENT, indent=2), "json:"),
        (f"[SegmentEvent] {JSON}", "json:[SegmentEvent] "),
        (f"│ [SegmentEvent] {JSON}", "json:[SegmentEvent] "),
        (INSPECT, "inspect:"),
        (f"'after plugins', {INSPECT}", "inspect:after plugins"),
        (f"'event', '{JSON}'", "text:event"),
        (f"'{JSON}'", "text:"),
        (f"│ │ 'label', {INSPECT}", "inspect:label"),
        (f"3, 'label', {INSPECT}, undefined", "inspect:label"),
    ],
)
def test_each_form_shows_the_event(message: str, style: str) -> None:
    found = one(message)
    assert (found.value, found.gaps, found.style) == (EVENT, frozenset(), style)
    assert not found.saved
    assert not found.lifecycle


@pytest.mark.parametrize("kind", ["TRACK", "SCREEN", "IDENTIFY", "GROUP", "ALIAS"])
def test_the_line_of_the_sdk(kind: str) -> None:
    message = f"'{kind} event saved', {{ type: '{kind.lower()}', userId: 'u' }}"
    found = one(message)
    assert (found.value, found.saved, found.lifecycle) == ({"type": kind.lower(), "userId": "u"}, True, False)
    early = one(message.replace("event saved", "(Application Opened) event saved"))
    assert (early.saved, early.lifecycle) == (True, True)


def test_several_events_in_one_message() -> None:
    found = statements(f"{JSON}\n{INSPECT}\n[x] {JSON} {JSON}")
    assert [each.value for each in found if isinstance(each, Shown)] == [EVENT] * 4


def test_parts() -> None:
    assert statements('SegmentReplay/1 id-9 2/13 {"type": "a b"') == [Part("id-9", 2, 13, '{"type": "a b"')]
    assert statements("SegmentReplay/1 id 1/1 ") == [Part("id", 1, 1, "")]
    for message, reason in [
        ("SegmentReplay/1 id 1 x", "part malformed"),
        ("SegmentReplay/1 id x/y x", "part malformed"),
        ("SegmentReplay/1 id 1234567/1 x", "part malformed"),
        (f"SegmentReplay/1 {'i' * 201} 1/1 x", "part malformed"),
        ("SegmentReplay/2 id 1/1 x", "version unknown"),
    ]:
        (found,) = statements(message)
        assert isinstance(found, Unread)
        assert found.reason == reason, message


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("[AmplitudeSession] startNewSession -> 1772532000318", SessionLine("start", 1_772_532_000_318)),
        ("[AmplitudeSession] endSession -> 5", SessionLine("end", 5)),
        ("[AmplitudeSession] EndSession = -1", SessionLine("end", -1)),
        ("Client has been reset", Note("reset")),
        ("Could not receive settings from Segment. Plugins", Note("no settings")),
    ],
)
def test_lines_of_the_sdk(message: str, found: Statement) -> None:
    assert statements(message) == [found]
    assert statements(f"│ {message}") == [found]


@pytest.mark.parametrize(
    "message",
    [
        "Could not receive settings from Segment, will use the default settings.",
        "", "hello", "{}", "{ a: 1 }", '{"a":1}', "'label', { a: 1 }", "[AmplitudeSession] startNewSession -> soon",
        '{"type":"button"}', "{ type: 'button', messageId: 'm' }", '{"type":"track"}',
        "{ type: [ 'track' ], messageId: 'm' }",
        '{"type":["track"],"messageId":"m"}',
        '{"type":{"type":"track"},"messageId":"m"}', "says Client has been reset",
    ],
)  # fmt: skip
def test_what_is_no_event(message: str) -> None:
    assert statements(message) == []


@pytest.mark.parametrize(
    ("message", "path", "value"),
    [
        ("{ type: 'track', messageId: 'm', properties: [Object] }", ("properties",), UNKNOWN),
        ("{ type: 'track', messageId: 'm', properties: [Object] }", ("properties", "id"), UNKNOWN),
        ("{ type: 'track', messageId: 'm', properties: { a: [Circular] } }", ("properties", "a"), UNKNOWN),
        ("{ type: 'track', messageId: 'm', properties: { a: [Circular] } }", ("properties", "b"), ABSENT),
        ("{ type: 'track', messageId: 'm', properties: { a: undefined } }", ("properties", "a"), ABSENT),
        ("{ type: 'track', messageId: 'm', properties: { a: [ [Object], 1 ] } }", ("properties", "a"), [None, 1]),
        ("{ type: 'track', messageId: 'm', properties: 5 }", ("properties", "a"), ABSENT),
        ("{ type: 'track', messageId: 'm' }", ("context", "device", "id"), ABSENT),
        ("{ type: 'track', messageId: 'm', properties: { a: /x/ } }", ("properties", "a"), {}),
        (
            "{ type: 'track', messageId: 'm', at: Tue Mar 03 2026 11:00:00 GMT+0100 }",
            ("at",),
            "2026-03-03T10:00:00Z",
        ),
        (
            "{ type: 'track', messageId: [TOO BIG formatValueCalls 201 exceeded limit of 200], event: 'x' }",
            ("messageId",),
            UNKNOWN,
        ),
    ],
)
def test_what_the_console_shows_of_a_value(message: str, path: tuple[str, ...], value: object) -> None:
    assert one(message).look(*path) == value


def test_gaps_are_the_paths_that_hide_something() -> None:
    found = one(
        "{ type: 'track', messageId: 'm', properties: { a: [ [Object], 1 ], b: [Getter], c: undefined, d: 1 } }"
    )
    assert found.gaps == {("properties", "a"), ("properties", "b")}
    assert found.value["properties"] == {"a": [None, 1], "d": 1}


def test_a_cut_event_does_not_tell_what_follows() -> None:
    for message in (
        '{"type":"track","event":"x","messageId":"m","properties":{"a":1,"b":"tor',
        "{ type: 'track', event: 'x', messageId: 'm', properties: { a: 1, b: 'tor",
        '\'{"type":"track","event":"x","messageId":"m","properties":{"a":1,"b":"tor',
    ):
        found = one(message)
        assert found.look("properties", "a") == 1
        assert found.look("properties", "b") is UNKNOWN
        assert found.look("integrations") is UNKNOWN
        assert found.look("messageId", "x") is ABSENT


@given(st.sampled_from([JSON, INSPECT, f"'label', {INSPECT}", f"[x] {JSON}", f"'{JSON}'"]), st.data())
def test_a_message_cut_anywhere_invents_nothing(message: str, data: st.DataObject) -> None:
    kept = message[: data.draw(st.integers(0, len(message) - 1))]
    for found in statements(kept):
        if isinstance(found, Shown):
            assert () in found.gaps or found.value == EVENT
            for name, value in found.value.items():
                assert value == EVENT[name] or (name,) in found.gaps
        else:
            assert isinstance(found, Unread)
            assert found.reason


def test_an_event_that_cannot_be_read_is_told() -> None:
    (found,) = statements("'x', { type: 'track', messageId: 'm', properties: nonsense }")
    assert isinstance(found, Shown)
    assert () in found.gaps
    (failed,) = statements("'TRACK event saved', { type: 'tra")
    assert isinstance(failed, Unread)
    assert failed.reason == "cut"
    (broken,) = statements('{"type":"track","messageId":"m"]')
    assert isinstance(broken, Unread)
    assert broken.reason == "grammar"


def test_a_log_printed_with_printable() -> None:
    event = EVENT | {"properties": {"path": "C:\\tmp", "q": 'say "hi"\n'}}
    doubled = json.dumps(event).replace("\\", "\\\\")
    assert one(doubled).value == event
    assert one(INSPECT.replace("\n", "\\x0A")).value == EVENT
    assert one(INSPECT.replace("\n", "\\n")).value == EVENT


def test_length_is_bounded() -> None:
    long = JSON.replace("sku-1", "x" * MAX_MESSAGE)
    found = one(long)
    assert () in found.gaps
    assert found.value["event"] == "Product Added"


@given(
    st.lists(
        st.sampled_from(
            ["type: 'track'", '"type":"track"', "messageId: 'm'", '"messageId":', "{ ", "{", " }", "}", "[ ", "'", '"',
             "\\", "\n", "\n  ", ", ", "│ ", "SegmentReplay/1 ", "a 1/2 ", "[AmplitudeSession] ", "startNewSession -> ",
             "undefined", "[Object]", "9", "'label', ", "Client has been reset", "\ud800", "\0"]
        )
        | st.text(max_size=5),
        max_size=30,
    ).map("".join)
)  # fmt: skip
def test_any_message_is_statements(message: str) -> None:
    for found in statements(message):
        assert isinstance(found, Shown | Part | SessionLine | Note | Unread)
        if isinstance(found, Shown):
            found.look("integrations", "Actions Amplitude", "session_id")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "message",
    ["type: '" + "'" * 100_000, "{ type: '" * 20_000, '{"type":' * 20_000, '"type": ' + "{" * 200_000,
     '"type":' + '{"a' * 50_000, "type: 'x\n" * 20_000, '{"type":"track"\n' * 20_000, "'type: '\\" + "\\" * 200_000,
     "│ " * 100_000 + "type: '", '{"type":"track","messageId":"m"' + ',"a":[' * 20_000,
     "SegmentReplay/\n" * 20_000, "[ '{ type: '" + "\n  " * 100_000],
    ids=lambda message: repr(message[:12]),
)  # fmt: skip
def test_messages_made_to_keep_a_reader_busy(message: str) -> None:
    statements(message)

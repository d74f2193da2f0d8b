from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.enrichment import REPLAY_DEBUG, REPLAY_ID, app_hash, enrich, replay_properties

SESSION = 1_760_000_000_123


def test_the_id_is_device_slash_session() -> None:
    assert replay_properties(SESSION, "c0ff/ee") == {REPLAY_ID: f"c0ff/ee/{SESSION}"}
    assert REPLAY_ID == "[Amplitude] Session Replay ID"


@pytest.mark.parametrize(("session", "device"), [(-1, "d"), (0, "d"), (SESSION, None), (SESSION, "")])
def test_where_no_replay_is_stored_there_is_no_property(session: int, device: str | None) -> None:
    assert replay_properties(session, device, "key") == {}


def test_debug_mode_tells_a_hash_of_the_key() -> None:
    debug = replay_properties(SESSION, "d", "abc")[REPLAY_DEBUG]
    assert debug == '{"appHash":"96354"}'
    assert json.loads(debug) == {"appHash": "96354"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("a", 97), ("abc", 96354), ("polygenelubricants", -(2**31)), ("\U0001f600", 1772899)],
)
def test_the_hash_is_java_s(text: str, expected: int) -> None:
    assert app_hash(text) == expected


@given(st.text(max_size=40))
def test_the_hash_has_32_bits(text: str) -> None:
    assert -(2**31) <= app_hash(text) < 2**31


IDS: dict[str, Any] = {"integrations": {"Actions Amplitude": {"session_id": SESSION}}, "anonymousId": "d"}


@pytest.mark.parametrize("kind", ["track", "screen"])
def test_track_and_screen_get_it_over_their_own(kind: str) -> None:
    event = {"type": kind, "properties": {REPLAY_ID: "mine", "price": 5}, "messageId": "m", "odd": [1], **IDS}
    out = enrich(event)
    assert out == {**event, "properties": {REPLAY_ID: f"d/{SESSION}", "price": 5}}
    assert list(out) == list(event)
    assert event["properties"] == {REPLAY_ID: "mine", "price": 5}


@pytest.mark.parametrize("kind", ["identify", "group", "alias", None, "page"])
def test_other_kinds_stay_as_they_are(kind: object) -> None:
    event = {"type": kind, "properties": {}, **IDS}
    assert enrich(event) is event


def test_a_session_that_is_not_recorded_gets_none() -> None:
    event = {"type": "track", **IDS}
    asked: list[int] = []
    assert enrich(event, lambda session: bool(asked.append(session))) is event
    assert asked == [SESSION]


def test_debug_mode_adds_its_own() -> None:
    assert enrich({"type": "track", **IDS}, debug_key="abc")["properties"] == {
        REPLAY_ID: f"d/{SESSION}",
        REPLAY_DEBUG: '{"appHash":"96354"}',
    }


@pytest.mark.parametrize("properties", [{}, {"properties": None}, {"properties": "text"}, {"properties": []}])
def test_properties_that_are_no_object(properties: dict[str, Any]) -> None:
    assert enrich({"type": "track", **properties, **IDS})["properties"] == {REPLAY_ID: f"d/{SESSION}"}


@pytest.mark.parametrize(
    "ids",
    [
        {"anonymousId": "anon"},
        {"integrations": {"Actions Amplitude": {"session_id": -1}}, "anonymousId": "anon"},
        {"integrations": {"Actions Amplitude": {"session_id": "5"}}, "anonymousId": "anon"},
        {"integrations": {"Actions Amplitude": {"session_id": 5}}, "anonymousId": ""},
        {"integrations": {"Actions Amplitude": {"session_id": 5}}, "anonymousId": 7},
        {"integrations": {"Actions Amplitude": {"session_id": 5}}},
    ],
)
def test_without_both_ids_there_is_nothing_to_add(ids: dict[str, Any]) -> None:
    event = {"type": "track", "properties": {}, **ids}
    assert enrich(event) is event

from __future__ import annotations

from typing import Any

import pytest

from agent.analytics.enrichment import REPLAY_ID, enrich

IDS: dict[str, Any] = {"integrations": {"Actions Amplitude": {"session_id": 1_700_000_000_000}}, "anonymousId": "anon"}


@pytest.mark.parametrize("kind", ["track", "screen"])
def test_track_and_screen_get_the_id(kind: str) -> None:
    event = {"type": kind, "properties": {"a": 1}, **IDS}
    assert enrich(event) == {**event, "properties": {"a": 1, REPLAY_ID: "anon/1700000000000"}}
    assert event["properties"] == {"a": 1}


@pytest.mark.parametrize("kind", ["identify", "group", "alias"])
def test_other_kinds_stay_as_they_are(kind: str) -> None:
    event = {"type": kind, "properties": {}, **IDS}
    assert enrich(event) is event


def test_the_property_goes_over_the_events_own() -> None:
    enriched = enrich({"type": "track", "properties": {REPLAY_ID: "mine"}, **IDS})
    assert enriched["properties"] == {REPLAY_ID: "anon/1700000000000"}


@pytest.mark.parametrize("properties", [{}, {"properties": None}, {"properties": "text"}])
def test_an_event_without_properties_gets_them(properties: dict[str, Any]) -> None:
    assert enrich({"type": "track", **properties, **IDS})["properties"] == {REPLAY_ID: "anon/1700000000000"}


@pytest.mark.parametrize(
    "ids",
    [
        {"anonymousId": "anon"},
        {"integrations": {"Actions Amplitude": {"session_id": -1}}, "anonymousId": "anon"},
        {"integrations": {"Actions Amplitude": {"session_id": 5}}, "anonymousId": ""},
        {"integrations": {"Actions Amplitude": {"session_id": 5}}},
    ],
)
def test_without_both_ids_there_is_nothing_to_add(ids: dict[str, Any]) -> None:
    event = {"type": "track", "properties": {}, **ids}
    assert enrich(event) is event

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from bridge.emulated.world.analytics import PART, SESSION_MS, Analytics

START = 1_772_532_000_318


class App:
    """An app with a clock that the test sets, and what it printed."""

    def __init__(self, collect_device_id: bool = False, seed: int = 3) -> None:
        self.now = START
        self.lines: list[str] = []
        self.client = Analytics(
            "com.app", lambda: self.now, self._print, random.Random(seed), collect_device_id=collect_device_id
        )

    def _print(self, text: str, tag: str = "ReactNativeJS", prio: int = 4, *, other_app: bool = False) -> None:
        assert (tag, prio, other_app) == ("ReactNativeJS", 4, False)
        self.lines.append(text)

    def events(self) -> list[dict[str, Any]]:
        """The events of the app's own log plugin, put together from their parts."""
        texts: dict[str, str] = {}
        for line in self.lines:
            match = re.fullmatch(r"SegmentReplay/1 (\S+) (\d+)/(\d+) (.*)", line, re.DOTALL)
            if match:
                assert len(match[4]) <= PART
                texts[match[1]] = texts.get(match[1], "") + match[4]
        return [json.loads(text) for text in texts.values()]


def session(event: dict[str, Any]) -> object:
    return event["integrations"]["Actions Amplitude"]["session_id"]


def test_the_first_event_starts_a_session() -> None:
    app = App()
    app.client.track("Signed In", {"method": "password"})
    start, event = app.events()
    assert [start["event"], event["event"]] == ["session_start", "Signed In"]
    assert session(start) == session(event) == START
    assert event["properties"] == {"method": "password"}
    assert event["timestamp"] == "2026-03-03T10:00:00.318Z"
    assert event["anonymousId"] == app.client.anonymous_id
    assert "userId" not in event
    assert app.lines[0] == f"[AmplitudeSession] startNewSession -> {START}"


@pytest.mark.parametrize(("away", "sessions"), [(SESSION_MS - 1, 1), (SESSION_MS, 2)])
def test_a_session_ends_after_five_minutes_of_silence(away: int, sessions: int) -> None:
    app = App()
    app.client.track("one")
    app.now += away
    app.client.track("two")
    assert len({session(event) for event in app.events()}) == sessions
    ends = [event for event in app.events() if event["event"] == "session_end"]
    assert [session(event) for event in ends] == [START] * (sessions - 1)
    app.now += SESSION_MS - 1
    app.client.track("three")
    assert len({session(event) for event in app.events()}) == sessions


def test_every_kind_of_event() -> None:
    app = App()
    app.client.screen("Cart")
    app.client.identify("user-1", {"plan": "plus"})
    app.client.track("Bought")
    _, screen, identify, track = app.events()
    assert (screen["type"], screen["name"], screen["properties"]) == ("screen", "Cart", {"name": "Cart"})
    assert (identify["type"], identify["userId"], identify["traits"]) == ("identify", "user-1", {"plan": "plus"})
    assert track["userId"] == "user-1"
    assert [sent.name for sent in app.client.sent] == ["session_start", "Cart", "identify", "Bought"]
    saved = [line for line in app.lines if "event saved" in line]
    assert saved[-1] == "'TRACK event saved', { type: 'track', event: 'Bought', properties: {} }"


def test_what_was_sent_is_what_was_printed() -> None:
    app = App(collect_device_id=True)
    for number in range(5):
        app.client.track(f"e{number}")
        app.now += 1000
    told = [(sent.message_id, sent.name, sent.session_id, sent.device_id) for sent in app.client.sent]
    assert told == [
        (event["messageId"], event["event"], session(event), event["context"]["device"]["id"]) for event in app.events()
    ]
    assert [sent.wall_ms for sent in app.client.sent] == [START, *(START + 1000 * n for n in range(5))]


def test_without_a_device_id_the_anonymous_one_counts() -> None:
    app = App()
    app.client.track("one")
    assert "id" not in app.events()[-1]["context"]["device"]
    assert app.client.sent[-1].device_id == app.client.anonymous_id


def test_a_log_out_is_another_person() -> None:
    app = App()
    app.client.identify("user-1", {})
    before = app.client.anonymous_id
    app.client.reset()
    app.now += 5
    app.client.track("after")
    assert "Client has been reset" in app.lines
    event = app.events()[-1]
    assert event["anonymousId"] == app.client.anonymous_id != before
    assert "userId" not in event
    assert session(event) == START + 5
    assert not any(event.get("event") == "session_end" for event in app.events())


def test_a_new_process_keeps_what_is_persisted() -> None:
    app = App()
    app.client.track("one")
    app.client.start_process()
    app.client.create_client()
    app.client.track("two")
    *_, one, two = app.events()
    assert one["context"]["instanceId"] != two["context"]["instanceId"]
    assert (one["anonymousId"], session(one)) == (two["anonymousId"], session(two))


def test_a_large_event_is_printed_in_parts() -> None:
    app = App()
    app.client.track("large", {"text": "x" * 2 * PART})
    assert app.events()[-1]["properties"]["text"] == "x" * 2 * PART
    assert re.search(r" 3/3 ", "".join(line[:80] for line in app.lines))


def test_the_same_seed_gives_the_same_ids() -> None:
    first, again, other = App(), App(), App(seed=4)
    for app in (first, again, other):
        app.client.track("one")
    assert first.lines == again.lines != other.lines

"""What a viewer of an event list sees at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.replay.playback import Playback, State


def state_at(events: Iterable[Mapping[str, Any]], at_ms: int) -> State:
    """`events` are in order of time; those at `at_ms` count."""
    playback = Playback()
    for event in events:
        if event["timestamp"] > at_ms:
            break
        playback.feed(event)
    return playback.state

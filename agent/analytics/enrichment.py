"""The replay properties that Amplitude's Segment plugin put on events, and that relay and exports put on again.

Sources: amplitude/Amplitude-TypeScript, `segment-session-replay-plugin.ts` at 27cbf4530 ("legacy": track and screen
events get the properties over their own keys) and at 6deb0623b ("none": events pass untouched); `helpers.ts` and
`session-replay.ts` of its browser package for the form of the two properties.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from agent.analytics.identity import device_id, effective_session, session_id

REPLAY_ID = "[Amplitude] Session Replay ID"
REPLAY_DEBUG = "[Amplitude] Session Replay Debug"
_ENRICHED = ("track", "screen")


def replay_id(session: int, device: str) -> str:
    """The id under which Amplitude finds the replay of an event: device id, a slash, session id, nothing escaped."""
    return f"{device}/{session}"


def replay_properties(session: int, device: str | None, debug_key: str | None = None) -> dict[str, str]:
    """What an event of a recorded session gets; nothing when either id is unknown, since no replay is stored then.

    `session` is the effective one. `debug_key` = the API key in debug mode, of which only a hash is told.
    """
    if session <= 0 or not device:
        return {}
    properties = {REPLAY_ID: replay_id(session, device)}
    if debug_key is not None:
        properties[REPLAY_DEBUG] = orjson.dumps({"appHash": str(app_hash(debug_key))}).decode()
    return properties


def enrich(
    event: Mapping[str, object],
    recorded: Callable[[int], bool] = lambda session_id: True,
    debug_key: str | None = None,
) -> Mapping[str, object]:
    """The event as the legacy plugin lets it go on: the same object unless it is a track or screen event with both ids.

    `recorded` says of an effective session whether it has a replay. Keys keep their order; properties that are no
    object are replaced, as the plugin's spread does.
    """
    if event.get("type") not in _ENRICHED:
        return event
    session, device = effective_session(session_id(event)), device_id(event)
    added = replay_properties(session, device if isinstance(device, str) else None, debug_key)
    if not added or not recorded(session):
        return event
    own = event.get("properties")
    return {**event, "properties": {**(own if isinstance(own, Mapping) else {}), **added}}


def app_hash(api_key: str) -> int:
    """Java's `String.hashCode`: 32 bits with a sign, over UTF-16 units."""
    data = api_key.encode("utf-16-le", "surrogatepass")
    value = 0
    for at in range(0, len(data), 2):
        value = (31 * value + int.from_bytes(data[at : at + 2], "little")) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value

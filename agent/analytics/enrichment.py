"""What the Session Replay plugin once put into events: the id that ties an event to its replay.

Source: `segment-session-replay-plugin.ts` of amplitude/Amplitude-TypeScript before 6deb0623b. Track and screen events
got `[Amplitude] Session Replay ID`, `<device id>/<session id>`, over a property of that name. Its present form leaves
events as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.analytics.identity import device_id, effective_session, session_id
from agent.model import NO_SESSION

REPLAY_ID = "[Amplitude] Session Replay ID"


def replay_id(session: int, device: str) -> str:
    """The id of a replay as a property holds it."""
    return f"{device}/{session}"


def enrich(event: Mapping[str, object]) -> Mapping[str, object]:
    """The event with the property, if it is a track or screen event with both ids; else the same event."""
    session, device = effective_session(session_id(event)), device_id(event)
    if (
        event.get("type") not in ("track", "screen")
        or session == NO_SESSION
        or not isinstance(device, str)
        or not device
    ):
        return event
    properties = event.get("properties")
    own = properties if isinstance(properties, Mapping) else {}
    return {**event, "properties": {**own, REPLAY_ID: replay_id(session, device)}}

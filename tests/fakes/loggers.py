"""What an app's loggers print of its Segment events: whole, in parts, cut by the log or abridged by the console."""

from __future__ import annotations

import json
from collections.abc import Callable

from fakes.hostile import entry

from bridge.types import LogEntry

S1 = 1_772_527_272_315


def body(name: str = "Opened", message: str = "m-1", session: object = S1, **more: object) -> dict[str, object]:
    integrations = {} if session is None else {"Actions Amplitude": {"session_id": session}}
    return {
        "type": "track", "event": name, "properties": {"a": "é\u2028"}, "messageId": message,
        "timestamp": "2026-03-03T09:41:12.319Z", "integrations": integrations, "anonymousId": "anonymous",
        "context": {"device": {"id": "dev-1"}}, **more,
    }  # fmt: skip


def parts(event: dict[str, object], size: int = 40) -> list[str]:
    text = json.dumps(event)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [f"SegmentReplay/1 {event['messageId']} {n}/{len(pieces)} {piece}" for n, piece in enumerate(pieces, 1)]


def saved(name: str, properties: str = "{}", **options: object) -> LogEntry:
    text = f"'TRACK event saved', {{ type: 'track',\n  event: '{name}',\n  properties: {properties} }}"
    return entry(text, **options)  # type: ignore[arg-type]


def big(name: str = "Opened", message: str = "m-1", n: object = 0, **more: object) -> dict[str, object]:
    """An event whose properties alone fill a line."""
    return body(name, message, properties={"n": n, **{f"k{i}": "v" * 50 for i in range(90)}}, **more)


def cut(event: dict[str, object], label: str = "EVENT ", size: int = 4000, **options: object) -> LogEntry:
    return entry((label + json.dumps(event))[:size], cut=True, **options)  # type: ignore[arg-type]


def abridged(event: dict[str, object], **options: object) -> LogEntry:
    """As the console prints it: of 200 values the properties leave none for the message id."""
    shown = "".join(f", {name}: {value!r}" for name, value in event["properties"].items())  # type: ignore[attr-defined]
    hidden = "[TOO BIG formatValueCalls 201 exceeded limit of 200]"
    text = f"'tap', {{ type: 'track', event: '{event['event']}', properties: {{ {shown[2:]}, last: {hidden} }}"
    return entry(f"{text}, messageId: {hidden}, integrations: {hidden} }}", **options)  # type: ignore[arg-type]


def whole(event: dict[str, object], ns: int = 0) -> list[LogEntry]:
    return [entry(text, ns=ns) for text in parts(event, 900)]


# Each shows an event once.
LOGGERS: dict[str, Callable[[dict[str, object], int], list[LogEntry]]] = {
    "saved": lambda event, ns: [saved(str(event["event"]), f"{{ n: {event['properties']['n']} }}", ns=ns)],  # type: ignore[index]
    "cut": lambda event, ns: [cut(event, ns=ns)],
    "cut after": lambda event, ns: [cut(event, "[after] ", 3500, ns=ns)],
    "abridged": lambda event, ns: [abridged(event, ns=ns)],
    "before": lambda event, ns: [entry("b " + json.dumps(event | {"integrations": {}}), ns=ns)],
    "parts": lambda event, ns: whole(event, ns),
}
WITH_ID = {"before", "parts"}

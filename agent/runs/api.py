"""The door of a run for test runners in any language: a small HTTP API on loopback.

    POST /tests {"name": "checkout", "event": "started"}
    POST /tests {"name": "checkout", "event": "finished", "outcome": "failed", "message": "no receipt"}
    GET  /tests

`Authorization: Bearer TOKEN` opens it. `serial` says on which phone, `by` which of several workers tells, `outcome` is
passed, failed, error, skipped or crashed. Answers are JSON; a wrong one says in `error` what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.access import Door, Lock
from agent.runs.ledger import OUTCOMES, Event, Outcome, Signal, Source
from agent.runs.names import read

URL = "ANDROID_REPLAY_RUN_URL"
TOKEN = "ANDROID_REPLAY_RUN_TOKEN"  # noqa: S105 - the name of a variable
BODY_BYTES = 65_536
# pytest makes names of whatever a test is given.
NAME_CHARACTERS, MESSAGE_CHARACTERS = 16_000, 1_000
_EVENTS: tuple[Event, ...] = tuple(event for event in get_args(Event) if event != "told")
_SOURCES: tuple[Source, ...] = ("pytest", "http")

Hear = Callable[[Signal], Mapping[str, Any] | None]


class Wrong(ValueError):
    """What is asked for makes no sense; the text says why."""


def make_app(
    hear: Hear, now_ms: Callable[[], int], tests: Callable[[], Sequence[Mapping[str, Any]]], token: str
) -> Any:
    """The application. `hear` takes what is told and returns the attempt's facts, None for the end of a test that never
    began; `tests` lists all attempts so far. Both are called in the server's thread."""

    async def tell(request: Request) -> Response:
        # The time at which it was told, not that at which the body was read.
        at_ms = now_ms()
        try:
            body = bytearray()
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_BYTES:
                    return _answer({"error": f"A body has at most {BODY_BYTES} bytes."}, 413)
            signal = signal_of(bytes(body), at_ms)
        except Wrong as error:
            return _answer({"error": str(error)}, 400)
        known = hear(signal)
        if known is None:
            return _answer({"error": f"{signal.case.title} has not started."}, 409)
        return _answer(known)

    async def listed(request: Request) -> Response:
        return _answer({"tests": list(tests())})

    routes = [Route("/tests", tell, methods=["POST"]), Route("/tests", listed, methods=["GET"])]
    return Starlette(routes=routes, middleware=[Middleware(Door), Middleware(Lock, token=token)])


def signal_of(body: bytes, at_ms: int) -> Signal:
    """What a body tells. Raises Wrong."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Wrong(f"The body is not JSON: {error}.") from None
    if not isinstance(told, dict):
        raise Wrong("The body is not a JSON object.")
    name, event = _text(told, "name"), _text(told, "event")
    if not name.strip():
        raise Wrong('"name" is missing: the name of the test.')
    if len(name) > NAME_CHARACTERS:
        raise Wrong(f'"name" has more than {NAME_CHARACTERS} characters.')
    known = next((each for each in _EVENTS if each == event), None)
    if known is None:
        raise Wrong(f'"event" is {event!r}, not one of: {", ".join(_EVENTS)}.')
    outcome: Outcome | None = next((each for each in OUTCOMES if each == _text(told, "outcome")), None)
    if outcome is None:
        raise Wrong(f'"outcome" is {_text(told, "outcome")!r}, not one of: {", ".join(OUTCOMES[1:])}.')
    source: Source = next((each for each in _SOURCES if each == _text(told, "source")), "http")
    message = " ".join(_text(told, "message").split())[:MESSAGE_CHARACTERS]
    return Signal(source, read(name), known, at_ms, _text(told, "serial") or None, outcome, message, _text(told, "by"))


def _text(told: Mapping[str, object], name: str) -> str:
    value = told.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Wrong(f'"{name}" is {str(value)[:40]!r}, not a text.')
    return value


def _answer(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(value) + b"\n", status, {"cache-control": "no-store"}, "application/json")

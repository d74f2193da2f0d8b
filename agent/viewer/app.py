"""The viewer's HTTP side: one static page and read-only routes over a recording.

Every answer carries a policy under which the page can load nothing from elsewhere. Who may ask is `agent.access`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.access import Door, Lock
from agent.errors import BuildError, RecordingError
from agent.store.recording import Recording
from agent.viewer import assets
from agent.viewer.overview import overview, told

HTML = "text/html; charset=utf-8"
# The replay lives in an about:blank frame, which inherits this policy: its style is inline.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # A replay is private: nothing of it stays in the browser's disk cache.
    "cache-control": "no-store",
}


def make_app(recording: Recording, hosts: Collection[str] = (), token: str = "") -> Starlette:
    """The viewer alone. `hosts` are the names besides loopback under which it is reached; `token` is what whoever
    watches must show, "" for nothing."""
    locks = [Middleware(Lock, token=token)] if token else []
    return Starlette(routes=routes(recording), middleware=[Middleware(Door, hosts=hosts), *locks])


def routes(recording: Recording) -> list[Route]:
    """`/`, `/static/...`, `/api/recording`, `/api/segments/<id>/events`, `/api/pictures/<digest>`, for an app's root.

    Events name their pictures `picture:<digest>`: the page asks for those that it shows.
    """

    def page(request: Request) -> Response:
        try:
            assets.check_build()
        except BuildError as error:
            return HTMLResponse(_notice(error), 503)
        return Response(assets.read(assets.PAGE), media_type=HTML)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            media_type = assets.FILES[name]
            return Response(assets.read(name), media_type=media_type)
        except (KeyError, FileNotFoundError):
            return PlainTextResponse("No such file.\n", 404)

    def first(request: Request) -> Response:
        return _json(overview(recording))

    def events(request: Request) -> Response:
        segment_id = request.path_params["id"]
        try:
            recording.manifest(segment_id)
        except RecordingError as error:
            return _json({"error": told(recording, error.message)}, 404)
        try:
            body = b",".join(recording.events(segment_id))
        except RecordingError as error:
            return _json({"error": told(recording, error.message)}, 500)
        return Response(b"[" + body + b"]", media_type="application/json")

    def picture(request: Request) -> Response:
        try:
            shown = recording.picture(request.path_params["digest"])
        except RecordingError as error:
            return PlainTextResponse(f"{told(recording, error.message)}\n", 404)
        return Response(shown.data, media_type=shown.media_type)

    guard = [Middleware(Guard)]
    return [
        Route("/", page, middleware=guard),
        Route("/static/{name:path}", static, middleware=guard),
        Route("/api/recording", first, middleware=guard),
        Route("/api/segments/{id}/events", events, middleware=guard),
        Route("/api/pictures/{digest}", picture, middleware=guard),
    ]


class Guard:
    """ASGI layer: adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, guarded)


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _notice(error: BuildError) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Replay viewer</title>'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:38rem;margin:15vh auto;"
        "padding:0 1rem}</style>"
        f"<main><h1>The viewer is not complete</h1><p>{escape(error.message)}</p><p>{escape(error.hint)}</p></main>"
    )

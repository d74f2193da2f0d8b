"""Markers and notes that come over HTTP while a recording runs: `POST /markers` on loopback, with a token."""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from agent.access import Door, Lock
from agent.runtime.control import MAX_NAME, MAX_NOTE

PATH = "/markers"
BODY_BYTES = 16_384
HELP = f'POST {PATH} with {{"name": "...", "note": "..."}}, both as you like.'


def make_app(mark: Callable[[str, str], int], token: str) -> ASGIApp:
    """Answers whoever shows the token, under an address or localhost. `mark` takes a name and a note, and says into how
    many recordings they went."""

    async def post(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                return _refused(413, f"A marker has at most {BODY_BYTES} bytes.")
        try:
            asked = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return _refused(400, f"That is no JSON. {HELP}")
        name, note = wanted(asked) or (None, "")
        if name is None:
            return _refused(400, f"{HELP} They are texts of at most {MAX_NAME} and {MAX_NOTE} characters.")
        return JSONResponse({"ok": True, "marked": mark(name, note)})

    def other(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        return _refused(code, HELP)

    app = Starlette(
        routes=[Route(PATH, post, methods=["POST"])], exception_handlers={404: other, 405: other}
    )  # fmt: skip
    return Door(Lock(app, token))


def wanted(asked: object) -> tuple[str, str] | None:
    """The name and the note of a request's JSON; None when it asks for something else."""
    if not isinstance(asked, dict) or not asked.keys() <= {"name", "note"}:
        return None
    name, note = asked.get("name", ""), asked.get("note", "")
    if not (isinstance(name, str) and isinstance(note, str)) or len(name) > MAX_NAME or len(note) > MAX_NOTE:
        return None
    return name.strip() or ("note" if note else "marker"), note


def _refused(code: int, words: str) -> Response:
    return JSONResponse({"ok": False, "error": words}, code)

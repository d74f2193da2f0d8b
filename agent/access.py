"""Who may come in over HTTP: ASGI layers that check the Host, the Origin and a token, for viewer and collector alike.

- A Host that is a foreign name is refused (421): a web site could point its name at this machine (DNS rebinding).
- What changes something is refused (403) when a page of another origin sends it (cross-site request forgery).
- A token is taken as `Authorization: Bearer`, as the password of HTTP Basic, or once as `?token=` from a person's
  browser, which gets a cookie for it (HttpOnly, SameSite=Lax) and an address without the token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.errors import ConfigError

# What a cookie's name begins with.
COOKIE = "android-replay-"
TOKEN = "token"  # noqa: S105 - the name of the query key
SAFE = ("GET", "HEAD", "OPTIONS")
_ASKED = {"WWW-Authenticate": 'Basic realm="The password is the token", charset="UTF-8"'}


class Door:
    """Refuses foreign Hosts and Origins. `hosts` are the names besides addresses and localhost that are ours."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._inside = OwnPages(app)
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._inside
        if scope["type"] == "http" and not own_host(Request(scope).headers.get("host", ""), self._hosts):
            app = PlainTextResponse("This server does not answer to that host name.\n", 421)
        await app(scope, receive, send)


class OwnPages:
    """Refuses what pages of other origins send; for a server that knows its Hosts in another way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and scope["method"] not in SAFE and foreign(Request(scope)):
            app = PlainTextResponse("A page of another site may not send this.\n", 403)
        await app(scope, receive, send)


class Lock:
    """Asks for a token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        # The browser keeps what opens this door, not the token itself.
        self._cookie = hmac.digest(self._token, b"cookie", hashlib.sha256).hex()
        # Cookies know no ports: each door of a host needs a name of its own.
        self._name = COOKIE + hmac.digest(self._token, b"name", hashlib.sha256).hex()[:8]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        app: ASGIApp = PlainTextResponse("The token is needed.\n", 401, _ASKED)
        shown = request.query_params.get(TOKEN, "")
        if shown and request.method in SAFE and hmac.compare_digest(shown.encode(), self._token):
            app = self._let_in(request)
        elif hmac.compare_digest(given(request), self._token) or hmac.compare_digest(
            request.cookies.get(self._name, "").encode(), self._cookie.encode()
        ):
            app = self._app
        await app(scope, receive, send)

    def _let_in(self, request: Request) -> Response:
        left = request.url.remove_query_params(TOKEN)
        # Of this server, whatever the path looks like: "//other.example" would be another's.
        path = "/" + left.path.lstrip("/\\") + (f"?{left.query}" if left.query else "")
        answer = RedirectResponse(path, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
        # A browser that a file or another site's link leads here would send a strict one not even after the redirect.
        answer.set_cookie(self._name, self._cookie, path="/", httponly=True, samesite="lax")
        return answer


def from_environment(name: str, what: str = "token") -> str:
    """The secret that an environment variable holds. Raises ConfigError when it holds none."""
    secret = os.environ.get(name, "")
    if not secret:
        raise ConfigError(f"There is no {what} in the environment variable {name}.", "Set it, or leave it out.")
    return secret


def new_token() -> str:
    """One that nobody guesses."""
    return secrets.token_urlsafe(24)


def own_host(header: str, names: Collection[str] = ()) -> bool:
    """Whether a Host header may be answered: an address (without DNS nothing can be rebound), localhost, `names`."""
    host = header.lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host in {name.lower() for name in names}
    return True


def foreign(request: Request) -> bool:
    """Whether a browser says that a page of another origin sends it. What is no browser says nothing."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    try:
        return urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    except ValueError:
        return True


def given(request: Request) -> bytes:
    """The token that the Authorization header gives; nothing when there is none."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode()
    if kind.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except ValueError:
        return b""

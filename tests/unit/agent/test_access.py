from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agent.access import COOKIE, Door, Lock, new_token, own_host

TOKEN = "a-token-äö"


def app() -> Starlette:
    def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.method} {request.url.path} {request.url.query}")

    routes = [Route("/{path:path}", page, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=[Middleware(Door, hosts=["lab.example"]), Middleware(Lock, token=TOKEN)])


def ask(method: str, path: str, cookie: str = "", **headers: str) -> httpx.Response:
    """`cookie` is a name and a value, with = between."""

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            if cookie:
                client.cookies.set(*cookie.split("="))
            return await client.request(method, path, headers=[(k.encode(), v.encode()) for k, v in headers.items()])

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 401),
        ("Bearer a-token", 401),
        ("Bearer ", 401),
        ("", 401),
        ("Basic !!!", 401),
        ("Basic é", 401),
        ("Basic YW55b25lOmEtdG9rZW4tw6TDtg==", 200),
        ("Basic YW55b25lOndyb25n", 401),
        ("Digest a-token", 401),
    ],
)
def test_a_token_in_the_header(header: str, status: int) -> None:
    # A header is Latin-1 to a server: a token beyond ASCII comes through HTTP Basic alone.
    answer = ask("GET", "/", Authorization=header)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert TOKEN not in answer.text


def test_a_token_in_the_address_becomes_a_cookie() -> None:
    answer = ask("GET", f"/x/y?a=1&token={TOKEN}&b=2")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/x/y?a=1&b=2"
    told = answer.headers["set-cookie"]
    assert "HttpOnly" in told
    # A strict one is not sent after a redirect to which a file or another site led.
    assert "SameSite=lax" in told
    assert "a-token" not in told
    cookie = told.partition(";")[0]
    name = cookie.partition("=")[0]
    assert ask("GET", "/x", cookie=cookie).status_code == 200
    assert ask("GET", "/x", cookie=cookie[:-1] + "x").status_code == 401
    assert ask("GET", "/x", cookie=f"{name}={TOKEN.encode().hex()}").status_code == 401


def test_two_doors_of_a_host_stay_open_side_by_side() -> None:
    # Cookies know no ports.
    async def run() -> list[int]:
        tokens = ["one-token", "two-token"]
        doors = [Lock(PlainTextResponse("page"), token) for token in tokens]
        jar = httpx.Cookies()
        for door, token in zip(doors, tokens, strict=True):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://127.0.0.1") as client:
                jar.update((await client.get("/", params={"token": token})).cookies)
        assert [re.fullmatch(COOKIE + "[0-9a-f]{8}", name) is not None for name in jar] == [True, True]
        assert not any(value.startswith(name.removeprefix(COOKIE)) for name, value in jar.items())
        answers = []
        for door in doors:
            transport = httpx.ASGITransport(door)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", cookies=jar) as client:
                answers.append((await client.get("/")).status_code)
        return answers

    assert asyncio.run(run()) == [200, 200]


def test_a_token_in_the_address_leads_nowhere_else() -> None:
    for path in ("//evil.example/", "/%5Cevil.example", "///evil.example"):
        location = ask("GET", f"http://127.0.0.1:8000{path}?token={TOKEN}").headers["location"]
        assert location.startswith("/")
        assert location[1] not in "/\\"
    assert ask("POST", f"/?token={TOKEN}").status_code == 401
    assert ask("GET", "/?token=wrong").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Origin": "http://127.0.0.1:8000"}, 401),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "LAB.example:1"}, 401),
    ],
)
def test_what_a_page_of_another_site_sends_is_refused(headers: dict[str, str], status: int) -> None:
    assert ask("POST", "/", **headers).status_code == status


def test_reading_is_not_forging() -> None:
    # Another site's page may ask, and cannot read the answer.
    assert ask("GET", "/", Origin="http://evil.example").status_code == 401
    assert "access-control-allow-origin" not in ask("GET", "/", Origin="http://evil.example").headers


def test_tokens_are_long_and_new() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000", "[::1]", "::1", "192.0.2.7"]
)
def test_own_hosts(host: str) -> None:
    assert own_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:127.0.0.1",
        "[evil.example]:1",
        "127.1",
        "[",
        ":80",
    ],
)
def test_foreign_hosts(host: str) -> None:
    assert not own_host(host)


@given(st.text(), st.lists(st.text(), max_size=2))
def test_any_host_header_has_an_answer(host: str, names: list[str]) -> None:
    assert own_host(host, names) in (True, False)

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fakes.certificates import self_signed
from fakes.rawserver import Connection, raw_server
from starlette.responses import Response

from agent.errors import ConfigError
from agent.relay import upstream as module
from agent.relay.app import _answer
from agent.relay.queue import Parcel
from agent.relay.upstream import CDN, DEFAULT_API, Answer, Unreached, Upstream, onward, parse_url, place

PARCEL = Parcel("KEY", (("content-type", "application/json"),), b"{}", 0)


def api_host(value: object) -> str | None:
    body = json.dumps({"integrations": {"Segment.io": {"apiHost": value}}}).encode()
    return module._api_host(Answer(200, (), body))


@pytest.mark.parametrize(
    ("named", "base"),
    [
        ("api.segment.io/v1", "https://api.segment.io/v1"),
        ("events.eu1.segmentapis.com/v1", "https://events.eu1.segmentapis.com/v1"),
        ("https://t.shop-data.example/v1/", "https://t.shop-data.example/v1"),
    ],
)
def test_batches_go_to_the_host_that_the_settings_name(named: str, base: str) -> None:
    assert api_host(named) == base


@pytest.mark.parametrize(
    "named",
    [
        "localhost/v1",
        "127.0.0.1/v1",
        "169.254.169.254/latest",
        "[::1]/v1",
        "http://api.segment.io/v1",
        "api.segment.io:22/v1",
        "user@api.segment.io/v1",
        "api.segment.io/../x",
        "api.segment.io/v1?x=1",
        "api.segment.io/v1#x",
        "api.segment.io\r\n/v1",
        "0x7f.1/v1",
        "2130706433/v1",
        "",
        7,
        None,
    ],
)
def test_an_address_that_no_settings_of_segment_name_leads_nowhere(named: object) -> None:
    assert api_host(named) == DEFAULT_API


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b'{"integrations"'])
def test_what_is_no_settings(body: bytes) -> None:
    assert module._api_host(Answer(200, (), body)) is None


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://a:b@h/", "http://h/?q=1", "http://h:0", "http://h:x", "h:80", "http://h /"]
)
def test_an_upstream_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(url)


def test_an_upstream_is_the_same_with_and_without_its_path(tmp_path: Path) -> None:
    assert parse_url("http://h:1/v1/") == parse_url("http://h:1") == "http://h:1"
    assert place(tmp_path, "http://h:1/v1") == place(tmp_path, "http://h:1/")
    assert place(tmp_path, "http://h:2") != place(tmp_path, "http://h:1")
    assert place(tmp_path, "") == tmp_path / "segment"


def test_what_is_for_one_hop_only_does_not_go_on() -> None:
    given = [("Connection", "close, X-Own"), ("x-own", "1"), ("Host", "h"), ("X-Retry-Count", "2"), ("TE", "x")]
    assert onward(given) == [("x-retry-count", "2")]


def ask(url: str, tmp_path: Path, seconds: float = 5.0) -> Answer | Unreached:
    async def run() -> Answer | Unreached:
        upstream = Upstream(tmp_path, url, seconds)
        try:
            return await upstream.send(PARCEL)
        finally:
            await upstream.aclose()

    return asyncio.run(run())


def test_a_status_counts_even_if_the_rest_breaks_off(tmp_path: Path) -> None:
    def script(client: Connection) -> None:
        client.request()
        client.send(b"HTTP/1.1 429 Slow\r\nRetry-After: 9\r\nContent-Length: 100\r\n\r\nhalf")

    with raw_server(script) as url:
        answer = ask(url, tmp_path)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.header("retry-after"), answer.body) == (429, "9", b"")


@pytest.mark.parametrize("city", [b"\xe2\x82\xac", b"\xe9"])
def test_headers_beyond_ascii_are_the_same_bytes_on_both_sides(tmp_path: Path, city: bytes) -> None:
    heard: list[bytes] = []

    def script(client: Connection) -> None:
        heard.append(client.request())
        client.send(b"HTTP/1.1 200 OK\r\nX-City: " + city + b"\r\nContent-Length: 0\r\n\r\n")

    async def run(url: str) -> Response:
        upstream = Upstream(tmp_path, url)
        answer = await upstream.send(replace(PARCEL, headers=(("x-from", city.decode("latin-1")),)))
        await upstream.aclose()
        assert isinstance(answer, Answer)
        return _answer(answer)

    with raw_server(script) as url:
        headers = asyncio.run(run(url)).raw_headers
    assert (b"x-city", city) in headers
    assert b"x-from: " + city + b"\r\n" in heard[0]


def test_a_dripping_answer_ends_at_the_deadline(tmp_path: Path) -> None:
    def script(client: Connection) -> None:
        client.request()
        client.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, 0.05)

    with raw_server(script) as url:
        assert ask(url, tmp_path, 0.3) == Unreached("no answer within 0.3 s")


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_answer(tmp_path: Path, said: bytes) -> None:
    def script(client: Connection) -> None:
        client.request()
        client.send(said)

    with raw_server(script) as url:
        assert isinstance(ask(url, tmp_path), Unreached)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 429 Slow\r\nContent-Length: 9\r\n\r\n"])
def test_a_damaged_tls_record_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    certificate, tls = self_signed(tmp_path / "tls")
    monkeypatch.setattr("certifi.where", lambda: str(certificate))

    def script(client: Connection) -> None:
        client.request()
        client.send(said)
        with socket.socket(fileno=os.dup(client.client.fileno())) as beneath:
            beneath.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        client.ended.wait(10)

    with raw_server(script, tls) as url:
        answer = ask(url, tmp_path)
    assert answer == Answer(429, (), b"") if said else isinstance(answer, Unreached) and "SSL" in answer.reason


def test_an_endless_answer_to_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTINGS_BYTES", 1000)

    def script(client: Connection) -> None:
        client.request()
        client.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)

    async def run(url: str) -> Answer | Unreached:
        upstream = Upstream(tmp_path, url)
        try:
            return await upstream.settings("KEY", ())
        finally:
            await upstream.aclose()

    with raw_server(script) as url:
        assert asyncio.run(run(url)) == Unreached("an answer of more than 1000 bytes")


class Recording(Upstream):
    """Segment's hosts, without asking them: what would be asked, and scripted answers."""

    def __init__(self, folder: Path, settings: Answer | Unreached) -> None:
        super().__init__(folder)
        self.urls: list[str] = []
        self._said = settings

    async def _ask(self, method, url, headers, content, seconds, limit):  # type: ignore[no-untyped-def]
        self.urls.append(f"{method} {url}")
        return self._said if method == "GET" else Answer(200, (), b"")


def test_an_app_that_posts_first_is_led_by_its_settings_too(tmp_path: Path) -> None:
    settings = Answer(200, (), orjson.dumps({"integrations": {"Segment.io": {"apiHost": "eu.example.com/v1"}}}))

    async def run(said: Answer | Unreached, times: int) -> list[str]:
        upstream = Recording(tmp_path, said)
        for _ in range(times):
            await upstream.send(PARCEL)
        await upstream.aclose()
        return upstream.urls

    asked = f"GET {CDN}/projects/KEY/settings"
    assert asyncio.run(run(settings, 2)) == [asked, *["POST https://eu.example.com/v1/b"] * 2]
    # The copy on disk leads where nothing can be asked.
    assert asyncio.run(run(Unreached("down"), 1)) == [asked, "POST https://eu.example.com/v1/b"]


@pytest.mark.parametrize(
    ("settings", "is_sent"),
    [
        (Answer(200, (), b"{}"), True), (Answer(404, (), b""), True), (Unreached("down"), False),
        (Answer(503, (), b""), False), (Answer(429, (), b""), False), (Answer(302, (), b""), False),
    ],
)  # fmt: skip
def test_to_segments_own_host_goes_what_no_settings_lead_elsewhere(
    tmp_path: Path, settings: Answer | Unreached, is_sent: bool
) -> None:
    async def run() -> tuple[Answer | Unreached, list[str]]:
        upstream = Recording(tmp_path, settings)
        outcome = await upstream.send(PARCEL)
        await upstream.aclose()
        return outcome, upstream.urls

    # While nobody can tell, another region's host may be the right one: the batch waits.
    outcome, urls = asyncio.run(run())
    assert isinstance(outcome, Answer) is is_sent
    assert urls[1:] == ([f"POST {DEFAULT_API}/b"] if is_sent else [])


def test_a_proxy_that_cannot_be_used_is_an_error_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match="proxy"):
        Upstream(tmp_path)

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from contextlib import closing

import httpx
import pytest
from fakes.rawserver import Connection, raw_server

from agent.errors import ConfigError
from agent.outbox import exchange as module
from agent.outbox.exchange import Exchange, address, is_loopback

OK = b"HTTP/1.1 200 OK\r\nX-Word: Yes\r\nContent-Length: 5\r\n\r\nhello"


def test_an_answer_has_its_status_its_headers_in_lower_case_and_its_text() -> None:
    def script(connection: Connection) -> None:
        while connection.request():
            connection.send(OK)

    with raw_server(script) as url:
        exchange = Exchange("127.0.0.1")
        for limit, text in ((100, "hello"), (2, "he")):
            answer = exchange.ask("GET", url, {}, limit=limit)
            assert (answer.status, answer.headers["x-word"], answer.text) == (200, "Yes", text)
        exchange.close()


def test_a_server_that_drips_is_left_at_the_deadline() -> None:
    def drip(connection: Connection) -> None:
        connection.request()
        connection.drip(OK * 100, 0.05)

    with raw_server(drip) as url:
        exchange = Exchange("127.0.0.1")
        began = time.monotonic()
        with pytest.raises(httpx.ReadTimeout, match=r"no full answer within 0\.5 s"):
            exchange.ask("GET", url, {}, seconds=0.5)
        assert time.monotonic() - began < 5
        exchange.close()


def test_close_from_another_thread_ends_a_request_and_all_later_ones() -> None:
    entered = threading.Event()

    def hang(connection: Connection) -> None:
        connection.request()
        entered.set()
        connection.ended.wait(30)

    with raw_server(hang) as url:
        exchange = Exchange("127.0.0.1")
        errors: list[httpx.HTTPError] = []

        def ask() -> None:
            try:
                exchange.ask("GET", url, {}, seconds=20)
            except httpx.HTTPError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert entered.wait(10)
        exchange.close()
        thread.join(5)
        assert not thread.is_alive()
        assert len(errors) == 1
        with pytest.raises(httpx.TransportError, match="closed"):
            exchange.ask("GET", url, {})
        exchange.close()


def test_close_wakes_who_waits_for_tls_to_begin() -> None:
    connecting: queue.SimpleQueue[Exchange] = queue.SimpleQueue()

    def close(connection: Connection) -> None:
        connecting.get(timeout=10).close()
        connection.ended.wait(30)

    tls = ssl.create_default_context()
    with raw_server(close, parallel=True) as url:
        began = time.monotonic()
        for _ in range(20):
            exchange = Exchange("127.0.0.1", tls)
            connecting.put(exchange)
            with pytest.raises(httpx.TransportError):
                exchange.ask("GET", url.replace("http:", "https:"), {}, seconds=20)
        assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://h", "http://", "http://h:0", "http://h:99999", "http://a b", "http://["]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError) as told:
        address(url, "It", "Write it as http://HOST.")
    assert told.value.hint == "Write it as http://HOST."


@pytest.mark.parametrize("url", ["http://u@h", "http://h?q=1", "http://h#f"])
def test_an_address_of_too_many_parts(url: str) -> None:
    with pytest.raises(ConfigError, match="It has no user name"):
        address(url, "It", "")


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


def test_a_key_that_a_server_says_back_is_starred() -> None:
    def echo(connection: Connection) -> None:
        text = connection.request().partition(b"Authorization: ")[2].partition(b"\r\n")[0]
        connection.send(b"HTTP/1.1 400 No\r\nX-You-Said: %b\r\nContent-Length: %d\r\n\r\n%b" % (text, len(text), text))

    with raw_server(echo) as url, closing(Exchange("127.0.0.1")) as exchange:
        answer = exchange.ask("GET", url, {"Authorization": "Bearer canary-key"})
    assert answer.text == "Bearer *****"
    assert answer.headers["x-you-said"] == "Bearer *****"


def test_what_went_out_is_counted() -> None:
    def script(connection: Connection) -> None:
        while connection.request():
            connection.send(OK)

    with raw_server(script) as url, closing(Exchange("127.0.0.1")) as exchange:
        for _ in range(2):
            exchange.ask("POST", url, {}, b"12345")
        exchange.ask("GET", url, {})
        assert exchange.sent == 10
    with closing(Exchange("127.0.0.1")) as exchange:
        with pytest.raises(httpx.ConnectError):
            exchange.ask("POST", "http://127.0.0.1:1", {}, b"12345")
        assert exchange.sent == 0


def test_a_server_that_takes_nothing_more_is_left_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)
    with raw_server(lambda connection: connection.ended.wait(20)) as url, closing(Exchange("127.0.0.1")) as exchange:
        began = time.monotonic()
        with pytest.raises(httpx.WriteTimeout, match=r"nothing went out for 0\.3 s"):
            exchange.ask("POST", url, {}, bytes(20_000_000), seconds=20)
        assert time.monotonic() - began < 5


def test_all_addresses_of_a_host_that_does_not_answer_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 1.5)
    monkeypatch.setattr(module, "LEAST_CONNECT_SECONDS", 0.1)
    with contextlib.ExitStack() as stack:
        # Whose queue is full drops what comes.
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        found = socket.getaddrinfo(*deaf.getsockname(), 0, socket.SOCK_STREAM) * 6
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        exchange = stack.enter_context(closing(Exchange("127.0.0.1")))
        began = time.monotonic()
        with pytest.raises(httpx.ConnectTimeout):
            exchange.ask("GET", f"http://127.0.0.1:{deaf.getsockname()[1]}", {}, seconds=20)
        assert 1 < time.monotonic() - began < 5


def test_what_stays_on_the_way_out_is_not_counted() -> None:
    with raw_server(lambda connection: connection.ended.wait(20)) as url, closing(Exchange("127.0.0.1")) as exchange:
        with pytest.raises(httpx.HTTPError):
            exchange.ask("POST", url, {}, bytes(20_000_000), seconds=0.5)
        assert exchange.sent == 0

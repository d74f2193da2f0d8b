from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from fakes.wait import until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agent.collector import server as module
from agent.collector.server import Server, listen, serve
from agent.errors import AddressTaken, ConfigError


def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.client.host if request.client else "")


APP = Starlette(routes=[Route("/", hello)])
PROGRAM = """
import sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from agent.collector.server import serve
app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"))])
serve(app, "127.0.0.1", 0, lambda server: print(server.url, flush=True))
print("ended", flush=True)
"""


def test_it_runs_from_start_to_stop() -> None:
    server = Server(APP)
    assert server.port == 0
    server.stop()
    server.start()
    try:
        assert server.url == f"http://127.0.0.1:{server.port}"
        answer = httpx.get(server.url)
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert not server.ended.is_set()
    finally:
        server.stop()
    assert server.ended.is_set()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_head_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.1)
    with Server(APP) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(sent)
            while client.recv(4096):
                pass
        assert httpx.get(server.url).status_code == 200


def test_more_connections_than_it_serves_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 2)
    with Server(APP) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            assert httpx.get(server.url).status_code == 503
        until(lambda: httpx.get(server.url).status_code == 200, "the other to be gone")


def test_connections_are_taken_as_soon_as_it_is_started() -> None:
    with Server(APP) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_what_a_proxy_claims_is_not_believed() -> None:
    with Server(APP) as server:
        assert httpx.get(server.url, headers={"X-Forwarded-For": "6.6.6.6"}).text == "127.0.0.1"


def test_version_6() -> None:
    try:
        listen("::1", 0).close()
    except ConfigError:
        pytest.skip("this host has no IPv6")
    with Server(APP, "::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert httpx.get(server.url).text == "::1"


def test_a_port_that_is_taken() -> None:
    with Server(APP) as server:
        second = Server(APP, port=server.port)
        with pytest.raises(AddressTaken, match=str(server.port)) as caught:
            second.start()
        assert "--port" in caught.value.hint
        second.stop()
    listen("127.0.0.1", server.port).close()


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("no such host", 0),
        ("127.0.0.1", 65536),
        ("127.0.0.1", 70000),
        ("127.0.0.1", -1),
        ("203.0.113.7", 0),
        ("x" * 99, 0),
    ],
)
def test_an_address_that_is_none(host: str, port: int) -> None:
    with pytest.raises(ConfigError, match=host) as caught:
        listen(host, port)
    assert "--" in caught.value.hint


def test_a_request_under_way_is_answered_at_the_end() -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(request: Request) -> PlainTextResponse:
        begun.set()
        assert go.wait(10)
        return PlainTextResponse("done")

    server = Server(Starlette(routes=[Route("/", slow)]))
    server.start()
    stopping = threading.Thread(target=server.stop)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert begun.wait(10)
        stopping.start()
        assert not server.ended.is_set()
        go.set()
        text = b""
        while data := client.recv(1000):
            text += data
    stopping.join(10)
    assert text.endswith(b"done")
    assert server.ended.is_set()


def test_a_silent_client_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 1)
    server = Server(APP)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        server.stop()
        until(server.ended.is_set, "the end", 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(url).text == "hello"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_signals_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    asked: list[str] = []

    def ready(server: Server) -> None:
        asked.append(httpx.get(server.url).text)
        os.kill(os.getpid(), signal.SIGTERM)

    serve(APP, "127.0.0.1", 0, ready)
    assert asked == ["127.0.0.1"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressTaken):
        serve(APP, "127.0.0.1", taken.getsockname()[1], ready)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

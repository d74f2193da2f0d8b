from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fakes.certificates import self_signed
from fakes.rawserver import Connection, raw_server
from fakes.segments import SESSION, segment

from agent.model import Delivered, Delivery, Rejected, Retry
from agent.outbox.amplitude import AmplitudeSink
from agent.outbox.collector import CollectorSink
from agent.outbox.exchange import trust
from agent.outbox.pace import Pace

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(connection: Connection) -> None:
    while connection.request():
        connection.send(OK)


def test_a_certificate_that_nobody_vouches_for_is_refused_and_ours_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, tls = self_signed(tmp_path)
    with raw_server(answering, tls) as url:
        for strict, kind in ((False, Retry), (True, Rejected)):
            sink = AmplitudeSink(url, "key", strict=strict, tls=trust(None))
            delivery = sink.send(segment())
            sink.close()
            assert isinstance(delivery, kind)
            assert "certificate" in str(delivery)
        sink = AmplitudeSink(url, "key", tls=trust(certificate))
        assert sink.send(segment()) == Delivered("200 ok")
        assert "over TLS (200)" in sink.check()
        sink.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sink = AmplitudeSink(url, "key", tls=trust(None))
        assert sink.send(segment()) == Delivered("200 ok")
        sink.close()


def test_as_many_posts_as_there_are_connections_are_under_way_at_once() -> None:
    together = threading.Barrier(3)

    def script(connection: Connection) -> None:
        connection.request()
        together.wait(20)
        connection.send(OK)

    with raw_server(script, parallel=True) as url:
        sink = AmplitudeSink(url, "key", parallel=3)
        got: list[Delivery] = []
        threads = [
            threading.Thread(target=lambda n=n: got.append(sink.send(segment(0, SESSION + n)))) for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        sink.close()
    assert got == [Delivered("200 ok")] * 3


def test_a_proxy_of_the_environment_is_asked_for_what_is_not_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def proxy(connection: Connection) -> None:
        asked.append(connection.request().partition(b"\r\n")[0])
        connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with raw_server(proxy) as url:
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", url)
        sink = AmplitudeSink("https://replays.invalid/track", "key", seconds=10.0)
        assert isinstance(sink.send(segment()), Retry)
        sink.close()
    assert asked == [b"CONNECT replays.invalid:443 HTTP/1.1"]


def test_posts_wait_for_their_turn_and_their_bytes_are_counted() -> None:
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    with raw_server(answering) as url:
        pace = Pace(1, lambda: 0.0, wait)
        sink = AmplitudeSink(url, "key", pace=pace)
        for seq in range(2):
            assert isinstance(sink.send(segment(seq)), Delivered)
        sink.close()
        assert isinstance(sink.send(segment(2)), Retry)
    assert len(waited) >= 1
    assert 0 < waited[0] < pace.taken


@pytest.mark.parametrize("kind", [AmplitudeSink, CollectorSink])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_receipts(
    kind: type[AmplitudeSink] | type[CollectorSink],
) -> None:
    def echo(connection: Connection) -> None:
        text = b"who is " + connection.request().partition(b"Bearer ")[2][:8] + b"?"
        connection.send(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

    with raw_server(echo) as url:
        sink = kind(url, "key-4711")
        assert sink.send(segment()) == Rejected("401 who is *****?")
        sink.close()

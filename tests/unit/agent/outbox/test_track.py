from __future__ import annotations

import gzip
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from fakes.certificates import self_signed
from fakes.proxy import proxying
from fakes.rawserver import Connection, raw_server
from fakes.refusing import Refusing, refusing
from fakes.segments import DEVICE, SESSION, custom, segment

from agent.errors import ConfigError, SinkError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from agent.outbox.amplitude import AmplitudeSink
from agent.outbox.collector import CollectorSink
from agent.outbox.exchange import trust
from agent.outbox.pace import Pace
from agent.outbox.receipts import meaning
from agent.outbox.track import Posting
from agent.outbox.wire import Barred

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
            sink = AmplitudeSink(url, Posting("key", strict=strict, tls=trust(None)))
            delivery = sink.send(segment())
            sink.close()
            assert isinstance(delivery, kind)
            assert "certificate" in str(delivery)
        sink = AmplitudeSink(url, Posting("key", tls=trust(certificate)))
        assert sink.send(segment()) == Delivered("200 ok")
        assert "over TLS (200)" in sink.check()
        sink.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        sink = AmplitudeSink(url, Posting("key", tls=trust(None)))
        assert sink.send(segment()) == Delivered("200 ok")
        sink.close()


def test_as_many_posts_as_there_are_connections_are_under_way_at_once() -> None:
    together = threading.Barrier(3)

    def script(connection: Connection) -> None:
        connection.request()
        together.wait(20)
        connection.send(OK)

    with raw_server(script, parallel=True) as url:
        sink = AmplitudeSink(url, Posting("key", parallel=3))
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


HOST = "replays.example"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """None is named by the environment; the patch, to name some."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize("kind", [AmplitudeSink, CollectorSink])
def test_tls_goes_through_the_proxy_of_the_environment_unread(
    tmp_path: Path, no_proxy: pytest.MonkeyPatch, kind: type[AmplitudeSink] | type[CollectorSink]
) -> None:
    certificate, tls = self_signed(tmp_path, f"DNS:{HOST}")
    with refusing("429 in seconds", "silence", tls=tls) as server, proxying(server.url) as proxy:
        no_proxy.setenv("HTTPS_PROXY", proxy.url.replace("//", "//somebody:secret@"))
        pace = Pace()
        sink = kind(f"https://{HOST}", Posting("key-4711", seconds=2.0, tls=trust(certificate), pace=pace))
        assert isinstance(sink.send(segment()), Retry)
        # The deadline holds inside of a tunnel, too.
        assert sink.send(segment()) == Retry(0.0, "no full answer within 2 s")
        assert isinstance(sink.send(segment()), Delivered)
        sink.close()
    assert server.taken == texts(segment())
    # What a tunnel asks for is no part of it.
    assert pace.sent == sum(len(post.body) for post in server.posts)
    assert set(proxy.lines) == {f"CONNECT {HOST}:443 HTTP/1.1"}
    assert "Proxy-Authorization: Basic c29tZWJvZHk6c2VjcmV0" in proxy.asked[0]
    assert not any(b"key-4711" in data for data in [*proxy.through, *map(str.encode, proxy.asked)])


def test_a_collector_without_tls_is_asked_through_the_proxy_by_its_whole_address(no_proxy: pytest.MonkeyPatch) -> None:
    with refusing() as server, proxying(server.url) as proxy:
        no_proxy.setenv("HTTP_PROXY", proxy.url)
        sink = CollectorSink(f"http://{HOST}:8377")
        assert isinstance(sink.send(segment()), Delivered)
        sink.close()
    assert server.taken == texts(segment())
    assert proxy.lines[0].startswith(f"POST http://{HOST}:8377{wire.TRACK_PATH}?device_id=")


@pytest.mark.parametrize(
    ("refusal", "means"),
    [("407 Proxy Authentication Required", "HTTPS_PROXY"), ("403 Forbidden", "proxy"), ("502 No", "")],
)
def test_what_a_proxy_refuses_is_tried_again_and_explained(
    no_proxy: pytest.MonkeyPatch, refusal: str, means: str
) -> None:
    with refusing() as server, proxying(server.url, refusal) as proxy:
        no_proxy.setenv("HTTPS_PROXY", proxy.url.replace("//", "//somebody:secret@"))
        sink = AmplitudeSink(f"https://{HOST}/track", Posting("key"))
        delivery = sink.send(segment())
        with pytest.raises(SinkError) as caught:
            sink.check()
        sink.close()
    assert isinstance(delivery, Retry)
    assert refusal in delivery.reason
    assert means in meaning(delivery.reason)
    assert "secret" not in f"{delivery.reason}{caught.value}{caught.value.hint}"
    assert server.posts == []


def test_no_proxy_is_asked_for_what_no_proxy_names_nor_for_this_host(no_proxy: pytest.MonkeyPatch) -> None:
    with refusing() as server, proxying(server.url) as proxy:
        no_proxy.setenv("ALL_PROXY", proxy.url)
        no_proxy.setenv("NO_PROXY", ".invalid")
        for url, kind in ((server.url, Delivered), ("https://replays.invalid", Retry)):
            sink = AmplitudeSink(url, Posting("key"))
            assert isinstance(sink.send(segment()), kind)
            sink.close()
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "ftp://127.0.0.1"),
        ("HTTP_PROXY", "http://:secret@[::1"),
        ("HTTPS_PROXY", "http://somebody:secret:1"),
        ("NO_PROXY", "::1/128"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    no_proxy: pytest.MonkeyPatch, name: str, value: str
) -> None:
    no_proxy.setenv(name, value)
    with pytest.raises(ConfigError, match="proxy") as caught:
        AmplitudeSink(f"https://{HOST}", Posting("key"))
    assert "HTTPS_PROXY" in caught.value.hint
    assert "secret" not in str(caught.value)
    # It has no business here.
    AmplitudeSink("http://127.0.0.1:1", Posting("key")).close()


def test_posts_wait_for_their_turn_and_their_bytes_are_counted() -> None:
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return False

    with raw_server(answering) as url:
        pace = Pace(1, lambda: 0.0, wait)
        sink = AmplitudeSink(url, Posting("key", pace=pace))
        for seq in range(2):
            assert isinstance(sink.send(segment(seq)), Delivered)
        sink.close()
        assert isinstance(sink.send(segment(2)), Retry)
    assert len(waited) >= 1
    assert 0 < waited[0] < pace.sent


@pytest.mark.parametrize("kind", [AmplitudeSink, CollectorSink])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_receipts(
    kind: type[AmplitudeSink] | type[CollectorSink],
) -> None:
    def echo(connection: Connection) -> None:
        text = b"who is " + connection.request().partition(b"Bearer ")[2][:8] + b"?"
        connection.send(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

    with raw_server(echo) as url:
        sink = kind(url, Posting("key-4711"))
        assert sink.send(segment()) == Barred(0.0, "401 who is *****?")
        sink.close()


@contextmanager
def sinking(server: Refusing, strict: bool = False) -> Iterator[AmplitudeSink]:
    sink = AmplitudeSink(server.url, Posting("key", seconds=20.0, strict=strict))
    try:
        yield sink
    finally:
        sink.close()


def texts(sealed: SealedSegment) -> list[bytes]:
    return list(wire.inlined(sealed))


def sizes(server: Refusing) -> list[int]:
    return [len(post.events) for post in server.posts]


@pytest.mark.parametrize("refusal", ["413", "firewall", "firewall's 403"])
def test_what_is_too_large_is_halved_until_it_is_taken(refusal: str) -> None:
    sealed = segment()
    with refusing(refusal, refusal) as server, sinking(server) as sink:
        assert isinstance(sink.send(sealed), Delivered)
        assert server.taken == texts(sealed)
        assert sizes(server) == [10, 5, 2, 3, 5]
        # Every half is a body that stands by itself.
        assert all(orjson.loads(gzip.decompress(post.body))["version"] == 1 for post in server.posts)
        # The next one is cut as small at once.
        assert isinstance(sink.send(segment(1)), Delivered)
        assert max(sizes(server)[5:]) < 5


def test_one_event_that_is_too_large_is_kept_with_its_segment() -> None:
    sealed = segment()
    with refusing(*["413"] * 4) as server, sinking(server) as sink:
        assert sink.send(sealed) == Rejected("413")
        assert sizes(server) == [10, 5, 2, 1]
        # Whoever has it sent again delivers all of it.
        assert isinstance(sink.send(sealed), Delivered)
    assert server.taken == texts(sealed)


def test_what_a_server_took_of_a_segment_is_not_sent_twice() -> None:
    sealed = segment()
    with refusing("413", "200", "500") as server, sinking(server) as sink:
        assert isinstance(sink.send(sealed), Retry)
        assert isinstance(sink.send(sealed), Delivered)
    assert server.taken == texts(sealed)


def test_the_browser_sdk_drops_a_post_and_goes_on_with_the_next() -> None:
    sealed = segment()
    with refusing("firewall", "400", "200", "401", "200") as server, sinking(server, strict=True) as sink:
        # 3 events are halved, and with the next two posts that makes four.
        assert sink.send(sealed) == Rejected("1 of 4 posts: 400; 1 of 4 posts: 401", kept=False)
    assert sizes(server) == [3, 1, 2, 6, 1]
    assert server.taken == [*texts(sealed)[1:3], *texts(sealed)[9:]]


def test_the_browser_sdk_rests_between_two_posts_when_throttled_and_merges_what_waited() -> None:
    sealed = segment()
    with refusing("200+429") as server, sinking(server, strict=True) as sink:
        assert sink.send(sealed) == Retry(60.0, "the server is throttling (429)")
        delivery = sink.send(sealed)
        assert isinstance(delivery, Delivered)
        assert delivery.skipped == "1 of 2 posts: the server is throttling (429)"
        assert isinstance(sink.send(segment(1)), Delivered)
        assert sizes(server) == [3, 7, 10]
        # What began after the pause is cut as ever.
        late = segment(0, time.time_ns() // 1_000_000 + 120_000, "another")
        assert isinstance(sink.send(late), Delivered)
        assert sizes(server)[3:] == [3, 6, 1]
    assert server.taken == [*texts(sealed)[3:], *texts(segment(1)), *texts(late)]


def test_each_device_has_a_cadence_of_its_own() -> None:
    with refusing() as server, sinking(server, strict=True) as sink:
        for device in (DEVICE, "another"):
            assert isinstance(sink.send(segment(0, device_id=device)), Delivered)
    assert sizes(server) == [3, 6, 1] * 2


@pytest.mark.parametrize("strict", [False, True])
def test_what_close_cuts_short_is_no_refusal(strict: bool) -> None:
    asked = threading.Event()

    def script(connection: Connection) -> None:
        # The last of the posts is under way.
        for _ in range(2 if strict else 0):
            connection.request()
            connection.send(OK)
        connection.request()
        asked.set()
        connection.ended.wait(60)

    with raw_server(script) as url:
        sink = AmplitudeSink(url, Posting("key", strict=strict))
        got: list[Delivery] = []
        sending = threading.Thread(target=lambda: got.append(sink.send(segment())))
        sending.start()
        assert asked.wait(20)
        sink.close()
        sending.join(20)
        # Nor does it count as a try.
        got += [sink.send(segment()), sink.send(segment())]
    assert [type(delivery) for delivery in got] == [Retry] * 3


def large() -> SealedSegment:
    """A segment whose post has a hundred kilobytes."""
    return segment(extra=[custom(SESSION + 1600, "note", {"text": random.Random(7).randbytes(100_000).hex()})])


@pytest.mark.parametrize(
    ("strict", "wanted"), [(False, Delivered("200 ok")), (True, Retry(0.0, "no full answer within 0.4 s"))]
)
def test_a_large_post_has_more_time_but_where_the_browser_sdk_gives_none(strict: bool, wanted: Delivery) -> None:
    def script(connection: Connection) -> None:
        if connection.slowly(0.04):
            connection.send(OK)

    with raw_server(script, parallel=True) as url:
        sink = AmplitudeSink(url, Posting("key", seconds=0.4, strict=strict))
        delivery = sink.send(large())
        sink.close()
    assert delivery == wanted


def test_without_a_session_or_a_device_nothing_is_sent() -> None:
    with refusing() as server:
        for strict in (False, True):
            with sinking(server, strict) as sink:
                for sealed in (segment(session_id=-1), segment(device_id="")):
                    assert sink.send(sealed) == Rejected("no session id or device id", kept=not strict)
        assert server.posts == []

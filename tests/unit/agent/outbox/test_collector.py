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
from fakes.collecting import Collecting, collecting
from fakes.rawserver import Connection, raw_server
from fakes.refusing import Taking, read
from fakes.segments import DEVICE, SESSION, custom, segment

from agent.collector.answers import Answer
from agent.errors import SinkError
from agent.model import Delivered, Delivery, Rejected, Retry
from agent.outbox import exchange, wire
from agent.outbox.collector import CollectorSink
from agent.outbox.receipts import meaning
from agent.outbox.track import Posting
from agent.outbox.wire import Barred


@contextmanager
def sinking(url: str, key: str = "key", seconds: float = 5.0) -> Iterator[CollectorSink]:
    sink = CollectorSink(url, Posting(key, lambda: 0.5, seconds))
    try:
        yield sink
    finally:
        sink.close()


def big(size: int) -> list[dict[str, object]]:
    """Ten events that make up `size` bytes together."""
    return [custom(SESSION + 2000 + n, "note", {"text": "x" * (size // 10)}) for n in range(10)]


def test_a_segment_arrives_as_it_was(collector: Collecting) -> None:
    sealed = segment()
    with sinking(collector.url) as sink:
        sink.check()
        delivery = sink.send(sealed)
        assert isinstance(delivery, Delivered)
        assert sealed.manifest.id in delivery.answer
        assert delivery.skipped == ""
    assert collector.recording.sealed(sealed.manifest.id) == sealed
    (seen,) = collector.answers.seen
    assert dict(seen.query) == {"device_id": DEVICE, "session_id": str(SESSION), "type": "replay"}
    assert seen.headers["authorization"] == "Bearer key"
    assert seen.headers["x-client-sample-rate"] == "0.5"
    assert seen.headers["idempotency-key"] == sealed.manifest.id
    assert orjson.loads(gzip.decompress(seen.body))["version"] == 1


def test_a_repeat_changes_nothing(collector: Collecting) -> None:
    with sinking(collector.url) as sink:
        assert isinstance(sink.send(segment()), Delivered)
        assert isinstance(sink.send(segment()), Delivered)
    assert len(collector.recording.manifests()) == 1


def test_a_large_segment_goes_in_parts_and_arrives_as_one(collector: Collecting) -> None:
    sealed = segment(extra=big(12_000_000))
    with sinking(collector.url) as sink:
        assert isinstance(sink.send(sealed), Delivered)
    assert collector.recording.sealed(sealed.manifest.id) == sealed
    keys = [seen.headers["idempotency-key"] for seen in collector.answers.seen]
    assert keys == [f"{sealed.manifest.id};part={n};of=3" for n in (1, 2, 3)]
    assert all(len(gzip.decompress(seen.body)) <= wire.BATCH_BYTES for seen in collector.answers.seen)


def test_parts_from_before_a_restart_are_sent_again(tmp_path: Path) -> None:
    sealed = segment(extra=big(12_000_000))
    with collecting(tmp_path / "c") as first:
        first.answers.add(Answer(text='{"code":200,"part":1}', store=True), Answer(503))
        with sinking(first.url) as sink:
            assert isinstance(sink.send(sealed), Retry)
    with collecting(tmp_path / "c") as second, sinking(second.url) as sink:
        assert isinstance(sink.send(sealed), Delivered)
        assert second.recording.sealed(sealed.manifest.id) == sealed


def test_a_server_that_forgot_a_part_gets_all_again(collector: Collecting) -> None:
    sealed = segment(extra=big(12_000_000))
    collector.answers.add(Answer(text='{"code":200,"part":1}'))
    with sinking(collector.url) as sink:
        delivery = sink.send(sealed)
        assert isinstance(delivery, Retry)
        assert "part 1 of 3 is missing" in delivery.reason
        assert isinstance(sink.send(sealed), Delivered)
    assert collector.recording.sealed(sealed.manifest.id) == sealed


def test_too_large_posts_are_halved_until_they_fit(collector: Collecting) -> None:
    sealed = segment()
    collector.answers.add(Answer(413), Answer(403, text="Your payload size exceeds what we take"))
    with sinking(collector.url) as sink:
        assert isinstance(sink.send(sealed), Delivered)
        keys = [seen.headers["idempotency-key"].partition(";")[2] for seen in collector.answers.seen]
        assert keys[0] == ""
        assert keys[1].startswith("part=1;of=")
        assert len(keys) > 4
        before = len(keys)
        # The smaller size is kept.
        assert isinstance(sink.send(segment(1)), Delivered)
        assert "part=1" in collector.answers.seen[before].headers["idempotency-key"]
    assert collector.recording.sealed(sealed.manifest.id) == sealed


def test_a_server_that_finds_everything_too_large_gets_rid_of_us(collector: Collecting) -> None:
    collector.answers.add(*[Answer(413)] * 50)
    with sinking(collector.url) as sink:
        assert sink.send(segment()) == Rejected('413 {"code":200}')
    assert len(collector.answers.seen) < 30


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (Answer(503, {"Retry-After": "3"}, "busy"), Retry(3.0, "503 busy")),
        (Answer(429, {}, "slow down"), Retry(0.0, "429 slow down")),
        (Answer(400, {}, "bad"), Rejected("400 bad")),
        (Answer(302, {"Location": "http://127.0.0.1:1/"}, ""), Retry(0.0, "302")),
        (Answer(404, {}, "nothing here"), Barred(0.0, "404 nothing here")),
    ],
)
def test_answers_are_classified(collector: Collecting, answer: Answer, wanted: Delivery) -> None:
    collector.answers.add(answer)
    with sinking(collector.url) as sink:
        assert sink.send(segment()) == wanted


def test_what_a_throttling_server_skips_is_not_delivered(collector: Collecting) -> None:
    collector.answers.add(Answer(200, {"X-Session-Replay-Event-Skipped": "429"}))
    with sinking(collector.url) as sink:
        assert sink.send(segment()) == Retry(60.0, "the server is throttling (429)")
        assert isinstance(sink.send(segment()), Delivered)
    assert collector.recording.sealed(segment().manifest.id) == segment()


@pytest.mark.parametrize("code", ["4004", "4005"])
def test_a_session_that_the_server_ends_gets_no_more_posts(collector: Collecting, code: str) -> None:
    collector.answers.add(Answer(200, {"X-Session-Replay-Event-Skipped": code}))
    with sinking(collector.url) as sink:
        first, second = sink.send(segment(0)), sink.send(segment(1))
        assert isinstance(first, Rejected)
        assert first.ends_session
        assert isinstance(second, Rejected)
        assert code in second.reason
        assert isinstance(sink.send(segment(0, SESSION + 1)), Delivered)
    assert len(collector.answers.seen) == 2


@pytest.mark.parametrize(("session_id", "device_id"), [(0, DEVICE), (-1, DEVICE), (SESSION, "")])
def test_without_a_known_session_nothing_is_sent(collector: Collecting, session_id: int, device_id: str) -> None:
    with sinking(collector.url) as sink:
        assert isinstance(sink.send(segment(0, session_id, device_id)), Rejected)
    assert collector.answers.seen == ()


def test_nobody_there_is_a_retry_and_says_so_at_check(tmp_path: Path) -> None:
    with collecting(tmp_path / "c") as running:
        url = running.url
    with sinking(url) as sink:
        assert isinstance(sink.send(segment()), Retry)
        with pytest.raises(SinkError, match="does not answer") as caught:
            sink.check()
        assert "android-replay collector" in caught.value.hint


def test_check_notices_a_wrong_key_and_a_stranger(collector: Collecting) -> None:
    with sinking(collector.url, key="other") as sink:
        with pytest.raises(SinkError, match="API key") as caught:
            sink.check()
        assert "UPLOAD__API_KEY" in caught.value.hint
        assert sink.send(segment()) == Barred(
            0.0, '401 {"code":401,"error":"an Authorization header with the project\'s API key is needed"}'
        )

    def stranger(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with raw_server(stranger) as url, sinking(url) as sink, pytest.raises(SinkError, match="answers 404"):
        sink.check()


LIES = {
    "nothing": b"",
    "garbage": b"\0\xff\x01garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "half a status line": b"HTTP/1.1 20",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no such status": b"HTTP/1.1 999999 OK\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "bad chunk before the verdict": b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 50_000,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_server_means_retry(lie: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(lie)

    with raw_server(script) as url, sinking(url) as sink:
        assert isinstance(sink.send(segment()), Retry)


def answer(text: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(text), text)


def told(**facts: object) -> bytes:
    """What a collector says of `segment()`, but for these facts."""
    sealed = segment()
    return orjson.dumps({"code": 200, "segment": sealed.manifest.id, "events": len(sealed.events)} | facts)


STRANGERS = {
    "nothing": answer(b"", b"204 No Content"),
    "a login page": answer(b"<html>Log in, please</html>"),
    "a list": answer(b"[]"),
    "a number": answer(b"200"),
    "Amplitude": answer(b'{"code":200}'),
    "another segment": answer(told(segment="zz")),
    "fewer events": answer(told(events=1)),
    "another code": answer(told(code=500)),
    "a part": answer(b'{"code":200,"part":1}'),
    "no gzip": answer(b"\x1f\x8b no gzip at all", more=b"Content-Encoding: gzip\r\n"),
    "broken off": answer(told())[:-9],
    "an unknown code": answer(b"", more=b"X-Session-Replay-Event-Skipped: 4999\r\n"),
    "endless": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)
def test_a_2xx_of_another_program_is_no_delivery(said: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(said)
        while said == STRANGERS["endless"]:
            connection.send(b"x" * 65536)

    with raw_server(script) as url, sinking(url) as sink:
        delivery = sink.send(segment())
        assert isinstance(delivery, Retry)
        assert delivery.reason.startswith("what answered is no collector: 20")
        assert len(delivery.reason) < 300
        assert "login page" in meaning(delivery.reason)


@pytest.mark.parametrize("page", [b"<html>everything is here</html>", b"[]", b'{"code":200}', b'{"service":"relay"}'])
def test_check_notices_one_that_answers_every_address(page: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(answer(page))

    with raw_server(script) as url, sinking(url) as sink, pytest.raises(SinkError, match="is no collector") as caught:
        sink.check()
    assert "Check the collector's address" in caught.value.hint


def hanging(connection: Connection) -> None:
    connection.request()
    connection.ended.wait(20)


def dripping(connection: Connection) -> None:
    connection.request()
    connection.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000, 0.05)


def deaf(connection: Connection) -> None:
    connection.ended.wait(20)


@pytest.mark.parametrize("script", [hanging, dripping, deaf])
def test_the_deadline_holds_whatever_the_server_does(script: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(script)
    # What the body needs to go out comes to a second then.
    monkeypatch.setattr(exchange, "LEAST_RATE", 4_000_000)
    with raw_server(script) as url, sinking(url, seconds=0.5) as sink:
        started = time.monotonic()
        # Larger than the socket buffers, so that a deaf server blocks the sending, too.
        delivery = sink.send(segment(extra=[custom(SESSION + 1, "note", {"text": noise(8_000_000)})]))
        took = time.monotonic() - started
        assert isinstance(delivery, Retry)
        assert "within 1.5 s" in delivery.reason
        assert 1.4 < took < 4


def noise(size: int) -> str:
    """Text that does not compress away."""
    return random.Random(1).randbytes(size // 2).hex()


def test_close_wakes_a_blocked_send() -> None:
    with raw_server(hanging) as url:
        sink = CollectorSink(url, Posting(seconds=20))
        got: list[Delivery] = []
        thread = threading.Thread(target=lambda: got.append(sink.send(segment())))
        thread.start()
        deadline = time.monotonic() + 5
        while sink._exchanges[0]._stream is None and time.monotonic() < deadline:
            thread.join(0.01)
        started = time.monotonic()
        sink.close()
        sink.close()
        thread.join(5)
        assert time.monotonic() - started < 3
        assert isinstance(got[0], Retry)
        assert isinstance(sink.send(segment()), Retry)


def test_one_connection_serves_many_segments() -> None:
    clients = []

    def script(connection: Connection) -> None:
        clients.append(connection)
        while data := connection.request():
            connection.send(Taking().answer(read(data)))

    with raw_server(script) as url, sinking(url) as sink:
        for seq in range(5):
            assert isinstance(sink.send(segment(seq)), Delivered)
    assert len(clients) == 1


def test_a_connection_that_the_server_dropped_is_made_anew() -> None:
    clients = []

    def script(connection: Connection) -> None:
        clients.append(connection)
        connection.send(Taking().answer(read(connection.request())))

    with raw_server(script) as url, sinking(url) as sink:
        for seq in range(3):
            deliveries = (sink.send(segment(seq)) for _ in range(3))
            assert any(isinstance(delivery, Delivered) for delivery in deliveries)
    assert len(clients) == 3


def test_a_proxy_of_the_environment_is_not_asked(collector: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with sinking(collector.url) as sink:
        assert isinstance(sink.send(segment()), Delivered)

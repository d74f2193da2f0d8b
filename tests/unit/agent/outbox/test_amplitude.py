from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from fakes.refusing import Refusing, refusing
from fakes.segments import DEVICE, SESSION, segment

from agent.errors import SinkError
from agent.model import Delivered, SealedSegment
from agent.outbox import wire
from agent.outbox.amplitude import ZONES, AmplitudeSink
from agent.outbox.track import Posting


@contextmanager
def sinking(server: Refusing) -> Iterator[AmplitudeSink]:
    sink = AmplitudeSink(server.url + "/sessions/v2/track", Posting("key-4711", lambda: 0.25, 5.0))
    try:
        yield sink
    finally:
        sink.close()


def texts(sealed: SealedSegment) -> list[bytes]:
    return list(wire.inlined(sealed))


def test_a_post_is_the_browser_sdks() -> None:
    assert ZONES == {
        "us": "https://api-sr.amplitude.com/sessions/v2/track",
        "eu": "https://api-sr.eu.amplitude.com/sessions/v2/track",
    }
    sealed = segment()
    with refusing() as server, sinking(server) as sink:
        assert sink.send(sealed) == Delivered('200 {"code":200}')
    (post,) = server.posts
    assert post.target == f"/sessions/v2/track?device_id={DEVICE}&session_id={SESSION}&type=replay"
    assert post.headers["authorization"] == "Bearer key-4711"
    assert post.headers["content-type"] == "application/json"
    assert post.headers["content-encoding"] == "gzip"
    assert post.headers["accept"] == "*/*"
    assert post.headers["x-client-sample-rate"] == "0.25"
    assert post.headers["x-sampling-hash-alg"] == "xxhash32"
    assert post.headers["x-client-library"].startswith("segment/")
    assert "idempotency-key" not in post.headers
    body = orjson.loads(gzip.decompress(post.body))
    assert list(body) == ["version", "events"]
    assert (body["version"], [text.encode() for text in body["events"]]) == (1, texts(sealed))


def test_check_sends_neither_replay_nor_key() -> None:
    with refusing("404") as server, sinking(server) as sink:
        known = sink.check()
    assert "shows with the first upload" in known
    assert [(post.method, post.target, post.body) for post in server.posts] == [("HEAD", "/", b"")]
    assert "authorization" not in server.posts[0].headers
    with sinking(server) as sink, pytest.raises(SinkError, match="does not answer") as caught:
        sink.check()
    assert "key-4711" not in str(caught.value)

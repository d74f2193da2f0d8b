from __future__ import annotations

import errno
import json
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.segment_api import Say, SegmentApi
from fakes.wait import until

from agent.collector import server as module
from agent.errors import AddressTaken, AgentError, ConfigError
from agent.relay.app import Relay
from agent.relay.queue import open_queue
from agent.relay.server import RelayServer

BATCH = json.dumps({"batch": [{"type": "track", "messageId": "m1"}], "writeKey": "KEY"}).encode()


def test_listens_on_loopback_only(relay) -> None:
    doors = [door.getsockname()[0] for door in relay.server._doors.values()]
    assert doors == ["127.0.0.1"]


def test_a_port_that_is_taken(relay) -> None:
    with pytest.raises(AddressTaken):
        relay.server.open("OTHER", port=relay.client.base_url.port)


def test_a_proxy_that_cannot_be_used_leaves_no_queue_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigError, match="proxy"):
        RelayServer(tmp_path, lambda door, events: None)
    open_queue(tmp_path / "segment").close()
    assert not (tmp_path / "segment" / "2").exists()


def test_what_breaks_at_the_start_is_raised_there(
    tmp_path: Path, segment: SegmentApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(relay: Relay, group: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Relay, "begin", broken)
    server = RelayServer(tmp_path, lambda door, events: None, upstream=segment.url)
    for attempt in (server.start, partial(server.open, "PHONE")):
        with pytest.raises(AgentError, match="Too many open files"):
            attempt()
    monkeypatch.undo()
    with RelayServer(tmp_path, lambda door, events: None, upstream=segment.url) as second:
        assert second.open("PHONE")
    # The first let go of its queue.
    assert len(list(tmp_path.rglob("lock"))) == 1


def test_a_relay_that_has_ended_opens_no_door_and_says_why(relay) -> None:
    closed = socket.socket()
    closed.close()
    relay.server._loop.call_soon_threadsafe(relay.server._open_door, "BAD", closed)
    assert relay.server.ended.wait(10)
    for door in ("PHONE", "ANOTHER"):
        with pytest.raises(AgentError, match=r"The relay ended by a fault of its own: .*Bad file descriptor"):
            relay.server.open(door)


def test_what_waits_is_sent_by_the_next_run(tmp_path: Path) -> None:
    with SegmentApi() as gone:
        url, port = gone.url, gone.port
    with RelayServer(tmp_path, lambda door, events: None, upstream=url) as first:
        answer = httpx.post(f"http://localhost:{first.open('A')}/v1/b", content=BATCH)
        assert answer.status_code == 200
        assert first.queue.batches == 1
    with SegmentApi(port) as segment, RelayServer(tmp_path, lambda door, events: None, upstream=url) as second:
        until(lambda: segment.taken, "the batch of the first run")
        until(lambda: second.queue.batches == 0, "the queue to be empty")
    assert segment.posts[0].body == BATCH


def test_what_waits_for_one_upstream_goes_to_no_other(tmp_path: Path, segment: SegmentApi) -> None:
    segment.say(Say(reset=True), *[Say(503, {"Retry-After": "100"}, take=False)] * 5)
    with RelayServer(tmp_path, lambda door, events: None, upstream=segment.url) as first:
        httpx.post(f"http://localhost:{first.open('A')}/v1/b", content=BATCH)
        assert first.queue.batches == 1
    with SegmentApi() as other, RelayServer(tmp_path, lambda door, events: None, upstream=other.url) as second:
        assert second.queue.batches == 0
        assert other.got == []


def test_stop_is_quick_with_a_post_under_way(start: Callable[..., Any], segment: SegmentApi) -> None:
    relay = start(answer_seconds=60.0)
    segment.say(Say(hang=True))
    with socket.create_connection(("127.0.0.1", relay.client.base_url.port)) as client:
        client.sendall(b"POST /v1/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(BATCH), BATCH))
        until(lambda: segment.posts, "the batch to be on its way")
        relay.server.stop()
        # Nobody told the app that it is safe.
        assert not client.recv(64).startswith(b"HTTP/1.1 2")
    relay.server.stop()


def test_stop_does_not_wait_for_a_batch_that_is_sent_later(relay, segment: SegmentApi) -> None:
    segment.say(Say(reset=True), Say(hang=True))
    assert relay.post(BATCH).status_code == 200
    until(lambda: len(segment.posts) == 2, "the batch to be on its way again")
    relay.client.close()
    began = time.monotonic()
    relay.server.stop()
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/b HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    ],
)
def test_a_head_that_never_ends_is_cut(relay, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", relay.client.base_url.port), timeout=10) as client:
        client.sendall(sent)
        while client.recv(4096):
            pass
    assert relay.client.get("/healthz").status_code == 200


def test_a_second_head_that_never_ends_is_cut(relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", relay.client.base_url.port), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /healthz HT")
        while client.recv(4096):
            pass


def test_a_body_that_never_ends_is_cut(relay, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.relay import app

    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", relay.client.base_url.port), timeout=10) as client:
        client.sendall(b"POST /v1/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        assert client.recv(64).startswith(b"HTTP/1.1 408")


def test_a_request_that_takes_long_to_answer_is_not_cut(start, segment: SegmentApi, monkeypatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
    relay = start(answer_seconds=0.8)
    segment.say(Say(hang=True))
    assert relay.post(BATCH).status_code == 200


def test_nonsense_is_answered_and_the_next_is_served(relay) -> None:
    with socket.create_connection(("127.0.0.1", relay.client.base_url.port), timeout=10) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n")
        assert b"400" in client.recv(4096)
    assert relay.client.get("/healthz").status_code == 200

"""The collector as a client meets it: real HTTP, on loopback."""

from __future__ import annotations

import errno
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.collecting import Collecting, Host
from fakes.segments import DEVICE, SESSION, custom, segment
from fakes.wait import until
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agent.collector import app as module
from agent.collector.answers import Answer
from agent.collector.app import Collector, Parts, make_app
from agent.collector.config import RemoteConfig
from agent.collector.upload import BODY_BYTES, Key, Refused
from agent.errors import StorageError
from agent.model import Delivered, Retry
from agent.outbox import wire
from agent.outbox.collector import CollectorSink
from agent.outbox.track import Posting
from agent.store import disk
from agent.store.recording import REDACTIONS, Recording

HEAD = {"Authorization": "Bearer key", "Content-Type": "application/json"}
QUERY = {"device_id": DEVICE, "session_id": str(SESSION), "type": "replay"}
META = {"type": 4, "timestamp": SESSION + 1, "data": {"href": "app://x", "width": 1, "height": 1}}
SERVE = """
import sys
from pathlib import Path
from agent.collector.app import make_app
from agent.collector.server import Server
from agent.store.recording import Recording
with Server(make_app(Recording.create(Path(sys.argv[1])))) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


def body(*events: Any, version: int = 1) -> bytes:
    """An upload; an event that is no text is written as one."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return json.dumps({"version": version, "events": texts}).encode()


def packed(event: dict[str, Any]) -> str:
    """As @amplitude/rrweb-packer makes it: the event marked with "v", zlib, one character a byte."""
    return zlib.compress(json.dumps({**event, "v": "v1"}).encode()).decode("latin-1")


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


@pytest.fixture
def client(collector: Collecting) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=collector.url, timeout=20) as client:
        yield client


@pytest.fixture
def track(client: httpx.Client) -> Callable[..., httpx.Response]:
    """Posts an upload; `drop` names what is left out of query or headers, other words are headers."""

    def post(content: bytes, *, query: dict[str, str] | None = None, drop: str = "", **headers: Any) -> httpx.Response:
        asked, given = {**QUERY, **(query or {})}, httpx.Headers(HEAD)
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        asked.pop(drop, None)
        given.pop(drop, None)
        return client.post(wire.TRACK_PATH, content=content, params=asked, headers=given)

    return post


@pytest.fixture
def serve(host: Host, tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """Makes an application with the given options and a client of it."""
    made: list[Collector] = []
    clients: list[httpx.Client] = []

    def start(**options: Any) -> httpx.Client:
        host.app = make_app(Recording.create(tmp_path / "served"), **options)
        made.append(host.app.state.collector)
        clients.append(httpx.Client(base_url=host.server.url, timeout=20))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for collector in made:
        collector.close()


def raw(port: int, length: int, query: str = "", path: str = wire.TRACK_PATH) -> socket.socket:
    """A connection that has announced an upload of `length` bytes and sent none of them."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    asked = query or "&".join(f"{name}={value}" for name, value in QUERY.items())
    head = f"POST {path}?{asked} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n"
    client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode())
    return client


def test_a_segment_is_kept_before_it_is_answered(collector: Collecting, track) -> None:
    sealed = segment()
    (made,), _ = wire.bodies(wire.inlined(sealed))
    head = wire.headers("key", 1.0) | wire.idempotency(sealed.manifest.id)
    answer = track(wire.compress(made), **head)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"code": 200, "segment": sealed.manifest.id, "events": len(sealed.events)}
    assert collector.recording.sealed(sealed.manifest.id) == sealed


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("event", [META, packed(META), json.dumps(packed(META))], ids=["plain", "packed", "quoted"])
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "GZIP"])
def test_every_form_of_an_upload(collector: Collecting, track, version: int, event: Any, encoding: str) -> None:
    sent = body(event, version=version)
    headers = {"content_encoding": encoding} if encoding else {}
    answer = track(gzip.compress(sent) if encoding.lower() == "gzip" else sent, **headers)
    assert answer.status_code == 200
    (kept,) = collector.recording.events(answer.json()["segment"])
    assert json.loads(kept) == META
    (manifest,) = collector.recording.manifests()
    assert (manifest.device_id, manifest.session_id, manifest.start_ms) == (DEVICE, SESSION, SESSION + 1)


def test_other_clients_need_no_key_of_idempotency(collector: Collecting, track) -> None:
    first, again = track(body(META)), track(body(META))
    assert first.json() == again.json()
    other = track(body(META), query={"session_id": str(SESSION + 5)})
    assert other.json()["segment"] != first.json()["segment"]
    assert len(collector.recording.manifests()) == 2


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic key", "key", "Bearer k\xe9y"])
def test_without_the_key_nothing_is_taken(collector: Collecting, track, authorization: str) -> None:
    answer = track(body(META), authorization=authorization.encode("latin-1"))
    assert answer.status_code == 401
    assert answer.json()["code"] == 401
    assert collector.recording.manifests() == ()


def test_the_key_may_be_in_the_query(collector: Collecting, track) -> None:
    assert track(body(META), query={"api_key": "key"}, drop="Authorization").status_code == 200
    assert track(body(META), query={"api_key": "wrong"}, drop="Authorization").status_code == 401
    assert track(body(META), authorization="bearer key").status_code == 200


def test_no_key_set_takes_any_but_wants_one(serve: Callable[..., httpx.Client]) -> None:
    client = serve()
    answer = client.post(wire.TRACK_PATH, params=QUERY, content=body(META), headers=HEAD)
    assert answer.status_code == 200
    bare = {"Content-Type": "application/json"}
    assert client.post(wire.TRACK_PATH, params=QUERY, content=body(META), headers=bare).status_code == 401


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drop": "device_id"}, "device_id"),
        ({"drop": "session_id"}, "session_id"),
        ({"drop": "type"}, "type"),
        ({"drop": "Content-Type"}, "Content-Type"),
        ({"content_type": "text/plain"}, "Content-Type"),
        ({"query": {"device_id": ""}}, "device_id"),
        ({"query": {"type": "other"}}, "other"),
        ({"query": {"session_id": "x"}}, "not an integer"),
        ({"query": {"session_id": "1.5"}}, "not an integer"),
        ({"query": {"session_id": str(2**63)}}, "out of range"),
        ({"query": {"session_id": "9" * 5000}}, "not an integer"),
    ],
)
def test_a_request_at_fault_is_told_what_is_wrong(
    collector: Collecting, track, change: dict[str, Any], words: str
) -> None:
    answer = track(body(META), **change)
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert words in answer.json()["error"]
    assert collector.recording.manifests() == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"version":1}',
        b'{"version":1,"events":[]}',
        b'{"version":1,"events":{"0":"{}"}}',
        b'{"version":3,"events":["{}"]}',
        b'{"version":1,"events":[{"type":4,"timestamp":1,"data":{}}]}',
        body("no JSON"),
        body("x\x9cno zlib"),
        body("x\x9c\u20ac"),
        body({"type": 4, "timestamp": 1}),
        body({"type": 4, "timestamp": "1", "data": {}}),
        body({"type": True, "timestamp": 1, "data": {}}),
        body(META, packed(META)[:-3]),
        body(custom(SESSION, "end", {"id": "12345678"})),
        b'{"version":1,"events":' + b"[" * 100_000,
    ],
)
def test_a_body_that_is_none_is_refused(collector: Collecting, track, content: bytes) -> None:
    answer = track(content)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert collector.recording.manifests() == ()


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: data + b"more", lambda data: b"x" + data])
def test_broken_gzip(track, damage: Callable[[bytes], bytes]) -> None:
    assert track(damage(gzip.compress(body(META))), content_encoding="gzip").status_code == 400


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "nonsense"])
def test_another_encoding_is_not_taken(track, encoding: str) -> None:
    answer = track(body(META), content_encoding=encoding)
    assert answer.status_code == 415
    assert encoding in answer.json()["error"]


def test_a_body_over_the_limit(collector: Collecting, track) -> None:
    answer = track(b" " * (BODY_BYTES + 1))
    assert answer.status_code == 413
    assert str(BODY_BYTES) in answer.json()["error"]
    text = body(META)
    assert track(text + b" " * (BODY_BYTES - len(text))).status_code == 200


def test_a_bomb_is_not_unpacked(track) -> None:
    bomb = gzip.compress(body(META) + bytes(200_000_000), compresslevel=1)
    assert len(bomb) < BODY_BYTES
    assert track(bomb, content_encoding="gzip").status_code == 413
    shell = zlib.compress(b" " * 11_000_000).decode("latin-1")
    assert track(body(shell)).status_code == 413


def test_a_bomb_of_many_events(track, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.collector import upload

    monkeypatch.setattr(upload, "UNPACKED_BYTES", 50_000)
    event = packed(custom(SESSION, "note", {"text": "x" * 10_000}))
    assert track(body(*[event] * 4)).status_code == 200
    assert track(body(*[event] * 6)).status_code == 413


@pytest.mark.parametrize("session", ["0", "-1", str(-(2**63))])
def test_a_session_out_of_range_is_skipped(collector: Collecting, track, session: str) -> None:
    answer = track(body(META), query={"session_id": session})
    assert answer.status_code == 200
    assert answer.headers[wire.SKIP_HEADER] == wire.OUT_OF_RANGE
    assert collector.recording.manifests() == ()
    assert wire.SKIP_HEADER not in track(body(META)).headers


def test_a_key_belongs_to_one_upload(collector: Collecting, track) -> None:
    assert track(body(META), idempotency_key="deadbeef01").json()["segment"] == "deadbeef01"
    assert track(body(META), idempotency_key="deadbeef01").status_code == 200
    later = {**META, "timestamp": SESSION + 2}
    assert track(body(later), idempotency_key="deadbeef01").status_code == 422
    assert track(body(META), query={"device_id": "other"}, idempotency_key="deadbeef01").status_code == 422
    assert [manifest.id for manifest in collector.recording.manifests()] == ["deadbeef01"]


@pytest.mark.parametrize("key", ["../../etc/passwd", "DEADBEEF", "deadbeef;part=3;of=2", "deadbeef;part=0;of=2", "x"])
def test_a_key_of_another_form_is_not_ours(collector: Collecting, track, key: str) -> None:
    made = track(body(META), idempotency_key=key).json()["segment"]
    assert made == track(body(META)).json()["segment"]
    assert [manifest.id for manifest in collector.recording.manifests()] == [made]


def test_a_segment_in_parts(collector: Collecting, track) -> None:
    sealed = segment(extra=[custom(SESSION + 2000, "note", {"text": "x" * 100}) for _ in range(30)])
    made, _ = wire.bodies(wire.inlined(sealed), 2000)
    assert len(made) > 2
    for part, one in enumerate(made, 1):
        assert collector.recording.manifests() == ()
        head = wire.headers("key", 1.0) | wire.idempotency(sealed.manifest.id, part, len(made))
        answer = track(wire.compress(one), **head)
        assert answer.status_code == 200
    assert answer.json()["events"] == len(sealed.events)
    assert collector.recording.sealed(sealed.manifest.id) == sealed


def test_a_missing_part_asks_for_all_again(collector: Collecting, track) -> None:
    def key(part: int) -> str:
        return f"deadbeef01;part={part};of=3"

    assert track(body(META), idempotency_key=key(1)).json() == {"code": 200, "part": 1}
    answer = track(body({**META, "timestamp": SESSION + 3}), idempotency_key=key(3))
    assert answer.status_code == 503
    assert "part 2 of 3" in answer.json()["error"]
    for part in (1, 2, 3):
        answer = track(body({**META, "timestamp": SESSION + part}), idempotency_key=key(part))
        assert answer.status_code == 200
    events = collector.recording.events("deadbeef01")
    assert [json.loads(event)["timestamp"] - SESSION for event in events] == [1, 2, 3]


def test_parts_take_a_bounded_room() -> None:
    parts = Parts(limit=100)
    first, second = Key("a" * 8, 1, 2), Key("b" * 8, 1, 2)
    assert parts.add(first, [b"x" * 60]) is None
    assert parts.add(second, [b"y" * 60]) is None
    with pytest.raises(Refused) as gone:
        parts.add(Key("a" * 8, 2, 2), [b"x"])
    assert gone.value.status == 503
    assert parts.add(Key("b" * 8, 2, 2), [b"z"]) == [b"y" * 60, b"z"]
    with pytest.raises(Refused) as large:
        parts.add(first, [b"x" * 101])
    assert large.value.status == 413


def test_a_segment_without_its_first_part_takes_no_room() -> None:
    parts = Parts(limit=100)
    assert parts.add(Key("a" * 8, 1, 2), [b"x" * 60]) is None
    with pytest.raises(Refused) as missing:
        parts.add(Key("b" * 8, 2, 2), [b"y" * 60])
    assert missing.value.status == 503
    assert parts.add(Key("c" * 8, 1, 2), [b"z" * 30]) is None
    assert parts.add(Key("a" * 8, 2, 2), [b"x"]) == [b"x" * 60, b"x"]


def test_interactions_are_kept_line_by_line(collector: Collecting, track, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(sys, "audit", lambda event, *about: synced.append(event) if "store" in event else None)
    sent = json.dumps({"version": 1, "events": ['{"x":1}', {"y": "line\nbreak"}]}).encode()
    answer = track(gzip.compress(sent), query={"type": "interaction"}, content_encoding="gzip")
    assert answer.json() == {"code": 200, "interactions": 2}
    lines = (collector.recording.path / "interactions.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["interaction"] for line in lines] == ['{"x":1}', {"y": "line\nbreak"}]
    # Said to be kept once they are on the disk, all of a post at once.
    assert synced.count("agent.store.sync") == 1
    assert json.loads(lines[0])["device_id"] == DEVICE
    assert track(b'{"events":[]}', query={"type": "interaction"}).status_code == 400


@pytest.mark.parametrize("kind", ["replay", "interaction"])
def test_what_is_nested_too_deeply_is_refused(collector: Collecting, track, client: httpx.Client, kind: str) -> None:
    # The JSON library reads deeper than it writes.
    deep = b"[" * 500 + b"]" * 500
    event = b'{"type":5,"timestamp":1,"data":%b}' % deep
    sent = body(zlib.compress(event).decode("latin-1")) if kind == "replay" else b'{"events":[%b]}' % deep
    answer = track(sent, query={"type": kind})
    assert answer.status_code == 400
    assert "deep" in answer.json()["error"]
    events = b'{"api_key":"key","events":[{"device_id":"device","event_type":"tap","event_properties":%b}]}' % deep
    assert client.post("/batch", content=events, headers=HEAD).status_code == 400
    assert (collector.recording.path / "interactions.jsonl").read_bytes() == b""


def test_a_full_disk_is_507_and_the_client_keeps_the_segment(
    collector: Collecting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sink = CollectorSink(collector.url, Posting("key"))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(disk.os, "fsync", full)
            delivery = sink.send(segment())
        assert isinstance(delivery, Retry)
        assert delivery.reason.startswith("507")
        assert str(collector.recording.path) not in delivery.reason
        assert "No room" in caplog.text
        assert collector.recording.manifests() == ()
        assert isinstance(sink.send(segment()), Delivered)
    finally:
        sink.close()
    assert collector.recording.sealed(segment().manifest.id) == segment()


def test_a_disk_that_fails_is_500(track, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk.os, "fsync", broken)
    assert track(body(META)).status_code == 500


@pytest.mark.parametrize("note", [b"{", b"{}", None])
def test_a_folder_that_cannot_be_read_is_500(collector: Collecting, track, note: bytes | None) -> None:
    (collector.recording.path / REDACTIONS).mkdir()
    file = collector.recording.path / "erasing.json"
    if note is None:
        file.mkdir()
    else:
        file.write_bytes(note)
    assert track(body(META)).status_code == 500
    if note is None:
        file.rmdir()
    else:
        file.unlink()
    assert track(body(META)).status_code == 200


def test_what_was_redacted_here_is_done_with_when_it_comes_again(collector: Collecting) -> None:
    sealed, recording = segment(), collector.recording
    sink = CollectorSink(collector.url, Posting("key"))
    try:
        assert isinstance(sink.send(sealed), Delivered)
        hidden = replace(sealed.manifest, id="ab" * 16, supersedes=sealed.manifest.id)
        recording.write(replace(sealed, manifest=hidden))
        (recording.path / REDACTIONS).mkdir()
        recording.destroy()
        again = sink.send(sealed)
    finally:
        sink.close()
    assert isinstance(again, Delivered)
    assert json.loads(again.answer.partition(" ")[2])["events"] == len(sealed.events)
    assert [manifest.id for manifest in recording.manifests()] == [hidden.id]
    assert not recording.holds(sealed.manifest.id)


def test_a_slow_client_holds_up_nobody(collector: Collecting, track) -> None:
    sent = body(META)
    with raw(collector.port, len(sent)) as slow:
        slow.sendall(sent[:10])
        assert track(body({**META, "timestamp": SESSION + 2})).status_code == 200
        for byte in sent[10:]:
            slow.sendall(bytes([byte]))
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
    assert len(collector.recording.manifests()) == 2


def test_a_body_that_never_ends_is_cut(collector: Collecting, track, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "BODY_SECONDS", 0.2)
        with raw(collector.port, 100) as client:
            client.sendall(b"half")
            text = b""
            while data := client.recv(4096):
                text += data
    assert text.startswith(b"HTTP/1.1 408")
    assert isinstance(wire.classify(wire.Answer(408, {}, ""), 0), Retry)
    assert track(body(META)).status_code == 200


def test_a_body_has_the_time_that_its_size_needs(collector: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 0.3)
    monkeypatch.setattr("agent.outbox.exchange.LEAST_RATE", 20)
    sent = body(META)
    pause = threading.Event()
    with raw(collector.port, len(sent)) as client:
        piece = len(sent) // 8 + 1
        for at in range(0, len(sent), piece):
            client.sendall(sent[at : at + piece])
            # As a slow network has it: the whole takes longer than a body of nothing may.
            pause.wait(0.1)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_client_that_breaks_off_leaves_nothing(collector: Collecting, track, caplog) -> None:
    sent = body(META)
    for cut in (0, len(sent) - 1):
        with raw(collector.port, len(sent)) as client:
            client.sendall(sent[:cut])
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
    assert track(body({**META, "timestamp": SESSION + 2})).status_code == 200
    assert len(collector.recording.manifests()) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_chunked_body(collector: Collecting) -> None:
    sent = body(META)
    asked = "&".join(f"{name}={value}" for name, value in QUERY.items())
    with socket.create_connection(("127.0.0.1", collector.port), timeout=20) as client:
        head = f"POST {wire.TRACK_PATH}?{asked} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        client.sendall(chunk(sent[:7]) + chunk(sent[7:]) + chunk(b""))
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_other_paths_and_methods(client: httpx.Client) -> None:
    assert client.get(wire.TRACK_PATH).status_code == 405
    assert client.post("/config").status_code == 405
    for path in ("/", "/sessions", "/sessions/v1/track", "/segments", "/../recording.json"):
        assert client.get(path).status_code == 404


def test_health(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"code": 200, "service": "collector"}
    assert client.get("/healthz", headers={"Authorization": "Bearer key"}).status_code == 200
    assert client.get("/healthz", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_only_its_own_names_are_answered(serve: Callable[..., httpx.Client]) -> None:
    client = serve(hosts=["lab.example"])
    assert client.get("/healthz").status_code == 200
    assert client.get("/healthz", headers={"Host": "localhost:1"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "LAB.example:8377"}).status_code == 200
    for name in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""):
        assert client.get("/healthz", headers={"Host": name}).status_code == 421
    posted = client.post(wire.TRACK_PATH, params=QUERY, content=body(META), headers={**HEAD, "Host": "evil.example"})
    assert posted.status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "garbage"])
def test_what_a_page_of_another_site_sends_is_refused_and_not_kept(collector: Collecting, track, origin: str) -> None:
    for path, query in ((wire.TRACK_PATH, QUERY), ("/2/httpapi", {}), ("/batch", {})):
        posted = httpx.post(collector.url + path, params=query, content=body(META), headers={**HEAD, "Origin": origin})
        assert posted.status_code == 403
    assert collector.recording.manifests() == ()
    own = {**HEAD, "Origin": collector.url}
    assert httpx.post(collector.url + wire.TRACK_PATH, params=QUERY, content=body(META), headers=own).status_code == 200


def test_remote_config_in_both_forms(serve: Callable[..., httpx.Client]) -> None:
    config = RemoteConfig(capture_enabled=False, sample_rate=0.25, mask_level="conservative")
    client = serve(api_key="key", config=config)
    asked = [
        client.get("/config", params={"api_key": "key", "config_group": "android"}),
        client.get("/config", params={"config_keys": "sessionReplay"}, headers={"Authorization": "Bearer key"}),
        client.get("/config/key", params={"config_group": "browser"}),
    ]
    for answer in asked:
        assert answer.status_code == 200
        assert answer.json() == config.document()
    assert client.get("/config").status_code == 401
    assert client.get("/config", params={"api_key": "wrong"}).status_code == 401
    assert client.get("/config/wrong").status_code == 401


@pytest.mark.parametrize("path", ["/2/httpapi", "/batch"])
def test_events(collector: Collecting, client: httpx.Client, path: str) -> None:
    event = {"device_id": DEVICE, "event_type": "tap", "insert_id": "one", "event_properties": {"note": "a\nb"}}
    sent = json.dumps({"api_key": "key", "events": [event, {**event, "insert_id": "two"}]})
    head = {"Content-Type": "application/json; charset=utf-8"}
    answer = client.post(path, content=sent, headers=head)
    assert answer.status_code == 200
    assert answer.json()["events_ingested"] == 2
    assert answer.json()["payload_size_bytes"] == len(sent)
    packed_up = client.post(path, content=gzip.compress(sent.encode()), headers={**head, "Content-Encoding": "gzip"})
    assert packed_up.status_code == 200
    lines = (collector.recording.path / "events.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["insert_id"] for line in lines] == ["one", "two"]


def test_events_at_fault(collector: Collecting, client: httpx.Client) -> None:
    head = {"Content-Type": "application/json"}
    event = {"device_id": DEVICE, "event_type": "tap"}
    wrong_key = json.dumps({"api_key": "wrong", "events": [event]})
    assert client.post("/2/httpapi", content=wrong_key, headers=head).status_code == 400
    sent = json.dumps({"api_key": "key", "events": [event]})
    assert client.post("/2/httpapi", content=sent, headers={"Content-Type": "text/plain"}).status_code == 400
    assert client.post("/2/httpapi", content=sent, headers={**head, "Content-Encoding": "br"}).status_code == 415
    assert client.post("/2/httpapi", content=sent, headers={**head, "Content-Encoding": "gzip"}).status_code == 400
    assert client.post("/2/httpapi", content=b"{", headers=head).status_code == 400
    assert (collector.recording.path / "events.jsonl").read_bytes() == b""


def test_the_batch_endpoint_takes_more(client: httpx.Client) -> None:
    event = {"device_id": DEVICE, "event_type": "tap", "event_properties": {"text": "x" * module.HTTPAPI_BYTES}}
    sent = json.dumps({"api_key": "key", "events": [event]})
    head = {"Content-Type": "application/json"}
    assert client.post("/2/httpapi", content=sent, headers=head).status_code == 413
    assert client.post("/batch", content=sent, headers=head).status_code == 200


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/2/httpapi", 900_000, 200),
        ("/2/httpapi", 9_000_000, 413),
        ("/batch", 11_000_000, 200),
        ("/batch", 21_000_000, 413),
    ],
)
def test_a_compressed_body_has_the_limit_of_its_route(client: httpx.Client, path: str, size: int, status: int) -> None:
    event = {"device_id": DEVICE, "event_type": "tap", "event_properties": {"text": "x" * size}}
    sent = gzip.compress(json.dumps({"api_key": "key", "events": [event]}).encode(), 1)
    head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post(path, content=sent, headers=head).status_code == status


@pytest.mark.parametrize("path", [wire.TRACK_PATH, "/batch"])
def test_bodies_together_take_a_bounded_room(
    serve: Callable[..., httpx.Client], host: Host, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # Where nobody need have a key, half of it, and none of the others'.
    keyless = path == "/batch"
    monkeypatch.setattr(module, "HELD_BYTES", 20_000 if keyless else 10_000)
    client = serve()
    sent = body(META)
    with raw(host.server.port, 10_000, path=path) as held:
        held.sendall(b" " * 9950)
        assert host.app is not None
        collector = host.app.state.collector
        room = collector._keyless if keyless else collector._room
        until(lambda: room._taken == 9950, "what was sent to be held")
        if keyless:
            assert client.post(wire.TRACK_PATH, params=QUERY, content=sent, headers=HEAD).status_code == 200
        answer = client.post(path, params=QUERY, content=sent, headers=HEAD)
        assert answer.status_code == answer.json()["code"] == 503
        assert answer.headers["retry-after"] == str(module.ROOM_SECONDS)
        assert wire.retry_after(answer.headers, 0) == module.ROOM_SECONDS
        held.sendall(b" " * 50)
        assert held.recv(4096).startswith(b"HTTP/1.1 400")
    assert room._taken == 0
    assert client.post(wire.TRACK_PATH, params=QUERY, content=sent, headers=HEAD).status_code == 200


def test_the_text_of_a_compressed_body_takes_room_too(
    serve: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 5000)
    client = serve()
    head = {**HEAD, "Content-Encoding": "gzip"}
    large, small = gzip.compress(body(META) + b" " * 5000), gzip.compress(body(META))
    event = json.dumps({"api_key": "key", "events": [{"device_id": DEVICE, "event_type": "tap"}]}).encode()
    for _ in range(3):
        assert client.post(wire.TRACK_PATH, params=QUERY, content=large, headers=head).status_code == 503
        assert client.post("/batch", content=gzip.compress(event + b" " * 5000), headers=head).status_code == 503
    for _ in range(30):
        assert client.post(wire.TRACK_PATH, params=QUERY, content=small, headers=head).status_code == 200
        assert client.post("/batch", content=gzip.compress(event), headers=head).status_code == 200


def test_the_values_of_a_text_take_room_too(
    serve: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 1_000_000)
    client = serve()
    head = {**HEAD, "Content-Encoding": "gzip"}
    event = gzip.compress(b'{"api_key":"x","events":[%b{}]}' % (b'{"a":1},' * 1900))
    dense = body({**META, "data": [{}] * 10_000})
    place = {**QUERY, "type": "interaction", "device_id": "d" * 4000}
    rows = json.dumps({"version": 1, "events": [{}] * 300}).encode()
    for _ in range(3):
        assert client.post("/batch", content=event, headers=head).status_code == 503
        assert client.post(wire.TRACK_PATH, params=QUERY, content=dense, headers=HEAD).status_code == 503
        assert client.post(wire.TRACK_PATH, params=place, content=rows, headers=HEAD).status_code == 503
    short = {**place, "device_id": DEVICE}
    assert client.post(wire.TRACK_PATH, params=short, content=rows, headers=HEAD).status_code == 200


def test_scripted_answers_come_first(collector: Collecting, track) -> None:
    collector.answers.add(Answer(503, {"Retry-After": "7"}, "busy"), Answer(429, store=True))
    first = track(body(META))
    assert (first.status_code, first.headers["retry-after"], first.text) == (503, "7", "busy")
    assert collector.recording.manifests() == ()
    assert track(body(META)).status_code == 429
    assert len(collector.recording.manifests()) == 1
    assert track(body(META)).json()["code"] == 200
    seen = collector.answers.seen
    assert [one.body for one in seen] == [body(META)] * 3
    assert seen[0].query == QUERY


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 401),
        ("Bearer key", 200),
        ("Bearer wrong", 401),
        ("Basic YW55b25lOmtleQ==", 200),
        ("basic OmtleQ==", 200),
        ("Basic a2V5", 401),
        ("Basic YW55b25lOndyb25n", 401),
        ("Basic !!!", 401),
        ("Digest key", 401),
    ],
)
def test_other_routes_ask_for_the_key(serve: Callable[..., httpx.Client], header: str, status: int) -> None:
    def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("page")

    client = serve(api_key="key", extra_routes=[Route("/", page)])
    answer = client.get("/", headers={"Authorization": header} if header else {})
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    # The endpoints of clients have their own check.
    assert client.get("/healthz").status_code == 200


def test_other_routes_are_open_without_a_key(serve: Callable[..., httpx.Client]) -> None:
    client = serve(extra_routes=[Route("/", lambda request: PlainTextResponse("page"))])
    assert client.get("/").text == "page"


def test_a_folder_has_one_collector(collector: Collecting) -> None:
    with pytest.raises(StorageError, match=str(os.getpid())):
        make_app(collector.recording)
    collector.app.state.collector.close()
    collector.app.state.collector.close()
    make_app(collector.recording).state.collector.close()


def test_a_collector_that_cannot_start_lets_go_of_the_folder(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path)
    for name in ("events.jsonl", "interactions.jsonl"):
        (tmp_path / name).mkdir()
        with pytest.raises(StorageError, match=name):
            make_app(recording)
        (tmp_path / name).rmdir()
    make_app(recording).state.collector.close()


def test_what_was_answered_survives_a_kill(tmp_path: Path, host: Host) -> None:
    folder, sealed = tmp_path / "collected", segment()
    (made,), _ = wire.bodies(wire.inlined(sealed))
    head = wire.headers("key", 1.0) | wire.idempotency(sealed.manifest.id)
    event = {"device_id": DEVICE, "event_type": "tap", "insert_id": "one"}
    events = json.dumps({"api_key": "key", "events": [event]})
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        path = f"{wire.TRACK_PATH}?{wire.query(sealed.manifest)}"
        assert httpx.post(url + path, content=wire.compress(made), headers=head).status_code == 200
        assert httpx.post(url + "/batch", content=events, headers=HEAD).status_code == 200
        process.kill()
    recording = Recording.open(folder)
    assert recording.sealed(sealed.manifest.id) == sealed
    assert recording.problems() == ()
    host.app = make_app(recording)
    try:
        url = host.server.url
        assert httpx.post(url + path, content=wire.compress(made), headers=head).status_code == 200
        assert httpx.post(url + "/batch", content=events, headers=HEAD).status_code == 200
    finally:
        host.app.state.collector.close()
    assert len(recording.manifests()) == 1
    assert len((folder / "events.jsonl").read_bytes().splitlines()) == 1

"""A server for uploads that refuses, breaks off and lies as told, over real TCP, and keeps what it took."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

import orjson
from fakes.rawserver import Connection, raw_server


@dataclass(frozen=True, slots=True)
class Post:
    """A request as it came; headers by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> list[bytes]:
        """The texts of the events in the body."""
        return [text.encode() for text in orjson.loads(gzip.decompress(self.body))["events"]] if self.body else []


class Taking:
    """What a collector answers to posts that it takes: to the last part of a segment how many events that has."""

    def __init__(self) -> None:
        self._before: Counter[str] = Counter()

    def answer(self, post: Post) -> bytes:
        name, _, part = post.headers.get("idempotency-key", "").partition(";part=")
        number, _, parts = part.partition(";of=")
        if number in ("", "1"):
            self._before[name] = 0
        self._before[name] += len(post.events)
        told: dict[str, object] = {"segment": name, "events": self._before[name]}
        return _answer(
            "200", text=orjson.dumps({"code": 200} | (told if number == parts else {"part": int(number)})).decode()
        )


@dataclass(slots=True)
class Refusing:
    """`posts` as they came, `taken` = the events that this server has kept, as often as it got them."""

    url: str = ""
    script: deque[str] = field(default_factory=deque)
    posts: list[Post] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def _answer(status: str, more: str = "", text: str = "") -> bytes:
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(text)}\r\n{more}\r\n{text}".encode()


def _skipping(code: str) -> bytes:
    return _answer("200", f"X-Session-Replay-Event-Skipped: {code}\r\n")


def _wait(value: str) -> bytes:
    return _answer("429", f"Date: {formatdate(0, usegmt=True)}\r\nRetry-After: {value}\r\n")


def _reset(connection: Connection) -> None:
    connection.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.client.close()


def _endless(connection: Connection, begin: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
    connection.send(begin)
    while not connection.ended.is_set():
        connection.send(b"x" * 65536)


def _slow(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    connection.drip(b"x" * 900, 0.02)


def _saying(*parts: bytes) -> Callable[[Connection], None]:
    """Says it and hangs up."""
    return lambda connection: connection.send(b"".join(parts))


OK = _answer("200", text='{"code":200}')
STATUSES = ("400", "401", "402", "403", "404", "408", "413", "429", "499", "500", "503")
REDIRECTS = ("301", "302", "303", "307", "308")
FIREWALL = "The payload size would exceed what this firewall passes"
# What is answered; the posts are not kept.
ANSWERS: Mapping[str, bytes] = {
    **{status: _answer(status) for status in STATUSES},
    **{status: _answer(status, "Location: http://127.0.0.1:1/elsewhere\r\n") for status in REDIRECTS},
    "200+429": _skipping("429"),
    "200+4004": _skipping("4004"),
    "200+4005": _skipping("4005"),
    "429 in seconds": _wait("0.05"),
    "429 by date": _wait(formatdate(1, usegmt=True)),
    "429 by a date that was": _wait(formatdate(-9, usegmt=True)),
    "429 in a thousand years": _wait(formatdate(32_503_680_000, usegmt=True)),
    "429 in thirty years": _wait("999999999"),
    "429 absurd": _wait("9" * 400),
    "429 in words": _wait("soon, perhaps -1"),
    "firewall": _answer("413", text=FIREWALL),
    "firewall's 403": _answer("403", text=FIREWALL),
}
# What is answered after the post was kept.
KEPT: Mapping[str, Callable[[Connection], None]] = {
    "200": lambda connection: connection.send(OK),
    "200 with an unknown code": lambda connection: connection.send(_skipping("4999")),
    "endless body": _endless,
    "slow body": _slow,
    "torn body": _saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsucc"),
    "wrong gzip": lambda connection: connection.send(_answer("200", "Content-Encoding: gzip\r\n", "no gzip at all")),
    "reset after the body": _reset,
}
BREAKS: Mapping[str, Callable[[Connection], None]] = {
    "reset before the body": _reset,
    "hung up": _saying(),
    "torn status": _saying(b"HTTP/1.1 2"),
    "another protocol": _saying(b"220 mail.example ESMTP\r\n"),
    "endless head": lambda connection: _endless(connection, b"HTTP/1.1 200 OK\r\nX: "),
    "slow loris": lambda connection: connection.drip(OK * 50, 0.02),
    "silence": lambda connection: connection.drip(OK, 60.0),
}
BEHAVIOURS = (*ANSWERS, *KEPT, *BREAKS)


@contextmanager
def refusing(*script: str, tls: ssl.SSLContext | None = None) -> Iterator[Refusing]:
    """Behaves to each request in turn as BEHAVIOURS name it, then takes everything."""
    unknown = set(script) - set(BEHAVIOURS)
    assert not unknown, unknown
    server = Refusing(script=deque(script))
    taking = Taking()

    def serve(connection: Connection) -> None:
        while True:
            with server.lock:
                peeked = server.script[0] if server.script else "200"
                if peeked == "reset before the body":
                    server.script.popleft()
            if peeked == "reset before the body":
                connection.client.recv(1)
                BREAKS[peeked](connection)
                return
            data = connection.request()
            if not data:
                return
            post = read(data)
            with server.lock:
                wanted = server.script.popleft() if server.script else "200"
                server.posts.append(post)
                if wanted in KEPT:
                    server.taken += post.events
            if wanted in ANSWERS:
                connection.send(ANSWERS[wanted])
            elif wanted == "200" and "idempotency-key" in post.headers:
                with server.lock:
                    told = taking.answer(post)
                connection.send(told)
            else:
                (KEPT | BREAKS)[wanted](connection)
                if not wanted.startswith("200"):
                    return

    with raw_server(serve, tls, parallel=True) as server.url:
        yield server


def read(data: bytes) -> Post:
    """A request as it came."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Post(method, target, headers, body)

"""What all sinks share that post segments in the browser SDK's form, over HTTP/1.1 with keep-alive."""

from __future__ import annotations

import queue
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

import httpx

from agent.errors import ConfigError
from agent.log import hidden
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from agent.outbox.exchange import Exchange, words
from agent.outbox.pace import Pace

SEND_SECONDS = 30.0
# The browser SDK's limit (track-destination.ts).
STRICT_SECONDS = 10.0
REMEMBERED = 256
Session = tuple[str, int]


class TrackSink(ABC):
    """Sends one segment per call, in as many posts as its size asks for, and remembers which sessions were ended.

    Up to `parallel` threads may send at once. `strict` = the outcome of a post is the browser SDK's.
    """

    def __init__(
        self,
        name: str,
        url: str,
        host: str,
        key: str,
        rate: Callable[[], float],
        seconds: float,
        strict: bool = False,
        parallel: int = 1,
        tls: ssl.SSLContext | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Connects to nothing. `url` is what the query is appended to. Raises ConfigError for a key of odd letters."""
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("The API key has characters that no HTTP header can carry.", "Check upload.api_key.")
        self._name = name
        self._url = url
        self._key = self._secret = key
        self._rate = rate
        self._seconds = seconds
        self._pace = pace or Pace()
        self._limit = wire.BATCH_BYTES
        self._ended: OrderedDict[Session, str] = OrderedDict()
        self._noting = threading.Lock()
        self.strict = strict
        self.parallel = parallel
        self._exchanges = tuple(Exchange(host, tls) for _ in range(parallel))
        self._free: queue.LifoQueue[Exchange] = queue.LifoQueue()
        for exchange in self._exchanges:
            self._free.put(exchange)

    @property
    def name(self) -> str:
        return self._name

    @abstractmethod
    def check(self) -> str:
        """As `Sink.check`."""

    def send(self, sealed: SealedSegment) -> Delivery:
        manifest = sealed.manifest
        session = (manifest.device_id, manifest.session_id)
        if manifest.device_id == "" or manifest.session_id <= 0:
            return Rejected("no session id or device id")
        if session in self._ended:
            return Rejected(f"not sent: {self._ended[session]}")
        try:
            delivery = self._deliver(sealed)
        except UnicodeError:
            return Rejected("the device id or an event is no Unicode text")
        if isinstance(delivery, Delivered | Rejected) and delivery.ends_session:
            with self._noting:
                self._ended[session] = delivery.skipped if isinstance(delivery, Delivered) else delivery.reason
                while len(self._ended) > REMEMBERED:
                    self._ended.popitem(last=False)
        return delivery

    def close(self) -> None:
        self._pace.close()
        for exchange in self._exchanges:
            exchange.close()

    @abstractmethod
    def _deliver(self, sealed: SealedSegment) -> Delivery:
        """All posts of one segment. Raises UnicodeError for text that is none."""

    def _post(
        self, sealed: SealedSegment, body: wire.Body, more: Mapping[str, str] | None = None
    ) -> tuple[Delivery, bool]:
        """What became of one post, and whether a smaller one might do better."""
        head = wire.headers(self._key, self._rate()) | dict(more or {})
        data = wire.compress(body)
        if not self._pace.take(len(data)):
            return Retry(0.0, "closed"), False
        try:
            url = f"{self._url}?{wire.query(sealed.manifest)}"
            answer = self._ask("POST", url, head, data, self._seconds)
        except httpx.InvalidURL:
            return Rejected("the device id does not fit into an address"), False
        except httpx.HTTPError as error:
            # The browser SDK gives up on whatever its network says, unless it was the time that ran out.
            if self.strict and not isinstance(error, httpx.TimeoutException):
                return Rejected(self._said(words(error))), False
            return Retry(0.0, self._said(words(error))), False
        answer = replace(answer, text=self._said(answer.text))
        delivery = wire.classify(answer, time.time_ns() // 1_000_000, self.strict)
        return delivery, wire.too_large(answer) and body.events > 1

    def _said(self, words: str) -> str:
        """A stranger's words without our key, should they repeat it."""
        return hidden(words, self._secret)

    def _ask(self, method: str, url: str, head: Mapping[str, str], content: bytes, seconds: float) -> wire.Answer:
        """One request over a connection that nobody uses. Raises httpx.HTTPError, httpx.InvalidURL."""
        exchange = self._free.get()
        try:
            return exchange.ask(method, url, head, content, seconds)
        finally:
            self._free.put(exchange)


def left_out(oversize: int) -> str:
    """What to say of events that no server takes; empty when there are none."""
    return f"{oversize} events of more than {wire.EVENT_BYTES} bytes left out" if oversize else ""

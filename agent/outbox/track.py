"""What all sinks share that post segments in the browser SDK's form, over HTTP/1.1 with keep-alive."""

from __future__ import annotations

import queue
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import httpx
import orjson

from agent.errors import ConfigError
from agent.log import hidden
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from agent.outbox.cadence import Cadence, Post, merged
from agent.outbox.exchange import Exchange, sending_seconds, words
from agent.outbox.pace import Pace

SEND_SECONDS = 30.0
# The browser SDK's limit, and how often it sends one post (track-destination.ts; its flushMaxRetries counts tries).
STRICT_SECONDS = 10.0
STRICT_TRIES = 2
REMEMBERED = 256
Session = tuple[str, int]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Posting:
    """How segments are posted. `rate` tells the share of sessions to announce. One post may take `seconds` and what its
    body needs to go out; where `strict`, `seconds` whatever its size.

    `strict` = the outcome of a post is the browser SDK's; `parallel` posts are under way at once; `tls` says whose
    certificates count (httpx's own choice when left out); `pace` is the limit that several sinks may share.
    """

    key: str = ""
    rate: Callable[[], float] = lambda: 1.0
    seconds: float = SEND_SECONDS
    strict: bool = False
    parallel: int = 1
    tls: ssl.SSLContext | None = None
    pace: Pace = field(default_factory=Pace)


@dataclass(slots=True)
class _Progress:
    """What became of a segment so far: `done` events are over with, `left` tells how many go into each post to come.

    `tries` = how often the next post failed. `dropped` and `skipped` count the reasons why posts were given up, and why
    the server did not keep what it took.
    """

    left: deque[int]
    done: int = 0
    posts: int = 0
    tries: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def told(self, reasons: Counter[str]) -> str:
        """Reasons in words; with how many of how many posts, unless there was but one."""
        if self.posts == 1:
            return "; ".join(reasons)
        return "; ".join(f"{count} of {self.posts} posts: {reason}" for reason, count in reasons.items())


class TrackSink(ABC):
    """Sends one segment per call, in as many posts as its size asks for, and remembers which sessions were ended.

    A server knows no repeats, so what it has taken of a segment is not sent again by this process. A segment that is
    cut in two posts is two lists of events for it, which it orders by their times.

    Up to `parallel` threads may send at once. In strict mode posts are cut, tried and given up as the browser SDK does,
    each on its own: of a segment whose second post is dropped the third is sent.
    """

    def __init__(self, name: str, url: str, host: str, posting: Posting) -> None:
        """Connects to nothing. `url` is what the query is appended to. Raises ConfigError for a key of odd letters."""
        if not (posting.key.isascii() and posting.key.isprintable()):
            raise ConfigError("The API key has characters that no HTTP header can carry.", "Check upload.api_key.")
        self._name = name
        self._url = url
        self._posting = posting
        self._secret = posting.key
        self._limit = wire.BATCH_BYTES
        self._closed = False
        self._ended: OrderedDict[Session, str] = OrderedDict()
        self._cadences: OrderedDict[str, Cadence] = OrderedDict()
        self._under_way: OrderedDict[str, _Progress] = OrderedDict()
        self._resumes_ms = 0
        self._noting = threading.Lock()
        self.strict = posting.strict
        self.parallel = posting.parallel
        self._exchanges = tuple(Exchange(host, posting.tls) for _ in range(posting.parallel))
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
        session = manifest.key
        if manifest.device_id == "" or manifest.session_id <= 0:
            delivery: Delivery = Rejected("no session id or device id")
        elif session in self._ended:
            delivery = Rejected(f"not sent: {self._ended[session]}")
        else:
            try:
                delivery = self._deliver(sealed)
            except UnicodeError:
                delivery = Rejected("the device id or an event is no Unicode text")
        if isinstance(delivery, Delivered | Rejected) and delivery.ends_session:
            with self._noting:
                _keep(self._ended, session, delivery.skipped if isinstance(delivery, Delivered) else delivery.reason)
        return replace(delivery, kept=False) if self.strict and isinstance(delivery, Rejected) else delivery

    def close(self) -> None:
        self._closed = True
        self._posting.pace.close()
        for exchange in self._exchanges:
            exchange.close()

    def _deliver(self, sealed: SealedSegment) -> Delivery:
        """Post what is not done with yet, one post after the other. Raises UnicodeError for text that is none."""
        name = sealed.manifest.id
        events = list(wire.inlined(sealed))
        texts, oversize = wire.texts(events)
        if not texts:
            return Rejected(left_out(oversize) or "no events")
        with self._noting:
            progress = self._under_way.pop(name, None) or _Progress(deque(self._cut(sealed, events, texts)))
        last = Delivered()
        while progress.left:
            count = progress.left[0]
            body = wire.body(texts[progress.done : progress.done + count])
            delivery, halve = self._post(sealed, body)
            if halve:
                progress.left.popleft()
                progress.left.extendleft((count - count // 2, count // 2))
                progress.tries = 0
                if not self.strict:
                    self._limit = max(1, min(self._limit, len(body.data) // 2))
                continue
            if isinstance(delivery, Retry):
                progress.tries += not self._closed
                if not self.strict or progress.tries < STRICT_TRIES:
                    return self._later(name, progress, delivery)
                delivery = Rejected(f"{delivery.reason} ({progress.tries} tries)")
            if isinstance(delivery, Delivered):
                last = delivery
                progress.skipped += Counter([delivery.skipped] if delivery.skipped else ())
            elif self.strict:
                progress.dropped[delivery.reason] += 1
            else:
                return self._later(name, progress, delivery)
            progress.left.popleft()
            progress.done, progress.posts, progress.tries = progress.done + count, progress.posts + 1, 0
            if last.ends_session:
                return last
            if last.pause_s:
                self._throttled(last.pause_s)
                if progress.left:
                    progress.left = deque(_merged(progress.left, texts[progress.done :]))
                    return self._later(name, progress, Retry(last.pause_s, last.skipped))
        if progress.dropped:
            return Rejected(progress.told(progress.dropped))
        return replace(last, skipped=progress.told(progress.skipped) or left_out(oversize))

    def _cut(self, sealed: SealedSegment, events: list[bytes], texts: list[bytes]) -> list[int]:
        """How many of the texts go into each post."""
        if not self.strict:
            return [len(batch) for batch in wire.batches(texts, self._limit)]
        device = sealed.manifest.device_id
        cadence = self._cadences.pop(device, None) or Cadence()
        _keep(self._cadences, device, cadence)
        timed = ((_at_ms(event), len(event)) for event in events if len(event) <= wire.EVENT_BYTES)
        posts = cadence.cut(timed)
        # What had to wait for a server that throttles goes out in fewer posts.
        waited = sealed.manifest.end_ms <= self._resumes_ms
        return [post.events for post in (merged(posts) if waited else posts)]

    def _throttled(self, seconds: float) -> None:
        self._resumes_ms = time.time_ns() // 1_000_000 + int(seconds * 1000)

    def _later(self, name: str, progress: _Progress, delivery: Delivery) -> Delivery:
        """Keep the progress for the next call, if there is one."""
        with self._noting:
            _keep(self._under_way, name, progress)
        return delivery

    def _post(
        self,
        sealed: SealedSegment,
        body: wire.Body,
        more: Mapping[str, str] | None = None,
        wanted: Mapping[str, object] | None = None,
    ) -> tuple[Delivery, bool]:
        """What became of one post, and whether a smaller one might do better. `more` headers are sent, `wanted` is what
        an answer is to say (see `_judge`)."""
        posting = self._posting
        head = wire.headers(posting.key, posting.rate()) | dict(more or {})
        data = wire.compress(body)
        if not posting.pace.take(len(data)):
            return Retry(0.0, "closed"), False
        try:
            url = f"{self._url}?{wire.query(sealed.manifest)}"
            seconds = posting.seconds + (0 if self.strict else sending_seconds(len(data)))
            answer = self._ask("POST", url, head, data, seconds)
        except httpx.InvalidURL:
            return Rejected("the device id does not fit into an address"), False
        except httpx.HTTPError as error:
            # The browser SDK gives up on whatever its network says, unless it was the time that ran out. What `close`
            # cuts short is no word of the network's.
            if self.strict and not self._closed and not isinstance(error, httpx.TimeoutException):
                return Rejected(self._said(words(error))), False
            return Retry(0.0, self._said(words(error))), False
        answer = replace(answer, text=self._said(answer.text))
        delivery = self._judge(answer, wanted or {})
        return delivery, wire.too_large(answer, self.strict) and body.events > 1

    def _judge(self, answer: wire.Answer, wanted: Mapping[str, object]) -> Delivery:
        """What an answer to a post means. `wanted` is what one says of a post that it has taken, if it says so much."""
        return wire.classify(answer, time.time_ns() // 1_000_000, self.strict)

    def _said(self, words: str) -> str:
        """A stranger's words without our key, should they repeat it."""
        return hidden(words, self._secret)

    def _ask(self, method: str, url: str, head: Mapping[str, str], content: bytes, seconds: float) -> wire.Answer:
        """One request over a connection that nobody uses. Raises httpx.HTTPError, httpx.InvalidURL."""
        exchange = self._free.get()
        before = exchange.sent
        try:
            return exchange.ask(method, url, head, content, seconds)
        finally:
            self._posting.pace.spent(exchange.sent - before)
            self._free.put(exchange)


def left_out(oversize: int) -> str:
    """What to say of events that no server takes; empty when there are none."""
    return f"{oversize} events of more than {wire.EVENT_BYTES} bytes left out" if oversize else ""


def _keep(held: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Put it last; what was not asked for the longest is forgotten."""
    held[key] = value
    while len(held) > REMEMBERED:
        held.popitem(last=False)


def _merged(counts: deque[int], texts: list[bytes]) -> list[int]:
    """Posts that come one after the other, in as few as may be."""
    posts, begin = [], 0
    for count in counts:
        posts.append(Post(count, sum(map(len, texts[begin : begin + count]))))
        begin += count
    return [post.events for post in merged(posts)]


def _at_ms(event: bytes) -> int:
    at: int = orjson.loads(event)["timestamp"]
    return at

"""The sink that posts segments to a collector, over HTTP/1.1 with keep-alive."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import httpx

from agent.errors import ConfigError, SinkError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from agent.outbox.exchange import Exchange, address, words

CHECK_SECONDS = 5.0
THROTTLE_SECONDS = 60.0
ENDED_SESSIONS = 256
# What is sent to a collector that was started without a key, which takes any.
NO_KEY = "local"


class CollectorSink:
    """Sends one segment per call, in as many posts as its size asks for, and remembers what the server decreed."""

    def __init__(
        self, url: str, api_key: str = "", sample_rate: Callable[[], float] = lambda: 1.0, seconds: float = 30.0
    ) -> None:
        """Connects to nothing. Raises ConfigError when `url` is not a plain http(s) address."""
        parts = address(url, "A collector's address", "Write the sink as collector:http://HOST:PORT.")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        if not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("The API key has characters that no HTTP header can carry.", "Check upload.api_key.")
        self._key = api_key or NO_KEY
        self._rate = sample_rate
        self._seconds = seconds
        self._limit = wire.BATCH_BYTES
        self._paused_until = 0.0
        self._ended: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._exchange = Exchange(parts.hostname or "")

    @property
    def name(self) -> str:
        return f"collector:{self._base}"

    def check(self) -> None:
        """Raises SinkError when nothing there answers as a collector, or it does not accept the key."""
        url = f"{self._base}/healthz"
        try:
            answer = self._exchange.ask("GET", url, {"Authorization": f"Bearer {self._key}"}, seconds=CHECK_SECONDS)
        except httpx.HTTPError as error:
            raise SinkError(
                f"{self._base} does not answer: {words(error)}.",
                "Start it with `android-replay collector`, or check the address.",
            ) from error
        if answer.status in (401, 403):
            raise SinkError(
                f"{self._base} does not accept the API key.",
                "Set ANDROID_REPLAY_UPLOAD__API_KEY to the key that the collector was started with.",
            )
        if answer.status != 200:
            raise SinkError(
                f"{url} answers {answer.status}.",
                "Is another program listening there? Check the address of the collector.",
            )

    def send(self, sealed: SealedSegment) -> Delivery:
        manifest = sealed.manifest
        session = (manifest.device_id, manifest.session_id)
        if manifest.device_id == "" or manifest.session_id <= 0:
            return Rejected("no session id or device id")
        if session in self._ended:
            return Rejected(f"not sent: {self._ended[session]}")
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            return Retry(pause, "the server is throttling")
        try:
            return self._send(sealed, session)
        except UnicodeError:
            return Rejected("the device id or an event is no Unicode text")
        except httpx.InvalidURL:
            return Rejected("the device id does not fit into an address")
        except httpx.HTTPError as error:
            return Retry(0.0, words(error))

    def close(self) -> None:
        self._exchange.close()

    def _send(self, sealed: SealedSegment, session: tuple[str, int]) -> Delivery:
        events = list(wire.inlined(sealed))
        while True:
            made, oversize = wire.bodies(events, self._limit)
            left_out = f"{oversize} events of more than {wire.EVENT_BYTES} bytes left out" if oversize else ""
            if not made:
                return Rejected(left_out or "no events")
            for part, body in enumerate(made, 1):
                head = wire.headers(self._key, self._rate(), sealed.manifest.id, part, len(made))
                url = f"{self._base}{wire.TRACK_PATH}?{wire.query(sealed.manifest)}"
                answer = self._exchange.ask("POST", url, head, wire.compress(body), self._seconds)
                if wire.too_large(answer) and body.events > 1:
                    self._limit = len(body.data) // 2
                    break
                delivery = wire.classify(answer, time.time_ns() // 1_000_000)
                if not isinstance(delivery, Delivered):
                    return delivery
                self._obey(answer, delivery, session)
                if delivery.skipped or part == len(made):
                    return Delivered(delivery.answer, delivery.skipped or left_out, delivery.ends_session)

    def _obey(self, answer: wire.Answer, delivery: Delivered, session: tuple[str, int]) -> None:
        """Keep the directives that the browser SDK keeps: a minute's pause, no more posts for a session."""
        throttled = answer.headers.get(wire.SKIP_HEADER, "").strip() == wire.THROTTLED
        self._paused_until = time.monotonic() + THROTTLE_SECONDS if throttled else 0.0
        if delivery.ends_session:
            self._ended[session] = delivery.skipped
            while len(self._ended) > ENDED_SESSIONS:
                self._ended.popitem(last=False)

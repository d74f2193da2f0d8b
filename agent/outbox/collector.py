"""The sink that posts segments to a collector, over HTTP/1.1 with keep-alive."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from agent.errors import ConfigError, SinkError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from bridge.deadline import Deadline

CHECK_SECONDS = 5.0
THROTTLE_SECONDS = 60.0
ENDED_SESSIONS = 256
ANSWER_BYTES = 4096
# What is sent to a collector that was started without a key, which takes any.
NO_KEY = "local"


class CollectorSink:
    """Sends one segment per call, in as many posts as its size asks for, and remembers what the server decreed.

    httpx limits each read and write, not the whole request; a timer here shuts the connection down at the deadline, so
    that a server which drips its answer cannot hold the caller. (Looking up a host name is not covered: it cannot be
    interrupted.)
    """

    def __init__(self, url: str, api_key: str = "", sample_rate: float = 1.0, seconds: float = 30.0) -> None:
        """Connects to nothing. Raises ConfigError when `url` is not a plain http(s) address."""
        parts = _parse(url)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        if not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("The API key has characters that no HTTP header can carry.", "Check upload.api_key.")
        self._key = api_key or NO_KEY
        self._rate = sample_rate
        self._seconds = seconds
        self._limit = wire.BATCH_BYTES
        self._paused_until = 0.0
        self._ended: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._using = threading.Lock()
        self._closed = False
        self._aborted = False
        self._stream: Any = None
        self._client = httpx.Client(
            http1=True,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            # A proxy from the environment has no business between two programs of one host.
            trust_env=not _is_loopback(parts.hostname or ""),
        )

    @property
    def name(self) -> str:
        return f"collector:{self._base}"

    def check(self) -> None:
        """Raises SinkError when nothing there answers as a collector, or it does not accept the key."""
        url = f"{self._base}/healthz"
        try:
            with self._using:
                answer = self._ask("GET", url, {"Authorization": f"Bearer {self._key}"}, b"", CHECK_SECONDS)
        except httpx.HTTPError as error:
            raise SinkError(
                f"{self._base} does not answer: {_words(error)}.",
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
            return Retry(0.0, _words(error))

    def close(self) -> None:
        self._closed = True
        self._abort()
        # The sending thread lets go at once, unless it is looking up a host name.
        held = self._using.acquire(timeout=2.0)
        self._client.close()
        if held:
            self._using.release()

    def _send(self, sealed: SealedSegment, session: tuple[str, int]) -> Delivery:
        events = list(wire.inlined(sealed))
        while True:
            made, oversize = wire.bodies(events, self._limit)
            left_out = f"{oversize} events of more than {wire.EVENT_BYTES} bytes left out" if oversize else ""
            if not made:
                return Rejected(left_out or "no events")
            for part, body in enumerate(made, 1):
                head = wire.headers(self._key, self._rate, sealed.manifest.id, part, len(made))
                url = f"{self._base}{wire.TRACK_PATH}?{wire.query(sealed.manifest)}"
                with self._using:
                    answer = self._ask("POST", url, head, wire.compress(body), self._seconds)
                if wire.too_large(answer) and body.events > 1:
                    self._limit = len(body.data) // 2
                    break
                delivery = wire.classify(answer, time.time_ns() // 1_000_000)
                if not isinstance(delivery, Delivered):
                    return delivery
                self._obey(answer, delivery, session)
                if delivery.skipped or part == len(made):
                    return Delivered(delivery.answer, delivery.skipped or left_out)

    def _obey(self, answer: wire.Answer, delivery: Delivered, session: tuple[str, int]) -> None:
        """Keep the directives that the browser SDK keeps: a minute's pause, no more posts for a session."""
        code = answer.headers.get(wire.SKIP_HEADER, "").strip()
        if code == wire.THROTTLED:
            self._paused_until = time.monotonic() + THROTTLE_SECONDS
        else:
            self._paused_until = 0.0
        if code in (wire.OUT_OF_RANGE, wire.CAPTURE_OFF):
            self._ended[session] = delivery.skipped
            while len(self._ended) > ENDED_SESSIONS:
                self._ended.popitem(last=False)

    def _ask(self, method: str, url: str, head: Mapping[str, str], content: bytes, seconds: float) -> wire.Answer:
        """One request within `seconds` all told. Raises httpx.HTTPError. The caller holds `_using`."""
        if self._closed:
            raise httpx.TransportError("the sink is closed")
        self._aborted = False
        deadline = Deadline(seconds)
        alarm = threading.Timer(seconds, self._abort)
        alarm.daemon = True
        alarm.start()
        try:
            with self._client.stream(
                method, url, headers=head, content=content, timeout=seconds, extensions={"trace": self._trace}
            ) as response:
                text = _text(response)
                return wire.Answer(response.status_code, _lower(response.headers), text)
        except (httpx.HTTPError, OSError) as error:
            if deadline.passed:
                raise httpx.ReadTimeout(f"no full answer within {seconds:g} s") from error
            if isinstance(error, OSError):
                raise httpx.TransportError(str(error)) from error
            raise
        finally:
            alarm.cancel()
            alarm.join()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpcore as a request goes on (its `trace` extension): keeps hold of the connection."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info["return_value"]
            if self._aborted or self._closed:
                self._abort()

    def _abort(self) -> None:
        """Wake whoever waits on the connection. Any thread."""
        self._aborted = True
        held = self._stream.get_extra_info("socket") if self._stream is not None else None
        if held is not None:
            try:
                # The base class's, for a TLS socket too: its own would drop state that the waiting thread is using.
                socket.socket.shutdown(held, socket.SHUT_RDWR)
            except OSError:
                self._stream = None


def _parse(url: str) -> SplitResult:
    hint = "Write the sink as collector:http://HOST:PORT."
    try:
        parts = urlsplit(url)
        port = parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigError(f"{url!r} is no address: {error}.", hint) from error
    spaced = any(letter.isspace() for letter in url)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or spaced:
        raise ConfigError(f"{url!r} is no http address.", hint)
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError("A collector's address has no user name, query or fragment.", hint)
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(response: httpx.Response) -> str:
    """The start of an answer's text. The status line is the verdict, so an answer that breaks off after it counts."""
    data = b""
    try:
        for chunk in response.iter_raw():
            data += chunk
            if len(data) >= ANSWER_BYTES:
                break
    except httpx.HTTPError:
        data += b" (the answer broke off)"
    return data[:ANSWER_BYTES].decode("utf-8", "replace")


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _words(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__

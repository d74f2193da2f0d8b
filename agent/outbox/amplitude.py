"""The sink that posts segments to Amplitude, or to a proxy before it.

Addresses: @amplitude/session-replay-browser, constants.ts and utils/server-url.ts. A track server of one's own
(`trackServerUrl` there) replaces the whole address; the query is appended to it.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

import httpx

from agent.errors import ConfigError, SinkError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from agent.outbox.exchange import address, is_loopback, words
from agent.outbox.pace import Pace
from agent.outbox.track import REMEMBERED, SEND_SECONDS, TrackSink, left_out

ZONES: Mapping[str, str] = {
    "us": "https://api-sr.amplitude.com/sessions/v2/track",
    "eu": "https://api-sr.eu.amplitude.com/sessions/v2/track",
}
CHECK_SECONDS = 5.0
HINT = "Write the sink as amplitude:us or amplitude:eu, or name your proxy: amplitude:https://HOST/PATH."


class AmplitudeSink(TrackSink):
    """Amplitude knows no repeats, so what it has taken of a segment is not sent again by this process.

    A segment that is cut in two posts is two lists of events for Amplitude, which orders them by their times.
    """

    def __init__(
        self,
        zone: str,
        api_key: str,
        sample_rate: Callable[[], float] = lambda: 1.0,
        seconds: float = SEND_SECONDS,
        strict: bool = False,
        parallel: int = 1,
        tls: ssl.SSLContext | None = None,
        pace: Pace | None = None,
    ) -> None:
        """`zone` is one of ZONES or an address. Raises ConfigError when it is none, or without a key."""
        if not api_key:
            raise ConfigError(
                "Amplitude takes nothing without the project's API key, and none is set.",
                "Set ANDROID_REPLAY_UPLOAD__API_KEY to the key of the project's Amplitude destination in Segment.",
            )
        url = ZONES.get(zone.lower(), zone)
        parts = address(url, "The address of a track server", HINT)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ConfigError(f"{url!r} would send the API key and the replays unencrypted.", "Use an https address.")
        shown = zone.lower() if zone.lower() in ZONES else url
        super().__init__(
            f"amplitude:{shown}",
            url,
            parts.hostname or "",
            api_key,
            sample_rate,
            seconds,
            strict,
            parallel,
            tls,
            pace,
        )
        self._taken: OrderedDict[str, int] = OrderedDict()

    def check(self) -> str:
        """Whether the host answers at all. No replay is sent, and no key. Raises SinkError when it does not."""
        parts = urlsplit(self._url)
        url = f"{parts.scheme}://{parts.netloc}/"
        try:
            answer = self._ask("HEAD", url, {"Accept-Encoding": "identity"}, b"", CHECK_SECONDS)
        except httpx.HTTPError as error:
            raise SinkError(
                f"{parts.netloc} does not answer: {words(error)}.",
                "Check the network, HTTPS_PROXY, and upload.ca_file where a proxy has a certificate of its own.",
            ) from error
        secure = "over TLS " if parts.scheme == "https" else ""
        return f"answers {secure}({answer.status}); whether it takes the key shows with the first upload"

    def _deliver(self, sealed: SealedSegment) -> Delivery:
        """Post what is not taken yet. What the browser SDK would drop is dropped alone, and the rest goes on."""
        name = sealed.manifest.id
        texts, oversize = wire.texts(wire.inlined(sealed))
        if not texts:
            return Rejected(left_out(oversize) or "no events")
        taken = self._taken.get(name, 0)
        left = deque(wire.batches(texts[taken:], self._limit))
        last, dropped = Delivered(), ""
        while left:
            batch = left.popleft()
            body = wire.body(batch)
            delivery, halve = self._post(sealed, body)
            if halve:
                middle = (len(batch) + 1) // 2
                left.extendleft((batch[middle:], batch[:middle]))
                if not self.strict:
                    self._limit = max(1, min(self._limit, len(body.data) // 2))
                continue
            if isinstance(delivery, Delivered):
                last = delivery
            elif isinstance(delivery, Rejected) and self.strict:
                dropped = delivery.reason
            else:
                self._remember(name, taken)
                return delivery
            taken += len(batch)
            if last.ends_session:
                return last
            if last.pause_s and left:
                self._remember(name, taken)
                return Retry(last.pause_s, last.skipped)
        with self._noting:
            self._taken.pop(name, None)
        if dropped:
            return Rejected(dropped)
        return replace(last, skipped=last.skipped or left_out(oversize))

    def _remember(self, name: str, taken: int) -> None:
        with self._noting:
            self._taken[name] = taken
            while len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)

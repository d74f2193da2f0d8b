"""The sink that posts segments to a collector."""

from __future__ import annotations

from dataclasses import replace

import httpx

from agent.errors import SinkError
from agent.model import Delivered, Delivery, Rejected, SealedSegment
from agent.outbox import wire
from agent.outbox.exchange import address, words
from agent.outbox.track import Posting, TrackSink, left_out

CHECK_SECONDS = 5.0
# What is sent to a collector that was started without a key, which takes any.
NO_KEY = "local"


class CollectorSink(TrackSink):
    """Tells the collector in each post which part of which segment it is, so that a repeat changes nothing.

    In strict mode it says no more than the browser SDK does: each post is a segment by itself for the collector.
    """

    def __init__(self, url: str, posting: Posting | None = None) -> None:
        """Raises ConfigError when `url` is not a plain http(s) address."""
        posting = posting or Posting()
        parts = address(url, "A collector's address", "Write the sink as collector:http://HOST:PORT.")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        super().__init__(
            f"collector:{self._base}",
            self._base + wire.TRACK_PATH,
            parts.hostname or "",
            replace(posting, key=posting.key or NO_KEY),
        )
        self._secret = posting.key

    def check(self) -> str:
        """Raises SinkError when nothing there answers as a collector, or it does not accept the key."""
        url = f"{self._base}/healthz"
        try:
            answer = self._ask("GET", url, {"Authorization": f"Bearer {self._posting.key}"}, b"", CHECK_SECONDS)
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
        return "answers and takes the key"

    def _deliver(self, sealed: SealedSegment) -> Delivery:
        if self.strict:
            return super()._deliver(sealed)
        texts, oversize = wire.texts(wire.inlined(sealed))
        if not texts:
            return Rejected(left_out(oversize) or "no events")
        last = Delivered()
        while True:
            made = [wire.body(batch) for batch in wire.batches(texts, self._limit)]
            for part, body in enumerate(made, 1):
                key = wire.idempotency(sealed.manifest.id, part, len(made))
                delivery, halve = self._post(sealed, body, key)
                if halve:
                    # Each part says of how many it is: begin again, with smaller ones.
                    self._limit = min(self._limit, len(body.data) // 2)
                    break
                if not isinstance(delivery, Delivered) or delivery.skipped:
                    return delivery
                last = delivery
            else:
                return Delivered(last.answer, left_out(oversize))

"""The sink that posts segments to a collector.

A 2xx alone is no delivery: a captive portal, a page that answers every address, another program on a wrong port say it,
too. A collector tells what it has taken (`agent.collector.app`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import orjson

from agent.errors import SinkError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox import wire
from agent.outbox.exchange import address, words
from agent.outbox.track import Posting, TrackSink, left_out

CHECK_SECONDS = 5.0
# What is sent to a collector that was started without a key, which takes any.
NO_KEY = "local"
STRANGER = "what answered is no collector"
SERVICE = "collector"


class CollectorSink(TrackSink):
    """Tells the collector in each post which part of which segment it is, so that a repeat changes nothing.

    In strict mode it says and hears no more than the browser SDK does: each post is a segment by itself for the
    collector, and a 2xx is its delivery.
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
        if _document(answer.text).get("service") != SERVICE:
            raise SinkError(
                f"{url} answers, but {STRANGER}.",
                "Is another program listening there, or does the network want a login? Check the collector's address.",
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
                wanted: dict[str, object] = {"code": 200, "segment": sealed.manifest.id, "events": len(texts)}
                if part < len(made):
                    wanted = {"code": 200, "part": part}
                delivery, halve = self._post(sealed, body, key, wanted)
                if halve:
                    # Each part says of how many it is: begin again, with smaller ones.
                    self._limit = min(self._limit, len(body.data) // 2)
                    break
                if not isinstance(delivery, Delivered) or delivery.skipped:
                    return delivery
                last = delivery
            else:
                return Delivered(last.answer, left_out(oversize))

    def _judge(self, answer: wire.Answer, wanted: Mapping[str, object]) -> Delivery:
        delivery = super()._judge(answer, wanted)
        if self.strict or not isinstance(delivery, Delivered):
            return delivery
        told = _document(answer.text)
        if all(told.get(name) == value for name, value in wanted.items()):
            return delivery
        return Retry(0.0, f"{STRANGER}: {delivery.answer}")


def _document(text: str) -> dict[str, Any]:
    """The JSON object that an answer is; an empty one when it is none."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}

"""The replay upload as bytes: bodies, headers, and what an answer means.

The form is that of Amplitude's public browser SDK (@amplitude/session-replay-browser, track-destination.ts and
base-events-store.ts): `POST {base}/sessions/v2/track?device_id=&session_id=&type=replay` with the JSON body
`{"version":1,"events":["<JSON text of an rrweb event>", ...]}`, gzip'd as a whole. Order is carried by the events'
times alone, so a segment may be cut between any two of its events. One thing is added for a collector: an
`Idempotency-Key` with the segment's id, as `<id>` or, for a segment sent in several posts, `<id>;part=<n>;of=<m>`.
"""

from __future__ import annotations

import gzip
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime

import orjson

from agent import __version__
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment, SegmentManifest
from agent.store.recording import data_uri, inline

TRACK_PATH = "/sessions/v2/track"
# Client-side limits of the browser SDK, in bytes before compression; the server refuses above 10 000 000.
BATCH_BYTES = 6_000_000
EVENT_BYTES = 9_000_000
# For so long the browser SDK leaves a server alone that throttles.
THROTTLE_SECONDS = 60.0
SKIP_HEADER = "x-session-replay-event-skipped"
# Values of that header (same source): throttled; session outside the accepted range; capture switched off.
THROTTLED, OUT_OF_RANGE, CAPTURE_OFF = "429", "4004", "4005"
_SKIP_WORDS = {
    THROTTLED: "the server is throttling",
    OUT_OF_RANGE: "the session is outside the range the server accepts",
    CAPTURE_OFF: "capture is switched off for this project",
}
_BARRING = (401, 403, 404, 407)
_FIREWALL = re.compile(r"payload.*exceed", re.IGNORECASE | re.DOTALL)
_OPEN, _CLOSE = b'{"version":1,"events":[', b"]}"


@dataclass(frozen=True, slots=True)
class Body:
    """One post's JSON text and the number of events in it."""

    data: bytes
    events: int


@dataclass(frozen=True, slots=True)
class Barred(Retry):
    """The server would take nothing of ours as things are, whichever segment it was: it is left alone for long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: status, headers by lower-case name, the first few kilobytes of its text."""

    status: int
    headers: Mapping[str, str]
    text: str


def inlined(sealed: SealedSegment) -> Iterator[bytes]:
    """The events with their pictures as data URIs."""
    uris = {digest.encode(): data_uri(shown) for digest, shown in sealed.pictures.items()}
    return (inline(event, uris) for event in sealed.events)


def texts(events: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Each event as the JSON string that a body holds, and how many passed EVENT_BYTES.

    The latter are left out: no server takes them. Raises UnicodeDecodeError for an event that is not UTF-8.
    """
    given = list(events)
    taken = [orjson.dumps(event.decode()) for event in given if len(event) <= EVENT_BYTES]
    return taken, len(given) - len(taken)


def batches(texts: Iterable[bytes], limit: int = BATCH_BYTES) -> list[list[bytes]]:
    """`texts` in groups whose bodies have at most `limit` bytes; a larger one stands alone."""
    made: list[list[bytes]] = []
    size = 0
    for text in texts:
        if not made or size + len(text) + 1 > limit:
            made.append([])
            size = len(_OPEN) + len(_CLOSE)
        made[-1].append(text)
        size += len(text) + 1
    return made


def body(batch: list[bytes]) -> Body:
    """The body that holds these texts."""
    return Body(_OPEN + b",".join(batch) + _CLOSE, len(batch))


def bodies(events: Iterable[bytes], limit: int = BATCH_BYTES) -> tuple[list[Body], int]:
    """The events as bodies of at most `limit` bytes (a larger event stands alone), and how many were left out.

    Raises UnicodeDecodeError for an event that is not UTF-8.
    """
    taken, too_large = texts(events)
    return [body(batch) for batch in batches(taken, limit)], too_large


def compress(body: Body) -> bytes:
    # Level 1: base64 pictures hardly shrink further, and level 6 costs 1.4 times the CPU.
    return gzip.compress(body.data, compresslevel=1, mtime=0)


def query(manifest: SegmentManifest) -> str:
    fields = {"device_id": manifest.device_id, "session_id": str(manifest.session_id), "type": "replay"}
    return urllib.parse.urlencode(fields)


def idempotency(segment_id: str, part: int = 1, parts: int = 1) -> dict[str, str]:
    """The header by which a collector knows part `part` of `parts`, counted from 1, of a segment."""
    return {"Idempotency-Key": segment_id if parts == 1 else f"{segment_id};part={part};of={parts}"}


def headers(api_key: str, sample_rate: float) -> dict[str, str]:
    """What the browser SDK's headers say; X-Client-Url is missing, as a phone's screen has none."""
    return {
        "Content-Type": "application/json",
        "Accept": "*/*",
        # Answers are a few words; a compressed one would only be a way to fill our memory.
        "Accept-Encoding": "identity",
        "Content-Encoding": "gzip",
        "Authorization": f"Bearer {api_key}",
        "X-Client-Version": __version__,
        "X-Client-Library": f"segment/{__version__}",
        "X-Client-Sample-Rate": _number(sample_rate),
        "X-Sampling-Hash-Alg": "xxhash32",
    }


def classify(answer: Answer, now_ms: int, strict: bool = False) -> Delivery:
    """What an answer to one post means for its events. `now_ms` (epoch) serves a Retry-After date without a Date.

    `strict` = as the browser SDK takes it (track-destination.ts): what the server skips is done with, and it knows no
    Retry-After. Otherwise what is skipped is still to be delivered, later or, when its session is ended, by hand; and
    what may be a login page's, a proxy's or a firewall's word, or the key's fault, is not held against the segment.
    """
    status = answer.status
    words = f"{status} {answer.text.strip()[:200]}".strip()
    if 200 <= status < 300:
        code = answer.headers.get(SKIP_HEADER, "").strip()
        if code not in _SKIP_WORDS:
            return Delivered(words)
        skipped = f"{_SKIP_WORDS[code]} ({code})"
        if strict:
            pause = THROTTLE_SECONDS if code == THROTTLED else 0.0
            return Delivered(words, skipped, ends_session=code != THROTTLED, pause_s=pause)
        return Retry(THROTTLE_SECONDS, skipped) if code == THROTTLED else Rejected(skipped, ends_session=True)
    if status in (408, 429, 499) or status >= 500 or (300 <= status < 400 and not strict):
        return Retry(0.0 if strict else retry_after(answer.headers, now_ms), words)
    if status in _BARRING and not strict and not too_large(answer):
        return Barred(retry_after(answer.headers, now_ms), words)
    return Rejected(words)


def too_large(answer: Answer, strict: bool = False) -> bool:
    """Whether the server, or a firewall before it, finds the post too large.

    The browser SDK cuts a post only where a firewall's 413 says so: a server that says it means one event.
    """
    firewall = _FIREWALL.search(answer.text) is not None
    if strict:
        return answer.status == 413 and firewall
    return answer.status == 413 or (400 <= answer.status < 500 and firewall)


def retry_after(headers: Mapping[str, str], now_ms: int) -> float:
    """Seconds the server asks to wait: `Retry-After` as a number or a date (RFC 9110, 10.2.3); 0 when it does not say.

    A date is measured against the answer's own Date, which is right even when the two clocks differ.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value, re.ASCII):
        return float(value)
    wanted = _http_date(value)
    if wanted is None:
        return 0.0
    now = _http_date(headers.get("date", ""))
    return max(0.0, wanted - (now_ms / 1000 if now is None else now))


def _number(value: float) -> str:
    """A rate as JavaScript writes numbers: decimals down to 0.000001, below that an exponent without leading zeros."""
    text = repr(float(value)).removesuffix(".0")
    if "e" not in text:
        return text
    return f"{Decimal(text):f}" if value >= 1e-6 else text.replace("e-0", "e-")


def _http_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None

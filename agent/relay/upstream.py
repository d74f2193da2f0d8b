"""Segment as the relay sees it: where an app's settings and batches go, and what came back.

Addresses are those of @segment/analytics-react-native: `https://cdn-settings.segment.com/v1/projects/KEY/settings`,
and `https://APIHOST/b` with the `apiHost` that the settings name. Nothing else is ever asked, but for the URL that the
operator gave instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
from starlette.concurrency import run_in_threadpool

from agent.errors import StorageError
from agent.outbox.exchange import address, is_loopback, proxies_named, sending_seconds
from agent.relay.batch import Unreadable, inflate
from agent.relay.queue import Parcel
from agent.store.disk import guarded, make_folder, write_files

ANSWER_SECONDS = 10.0
LATER_SECONDS = 30.0
SETTINGS_SECONDS = 5.0
SETTINGS_BYTES = 4 << 20
ANSWER_BYTES = 64 << 10
CONNECTIONS = 32
HOSTS = 1024
CDN = "https://cdn-settings.segment.com/v1"
DEFAULT_API = "https://api.segment.io/v1"
# What a hop says to the next hop only, and what our own client says.
_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
_OWN = _HOP | {"host", "content-length", "accept-encoding"}
# Half a copy or none is of no use to an app that was told to ask here.
_CONDITIONS = {"if-none-match", "if-modified-since", "if-match", "if-range", "if-unmodified-since", "range"}
# A public name, never a number, so that settings cannot lead the relay to a machine of the local network.
_API_HOST = re.compile(
    r"(?:https://)?((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9](?:/[\w.~-]+)*)/?"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream said, as it goes back to the app. Header names are lower case; a character is a byte."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for held, value in self.headers if held == name), "")


@dataclass(frozen=True, slots=True)
class Unreached:
    """There was no answer, and why."""

    reason: str


Outcome = Answer | Unreached


class Upstream:
    """The client. Belongs to one event loop; `folder` keeps the settings last seen.

    httpx limits each read and write, not the whole request, so a timeout around each request does.
    """

    def __init__(self, folder: Path, url: str = "", answer_seconds: float = ANSWER_SECONDS) -> None:
        """`url` takes the place of Segment's hosts. Raises ConfigError when it is no plain http(s) address, or the
        environment names a proxy that cannot be used."""
        self._folder = folder
        self._url = parse_url(url) if url else ""
        self._seconds = answer_seconds
        self._apis: dict[str, str] = {}
        self._asked: set[str] = set()
        with proxies_named():
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=answer_seconds + 1.0),
                limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
                # A proxy from the environment has no business between two programs of one host.
                trust_env=not is_loopback(urlsplit(self._url).hostname or ""),
            )
        self._client.headers.clear()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def settings(self, write_key: str, headers: Iterable[tuple[str, str]]) -> Outcome:
        """The settings of a source: the upstream's, or those last seen when it has none to give now.

        An SDK whose settings fail neither keeps nor sends events, for good; so a copy is better than an error.
        """
        url = f"{self._url + '/v1' if self._url else CDN}/projects/{write_key}/settings"
        kept = [(name, value) for name, value in onward(headers) if name not in _CONDITIONS]
        outcome = await self._ask("GET", url, kept, b"", SETTINGS_SECONDS, SETTINGS_BYTES)
        if isinstance(outcome, Answer) and outcome.status == 200:
            api = _api_host(outcome)
            if api is not None:
                self._learn(write_key, api)
                await run_in_threadpool(self._keep, write_key, outcome)
                return outcome
        if isinstance(outcome, Answer) and _final(outcome):
            return outcome
        copy = await run_in_threadpool(self._copy, write_key)
        return outcome if copy is None else copy

    async def send(self, parcel: Parcel) -> Outcome:
        """Post a batch whose app waits for the answer. A status that was seen counts, whatever comes of the rest."""
        return await self._post(parcel, self._seconds)

    async def send_later(self, parcel: Parcel) -> Outcome:
        """As `send`, of a batch that no app waits for: it has the time that its size needs, or a slow network would
        never take it."""
        return await self._post(parcel, LATER_SECONDS + sending_seconds(len(parcel.body)))

    async def _post(self, parcel: Parcel, seconds: float) -> Outcome:
        base = self._url + "/v1" if self._url else await self._api(parcel.write_key)
        if isinstance(base, Unreached):
            return base
        return await self._ask("POST", f"{base}/b", parcel.headers, parcel.body, seconds, ANSWER_BYTES)

    async def _api(self, write_key: str) -> str | Unreached:
        """Where the batches of a source go. An app may post before anybody asked here for its settings; while nobody
        can tell them the batches wait, for another region's host may be the right one."""
        if write_key and write_key not in self._apis and write_key not in self._asked:
            outcome = await self.settings(write_key, ())
            if write_key not in self._apis:
                if not (isinstance(outcome, Answer) and (outcome.status == 200 or _final(outcome))):
                    return Unreached("the settings of the source, which name its host, could not be had")
                if len(self._asked) < HOSTS:
                    self._asked.add(write_key)
        return self._apis.get(write_key, DEFAULT_API)

    async def _ask(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], content: bytes, seconds: float, limit: int
    ) -> Outcome:
        status, said, body, reason = 0, tuple[tuple[str, str], ...](), bytearray(), ""
        try:
            async with asyncio.timeout(seconds):
                # Bytes for bytes, both ways: httpx writes ASCII only, and reads UTF-8 where it can.
                given = [(_bytes(name), _bytes(value)) for name, value in (*headers, ("accept-encoding", "identity"))]
                async with self._client.stream(method, url, headers=given, content=content or None) as response:
                    status = response.status_code
                    said = tuple(
                        (name.decode("latin-1").lower(), value.decode("latin-1"))
                        for name, value in response.headers.raw
                        if name.decode("latin-1").lower() not in _HOP | {"content-length"}
                    )
                    async for chunk in response.aiter_raw():
                        body += chunk
                        if len(body) > limit:
                            reason = f"an answer of more than {limit} bytes"
                            break
        except TimeoutError:
            reason = f"no answer within {seconds:g} s"
        except (httpx.HTTPError, OSError) as error:
            # httpx has no word of its own for a TLS record that is damaged on its way: that is an ssl.SSLError.
            reason = str(error) or type(error).__name__
        except (httpx.InvalidURL, UnicodeError):
            reason = "the address or a header cannot be sent"
        if not reason:
            return Answer(status, said, bytes(body))
        if status and method == "POST":
            return Answer(status, tuple(item for item in said if item[0] != "content-encoding"), b"")
        return Unreached(reason)

    def _learn(self, write_key: str, api: str) -> None:
        if len(self._apis) >= HOSTS:
            self._apis.clear()
        self._apis[write_key] = api

    def _keep(self, write_key: str, answer: Answer) -> None:
        try:
            make_folder(self._folder)
            write_files(self._folder, [(_name(write_key), [orjson.dumps(answer.headers), b"\n", answer.body])])
        except StorageError:
            # The copy is for a bad day; this is a good one.
            return

    def _copy(self, write_key: str) -> Answer | None:
        path = self._folder / _name(write_key)
        try:
            with guarded(path):
                head, _, body = path.read_bytes().partition(b"\n")
            headers = tuple((str(name), str(value)) for name, value in orjson.loads(head))
        except (StorageError, ValueError, TypeError):
            return None
        answer = Answer(200, headers, body)
        api = _api_host(answer)
        if api is None:
            return None
        self._learn(write_key, api)
        return answer


def onward(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a request that go on, names in lower case."""
    given = [(name.lower(), value) for name, value in headers]
    named = {word.strip().lower() for name, value in given if name == "connection" for word in value.split(",")}
    return [(name, value) for name, value in given if name not in _OWN | named]


def parse_url(url: str) -> str:
    """An upstream's address without a final slash. Raises ConfigError."""
    address(url, "The relay's upstream", "Write it as http://HOST:PORT.")
    return url.rstrip("/").removesuffix("/v1")


def place(folder: Path, url: str) -> Path:
    """The folder of an upstream: what waits for one must never go to another."""
    return folder / (f"upstream-{hashlib.sha256(parse_url(url).encode()).hexdigest()[:12]}" if url else "segment")


def _final(answer: Answer) -> bool:
    """Whether it refuses for good."""
    return 400 <= answer.status < 500 and answer.status not in (408, 429)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _api_host(answer: Answer) -> str | None:
    """The base address that settings name for batches, DEFAULT_API when they name none; None if these are none."""
    try:
        settings = orjson.loads(inflate(answer.body, answer.header("content-encoding")))
    except (Unreadable, orjson.JSONDecodeError):
        return None
    if not isinstance(settings, dict):
        return None
    integrations = settings.get("integrations")
    own = integrations.get("Segment.io") if isinstance(integrations, dict) else None
    named = own.get("apiHost") if isinstance(own, dict) else None
    match = _API_HOST.fullmatch(named) if isinstance(named, str) else None
    if match is None or any(part in (".", "..") for part in match[1].split("/")):
        return DEFAULT_API
    return f"https://{match[1]}"


def _name(write_key: str) -> str:
    return f"settings-{hashlib.sha256(write_key.encode()).hexdigest()[:32]}"

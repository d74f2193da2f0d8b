"""The collector as a web application: Amplitude's upload, remote-config and event endpoints, kept in a recording.

    POST /sessions/v2/track     a replay upload (agent.outbox.wire); answered once it is durable
    GET  /config                remote config, the form of the Android client
    GET  /config/{api_key}      remote config, the form of the browser SDK
    POST /2/httpapi, /batch     analytics events
    GET  /healthz               whether it runs, and whether the given key is right

Whoever serves it may add routes of its own, a viewer's say; with a key set they ask for it, too (`agent.access.Lock`).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from agent.access import Door, Lock
from agent.collector.answers import Answer, Answers, Seen
from agent.collector.config import RemoteConfig
from agent.collector.ingest import Ingest
from agent.collector.upload import (
    BODY_BYTES,
    Key,
    Reader,
    Refused,
    decompress,
    parse,
    parse_interactions,
    parse_key,
    seal,
    write,
)
from agent.errors import StorageError, StorageFull
from agent.model import SegmentManifest
from agent.outbox.exchange import sending_seconds
from agent.outbox.wire import OUT_OF_RANGE, SKIP_HEADER, TRACK_PATH
from agent.store.disk import AppendFile, FolderLock
from agent.store.recording import LOCK, Recording

log = logging.getLogger(__name__)

HTTPAPI_BYTES = 1_000_000
BATCH_BYTES = 20_000_000
PARTS_BYTES = 200_000_000
# Of all bodies that are read or worked on, as they came, as the texts they are and as the values in these: whoever has
# no key may send, too.
HELD_BYTES = 256_000_000
ROOM_SECONDS = 2
INTERACTIONS = "interactions.jsonl"
# Four times what our own client waits for an answer, beside the time that it gives a body's size.
BODY_SECONDS = 120.0


def make_app(
    recording: Recording,
    extra_routes: Sequence[BaseRoute] = (),
    *,
    api_key: str = "",
    hosts: Sequence[str] = (),
    config: RemoteConfig | None = None,
    answers: Answers | None = None,
) -> Starlette:
    """The application over `recording`. Raises StorageError when its folder cannot be written.

    `api_key` is what clients must present, "" for "any". `hosts` are the Host names it answers to besides addresses and
    localhost. `answers` scripts uploads.
    """
    collector = Collector(recording, api_key, config or RemoteConfig(), answers)
    routes: list[BaseRoute] = [
        Route(TRACK_PATH, collector.track, methods=["POST"]),
        Route("/config", collector.config, methods=["GET"]),
        Route("/config/{api_key}", collector.config, methods=["GET"]),
        Route("/2/httpapi", partial(collector.events, limit=HTTPAPI_BYTES), methods=["POST"]),
        Route("/batch", partial(collector.events, limit=BATCH_BYTES), methods=["POST"]),
        Route("/healthz", collector.health, methods=["GET"]),
    ]
    if extra_routes:
        locks = [Middleware(Lock, token=api_key)] if api_key else []
        routes.append(Mount("/", routes=list(extra_routes), middleware=locks))
    app = Starlette(routes=routes, middleware=[Middleware(Door, hosts=hosts)])
    app.state.collector = collector
    return app


class Collector:
    """The endpoints' work. `close` when the server has ended."""

    def __init__(self, recording: Recording, api_key: str, config: RemoteConfig, answers: Answers | None) -> None:
        """Takes the folder for this process alone. Raises StorageError."""
        self._recording = recording
        self._api_key = api_key
        self._config = config
        self._answers = answers
        self._parts = Parts()
        self._room = Room(HELD_BYTES)
        # Of bodies that hold their key themselves: who has none keeps nobody else out.
        self._keyless = Room(HELD_BYTES // 2)
        self._lock = FolderLock(recording.path / LOCK)
        with ExitStack() as undo:
            undo.callback(self._lock.close)
            self._ingest = Ingest(recording.path)
            undo.callback(self._ingest.close)
            self._interactions = AppendFile(recording.path / INTERACTIONS)
            undo.pop_all()
        self._appending = threading.Lock()

    def close(self) -> None:
        """Let go of the folder; idempotent."""
        self._ingest.close()
        self._interactions.close()
        self._lock.close()

    async def track(self, request: Request) -> Response:
        try:
            upload = self._check(request)
            with self._room.share() as take:
                body = await _body(request, BODY_BYTES, take)
                scripted = None
                if self._answers is not None:
                    scripted = self._answers.take(Seen(dict(request.headers), dict(request.query_params), body))
                if scripted is not None:
                    if scripted.store:
                        await run_in_threadpool(self._receive, upload, body, take)
                    await asyncio.sleep(scripted.delay_s)
                    return Response(scripted.text, scripted.status, dict(scripted.headers), "application/json")
                if upload.session_id <= 0:
                    return _json(200, {"code": 200}, {SKIP_HEADER: OUT_OF_RANGE})
                return _json(200, await run_in_threadpool(self._receive, upload, body, take))
        except Refused as refused:
            return _refusal(refused)
        except ClientDisconnect:
            return Response(status_code=400)
        except StorageError as error:
            return _storage(error)

    async def config(self, request: Request) -> Response:
        given = request.path_params.get("api_key") or request.query_params.get("api_key") or _bearer(request)
        if not given or not self._accepts(given):
            return _json(401, {"code": 401, "error": "unknown API key"})
        return _json(200, self._config.document())

    async def events(self, request: Request, limit: int) -> Response:
        try:
            _want_json(request)
            encoding = request.headers.get("content-encoding", "").lower()
            with self._keyless.share() as take:
                body = await _body(request, limit, take)
                return _json(*await run_in_threadpool(self._ingested, body, encoding, limit, take))
        except Refused as refused:
            return _refusal(refused)
        except ClientDisconnect:
            return Response(status_code=400)
        except StorageError as error:
            return _storage(error)

    async def health(self, request: Request) -> Response:
        given = _bearer(request)
        if given and not self._accepts(given):
            return _json(401, {"code": 401, "error": "unknown API key"})
        return _json(200, {"code": 200, "service": "collector"})

    def _check(self, request: Request) -> Upload:
        given = _bearer(request) or request.query_params.get("api_key", "")
        if not given or not self._accepts(given):
            raise Refused(401, "an Authorization header with the project's API key is needed")
        _want_json(request)
        query = request.query_params
        for name in ("device_id", "session_id", "type"):
            if not query.get(name):
                raise Refused(400, f"query key {name} is missing")
        if query["type"] not in ("replay", "interaction"):
            raise Refused(400, f"type {query['type']!r} is unknown")
        try:
            session_id = int(query["session_id"])
        except ValueError as error:
            raise Refused(400, "session_id is not an integer") from error
        if not -(2**63) <= session_id < 2**63:
            raise Refused(400, "session_id is out of range")
        key = parse_key(request.headers.get("idempotency-key", ""))
        encoding = request.headers.get("content-encoding", "").lower()
        return Upload(query["device_id"], session_id, query["type"] == "interaction", encoding, key)

    def _receive(self, upload: Upload, body: bytes, take: Callable[[int], object]) -> dict[str, Any]:
        """Store an upload; durable on return. Raises Refused, StorageError."""
        data = decompress(body, upload.encoding, BODY_BYTES, take)
        reader = Reader(take)
        if upload.interaction:
            items = parse_interactions(data, reader)
            place = {"device_id": upload.device_id, "session_id": upload.session_id}
            rows: list[bytes] = []
            for index, item in enumerate(items):
                rows.append(write({**place, "interaction": item}, f"event {index}") + b"\n")
                take(len(rows[-1]))
            with self._appending:
                self._interactions.append(b"".join(rows), sync=True)
            return {"code": 200, "interactions": len(items)}
        events = parse(data, reader)
        if upload.key is not None and upload.key.parts > 1:
            gathered = self._parts.add(upload.key, events)
            if gathered is None:
                return {"code": 200, "part": upload.key.part}
            events = gathered
        segment = None if upload.key is None else upload.key.segment
        sealed = seal(upload.device_id, upload.session_id, segment, events, reader)
        name = sealed.manifest.id
        self._recording.write(sealed)
        # What was redacted since it came is not written again, and is done with for its sender.
        if self._recording.holds(name):
            kept = self._recording.manifest(name, keep=False)
            if _place(kept) != _place(sealed.manifest):
                raise Refused(422, "the Idempotency-Key was used for another upload")
        return {"code": 200, "segment": name, "events": len(sealed.events)}

    def _ingested(
        self, body: bytes, encoding: str, limit: int, take: Callable[[int], object]
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer for events; durable on return. Raises Refused, StorageError."""
        return self._ingest.take(decompress(body, encoding, limit, take), self._api_key, take)

    def _accepts(self, given: str) -> bool:
        return not self._api_key or hmac.compare_digest(given.encode(), self._api_key.encode())


@dataclass(frozen=True, slots=True)
class Upload:
    """What the request line and headers of an upload say."""

    device_id: str
    session_id: int
    interaction: bool
    encoding: str
    key: Key | None


class Parts:
    """Segments that come in several posts, until their last one. Any thread.

    Kept in memory: a client sends the parts one after the other and counts the segment as delivered after the last
    answer only. If an earlier part is gone by then (a restart between), the last is refused and all is sent again.
    """

    def __init__(self, limit: int = PARTS_BYTES) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._held: OrderedDict[tuple[str, int], dict[int, list[bytes]]] = OrderedDict()

    def add(self, key: Key, events: list[bytes]) -> list[bytes] | None:
        """All events of the segment if this was its last part, else None. Raises Refused when a part is missing."""
        name = (key.segment, key.parts)
        with self._lock:
            held = self._held.setdefault(name, {})
            self._held.move_to_end(name)
            held[key.part] = events
            if key.part < key.parts:
                while len(self._held) > 1 and self._size() > self._limit:
                    self._held.popitem(last=False)
                if self._size() > self._limit:
                    del self._held[name]
                    raise Refused(413, f"the parts make more than {self._limit} bytes")
                return None
            # The last part ends it either way: what was kept of a segment that is sent again is never asked for.
            del self._held[name]
            if len(held) < key.parts:
                missing = min(set(range(1, key.parts)) - held.keys())
                raise Refused(503, f"part {missing} of {key.parts} is missing, send all again")
            return [event for part in sorted(held) for event in held[part]]

    def _size(self) -> int:
        return sum(len(event) for held in self._held.values() for part in held.values() for event in part)


class Room:
    """How much bodies may take up together, in bytes. Any thread."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._taken = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes so many bytes more, or raises Refused. They are free again when the block ends."""
        held = 0

        def take(size: int) -> None:
            nonlocal held
            with self._lock:
                if self._taken + size > self._limit:
                    raise Refused(503, "too much is being sent at once, come again", ROOM_SECONDS)
                self._taken += size
                held += size

        try:
            yield take
        finally:
            with self._lock:
                self._taken -= held


async def _body(request: Request, limit: int, take: Callable[[int], object]) -> bytes:
    """The body as sent; `take` is told how many bytes each stretch of it is.

    Raises Refused above `limit` bytes or when it comes too slowly, ClientDisconnect when it breaks off, and what `take`
    raises.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS) as patience:
            began = asyncio.get_running_loop().time()
            async for chunk in request.stream():
                if len(data) + len(chunk) > limit:
                    raise Refused(413, f"more than {limit} bytes")
                take(len(chunk))
                data += chunk
                patience.reschedule(began + BODY_SECONDS + sending_seconds(len(data)))
    except TimeoutError as error:
        waited = BODY_SECONDS + sending_seconds(len(data))
        raise Refused(408, f"the body did not come within {waited:g} s") from error
    return bytes(data)


def _place(manifest: SegmentManifest) -> tuple[str, int, int, int]:
    return manifest.device_id, manifest.session_id, manifest.start_ms, manifest.end_ms


def _want_json(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(400, "Content-Type must be application/json")


def _bearer(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _json(status: int, answer: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(answer), status, headers, "application/json")


def _refusal(refused: Refused) -> Response:
    # Whoever takes too long over a body is not waited for any longer.
    headers = {"connection": "close"} if refused.status == 408 else {}
    if refused.after_s:
        headers["retry-after"] = str(refused.after_s)
    return _json(refused.status, {"code": refused.status, "error": refused.words}, headers)


def _storage(error: StorageError) -> Response:
    # 5xx: the client keeps the segment and comes again.
    log.error("an upload could not be stored: %s", error)
    status = 507 if isinstance(error, StorageFull) else 500
    return _json(status, {"code": status, "error": "the upload could not be stored"})


__all__ = ["Answer", "Answers", "Collector", "RemoteConfig", "make_app"]

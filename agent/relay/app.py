"""The relay's endpoints, and the rule by which a batch is passed on, kept or sent back.

    GET  /v1/projects/KEY/settings, /v1/KEY/settings     settings, from upstream or as last seen
    POST /v1/b, /v1/batch, /b, /v1, /                     a batch
    GET  /healthz                                         whether it runs, and what waits

Upstream's answer in time goes back to the app as it is, its status and Retry-After with it: the SDK has rules for each.
No answer, or a redirect (which is a captive portal's word, never Segment's, and would make the SDK drop the events):
the batch is kept on disk, then answered 200. While batches of a source wait, later ones queue behind them, so that
order is kept. A disk that cannot keep it: 503 with Retry-After, and the app keeps the events itself.

A batch is held whole (an SDK's has 500 KB at most, BODY_BYTES are taken): until it is, nobody can promise to keep it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agent.access import OwnPages
from agent.errors import AgentError, StorageError
from agent.outbox.wire import retry_after
from agent.relay.batch import BODY_BYTES, KEY, Enrich, Event, Unreadable, basic_key, enriched, read
from agent.relay.queue import Parcel, Queue
from agent.relay.upstream import Answer, Outcome, Unreached, Upstream, onward

log = logging.getLogger(__name__)

BODY_SECONDS = 30.0
OWN_TROUBLE_SECONDS = 5
FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
# The SDK follows a Retry-After up to this long (src/constants.ts defaultHttpConfig).
LONGEST_ASKED = 300.0
LATER = {408, 410, 429, 460}
BATCH_PATHS = ("/v1/b", "/v1/b/", "/v1/batch", "/b", "/v1", "/v1/", "/")
SETTINGS_PATHS = ("/v1/projects/{key}/settings", "/v1/{key}/settings", "/projects/{key}/settings", "/{key}/settings")

Tell = Callable[[str, Sequence[Event]], None]


class Relay:
    """What all doors share: the queue, the upstream, the figures. Belongs to one event loop.

    `tell` is called with a door's name and the events of each batch, in a worker thread. `enrich` gives an event the
    properties that it goes on with, None leaves all as they are.
    """

    def __init__(self, queue: Queue, upstream: Upstream, tell: Tell, enrich: Enrich | None) -> None:
        self._queue = queue
        self._upstream = upstream
        self._tell = tell
        self._enrich = enrich
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.counts: Counter[str] = Counter()

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Start sending what an earlier run left; the tasks are `group`'s."""
        self._group = group
        for key in self._queue.lanes():
            self._wake(key)

    def end(self) -> None:
        """Stop sending. What waits stays on disk."""
        self._group = None
        for task in list(self._lanes.values()):
            task.cancel()

    async def settings(self, request: Request) -> Response:
        key = request.path_params["key"]
        if not KEY.fullmatch(key):
            return Response(status_code=404)
        outcome = await self._upstream.settings(key, request.headers.items())
        self.counts["settings"] += 1
        if isinstance(outcome, Answer):
            return _answer(outcome)
        log.warning("no settings for the app: %s", outcome.reason)
        self.counts["settings not to be had"] += 1
        return _own_trouble()

    async def batch(self, request: Request, door: str) -> Response:
        if request.headers.get("sec-fetch-site", "none") != "none":
            # A page in a browser, never an app's SDK.
            return Response(status_code=403)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408, headers={"connection": "close"})
        if body is None:
            self.counts["too large"] += 1
            return Response(status_code=413, headers={"connection": "close"})
        parcel = await run_in_threadpool(self._take, request.headers.items(), body, door)
        self.counts["batches"] += 1
        self.counts["events"] += parcel.events
        if not self._queue.waiting(parcel.write_key):
            outcome = await self._upstream.send(parcel)
            if isinstance(outcome, Answer) and not 300 <= outcome.status < 400:
                self.counts["passed on" if outcome.status < 300 else f"answered {outcome.status}"] += 1
                return _answer(outcome)
            log.warning("Segment is not reached (%s): batches wait on disk", _why(outcome))
        try:
            await run_in_threadpool(self._queue.put, parcel)
        except StorageError as error:
            return self._not_kept(error)
        self.counts["kept"] += 1
        self._wake(parcel.write_key)
        return Response(b'{"success":true}', 200, media_type="application/json")

    def _not_kept(self, error: StorageError) -> Response:
        log.error("a batch could not be kept, the app keeps it: %s %s", error, error.hint)
        self.counts["not kept"] += 1
        return _own_trouble()

    async def health(self, request: Request) -> Response:
        facts = {"service": "relay", "waiting": self._queue.batches, "refused": self._queue.refused}
        return Response(orjson.dumps(facts), media_type="application/json")

    def _take(self, headers: Sequence[tuple[str, str]], body: bytes, door: str) -> Parcel:
        given = onward(headers)
        named = dict(given)
        encoding = named.get("content-encoding", "").strip().lower()
        key = basic_key(named.get("authorization", ""))
        try:
            found = read(body, encoding)
        except Unreadable as error:
            log.warning("a batch goes on unread: %s", error)
            self.counts[f"unread: {error}"] += 1
            return Parcel(key, tuple(given), body, 0)
        self._told(door, found.events)
        if self._enrich is not None:
            text = enriched(found, self._enrich)
            if text != found.text:
                given = [(name, value) for name, value in given if name != "content-encoding"]
                body = text.encode("utf-8")
        return Parcel(found.write_key or key, tuple(given), body, len(found.events))

    def _told(self, door: str, events: Sequence[Event]) -> None:
        try:
            self._tell(door, events)
        except (AgentError, OSError) as error:
            log.error("a batch goes on that could not be told: %s", error)  # noqa: TRY400 - it says what is wrong
            self.counts["untold"] += 1
        except Exception:
            # An answer of ours that is an error would make the app send this batch for ever, and nothing after it.
            log.exception("a batch goes on that could not be told")
            self.counts["untold"] += 1

    def _wake(self, key: str) -> None:
        if self._group is not None and key not in self._lanes:
            task = self._lanes[key] = self._group.create_task(self._drain(key), name="relay lane")
            task.add_done_callback(lambda _: self._drained(key))

    def _drained(self, key: str) -> None:
        del self._lanes[key]
        if self._queue.waiting(key):  # put in while the task was ending
            self._wake(key)

    async def _drain(self, key: str) -> None:
        """Send the batches of one source, one after the other, until none waits."""
        failures = 0
        while True:
            try:
                held = await run_in_threadpool(self._queue.first, key)
                if held is None:
                    return
                number, parcel = held
                outcome = await self._upstream.send_later(parcel)
                wait = await self._settle(number, outcome, failures)
            except StorageError as error:
                wait = _stuck(error)
            except Exception:
                # It would end all doors with it.
                log.exception("a batch that waits cannot be sent for now")
                wait = LONGEST_WAIT
            failures = failures + 1 if wait else 0
            await asyncio.sleep(wait)

    async def _settle(self, number: int, outcome: Outcome, failures: int) -> float:
        """Act on the answer to a batch that waited; how many seconds to wait, 0 when it has left the queue."""
        status = outcome.status if isinstance(outcome, Answer) else 0
        if 200 <= status < 300:
            await run_in_threadpool(self._queue.remove, number)
            self.counts["sent later"] += 1
            return 0.0
        if 400 <= status < 500 and status not in LATER:
            where = await run_in_threadpool(self._queue.refuse, number, status)
            log.error("Segment refused a batch (%d) that the app believes sent; it is kept as %s", status, where)
            self.counts["refused"] += 1
            return 0.0
        if isinstance(outcome, Answer) and (asked := retry_after(dict(outcome.headers), time.time_ns() // 1_000_000)):
            return max(min(asked, LONGEST_ASKED), 0.1)
        return float(min(FIRST_WAIT * 2 ** min(failures, 10), LONGEST_WAIT) * random.uniform(1.0, 1.1))  # noqa: S311


def make_app(relay: Relay, door: str, hosts: Sequence[str] = ()) -> Starlette:
    """The endpoints of one door. `hosts` are the Host names it answers to: no other site's name reaches it, nor what a
    page of another site posts."""
    routes = [Route(path, partial(relay.batch, door=door), methods=["POST"]) for path in BATCH_PATHS]
    routes += [Route(path, relay.settings, methods=["GET"]) for path in SETTINGS_PATHS]
    routes.append(Route("/healthz", relay.health, methods=["GET"]))
    guard = [Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)] if hosts else []
    app = Starlette(routes=routes, middleware=[*guard, Middleware(OwnPages)])
    app.router.redirect_slashes = False
    return app


async def _body(request: Request) -> bytes | None:
    """The body as sent, None above BODY_BYTES. Raises ClientDisconnect when it breaks off."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES:
            return None
    return bytes(data)


def _answer(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    said = (*answer.headers, ("content-length", str(len(answer.body))))
    # A header may come more than once, which a mapping cannot say.
    response.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said]
    return response


def _stuck(error: StorageError) -> float:
    log.error("the relay's queue: %s %s", error, error.hint)
    return LONGEST_WAIT


def _own_trouble() -> Response:
    return Response(status_code=503, headers={"retry-after": str(OWN_TROUBLE_SECONDS)})


def _why(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Unreached) else f"it answers {outcome.status}"

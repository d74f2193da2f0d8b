"""Fetches a project's remote configuration as Amplitude's clients do, and keeps the last one on disk.

Sources: amplitude/Amplitude-TypeScript, `remote-config.ts` and `joined-config.ts` ("web"): three attempts of 1 s with
up to a third of a second between; after 1.5 s the cached one counts, and only then; a fetch that fails sooner means
none and overwrites the cache; 401 and 403 are final. amplitude/Amplitude-Kotlin, `remoteconfig/*` and `HttpClient.kt`
("android"): one attempt of 20 s; a fetch that fails leaves the last good one in force. Both ask again at most every
five minutes, when a session begins. One thing is added, since a recorder runs for days: after a fetch that failed, this
asks again by itself.
"""

from __future__ import annotations

import hashlib
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

import httpx
import orjson

from agent import __version__
from agent.analytics.remote import UNAVAILABLE, Remote, read
from agent.errors import StorageError
from agent.model import RemoteForm
from agent.outbox.exchange import Exchange, address, words
from agent.store.disk import write_files

log = logging.getLogger(__name__)

HOSTS = {"US": "https://sr-client-cfg.amplitude.com/config", "EU": "https://sr-client-cfg.eu.amplitude.com/config"}
WEB_ATTEMPTS = 3
WEB_SECONDS = 1.0
WEB_JITTER_SECONDS = 1 / 3
WEB_PATIENCE_SECONDS = 1.5
ANDROID_SECONDS = 20.0
REFRESH_SECONDS = 300.0
DOCUMENT_BYTES = 1_000_000
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """How one request ended. `document` is None when there is none; a `final` failure is not tried again, ever."""

    document: object
    kind: Literal["good", "retry", "failed", "final"]
    problem: str = ""


class RemoteConfigClient:
    """Asks at `start`, at each `refresh` and after a failure, in a thread of its own, and tells `apply` what counts.

    `url` is the address up to `/config`, `cache` the folder for the last answer. `apply` is called from that thread.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        form: RemoteForm,
        cache: Path,
        apply: Callable[[Remote], None],
        jitter: Callable[[], float] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Asks nothing. Raises ConfigError when `url` is no plain http(s) address."""
        parts = address(url, "The address of the remote config", "Set plugin.remote_url to http(s)://HOST/config.")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._key = api_key
        self._form = form
        self._folder = cache
        mark = hashlib.sha256(f"{self._base}\n{api_key}\n{form}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._file = f"remote-config-{mark}.json"
        self._apply = apply
        self._jitter = jitter or random.SystemRandom().random
        self._exchange = Exchange(parts.hostname or "", tls)
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote-config", daemon=True)
        self.problem = ""

    def start(self) -> None:
        self._thread.start()

    def refresh(self) -> None:
        """A session began: ask again, if the last answer is older than five minutes. Any thread."""
        self._wanted.set()

    def close(self) -> None:
        """End a request in flight and the thread; idempotent."""
        self._stopping.set()
        self._wanted.set()
        self._exchange.close()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        asked = 0.0
        cached = self._cached()
        if self._form == "android" and cached is not None and 0 <= time.time_ns() / 1e9 - cached[0] < REFRESH_SECONDS:
            self._apply(read(cached[1], self._form))
            asked = time.monotonic()
            self._wanted.wait()
        while not self._stopping.is_set():
            left = asked + REFRESH_SECONDS - time.monotonic() if asked else 0.0
            if left > 0 and self._stopping.wait(left):
                return
            self._wanted.clear()
            asked = time.monotonic()
            final = self._web() if self._form == "web" else self._android()
            if final:
                return
            self._wanted.wait(REFRESH_SECONDS if self.problem else None)

    def _android(self) -> bool:
        fetched = self._fetch(ANDROID_SECONDS)
        if self._stopping.is_set():
            return True
        if fetched.kind == "good":
            self._keep(fetched.document)
            self._tell(fetched, fetched.document)
        else:
            cached = self._cached()
            self._tell(fetched, None if cached is None else cached[1])
        return False

    def _web(self) -> bool:
        """One round of attempts; whether its failure is final."""
        settled = threading.Lock()
        told: list[str] = []

        def impatient() -> None:
            cached = self._cached()
            with settled:
                if not told and cached is not None and not self._stopping.is_set():
                    told.append("cache")
                    self._apply(read(cached[1], self._form))

        patience = threading.Timer(WEB_PATIENCE_SECONDS, impatient)
        patience.daemon = True
        patience.start()
        try:
            fetched = Fetched(None, "failed")
            for attempt in range(WEB_ATTEMPTS):
                if attempt and self._stopping.wait(self._jitter() * WEB_JITTER_SECONDS):
                    return True
                fetched = self._fetch(WEB_SECONDS)
                if fetched.kind != "retry":
                    break
        finally:
            patience.cancel()
            patience.join()
        if self._stopping.is_set():
            return True
        with settled:
            late = bool(told)
        self.problem = fetched.problem
        self._keep(fetched.document)
        if fetched.kind == "good" or not late:
            self._tell(fetched, fetched.document)
        return fetched.kind == "final"

    def _tell(self, fetched: Fetched, document: object) -> None:
        self.problem = fetched.problem
        remote = read(document, self._form)
        if fetched.problem:
            log.warning("remote config: %s", fetched.problem)
        if remote.off == UNAVAILABLE and fetched.problem:
            remote = Remote(f"{UNAVAILABLE}: {fetched.problem}")
        self._apply(remote)

    def _fetch(self, seconds: float) -> Fetched:
        if self._form == "web":
            url = f"{self._base}/{quote(self._key, safe='')}?config_group=browser"
            head = {"Accept": "*/*", "Accept-Encoding": "identity"}
        else:
            url = f"{self._base}?{urlencode({'api_key': self._key, 'config_group': 'android'})}"
            head = {
                "Authorization": f"Bearer {self._key}",
                "X-Client-Platform": "Android",
                "X-Client-Version": "2",
                "X-Client-Library": f"amplitude-kotlin/{__version__}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            }
        try:
            answer = self._exchange.ask("GET", url, head, seconds=seconds, limit=DOCUMENT_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            said = words(error) if isinstance(error, httpx.HTTPError) else "the API key fits into no request"
            return Fetched(None, "retry", said)
        if answer.status in (401, 403):
            return Fetched(None, "final", f"the server answers {answer.status}: is it the right API key?")
        if answer.status == 429 or answer.status >= 500:
            return Fetched(None, "retry", f"the server answers {answer.status}")
        if not 200 <= answer.status < 300:
            return Fetched(None, "failed", f"the server answers {answer.status}")
        try:
            document = orjson.loads(answer.text)
        except orjson.JSONDecodeError:
            return Fetched(None, "failed", "the answer is not JSON")
        if read(document, self._form).off == UNAVAILABLE:
            return Fetched(None, "failed", "the answer says nothing of session replay")
        return Fetched(document, "good")

    def _cached(self) -> tuple[float, object] | None:
        """When the last one came (epoch seconds) and what it says; None without one."""
        try:
            held = orjson.loads((self._folder / self._file).read_bytes())
            return (float(held["at"]), held["document"]) if held["document"] is not None else None
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None

    def _keep(self, document: object) -> None:
        row = orjson.dumps({"at": time.time_ns() / 1e9, "document": document})
        try:
            write_files(self._folder, [(self._file, [row])])
        except StorageError as error:
            log.warning("the remote config cannot be kept: %s", error)

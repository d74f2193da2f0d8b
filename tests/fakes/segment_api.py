"""Segment as the relay sees it: settings and batches over real HTTP, answered as a script says."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

SETTINGS: dict[str, Any] = {
    "integrations": {
        "Segment.io": {"apiKey": "KEY", "apiHost": "events.eu1.segmentapis.com/v1", "unbundledIntegrations": []},
        "Actions Amplitude": {},
    },
    "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
    "edgeFunction": {},
}


@dataclass(frozen=True, slots=True)
class Say:
    """One answer. `hang` waits for the end of the server, `reset` cuts the connection before or after taking it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"success": true}'
    hang: bool = False
    reset: bool = False
    take: bool | None = None


@dataclass(frozen=True, slots=True)
class Got:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def batch(self) -> list[dict[str, Any]]:
        data = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return list(json.loads(data)["batch"])


class SegmentApi:
    """A server on loopback. `say` scripts the next answers to batches, `settings` that to settings; the rest is 200."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[Got] = []
        self.taken: list[dict[str, Any]] = []
        self.settings: Say | None = None
        self._script: deque[Say] = deque()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = self._make(port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def posts(self) -> list[Got]:
        return [got for got in self.got if got.method == "POST"]

    @property
    def left(self) -> int:
        """How many scripted answers nobody came for."""
        return len(self._script)

    def say(self, *answers: Say) -> None:
        with self._lock:
            self._script.extend(answers)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        for client in list(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join(5)

    def _answer(self, got: Got) -> Say:
        with self._lock:
            self.got.append(got)
            if got.method == "GET":
                return self.settings or Say(body=json.dumps(SETTINGS).encode())
            answer = self._script.popleft() if self._script else Say()
            if answer.take if answer.take is not None else answer.status < 300 and not answer.hang | answer.reset:
                self.taken.extend(got.batch)
            return answer

    def _make(self, port: int) -> ThreadingHTTPServer:
        ask: Callable[[Got], Say] = self._answer
        ended, held = self._ended, self._open

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._do()

            def do_POST(self) -> None:
                self._do()

            def _do(self) -> None:
                held.add(self.connection)
                length = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = ask(Got(self.command, self.path, headers, self.rfile.read(length)))
                if answer.hang:
                    ended.wait(60)
                if answer.hang or answer.reset:
                    self.close_connection = True
                    with suppress(OSError):
                        # No goodbye: the client sees a reset.
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        self.connection.close()
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def finish(self) -> None:
                held.discard(self.connection)
                with suppress(OSError, ValueError):
                    super().finish()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = False
            block_on_close = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        return Server(("127.0.0.1", port), Handler)

"""The web server around an application: in a thread of its own, on an address that is ours before it starts."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.errors import AddressTaken, ConfigError
from agent.runtime.signals import ended_by

STOP_SECONDS = 5
SIGNAL_SECONDS = 0.2
HEAD_SECONDS = 10.0
CONNECTIONS = 256


class Server:
    """A server that runs from `start` to `stop`, or as a context manager. Port 0 takes a free one; `option` is what a
    person chose it by."""

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0, option: str = "--port") -> None:
        self._option = option
        self._app = app
        self._address = (host, port)
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self.ended = threading.Event()

    def start(self) -> None:
        """Listen, then serve. Connections are taken from here on. Raises AddressTaken, ConfigError."""
        listening = listen(*self._address, self._option)
        self._address = listening.getsockname()[:2]
        config = uvicorn.Config(
            self._app,
            loop="asyncio",
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        server = self._server = uvicorn.Server(config)

        def run() -> None:
            try:
                server.run(sockets=[listening])
            finally:
                listening.close()
                self.ended.set()

        self._thread = threading.Thread(target=run, name=f"server:{self.port}", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._address[1]

    @property
    def url(self) -> str:
        host = self._address[0]
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def stop(self) -> None:
        """Answer what is being asked, at most STOP_SECONDS, and end. Idempotent."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(2 * STOP_SECONDS)
        self._thread = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class PatientProtocol(H11Protocol):
    """HTTP that does not wait for ever: a request's head must be whole HEAD_SECONDS after its first byte could come.

    uvicorn limits idle time between requests, and not the time that a head takes.
    """

    _impatient: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._at_ease()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._at_ease()
        elif self._impatient is None:
            self._expect()

    def _expect(self) -> None:
        self._impatient = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _at_ease(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _give_up(self) -> None:
        self._impatient = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def serve(app: ASGIApp, host: str, port: int, ready: Callable[[Server], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; `ready` is called once connections are taken. Main thread only.

    Raises AddressTaken, ConfigError.
    """
    server = Server(app, host, port)
    asked: list[None] = []
    with ended_by(lambda: asked.append(None)), server:
        ready(server)
        # A handler may not touch the event that its own thread waits on.
        while not asked and not server.ended.wait(SIGNAL_SECONDS):
            pass


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket; port 0 takes a free one. `option` is what a person chose the port by.

    Raises AddressTaken, ConfigError.
    """
    if not 0 <= port < 2**16:
        # The resolver would take the number modulo 2**16.
        raise ConfigError(
            f"{host}:{port} is no address to listen on.", f"A port ({option}) is a number from 0 to 65535."
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError, UnicodeError) as error:
        raise ConfigError(f"{host}:{port} is no address to listen on.", "Use --host 127.0.0.1.") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"Another program listens on {host}:{port}.",
                f"Stop it, or choose another one by {option} (0 takes a free one).",
            ) from error
        raise ConfigError(
            f"{host}:{port}: {error.strerror}.", f"Choose another address, or another port by {option}."
        ) from error
    return listening

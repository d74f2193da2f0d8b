"""The web server around an application: in a thread of its own, on an address that is ours before it starts."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from agent.errors import AddressTaken, ConfigError
from agent.runtime.signals import ended_by

STOP_SECONDS = 5
SIGNAL_SECONDS = 0.2


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
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
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

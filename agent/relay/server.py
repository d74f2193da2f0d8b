"""The relay's web servers: one door per device, all in one event loop in a thread of its own.

Every device is led to a port of its own, for the port is all that tells the devices apart: what comes through
`adb reverse` comes from the adb server, whichever the phone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import uvicorn

from agent.collector.server import CONNECTIONS, PatientProtocol, listen
from agent.errors import AgentError
from agent.relay.app import Relay, Tell, make_app
from agent.relay.batch import Enrich
from agent.relay.queue import Queue, open_queue
from agent.relay.upstream import ANSWER_SECONDS, Upstream, place

log = logging.getLogger(__name__)

STOP_SECONDS = 3
# As the app writes it, and as an emulator calls the host that it runs on.
HOSTS = ("localhost", "127.0.0.1", "[::1]", "10.0.2.2")


class RelayServer:
    """Runs from `start` to `stop`, or as a context manager. `open` and `check` may be called from any thread.

    `fault` is what ended it, "" unless it ended by itself.
    """

    def __init__(
        self,
        folder: Path,
        tell: Tell,
        *,
        upstream: str = "",
        enrich: Enrich | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Opens a queue below `folder`. Raises StorageError, ConfigError."""
        self._place = place(folder, upstream)
        # Before the queue is taken, and not in our thread: whoever calls is told what the environment names wrongly.
        self._upstream = Upstream(self._place, upstream, answer_seconds)
        self._tell = tell
        self._enrich = enrich
        self.queue: Queue = open_queue(self._place)
        self._doors: dict[str, socket.socket] = {}
        self._opening = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open_door: Callable[[str, socket.socket], None] | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self.ended = threading.Event()
        self.fault = ""
        self._relay: Relay | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    @property
    def counts(self) -> dict[str, int]:
        """What became of what came, by a word each."""
        return {} if self._relay is None else dict(self._relay.counts)

    def start(self) -> None:
        """Begin to send what an earlier run left. Nothing listens until `open`. Raises AgentError."""
        self._thread.start()
        self._ready.wait()
        if self.fault:
            self.queue.close()
        self.check()

    def check(self) -> None:
        """Raises AgentError when it has ended by itself."""
        if self.fault:
            raise AgentError(
                f"The relay ended by a fault of its own: {self.fault}.", "Start it again: what waits is on disk."
            )

    def open(self, door: str, host: str = "127.0.0.1", port: int = 0, option: str = "--port") -> int:
        """The host's port that is `door`'s, opened when there is none yet; `option` is what a person chose it by.

        Raises AddressTaken, ConfigError, and AgentError when nothing serves doors any more.
        """
        with self._opening:
            self.check()
            if self._loop is None or self._open_door is None:
                raise AgentError("The relay does not run.", "Start it again: what waits is on disk.")
            held = self._doors.get(door)
            if held is None:
                held = listen(host, port, option)
                self._doors[door] = held
                self._loop.call_soon_threadsafe(self._open_door, door, held)
            return int(held.getsockname()[1])

    def stop(self) -> None:
        """Answer what is being asked, at most STOP_SECONDS, and end; what waits stays on disk. Idempotent."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(stopping.set)
            self._thread.join(4 * STOP_SECONDS)
        self.queue.close()

    def __enter__(self) -> RelayServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            log.exception("the relay ended by a fault of its own")
            self.fault = _words(error)
        finally:
            self.ended.set()
            self._ready.set()

    async def _serve(self) -> None:
        relay = self._relay = Relay(self.queue, self._upstream, self._tell, self._enrich)
        stopping = self._stopping = asyncio.Event()
        servers: list[uvicorn.Server] = []
        try:
            async with asyncio.TaskGroup() as lanes, asyncio.TaskGroup() as doors:

                def open_door(door: str, listening: socket.socket) -> None:
                    server = uvicorn.Server(_config(relay, door))
                    servers.append(server)
                    doors.create_task(server.serve(sockets=[listening]), name=f"door:{door}")

                self._open_door = open_door
                self._loop = asyncio.get_running_loop()
                relay.begin(lanes)
                self._ready.set()
                await stopping.wait()
                relay.end()
                for server in servers:
                    server.should_exit = True
        finally:
            with self._opening:
                # From here on no door is opened that nobody would close.
                self._loop = None
                for listening in self._doors.values():
                    listening.close()
            await self._upstream.aclose()


def _words(error: BaseException) -> str:
    """What went wrong, in a few words; of what a group of tasks raised, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__


def _config(relay: Relay, door: str) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(relay, door, HOSTS),
        loop="asyncio",
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )

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
from agent.relay.app import Relay, Tell, make_app
from agent.relay.batch import Enrich
from agent.relay.queue import Queue, open_queue
from agent.relay.upstream import ANSWER_SECONDS, Upstream, place

log = logging.getLogger(__name__)

START_SECONDS = 10.0
STOP_SECONDS = 3
# As the app writes it, and as an emulator calls the host that it runs on.
HOSTS = ("localhost", "127.0.0.1", "[::1]", "10.0.2.2")


class RelayServer:
    """Runs from `start` to `stop`, or as a context manager. `open` and `port` may be called from any thread."""

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
        self._upstream = upstream
        self._answer_seconds = answer_seconds
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
        self._relay: Relay | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    @property
    def counts(self) -> dict[str, int]:
        """What became of what came, by a word each."""
        return {} if self._relay is None else dict(self._relay.counts)

    def start(self) -> None:
        """Begin to send what an earlier run left. Nothing listens until `open`."""
        self._thread.start()
        self._ready.wait(START_SECONDS)

    def open(self, door: str, host: str = "127.0.0.1", port: int = 0, option: str = "--port") -> int:
        """The host's port that is `door`'s, opened when there is none yet; `option` is what a person chose it by.

        Raises AddressTaken, ConfigError.
        """
        with self._opening:
            held = self._doors.get(door)
            if held is None:
                held = listen(host, port, option)
                self._doors[door] = held
                assert self._loop is not None
                assert self._open_door is not None
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
        except Exception:
            log.exception("the relay ended by a fault of its own")
        finally:
            self.ended.set()

    async def _serve(self) -> None:
        upstream = Upstream(self._place, self._upstream, self._answer_seconds)
        relay = self._relay = Relay(self.queue, upstream, self._tell, self._enrich)
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
            self._loop = None
            await upstream.aclose()
            for listening in self._doors.values():
                listening.close()


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

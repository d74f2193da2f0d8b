"""One emulated phone: everything that outlives a connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.emulated.clock import DeviceClock
from bridge.emulated.faults import Faults
from bridge.emulated.files import FileTree
from bridge.emulated.profile import PROFILES, Profile
from bridge.emulated.program import Handler, Program, Writer

if TYPE_CHECKING:
    from bridge.emulated.logd import LogRing
    from bridge.emulated.world.world import World


@dataclass(slots=True)
class Process:
    """A running program, for `kill`, `pidof` and the fault "u2 dies"."""

    pid: int
    name: str
    task: asyncio.Future[int]
    command: str = ""
    killed: bool = False


class PipeWriter:
    """The sending half of a connection inside the phone; `drain` waits while the reader is full."""

    def __init__(self, peer: asyncio.StreamReader) -> None:
        self._peer = peer
        self._closing = False
        self._room = asyncio.Event()
        self._room.set()
        peer.set_transport(_Valve(self._room))

    def write(self, data: bytes) -> None:
        if not self._closing:
            self._peer.feed_data(data)

    async def drain(self) -> None:
        await self._room.wait()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._peer.feed_eof()


class _Valve(asyncio.Transport):
    """What a StreamReader pauses when it is full."""

    def __init__(self, room: asyncio.Event) -> None:
        super().__init__()
        self._room = room

    def pause_reading(self) -> None:
        self._room.clear()

    def resume_reading(self) -> None:
        self._room.set()


class Cable(Protocol):
    """What the phone can do to its own connection."""

    def drop(self) -> None:
        """Cut all transports; the port stays open."""
        ...

    def reboot(self, down_s: float = 30.0, ntp_s: float = 5.0) -> None:
        """Go down for `down_s` seconds, come back in 1970, know the time `ntp_s` seconds later."""
        ...


class Phone:
    """The state of one phone and what its parts share. Belongs to the lab's event loop.

    `world` is what the default display shows, `second` another display's; they and `logd` are set by the lab before the
    phone is plugged in. `ports` maps "tcp:9008" or "localabstract:scrcpy" to a handler; a program that listens adds its
    entry and removes it in `finally`.
    `reverses` maps a device address to the host address of an `adb reverse`. `settings` is (namespace, key) -> value.
    `battery` is in per cent, `tenths` its temperature in tenths of a degree.
    `encoders` counts the video encoders in use. `gaps` lists what the host asked for and the phone has not: a test
    asserts that it stays empty.
    `on_shut_down` and `on_boot` run at a reboot.
    """

    world: World
    logd: LogRing
    second: World | None = None

    def __init__(
        self,
        name: str,
        profile: Profile = PROFILES["pixel7"],
        *,
        clock: DeviceClock | None = None,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.profile = profile
        self.clock = clock or DeviceClock()
        self.rng = random.Random(seed)
        self.faults = Faults()
        self.files = FileTree(self.clock, self.faults)
        self.props: dict[str, str] = profile.properties(name)
        self.settings: dict[tuple[str, str], str] = {}
        self.programs: dict[str, Program] = {}
        self.ports: dict[str, Handler] = {}
        self.reverses: dict[str, str] = {}
        self.gaps: list[str] = []
        self.processes: dict[int, Process] = {}
        self._shells: dict[int, str] = {}
        self.encoders = 0
        self.battery, self.tenths = 83, 287
        self.on_shut_down: list[Callable[[], None]] = []
        self.on_boot: list[Callable[[], None]] = []
        self.open_host: Callable[[str], Awaitable[tuple[asyncio.StreamReader, Writer]]] | None = None
        self.cable: Cable | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self.boot_id = ""
        self._next_pid = 1000
        self.new_boot_id()
        self._seed_files()

    def new_boot_id(self) -> None:
        self.boot_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    async def delay(self, name: str, extra: float = 0.0) -> None:
        """Spend the time that `name` costs on this model (see Profile.latencies), plus `extra` seconds."""
        seconds = self.profile.latency(name) + extra
        if seconds > 0:
            await asyncio.sleep(seconds * self.rng.uniform(0.9, 1.2))

    def spawn(self, name: str, task: asyncio.Future[int], command: str = "") -> Process:
        """Enter a running program in the process table. The caller removes it with `reap`."""
        self._next_pid += 1
        process = Process(self._next_pid, name, task, command or name)
        self.processes[process.pid] = process
        return process

    def reap(self, process: Process) -> None:
        self.processes.pop(process.pid, None)

    @contextlib.contextmanager
    def shell(self, command: str) -> Iterator[int]:
        """The process id of a shell that runs `command` for as long as the block."""
        self._next_pid += 1
        pid = self._next_pid
        self._shells[pid] = command
        try:
            yield pid
        finally:
            del self._shells[pid]

    def kill(self, name: str) -> int:
        """End every program called `name`; how many there were."""
        doomed = [p for p in self.processes.values() if p.name == name]
        for process in doomed:
            self.end(process)
        return len(doomed)

    def end(self, process: Process) -> None:
        """SIGKILL."""
        process.killed = True
        process.task.cancel()

    def shut_down(self) -> None:
        """All programs end, what lives in memory is gone. Files and settings stay."""
        for act in self.on_shut_down:
            act()
        for process in list(self.processes.values()):
            self.end(process)
        self.ports.clear()
        self.reverses.clear()
        self.props["sys.boot_completed"] = ""

    def boot(self) -> None:
        """A new boot: another boot id, clocks at 0, the wall clock in 1970."""
        self.clock.reboot()
        self.new_boot_id()
        self.props["sys.boot_completed"] = "1"
        for act in self.on_boot:
            act()

    async def connect(self, address: str) -> tuple[asyncio.StreamReader, Writer]:
        """What an app does to reach "tcp:7002": a port served on the phone, or one that `adb reverse` leads to the
        host. ConnectionRefusedError when there is neither."""
        remote = self.reverses.get(address)
        if remote is not None and self.open_host is not None:
            return await self.open_host(remote)
        handler = self.ports.get(address)
        if handler is None:
            raise ConnectionRefusedError(f"{self.name}: nothing listens on {address}")
        return self._loopback(handler)

    def _loopback(self, handler: Handler) -> tuple[asyncio.StreamReader, Writer]:
        near, far = asyncio.StreamReader(), asyncio.StreamReader()
        task = asyncio.ensure_future(handler(far, PipeWriter(near)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return near, PipeWriter(far)

    def _seed_files(self) -> None:
        tree = self.files
        for folder in ("/data/local/tmp", "/storage/emulated/0/Download", "/system/bin", "/proc/sys/kernel/random"):
            tree.mkdir(folder, parents=True)
        tree.link("/sdcard", "/storage/emulated/0")
        tree.serve("/proc/uptime", lambda: _uptime(self.clock.boot_ns()) + b" " + _uptime(self.clock.mono_ns()) + b"\n")
        tree.serve("/proc/sys/kernel/random/boot_id", lambda: f"{self.boot_id}\n".encode())
        tree.serve("/proc/version", lambda: b"Linux version 5.10.0-emulated\n")
        tree.serve_folders("/proc", self._process_files)
        tree.seal()

    def _process_files(self, name: str) -> dict[str, Callable[[], bytes]] | None:
        pid = int(name) if name.isdecimal() else 0
        if pid in self._shells:
            words = ["sh", "-c", self._shells[pid]]
        elif pid in self.processes:
            words = self.processes[pid].command.split(" ")
        else:
            return None
        return {"cmdline": lambda: "".join(f"{word}\0" for word in words).encode(errors="surrogateescape")}


def _uptime(clock_ns: int) -> bytes:
    """Seconds cut, not rounded, to hundredths (Linux fs/proc/uptime.c)."""
    seconds, hundredths = divmod(clock_ns // 10_000_000, 100)
    return b"%d.%02d" % (seconds, hundredths)

"""A lab of emulated phones: an event loop in a thread of its own, and a real adb server in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from bridge.emulated.adbd import Adbd
from bridge.emulated.clock import DeviceClock
from bridge.emulated.displays import SECOND
from bridge.emulated.faults import FaultSpec, parse_fault
from bridge.emulated.injection import Injector
from bridge.emulated.keys import Policy
from bridge.emulated.logd import LogRing
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES, Profile
from bridge.emulated.programs import PROGRAMS
from bridge.emulated.server import ForeignAdbServer, PrivateAdbServer
from bridge.emulated.world.analytics import Sent
from bridge.emulated.world.hazards import HAZARDS
from bridge.emulated.world.lively import LivelyWorld
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.world import TruthFrame, World
from bridge.errors import AdbServerError

T = TypeVar("T")

_CONNECT_SECONDS = 15.0
_CALL_SECONDS = 30.0
_TICK_SECONDS = 0.1
_SERVER_FAULTS = ("server-killed", "foreign-adb")


class Lab:
    """N phones behind a private adb server.

    `with Lab(devices=2) as lab:` starts it; `lab.port` is the server's, `lab.serials` what adb lists, `lab.phones` and
    `lab.adbds` belong to the loop: touch them through `call`. `faults` are texts of `faults.parse_fault` or values,
    for all phones, timed from the start. `scenario` is one for all, or one for each. `trust` is the policy for hosts'
    keys.
    """

    def __init__(
        self,
        devices: int = 1,
        *,
        scenario: str | Sequence[str] = "shop",
        profile: str | Profile = "small",
        seed: int = 1,
        autopilot: bool = True,
        faults: Sequence[str | FaultSpec] = (),
        port: int | None = None,
        trust: Policy = "accept",
    ) -> None:
        self._count = devices
        self._scenarios = [scenario] * devices if isinstance(scenario, str) else list(scenario)
        self._profile = PROFILES[profile] if isinstance(profile, str) else profile
        self._seed = seed
        self._autopilot = autopilot
        self._faults = [parse_fault(fault) if isinstance(fault, str) else fault for fault in faults]
        self._trust: Policy = trust
        self.server = PrivateAdbServer(port)
        self.phones: list[Phone] = []
        self.adbds: list[Adbd] = []
        self.injectors: list[Injector] = []
        self._past: dict[str, list[TruthFrame]] = {}
        self._past_sent: dict[str, list[Sent]] = {}
        self._foreign: ForeignAdbServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def serials(self) -> list[str]:
        return [adbd.address for adbd in self.adbds]

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find this lab and nothing else."""
        return self.server.environment

    @property
    def gaps(self) -> list[str]:
        """What hosts asked for and no phone has."""
        return [f"{phone.name}: {gap}" for phone in self.phones for gap in phone.gaps]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns when the phones are connected, or 3 s later when faults keep them away. Raises AdbServerError,
        ServerPortTaken, AdbMissing."""
        self.server.start()
        try:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="emulated-lab", daemon=True)
            self._thread.start()
            self.call(self._begin)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the phones, the loop, the thread and the server. May be called twice."""
        loop, self._loop = self._loop, None
        try:
            if loop is not None and self._thread is not None:
                asyncio.run_coroutine_threadsafe(self._end(), loop).result(_CALL_SECONDS)
                loop.call_soon_threadsafe(loop.stop)
                self._thread.join(_CALL_SECONDS)
                loop.close()
        finally:
            self.server.stop()

    @overload
    def call(self, act: Callable[[], Coroutine[Any, Any, T]], timeout: float = ...) -> T: ...

    @overload
    def call(self, act: Callable[[], T], timeout: float = ...) -> T: ...

    def call(self, act: Callable[[], Any], timeout: float = _CALL_SECONDS) -> Any:
        """Run a function, or a coroutine function, on the loop and wait for its result."""
        if self._loop is None:
            raise RuntimeError("the lab does not run")

        async def run() -> Any:
            value = act()
            return await value if asyncio.iscoroutine(value) else value

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout)

    def fault(self, fault: str | FaultSpec, device: int | None = None) -> None:
        """Start a fault now (its times count from now) on one phone, or on all."""
        spec = parse_fault(fault) if isinstance(fault, str) else fault

        def begin() -> None:
            self._inject(spec, self.injectors if device is None else [self.injectors[device]])

        self.call(begin)

    def heal(self, fault: str | FaultSpec, device: int | None = None) -> None:
        """End a fault now."""
        spec = parse_fault(fault) if isinstance(fault, str) else fault

        async def end() -> None:
            if spec.name in _SERVER_FAULTS:
                self._restore_server()
                return
            for injector in self.injectors if device is None else [self.injectors[device]]:
                await injector.end(spec)

        self.call(end)

    def truth(self) -> dict[str, list[TruthFrame]]:
        """What each phone's screen really showed, by serial."""

        def collect() -> dict[str, list[TruthFrame]]:
            return {adbd.address: [*self._past.get(adbd.address, []), *adbd.phone.world.truth()] for adbd in self.adbds}

        return self.call(collect)

    def sent(self) -> dict[str, list[Sent]]:
        """The events that each phone's app really sent, by serial."""

        def collect() -> dict[str, list[Sent]]:
            return {
                adbd.address: [*self._past_sent.get(adbd.address, []), *adbd.phone.world.sent()] for adbd in self.adbds
            }

        return self.call(collect)

    # On the loop

    async def _begin(self) -> None:
        for index in range(self._count):
            self._add(index)
        early = [spec for spec in self._faults if not spec.at and spec.name not in _SERVER_FAULTS]
        for spec in early:
            self._inject(spec, self.injectors)
        await asyncio.sleep(0)
        out = {spec.name for spec in early} & {"unplug", "reboot"}
        if not out:
            for adbd in self.adbds:
                await adbd.plug()
        waiting = list(self._tasks)
        for spec in self._faults:
            if spec not in early:
                self._inject(spec, self.injectors)
        connects = [task for task in waiting if task.get_name() == "connect"]
        if connects:
            await asyncio.wait(connects, timeout=3.0)

    def _add(self, index: int) -> None:
        phone = Phone(f"EMU{index + 1:05d}", self._profile, clock=DeviceClock(), seed=self._seed * 1000 + index)
        phone.logd = LogRing()
        phone.programs.update(PROGRAMS)
        phone.world = self._world(phone, index)
        phone.second = self._second(phone)
        adbd = Adbd(phone)
        adbd.trust.policy = self._trust
        adbd.on_plug.append(lambda: self._spawn(self._connect(adbd), "connect"))

        def boot() -> None:
            self._past.setdefault(adbd.address, []).extend(phone.world.truth())
            self._past_sent.setdefault(adbd.address, []).extend(phone.world.sent())
            phone.logd = LogRing()
            phone.world = self._world(phone, index)
            phone.second = self._second(phone)

        phone.on_boot.append(boot)
        self.phones.append(phone)
        self.adbds.append(adbd)
        self.injectors.append(Injector(adbd))
        adbd.start(self._drive(phone))

    def _world(self, phone: Phone, index: int) -> World:
        make = LivelyWorld if self._scenarios[index] in HAZARDS else World
        return make(
            phone.clock,
            self._profile.size,
            self._profile.density,
            self._scenarios[index],
            self._seed + index,
            lambda record: phone.logd.append(record),
            self._autopilot,
        )

    def _second(self, phone: Phone) -> World | None:
        """What the phone's second display shows: the same app, whose log is told once."""
        size = self._profile.second
        if size is None:
            return None
        world = World(phone.clock, size, self._profile.density, "idle", self._seed, autopilot=False)
        world.display = SECOND
        world.launch(PACKAGE)
        return world

    async def _drive(self, phone: Phone) -> None:
        """The worlds' heart: wake them when they are due."""
        while True:
            if not phone.clock.asleep:
                phone.world.tick()
                if phone.second is not None:
                    phone.second.tick()
            due = phone.world.next_due_ns()
            wait = _TICK_SECONDS if due is None else (due - phone.clock.boot_ns()) / 1e9
            await asyncio.sleep(min(max(wait, 0.001), _TICK_SECONDS))

    def _inject(self, spec: FaultSpec, injectors: Sequence[Injector]) -> None:
        if spec.name in _SERVER_FAULTS:
            self._spawn(self._break_server(spec), spec.name)
            return
        for injector in injectors:
            self._spawn(injector.run(spec), spec.name)

    async def _break_server(self, spec: FaultSpec) -> None:
        if spec.at:
            await asyncio.sleep(spec.at)
        self.server.kill()
        if spec.name == "foreign-adb":
            self._foreign = ForeignAdbServer(self.server.port)
            await self._foreign.start()
        if spec.duration is not None:
            await asyncio.sleep(spec.duration)
            self._restore_server()

    def _restore_server(self) -> None:
        if self._foreign is not None:
            self._foreign.close()
            self._foreign = None
        self.server.restart()

    async def _connect(self, adbd: Adbd) -> None:
        """`adb connect`: a no-op for a phone that the server still knows."""
        with contextlib.suppress(OSError, TimeoutError, AdbServerError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
                try:
                    request = f"host:connect:{adbd.address}".encode()
                    writer.write(b"%04x" % len(request) + request)
                    await reader.read()
                finally:
                    writer.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            for phone in self.phones:
                phone.gaps.append(f"crash in {task.get_name()}: {error!r}")

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._foreign is not None:
            self._foreign.close()
        for adbd in self.adbds:
            await adbd.close()
        # Let cancelled transports say goodbye before the loop ends.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

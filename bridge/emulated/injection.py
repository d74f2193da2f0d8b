"""Scripted faults at work: turns each on at its time and off at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import cast

from bridge.emulated.adbd import Adbd
from bridge.emulated.faults import FaultSpec, Screencap, U2Dump, U2Screenshot, Video
from bridge.emulated.logd import Record

_REBOOT_SECONDS = 30.0
_SUSPEND_SECONDS = 10.0
_STORM_STEP = 0.01
_STORM_LINES = (
    b"short line",
    b"x" * 4000,
    b"not utf-8: \xff\xfe\x80",
    bytes(range(1, 32)),
    "several\nlines, \N{SNOWMAN}".encode(),
    b"",
)


class Injector:
    """The faults of one phone. Belongs to the lab's event loop."""

    def __init__(self, adbd: Adbd) -> None:
        self._adbd = adbd
        self._phone = adbd.phone
        self._lasting: dict[str, asyncio.Task[None]] = {}

    async def run(self, spec: FaultSpec) -> None:
        """Wait for the time, turn the fault on, wait, turn it off."""
        if spec.at:
            await asyncio.sleep(spec.at)
        await self.begin(spec)
        if spec.duration is not None and spec.name != "reboot":
            await asyncio.sleep(spec.duration)
            await self.end(spec)

    async def begin(self, spec: FaultSpec) -> None:
        faults, clock = self._phone.faults, self._phone.clock
        match spec.name:
            case "unplug":
                self._adbd.unplug()
            case "flaky":
                self._adbd.drop()
                if spec.number:
                    self._last(spec, self._flaky(spec.number))
            case "offline":
                faults.offline = True
                self._adbd.drop()
            case "unauthorized":
                self._adbd.revoke()
            case "u2-dies":
                self._phone.kill("app_process")
            case "reboot":
                self._adbd.reboot(_REBOOT_SECONDS if spec.duration is None else spec.duration)
            case "log-storm":
                self._last(spec, self._storm(spec.number))
            case "clock-step":
                clock.step(spec.number)
            case "clock-drift":
                clock.set_drift(spec.number)
            case "suspend":
                self._last(spec, self._suspend(_SUSPEND_SECONDS if spec.duration is None else spec.duration))
            case "crash":
                self._phone.world.crash()
            case "native-crash":
                self._phone.world.crash_native()
            case "anr":
                self._phone.world.hang()
            case "low-memory":
                self._phone.world.run_out()
            case "screen-off":
                self._phone.world.switch(on=False)
            case "fold":
                cover = self._phone.profile.cover
                if cover is not None:
                    self._phone.world.fold(cover, shut=True)
            case "test-runner":
                self._phone.world.test(on=True)
            case "hang":
                faults.hang.add(spec.value)
            case "refuse":
                faults.refuse.add(spec.value)
            case _:
                self._set(spec, on=True)

    async def end(self, spec: FaultSpec) -> None:
        faults, clock = self._phone.faults, self._phone.clock
        match spec.name:
            case "unplug":
                await self._adbd.plug()
            case "unauthorized":
                self._adbd.trust.policy = "accept"
                self._adbd.authorise()
            case "offline":
                faults.offline = False
                self._adbd.drop()
            case "screen-off":
                self._phone.world.switch(on=True)
            case "fold":
                self._phone.world.fold(self._phone.profile.size, shut=False)
            case "test-runner":
                self._phone.world.test(on=False)
            case "hang":
                faults.hang.discard(spec.value)
            case "refuse":
                faults.refuse.discard(spec.value)
            case "clock-step":
                clock.step(-spec.number)
            case "clock-drift":
                clock.set_drift(0.0)
            case "flaky" | "log-storm" | "suspend":
                if (task := self._lasting.pop(spec.name, None)) is not None:
                    task.cancel()
            case _:
                self._set(spec, on=False)

    def _last(self, spec: FaultSpec, work: Coroutine[None, None, None]) -> None:
        """Run `work` until the fault ends; a second fault of the name takes the place of the first."""
        if (before := self._lasting.get(spec.name)) is not None:
            before.cancel()
        self._lasting[spec.name] = self._adbd.start(work)

    def _set(self, spec: FaultSpec, *, on: bool) -> None:
        faults = self._phone.faults
        value = spec.value if on else ""
        match spec.name:
            case "slow-shell":
                faults.slow_shell = spec.number if on else 0.0
            case "stop-acks":
                faults.stop_acks = on
            case "screencap":
                faults.screencap = cast(Screencap, value)
            case "video":
                faults.video = cast(Video, value)
            case "u2-stall":
                faults.u2_stall = spec.number if on else 0.0
            case "u2-taken":
                faults.u2_taken = on
            case "u2-screenshot":
                faults.u2_screenshot = cast(U2Screenshot, value)
            case "u2-dump":
                faults.u2_dump = cast(U2Dump, value)
            case "disk-full":
                faults.disk_full = on
            case "read-only":
                faults.read_only = on

    async def _flaky(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            self._adbd.drop()

    async def _suspend(self, seconds: float) -> None:
        self._phone.clock.suspend(seconds)
        asleep = list(self._adbd.connections)
        for connection in asleep:
            connection.pause(True)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._phone.clock.wake()
            for connection in asleep:
                connection.pause(False)

    async def _storm(self, lines_per_second: float) -> None:
        loop = asyncio.get_running_loop()
        start, count = loop.time(), 0
        while True:
            due = int((loop.time() - start) * lines_per_second)
            for number in range(count, due):
                self._shout(number)
            count = due
            await asyncio.sleep(_STORM_STEP)

    def _shout(self, count: int) -> None:
        phone = self._phone
        text = _STORM_LINES[count % len(_STORM_LINES)] + b" %d" % count
        priority = 3 + count % 5
        wall, mono = phone.clock.wall_ns(), phone.clock.mono_ns()
        phone.logd.append(Record(wall, mono, 4321, 4321, 10300, priority, "Storm", text))

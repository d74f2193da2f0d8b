"""Scripted faults at work: turns each on at its time and off at its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from bridge.emulated.adbd import Adbd
from bridge.emulated.faults import FaultSpec, Screencap, U2Dump, U2Screenshot
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

    async def run(self, spec: FaultSpec) -> None:
        """Wait for the time, turn the fault on, wait, turn it off."""
        if spec.at:
            await asyncio.sleep(spec.at)
        await self.begin(spec)
        if spec.duration is not None and spec.name not in ("reboot", "suspend"):
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
                    self._adbd.start(self._flaky(spec))
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
                self._adbd.start(self._storm(spec))
            case "clock-step":
                clock.step(spec.number)
            case "clock-drift":
                clock.set_drift(spec.number)
            case "suspend":
                self._adbd.start(self._suspend(_SUSPEND_SECONDS if spec.duration is None else spec.duration))
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
            case "hang":
                faults.hang.discard(spec.value)
            case "refuse":
                faults.refuse.discard(spec.value)
            case "clock-step":
                clock.step(-spec.number)
            case "clock-drift":
                clock.set_drift(0.0)
            case _:
                self._set(spec, on=False)

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

    async def _flaky(self, spec: FaultSpec) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(spec.duration):
                while True:
                    await asyncio.sleep(spec.number)
                    self._adbd.drop()

    async def _suspend(self, seconds: float) -> None:
        self._phone.clock.suspend(seconds)
        asleep = list(self._adbd.connections)
        for connection in asleep:
            connection.pause(True)
        await asyncio.sleep(seconds)
        for connection in asleep:
            connection.pause(False)

    async def _storm(self, spec: FaultSpec) -> None:
        loop = asyncio.get_running_loop()
        end = None if spec.duration is None else loop.time() + spec.duration
        due, count = 0.0, 0
        while end is None or loop.time() < end:
            due += spec.number * _STORM_STEP
            while count < due:
                self._shout(count)
                count += 1
            await asyncio.sleep(_STORM_STEP)

    def _shout(self, count: int) -> None:
        phone = self._phone
        text = _STORM_LINES[count % len(_STORM_LINES)] + b" %d" % count
        priority = 3 + count % 5
        wall, mono = phone.clock.wall_ns(), phone.clock.mono_ns()
        phone.logd.append(Record(wall, mono, 4321, 4321, 10300, priority, "Storm", text))

"""Many devices: who is attached, one pipeline each, one shared pool of workers."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

from agent.errors import AgentError, StorageError, worded
from agent.log import about
from agent.runtime.heap import give_back
from agent.runtime.lane import Workers, start_lane
from agent.runtime.pipeline import Pipeline
from agent.runtime.stage import Posted, Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Settings
from bridge.clock import HostClock
from bridge.errors import BridgeError, DeviceGone, DeviceUnauthorized
from bridge.registry import USABLE, Attached, Detached, Listed, Registry

log = logging.getLogger(__name__)

REWATCH_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
# A watch that lasted for longer was a good one.
LASTED_NS = 5_000_000_000
TIDY_SECONDS = 60.0
# States of a listed device that say why it is away, and the reason that its gap gets; the others pass by themselves.
TELLING = {
    "unauthorized": DeviceUnauthorized.__name__,
    **dict.fromkeys(("recovery", "sideload", "rescue", "bootloader", "no permissions"), DeviceGone.__name__),
}


class Supervisor:
    """Runs a pipeline for every wanted serial while `stop` is not set; one bad device never ends the others.

    `wanted` names the serials to record, or is empty for every device that is or comes attached.
    """

    def __init__(
        self,
        registry: Registry,
        clock: HostClock,
        settings: Settings,
        wanted: tuple[str, ...],
        make_stage: Callable[[DeviceStatus], Stage],
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._wanted = wanted
        self._make_stage = make_stage
        self._pipelines: dict[str, Pipeline] = {}
        self.statuses: dict[str, DeviceStatus] = {}

    def post(self, serial: str, item: Posted) -> bool:
        """Hand a device's upload, or a marker, to its pipeline; whether it has one. Any thread."""
        pipeline = self._pipelines.get(serial)
        if pipeline is not None:
            pipeline.post(item)
        return pipeline is not None

    async def run(self, stop: asyncio.Event) -> None:
        """Supervise until `stop`; then every open segment is sealed. Raises AgentError when storing fails."""
        loop = asyncio.get_running_loop()
        with Workers(os.cpu_count() or 2, thread_name_prefix="stage") as workers:
            async with asyncio.TaskGroup() as group:

                def record(serial: str) -> Pipeline:
                    status = self.statuses[serial] = DeviceStatus(serial)
                    stage = self._make_stage(status)
                    pipeline = Pipeline(
                        serial,
                        self._registry.open,
                        stage,
                        self._clock,
                        self._settings,
                        workers,
                        status,
                        self._registry.leave,
                    )
                    self._pipelines[serial] = pipeline
                    with about(status):
                        group.create_task(self._contained(pipeline, status, stop), name=f"pipeline:{serial}")
                    return pipeline

                def changed(event: Attached | Detached | Listed) -> None:
                    pipeline = self._pipelines.get(event.serial)
                    if isinstance(event, Listed):
                        if pipeline is not None and event.state in TELLING:
                            pipeline.explain(TELLING[event.state], event.why)
                        if event.state == USABLE:
                            log.warning("%s is not recorded by itself: %s", event.serial, event.why)
                    elif isinstance(event, Detached):
                        if pipeline is not None:
                            pipeline.attached.clear()
                    elif not self._wanted or event.serial in self._wanted:
                        (pipeline or record(event.serial)).attached.set()

                for serial in self._wanted:
                    record(serial)

                def tell(event: Attached | Detached | Listed) -> None:
                    loop.call_soon_threadsafe(changed, event)

                group.create_task(_tidy(stop, workers), name="tidy")
                await self._watch(stop, tell)

    async def _contained(self, pipeline: Pipeline, status: DeviceStatus, stop: asyncio.Event) -> None:
        """Run a pipeline; what is wrong with one device ends its recording, and the others go on. What ends all of them
        is an error of the storage that they share, or of the only one."""
        try:
            await pipeline.run(stop)
        except StorageError:
            raise
        except Exception as error:
            if all(other is status or other.state == "failed" for other in self.statuses.values()):
                raise
            _tell_end(status, error)

    async def _watch(self, stop: asyncio.Event, tell: Callable[[Attached | Detached | Listed], None]) -> None:
        """Follow attach and detach; a watch that breaks (the adb server went away) is started again."""

        def watch() -> None:
            for event in self._registry.watch(frozenset(self._wanted)):
                tell(event)

        stopping = asyncio.create_task(stop.wait())
        lane: asyncio.Future[None] | None = None
        broken = 0
        try:
            while not stop.is_set():
                began_ns = self._clock.now().mono_ns
                lane = start_lane("watch", watch)
                ends: list[asyncio.Future[Any]] = [lane, stopping]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    break
                error = lane.exception()
                if isinstance(error, BridgeError):
                    log.warning("adb tells of no devices: %s", error)
                    for pipeline in self._pipelines.values():
                        pipeline.explain(type(error).__name__, str(error))
                    lasted = self._clock.now().mono_ns - began_ns > LASTED_NS
                    broken = 0 if lasted else min(broken + 1, len(REWATCH_SECONDS) - 1)
                    await asyncio.wait({stopping}, timeout=REWATCH_SECONDS[broken])
                else:
                    lane.result()
        finally:
            stopping.cancel()
            self._registry.close()
            if lane is not None:
                # Asked for, so that asyncio does not print why a watch ended that nobody needs any more.
                await asyncio.wait({lane})
                lane.exception()


def _tell_end(status: DeviceStatus, error: Exception) -> None:
    status.state, status.problem = "failed", f"{error} Its recording has ended; start again to try again."
    if isinstance(error, (AgentError, BridgeError)):
        log.error("the recording of %s has ended: %s", status.serial, worded(error))
    else:
        log.error("the recording of %s has failed", status.serial, exc_info=error)


async def _tidy(stop: asyncio.Event, workers: Workers) -> None:
    """Once in a while, memory that is free goes back to the system."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(TIDY_SECONDS):
                await stop.wait()
        except TimeoutError:
            await asyncio.get_running_loop().run_in_executor(workers, give_back)

"""One device from attach to detach and back: opens it, runs its lanes, feeds its stage, closes it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from agent.analytics import lifecycle
from agent.analytics.drivers import Drivers
from agent.model import Looked, Loss, Snapshot
from agent.replay.motion import slowed
from agent.runtime.capture import PAUSED_SECONDS, CaptureLoop
from agent.runtime.channel import Channel, ChannelClosed
from agent.runtime.lane import start_lane
from agent.runtime.restarts import BRIEF_NS, BUDGET, Restarts
from agent.runtime.stage import Posted, Stage, StageItem
from agent.runtime.status import DeviceStatus
from agent.settings import Settings
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BridgeTimeout
from bridge.ports import Clock, Device
from bridge.types import Foreground, Gap, Hierarchy, LogEntry, Stamp

log = logging.getLogger(__name__)

OPEN_SECONDS = 40.0
LEAVE_SECONDS = 3.0
# A device that was away for so long and came back was plugged in anew by somebody.
REPLUGGED_SECONDS = 3.0
REST_STEP_SECONDS = 0.25
CALL_SECONDS = 5.0
CONTEXT_SECONDS = 2.0
# A question about what is in front costs the phone up to 300 ms.
CONTEXT_LEAST_SECONDS = 1.0
CLOCK_SECONDS = 20.0
ADVANCE_SECONDS = 0.5
SOURCE_SECONDS = 0.2
# How long before the streams break a cause may be told that is the cause of that.
CAUSE_NS = 2_000_000_000
CHANNEL_ITEMS = 512
POSTED_ITEMS = 4096


class Pipeline:
    """Records one serial until `stop`, over any number of losses; each loss becomes a gap of the same recording.

    Runs as one task of the loop. Threads: `log`, `touch`, `screen`, `capture` and `context` lanes per open device;
    the stage runs on the shared `workers`, one call at a time.
    """

    def __init__(
        self,
        serial: str,
        open_device: Callable[[str, Deadline], Device],
        stage: Stage,
        clock: Clock,
        settings: Settings,
        workers: ThreadPoolExecutor,
        status: DeviceStatus,
        leave_device: Callable[[str, Deadline], None],
    ) -> None:
        self._serial = serial
        self._leave_device = leave_device
        self._open_device = open_device
        self._stage = stage
        self._clock = clock
        self._settings = settings
        self._workers = workers
        self._status = status
        self._last_entry: LogEntry | None = None
        self._drivers = Drivers()
        self._lost: tuple[Stamp, str, str] | None = None
        self._cause: tuple[Stamp, str, str] | None = None
        self._boot_id = ""
        self._posted: deque[Posted] = deque()
        self._unposted = 0
        self._restarts = Restarts()
        self.attached = asyncio.Event()

    def post(self, item: Posted) -> None:
        """What came by another way than the lanes; taken while the device is open. Any thread, never blocks."""
        if len(self._posted) < POSTED_ITEMS:
            self._posted.append(item)
        else:
            self._unposted += 1

    def explain(self, reason: str, detail: str) -> None:
        """Why the device is away, where somebody knows better than its broken streams say. Loop thread."""
        self._cause = self._clock.now(), reason, detail
        if self._status.state not in ("recording", "resting"):
            self._status.problem = detail

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set, then seal what is open. Raises AgentError when nothing can be stored any more."""
        loop = asyncio.get_running_loop()
        try:
            while not stop.is_set():
                self._status.state = "waiting for the device"
                await _either(self.attached, stop)
                if stop.is_set() or not self.attached.is_set():
                    # It may have come and gone before this task had its turn.
                    continue
                began_ns = self._clock.now().mono_ns
                try:
                    device = await self._open()
                except BridgeError as error:
                    if not stop.is_set():
                        self._note_loss("device", error)
                        await self._rest(stop)
                    continue
                if stop.is_set():
                    device.close()
                    continue
                await self._record(device, stop)
                if self._clock.now().mono_ns - began_ns > BRIEF_NS:
                    self._restarts.worked()
                elif not stop.is_set():
                    await self._rest(stop)
        finally:
            left = self._take_posted()
            gap = self._outage()
            if gap is not None:
                left.append(gap)
            try:
                await loop.run_in_executor(self._workers, self._stage.process, left)
                await loop.run_in_executor(self._workers, self._stage.finish)
            finally:
                # Also when nothing can be stored any more: the device is there.
                await self._leave()
                self._status.state = "stopped"

    async def _leave(self) -> None:
        """Undo what was changed on the device; what cannot be, the next run does."""
        try:
            await start_lane(f"leave:{self._serial}", lambda: self._leave_device(self._serial, Deadline(LEAVE_SECONDS)))
        except BridgeError as error:
            log.info("left as it is until the next run: %s", error)

    async def _open(self) -> Device:
        """Whoever stops the pipeline also ends what `open_device` waits for: a phone may hang."""
        self._status.state = "opening"
        opened: list[Device] = []
        await start_lane(
            f"open:{self._serial}", lambda: opened.append(self._open_device(self._serial, Deadline(OPEN_SECONDS)))
        )
        return opened[0]

    async def _rest(self, stop: asyncio.Event) -> None:
        """Wait for the next try after one that came to nothing."""
        seconds = self._restarts.failed(self._clock.now().mono_ns)
        if not self._restarts.used_up(self._clock.now().mono_ns):
            await _pause(stop, seconds)
            return
        self._status.state = "resting"
        self._status.problem = (
            f"{self._status.problem}; it was lost {BUDGET} times in five minutes, and is tried once a minute from now "
            "on. Take its cable out, wait a moment and plug it in again to go on at once."
        )
        log.warning("the device rests: %s", self._status.problem)
        until_ns = self._clock.now().mono_ns + int(seconds * 1e9)
        gone_ns: int | None = None
        while not stop.is_set() and (now_ns := self._clock.now().mono_ns) < until_ns:
            if not self.attached.is_set():
                gone_ns = now_ns if gone_ns is None else gone_ns
            elif gone_ns is not None and now_ns - gone_ns > REPLUGGED_SECONDS * 1e9:
                self._restarts.forget()
                return
            else:
                gone_ns = None
            await _pause(stop, REST_STEP_SECONDS)

    async def _record(self, device: Device, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        channel: Channel[StageItem] = Channel(loop, CHANNEL_ITEMS)
        if self._boot_id and device.info.boot_id not in ("", self._boot_id):
            self._drivers = Drivers()
        run = _Run(device, channel, self._clock, self._settings, self._last_entry, self._drivers, self._stage)
        consumer: asyncio.Task[None] | None = None
        stopping = asyncio.create_task(stop.wait())
        begun: list[asyncio.Future[Any]] = []
        try:
            # It asks the device: one that hangs must not hold a worker that all devices share.
            attaching = start_lane(f"attach:{self._serial}", lambda: self._stage.attach(device))
            begun.append(attaching)
            asked: list[asyncio.Future[Any]] = [attaching, stopping]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            if not attaching.done():
                run.stop()
            await attaching
            self._status.state = "recording"
            self._status.problem = ""
            info = device.info
            log.info(
                "recording %s: %s %s, Android %s, by %s",
                self._status.package, info.manufacturer, info.model, info.android, self._status.screen,
            )  # fmt: skip
            if info.services:
                log.warning("recorded with UiAutomation, which keeps %s from working", ", ".join(info.services))
            gap = self._outage(info.boot_id)
            if gap is not None:
                seconds = (gap.end.mono_ns - gap.start.mono_ns) / 1e9
                log.warning("the device is back after %.1f s: %s %s", seconds, gap.reason, gap.detail)
                await loop.run_in_executor(self._workers, self._stage.process, [gap])
            consumer = asyncio.create_task(self._consume(channel), name=f"stage:{self._serial}")
            # When it fails, at whatever moment, no lane may wait for room.
            consumer.add_done_callback(lambda _: channel.close())
            lanes = [
                start_lane(f"{name}:{self._serial}", work)
                for name, work in (
                    ("log", run.logs),
                    ("touch", run.touches),
                    ("screen", run.screen),
                    ("capture", run.capture),
                    ("context", run.context),
                )
            ]
            begun += lanes
            ends: list[asyncio.Future[Any]] = [*lanes, stopping, consumer]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            broke = self._clock.now()
            run.stop()
            await asyncio.wait(lanes)
            for lane in lanes:
                error = lane.exception()
                if isinstance(error, BridgeError) and not stop.is_set():
                    self._note_loss("device", error, broke)
                elif error is not None and not isinstance(error, BridgeError | ChannelClosed):
                    raise error
        except BridgeError as error:
            if not stop.is_set():
                self._note_loss("device", error)
        finally:
            stopping.cancel()
            run.stop()
            channel.close()
            # Whoever is cancelled has not asked yet how they ended.
            await asyncio.gather(*begun, return_exceptions=True)
            if consumer is not None:
                await consumer
            self._last_entry, self._drivers = run.last_entry, run.drivers

    async def _consume(self, channel: Channel[StageItem]) -> None:
        loop = asyncio.get_running_loop()
        advanced = self._clock.now()
        while True:
            try:
                async with asyncio.timeout(ADVANCE_SECONDS):
                    items = await channel.take()
            except TimeoutError:
                items = []
            else:
                if not items:
                    return
            items += self._take_posted()
            if items:
                await loop.run_in_executor(self._workers, self._stage.process, items)
            now = self._clock.now()
            # A log that never rests must not hold up what waits for its time to come; what is here already goes first.
            if channel.empty and now.mono_ns - advanced.mono_ns >= ADVANCE_SECONDS * 1e9:
                await loop.run_in_executor(self._workers, self._stage.advance, now)
                advanced = now

    def _take_posted(self) -> list[StageItem]:
        taken: list[StageItem] = [self._posted.popleft() for _ in range(len(self._posted))]
        if self._unposted:
            taken.append(Loss("relay", "uploads and markers while the device was away", self._unposted))
            self._unposted = 0
        return taken

    def _outage(self, boot_id: str = "") -> Gap | None:
        """The gap since the device was lost, under the best name of its cause; `boot_id` is that of its return."""
        lost, cause, before = self._lost, self._cause, self._boot_id
        self._lost, self._cause, self._boot_id = None, None, boot_id or before
        if lost is None:
            return None
        since, reason, detail = lost
        if before and self._boot_id != before:
            detail = "the device restarted"
        elif cause is not None and cause[0].mono_ns > since.mono_ns - CAUSE_NS:
            _, reason, detail = cause
        return Gap(since, self._clock.now(), "device", reason, detail)

    def _note_loss(self, stage: str, error: BridgeError, at: Stamp | None = None) -> None:
        # One cause breaks every stream.
        log.log(logging.WARNING if self._lost is None else logging.DEBUG, "%s lost: %s", stage, error)
        self._status.state = "lost"
        self._status.problem = str(error)
        if self._lost is None:
            self._lost = (at or self._clock.now(), type(error).__name__, error.detail)


class _Run:
    """The lanes' work on one open device; `stop` makes all of them return.

    `since` is the last log entry that an earlier one heard, `drivers` who was at work on the device then.
    """

    def __init__(
        self,
        device: Device,
        channel: Channel[StageItem],
        clock: Clock,
        settings: Settings,
        since: LogEntry | None,
        drivers: Drivers,
        stage: Stage,
    ) -> None:
        self._paused = stage.paused
        self._device = device
        self._channel = channel
        self._stopped = threading.Event()
        self._turned = threading.Event()
        # One snapshot at a time is on its way: a raw frame is 10 MB, and a late picture is worth less than a fresh one.
        self._free = threading.Semaphore(1)
        self._log = device.log(since)
        self._touch = device.touch()
        # A wireframe needs no pictures, and an app is disturbed least by none.
        self._screen = None if settings.capture.quality == "text" else device.screen()
        self._capture = CaptureLoop(
            self._screen, device.hierarchy(), clock, settings.capture, self._emit, stage.paused, stage.level,
            looked=lambda began: channel.put(Looked(began)), settling_ns=slowed(device.info.animations),
        )  # fmt: skip
        self._clock = clock
        # What the log says of before the first run is over and done with; what it said while the device was away, not.
        self._began = clock.now() if since is None else None
        self._aside = ""
        self.drivers = drivers
        self.last_entry = since
        self._give_way()

    def stop(self) -> None:
        """Wake every lane; idempotent, any thread."""
        self._stopped.set()
        self._turned.set()
        self._capture.stop()
        self._free.release()
        self._device.close()

    def logs(self) -> None:
        for item in self._log.entries():
            self._make_way(item)
            self._channel.put(item)
            if isinstance(item, LogEntry):
                self.last_entry = item
                if lifecycle.turns(item):
                    self._turned.set()

    def _make_way(self, item: LogEntry | Gap) -> None:
        """Step aside for a test runner that begins, before it asks for what we hold; who began before us has had it."""
        if isinstance(item, LogEntry):
            if self._began is None or item.stamp >= self._began:
                self.drivers.hear(item)
        elif item.stage == "log":
            # Who is at work may have said goodbye in it.
            self.drivers = Drivers()
        self._give_way()

    def _give_way(self) -> None:
        whom = ", ".join(self.drivers.holders)
        if whom != self._aside:
            self._aside = whom
            self._device.step_aside(whom)
            if whom:
                log.warning("stepped aside for %s, which needs UiAutomation: pictures stay covered until it ends", whom)

    def touches(self) -> None:
        unheard: Gap | None = None
        for item in self._touch.touches():
            paused = bool(self._paused())
            unheard = item if paused and isinstance(item, Gap) else None
            self._capture.touched(item)
            self._channel.put(item)
        # A device without a touch panel is recorded all the same. It says so once: in a pause that is counted, and no
        # part of a recording, which is told when it begins.
        while unheard is not None and not self._stopped.wait(PAUSED_SECONDS):
            if not self._paused():
                self._channel.put(replace(unheard, end=self._clock.now()))
                unheard = None
        self._stopped.wait()

    def screen(self) -> None:
        # A source that is asked for each picture has nothing to take in, until another one takes its place.
        while not self._stopped.is_set():
            if self._screen is not None:
                self._screen.run()
            self._stopped.wait(SOURCE_SECONDS)

    def capture(self) -> None:
        self._capture.run()

    def context(self) -> None:
        shown: Foreground | None = None
        next_clock_ns = self._clock.now().mono_ns
        while not self._stopped.is_set():
            asked = self._clock.now()
            try:
                # The rotation is needed all the time; which app is in front is nobody's business in a pause.
                found = self._device.foreground(Deadline(CALL_SECONDS))
                if not self._paused() and (shown is None or _facts(found) != _facts(shown)):
                    shown = found
                    self._channel.put(found)
                if self._clock.now().mono_ns >= next_clock_ns:
                    next_clock_ns = self._clock.now().mono_ns + int(CLOCK_SECONDS * 1e9)
                    self._channel.put(self._device.clock_fix(Deadline(CALL_SECONDS)))
            except BridgeTimeout as error:
                self._channel.put(Gap(asked, self._clock.now(), "context", type(error).__name__, error.detail))
            # Asked at a low rate, and again soon after the log says that something else may be in front.
            self._stopped.wait(CONTEXT_LEAST_SECONDS)
            if self._turned.wait(CONTEXT_SECONDS - CONTEXT_LEAST_SECONDS):
                # What the line said may be no longer so: the answer counts even if it is the one before.
                shown = None
            self._turned.clear()

    def _emit(self, item: Snapshot | Hierarchy | Gap) -> None:
        if isinstance(item, Snapshot):
            self._free.acquire()
            if self._stopped.is_set():
                return
            self._channel.put((item, self._masked))
        else:
            self._channel.put(item)

    def _masked(self, blocked: str) -> None:
        """Any thread."""
        self._capture.masked(blocked)
        self._free.release()


def _facts(state: Foreground) -> tuple[object, ...]:
    where = state.package, state.activity, state.user, state.rotation, state.size, state.density
    return *where, state.keyboard_shown, state.awake


async def _either(first: asyncio.Event, second: asyncio.Event) -> None:
    """Wait for one of two events."""
    waits = [asyncio.create_task(first.wait()), asyncio.create_task(second.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass

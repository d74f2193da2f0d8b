"""The devices of this host: each that is attached and well has a supervised worker, and no other has one."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from agent.errors import StorageError
from agent.farm.health import Health, HealthRecord, Limits
from agent.farm.job import MOST_TAGS, Outcome
from agent.farm.status import DeviceFacts, DeviceState
from agent.farm.work import now_ms
from bridge.errors import AdbServerError, BridgeError
from bridge.types import Condition

log = logging.getLogger(__name__)

HEALTH_SECONDS = 30.0
# One that does not tell what it is gets no jobs; it is asked again soon.
UNKNOWN_SECONDS = 2.0
TICK_SECONDS = 0.5
# A worker that ended by itself is started again, each time later, and at once again after it has held for a minute.
AGAIN_SECONDS, LATEST_SECONDS, HELD_SECONDS = 0.5, 60.0, 60.0
WATCH_AGAIN_SECONDS = 1.0
# How long jobs may take to end in order, what they have recorded delivered; then they are killed.
END_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Change:
    """A device came, went, or is there and cannot be used, for the reason `why`."""

    kind: Literal["attached", "detached", "unusable"]
    serial: str
    why: str = ""


class Devices(Protocol):
    """The devices that adb sees."""

    def watch(self) -> Iterator[Change]:
        """Blocks; first those that are there. Ends after `close`; raises BridgeError when adb's server goes away, all
        devices detached first."""

    def tags(self, serial: str) -> Sequence[str]:
        """What it is: its Android version, its model. Raises BridgeError."""

    def condition(self, serial: str) -> Condition:
        """How it is. Raises BridgeError."""

    def close(self) -> None: ...


class Worker(Protocol):
    """Takes jobs for one device until it is told to end. Any thread."""

    @property
    def ended(self) -> bool: ...
    @property
    def state(self) -> tuple[DeviceState, str, str]:
        """What it does, the job it does, why it does none."""

    def end(self, outcome: Outcome | None, reason: str) -> None:
        """Take no further job. The one that runs ends with this outcome, or when its command does for None."""

    def join(self, seconds: float) -> bool:
        """Whether it ends in time."""

    def kill(self) -> None:
        """End now, whatever becomes of the job."""


Start = Callable[[str, tuple[str, ...], Callable[[], None]], Worker]
Say = Callable[[str], None]


@dataclass(slots=True)
class _Slot:
    health: Health
    tags: tuple[str, ...] = ()
    known: bool = False
    attached: bool = False
    worker: Worker | None = None
    asked: bool = False
    began: float = 0.0
    failures: int = 0
    again: float = 0.0
    look: threading.Thread | None = None
    looked: float = field(default=-HEALTH_SECONDS)


class Rack:
    """Starts workers on attach, ends them on detach and in quarantine. `serve` belongs to one thread, the rest to any.

    `wanted` are serials, none = all. `start(serial, tags, ended)` starts a worker, which calls `ended` when it has.
    """

    def __init__(
        self,
        devices: Devices,
        wanted: Sequence[str],
        tags: Sequence[str],
        limits: Limits,
        record: HealthRecord,
        start: Start,
        say: Say,
        health_seconds: float = HEALTH_SECONDS,
    ) -> None:
        self._devices = devices
        self._wanted = frozenset(wanted)
        self._tags = tuple(tags)
        self._limits = limits
        self._record = record
        self._start = start
        self._say = say
        self._health_seconds = health_seconds
        self._slots: dict[str, _Slot] = {}
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def facts(self) -> tuple[DeviceFacts, ...]:
        """The devices that are attached, or still have a worker."""
        with self._lock:
            slots = [(serial, slot) for serial, slot in self._slots.items() if slot.attached or slot.worker is not None]
        found = []
        for serial, slot in slots:
            health, worker = slot.health, slot.worker
            state, job, why = worker.state if worker is not None else ("starting", "", "")
            if health.resting and not job:
                state, why = "resting", health.resting
            found.append(
                DeviceFacts(
                    serial, state, slot.tags, job, why, len(health.offline_ms),
                    health.battery, health.temperature, health.free_bytes,
                )
            )  # fmt: skip
        return tuple(found)

    def stop(self) -> None:
        """Make `serve` end."""
        self._stopping.set()
        self._events.put(lambda: None)

    def kill(self) -> None:
        """End all workers now."""
        for worker in self._workers():
            worker.kill()

    def serve(self) -> None:
        """Run until `stop`; then jobs end with the outcome "stopped", and all workers with them."""
        watcher = threading.Thread(target=self._watch, name="farm:watch", daemon=True)
        watcher.start()
        try:
            while not self._stopping.is_set():
                with contextlib.suppress(queue.Empty):
                    self._events.get(timeout=TICK_SECONDS)()
                self._settle()
        finally:
            self._devices.close()
            workers = self._workers()
            for worker in workers:
                worker.end("stopped", "the host was stopped")
            until = time.monotonic() + END_SECONDS
            for worker in workers:
                if not worker.join(max(0.0, until - time.monotonic())):
                    worker.kill()
            watcher.join()
            for slot in self._slots.values():
                if slot.look is not None:
                    slot.look.join()

    def _workers(self) -> list[Worker]:
        with self._lock:
            return [slot.worker for slot in self._slots.values() if slot.worker is not None]

    # On its own thread

    def _watch(self) -> None:
        told = ""
        while not self._stopping.is_set():
            try:
                for change in self._devices.watch():
                    told = ""
                    self._events.put(lambda change=change: self._changed(change))  # type: ignore[misc]
            except BridgeError as error:
                # Said once: it is tried every second.
                if str(error) != told:
                    told = str(error)
                    what = "adb's server is away" if isinstance(error, AdbServerError) else "adb cannot be asked"
                    self._events.put(lambda words=f"{what}: {error}. It is tried again.": self._say(words))  # type: ignore[misc]
            self._stopping.wait(WATCH_AGAIN_SECONDS)

    def _look(self, serial: str, known: bool) -> None:
        tags, condition = None, Condition()
        try:
            if not known:
                tags = tuple(self._devices.tags(serial))
            condition = self._devices.condition(serial)
        except BridgeError as error:
            log.info("a device does not tell how it is: %s", error)
        self._events.put(lambda: self._looked(serial, tags, condition))

    # On the thread of `serve`

    def _changed(self, change: Change) -> None:
        serial = change.serial
        if self._wanted and serial not in self._wanted:
            return
        if change.kind == "unusable":
            self._say(f"{serial} cannot be used: {change.why}")
            return
        slot = self._slots.get(serial)
        if slot is None:
            with self._lock:
                slot = self._slots[serial] = _Slot(self._record.load(serial))
        if change.kind == "attached" and not slot.attached:
            slot.attached, slot.known, slot.failures, slot.again = True, False, 0, 0.0
            slot.looked = -self._health_seconds
            # Said anew: what it rested for before may be long ago.
            self._judge(serial, slot, replace(slot.health.attached(now_ms()), resting=""))
        elif change.kind == "detached" and slot.attached:
            slot.attached = False
            self._keep(slot, slot.health.detached(now_ms()))
            self._say(f"{serial} went away.")
            if slot.worker is not None:
                slot.asked = True
                slot.worker.end("device-lost", "the device went away")

    def _looked(self, serial: str, tags: tuple[str, ...] | None, condition: Condition) -> None:
        slot = self._slots[serial]
        slot.look = None
        if not slot.attached:
            return
        if tags is not None:
            slot.tags = tuple(dict.fromkeys((*self._tags, *tags)))[:MOST_TAGS]
            slot.known = True
        elif not slot.known:
            slot.looked = time.monotonic() - self._health_seconds + min(UNKNOWN_SECONDS, self._health_seconds)
        self._judge(serial, slot, slot.health.measured(condition.battery, condition.temperature, condition.free_bytes))

    def _judge(self, serial: str, slot: _Slot, health: Health) -> None:
        judged = health.judged(self._limits, now_ms())
        if judged.resting and (judged.resting != slot.health.resting or not health.resting):
            self._say(f"{serial} rests: {judged.resting}.")
        elif slot.health.resting and not judged.resting and health.resting:
            self._say(f"{serial} works again.")
        self._keep(slot, judged)

    def _keep(self, slot: _Slot, health: Health) -> None:
        if health == slot.health:
            return
        slot.health = health
        try:
            self._record.keep(health)
        except StorageError as error:
            log.warning("a device's health record cannot be written: %s", error)

    def _settle(self) -> None:
        now = time.monotonic()
        for serial, slot in list(self._slots.items()):
            worker = slot.worker
            if worker is not None and worker.ended:
                if not slot.asked:
                    slot.failures = 1 if now - slot.began > HELD_SECONDS else slot.failures + 1
                    slot.again = now + min(AGAIN_SECONDS * 2 ** (slot.failures - 1), LATEST_SECONDS)
                    self._say(f"The worker of {serial} has ended by itself; it is started again.")
                slot.worker, slot.asked = None, False
            if not slot.attached:
                continue
            if slot.look is None and now - slot.looked >= self._health_seconds:
                slot.looked = now
                slot.look = threading.Thread(
                    target=self._look, args=(serial, slot.known), name=f"farm:{serial}", daemon=True
                )
                slot.look.start()
            if slot.health.resting:
                if slot.worker is not None and not slot.asked:
                    slot.asked = True
                    slot.worker.end(None, slot.health.resting)
                # Time alone may heal it.
                self._judge(serial, slot, slot.health)
            elif slot.worker is None and slot.known and now >= slot.again:
                slot.began, slot.asked = now, False
                try:
                    slot.worker = self._start(serial, slot.tags, lambda: self._events.put(lambda: None))
                except OSError as error:
                    slot.failures += 1
                    slot.again = now + min(AGAIN_SECONDS * 2 ** (slot.failures - 1), LATEST_SECONDS)
                    self._say(f"The worker of {serial} cannot be started: {error}. It is tried again.")

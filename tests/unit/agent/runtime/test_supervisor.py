from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import pytest
from fakes.device import APP, FakeDevice
from fakes.lines import event_line
from fakes.wait import until_async

from agent.errors import AgentError, ConfigError, StorageFull
from agent.log import shown
from agent.model import SealedSegment
from agent.runtime import supervisor as module
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.runtime.supervisor import Supervisor
from agent.settings import Capture, Settings
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import AdbServerError, BridgeError, DeviceGone
from bridge.ports import Device
from bridge.registry import Attached, Detached, Listed
from bridge.types import Stamp

SETTINGS = Settings(capture=Capture(rate=20, touch_rate=20))
Change = Attached | Detached | Listed


class FakeRegistry:
    """The registry's watch and open, told by a test what is attached."""

    def __init__(self, now: Callable[[], Stamp]) -> None:
        self._now = now
        self._changes: queue.Queue[Change | BridgeError | None] = queue.Queue()
        self.watches = 0
        self.devices: dict[str, FakeDevice] = {}
        self.refused: set[str] = set()

    def watch(self, wanted: frozenset[str]) -> Iterator[Change]:
        self.watches += 1
        self.wanted = wanted
        while (change := self._changes.get()) is not None:
            if isinstance(change, BridgeError):
                raise change
            yield change

    def tell(self, change: Change | BridgeError) -> None:
        self._changes.put(change)

    def open(self, serial: str, deadline: Deadline) -> FakeDevice:
        if serial in self.refused:
            raise DeviceGone(serial, "open", "offline")
        numbers = count()
        device = self.devices[serial] = FakeDevice(serial, self._now)
        device.picture = lambda: next(numbers) % 250
        return device

    def leave(self, serial: str, deadline: Deadline) -> None:
        assert self.devices[serial].closed if serial in self.devices else True

    def close(self) -> None:
        self._changes.put(None)


class Bench:
    def __init__(self, wanted: tuple[str, ...] = ()) -> None:
        self.clock = HostClock()
        self.registry = FakeRegistry(self.clock.now)
        self.kept: list[SealedSegment] = []
        self.keep: Callable[[SealedSegment], None] = self.kept.append
        self.supervisor = Supervisor(self.registry, self.clock, SETTINGS, wanted, self.make_stage)

    def make_stage(self, status: DeviceStatus) -> Stage:
        return Stage(APP, SETTINGS, lambda sealed: self.keep(sealed), status, self.clock.now)

    def frames(self, serial: str) -> int:
        status = self.supervisor.statuses.get(serial)
        return status.frames if status else 0

    def attach(self, serial: str) -> None:
        self.registry.tell(Attached(serial))

    async def detach(self, serial: str) -> None:
        """The device goes away; seen by its pipeline on return, so that what is lost next is not opened again."""
        self.registry.tell(Detached(serial))
        pipeline = self.supervisor._pipelines[serial]
        await until_async(lambda: not pipeline.attached.is_set(), "the departure")

    def run(self, script: Callable[[], Awaitable[None]]) -> None:
        async def both() -> None:
            stop = asyncio.Event()

            async def scripted() -> None:
                try:
                    await script()
                finally:
                    stop.set()

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(self.supervisor.run(stop))
                group.create_task(scripted())

        asyncio.run(both())


def test_every_device_that_comes_is_recorded() -> None:
    bench = Bench()

    async def script() -> None:
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 2, "pictures of a")
        bench.attach("b")
        await until_async(lambda: bench.frames("b") >= 2, "pictures of b")
        for serial, device in bench.registry.devices.items():
            device.say(event_line(bench.clock.now(), 1_760_000_000_000, f"device-{serial}", f"m-{serial}"))
        await until_async(
            lambda: all(status.logs for status in bench.supervisor.statuses.values()), "the lines of both"
        )

    bench.run(script)
    assert {sealed.manifest.device_id for sealed in bench.kept} == {"device-a", "device-b"}
    assert {sealed.manifest.serial for sealed in bench.kept} == {"a", "b"}


def test_what_is_logged_says_of_which_device_and_session(capsys: pytest.CaptureFixture[str]) -> None:
    """Through tasks, lanes and the shared pool."""
    bench = Bench()

    async def script() -> None:
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 1, "pictures")
        bench.registry.devices["a"].say(event_line(bench.clock.now(), 1_760_000_000_000, "device-a", "m-1"))
        await until_async(lambda: bench.supervisor.statuses["a"].session_id is not None, "the session")

    with shown(4, form="json"):
        bench.run(script)
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    opened = next(record for record in records if record["message"].startswith("recording"))
    assert opened["serial"] == "a"
    sealed = next(record for record in records if "sealed" in record["message"])
    assert (sealed["serial"], sealed["recording"]) == ("a", "device-a/1760000000000")


def test_free_memory_goes_back_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr(module, "TIDY_SECONDS", 0.01)
    monkeypatch.setattr(module, "give_back", lambda: given.append(True))
    bench = Bench()

    async def script() -> None:
        await until_async(lambda: len(given) >= 2, "the second time")

    bench.run(script)


def test_only_wanted_devices_are_recorded() -> None:
    bench = Bench(("b",))

    async def script() -> None:
        bench.attach("a")
        bench.attach("b")
        await until_async(lambda: bench.frames("b") >= 1, "pictures of b")

    bench.run(script)
    assert list(bench.supervisor.statuses) == ["b"]
    assert bench.registry.wanted == {"b"}


def test_a_second_way_to_a_phone_is_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    async def script() -> None:
        bench.registry.tell(Listed("b", "device", "", "", 2, False, "It is the same phone as a."))
        bench.registry.tell(Listed("c", "offline", "", "", 3, False, "adb lost touch with it."))
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 1, "pictures")

    bench.run(script)
    assert list(bench.supervisor.statuses) == ["a"]
    told = [record.message for record in caplog.records if "by itself" in record.message]
    assert told == ["b is not recorded by itself: It is the same phone as a."]


def test_a_bad_device_does_not_hurt_the_others() -> None:
    bench = Bench()
    bench.registry.refused.add("bad")

    async def script() -> None:
        bench.attach("bad")
        bench.attach("good")
        await until_async(lambda: bench.frames("good") >= 3, "pictures of the good one")
        assert bench.supervisor.statuses["bad"].problem == "bad: open: offline"

    bench.run(script)


@pytest.mark.parametrize("error", [ConfigError("the app is not installed on it.", "Install it."), RuntimeError("odd")])
def test_what_is_wrong_with_one_recording_ends_that_one_only(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A device without the app, or one that sends what we do not understand."""
    bench = Bench()
    make_stage = bench.make_stage

    class Broken(Stage):
        def attach(self, device: Device) -> None:
            raise error

    def staged(status: DeviceStatus) -> Stage:
        if status.serial == "good":
            return make_stage(status)
        return Broken(APP, SETTINGS, lambda sealed: None, status, bench.clock.now)

    bench.supervisor._make_stage = staged

    async def script() -> None:
        bench.attach("good")
        await until_async(lambda: bench.frames("good") >= 1, "a picture")
        bench.attach("bad")
        statuses = bench.supervisor.statuses
        await until_async(lambda: "bad" in statuses and statuses["bad"].state == "failed", "the failure")
        frames = bench.frames("good")
        await until_async(lambda: bench.frames("good") >= frames + 2, "pictures of the good one")
        assert str(error) in bench.supervisor.statuses["bad"].problem

    bench.run(script)
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    # Only what nobody foresaw needs to be traced.
    assert (told[0].exc_info is None) == isinstance(error, ConfigError)
    assert not isinstance(error, ConfigError) or error.hint in told[0].getMessage()


@pytest.mark.parametrize("state", ["unauthorized", "recovery", "offline"])
def test_a_listed_device_says_why_it_is_away(state: str) -> None:
    bench = Bench()

    async def script() -> None:
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 1, "a picture")
        await bench.detach("a")
        bench.registry.devices["a"].lose()
        status = bench.supervisor.statuses["a"]
        await until_async(lambda: status.state == "waiting for the device", "the loss")
        before = status.problem
        bench.registry.tell(Listed("b", state, "", "", 1, False, "nobody asked"))
        bench.registry.tell(Listed("a", state, "", "", 2, False, f"it is {state}"))
        if state == "offline":
            # It passes by itself, so the words of the loss stay. What the registry tells comes in order.
            bench.attach("c")
            await until_async(lambda: "c" in bench.supervisor.statuses, "what comes after it")
            assert status.problem == before
        else:
            await until_async(lambda: status.problem == f"it is {state}", "the reason")

    bench.run(script)


def test_detach_waits_and_attach_goes_on() -> None:
    bench = Bench()

    async def script() -> None:
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 1, "a picture")
        first = bench.registry.devices["a"]
        await bench.detach("a")
        first.lose()
        await until_async(lambda: bench.supervisor.statuses["a"].state == "waiting for the device", "the loss")
        frames = bench.frames("a")
        bench.attach("a")
        await until_async(lambda: bench.frames("a") > frames, "a picture after the return")
        assert bench.registry.devices["a"] is not first

    bench.run(script)


def test_a_watch_that_breaks_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.runtime.supervisor.REWATCH_SECONDS", (0.01,))
    bench = Bench()

    async def script() -> None:
        bench.registry.tell(AdbServerError("", "track devices", "the server went away"))
        await until_async(lambda: bench.registry.watches == 2, "the second watch")
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 1, "a picture")

    bench.run(script)


def test_an_error_of_the_disk_ends_all() -> None:
    bench = Bench()

    def full(sealed: SealedSegment) -> None:
        raise StorageFull("No room is left.")

    bench.keep = full

    async def script() -> None:
        bench.attach("a")
        await until_async(lambda: bench.frames("a") >= 1, "a picture")
        bench.registry.devices["a"].say(event_line(bench.clock.now(), 5, "device-a", "m-1"))
        await until_async(lambda: bench.supervisor.statuses["a"].logs, "the line")
        bench.registry.devices["a"].say(event_line(bench.clock.now(), 60_005, "device-a", "m-2"))
        await asyncio.Event().wait()

    caught: list[BaseException] = []
    try:
        bench.run(script)
    except* AgentError as group:
        caught.append(group)
    assert caught

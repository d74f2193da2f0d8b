from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat

import pytest
from fakes.device import APP, FakeDevice
from fakes.lines import entry, event_line
from fakes.wait import until_async

from agent.analytics.gate import Gate
from agent.errors import AgentError, ConfigError, StorageFull
from agent.model import Draft, Loss, Relayed, SealedSegment
from agent.runtime import pipeline as pipeline_module
from agent.runtime.pipeline import Pipeline
from agent.runtime.stage import CALL_SECONDS, Stage, StageItem
from agent.runtime.status import DeviceStatus
from agent.settings import Capture, Settings
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import CaptureFailed, DeviceGone, DeviceUnauthorized
from bridge.ports import Device
from bridge.types import Gap, LogEntry, Stamp

SESSION = 1_760_000_000_123
SETTINGS = Settings(capture=Capture(rate=30, touch_rate=30))


class Bench:
    """One pipeline whose device a test makes, breaks and makes again."""

    def __init__(self, package: str | None = APP) -> None:
        self.clock = HostClock()
        self.kept: list[SealedSegment] = []
        self.drafts: list[Draft] = []
        self.keep: Callable[[SealedSegment], None] = self.kept.append
        self.status = DeviceStatus("fake-1")
        self.opened: list[FakeDevice] = []
        self.refusals: list[Exception] = []
        self.left: list[str] = []
        self.opening: Callable[[], object] = lambda: None
        self.panel = True
        self.hangs = False
        self.boot_id = "boot"
        self.numbers = count(1)
        self.picture = count()
        self.workers = ThreadPoolExecutor(2, thread_name_prefix="stage")
        self.stage = Stage(
            package, SETTINGS, lambda sealed: self.keep(sealed), self.status, self.clock.now, append=self.drafts.append
        )

    def open_device(self, serial: str, deadline: Deadline) -> Device:
        self.opening()
        if self.refusals:
            raise self.refusals.pop(0)
        device = FakeDevice(serial, self.clock.now)
        device.panel = self.panel
        device.hangs = self.hangs
        device.boot_id = self.boot_id
        device.picture = lambda: next(self.picture) % 250
        self.opened.append(device)
        return device

    def say_event(self, session: int = SESSION) -> None:
        self.opened[-1].say(event_line(self.clock.now(), session, "device-a", f"m-{next(self.numbers)}"))

    def run(self, script: Callable[[Pipeline, asyncio.Event], Awaitable[None]]) -> None:
        """Run the pipeline beside a script that ends by setting `stop` (or by the pipeline's own end)."""

        async def both() -> None:
            stop = asyncio.Event()
            pipeline = Pipeline(
                "fake-1",
                self.open_device,
                self.stage,
                self.clock,
                SETTINGS,
                self.workers,
                self.status,
                lambda serial, deadline: self.left.append(serial),
            )
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(pipeline.run(stop))
                group.create_task(self._scripted(script, pipeline, stop))

        failed: BaseException | None = None
        try:
            asyncio.run(both())
        except* AgentError as group:
            failed = group.exceptions[0]
        finally:
            self.workers.shutdown()
        # Not within the block: Python before 3.11.4 makes a group of what is raised there.
        if failed is not None:
            raise failed
        assert all(device.closed for device in self.opened)
        assert self.left == ["fake-1"]

    async def _scripted(
        self, script: Callable[[Pipeline, asyncio.Event], Awaitable[None]], pipeline: Pipeline, stop: asyncio.Event
    ) -> None:
        try:
            await script(pipeline, stop)
        finally:
            stop.set()


def test_records_until_stopped_and_seals_what_is_open() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= 3, "pictures")
        bench.say_event()
        await until_async(lambda: bench.status.logs >= 1, "the line")

    bench.run(script)
    (sealed,) = bench.kept
    assert sealed.manifest.session_id == SESSION
    assert sealed.manifest.reason == "stop"
    assert sealed.manifest.counts.frames >= 3
    assert bench.status.state == "stopped"


def test_a_log_that_never_rests_holds_up_nothing() -> None:
    bench = Bench()
    bench.picture = repeat(7)

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= 1, "a picture")
        bench.say_event()

        def written() -> bool:
            bench.opened[-1].say(entry(bench.clock.now(), "tick"))
            return "m-1" in repr([draft.events for draft in bench.drafts])

        await until_async(written, "the event to be written")

    bench.run(script)


def test_a_device_that_comes_and_goes_in_one_moment_is_waited_for_all_the_same() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await until_async(lambda: bench.status.state == "waiting for the device", "the pipeline")
        for _ in range(10):
            await asyncio.sleep(0)
        pipeline.attached.set()
        pipeline.attached.clear()
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.opened == []
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= 2, "pictures")

    bench.run(script)


def test_a_device_that_comes_back_goes_on_in_the_same_recording_with_a_gap() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= 2, "pictures")
        bench.say_event()
        await until_async(lambda: bench.status.logs >= 1, "the line")
        pipeline.attached.clear()
        bench.opened[0].lose("cable pulled")
        await until_async(lambda: bench.status.state == "waiting for the device", "the loss")
        frames = bench.status.frames
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= frames + 2, "pictures after the return")
        bench.say_event()
        await until_async(lambda: bench.status.logs >= 2, "the second line")

    bench.run(script)
    assert len(bench.opened) == 2
    assert bench.opened[0].closed
    first_line = bench.opened[1].since
    assert first_line is not None
    assert "m-1" in first_line.message
    assert {sealed.manifest.session_id for sealed in bench.kept} == {SESSION}
    text = b"".join(event for sealed in bench.kept for event in sealed.events)
    assert b"cable pulled" in text
    assert bench.status.gaps == 1
    assert bench.status.problem == ""


def _gaps(bench: Bench, stage: str = "device") -> list[tuple[str, str]]:
    """Reason and detail of a stage's gaps in what was kept."""
    payloads = [json.loads(event)["data"] for sealed in bench.kept for event in sealed.events]
    gaps = [data["payload"] for data in payloads if isinstance(data, dict) and data.get("tag") == "gap"]
    return [(gap["reason"], gap["detail"]) for gap in gaps if gap["stage"] == stage]


async def _until_lost(bench: Bench, pipeline: Pipeline) -> None:
    """Record an event, then lose the device."""
    pipeline.attached.set()
    await until_async(lambda: bench.status.frames >= 2, "pictures")
    lines = bench.status.logs
    bench.say_event()
    await until_async(lambda: bench.status.logs > lines, "the line")
    pipeline.attached.clear()
    bench.opened[-1].lose("the stream ended")
    await until_async(lambda: bench.status.state == "waiting for the device", "the loss")


async def _until_back(bench: Bench, pipeline: Pipeline) -> None:
    frames = bench.status.frames
    pipeline.attached.set()
    await until_async(lambda: bench.status.frames >= frames + 2, "pictures after the return")


def test_a_gap_has_the_cause_that_was_told_and_only_its_own() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await _until_lost(bench, pipeline)
        pipeline.explain("DeviceUnauthorized", "unlock it")
        assert bench.status.problem == "unlock it"
        await _until_back(bench, pipeline)
        await _until_lost(bench, pipeline)
        await _until_back(bench, pipeline)

    bench.run(script)
    assert _gaps(bench) == [("DeviceUnauthorized", "unlock it"), ("DeviceGone", "the stream ended")]


def test_a_loss_and_a_return_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await _until_lost(bench, pipeline)
        await _until_back(bench, pipeline)

    with caplog.at_level("WARNING", "agent.runtime.pipeline"):
        bench.run(script)
    lost, back = caplog.messages
    assert lost.startswith("device lost: ")
    assert back.startswith("the device is back after ")
    assert back.endswith(" s: DeviceGone the stream ended")


def test_a_cause_told_long_before_a_loss_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "CAUSE_NS", 0)
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.state == "recording", "the device")
        pipeline.explain("AdbServerError", "the server went away")
        assert bench.status.problem == ""
        await _until_lost(bench, pipeline)
        await _until_back(bench, pipeline)

    bench.run(script)
    assert _gaps(bench) == [("DeviceGone", "the stream ended")]


def test_a_restart_of_the_device_is_told_in_its_gap() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await _until_lost(bench, pipeline)
        bench.boot_id = "another"
        await _until_back(bench, pipeline)
        await _until_lost(bench, pipeline)
        await _until_back(bench, pipeline)

    bench.run(script)
    assert _gaps(bench) == [("DeviceGone", "the device restarted"), ("DeviceGone", "the stream ended")]


def test_a_device_that_does_not_come_back_leaves_a_gap_until_the_end() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await _until_lost(bench, pipeline)

    bench.run(script)
    assert _gaps(bench) == [("DeviceGone", "the stream ended")]


def test_a_device_that_will_not_open_is_tried_again() -> None:
    bench = Bench()
    bench.refusals = [DeviceUnauthorized("fake-1", "open", "not yet")]
    problems: list[str] = []

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.problem, "the refusal")
        problems.append(bench.status.problem)
        await until_async(lambda: bench.status.frames >= 1, "a picture")

    bench.run(script)
    assert problems == ["fake-1: open: not yet"]


def test_a_device_that_never_opens_rests_and_goes_on_when_it_is_plugged_in_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.runtime.restarts.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("agent.runtime.restarts.BUDGET", 5)
    monkeypatch.setattr("agent.runtime.pipeline.REPLUGGED_SECONDS", 60.0)
    monkeypatch.setattr("agent.runtime.pipeline.REST_STEP_SECONDS", 0.01)
    bench = Bench()
    bench.refusals = [DeviceGone("fake-1", "open", "no screen") for _ in range(5)]
    problems: list[str] = []

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.state == "resting", "the rest")
        problems.append(bench.status.problem)
        assert bench.refusals == []
        # A link that breaks for a moment is no reason to go on.
        pipeline.attached.clear()
        await asyncio.sleep(0.02)
        pipeline.attached.set()
        await asyncio.sleep(0.1)
        assert bench.status.state == "resting"
        monkeypatch.setattr("agent.runtime.pipeline.REPLUGGED_SECONDS", 0.0)
        pipeline.attached.clear()
        await asyncio.sleep(0.1)
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= 1, "a picture")
        assert bench.status.problem == ""

    bench.run(script)
    assert "no screen" in problems[0]
    assert "plug it in again" in problems[0]


def manager(stamp: Stamp, what: str) -> LogEntry:
    text = f"Force stopping {APP} appid=10123 user=0: {what}"
    return entry(stamp, text, "ActivityManager", 1000)


def test_it_makes_way_for_a_test_runner_that_begins_and_not_for_one_of_before() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        before = bench.clock.now()
        pipeline.attached.set()
        await until_async(lambda: bench.opened and bench.status.frames >= 1, "a picture")
        device = bench.opened[0]
        device.say(manager(before, "start instr"))
        device.say(manager(bench.clock.now(), "start instr"))
        await until_async(lambda: device.aside, "the way to be made")
        device.say(manager(bench.clock.now(), "finished inst"))
        await until_async(lambda: len(device.aside) == 2, "the end of it")
        device.say(manager(bench.clock.now(), "start instr"))
        device.say(Gap(before, before, "log", "overwritten"))
        await until_async(lambda: len(device.aside) == 4, "the end of what nobody knows")

    bench.run(script)
    assert bench.opened[0].aside == ["an instrumented test", "", "an instrumented test", ""]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_test_runner_is_made_way_for_until_it_ends_however_often_the_device_was_away(restarted: bool) -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.opened and bench.status.frames >= 1, "a picture")
        first = bench.opened[0]
        first.say(manager(bench.clock.now(), "start instr"))
        await until_async(lambda: first.aside, "the way to be made")
        # The clock of the phone is set: no line is missing.
        first.say(Gap(bench.clock.now(), bench.clock.now(), "clock", "clock set"))
        first.say(entry(bench.clock.now(), "something else"))
        await until_async(lambda: bench.status.logs, "the line")
        assert first.aside == ["an instrumented test"]
        if restarted:
            bench.boot_id = "another"
        first.lose()
        await until_async(lambda: len(bench.opened) == 2 and bench.status.state == "recording", "the device")
        second = bench.opened[1]
        if not restarted:
            assert second.aside == ["an instrumented test"]
            second.say(manager(bench.clock.now(), "finished inst"))
            await until_async(lambda: len(second.aside) == 2, "the end of it")

    bench.run(script)
    assert bench.opened[1].aside == ([] if restarted else ["an instrumented test", ""])


def test_single_failures_are_gaps_and_capture_goes_on() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.opened and bench.status.frames >= 1, "a picture")
        bench.opened[0].failing_pictures.append(CaptureFailed("fake-1", "screencap", "no buffer"))
        await until_async(lambda: bench.status.gaps == 1, "the gap")
        frames = bench.status.frames
        await until_async(lambda: bench.status.frames > frames, "the next picture")

    bench.run(script)
    assert len(bench.opened) == 1


def test_context_that_breaks_is_a_loss_of_the_device() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.opened and bench.status.frames >= 1, "a picture")
        bench.opened[0].foreground_error = DeviceGone("fake-1", "dumpsys", "transport closed")
        await until_async(lambda: len(bench.opened) == 2, "the device to be opened again")

    bench.run(script)
    assert bench.opened[0].closed


async def _into_another_session(bench: Bench, pipeline: Pipeline) -> None:
    """So far that the first session is sealed."""
    pipeline.attached.set()
    await until_async(lambda: bench.status.frames >= 1, "a picture")
    bench.say_event()
    await until_async(lambda: bench.status.logs >= 1, "the line")
    bench.say_event(SESSION + 60_000)


def test_a_full_disk_stops_the_recording_with_its_error() -> None:
    bench = Bench()

    def full(sealed: SealedSegment) -> None:
        raise StorageFull("No room is left.")

    bench.keep = full

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await _into_another_session(bench, pipeline)
        await until_async(lambda: bench.status.logs >= 2, "the second session")

    with pytest.raises(StorageFull):
        bench.run(script)
    # The device is there, whatever the disk says.
    assert bench.left == ["fake-1"]


def test_a_disk_that_turns_out_to_be_full_while_the_lanes_end_lets_them_end() -> None:
    bench = Bench()
    called, ending = threading.Event(), threading.Event()

    def full(sealed: SealedSegment) -> None:
        called.set()
        ending.wait(20)
        raise StorageFull("No room is left.")

    bench.keep = full

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await _into_another_session(bench, pipeline)
        await until_async(called.is_set, "the segment")
        # More than waits for the stage: the log's lane waits for room.
        for _ in range(2_000):
            bench.say_event(SESSION + 60_000)
        stop.set()
        await until_async(lambda: bench.opened[0].closed, "the lanes to be told")
        began.append(time.monotonic())
        ending.set()

    began: list[float] = []
    with pytest.raises(StorageFull):
        bench.run(script)
    # Not by the bench's own end of patience.
    assert time.monotonic() - began[0] < 15


def test_an_unknown_package_ends_the_recording_with_its_error() -> None:
    bench = Bench("com.example.absent")

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await stop.wait()

    with pytest.raises(ConfigError):
        bench.run(script)
    assert bench.opened[0].closed


def test_stop_while_waiting_for_the_device() -> None:
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        await until_async(lambda: bench.status.state == "waiting for the device", "the wait")

    bench.run(script)
    assert bench.opened == []


def _stopped_while_opening(bench: Bench) -> None:
    stopped = threading.Event()
    bench.opening = lambda: stopped.wait(20)

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.state == "opening", "the opening")
        stop.set()
        stopped.set()

    bench.run(script)


def test_a_stop_while_the_device_is_opened_is_no_loss_of_it(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.refusals = [DeviceGone("fake-1", "open", "closed by us")]
    _stopped_while_opening(bench)
    assert (bench.status.state, bench.status.problem, caplog.messages) == ("stopped", "", [])


def test_a_device_that_is_open_when_it_is_too_late_is_closed() -> None:
    bench = Bench()
    _stopped_while_opening(bench)
    assert [device.closed for device in bench.opened] == [True]
    assert bench.status.package == ""


def test_a_stop_ends_what_is_asked_of_a_device_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.hangs = True
    began: list[float] = []

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.opened and bench.opened[0].asked, "the question")
        began.append(time.monotonic())

    bench.run(script)
    # Not by the question's own deadline.
    assert time.monotonic() - began[0] < CALL_SECONDS / 2
    assert (bench.status.problem, caplog.messages) == ("", [])


def test_a_device_without_a_touch_panel_is_recorded_all_the_same() -> None:
    bench = Bench()
    bench.panel = False

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.gaps == 1, "the gap")
        frames = bench.status.frames
        await until_async(lambda: bench.status.frames >= frames + 2, "pictures")

    bench.run(script)
    assert len(bench.opened) == 1


class LeavesOut(Gate):
    """Not started yet; notes once something that is placed in a session is left out for that."""

    def __init__(self) -> None:
        super().__init__(auto_start=False)
        self.left_out = False

    def refusal(self, session_id: int) -> str:
        self.left_out = self.left_out or bool(self.closed)
        return super().refusal(session_id)


def test_that_touches_are_missing_is_told_in_a_pause_and_in_what_is_recorded_after_it() -> None:
    bench = Bench()
    bench.panel = False
    gate = LeavesOut()
    bench.stage = Stage(APP, SETTINGS, bench.kept.append, bench.status, bench.clock.now, gate=gate)

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.opened and bench.status.state == "recording", "the device")
        bench.say_event()
        await until_async(lambda: bench.status.gap_reasons, "the gap")
        assert bench.status.gap_reasons == {"touch: no touch panel": 1}
        await until_async(lambda: gate.left_out, "the pause to have taken it")
        gate.start()
        await until_async(lambda: bench.status.frames >= 2, "pictures")

    bench.run(script)
    assert ("no touch panel", "") in _gaps(bench, "touch")


def test_many_stops_and_starts_leave_no_thread() -> None:
    before = threading.active_count()
    for _ in range(10):
        bench = Bench()

        async def script(pipeline: Pipeline, stop: asyncio.Event, bench: Bench = bench) -> None:
            pipeline.attached.set()
            await until_async(lambda: bench.status.frames >= 1, "a picture")

        bench.run(script)
    assert threading.active_count() <= before + 1


def test_what_is_posted_reaches_the_stage_while_the_device_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "POSTED_ITEMS", 2)
    bench = Bench()
    bench.stage = Stage(APP, SETTINGS, lambda sealed: bench.keep(sealed), bench.status, bench.clock.now, relay=True)
    taken: list[object] = []
    process = bench.stage.process

    def noted(items: Iterable[StageItem]) -> None:
        given = list(items)
        taken.extend(item for item in given if isinstance(item, Relayed | Loss))
        process(given)

    monkeypatch.setattr(bench.stage, "process", noted)
    uploads = [Relayed(bench.clock.now(), {"type": "track", "messageId": str(number)}) for number in range(4)]

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        for item in uploads[:3]:
            pipeline.post(item)
        pipeline.attached.set()
        await until_async(lambda: len(taken) == 3, "what was posted before the device came")
        assert [*taken[:2]] == uploads[:2]
        assert taken[2] == Loss("relay", "uploads and markers while the device was away", 1)
        pipeline.post(uploads[3])
        stop.set()

    bench.run(script)
    assert taken[3:] == [uploads[3]]


def test_a_line_of_the_log_makes_it_ask_at_once_what_is_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "CONTEXT_LEAST_SECONDS", 0)
    monkeypatch.setattr(pipeline_module, "CONTEXT_SECONDS", 3600)
    bench = Bench()

    async def script(pipeline: Pipeline, stop: asyncio.Event) -> None:
        pipeline.attached.set()
        await until_async(lambda: bench.status.frames >= 2, "pictures")
        bench.say_event()
        device = bench.opened[0]
        await until_async(lambda: device.asked == 1, "the first question")
        device.activity = ".Pay"
        line = entry(bench.clock.now(), f"Displayed {APP}/.Pay: +12ms", "ActivityTaskManager", uid=1000)
        device.say(line)
        await until_async(lambda: device.asked == 2, "the second question")
        bench.say_event()
        await until_async(lambda: bench.status.logs >= 2, "the line")

    bench.run(script)
    told = [json.loads(event)["data"] for sealed in bench.kept for event in sealed.events if b'"tag":"app"' in event]
    assert [each["payload"]["activity"] for each in told][-2:] == [f"{APP}.Pay"] * 2

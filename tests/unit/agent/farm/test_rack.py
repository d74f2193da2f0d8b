from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.wait import until
from farming.plugged import WELL, Plugged

from agent.farm import rack as rack_module
from agent.farm.health import HealthRecord
from agent.farm.job import Outcome
from agent.farm.rack import Change, Rack
from agent.farm.status import DeviceState
from agent.settings import Farm
from bridge.errors import AdbServerError

LIMITS = Farm(quarantine_offline=2, quarantine_seconds=0.5)


class Idle:
    """A worker that does nothing until it is told to end."""

    def __init__(self, serial: str, tags: tuple[str, ...], told: Callable[[], None]) -> None:
        self.serial, self.tags, self._told = serial, tags, told
        self.asked: tuple[Outcome | None, str] | None = None
        self.state: tuple[DeviceState, str, str] = ("idle", "", "")
        self.patient = False
        self._over = threading.Event()

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    def end(self, outcome: Outcome | None, reason: str) -> None:
        self.asked = (outcome, reason)
        if not self.patient:
            self.finish()

    def finish(self) -> None:
        self._over.set()
        self._told()

    def join(self, seconds: float) -> bool:
        return self._over.wait(seconds)

    def kill(self) -> None:
        self.finish()


class Bed:
    def __init__(self, folder: Path, wanted: tuple[str, ...] = (), devices: Plugged | None = None) -> None:
        self.devices = devices or Plugged()
        self.started: list[Idle] = []
        self.said: list[str] = []
        self.refusals = 0
        self.rack = Rack(
            self.devices, wanted, ("rack",), LIMITS, HealthRecord(folder), self._start, self.said.append, 0.05
        )  # fmt: skip
        self._thread = threading.Thread(target=self.rack.serve)
        self._thread.start()

    def _start(self, serial: str, tags: tuple[str, ...], told: Callable[[], None]) -> Idle:
        if self.refusals:
            self.refusals -= 1
            raise OSError("no more processes")
        self.started.append(Idle(serial, tags, told))
        return self.started[-1]

    def close(self) -> None:
        self.rack.stop()
        self._thread.join()


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    monkeypatch.setattr(rack_module, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(rack_module, "TICK_SECONDS", 0.02)
    made = Bed(tmp_path)
    yield made
    made.close()


def test_a_device_that_comes_has_a_worker_with_its_tags(bed: Bed) -> None:
    bed.devices.plug("A1", "android-14", "rack")
    until(lambda: bed.started, "a worker")
    assert (bed.started[0].serial, bed.started[0].tags) == ("A1", ("rack", "android-14"))
    (facts,) = bed.rack.facts()
    assert (facts.state, facts.battery, facts.free_bytes) == ("idle", WELL.battery, WELL.free_bytes)
    bed.close()
    assert bed.started[0].asked == ("stopped", "the host was stopped")


def test_one_that_goes_ends_its_worker_and_the_next_begins_when_that_has_ended(bed: Bed) -> None:
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    first = bed.started[0]
    first.patient = True
    bed.devices.pull("A1")
    until(lambda: first.asked, "the worker to be told")
    assert first.asked is not None
    assert first.asked[0] == "device-lost"
    bed.devices.plug("A1", "again")
    until(lambda: bed.rack.facts()[0].tags == ("rack", "again"), "it to be known again")
    assert len(bed.started) == 1
    first.finish()
    until(lambda: len(bed.started) == 2, "the next worker")
    assert bed.rack.facts()[0].offline == 1


def test_a_worker_that_ends_by_itself_is_started_again(bed: Bed) -> None:
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    bed.started[0].finish()
    until(lambda: len(bed.started) == 2, "the next worker")
    assert any("started again" in said for said in bed.said)


def test_a_worker_that_cannot_be_started_is_tried_again(bed: Bed) -> None:
    bed.refusals = 2
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    assert len([said for said in bed.said if "cannot be started: no more processes" in said]) == 2


def test_one_that_is_unwell_rests_after_its_job_and_works_again(bed: Bed) -> None:
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    bed.started[0].patient = True
    bed.devices.conditions["A1"] = replace(WELL, temperature=50.0)
    until(lambda: bed.started[0].asked, "the worker to be told")
    # The running job is not cut short.
    assert bed.started[0].asked == (None, "its battery has 50.0 °C; it works again at 42 °C")
    until(lambda: bed.rack.facts()[0].state == "resting", "it to rest")
    bed.started[0].finish()
    bed.devices.conditions["A1"] = WELL
    until(lambda: len(bed.started) == 2, "it to work again")
    assert [said for said in bed.said if "rests" in said or "works again." in said][-1] == "A1 works again."


def test_one_that_keeps_going_away_rests_for_a_while(bed: Bed) -> None:
    for count in (1, 2):
        bed.devices.plug("A1")
        until(lambda: any(each.serial == "A1" and not each.ended for each in bed.started), "a worker")
        bed.devices.pull("A1")
        until(lambda count=count: len([said for said in bed.said if "went away." in said]) == count, "it to go")
    bed.devices.plug("A1")
    until(lambda: any("rests: it went away 2 times" in said for said in bed.said), "it to rest")
    until(lambda: any(not each.ended for each in bed.started), "it to work again")


def test_one_that_does_not_tell_how_it_is_works_all_the_same(bed: Bed) -> None:
    bed.devices.plug("A1")
    bed.devices.conditions.pop("A1", None)
    until(lambda: bed.started, "a worker")
    assert bed.rack.facts()[0].serial == "A1"


def test_one_that_cannot_be_used_is_told(bed: Bed) -> None:
    bed.devices.refuse("A1", "unlock it")
    until(lambda: bed.said == ["A1 cannot be used: unlock it"], "it to be told")
    assert bed.rack.facts() == ()


def test_only_those_wanted_have_workers(tmp_path: Path) -> None:
    bed = Bed(tmp_path, ("A2",))
    bed.devices.plug("A1")
    bed.devices.plug("A2")
    until(lambda: bed.started, "a worker")
    bed.close()
    assert [each.serial for each in bed.started] == ["A2"]


class Broken(Plugged):
    """adb's server is away at first."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0

    def watch(self) -> Iterator[Change]:
        self.tries += 1
        if self.tries < 3:
            raise AdbServerError("", "ask adb", "nobody listens")
        yield from super().watch()


def test_adbs_server_may_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rack_module, "WATCH_AGAIN_SECONDS", 0.01)
    bed = Bed(tmp_path, devices=Broken())
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    bed.close()
    assert len([said for said in bed.said if "adb's server is away" in said]) == 1


def test_a_worker_that_does_not_end_in_time_is_killed(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rack_module, "END_SECONDS", 0.1)
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    bed.started[0].patient = True
    bed.close()
    assert bed.started[0].asked == ("stopped", "the host was stopped")
    assert bed.started[0].ended


def test_kill_ends_workers_at_once(bed: Bed) -> None:
    bed.devices.plug("A1")
    until(lambda: bed.started, "a worker")
    bed.started[0].patient = True
    bed.rack.kill()
    assert bed.started[0].ended

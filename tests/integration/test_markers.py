"""Where the events' marks stand: within the bound that each states, beside the picture that shows its effect."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from fakes.recorder import Recorder

from agent.store.recording import Recording
from bridge.clock import HostClock
from bridge.emulated.lab import Lab

EVENTS = 14
OFFSET_S, DRIFT_PPM = 90.0, 50.0
# The host's wall clock may be slewed while we look, and this test's clock began at another time than the recorder's.
SLACK_MS = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A `segment:*` event of the replay, and the truth about it; all in ms of the host's wall clock.

    The app made the event within `made_ms` and a millisecond after, its effect was drawn at `drawn_ms`.
    """

    name: str
    at_ms: int
    bound_ms: float
    made_ms: float
    drawn_ms: float

    @property
    def off_ms(self) -> float:
        return max(self.made_ms - self.at_ms, self.at_ms - self.made_ms - 1, 0.0)


def marks(recording: Recording) -> dict[str, tuple[int, dict[str, Any]]]:
    """When each event is marked, and with what, by message id."""
    found = {}
    for manifest in recording.manifests():
        for line in recording.events(manifest.id):
            event = orjson.loads(line)
            if event["type"] == 5 and event["data"]["tag"].startswith("segment:"):
                found[event["data"]["payload"]["messageId"]] = event["timestamp"], event["data"]["payload"]
    return found


def enough(devices: list[Mapping[str, Any]]) -> bool:
    return any(device["events"] >= EVENTS for device in devices)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> list[Mark]:
    folder, host = tmp_path_factory.mktemp("markers"), HostClock()
    with Lab(1, profile="small", scenario="shop") as lab:
        clock = lab.phones[0].clock
        lab.call(lambda: clock.step(OFFSET_S))
        lab.call(lambda: clock.set_drift(DRIFT_PPM))
        base_ns, ahead_ns = lab.call(lambda: (time.monotonic_ns(), clock.truth_offset_ns()))
        recorder = Recorder(lab, folder)
        recorder.record([lambda: recorder.until(lambda: enough(recorder.devices()), "events", 80)])
        (sent,), (frames,) = lab.sent().values(), lab.truth().values()

    def host_ms(wall_ns: int) -> float:
        """An instant of the phone's wall clock on the host's, exactly."""
        since_ns = wall_ns - base_ns - ahead_ns
        mono_ns = base_ns + since_ns - round(since_ns * DRIFT_PPM / (1_000_000 + DRIFT_PPM))
        return host.at(mono_ns).wall_ms + mono_ns % 1_000_000 / 1e6

    drawn = [frame.wall_ns for frame in frames]
    found = marks(Recording.open(recorder.replays))
    result = []
    for event in sent:
        if event.message_id in found:
            at_ms, payload = found[event.message_id]
            effect_ns = drawn[min(bisect_left(drawn, event.wall_ms * 1_000_000), len(drawn) - 1)]
            made_ms = host_ms(event.wall_ms * 1_000_000)
            result.append(Mark(event.name, at_ms, payload["bound_ms"], made_ms, host_ms(effect_ns)))
    return result


def test_every_mark_is_within_its_stated_bound(marked: list[Mark]) -> None:
    assert len(marked) >= 10
    assert [mark for mark in marked if mark.off_ms > mark.bound_ms + SLACK_MS] == []


def test_the_bounds_are_worth_stating(marked: list[Mark]) -> None:
    assert _95th([mark.bound_ms for mark in marked]) < 50
    assert all(mark.bound_ms >= 1 for mark in marked)


def test_marks_stand_beside_the_picture_of_their_effect(marked: list[Mark]) -> None:
    assert _95th([abs(mark.at_ms - mark.drawn_ms) for mark in marked]) <= 50


def _95th(values: list[float]) -> float:
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]

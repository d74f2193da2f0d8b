"""A recording under the faults of real life: each is in it as a gap that names its cause, and pictures go on after it.

Several phones are recorded by one `attach`; each has its own faults, one after the other, started and ended by what the
recorder's control socket says about it.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes.recorder import SHOP, Recorder, recording
from fakes.wait import until

from agent.commands.attach import record
from agent.commands.rig import Wanted
from agent.settings import load
from agent.store.recording import Recording
from bridge.clock import HostClock
from bridge.emulated.lab import Lab
from bridge.errors import AdbServerError, BridgeError

# Pictures are asked for one by one.
SINGLE = {"capture.rate": 4.0, "capture.video": False}
# Between the moment of a fault and what the recorder's clock says about it.
SLACK_MS = 1500
CLOCK = HostClock()
LOST = ("DeviceGone", "AdbServerError", "ServiceRefused", "BridgeTimeout")


@dataclass(frozen=True)
class Step:
    """A fault (or several at once), and the reasons of which one must name it; none = the recording goes on over it."""

    faults: tuple[str, ...]
    reasons: tuple[str, ...]
    stages: tuple[str, ...] = ("device",)
    told: str = ""
    """What the person is told while the fault lasts, and what the gap says, too."""
    detail: str = ""


@dataclass(frozen=True)
class Seen:
    """A step as it went, wall clock in ms."""

    serial: str
    step: Step
    began_ms: int
    ended_ms: int


# A lost link opens the phone anew, so each bad picture meets the picture source that comes first.
BAD_PICTURES = tuple(
    step
    for kind, reason in (
        ("empty", "FrameMalformed"),
        ("truncated", "FrameMalformed"),
        ("wrong-size", "FrameMalformed"),
        ("black", "ScreenBlocked"),
    )
    for step in (Step((f"screencap={kind}",), (reason,), ("screen",)), Step(("flaky",), LOST))
)
# After the first the stream rests, until the phone is opened anew.
BAD_VIDEO = (
    Step(("video=dies",), ("CaptureFailed", "StreamRestarting"), ("screen",)),
    Step(("flaky",), LOST),
    Step(("video=cut",), ("CaptureFailed", "StreamRestarting", "FrameMalformed"), ("screen",)),
    Step(("flaky",), LOST),
    Step(("unplug",), LOST),
)
SCRIPTS: tuple[tuple[Step, ...], ...] = (
    (
        Step(("unplug",), LOST),
        Step(("unauthorized",), ("DeviceUnauthorized",), told="accept the question about USB debugging"),
        Step(("reboot@0:1",), LOST, detail="the device restarted"),
    ),
    BAD_PICTURES[:4],
    (*BAD_PICTURES[4:], Step(("screencap=garbage",), ())),
    (
        Step(("u2-stall=15",), ("BridgeTimeout",), ("hierarchy",)),
        # It is healed as soon as it is noticed: on a busy host that is when the server went, before it is refused.
        Step(("u2-taken", "u2-dies"), ("DeviceBusy", "CaptureFailed"), ("hierarchy",)),
        Step(("u2-dies",), ()),
    ),
    (
        Step(("hang=exec:screencap",), ("BridgeTimeout",), ("screen",)),
        Step(("log-storm=5000",), ()),
        Step(("clock-step=3600",), ("clock set",), ("clock",)),
        # Whatever is asked first of a phone that sleeps is what it does not answer.
        Step(("suspend@0:7",), LOST, ("screen", "hierarchy", "context", "device")),
    ),
)


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """No thread, socket, file or child of the block outlives it."""
    threads, files, children = set(threading.enumerate()), _files(), _children()
    yield
    until(lambda: set(threading.enumerate()) <= threads, "threads to end")
    until(lambda: _files() <= files, "files and sockets to be closed")
    assert _children() <= children


def test_every_fault_is_a_gap_and_pictures_go_on(tmp_path: Path) -> None:
    def conduct(index: int) -> list[Seen]:
        return [_step(lab, recorder, index, step) for step in SCRIPTS[index]]

    with nothing_left(), Lab(len(SCRIPTS), scenario="scroll") as lab:
        recorder = Recorder(lab, tmp_path, SINGLE)
        summary, seen = recorder.record([partial(conduct, index) for index in range(len(SCRIPTS))])
    assert summary["drained"]
    assert {device["state"] for device in summary["devices"]} == {"stopped"}
    gaps = _gaps(tmp_path / "replays")
    for one in (one for steps in seen for one in steps if one.step.reasons):
        assert any(_names(gap, one) for gap in gaps[one.serial]), f"no gap names {one}: {gaps[one.serial]}"


def test_every_fault_of_video_is_a_gap_and_pictures_go_on(tmp_path: Path) -> None:
    pytest.importorskip("av")

    def conduct() -> list[Seen]:
        return [_step(lab, recorder, 0, step) for step in BAD_VIDEO]

    with nothing_left(), Lab(scenario="scroll") as lab:
        recorder = Recorder(lab, tmp_path, {"capture.rate": 4.0})
        summary, (seen,) = recorder.record([conduct])
    assert summary["drained"]
    gaps = _gaps(tmp_path / "replays")
    for one in (one for one in seen if one.step.reasons):
        assert any(_names(gap, one) for gap in gaps[one.serial]), f"no gap names {one}: {gaps[one.serial]}"


def test_the_server_dies_and_the_phone_sleeps_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder starts another server and connects again; a phone that answers nothing does not delay its end."""

    def conduct() -> Seen:
        seen = _step(lab, recorder, 0, Step(("server-killed",), ("AdbServerError", *LOST)), heals=False)
        lab.fault("suspend@0:60")
        until(lambda: lab.call(lambda: lab.phones[0].clock.asleep), "the phone to sleep")
        return seen

    with nothing_left(), Lab(scenario="scroll") as lab:
        # What the lab's own server was started with, for the one that the recorder starts.
        for name, value in (lab.environment | {"ADB_USB": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553"}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        try:
            recorder = Recorder(lab, tmp_path, SINGLE)
            summary, (seen,) = recorder.record([conduct], (f"tcp:{lab.serials[0]}",), every=False)
            lab.heal("suspend")
        finally:
            with contextlib.suppress(BridgeError):
                lab.server.request("host:kill")
    assert summary["drained"]
    gaps = _gaps(tmp_path / "replays")[seen.serial]
    assert any(_names(gap, seen) for gap in gaps), gaps


def test_a_phone_by_two_ways_is_recorded_once_and_by_the_other_when_one_goes(tmp_path: Path) -> None:
    def conduct() -> list[str]:
        recorder.until(lambda: any(map(recording, recorder.devices())), "a recording")
        (first,) = (device["serial"] for device in recorder.devices())
        second = next(way for way in ways if way != first)
        before = recorder.device(first)
        recorder.wait(first, _more(before), "pictures by the first way")
        assert [device["serial"] for device in recorder.devices()] == [first]
        # The recorder lets the server connect again within a second.
        lab.server.request(f"host:disconnect:{first}")
        recorder.wait(second, recording, "a recording by the second way")
        before = recorder.device(second)
        recorder.wait(second, _more(before), "pictures by the second way")
        # The first is back by now, and waits.
        recorder.until(lambda: first in lab.server.request("host:devices"), "the first way")
        assert recorder.device(first)["state"] == "waiting for the device"
        return [first, second]

    with nothing_left(), Lab(scenario="scroll") as lab:
        ways = lab.serials[0], lab.serials[0].replace("127.0.0.1", "localhost")
        lab.server.request(f"host:connect:{ways[1]}")
        recorder = Recorder(lab, tmp_path, SINGLE)
        summary, (serials,) = recorder.record([conduct])
        assert lab.gaps == []
    assert summary["drained"]
    assert {device["serial"]: device["segments"] > 0 for device in summary["devices"]} == dict.fromkeys(serials, True)


def test_an_adb_server_of_another_version_is_left_alone(tmp_path: Path) -> None:
    def version() -> str:
        with contextlib.suppress(AdbServerError):
            return lab.server.request("host:version")
        return ""

    with nothing_left(), Lab() as lab:
        lab.fault("foreign-adb")
        until(lambda: version() == "0028", "the foreign server")
        settings = load({"spool": tmp_path / "spool", "adb.port": lab.port}).settings
        with pytest.raises(AdbServerError, match=r"unsupported: the adb server at .* is of version 40, not 41"):
            record(settings, Wanted(app=SHOP, sinks=(f"dir:{tmp_path / 'replays'}",)), duration=1)
        assert version() == "0028"
        lab.heal("foreign-adb")


def _step(lab: Lab, recorder: Recorder, index: int, step: Step, heals: bool = True) -> Seen:
    """Have a fault: begin when pictures come, end when it was noticed, wait until pictures come again."""
    serial = lab.serials[index]
    before = recorder.wait(serial, recording, f"a recording before {step}")
    before = recorder.wait(serial, _more(before), f"pictures before {step}")
    began_ms = CLOCK.now().wall_ms
    for fault in step.faults:
        lab.fault(fault, index)
    if step.reasons:
        recorder.wait(
            serial, lambda now: now["gaps"] > before["gaps"] or now["state"] != "recording", f"a notice of {step}"
        )
    else:
        recorder.wait(serial, _more(before, 4), f"pictures during {step}")
    if step.told:
        recorder.wait(serial, lambda now: step.told in now["problem"], f"words about {step}")
    if heals and "@" not in step.faults[0]:
        for fault in step.faults:
            lab.heal(fault, index)
    healed = recorder.device(serial)
    if step.reasons:
        recorder.wait(serial, lambda now: now["gaps"] > before["gaps"], f"a gap of {step}")
    recorder.wait(serial, lambda now: recording(now) and _more(healed)(now), f"pictures after {step}")
    return Seen(serial, step, began_ms, CLOCK.now().wall_ms)


def _more(before: Mapping[str, Any], pictures: int = 2) -> Callable[[Mapping[str, Any]], bool]:
    """Whether pictures came that are not blocked whole, as those without a view tree are."""
    return lambda now: now["frames"] - now["blocked"] >= before["frames"] - before["blocked"] + pictures


def _names(gap: Mapping[str, Any], one: Seen) -> bool:
    overlaps = gap["from_ms"] <= one.ended_ms + SLACK_MS and gap["to_ms"] >= one.began_ms - SLACK_MS
    named = gap["stage"] in one.step.stages and gap["reason"] in one.step.reasons
    return overlaps and named and one.step.told in gap["detail"] and one.step.detail in gap["detail"]


def _gaps(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The gaps of a recording by serial."""
    recording = Recording.open(folder)
    found: dict[str, list[dict[str, Any]]] = {}
    for manifest in recording.manifests():
        for line in recording.events(manifest.id):
            data = json.loads(line)["data"]
            if isinstance(data, dict) and data.get("tag") == "gap":
                found.setdefault(manifest.serial, []).append(data["payload"])
    return found


def _files() -> Counter[str]:
    """What this process holds open, by kind: sockets and pipes lose their numbers, files keep their names."""
    held: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held[str(descriptor.readlink()).split(":[")[0]] += 1
    return held


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

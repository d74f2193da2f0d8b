"""A recording under the faults of real life: each is in it as a gap that names its cause, and pictures go on after it.

Several phones are recorded by one `attach`; each has its own faults, one after the other, started and ended by what the
recorder's control socket says about it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.wait import until

from agent.commands.attach import record
from agent.runtime.control import ask
from agent.settings import load
from agent.store.recording import Recording
from bridge.emulated.lab import Lab

SHOP = "com.northbay.shop"
LONGEST_SECONDS = 50.0
END_SECONDS = 20.0
FAULT_SECONDS = 25.0
# Between the moment of a fault and what the recorder's clock says about it.
SLACK_MS = 1500.0
LOST = ("DeviceGone", "AdbServerError", "ServiceRefused", "BridgeTimeout")


@dataclass(frozen=True)
class Step:
    """A fault (or several at once), and the reasons of which one must name it; none = the recording goes on over it."""

    faults: tuple[str, ...]
    reasons: tuple[str, ...]
    stages: tuple[str, ...] = ("device",)


@dataclass(frozen=True)
class Seen:
    """A step as it went, wall clock in ms."""

    serial: str
    step: Step
    began_ms: float
    ended_ms: float


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
SCRIPTS: tuple[tuple[Step, ...], ...] = (
    (Step(("unplug",), LOST), Step(("unauthorized",), ("DeviceUnauthorized", *LOST)), Step(("reboot@0:1",), LOST)),
    (*BAD_PICTURES, Step(("screencap=garbage",), ())),
    (
        Step(("u2-stall=15",), ("BridgeTimeout",), ("hierarchy",)),
        Step(("u2-taken", "u2-dies"), ("DeviceBusy",), ("hierarchy",)),
        Step(("u2-dies",), ()),
    ),
    (
        Step(("hang=exec:screencap",), ("BridgeTimeout",), ("screen",)),
        Step(("log-storm=5000",), ()),
        Step(("clock-step=3600",), ()),
        # Whatever is asked first of a phone that sleeps is what it does not answer.
        Step(("suspend@0:7",), LOST, ("screen", "hierarchy", "context", "device")),
    ),
)


class Recorder:
    """What a running `record` says about itself, asked from other threads."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self.ended = threading.Event()

    def device(self, serial: str) -> Mapping[str, Any]:
        """The facts of a device; empty when there are none yet."""
        for path in self._spool.glob("*/control.sock"):
            for device in (ask(path, "status") or {}).get("devices", []):
                if device["serial"] == serial:
                    return device
        return {}

    def wait(self, serial: str, condition: Callable[[Mapping[str, Any]], bool], what: str) -> Mapping[str, Any]:
        """The first facts for which the condition holds."""
        found: dict[str, Any] = {}

        def holds() -> bool:
            assert not self.ended.is_set(), f"the recording ended before {serial}: {what}"
            found.update(self.device(serial))
            return bool(found) and condition(found)

        try:
            until(holds, what, FAULT_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; last seen: {found}") from None
        return found


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """No thread, socket, file or child of the block outlives it."""
    threads, files, children = set(threading.enumerate()), _files(), _children()
    yield
    until(lambda: set(threading.enumerate()) <= threads, "threads to end")
    until(lambda: _files() <= files, "files and sockets to be closed")
    assert _children() <= children


def test_every_fault_is_a_gap_and_pictures_go_on(tmp_path: Path) -> None:
    seen: list[Seen] = []
    failed: list[BaseException] = []
    stopped_at: list[float] = []
    recorder = Recorder(tmp_path / "spool")

    def conduct(index: int, serial: str, steps: tuple[Step, ...]) -> None:
        try:
            for step in steps:
                seen.append(_step(lab, recorder, index, serial, step))
        except BaseException as error:
            failed.append(error)

    def stop_after(conductors: list[threading.Thread]) -> None:
        for conductor in conductors:
            conductor.join()
        if not recorder.ended.is_set():
            stopped_at.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    with nothing_left(), Lab(len(SCRIPTS), profile="small") as lab:
        serials = lab.serials
        conductors = [
            threading.Thread(target=conduct, args=(index, serials[index], steps)) for index, steps in enumerate(SCRIPTS)
        ]
        closing = threading.Thread(target=stop_after, args=(conductors,))
        settings = load({"spool": tmp_path / "spool", "adb.port": lab.port, "capture.rate": 4.0}).settings
        for thread in (*conductors, closing):
            thread.start()
        try:
            summary = record(settings, (), True, SHOP, [f"dir:{tmp_path / 'replays'}"], LONGEST_SECONDS)
        finally:
            recorder.ended.set()
            for thread in (*conductors, closing):
                thread.join()
    assert not failed, failed
    assert time.monotonic() - stopped_at[0] < END_SECONDS
    assert summary["drained"]
    assert {device["state"] for device in summary["devices"]} == {"stopped"}
    gaps = _gaps(tmp_path / "replays")
    for one in seen:
        if one.step.reasons:
            named = [gap for gap in gaps[one.serial] if _names(gap, one)]
            assert named, f"no gap names {one}; there are {gaps[one.serial]}"


def _step(lab: Lab, recorder: Recorder, index: int, serial: str, step: Step) -> Seen:
    """Have a fault: begin when pictures come, end when it was noticed, wait until pictures come again."""
    before = recorder.wait(serial, _recording, f"a recording before {step}")
    before = recorder.wait(serial, _more(before), f"pictures before {step}")
    began_ms = time.time() * 1000
    for fault in step.faults:
        lab.fault(fault, index)
    by_itself = "@" in step.faults[0]
    if step.reasons:
        recorder.wait(
            serial, lambda now: now["gaps"] > before["gaps"] or now["state"] != "recording", f"a notice of {step}"
        )
    else:
        recorder.wait(serial, _more(before, 4), f"pictures during {step}")
    if not by_itself:
        for fault in step.faults:
            lab.heal(fault, index)
    healed = recorder.device(serial)
    if step.reasons:
        recorder.wait(serial, lambda now: now["gaps"] > before["gaps"], f"a gap of {step}")
    recorder.wait(serial, lambda now: _recording(now) and _more(healed)(now), f"pictures after {step}")
    return Seen(serial, step, began_ms, time.time() * 1000)


def _recording(now: Mapping[str, Any]) -> bool:
    return now["state"] == "recording" and now["session_id"] is not None


def _more(before: Mapping[str, Any], pictures: int = 2) -> Callable[[Mapping[str, Any]], bool]:
    """Whether pictures came that are not blocked whole, as those without a view tree are."""
    return lambda now: now["frames"] - now["blocked"] >= before["frames"] - before["blocked"] + pictures


def _names(gap: Mapping[str, Any], one: Seen) -> bool:
    overlaps = gap["from_ms"] <= one.ended_ms + SLACK_MS and gap["to_ms"] >= one.began_ms - SLACK_MS
    return overlaps and gap["stage"] in one.step.stages and gap["reason"] in one.step.reasons


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

"""What happens to an app on an emulated phone, as its recording tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fakes.recorder import Recorder, recording

from agent.replay.validator import validate
from agent.store.recording import Recording
from bridge.emulated.lab import Lab

TAGS = frozenset(("crash", "anr", "lowmemory", "process", "screen-state"))
# Each on a phone of its own, beside the others.
ENDS = {
    "crash": [("crash", "Crash"), ("process", "died")],
    "native-crash": [("crash", "Native crash"), ("process", "died")],
    "anr": [("anr", "Not responding"), ("process", "died")],
    "low-memory": [("lowmemory", "Killed for low memory"), ("process", "died")],
    "screen-off": [("screen-state", "Screen off"), ("screen-state", "Screen on")],
    "test-runner": [("gap", "injected touches are not seen")],
}
FAULT_SECONDS = 2.0
# Time for what should not be told.
AFTER_SECONDS = 2.0


def events(folder: Path, serial: str) -> list[dict[str, Any]]:
    found = Recording.open(folder)
    stored = [found.events(manifest.id) for manifest in found.manifests() if manifest.serial == serial]
    return [json.loads(event) for segment in stored for event in segment]


def told(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What is said of the app's life, in its order."""
    seen: list[tuple[int, str, str]] = []
    for event in found:
        tag, payload = event["data"].get("tag"), event["data"].get("payload", {})
        if tag in TAGS and payload.get("state") != "started":
            seen.append((event["timestamp"], tag, payload.get("state", "") if tag == "process" else payload["name"]))
        elif tag == "gap" and payload["stage"] == "touch":
            seen.append((event["timestamp"], tag, payload["reason"]))
    return [(tag, name) for _, tag, name in sorted(seen)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[dict[str, Any]]]:
    """The events of each phone's recording, by its fault."""
    folder = tmp_path_factory.mktemp("lifecycle")

    def conduct(index: int, fault: str) -> None:
        serial, pause = lab.serials[index], Event()
        recorder.wait(serial, recording, f"a recording before {fault}")
        lab.fault(fault, index)
        pause.wait(FAULT_SECONDS)
        if fault in ("screen-off", "test-runner"):
            lab.heal(fault, index)
        recorder.until(lambda: len(told(events(recorder.replays, serial))) >= len(ENDS[fault]), f"what {fault} leaves")
        pause.wait(AFTER_SECONDS)

    with Lab(len(ENDS), scenario="login") as lab:
        recorder = Recorder(lab, folder, {"replay.segment_seconds": 2.0})
        recorder.record([partial(conduct, index, fault) for index, fault in enumerate(ENDS)])
        assert lab.gaps == []
    stored = Recording.open(recorder.replays)
    for manifest in stored.manifests():
        assert validate(stored.events(manifest.id)) == []
    return {fault: events(recorder.replays, serial) for fault, serial in zip(ENDS, lab.serials, strict=True)}


@pytest.mark.parametrize("fault", ENDS)
def test_each_end_of_an_app_is_in_its_recording(fault: str, recorded: Mapping[str, list[dict[str, Any]]]) -> None:
    assert told(recorded[fault]) == ENDS[fault]

"""What happens to an app on an emulated phone, as its recording tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.commands.attach import record
from agent.replay.validator import validate
from agent.settings import load
from agent.store.recording import Recording
from bridge.emulated.lab import Lab

SHOP = "com.northbay.shop"
TAGS = frozenset(("crash", "anr", "lowmemory", "process", "screen-state"))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("crash", [("crash", "Crash"), ("process", "died")]),
        ("native-crash", [("crash", "Native crash"), ("process", "died")]),
        ("anr", [("anr", "Not responding"), ("process", "died")]),
        ("low-memory", [("lowmemory", "Killed for low memory"), ("process", "died")]),
        ("screen-off", [("screen-state", "Screen off"), ("screen-state", "Screen on")]),
        ("test-runner", [("gap", "injected touches are not seen")]),
    ],
)
def test_each_end_of_an_app_is_in_its_recording(fault: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    with Lab(1, scenario="login", faults=[f"{fault}@7:2"]) as lab:
        settings = load({"spool": tmp_path / "spool", "adb.port": lab.port}).settings
        record(settings, (), True, SHOP, [f"dir:{tmp_path / 'replays'}"], 13)
        assert lab.gaps == []
    recording = Recording.open(tmp_path / "replays")
    told: list[tuple[int, str, str]] = []
    for manifest in recording.manifests():
        events = recording.events(manifest.id)
        assert validate(events) == []
        for event in map(json.loads, events):
            tag, payload = event["data"].get("tag"), event["data"].get("payload", {})
            if tag in TAGS and payload.get("state") != "started":
                told.append(
                    (event["timestamp"], tag, payload.get("state", "") if tag == "process" else payload["name"])
                )
            elif tag == "gap" and payload["stage"] == "touch":
                told.append((event["timestamp"], tag, payload["reason"]))
    assert [(tag, name) for _, tag, name in sorted(told)] == expected

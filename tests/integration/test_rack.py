"""Ten phones on one host: each recorded with its own ids, and nothing of ours left when it ends."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakes.recorder import Recorder, recording
from fakes.wait import until

from agent.store.recording import Recording
from bridge.emulated.lab import Lab

DEVICES = 10


def _files() -> Counter[str]:
    """What this process holds open, by kind: sockets and pipes lose their numbers, files keep their names."""
    held: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        held[target.split(":[")[0]] += 1
    return held


def _children() -> set[str]:
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(task.read_text().split())


def well(device: Mapping[str, Any]) -> bool:
    """Whether a phone was recorded for some seconds, and still is."""
    return recording(device) and device["frames"] >= 8


def test_ten_phones_at_once_end_clean(tmp_path: Path) -> None:
    threads, files, children = set(threading.enumerate()), _files(), _children()

    def conduct() -> None:
        recorder.until(lambda: sum(map(well, recorder.devices())) == DEVICES, "pictures of all", 80)

    with Lab(DEVICES, profile="small", scenario="shop") as lab:
        recorder = Recorder(lab, tmp_path)
        summary, _ = recorder.record([conduct])
        sent = {
            serial: {(event.session_id, event.device_id) for event in events} for serial, events in lab.sent().items()
        }
    assert summary["drained"]
    assert {device["serial"] for device in summary["devices"]} == set(sent)
    recording = Recording.open(tmp_path / "replays")
    found: dict[str, set[tuple[int, str]]] = {}
    for manifest in recording.manifests():
        found.setdefault(manifest.serial, set()).add((manifest.session_id, manifest.device_id))
    assert set(found) == set(sent)
    for serial, keys in found.items():
        assert keys <= sent[serial], serial
    for device in summary["devices"]:
        assert device["state"] == "stopped"
        assert device["frames"] > 0, device
        assert device["problem"] == "", device
    until(lambda: set(threading.enumerate()) <= threads, "threads to end")
    until(lambda: _files() <= files, "files and sockets to be closed")
    assert _children() <= children

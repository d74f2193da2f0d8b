"""A ring on an emulated phone: what lies around a crash is kept, and nothing else reaches the disk or a sink."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

from fakes.recorder import Recorder, recording
from fakes.wait import until

from agent.outbox.journal import SUFFIX
from agent.replay.validator import validate
from agent.store.recording import Recording
from bridge.emulated.lab import Lab

RING_MS = 2_000
# How far apart pictures of a screen in motion are.
PICTURE_MS = 200
BEFORE_SECONDS, AFTER_SECONDS = 4.0, 3.0


def written(folder: Path) -> list[Path]:
    """The files below a folder that hold anything of a recording: segments, pictures, drafts."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if file.parent.name in ("segments", "pictures") or file.name.endswith(SUFFIX)]


def test_a_crash_keeps_the_seconds_around_it_and_nothing_else(tmp_path: Path) -> None:
    def conduct() -> None:
        pause = Event()
        recorder.wait(lab.serials[0], recording, "a recording")
        pause.wait(BEFORE_SECONDS)
        assert written(tmp_path) == []
        lab.fault("crash", 0)
        pause.wait(AFTER_SECONDS)

    with Lab(scenario="scroll") as lab:
        ring = {"replay.ring_seconds": RING_MS / 1000, "replay.keep_on": ("crash",)}
        recorder = Recorder(lab, tmp_path, {"replay.segment_seconds": 2.0, **ring})
        summary, _ = recorder.record([conduct])
    assert summary["ring"] == {"triggered": 1}
    assert summary["drained"]
    stored = Recording.open(recorder.replays)
    lines = []
    for manifest in stored.manifests():
        assert validate(stored.events(manifest.id)) == []
        lines += [json.loads(line) for line in stored.events(manifest.id)]
    (crash,) = [line for line in lines if line["data"].get("tag") == "crash"]
    at_ms = crash["timestamp"]
    first_ms, begin_ms = min(line["timestamp"] for line in lines), at_ms - RING_MS
    # Between two segments that moment is in neither: the next begins with its first picture, and is kept from there on.
    whole = first_ms == min(manifest.start_ms for manifest in stored.manifests())
    assert first_ms == begin_ms or (whole and begin_ms < first_ms <= begin_ms + PICTURE_MS)
    assert max(line["timestamp"] for line in lines) <= at_ms + RING_MS + 2
    assert max(manifest.end_ms for manifest in stored.manifests()) > at_ms + 500
    until(lambda: written(tmp_path / "spool") == [], "the spool to be empty")

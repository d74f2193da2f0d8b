"""The whole way: `android-replay demo` as a user runs it, once, and everything that must hold of what it leaves."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.replay.composite import compose, picture_size
from agent.replay.playback import Change, Playback
from agent.replay.validator import validate
from agent.store.recording import Recording
from bridge.emulated.profile import PROFILES
from bridge.emulated.world import SECRETS, timecode
from bridge.emulated.world.shop import HEADER, STATUS, STRIP
from bridge.types import Bounds

SECONDS = 25
NOTIFICATION = "Dr. Vale: your results are ready"
# Pictures are JPEG or WebP: what is covered is one colour but for the noise of the encoding.
FLAT = 12.0


@dataclass(frozen=True)
class Demo:
    out: Path
    ended: subprocess.CompletedProcess[str]
    summary: dict[str, Any]
    frames: dict[int, dict[str, Any]]
    sent: dict[str, dict[str, Any]]

    def recording(self, name: str) -> Recording:
        return Recording.open(self.out / name)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "out"
    truth = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    words = ["--seconds", str(SECONDS), "--out", str(out), "--no-open", "--json", "--truth", str(truth)]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "agent.cli", "demo", *words], capture_output=True, text=True, timeout=110
    )
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    return Demo(
        out,
        ended,
        json.loads(ended.stdout),
        {line["code"]: line for line in lines if line["kind"] == "frame"},
        {line["message_id"]: line for line in lines if line["kind"] == "event"},
    )


def events(recording: Recording) -> list[dict[str, Any]]:
    return [json.loads(line) for m in recording.manifests() for line in recording.events(m.id)]


def test_says_what_it_did(demo: Demo) -> None:
    assert "Traceback" not in demo.ended.stderr
    (device,) = demo.summary["devices"]
    for figure in ("frames", "hierarchies", "events", "touches", "logs", "segments", "bytes"):
        assert device[figure] > 0, figure
    assert f"{device['segments']} segments, {device['frames']} frames" in demo.ended.stderr
    assert demo.summary["drained"] is True
    assert set(device["losses"]) <= {"touch: where typing would show"}


def test_says_what_it_cost_in_all_and_in_each_segment(demo: Demo) -> None:
    (device,) = demo.summary["devices"]
    manifests = demo.recording("recording").manifests()
    for name in ("cpu_ms", "captured", "written", "taken"):
        assert device["cost"][name] > 0, name
        parts = [getattr(manifest.cost, name) for manifest in manifests]
        assert min(parts) >= 0
        # The last is sealed after it was counted.
        assert 0 < sum(parts) <= device["cost"][name]
    cost = demo.summary["cost"]
    assert device["cost"]["cpu_ms"] <= 1000 * cost["cpu_seconds"]
    assert (cost["bytes_captured"], cost["frames_lost"]) == (device["cost"]["captured"], device["cost"]["lost"])
    assert cost["bytes_captured"] > 100_000
    assert f"{cost['bytes_captured']:,} bytes came from phones" in demo.ended.stderr


def test_two_sessions_each_with_the_right_device(demo: Demo) -> None:
    truth = {(event["session_id"], event["device_id"]) for event in demo.sent.values()}
    found = {(m.session_id, m.device_id) for m in demo.recording("recording").manifests()}
    assert len({session for session, _ in found}) >= 2
    assert found <= truth


def test_every_event_is_there_with_its_own_ids(demo: Demo) -> None:
    shown = {}
    for event in events(demo.recording("recording")):
        tag = event["data"].get("tag", "") if event["type"] == 5 else ""
        if tag.startswith("segment:"):
            payload = event["data"]["payload"]
            shown[payload["messageId"]] = (payload["session_id"], payload["device_id"])
    first = min(m.start_ms for m in demo.recording("recording").manifests())
    last = max(m.end_ms for m in demo.recording("recording").manifests())
    expected = {
        name: (event["session_id"], event["device_id"])
        for name, event in demo.sent.items()
        if first + 500 < event["wall_ms"] < last - 500
    }
    assert len(expected) >= 8
    assert {name: shown.get(name) for name in expected} == expected


def test_the_collector_has_the_same_bytes(demo: Demo) -> None:
    ours, theirs = demo.recording("recording"), demo.recording("collector")
    assert [m.id for m in ours.manifests()] == [m.id for m in theirs.manifests()]
    for manifest in ours.manifests():
        assert ours.events(manifest.id) == theirs.events(manifest.id)
        for digest in manifest.pictures:
            assert ours.picture(digest) == theirs.picture(digest)
    assert ours.problems() == theirs.problems() == ()


def test_an_unmodified_player_can_show_it(demo: Demo) -> None:
    recording = demo.recording("recording")
    for manifest in recording.manifests():
        sealed = recording.sealed(manifest.id)
        assert list(validate([json.loads(event) for event in sealed.events], sealed.pictures)) == []


def test_no_private_text_in_any_byte(demo: Demo) -> None:
    files = [path for path in demo.out.rglob("*") if path.is_file()]
    assert len(files) > 20
    needles = {}
    for text in (*SECRETS, NOTIFICATION):
        if len(text) < 8:
            continue
        for form in (text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le")):
            needles[form] = text
        for shift in range(3):
            needles[base64.b64encode(b"\0" * shift + text.encode())[4 if shift else 0 : -4]] = text
    short = {text: re.compile(rb"(?<![0-9a-f])%s(?![0-9a-f])" % text.encode()) for text in SECRETS if len(text) < 8}
    leaks = []
    for path in files:
        data = path.read_bytes()
        leaks += [(path.name, text) for needle, text in needles.items() if needle in data]
        if path.suffix.startswith(".json"):
            leaks += [(path.name, text) for text, needle in short.items() if needle.search(data)]
    assert leaks == []


def screens(recording: Recording) -> Iterator[NDArray[np.uint8]]:
    """Every state of the screen that a player shows, put together from the stored pictures."""
    for manifest in recording.manifests():
        playback = Playback()
        for event in map(json.loads, recording.events(manifest.id)):
            if playback.feed(event) & Change.PICTURE:
                state = playback.state

                def load(source: str) -> bytes:
                    return recording.picture(source.removeprefix("picture:")).data

                size = picture_size(load(state.base))
                assert size is not None
                yield np.asarray(compose(state, load, size))


def test_no_private_pixel_in_any_picture(demo: Demo) -> None:
    profile = PROFILES["pixel7"]
    scale = profile.density / 160
    checked = 0
    recording = demo.recording("recording")
    for pixels in screens(recording):
        shrink = pixels.shape[1] / profile.size.width
        top = (STATUS + HEADER) * scale * shrink
        strip = Bounds(0, round(top), pixels.shape[1], round(top + STRIP * scale * shrink))
        code = timecode.read(pixels, strip)
        if code is None:
            continue
        for secret in demo.frames[code]["secrets"]:
            left, upper, right, lower = (round(edge * shrink) for edge in secret["bounds"])
            part = pixels[upper + 1 : lower - 1, left + 1 : right - 1].astype(float)
            if part.size:
                assert part.std(axis=(0, 1)).max() < FLAT, (code, secret)
                checked += 1
    assert checked > 5


def test_what_is_not_private_is_seen(demo: Demo) -> None:
    """Pictures show the app: a recording that blocks everything would pass every check for leaks. How many of them may
    be covered test_leaks says, where no other program makes dumps late."""
    (device,) = demo.summary["devices"]
    assert device["frames"] - device["blocked"] >= 20

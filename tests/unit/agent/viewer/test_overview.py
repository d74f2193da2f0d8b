from __future__ import annotations

from pathlib import Path

from fakes.segments import SESSION, segment

from agent.store.recording import Recording
from agent.viewer.overview import overview, told


def test_manifests_and_problems_without_the_folder(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "shop")
    recording.write(segment(0))
    recording.write(segment(1))
    (recording.path / "segments" / f"{recording.manifests()[0].id}.json").write_bytes(b"{")
    seen = overview(Recording.open(recording.path))
    assert seen["name"] == "shop"
    assert [row["session_id"] for row in seen["segments"]] == [SESSION]
    (problem,) = seen["problems"]
    assert str(tmp_path) not in problem["reason"]


def test_an_id_that_javascript_cannot_hold_is_text(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "shop")
    recording.write(segment(0, session_id=2**53 + 1))
    assert overview(recording)["segments"][0]["session_id"] == str(2**53 + 1)


def test_told_names_no_folder(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "shop")
    assert told(recording, f"{recording.path}/segments/a.jsonl: Damaged") == "segments/a.jsonl: Damaged"

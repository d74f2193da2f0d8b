from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import SESSION

from agent.errors import ConfigError, StorageError
from agent.export import bug
from agent.export.part import parts
from agent.export.stream import Stream
from agent.export.summary import Summary, summarize
from agent.store.bundle import unpacked
from agent.store.recording import Recording

FILES = {
    "ticket.md", "shop.replay", "shop.html", "steps.md", "app.log", "device.json", "findings.json", "summary.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return patterned.record(tmp_path_factory.mktemp("bug") / "shop")


@pytest.fixture(scope="module")
def summary(recording: Recording) -> Summary:
    return summarize(recording, parts(recording))


def test_a_folder_with_all_that_a_bug_report_wants(recording: Recording, summary: Summary, tmp_path: Path) -> None:
    folder = tmp_path / "sub" / "bundle"
    told = bug.write(recording, summary, folder, False, "Wrong total")
    assert {file.name for file in folder.iterdir()} == FILES == set(told["files"])
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    with unpacked(folder / "shop.replay") as inside:
        assert len(inside.manifests()) == 4
    assert (folder / "shop.html").read_text().startswith("<!doctype html>")
    assert (folder / "ticket.md").read_text().startswith("# Wrong total\n")
    assert all(f"`{name}`" in (folder / "ticket.md").read_text() for name in FILES - {"ticket.md"})
    assert json.loads((folder / "device.json").read_text())[0]["model"] == "Pixel 7"
    assert [step["kind"] for step in json.loads((folder / "summary.json").read_text())["steps"]].count(
        "long-press"
    ) == 4
    assert json.loads((folder / "findings.json").read_text()) == []
    # Nothing else is left beside it.
    assert [file.name for file in folder.parent.iterdir()] == ["bundle"]


def test_the_log_is_that_of_the_recording(recording: Recording) -> None:
    (part,) = parts(recording, SESSION)
    head, first, *rest = bug.log_lines(Stream(recording, part), part)
    assert head == f"--------- session {SESSION} of device {part.device_id}"
    assert first == "2025-10-09 08:53:21.050 I/Shop: line 0.0"
    assert len(rest) == 299


def test_as_a_zip(recording: Recording, summary: Summary, tmp_path: Path) -> None:
    file = tmp_path / "bug.zip"
    bug.write(recording, summary, file, False, "Wrong total")
    with zipfile.ZipFile(file) as packed:
        assert set(packed.namelist()) == {f"bug/{name}" for name in FILES}
        assert packed.testzip() is None
    with pytest.raises(ConfigError, match="there already"):
        bug.write(recording, summary, file, False, "Wrong total")


@pytest.mark.parametrize("seconds", [0, 6_000_000_000], ids=["1970", "2160"])
def test_a_zip_of_files_of_any_year(tmp_path: Path, seconds: int) -> None:
    file = tmp_path / "steps.md"
    file.write_text("what was done")
    os.utime(file, (seconds, seconds))
    bug._zip(tmp_path, {"steps.md": 13}, tmp_path / "bug.zip", False)
    with zipfile.ZipFile(tmp_path / "bug.zip") as packed:
        assert packed.read("bug/steps.md") == b"what was done"


def test_what_is_there_is_not_written_over_without_leave(
    recording: Recording, summary: Summary, tmp_path: Path
) -> None:
    (tmp_path / "steps.md").write_text("mine")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        bug.write(recording, summary, tmp_path, False, "Bug")
    assert (tmp_path / "steps.md").read_text() == "mine"
    bug.write(recording, summary, tmp_path, True, "Bug")
    assert (tmp_path / "steps.md").read_text().startswith("# Steps: Bug")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match="is a file"):
        bug.check_free(tmp_path / "mine.txt", True)


def test_what_fails_leaves_nothing(recording: Recording, summary: Summary, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        bug.write(recording, summary, tmp_path / "file" / "bundle", False, "Bug")
    broken = patterned.record(tmp_path / "shop")
    (broken.path / "segments" / f"{broken.manifests()[0].id}.jsonl").write_bytes(b"")
    with pytest.raises(StorageError):
        bug.write(broken, summary, tmp_path / "bundle", False, "Bug")
    assert {file.name for file in tmp_path.iterdir()} == {"file", "shop"}

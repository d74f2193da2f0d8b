from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from fakes.segments import DEVICE, SERIAL, SESSION, segment

from agent.errors import RecordingError, StorageDenied
from agent.runs.ledger import Attempt
from agent.runs.names import Case
from agent.runs.shelf import Shelf, write_back
from agent.runs.table import Session
from agent.store.bundle import unpacked
from agent.store.recording import Recording

AT = 1_760_000_000_000
START = segment(0).manifest.start_ms


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "replays", AT)
    working = Recording.create(shelf.working)
    working.write(segment(0))
    working.write(segment(0, SESSION + 500_000, "other", "emulated-2"))
    return shelf


def attempt(start: int | None = START + 500, end: int | None = START + 1400, serial: str | None = SERIAL) -> Attempt:
    return Attempt(Case("shop", "test_pay"), 1, serial, start, end, "failed")


def test_what_was_shown_during_an_attempt_is_a_recording_of_its_own(shelf: Shelf) -> None:
    row = shelf.row(attempt(), [SERIAL], "")
    assert (row.replay, row.why) == ("shop.test_pay-attempt1.replay", "")
    assert row.sessions == (Session(SESSION, DEVICE, SERIAL),)
    with unpacked(shelf.out / row.replay) as recording:
        (manifest,) = recording.manifests()
        assert (manifest.start_ms, manifest.session_id) == (START + 500, SESSION)
    assert {path.name for path in shelf.out.iterdir()} == {shelf.working.name, row.replay}


def test_nothing_is_written_over(shelf: Shelf) -> None:
    names = [shelf.row(attempt(), [SERIAL], "").replay for _ in range(3)]
    assert names == [
        "shop.test_pay-attempt1.replay",
        "shop.test_pay-attempt1-2.replay",
        "shop.test_pay-attempt1-3.replay",
    ]


def test_phones_have_their_own_names_and_nobody_s_phone_is_all(shelf: Shelf) -> None:
    both = [SERIAL, "emulated-2"]
    assert shelf.row(attempt(), both, "").replay == f"shop.test_pay-{SERIAL}-attempt1.replay"
    row = shelf.row(attempt(serial=None, end=START + 900_000), both, "")
    assert {session.serial for session in row.sessions} == set(both)
    with unpacked(shelf.out / row.replay) as recording:
        assert {manifest.serial for manifest in recording.manifests()} == set(both)


@pytest.mark.parametrize(
    ("asked", "wanted", "why", "sessions"),
    [
        (attempt(), "not kept", "not kept", 1),
        (attempt(None, None), "", "when it ran is not known", 0),
        (attempt(serial="elsewhere"), "", "elsewhere is not recorded by this run", 0),
        (attempt(1, 2), "", "no session was recorded while it ran", 0),
    ],
)
def test_what_has_no_recording_says_why(shelf: Shelf, asked: Attempt, wanted: str, why: str, sessions: int) -> None:
    row = shelf.row(asked, [SERIAL], wanted)
    assert (row.replay, row.why, len(row.sessions)) == ("", why, sessions)


def test_a_damaged_recording_is_said(shelf: Shelf) -> None:
    for file in (shelf.working / "segments").glob("*.jsonl"):
        file.write_bytes(b"")
    with pytest.raises(RecordingError):
        shelf.row(attempt(), [SERIAL], "")
    assert [path.name for path in shelf.out.iterdir()] == [shelf.working.name]


def test_the_whole_run_and_then_nothing_of_it(shelf: Shelf) -> None:
    assert shelf.whole() == shelf.out / "run.replay"
    assert shelf.holds()
    shelf.clear()
    assert not shelf.holds()
    assert shelf.whole() is None
    assert shelf.recording() is None
    assert shelf.row(attempt(), [SERIAL], "").why == "no session was recorded while it ran"


def test_a_recording_without_a_segment_holds_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "replays", AT)
    Recording.create(shelf.working)
    assert not shelf.holds()


def test_what_a_killed_run_left_is_found(shelf: Shelf) -> None:
    assert shelf.left() == []
    gone = shelf.out / ".run-20250101-000000-2147483646-0a1b"
    # In a container of before, with the number that we have now.
    twin = shelf.out / f".run-20250102-000000-{os.getpid()}-0a1b"
    for folder in (gone, twin, shelf.out / f".run-20250103-000000-{os.getppid()}-0a1b"):
        Recording.create(folder)
    (shelf.out / ".run-20250101-000000-2147483645-0a1b").mkdir()
    assert shelf.left() == [gone, twin]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageDenied):
        Shelf(tmp_path / "file", AT)


def test_a_file_that_is_written_back_keeps_its_rights_and_its_link(tmp_path: Path) -> None:
    file, link = tmp_path / "out.xml", tmp_path / "link.xml"
    file.write_text("old")
    file.chmod(0o644)
    link.symlink_to(file)
    write_back(link, b"new")
    assert file.read_text() == "new"
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert {path.name for path in tmp_path.iterdir()} == {"link.xml", "out.xml"}


def test_a_link_that_lies_in_wait_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    def fill(aside: Path) -> None:
        aside.write_bytes(b"whole")

    precious, junit = tmp_path / "precious", tmp_path / "junit.xml"
    precious.write_bytes(b"kept")
    junit.write_bytes(b"old")
    for folder, name in ((shelf.out, "run"), (tmp_path, "junit.xml")):
        (folder / f".{name}.{os.getpid()}.part").symlink_to(precious)
    write_back(junit, b"new")
    made = shelf.place("run", ".json", fill)
    assert (precious.read_bytes(), junit.read_bytes(), made.read_bytes()) == (b"kept", b"new", b"whole")


def test_a_fill_that_fails_leaves_nothing(shelf: Shelf) -> None:
    def fill(aside: Path) -> None:
        aside.write_text("half")
        raise RecordingError("no more")

    with pytest.raises(RecordingError):
        shelf.place("run", ".json", fill)
    assert [path.name for path in shelf.out.iterdir()] == [shelf.working.name]

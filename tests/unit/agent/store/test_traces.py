from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import StorageDenied, StorageFull
from agent.store.traces import Traces
from bridge.types import Trace

JAR = Trace("file", "/data/local/tmp/android-replay-u2.jar")
PROCESS = Trace("process", "screenrecord --size 540x1200 -")
KILLED = """
import os, sys
from pathlib import Path
from agent.store.traces import Traces
from bridge.types import Trace
notes = Traces(Path(sys.argv[1]))
notes.made("phone", Trace("file", "/data/local/tmp/android-replay-u2.jar"))
notes.made("phone", Trace("process", "screenrecord --size 540x1200 -"))
notes.undone("phone", Trace("process", "screenrecord --size 540x1200 -"))
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_has_left_the_next_one_knows(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    notes = Traces(tmp_path)
    assert notes.left("phone") == (JAR,)
    assert notes.ours("phone") == ()
    # It is still known when this one is killed, too, and gone when it is undone.
    notes.close()
    again = Traces(tmp_path)
    assert again.left("phone") == (JAR,)
    again.undone("phone", JAR)
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_run_has_changed_is_its_own(tmp_path: Path) -> None:
    one, two = Traces(tmp_path), Traces(tmp_path)
    one.made("phone", JAR)
    one.made("phone", JAR)
    three = Traces(tmp_path)
    assert one.ours("phone") == (JAR,)
    assert two.left("phone") == three.left("phone") == ()
    for notes in (two, three, one):
        notes.close()
    last = Traces(tmp_path)
    assert last.left("phone") == (JAR,)
    last.close()


def test_a_note_that_another_run_took_over_meanwhile_is_no_fault(tmp_path: Path) -> None:
    # Listed, and gone when it is read.
    (tmp_path / "7.json").symlink_to(tmp_path / "gone")
    notes = Traces(tmp_path)
    assert notes.left("phone") == ()
    notes.close()


@pytest.mark.parametrize(
    "text", [b"", b"[1]", b'{"phone": [["file"]]}', b'{"phone": 3}', b"\xff\xfe", b'{"a": [["dd", "x"]]}']
)
def test_a_torn_note_says_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "7.json").write_bytes(text)
    notes = Traces(tmp_path)
    assert notes.left("phone") == notes.left("a") == ()
    notes.close()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "devices").write_text("a file")
    with pytest.raises(StorageDenied):
        Traces(tmp_path / "devices")


def test_a_disk_that_fills_up_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Traces(tmp_path)

    def full(*_: object) -> None:
        raise StorageDenied("No room.")

    monkeypatch.setattr("agent.store.traces.write_files", full)
    notes.made("phone", PROCESS)
    assert notes.ours("phone") == (PROCESS,)
    assert "cannot be noted" in caplog.text
    notes.close()


def test_a_note_that_could_not_be_taken_over_stays_for_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Traces(tmp_path), Traces(tmp_path)
    two.made("phone", JAR)
    one.close()
    two.close()

    def full(*_: object) -> None:
        raise StorageFull("No room.")

    with monkeypatch.context() as disk:
        disk.setattr("agent.store.traces.write_files", full)
        killed = Traces(tmp_path)
        assert killed.left("phone") == (JAR,)
        killed.close()
    later = Traces(tmp_path)
    assert later.left("phone") == (JAR,)
    later.close()

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from fakes.segments import DEVICE, SESSION, segment, segment_id

from agent.errors import RecordingError
from agent.store import erasure
from agent.store.recording import Recording


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    made = Recording.create(tmp_path / "r")
    made.write(segment(0, shades=(1, 2)))
    made.write(segment(1, shades=(2, 3)))
    return made


def test_a_segment_is_gone_with_the_pictures_that_no_other_shows(recording: Recording) -> None:
    erasure.begin(recording, [segment_id(seq=0)])
    files, size = erasure.finish(recording)
    assert files == 3
    assert size > 0
    assert [manifest.seq for manifest in recording.manifests()] == [1]
    assert recording.sealed(segment_id(seq=1)).pictures == segment(1, shades=(2, 3)).pictures
    assert len(list((recording.path / "pictures").iterdir())) == 2
    assert erasure.finish(recording) == (0, 0)


def test_what_is_condemned_is_hidden_and_not_swept(recording: Recording) -> None:
    erasure.begin(recording, [segment_id(seq=0)])
    again = Recording.open(recording.path)
    assert [manifest.seq for manifest in again.manifests()] == [1]
    assert again.sweep() == 0
    assert len(list((recording.path / "segments").iterdir())) == 4
    assert erasure.begun(again) == {(DEVICE, SESSION)}
    erasure.begin(again, [segment_id(seq=1)])
    erasure.finish(again)
    assert again.manifests() == ()
    assert erasure.begun(again) == set()
    assert list((recording.path / "pictures").iterdir()) == []


def test_files_are_overwritten_before_they_go(recording: Recording) -> None:
    file = recording.path / "segments" / f"{segment_id(seq=0)}.jsonl"
    with file.open("rb") as held:
        assert DEVICE.encode() in held.read()
        erasure.begin(recording, [segment_id(seq=0)])
        erasure.finish(recording)
        held.seek(0)
        assert set(held.read()) == {0}


def test_receipts_of_redactions_name_it_no_more(recording: Recording) -> None:
    before, after, other = "a" * 32, segment_id(seq=0), "c" * 32
    first, second = {"before": "0b" * 16, "after": before}, {"before": before, "after": after}
    kept = {"before": other, "after": segment_id(seq=1)}
    folder = recording.path / "redactions"
    folder.mkdir()
    (folder / "1.json").write_bytes(orjson.dumps({"segments": [first, kept]}))
    (folder / "2.json").write_bytes(orjson.dumps({"segments": [second]}))
    (folder / "3.json").write_text("not one of ours")
    names = erasure.former(recording, [after])
    assert names == {before, "0b" * 16}
    erasure.begin(recording, {after, *names})
    erasure.finish(recording)
    none = "0" * 32
    assert orjson.loads((folder / "1.json").read_bytes()) == {"segments": [{"before": none, "after": none}, kept]}
    assert orjson.loads((folder / "2.json").read_bytes()) == {"segments": [{"before": none, "after": none}]}


def test_a_damaged_note_is_said(recording: Recording) -> None:
    (recording.path / "erasing.json").write_text("[]")
    with pytest.raises(RecordingError, match="does not list segments"):
        recording.manifests()

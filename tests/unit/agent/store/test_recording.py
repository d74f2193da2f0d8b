from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fakes.crash import crashes, run_as_script
from fakes.segments import DEVICE, SESSION, custom, picture, segment

from agent.errors import RecordingError, StorageDenied
from agent.model import SealedSegment
from agent.store.recording import Recording

# Writes segments until it is killed; says each number once the segment is stored.
WRITER = """
import sys
from pathlib import Path
from agent.store.recording import Recording
from fakes.crash import crashes, run_as_script
from fakes.segments import segment
recording = Recording.create(Path(sys.argv[1]))
sealed = [segment(seq, shades=range(seq * 5, seq * 5 + 5)) for seq in range(40)]
print("go", flush=True)
for seq in range(40):
    recording.write(sealed[seq])
    if seq % 3 == 2:
        recording.remove(sealed[seq - 1].manifest.id)
    print(seq, flush=True)
sys.stdin.read()
"""
ROOT = Path(__file__).parents[4]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording.create(tmp_path / "recording")


def files(recording: Recording) -> set[str]:
    return {str(file.relative_to(recording.path)) for file in recording.path.rglob("*") if file.is_file()}


def test_a_segment_comes_back_as_it_was(recording: Recording) -> None:
    sealed = segment(extra=[custom(SESSION, "note", {"text": "line\nbreak"})])
    recording.write(sealed)
    again = Recording.open(recording.path)
    assert again.sealed(sealed.manifest.id) == sealed
    assert again.manifests() == (sealed.manifest,)
    assert again.problems() == ()
    assert again.header == recording.header


def test_writing_twice_changes_nothing(recording: Recording) -> None:
    recording.write(segment())
    before = {name: (recording.path / name).stat().st_mtime_ns for name in files(recording)}
    recording.write(segment())
    Recording.create(recording.path).write(segment())
    assert {name: (recording.path / name).stat().st_mtime_ns for name in files(recording)} == before


def test_everything_is_for_the_owner_only(recording: Recording) -> None:
    recording.write(segment())
    for path in [recording.path, *recording.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_pictures_are_stored_once(recording: Recording) -> None:
    recording.write(segment(0, shades=[1, 2, 3]))
    recording.write(segment(1, shades=[3, 4]))
    shown = {f"pictures/{picture(shade).digest}.webp" for shade in (1, 2, 3, 4)}
    assert {name for name in files(recording) if name.startswith("pictures/")} == shown


def test_a_picture_stored_before_need_not_come_again(recording: Recording) -> None:
    recording.write(segment(0, shades=[1, 2]))
    later = segment(1, shades=[2])
    recording.write(replace(later, pictures={}))
    assert recording.sealed(later.manifest.id) == later


def test_manifests_are_in_order(recording: Recording) -> None:
    keys = [(device, session, seq) for device in ("a", "b") for session in (5, 40) for seq in range(3)]
    for device, session, seq in random.Random(1).sample(keys, len(keys)):
        recording.write(segment(seq, session, device))
    assert [(m.device_id, m.session_id, m.seq) for m in recording.manifests()] == keys


def test_inlined_replaces_whole_strings_only(recording: Recording) -> None:
    reference = f"picture:{picture(10).digest}"
    unknown = f"picture:{'0' * 32}"
    note = custom(SESSION, "note", {"quoted": f'say "{reference}"', "part": f"{reference}!", "unknown": unknown})
    sealed = segment(extra=[note])
    recording.write(sealed)
    events = [orjson.loads(event) for event in recording.inlined(sealed.manifest.id)]
    assert note in events
    image = events[2 - 1 if events[0]["type"] == 4 else 2]["data"]["node"]["childNodes"][1]["childNodes"][1][
        "childNodes"
    ][0]
    assert image["attributes"]["src"].startswith("data:image/webp;base64,UklGR")


def test_remove_keeps_shared_pictures(recording: Recording) -> None:
    first, second = segment(0, shades=[1, 2]), segment(1, shades=[2, 3])
    recording.write(first)
    recording.write(second)
    recording.remove(first.manifest.id)
    recording.remove(first.manifest.id)
    assert recording.manifests() == (second.manifest,)
    assert recording.sealed(second.manifest.id) == second
    recording.remove(second.manifest.id)
    assert files(recording) == {"recording.json"}


def pictures(recording: Recording) -> set[str]:
    return {file.stem for file in (recording.path / "pictures").iterdir()}


@pytest.mark.parametrize("damage", ["a bad block", "a newer version"])
def test_a_manifest_that_cannot_be_read_keeps_what_its_files_name_and_no_more(
    recording: Recording, damage: str
) -> None:
    first, torn, last = segment(0, shades=[1, 2]), segment(1, shades=[2, 3]), segment(2, shades=[3, 4])
    for sealed in (first, torn, last):
        recording.write(sealed)
    file = recording.path / "segments" / f"{torn.manifest.id}.json"
    whole = file.read_bytes()
    file.write_bytes(bytes(300) if damage == "a bad block" else whole.replace(b'"schema":1', b'"schema":9'))
    again = Recording.open(recording.path)
    for sealed in (first, last):
        again.remove(sealed.manifest.id)
    (recording.path / "pictures" / f"{'c' * 32}.webp").write_text("")
    assert again.sweep() == 1
    assert pictures(again) == set(torn.manifest.pictures)
    file.write_bytes(whole)
    assert Recording.open(recording.path).sealed(torn.manifest.id) == torn
    file.write_bytes(bytes(300))
    again.write(last)
    again.remove(torn.manifest.id)
    assert pictures(again) == set(last.manifest.pictures)
    again.remove(last.manifest.id)
    assert files(again) == {"recording.json"}


def test_of_a_segment_that_the_disk_does_not_give_at_all_any_picture_may_be(recording: Recording) -> None:
    first, lost, last = segment(0, shades=[1, 2]), segment(1, shades=[2, 3]), segment(2, shades=[4])
    for sealed in (first, lost):
        recording.write(sealed)
    for suffix in (".json", ".jsonl"):
        # A link to itself is there and cannot be read.
        file = recording.path / "segments" / f"{lost.manifest.id}{suffix}"
        file.unlink()
        file.symlink_to(file.name)
    before = pictures(recording)
    again = Recording.open(recording.path)
    again.remove(first.manifest.id)
    assert again.sweep() == 0
    assert pictures(again) == before
    again.write(last)
    again.remove(last.manifest.id)
    assert pictures(again) == before


def test_removed_segments_can_come_back(recording: Recording) -> None:
    sealed = segment()
    for _ in range(2):
        recording.write(sealed)
        assert recording.sealed(sealed.manifest.id) == sealed
        recording.remove(sealed.manifest.id)


@pytest.mark.parametrize("name", ["../evil", "AB" * 16, "", "a" * 65, "é" * 16, "ab/cd" * 4])
def test_ids_are_no_paths(recording: Recording, name: str) -> None:
    sealed = segment()
    with pytest.raises(RecordingError):
        recording.write(replace(sealed, manifest=replace(sealed.manifest, id=name)))
    with pytest.raises(RecordingError):
        recording.write(replace(sealed, manifest=replace(sealed.manifest, pictures=(name,))))
    calls: list[Callable[[str], object]] = [recording.manifest, recording.events, recording.remove, recording.picture]
    for call in calls:
        with pytest.raises(RecordingError):
            call(name)
    assert files(recording) == {"recording.json"}


def contradictions() -> list[SealedSegment]:
    sealed = segment()
    digest, shown = next(iter(sealed.pictures.items()))
    return [
        replace(sealed, events=(b'{\n"type":4}',)),
        replace(sealed, pictures={}),
        replace(sealed, pictures={**sealed.pictures, digest: replace(shown, data=b"other")}),
        replace(sealed, pictures={**sealed.pictures, digest: replace(shown, media_type="image/x-rgba")}),
    ]


@pytest.mark.parametrize("sealed", contradictions(), ids=["newline", "no picture", "wrong picture", "odd picture"])
def test_contradictions_are_refused(recording: Recording, sealed: SealedSegment) -> None:
    with pytest.raises(RecordingError):
        recording.write(sealed)
    assert recording.scan() == ((), ())


def test_damage_is_reported_and_the_rest_is_read(recording: Recording) -> None:
    good, torn, newer, moved = segment(0), segment(1), segment(2), segment(3)
    for sealed in (good, torn, newer, moved):
        recording.write(sealed)
    folder = recording.path / "segments"
    (folder / f"{torn.manifest.id}.json").write_bytes(b'{"schema":1,')
    document = orjson.loads((folder / f"{newer.manifest.id}.json").read_bytes())
    (folder / f"{newer.manifest.id}.json").write_bytes(orjson.dumps({**document, "schema": 99}))
    (folder / f"{moved.manifest.id}.json").rename(folder / f"{'f' * 32}.json")
    (folder / "readme.json").write_text("{}")
    again = Recording.open(recording.path)
    manifests, problems = again.scan()
    assert manifests == (good.manifest,)
    reasons = {problem.file: problem.reason for problem in problems}
    assert "Damaged" in reasons[f"{torn.manifest.id}.json"]
    assert "newer version" in reasons[f"{newer.manifest.id}.json"]
    assert "manifest is that of" in reasons[f"{'f' * 32}.json"]
    assert "readme.json" in reasons
    # All is kept that may be theirs; events that bear the name of no manifest are nobody's.
    before = files(again)
    assert again.sweep() == 1
    assert before - files(again) == {f"segments/{moved.manifest.id}.jsonl"}
    again.write(torn)
    assert again.sealed(torn.manifest.id) == torn


def test_damaged_events_and_pictures_are_named(recording: Recording) -> None:
    sealed = segment()
    name = sealed.manifest.id
    recording.write(sealed)
    events = recording.path / "segments" / f"{name}.jsonl"
    events.write_bytes(events.read_bytes()[:-10])
    with pytest.raises(RecordingError, match="not those that were written"):
        recording.events(name)
    events.unlink()
    with pytest.raises(RecordingError, match="No such file"):
        recording.events(name)
    digest = sealed.manifest.pictures[0]
    shown = recording.path / "pictures" / f"{digest}.webp"
    shown.write_bytes(b"RIFF")
    with pytest.raises(RecordingError, match="do not fit"):
        recording.picture(digest)
    shown.unlink()
    with pytest.raises(RecordingError, match="is missing"):
        recording.picture(digest)


def test_sweep_takes_what_no_manifest_owns(recording: Recording) -> None:
    sealed = segment()
    recording.write(sealed)
    before = files(recording)
    (recording.path / "segments" / f"{'a' * 32}.jsonl").write_text("{}\n")
    (recording.path / "segments" / f"{'b' * 32}.json.part").write_text("{")
    (recording.path / "pictures" / f"{'c' * 32}.webp").write_text("")
    assert recording.sweep() == 3
    assert files(recording) == before
    assert recording.sealed(sealed.manifest.id) == sealed


def test_open_needs_a_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="is not a recording"):
        Recording.open(tmp_path)
    with pytest.raises(RecordingError, match="is not a recording"):
        Recording.open(tmp_path / "absent")
    (tmp_path / "recording.json").write_bytes(b'{"schema":2}')
    with pytest.raises(RecordingError, match="newer version"):
        Recording.open(tmp_path)
    (tmp_path / "recording.json").write_bytes(b"\0\0")
    with pytest.raises(RecordingError, match="Damaged"):
        Recording.open(tmp_path)


def test_create_needs_a_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageDenied):
        Recording.create(tmp_path / "file" / "recording")


def test_a_crash_at_any_file_operation_leaves_a_whole_recording(tmp_path: Path) -> None:
    run_as_script(__file__, tmp_path)


def crash_everywhere(parent: Path) -> None:
    first, second = segment(0, shades=[1, 2]), segment(1, shades=[2, 3])

    def work(folder: Path) -> None:
        recording = Recording.create(folder)
        recording.write(first)
        recording.write(second)
        recording.remove(first.manifest.id)

    runs = 0
    for folder, _through in crashes(work, parent):
        runs += 1
        recording = Recording.create(folder)
        manifests, problems = recording.scan()
        assert problems == ()
        assert [manifest.seq for manifest in manifests] in ([], [0], [0, 1], [1])
        for manifest in manifests:
            assert recording.sealed(manifest.id) == (first, second)[manifest.seq]
        recording.sweep()
        wanted = {digest for manifest in manifests for digest in manifest.pictures}
        assert {file.stem for file in (folder / "pictures").iterdir()} == wanted
        assert len(list((folder / "segments").iterdir())) == 2 * len(manifests)
        recording.write(first)
        recording.write(second)
        assert Recording.open(folder).manifests() == (first.manifest, second.manifest)
    assert runs > 25


def test_a_killed_writer_leaves_a_whole_recording(tmp_path: Path) -> None:
    moments = random.Random(7)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    for attempt in range(3):
        path = tmp_path / str(attempt)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        ) as writer:  # fmt: skip
            assert writer.stdout is not None
            assert writer.stdout.readline() == "go\n"
            for _ in range(moments.randrange(1, 12)):
                last = int(writer.stdout.readline())
            for _ in range(moments.randrange(5000)):
                pass
            writer.kill()
            last = max([last, *(int(line) for line in writer.stdout.read().splitlines())])
        recording = Recording.open(path)
        manifests, problems = recording.scan()
        assert problems == ()
        for manifest in manifests:
            wanted = segment(manifest.seq, shades=range(manifest.seq * 5, manifest.seq * 5 + 5))
            assert recording.sealed(manifest.id) == wanted
        stored = {manifest.seq for manifest in manifests}
        # Of the others the last may have gone already.
        sure = {seq for seq in range(last + 1) if seq % 3 != 1}
        assert sure <= stored
        assert DEVICE in {manifest.device_id for manifest in manifests}
        recording.sweep()
        owned = {digest for manifest in manifests for digest in manifest.pictures}
        assert {file.stem for file in (path / "pictures").iterdir()} == owned


if __name__ == "__main__":
    crash_everywhere(Path(sys.argv[1]))


def test_what_can_be_done_about_a_damaged_folder_is_said(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "shop")
    recording.write(segment())
    for damage in ("{", "[]", '{"schema": "1"}'):
        (recording.path / "recording.json").write_text(damage)
        with pytest.raises(RecordingError, match=r"recording\.json: Damaged") as told:
            Recording.open(recording.path)
        assert "of another recording" in told.value.hint
    # As it says.
    other = Recording.create(tmp_path / "other")
    (recording.path / "recording.json").write_bytes((other.path / "recording.json").read_bytes())
    recording = Recording.open(recording.path)
    assert len(recording.manifests()) == 1
    (recording.path / "segments").rename(tmp_path / "aside")
    (recording.path / "segments").touch()
    with pytest.raises(RecordingError, match="segments cannot be read: Not a directory"):
        recording.manifests()


def test_a_manifest_that_is_asked_for_once_is_not_kept(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "r")
    for seq in range(3):
        sealed = segment(seq)
        recording.write(sealed)
        recording.write(sealed)
        assert recording.manifest(sealed.manifest.id, keep=False) == sealed.manifest
    assert recording._known == {}
    assert recording.manifest(segment(0).manifest.id) is recording.manifest(segment(0).manifest.id)

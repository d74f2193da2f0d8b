from __future__ import annotations

import os
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.segments import picture, segment
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RecordingError, StorageError
from agent.store import bundle
from agent.store.recording import Recording

HEADER = b'{"schema":1,"created_ms":1,"generator":"x"}'


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bundles are unpacked; empty again after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    made = Recording.create(tmp_path / "shop")
    made.write(segment(0, shades=(1, 2)))
    made.write(segment(1, shades=(2, 3)))
    return made


def test_a_recording_comes_back_as_it_was(recording: Recording, tmp_path: Path, temporary: Path) -> None:
    file = tmp_path / "shop.replay"
    (recording.path / "lock").write_text("1")
    assert bundle.pack(recording, file) == 2
    with zipfile.ZipFile(file) as packed:
        kinds = {entry.filename.partition("/")[0]: entry.compress_type for entry in packed.infolist()}
        assert kinds["pictures"] == zipfile.ZIP_STORED
        assert "lock" not in kinds
    with bundle.unpacked(file) as again:
        assert again.path.name == "shop"
        assert again.path.is_relative_to(temporary)
        assert [again.sealed(m.id) for m in again.manifests()] == [
            recording.sealed(m.id) for m in recording.manifests()
        ]
        paths = [again.path, *again.path.rglob("*"), *again.path.parents[:1]]
        assert [path for path in paths if path.stat().st_mode & 0o077] == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("seconds", [0, 6_000_000_000], ids=["1970", "2160"])
def test_the_year_that_a_file_is_dated_is_not_asked_for(recording: Recording, tmp_path: Path, seconds: int) -> None:
    """A host without a clock of its own begins in 1970; a zip knows 1980 to 2107."""
    for file in recording.path.rglob("*"):
        os.utime(file, (seconds, seconds))
    assert bundle.pack(recording, tmp_path / "shop.replay") == 2
    with bundle.unpacked(tmp_path / "shop.replay") as again:
        assert len(again.manifests()) == 2


@pytest.mark.parametrize("data", [b"x", None], ids=["damaged", "missing"])
def test_a_picture_that_is_not_what_was_written_is_not_packed(
    recording: Recording, tmp_path: Path, data: bytes | None
) -> None:
    """The second segment is the only one that shows it."""
    file = recording.path / "pictures" / f"{picture(3).digest}.webp"
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(RecordingError, match=picture(3).digest) as told:
        bundle.pack(recording, tmp_path / "shop.replay")
    assert f"segments/{segment(1).manifest.id}.json" in told.value.hint


def test_a_damaged_segment_is_not_packed(recording: Recording, tmp_path: Path) -> None:
    (recording.path / "segments" / f"{segment(0).manifest.id}.jsonl").write_bytes(b"x\n")
    with pytest.raises(RecordingError, match="Damaged"):
        bundle.pack(recording, tmp_path / "shop.replay")


def made(file: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], header: bytes | None = HEADER) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        # It warns of the same name twice.
        warnings.simplefilter("ignore")
        if header is not None:
            packed.writestr("recording.json", header)
        for name, data in entries:
            packed.writestr(name, data)
    return file


def refused(file: Path, said: str, temporary: Path) -> None:
    with pytest.raises(RecordingError, match=said) as told, bundle.unpacked(file):
        pass
    assert str(file) in told.value.message
    assert str(temporary) not in told.value.message
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "../../etc/passwd", "/etc/passwd", "segments/../../evil.json", "segments\\..\\evil.json",
        "C:\\evil", "segments/abcdef01.json/x", "segments/ABCDEF01.json", "pictures/" + "a" * 32 + ".svg",
        "pictures/" + "a" * 31 + ".webp", "evil.sh", "./recording.json", "recording.json\n", "lock", "erasing.json",
    ],
)  # fmt: skip
def test_a_name_that_no_recording_has_is_refused(tmp_path: Path, temporary: Path, name: str) -> None:
    refused(made(tmp_path / "x.replay", (name, b"{}")), "which no recording has", temporary)
    assert not (tmp_path / "evil").exists()


def test_a_link_is_refused(tmp_path: Path, temporary: Path) -> None:
    link = zipfile.ZipInfo("segments/abcdef01.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(made(tmp_path / "x.replay", (link, b"/etc/passwd")), "is a link", temporary)


def test_the_same_name_twice_is_refused(tmp_path: Path, temporary: Path) -> None:
    entry = ("segments/abcdef01.json", b"{}")
    refused(made(tmp_path / "x.replay", entry, entry), "twice", temporary)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_packings_are_refused(tmp_path: Path, temporary: Path, method: int) -> None:
    entry = zipfile.ZipInfo("segments/abcdef01.json")
    with zipfile.ZipFile(tmp_path / "x.replay", "w") as packed:
        packed.writestr(entry, b"{}", method)
    refused(tmp_path / "x.replay", "packed in another way", temporary)


def test_a_bomb_is_left_while_it_is_unpacked(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = made(tmp_path / "x.replay", ("segments/abcdef01.json", bytes(5_000_000)))
    assert bomb.stat().st_size < 10_000
    refused(bomb, "unpacks to more than 4000000 bytes", temporary)
    monkeypatch.setattr(bundle, "TOTAL_BYTES", 1_000_000)
    many = [(f"pictures/{n:032x}.webp", bytes(400_000)) for n in range(5)]
    refused(made(tmp_path / "y.replay", *many), "unpacks to more than", temporary)


def test_an_absurd_number_of_files_is_refused(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "FILES", 3)
    refused(made(tmp_path / "x.replay", *((f"{n}", b"") for n in range(3))), "holds 4 files", temporary)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "holds no recording"),
        (HEADER.replace(b'"schema":1', b'"schema":99'), "newer version"),
        (b"{", "Damaged"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, temporary: Path, header: bytes | None, said: str) -> None:
    refused(made(tmp_path / "x.replay", header=header), said, temporary)


def test_a_name_of_dots_leads_nowhere(tmp_path: Path, temporary: Path) -> None:
    with bundle.unpacked(made(tmp_path / "...replay")) as shown:
        assert shown.path.name == "recording"
        assert shown.path.parent.parent == temporary


@pytest.mark.parametrize("change", [lambda data: b"", lambda data: data[:-30], lambda data: data[30:]])
def test_what_is_no_zip_is_said(tmp_path: Path, temporary: Path, change: Callable[[bytes], bytes]) -> None:
    file = made(tmp_path / "x.replay")
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(RecordingError), bundle.unpacked(file):
        pass
    assert list(temporary.iterdir()) == []


@given(st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_bundle_is_said_and_leaves_nothing(changes: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        recording = Recording.create(Path(name) / "r")
        recording.write(segment(0, shades=(1,)))
        file = Path(name) / "x.replay"
        bundle.pack(recording, file)
        whole = bytearray(file.read_bytes())
        for place, byte in changes:
            whole[int(place * len(whole))] = byte
        file.write_bytes(whole)
        # Any other error, or a warning, is a failure.
        with suppress(RecordingError), bundle.unpacked(file) as shown:
            shown.scan()


def test_a_bundle_that_cannot_be_read_is_not_called_unwritable(tmp_path: Path) -> None:
    (tmp_path / "shop.replay").mkdir()
    with (
        pytest.raises(StorageError, match=r"shop\.replay cannot be read: ") as told,
        bundle.unpacked(tmp_path / "shop.replay"),
    ):
        raise AssertionError("never here")
    assert "written" not in str(told.value)

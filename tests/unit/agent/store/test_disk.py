from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import StorageDenied, StorageError, StorageFull
from agent.store.disk import (
    PART,
    AppendFile,
    FolderLock,
    FolderTaken,
    erase_lines,
    erase_parts,
    erase_words,
    guarded,
    make_folder,
    new_part,
    private_folder,
    readable,
    sweep_private,
    write_files,
)

HOLDER = """
import sys
from pathlib import Path
from agent.store.disk import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


KEEPER = """
import sys
from agent.store.disk import private_folder
with private_folder() as folder:
    (folder / "secret").write_text("told to nobody")
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow past `size` bytes: the closest thing to a full disk that needs no mount."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EACCES, StorageDenied),
        (errno.EROFS, StorageDenied),
        (errno.ENOTDIR, StorageDenied),
        (errno.EEXIST, StorageDenied),
        (errno.EIO, StorageError),
        (errno.ENOENT, StorageError),
    ],
)
def test_os_errors_get_a_class_that_says_who_acts(tmp_path: Path, number: int, wanted: type[StorageError]) -> None:
    with pytest.raises(StorageError) as caught, guarded(tmp_path):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is wanted
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_files_and_folders_are_for_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    write_files(folder, [("one.txt", [b"1", b"2"])])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "one.txt").stat().st_mode) == 0o600
    assert (folder / "one.txt").read_bytes() == b"12"
    assert [file.name for file in folder.iterdir()] == ["one.txt"]


def test_a_part_is_new_and_its_name_is_known_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_part(tmp_path / "a") as one, new_part(tmp_path / "a") as other, new_part(tmp_path / ("x" * 255)) as long:
        assert one != other
        assert one.name.startswith(".a.")
        assert one.suffix == PART
        assert one.stat().st_mode & 0o777 == 0o600
        assert len(long.name) < 255
        with new_part(tmp_path / ("画" * 85)) as wide:
            assert len(wide.name.encode()) < 255
        other.replace(tmp_path / "a")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    monkeypatch.setattr("secrets.token_hex", lambda size: "same")
    (tmp_path / ".b.same.part").symlink_to("elsewhere")
    with pytest.raises(FileExistsError), new_part(tmp_path / "b"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_part_is_gone_when_an_interrupt_comes_as_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def interrupted(descriptor: int) -> None:
        close(descriptor)
        raise KeyboardInterrupt

    monkeypatch.setattr("os.close", interrupted)
    with pytest.raises(KeyboardInterrupt), new_part(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    make_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_file_in_the_place_of_a_folder_is_denied(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    for path in (tmp_path / "x", tmp_path / "x" / "y"):
        with pytest.raises(StorageDenied):
            make_folder(path)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    with largest_file(1000), pytest.raises(StorageFull):
        write_files(tmp_path, [("small", [b"x"]), ("big", [b"x" * 2000])])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    file = AppendFile(tmp_path / "lines")
    file.append(b"one\n", sync=True)
    with largest_file(10), pytest.raises(StorageFull):
        file.append(b"two, which is too long\n", sync=True)
    file.append(b"three\n", sync=False)
    file.close()
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"one\nthree\n"


def test_a_torn_line_is_ended_by_the_next_and_keeps_no_full_disk_from_being_opened(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntw")
    with largest_file(1):
        file = AppendFile(path)
        with pytest.raises(StorageFull):
            file.append(b"three\n", sync=False)
    assert path.read_bytes() == b"one\ntw"
    for line in (b"three\n", b"four\n"):
        file.append(line, sync=False)
    assert path.read_bytes() == b"one\ntw\nthree\nfour\n"
    file.close()
    path.write_bytes(b"one\ntw")
    file = AppendFile(path)
    file.replace([b"new\n"])
    file.append(b"newer\n", sync=False)
    file.close()
    assert path.read_bytes() == b"new\nnewer\n"


def test_all_lines_are_replaced_and_more_come_after_them(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = AppendFile(path)
    file.append(b"old\n", sync=False)
    file.replace(iter([b"new\n", b"newer\n"]))
    file.append(b"last\n", sync=True)
    assert path.read_bytes() == b"new\nnewer\nlast\n"
    assert file.size() == 15
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()
    with pytest.raises(StorageError, match="closed"):
        file.replace([])
    assert path.read_bytes() == b"new\nnewer\nlast\n"


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FolderTaken, match=f"process {holder.pid}"):
            FolderLock(path)
        holder.kill()
    lock = FolderLock(path)
    with pytest.raises(FolderTaken, match=f"process {os.getpid()}"):
        FolderLock(path)
    lock.close()
    lock.close()
    FolderLock(path).close()


def test_lines_are_overwritten_where_they_stand_then_left_out(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\ntwo\n   \nthree\ntw")
    with file.open("rb") as before:
        assert erase_lines(file, lambda line: line.startswith(b"tw"), lambda line: line == b"one") == (3, 8)
        assert before.read() == b"   \n   \n   \nthree\n  "
    assert file.read_bytes() == b"three\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert erase_lines(file, lambda line: False) == (0, 0)
    assert erase_lines(tmp_path / "absent", lambda line: True) == (0, 0)


def test_words_are_overwritten_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_bytes(b"abc abcabc xyz")
    assert erase_words(file, [b"abc", b"x"]) == 4
    assert file.read_bytes() == b"000 000000 0yz"


def test_parts_are_erased(tmp_path: Path) -> None:
    (tmp_path / f"a.1-1{PART}").write_bytes(b"half")
    (tmp_path / "b").write_bytes(b"whole")
    erase_parts(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["b"]


def test_a_shared_lock_lets_sharers_in_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, other = FolderLock(path, shared=True), FolderLock(path, shared=True)
    other.close()
    with pytest.raises(FolderTaken):
        FolderLock(path)
    one.close()
    alone = FolderLock(path)
    with pytest.raises(FolderTaken):
        FolderLock(path, shared=True)
    alone.close()


def test_parents_are_for_the_owner_only_too(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_private_folder_goes_with_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit), private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "secret").touch()
        sweep_private()
        assert (folder / "secret").exists()
        raise SystemExit
    assert list(tmp_path.iterdir()) == []


def test_where_no_temporary_folder_can_be_made_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "mkdtemp", none)
    with pytest.raises(StorageError) as told, private_folder():
        raise AssertionError("never here")
    assert "TMPDIR" in told.value.hint


def test_a_name_that_is_no_text_is_shown_as_one() -> None:
    assert readable("shop é") == "shop é"
    assert readable(os.fsdecode(b"sh\xffop")) == "sh\\xffop"


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "android-replay-mine").mkdir()
    (tmp_path / "android-replay-file").touch()
    (tmp_path / "android-replay-link").symlink_to(tmp_path / "android-replay-mine")
    others = set(tmp_path.iterdir())
    words = [sys.executable, "-c", KEEPER]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        sweep_private()
        assert (folder / "secret").exists()
        process.kill()
    assert (folder / "secret").exists()
    sweep_private()
    assert set(tmp_path.iterdir()) == others

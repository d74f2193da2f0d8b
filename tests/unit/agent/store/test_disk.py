from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import StorageDenied, StorageError, StorageFull
from agent.store.disk import AppendFile, FolderLock, FolderTaken, guarded, make_folder, write_files

HOLDER = """
import sys
from pathlib import Path
from agent.store.disk import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
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


def test_a_torn_line_is_ended_at_open(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntw")
    file = AppendFile(path)
    file.append(b"three\n", sync=False)
    file.close()
    assert path.read_bytes() == b"one\ntw\nthree\n"


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

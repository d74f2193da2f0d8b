"""Files that are there whole or not at all, readable by their owner only, with the disk's errors in our tree.

Besides the operations that Python itself tells its audit hooks of, writes and fsyncs are told as `agent.store.write`
(path, descriptor, bytes) and `agent.store.sync` (path): a test refuses, tears or ends the process at any of them.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Literal, Protocol, TypeVar, get_args

from agent.errors import StorageDenied, StorageError, StorageFull

if sys.platform != "win32":
    import fcntl

PART = ".part"
_PRIVATE = "android-replay-"
_OWNED = ".owned"
PIECE_BYTES = 1 << 20
# What an append needs: its bytes and the file's size, not the file's times.
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
# What says that a disk knows no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


class FolderTaken(StorageError):
    """Another process holds the folder."""


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into StorageFull, StorageDenied or StorageError about `path`."""
    try:
        yield
    except OSError as error:
        words = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageFull(
                f"No room to write {path}: {words}.", "Free some space, or choose another folder."
            ) from error
        if error.errno in _DENIED or isinstance(error, FileExistsError):
            if isinstance(error, FileExistsError | NotADirectoryError):
                words = "a file is in the way"
            raise StorageDenied(
                f"{path} cannot be written: {words}.", "Choose a folder that you may write to."
            ) from error
        raise StorageError(f"{path}: {words}.", "Check the disk.") from error


def make_folder(path: Path) -> None:
    """Make the folder and its parents, for the owner only; one that exists stays as it is. Raises StorageError."""
    with guarded(path):
        if not path.is_dir():
            if not path.parent.is_dir():
                make_folder(path.parent)
            path.mkdir(mode=0o700, exist_ok=True)
            sync_folder(path.parent)


def write_files(folder: Path, files: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    """Write files so that after any crash each is whole or absent; all are durable on return. Raises StorageError."""
    with guarded(folder):
        # Two writers of one folder must not share a part, or one would rename what the other is still writing.
        mark = f".{os.getpid()}-{threading.get_ident()}{PART}"
        written: list[str] = []
        try:
            for name, chunks in files:
                written.append(name)
                with FileIO(folder / (name + mark), "w", opener=_private) as file:
                    for piece in _pieces(chunks):
                        _write(file, piece)
                    _sync(file)
            for name in written:
                (folder / (name + mark)).replace(folder / name)
        except OSError:
            for name in written:
                (folder / (name + mark)).unlink(missing_ok=True)
            raise
        sync_folder(folder)


@contextmanager
def new_part(path: Path) -> Iterator[Path]:
    """A file beside `path` to become it, empty and for the owner only, by a name that nobody knows before: in a folder
    that others write to a link may lie in wait. Removed when the block ends, by Ctrl-C too, unless it has been renamed.
    Raises OSError."""
    # A name has 255 bytes, not characters.
    known = os.fsdecode(os.fsencode(path.name)[:180]).encode(errors="ignore").decode()
    aside = path.with_name(f".{known}.{secrets.token_hex(8)}{PART}")
    try:
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def take(aside: Path, target: Path) -> bool:
    """Give a finished file a name that nobody has; whether it was free. Raises OSError."""
    try:
        os.link(aside, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        aside.replace(target)
    return True


def readable(name: str) -> str:
    """A name or an argument as a text that can be written: its bytes that are no UTF-8 are shown as such."""
    return os.fsencode(name).decode(errors="backslashreplace")


def overwrite(file: Path) -> None:
    """Write zeros over a file, then delete it. Raises OSError."""
    with FileIO(file, "r+") as stream:
        left = file.stat().st_size
        while left > 0:
            size = min(left, 1 << 20)
            _write(stream, bytes(size))
            left -= size
        _sync(stream)
    file.unlink()


def erase_lines(file: Path, *gone: Callable[[bytes], bool]) -> tuple[int, int]:
    """Overwrite lines with spaces where they stand, then leave them out: the numbers of lines and of bytes.

    First all that the first test tells, then all that the next does. A file that is absent has none. What a crash
    interrupts the next call finishes. Nobody else may have the file open to write. Raises StorageError.
    """
    lines = size = 0
    with guarded(file):
        if not file.exists():
            return 0, 0
        with file.open("r+b") as stream:
            for test in gone:
                at = 0
                stream.seek(0)
                while line := stream.readline():
                    text = line.rstrip(b"\n")
                    if text.strip() and test(text):
                        stream.seek(at)
                        stream.write(b" " * len(text))
                        stream.seek(at + len(line))
                        lines, size = lines + 1, size + len(text)
                    at += len(line)
                stream.flush()
                sys.audit("agent.store.sync", str(file))
                os.fsync(stream.fileno())
        with file.open("rb") as stream:
            if any(not line.strip() for line in stream):
                stream.seek(0)
                write_files(file.parent, [(file.name, (line for line in stream if line.strip()))])
    return lines, size


def erase_words(file: Path, words: Iterable[bytes]) -> int:
    """Write zeros ("0") over every place where one of `words` stands in a file; returns how many. Raises
    StorageError."""
    count = 0
    with guarded(file), file.open("r+b") as stream:
        data = stream.read()
        for word in words:
            at = data.find(word)
            while at >= 0:
                stream.seek(at)
                stream.write(b"0" * len(word))
                count += 1
                at = data.find(word, at + len(word))
        stream.flush()
        sys.audit("agent.store.sync", str(file))
        os.fsync(stream.fileno())
    return count


def erase_parts(folder: Path) -> None:
    """Overwrite and delete what crashes left of files on their way into this folder. Nobody else may write there.
    Raises StorageError."""
    with guarded(folder):
        for file in folder.glob(f"*{PART}"):
            overwrite(file)
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in the folder durable. Windows cannot, and does not need to for readers' sake."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sys.audit("agent.store.sync", str(folder))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class GrowingFile:
    """A file that only grows, by whole appends. One thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Opens the file, making it when absent. Raises StorageError."""
        self._path = path
        with guarded(path):
            self._file = FileIO(path, "a+", opener=_private)

    def append(self, data: bytes, sync: bool) -> None:
        """Add bytes, durable on return if `sync`. Raises StorageError, with nothing added."""
        if self._file.closed:
            raise StorageError(f"{self._path} is closed.")
        with guarded(self._path):
            size = self._file.seek(0, os.SEEK_END)
            try:
                _write(self._file, data)
                if sync:
                    sys.audit("agent.store.sync", str(self._path))
                    _datasync(self._file.fileno())
            except OSError:
                self._file.truncate(size)
                raise

    def close(self) -> None:
        """Idempotent."""
        self._file.close()


class AppendFile(GrowingFile):
    """One that grows by whole lines, newlines included."""

    def __init__(self, path: Path) -> None:
        """Opens the file, making it when absent. Raises StorageError."""
        super().__init__(path)
        # A crash has torn the last line. It is ended by the next one: a full disk is no reason not to open the file.
        self._torn = False
        with guarded(path):
            size = self._file.seek(0, os.SEEK_END)
            if size:
                self._file.seek(size - 1)
                self._torn = self._file.read(1) != b"\n"

    def append(self, data: bytes, sync: bool) -> None:
        super().append(b"\n" + data if self._torn else data, sync)
        self._torn = False

    def replace(self, lines: Iterable[bytes]) -> None:
        """Have these whole lines in the place of all that is there; durable on return.

        Raises StorageError, with the old ones in place; if it cannot be opened again it is closed.
        """
        if self._file.closed:
            raise StorageError(f"{self._path} is closed.")
        write_files(self._path.parent, [(self._path.name, lines)])
        # What is written to the old one is lost from here on. Its descriptor is free for the new one.
        self._file.close()
        self._torn = False
        with guarded(self._path):
            self._file = FileIO(self._path, "a+", opener=_private)

    def size(self) -> int:
        """In bytes. Raises StorageError."""
        with guarded(self._path):
            return self._path.stat().st_size


class FolderLock:
    """A process's claim on a folder, gone with the process however it ends.

    Where the platform has no `fcntl` the lock is not enforced.
    """

    def __init__(self, path: Path, shared: bool = False, mark: bool = True) -> None:
        """Takes the lock, for this process alone or `shared` with others that do the same. Without `mark` its file,
        which must be there, is left as it is. Raises FolderTaken naming a holder's process id when it cannot be had."""
        with guarded(path):
            self._file = FileIO(path, "a+", opener=_private) if mark else FileIO(path)
        try:
            if sys.platform != "win32":
                fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read(32).decode("ascii", "replace").strip() or "unknown"
            self._file.close()
            raise FolderTaken(
                f"{path.parent} is in use by process {holder}.", "Stop that process, or choose another folder."
            ) from error
        except OSError as error:
            self._file.close()
            raise StorageError(
                f"{path} cannot be locked: {error.strerror}.", "Choose a folder on a disk of this host."
            ) from error
        if not mark:
            return
        # The holder's number is for people: a full disk must not keep the folder from being opened.
        with suppress(OSError):
            self._file.truncate(0)
            self._file.write(str(os.getpid()).encode())

    def close(self) -> None:
        """Let go; idempotent."""
        self._file.close()


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for its owner only among the temporary ones, removed when the block ends. What a process that is killed
    leaves, `sweep_private` removes. Raises StorageError when there is no place for one."""
    try:
        base = Path(tempfile.mkdtemp(prefix=_PRIVATE, suffix=PART))
    except OSError as error:
        # Where none can be written Python names no folder.
        where = f"in {tempfile.tempdir}" if tempfile.tempdir else "in any of the system's"
        raise StorageFull(
            f"No temporary folder can be made {where}: {error.strerror}.", "Free some space, or set TMPDIR to a folder."
        ) from error
    lock: FolderLock | None = None
    try:
        if sys.platform != "win32":
            # Where a disk knows no locks nothing is swept.
            with suppress(StorageError):
                lock = FolderLock(base / _OWNED)
        # Nobody sweeps it before it is locked.
        base = base.rename(base.with_suffix(""))
        yield base
    finally:
        shutil.rmtree(base)
        if lock is not None:
            lock.close()


def sweep_private() -> None:
    """Remove this user's private folders whose process has ended without removing them."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        for place in Path(tempfile.gettempdir()).glob(f"{_PRIVATE}*"):
            with suppress(OSError, StorageError):
                known = place.lstat()
                if stat.S_ISDIR(known.st_mode) and known.st_uid == os.getuid() and place.suffix != PART:
                    # Without this file it is none of them.
                    (place / _OWNED).lstat()
                    lock = FolderLock(place / _OWNED)
                    try:
                        shutil.rmtree(place)
                    finally:
                        lock.close()


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer, larger pieces."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _write(file: FileIO, data: bytes) -> None:
    sys.audit("agent.store.write", str(file.name), file.fileno(), data)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _sync(file: FileIO) -> None:
    sys.audit("agent.store.sync", str(file.name))
    os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def alive(pid: int) -> bool:
    """Whether a process of this machine runs that has this number; one that ended and was not fetched yet does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


class Closing(Protocol):
    """What holds a folder until it is closed."""

    def close(self) -> None: ...


Held = TypeVar("Held", bound=Closing)
Fit = Literal["best", "good", "poor"]
_FITS: tuple[Fit, ...] = get_args(Fit)


def open_free(folder: Path, limit: int, opened: Callable[[Path], Held], fit: Callable[[Held], Fit]) -> Held | None:
    """Of `folder`/1 to `folder`/`limit` the first that no other process holds, of those that fit as well as any.

    `opened` opens one and raises FolderTaken for one that is held. A new one is "good". None when all are held. Raises
    StorageError.
    """
    make_folder(folder)
    free: tuple[Fit, Held] | None = None
    for number in range(1, limit + 1):
        place = folder / str(number)
        if free is not None and free[0] != "poor" and not place.exists():
            continue
        try:
            held = opened(place)
        except FolderTaken:
            continue
        except StorageError:
            if free is not None:
                free[1].close()
            raise
        found = fit(held)
        if free is not None and _FITS.index(free[0]) <= _FITS.index(found):
            held.close()
            continue
        if free is not None:
            free[1].close()
        free = found, held
        if found == "best":
            break
    return None if free is None else free[1]

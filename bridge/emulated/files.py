"""The file tree of an emulated phone, in memory. Failures are `OSError` with the errno that a phone gives."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bridge.emulated.clock import DeviceClock
from bridge.emulated.faults import Faults

_WRITABLE = (["data"], ["storage"], ["sdcard"])
_MAX_LINKS = 8


@dataclass(slots=True)
class Inode:
    """A file, folder or link. `mtime` in epoch seconds; `source` makes the content at each read, `entry` what a folder
    has under a name beside its `children`."""

    ino: int
    mode: int
    mtime: int
    data: bytearray = field(default_factory=bytearray)
    children: dict[str, Inode] = field(default_factory=dict)
    target: str = ""
    source: Callable[[], bytes] | None = None
    entry: Callable[[str], dict[str, Callable[[], bytes]] | None] | None = None

    @property
    def size(self) -> int:
        if stat.S_ISDIR(self.mode):
            return 4096
        return 0 if self.source else len(self.target or self.data)


class FileTree:
    """Folders, files, links, and files whose content is made at each read (/proc/uptime).

    Only /data and /storage can be written; `faults.disk_full` and `faults.read_only` hold there.
    """

    def __init__(self, clock: DeviceClock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._inodes = 0
        self._root = self._inode(stat.S_IFDIR | 0o755)
        self._sealed = False

    def seal(self) -> None:
        """End of the factory: from now on the system partitions are read-only."""
        self._sealed = True

    def mkdir(self, path: str, *, parents: bool = False) -> None:
        names = _split(path)
        node = self._root
        for index, name in enumerate(names):
            child = node.children.get(name)
            last = index == len(names) - 1
            if child is not None and child.target:
                child = self._find(_target(names[:index], child))
            if child is None:
                if not last and not parents:
                    raise _error(errno.ENOENT, path)
                self._check(path)
                child = node.children[name] = self._inode(stat.S_IFDIR | 0o771)
            elif not stat.S_ISDIR(child.mode):
                raise _error(errno.ENOTDIR, path)
            elif last and not parents:
                raise _error(errno.EEXIST, path)
            node = child

    def link(self, path: str, target: str) -> None:
        folder, name = self._parent(path)
        self._check(path)
        if name in folder.children:
            raise _error(errno.EEXIST, path)
        node = folder.children[name] = self._inode(stat.S_IFLNK | 0o777)
        node.target = target

    def serve(self, path: str, source: Callable[[], bytes]) -> None:
        """A read-only file whose content `source` makes."""
        folder, name = self._parent(path)
        node = folder.children[name] = self._inode(stat.S_IFREG | 0o444)
        node.source = source

    def serve_folders(self, path: str, entry: Callable[[str], dict[str, Callable[[], bytes]] | None]) -> None:
        """Folders in one that is there (/proc/1234): `entry` tells the files of the one of a name, None for no such
        folder. They are not listed."""
        self._find(path).entry = entry

    def stat(self, path: str, *, follow: bool = True) -> Inode:
        return self._find(path, follow=follow)

    def exists(self, path: str) -> bool:
        try:
            self._find(path)
        except OSError:
            return False
        return True

    def is_dir(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(self._find(path).mode)
        except OSError:
            return False

    def read(self, path: str) -> bytes:
        node = self._find(path)
        if stat.S_ISDIR(node.mode):
            raise _error(errno.EISDIR, path)
        return node.source() if node.source else bytes(node.data)

    def write(self, path: str, data: bytes | bytearray, *, append: bool = False, mode: int = 0o644,
              mtime: int | None = None) -> None:  # fmt: skip
        """Create or replace a file. `mode` counts for a new file only."""
        if path == "/dev/null":
            return
        folder, name = self._parent(path)
        self._check(path)
        node = folder.children.get(name)
        if node is not None and node.target:
            node = self._find(path)
        if node is None:
            node = folder.children[name] = self._inode(stat.S_IFREG | (mode & 0o7777))
        if stat.S_ISDIR(node.mode):
            raise _error(errno.EISDIR, path)
        if node.source:
            raise _error(errno.EACCES, path)
        if data and self._faults.disk_full:
            raise _error(errno.ENOSPC, path)
        if not append:
            node.data = bytearray()
        node.data += data
        node.mtime = self._now() if mtime is None else mtime

    def listdir(self, path: str) -> Iterator[tuple[str, Inode]]:
        """Names in order; ENOTDIR for a file."""
        node = self._find(path)
        if not stat.S_ISDIR(node.mode):
            raise _error(errno.ENOTDIR, path)
        yield from sorted(node.children.items())

    def remove(self, path: str, *, recursive: bool = False) -> None:
        folder, name = self._parent(path)
        node = folder.children.get(name)
        if node is None:
            raise _error(errno.ENOENT, path)
        self._check(path)
        if stat.S_ISDIR(node.mode) and not recursive:
            raise _error(errno.EISDIR, path)
        del folder.children[name]

    def chmod(self, path: str, mode: int) -> None:
        node = self._find(path)
        self._check(path)
        node.mode = stat.S_IFMT(node.mode) | (mode & 0o7777)

    def move(self, old: str, new: str) -> None:
        folder, name = self._parent(old)
        node = folder.children.get(name)
        if node is None:
            raise _error(errno.ENOENT, old)
        if self.is_dir(new):
            new = f"{new.rstrip('/')}/{name}"
        self._check(old)
        self._check(new)
        target, to = self._parent(new)
        if _split(new)[: len(_split(old))] == _split(old):
            raise _error(errno.EINVAL, new)
        del folder.children[name]
        target.children[to] = node

    def _find(self, path: str, *, follow: bool = True, depth: int = 0) -> Inode:
        if depth > _MAX_LINKS:
            raise _error(errno.ELOOP, path)
        node = self._root
        names = _split(path)
        for index, name in enumerate(names):
            if not stat.S_ISDIR(node.mode):
                raise _error(errno.ENOTDIR, path)
            child = node.children.get(name) or self._made(node, name)
            if child is None:
                raise _error(errno.ENOENT, path)
            if child.target and (follow or index < len(names) - 1):
                child = self._find(_target(names[:index], child), depth=depth + 1)
            node = child
        return node

    def _made(self, folder: Inode, name: str) -> Inode | None:
        files = folder.entry(name) if folder.entry is not None else None
        if files is None:
            return None
        made = self._inode(stat.S_IFDIR | 0o555)
        for each, source in files.items():
            made.children[each] = self._inode(stat.S_IFREG | 0o444)
            made.children[each].source = source
        return made

    def _parent(self, path: str) -> tuple[Inode, str]:
        names = _split(path)
        if not names:
            raise _error(errno.EBUSY, path)
        folder = self._find("/" + "/".join(names[:-1]))
        if not stat.S_ISDIR(folder.mode):
            raise _error(errno.ENOTDIR, path)
        return folder, names[-1]

    def _check(self, path: str) -> None:
        if not self._sealed:
            return
        if _split(path)[:1] not in _WRITABLE or self._faults.read_only:
            raise _error(errno.EROFS, path)

    def _inode(self, mode: int) -> Inode:
        self._inodes += 1
        return Inode(self._inodes, mode, self._now())

    def _now(self) -> int:
        return max(0, self._clock.wall_ns() // 1_000_000_000)


def _split(path: str) -> list[str]:
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return names


def _target(folder: list[str], link: Inode) -> str:
    """Where a link in `folder` leads."""
    return link.target if link.target.startswith("/") else "/".join(["", *folder, link.target])


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)

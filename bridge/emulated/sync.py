"""The `sync:` service, versions 1 and 2 (AOSP SYNC.TXT, file_sync_protocol.h): a byte stream of requests."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import struct

from bridge.emulated.files import FileTree, Inode
from bridge.emulated.wire import Stream

MAX_DATA = 64 * 1024
_SENT_DATA = MAX_DATA - 8  # what adbd fills in its buffer of 64 KiB behind the header
_MAX_PATH = 1024
_HEAD = struct.Struct("<4sI")
_STAT1 = struct.Struct("<4sIII")
_DENT1 = struct.Struct("<4sIIII")
_STAT2 = struct.Struct("<4sIQQIIIIQqqq")
_DENT2 = struct.Struct("<4sIQQIIIIQqqqI")
_DEVICE = 0xFE00
_SHELL_UID = 2000


class SyncSession:
    """One open `sync:` stream. Ends at QUIT, at an unknown request, or when the host closes."""

    def __init__(self, stream: Stream, files: FileTree) -> None:
        self._stream = stream
        self._reader = stream.reader
        self._files = files

    async def run(self) -> None:
        while True:
            try:
                request, length = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                if request == b"QUIT":
                    return
                if length > _MAX_PATH:
                    self._fail("path too long")
                    return
                path = (await self._reader.readexactly(length)).decode(errors="surrogateescape")
                if not await self._serve(request, path):
                    self._fail(f"unknown command {request.decode('latin-1')}")
                    return
            except asyncio.IncompleteReadError:
                return
            self._stream.flush()

    async def _serve(self, request: bytes, path: str) -> bool:
        match request:
            case b"STAT":
                self._stream.write(self._stat1(path))
            case b"STA2" | b"LST2":
                self._stream.write(self._stat2(request, path))
            case b"LIST":
                self._list1(path)
            case b"LIS2":
                self._list2(path)
            case b"SEND":
                path, _, mode = path.rpartition(",")
                await self._receive(path, int(mode) if mode.isdigit() else 0o644)
            case b"SND2":
                _, mode2, flags = struct.unpack("<4sII", await self._reader.readexactly(12))
                await self._receive(path, mode2, "unsupported compression" if flags & 7 else "")
            case b"RECV":
                await self._send(path)
            case b"RCV2":
                await self._reader.readexactly(8)
                await self._send(path)
            case _:
                return False
        return True

    def _fail(self, text: str) -> None:
        data = text.encode()
        self._stream.write(_HEAD.pack(b"FAIL", len(data)) + data)

    def _stat1(self, path: str) -> bytes:
        try:
            node = self._files.stat(path, follow=False)
        except OSError:
            return _STAT1.pack(b"STAT", 0, 0, 0)
        return _STAT1.pack(b"STAT", node.mode, node.size & 0xFFFFFFFF, node.mtime & 0xFFFFFFFF)

    def _stat2(self, request: bytes, path: str) -> bytes:
        try:
            node = self._files.stat(path, follow=request == b"STA2")
        except OSError as error:
            return _STAT2.pack(request, error.errno or errno.EIO, *[0] * 10)
        return _STAT2.pack(request, *_facts(node))

    def _list1(self, path: str) -> None:
        for name, node in self._entries(path):
            data = name.encode(errors="surrogateescape")
            head = _DENT1.pack(b"DENT", node.mode, node.size & 0xFFFFFFFF, node.mtime & 0xFFFFFFFF, len(data))
            self._stream.write(head + data)
        self._stream.write(_DENT1.pack(b"DONE", *[0] * 4))

    def _list2(self, path: str) -> None:
        for name, node in self._entries(path):
            data = name.encode(errors="surrogateescape")
            self._stream.write(_DENT2.pack(b"DNT2", *_facts(node), len(data)) + data)
        self._stream.write(_DENT2.pack(b"DONE", *[0] * 12))

    def _entries(self, path: str) -> list[tuple[str, Inode]]:
        try:
            node = self._files.stat(path)
            return [(".", node), ("..", node), *self._files.listdir(path)]
        except OSError:
            # The real adbd lists nothing for what it cannot open.
            return []

    async def _receive(self, path: str, mode: int, problem: str = "") -> None:
        """A file comes in: DATA until DONE. After a failure the rest is read and dropped, as adbd does."""
        target = bytearray()
        problem = problem or self._begin(path, mode)
        if problem:
            self._fail(problem)
            self._stream.flush()
        while True:
            kind, number = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if kind == b"DONE":
                break
            if kind != b"DATA" or number > MAX_DATA:
                if not problem:
                    self._fail("invalid data message")
                return
            data = await self._reader.readexactly(number)
            if problem:
                continue
            try:
                if stat.S_ISLNK(mode):
                    target += data
                else:
                    self._files.write(path, data, append=True)
            except OSError as error:
                problem = f"write failed: {error.strerror}"
                self._fail(problem)
                self._stream.flush()
        if not problem:
            self._finish(path, mode, number, bytes(target))

    def _begin(self, path: str, mode: int) -> str:
        """Make the folders and an empty file; what went wrong, or ""."""
        folder = path.rpartition("/")[0]
        try:
            if folder and not self._files.exists(folder):
                self._files.mkdir(folder, parents=True)
        except OSError as error:
            return f"secure_mkdirs failed: {error.strerror}"
        try:
            if stat.S_ISLNK(mode):
                if self._files.exists(path):
                    self._files.remove(path)
            else:
                # adbd gives the owner's rights to group and others.
                self._files.write(path, b"", mode=(mode >> 6 & 7) * 0o111 | mode & 0o777)
        except OSError as error:
            return f"couldn't create file: {error.strerror}"
        return ""

    def _finish(self, path: str, mode: int, mtime: int, target: bytes) -> None:
        try:
            if stat.S_ISLNK(mode):
                self._files.link(path, target.rstrip(b"\0").decode(errors="surrogateescape"))
            else:
                self._files.write(path, b"", append=True, mtime=mtime)
        except OSError as error:
            self._fail(f"couldn't create symlink: {error.strerror}")
            return
        self._stream.write(_HEAD.pack(b"OKAY", 0))

    async def _send(self, path: str) -> None:
        try:
            data = memoryview(self._files.read(path))
        except OSError as error:
            verb = "read" if error.errno == errno.EISDIR else "open"
            self._fail(f"{verb} failed: {os.strerror(error.errno or errno.EIO)}")
            return
        for start in range(0, len(data), _SENT_DATA):
            chunk = data[start : start + _SENT_DATA]
            self._stream.write(_HEAD.pack(b"DATA", len(chunk)) + bytes(chunk))
            await self._stream.drain()
        self._stream.write(_HEAD.pack(b"DONE", 0))


def _facts(node: Inode) -> tuple[int, ...]:
    """error, dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime."""
    folders = sum(stat.S_ISDIR(child.mode) for child in node.children.values())
    links = 2 + folders if stat.S_ISDIR(node.mode) else 1
    return (
        0, _DEVICE, node.ino, node.mode, links, _SHELL_UID, _SHELL_UID, node.size, node.mtime, node.mtime, node.mtime,
    )  # fmt: skip

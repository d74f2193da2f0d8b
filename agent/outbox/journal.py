"""What is written into segments that are still open, so that a recorder that is killed loses what it had not yet
appended of them only: some three seconds (it waits two before it writes, with a relay 35, and appends every second).

    drafts/<id>.draft       one file a segment, gone once the segment is sealed and in the queue

A file only grows, by whole records: 4 bytes that name the form, the body's length and its xxh3_64 (8 bytes each, big
endian), the body. A body is a line of JSON (`sinks`, `manifest` of all so far, sizes of what follows), events one a
line, pictures; after it zeros up to whole blocks, since a disk writes no less. Each record stands for a whole append:
what a crash tears off the end is one append at most.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import xxhash

from agent.errors import RecordingError, StorageError
from agent.model import Draft, Picture, SegmentManifest
from agent.replay.segment import draft_id
from agent.store.disk import GrowingFile, guarded, make_folder
from agent.store.schema import StoredManifest, check_digest, manifest_document, read_manifest

FOLDER = "drafts"
SUFFIX = ".draft"
# What a power cut may take besides what a kill takes.
SYNC_SECONDS = 5.0
_FORM = b"ARD1"
_RECORD = struct.Struct(">4sQQ")
_BLOCK_BYTES = 4096
# An empty id is none; nobody sees this one.
_NO_ID = "0" * 32


@dataclass(frozen=True, slots=True)
class Opened:
    """An open segment as its file has it. `torn` = the last append is not whole, `damaged` = one before it."""

    manifest: SegmentManifest
    sinks: tuple[str, ...]
    events: tuple[bytes, ...]
    pictures: dict[str, Picture]
    torn: bool = False
    damaged: bool = False


@dataclass(slots=True)
class _Writing:
    file: GrowingFile | None = None
    waiting: list[bytes] = field(default_factory=list)
    synced: float = 0.0


class Journal:
    """The folder of drafts. Appends to one segment come from one thread at a time, those to several from any."""

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        self.folder = folder / FOLDER
        make_folder(self.folder)
        self._lock = threading.Lock()
        self._open: dict[str, _Writing] = {}
        with guarded(self.folder):
            self._sizes = {name: file.stat().st_size for name, file in drafts(folder).items()}

    def append(
        self,
        draft: Draft,
        sinks: tuple[str, ...],
        sync: bool | None = None,
        check: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Add to a segment's file. It survives this process on return, and a power cut if `sync`; None = now and then.

        `check` is told how many bytes are to be written, and raises StorageError if they are not to be. Raises
        StorageError; then it is kept, to be written with the next.
        """
        name = draft_id(draft.manifest)
        with self._lock:
            writing = self._open.setdefault(name, _Writing())
        writing.waiting += encode(draft, sinks)
        size = sum(map(len, writing.waiting))
        check(size)
        if writing.file is None:
            writing.file = GrowingFile(self.folder / (name + SUFFIX))
        now = time.monotonic()
        due = now - writing.synced >= SYNC_SECONDS if sync is None else sync
        writing.file.append(b"".join(writing.waiting), due)
        writing.waiting.clear()
        if due:
            writing.synced = now
        with self._lock:
            self._sizes[name] = self._sizes.get(name, 0) + size

    def park(self, name: str) -> None:
        """Nothing more comes for this draft, and its segment is not stored yet: no descriptor and no memory is held for
        it, its file stays. Idempotent."""
        with self._lock:
            writing = self._open.pop(name, None)
        if writing is not None and writing.file is not None:
            writing.file.close()

    def size(self, name: str | None = None) -> int:
        """Bytes on the disk, of one draft or of all."""
        with self._lock:
            return sum(self._sizes.values()) if name is None else self._sizes.get(name, 0)

    def holds(self, name: str) -> bool:
        """Whether the segment of this draft id has a file that a power cut leaves, too: it names the sinks."""
        with self._lock:
            writing = self._open.get(name)
            return writing is not None and writing.synced > 0

    def discard(self, name: str) -> None:
        """The segment is stored elsewhere, or nobody wants it: its file goes. Idempotent. Raises StorageError."""
        self.park(name)
        with guarded(self.folder):
            (self.folder / (name + SUFFIX)).unlink(missing_ok=True)
        with self._lock:
            self._sizes.pop(name, None)

    def close(self) -> None:
        """Idempotent. What is there stays."""
        with self._lock:
            for writing in self._open.values():
                if writing.file is not None:
                    if writing.waiting:
                        with suppress(StorageError):
                            writing.file.append(b"".join(writing.waiting), sync=True)
                    writing.file.close()
            self._open.clear()


def drafts(folder: Path) -> dict[str, Path]:
    """The drafts in a spool's folder, by id, in the order of their names. Raises StorageError."""
    place = folder / FOLDER
    with guarded(place):
        return {file.stem: file for file in sorted(place.glob(f"*{SUFFIX}"))} if place.is_dir() else {}


def encode(draft: Draft, sinks: Iterable[str]) -> list[bytes]:
    """A record, in pieces."""
    head = orjson.dumps(
        {
            "sinks": list(sinks),
            "manifest": manifest_document(_stored(draft.manifest)),
            "events": sum(len(event) + 1 for event in draft.events),
            "pictures": [[shown.digest, shown.media_type, len(shown.data)] for shown in draft.pictures.values()],
        }
    )
    lines = b"".join(event + b"\n" for event in draft.events)
    pieces = [head, b"\n", lines, *(shown.data for shown in draft.pictures.values())]
    content = xxhash.xxh3_64()
    for piece in pieces:
        content.update(piece)
    size = sum(map(len, pieces))
    padding = bytes(-(_RECORD.size + size) % _BLOCK_BYTES)
    return [_RECORD.pack(_FORM, size, content.intdigest()), *pieces, padding]


def read(file: Path) -> Opened | None:
    """What the appends to a file make; None when none is whole, or it is gone. What is damaged ends it.

    Raises RecordingError when a newer version of this program wrote it, other StorageError when it cannot be read.
    """
    with guarded(file):
        try:
            data = memoryview(file.read_bytes())
        except FileNotFoundError:
            # Its recorder has sealed the segment meanwhile.
            return None
    manifest: SegmentManifest | None = None
    sinks: tuple[str, ...] = ()
    events: list[bytes] = []
    pictures: dict[str, Picture] = {}
    at = 0
    torn = damaged = False
    while at < len(data):
        form, size, digest = _RECORD.unpack_from(data, at) if len(data) - at >= _RECORD.size else (_FORM, len(data), 0)
        if form != _FORM and form[:3] == _FORM[:3]:
            raise RecordingError(
                f"{file}: Written by a newer version of this program.",
                "Install a newer version of android-replay-agent.",
            )
        body = data[at + _RECORD.size : at + _RECORD.size + size]
        if form != _FORM or len(body) < size or xxhash.xxh3_64_intdigest(body) != digest:
            torn, damaged = len(body) < size, len(body) >= size or form != _FORM
            break
        try:
            document, more, shown = _decode(body)
            manifest = read_manifest(document["manifest"]).manifest
            sinks = tuple(document["sinks"])
        except (RecordingError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            damaged = True
            break
        events += more
        pictures |= shown
        at += -(-(_RECORD.size + size) // _BLOCK_BYTES) * _BLOCK_BYTES
    return None if manifest is None else Opened(manifest, sinks, tuple(events), pictures, torn, damaged)


def _decode(body: memoryview) -> tuple[dict[str, Any], list[bytes], dict[str, Picture]]:
    """Raises RecordingError, ValueError, KeyError, TypeError."""
    line = bytes(body[: _line_end(body)])
    document = orjson.loads(line)
    at = len(line) + 1
    events = bytes(body[at : at + document["events"]]).split(b"\n")[:-1]
    at += document["events"]
    pictures: dict[str, Picture] = {}
    for digest, media_type, size in document["pictures"]:
        pictures[check_digest(digest)] = Picture(digest, str(media_type), bytes(body[at : at + size]))
        at += size
    return document, events, pictures


def _line_end(body: memoryview, step: int = 4096) -> int:
    for start in range(0, len(body), step):
        found = bytes(body[start : start + step]).find(b"\n")
        if found >= 0:
            return start + found
    return len(body)


def _stored(manifest: SegmentManifest) -> StoredManifest:
    return StoredManifest(replace(manifest, id=_NO_ID), 0, "")

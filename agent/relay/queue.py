"""Batches that Segment has not taken yet, on disk: one file each, whole or not there, in the order they came.

A file is the CRC-32 of all that follows in 8 hex digits, a space, a line of JSON (write key, headers, count of events),
and the body as it goes on. The app was told that a batch is safe once its file is durable, so a file leaves only when
Segment took it; one that Segment refused for good is kept in `refused`, one that the disk damaged in `damaged`.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from agent.errors import StorageError, StorageFull
from agent.store import disk
from agent.store.disk import PART, FolderLock, guarded, make_folder, sync_folder, write_files

BUDGET_BYTES = 256 << 20
QUEUES = 256
REFUSED = "refused"
DAMAGED = "damaged"
_NAME = re.compile(r"([0-9]{16})\.batch")
_KEPT_NAME = re.compile(r"([0-9]{16})[-0-9]*\.batch")


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch on its way: the body and headers as they go on, and how many events are in it (0 if not known)."""

    write_key: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    events: int


class Queue:
    """The open folder, for this process alone. Any thread; each call is short but for the disk."""

    def __init__(self, folder: Path, budget: int = BUDGET_BYTES) -> None:
        """Reads what an earlier run left. Raises StorageError; FolderTaken when another process has the folder."""
        make_folder(folder)
        self._folder = folder
        self._budget = budget
        self._using = threading.Lock()
        self._lanes: OrderedDict[str, deque[int]] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._events: dict[int, int] = {}
        self._refused = 0
        self._refused_bytes = 0
        self.damaged = 0
        self._next = 1
        self._lock = FolderLock(folder / "lock")
        with ExitStack() as undo:
            undo.callback(self._lock.close)
            self._recover()
            undo.pop_all()

    def close(self) -> None:
        """Let go of the folder; idempotent."""
        self._lock.close()

    @property
    def batches(self) -> int:
        """How many wait."""
        return len(self._sizes)

    @property
    def events(self) -> int:
        """How many events wait, as far as the batches could be read."""
        return sum(self._events.copy().values())

    @property
    def refused(self) -> int:
        """How many batches Segment refused after the app had been told that they are safe."""
        return self._refused

    def lanes(self) -> tuple[str, ...]:
        """The write keys that batches wait for."""
        with self._using:
            return tuple(key for key, lane in self._lanes.items() if lane)

    def waiting(self, write_key: str) -> bool:
        """Whether a batch of this key waits."""
        with self._using:
            return bool(self._lanes.get(write_key))

    def put(self, parcel: Parcel) -> None:
        """Keep a batch behind those of its key; durable on return. Raises StorageFull, StorageError: not kept."""
        data = _encode(parcel)
        with self._using:
            if sum(self._sizes.values()) + self._refused_bytes + len(data) > self._budget:
                raise StorageFull(
                    f"The relay's queue in {self._folder} is full: {len(self._sizes)} batches.",
                    "Is Segment reachable from this host? They are sent as soon as it is.",
                )
            number = self._next
            write_files(self._folder, [(_name(number), [data])])
            self._next += 1
            self._enter(number, parcel, len(data))

    def first(self, write_key: str) -> tuple[int, Parcel] | None:
        """The oldest batch of a key and its number; None when none waits. One that got damaged is put aside."""
        with self._using:
            lane = self._lanes.get(write_key)
            while lane:
                parcel = self._read(lane[0])
                if parcel is not None:
                    return lane[0], parcel
                self._aside(lane[0], DAMAGED, _name(lane[0]))
        return None

    def remove(self, number: int) -> None:
        """Segment took it. A crash may bring it back: its message ids make the repeat harmless. Raises StorageError."""
        with self._using:
            path = self._folder / _name(number)
            with guarded(path):
                path.unlink(missing_ok=True)
            self._forget(number)

    def refuse(self, number: int, status: int) -> Path:
        """Segment will never take it: it is kept apart, for a person to look at. Where. Raises StorageError."""
        with self._using:
            return self._aside(number, REFUSED, f"{number:016d}-{status}.batch")

    def _recover(self) -> None:
        with guarded(self._folder):
            found = sorted(self._folder.iterdir())
            kept = [path for place in (REFUSED, DAMAGED) for path in (self._folder / place).glob("*.batch")]
            for path in kept:
                match = _KEPT_NAME.fullmatch(path.name)
                if match is not None:
                    self._next = max(self._next, int(match[1]) + 1)
                if path.parent.name == REFUSED:
                    self._refused += 1
                    self._refused_bytes += path.stat().st_size
        for path in found:
            match = _NAME.fullmatch(path.name)
            if match is None:
                if path.name.endswith(PART):
                    # A crash while it was written: nobody was told that it is safe.
                    with guarded(path):
                        path.unlink(missing_ok=True)
                continue
            number = int(match[1])
            self._next = max(self._next, number + 1)
            parcel = self._read(number)
            if parcel is None:
                self._aside(number, DAMAGED, path.name)
                continue
            with guarded(path):
                self._enter(number, parcel, path.stat().st_size)

    def _read(self, number: int) -> Parcel | None:
        path = self._folder / _name(number)
        with guarded(path):
            try:
                return _decode(path.read_bytes())
            except FileNotFoundError:
                return None

    def _enter(self, number: int, parcel: Parcel, size: int) -> None:
        self._lanes.setdefault(parcel.write_key, deque()).append(number)
        self._sizes[number] = size
        self._events[number] = parcel.events

    def _forget(self, number: int) -> None:
        self._sizes.pop(number, None)
        self._events.pop(number, None)
        for key, lane in list(self._lanes.items()):
            if number in lane:
                lane.remove(number)
            if not lane:
                del self._lanes[key]

    def _aside(self, number: int, place: str, name: str) -> Path:
        """Keep a batch apart. It is counted once it is there: until then it waits, and this is tried again."""
        make_folder(self._folder / place)
        target = self._folder / place / name
        with guarded(target):
            source = self._folder / _name(number)
            if source.exists():
                source.replace(target)
            if place == REFUSED:
                self._refused += 1
                self._refused_bytes += self._sizes.get(number, 0)
            else:
                self.damaged += 1
            self._forget(number)
            sync_folder(self._folder)
        return target


def open_queue(folder: Path, budget: int = BUDGET_BYTES) -> Queue:
    """A queue below `folder` (`1`, `2`, ...) that no other process uses; one in which batches wait comes first.

    Raises StorageError when none can be opened.
    """
    free = disk.open_free(
        folder, QUEUES, lambda place: Queue(place, budget), lambda queue: "best" if queue.batches else "good"
    )
    if free is None:
        raise StorageError(f"All {QUEUES} queues in {folder} are in use.", "Stop one of the relays.")
    return free


def _name(number: int) -> str:
    return f"{number:016d}.batch"


def _encode(parcel: Parcel) -> bytes:
    head = {"v": 1, "write_key": parcel.write_key, "headers": parcel.headers, "events": parcel.events}
    data = orjson.dumps(head) + b"\n" + parcel.body
    return f"{zlib.crc32(data):08x} ".encode() + data


def _decode(data: bytes) -> Parcel | None:
    """None when it is not what was written."""
    crc, space, rest = data[:8], data[8:9], data[9:]
    if space != b" " or crc != f"{zlib.crc32(rest):08x}".encode():
        return None
    line, _, body = rest.partition(b"\n")
    try:
        head = orjson.loads(line)
        return _parcel(head, body) if isinstance(head, dict) else None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _parcel(head: Mapping[str, object], body: bytes) -> Parcel | None:
    key, headers, events = head.get("write_key"), head.get("headers"), head.get("events")
    if head.get("v") != 1 or not isinstance(key, str) or not isinstance(headers, list) or not isinstance(events, int):
        return None
    return Parcel(key, tuple((str(name), str(value)) for name, value in headers), body, events)

"""The spool's state table as an append-only file: what was put for which sinks, and what became of each delivery.

A line is the CRC-32 of a JSON row in 8 hex digits, a space, the row. A crash can tear the last line only; it is left
out. A line elsewhere that does not fit its CRC is damage and is counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from agent.store.disk import AppendFile, guarded, write_files

FILE = "ledger.jsonl"
Op = Literal["put", "ack", "reject", "retry"]
_OPS: tuple[Op, ...] = ("put", "ack", "reject", "retry")


@dataclass(frozen=True, slots=True)
class Row:
    """One change: `put` of a segment for `sinks`; `ack`, `reject`, `retry` of its delivery to the one in `sinks`."""

    op: Op
    segment: str
    sinks: tuple[str, ...]
    size: int = 0
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """The rows of a ledger file, whether its last line was torn, how many others are damaged."""

    rows: tuple[Row, ...]
    torn: bool
    damaged: int


class Ledger:
    """The open file. One thread at a time (the spool's lock)."""

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        self._file = AppendFile(folder / FILE)

    def append(self, row: Row, sync: bool) -> None:
        """Durable on return if `sync`; a later synced row makes it so, too. Raises StorageError."""
        self._file.append(encode(row), sync)

    def close(self) -> None:
        self._file.close()


def read_ledger(folder: Path) -> Read:
    """Raises StorageError when the file is there and cannot be read."""
    file = folder / FILE
    with guarded(file):
        data = file.read_bytes() if file.exists() else b""
    *lines, last = data.split(b"\n")
    rows = [decode(line) for line in lines]
    torn = bool(last)
    if rows and not torn and rows[-1] is None:
        torn = True
        rows.pop()
    return Read(tuple(row for row in rows if row is not None), torn, rows.count(None))


def write_ledger(folder: Path, rows: Iterable[Row]) -> None:
    """Replace the file by one with these rows. Raises StorageError, with the old one in place."""
    write_files(folder, [(FILE, [encode(row) for row in rows])])


def encode(row: Row) -> bytes:
    fields: dict[str, object] = {"op": row.op, "segment": row.segment, "sinks": row.sinks}
    fields |= {name: value for name in ("size", "attempts", "reason") if (value := getattr(row, name))}
    if row.reason:
        # An error's words may name a path that is not UTF-8.
        fields["reason"] = row.reason.encode(errors="backslashreplace").decode()
    text = orjson.dumps(fields)
    return f"{zlib.crc32(text):08x} ".encode() + text + b"\n"


def decode(line: bytes) -> Row | None:
    """None when the line is not one of ours."""
    crc, _, text = line.partition(b" ")
    if crc != f"{zlib.crc32(text):08x}".encode():
        return None
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return _row(fields) if isinstance(fields, dict) else None


def _row(fields: Mapping[str, object]) -> Row | None:
    op = next((known for known in _OPS if known == fields.get("op")), None)
    segment, sinks = fields.get("segment"), fields.get("sinks")
    size, attempts, reason = fields.get("size", 0), fields.get("attempts", 0), fields.get("reason", "")
    if (
        op is None
        or not isinstance(segment, str)
        or not isinstance(sinks, list)
        or not all(isinstance(sink, str) for sink in sinks)
        or not isinstance(size, int)
        or not isinstance(attempts, int)
        or not isinstance(reason, str)
    ):
        return None
    return Row(op, segment, tuple(sinks), size, attempts, reason)

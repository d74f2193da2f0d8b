"""The spool's state table as an append-only file: what was put for which sinks, and what became of each delivery.

A line is the CRC-32 of a JSON row in 8 hex digits, a space, the row. A crash can tear the last line only; it is left
out. A line elsewhere that does not fit its CRC is damage and is counted. The first line, `{"schema": n}`, says in which
form the rows are; files of schema 1 have none.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from agent.errors import StorageError
from agent.store.disk import AppendFile, guarded, write_files

FILE = "ledger.jsonl"
SCHEMA = 2
Op = Literal["put", "ack", "reject", "retry", "expire"]
_OPTIONAL = ("size", "attempts", "reason", "at_ms", "draft", "planned")
_OPS: tuple[Op, ...] = ("put", "ack", "reject", "retry", "expire")

# Step n turns a row of schema n into one of schema n + 1; every bump of SCHEMA adds one. Schema 1 knew no times.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: lambda row: {"at_ms": 0, **row}}


@dataclass(frozen=True, slots=True)
class Row:
    """One change: `put` of a segment for `sinks`; `ack`, `reject`, `retry` of its delivery to the one in `sinks`;
    `expire`: it was kept for too long and is gone, undelivered to `sinks`.

    `at_ms` is when it was put (epoch ms; 0 = nobody knows), `draft` what it was called while it was open. `planned` =
    the segment was not there yet: if it never is, it is not missed.
    """

    op: Op
    segment: str
    sinks: tuple[str, ...]
    size: int = 0
    attempts: int = 0
    reason: str = ""
    at_ms: int = 0
    draft: str = ""
    planned: bool = False


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
        # How many rows came since it was opened or rewritten.
        self.grown = 0

    def append(self, row: Row, sync: bool) -> None:
        """Durable on return if `sync`; a later synced row makes it so, too. Raises StorageError."""
        self._file.append(encode(row), sync)
        self.grown += 1

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Have these rows in the place of all. Raises StorageError, with the old ones in place."""
        self._file.replace(_lines(rows))
        self.grown = 0

    def close(self) -> None:
        self._file.close()


def read_ledger(folder: Path) -> Read:
    """Raises StorageError when the file is there and cannot be read, or a newer version of this program wrote it."""
    file = folder / FILE
    with guarded(file):
        data = file.read_bytes() if file.exists() else b""
    *lines, last = data.split(b"\n")
    schema = 1
    if lines and (told := _schema(lines[0])) is not None:
        del lines[0]
        schema = max(schema, told)
    if schema > SCHEMA:
        raise StorageError(
            f"{file}: Written by a newer version of this program (schema {schema}, this one reads up to {SCHEMA}).",
            "Install a newer version of android-replay-agent.",
        )
    rows = [decode(line, schema) for line in lines]
    torn = bool(last)
    if rows and not torn and rows[-1] is None:
        torn = True
        rows.pop()
    return Read(tuple(row for row in rows if row is not None), torn, rows.count(None))


def undelivered(rows: Iterable[Row]) -> dict[str, tuple[str, ...]]:
    """The sinks that have not had a segment, by its id; none when all have, or it was kept for too long."""
    left: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if row.op == "put":
            left[row.segment] = row.sinks
        elif row.op == "ack":
            left[row.segment] = tuple(sink for sink in left.get(row.segment, ()) if sink not in row.sinks)
        elif row.op == "expire":
            left[row.segment] = ()
    return left


def cut_torn(folder: Path) -> None:
    """Take a torn last line off, which needs no room: a row that is appended would make it damage. Raises
    StorageError."""
    file = folder / FILE
    with guarded(file):
        data = file.read_bytes() if file.exists() else b""
        *lines, _ = data.split(b"\n")
        if lines and _fields(lines[-1]) is None:
            lines.pop()
        size = sum(len(line) + 1 for line in lines)
        if size != len(data):
            os.truncate(file, size)


def write_ledger(folder: Path, rows: Iterable[Row]) -> None:
    """Replace the file by one with these rows. Raises StorageError, with the old one in place."""
    write_files(folder, [(FILE, _lines(rows))])


def _lines(rows: Iterable[Row]) -> Iterator[bytes]:
    yield _line({"schema": SCHEMA})
    yield from map(encode, rows)


def encode(row: Row) -> bytes:
    fields: dict[str, object] = {"op": row.op, "segment": row.segment, "sinks": row.sinks}
    fields |= {name: value for name in _OPTIONAL if (value := getattr(row, name))}
    if row.reason:
        # An error's words may name a path that is not UTF-8.
        fields["reason"] = row.reason.encode(errors="backslashreplace").decode()
    return _line(fields)


def decode(line: bytes, schema: int = SCHEMA) -> Row | None:
    """A row in the form of `schema`; None when the line is not one of ours."""
    fields = _fields(line)
    if fields is None:
        return None
    for step in range(schema, SCHEMA):
        fields = UPGRADES[step](fields)
    return _row(fields)


def is_head(line: bytes) -> bool:
    """Whether it is the line that names the schema."""
    return _schema(line) is not None


def _schema(line: bytes) -> int | None:
    schema = (_fields(line) or {}).get("schema")
    return schema if isinstance(schema, int) else None


def _line(fields: Mapping[str, object]) -> bytes:
    text = orjson.dumps(fields)
    return f"{zlib.crc32(text):08x} ".encode() + text + b"\n"


def _fields(line: bytes) -> dict[str, Any] | None:
    crc, _, text = line.partition(b" ")
    if crc != f"{zlib.crc32(text):08x}".encode():
        return None
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def _row(fields: Mapping[str, object]) -> Row | None:
    op = next((known for known in _OPS if known == fields.get("op")), None)
    segment, sinks = fields.get("segment"), fields.get("sinks")
    size, attempts, reason = fields.get("size", 0), fields.get("attempts", 0), fields.get("reason", "")
    at_ms, draft, planned = fields.get("at_ms", 0), fields.get("draft", ""), fields.get("planned", False)
    if (
        op is None
        or not isinstance(segment, str)
        or not isinstance(sinks, list)
        or not all(isinstance(sink, str) for sink in sinks)
        or not isinstance(size, int)
        or not isinstance(attempts, int)
        or not isinstance(reason, str)
        or not isinstance(at_ms, int)
        or not isinstance(draft, str)
        or not isinstance(planned, bool)
    ):
        return None
    return Row(op, segment, tuple(sinks), size, attempts, reason, at_ms, draft, planned)

"""Erasing segments from what a spool keeps beside its queue: its ledger and its receipts."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import orjson

from agent.outbox import ledger, receipts
from agent.store.disk import erase_lines


def names_any(folder: Path, segment_ids: Set[str]) -> bool:
    """Whether the ledger or the receipts of a spool's folder have a row of one of these segments. Raises
    StorageError."""
    return any(row.segment in segment_ids for row in ledger.read_ledger(folder).rows) or any(
        receipt.segment in segment_ids for receipt in receipts.read_receipts(folder)
    )


def erase_rows(folder: Path, segment_ids: Set[str]) -> tuple[int, int]:
    """Erase the rows of these segments from ledger and receipts; the numbers of rows and of bytes.

    The caller holds the folder's lock. Rows that cannot be read go, too: they may name what goes. Raises StorageError.
    """
    gone = {*segment_ids, None}
    found = [
        erase_lines(folder / ledger.FILE, lambda line: not ledger.is_head(line) and _in_ledger(line) in gone),
        erase_lines(folder / receipts.FILE, lambda line: _in_receipts(line) in gone),
    ]
    return sum(rows for rows, _ in found), sum(size for _, size in found)


def _in_ledger(line: bytes) -> str | None:
    row = ledger.decode(line)
    return None if row is None else row.segment


def _in_receipts(line: bytes) -> str | None:
    try:
        return str(orjson.loads(line)["segment"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None

"""Erasing segments from what a spool keeps beside its queue: its ledger, its receipts, and what is still open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from pathlib import Path

import orjson

from agent.outbox import journal, ledger, receipts
from agent.store.disk import erase_lines, guarded, overwrite
from agent.store.replays import Key, users


def names_any(folder: Path, segment_ids: Set[str]) -> bool:
    """Whether the ledger or the receipts of a spool's folder have a row of one of these segments. Raises
    StorageError."""
    return any(row.segment in segment_ids for row in ledger.read_ledger(folder).rows) or any(
        receipt.segment in segment_ids for receipt in receipts.read_receipts(folder)
    )


def still_open(folder: Path) -> Iterator[tuple[Key, set[str]]]:
    """The replays of segments that are open in a spool, or were when their recorder ended, and the user ids in them.
    Raises StorageError."""
    for file in journal.drafts(folder).values():
        found = _whose(file)
        if found is not None:
            yield found


def erase_open(folder: Path, gone: Callable[[Key, set[str]], bool]) -> tuple[int, int]:
    """Erase what is still open of replays that `gone` tells; the numbers of files and of bytes.

    The caller holds the folder's lock. What cannot be read goes, too. Raises StorageError.
    """
    count = size = 0
    for file in journal.drafts(folder).values():
        found = _whose(file)
        if found is None or gone(*found):
            with guarded(file):
                count, size = count + 1, size + file.stat().st_size
                overwrite(file)
    return count, size


def _whose(file: Path) -> tuple[Key, set[str]] | None:
    opened = journal.read(file)
    if opened is None:
        return None
    return opened.manifest.key, users(opened.events)


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

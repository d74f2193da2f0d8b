"""What the sinks answered, one JSON line per attempt, for people who ask where a segment went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson

from agent.store.disk import AppendFile

FILE = "receipts.jsonl"
Outcome = Literal["delivered", "skipped", "retry", "rejected", "dropped"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """One attempt: when (epoch ms), which segment, to which sink, with which outcome, in the server's words."""

    ms: int
    segment: str
    sink: str
    outcome: Outcome
    words: str


class Receipts:
    """The file of receipts in a spool's folder. Callers take turns (the spool's lock)."""

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        self._file = AppendFile(folder / FILE)

    def add(self, receipt: Receipt) -> None:
        """Not fsync'd: a receipt is a note, the ledger is the truth. Raises StorageError."""
        # An error's words may name a path that is not UTF-8.
        words = receipt.words.encode(errors="backslashreplace").decode()
        self._file.append(orjson.dumps(asdict(receipt) | {"words": words}) + b"\n", sync=False)

    def close(self) -> None:
        self._file.close()


def read_receipts(folder: Path) -> Iterator[Receipt]:
    """The receipts in a spool's folder, oldest first; lines that a crash has torn are left out."""
    file = folder / FILE
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        try:
            yield Receipt(**orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError):
            continue

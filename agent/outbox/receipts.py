"""What the sinks answered, one JSON line per attempt, for people who ask where a segment went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson

from agent.store.disk import AppendFile, guarded

FILE = "receipts.jsonl"
# Of a file that has become larger what is not final goes, and the oldest of what is more than half of this.
MOST_BYTES = 64_000_000
Outcome = Literal["delivered", "skipped", "retry", "rejected", "dropped", "expired"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """One attempt: when (epoch ms), which segment, to which sink, with which outcome, in the server's words."""

    ms: int
    segment: str
    sink: str
    outcome: Outcome
    words: str


# 402 and the quota's renewal: Amplitude's documentation of session replay (ingestion monitor, sampling rate).
_STATUSES = {
    "400": "the server finds the upload malformed",
    "401": "the API key is missing or unknown: check upload.api_key",
    "402": "the organization's quota of sessions is used up; it begins anew on the first of the month",
    "403": "not allowed, by the server, a firewall or a region's rule: check upload.api_key, then the network",
    "404": "nothing takes uploads at this address: check the sink's address",
    "407": "the proxy wants a name and a password: HTTP_PROXY=http://NAME:PASSWORD@HOST:PORT",
    "408": "the server waited too long for the upload",
    "413": "even one event alone is too large for the server",
    "429": "the server takes only so much in a time",
    "499": "something between here and the server hung up",
}
_KINDS = {"3": "redirects are not followed: is the address right, is a login wanted?", "5": "the server's own trouble"}
_WORDS = (
    (
        "what answered is no collector",
        "a login page, a proxy or another program: check the sink's address and the network",
    ),
    ("the proxy says: 407", "it wants a name and a password: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT"),
    ("the proxy says: ", "the proxy of HTTPS_PROXY lets nothing through to there: ask who runs it, or name another"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate is not trusted: name its authority with upload.ca_file"),
    ("[SSL", "no TLS connection: is it https that is spoken there?"),
    ("Connection refused", "nothing listens there"),
    ("Name or service not known", "no such host, or no network"),
    ("name resolution", "no such host, or no network"),
    ("(4004)", "the session began too long ago or in the future for the server: check the phone's clock"),
    ("(4005)", "someone has switched session replay off in the project's settings"),
)


def meaning(words: str) -> str:
    """What a server's words, or a network's, mean to a person; empty when they say it themselves."""
    status = words[:3]
    for part, means in _WORDS:
        if part in words:
            return means
    if words[3:4] not in ("", " "):
        return ""
    if status.isascii() and status.isdigit() and status not in _STATUSES:
        return _KINDS.get(status[0], "")
    return _STATUSES.get(status, "")


class Receipts:
    """The file of receipts in a spool's folder. Callers take turns (the spool's lock)."""

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        self._path = folder / FILE
        self._file = AppendFile(self._path)
        self._size = self._file.size()

    def add(self, receipt: Receipt, sync: bool = False) -> None:
        """Durable on return if `sync`: mostly a receipt is a note, and the ledger is the truth. Raises StorageError."""
        # An error's words may name a path that is not UTF-8.
        words = receipt.words.encode(errors="backslashreplace").decode()
        line = orjson.dumps(asdict(receipt) | {"words": words}) + b"\n"
        self._file.append(line, sync)
        self._size += len(line)

    def tidy(self) -> None:
        """Make a file that has become too large smaller. Raises StorageError."""
        if self._size <= MOST_BYTES:
            return
        left = sum(map(len, self._final()))

        def newest() -> Iterator[bytes]:
            behind = left
            for line in self._final():
                if behind <= MOST_BYTES // 2:
                    yield line
                behind -= len(line)

        self._file.replace(newest())
        self._size = self._file.size()

    def _final(self) -> Iterator[bytes]:
        """The lines but those of attempts that were followed by others."""
        with guarded(self._path), self._path.open("rb") as lines:
            for line in lines:
                with suppress(orjson.JSONDecodeError, TypeError):
                    if Receipt(**orjson.loads(line)).outcome != "retry":
                        yield line

    def close(self) -> None:
        self._file.close()


def read_receipts(folder: Path) -> Iterator[Receipt]:
    """The receipts in a spool's folder, oldest first; lines that a crash has torn are left out."""
    file = folder / FILE
    if not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            try:
                receipt = Receipt(**orjson.loads(line))
            except (orjson.JSONDecodeError, TypeError):
                continue
            yield receipt

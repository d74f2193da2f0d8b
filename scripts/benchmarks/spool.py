"""Durable appends of 64 KiB by the product's journal, and what is read again after a crash, beside other ways to do it.

Wall time where a disk is waited for, CPU time of what the file cache holds; all ways in turns, on the disk that holds
temporary files.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import xxhash

from agent.model import Counts, Draft, Picture, SegmentManifest
from agent.outbox import journal
from agent.outbox.journal import Journal
from agent.replay.segment import draft_id
from benchmarks.measure import CheckFailed, Result, percentile, result

RECORD = 64 << 10
SCANNED = 256 << 20
ROUNDS = 60
GROUP, GROUPS = 16, 20
SCANS = 5
# Of what is scanned each file is as large as an open segment may become.
DRAFT_BYTES = 2_000_000
SCAN_LIMIT_S = 0.3
SINKS = ("dir:nowhere",)
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="android-replay-bench-") as name:
        folder = Path(name)
        yield from appends(folder)
        yield from groups(folder)
        yield from scans(folder)


def appends(folder: Path) -> Iterator[Result]:
    """Records of 64 KiB, each on the disk before the next."""
    book = Journal(folder / "ours")
    draft = _draft(0)
    size = sum(map(len, journal.encode(draft, SINKS)))
    data = os.urandom(size)
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    base = sqlite(folder / "full.db", "FULL")

    def append() -> None:
        book.append(draft, SINKS, sync=True)

    def write() -> None:
        os.write(plain, data)
        _datasync(plain)

    def rename() -> None:
        part = folder / "file.part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / "file")

    def insert() -> None:
        base.execute("insert into records(body) values (?)", (data,))
        base.commit()

    ways = {"ours": append, "plain": write, "rename": rename, "sqlite": insert}
    spent = turns(ways, ROUNDS)
    found = journal.read(folder / "ours" / journal.FOLDER / f"{draft_id(draft.manifest)}{journal.SUFFIX}")
    if found is None or found.torn or found.damaged or len(found.events) != (ROUNDS + 1) * len(draft.events):
        raise CheckFailed("what was appended is not read again")
    book.close()
    os.close(plain)
    base.close()
    ms = {way: percentile(times, 0.5) * 1e3 for way, times in spent.items()}
    about = f"median of {ROUNDS}; p95 {percentile(spent['ours'], 0.95) * 1e3:.2f} ms"
    for way, peer, target in (
        ("plain", f"write and fdatasync alone of the same {size // 1024} KiB", 1 / 1.5),
        ("rename", "a file each: write, fsync, rename", 0.0),
        ("sqlite", "SQLite, WAL, synchronous=FULL", 0.0),
    ):
        note = f"{about}, that of the peer {percentile(spent[way], 0.95) * 1e3:.2f} ms"
        yield result(f"spool/append, {way}", ms["ours"], ms[way], peer, "ms", target, note=note)


def groups(folder: Path) -> Iterator[Result]:
    """Scenario 16: sixteen records, then once to the disk."""
    book = Journal(folder / "grouped")
    draft = _draft(1)
    data = os.urandom(sum(map(len, journal.encode(draft, SINKS))))
    bases = {mode: sqlite(folder / f"grouped-{mode}.db", mode) for mode in ("NORMAL", "FULL")}

    def append() -> None:
        for n in range(GROUP):
            book.append(draft, SINKS, sync=n == GROUP - 1)

    def insert(base: sqlite3.Connection) -> None:
        for _ in range(GROUP):
            base.execute("insert into records(body) values (?)", (data,))
        base.commit()

    spent = turns({"ours": append, **{mode: partial(insert, base) for mode, base in bases.items()}}, GROUPS)
    book.close()
    for base in bases.values():
        base.close()
    each, late = ({way: percentile(times, share) * 1e3 for way, times in spent.items()} for share in (0.5, 0.95))
    for mode, targets, note in (
        ("NORMAL", (2.5, 4.0), "NORMAL does not wait for the disk at a commit, ours does"),
        ("FULL", (0.0, 0.0), ""),
    ):
        peer = f"SQLite, WAL, synchronous={mode}, groups of {GROUP}"
        name = f"spool/groups, {mode}"
        yield result(name, each["ours"] / GROUP, each[mode] / GROUP, peer, "ms", targets[0], note=note)
        yield result(f"{name}, p95", late["ours"], late[mode], peer, "ms", targets[1], note=note)


def scans(folder: Path) -> Iterator[Result]:
    """Scenario 17: all that open segments left behind is read and checked; the file cache holds it."""
    book = Journal(folder / "left")
    draft = _draft(2)
    appended = 0
    while appended < DRAFT_BYTES:
        book.append(draft, SINKS, sync=False)
        appended += sum(map(len, journal.encode(draft, SINKS)))
    book.close()
    (first,) = journal.drafts(folder / "left").values()
    files = [first]
    while len(files) * appended < SCANNED:
        files.append(first.with_name(f"{len(files):032x}{journal.SUFFIX}"))
        shutil.copyfile(first, files[-1])

    def scan() -> None:
        for file in files:
            found = journal.read(file)
            if found is None or found.torn or found.damaged:
                raise CheckFailed(f"{file.name} is not read whole")

    def checksums() -> None:
        for file in files:
            zlib.crc32(file.read_bytes())

    spent = turns({"ours": scan, "crc": checksums}, SCANS, time.process_time)
    seconds = {way: percentile(times, 0.5) for way, times in spent.items()}
    whole = len(files) * appended
    note = f"{whole / seconds['ours'] / 1e9:.2f} GB/s of {whole >> 20} MiB in {len(files)} files"
    yield result(
        "spool/scan", seconds["ours"], seconds["crc"], "reading and zlib's CRC-32", "CPU s", 0, SCAN_LIMIT_S, note=note
    )


def turns(
    ways: dict[str, Callable[[], None]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each way and round; one round before is not counted."""
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for n in range(rounds + 1):
        for way, work in ways.items():
            began = clock()
            work()
            if n:
                spent[way].append(clock() - began)
    return spent


def sqlite(file: Path, synchronous: str) -> sqlite3.Connection:
    base = sqlite3.connect(file)
    base.execute("pragma journal_mode=wal")
    base.execute(f"pragma synchronous={synchronous}")
    base.execute("create table records(id integer primary key, body blob)")
    base.commit()
    return base


def _draft(number: int) -> Draft:
    """What a second of a recording adds: a few events and a picture, RECORD bytes in all."""
    events = tuple(b'{"type":3,"timestamp":%d,"data":{"source":2}}' % (1_760_000_000_000 + n) for n in range(8))
    pixels = os.urandom(RECORD - sum(map(len, events)))
    shown = Picture(xxhash.xxh3_128_hexdigest(pixels), "image/webp", pixels)
    manifest = SegmentManifest(
        "", 1_760_000_000_000, "device", "BENCH", number, 1_760_000_000_000, 1_760_000_001_000, "time",
        Counts(frames=1), (shown.digest,), RECORD,
    )  # fmt: skip
    return Draft(manifest, events, {shown.digest: shown})

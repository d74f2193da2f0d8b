"""Days without a network, in a time that passes as fast as the uploader waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.segments import SESSION, segment
from fakes.sinks import ScriptedSink

from agent.model import Delivered, Delivery, Retry, SealedSegment
from agent.outbox.receipts import read_receipts
from agent.outbox.spool import Spool
from agent.outbox.uploader import Uploader

HOUR = 3600.0
EVERY = 900.0
START_MS = 1_700_000_000_000


class Days:
    """The clocks of the spool and of the uploader. Each wait takes no time, and moves them on by what it was to take.

    `passed` is called with what they show then, never within another call of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.passed: Callable[[float], None] = lambda now: None
        self._telling = threading.Lock()
        days = self

        class Condition(threading.Condition):
            def wait(self, timeout: float | None = None) -> bool:
                assert timeout is not None, "nothing waits without an end"
                assert timeout >= 0
                days._pass(timeout)
                return False

        clock = SimpleNamespace(
            monotonic=lambda: self.now,
            time_ns=lambda: START_MS * 1_000_000 + int(self.now * 1e9),
            clock_gettime=lambda clock: self.now,
            CLOCK_BOOTTIME=7,
        )
        names = {name: getattr(threading, name) for name in ("Lock", "Event", "Thread")}
        for module in ("spool", "uploader"):
            monkeypatch.setattr(f"agent.outbox.{module}.time", clock)
            monkeypatch.setattr(f"agent.outbox.{module}.threading", SimpleNamespace(Condition=Condition, **names))

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        if self._telling.acquire(blocking=False):
            try:
                self.passed(self.now)
            finally:
                self._telling.release()


class Cut(ScriptedSink):
    """Cannot be reached between the first hour and `back`. `tries` = when it was asked for what."""

    def __init__(self, days: Days, back: float) -> None:
        super().__init__("far")
        self._days, self._back = days, back
        self.tries: list[tuple[float, SealedSegment]] = []
        self.taken: dict[str, float] = {}

    def send(self, sealed: SealedSegment) -> Delivery:
        now = self._days.now
        self.tries.append((now, sealed))
        if HOUR <= now < self._back:
            return Retry(0.0, "no network")
        assert sealed.manifest.id not in self.taken
        self.taken[sealed.manifest.id] = now
        self.sent.append(sealed)
        return Delivered()


def test_three_days_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment each quarter of an hour; the age limit ends the wait of the first, the budget that of some."""
    days = Days(monkeypatch)
    back, end = 75 * HOUR, 76 * HOUR
    sample = segment()
    size = sum(map(len, sample.events)) + sum(len(shown.data) for shown in sample.pictures.values())
    monkeypatch.setattr("agent.outbox.spool.HELD_BYTES", 5 * size)
    budget = 200 * size
    recorded: dict[str, SealedSegment] = {}
    used: list[int] = []
    losses: list[str] = []
    over = threading.Event()
    spool = Spool(tmp_path / "spool", budget)
    sink = Cut(days, back)
    uploader = Uploader(spool, [sink], draw=lambda: 0.99)

    def passed(now: float) -> None:
        while now < end and now >= EVERY * len(recorded):
            sealed = segment(len(recorded) % 20, SESSION + len(recorded) // 20)
            recorded[sealed.manifest.id] = sealed
            spool.keep(sealed, uploader.names)
            used.append(spool.used)
            losses.extend(loss.reason for loss in spool.take_losses() for _ in range(loss.count))
        if now >= end and not spool.pending():
            over.set()

    days.passed = passed
    try:
        uploader.start()
        assert over.wait(100)
    finally:
        uploader.stop()
        spool.close()
    assert max(used) <= budget
    assert max(used) > 0.99 * budget
    expired = {receipt.segment: receipt for receipt in read_receipts(spool.folder) if receipt.outcome == "expired"}
    # Those of the hours from the first to the third without one are older than three days when it is back.
    assert 8 <= len(expired) <= 13
    assert {receipt.words for receipt in expired.values()} == {"kept for 72 hours without delivery, deleted"}
    assert losses.count("a segment, kept for 72 hours without delivery, deleted") == len(expired)
    # What found no room is not there, and said so.
    lost = set(recorded) - set(sink.taken) - set(expired)
    assert lost
    assert losses.count("a segment, since the disk took nothing more") == len(lost) == len(losses) - len(expired)
    assert all(recorded[sealed.manifest.id] == sealed for sealed in sink.sent)
    # One try a minute and not more, however much there is to deliver.
    failed = [at for at, _ in sink.tries if HOUR <= at < back]
    gaps = [later - sooner for sooner, later in pairwise(failed)]
    assert min(gaps[10:]) >= 59.0
    assert max(gaps) <= 60.0
    # And all of it at once when it is back: the first within a minute, what waited right after it.
    arrived = sorted(at for at in sink.taken.values() if at >= back)
    waited = [at for at in arrived if at <= arrived[0] + 1.0]
    assert arrived[0] - back <= 60.0
    assert len(waited) >= 190

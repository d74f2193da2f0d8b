"""Drains the spool: one thread per sink, and the retry policy that sinks do not have."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.errors import ConfigError, StorageError
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox.receipts import Outcome, Receipt
from agent.outbox.sink import Sink
from agent.outbox.spool import Spool

log = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter, in seconds. What the server asks for is honoured up to `longest_asked`."""

    first: float = 1.0
    longest: float = 60.0
    longest_asked: float = 3600.0

    def delay(self, failures: int, asked: float, draw: Callable[[], float]) -> float:
        """The wait after `failures` (1 or more) in a row; `draw` yields uniform numbers in [0, 1)."""
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return max(draw() * ceiling, min(asked, self.longest_asked))


@dataclass(slots=True)
class SinkStats:
    """Running figures of one sink. Written by its thread, read by whoever shows them; a torn read does no harm.

    `bytes` are those of the delivered segments as stored. `words` is the last answer or problem.
    """

    state: str = "idle"
    delivered: int = 0
    skipped: int = 0
    retries: int = 0
    rejected: int = 0
    bytes: int = 0
    words: str = ""

    def __str__(self) -> str:
        parts = [self.state, f"{self.delivered} delivered ({self.bytes / 1e6:.1f} MB)"]
        named = (("skipped", self.skipped), ("retries", self.retries), ("rejected", self.rejected))
        parts += [f"{count} {name}" for name, count in named if count]
        return ", ".join(parts)


@dataclass(slots=True)
class _Lane:
    """A sink's thread, and the event that cuts its pauses short. `asked` = the present pause is the server's wish."""

    sink: Sink
    stats: SinkStats = field(default_factory=SinkStats)
    hurry: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    asked: bool = False


class Uploader:
    """Delivers what is in the spool. `start`, `drain` and `stop` belong to one thread.

    A sink's failures in a row pause the whole sink, since it is probably down; a segment's own failures hold back its
    session only, so that one segment which a server chokes on does not stop the others.
    """

    def __init__(
        self,
        spool: Spool,
        sinks: Iterable[Sink],
        backoff: Backoff | None = None,
        draw: Callable[[], float] | None = None,
        ended: Callable[[int, str], None] = lambda session_id, reason: None,
    ) -> None:
        """Starts nothing. `ended` is told which session a server wants no more of, and why.

        Raises ConfigError when a sink is named twice.
        """
        self._spool = spool
        self._backoff = backoff or Backoff()
        self._draw = draw or random.SystemRandom().random
        self._ended = ended
        self._lanes = [_Lane(sink) for sink in sinks]
        self._stopping = threading.Event()
        self.names = tuple(lane.sink.name for lane in self._lanes)
        if len(set(self.names)) != len(self.names):
            raise ConfigError("A sink is named twice.", "Name each sink once.")

    def start(self) -> None:
        """Start a thread per sink; orphans of an earlier crash go to these sinks. Raises StorageError."""
        self._spool.adopt(self.names)
        for lane in self._lanes:
            lane.thread = threading.Thread(target=self._run, args=(lane,), name=f"upload:{lane.sink.name}", daemon=True)
            lane.thread.start()

    def drain(self, seconds: float) -> bool:
        """Try everything once more at once and wait; whether nothing is left to deliver to these sinks in the end."""
        for lane in self._lanes:
            self._spool.hurry(lane.sink.name)
            if not lane.asked:
                lane.hurry.set()
        return self._spool.wait_drained(self.names, seconds)

    def stop(self) -> None:
        """End the threads, cutting short a pause or a request in flight; what is not delivered stays in the spool."""
        self._stopping.set()
        self._spool.wake()
        for lane in self._lanes:
            lane.hurry.set()
            lane.sink.close()
        for lane in self._lanes:
            if lane.thread is not None:
                lane.thread.join(JOIN_SECONDS)

    def stats(self) -> Mapping[str, SinkStats]:
        """The figures of each sink by its name."""
        return {lane.sink.name: lane.stats for lane in self._lanes}

    def _run(self, lane: _Lane) -> None:
        failures = 0
        while not self._stopping.is_set():
            # Here, not in `_pause`: a `drain` that comes while a segment is sent must cut the pause after it.
            lane.hurry.clear()
            try:
                failures = self._step(lane, failures)
            except StorageError as error:
                # The spool's disk: it may come back, and what is queued must not wait for another run until then.
                log.warning("upload to %s: %s", lane.sink.name, error)
                lane.stats.words = error.message
                failures += 1
                self._pause(lane, self._backoff.delay(failures, 0.0, self._draw), asked=False)
        lane.stats.state = "stopped"

    def _step(self, lane: _Lane, failures: int) -> int:
        """Send what is due, or wait for it; the failures in a row after that. Raises StorageError."""
        name, stats = lane.sink.name, lane.stats
        stats.state = "idle"
        sealed = self._spool.claim(name)
        if sealed is None:
            self._spool.wait(name, IDLE_SECONDS, self._stopping.is_set)
            return failures
        stats.state = "sending"
        delivery = _send(lane.sink, sealed)
        if self._stopping.is_set() and isinstance(delivery, Retry):
            # Most likely our own doing, by closing the sink.
            self._spool.retry(sealed.manifest.id, name, 0.0, delivery.reason)
            return failures
        failures = failures + 1 if isinstance(delivery, Retry) else 0
        self._settle(lane, sealed, delivery, failures)
        return failures

    def _settle(self, lane: _Lane, sealed: SealedSegment, delivery: Delivery, failures: int) -> None:
        """Tell the spool what became of a segment, and pause if the sink failed. Raises StorageError."""
        segment, name, stats = sealed.manifest.id, lane.sink.name, lane.stats
        if isinstance(delivery, Delivered):
            if delivery.skipped:
                log.warning("%s did not keep segment %s: %s", name, segment, delivery.skipped)
            self._note(
                lane, segment, "skipped" if delivery.skipped else "delivered", delivery.skipped or delivery.answer
            )
            stats.delivered += 1
            stats.skipped += bool(delivery.skipped)
            stats.bytes += sealed.manifest.bytes
            if delivery.ends_session:
                self._ended(sealed.manifest.session_id, delivery.skipped)
            self._spool.ack(segment, name)
        elif isinstance(delivery, Rejected):
            log.warning("%s rejected segment %s: %s", name, segment, delivery.reason)
            self._note(lane, segment, "rejected", delivery.reason)
            stats.rejected += 1
            self._spool.reject(segment, name, delivery.reason)
        else:
            self._note(lane, segment, "retry", delivery.reason)
            stats.retries += 1
            asked = delivery.after_s > 0
            own = self._backoff.delay(self._spool.attempts(segment, name) + 1, delivery.after_s, self._draw)
            self._spool.retry(segment, name, own, delivery.reason, asked)
            self._pause(lane, self._backoff.delay(failures, delivery.after_s, self._draw), asked)

    def _pause(self, lane: _Lane, seconds: float, asked: bool) -> None:
        lane.stats.state = f"waiting {seconds:.0f} s"
        lane.asked = asked
        if not self._stopping.is_set():
            lane.hurry.wait(seconds)
        lane.asked = False

    def _note(self, lane: _Lane, segment: str, outcome: Outcome, words: str) -> None:
        lane.stats.words = words
        self._spool.note(Receipt(time.time_ns() // 1_000_000, segment, lane.sink.name, outcome, words))


def _send(sink: Sink, sealed: SealedSegment) -> Delivery:
    """A sink that breaks its word and raises counts as failed, so that the segment stays and its lane goes on."""
    try:
        return sink.send(sealed)
    except Exception as error:
        log.exception("%s failed on segment %s", sink.name, sealed.manifest.id)
        return Retry(0.0, f"{type(error).__name__}: {error}")

"""Drains the spool: threads for each sink, and the retry policy that sinks do not have."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.errors import ConfigError, StorageError
from agent.log import NOBODY, about
from agent.model import Delivered, Delivery, Rejected, Retry, SealedSegment
from agent.outbox.receipts import Outcome, Receipt, meaning
from agent.outbox.sink import Sink
from agent.outbox.spool import Spool
from agent.outbox.wire import Barred

log = logging.getLogger(__name__)

# A network that comes and goes may refuse one twice.
OTHERS = 3
IDLE_SECONDS = 60.0
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter, in seconds. What the server asks for is honoured up to `longest_asked`.

    `first_barred` and `longest_barred` are for one that takes nothing at all: at least half of it is waited.
    """

    first: float = 1.0
    longest: float = 60.0
    longest_asked: float = 3600.0
    first_barred: float = 60.0
    longest_barred: float = 900.0

    def delay(self, failures: int, asked: float, luck: float) -> float:
        """The wait after `failures` (1 or more) in a row; `luck` was drawn uniformly from [0, 1)."""
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return max(luck * ceiling, min(asked, self.longest_asked))

    def barred(self, times: int, asked: float, luck: float) -> float:
        """The wait after a server took nothing `times` (1 or more) in a row."""
        ceiling = min(self.longest_barred, self.first_barred * 2.0 ** min(times - 1, 32))
        return max((1.0 + luck) / 2 * ceiling, min(asked, self.longest_asked))


# The browser SDK (track-destination.ts) waits a time uniform in [0, 1 s) before the one retry that it knows.
BACKOFFS: Mapping[str, Backoff] = {"lossless": Backoff(), "strict": Backoff(longest=1.0)}


@dataclass(slots=True)
class SinkStats:
    """Running figures of one sink. Written by its threads, read by whoever shows them; a torn read does no harm.

    `bytes` are those of the delivered segments as stored. `words` is the last answer or problem.
    """

    state: str = "idle"
    delivered: int = 0
    skipped: int = 0
    retries: int = 0
    rejected: int = 0
    dropped: int = 0
    bytes: int = 0
    words: str = ""

    def __str__(self) -> str:
        parts = [self.state, f"{self.delivered} delivered ({self.bytes / 1e6:.1f} MB)"]
        named = (
            ("skipped", self.skipped),
            ("retries", self.retries),
            ("rejected", self.rejected),
            ("dropped", self.dropped),
        )
        parts += [f"{count} {name}" for name, count in named if count]
        return ", ".join(parts)


@dataclass(slots=True)
class _Lane:
    """A sink's threads and what they share, under `changed`.

    Nobody begins to send before `resume_at` (monotonic; `asked` = the server's wish), and after `failures` in a row one
    thread at a time does. `barred` = how often in a row it took nothing at all, `told` what was said of that, `refused`
    the segments at which it did: how many it had taken by then, and how often it has taken others between two of these
    refusals. `hurried` counts the calls of `drain`.
    """

    sink: Sink
    changed: threading.Condition
    stats: SinkStats = field(default_factory=SinkStats)
    threads: list[threading.Thread] = field(default_factory=list)
    sending: int = 0
    failures: int = 0
    barred: int = 0
    told: str = ""
    refused: dict[str, tuple[int, int]] = field(default_factory=dict)
    resume_at: float = 0.0
    asked: bool = False
    hurried: int = 0


class Uploader:
    """Delivers what is in the spool. `start`, `drain` and `stop` belong to one thread.

    Sessions go side by side, as many as a sink takes; the segments of one session one after the other. A sink's
    failures in a row pause the whole sink, since it is probably down; a segment's own failures hold back its session
    only, so that one segment which a server chokes on does not stop the others. A server that would take nothing at all
    is asked with one segment after long pauses, of which the first is told.
    """

    def __init__(
        self,
        spool: Spool,
        sinks: Iterable[Sink],
        backoff: Backoff | None = None,
        draw: Callable[[], float] | None = None,
        ended: Callable[[int, str], None] = lambda session_id, reason: None,
        told: Callable[[Receipt], None] = lambda receipt: None,
    ) -> None:
        """Starts nothing. `ended` is told which session a server wants no more of, and why; `told` every receipt, of
        what was kept for too long as well. Both are called from the sinks' threads.

        Raises ConfigError when a sink is named twice.
        """
        self._spool = spool
        self._backoff = backoff or Backoff()
        self._draw = draw or random.SystemRandom().random
        self._ended = ended
        self._told = told
        self._expired = len(spool.expired)
        self._telling = threading.Lock()
        self._lanes = [_Lane(sink, threading.Condition()) for sink in sinks]
        self._stopping = threading.Event()
        self.names = tuple(lane.sink.name for lane in self._lanes)
        if len(set(self.names)) != len(self.names):
            raise ConfigError("A sink is named twice.", "Name each sink once.")

    def start(self) -> None:
        """Start the threads; orphans of an earlier crash go to these sinks. Raises StorageError."""
        self._spool.adopt(self.names)
        for lane in self._lanes:
            lane.threads += [
                threading.Thread(target=self._run, args=(lane,), name=f"upload:{lane.sink.name}", daemon=True)
                for _ in range(lane.sink.parallel)
            ]
            for thread in lane.threads:
                thread.start()

    def drain(self, seconds: float) -> bool:
        """Try everything once more at once and wait; whether nothing is left to deliver to these sinks in the end."""
        for lane in self._lanes:
            self._spool.hurry(lane.sink.name)
            with lane.changed:
                lane.hurried += 1
                if not lane.asked:
                    lane.resume_at = 0.0
                lane.changed.notify_all()
        return self._spool.wait_drained(self.names, seconds)

    def stop(self) -> None:
        """End the threads, cutting short a pause or a request in flight; what is not delivered stays in the spool."""
        self._stopping.set()
        self._spool.wake()
        for lane in self._lanes:
            with lane.changed:
                lane.changed.notify_all()
            lane.sink.close()
        for lane in self._lanes:
            for thread in lane.threads:
                # One that Ctrl-C kept from being started cannot be joined.
                if thread.is_alive():
                    thread.join(JOIN_SECONDS)

    def stats(self) -> Mapping[str, SinkStats]:
        """The figures of each sink by its name."""
        return {lane.sink.name: lane.stats for lane in self._lanes}

    @property
    def sending(self) -> bool:
        """Whether a segment is on its way to a sink at this moment: how long that may take is for the sink to say, and
        who gives up meanwhile sends it all over again another time."""
        return any(lane.sending for lane in self._lanes)

    @property
    def shut(self) -> bool:
        """Whether each sink that still has something to get would take nothing when it was asked last."""
        waiting = [lane for lane in self._lanes if self._spool.pending(lane.sink.name)]
        return bool(waiting) and all(lane.barred for lane in waiting)

    def _run(self, lane: _Lane) -> None:
        while not self._stopping.is_set():
            hurried = lane.hurried
            try:
                self._step(lane)
            except StorageError as error:
                # The spool's disk: it may come back, and what is queued must not wait for another run until then.
                log.warning("upload to %s: %s", lane.sink.name, error)
                lane.stats.words = error.message
                self._failed(lane, 0.0, self._draw(), hurried)
        lane.stats.state = "stopped"

    def _step(self, lane: _Lane) -> None:
        """Send what is due, or wait for it. Raises StorageError."""
        name = lane.sink.name
        hurried = self._turn(lane)
        if hurried is None:
            return
        try:
            sealed = self._spool.claim(name)
            self._tell_expired()
            if sealed is not None:
                lane.stats.state = "sending"
                with about(sealed.manifest):
                    delivery = _send(lane.sink, sealed)
                    if self._stopping.is_set() and isinstance(delivery, Retry):
                        # Most likely our own doing, by closing the sink.
                        self._spool.release(sealed.manifest.id, name)
                    else:
                        self._settle(lane, sealed, delivery, hurried)
        finally:
            with lane.changed:
                lane.sending -= 1
                if not lane.sending and lane.stats.state == "sending":
                    lane.stats.state = "idle"
                lane.changed.notify_all()
        if sealed is None:
            self._spool.wait(name, IDLE_SECONDS, self._stopping.is_set)

    def _turn(self, lane: _Lane) -> int | None:
        """Wait until this thread may send and count it as sending; `hurried` then. None when all is to end."""
        with lane.changed:
            while not self._stopping.is_set():
                left = lane.resume_at - time.monotonic()
                if left > 0:
                    lane.changed.wait(left)
                elif lane.failures and lane.sending:
                    lane.changed.wait(IDLE_SECONDS)
                else:
                    if not lane.sending:
                        lane.stats.state = "idle"
                    lane.asked = False
                    lane.sending += 1
                    return lane.hurried
        return None

    def _settle(self, lane: _Lane, sealed: SealedSegment, delivery: Delivery, hurried: int) -> None:
        """Tell the spool what became of a segment, and pause if the sink failed. Raises StorageError."""
        segment, name, stats = sealed.manifest.id, lane.sink.name, lane.stats
        if isinstance(delivery, Barred) and _took_others(lane, segment):
            # A firewall that minds what is in it would hold up the rest of its session for ever.
            delivery = Rejected(delivery.reason)
        if isinstance(delivery, Retry):
            attempts = self._spool.attempts(segment, name) + 1
            luck = self._draw()
            self._note(lane, segment, "retry", delivery.reason)
            stats.retries += 1
            if isinstance(delivery, Barred):
                pause = self._shut(lane, delivery, luck, hurried)
                self._spool.retry(segment, name, pause, delivery.reason, delivery.after_s > 0)
                return
            # A sink that is down is nobody's: told once for all devices.
            log.warning("%s did not take a segment, which waits: %s", name, delivery.reason, extra=NOBODY)
            own = self._backoff.delay(attempts, delivery.after_s, luck)
            self._spool.retry(segment, name, own, delivery.reason, delivery.after_s > 0)
            self._failed(lane, delivery.after_s, luck, hurried)
            return
        with lane.changed:
            if lane.barred and not lane.asked:
                # It does take something: what it barred was that segment.
                lane.resume_at = 0.0
                lane.changed.notify_all()
            lane.failures = lane.barred = 0
            lane.told = ""
            lane.refused.pop(segment, None)
        if isinstance(delivery, Delivered):
            if delivery.skipped:
                log.warning("%s did not keep segment %s: %s", name, segment, delivery.skipped)
            self._note(
                lane, segment, "skipped" if delivery.skipped else "delivered", delivery.skipped or delivery.answer
            )
            log.debug("%s has segment %s (%s)", name, segment, delivery.answer or "stored")
            stats.delivered += 1
            stats.skipped += bool(delivery.skipped)
            stats.bytes += sealed.manifest.bytes
            self._spool.ack(segment, name)
            if delivery.pause_s:
                self._pause(lane, min(delivery.pause_s, self._backoff.longest_asked), asked=True)
        elif delivery.kept:
            log.warning("%s rejected segment %s: %s", name, segment, delivery.reason)
            self._note(lane, segment, "rejected", delivery.reason)
            stats.rejected += 1
            self._spool.reject(segment, name, delivery.reason)
        else:
            log.warning("%s: dropped of segment %s: %s", name, segment, delivery.reason)
            self._note(lane, segment, "dropped", delivery.reason)
            stats.dropped += 1
            self._spool.ack(segment, name)
        if delivery.ends_session:
            reason = delivery.skipped if isinstance(delivery, Delivered) else delivery.reason
            self._ended(sealed.manifest.session_id, reason)

    def _failed(self, lane: _Lane, asked_s: float, luck: float, hurried: int) -> None:
        """Count a failure and pause the sink, unless a `drain` came since `hurried` and the pause is our own."""
        with lane.changed:
            lane.failures += 1
            seconds = self._backoff.delay(lane.failures, asked_s, luck)
            if asked_s > 0 or hurried == lane.hurried:
                self._pause(lane, seconds, asked_s > 0)

    def _shut(self, lane: _Lane, barred: Barred, luck: float, hurried: int) -> float:
        """Pause a sink that takes nothing, as `_failed` does, and say so once; how long it is left alone."""
        with lane.changed:
            lane.failures += 1
            if lane.resume_at <= time.monotonic():
                # What was under way beside the first is no further try.
                lane.barred += 1
            seconds = self._backoff.barred(max(1, lane.barred), barred.after_s, luck)
            if barred.after_s > 0 or hurried == lane.hurried:
                self._pause(lane, seconds, barred.after_s > 0)
            known, lane.told = lane.told == barred.reason, barred.reason
        if not known:
            means = meaning(barred.reason)
            log.warning(
                "%s takes nothing: %s%s. What is recorded waits; it is asked again in %.0f s, then less often.",
                lane.sink.name, barred.reason, f" ({means})" if means else "", seconds, extra=NOBODY,
            )  # fmt: skip
        return seconds

    def _pause(self, lane: _Lane, seconds: float, asked: bool) -> None:
        with lane.changed:
            lane.resume_at = max(lane.resume_at, time.monotonic() + seconds)
            lane.asked = lane.asked or asked
            lane.stats.state = f"waiting {seconds:.0f} s"

    def _tell_expired(self) -> None:
        with self._telling:
            new = self._spool.expired[self._expired :]
            self._expired += len(new)
        for receipt in new:
            self._told(receipt)

    def _note(self, lane: _Lane, segment: str, outcome: Outcome, words: str) -> None:
        lane.stats.words = words
        receipt = Receipt(time.time_ns() // 1_000_000, segment, lane.sink.name, outcome, words)
        self._spool.note(receipt)
        self._told(receipt)


def _took_others(lane: _Lane, segment: str) -> bool:
    """Whether a sink that would take nothing at this segment has taken others again and again meanwhile."""
    with lane.changed:
        before, times = lane.refused.get(segment, (lane.stats.delivered, 0))
        times += lane.stats.delivered > before
        lane.refused[segment] = lane.stats.delivered, times
        return times >= OTHERS


def _send(sink: Sink, sealed: SealedSegment) -> Delivery:
    """A sink that breaks its word and raises counts as failed, so that the segment stays and its lane goes on."""
    try:
        return sink.send(sealed)
    except Exception as error:
        log.exception("%s failed on segment %s", sink.name, sealed.manifest.id)
        return Retry(0.0, f"{type(error).__name__}: {error}")

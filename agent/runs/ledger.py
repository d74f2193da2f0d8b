"""The ledger of a run: which test ran in which attempt from when to when on which phone, with which outcome.

Several sources tell of one test (a runner's plugin, HTTP, the phone's log, a result file): what they tell is joined,
and counted once. Times are epoch milliseconds of the host.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from agent.runs.names import Case

Source = Literal["pytest", "http", "log", "junit"]
Event = Literal["started", "finished", "told"]
Outcome = Literal["", "passed", "skipped", "failed", "error", "crashed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# Those that a person wants to look at.
BAD: tuple[Outcome, ...] = ("failed", "error", "crashed")
# Two sources tell of the same moment so far apart: a log line comes late, and clocks are known within a bound.
SLACK_MS = 2_000


@dataclass(frozen=True, slots=True)
class Signal:
    """What a source tells of a test. `by` tells tellers of one source apart (a runner's workers), `serial` is the phone
    where it is known. "told" = an outcome while the test runs."""

    source: Source
    case: Case
    event: Event
    at_ms: int
    serial: str | None = None
    outcome: Outcome = ""
    message: str = ""
    by: str = ""


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt of a test. `serial` None = on some phone of the run, nobody told which. `start_ms` None = when is not
    known; `end_ms` None = it runs. `estimated` = the times are bounds that follow from a result file."""

    case: Case
    number: int
    serial: str | None
    start_ms: int | None
    end_ms: int | None = None
    outcome: Outcome = ""
    message: str = ""
    estimated: bool = False
    # Who told of it, and whether they told its end.
    told: dict[tuple[Source, str], bool] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Who told of it, in the order in which they did."""
        return tuple(dict.fromkeys(source for source, _ in self.told))

    def on(self, serial: str | None) -> bool:
        """Whether it may be the attempt on that phone."""
        return serial is None or self.serial is None or self.serial == serial


def worse(one: Outcome, other: Outcome) -> Outcome:
    """The one that counts when two sources disagree."""
    return max(one, other, key=OUTCOMES.index)


class Ledger:
    """Hears signals in the order in which they come. One caller at a time."""

    def __init__(self) -> None:
        self._attempts: list[Attempt] = []
        # A class may become known later, a name never changes.
        self._named: defaultdict[str, list[Attempt]] = defaultdict(list)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._attempts)

    def __len__(self) -> int:
        return len(self._attempts)

    def hear(self, signal: Signal) -> tuple[Attempt, bool] | None:
        """The attempt that is meant, and whether that is news of it; None when a test ends that nobody saw begin."""
        if signal.event == "started":
            return self._start(signal)
        attempt = self._running(signal)
        if attempt is None:
            return None
        teller = signal.source, signal.by
        attempt.outcome = worse(attempt.outcome, signal.outcome)
        attempt.message = attempt.message or signal.message
        if signal.event == "told":
            return attempt, False
        fresh = attempt.end_ms is None
        attempt.told[teller] = True
        attempt.end_ms = max(signal.at_ms, attempt.end_ms or 0, attempt.start_ms or 0)
        return attempt, fresh

    def add(self, attempt: Attempt) -> None:
        """One that is told of for the first time."""
        self._attempts.append(attempt)
        self._named[attempt.case.name].append(attempt)

    def close(self, at_ms: int) -> list[Attempt]:
        """The run has ended: what still runs did not end by itself. Returns these attempts.

        Of one that a result file tells to have gone well it is only not known when it ended."""
        left = [attempt for attempt in self._attempts if attempt.start_ms is not None and attempt.end_ms is None]
        unended = [attempt for attempt in left if attempt.outcome in BAD or not any(attempt.told.values())]
        for attempt in left:
            self._cut(attempt, at_ms)
        for attempt in unended:
            attempt.outcome = "crashed"
        return unended

    def of(self, case: Case) -> list[Attempt]:
        """The attempts of a test, in order; those of the only one that may be it when none has just this name."""
        known = self._named.get(case.name, [])
        exact = [attempt for attempt in known if attempt.case == case]
        if exact:
            return exact
        alike = [attempt for attempt in known if attempt.case.like(case)]
        return alike if len({attempt.case for attempt in alike}) == 1 else []

    def _start(self, signal: Signal) -> tuple[Attempt, bool]:
        teller = signal.source, signal.by
        known = [attempt for attempt in self.of(signal.case) if attempt.on(signal.serial)]
        for attempt in known:
            if attempt.end_ms is None and attempt.told.get(teller) is False:
                # Who begins again has never ended: its process died.
                self._cut(attempt, signal.at_ms)
                attempt.outcome = "crashed"
        same = next((attempt for attempt in known if self._joins(attempt, signal)), None)
        if same is not None:
            if len(signal.case.group) > len(same.case.group):
                for attempt in known:
                    attempt.case = signal.case
            same.told[teller] = False
            same.serial = same.serial or signal.serial
            same.start_ms = min(same.start_ms or signal.at_ms, signal.at_ms)
            return same, False
        case = known[0].case if known and len(known[0].case.group) > len(signal.case.group) else signal.case
        number = max((attempt.number for attempt in known), default=0) + 1
        made = Attempt(case, number, signal.serial, signal.at_ms, told={teller: False})
        self.add(made)
        return made, True

    def _joins(self, attempt: Attempt, signal: Signal) -> bool:
        """Whether a start is that of an attempt which another source told of."""
        if attempt.start_ms is None or signal.source in attempt.sources:
            return False
        last = signal.at_ms if attempt.end_ms is None else attempt.end_ms
        return attempt.start_ms - SLACK_MS <= signal.at_ms <= last + SLACK_MS

    def _running(self, signal: Signal) -> Attempt | None:
        """The attempt whose end is told: the teller's own, else its source's, else any that still runs."""
        known = [attempt for attempt in self.of(signal.case) if attempt.on(signal.serial)]
        own = [attempt for attempt in known if attempt.told.get((signal.source, signal.by)) is False]
        near = [attempt for attempt in known if attempt.end_ms is None and signal.source in attempt.sources]
        open_ones = [attempt for attempt in known if attempt.end_ms is None]
        return next((found[-1] for found in (own, near, open_ones) if found), None)

    def _cut(self, attempt: Attempt, at_ms: int) -> None:
        start = attempt.start_ms or 0
        later = (
            other.start_ms
            for other in self.of(attempt.case)
            if other.number > attempt.number and other.on(attempt.serial) and other.start_ms is not None
        )
        attempt.end_ms = max(start, min(later, default=at_ms))
        for teller in attempt.told:
            attempt.told[teller] = True


def kept(attempts: Iterable[Attempt], policy: str) -> list[Attempt]:
    """The attempts whose recording is wanted: "all", "failed" (what went wrong), "first-retry" (the second attempt)."""
    if policy == "failed":
        return [attempt for attempt in attempts if attempt.outcome in BAD]
    if policy == "first-retry":
        return [attempt for attempt in attempts if attempt.number == 2]
    return list(attempts)

"""Where an instrumented test starts and ends: the lines that AndroidX Test's runner writes into the phone's log.

Source of the lines: androidx.test.internal.runner.listener.LogRunListener, tag TestRunner. It writes `started: NAME`,
`finished: NAME`, `failed: NAME`, `assumption failed: NAME` and `ignored: NAME`, NAME as JUnit shows a test:
`method(class)`.
"""

from __future__ import annotations

import re

from agent.runs.ledger import Event, Outcome, Signal
from agent.runs.names import read
from bridge.types import LogEntry

TAG = "TestRunner"
_LINE = re.compile(r"(started|finished|failed|assumption failed|ignored): (\S[^\n]*\([\w.$]+\))")
_MEANING: dict[str, tuple[Event, Outcome]] = {
    "started": ("started", ""),
    # What went wrong is told before.
    "finished": ("finished", "passed"),
    "failed": ("told", "failed"),
    "assumption failed": ("told", "skipped"),
}


def heard(entry: LogEntry, serial: str) -> list[Signal]:
    """What an entry of a phone's log, of whomever, tells of tests."""
    if entry.tag != TAG:
        return []
    found = _LINE.match(entry.message)
    if found is None:
        return []
    case, by, at_ms = read(found[2]), str(entry.pid), entry.stamp.wall_ms
    if found[1] == "ignored":
        return [
            Signal("log", case, "started", at_ms, serial, by=by),
            Signal("log", case, "finished", at_ms, serial, "skipped", by=by),
        ]
    event, outcome = _MEANING[found[1]]
    return [Signal("log", case, event, at_ms, serial, outcome, by=by)]

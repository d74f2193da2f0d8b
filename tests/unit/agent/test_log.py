from __future__ import annotations

import logging

from agent.log import Damper


def test_repeats_are_held_back_and_counted() -> None:
    damper = Damper(every=10)
    said = []
    for _ in range(21):
        record = logging.LogRecord("bridge", logging.WARNING, __file__, 1, "stream lost", None, None)
        if damper.filter(record):
            said.append(record.getMessage())
    assert said == ["stream lost", "stream lost (and 9 more like it)", "stream lost (and 9 more like it)"]


def test_other_messages_pass() -> None:
    damper = Damper(every=10)
    records = [logging.LogRecord("bridge", logging.WARNING, __file__, 1, f"line {i}", None, None) for i in range(5)]
    assert all(damper.filter(record) for record in records)

from __future__ import annotations

import random
import tracemalloc
from collections import deque
from typing import Any

import pytest
from fakes.views import event
from hypothesis import given
from hypothesis import strategies as st

from agent.model import EventStage, SegmentEvent
from agent.replay import reports
from agent.replay.reports import MAX_TOLD, Reports

# From the least to the fullest.
FORMS: tuple[dict[str, Any], ...] = (
    {"stage": "raw"},
    {"stage": "before"},
    {"stage": "enriched", "complete": False},
    {"stage": "after", "complete": False},
    {"stage": "after", "session_from": ""},
    {"stage": "after"},
)


def report(message_id: str, stage: EventStage = "after") -> SegmentEvent:
    return event(1, message_id=message_id, stage=stage)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 6), st.booleans()), max_size=40))
def test_each_event_is_told_once_at_the_fullest_that_waits_or_is_lost(came: list[tuple[int, int, int, bool]]) -> None:
    """Reports come in some form, wait while others come, and have their turn or are dropped."""
    told: set[int] = set()
    lost: set[int] = set()
    waiting: list[tuple[int, int, int, bool]] = []
    reports = Reports()

    def leave(number: int, form: int, drop: bool) -> None:
        others = [other for _, n, other, _ in waiting if n == number]
        leaving = event(1, message_id=f"m{number}", **FORMS[form])
        if drop:
            expected = number not in told and not others
            assert reports.drop(leaving) == expected
            lost.update([number] if expected else [])
        else:
            expected = number not in told and form >= max(others, default=0)
            assert reports.turn(leaving) == expected
            told.update([number] if expected else [])

    for moment, (number, form, wait, drop) in enumerate(came):
        reports.wait(event(1, message_id=f"m{number}", **FORMS[form]))
        waiting.append((moment + wait, number, form, drop))
        while due := [each for each in waiting if each[0] <= moment]:
            waiting.remove(due[0])
            leave(*due[0][1:])
    while waiting:
        leave(*waiting.pop(0)[1:])
    assert told | lost == {number for number, *_ in came}


def test_however_many_wait_none_is_lost_and_none_is_doubled() -> None:
    many = 3 * MAX_TOLD
    reports = Reports()
    queue = deque(report(f"m{n}", stage) for stage in ("before", "after") for n in range(many))
    for each in queue:
        reports.wait(each)
    told = [each for each in queue if reports.turn(each)]
    assert [each.message_id for each in told] == [f"m{n}" for n in range(many)]
    assert {each.stage for each in told} == {"after"}


def test_a_forgotten_id_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_TOLD", 2)
    kept = Reports()
    for name in "abc":
        kept.wait(report(name))
        assert kept.turn(report(name))
    for name, told in (("b", False), ("c", False), ("a", True)):
        kept.wait(report(name))
        assert kept.turn(report(name)) == told


def test_reports_without_an_id_and_lines_of_the_session_plugin_are_each_of_its_own() -> None:
    kept = Reports()
    for each in (report(""), report(""), report("m", "session")):
        kept.wait(each)
        assert kept.turn(each)
        assert kept.drop(each)
    kept.wait(report("m"))
    assert kept.turn(report("m"))


def test_memory_is_bounded_and_small() -> None:
    ids = random.Random(7)
    kept = Reports()
    tracemalloc.start()
    try:
        for _ in range(5 * MAX_TOLD):
            each = report(f"{ids.getrandbits(128):x}")
            kept.wait(each)
            kept.turn(each)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 150 * MAX_TOLD

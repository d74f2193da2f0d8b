from __future__ import annotations

import random
import tracemalloc
from collections import deque

import pytest
from fakes.views import event
from hypothesis import given
from hypothesis import strategies as st

from agent.model import EventStage, SegmentEvent
from agent.replay import reports
from agent.replay.reports import MAX_TOLD, Reports

STAGES: tuple[EventStage, ...] = ("raw", "before", "enriched", "after")


def report(message_id: str, stage: EventStage = "after") -> SegmentEvent:
    return event(1, message_id=message_id, stage=stage)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STAGES), st.integers(0, 6), st.booleans()), max_size=40))
def test_each_event_is_told_once_at_the_fullest_that_waits_or_is_lost(
    came: list[tuple[int, EventStage, int, bool]],
) -> None:
    """Reports come, wait for `wait` others and have their turn or are dropped."""
    told: dict[int, EventStage] = {}
    lost = dict.fromkeys({each for each, *_ in came}, 0)
    waiting: list[tuple[int, int, EventStage, bool]] = []
    reports = Reports()

    def leave(number: int, stage: EventStage, drop: bool) -> None:
        others = [STAGES.index(s) for _, n, s, _ in waiting if n == number]
        if drop:
            expected = number not in told and not others
            assert reports.drop(report(f"m{number}", stage)) == expected
            lost[number] += expected
        else:
            expected = number not in told and all(STAGES.index(stage) >= other for other in others)
            assert reports.turn(report(f"m{number}", stage)) == expected
            if expected:
                told[number] = stage

    for moment, (number, stage, wait, drop) in enumerate(came):
        reports.wait(report(f"m{number}", stage))
        waiting.append((moment + wait, number, stage, drop))
        while due := [each for each in waiting if each[0] <= moment]:
            waiting.remove(due[0])
            leave(*due[0][1:])
    while waiting:
        leave(*waiting.pop(0)[1:])
    assert all(number in told or lost[number] for number in lost)


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

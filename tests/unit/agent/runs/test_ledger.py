from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runs.ledger import SLACK_MS, Attempt, Ledger, Signal, kept, worse
from agent.runs.names import Case, read

PAY = read("test_pay.py::test_card")


def told(event: str, at_ms: int, source: str = "pytest", case: Case = PAY, **more: Any) -> Signal:
    return Signal(source, case, event, at_ms, **more)  # type: ignore[arg-type]


def heard(*signals: Signal) -> Ledger:
    ledger = Ledger()
    for signal in signals:
        ledger.hear(signal)
    return ledger


def shown(ledger: Ledger) -> list[tuple[Any, ...]]:
    return [(a.number, a.serial, a.start_ms, a.end_ms, a.outcome) for a in ledger]


def test_one_test_from_start_to_end() -> None:
    ledger = heard(told("started", 100), told("finished", 900, outcome="passed"))
    assert shown(ledger) == [(1, None, 100, 900, "passed")]


def test_a_second_start_is_a_second_attempt() -> None:
    ledger = heard(
        told("started", 100),
        told("finished", 900, outcome="failed"),
        told("started", 1000),
        told("finished", 1900, outcome="passed"),
    )
    assert shown(ledger) == [(1, None, 100, 900, "failed"), (2, None, 1000, 1900, "passed")]


def test_two_sources_of_one_attempt_are_joined() -> None:
    log = Case("com.example.PayTest", "testPay")
    short = Case("", "testPay")
    ledger = heard(
        told("started", 1000, "http", short),
        told("started", 1300, "log", log, serial="A"),
        told("finished", 1900, "http", short, outcome="passed"),
        told("told", 1800, "log", log, serial="A", outcome="failed"),
        told("finished", 2100, "log", log, serial="A", outcome="passed"),
    )
    assert shown(ledger) == [(1, "A", 1000, 2100, "failed")]
    (attempt,) = ledger
    assert attempt.case == log
    assert attempt.sources == ("http", "log")


def test_attempts_of_two_sources_are_joined_in_their_order() -> None:
    ledger = heard(
        told("started", 1000),
        told("finished", 1100, outcome="failed"),
        told("started", 1110),
        told("started", 1005, "log"),
        told("finished", 1101, "log", outcome="passed"),
        told("finished", 1200, outcome="passed"),
        told("started", 1111, "log"),
        told("finished", 1201, "log", outcome="passed"),
    )
    assert shown(ledger) == [(1, None, 1000, 1101, "failed"), (2, None, 1110, 1201, "passed")]


def test_another_source_much_later_tells_of_another_attempt() -> None:
    ledger = heard(
        told("started", 1000), told("finished", 1100, outcome="passed"), told("started", 1101 + SLACK_MS, "http")
    )
    assert [attempt.number for attempt in ledger] == [1, 2]


def test_phones_count_for_themselves() -> None:
    ledger = heard(
        told("started", 100, serial="A"),
        told("started", 110, serial="B"),
        told("finished", 200, serial="B", outcome="failed"),
        told("finished", 300, serial="A", outcome="passed"),
        told("started", 400, serial="B"),
    )
    assert shown(ledger) == [(1, "A", 100, 300, "passed"), (1, "B", 110, 200, "failed"), (2, "B", 400, None, "")]


def test_workers_at_the_same_test_at_the_same_time() -> None:
    ledger = heard(
        told("started", 100, by="gw0"),
        told("started", 110, by="gw1"),
        told("finished", 200, by="gw0", outcome="passed"),
        told("finished", 300, by="gw1", outcome="failed"),
    )
    assert shown(ledger) == [(1, None, 100, 200, "passed"), (2, None, 110, 300, "failed")]


def test_who_begins_again_has_crashed_before() -> None:
    ledger = heard(told("started", 100), told("started", 500), told("finished", 600, outcome="passed"))
    assert shown(ledger) == [(1, None, 100, 500, "crashed"), (2, None, 500, 600, "passed")]


def test_what_a_file_tells_to_have_gone_well_has_not_crashed() -> None:
    ledger = heard(told("started", 100), told("started", 110, case=Case("", "other")))
    for attempt in ledger:
        attempt.told["junit", ""] = True
    well, ill = ledger
    well.outcome, ill.outcome = "passed", "error"
    assert ledger.close(500) == [ill]
    assert [(attempt.outcome, attempt.end_ms) for attempt in ledger] == [("passed", 500), ("crashed", 500)]


def test_the_end_of_a_worker_is_told_by_its_controller() -> None:
    ledger = heard(told("started", 100, by="gw0"), told("finished", 300, by="", outcome="crashed"))
    assert shown(ledger) == [(1, None, 100, 300, "crashed")]


def test_what_never_ended_ends_with_the_run_or_with_the_next_attempt() -> None:
    ledger = heard(told("started", 100, "log", by="7"), told("started", 400, "log", by="8"))
    left = ledger.close(900)
    assert len(left) == 2
    assert shown(ledger) == [(1, None, 100, 400, "crashed"), (2, None, 400, 900, "crashed")]
    assert ledger.close(950) == []


def test_an_end_without_a_start_is_nobodys() -> None:
    assert Ledger().hear(told("finished", 5)) is None


def test_a_name_that_may_be_two_tests_is_a_third() -> None:
    one, two = Case("a.One", "test"), Case("a.Two", "test")
    ledger = heard(
        told("started", 1, case=one), told("started", 2, case=two), told("started", 3, "http", Case("", "test"))
    )
    assert [attempt.case.group for attempt in ledger] == ["a.One", "a.Two", ""]


@pytest.mark.parametrize(("policy", "numbers"), [("all", [1, 2, 1]), ("failed", [1]), ("first-retry", [2])])
def test_which_are_kept(policy: str, numbers: list[int]) -> None:
    other = Case("", "other")
    attempts = [
        Attempt(PAY, 1, None, 0, 1, "failed"),
        Attempt(PAY, 2, None, 2, 3, "passed"),
        Attempt(other, 1, None, 4, 5, "skipped"),
    ]
    assert [attempt.number for attempt in kept(attempts, policy)] == numbers


def test_the_worse_outcome_counts() -> None:
    assert worse("passed", "failed") == worse("failed", "passed") == "failed"
    assert worse("crashed", "failed") == "crashed"
    assert worse("", "passed") == "passed"


signals = st.builds(
    Signal,
    source=st.sampled_from(["pytest", "http", "log"]),
    case=st.sampled_from([PAY, Case("", "test_card"), Case("x", "other")]),
    event=st.sampled_from(["started", "finished", "told"]),
    at_ms=st.integers(0, 20_000),
    serial=st.sampled_from([None, "A", "B"]),
    outcome=st.sampled_from(["", "passed", "failed"]),
    by=st.sampled_from(["", "gw0"]),
)


@given(st.lists(signals, max_size=30))
def test_whatever_is_told_attempts_are_whole(all_signals: list[Signal]) -> None:
    ledger = heard(*all_signals)
    starts = sum(signal.event == "started" for signal in all_signals)
    assert len(ledger) <= starts
    ledger.close(30_000)
    for attempt in ledger:
        assert attempt.start_ms is not None
        assert attempt.end_ms is not None
        assert attempt.start_ms <= attempt.end_ms
    names = [(attempt.case, attempt.serial, attempt.number) for attempt in ledger]
    assert len(set(names)) == len(names)

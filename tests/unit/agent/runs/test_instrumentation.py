from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.runs.instrumentation import heard
from agent.runs.ledger import Ledger
from bridge.types import LogEntry, Stamp


def line(message: str, at_ms: int = 1000, tag: str = "TestRunner", pid: int = 77) -> LogEntry:
    return LogEntry(Stamp(at_ms * 1_000_000, at_ms), 0, pid, pid, 10_200, "I", tag, message)


def ledger_of(*entries: LogEntry) -> Ledger:
    ledger = Ledger()
    for entry in entries:
        for signal in heard(entry, "emulator-5554"):
            ledger.hear(signal)
    return ledger


def test_a_run_as_its_log_has_it() -> None:
    ledger = ledger_of(
        line("run started: 4 tests", 1000),
        line("started: testList(com.example.shop.ListTest)", 1100),
        line("finished: testList(com.example.shop.ListTest)", 1900),
        line("started: testPay(com.example.shop.PayTest)", 2000),
        line("failed: testPay(com.example.shop.PayTest)", 2500),
        line("----- begin exception -----", 2500),
        line("finished: testPay(com.example.shop.PayTest)", 2600),
        line("ignored: testLater(com.example.shop.PayTest)", 2610),
        line("started: testIf(com.example.shop.PayTest)", 2700),
        line("assumption failed: testIf(com.example.shop.PayTest)", 2710),
        line("finished: testIf(com.example.shop.PayTest)", 2720),
        line("run finished: 4 tests, 1 failed, 1 ignored", 2800),
    )
    assert [(a.case.title, a.start_ms, a.end_ms, a.outcome, a.serial) for a in ledger] == [
        ("com.example.shop.ListTest.testList", 1100, 1900, "passed", "emulator-5554"),
        ("com.example.shop.PayTest.testPay", 2000, 2600, "failed", "emulator-5554"),
        ("com.example.shop.PayTest.testLater", 2610, 2610, "skipped", "emulator-5554"),
        ("com.example.shop.PayTest.testIf", 2700, 2720, "skipped", "emulator-5554"),
    ]


def test_a_process_that_dies_and_its_next_one() -> None:
    ledger = ledger_of(
        line("started: testPay(com.example.PayTest)", 1000, pid=77),
        line("started: testPay(com.example.PayTest)", 3000, pid=78),
        line("finished: testPay(com.example.PayTest)", 3500, pid=78),
    )
    ledger.close(9000)
    assert [(a.number, a.end_ms, a.outcome) for a in ledger] == [(1, 3000, "crashed"), (2, 3500, "passed")]


def test_other_lines_tell_of_no_test() -> None:
    assert heard(line("started: testPay(com.example.PayTest)", tag="Other"), "S") == []
    assert heard(line("started: the engine"), "S") == []
    assert heard(line("said: started: testPay(com.example.PayTest)"), "S") == []


@given(st.text(), st.sampled_from(["started: ", "finished: ", "failed: ", "ignored: ", ""]))
def test_any_line_is_read_or_left(text: str, before: str) -> None:
    for signal in heard(line(before + text), "S"):
        assert signal.case.name
        assert signal.case.group

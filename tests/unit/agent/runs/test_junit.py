from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runs.junit import Unreadable, enriched, merge, parse
from agent.runs.ledger import Ledger, Signal
from agent.runs.names import Case, read

BEGIN, END = 1_760_000_000_000, 1_760_000_060_000
PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" tests="3" time="6.0" timestamp="2025-10-09T08:53:20+00:00">
<testcase classname="tests.test_pay" name="test_card" time="2.0" />
<testcase classname="tests.test_pay" name="test_cash" time="1.0"><failure message="no change&#10;left">trace</failure>
<system-out>printed</system-out></testcase>
<testcase classname="tests.test_pay" name="test_later" time="0.0"><skipped message="not today" /></testcase>
</testsuite></testsuites>"""
SUREFIRE = b"""<testsuite name="com.example.PayTest">
<testcase classname="com.example.PayTest" name="flaky"><flakyFailure message="once">x</flakyFailure></testcase>
<testcase classname="com.example.PayTest" name="broken"><failure message="first">x</failure>
<rerunFailure message="second">x</rerunFailure><rerunError message="third">x</rerunError></testcase>
</testsuite>"""


def outcomes(data: bytes) -> dict[str, tuple[str, ...]]:
    return {result.case.name: result.outcomes for result in parse(data, BEGIN, END).results}


def ledger_of(*ran: tuple[str, int, int, str]) -> Ledger:
    ledger = Ledger()
    for name, start, end, outcome in ran:
        ledger.hear(Signal("pytest", read(name), "started", start))
        ledger.hear(Signal("pytest", read(name), "finished", end, outcome=outcome))  # type: ignore[arg-type]
    return ledger


def test_outcomes_as_pytest_writes_them() -> None:
    assert outcomes(PYTEST) == {"test_card": ("passed",), "test_cash": ("failed",), "test_later": ("skipped",)}


@pytest.mark.parametrize(
    ("child", "message"),
    [
        # Jest, with Detox as well; Maestro.
        (b"<failure>\n Error: expect(total)\n   Expected: 9</failure>", "Error: expect(total) Expected: 9"),
        (b'<failure message="">Assertion is false: &quot;Pay&quot; is visible</failure>', 'Assertion is false: "Pay"'),
        (b"<skipped/>", ""),
        (b'<error message="short">' + b"long " * 2_000_000 + b"</error>", "short"),
        (b"<error>" + b"long " * 2_000_000 + b"</error>", "long long"),
    ],
    ids=("jest", "maestro", "nothing", "both", "huge"),
)
def test_why_it_failed_may_stand_in_the_text_alone(child: bytes, message: str) -> None:
    (result,) = parse(b'<testsuite><testcase name="pays">' + child + b"</testcase></testsuite>", BEGIN, END).results
    assert result.message.startswith(message)
    assert len(result.message) <= 300


def test_attempts_as_surefire_writes_them() -> None:
    assert outcomes(SUREFIRE) == {"flaky": ("failed", "passed"), "broken": ("failed", "failed", "error")}


def test_what_only_the_file_tells_runs_between_the_times_that_it_allows() -> None:
    ledger = Ledger()
    merge([parse(PYTEST, BEGIN, END)], ledger)
    # The suite took 3 s longer than its tests: somewhere before or between them.
    assert [(a.case.name, a.start_ms, a.end_ms, a.outcome, a.estimated) for a in ledger] == [
        ("test_card", BEGIN, BEGIN + 5000, "passed", True),
        ("test_cash", BEGIN + 2000, BEGIN + 6000, "failed", True),
        ("test_later", BEGIN + 3000, BEGIN + 6000, "skipped", True),
    ]
    assert [attempt.sources for attempt in ledger] == [("junit",)] * 3


@pytest.mark.parametrize("stamp", [b"", b"yesterday", b"2024-10-09T08:53:20+00:00", b"9999-12-31T23:59:59"])
def test_without_a_time_of_this_run_nobody_knows_when(stamp: bytes) -> None:
    ledger = Ledger()
    merge([parse(PYTEST.replace(b"2025-10-09T08:53:20+00:00", stamp), BEGIN, END)], ledger)
    assert [(attempt.start_ms, attempt.end_ms) for attempt in ledger] == [(None, None)] * 3


def test_a_time_without_a_zone_is_the_one_that_can_be() -> None:
    ledger = Ledger()
    merge([parse(PYTEST.replace(b"+00:00", b""), BEGIN, END)], ledger)
    assert next(iter(ledger)).start_ms == BEGIN


def test_what_was_heard_is_not_doubled() -> None:
    ledger = ledger_of(
        ("tests/test_pay.py::test_card", 10, 20, "passed"),
        ("tests/test_pay.py::test_cash", 30, 40, ""),
        ("tests/test_pay.py::test_later", 50, 60, "skipped"),
    )
    report = parse(PYTEST, BEGIN, END)
    joined = merge([report], ledger)
    assert [(a.case.name, a.start_ms, a.outcome, a.message) for a in ledger] == [
        ("test_card", 10, "passed", ""),
        ("test_cash", 30, "failed", "no change left"),
        ("test_later", 50, "skipped", "not today"),
    ]
    assert [[attempt.number for attempt in joined[result]] for result in report.results] == [[1], [1], [1]]


def test_of_retries_a_file_may_tell_the_last_alone() -> None:
    ledger = ledger_of(
        ("tests/test_pay.py::test_card", 10, 20, "failed"), ("tests/test_pay.py::test_card", 30, 40, "passed")
    )
    report = parse(PYTEST, BEGIN, END)
    joined = merge([report], ledger)
    assert [attempt.outcome for attempt in ledger][:2] == ["failed", "passed"]
    assert [attempt.number for attempt in joined[report.results[0]]] == [1, 2]


def test_a_test_that_stands_there_twice_ran_twice() -> None:
    data = b"""<testsuite><testcase classname="A" name="t"><failure/></testcase><testcase classname="A" name="t"/>
    </testsuite>"""
    ledger = ledger_of(("A#t", 10, 20, ""), ("A#t", 30, 40, ""))
    report = parse(data, BEGIN, END)
    joined = merge([report], ledger)
    assert [attempt.outcome for attempt in ledger] == ["failed", "passed"]
    assert [[attempt.number for attempt in joined[result]] for result in report.results] == [[1], [2]]


def test_attempts_that_only_the_file_tells_have_no_times() -> None:
    ledger = Ledger()
    merge([parse(SUREFIRE, BEGIN, END)], ledger)
    assert [(a.case.name, a.number, a.start_ms, a.outcome) for a in ledger] == [
        ("flaky", 1, None, "failed"),
        ("flaky", 2, None, "passed"),
        ("broken", 1, None, "failed"),
        ("broken", 2, None, "failed"),
        ("broken", 3, None, "error"),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<testsuite><testcase", "broken"),
        (b"\xff\xfe\x00", "broken"),
        (b'<?xml version="1.0" encoding="nonsense"?><testsuite/>', "broken"),
        (b"<html/>", "<html>"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><testsuite>&b;</testsuite>', "document type"),
        (b"<testsuite>" * 60 + b"</testsuite>" * 60, "deep"),
    ],
)
def test_what_is_no_such_file_says_why(data: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        parse(data, BEGIN, END)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data, b"<testsuite>" + data + b"</testsuite>"):
        try:
            parse(text, BEGIN, END)
        except Unreadable:
            continue


def rows(data: bytes, told: list[tuple[int, dict[str, str], str]]) -> ElementTree.Element:
    return ElementTree.fromstring(enriched(parse(data, BEGIN, END), lambda result: list(told)))


def properties(element: ElementTree.Element) -> dict[str, str]:
    return {item.get("name", ""): item.get("value", "") for item in element.iter("property")}


def test_the_file_names_what_was_recorded() -> None:
    told = [(1, {"attempt": "1", "session_id": "17"}, "/r/a-attempt1.replay"), (2, {"attempt": "2"}, "")]
    root = rows(PYTEST, told)
    card, cash, _ = root.iter("testcase")
    assert properties(card) == {
        "android-replay.attempt-1.attempt": "1",
        "android-replay.attempt-1.session_id": "17",
        "android-replay.attempt": "2",
    }
    assert [child.tag for child in card] == ["properties", "system-out"]
    assert card.findtext("system-out") == "[[ATTACHMENT|/r/a-attempt1.replay]]\n"
    # What the runner wrote stays.
    assert cash.findtext("system-out") == "printed\n[[ATTACHMENT|/r/a-attempt1.replay]]\n"
    assert cash.find("failure").text == "trace"  # type: ignore[union-attr]
    assert root.find("testsuite").get("tests") == "3"  # type: ignore[union-attr]


def test_done_twice_it_says_the_same() -> None:
    told: list[tuple[int, Any, str]] = [(1, {"attempt": "1"}, "/r/a.replay")]
    once = enriched(parse(PYTEST, BEGIN, END), lambda result: told)
    assert enriched(parse(once, BEGIN, END), lambda result: told) == once


def test_a_namespace_and_comments_stay() -> None:
    data = b'<testsuite xmlns="urn:x"><!-- by hand --><testcase name="t"/></testsuite>'
    text = enriched(parse(data, BEGIN, END), lambda result: [(1, {"attempt": "1"}, "")]).decode()
    assert '<testsuite xmlns="urn:x"><!-- by hand -->' in text
    assert '<property name="android-replay.attempt" value="1" />' in text


@given(st.text(), st.text())
def test_any_words_make_a_file_that_is_read_again(value: str, path: str) -> None:
    data = enriched(parse(PYTEST, BEGIN, END), lambda result: [(1, {"device_id": value}, path)])
    assert len(parse(data, BEGIN, END).results) == 3


def test_a_name_may_be_a_node_id() -> None:
    report = parse(b'<testsuite><testcase name="tests/test_a.py::test_b"/></testsuite>', BEGIN, END)
    assert report.results[0].case == Case("tests.test_a", "test_b")


def on_phones(*ran: tuple[str, int, str]) -> Ledger:
    ledger = Ledger()
    for serial, start, outcome in ran:
        ledger.hear(Signal("log", Case("A", "t"), "started", start, serial))
        ledger.hear(Signal("log", Case("A", "t"), "finished", start + 5, serial, outcome))  # type: ignore[arg-type]
    return ledger


FAILED = b'<testsuite name="%s"><testcase classname="A" name="t"><failure message="m"/></testcase></testsuite>'
PASSED = b'<testsuite name="%s"><testcase classname="A" name="t"/></testsuite>'


def test_a_file_that_names_a_phone_tells_of_that_phone() -> None:
    ledger = on_phones(("emulator-5554", 10, "passed"), ("emulator-5556", 20, "passed"))
    reports = [parse(FAILED % b"x", BEGIN, END, "emulator-5554.xml"), parse(PASSED % b"emulator-5556", BEGIN, END)]
    joined = merge(reports, ledger)
    assert [(a.serial, a.outcome) for a in ledger] == [("emulator-5554", "failed"), ("emulator-5556", "passed")]
    assert [[a.serial for a in joined[report.results[0]]] for report in reports] == [
        ["emulator-5554"],
        ["emulator-5556"],
    ]


def test_of_several_phones_the_only_attempt_that_ended_so_is_meant() -> None:
    ledger = on_phones(("emulator-5554", 10, "failed"), ("emulator-5556", 20, "passed"))
    reports = [parse(PASSED % b"x", BEGIN, END), parse(FAILED % b"x", BEGIN, END)]
    joined = merge(reports, ledger)
    assert [[a.serial for a in joined[report.results[0]]] for report in reports] == [
        ["emulator-5556"],
        ["emulator-5554"],
    ]
    assert [attempt.message for attempt in ledger] == ["m", ""]


def test_of_several_phones_a_failure_may_be_that_of_the_one_whose_test_never_ended() -> None:
    def heard(outcome: str) -> Ledger:
        ledger = on_phones(("emulator-5554", 10, outcome))
        ledger.hear(Signal("log", Case("A", "t"), "started", 20, "emulator-5556"))
        return ledger

    reports = [parse(PASSED % b"x", BEGIN, END), parse(FAILED % b"x", BEGIN, END)]
    joined = merge(reports, heard("passed"))
    assert [[a.serial for a in joined[report.results[0]]] for report in reports] == [
        ["emulator-5554"],
        ["emulator-5556"],
    ]
    # Or of the other's.
    assert merge([parse(FAILED % b"x", BEGIN, END)], heard("failed")) == {}


def test_what_may_be_of_either_phone_is_of_none() -> None:
    ledger = on_phones(("emulator-5554", 10, "failed"), ("emulator-5556", 20, "failed"))
    assert merge([parse(FAILED % b"x", BEGIN, END)], ledger) == {}
    assert [attempt.sources for attempt in ledger] == [("log",), ("log",)]


def test_retries_with_files_of_their_own_are_in_the_order_of_their_times() -> None:
    case = b'<testcase classname="A" name="t" time="1">%s</testcase>'
    when = b'<testsuite timestamp="2025-10-09T08:53:%d+00:00">' + case + b"</testsuite>"
    ledger = ledger_of(("A#t", BEGIN, BEGIN + 1, ""), ("A#t", BEGIN + 9000, BEGIN + 9001, ""))
    merge([parse(when % (29, b""), BEGIN, END), parse(when % (20, b"<failure/>"), BEGIN, END)], ledger)
    assert [attempt.outcome for attempt in ledger] == ["failed", "passed"]


def test_a_name_without_a_class_is_one_test_s_alone() -> None:
    first, second = b'<testcase classname="a.A" name="t"/>', b'<testcase classname="b.B" name="t"><failure/></testcase>'
    data = b"<testsuite>" + first + second + b"</testsuite>"
    ledger = ledger_of(("t", 10, 20, "passed"))
    merge([parse(data, BEGIN, END)], ledger)
    assert [(a.case.title, a.start_ms, a.outcome) for a in ledger] == [
        ("a.A.t", 10, "passed"),
        ("b.B.t", None, "failed"),
    ]


def test_a_name_in_full_comes_before_a_part_of_one() -> None:
    data = b'<testsuite><testcase name="t"><failure/></testcase><testcase classname="b.B" name="t"/></testsuite>'
    ledger = ledger_of(("b.B#t", 10, 20, "passed"))
    merge([parse(data, BEGIN, END)], ledger)
    assert [(a.case.title, a.start_ms, a.outcome) for a in ledger] == [("b.B.t", 10, "passed"), ("t", None, "failed")]

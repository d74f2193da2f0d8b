from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.runs.github import ANNOTATIONS, marked
from agent.runs.ledger import Attempt, Outcome
from agent.runs.names import Case
from agent.runs.table import Row, Session


def row(name: str, outcome: Outcome, number: int = 1, **more: str) -> Row:
    attempt = Attempt(Case("shop", name, more.get("file", "")), number, "S", 0, 1, outcome, more.get("message", ""))
    return Row(attempt, (Session(17, "dev", "S"),), more.get("replay", ""), more.get("why", ""))


def test_a_failure_is_an_error_with_its_ids_and_replay() -> None:
    (line,) = marked(
        [row("pay", "failed", file="tests/a,b.py", message="50% off: no\nway", replay="pay-attempt1.replay")]
    )
    assert line == (
        "::error file=tests/a%2Cb.py,title=shop.pay::failed in attempt 1.%0A50%25 off: no%0Away%0A"
        "Session 17 of device dev.%0AReplay: pay-attempt1.replay"
    )


def test_what_went_well_in_the_end_is_a_warning() -> None:
    lines = marked([row("pay", "failed", 1), row("pay", "passed", 2), row("list", "passed")])
    assert [line.split(" ")[0] for line in lines] == ["::warning"]


def test_attempts_that_all_failed_are_one_error() -> None:
    lines = marked([row("pay", "failed", 1), row("pay", "crashed", 2)])
    assert len(lines) == 1
    assert "attempt 2" in lines[0]


def test_a_gate_is_an_error() -> None:
    assert marked([], ["--gate gaps: something is missing"]) == [
        "::error title=Gate::--gate gaps: something is missing"
    ]


def test_ten_of_a_kind_and_the_tenth_says_how_many_more() -> None:
    lines = marked([row(f"t{n}", "failed") for n in range(25)])
    assert len(lines) == ANNOTATIONS
    assert "16 more" in lines[-1]
    assert len(marked([row(f"t{n}", "failed") for n in range(10)])) == 10
    assert all("more" not in line for line in marked([row(f"t{n}", "failed") for n in range(10)]))


@given(st.text(), st.text())
def test_no_words_make_another_command(name: str, message: str) -> None:
    for line in marked([row(name, "failed", message=message)]):
        assert "\n" not in line
        assert "\r" not in line
        assert line.startswith("::error title=")

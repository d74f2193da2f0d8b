from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Counts, SegmentManifest
from agent.runs.ledger import Attempt, Outcome
from agent.runs.names import Case
from agent.runs.table import Facts, Row, Session, document, headline, markdown, met

FACTS = Facts(("pytest", "-x"), 1, 1_760_000_000_000, 1_760_000_009_000, "failed", "replays", ("S",), {}, {})


def attempt(name: str = "test_pay", number: int = 1, outcome: Outcome = "failed", serial: str | None = "S") -> Attempt:
    return Attempt(Case("shop", name), number, serial, 1000, 2500, outcome, told={("pytest", ""): True})


def manifest(session: int, start_ms: int, end_ms: int, serial: str = "S", device: str = "d") -> SegmentManifest:
    return SegmentManifest("0" * 16, session, device, serial, 0, start_ms, end_ms, "stop", Counts(), (), 1)


def test_the_sessions_that_a_test_met_are_those_of_its_phone_and_time() -> None:
    manifests = [
        manifest(30, 2400, 9000),
        manifest(10, 0, 999),
        manifest(20, 0, 1500),
        manifest(20, 1500, 2300),
        manifest(40, 1200, 1300, serial="T"),
        manifest(50, 2501, 9000),
    ]
    assert met(attempt(), manifests) == (Session(20, "d", "S"), Session(30, "d", "S"))
    assert [s.session_id for s in met(attempt(serial=None), manifests)] == [20, 40, 30]
    assert met(Attempt(Case("", "t"), 1, None, None), manifests) == ()


def test_the_document_is_what_was_recorded() -> None:
    row = Row(attempt(), (Session(1_760_000_000_000, "device", "S"),), "shop.test_pay-attempt1.replay")
    made = json.loads(json.dumps(document(FACTS, [row, Row(attempt("list", outcome="passed"), why="not kept")])))
    assert made["exit_code"] == 1
    assert made["outcomes"] == {"failed": 1, "passed": 1}
    assert made["tests"][0] == {
        "test": "shop.test_pay", "class": "shop", "name": "test_pay", "file": "", "attempt": 1, "outcome": "failed",
        "message": "", "serial": "S", "start_ms": 1000, "end_ms": 2500, "estimated": False, "sources": ["pytest"],
        "sessions": [{"session_id": 1_760_000_000_000, "device_id": "device", "serial": "S"}],
        "replay": "shop.test_pay-attempt1.replay", "why": "",
    }  # fmt: skip
    assert (made["tests"][1]["replay"], made["tests"][1]["why"]) == (None, "not kept")


def test_the_table_for_people() -> None:
    rows = [
        Row(attempt("a|b<c>*"), (Session(7, "dev_1", "S"), Session(8, "dev_1", "S")), "a-attempt1.replay"),
        Row(attempt("quiet", outcome=""), why="no session was recorded while it ran"),
    ]
    lines = markdown(FACTS, rows).splitlines()
    assert "2 attempts: 1 failed, 1 unknown; 1 recordings; exit code 1." in lines[2]
    assert lines[6] == (
        r"| shop.a\|b\<c\>\* | 1 | failed | 1.5 | 7<br>8 | dev\_1 | [a-attempt1.replay](a-attempt1.replay) |"
    )
    assert lines[7] == r"| shop.quiet | 1 | unknown | 1.5 | no session | – | no session was recorded while it ran |"


def test_elsewhere_replays_are_paths_and_several_phones_have_a_column() -> None:
    facts = replace(FACTS, serials=("S", "T"))
    rows = [Row(attempt(), (Session(7, "dev", "S"),), "a.replay"), Row(attempt(serial=None), (), "", "not kept")]
    lines = markdown(facts, rows, 10_000).splitlines()
    assert lines[4].split(" | ")[-2] == "phone"
    assert lines[6].endswith("| 7 | dev | S | replays/a.replay |")
    assert lines[7].endswith("| no session | – | – | not kept |")


def test_no_test_is_said() -> None:
    assert "no test was heard" in headline(FACTS, [])
    assert "|---" not in markdown(FACTS, [])


@pytest.mark.parametrize("limit", [600, 2_000, 20_000])
def test_a_limit_leaves_out_what_went_well_first(limit: int) -> None:
    rows = [Row(attempt(f"good{n}", outcome="passed")) for n in range(100)] + [Row(attempt("bad"))]
    text = markdown(FACTS, rows, limit)
    assert len(text.encode()) <= limit
    assert "shop.bad" in text
    shown = text.count("| shop.good")
    assert (f"{100 - shown} more attempts" in text) == (shown < 100)


@given(st.text(), st.text(), st.text())
def test_any_words_stay_in_their_cell(name: str, device: str, why: str) -> None:
    rows = [Row(Attempt(Case("", name), 1, None, 0, 1, "failed"), (Session(1, device, "S"),), "", why)]
    text = markdown(FACTS, rows)
    line = text.split("\n")[6]
    assert line.replace("\\\\", "").replace("\\|", "").count("|") == 8

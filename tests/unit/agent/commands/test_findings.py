from __future__ import annotations

import pytest

from agent.commands.findings import PROOF_CHARS, fact, fail, level, lines
from agent.errors import ConfigError, FaultsFound
from agent.model import Finding, Severity
from bridge.types import Stamp


def finding(severity: Severity = "warning", proof: str = "I/T: text", rule: str = "plugin-order") -> Finding:
    return Finding(rule, severity, Stamp(1, 1), 42, "seen", "It means this.", "Do that.", proof, 3)


def test_levels() -> None:
    assert level(None) is None
    assert level("info") == "info"
    with pytest.raises(ConfigError):
        level("INFO")


def test_a_level_takes_in_what_is_worse() -> None:
    fail([], "info")
    fail([finding("error")], None)
    fail([finding("info"), finding("warning")], "error")
    for least in ("error", "warning", "info"):
        with pytest.raises(FaultsFound, match="plugin-order"):
            fail([finding("info"), finding("error")], level(least))


def test_proof_is_cleaned_before_it_is_cut() -> None:
    proof = "x" * (PROOF_CHARS - 6) + " nora@quill.example"
    shown = fact(finding(proof=proof), "")["finding"]["proof"]
    assert "nora" not in shown
    assert len(shown) <= PROOF_CHARS
    assert "\n" not in fact(finding(proof="a\nb"), "")["finding"]["proof"]
    person = fact(finding(proof="{ traits: { name: 'Anna Bell', plan: 'gold' } }"), "")["finding"]["proof"]
    assert person == "{ traits: { name: '*****', plan: 'gold' } }"


def test_words_for_people() -> None:
    text = "\n".join(lines([finding()], lambda stamp: "12:00"))
    for word in (
        "warning",
        "plugin-order",
        "x 3",
        "12:00",
        "pid 42",
        "It means this.",
        "seen",
        "I/T: text",
        "Do that.",
    ):
        assert word in text
    assert lines([], lambda stamp: "") == ["Instrumentation: nothing to find fault with."]
    assert "proof" not in "\n".join(lines([finding(proof="")], lambda stamp: ""))


def test_a_terminal_is_told_nothing_by_a_log() -> None:
    hostile = finding(proof="I/T: \x1b]0;owned\x07 \x1b[2J\u202e\x9b31m text")
    shown = "\n".join(lines([hostile], lambda stamp: ""))
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "text" in shown

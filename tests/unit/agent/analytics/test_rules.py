from __future__ import annotations

import re
from pathlib import Path

import agent
from agent.analytics.rules import RULES, SEVERITIES

README = Path(agent.__file__).parents[1] / "README.md"


def test_names_are_stable_words_and_texts_are_sentences() -> None:
    for name, rule in RULES.items():
        assert name == rule.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", name)
        assert rule.meaning.endswith(".")
        assert rule.fix.endswith(".")


def test_the_readme_names_each_rule_under_its_severity() -> None:
    text = README.read_text()
    for severity in SEVERITIES:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {severity} |")]
        assert set(re.findall(r"`([a-z-]+)`", row)) == {r.name for r in RULES.values() if r.severity == severity}

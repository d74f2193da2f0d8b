from __future__ import annotations

import pytest

from agent.commands.masking import rules
from agent.errors import ConfigError


def test_the_flags_become_rules() -> None:
    given = rules(["id=card_*"], ["text=Anna"], ["class=Total"])
    assert given is not None
    assert [(rule.action, rule.conditions) for rule in given] == [
        ("block", (("id", "card_*"),)),
        ("mask", (("text", "Anna"),)),
        ("unmask", (("class", "Total"),)),
    ]


def test_without_flags_there_is_no_setting() -> None:
    assert rules(None, None) is None


def test_a_flag_that_is_no_rule_is_named() -> None:
    with pytest.raises(ConfigError, match="--mask 'x'"):
        rules(None, ["x"])

from __future__ import annotations

import re
from pathlib import Path

from fakes.views import APP, DPI, EDIT, SCREEN, app, status_bar, still, tree, view

from agent.model import MaskLevel
from agent.privacy import Rules, rule
from agent.replay import mask, rules, survey, verdicts, windows
from agent.replay.mask import Masker
from agent.replay.verdicts import REASONS, Verdict, reason
from bridge.types import Node, NodeFlag

TITLE = view(0, 100, 1080, 240, text="Checkout")
NAME = view(40, 300, 1040, 420, EDIT, "Anna", resource_id="com.example.shop:id/name")
PASSWORD = view(40, 500, 1040, 620, EDIT, "hunter22", flags=NodeFlag.PASSWORD)
FORM = app(TITLE, NAME, PASSWORD)


def judged(*roots: Node, level: MaskLevel = "medium", flags: tuple[str, ...] = ()) -> dict[str, Verdict]:
    masker = Masker(level, APP, rules=Rules([rule("unmask", flag) for flag in flags]))
    shot, pixels = still(*roots)
    result = masker.snapshot(shot, pixels, DPI)
    dump = tree(*roots)
    found = verdicts.verdicts(dump, masker.judged(dump, SCREEN, DPI).rows, result)
    return {verdict.node.text: verdict for verdict in found if verdict.node.text}


def test_every_view_has_its_decision_rule_and_label() -> None:
    found = judged(FORM, status_bar())
    told = {text: (v.decision, v.rule, v.covered, v.itself, v.label) for text, v in found.items()}
    assert told == {
        "Checkout": ("show", "", 0.0, True, "Checkout"),
        "Anna": ("mask", "editable", 1.0, True, "*****"),
        "hunter22": ("mask", "password", 1.0, True, "*****"),
        "9:02": ("block", "system-ui", 1.0, False, ""),
    }
    assert found["Anna"].name == "com.example.shop:id/name"
    assert not found["9:02"].told


def test_a_view_that_a_user_shows_names_the_rule() -> None:
    found = judged(FORM, status_bar(), flags=("id=name",))
    assert (found["Anna"].decision, found["Anna"].rule) == ("show", "unmask id=name")


def test_a_view_that_another_covers_in_part_is_shown_with_its_share() -> None:
    half = view(40, 300, 1040, 540, text="half under")
    found = judged(app(half, NAME), status_bar())
    assert found["half under"].decision == "show"
    assert 0.4 < found["half under"].covered < 0.6


def test_a_picture_that_is_blocked_whole_blocks_every_view() -> None:
    shot, canvas = still(app(TITLE, package="com.other"), status_bar())
    dump = tree(app(TITLE, package="com.other"), status_bar())
    result = Masker("medium", APP).snapshot(shot, canvas, DPI)
    found = list(verdicts.verdicts(dump, (), result))
    assert {(v.decision, v.rule, v.told) for v in found} == {("block", "not-app", False)}
    assert len(found) == len(list(dump.walk()))


def test_every_rule_of_masking_has_a_sentence() -> None:
    text = "".join(Path(module.__file__).read_text() for module in (mask, rules, survey, windows))
    named = set(re.findall(r'"(?:mask|block)", "([a-z-]+)"', text)) - {"block"}
    named |= set(re.findall(r'_blocked\(s, dpi, "([a-z-]+)"', text))
    assert len(named) > 12
    assert named <= REASONS.keys()
    assert reason("block id=x") == "a rule of yours"
    assert reason("") == ""

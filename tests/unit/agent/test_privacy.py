from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from fakes.views import view
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.privacy import MAX_PATTERN, MAX_RULES, STARS, Action, Rule, Rules, Span, beyond, read, rule, starred
from bridge.types import Node

CARD = view(0, 0, 9, 9, text="4111", resource_id="com.shop:id/card_number", desc="Card number")
TEST_ID = view(0, 0, 9, 9, text="Anna", resource_id="card_holder")


def means(pattern: str, node: Node, action: Action = "mask") -> bool:
    return Rules([rule(action, pattern)]).judge(node) is not None


@pytest.mark.parametrize(
    ("pattern", "node", "meant"),
    [
        ("id=card_*", CARD, True),
        ("id=com.shop:id/card_number", CARD, True),
        ("id=*:id/card_*", CARD, True),
        ("id=card", CARD, False),
        ("id=CARD_*", CARD, False),
        ("id=/^card_(number|cvv)$/", CARD, True),
        ("id=card_*", TEST_ID, True),
        ("testid=card_*", TEST_ID, True),
        ("testid=card_*", CARD, False),
        ("TestID=card_h?ld[e-f]r", TEST_ID, True),
        ("testid=card_h[!o]*", TEST_ID, False),
        ("class=TextView", CARD, True),
        ("class=android.widget.*", CARD, True),
        ("class=widget.TextView", CARD, False),
        ("package=com.example.*", CARD, True),
        ("package=com.other", CARD, False),
        ("desc=card", CARD, True),
        ("desc=/^number/", CARD, False),
        ("text=41", CARD, True),
        ("text=number", CARD, True),
        ("text=[0-9]?11", CARD, True),
        ("id=*", view(0, 0, 9, 9, text="no id"), False),
        ("text=**", view(0, 0, 9, 9), False),
    ],
)
def test_a_pattern_means_these_views(pattern: str, node: Node, meant: bool) -> None:
    assert means(pattern, node) == meant


def test_what_shows_must_fit_the_whole_and_what_hides_is_found_anywhere() -> None:
    total = view(0, 0, 9, 9, text="Total for Anna Bell")
    assert means("text=Total", total, "mask")
    assert not means("text=Total", total, "unmask")
    assert means("text=Total**", total, "unmask")
    assert not means("text=/Total/", total, "unmask")
    assert not means("id=/card/", CARD, "unmask")


def test_a_container_is_meant_by_words_that_nothing_in_it_says() -> None:
    drawn = view(0, 0, 9, 9, "android.view.ViewGroup", desc="Balance 12", children=[view(0, 0, 9, 9, "x.Image")])
    joined = view(0, 0, 9, 9, "android.view.ViewGroup", desc="Balance 12", children=[view(0, 0, 9, 9, text="Balance")])
    assert means("text=Balance", drawn)
    assert not means("text=Balance", joined)
    assert means("desc=Balance", joined)


def test_what_words_say_beyond_others() -> None:
    assert beyond("Anna Bell, 3 items", ["3 items", "anna bell"]) == ""
    assert beyond("Anna Bell, Annabel", ["Anna"]).split() == ["Bell,", "Annabel"]
    # Each view says its words once.
    assert beyond("1111, 1111", ["1111"]).strip(" ,") == "1111"
    assert beyond("1111, 1111", ["1111", "1111"]) == ""
    assert beyond("İstanbul, x", ["x"]).startswith("İstanbul")
    assert beyond("", ["x"]) == ""
    assert beyond("x" * 50, ["y"] * 10_000) == "x" * 50


def test_all_conditions_of_a_rule_must_hold() -> None:
    both = read({"action": "block", "id": "card_*", "class": "EditText"}, "Rule 1")
    assert Rules([both]).judge(CARD) is None
    assert both.conditions == (("id", "card_*"), ("class", "EditText"))
    assert both.name == "block id=card_* class=EditText"


def test_block_beats_mask_beats_unmask_whatever_their_order() -> None:
    rules = [rule("unmask", "id=card_*"), rule("mask", "id=card_*"), rule("block", "id=card_*")]
    for given_rules in (rules, rules[::-1]):
        assert Rules(given_rules).judge(CARD) == ("block", "block id=card_*")
        assert Rules([r for r in given_rules if r.action != "block"]).judge(CARD) == ("mask", "mask id=card_*")
    assert not Rules()


def test_the_words_of_a_rule_are_not_in_its_name() -> None:
    assert rule("mask", "text=Anna Bell").name == f"mask text={STARS}"
    assert rule("mask", "desc=Anna Bell").name == f"mask desc={STARS}"


def test_words_are_starred_where_they_stand() -> None:
    rules = Rules([rule("mask", "text=ORD-[0-9]*"), rule("block", "text=Dear **"), rule("unmask", "text=Hello")])
    assert rules.scrub("for ord-7x, and ORD-8 paid") == f"for {STARS} and {STARS} paid"
    assert rules.scrub("Hello\nDear Anna Bell\nHello") == f"Hello\n{STARS}\nHello"
    assert Rules([rule("mask", "id=x")]).scrub("x") == "x"
    assert Rules([rule("mask", "text=Anna Bell")]).literals == ("Anna Bell",)
    assert (
        Rules([rule("mask", "text=Anna\u00a0Bell")]).scrub("broken \ud800 anna\u00a0bell é") == "broken \ud800 ***** é"
    )
    assert Rules([rule("mask", "text=Anna Bell")]).scrub("Anna \u00a0\nBell") == STARS


@pytest.mark.parametrize("flags", [("text=Anna", "text=Anna Bell"), ("text=Anna Bell", "text=Anna"), ("text=Bell",)])
def test_no_rule_breaks_the_words_of_another(flags: tuple[str, ...]) -> None:
    rules = Rules([rule("mask", flag) for flag in (*flags, "text=Anna Bell, 5 Elm Row")])
    assert rules.scrub("to Anna Bell, 5 Elm Row now") == f"to {STARS} now"


@pytest.mark.parametrize(
    ("spans", "clean"),
    [
        ([], "abcdefgh"),
        ([(2, 4), (0, 3)], "*****efgh"),
        ([(0, 8), (2, 4), (6, 7)], "*****"),
        ([(0, 2), (2, 4), (5, 6)], "*****e*****gh"),
        ([(3, 3)], "abc*****defgh"),
        ([(3, 3), (1, 5)], "a*****fgh"),
    ],
)
def test_spans_that_overlap_or_touch_are_starred_once(spans: list[Span], clean: str) -> None:
    assert starred("abcdefgh", spans) == clean


@given(st.text("abcd", max_size=20), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6))
def test_what_is_outside_of_all_spans_stays_and_nothing_else(text: str, pairs: list[Span]) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs if max(pair) <= len(text) and pair[0] != pair[1]]
    left = [c for i, c in enumerate(text) if not any(start <= i < end for start, end in spans)]
    assert starred(text, spans).replace(STARS, "") == "".join(left)


def test_words_that_go_on_in_the_next_line_are_measured() -> None:
    rules = Rules([rule("mask", "text=/account number \\d+/")])
    assert rules.reaching("the account num", "ber 1234 is") == len("ber 1234")
    assert rules.reaching("the account number 12", " is") == 0
    assert Rules().reaching("the account num", "ber 1234 is") == 0


@pytest.mark.parametrize("pattern", ["/(a+)+$/", "/(a|aa)*b/", "/(.*)*x/", "a*a*a*a*a*a*b", "/(a?){100}a{100}x/"])
def test_no_pattern_hangs_on_any_text(pattern: str) -> None:
    rules = Rules([rule("mask", f"text={pattern}")])
    hostile = "a" * 300_000 + "!"
    rules.scrub(hostile)
    rules.scrub(hostile[:8000])
    rules.judge(view(0, 0, 9, 9, text=hostile))


def test_a_very_long_text_with_a_match_is_starred_whole() -> None:
    rules = Rules([rule("mask", "text=Anna")])
    assert rules.scrub("x" * 10_000 + " Anna") == STARS
    assert rules.scrub("x" * 10_000) == "x" * 10_000


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("card_*", "is no rule"),
        ("colour=red", "no field 'colour'"),
        ("id=", "id has no pattern"),
        ("id=/(/", "cannot be read"),
        ("text=/(?=a)b/", "cannot be read"),
        ("text=/(a)\\1/", "cannot be read"),
        ("id=[z-a]", "cannot be read"),
        ("id=/a{1000}{1000}/", "cannot be read"),
        ("id=" + "x" * (MAX_PATTERN + 1), "501 characters"),
    ],
)
def test_a_flag_that_is_no_rule_is_named_with_what_is_taken(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule("block", text)
    assert "--block" in caught.value.message
    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("block id=x", "not a table"),
        ({"id": "x"}, "has no action"),
        ({"action": "hide", "id": "x"}, "the action 'hide'"),
        ({"action": "mask"}, "names no view"),
        ({"action": "mask", "colour": "red"}, "no field 'colour'"),
        ({"action": "mask", "id": 7}, "id has no pattern"),
    ],
)
def test_a_rule_in_a_file_that_is_none_is_named(value: object, named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        read(value, "Rule 2 of privacy.rules (file)")
    assert caught.value.message.startswith("Rule 2 of privacy.rules (file)")
    assert caught.value.hint


def test_there_is_an_end_to_rules() -> None:
    with pytest.raises(ConfigError, match="201 privacy rules"):
        Rules([Rule("mask", (("id", "x"),))] * (MAX_RULES + 1))


@given(st.text("ab_*?[]^-!.\\", min_size=1, max_size=8), st.text("ab_^-!.\\", min_size=1, max_size=8))
def test_globs_of_names_are_those_of_a_shell(pattern: str, name: str) -> None:
    if "[" in pattern or "]" in pattern or not pattern.strip():
        return
    assert means(f"testid={pattern}", view(0, 0, 9, 9, resource_id=name)) == fnmatchcase(name, pattern)


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_pattern_is_taken_or_refused_in_words(text: str, pattern: str) -> None:
    try:
        rules = Rules([rule("mask", f"text={pattern}")])
    except ConfigError:
        return
    rules.scrub(text)
    rules.reaching(text, text)

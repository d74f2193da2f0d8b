from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.replay.spelling import (
    MAX_BEGINNING,
    alone,
    beginning,
    core,
    everywhere,
    fold,
    lowered,
    may_stand,
    plain,
    signs_of,
    squeezed,
)


def test_what_names_have_in_common() -> None:
    assert fold("Anna Bell") == fold("anna-bell") == fold("annaBell") == "annabell"
    assert lowered("İSTANBUL") == lowered("ıstanbul") == "istanbul"
    assert plain("４５–٣") == "45-3"


@pytest.mark.parametrize("length", range(4, 18))
def test_a_beginning_is_found_alone_and_to_its_end(length: int) -> None:
    found = beginning("Annabel Lindqvist", 4)
    part = "Annabel Lindqvist"[:length]
    for text in (part, f"onChangeText {part}", json.dumps({"value": part}), f"q={quote(part)}&x", part.upper()):
        match = found.search(text)
        assert match is not None, text
        assert len(match[0].rstrip()) >= len(part.rstrip()), text


def test_what_is_no_beginning() -> None:
    found = beginning("Annabel Lindqvist", 4)
    assert [found.search(text) for text in ("Ann", "Annabella", "xAnnabel", "nabel", "Lindqvist", "")] == [None] * 6
    # A word more than the beginning ends it.
    match = found.search("Annabel said")
    assert match is not None
    assert match[0] == "Annabel"


def test_the_signs_of_a_text_stand_wherever_it_does() -> None:
    for text, written in (("Anna O'Neill", "q=anna+o%27neill"), ("(415) 555-2671", "4155552671")):
        assert any(all(sign in lowered(written) for sign in signs) for signs in signs_of(text).ways)
        assert alone(text).search(written)


@given(
    st.text(st.characters(categories=["Ll", "Lu", "Nd"], max_codepoint=0x24F), min_size=6, max_size=20),
    st.lists(st.sampled_from(["", "", "-", " ", ". ", "%20", "%2D", r"\u0020", "/", "_", "&nbsp;"]), max_size=19),
)
def test_what_is_found_by_its_core_is_looked_for(text: str, between: list[str]) -> None:
    signs = signs_of(text)
    written = "".join(itertools.chain(*itertools.zip_longest(text, between[: len(text) - 1], fillvalue="")))
    if not signs.core:
        return
    assert signs.core in squeezed(written)
    assert alone(text).fullmatch(written)


@given(
    st.text(st.sampled_from("aB1 0-é\u0308ßক\u09bc王'&"), min_size=1, max_size=12),
    st.text(st.sampled_from("aB1 0-é\u0308ßক\u09bc王'&+%2D\\u"), max_size=8),
    st.sampled_from([str, str.upper, str.lower, quote, json.dumps, lambda s: s.replace(" ", "-"), lambda s: s[::-1]]),
)
def test_where_a_text_is_found_it_was_looked_for(text: str, beside: str, write: Callable[[str], str]) -> None:
    for written in (write(text), beside + write(text), write(text) + beside, beside):
        assert alone(text).search(written) is None or may_stand(signs_of(text), written)


def test_the_core_of_a_text_is_what_it_is_known_by() -> None:
    texts = ("Anna Bell", "00 98-765 432 1", "01.02.1990", "12345", "0012345", "A" * 60, "Jose\u0301 Da")
    assert [core(text) for text in texts] == ["annabell", "987654321", "01021990", "", "0012345", "", "joséda"]


def test_each_place_is_found_though_they_overlap() -> None:
    assert list(everywhere(alone("a b a"), "a b a b a")) == [(0, 5), (4, 9)]


@given(st.text(min_size=4, max_size=200), st.text(max_size=60))
def test_any_text_has_a_beginning_that_it_matches(text: str, other: str) -> None:
    words = " ".join(text.split())
    found = beginning(text, 4)
    found.search(other)
    if len(words) >= 4 and words[0].isalnum():
        assert found.search(words[:MAX_BEGINNING] if len(words) > MAX_BEGINNING else words) is not None

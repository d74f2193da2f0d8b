from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runs.names import MAX_STEM, Case, read


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("tests/shop/test_pay.py::test_card", Case("tests.shop.test_pay", "test_card")),
        ("test_pay.py::TestCard::test_visa[4-a::b]", Case("test_pay.TestCard", "test_visa[4-a::b]")),
        ("testPay(com.example.shop.PayTest)", Case("com.example.shop.PayTest", "testPay")),
        ("testPay[0](com.example.Outer$Inner)", Case("com.example.Outer$Inner", "testPay[0]")),
        ("com.example.PayTest#testPay", Case("com.example.PayTest", "testPay")),
        ("pay with card (visa)", Case("", "pay with card (visa)")),
        ("issue #4", Case("", "issue #4")),
        ("  pay\n with   card ", Case("", "pay with card")),
    ],
)
def test_a_name_is_read_as_its_runner_means_it(text: str, case: Case) -> None:
    assert read(text) == case


def test_a_node_id_tells_its_file() -> None:
    assert read("tests/test_pay.py::test_card").file == "tests/test_pay.py"
    assert read("testPay(com.example.PayTest)").file == ""


def test_a_case_that_tells_less_of_its_class_may_be_the_same() -> None:
    whole = Case("tests.shop.test_pay.TestCard", "test_visa")
    assert whole.like(Case("", "test_visa"))
    assert Case("test_pay.TestCard", "test_visa").like(whole)
    assert not Case("est_pay.TestCard", "test_visa").like(whole)
    assert not Case("test_pay.TestCard", "test_master").like(whole)


def test_names_that_are_cut_stay_different() -> None:
    one, other = Case("", "a" * 300 + "1"), Case("", "a" * 300 + "2")
    assert len(one.stem) <= MAX_STEM
    assert one.stem != other.stem


@given(st.text())
def test_any_name_makes_a_safe_file_name(text: str) -> None:
    case = read(text)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*|_[A-Za-z0-9._-]*|-[A-Za-z0-9._-]*", case.stem)
    assert len(case.stem) <= MAX_STEM
    assert not case.stem.startswith(".")
    assert "\n" not in case.title

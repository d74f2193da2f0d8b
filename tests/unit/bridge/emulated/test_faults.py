import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.faults import FAULTS, FaultSpec, parse_fault


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("unplug", FaultSpec("unplug")),
        ("unplug@5", FaultSpec("unplug", at=5)),
        ("unplug@5:3", FaultSpec("unplug", at=5, duration=3)),
        ("reboot@10:30", FaultSpec("reboot", at=10, duration=30)),
        ("slow-shell=0.25@1.5:2", FaultSpec("slow-shell", "0.25", 1.5, 2)),
        ("slow-shell", FaultSpec("slow-shell", "0.5")),
        ("clock-step=-3600", FaultSpec("clock-step", "-3600")),
        ("hang=shell:", FaultSpec("hang", "shell:")),
        ("refuse=tcp:9008@2", FaultSpec("refuse", "tcp:9008", 2)),
        ("screencap=garbage", FaultSpec("screencap", "garbage")),
        ("screencap", FaultSpec("screencap", "empty")),
        ("u2-dump=stack-overflow", FaultSpec("u2-dump", "stack-overflow")),
    ],
)
def test_a_fault_as_text(text: str, spec: FaultSpec) -> None:
    assert parse_fault(text) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not NAME"),
        ("unplug@", "is not NAME"),
        ("unplug@-1", "is not NAME"),
        ("unplug@1:", "is not NAME"),
        ("Unplug", "is not NAME"),
        ("explode", "no fault is called 'explode'; there are unplug"),
        ("unplug=1", "unplug takes no value"),
        ("slow-shell=fast", "slow-shell takes a number, not 'fast'"),
        ("slow-shell=nan", "takes a number"),
        ("screencap=purple", "screencap takes empty, truncated"),
        ("hang", "hang needs a value"),
        ("refuse=", "refuse needs a value"),
        ("slow-shell=-1", "slow-shell takes a number from 0 up"),
        ("log-storm=-5", "log-storm takes a number from 0 up"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_fault(text)


@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz-=@:.0123456789 "), max_size=30))
def test_any_text_is_a_fault_or_a_value_error(text: str) -> None:
    try:
        assert parse_fault(text).name in FAULTS
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_says_what_it_is(name: str) -> None:
    kind = FAULTS[name]
    assert kind.meaning
    if kind.takes != "text":
        assert parse_fault(name).value == kind.default

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.logd import EVENT_TAGS, Value, packed, printed
from bridge.eventlog import MAX_DEPTH, NAMES, decode

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | SINGLE | st.text(max_size=20), lambda v: st.lists(v, max_size=4).map(tuple),
    max_leaves=12,
)  # fmt: skip


def payload(number: int, value: Value) -> bytes:
    return struct.pack("<I", number) + packed(value)


@given(st.lists(VALUES, max_size=5).map(tuple), st.sampled_from([*NAMES, 4711]))
def test_what_a_phone_writes_is_read_again(values: tuple[Value, ...], number: int) -> None:
    said = decode(payload(number, values))
    assert (said.values, said.cut) == (values, False)
    assert said.tag == NAMES.get(number, str(number))
    assert said.text == printed(values)


@given(st.integers(-(2**31), 2**31 - 1) | st.text(max_size=9))
def test_a_value_that_stands_alone_is_the_only_one(value: Value) -> None:
    said = decode(payload(70000, value))
    assert (said.tag, said.values, said.text, said.cut) == ("screen_toggled", (value,), str(value), False)


def test_values_without_a_list_around_them_follow_each_other() -> None:
    # lmkd writes its own so.
    assert decode(struct.pack("<I", 10195355) + packed(4711) + packed("why")).values == (4711, "why")


@given(st.lists(VALUES, min_size=1, max_size=4).map(tuple), st.data())
def test_half_an_entry_says_that_it_is_cut(values: tuple[Value, ...], data: st.DataObject) -> None:
    whole = payload(30008, values)
    said = decode(whole[: data.draw(st.integers(5, len(whole) - 1))])
    assert said.cut
    assert said.tag == "am_anr"


@given(st.binary(max_size=60))
def test_no_bytes_break_it(data: bytes) -> None:
    said = decode(data)
    assert isinstance(said.text, str)


def test_lists_in_lists_end_somewhere() -> None:
    deep = struct.pack("<I", 1) + bytes([3, 1]) * 5000
    assert decode(deep).cut
    assert decode(struct.pack("<I", 1) + bytes([3, 1]) * (MAX_DEPTH - 1) + bytes([3, 0])).cut is False
    assert decode(b"\1\0").cut


def test_the_names_are_those_of_a_phone() -> None:
    assert {name: EVENT_TAGS[name] for name in NAMES.values()} == {name: number for number, name in NAMES.items()}

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.ledger import FILE, Ledger, Read, Row, cut_torn, decode, encode, read_ledger, write_ledger

TEXT = st.text(st.characters(codec="utf-8"))
ROWS = st.builds(
    Row,
    op=st.sampled_from(["put", "ack", "reject", "retry"]),
    segment=TEXT,
    sinks=st.lists(TEXT, max_size=3).map(tuple),
    size=st.integers(0, 2**40),
    attempts=st.integers(0, 1000),
    reason=TEXT,
)
PUT = Row("put", "a" * 32, ("dir:x", "collector:y"), size=100)
ACK = Row("ack", "a" * 32, ("dir:x",))


@given(ROWS)
def test_rows_survive_and_are_one_line(row: Row) -> None:
    line = encode(row)
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == row


@given(ROWS, st.data())
def test_a_changed_byte_is_noticed(row: Row, data: st.DataObject) -> None:
    line = bytearray(encode(row)[:-1])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(line)) is None


@given(st.binary())
def test_garbage_is_no_row(line: bytes) -> None:
    assert decode(line) is None


def test_a_well_formed_stranger_is_no_row() -> None:
    good = encode(PUT)
    assert decode(good[:-1]) == PUT
    for odd in (b"[]", b"{}", b'{"op":"burn","segment":"a","sinks":[]}', b'{"op":"put","segment":"a","sinks":[1]}'):
        assert decode(f"{zlib.crc32(odd):08x} ".encode() + odd) is None


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == Read((), False, 0)
    ledger = Ledger(tmp_path)
    ledger.append(PUT, sync=True)
    ledger.append(ACK, sync=False)
    ledger.close()
    read = read_ledger(tmp_path)
    assert (read.rows, read.torn, read.damaged) == ((PUT, ACK), False, 0)
    write_ledger(tmp_path, [ACK])
    assert read_ledger(tmp_path).rows == (ACK,)


def test_any_torn_end_costs_the_last_row_only(tmp_path: Path) -> None:
    whole = encode(PUT) + encode(ACK)
    for cut in range(len(encode(PUT)), len(whole)):
        (tmp_path / FILE).write_bytes(whole[:cut])
        read = read_ledger(tmp_path)
        assert read.rows == (PUT,)
        assert read.torn == (cut > len(encode(PUT)))
        assert read.damaged == 0
    (tmp_path / FILE).write_bytes(encode(PUT) + b"\0" * 20 + b"\n")
    assert read_ledger(tmp_path).torn


@pytest.mark.parametrize("torn", [b"", b"0123 torn", b"\0" * 20, b"0123 to\rrn\n"])
def test_a_torn_end_is_cut_so_that_nothing_makes_damage_of_it(tmp_path: Path, torn: bytes) -> None:
    write_ledger(tmp_path, [PUT])
    before = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(before + torn)
    cut_torn(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    ledger = Ledger(tmp_path)
    ledger.append(ACK, sync=True)
    ledger.close()
    assert read_ledger(tmp_path) == Read((PUT, ACK), False, 0)


def test_what_is_not_there_or_whole_is_not_cut(tmp_path: Path) -> None:
    cut_torn(tmp_path)
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).touch()
    cut_torn(tmp_path)
    assert (tmp_path / FILE).read_bytes() == b""


def test_damage_in_the_middle_is_counted(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(encode(PUT) + b"junk\n" + encode(ACK))
    read = read_ledger(tmp_path)
    assert (read.rows, read.torn, read.damaged) == ((PUT, ACK), False, 1)

from __future__ import annotations

import pytest
from fakes.h264 import Bits, drawn, encoded, split
from hypothesis import given
from hypothesis import strategies as st

from bridge import h264
from bridge.h264 import AccessUnit, Continuity, Sequence, Splitter, nals, read_sequence

START = b"\0\0\0\1"
# A NAL unit's bytes: no start code in it, no zero at its end.
BODY = st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"\x05") + b"\x80")


def slice_(kind: int, body: bytes = b"", first: bool = True, ref: int = 3) -> bytes:
    return bytes([ref << 5 | kind, 0x80 if first else 0x40]) + body + b"\x80"


SETS = b"".join(START + bytes([0x60 | kind]) + b"\x42\x80" for kind in (h264.SPS, h264.PPS))
PICTURES = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 3), BODY, st.booleans()), max_size=6)


def stream_of(pictures: list[tuple[bool, bool, int, bytes, bool]]) -> list[bytes]:
    """One access unit for each (key, with a delimiter, slices, body, short start codes)."""
    units = []
    for key, delimited, slices, body, short in pictures:
        unit = START + b"\x09\x10" if delimited else b""
        unit += SETS if key else b""
        for index in range(slices):
            kind = h264.KEY_SLICE if key else h264.SLICE
            unit += (START[1:] if short and unit else START) + slice_(kind, body, index == 0)
        units.append(unit)
    return units


def canonical(unit: bytes) -> list[tuple[int, bytes]]:
    return list(nals(unit))


@given(PICTURES, st.lists(st.integers(0, 400), max_size=20))
def test_a_stream_cut_anywhere_gives_its_access_units(
    pictures: list[tuple[bool, bool, int, bytes, bool]], cuts: list[int]
) -> None:
    units = stream_of(pictures)
    stream = b"".join(units)
    splitter = Splitter()
    found: list[AccessUnit] = []
    edges = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, end in zip(edges, [*edges[1:], len(stream)], strict=True):
        found += splitter.feed(stream[start:end])
    found += splitter.flush()
    assert found == split(stream)
    assert [canonical(unit.data) for unit in found] == [canonical(unit) for unit in units]
    assert [unit.key for unit in found] == [picture[0] for picture in pictures]
    assert not any(unit.broken for unit in found)


@given(st.lists(st.tuples(st.binary(max_size=60) | st.sampled_from([START, SETS, START + b"\x65"]), st.booleans())))
def test_garbage_never_raises_and_is_cut_alike(pieces: list[tuple[bytes, bool]]) -> None:
    splitter, continuity = Splitter(), Continuity()
    for data, pause in pieces:
        for unit in splitter.feed(data) + (splitter.flush() if pause else []):
            assert unit.data.startswith(START[1:])
            continuity.follows(unit.data)
    stream = b"".join(data for data, _ in pieces)
    one, other = Splitter(), Splitter()
    byte_by_byte = [unit for byte in stream for unit in one.feed(bytes([byte]))]
    assert byte_by_byte + one.flush() == other.feed(stream) + other.flush()


def test_a_picture_is_held_until_the_next_begins_or_the_stream_pauses() -> None:
    splitter = Splitter()
    key, following = stream_of([(True, False, 1, b"a", False), (False, False, 1, b"b", False)])
    assert not splitter.waiting
    assert splitter.feed(key) == []
    assert splitter.waiting
    assert [unit.key for unit in splitter.feed(following)] == [True]
    assert [unit.key for unit in splitter.flush()] == [False]
    assert not splitter.waiting
    assert splitter.flush() == []
    (again,) = splitter.feed(key) + splitter.flush()
    assert (again.key, again.broken) == (True, False)


def test_what_follows_a_picture_that_was_cut_by_a_pause_is_broken() -> None:
    splitter = Splitter()
    key, following, last = stream_of([(True, False, 1, b"abcdef", False), *[(False, False, 1, b"b", False)] * 2])
    splitter.feed(key[:-4])
    (half,) = splitter.flush()
    assert half.key
    found = splitter.feed(key[-4:] + following + last) + splitter.flush()
    assert [unit.broken for unit in found] == [True, False]


def test_the_words_of_a_tool_that_gives_no_stream_are_kept() -> None:
    splitter = Splitter()
    words = b"ERROR: unable to create video/avc codec instance\n"
    assert splitter.feed(words) == splitter.flush() == []
    assert words.startswith(splitter.words)
    assert len(splitter.words) >= len(words) - 2
    warned = Splitter()
    (unit,) = warned.feed(b"WARNING: retrying\n" + SETS + START + slice_(h264.KEY_SLICE)) + warned.flush()
    assert (unit.key, unit.broken, warned.words) == (True, False, b"WARNING: retrying\n")


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "MAX_UNIT_BYTES", 1000)
    splitter = Splitter()
    found = splitter.feed(START + slice_(h264.KEY_SLICE))
    for _ in range(50):
        found += splitter.feed(b"\x07" * 100)
    assert len(splitter._pending) <= 1000
    assert found == []
    (unit,) = splitter.feed(START + slice_(h264.SLICE)) + splitter.flush()
    assert unit.broken


SEQUENCE = Sequence(1, 8, False, 4, False)


def sequence(profile: int = 66, number_bits: int = 4, order: int = 2, gaps: int = 0, high: Bits | None = None) -> bytes:
    bits = Bits().put(profile, 8).put(0, 16).golomb(0)
    if high is not None:
        bits._bits += high._bits
    bits.golomb(number_bits - 4, order)
    if order == 0:
        bits.golomb(2)
    elif order == 1:
        bits.put(0, 1).golomb(1, 2, 2, 5, 6)
    bits.golomb(1).put(gaps, 1).golomb(5, 9)
    return b"\x67" + bits.done()


def numbered(number: int, kind: int = h264.SLICE, ref: int = 3, bits: int = 4) -> bytes:
    return START + bytes([ref << 5 | kind]) + Bits().golomb(0, 5, 0).put(number, bits).done()


def test_sequence_parameter_sets_are_read() -> None:
    assert read_sequence(sequence()) == SEQUENCE
    assert read_sequence(sequence(number_bits=12, order=1, gaps=1)) == Sequence(1, 8, False, 12, True)
    high = Bits().golomb(3).put(1, 1).golomb(2, 0).put(0, 1).put(1, 1)
    for index in range(12):
        # Every second list is written out: its first step leads to 16, the next to 0, which repeats.
        high.put(index % 2, 1)
        if index % 2:
            high.golomb(15).golomb(32)
    assert read_sequence(sequence(110, order=0, high=high)) == Sequence(3, 10, True, 4, False)
    for length in range(4):
        with pytest.raises((IndexError, ValueError)):
            read_sequence(sequence()[:length])


def test_a_number_that_was_left_out_is_a_lost_picture() -> None:
    lost = Continuity()
    assert not lost.follows(numbered(0))
    assert lost.follows(START + sequence() + numbered(0, h264.KEY_SLICE))
    assert lost.follows(numbered(1))
    # Nothing builds on this one, so the next has the same number.
    assert lost.follows(numbered(2, ref=0))
    assert lost.follows(numbered(2))
    assert not lost.follows(numbered(4))
    around = Continuity()
    around.follows(START + sequence() + numbered(0, h264.KEY_SLICE))
    assert all(around.follows(numbered(number % 16)) for number in range(1, 40))
    free = Continuity()
    free.follows(START + sequence(gaps=1) + numbered(0, h264.KEY_SLICE))
    assert free.follows(numbered(7))


@pytest.mark.parametrize(
    ("profile", "pix_fmt", "chroma", "depth"),
    [
        ("baseline", "yuv420p", 1, 8),
        ("main", "yuv420p", 1, 8),
        ("high", "yuv420p", 1, 8),
        ("high10", "yuv420p10le", 1, 10),
        ("high422", "yuv422p", 2, 8),
        ("high444", "yuv444p", 3, 8),
    ],
)
def test_real_streams_follow_and_their_losses_show(profile: str, pix_fmt: str, chroma: int, depth: int) -> None:
    pytest.importorskip("av")
    units = encoded([drawn(number) for number in range(20)], pix_fmt, profile=profile)
    found = split(b"".join(units))
    assert [canonical(unit.data) for unit in found] == [canonical(unit) for unit in units]
    assert [unit.key for unit in found] == [True] + [False] * 19
    whole = Continuity()
    assert all(whole.follows(unit.data) for unit in found)
    assert whole.sequence is not None
    assert (whole.sequence.chroma, whole.sequence.depth) == (chroma, depth)
    for lost in range(1, 19):
        continuity = Continuity()
        kept = found[:lost] + found[lost + 1 :]
        assert [continuity.follows(unit.data) for unit in kept[: lost + 1]] == [True] * lost + [False]

"""The binary log: entries of every header version, in any chunking, with anything between them."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.logbinary import MAX_PAYLOAD, BinaryReader, Wanted
from bridge.types import Gap, LogEntry, Stamp

WANTED = Wanted(("ReactNativeJS", "chatty"), ("SegmentReplay/",))
NS = 1_772_532_000_318_000_000


def stamp(time_ns: int) -> Stamp:
    return Stamp(time_ns, time_ns // 1_000_000)


def packed(
    tag: str = "ReactNativeJS", text: bytes = b"hello", *, ns: int = NS, pid: int = 14822, lid: int = 0, size: int = 28
) -> bytes:
    payload = (b"\x04" + tag.encode() + b"\0" + text + b"\0")[:MAX_PAYLOAD]
    words = (len(payload), size, pid, 14871, ns // 10**9, ns % 10**9, lid, 10231)
    return struct.pack("<HHiIIIII", *words)[: size or 20].ljust(size, b"\0") + payload


def read(reader: BinaryReader, data: bytes, sizes: list[int] | None = None) -> list[LogEntry | Gap]:
    found: list[LogEntry | Gap] = []
    at = 0
    for size in sizes or []:
        found += reader.feed(data[at : at + size])
        at += size
    return [*found, *reader.feed(data[at:]), *reader.flush()]


def entries(found: list[LogEntry | Gap]) -> list[LogEntry]:
    return [item for item in found if isinstance(item, LogEntry)]


def test_a_binary_entry() -> None:
    reader = BinaryReader(stamp)
    (entry,) = read(reader, packed(text="café\n🚀".encode()))
    assert entry == LogEntry(
        stamp(NS), NS, 14822, 14871, 10231, "I", "ReactNativeJS", "café\n🚀", "main", False
    )  # fmt: skip
    assert reader.entries == 1


@pytest.mark.parametrize(("size", "uid"), [(28, 10231), (32, 10231), (24, None), (20, None), (0, None)])
def test_older_and_newer_headers(size: int, uid: int | None) -> None:
    data = packed(size=size) + packed(text=b"again", size=size)
    found = entries(read(BinaryReader(stamp, WANTED), data))
    assert [(entry.message, entry.uid) for entry in found] == [("hello", uid), ("again", uid)]


def test_a_cut_entry_shows_4052_bytes() -> None:
    # The cut falls inside a character: 4,053 bytes fit, the reader loses one more, and that one is half.
    (entry,) = entries(read(BinaryReader(stamp), packed(text=b"x" * 4051 + "é".encode() * 10)))
    assert entry.cut
    assert entry.message == "x" * 4051 + "\ufffd"


def test_only_what_is_wanted_comes_and_all_is_counted() -> None:
    data = b"".join(
        [
            packed("Other", b"no"),
            packed(text=b"yes"),
            packed("MyTag", b"SegmentReplay/1 a 1/1 {}"),
            packed("chatty", b"c"),
        ]
    )
    reader = BinaryReader(stamp, WANTED)
    found = entries(read(reader, data * 50))
    assert [(entry.tag, entry.message) for entry in found[:3]] == [
        ("ReactNativeJS", "yes"),
        ("MyTag", "SegmentReplay/1 a 1/1 {}"),
        ("chatty", "c"),
    ]
    assert (len(found), reader.entries) == (150, 200)


def test_an_entry_inside_an_entry_is_text() -> None:
    """The event log's values are any bytes, those of an entry of the app among them."""
    data = packed(text=b"one") + packed("values", packed(text=b"forged"), lid=2) + packed(text=b"two")
    found = entries(read(BinaryReader(stamp, WANTED), data * 30))
    assert [entry.message for entry in found] == ["one", "two"] * 30


PACKED = st.builds(
    packed,
    st.sampled_from(["ReactNativeJS", "Other", "chatty", "React", "a: b", "ReactNativeJSX"]),
    # Bytes that look like a header are among them.
    st.binary(max_size=60).map(lambda text: text.replace(b"\0", b"\x1c")) | st.just(b"SegmentReplay/1 m 1/1 {}"),
    ns=st.integers(0, 2**32 * 10**9 - 1),
    pid=st.sampled_from([0, 28, 14822]),
    size=st.sampled_from([28, 28, 28, 32, 24, 20]),
)


@given(st.lists(PACKED, max_size=20), st.lists(st.integers(1, 200), max_size=20))
def test_chunks_and_wishes_change_nothing(data: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(data)
    everything = entries(read(BinaryReader(stamp), whole))
    assert len(everything) == len(data)
    assert read(BinaryReader(stamp), whole, sizes) == everything
    reader = BinaryReader(stamp, WANTED)
    wanted = [e for e in everything if e.tag in WANTED.tags or e.message.startswith(WANTED.openings)]
    assert read(reader, whole, sizes) == wanted
    assert reader.entries == len(data)


@given(st.binary(max_size=300), st.lists(st.integers(1, 100), max_size=8), st.booleans())
def test_any_bytes_are_entries_or_gaps(data: bytes, sizes: list[int], wishes: bool) -> None:
    for item in read(BinaryReader(stamp, WANTED if wishes else None), data, sizes):
        assert isinstance(item, LogEntry | Gap)


@given(st.binary(min_size=1, max_size=200))
def test_after_garbage_the_entries_come_again(garbage: bytes) -> None:
    tail = b"".join(packed(text=f"after {n}".encode()) for n in range(90))
    found = entries(read(BinaryReader(stamp, WANTED), packed(text=b"before") + garbage + tail))
    assert found[0].message == "before"
    # Garbage may look like the header of an entry of at most 5 KiB; what comes after that is read.
    assert found[-1].message == "after 89"


def test_binary_memory_is_bounded() -> None:
    reader = BinaryReader(stamp, WANTED)
    for _ in range(200):
        reader.feed(b"\xff" * 65536)
    assert len(reader._buffer) < 6000
    (gap,) = reader.flush()
    assert isinstance(gap, Gap)
    assert gap.detail == f"{200 * 65536} bytes"


def test_the_event_log() -> None:
    values = (
        struct.pack("<I", 30005) + b"\x03\x04" + struct.pack("<Bi", 0, -7) + struct.pack("<Bq", 1, 1 << 40)
        + struct.pack("<Bf", 4, 0.5) + struct.pack("<BI", 2, 3) + b"abc"
    )  # fmt: skip

    def event(payload: bytes) -> LogEntry:
        data = struct.pack("<HHiIIIII", len(payload), 28, 1, 1, 1, 0, 2, 1000) + payload
        (entry,) = read(BinaryReader(stamp), data)
        assert isinstance(entry, LogEntry)
        return entry

    whole = event(values)
    assert (whole.tag, whole.message) == ("30005", "[-7,1099511627776,0.500000,abc]")
    assert (whole.values, whole.buffer, whole.cut) == ((-7, 1 << 40, 0.5, "abc"), "events", False)
    assert event(values[:-1]).cut
    assert event(values[:9]).cut
    assert event(values + b"\x09").cut
    assert event(b"\1").cut


def test_bytes_that_are_no_entry_are_one_gap() -> None:
    data = packed(text=b"one") + b"\xff" * 100 + packed(text=b"two", ns=NS + 5) + b"\1\2\3"
    found = read(BinaryReader(stamp), data)
    assert [type(fact) for fact in found] == [LogEntry, Gap, LogEntry, Gap]
    assert found[1] == Gap(stamp(NS), stamp(NS + 5), "log", "unreadable", "100 bytes")
    assert found[3] == Gap(stamp(NS + 5), stamp(NS + 5), "log", "unreadable", "3 bytes")


@pytest.mark.parametrize(
    ("size", "lid", "uid", "buffer"),
    [(24, 3, None, "system"), (24, 10231, 10231, "main"), (28, 4, 10231, "crash"), (32, 7, 10231, "kernel")],
)
def test_where_a_header_says_whose_entry_it_is(size: int, lid: int, uid: int | None, buffer: str) -> None:
    (entry,) = entries(read(BinaryReader(stamp), packed(size=size, lid=lid)))
    assert (entry.uid, entry.buffer, entry.message) == (uid, buffer, "hello")


@given(
    st.lists(PACKED | st.binary(max_size=40), max_size=8).map(b"".join),
    st.lists(st.integers(0, 500), max_size=12),
    st.sampled_from([None, WANTED]),
)
def test_garbage_in_any_chunking(data: bytes, cuts: list[int], wanted: Wanted | None) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole, cut = BinaryReader(stamp, wanted), BinaryReader(stamp, wanted)
    found = [fact for start, end in pairwise(edges) for fact in cut.feed(data[start:end])] + cut.flush()
    assert found == read(whole, data)
    assert cut.entries == whole.entries


@given(PACKED, st.sampled_from([24, 28, 32]))
def test_each_byte_on_its_own(entry: bytes, size: int) -> None:
    data = b"\xff" * 5 + entry + packed(size=size)
    assert read(BinaryReader(stamp), data, [1] * len(data)) == read(BinaryReader(stamp), data)

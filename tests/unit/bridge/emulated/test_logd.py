import asyncio
import itertools
import struct

from fakes.adb_host import run
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.logd import BUFFERS, DEFAULT_BYTES, MAX_PAYLOAD, LogRing, Record, printed

COUNT = itertools.count()


def record(text: bytes = b"text", buffer: str = "main", tag: str = "Tag") -> Record:
    number = next(COUNT)
    return Record(number * 1_000, number * 1_000, 10, 11, 10231, 4, tag, text, buffer)


def test_a_payload_is_priority_tag_and_text() -> None:
    assert record(b"hello").payload == b"\x04Tag\0hello\0"
    assert record(b"", tag="").payload == b"\x04\0\0"


def test_a_payload_is_cut_at_the_limit_and_loses_its_end() -> None:
    payload = record(b"x" * 5000).payload
    assert len(payload) == MAX_PAYLOAD == 4068
    assert payload.endswith(b"x")
    exact = record(b"x" * (MAX_PAYLOAD - 6)).payload
    assert len(exact) == MAX_PAYLOAD
    assert exact.endswith(b"x\0")


def test_readers_go_on_where_they_were() -> None:
    ring = LogRing()
    first, second, third = record(), record(buffer="system"), record()
    ring.append(first)
    ring.append(second)
    records, position = ring.since(0, ("main", "system"))
    assert records == [first, second]
    ring.append(third)
    assert ring.since(position, ("main", "system")) == ([third], 3)
    assert ring.since(0, ("system",))[0] == [second]


def test_the_oldest_of_its_own_buffer_fall_out() -> None:
    ring = LogRing(capacity=100)
    keep = record(buffer="crash")
    ring.append(keep)
    many = [record(b"0123456789") for _ in range(20)]
    for one in many:
        ring.append(one)
    left = ring.since(0, ("main",))[0]
    assert left == many[-len(left) :]
    assert sum(len(one.payload) for one in left) <= 100 < sum(len(one.payload) for one in left) + 16
    assert ring.since(0, ("crash",))[0] == [keep]


def test_sizes_resize_and_clear() -> None:
    ring = LogRing()
    for _ in range(10):
        ring.append(record(b"0123456789"))
    ring.append(record(buffer="events"))
    assert set(ring.sizes()) == set(BUFFERS)
    assert ring.sizes()["main"] == (DEFAULT_BYTES, 160)
    ring.resize(40, ("main",))
    assert ring.sizes()["main"] == (40, 32)
    ring.clear(("main",))
    assert ring.since(0, BUFFERS)[0][0].buffer == "events"
    assert ring.sizes()["main"] == (40, 0)


def test_a_waiting_reader_wakes_at_the_next_entry() -> None:
    async def work() -> None:
        ring = LogRing()
        ring.append(record())
        _, position = ring.since(0, ("main",))
        waiting = asyncio.ensure_future(ring.wait(position))
        other = asyncio.ensure_future(ring.wait(position))
        await asyncio.sleep(0.005)
        assert not waiting.done()
        ring.append(record())
        await asyncio.gather(waiting, other)

    run(work())


ENTRIES = st.lists(st.tuples(st.sampled_from(sorted(BUFFERS)), st.binary(max_size=60)), max_size=60)


@given(ENTRIES, st.integers(0, 200))
def test_the_books_agree_with_the_entries(entries: list[tuple[str, bytes]], capacity: int) -> None:
    ring = LogRing(capacity)
    for buffer, text in entries:
        ring.append(record(text, buffer))
    for name, (limit, used) in ring.sizes().items():
        assert used == sum(len(one.payload) for one in ring.since(0, (name,))[0]) <= limit


def test_an_entry_of_the_event_log_has_typed_values() -> None:
    values = (0, 1 << 40, "a,b", 0.5, (1, "x"))
    entry = Record(1, 1, 10, 11, 1000, 4, "am_kill", b"", "events", values)
    assert entry.payload == (
        struct.pack("<IBB", 30023, 3, 5) + struct.pack("<BiBq", 0, 0, 1, 1 << 40) + struct.pack("<BI", 2, 3) + b"a,b"
        + struct.pack("<Bf", 4, 0.5) + bytes([3, 2]) + struct.pack("<BiBI", 0, 1, 2, 1) + b"x"
    )  # fmt: skip
    assert entry.size == len(entry.payload)
    assert printed(values) == "[0,1099511627776,a,b,0.500000,[1,x]]"

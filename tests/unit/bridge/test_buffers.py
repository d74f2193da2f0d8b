from __future__ import annotations

import sys

import numpy as np
import pytest

from bridge.buffers import Buffers, Pages

Kind = type[Buffers] | type[Pages]
kinds = pytest.mark.parametrize("kind", [Buffers, Pages])


@kinds
def test_what_nobody_reads_is_taken_again_and_what_somebody_reads_is_not(kind: Kind) -> None:
    buffers = kind(2)
    first = np.frombuffer(buffers.take(100), np.uint8)
    first[:] = 7
    part = first[10:20].reshape(2, 5)
    second = memoryview(buffers.take(100))
    # Neither of these is kept: there are two already.
    third = memoryview(buffers.take(100))
    del first
    second[:] = third[:] = bytes(100)
    assert (part == 7).all()
    del part
    again = buffers.take(100)
    assert again[:] == bytes([7]) * 100
    assert len(again) == 100
    held = memoryview(again)
    fresh = memoryview(buffers.take(100))
    assert all(fresh.obj is not taken.obj for taken in (second, third, held))


@kinds
def test_a_view_of_a_view_holds_it_too(kind: Kind) -> None:
    buffers = kind(4)
    view = np.frombuffer(memoryview(buffers.take(100)).toreadonly()[10:90], np.uint8).reshape(8, 10)[2:4]
    other = memoryview(buffers.take(100))
    other[:] = bytes([1]) * 100
    assert not view.any()
    del view, other
    taken = {id(buffers.take(100)) for _ in range(5)}
    assert len(taken) == 1


@kinds
def test_another_length_is_another_buffer(kind: Kind) -> None:
    buffers = kind(4)
    small = buffers.take(10)
    length = len(buffers.take(20))
    first = id(buffers.take(20))
    again = id(buffers.take(20))
    assert length == 20
    assert first == again != id(small)


@kinds
def test_what_was_taken_outlives_the_rest(kind: Kind) -> None:
    buffers = kind(4)
    held = memoryview(buffers.take(3))
    held[:] = b"abc"
    buffers.clear()
    assert memoryview(buffers.take(3)).obj is not held.obj
    assert bytes(held) == b"abc"


def test_to_look_whether_it_is_free_takes_no_more_memory() -> None:
    buffers = Buffers(1)
    buffer = buffers.take(1_000_000)
    before = sys.getsizeof(buffer)
    assert buffers.take(1_000_000) is buffer
    assert sys.getsizeof(buffer) == before

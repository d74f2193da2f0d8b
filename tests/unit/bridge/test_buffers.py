from __future__ import annotations

import sys

import numpy as np

from bridge.buffers import Buffers


def test_what_nobody_reads_is_taken_again_and_what_somebody_reads_is_not() -> None:
    buffers = Buffers(2)
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
    assert again == bytes([7]) * 100
    assert len(again) == 100
    held = memoryview(again)
    fresh = memoryview(buffers.take(100))
    assert all(fresh.obj is not taken.obj for taken in (second, third, held))


def test_another_length_is_another_buffer() -> None:
    buffers = Buffers(4)
    small = id(buffers.take(10))
    assert len(buffers.take(20)) == 20
    assert id(buffers.take(20)) == id(buffers.take(20)) != small


def test_what_was_taken_outlives_the_rest() -> None:
    buffers = Buffers(4)
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

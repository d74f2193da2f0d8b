from __future__ import annotations

import threading
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from agent.outbox.pace import Pace


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=30), st.integers(100, 10_000))
def test_all_but_the_last_bytes_have_had_their_time(sizes: list[int], rate: int) -> None:
    now = [0.0]

    def wait(seconds: float) -> bool:
        now[0] += seconds
        return False

    pace = Pace(rate, lambda: now[0], wait)
    for size, before in zip(sizes, [0, *accumulate(sizes)], strict=False):
        assert pace.take(size)
        assert abs(now[0] - before / rate) < 1e-6


def test_what_went_out_is_counted() -> None:
    pace = Pace()
    assert pace.take(10)
    assert pace.sent == 0
    pace.spent(7)
    pace.spent(0)
    assert pace.sent == 7


def test_no_limit_waits_for_nothing_and_close_wakes() -> None:
    assert Pace().take(10**12)
    pace = Pace(1)
    assert pace.take(10**6)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(pace.take(1)))
    thread.start()
    pace.close()
    thread.join(10)
    assert taken == [False]
    assert not pace.take(1)

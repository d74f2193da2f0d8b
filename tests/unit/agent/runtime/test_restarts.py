from __future__ import annotations

from agent.runtime.restarts import BUDGET, FIRST_SECONDS, LAST_SECONDS, REST_SECONDS, WINDOW_NS, Restarts


def test_the_first_tries_come_soon_and_the_next_ones_later() -> None:
    restarts = Restarts()
    waits = [restarts.failed(number) for number in range(10)]
    assert waits[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert waits == sorted(waits)
    assert waits[-1] == LAST_SECONDS
    restarts.worked()
    assert restarts.failed(10) == FIRST_SECONDS


def test_a_budget_that_is_used_up_comes_back_with_time() -> None:
    restarts = Restarts()
    second = 1_000_000_000
    waits = [restarts.failed(number * second) for number in range(BUDGET)]
    assert waits[-2:] == [LAST_SECONDS, REST_SECONDS]
    assert restarts.used_up(BUDGET * second)
    # A try that worked in between does not make a bad cable a good one.
    restarts.worked()
    assert restarts.failed(BUDGET * second) == REST_SECONDS
    assert not restarts.used_up(BUDGET * second + WINDOW_NS)


def test_somebody_who_plugs_it_in_anew_gives_it_another_chance() -> None:
    restarts = Restarts()
    for _ in range(BUDGET):
        restarts.failed(0)
    restarts.forget()
    assert restarts.failed(0) == FIRST_SECONDS

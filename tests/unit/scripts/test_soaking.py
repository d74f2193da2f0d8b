"""What `scripts/soak` makes of what it saw."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from soaking.process import Sample, look
from soaking.verdict import Found, Truth, faults, growth, missed, slope, warm

HOUR = 3600.0


def run(rss: Callable[[float], float], seconds: float = 2 * HOUR, every: float = 5.0) -> list[Sample]:
    return [Sample(n * every, int(rss(n * every)), 0.0, 9, {"socket": 4}) for n in range(int(seconds / every))]


def test_a_steady_growth_is_its_slope_whatever_spikes_there_are() -> None:
    samples = run(lambda at: 1e8 + 7e6 * at / HOUR + (5e7 if int(at) % 400 < 15 else 0))
    found = slope(samples)
    assert found == pytest.approx(7e6, rel=0.02)


def test_what_fills_in_the_first_minutes_is_no_growth() -> None:
    samples = run(lambda at: 1e8 + min(at, 550) * 1e5)
    assert slope(warm(samples)) == pytest.approx(0, abs=1)
    assert faults(samples, 1) == []


@pytest.mark.parametrize(("rate", "said"), [(9e6, []), (11e6, ["memory grows by 1.10 MB an hour a device"])])
def test_the_limit_is_a_megabyte_an_hour_a_device(rate: float, said: list[str]) -> None:
    assert faults(run(lambda at: 1e8 + rate * at / HOUR), 10) == said


def test_a_short_run_has_no_slope() -> None:
    assert slope(run(lambda at: 1e8 + 1e6 * at, 600)) is None
    assert slope([]) is None
    assert warm([]) == []


def test_threads_and_sockets_that_stay_are_growth_and_those_that_go_are_not() -> None:
    samples = [
        Sample(n * 5.0, 10**8, 0.0, 9 + n // 30, {"socket": 4 + n % 3, "pipe": 1 if n < 50 else 3}) for n in range(90)
    ]
    assert growth(samples) == {"thread": 2, "pipe": 2}
    assert faults(samples, 1) == ["2 more pipes at the end", "2 more threads at the end"]
    assert growth(samples[:20]) == {}


def test_one_moment_with_less_open_than_ever_is_no_growth_and_a_leak_of_one_is() -> None:
    chance = [Sample(n * 5.0, 10**8, 0.0, 9, {"file": 15 if n == 7 else 17 + n % 2}) for n in range(90)]
    assert growth(chance) == {}
    leak = [Sample(n * 5.0, 10**8, 0.0, 9, {"file": 17 + n % 2 + (n > 45)}) for n in range(90)]
    assert growth(leak) == {"file": 1}


def truth(message: str, wall_ms: int, session: int = 7) -> Truth:
    return Truth("R58", message, "Viewed", wall_ms, session, "dev")


def test_every_event_is_found_once_under_its_ids() -> None:
    truths = [truth("a", 500), truth("b", 1500), truth("c", 2500), truth("d", 9500)]
    found = [Found(message, 7, "dev") for message in "abc"]
    between = {"R58": (1000, 9000)}
    assert missed(truths, found, between) == (2, [])
    assert missed(truths, found[:2], between) == (2, ["missed: R58 Viewed c, 1.5 s after the start"])
    assert missed(truths, [*found, found[1]], between) == (2, ["2 times: R58 Viewed b"])
    assert missed(truths, [*found[:2], Found("c", 8, "dev")], between) == (
        2,
        ["under other ids: R58 Viewed c: 8 dev"],
    )
    assert missed(truths, [*found, Found("x", 7, "dev")], between) == (2, ["never sent: x"])


def test_a_process_is_looked_at() -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    before = look(os.getpid(), 1.0)
    left, right = socket.socketpair()
    with left, right:
        waits = threading.Event()
        thread = threading.Thread(target=waits.wait)
        thread.start()
        after = look(os.getpid(), 2.0)
        waits.set()
        thread.join()
    assert after.files["socket"] == before.files.get("socket", 0) + 2
    assert after.threads == before.threads + 1
    assert before.rss > 10**7
    assert after.cpu >= before.cpu > 0


def test_the_command_line_is_told() -> None:
    root = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-m", "soaking", "--help"],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'scripts'}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0
    assert all(option in ended.stdout for option in ("--devices", "--duration", "--seed", "--json"))

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.clock import DeviceClock

SECOND = 1_000_000_000


class Host:
    """A host clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ns = 5_000 * SECOND

    def __call__(self) -> int:
        return self.ns

    def wait(self, seconds: float) -> None:
        self.ns += round(seconds * SECOND)


def clock(**settings: float) -> tuple[Host, DeviceClock]:
    host = Host()
    return host, DeviceClock(host=host, **settings)


def readings(device: DeviceClock) -> tuple[int, int, int]:
    return device.wall_ns(), device.mono_ns(), device.boot_ns()


def test_the_three_clocks_of_a_fresh_phone() -> None:
    _, device = clock(offset_s=-3, uptime_s=100, slept_s=40)
    assert device.boot_ns() == 100 * SECOND
    assert device.mono_ns() == 60 * SECOND
    assert abs(device.wall_ns() - time.time_ns() + 3 * SECOND) < SECOND


def test_they_run_on_the_hosts_clock() -> None:
    host, device = clock()
    before = readings(device)
    host.wait(2.5)
    assert [b - a for a, b in zip(before, readings(device), strict=True)] == [2_500_000_000] * 3


def test_a_step_moves_the_wall_clock_only() -> None:
    _, device = clock()
    wall, mono, boot = readings(device)
    device.step(-7.25)
    assert readings(device) == (wall - 7_250_000_000, mono, boot)


def test_drift_is_in_parts_per_million_and_never_a_jump() -> None:
    host, device = clock()
    before = readings(device)
    device.set_drift(40)
    assert readings(device) == before
    host.wait(1000)
    assert [b - a for a, b in zip(before, readings(device), strict=True)] == [1000 * SECOND + 40_000_000] * 3
    middle = readings(device)
    device.set_drift(0)
    assert readings(device) == middle
    host.wait(10)
    assert device.wall_ns() - middle[0] == 10 * SECOND


def test_monotonic_stands_in_suspend() -> None:
    host, device = clock()
    wall, mono, boot = readings(device)
    device.suspend(30)
    host.wait(10)
    assert readings(device) == (wall + 10 * SECOND, mono, boot + 10 * SECOND)
    host.wait(25)
    assert readings(device) == (wall + 35 * SECOND, mono + 5 * SECOND, boot + 35 * SECOND)


def test_a_second_suspend_after_the_first() -> None:
    host, device = clock()
    mono = device.mono_ns()
    device.suspend(5)
    host.wait(10)
    device.suspend(5)
    host.wait(10)
    device.set_drift(0)
    host.wait(1)
    assert device.mono_ns() - mono == 11 * SECOND


def test_suspend_and_drift_together() -> None:
    host, device = clock()
    mono = device.mono_ns()
    device.suspend(10)
    host.wait(4)
    device.set_drift(100)
    host.wait(4)
    assert abs(device.mono_ns() - mono) <= 400_000
    host.wait(4)
    assert abs(device.mono_ns() - mono - 2 * SECOND) <= 1_000_000


def test_a_reboot_begins_in_1970_until_the_network_answers() -> None:
    host, device = clock(offset_s=2)
    wall = device.wall_ns()
    host.wait(5)
    device.reboot()
    assert readings(device) == (0, 0, 0)
    host.wait(3)
    assert readings(device) == (3 * SECOND, 3 * SECOND, 3 * SECOND)
    device.synchronise()
    assert device.wall_ns() == wall + 8 * SECOND
    assert device.boot_ns() == 3 * SECOND


def test_a_step_before_the_reboot_survives_it() -> None:
    host, device = clock()
    device.step(60)
    wall = device.wall_ns()
    device.reboot()
    device.synchronise()
    assert device.wall_ns() == wall
    device.reboot()
    host.wait(1)
    device.synchronise()
    assert device.wall_ns() == wall + SECOND


@pytest.mark.parametrize("act", ["step", "drift", "suspend", "reboot"])
def test_the_truth_is_the_difference_to_the_host(act: str) -> None:
    host, device = clock(drift_ppm=20)
    host.wait(100)
    match act:
        case "step":
            device.step(5)
        case "drift":
            device.set_drift(-30)
        case "suspend":
            device.suspend(3)
        case _:
            device.reboot()
    host.wait(7)
    assert device.truth_offset_ns() == device.wall_ns() - host.ns
    assert device.truth_boot_offset_ns() == device.boot_ns() - host.ns
    assert device.truth_mono_offset_ns() == device.mono_ns() - host.ns


ACTS = st.tuples(st.sampled_from(["drift", "suspend", "wait", "step"]), st.integers(0, 60))


@given(st.lists(ACTS, max_size=20))
def test_boottime_and_monotonic_never_go_back(acts: list[tuple[str, int]]) -> None:
    host, device = clock()
    last = readings(device)
    for act, amount in acts:
        match act:
            case "drift":
                device.set_drift(amount)
            case "suspend":
                device.suspend(amount)
            case "step":
                device.step(-amount)
            case _:
                host.wait(amount)
        now = readings(device)
        assert now[1] >= last[1] - 1
        assert now[2] >= last[2]
        assert now[1] <= now[2]
        last = now

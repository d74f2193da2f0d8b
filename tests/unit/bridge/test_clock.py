import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fakes.adb_server import FakeAdbServer, Peer
from hypothesis import given
from hypothesis import strategies as st

from bridge.clock import JUMP_NS, ClockProbe, DeviceClock, HostClock, Reading, offset
from bridge.deadline import Deadline
from bridge.errors import BridgeTimeout, CommandFailed, DeviceGone
from bridge.smartsocket import AdbServer, SmartSocket

SECOND = 1_000_000_000
BOOT_NS = 40_000 * SECOND
OFFSET_NS = 1_700_000_000 * SECOND


def exact(device_ns: int) -> Reading:
    """A reading at host time 0 with no round trip."""
    return Reading(0, 0, device_ns, 1)


def test_host_clock_is_one_wall_reading_and_monotonic_after_that() -> None:
    clock = HostClock()
    first, second = clock.now(), clock.now()
    assert first <= second
    assert abs(first.wall_ms - time.time_ns() // 1_000_000) < 1000
    later = clock.at(first.mono_ns + 1_500_000_000)
    assert later.wall_ms - first.wall_ms == 1500


def test_the_hosts_wall_time_is_taken_anew_when_it_was_set_or_the_host_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostClock()
    clock = DeviceClock(host)
    clock.update([exact(OFFSET_NS)], [exact(BOOT_NS)])
    true = time.time_ns
    monkeypatch.setattr("bridge.clock.time.time_ns", lambda: true() + SECOND)
    before = host.at(0)
    clock.update([exact(OFFSET_NS)], [exact(BOOT_NS)])
    assert host.at(0) == before
    monkeypatch.setattr("bridge.clock.time.time_ns", lambda: true() + 3600 * SECOND)
    assert host.at(0) == before
    clock.update([exact(OFFSET_NS)], [exact(BOOT_NS)])
    assert abs(host.at(0).wall_ms - before.wall_ms - 3_600_000) < 1000


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[int, int, list[Reading]]:
    """A true offset, a tick, and readings each taken at some instant within its round trip."""
    true_ns = draw(st.integers(-(10**15), 10**18))
    tick_ns = draw(st.sampled_from([1, 1000, 10_000_000]))
    readings = []
    for sent_ns in draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=15)):
        there, back = draw(st.integers(0, 10**8)), draw(st.integers(0, 10**8))
        device_ns = (sent_ns + there + true_ns) // tick_ns * tick_ns
        readings.append(Reading(sent_ns, sent_ns + there + back, device_ns, tick_ns))
    return true_ns, tick_ns, readings


@given(exchanges())
def test_offset_is_within_its_bound(case: tuple[int, int, list[Reading]]) -> None:
    true_ns, _, readings = case
    found_ns, bound_ns = offset(readings)
    assert abs(found_ns - true_ns) <= bound_ns


@given(exchanges())
def test_bound_is_at_most_half_the_shortest_round_trip(case: tuple[int, int, list[Reading]]) -> None:
    _, tick_ns, readings = case
    shortest = min(reading.round_trip_ns for reading in readings)
    assert offset(readings)[1] <= (shortest + tick_ns + 1) // 2 + 1000


def test_contradicting_readings_leave_the_shortest() -> None:
    found_ns, bound_ns = offset([Reading(0, 10, 1000, 1), Reading(20, 100, 9_000_000, 1)])
    assert abs(found_ns - 995) <= 1
    assert bound_ns <= 1006


def test_device_clock_maps_both_clocks() -> None:
    clock = DeviceClock(HostClock())
    now_ns = clock.host.now().mono_ns
    fix = clock.update([exact(OFFSET_NS)], [exact(BOOT_NS)])
    assert fix.jump_ns == 0
    assert clock.wall(OFFSET_NS + now_ns).mono_ns == pytest.approx(now_ns, abs=2000)
    assert clock.boot(BOOT_NS + now_ns).mono_ns == pytest.approx(now_ns, abs=2000)


def test_nothing_arrives_before_it_happened() -> None:
    clock = DeviceClock(HostClock())
    clock.update([exact(OFFSET_NS)], [exact(BOOT_NS)])
    future_ns = clock.host.now().mono_ns + 10 * SECOND
    stamp = clock.wall(OFFSET_NS + future_ns)
    assert stamp.mono_ns <= clock.host.now().mono_ns


@pytest.mark.parametrize(("step_ns", "jump"), [(0, False), (JUMP_NS // 2, False), (2 * JUMP_NS, True), (-SECOND, True)])
def test_a_jump_is_told_and_never_smoothed(step_ns: int, jump: bool) -> None:
    clock = DeviceClock(HostClock())
    clock.update([exact(OFFSET_NS)], [exact(BOOT_NS)])
    fix = clock.update([exact(OFFSET_NS + step_ns)], [exact(BOOT_NS)])
    assert fix.jump_ns == (step_ns if jump else 0)
    assert abs(fix.offset_ns - OFFSET_NS - step_ns) <= fix.bound_ns
    if jump:
        gap = fix.gap(fix.stamp)
        assert (gap.stage, gap.reason) == ("clock", "clock set")
        assert gap.detail == f"by {step_ns / 1e9:+.3f} s"


def at(host_ns: int, device_ns: int) -> Reading:
    return Reading(host_ns, host_ns, device_ns, 1)


def test_drift_is_found_and_stamps_between_and_after_follow_it() -> None:
    """A crystal that is 50 ppm fast, measured every 20 s."""
    clock, ppm = DeviceClock(HostClock()), 50e-6
    start = clock.host.now().mono_ns - 800 * SECOND

    def device_ns(host_ns: int, base_ns: int) -> int:
        return host_ns + base_ns + round((host_ns - start) * ppm)

    for n in range(40):
        host_ns = start + n * 20 * SECOND
        readings = [at(host_ns, device_ns(host_ns, OFFSET_NS))], [at(host_ns, device_ns(host_ns, BOOT_NS))]
        fix = clock.update(*readings)
        assert fix.jump_ns == 0
    assert fix.drift_ppm == pytest.approx(50, abs=0.1)
    for host_ns in (start + 700 * SECOND, start + 789 * SECOND):
        for stamp in (clock.wall(device_ns(host_ns, OFFSET_NS)), clock.boot(device_ns(host_ns, BOOT_NS))):
            assert abs(stamp.mono_ns - host_ns) <= stamp.bound_ns < 100_000


def test_the_bound_grows_with_the_time_since_the_fix_as_long_as_the_drift_is_not_known() -> None:
    clock = DeviceClock(HostClock())
    now_ns = clock.host.now().mono_ns
    clock.update([at(now_ns, OFFSET_NS + now_ns)], [at(now_ns, BOOT_NS + now_ns)])
    assert clock.wall(OFFSET_NS + now_ns).bound_ns < 10_000
    ago = clock.wall(OFFSET_NS + now_ns - 60 * SECOND)
    assert 5_900_000 < ago.bound_ns < 6_100_000


def test_what_was_measured_before_a_jump_does_not_count() -> None:
    clock = DeviceClock(HostClock())
    start = clock.host.now().mono_ns - 300 * SECOND
    for n in range(5):
        host_ns = start + n * 20 * SECOND
        clock.update([at(host_ns, host_ns + OFFSET_NS)], [at(host_ns, host_ns + BOOT_NS)])
    host_ns = start + 100 * SECOND
    fix = clock.update([at(host_ns, host_ns + OFFSET_NS + 90 * SECOND)], [at(host_ns, host_ns + BOOT_NS)])
    assert fix.jump_ns == 90 * SECOND
    assert abs(fix.drift_ppm) < 1
    assert abs(clock.wall(host_ns + OFFSET_NS + 91 * SECOND).mono_ns - host_ns - SECOND) < 200_000


def test_unmeasured_clock_is_misuse() -> None:
    with pytest.raises(RuntimeError):
        DeviceClock(HostClock()).wall(0)


def shell(answer: Callable[[bytes], bytes | None]) -> Callable[[Peer], None]:
    """A device shell that reads lines and answers each."""

    def service(peer: Peer) -> None:
        while line := peer.line():
            reply = answer(line.strip())
            if reply is None:
                return
            peer.send(reply)

    return service


def device(line: bytes) -> bytes:
    """A phone of today: its clock is OFFSET_NS ahead of this host's monotonic clock."""
    now_ns = time.monotonic_ns()
    if b"EPOCHREALTIME" in line:
        wall_ns = now_ns + OFFSET_NS
        return b"%d.%06d\n" % (wall_ns // SECOND, wall_ns % SECOND // 1000)
    return b"%d.%02d\n" % divmod((now_ns + BOOT_NS) // 10_000_000, 100)


def old_device(line: bytes) -> bytes:
    """A phone whose shell has no EPOCHREALTIME."""
    if b"EPOCHREALTIME" in line:
        return b"\n"
    if b"date" in line:
        wall_ns = time.monotonic_ns() + OFFSET_NS
        return b"%d.%09d\n" % divmod(wall_ns, SECOND)
    return device(line)


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


def probe(server: FakeAdbServer) -> tuple[ClockProbe, DeviceClock]:
    smart = SmartSocket(AdbServer(port=server.port))
    clock = DeviceClock(HostClock())
    return ClockProbe("SERIAL", clock, lambda service, deadline: smart.service("SERIAL", service, deadline)), clock


@pytest.mark.parametrize("phone", [device, old_device])
def test_probe_finds_the_offset(server: FakeAdbServer, phone: Callable[[bytes], bytes]) -> None:
    server.services["exec:while"] = shell(phone)
    measured, _ = probe(server)
    for _ in range(2):
        fix = measured.measure(Deadline(5))
        assert abs(fix.offset_ns - OFFSET_NS) <= fix.bound_ns < 5_000_000
        assert abs(fix.boot_offset_ns - BOOT_NS) <= fix.boot_bound_ns < 15_000_000
    # One shell serves all probes.
    assert sum(request.startswith("exec:") for request in server.requests) == 1
    measured.close()


def test_over_a_slow_way_fewer_answers_must_do(server: FakeAdbServer) -> None:
    way = threading.Event()

    def slow(line: bytes) -> bytes:
        way.wait(0.1)
        return device(line)

    server.services["exec:while"] = shell(slow)
    measured, _ = probe(server)
    # For all of them it would take 2 s.
    fix = measured.measure(Deadline(1.6))
    assert abs(fix.offset_ns - OFFSET_NS) <= fix.bound_ns
    assert abs(fix.boot_offset_ns - BOOT_NS) <= fix.boot_bound_ns
    measured.close()


def test_date_without_fractions_widens_the_bound(server: FakeAdbServer) -> None:
    def coarse(line: bytes) -> bytes:
        return old_device(line).split(b".")[0] + b".N\n" if b"date" in line else old_device(line)

    server.services["exec:while"] = shell(coarse)
    measured, _ = probe(server)
    fix = measured.measure(Deadline(5))
    assert abs(fix.offset_ns - OFFSET_NS) <= fix.bound_ns
    assert 400_000_000 < fix.bound_ns < 600_000_000
    measured.close()


def test_garbage_is_an_error_and_the_next_probe_a_new_shell(server: FakeAdbServer) -> None:
    server.services["exec:while"] = shell(lambda line: b"sh: not today\n")
    measured, clock = probe(server)
    with pytest.raises(CommandFailed, match="not today"):
        measured.measure(Deadline(5))
    server.services["exec:while"] = shell(device)
    assert measured.measure(Deadline(5)) is clock.fix
    measured.close()


def test_bad_uptime_is_an_error(server: FakeAdbServer) -> None:
    server.services["exec:while"] = shell(lambda line: b"denied\n" if b"uptime" in line else device(line))
    measured, _ = probe(server)
    with pytest.raises(CommandFailed, match="denied"):
        measured.measure(Deadline(5))


def test_an_answer_without_end_is_an_error(server: FakeAdbServer) -> None:
    server.services["exec:while"] = shell(lambda line: b"1" * 1_000_000)
    measured, _ = probe(server)
    with pytest.raises(CommandFailed, match="answered b'1111"):
        measured.measure(Deadline(2))


def test_silent_shell_ends_with_the_deadline(server: FakeAdbServer) -> None:
    server.services["exec:while"] = shell(lambda line: b"")
    measured, _ = probe(server)
    began = time.monotonic()
    with pytest.raises(BridgeTimeout):
        measured.measure(Deadline(0.3))
    assert time.monotonic() - began < 2


def test_shell_that_ends_is_a_lost_device(server: FakeAdbServer) -> None:
    server.services["exec:while"] = shell(lambda line: None)
    measured, _ = probe(server)
    with pytest.raises(DeviceGone):
        measured.measure(Deadline(5))


def test_closed_probe_measures_nothing(server: FakeAdbServer) -> None:
    server.services["exec:while"] = shell(device)
    measured, _ = probe(server)
    measured.close()
    with pytest.raises(DeviceGone, match="closed by us"):
        measured.measure(Deadline(5))

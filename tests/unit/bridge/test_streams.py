import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import Queue

import pytest
from fakes.adb_server import FakeAdbServer, Peer
from fakes.wait import until
from hypothesis import given
from hypothesis import strategies as st

from bridge.clock import DeviceClock, HostClock, Reading
from bridge.deadline import Deadline
from bridge.errors import BridgeError, BridgeTimeout, DeviceGone
from bridge.getevent import OVERRUN
from bridge.picture import Display
from bridge.smartsocket import AdbServer, SmartSocket, Stream
from bridge.streams import HISTORY_NS, SLEEP_WINDOW_NS, TIMES, Getevent, Logcat, Resume, Uptime
from bridge.types import ClockFix, Gap, LogEntry, Size, Stamp, Touch

SECOND = 1_000_000_000
OFFSET_NS = 1_700_000_000 * SECOND
# Not before the phone was started, however short this host has been up.
BOOT_OFFSET_NS = 5_000 * SECOND
LISTING = b"""\
add device 1: /dev/input/event2
  name:     "touchscreen"
  events:
    KEY (0001): BTN_TOUCH
    ABS (0003): ABS_MT_SLOT           : value 0, min 0, max 9, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_X     : value 0, min 0, max 1079, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_Y     : value 0, min 0, max 2399, fuzz 0, flat 0, resolution 0
                ABS_MT_TRACKING_ID    : value 0, min 0, max 65535, fuzz 0, flat 0, resolution 0
"""


def fix(clock: DeviceClock, offset_ns: int = OFFSET_NS, boot_offset_ns: int = BOOT_OFFSET_NS) -> ClockFix:
    return clock.update([Reading(0, 0, offset_ns, 1)], [Reading(0, 0, boot_offset_ns, 1)])


@pytest.fixture
def clock() -> DeviceClock:
    clock = DeviceClock(HostClock())
    fix(clock)
    return clock


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


@pytest.fixture
def smart(server: FakeAdbServer) -> Iterator[SmartSocket]:
    smart = SmartSocket(AdbServer(port=server.port))
    yield smart
    smart.close()


class Phone:
    """The device side: sends what a test puts, and notes when the host hangs up."""

    def __init__(self, server: FakeAdbServer) -> None:
        self._server = server
        self._data: Queue[bytes | None] = Queue()
        self.hung_up = 0
        server.services["exec:logcat"] = self.stream
        server.services["exec:getevent -lt /dev/input/event2"] = self.stream
        server.services["exec:getevent -lp"] = lambda peer: peer.send(LISTING)

    @property
    def commands(self) -> list[str]:
        return [name.removeprefix("exec:") for name in self._server.requests if name.startswith("exec:")]

    def put(self, data: bytes | None) -> None:
        """Send bytes; None ends the process."""
        self._data.put(data)

    def stream(self, peer: Peer) -> None:
        while (data := self._data.get()) is not None:
            peer.send(data)
        if peer.gone():
            self.hung_up += 1


class Reader:
    """Reads a stream on a thread of its own."""

    def __init__(self, items: Iterator[LogEntry | Touch | Gap]) -> None:
        self.items: list[LogEntry | Touch | Gap] = []
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._run, items)

    def _run(self, items: Iterator[LogEntry | Touch | Gap]) -> None:
        for item in items:
            self.items.append(item)

    def wait(self, count: int) -> list[LogEntry | Touch | Gap]:
        until(lambda: len(self.items) >= count or self._done.done(), f"{count} items")
        return self.items

    def end(self) -> None:
        """Wait for the end; raises what ended it."""
        try:
            self._done.result(10)
        finally:
            self._pool.shutdown()


@pytest.fixture
def phone(server: FakeAdbServer) -> Iterator[Phone]:
    phone = Phone(server)
    yield phone
    phone.put(None)


def opener(smart: SmartSocket) -> Callable[[str, Deadline], Stream]:
    return lambda service, deadline: smart.service("SERIAL", service, deadline)


def entry(time_ns: int, message: str, tag: str = "Tag") -> bytes:
    payload = b"\x04" + tag.encode() + b"\0" + message.encode() + b"\0"
    return struct.pack("<HHiIIIII", len(payload), 28, 42, 43, time_ns // SECOND, time_ns % SECOND, 0, 10123) + payload


def event(time_ns: int, number: int, value: int) -> bytes:
    """An entry of the event log with one whole number."""
    payload = struct.pack("<IBi", number, 0, value)
    return struct.pack("<HHiIIIII", len(payload), 28, 42, 43, time_ns // SECOND, time_ns % SECOND, 2, 1000) + payload


def now_ns() -> int:
    """The device's CLOCK_REALTIME."""
    return time.monotonic_ns() + OFFSET_NS


def logged(time_ns: int, message: str = "m") -> LogEntry:
    return LogEntry(Stamp(time_ns - OFFSET_NS, 0), time_ns, 42, 43, 10123, "I", "Tag", message)


class Probe:
    """Measures a clock by setting it to what a test says."""

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self.offset_ns = OFFSET_NS
        self.asked = 0
        self.slow = False

    def __call__(self, deadline: Deadline) -> ClockFix:
        assert deadline.remaining() > 0
        self.asked += 1
        if self.slow:
            raise BridgeTimeout("SERIAL", "probe the clock", "no answer within the deadline")
        return fix(self._clock, self.offset_ns)


def logcat(smart: SmartSocket, clock: DeviceClock, since: LogEntry | None = None, probe: Probe | None = None) -> Logcat:
    return Logcat("SERIAL", opener(smart), clock, probe or Probe(clock), since)


def texts(items: list[LogEntry | Touch | Gap]) -> list[str]:
    return [item.message if isinstance(item, LogEntry) else type(item).__name__ for item in items]


def test_log_from_five_minutes_ago_on(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    began_ns = now_ns()
    log = logcat(smart, clock)
    reader = Reader(log.entries())
    data = entry(now_ns(), "one\ntwo") + entry(now_ns(), "three")
    for at in range(0, len(data), 7):
        phone.put(data[at : at + 7])
    first, second = reader.wait(2)
    assert isinstance(first, LogEntry)
    assert (first.message, first.tag, first.pid, first.uid, first.level) == ("one\ntwo", "Tag", 42, 10123, "I")
    assert first.stamp.mono_ns == first.time_ns - OFFSET_NS
    assert isinstance(second, LogEntry)
    log.close()
    reader.end()
    (command,) = phone.commands
    since, _, start = command.partition(" -T ")
    assert since == "logcat -B -b main,system,crash,events"
    seconds, _, micros = start.strip("'").partition(".")
    assert len(micros) == 6
    assert began_ns - 1000 <= int(seconds) * SECOND + int(micros) * 1000 + HISTORY_NS <= now_ns()


def test_close_wakes_the_reader_ends_the_process_and_may_come_twice(
    phone: Phone, smart: SmartSocket, clock: DeviceClock
) -> None:
    log = logcat(smart, clock)
    reader = Reader(log.entries())
    until(lambda: phone.commands, "the command")
    log.close()
    log.close()
    reader.end()
    phone.put(None)
    until(lambda: phone.hung_up, "the hang-up")
    assert list(log.entries()) == []


def test_close_before_the_first_read(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    log, touch = logcat(smart, clock), getevent(smart, clock)
    log.close()
    touch.close()
    assert list(log.entries()) == list(touch.touches()) == []
    assert phone.commands == []


def test_log_that_ends_by_itself_is_an_error(server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock) -> None:
    data = entry(now_ns(), "last")
    server.services["exec:logcat"] = lambda peer: peer.send(data)
    entries = logcat(smart, clock).entries()
    assert next(entries).message == "last"
    with pytest.raises(DeviceGone, match="ended"):
        next(entries)


def test_a_log_whose_process_was_ended_goes_on_after_the_last_entry_as_long_as_the_phone_answers(
    server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.streams.REST_SECONDS", 0.001)
    at_ns = now_ns()
    one, two = entry(at_ns, "one"), entry(at_ns + 1000, "two")
    sent = [one, one + two]
    server.services["exec:logcat"] = lambda peer: peer.send(sent.pop(0) if sent else one + two)
    server.services["exec:echo"] = lambda peer: peer.send(b"\n")
    entries = logcat(smart, clock).entries()
    assert [texts([next(entries)]) for _ in range(2)] == [["one"], ["two"]]
    # It ends at once each time: no more than a few are begun.
    with pytest.raises(DeviceGone, match="ended"):
        next(entries)
    assert 3 <= sum(request.startswith("exec:logcat") for request in server.requests) <= TIMES + 1


def test_touches_whose_process_was_ended_go_on_and_what_the_fingers_did_meanwhile_is_unknown(
    server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.streams.REST_SECONDS", 0.001)
    ends = [True]

    def stream(peer: Peer) -> None:
        if ends:
            ends.clear()
            return
        peer.send(tap(time.monotonic_ns() + BOOT_OFFSET_NS))
        peer.gone()

    server.services["exec:getevent -lp"] = lambda peer: peer.send(LISTING)
    server.services["exec:getevent -lt"] = stream
    server.services["exec:echo"] = lambda peer: peer.send(b"\n")
    touch = getevent(smart, clock)
    reader = Reader(touch.touches())
    gap, first, *_ = reader.wait(3)
    assert isinstance(gap, Gap)
    assert (gap.stage, gap.reason) == ("touch", OVERRUN)
    assert isinstance(first, Touch)
    touch.close()
    reader.end()


@pytest.mark.parametrize("state", ["offline", "unauthorized"])
def test_log_of_a_lost_device(server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock, state: str) -> None:
    server.states = {"SERIAL": state}
    with pytest.raises(BridgeError):
        next(logcat(smart, clock).entries())


def test_resume_after_the_last_entry(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    seen = logged(now_ns() - SECOND, "seen")
    log = logcat(smart, clock, seen)
    reader = Reader(log.entries())
    phone.put(entry(seen.time_ns, "earlier") + entry(seen.time_ns, "seen") + entry(seen.time_ns + 1, "new"))
    assert texts(reader.wait(1)) == ["new"]
    log.close()
    reader.end()
    seconds, micros = divmod(seen.time_ns // 1000, 10**6)
    assert phone.commands[0].endswith(f" -T '{seconds}.{micros:06d}'")


def test_of_the_event_log_only_what_somebody_reads(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    log = logcat(smart, clock)
    reader = Reader(log.entries())
    at = now_ns()
    phone.put(event(at, 52_000, 9) + event(at, 70_000, 0) + event(at, 2_747, 1) + entry(at + 1, "line"))
    toggled, line = reader.wait(2)
    assert isinstance(toggled, LogEntry)
    assert isinstance(line, LogEntry)
    assert (toggled.tag, toggled.values, toggled.buffer, line.message) == ("screen_toggled", (0,), "events", "line")
    log.close()
    reader.end()


def test_resume_when_the_clock_went_back_reads_the_whole_log(
    phone: Phone, smart: SmartSocket, clock: DeviceClock
) -> None:
    log = logcat(smart, clock, logged(now_ns() + 3600 * SECOND, "from before the reboot"))
    reader = Reader(log.entries())
    until(lambda: phone.commands, "the command")
    log.close()
    reader.end()
    assert phone.commands == ["logcat -B -b main,system,crash,events"]


HOUR = 3600 * SECOND


def ahead(message: str = "seen", age_ns: int = SECOND) -> LogEntry:
    """Seen a moment ago, under a clock that was an hour ahead of today's."""
    seen = logged(now_ns() - age_ns, message)
    return replace(seen, time_ns=seen.time_ns + HOUR)


def test_resume_when_the_clock_went_back_goes_on_behind_the_last_entry(
    phone: Phone, smart: SmartSocket, clock: DeviceClock
) -> None:
    seen = ahead()
    log = logcat(smart, clock, seen)
    reader = Reader(log.entries())
    # In the order in which it was written: by a clock of before, by the one that was an hour ahead, by today's.
    phone.put(entry(now_ns() - HOUR, "old") + entry(seen.time_ns - SECOND, "older") + entry(seen.time_ns, "seen"))
    phone.put(entry(seen.time_ns + 1, "missed") + entry(now_ns(), "new") + entry(now_ns(), "newer"))
    assert texts(reader.wait(3)) == ["missed", "new", "newer"]
    log.close()
    reader.end()


@pytest.mark.parametrize("quiet", [True, False])
def test_resume_when_the_clock_went_back_and_the_last_entry_is_lost_is_a_gap(
    phone: Phone, smart: SmartSocket, clock: DeviceClock, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    monkeypatch.setattr("bridge.streams.QUIET_SECONDS", 0.1 if quiet else 60)
    monkeypatch.setattr("bridge.streams.PATIENCE_SECONDS", 60 if quiet else 0)
    seen = ahead()
    log = logcat(smart, clock, seen)
    reader = Reader(log.entries())
    lines = [(now_ns() - HOUR, "before"), (seen.time_ns - 1, "seen, too"), (now_ns(), "new"), (now_ns(), "newer")]
    phone.put(b"".join(entry(*line) for line in lines))
    gap, *entries = reader.wait(3)
    assert isinstance(gap, Gap)
    assert (gap.start, gap.stage, gap.reason) == (seen.stamp, "log", "overwritten")
    assert seen.stamp <= gap.end <= entries[0].stamp
    assert texts(entries) == ["new", "newer"]
    # Nothing is held back from now on.
    phone.put(entry(now_ns(), "live"))
    assert texts(reader.wait(4)[3:]) == ["live"]
    log.close()
    reader.end()


def test_resume_behind_entries_of_a_clock_that_was_set_back_before(
    phone: Phone, smart: SmartSocket, clock: DeviceClock
) -> None:
    seen = logged(now_ns() - SECOND, "seen")
    log = logcat(smart, clock, seen)
    reader = Reader(log.entries())
    phone.put(entry(now_ns() + HOUR, "older") + entry(seen.time_ns, "seen") + entry(now_ns(), "new"))
    assert texts(reader.wait(1)) == ["new"]
    log.close()
    reader.end()


@pytest.mark.parametrize("step_ns", [60 * SECOND, -60 * SECOND])
def test_clock_that_was_set_is_measured_and_the_stamps_follow(
    phone: Phone, smart: SmartSocket, clock: DeviceClock, step_ns: int
) -> None:
    probe = Probe(clock)
    log = logcat(smart, clock, probe=probe)
    reader = Reader(log.entries())
    before_ns = now_ns()
    phone.put(entry(before_ns, "before"))
    reader.wait(1)
    probe.offset_ns = OFFSET_NS + step_ns
    phone.put(entry(before_ns + step_ns, "after") + entry(before_ns + step_ns + 1, "then"))
    first, gap, second, third = reader.wait(4)
    assert probe.asked == 1
    assert isinstance(gap, Gap)
    assert (gap.stage, gap.reason, gap.detail) == ("clock", "clock set", f"by {step_ns / 1e9:+.3f} s")
    assert [item.stamp.mono_ns for item in (first, second, third)] == [
        before_ns - OFFSET_NS,
        before_ns - OFFSET_NS,
        before_ns - OFFSET_NS + 1,
    ]
    log.close()
    reader.end()


def test_odd_stamps_are_not_measured_each(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    probe = Probe(clock)
    log = logcat(smart, clock, probe=probe)
    reader = Reader(log.entries())
    for number in range(5):
        phone.put(entry(now_ns() + (HOUR if number % 2 else 0), str(number)))
        reader.wait(number + 1)
    assert texts(reader.items) == ["0", "1", "2", "3", "4"]
    assert probe.asked == 1
    log.close()
    reader.end()


@pytest.mark.parametrize("slow", [False, True])
def test_a_clock_that_is_set_after_an_odd_stamp_is_measured_a_little_later(
    phone: Phone, smart: SmartSocket, clock: DeviceClock, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    monkeypatch.setattr("bridge.streams.PROBE_REST_SECONDS", 0.2)
    probe = Probe(clock)
    log = logcat(smart, clock, probe=probe)
    reader = Reader(log.entries())
    probe.slow = slow
    began = HostClock().now()
    phone.put(entry(now_ns(), "good") + entry(now_ns() + HOUR, "odd"))
    reader.wait(2)
    assert probe.asked == 1
    probe.slow = False
    probe.offset_ns -= 60 * SECOND

    def measured() -> bool:
        count = len(reader.items)
        phone.put(entry(now_ns() - 60 * SECOND, "new"))
        reader.wait(count + 1)
        return probe.asked == 2

    until(measured, "a measurement")
    until(lambda: isinstance(reader.items[-1], LogEntry), "the entry after the gap")
    (gap,) = (item for item in reader.items if isinstance(item, Gap))
    assert (gap.reason, gap.detail) == ("clock set", "by -60.000 s")
    assert isinstance(last := reader.items[-1], LogEntry)
    assert began <= last.stamp <= HostClock().now()
    log.close()
    reader.end()


def test_broken_bytes_in_the_log_are_a_gap(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    log = logcat(smart, clock)
    reader = Reader(log.entries())
    phone.put(entry(now_ns(), "good") + b"\xff" * 50 + entry(now_ns(), "again"))
    assert texts(reader.wait(3)) == ["good", "Gap", "again"]
    log.close()
    reader.end()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_resume_gives_each_entry_once(steps: list[int], data: st.DataObject) -> None:
    """A log with equal stamps, read to some entry and resumed from anywhere at or before its stamp."""
    log, time_ns = [], 0
    for number, step in enumerate(steps):
        time_ns += step // 2
        log.append(logged(time_ns, f"m{number}"))
    last = data.draw(st.sampled_from(log))
    start = next(index for index, each in enumerate(log) if each.time_ns >= last.time_ns)
    resume = Resume(last)
    resumed = [item for each in log[start:] for item in resume.sift(each)]
    assert resumed == log[log.index(last) + 1 :]


def test_resume_names_what_the_ring_lost() -> None:
    since = logged(100, "seen")
    held, late = logged(100, "other"), logged(200)
    assert [item for each in (held, late) for item in Resume(since).sift(each)] == [
        Gap(since.stamp, late.stamp, "log", "overwritten", "the log no longer held the last entry seen"),
        late,
    ]
    resume = Resume(since)
    found = [item for each in (held, late, replace(late, time_ns=300)) for item in resume.sift(each)]
    assert [type(item).__name__ for item in found] == ["Gap", "LogEntry", "LogEntry", "LogEntry"]
    assert found[0] == Gap(since.stamp, held.stamp, "log", "overwritten", found[0].detail)


def getevent(smart: SmartSocket, clock: DeviceClock, display: Display | None = None) -> Getevent:
    return Getevent("SERIAL", opener(smart), clock, display or Display(Size(1080, 2400)))


def tap(monotonic_ns: int, x: int = 5, y: int = 6) -> bytes:
    def report(*events: tuple[str, str, int]) -> bytes:
        seconds, rest = divmod(monotonic_ns, SECOND)
        return b"".join(
            f"[{seconds:8d}.{rest // 1000:06d}] {kind:<12} {code:<20} {value:08x}            \n".encode()
            for kind, code, value in (*events, ("EV_SYN", "SYN_REPORT", 0))
        )

    places = ("EV_ABS", "ABS_MT_POSITION_X", x), ("EV_ABS", "ABS_MT_POSITION_Y", y)
    return report(("EV_ABS", "ABS_MT_TRACKING_ID", 1), *places) + report(("EV_ABS", "ABS_MT_TRACKING_ID", 0xFFFFFFFF))


def test_touches(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    fix(clock, boot_offset_ns=BOOT_OFFSET_NS + 10_000 * SECOND)
    display = Display(Size(1080, 2400), 1)
    touch = getevent(smart, clock, display)
    reader = Reader(touch.touches())
    at_ns = time.monotonic_ns() // 1000 * 1000
    data = tap(at_ns + BOOT_OFFSET_NS + 10_000 * SECOND)
    phone.put(data[:50])
    phone.put(data[50:])
    first, second = reader.wait(2)
    assert first == Touch(Stamp(at_ns, 0), "down", 0, 6, 1075, 1)
    assert second == Touch(Stamp(at_ns, 0), "up", 0, 6, 1075, 1)
    assert phone.commands == ["getevent -lp", "getevent -lt /dev/input/event2"]
    touch.close()
    touch.close()
    reader.end()
    phone.put(None)
    until(lambda: phone.hung_up, "the hang-up")


def test_touches_of_a_phone_that_slept(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    fix(clock, boot_offset_ns=10_000 * SECOND)
    touch = getevent(smart, clock)
    reader = Reader(touch.touches())
    # It was up for 100 s and slept for the rest.
    slept_ns = time.monotonic_ns() + 9_900 * SECOND
    sent_ns = time.monotonic_ns()
    phone.put(tap(sent_ns + 10_000 * SECOND - slept_ns))
    first, _ = reader.wait(2)
    assert 0 <= first.stamp.mono_ns - sent_ns < SECOND
    touch.close()
    reader.end()


def test_touches_end_with_an_error_when_the_phone_goes(
    server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock
) -> None:
    server.services["exec:getevent -lp"] = lambda peer: peer.send(LISTING)
    server.services["exec:getevent -lt"] = lambda peer: peer.send(b"[")
    with pytest.raises(DeviceGone, match="ended"):
        list(getevent(smart, clock).touches())
    server.states = {}
    with pytest.raises(DeviceGone, match="not found"):
        list(getevent(smart, clock).touches())


@pytest.mark.parametrize("listing", [b"", b"could not open /dev/input/event2, Permission denied\n"])
def test_device_without_a_panel_is_one_gap(
    server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock, listing: bytes
) -> None:
    server.services["exec:getevent -lp"] = lambda peer: peer.send(listing)
    (gap,) = getevent(smart, clock).touches()
    assert isinstance(gap, Gap)
    assert (gap.stage, gap.reason) == ("touch", "no touch panel")


def test_close_while_the_panels_are_being_listed(server: FakeAdbServer, smart: SmartSocket, clock: DeviceClock) -> None:
    server.services["exec:getevent -lp"] = lambda peer: (peer.gone(), None)[1]
    touch = getevent(smart, clock)
    reader = Reader(touch.touches())
    until(lambda: "exec:getevent -lp" in server.requests, "the command")
    touch.close()
    reader.end()
    assert reader.items == []


@pytest.mark.parametrize("which", [0, 1])
def test_close_while_the_stream_is_being_opened(clock: DeviceClock, which: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        smart = SmartSocket(AdbServer(port=silent.getsockname()[1]))
        log, touch = logcat(smart, clock), getevent(smart, clock)
        reader = Reader((log.entries(), touch.touches())[which])
        with silent.accept()[0] as peer:
            assert peer.recv(4) == b"0015"
            log.close()
            touch.close()
            smart.close()
            reader.end()
        assert reader.items == []


class Instant(HostClock):
    """A host clock that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.ns = 10**15

    def now(self) -> Stamp:
        return self.at(self.ns)


def uptime(instant: Instant) -> Uptime:
    clock = DeviceClock(instant)
    fix(clock, boot_offset_ns=0)
    return Uptime(clock)


def test_uptime_without_sleep_is_the_boot_clock() -> None:
    instant = Instant()
    mapped = uptime(instant)
    mapped.arrived(instant.ns - SECOND // 2)
    assert mapped.stamp(instant.ns - SECOND).mono_ns == instant.ns - SECOND


@given(st.integers(2 * SECOND, 10**14), st.lists(st.integers(0, SECOND // 5), min_size=1, max_size=20))
def test_uptime_after_sleep_is_off_by_the_least_delay(slept_ns: int, delays: list[int]) -> None:
    instant = Instant()
    mapped = uptime(instant)
    for delay_ns in delays:
        instant.ns += 100_000_000
        mapped.arrived(instant.ns - delay_ns - slept_ns)
    happened_ns = instant.ns - SECOND
    assert mapped.stamp(happened_ns - slept_ns).mono_ns - happened_ns == min(delays)


def test_uptime_forgets_after_ten_seconds() -> None:
    instant = Instant()
    mapped = uptime(instant)
    mapped.arrived(instant.ns)
    instant.ns += SLEEP_WINDOW_NS + 1
    mapped.arrived(instant.ns - 5 * SECOND)
    assert mapped.stamp(instant.ns - 5 * SECOND).mono_ns == instant.ns


def several(*paths: str) -> bytes:
    """A listing of panels that differ in their path only."""
    return b"".join(LISTING.replace(b"/dev/input/event2", path.encode()) for path in paths)


INPUT = b"""\
    3: one
      Path: /dev/input/event2
    4: two
      Path: /dev/input/event3
    5: three
      Path: /dev/input/event4
  Device 3: one
      Viewport INTERNAL: displayId=0
  Device 4: two
      Viewport: displayId=-1
  Device 5: three
      Viewport EXTERNAL: displayId=2
"""


def report(path: str, x: int) -> bytes:
    seconds, rest = divmod(time.monotonic_ns() + BOOT_OFFSET_NS, SECOND)
    head = f"[{seconds:8d}.{rest // 1000:06d}] {path}: "
    events = (
        "EV_ABS ABS_MT_TRACKING_ID 00000007",
        f"EV_ABS ABS_MT_POSITION_X {x:08x}",
        "EV_ABS ABS_MT_POSITION_Y 00000005",
    )
    return "".join(f"{head}{each}\n" for each in (*events, "EV_SYN SYN_REPORT 00000000")).encode()


@pytest.mark.parametrize(
    ("display", "said", "expected"),
    [
        # Both sides of a fold are the default display's, the panel beside it is not.
        (Display(Size(1080, 2400)), INPUT, [1, 2]),
        (Display(Size(1080, 2400)), b"nothing that anybody knows\n", [1, 2, 3]),
    ],
)
def test_touches_of_several_panels(
    server: FakeAdbServer,
    phone: Phone,
    smart: SmartSocket,
    clock: DeviceClock,
    display: Display,
    said: bytes,
    expected: list[int],
) -> None:
    paths = ("/dev/input/event2", "/dev/input/event3", "/dev/input/event4")
    server.services["exec:getevent -lp"] = lambda peer: peer.send(several(*paths))
    server.services["exec:dumpsys input"] = lambda peer: peer.send(said)
    server.services["exec:getevent -lt"] = phone.stream
    touch = Getevent("SERIAL", opener(smart), clock, display)
    reader = Reader(touch.touches())
    for number, path in enumerate(paths, 1):
        phone.put(report(path, number))
    phone.put(report(paths[0], 9))
    # The last one lifts the first.
    items = reader.wait(len(expected) + 2)
    touch.close()
    reader.end()
    downs = [item for item in items if isinstance(item, Touch) and item.kind == "down"]
    assert [item.x for item in downs] == [*expected, 9]
    # No two panels have a finger of one number.
    assert len({item.pointer for item in downs}) == len(expected)
    assert downs[0].pointer == downs[-1].pointer


def test_touches_of_the_display_beside(
    server: FakeAdbServer, phone: Phone, smart: SmartSocket, clock: DeviceClock
) -> None:
    paths = ("/dev/input/event2", "/dev/input/event4")
    server.services["exec:getevent -lp"] = lambda peer: peer.send(several(*paths))
    server.services["exec:dumpsys input"] = lambda peer: peer.send(INPUT)
    server.services["exec:getevent -lt /dev/input/event4"] = phone.stream
    touch = Getevent("SERIAL", opener(smart), clock, Display(Size(1080, 2400), id=2))
    reader = Reader(touch.touches())
    phone.put(report(paths[1], 4))
    (found,) = reader.wait(1)
    assert isinstance(found, Touch)
    touch.close()
    reader.end()
    (gap,) = Getevent("SERIAL", opener(smart), clock, Display(Size(1080, 2400), id=7)).touches()
    assert isinstance(gap, Gap)
    assert gap.reason == "no touch panel"


def test_a_panel_across_the_screen_says_so(phone: Phone, smart: SmartSocket, clock: DeviceClock) -> None:
    (gap,) = Getevent("SERIAL", opener(smart), clock, Display(Size(2400, 1080))).touches()
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.detail) == ("panel across the screen", "touchscreen: which way round is not known")

"""The clocks: the host's, and the measured relation of a device's clocks to it.

A reading that was asked for at host time `sent` and had arrived at `received` was taken somewhere in between, so it
bounds the offset from both sides; several readings are intersected. A shell builtin answers within the round trip's
middle, a spawned `date` late in it, which the bound covers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.deadline import Deadline
from bridge.drift import Line, Point, fit
from bridge.errors import CommandFailed, DeviceGone
from bridge.types import ClockFix, Stamp

SHELL = 'exec:while read l; do eval "$l"; done'
PROBES = 15
KEPT = 3
BOOT_PROBES = 5
JUMP_NS = 50_000_000
# By less the host's wall time is let drift: all stamps of a recording are of one clock.
SET_NS = 2_000_000_000
UPTIME_TICK_NS = 10_000_000
MAX_LINE = 1 << 12
_NUMBER = re.compile(rb"(\d{1,12})(?:\.(\d{1,9}))?")


class HostClock:
    """The host's clock: monotonic, its wall time read at construction and taken anew by `settle` alone. Any thread."""

    def __init__(self) -> None:
        self._wall_offset = _wall_offset()

    def settle(self) -> None:
        """Take the wall time anew if it is off by more than SET_NS: it was set, or the host slept, through which the
        monotonic clock stands still. All that is stamped from now on says so."""
        found = _wall_offset()
        if abs(found - self._wall_offset) > SET_NS:
            self._wall_offset = found

    def now(self) -> Stamp:
        return self.at(time.monotonic_ns())

    def at(self, mono_ns: int, bound_ns: int = 0) -> Stamp:
        """The stamp of an instant of the host's monotonic clock, known within ± `bound_ns`."""
        return Stamp(mono_ns, (self._wall_offset + mono_ns) // 1_000_000, bound_ns)


def _wall_offset() -> int:
    before = time.monotonic_ns()
    wall = time.time_ns()
    return wall - (before + time.monotonic_ns()) // 2


@dataclass(frozen=True, slots=True)
class Reading:
    """A device clock read between two instants of the host's monotonic clock; the clock ticks every `tick_ns`."""

    sent_ns: int
    received_ns: int
    device_ns: int
    tick_ns: int

    @property
    def round_trip_ns(self) -> int:
        return self.received_ns - self.sent_ns


def offset(readings: Sequence[Reading], kept: int = KEPT) -> tuple[int, int]:
    """Device minus host in ns, and the bound of its error, from the `kept` readings with the shortest round trip.

    Readings that contradict each other (the clock was set between them) leave the shortest one alone to decide.
    """
    best = sorted(readings, key=lambda reading: reading.round_trip_ns)[:kept]
    low = max(reading.device_ns - reading.received_ns for reading in best)
    high = min(reading.device_ns + reading.tick_ns - reading.sent_ns for reading in best)
    if high < low:
        return offset(best[:1])
    return (low + high) // 2, (high - low + 1) // 2 + 1_000


class DeviceClock:
    """Maps the device's clocks to stamps by the fixes of the last ten minutes. Any thread may read; an update replaces
    what is read whole.
    """

    def __init__(self, host: HostClock) -> None:
        self.host = host
        self._fix: ClockFix | None = None
        self._wall: Line | None = None
        self._boot: Line | None = None

    @property
    def fix(self) -> ClockFix:
        """The newest fix. RuntimeError before the first one."""
        if self._fix is None:
            raise RuntimeError("the device's clock was not measured yet")
        return self._fix

    def update(self, realtime: Sequence[Reading], boottime: Sequence[Reading]) -> ClockFix:
        """Make the fix from readings of CLOCK_REALTIME and CLOCK_BOOTTIME and use it from now on.

        A wall clock that was set by more than JUMP_NS begins anew: what was measured before says nothing of it. So does
        the host's by more than SET_NS.
        """
        self.host.settle()
        wall_point, boot_point = _point(realtime, KEPT), _point(boottime, len(boottime))
        jump_ns = 0
        if self._wall is not None:
            step_ns = wall_point.offset_ns - self._wall.offset(wall_point.at_ns)
            if abs(step_ns) > JUMP_NS + wall_point.bound_ns + self._wall.bound(wall_point.at_ns):
                jump_ns = step_ns
        wall = fit([wall_point] if self._wall is None or jump_ns else [*self._wall.points, wall_point])
        boot = fit([boot_point] if self._boot is None else [*self._boot.points, boot_point])
        at_ns = max(wall_point.at_ns, boot_point.at_ns)
        fix = ClockFix(
            stamp=self.host.at(at_ns),
            offset_ns=wall.offset(at_ns),
            bound_ns=wall.bound(at_ns),
            boot_offset_ns=boot.offset(at_ns),
            boot_bound_ns=boot.bound(at_ns),
            drift_ppm=wall.drift * 1e6,
            jump_ns=jump_ns,
        )
        self._wall, self._boot, self._fix = wall, boot, fix
        return fix

    def wall(self, realtime_ns: int) -> Stamp:
        """The stamp of a CLOCK_REALTIME reading of the device. RuntimeError before the first fix."""
        return self._stamp(self._wall, realtime_ns)

    def boot(self, boottime_ns: int) -> Stamp:
        """The stamp of a CLOCK_BOOTTIME reading of the device. RuntimeError before the first fix."""
        return self._stamp(self._boot, boottime_ns)

    def _stamp(self, line: Line | None, device_ns: int) -> Stamp:
        """Nothing arrives before it happened: a later stamp is set back to now."""
        if line is None:
            raise RuntimeError("the device's clock was not measured yet")
        mono_ns = min(line.host(device_ns), self.host.now().mono_ns)
        return self.host.at(mono_ns, line.bound(mono_ns))


def _point(readings: Sequence[Reading], kept: int) -> Point:
    """The measurement that the readings make; it holds for when the last of them was taken."""
    offset_ns, bound_ns = offset(readings, kept)
    return Point(max(reading.received_ns for reading in readings), offset_ns, bound_ns)


class ShellStream(Protocol):
    """What the probe needs of a stream to the device's shell."""

    closed: bool

    def send(self, data: bytes, deadline: Deadline) -> None: ...

    def read_some(self, deadline: Deadline) -> bytes: ...

    def close(self) -> None: ...


class ClockProbe:
    """Measures a device's clocks through one shell that stays open. One thread; `close` from any."""

    def __init__(self, serial: str, clock: DeviceClock, open_stream: Callable[[str, Deadline], ShellStream]) -> None:
        self._serial = serial
        self._clock = clock
        self._open_stream = open_stream
        self._stream: ShellStream | None = None
        self._pending = b""
        self._closed = False

    def measure(self, deadline: Deadline) -> ClockFix:
        """Probe both clocks and install the result. Raises BridgeTimeout, DeviceGone, CommandFailed."""
        try:
            stream = self._stream or self._open(deadline)
            realtime = self._realtime(stream, deadline)
            boottime = self._boottime(stream, deadline)
        except BaseException:
            # An answer may still be on its way, so the stream cannot be used again.
            self._drop()
            raise
        return self._clock.update(realtime, boottime)

    def close(self) -> None:
        """End the shell and wake a blocked measurement."""
        self._closed = True
        self._drop()

    def _realtime(self, stream: ShellStream, deadline: Deadline) -> list[Reading]:
        answer = b""
        enough = Deadline(deadline.remaining() / 2)
        # mksh has EPOCHREALTIME as a variable; a shell that does not prints an empty line (mksh(1)).
        for command, digits, count in (("echo $EPOCHREALTIME", 6, PROBES), ("date +%s.%N", 0, PROBES // KEPT)):
            readings: list[Reading] = []
            for _ in range(count):
                if len(readings) >= KEPT and enough.passed:
                    # Over a slow way fewer must do: their bound is half of what each took.
                    break
                sent_ns, received_ns, answer = self._ask(stream, command, deadline)
                reading = _reading(sent_ns, received_ns, answer)
                if reading is None or (digits and reading.tick_ns != 10 ** (9 - digits)):
                    readings.clear()
                    break
                readings.append(reading)
            if readings:
                return readings
        raise CommandFailed(self._serial, "read the device's clock", f"answered {answer[:40]!r}")

    def _boottime(self, stream: ShellStream, deadline: Deadline) -> list[Reading]:
        readings: list[Reading] = []
        enough = Deadline(deadline.remaining() / 2)
        for _ in range(BOOT_PROBES):
            if readings and enough.passed:
                break
            sent_ns, received_ns, answer = self._ask(stream, "read u r < /proc/uptime; echo $u", deadline)
            reading = _reading(sent_ns, received_ns, answer, minimum_tick_ns=UPTIME_TICK_NS)
            if reading is None:
                raise CommandFailed(self._serial, "read /proc/uptime", f"answered {answer[:40]!r}")
            readings.append(reading)
        return readings

    def _ask(self, stream: ShellStream, command: str, deadline: Deadline) -> tuple[int, int, bytes]:
        line = command.encode() + b"\n"
        sent_ns = time.monotonic_ns()
        stream.send(line, deadline)
        while b"\n" not in self._pending:
            data = stream.read_some(deadline)
            if not data:
                raise DeviceGone(self._serial, "probe the clock", "the shell ended")
            self._pending += data
            if len(self._pending) > MAX_LINE:
                raise CommandFailed(self._serial, "probe the clock", f"answered {self._pending[:40]!r}")
        received_ns = time.monotonic_ns()
        answer, _, self._pending = self._pending.partition(b"\n")
        return sent_ns, received_ns, answer.strip()

    def _open(self, deadline: Deadline) -> ShellStream:
        stream = self._stream = self._open_stream(SHELL, deadline)
        self._pending = b""
        if self._closed:
            raise DeviceGone(self._serial, "probe the clock", "closed by us")
        return stream

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _reading(sent_ns: int, received_ns: int, answer: bytes, minimum_tick_ns: int = 1) -> Reading | None:
    """A reading from `seconds[.fraction]`, whose digits say how often the clock ticks; None when it is none."""
    match = _NUMBER.match(answer)
    if match is None:
        return None
    fraction = match[2] or b""
    tick_ns = 10 ** (9 - len(fraction))
    device_ns = int(match[1]) * 1_000_000_000 + (int(fraction) * tick_ns if fraction else 0)
    return Reading(sent_ns, received_ns, device_ns, max(tick_ns, minimum_tick_ns))

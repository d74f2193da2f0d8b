"""The clocks of an emulated phone: CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME with a truth that tests can ask for.

All three run on the host's monotonic clock, scaled by the crystal's drift. Any thread may read; one thread (the lab's
loop) changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Course:
    """A straight stretch: boottime = `boot` + (host - `host`) * `rate`."""

    host: int
    boot: int
    rate: float
    wall_offset: int
    slept: int
    sleep_from: int
    sleep_until: int

    def boot_at(self, host: int) -> int:
        return self.boot + (host - self.host) + round((host - self.host) * (self.rate - 1.0))

    def mono_at(self, host: int) -> int:
        asleep = max(0, min(host, self.sleep_until) - self.sleep_from)
        return self.boot_at(host) - self.slept - asleep


class DeviceClock:
    """Wall, monotonic and boot clocks of one phone, in nanoseconds.

    `offset_s` = how far the phone's wall clock is ahead of the host's, `uptime_s` = time since its boot,
    `slept_s` = how much of that it spent in suspend, `drift_ppm` = crystal error against the host.
    """

    def __init__(
        self,
        *,
        offset_s: float = 0.0,
        uptime_s: float = 86_400.0,
        slept_s: float = 3_600.0,
        drift_ppm: float = 0.0,
        host: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._host = host
        now = host()
        boot = round(uptime_s * _SECOND)
        wall = time.time_ns() + round(offset_s * _SECOND)
        self._course = _Course(now, boot, 1.0 + drift_ppm / 1e6, wall - boot, round(slept_s * _SECOND), now, now)
        self._true_offset = wall - boot

    def wall_ns(self) -> int:
        """CLOCK_REALTIME."""
        course = self._course
        return course.boot_at(self._host()) + course.wall_offset

    def mono_ns(self) -> int:
        """CLOCK_MONOTONIC: stands still in suspend."""
        return self._course.mono_at(self._host())

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME: goes on in suspend."""
        return self._course.boot_at(self._host())

    def truth_offset_ns(self) -> int:
        """CLOCK_REALTIME of the phone - CLOCK_MONOTONIC of the host, now and exactly."""
        course, host = self._course, self._host()
        return course.boot_at(host) + course.wall_offset - host

    def truth_boot_offset_ns(self) -> int:
        """CLOCK_BOOTTIME of the phone - CLOCK_MONOTONIC of the host, now and exactly."""
        course, host = self._course, self._host()
        return course.boot_at(host) - host

    def truth_mono_offset_ns(self) -> int:
        """CLOCK_MONOTONIC of the phone - CLOCK_MONOTONIC of the host, now and exactly."""
        course, host = self._course, self._host()
        return course.mono_at(host) - host

    def step(self, seconds: float) -> None:
        """The user or NTP sets the wall clock: it jumps by `seconds`."""
        self._course = replace(self._course, wall_offset=self._course.wall_offset + round(seconds * _SECOND))
        self._true_offset = self._course.wall_offset

    def set_drift(self, ppm: float) -> None:
        """From now on the crystal is `ppm` parts per million fast."""
        self._course = replace(self._rebased(), rate=1.0 + ppm / 1e6)

    def suspend(self, seconds: float) -> None:
        """The phone sleeps for the next `seconds`: monotonic stands, boottime and wall go on."""
        course = self._rebased()
        self._course = replace(course, sleep_until=course.host + round(seconds * _SECOND))

    def wake(self) -> None:
        """The phone's sleep ends now."""
        course = self._rebased()
        self._course = replace(course, sleep_until=course.host)

    @property
    def asleep(self) -> bool:
        return self._host() < self._course.sleep_until

    def reboot(self) -> None:
        """Boottime and monotonic start at 0, the wall clock at 1970 until `synchronise`."""
        self._true_offset += self.boot_ns()
        now = self._host()
        self._course = replace(self._course, host=now, boot=0, wall_offset=0, slept=0, sleep_from=now, sleep_until=now)

    def synchronise(self) -> None:
        """NTP answers after a reboot: the wall clock is right again."""
        self._course = replace(self._course, wall_offset=self._true_offset)

    def _rebased(self) -> _Course:
        course, host = self._course, self._host()
        asleep = max(0, min(host, course.sleep_until) - course.sleep_from)
        return replace(
            course,
            host=host,
            boot=course.boot_at(host),
            slept=course.slept + asleep,
            sleep_from=host,
            sleep_until=max(host, course.sleep_until),
        )

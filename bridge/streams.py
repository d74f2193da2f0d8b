"""The two streams of a device that never end: log entries and touches."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from bridge import eventlog
from bridge.clock import JUMP_NS, DeviceClock
from bridge.deadline import Deadline
from bridge.dumpsys import touch_displays
from bridge.errors import BridgeError, BridgeTimeout, DeviceGone
from bridge.getevent import OVERRUN, Panel, TouchReader, newest_ns, parse_panels
from bridge.logbinary import BinaryReader
from bridge.picture import Display
from bridge.smartsocket import Stream, never
from bridge.types import ClockFix, Gap, LogEntry, Stamp, Touch

BUFFERS = "main,system,crash,events"
READ_EVENTS = frozenset(eventlog.NAMES.values())
OPEN_SECONDS = 10.0
# What `dumpsys input` says of a touch panel that belongs to no display at the moment.
DARK = -1
# More than one panel tells apart: no two fingers have one number.
POINTERS = 64
PROBE_SECONDS = 5.0
# A stamp that does not fit was an app's own, or late, when the clock was found unchanged: a measurement costs the phone
# a shell and twenty answers, so the next such stamp waits for so long.
PROBE_REST_SECONDS = 10.0
# No buffer on the way holds a touch back for longer, and a phone that slept at all did so for longer.
SLEEP_NS = 1_000_000_000
SLEEP_WINDOW_NS = 10_000_000_000
# How much of the log from before the opening is read: what an app said of itself in that time may still hold.
# The caller tells old entries by their stamps.
HISTORY_NS = 300_000_000_000

# The rings are sent in one go. Who has not found the last entry seen after so long a silence, or in so long a time on a
# phone that never is silent, finds it no more.
QUIET_SECONDS = 1.0
PATIENCE_SECONDS = 5.0

# A process of ours on the phone may be ended by somebody, and logd ends a logcat that takes too long to read. Where the
# phone answers, it is begun again after a rest; one that ended soon, after twice as long, and so many times.
ECHO_SECONDS = 1.0
# How soon a rest is ended by `close`.
LOOK_SECONDS = 0.02
REST_SECONDS, SOON_NS, TIMES = 0.2, 5_000_000_000, 2

_T = TypeVar("_T")
OpenStream = Callable[[str, Deadline], Stream]


class _Tail:
    """A device process whose output is read until one side ends it. `close` from any thread, twice."""

    def __init__(self, serial: str, open_stream: OpenStream, clock: DeviceClock) -> None:
        self._serial = serial
        self._open_stream = open_stream
        self._clock = clock
        # When the process before ended, if there was one.
        self._ended: Stamp | None = None
        self._stream: Stream | None = None
        self._closed = False
        self._soon = 0

    def close(self) -> None:
        """End the stream and wake its reader."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def _chunks(self, command: str, waiting: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
        """The output of a command until `close`; a silence comes as b"" while somebody is `waiting`. Raises DeviceGone
        when it ends by itself."""
        if self._closed:
            return
        try:
            with self._open_stream(f"exec:{command}", Deadline(OPEN_SECONDS)) as stream:
                self._stream = stream
                # `close` may have come while the stream was being opened.
                while not self._closed:
                    if waiting() and not stream.readable(Deadline(QUIET_SECONDS)):
                        yield b""
                    elif data := stream.read_some(never()):
                        yield data
                    else:
                        break
        except DeviceGone:
            if not self._closed:
                raise
        if not self._closed:
            raise DeviceGone(self._serial, command, "the stream ended")

    def _repeated(self, told: Callable[[], Iterator[_T]]) -> Iterator[_T]:
        """What is `told` by one process and by those that are begun after it has ended. Raises DeviceGone when the
        device does not answer."""
        while True:
            began_ns = time.monotonic_ns()
            try:
                yield from told()
            except DeviceGone:
                self._ended = self._clock.host.now()
                if not self._begins_again(began_ns):
                    if self._closed:
                        return
                    raise
            else:
                return

    def _begins_again(self, began_ns: int) -> bool:
        """Whether a process that began then and has ended is to be begun again: the device answers. Rests before."""
        self._soon = self._soon + 1 if time.monotonic_ns() - began_ns < SOON_NS else 0
        if self._closed or self._soon > TIMES:
            return False
        deadline = Deadline(ECHO_SECONDS)
        try:
            with self._open_stream("exec:echo", deadline) as stream:
                self._stream = stream
                if self._closed or not stream.read_all(deadline):
                    return False
        except BridgeError:
            return False
        rest = Deadline(REST_SECONDS * 2**self._soon)
        while not self._closed and not rest.passed:
            time.sleep(LOOK_SECONDS)
        return not self._closed


class Logcat(_Tail):
    """The device's log from five minutes ago on, or from `since` on without a repeat. One thread; `close` from any."""

    def __init__(
        self,
        serial: str,
        open_stream: OpenStream,
        clock: DeviceClock,
        probe: Callable[[Deadline], ClockFix],
        since: LogEntry | None = None,
    ) -> None:
        super().__init__(serial, open_stream, clock)
        self._probe = probe
        self._since = since

    def entries(self) -> Iterator[LogEntry | Gap]:
        """Blocks. Ends when closed; raises DeviceGone when the log ended by itself and the device does not answer."""
        yield from self._repeated(self._entries)

    def _entries(self) -> Iterator[LogEntry | Gap]:
        """Those of one logcat."""
        clock = self._clock
        device_now_ns = clock.host.now().mono_ns + clock.fix.offset_ns
        since = self._since
        if since is not None and since.time_ns > device_now_ns + JUMP_NS:
            # The device's clock went back (a reboot, before the network set it), or `since` bears a stamp of the
            # future: what came after it is told by where it stands, not by when.
            command = f"logcat -B -b {BUFFERS}"
        else:
            start_ns = max(0, device_now_ns - HISTORY_NS) if since is None else since.time_ns
            seconds, nanoseconds = divmod(start_ns, 1_000_000_000)
            command = f"logcat -B -b {BUFFERS} -T '{seconds}.{nanoseconds // 1000:06d}'"
        reader = BinaryReader(clock.wall)
        resume = Resume(since)
        last_ns = 0
        last: Stamp | None = None
        # Whether a stamp did not fit since the clock was measured, and that of the last entry before.
        odd, rest = False, Deadline(0)
        certain: Stamp | None = None
        patience: Deadline | None = None
        for chunk in self._chunks(command, lambda: resume.waits):
            latest_ns = clock.host.now().mono_ns + clock.fix.offset_ns + JUMP_NS
            restamp = False
            for entry in reader.feed(chunk):
                if isinstance(entry, Gap):
                    yield entry
                    continue
                if entry.buffer == "events" and entry.tag not in READ_EVENTS:
                    # The system writes more there than all apps write elsewhere.
                    continue
                ahead = entry.time_ns > latest_ns
                if not restamp and not odd and (ahead or entry.time_ns < last_ns - JUMP_NS):
                    odd, certain = True, last
                if odd and rest.passed:
                    # The clock was set between this entry and the one before: measure it, and stamp the rest anew.
                    fix = None
                    # On a phone that has no time for that, what was measured before goes on to hold.
                    with contextlib.suppress(BridgeTimeout):
                        fix = self._probe(Deadline(PROBE_SECONDS))
                    odd, restamp = fix is None, fix is not None
                    rest = Deadline(PROBE_REST_SECONDS)
                    if fix is not None and fix.jump_ns:
                        rest = Deadline(0)
                        yield fix.gap(fix.stamp if certain is None else certain)
                last_ns = entry.time_ns
                if restamp:
                    entry = replace(entry, stamp=clock.wall(entry.time_ns))
                last = entry.stamp
                yield from self._told(resume.sift(entry, ahead))
            if resume.waits:
                patience = patience or Deadline(PATIENCE_SECONDS)
                if not chunk or patience.passed:
                    yield from self._told(resume.give_up(clock.host.now()))

    def _told(self, items: Iterator[LogEntry | Gap]) -> Iterator[LogEntry | Gap]:
        """The same; a logcat that is begun again goes on after the last of them."""
        for item in items:
            yield item
            if isinstance(item, LogEntry):
                self._since = item


class Getevent(_Tail):
    """The fingers on the phone's touch panel, from now on. One thread; `close` from any.

    Touches that programs inject do not pass the panel and are not seen.
    """

    def __init__(self, serial: str, open_stream: OpenStream, clock: DeviceClock, display: Display) -> None:
        super().__init__(serial, open_stream, clock)
        self._display = display

    def touches(self) -> Iterator[Touch | Gap]:
        """Blocks. Ends when closed; raises DeviceGone when the stream ended by itself and the device does not answer,
        BridgeTimeout when the device does not list its panels, CommandFailed when it lists without end.

        A device without a touch panel that may be read gives one Gap and no more.
        """
        yield from self._repeated(self._touches)

    def _touches(self) -> Iterator[Touch | Gap]:
        """Those of one getevent."""
        panels = self._panels()
        if self._closed:
            return
        if not panels:
            now = self._clock.host.now()
            yield Gap(now, now, "touch", "no touch panel", "the device shows none that may be read")
            return
        turned = [panel for panel in panels if panel.turned(self._display.natural)]
        if turned:
            now = self._clock.host.now()
            names = ", ".join(panel.name for panel in turned)
            yield Gap(now, now, "touch", "panel across the screen", f"{names}: which way round is not known")
            return
        uptime = Uptime(self._clock)
        readers = [
            TouchReader(
                panel, lambda: self._display.natural, lambda: self._display.rotation, uptime.stamp, POINTERS * number
            )
            for number, panel in enumerate(panels)
        ]
        # With several panels (one each side of a fold) the lines name the one that they are of.
        which = f" {panels[0].path}" if len(panels) == 1 else ""
        if self._ended is not None:
            # A finger that was down may be up by now, and another one down.
            yield Gap(self._ended, self._clock.host.now(), "touch", OVERRUN, "getevent ended on the phone")
        for chunk in self._chunks(f"getevent -lt{which}"):
            latest_ns = newest_ns(chunk)
            if latest_ns is not None:
                uptime.arrived(latest_ns)
            found = [item for reader in readers for item in reader.feed(chunk)]
            yield from found if len(readers) == 1 else sorted(found, key=_when)

    def _panels(self) -> tuple[Panel, ...]:
        """Read once which panels there are for this display."""
        panels = parse_panels(self._said("getevent -lp"))
        number = self._display.id
        if len(panels) < 2 and number == 0:
            return panels
        belongs = touch_displays(self._said("dumpsys input"))
        # A panel that is of no display now is the dark side of a fold: it becomes the default one's when that turns.
        either = (number,) if number else (0, DARK)
        mine = tuple(panel for panel in panels if belongs.get(panel.path) in either)
        if mine or number != 0:
            return mine
        # Nobody says whose they are: those that follow several fingers are the screen's, a pen's is not.
        several = tuple(panel for panel in panels if _follows(panel) == _follows(panels[0]))
        return several if _follows(panels[0]) else several[:1]

    def _said(self, command: str) -> str:
        """The whole output of a command; "" once this is closed."""
        if self._closed:
            return ""
        deadline = Deadline(OPEN_SECONDS)
        try:
            with self._open_stream(f"exec:{command}", deadline) as stream:
                self._stream = stream
                # `close` may have come while the stream was being opened.
                said = b"" if self._closed else stream.read_all(deadline)
        except DeviceGone:
            if not self._closed:
                raise
            return ""
        return said.decode("utf-8", "replace")


def _when(item: Touch | Gap) -> Stamp:
    return item.end if isinstance(item, Gap) else item.stamp


def _follows(panel: Panel) -> bool:
    return panel.slot is not None or panel.lists


class Uptime:
    """Maps the device's CLOCK_MONOTONIC, which stands still while it sleeps, by way of its CLOCK_BOOTTIME.

    No shell command reads CLOCK_MONOTONIC. While touches arrive later than CLOCK_BOOTTIME explains, the least delay of
    the last ten seconds is taken for what the phone has slept since it booted.
    """

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self._delays: deque[tuple[int, int]] = deque()

    def arrived(self, monotonic_ns: int) -> None:
        """The newest reading that has just come."""
        now_ns = self._clock.host.now().mono_ns
        self._delays.append((now_ns, now_ns + self._clock.fix.boot_offset_ns - monotonic_ns))
        while self._delays[0][0] < now_ns - SLEEP_WINDOW_NS:
            self._delays.popleft()

    def stamp(self, monotonic_ns: int) -> Stamp:
        """The stamp of a CLOCK_MONOTONIC reading."""
        delay_ns = min((delay for _, delay in self._delays), default=0)
        return self._clock.boot(monotonic_ns + (delay_ns if delay_ns > SLEEP_NS else 0))


class Resume:
    """Drops what was seen before a loss, and says when the log no longer reaches back that far.

    The log is told in the order in which it was written. What was written is held back until the last entry seen comes:
    a clock that was set back in between makes what is older look newer.
    """

    def __init__(self, since: LogEntry | None) -> None:
        self._since = since
        self._held: list[LogEntry] = []

    @property
    def waits(self) -> bool:
        """Whether entries are held back."""
        return bool(self._held)

    def sift(self, entry: LogEntry, ahead: bool = False) -> Iterator[LogEntry | Gap]:
        """What is left of an entry and of those held back before it. `ahead` = the device's clock does not show its
        time yet: it was written before that was set back."""
        since = self._since
        if since is None:
            yield entry
        elif entry.time_ns == since.time_ns and _same(entry, since):
            self._since = None
            self._held = []
        elif ahead and entry.time_ns < since.time_ns:
            # By the clock of before: seen.
            return
        elif ahead or entry.time_ns <= since.time_ns:
            self._held.append(entry)
        else:
            self._held.append(entry)
            yield from self.give_up(entry.stamp)

    def give_up(self, now: Stamp) -> Iterator[LogEntry | Gap]:
        """The last entry seen does not come: a gap, and what was held back, without what is from before that entry."""
        since = self._since
        if since is None:
            return
        # Those of a lesser time are of a clock that was set back, or of a slower ring and were seen.
        held = [entry for entry in self._held if entry.time_ns >= since.time_ns or entry.stamp >= since.stamp]
        self._since = None
        self._held = []
        first = max(since.stamp, held[0].stamp if held else now)
        yield Gap(since.stamp, first, "log", "overwritten", "the log no longer held the last entry seen")
        yield from held


def _same(one: LogEntry, other: LogEntry) -> bool:
    return (one.pid, one.tid, one.tag, one.message) == (other.pid, other.tid, other.tag, other.message)

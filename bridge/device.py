"""One Android device: its facts, its sources, its clocks, behind `bridge.ports.Device`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bridge import dumpsys, picture
from bridge.adb import AdbShell
from bridge.clock import ClockProbe, DeviceClock
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    DeviceBusy,
    FrameMalformed,
    ScreenBlocked,
    StreamRestarting,
)
from bridge.picture import Display
from bridge.ports import HierarchySource, ScreenSource
from bridge.streams import Getevent, Logcat
from bridge.types import ClockFix, DeviceInfo, Foreground, Frame, LogEntry, Size
from bridge.uia import UiaServer

FAILURES = 3
# How long a source that failed is left alone; each failure of the same source that follows doubles it.
RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 960.0
# A stream has this long to its first picture, and for a new beginning.
TRIAL_SECONDS = 20.0
RESTART_SECONDS = 5.0
# A picture that is asked for and takes longer than this is late; what takes less is tried instead.
SLOW_NS = 350_000_000
MEASURED = 3
# After a picture that did not come in time the next one is preceded by a question that is answered at once.
ECHO_SECONDS = 0.4
# An encoded picture of one colour is a fraction of any other (36 pixels to a byte in a JPEG without subsampling): only
# such a small one is decoded to see if it is black.
PIXELS_PER_BYTE = 32

MakeSource = Callable[[], ScreenSource]


@dataclass(slots=True)
class _Rest:
    """How long a source that failed is left alone."""

    until_ns: int = 0
    seconds: float = RETRY_SECONDS
    told: str = ""

    def begin(self) -> None:
        self.until_ns = time.monotonic_ns() + int(self.seconds * 1e9)
        self.seconds = min(2 * self.seconds, LONGEST_RETRY_SECONDS)

    @property
    def over(self) -> bool:
        return time.monotonic_ns() >= self.until_ns


@dataclass(slots=True)
class _Trial:
    """A stream at work: one that has not served yet is on trial, and a polled source gives the pictures meanwhile."""

    index: int
    source: ScreenSource
    began_ns: int
    serving: bool = False
    failures: int = 0
    restarting_ns: int = 0


class Screen:
    """Several screen sources behind one: the best that works, changed while it runs. `run` belongs to one thread,
    `capture` to another, `close` to any.

    `streams` make sources that are sent pictures, best first: each is tried, while a polled one serves, and takes over
    with its first picture. `polled` are asked, best first; one that is late (a raw picture is 10 MB, 0.3 s over USB 2)
    makes room for a quicker one. What fails three times in a row, or ends, makes room for the next, and is tried again
    after a minute. A picture of another size than the screen's, or an all-black one (a secure window, a screen that is
    off), is an error, so that nobody takes it for what was shown.
    """

    def __init__(
        self,
        shell: AdbShell,
        display: Display,
        polled: tuple[ScreenSource, ...],
        streams: tuple[MakeSource, ...] = (),
    ) -> None:
        self._shell = shell
        self._display = display
        self._polled = polled
        self._streams = streams
        self._trial: _Trial | None = None
        self._stream_rests = [_Rest() for _ in streams]
        self._rests = [_Rest() for _ in polled]
        self._failures = [0] * len(polled)
        self._taken_ns: list[deque[int]] = [deque(maxlen=MEASURED) for _ in polled]
        self._seen = 0
        self._hung = False
        self._closed = False
        self.name = polled[0].name

    def run(self) -> None:
        """Run the best stream that is not at rest, until it ends; return at once when there is none. Raises
        DeviceGone."""
        index = self._due(len(self._streams))
        # One that has ended stays until whoever captures has been told why.
        if index is None or self._closed or self._trial is not None:
            return
        trial = _Trial(index, self._streams[index](), time.monotonic_ns())
        self._trial = trial
        if self._closed:
            trial.source.close()
        trial.source.run()

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture. Raises CaptureFailed, BridgeTimeout, DeviceGone."""
        trial = self._trial
        if trial is not None:
            frame = self._streamed(trial, deadline)
            if frame is not None:
                return frame
        at = self._choose()
        source = self._polled[at]
        self.name = source.name
        try:
            if self._hung:
                self._shell.exec("echo", Deadline(min(ECHO_SECONDS, deadline.remaining())))
                self._hung = False
            frame = source.capture(deadline)
            self._check(frame, deadline)
        except ScreenBlocked:
            if at and not self._taken_ns[at]:
                # One that was chosen for its speed and has never given a picture: another says whether there is none.
                self._rests[at].begin()
            raise
        except (CaptureFailed, BridgeTimeout, DeviceBusy) as error:
            # One source after the other would hang: none of them is to blame until the device answers.
            if not self._hung:
                self._fail(at, error)
            self._hung = isinstance(error, BridgeTimeout)
            if isinstance(error, DeviceBusy):
                raise CaptureFailed(error.serial, error.op, error.detail) from error
            raise
        self._failures[at] = 0
        self._rests[at] = _Rest()
        self._taken_ns[at].append(2 * frame.bound_ns)
        return frame

    def close(self) -> None:
        """End the stream and wake `run`, and a picture that is asked for elsewhere than by adb; the device ends the
        rest of what is under way."""
        self._closed = True
        for source in self._polled:
            source.close()
        if self._trial is not None:
            self._trial.source.close()

    def _streamed(self, trial: _Trial, deadline: Deadline) -> Frame | None:
        """The stream's picture; None while it is on trial and has none."""
        if trial.serving and self._due(trial.index) is not None:
            # A better one may work again: it is tried while a polled source serves.
            self._drop(trial)
            return None
        try:
            frame = trial.source.capture(deadline)
            trial.serving, self.name = True, trial.source.name
            self._check(frame, deadline)
        except ScreenBlocked:
            raise
        except StreamRestarting as error:
            now_ns = time.monotonic_ns()
            if not trial.serving:
                if now_ns - trial.began_ns > TRIAL_SECONDS * 1e9:
                    self._give_up(trial, error)
                return None
            trial.restarting_ns = trial.restarting_ns or now_ns
            if now_ns - trial.restarting_ns > RESTART_SECONDS * 1e9:
                self._give_up(trial, error)
            raise
        except (CaptureFailed, BridgeTimeout) as error:
            trial.failures += 1
            if trial.failures >= FAILURES or not isinstance(error, FrameMalformed):
                self._give_up(trial, error)
            if not trial.serving:
                return None
            raise
        trial.failures = trial.restarting_ns = 0
        if time.monotonic_ns() - trial.began_ns > RETRY_SECONDS * 1e9:
            self._stream_rests[trial.index] = _Rest()
        return frame

    def _give_up(self, trial: _Trial, error: BridgeError) -> None:
        """Let a stream rest. The reason is told once, and again when it is another."""
        rest = self._stream_rests[trial.index]
        rest.begin()
        self._drop(trial)
        if error.detail != rest.told:
            rest.told = error.detail
            raise error

    def _drop(self, trial: _Trial) -> None:
        self._trial = None
        trial.source.close()

    def _due(self, end: int) -> int | None:
        """The first of the streams before `end` that is not at rest."""
        return next((index for index in range(end) if self._stream_rests[index].over), None)

    def _choose(self) -> int:
        """The polled source to ask: the first that is in time, or the quickest, of those not at rest."""
        ready = [at for at, rest in enumerate(self._rests) if rest.over]
        if not ready:
            return min(range(len(self._polled)), key=lambda at: self._rests[at].until_ns)
        return min(ready, key=lambda at: (self._late_ns(at), at))

    def _late_ns(self, at: int) -> int:
        """How long a source takes when that is too long, else 0. The quickest of a few counts: a host has hiccups."""
        taken = self._taken_ns[at]
        quickest = min(taken) if len(taken) == MEASURED else 0
        return quickest if quickest > SLOW_NS else 0

    def _fail(self, at: int, error: BridgeError) -> None:
        self._failures[at] += 1
        if self._failures[at] >= FAILURES or isinstance(error, DeviceBusy):
            # The next time it is tried, one failure is enough.
            self._failures[at] = FAILURES - 1
            self._rests[at].begin()
            self.name = self._polled[self._choose()].name

    def _check(self, frame: Frame, deadline: Deadline) -> None:
        serial = self._shell.serial
        if not self._fits(frame.screen):
            # A fold or `wm size` changes the screen while we look.
            at_default = self._display.id == 0
            natural = dumpsys.size(self._shell.text("wm size", deadline)) if at_default else None
            self._shell.settle(self._display, natural, deadline)
            if not self._fits(frame.screen):
                size = f"{frame.screen.width}x{frame.screen.height}"
                raise FrameMalformed(serial, self.name, f"a picture of {size} is not of this screen")
        if frame.digest == self._seen:
            return
        area = frame.size.width * frame.size.height
        plain = frame.media_type in ("image/x-rgba", "image/x-i420")
        if (plain or len(frame.data) * PIXELS_PER_BYTE < area) and picture.is_black(frame):
            raise ScreenBlocked(serial, self.name, self._why_black(deadline))
        self._seen = frame.digest

    def _why_black(self, deadline: Deadline) -> str:
        panel = self._display.physical
        if panel:
            # The panel that was lit is dark when a fold was shut or opened: the next picture is of the other one.
            self._shell.settle(self._display, None, deadline)
        if self._display.physical != panel:
            return "all black: the phone was folded, another panel is lit now"
        return "all black: a secure window, or the screen is off"

    def _fits(self, size: Size) -> bool:
        natural = self._display.natural
        return size in (natural, Size(natural.height, natural.width))


class AndroidDevice:
    """A device that `bridge.registry` opened. Each source belongs to one thread; `close` to any, twice."""

    def __init__(
        self,
        info: DeviceInfo,
        shell: AdbShell,
        clock: DeviceClock,
        probe: ClockProbe,
        display: Display,
        server: UiaServer,
        screen: ScreenSource,
        hierarchy: HierarchySource,
    ) -> None:
        self._info = info
        self.shell = shell
        self.clock = clock
        self._probe = probe
        self._display = display
        self.server = server
        self._screen = screen
        self._hierarchy = hierarchy
        self._tails: list[Logcat | Getevent] = []

    @property
    def serial(self) -> str:
        return self._info.serial

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def received(self) -> int:
        return self.shell.socket.received

    def screen(self) -> ScreenSource:
        return self._screen

    def hierarchy(self) -> HierarchySource:
        return self._hierarchy

    def log(self, since: LogEntry | None = None) -> Logcat:
        """The log from a few minutes ago on, or after `since`."""
        log = Logcat(self.serial, self.shell.stream, self.clock, self._fresh_fix, since)
        self._tails.append(log)
        return log

    def touch(self) -> Getevent:
        """The fingers on the glass, from now on."""
        touch = Getevent(self.serial, self.shell.stream, self.clock, self._display)
        self._tails.append(touch)
        return touch

    def step_aside(self, whom: str) -> None:
        """Let somebody else have UiAutomation: no view trees until it is "", nobody. Any thread."""
        self.server.step_aside(whom)

    def clock_fix(self, deadline: Deadline) -> ClockFix:
        """Measure the clocks now and use the result for all later stamps."""
        return self._probe.measure(deadline)

    def foreground(self, deadline: Deadline) -> Foreground:
        """The app in front, the keyboard, the rotation."""
        return self.shell.foreground(self.clock.host, self._display, deadline)

    def package_uid(self, package: str, deadline: Deadline) -> int | None:
        """The uid of an installed package, None when it is not installed."""
        return self.shell.package_uid(package, deadline)

    def close(self) -> None:
        """End every source and call, and stop what was started on the device."""
        self._screen.close()
        for tail in self._tails:
            tail.close()
        self._probe.close()
        self.server.close()
        self.shell.socket.close()

    def _fresh_fix(self, deadline: Deadline) -> ClockFix:
        """A fix on a shell of its own, for a thread that does not own the probe."""
        probe = ClockProbe(self.serial, self.clock, self.shell.stream)
        try:
            return probe.measure(deadline)
        finally:
            probe.close()

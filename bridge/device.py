"""One Android device: its facts, its sources, its clocks, behind `bridge.ports.Device`."""

from __future__ import annotations

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
)
from bridge.picture import Display
from bridge.ports import HierarchySource, ScreenSource
from bridge.streams import Getevent, Logcat
from bridge.types import ClockFix, DeviceInfo, Foreground, Frame, LogEntry, Size
from bridge.uia import UiaServer

FAILURES = 3
# An encoded picture of one colour is a fraction of any other (36 pixels to a byte in a JPEG without subsampling): only
# such a small one is decoded to see if it is black.
PIXELS_PER_BYTE = 32


class Screen:
    """The first of several screen sources that works. One thread.

    A source that fails three times in a row makes room for the next. A picture of another size than the screen's, or an
    all-black one (a secure window, a screen that is off), is an error, so that nobody takes it for what was shown.
    """

    def __init__(self, shell: AdbShell, display: Display, sources: tuple[ScreenSource, ...]) -> None:
        self._shell = shell
        self._display = display
        self._sources = sources
        self._at = 0
        self._failures = 0
        self.name = sources[0].name

    def run(self) -> None:
        """Take in what the source of the moment is sent. Raises DeviceGone."""
        self._sources[self._at].run()

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture. Raises CaptureFailed, BridgeTimeout, DeviceGone."""
        try:
            frame = self._sources[self._at].capture(deadline)
            self._check(frame, deadline)
        except ScreenBlocked:
            raise
        except (CaptureFailed, BridgeTimeout, DeviceBusy) as error:
            self._fail(error)
            if isinstance(error, DeviceBusy):
                raise CaptureFailed(error.serial, error.op, error.detail) from error
            raise
        self._failures = 0
        return frame

    def close(self) -> None:
        """The device ends what is under way."""

    def _fail(self, error: BridgeError) -> None:
        self._failures += 1
        if self._failures >= FAILURES or isinstance(error, DeviceBusy):
            self._failures = 0
            self._at = (self._at + 1) % len(self._sources)
            self.name = self._sources[self._at].name

    def _check(self, frame: Frame, deadline: Deadline) -> None:
        serial = self._shell.serial
        if not self._fits(frame.screen):
            # A fold or `wm size` changes the screen while we look.
            self._display.natural = dumpsys.size(self._shell.text("wm size", deadline)) or self._display.natural
            if not self._fits(frame.screen):
                size = f"{frame.screen.width}x{frame.screen.height}"
                raise FrameMalformed(serial, self.name, f"a picture of {size} is not of this screen")
        area = frame.size.width * frame.size.height
        maybe_black = frame.media_type == "image/x-rgba" or len(frame.data) * PIXELS_PER_BYTE < area
        if maybe_black and picture.is_black(picture.decode(frame)):
            raise ScreenBlocked(serial, self.name, "all black: a secure window, or the screen is off")

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

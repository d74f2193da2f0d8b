"""What a device is to the rest of the product: protocols only.

Life cycle of every source: the constructor assigns, `open` of the device makes it work, one thread owns it, `close()`
may be called from any thread, twice, and wakes a blocked call (which then raises `DeviceGone` or ends the iteration).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from bridge.deadline import Deadline
from bridge.types import ClockFix, DeviceInfo, Foreground, Frame, Gap, Hierarchy, LogEntry, Stamp, Touch, Trace


class Clock(Protocol):
    """The host's clock: one wall reading at start, monotonic after that."""

    def now(self) -> Stamp: ...


class ScreenSource(Protocol):
    """Pictures of the whole screen, the newest at each call. `name` goes into the manifest.

    A polled source asks the device at each call. A streaming one is sent pictures whenever the screen changes, and
    `run` takes them in on a thread of its own; `capture` then gives the newest, stamped with when the screen began to
    show it, and the same one again (same digest) as long as nothing changed. A picture is under way for `2 * bound_ns`
    of the newest one at most: for so long the screen may have shown something else.
    """

    name: str

    def run(self) -> None:
        """Take in what the device sends until this source is closed or another takes over; a polled one returns at
        once. Raises DeviceGone."""
        ...

    def capture(self, deadline: Deadline) -> Frame:
        """Take one picture. Raises CaptureFailed, BridgeTimeout, DeviceGone."""
        ...

    def close(self) -> None: ...


class HierarchySource(Protocol):
    """View trees of all windows on the default display."""

    name: str

    def dump(self, deadline: Deadline) -> Hierarchy:
        """Take one dump. Raises CaptureFailed, DeviceBusy, BridgeTimeout, DeviceGone."""
        ...

    def close(self) -> None: ...


class LogSource(Protocol):
    """Log entries as they come, from `since` on; a lost stretch comes as a Gap in its place."""

    def entries(self) -> Iterator[LogEntry | Gap]:
        """Blocks. Ends when closed; raises BridgeError when the stream broke."""
        ...

    def close(self) -> None: ...


class TouchSource(Protocol):
    """Fingers on the glass."""

    def touches(self) -> Iterator[Touch | Gap]:
        """Blocks. Ends when closed, or after a Gap when the device has no touch panel; raises BridgeError when the
        stream broke."""
        ...

    def close(self) -> None: ...


class Notebook(Protocol):
    """Where it is noted what is changed on devices, durably and before it is. Any thread."""

    def made(self, serial: str, trace: Trace) -> None:
        """This is about to be changed."""
        ...

    def undone(self, serial: str, trace: Trace) -> None:
        """It is as it was."""
        ...

    def left(self, serial: str) -> tuple[Trace, ...]:
        """What runs of before changed and did not undo."""
        ...

    def ours(self, serial: str) -> tuple[Trace, ...]:
        """What this run changed."""
        ...


class Device(Protocol):
    """One open device: facts about it, its sources, its clocks."""

    @property
    def serial(self) -> str: ...

    @property
    def info(self) -> DeviceInfo: ...

    @property
    def received(self) -> int:
        """Bytes that came from the device over adb since it was opened. Any thread."""
        ...

    def screen(self) -> ScreenSource: ...

    def hierarchy(self) -> HierarchySource: ...

    def log(self, since: LogEntry | None = None) -> LogSource:
        """`since` = the last entry seen before a loss: the stream resumes after it, without a repeat.

        Without it the stream begins with what was logged in the last minutes: old entries are known by their stamps.
        """
        ...

    def touch(self) -> TouchSource: ...

    def step_aside(self, whom: str) -> None:
        """Let somebody else have UiAutomation, of which there is one: dumps raise DeviceBusy until it is "", nobody.
        Any thread."""
        ...

    def clock_fix(self, deadline: Deadline) -> ClockFix:
        """Measure the clocks now and use the result for all later stamps."""
        ...

    def foreground(self, deadline: Deadline) -> Foreground: ...

    def package_uid(self, package: str, deadline: Deadline) -> int | None:
        """The uid of an installed package, None when it is not installed."""
        ...

    def close(self) -> None: ...

"""A device with no adb behind it: the whole of `bridge.ports.Device`, driven by a test."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

import xxhash

from bridge.deadline import Deadline
from bridge.errors import BridgeError, DeviceGone
from bridge.types import (
    Bounds,
    ClockFix,
    DeviceInfo,
    Foreground,
    Frame,
    Gap,
    Hierarchy,
    LogEntry,
    Node,
    NodeFlag,
    Size,
    Stamp,
    Touch,
)

APP = "com.example.shop"
UID = 10123
SIZE = Size(120, 240)


class FakeDevice:
    """One open device. `say` and `tap` feed its streams; `lose` breaks it as an unplugged cable does.

    `picture` makes the fill byte of the next frame; each of `failing_pictures` is raised once instead.
    """

    def __init__(self, serial: str, now: Callable[[], Stamp]) -> None:
        self._serial = serial
        self._now = now
        self._changed = threading.Condition()
        self._entries: deque[LogEntry | Gap] = deque()
        self._touches: deque[Touch | Gap] = deque()
        self._end: BridgeError | None = None
        self.closed = False
        self.since: LogEntry | None = None
        self.picture: Callable[[], int] = lambda: 40
        self.failing_pictures: deque[BridgeError] = deque()
        self.panel = True
        self.foreground_error: BridgeError | None = None
        # What is in front when it is asked for, before the app is.
        self.fronts: list[str] = []
        self.activity = ".MainActivity"
        self.asked = 0
        self.uid = UID
        # Which app is installed is never answered.
        self.hangs = False
        self.captures = 0
        self.screens = _Screen(self)
        self.trees = _Trees(self)
        self.boot_id = "boot"
        self.received = 0
        self.aside: list[str] = []

    @property
    def serial(self) -> str:
        return self._serial

    @property
    def info(self) -> DeviceInfo:
        return DeviceInfo(self._serial, "Fake", "Nobody", "14", 34, SIZE, 160, 0, self.boot_id)

    def say(self, item: LogEntry | Gap) -> None:
        with self._changed:
            self._entries.append(item)
            self._changed.notify_all()

    def tap(self, item: Touch | Gap) -> None:
        with self._changed:
            self._touches.append(item)
            self._changed.notify_all()

    def lose(self, detail: str = "unplugged") -> None:
        with self._changed:
            self._end = DeviceGone(self._serial, "read", detail)
            self._changed.notify_all()

    def check(self) -> None:
        with self._changed:
            if self._end is not None:
                raise self._end
            if self.closed:
                raise DeviceGone(self._serial, "read", "closed")

    def step_aside(self, whom: str) -> None:
        self.aside.append(whom)

    def screen(self) -> _Screen:
        return self.screens

    def hierarchy(self) -> _Trees:
        return self.trees

    def log(self, since: LogEntry | None = None) -> _Log:
        self.since = since
        return _Log(self)

    def touch(self) -> _Touches:
        return _Touches(self)

    def clock_fix(self, deadline: Deadline) -> ClockFix:
        self.check()
        return ClockFix(self._now(), 0, 1_000_000, 0, 1_000_000)

    def foreground(self, deadline: Deadline) -> Foreground:
        self.check()
        if self.foreground_error is not None:
            raise self.foreground_error
        self.asked += 1
        return Foreground(self._now(), self.fronts.pop(0) if self.fronts else APP, self.activity, False, 0)

    def package_uid(self, package: str, deadline: Deadline) -> int | None:
        with self._changed:
            self.asked += self.hangs
            self._changed.wait_for(lambda: not self.hangs or self.closed, deadline.remaining())
        self.check()
        return self.uid if package == APP else None

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def take(self, queue: deque[LogEntry | Gap] | deque[Touch | Gap]) -> LogEntry | Touch | Gap | None:
        """The next of a stream; None once closed."""
        with self._changed:
            while True:
                if self._end is not None:
                    raise self._end
                if queue:
                    return queue.popleft()
                if self.closed:
                    return None
                self._changed.wait()

    def entries_left(self) -> deque[LogEntry | Gap]:
        return self._entries

    def touches_left(self) -> deque[Touch | Gap]:
        return self._touches

    def stamp(self) -> Stamp:
        return self._now()


class _Screen:
    name = "fake"

    def __init__(self, device: FakeDevice) -> None:
        self._device = device

    def run(self) -> None: ...

    def capture(self, deadline: Deadline) -> Frame:
        device = self._device
        device.check()
        if device.failing_pictures:
            raise device.failing_pictures.popleft()
        device.captures += 1
        data = bytes((device.picture(), 90, 90, 255)) * (SIZE.width * SIZE.height)
        digest = xxhash.xxh3_64_intdigest(data)
        return Frame(device.stamp(), 1_000_000, SIZE, SIZE, 0, "image/x-rgba", data, digest, self.name)

    def close(self) -> None: ...


class _Trees:
    name = "fake"

    def __init__(self, device: FakeDevice) -> None:
        self._device = device

    def dump(self, deadline: Deadline) -> Hierarchy:
        self._device.check()
        root = Node(
            Bounds(0, 0, SIZE.width, SIZE.height),
            "android.widget.FrameLayout",
            package=APP,
            flags=NodeFlag.VISIBLE | NodeFlag.ENABLED,
        )
        return Hierarchy(self._device.stamp(), 1_000_000, 0, (root,), 1)

    def close(self) -> None: ...


class _Log:
    def __init__(self, device: FakeDevice) -> None:
        self._device = device

    def entries(self) -> Iterator[LogEntry | Gap]:
        while (item := self._device.take(self._device.entries_left())) is not None:
            if not isinstance(item, Touch):
                yield item

    def close(self) -> None:
        self._device.close()


class _Touches:
    def __init__(self, device: FakeDevice) -> None:
        self._device = device

    def touches(self) -> Iterator[Touch | Gap]:
        if not self._device.panel:
            now = self._device.stamp()
            yield Gap(now, now, "touch", "no touch panel")
            return
        while (item := self._device.take(self._device.touches_left())) is not None:
            if not isinstance(item, LogEntry):
                yield item

    def close(self) -> None:
        self._device.close()

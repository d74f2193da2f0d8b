"""The facts that a device yields, as frozen values. Nothing here does I/O or reads a clock.

Units: times in nanoseconds where the name ends in `_ns`, epoch milliseconds where it ends in `_ms`; lengths in screen
pixels of the current rotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Literal, NamedTuple

MAX_SIDE = 16_384
MAX_PIXELS = 1 << 26

Rotation = Literal[0, 1, 2, 3]
MediaType = Literal["image/x-rgba", "image/x-i420", "image/png", "image/jpeg"]
Level = Literal["V", "D", "I", "W", "E", "F", "S"]
TouchKind = Literal["down", "move", "up", "cancel"]
# A value of the event log; lists may lie in lists.
EventValue = int | float | str | tuple["EventValue", ...]


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """An instant on the host. Order by `mono_ns` (host monotonic clock), publish `wall_ms` (epoch milliseconds).

    `bound_ns`: how far it may be from when it happened, as far as clocks are to blame; 0 for the host's own.
    """

    mono_ns: int
    wall_ms: int = field(compare=False)
    bound_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def possible(self) -> bool:
        """Whether a screen or a picture can have these sides: none is 0, and memory is set aside for so many pixels."""
        width, height = self.width, self.height
        return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS


# Made, compared and hashed by the thousand for each picture: a tuple is that in a quarter of a frozen dataclass's time.
class Bounds(NamedTuple):
    """A rectangle in screen pixels: left and top inside, right and bottom outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return max(0, self.right - self.left)

    @property
    def height(self) -> int:
        return max(0, self.bottom - self.top)

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def empty(self) -> bool:
        return self.right <= self.left or self.bottom <= self.top

    def intersect(self, other: Bounds) -> Bounds:
        """The common part; `empty` when there is none."""
        return Bounds(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def union(self, other: Bounds) -> Bounds:
        """The smallest rectangle that holds both."""
        return Bounds(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def grown(self, side: int, up: int, down: int) -> Bounds:
        """One that reaches so much further to both sides, up and down."""
        return Bounds(self.left - side, self.top - up, self.right + side, self.bottom + down)

    def contains(self, x: float, y: float) -> bool:
        return self.left <= x < self.right and self.top <= y < self.bottom


@dataclass(frozen=True, slots=True)
class Frame:
    """One screen image as bytes.

    `stamp` is the middle of the request bracket and `bound_ns` half its length: the picture was taken within
    stamp ± bound. `digest` is xxh3_64 of `data`. `size` is the picture's, `screen` the screen's in the same rotation:
    a video is smaller than what it shows. For "image/x-rgba" the data are rows of width x 4 bytes without padding or
    header; for "image/x-i420" they are the planes Y, U and V (BT.601, video range, both sides even) without padding.
    `origin` is where its first pixel was in the coded picture, whose blocks begin there at multiples of their side.
    """

    stamp: Stamp
    bound_ns: int
    size: Size
    screen: Size
    rotation: Rotation
    media_type: MediaType
    data: bytes | bytearray | memoryview
    digest: int
    source: str
    origin: tuple[int, int] = (0, 0)


class NodeFlag(IntFlag):
    """Boolean attributes of a view node that the product reads."""

    NONE = 0
    CHECKABLE = 1
    CHECKED = 2
    CLICKABLE = 4
    ENABLED = 8
    FOCUSABLE = 16
    FOCUSED = 32
    SCROLLABLE = 64
    LONG_CLICKABLE = 128
    PASSWORD = 256
    SELECTED = 512
    VISIBLE = 1024

    def has(self, flags: NodeFlag) -> bool:
        """Whether one of `flags` is set: what `&` says, ten times faster, and it is asked of every view."""
        return int.__and__(self, flags) != 0


@dataclass(frozen=True, slots=True)
class Node:
    """One view of the hierarchy. Bounds are in the pixels of the hierarchy's rotation."""

    bounds: Bounds
    cls: str
    resource_id: str = ""
    text: str = ""
    desc: str = ""
    hint: str = ""
    package: str = ""
    flags: NodeFlag = NodeFlag.NONE
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents before children, siblings in drawing order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One dump of the view tree: the top-level windows in the order in which the dump lists them.

    `stamp` ± `bound_ns` is the request bracket, `digest` xxh3_64 of the dump's bytes.
    """

    stamp: Stamp
    bound_ns: int
    rotation: Rotation
    roots: tuple[Node, ...]
    digest: int

    def walk(self) -> Iterator[Node]:
        for root in self.roots:
            yield from root.walk()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One logcat entry, newlines kept. `time_ns` is the device's own CLOCK_REALTIME, for audit and resume.

    `values` are those of an entry of the event log, whose message is their text.
    """

    stamp: Stamp
    time_ns: int
    pid: int
    tid: int
    uid: int | None
    level: Level
    tag: str
    message: str
    buffer: str = "main"
    cut: bool = False
    values: tuple[EventValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Touch:
    """One contact of one finger, in screen pixels of `rotation`: the last that was known at that moment, which may be
    of before the screen turned. None where there is but one. `pen` says that it is the contact of one."""

    stamp: Stamp
    kind: TouchKind
    pointer: int
    x: float
    y: float
    rotation: Rotation | None = None
    pen: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """How a device is: its battery in per cent and degrees Celsius, what is free of /data in bytes; None = not told."""

    battery: int | None = None
    temperature: float | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DisplayInfo:
    """One of a device's displays. `id` is Android's number, 0 the default one; `size` is that at rotation 0.

    `physical` is what `screencap -d` calls it: "" where nothing but a number of the display is known (a virtual one).
    """

    id: int
    name: str
    size: Size
    rotation: Rotation
    density: int
    physical: str
    on: bool


@dataclass(frozen=True, slots=True)
class Foreground:
    """What the window manager says is in front. `awake`: whether the screen is on, `size`: the display's at
    rotation 0, `user`: whose app it is, 0 on a phone that one person uses; None when it does not say. `density` in dpi,
    0 when it is not known."""

    stamp: Stamp
    package: str
    activity: str
    keyboard_shown: bool
    rotation: Rotation
    awake: bool | None = None
    size: Size | None = None
    density: int = 0
    user: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Known missing data: from `start` to `end`, which stage, and why (a fixed word or two, see `reason`).

    `calls` is how many calls to the device failed in it.
    """

    start: Stamp
    end: Stamp
    stage: str
    reason: str
    detail: str = ""
    calls: int = 1


@dataclass(frozen=True, slots=True)
class ClockFix:
    """The measured relation of the device's clocks to the host's.

    `offset_ns` = device CLOCK_REALTIME - host monotonic, valid within ± `bound_ns` at `stamp`; `boot_offset_ns` =
    device CLOCK_BOOTTIME - host monotonic, ± `boot_bound_ns`; `drift_ppm` is how much faster the device's clocks run.
    `jump_ns` is by how much the wall clock was set since the fix before, 0 when it was not.
    """

    stamp: Stamp
    offset_ns: int
    bound_ns: int
    boot_offset_ns: int
    boot_bound_ns: int
    drift_ppm: float = 0.0
    jump_ns: int = 0

    def gap(self, since: Stamp) -> Gap:
        """The stretch in which the wall clock was set: what was logged in it may stand at a wrong time."""
        return Gap(min(since, self.stamp), self.stamp, "clock", "clock set", f"by {self.jump_ns / 1e9:+.3f} s")


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that we changed on a device and that is to be undone: a `file` that was put there (its path), a
    `process` that may outlive us (its whole command line), a `reverse` listener ("tcp:8378 tcp:40001", the device's
    address and this host's)."""

    kind: Literal["file", "process", "reverse"]
    what: str


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What is known of a device at open. `size` is the natural (rotation 0) size in pixels, `density` in dpi.
    `animations` is how many times as long as they are made the slowest of its animations last, 0 for none. `services`
    are the packages of the accessibility services that are switched on."""

    serial: str
    model: str
    manufacturer: str
    android: str
    api_level: int
    size: Size
    density: int
    rotation: Rotation
    boot_id: str
    animations: float = 1.0
    services: tuple[str, ...] = ()

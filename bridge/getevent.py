"""Reader of `getevent`: which input devices are touch panels (`-lp`), and the fingers on one of them (`-lt`).

Panels report by protocol B of the kernel's multi-touch documentation: the events name a slot, a slot keeps what was
last said of it, a tracking id begins a contact and -1 ends it, SYN_REPORT ends a report. By its protocol A a report
lists every finger that touches, each ended by SYN_MT_REPORT. Older ones have one finger, with BTN_TOUCH. The layout of
lines is that of AOSP toolbox getevent.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bridge.types import Gap, Rotation, Size, Stamp, Touch, TouchKind

MAX_LINE = 4096
LIFTED = -1
# The reason of a gap after which it is not known which fingers are there.
OVERRUN = "overrun"
PEN, PALM = 1, 2  # MT_TOOL_PEN, MT_TOOL_PALM (linux/input.h)
# How much longer one side is where it matters which of the two that is.
OBLONG = 1.3

_DEVICE = re.compile(r"^add device \d+: (\S+)")
_NAME = re.compile(r'^ +name: +"(.*)"')
_AXIS = re.compile(r"(ABS_\w+) *: value (-?\d{1,10}), min (-?\d{1,10}), max (-?\d{1,10})\b")
_EVENT = re.compile(rb"\[ *(\d{1,10})\.(\d{6})\] (?:(/dev/\S+): )?(\w+) +(\w+) +(\w+)")
_HEX = re.compile(rb"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Axis:
    """The least and the greatest value of an axis, in panel units."""

    minimum: int
    maximum: int

    def scale(self, value: int, length: int) -> float:
        """The value in pixels of a screen side of `length` pixels."""
        return (value - self.minimum) * length / (self.maximum - self.minimum + 1)


@dataclass(frozen=True, slots=True)
class Panel:
    """A touch panel. `slot` is the one that its next event is about, None for a panel without slots: it `lists` all its
    fingers in each report (protocol A), or follows one finger only. `pen`: what touches it is one, until told
    otherwise."""

    path: str
    name: str
    x: Axis
    y: Axis
    slot: int | None
    lists: bool = False
    pen: bool = False

    def turned(self, natural: Size) -> bool:
        """Whether it lies across the screen: long where the screen is short. Nobody knows then which way round."""
        across, down = self.x.maximum - self.x.minimum + 1, self.y.maximum - self.y.minimum + 1
        longer = max(across, down) / min(across, down) > OBLONG
        oblong = max(natural.width, natural.height) / min(natural.width, natural.height) > OBLONG
        return longer and oblong and (across > down) != (natural.width > natural.height)


def parse_panels(text: str) -> tuple[Panel, ...]:
    """The touch panels in the output of `getevent -lp`, those with slots first. Touch pads of a pointer are none."""
    found: list[Panel] = []
    path = name = ""
    axes: dict[str, tuple[int, Axis]] = {}
    words: list[str] = []

    def finish() -> None:
        panel = _panel(path, name, axes, " ".join(words))
        if panel is not None:
            found.append(panel)

    for line in text.splitlines():
        device = _DEVICE.match(line)
        if device is not None:
            finish()
            path, name, axes, words = device[1], "", {}, []
            continue
        named = _NAME.match(line)
        if named is not None:
            name = named[1]
            continue
        words.append(line)
        for axis in _AXIS.finditer(line):
            axes[axis[1]] = (int(axis[2]), Axis(int(axis[3]), int(axis[4])))
    finish()
    return tuple(sorted(found, key=lambda panel: (panel.slot is None, not panel.lists)))


def _panel(path: str, name: str, axes: dict[str, tuple[int, Axis]], words: str) -> Panel | None:
    if "INPUT_PROP_POINTER" in words:
        return None
    slots = "ABS_MT_SLOT" in axes and "ABS_MT_TRACKING_ID" in axes
    lists = not slots and "ABS_MT_POSITION_X" in axes
    if not slots and not lists and "BTN_TOUCH" not in words:
        return None
    prefix = "ABS_MT_POSITION_" if slots or lists else "ABS_"
    if f"{prefix}X" not in axes or f"{prefix}Y" not in axes:
        return None
    x, y = axes[f"{prefix}X"][1], axes[f"{prefix}Y"][1]
    if x.maximum <= x.minimum or y.maximum <= y.minimum:
        return None
    if slots:
        return Panel(path, name, x, y, axes["ABS_MT_SLOT"][0], pen=axes.get("ABS_MT_TOOL_TYPE", (0,))[0] == PEN)
    return Panel(path, name, x, y, None, lists, "BTN_TOOL_PEN" in words and "BTN_TOOL_FINGER" not in words)


def newest_ns(chunk: bytes) -> int | None:
    """The device's CLOCK_MONOTONIC of the last line that begins in a chunk of `getevent -lt`; None without one."""
    lines = list(_EVENT.finditer(chunk[-MAX_LINE:]))
    return _time_ns(lines[-1]) if lines else None


class _Slot:
    """What is known of one slot. The kernel does not repeat a value, so a position outlives its contact."""

    __slots__ = ("down", "fresh", "moved", "pen", "x", "y")

    def __init__(self) -> None:
        self.x: int | None = None
        self.y: int | None = None
        self.down = False
        self.fresh = False
        self.moved = False
        self.pen = False


class TouchReader:
    """The lines of `getevent -lt` for one panel, in any chunking, as touches in screen pixels.

    `natural` gives the screen's size at rotation 0, `rotation` the current one, `to_stamp` maps the device's
    CLOCK_MONOTONIC ns to the host. `pointers` is the number of its first finger. A finger that was down before the
    first line is not reported until it comes again.
    """

    def __init__(
        self,
        panel: Panel,
        natural: Callable[[], Size],
        rotation: Callable[[], Rotation],
        to_stamp: Callable[[int], Stamp],
        pointers: int = 0,
    ) -> None:
        self._panel = panel
        self._pointers = pointers
        self._natural = natural
        self._rotation = rotation
        self._to_stamp = to_stamp
        self._rest = b""
        self._slots: dict[int, _Slot] = {}
        self._slot = panel.slot or 0
        self._ended: list[tuple[int, TouchKind, int, int, bool]] = []
        # A slot keeps the tool that was told of it; without slots keys tell, and those of a pen alone tell nothing.
        self._pen = panel.pen and panel.slot is None
        self._current().pen = panel.pen
        self._listed: list[tuple[int, int]] | None = None
        self._place: tuple[int | None, int | None] = (None, None)
        self._dropping = False
        self._unread = 0
        self._unplaced = 0
        self._last: Stamp | None = None

    def feed(self, data: bytes) -> list[Touch | Gap]:
        """Touches of the reports complete by now. What the kernel dropped, or what is no event, comes as a Gap."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[Touch | Gap] = []
        for line in lines:
            found += self._line(line)
        if len(self._rest) > MAX_LINE:
            self._rest = b""
            self._unread += 1
        return found

    def _line(self, line: bytes) -> list[Touch | Gap]:
        event = _EVENT.match(line)
        if event is None:
            # The description of devices that `getevent` without one begins with, or an empty line.
            if line.strip() and not line.startswith((b"add device", b"  name:", b"could not", b"remove device")):
                self._unread += 1
            return []
        if event[3] is not None and event[3] != self._panel.path.encode():
            return []
        kind, code, value = event[4], event[5], event[6]
        if kind == b"EV_SYN":
            if code == b"SYN_DROPPED":
                self._dropping = True
            elif code == b"SYN_MT_REPORT" and self._panel.lists:
                self._list()
            elif code == b"SYN_REPORT":
                return self._report(self._to_stamp(_time_ns(event)))
        elif kind == b"EV_KEY" and code in (b"BTN_TOOL_PEN", b"BTN_TOOL_RUBBER"):
            self._pen = value == b"DOWN" or (self._panel.pen and self._panel.slot is None)
        elif self._dropping:
            # These were queued before the loss (the kernel's event-codes document); only the slot is worth keeping.
            self._follow_slot(code, value)
        elif kind == b"EV_ABS":
            self._axis(code, value)
        elif kind == b"EV_KEY" and code == b"BTN_TOUCH" and self._panel.slot is None:
            if not self._panel.lists:
                self._contact(value == b"DOWN")
            elif value == b"UP" and self._listed is None:
                self._listed = []
        return []

    def _axis(self, code: bytes, value: bytes) -> None:
        self._follow_slot(code, value)
        many = self._panel.slot is not None
        if many and code == b"ABS_MT_TOOL_TYPE":
            tool = _number(value)
            self._current().pen = value == b"MT_TOOL_PEN" or tool == PEN
            if value == b"MT_TOOL_PALM" or tool == PALM:
                self._end("cancel")
            return
        number = _number(value)
        if number is None:
            self._unread += 1
        elif self._panel.lists:
            if code == b"ABS_MT_POSITION_X":
                self._place = number, self._place[1]
            elif code == b"ABS_MT_POSITION_Y":
                self._place = self._place[0], number
        elif many and code == b"ABS_MT_TRACKING_ID":
            self._contact(number != LIFTED)
        elif code == (b"ABS_MT_POSITION_X" if many else b"ABS_X"):
            slot = self._current()
            slot.x, slot.moved = number, True
        elif code == (b"ABS_MT_POSITION_Y" if many else b"ABS_Y"):
            slot = self._current()
            slot.y, slot.moved = number, True

    def _follow_slot(self, code: bytes, value: bytes) -> None:
        if code == b"ABS_MT_SLOT":
            number = _number(value)
            if number is not None and number >= 0:
                self._slot = number

    def _list(self) -> None:
        """A finger of the report is complete; one without a place says that there is none."""
        x, y = self._place
        self._place = None, None
        if self._listed is None:
            self._listed = []
        if x is not None and y is not None:
            self._listed.append((x, y))

    def _assign(self, listed: list[tuple[int, int]]) -> None:
        """Which finger is which: each goes on from the nearest place of the report before, and none jumps the queue."""
        known = {pointer: (slot.x or 0, slot.y or 0) for pointer, slot in self._slots.items() if slot.down}
        near = sorted(
            ((x - old[0]) ** 2 + (y - old[1]) ** 2, pointer, index)
            for pointer, old in known.items()
            for index, (x, y) in enumerate(listed)
        )
        taken: dict[int, int] = {}
        for _, pointer, index in near:
            if pointer not in taken and index not in taken.values():
                taken[pointer] = index
        for pointer in known:
            if pointer not in taken:
                self._slot = pointer
                self._end("up")
        for index, (x, y) in enumerate(listed):
            pointer = next((p for p, i in taken.items() if i == index), -1)
            if pointer < 0:
                pointer = next(p for p in range(len(listed) + len(known)) if p not in taken)
                taken[pointer] = index
                slot = self._slots.setdefault(pointer, _Slot())
                slot.down = slot.fresh = True
            slot = self._slots[pointer]
            slot.moved = slot.moved or (slot.x, slot.y) != (x, y)
            slot.x, slot.y = x, y

    def _current(self) -> _Slot:
        return self._slots.setdefault(self._slot, _Slot())

    def _contact(self, down: bool) -> None:
        self._end("up")
        if down:
            slot = self._current()
            slot.down = slot.fresh = True

    def _end(self, kind: TouchKind) -> None:
        slot = self._current()
        if slot.down and (slot.x is None or slot.y is None):
            # It lay where the contact before it did, which was before our first line.
            self._unplaced += 1
        elif slot.down and slot.x is not None and slot.y is not None:
            if slot.fresh:
                # It began and ended within one report.
                self._ended.append((self._slot, "down", slot.x, slot.y, slot.pen))
            self._ended.append((self._slot, kind, slot.x, slot.y, slot.pen))
        slot.down = slot.fresh = False

    def _report(self, stamp: Stamp) -> list[Touch | Gap]:
        since = self._last or stamp
        self._last = stamp
        found: list[Touch | Gap] = []
        if self._unread:
            found.append(Gap(since, stamp, "touch", "unreadable", f"{self._unread} lines"))
            self._unread = 0
        if self._unplaced:
            found.append(Gap(since, stamp, "touch", "no position", f"{self._unplaced} contacts"))
            self._unplaced = 0
        if self._dropping:
            found += self._lose(stamp)
            found.append(Gap(since, stamp, "touch", OVERRUN, "the phone dropped touch events"))
            self._dropping = False
            return found
        if self._listed is not None:
            self._assign(self._listed)
            self._listed = None
        found += [self._touch(stamp, *ended) for ended in self._ended]
        self._ended.clear()
        for pointer, slot in self._slots.items():
            if slot.down and (slot.fresh or slot.moved) and slot.x is not None and slot.y is not None:
                found.append(self._touch(stamp, pointer, "down" if slot.fresh else "move", slot.x, slot.y, slot.pen))
                slot.fresh = False
            slot.moved = False
        return found

    def _lose(self, stamp: Stamp) -> list[Touch | Gap]:
        """Cancel the contacts that were reported: whether they still touch cannot be known."""
        for pointer, slot in self._slots.items():
            if slot.down and not slot.fresh and slot.x is not None and slot.y is not None:
                self._ended.append((pointer, "cancel", slot.x, slot.y, slot.pen))
        found: list[Touch | Gap] = [self._touch(stamp, *ended) for ended in self._ended if ended[1] != "down"]
        self._ended.clear()
        pens = [pointer for pointer, slot in self._slots.items() if slot.pen]
        self._slots.clear()
        for pointer in pens:
            self._slots.setdefault(pointer, _Slot()).pen = True
        self._listed, self._place = None, (None, None)
        return found

    def _touch(self, stamp: Stamp, pointer: int, kind: TouchKind, x: int, y: int, pen: bool) -> Touch:
        natural = self._natural()
        width, height = natural.width, natural.height
        across, down = self._panel.x.scale(x, width), self._panel.y.scale(y, height)
        rotation = self._rotation()
        if rotation == 1:
            across, down = down, width - across
        elif rotation == 2:
            across, down = width - across, height - down
        elif rotation == 3:
            across, down = height - down, across
        return Touch(stamp, kind, self._pointers + pointer, across, down, rotation, pen or self._pen)


def _time_ns(event: re.Match[bytes]) -> int:
    return int(event[1]) * 1_000_000_000 + int(event[2]) * 1_000


def _number(value: bytes) -> int | None:
    """A value as getevent prints it: 32 bits with sign as eight hex digits."""
    if not _HEX.fullmatch(value):
        return None
    number = int(value, 16)
    return number - (1 << 32) if number >= 1 << 31 else number

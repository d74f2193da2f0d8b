"""What can be made to go wrong on an emulated phone.

Flags that programs read (section 9 of the device notes):

    screencap        "" | "empty" | "truncated" | "wrong-size" | "garbage" | "black"
                     no bytes; cut in the middle; a header, or a PNG, of another size; a linker warning before the data;
                     an all-black picture
    u2_stall         seconds that the uiautomator server waits before each answer
    u2_taken         launching the server prints "UiAutomationService ... already registered!" and ends
    u2_screenshot    "" | "null" | "black" (secure window)
    u2_dump          "" | "empty" | "stack-overflow" | "dead-object" | "not-connected"

    video            "" | "dies" | "lost" | "cut" | "silent" | "refused"
                     encoders at work end; every fifth packet is not sent, or cut in half; nothing is sent; none can be
                     had

Flags that this side reads: `slow_shell`, `refuse`, `hang`, `stop_acks`, `disk_full`, `read_only`, `offline`.

`parse_fault` reads the text form `NAME[=VALUE][@SECONDS[:DURATION]]`: from SECONDS after the start on (0 when not
given), for DURATION seconds (for good when not given). `FAULTS` lists the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Screencap = Literal["", "empty", "truncated", "wrong-size", "garbage", "black"]
U2Screenshot = Literal["", "null", "black"]
Video = Literal["", "dies", "lost", "cut", "silent", "refused"]
U2Dump = Literal["", "empty", "stack-overflow", "dead-object", "not-connected"]


@dataclass(slots=True)
class Faults:
    """The faults in force on one phone. Plain fields: set and clear them at any time on the loop thread."""

    screencap: Screencap = ""
    video: Video = ""
    u2_stall: float = 0.0
    u2_taken: bool = False
    u2_screenshot: U2Screenshot = ""
    u2_dump: U2Dump = ""
    slow_shell: float = 0.0
    """Seconds before the first byte of every shell and exec service."""
    refuse: set[str] = field(default_factory=set)
    """Prefixes of services that are answered with CLSE."""
    hang: set[str] = field(default_factory=set)
    """Prefixes of services that are never answered."""
    stop_acks: bool = False
    """Take what the host writes and never acknowledge it."""
    offline: bool = False
    """Accept connections and never say CNXN."""
    disk_full: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One scripted fault: what, from when on, for how long (None = for good). Seconds."""

    name: str
    value: str = ""
    at: float = 0.0
    duration: float | None = None

    @property
    def number(self) -> float:
        return float(self.value)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault's one-line meaning, the value it takes ("" = none; "number" = from 0 up; "signed" = any number; "text" =
    anything, never nothing; or the words allowed) and the value when none is written."""

    meaning: str
    takes: Literal["", "number", "signed", "text"] | tuple[str, ...] = ""
    default: str = ""


FAULTS: Mapping[str, FaultKind] = {
    "unplug": FaultKind("the cable is out"),
    "flaky": FaultKind("the link breaks, again every VALUE seconds", "number", "0"),
    "offline": FaultKind("connections are accepted and never greeted"),
    "unauthorized": FaultKind("the phone takes back its trust; at the end the user accepts the host's key"),
    "slow-shell": FaultKind("VALUE seconds before the first byte of a shell", "number", "0.5"),
    "hang": FaultKind("services that begin with VALUE are opened and never answered", "text"),
    "stop-acks": FaultKind("writes of the host are never acknowledged"),
    "refuse": FaultKind("services that begin with VALUE are refused", "text"),
    "screencap": FaultKind("bad pictures", tuple(word for word in get_args(Screencap) if word), "empty"),
    "video": FaultKind("bad video", tuple(word for word in get_args(Video) if word), "dies"),
    "u2-dies": FaultKind("the uiautomator server's process ends"),
    "u2-stall": FaultKind("the uiautomator server answers VALUE seconds late", "number", "15"),
    "u2-taken": FaultKind("another tool holds UiAutomation"),
    "u2-screenshot": FaultKind("bad uiautomator pictures", tuple(w for w in get_args(U2Screenshot) if w), "null"),
    "u2-dump": FaultKind("bad uiautomator dumps", tuple(word for word in get_args(U2Dump) if word), "empty"),
    "reboot": FaultKind("the phone restarts and is away for DURATION (30 s)"),
    "log-storm": FaultKind("VALUE log lines a second", "number", "50000"),
    "clock-step": FaultKind("the wall clock is set VALUE seconds ahead", "signed", "3600"),
    "clock-drift": FaultKind("the crystal is VALUE parts per million fast", "signed", "50"),
    "suspend": FaultKind("the phone sleeps for DURATION (10 s)"),
    "crash": FaultKind("the app dies of an exception that nobody caught"),
    "native-crash": FaultKind("the app dies of a signal"),
    "anr": FaultKind("the app hangs until its user closes it"),
    "low-memory": FaultKind("the phone ends the app for want of memory"),
    "screen-off": FaultKind("the screen is off"),
    "fold": FaultKind("a phone with a cover screen (profile fold) is shut"),
    "test-runner": FaultKind("an instrumented test runs"),
    "disk-full": FaultKind("no room on /data"),
    "read-only": FaultKind("/data cannot be written"),
    "server-killed": FaultKind("the adb server of the lab dies; at the end an empty one starts"),
    "foreign-adb": FaultKind("an adb server of another version has the port"),
}

_SPEC = re.compile(r"([a-z0-9-]+)(?:=([^@]*))?(?:@(\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?)?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def parse_fault(text: str) -> FaultSpec:
    """`unplug@5`, `reboot@10:30`, `slow-shell=0.5`. ValueError says what is wrong and what would be right."""
    match = _SPEC.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not NAME[=VALUE][@SECONDS[:DURATION]]")
    name, value, at, duration = match.groups()
    kind = FAULTS.get(name)
    if kind is None:
        raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULTS)}")
    if value and not kind.takes:
        raise ValueError(f"{name} takes no value")
    value = value or kind.default
    if kind.takes == "text" and not value:
        raise ValueError(f"{name} needs a value: {kind.meaning}")
    if kind.takes in ("number", "signed") and not _NUMBER.fullmatch(value):
        raise ValueError(f"{name} takes a number, not {value!r}")
    if kind.takes == "number" and float(value) < 0:
        raise ValueError(f"{name} takes a number from 0 up, not {value!r}")
    if isinstance(kind.takes, tuple) and value not in kind.takes:
        raise ValueError(f"{name} takes {', '.join(kind.takes)}, not {value!r}")
    return FaultSpec(name, value, float(at or 0), None if duration is None else float(duration))

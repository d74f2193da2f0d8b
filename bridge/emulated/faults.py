"""What can be made to go wrong on an emulated phone.

Flags that programs read (section 9 of the device notes):

    screencap        "" | "empty" | "truncated" | "wrong-size" | "garbage" | "black"
                     no bytes; cut in the middle; a header with another size; a linker warning before the data;
                     an all-black picture
    u2_stall         seconds that the uiautomator server waits before each answer
    u2_taken         launching the server prints "UiAutomationService ... already registered!" and ends
    u2_screenshot    "" | "null" | "black" (secure window)
    u2_dump          "" | "empty" | "stack-overflow" | "dead-object" | "not-connected"

Flags that this side reads: `slow_shell`, `refuse`, `hang`, `stop_acks`, `disk_full`, `read_only`, `offline`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Screencap = Literal["", "empty", "truncated", "wrong-size", "garbage", "black"]
U2Screenshot = Literal["", "null", "black"]
U2Dump = Literal["", "empty", "stack-overflow", "dead-object", "not-connected"]


@dataclass(slots=True)
class Faults:
    """The faults in force on one phone. Plain fields: set and clear them at any time on the loop thread."""

    screencap: Screencap = ""
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

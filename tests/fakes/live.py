"""A lively world on a clock of the test."""

from __future__ import annotations

from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record
from bridge.emulated.world import paint
from bridge.emulated.world.lively import LivelyWorld
from bridge.types import Size


class Live:
    """A lively world, its app started. `marks` say which views are private."""

    def __init__(self, scenario: str, marks: paint.Marks | None) -> None:
        self.ns = 10**12
        self.clock = DeviceClock(host=lambda: self.ns)
        self.records: list[Record] = []
        self.world = LivelyWorld(self.clock, Size(360, 800), 160, scenario, 1, self.records.append, marks=marks)
        self.go(6)

    def go(self, seconds: float) -> None:
        """Let time pass."""
        until = self.ns + int(seconds * 1e9)
        while (at := max(self.ns + 1, (self.world.next_due_ns() or until) - self.clock.truth_boot_offset_ns())) < until:
            self.ns = at
            self.world.tick()
        self.ns = until

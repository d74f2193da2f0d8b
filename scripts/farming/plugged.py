"""Devices that a test or a benchmark plugs in and pulls out, as `agent.farm.rack.Devices` has them."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence

from agent.farm.rack import Change
from bridge.errors import DeviceGone
from bridge.types import Condition

WELL = Condition(83, 28.7, 70_000_000_000)


class Plugged:
    """`conditions` say how each is, `known` what each is."""

    def __init__(self) -> None:
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self.conditions: dict[str, Condition] = {}
        self.known: dict[str, tuple[str, ...]] = {}

    def plug(self, serial: str, *tags: str) -> None:
        self.known[serial] = tags
        self.conditions.setdefault(serial, WELL)
        self._changes.put(Change("attached", serial))

    def pull(self, serial: str) -> None:
        self._changes.put(Change("detached", serial))

    def refuse(self, serial: str, why: str) -> None:
        self._changes.put(Change("unusable", serial, why))

    def watch(self) -> Iterator[Change]:
        while (change := self._changes.get()) is not None:
            yield change

    def tags(self, serial: str) -> Sequence[str]:
        return self.known[serial]

    def condition(self, serial: str) -> Condition:
        if serial not in self.conditions:
            raise DeviceGone(serial, "ask", "it is away")
        return self.conditions[serial]

    def close(self) -> None:
        self._changes.put(None)

"""A device's health record on this host, and whether it may work. The judgement is pure; the record is a file.

health/<serial>.json
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import orjson

from agent.farm.lease import name
from agent.store.disk import make_folder, write_files

OFFLINE_WINDOW_MS = 3_600_000
# What rests begins again when it is better by so much, so that it does not come and go at the limit.
COOLER, FULLER, ROOMIER = 3.0, 5, 1.1
HOT, EMPTY, FULL = "its battery has", "its battery is at", "its storage has only"


class Limits(Protocol):
    """The settings of the section `farm` that say when a device rests."""

    @property
    def quarantine_offline(self) -> int: ...
    @property
    def quarantine_seconds(self) -> float: ...
    @property
    def max_temperature(self) -> float: ...
    @property
    def min_battery(self) -> int: ...
    @property
    def min_storage(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one device: when it went away lately and since when it is there (epoch ms; 0 = away), its
    battery in per cent and degrees Celsius, its free storage in bytes (None = it does not tell), and why it rests."""

    serial: str
    offline_ms: tuple[int, ...] = ()
    since_ms: int = 0
    battery: int | None = None
    temperature: float | None = None
    free_bytes: int | None = None
    resting: str = ""

    def attached(self, now_ms: int) -> Health:
        return replace(self, since_ms=now_ms)

    def detached(self, now_ms: int) -> Health:
        """It went away; what is older than an hour counts no more."""
        kept = tuple(ms for ms in self.offline_ms if now_ms - ms < OFFLINE_WINDOW_MS)
        return replace(self, offline_ms=(*kept[-99:], now_ms), since_ms=0)

    def measured(self, battery: int | None, temperature: float | None, free_bytes: int | None) -> Health:
        return replace(self, battery=battery, temperature=temperature, free_bytes=free_bytes)

    def judged(self, limits: Limits, now_ms: int) -> Health:
        """With the reason for which it must rest now, "" when it may work. What it does not tell is not held against
        it. One that kept going away rests until it was there for a while without a break."""
        offline = sum(now_ms - ms < OFFLINE_WINDOW_MS for ms in self.offline_ms)
        there = now_ms - self.since_ms if self.since_ms else 0
        if offline >= limits.quarantine_offline:
            if there >= limits.quarantine_seconds * 1000:
                return replace(self, offline_ms=()).judged(limits, now_ms)
            often = f"it went away {offline} times in an hour"
            minutes = limits.quarantine_seconds / 60
            return replace(self, resting=f"{often}; it works again after {minutes:g} minutes without a break")
        return replace(self, resting=self._unwell(limits))

    def _unwell(self, limits: Limits) -> str:
        was = self.resting
        cool = limits.max_temperature - COOLER
        hottest = cool if was.startswith(HOT) else limits.max_temperature
        if self.temperature is not None and self.temperature > hottest:
            return f"{HOT} {self.temperature:.1f} °C; it works again at {cool:g} °C"
        full = limits.min_battery + FULLER
        emptiest = full if was.startswith(EMPTY) else limits.min_battery
        if self.battery is not None and self.battery < emptiest:
            return f"{EMPTY} {self.battery} %; it works again from {full} % on"
        roomy = limits.min_storage * ROOMIER
        fullest = roomy if was.startswith(FULL) else limits.min_storage
        if self.free_bytes is not None and self.free_bytes < fullest:
            return f"{FULL} {self.free_bytes / 1e6:.0f} MB; it works again from {roomy / 1e6:.0f} MB on"
        return ""


class HealthRecord:
    """The records of all devices that this host has seen."""

    def __init__(self, folder: Path) -> None:
        """Raises StorageError."""
        self._folder = folder
        make_folder(folder)

    def load(self, serial: str) -> Health:
        """What is known of a device; one that is not known, or whose file is damaged, begins anew."""
        try:
            found = orjson.loads((self._folder / f"{name(serial)}.json").read_bytes())
            health = Health(**{**found, "offline_ms": tuple(int(ms) for ms in found["offline_ms"])})
        except (OSError, ValueError, TypeError, KeyError):
            return Health(serial)
        # Whether it is there now is seen anew.
        return replace(health, serial=serial, since_ms=0)

    def keep(self, health: Health) -> None:
        """Raises StorageError."""
        write_files(self._folder, [(f"{name(health.serial)}.json", [orjson.dumps(asdict(health))])])

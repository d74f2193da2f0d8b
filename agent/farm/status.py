"""What a farm is to those who use it, and what it tells of itself. `LocalFarm` and `CeleryFarm` are both one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

from agent.farm.job import Job, JobReport

# `waiting` = its lease cannot be had, mostly since another process of this host has it, `resting` = quarantine,
# `starting` = its worker is not up yet.
DeviceState = Literal["starting", "idle", "busy", "waiting", "resting"]
JobState = Literal["queued", "running", "ended"]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device of a host: what it is called, what it does, how it is. `why` says why it takes no jobs."""

    serial: str
    state: DeviceState
    tags: tuple[str, ...] = ()
    job: str = ""
    why: str = ""
    offline: int = 0
    battery: int | None = None
    temperature: float | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host and its devices. `ended` = it said goodbye or has not been heard of for a while."""

    name: str
    pid: int
    devices: tuple[DeviceFacts, ...] = ()
    ended: bool = False

    @classmethod
    def read(cls, value: Any) -> Self:
        """From the JSON that a host wrote. Raises TypeError, ValueError, KeyError."""
        devices = tuple(DeviceFacts(**{**each, "tags": tuple(each["tags"])}) for each in value["devices"])
        return cls(str(value["name"]), int(value["pid"]), devices, bool(value.get("ended", False)))


@dataclass(frozen=True, slots=True)
class JobFacts:
    """Where a job is. `queue` is what it waits in."""

    id: str
    state: JobState
    queue: str = ""
    host: str = ""
    serial: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class FarmFacts:
    """Everything of a farm at one moment."""

    hosts: tuple[HostFacts, ...]
    jobs: tuple[JobFacts, ...]

    def facts(self) -> dict[str, Any]:
        return asdict(self)

    def able(self, job: Job) -> list[DeviceFacts]:
        """The devices that may take a job, whatever they do now."""
        from agent.farm.job import fits

        return [
            device
            for host in self.hosts
            if not host.ended
            for device in host.devices
            if fits(job, device.serial, device.tags)
        ]


class Farm(Protocol):
    """Where jobs go. Any thread may call.

    Each method raises FarmError when the farm cannot be reached.
    """

    def submit(self, job: Job) -> None:
        """Let it wait for a device. A job of an id that is known changes nothing: it is already started, or waits."""

    def report(self, job: str) -> JobReport | None:
        """What became of a job; None while it waits or runs."""

    def stop(self, job: str) -> bool:
        """Ask for a job's end, running or not: whether it was known and had not ended."""

    def status(self) -> FarmFacts: ...

    def close(self) -> None: ...

"""What a device's recording is doing, for the live status line and the closing summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from agent.model import NO_COST, Cost

State = Literal["waiting", "waiting for the device", "opening", "recording", "lost", "resting", "failed", "stopped"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(slots=True)
class DeviceStatus:
    """Running figures of one device. Written by its pipeline, read by whoever shows them; a torn read does no harm.

    What maps names to counts is replaced, never changed: another thread may be going through it.
    """

    serial: str
    state: State = "waiting"
    package: str = ""
    session_id: int | None = None
    device_id: str | None = None
    frames: int = 0
    blocked: int = 0
    hierarchies: int = 0
    touches: int = 0
    events: int = 0
    logs: int = 0
    gaps: int = 0
    gap_reasons: dict[str, int] = field(default_factory=dict)
    segments: int = 0
    bytes: int = 0
    cost: Cost = NO_COST
    losses: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    clock_bound_ms: float | None = None
    screen: str = ""
    problem: str = ""
    paused: str = ""

    def facts(self) -> dict[str, Any]:
        """As a JSON-able mapping."""
        return asdict(self)

"""The panels of an emulated phone: what lies behind each, and what the phone calls it."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.emulated.phone import Phone
from bridge.emulated.world.world import World
from bridge.types import Size

SECOND = 2


@dataclass(frozen=True, slots=True)
class Panel:
    """A physical display with its touch panel. `number` is the logical display that it shows, -1 while it is dark."""

    number: int
    physical: str
    name: str
    input: str
    size: Size
    world: World | None


def panels(phone: Phone) -> list[Panel]:
    """The first is the one that tools take when no display is named."""
    profile, world = phone.profile, phone.world
    shut = world.shut
    found = [
        Panel(
            -1 if shut else 0, "4619827259835644672", "Built-in Screen", "/dev/input/event2", profile.size,
            None if shut else world,
        )
    ]  # fmt: skip
    if profile.cover is not None:
        found.append(
            Panel(
                0 if shut else -1, "4619827551948147201", "Cover Screen", "/dev/input/event3", profile.cover,
                world if shut else None,
            )
        )  # fmt: skip
    if phone.second is not None and profile.second is not None:
        found.append(
            Panel(SECOND, "4619827677550801154", "HDMI Screen", "/dev/input/event4", profile.second, phone.second)
        )
    return found


def shown(phone: Phone) -> list[Panel]:
    """The panels that are lit, by the number of what they show."""
    return sorted((panel for panel in panels(phone) if panel.world is not None), key=lambda panel: panel.number)

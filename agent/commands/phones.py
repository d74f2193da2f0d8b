"""Emulated phones for one command: the device specs `emulated:SCENARIO`, beside the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from agent.errors import ConfigError
from agent.settings import Settings

PREFIX = "emulated:"


@dataclass(frozen=True, slots=True)
class Phones:
    """The settings under which adb sees the phones, the specs that name them, and what programs need to find them.

    `app` is the package of an emulated phone's app, which is not in front yet when the phone has started.
    """

    settings: Settings
    specs: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    app: str | None = None


@contextmanager
def phones(settings: Settings, specs: Sequence[str]) -> Iterator[Phones]:
    """Start the emulated phones that the specs ask for, each spec one, and end them with the block.

    Without such a spec nothing is started and all stays as it is. Raises ConfigError for what cannot be: an unknown
    scenario, several at once, emulated phones beside others (they have an adb server of their own).
    """
    emulated = [spec.removeprefix(PREFIX) for spec in specs if spec.startswith(PREFIX)]
    if not emulated:
        yield Phones(settings, tuple(specs))
        return
    from agent.commands.console import say
    from agent.commands.demo import child
    from bridge.emulated.world.autopilot import SCENARIOS
    from bridge.emulated.world.shop import PACKAGE

    unknown = next((scenario for scenario in emulated if scenario not in SCENARIOS), None)
    if unknown is not None:
        raise ConfigError(f"There is no scenario {unknown!r}.", f"Take one of: {', '.join(SCENARIOS)}.")
    if len(set(emulated)) > 1 or len(emulated) < len(specs):
        raise ConfigError(
            "Emulated phones have an adb server of their own, and all of them one scenario.",
            f"Give {PREFIX}{emulated[0]} alone; once more for each further phone.",
        )
    many = "an emulated phone" if len(emulated) == 1 else f"{len(emulated)} emulated phones"
    say(f"Starting {many} behind a real adb server ...")
    with child(
        "emulate", "--devices", str(len(emulated)), "--scenario", emulated[0], "--profile", "small"
    ) as started:  # fmt: skip
        adb = settings.adb.model_copy(update={"host": "127.0.0.1", "port": started["port"]})
        yield Phones(settings.model_copy(update={"adb": adb}), tuple(started["serials"]), started["env"], PACKAGE)

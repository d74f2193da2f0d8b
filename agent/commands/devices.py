"""`android-replay devices`: what adb sees."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bridge.registry import Listed

ASK_SECONDS = 3.0


def devices(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a device.")] = False) -> None:
    """List the devices that adb sees: serial, state, model, Android version, why one cannot be used, and which is the
    same phone as another (by cable and by network); and the displays of one that has several.

    Example: android-replay devices --json
    """
    from agent.commands.console import put, put_json, say, table
    from agent.settings import load
    from bridge.clock import HostClock
    from bridge.deadline import Deadline
    from bridge.registry import Registry
    from bridge.smartsocket import AdbServer

    adb = load({}).settings.adb
    registry = Registry(AdbServer(adb.host, adb.port), HostClock(), start=True)
    try:
        found = registry.list(Deadline(30))
        told = [registry.android(d.serial, Deadline(ASK_SECONDS)) if d.usable else ("", "") for d in found]
        shown = [registry.displays(d.serial, Deadline(ASK_SECONDS)) if d.usable else () for d in found]
        twins = registry.twins(d.serial for d in found if d.usable)
    finally:
        registry.close()
    versions = [android for android, _ in told]
    found = tuple(replace(d, usable=False, why=why) if why else d for d, (_, why) in zip(found, told, strict=True))
    if as_json:
        for device, android, displays in zip(found, versions, shown, strict=True):
            facts = {"android": android, "same_as": twins.get(device.serial, "")}
            put_json(asdict(device) | facts | {"displays": [asdict(display) for display in displays]})
    elif found:
        rows = [
            (d.serial, d.state, d.model, f"Android {android}" if android else "", _how(d, twins.get(d.serial, "")))
            for d, android in zip(found, versions, strict=True)
        ]
        for line, displays in zip(table(rows), shown, strict=True):
            put(line)
            for display in displays if len(displays) > 1 else ():
                size = f"{display.size.width} x {display.size.height}"
                put(f"  display {display.id}: {display.name}, {size}, {'on' if display.on else 'off'}")
    if not found:
        say("adb sees no device. Connect a phone with USB debugging on, or try `android-replay emulate`.")


def _how(device: Listed, twin: str) -> str:
    if not device.usable:
        return device.why
    return f"ready; the same phone as {twin}" if twin else "ready"

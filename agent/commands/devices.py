"""`android-replay devices`: what adb sees."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

ASK_SECONDS = 3.0


def devices(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a device.")] = False) -> None:
    """List the devices that adb sees: serial, state, model, Android version, why one cannot be used.

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
        versions = [registry.android(d.serial, Deadline(ASK_SECONDS)) if d.usable else "" for d in found]
    finally:
        registry.close()
    if as_json:
        for device, android in zip(found, versions, strict=True):
            put_json(asdict(device) | {"android": android})
    elif found:
        rows = [
            (d.serial, d.state, d.model, f"Android {android}" if android else "", "ready" if d.usable else d.why)
            for d, android in zip(found, versions, strict=True)
        ]
        for line in table(rows):
            put(line)
    if not found:
        say("adb sees no device. Connect a phone with USB debugging on, or try `android-replay emulate`.")

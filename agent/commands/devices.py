"""`android-replay devices`: what adb sees."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer


def devices(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a device.")] = False) -> None:
    """List the devices that adb sees, and why one cannot be used.

    Example: android-replay devices --json
    """
    from agent.commands.console import put, put_json, say, table
    from bridge.clock import HostClock
    from bridge.deadline import Deadline
    from bridge.registry import Registry
    from bridge.smartsocket import AdbServer

    registry = Registry(AdbServer.from_environment(), HostClock(), start=True)
    try:
        found = registry.list(Deadline(30))
    finally:
        registry.close()
    if as_json:
        for device in found:
            put_json(asdict(device))
    elif found:
        for line in table([(d.serial, d.state, d.model, "ready" if d.usable else d.why) for d in found]):
            put(line)
    if not found:
        say("adb sees no device. Connect a phone with USB debugging on, or try `android-replay emulate`.")

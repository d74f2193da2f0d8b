"""`android-replay control`: start and stop capture of a recorder that runs on this host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

TOLD = ("start", "stop", "status")
# Devices look at short intervals whether they may capture.
SETTLED_SECONDS = 3.0
LOOK_SECONDS = 0.1


def control(
    verb: Annotated[str, typer.Argument(metavar="start|stop|status", help="What to tell the recorder.")],
    config: Annotated[Path | None, typer.Option(help="The settings file (TOML) that the recorder runs with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a recorder.")] = False,
) -> None:
    """Start or stop capture of the recorders that run on this spool, as the plugin's start() and stop() do.

    While stopped nothing is captured: no picture, no view tree, no touch, no log line. The recording says so by a gap.

    Example: android-replay control stop
    """
    from agent.commands.console import put, put_json
    from agent.errors import ConfigError
    from agent.runtime.control import SOCKET
    from agent.settings import load

    if verb not in TOLD:
        raise ConfigError(f"{verb!r} is nothing that a recorder does.", f"Take one of: {', '.join(TOLD)}.")
    spool = load({}, config).settings.spool
    answers = [answer for path in sorted(spool.glob(f"*/{SOCKET}")) if (answer := _told(path, verb)) is not None]
    if not answers:
        raise ConfigError(
            f"No recorder runs on the spool {spool}.",
            "Start one with `android-replay attach`, with the same settings as this command.",
        )
    for answer in answers:
        if as_json:
            put_json(answer)
            continue
        put(f"recorder {answer.get('pid')}: {'capturing' if answer.get('capturing') else answer.get('reason')}")
        for device in answer.get("devices", []):
            said = f", capturing nothing: {device['paused']}" if device.get("paused") else ""
            put(f"  {device['serial']} {device['state']}, session {device['session_id']}{said}")


def _told(path: Path, verb: str) -> Mapping[str, Any] | None:
    """What a recorder says once its devices do as it was told, or do not in time; None when there is none any more."""
    from agent.runtime.control import ask

    before = ask(path, "status") if verb == "start" else None
    answer = ask(path, verb)
    end = time.monotonic() + SETTLED_SECONDS
    while answer is not None and verb != "status" and not _settled(answer, before) and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        answer = ask(path, "status")
    return answer


def _settled(answer: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    """Whether no device is said to do what it did before. One may capture nothing for a reason of its own."""
    paused = [device.get("paused") for device in answer.get("devices", []) if device.get("state") == "recording"]
    if not answer.get("capturing"):
        return all(paused)
    return before is None or not before.get("reason") or before["reason"] not in paused

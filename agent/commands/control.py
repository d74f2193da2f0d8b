"""`android-replay control`: start and stop capture of a recorder that runs on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TOLD = ("start", "stop", "status")


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
    from agent.runtime.control import SOCKET, ask
    from agent.settings import load

    if verb not in TOLD:
        raise ConfigError(f"{verb!r} is nothing that a recorder does.", f"Take one of: {', '.join(TOLD)}.")
    spool = load({}, config).settings.spool
    answers = [answer for path in sorted(spool.glob(f"*/{SOCKET}")) if (answer := ask(path, verb)) is not None]
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

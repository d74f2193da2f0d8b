"""`android-replay mark`: put a marker into the recordings that run on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mark(
    name: Annotated[str, typer.Argument(help="What the moment is called.", show_default=False)] = "",
    note: Annotated[str, typer.Option(help="A sentence to it.")] = "",
    config: Annotated[Path | None, typer.Option(help="The settings file (TOML) that the recorder runs with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a recorder.")] = False,
) -> None:
    """Mark this moment in the recordings that run on this host's spool, from another terminal or a script.

    It stands on the time line of the viewer, in the steps, and in the summary of `record`.

    Exit codes: 0 marked; 2 no recorder runs, or the text is too long; 3 a recorder runs, and has no device yet.

    Example: android-replay mark "wrong total" --note "tax is counted twice"
    """
    from agent.commands.console import put, put_json
    from agent.errors import ConfigError, NoDevice
    from agent.runtime.control import MAX_NAME, MAX_NOTE, SOCKET, ask
    from agent.settings import load

    if len(name) > MAX_NAME or len(note) > MAX_NOTE:
        raise ConfigError(
            f"A marker's name has at most {MAX_NAME} characters, its note {MAX_NOTE}.", "Make it shorter."
        )
    spool = load({}, config).settings.spool
    said = {"name": name.strip() or ("note" if note else "marker"), "note": note}
    asked = [ask(path, "mark", **said) for path in sorted(spool.glob(f"*/{SOCKET}"))]
    answers = [answer for answer in asked if answer is not None and answer.get("ok")]
    if not answers:
        raise ConfigError(
            f"No recorder runs on the spool {spool}.",
            "Start one with `android-replay record`, with the same settings as this command.",
        )
    for answer in answers:
        if as_json:
            put_json({name: answer.get(name) for name in ("pid", "marked", "capturing", "reason")})
        else:
            paused = "" if answer.get("capturing") else f", capturing nothing: {answer.get('reason')}"
            put(f"recorder {answer.get('pid')}: {said['name']!r} marked for {answer.get('marked')} device(s){paused}")
    if not any(answer.get("marked") for answer in answers):
        raise NoDevice("The recorder has no device yet.", "Wait until its status line says `recording`.")

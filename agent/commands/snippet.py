"""`android-replay snippet`: what an app adds so that its Segment events are heard."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

PORT = "8378"
KINDS = ("log", "relay")


def snippet(
    kind: Annotated[str, typer.Argument(metavar="log|relay", help="By its log, or through the relay.")],
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The relay's port on the phone (8378).")] = None,
) -> None:
    """Print the TypeScript that an app adds: `log` prints events to its log, `relay` sends them by way of this host.

    Each names the versions of the SDK that it is for.

    Example: android-replay snippet log > ReplayLog.ts
    """
    from agent.commands.console import put
    from agent.errors import ConfigError

    if kind not in KINDS:
        raise ConfigError(f"There is no snippet {kind!r}.", "Take `log` or `relay`.")
    if port is not None and kind != "relay":
        raise ConfigError("--port is the relay's.", "Leave it away, or take `snippet relay`.")
    put(*text(kind, port).splitlines())


def text(kind: str, port: int | None = None) -> str:
    """The snippet of a kind, with the relay's port on the phone."""
    code = (files("agent.commands") / "snippets" / f"{kind}.ts").read_text(encoding="utf-8").rstrip("\n")
    return code if port is None else code.replace(PORT, str(port))

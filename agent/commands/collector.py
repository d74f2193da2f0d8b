"""`android-replay collector`: receive uploads on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WARNINGS = 2


def collector(
    folder: Annotated[Path, typer.Option(help="Where to keep what comes in.")] = Path("collected"),
    host: Annotated[str, typer.Option(help="Address to listen on; another than loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8377,
    api_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Environment variable with the key that clients must present.")
    ] = "",
    name: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="A host name under which it is reached; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as a JSON line.")] = False,
) -> None:
    """Receive uploads yourself, with Amplitude's wire contract, and view them in the browser. Ctrl-C ends it.

    With a key the browser asks for it as a password; an address that ends in /?token=KEY opens the viewer, too. Under
    another name than an address or localhost it answers only if --name says so.

    Example: android-replay collector --folder sessions, then android-replay attach --sink collector:http://127.0.0.1:8377
    """
    from agent import log
    from agent.access import from_environment
    from agent.collector.app import make_app
    from agent.collector.server import Server, serve
    from agent.commands.console import put_json, say
    from agent.errors import ConfigError
    from agent.outbox.exchange import is_loopback
    from agent.store.recording import Recording
    from agent.viewer.app import routes

    api_key = from_environment(api_key_env, "key") if api_key_env else ""
    local = is_loopback(host)
    if not local and not api_key:
        raise ConfigError(
            f"Listening on {host} lets other machines in, and no key is set.",
            "Give --api-key-env, or keep to 127.0.0.1.",
        )
    recording = Recording.create(folder)
    app = make_app(recording, routes(recording), api_key=api_key, hosts=[*(name or ()), *([] if local else [host])])

    def ready(server: Server) -> None:
        if as_json:
            put_json({"url": server.url, "folder": str(folder.resolve()), "key": bool(api_key)})
        say(f"Collecting into {folder}. Viewer and uploads: {server.url} (Ctrl-C ends it)")

    try:
        with log.shown(WARNINGS, [api_key]):
            serve(app, host, port, ready)
    finally:
        app.state.collector.close()

"""`android-replay view`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.store.recording import Recording


def view(
    path: Annotated[Path, typer.Argument(help="The recording's folder.", show_default=False)],
    port: Annotated[int, typer.Option(help="Port to serve on; 0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Address to serve on; everybody who reaches it can watch.")] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Open a recording in the browser: the phone's screen, its events, its log, its gaps.

    The page is served until Ctrl-C; its address is printed. Nothing leaves this machine.

    Example: android-replay view replays/checkout
    """
    import webbrowser

    from agent.collector.server import Server, serve
    from agent.commands.console import put, say
    from agent.outbox.exchange import is_loopback
    from agent.viewer.app import make_app
    from agent.viewer.assets import check_build

    check_build()
    app = make_app(recording(path), hosts=[host])
    if not is_loopback(host):
        say(f"Everybody who reaches {host} can watch this recording: there is no password.")

    def ready(server: Server) -> None:
        put(server.url)
        opened = open_browser and webbrowser.open(server.url)
        say("Ctrl-C ends." if opened or not open_browser else "Open the address in a browser. Ctrl-C ends.")

    serve(app, host, port, ready)


def recording(path: Path) -> Recording:
    """The recording at `path`. Raises RecordingError that says what is there instead."""
    from agent.errors import RecordingError
    from agent.store.recording import Recording

    if not path.exists():
        raise RecordingError(f"There is no {path}.", "Make a recording with `android-replay attach --sink dir:PATH`.")
    if not path.is_dir():
        raise RecordingError(f"{path} is a file.", "Give the recording's folder, the one that holds recording.json.")
    return Recording.open(path)

"""`android-replay demo`: the whole way with no phone."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

END_SECONDS = 60
SHOP = "com.northbay.shop"


def demo(
    seconds: Annotated[float, typer.Option(min=5, help="How long to record.")] = 30,
    out: Annotated[Path, typer.Option(help="Where the recording goes.")] = Path("demo-out"),
    open_viewer: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the viewer at the end, in a terminal.")
    ] = True,
    devices: Annotated[int, typer.Option(min=1, max=16, help="How many emulated phones.")] = 1,
    truth: Annotated[
        Path | None, typer.Option(help="Write what the phone really showed and sent. Holds secrets.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The closing summary as JSON on stdout.")] = False,
) -> None:
    """Emulate a phone with a shop app, record it, upload to a collector and open the viewer.

    OUT/recording has the segments as the folder sink wrote them, OUT/collector the same as received over HTTP.

    Example: android-replay demo --seconds 25 --out demo-out --no-open
    """
    from agent.commands.attach import record
    from agent.commands.console import put_json, say
    from agent.commands.rig import Wanted
    from agent.errors import StorageDenied, StorageError
    from agent.settings import load
    from agent.store.disk import make_folder

    try:
        make_folder(out)
    except StorageError as error:
        raise StorageDenied(error.message, "Choose another folder with --out.") from error
    profile = "pixel7" if devices == 1 else "small"
    _end_by_signal()
    say("Starting a collector and an emulated phone behind a real adb server ...")
    with (
        child("collector", "--folder", str(out / "collector"), "--port", "0") as collector,
        child(
            "emulate", "--devices", str(devices), "--scenario", "shop", "--profile", profile,
            *(("--truth", str(truth)) if truth else ()),
        ) as phones,
    ):  # fmt: skip
        settings = load({"spool": out / "spool", "adb.port": phones["port"]}).settings
        sinks = f"dir:{out / 'recording'}", f"collector:{collector['url']}"
        summary = record(settings, Wanted(tuple(phones["serials"]), app=SHOP, sinks=sinks), seconds)
        _end_by_signal()
        if as_json:
            put_json(summary)
        say(f"Recording: {out / 'recording'}\nAs received by the collector: {out / 'collector'}")
        if open_viewer and sys.stdin is not None and sys.stdin.isatty():
            import webbrowser

            say(f"Viewer: {collector['url']} (Ctrl-C ends)")
            webbrowser.open(collector["url"])
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        else:
            say(f"Watch it: android-replay view {shlex.quote(str(out / 'recording'))}")


def _end_by_signal() -> None:
    """Make the signals that end a program end this one in order, with its children. An event loop undoes it."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Who was started to outlive the terminal does.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


@contextlib.contextmanager
def child(*command: str) -> Iterator[dict[str, Any]]:
    """A command of ours in its own process, ended at exit; yields the JSON line that it prints once it is ready."""
    from agent.errors import AgentError

    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "agent.cli", *command, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C in a terminal reaches the whole group; phone and collector must outlive what is still being sent.
        start_new_session=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            code = process.wait(END_SECONDS)
            raise AgentError(
                f"`android-replay {command[0]}` ended with {code} before it was ready.", "Its message stands above."
            )
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

"""`android-replay view`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.export.check import Fault
    from agent.store.recording import Recording

HOST = "127.0.0.1"


def view(
    path: Annotated[
        Path,
        typer.Argument(
            help="The recording: its folder or a .replay file (or, to --check, a list).", show_default=False
        ),
    ],
    port: Annotated[int, typer.Option(help="Port to serve on; 0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Address to serve on; another than loopback asks for a token.")] = HOST,
    name: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="A host name under which it is reached; repeatable.")
    ] = None,
    token_env: Annotated[
        str, typer.Option(metavar="NAME", help="Environment variable with the token to ask for. Left out: a new one.")
    ] = "",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    check: Annotated[
        bool, typer.Option("--check", help="Instead of opening it, check that any rrweb player can show it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: each problem as a JSON line.")] = False,
) -> None:
    """Open a recording in the browser: the phone's screen, its events, its log, its gaps.

    The page is served until Ctrl-C; its address is printed. Nothing leaves this machine, unless --host lets other
    machines in: then whoever watches needs the token in the printed address (which a browser keeps as a cookie), or
    shows it as a bearer token or as the password. The token of --token-env is not printed.

    --check reads every event and picture, of a recording or of an event list that `export --format rrweb` wrote, and
    prints each problem with its place: file, event, rule. Exit code 17 when there is one, 0 when there is none.

    Example: android-replay view replays/checkout
    """
    from agent.errors import ConfigError

    if check:
        if port or host != HOST or name or token_env:
            raise ConfigError("--check serves no page.", "Leave --port, --host, --name and --token-env away.")
        _check(path, as_json)
        return
    if as_json:
        raise ConfigError("--json tells what --check finds.", "Leave it away, or give --check.")
    import webbrowser
    from urllib.parse import urlencode

    from agent.access import TOKEN, from_environment, new_token
    from agent.collector.server import Server, serve
    from agent.commands.console import put, say
    from agent.outbox.exchange import is_loopback
    from agent.viewer.app import make_app
    from agent.viewer.assets import check_build

    check_build()
    token = from_environment(token_env) if token_env else ""
    if not is_loopback(host):
        token = token or new_token()

    with opened(path) as shown, ExitStack() as stack:

        def ready(server: Server) -> None:
            address = f"{server.url}/?{urlencode({TOKEN: token})}" if token else server.url
            put(server.url if token_env else address)
            there = open_browser and webbrowser.open(stack.enter_context(_door(address)) if token else address)
            say("Ctrl-C ends." if there or not open_browser else "Open the address in a browser. Ctrl-C ends.")

        serve(make_app(shown, hosts=[host, *(name or ())], token=token), host, port, ready)


@contextmanager
def _door(address: str) -> Iterator[str]:
    """A file of this user's alone that leads a browser to the address: every user of a host may see what a program, a
    browser too, was started with."""
    from html import escape

    from agent.store.disk import private_folder

    with private_folder() as folder:
        file = folder / "open.html"
        file.touch(0o600)
        page = '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Replay</title>'
        file.write_text(f'{page}<meta http-equiv="refresh" content="0; url={escape(address)}">', encoding="utf-8")
        yield file.as_uri()


def _check(path: Path, as_json: bool) -> None:
    """Print every problem. Raises InvalidReplay when there is one."""
    from agent.export import check
    from agent.export.part import check_filled
    from agent.store.bundle import is_bundle

    # What is a file and no bundle can only be a list.
    if path.is_file() and not is_bundle(path):
        _tell(check.event_list(path), "event list", as_json)
    else:
        with opened(path) as shown:
            check_filled(shown, path)
            _tell(check.recording(shown), "segments", as_json)


def _tell(found: Iterable[Fault | None], what: str, as_json: bool) -> None:
    from dataclasses import asdict

    from agent.commands.console import put, put_json, say
    from agent.errors import InvalidReplay

    checked = faults = 0
    for fault in found:
        if fault is None:
            checked += 1
            continue
        faults += 1
        if as_json:
            put_json(asdict(fault))
        else:
            event = "" if fault.event is None else f" event {fault.event}"
            put(f"{fault.file}{event}: {fault.rule}" + (f": {fault.detail}" if fault.detail else ""))
    if faults:
        raise InvalidReplay(f"{faults} problems in {checked} {what}.", "A player may show it wrongly, or not at all.")
    say(f"{checked} {what} checked, no problem.")


@contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """The recording at `path`: a folder, or a bundle, which is unpacked until the block ends.

    Raises RecordingError that says what is there instead, StorageError.
    """
    from agent.store.bundle import is_bundle, unpacked

    if is_bundle(path):
        with unpacked(path) as shown:
            yield shown
    else:
        yield recording(path)


def recording(path: Path) -> Recording:
    """The recording at `path`. Raises RecordingError that says what is there instead."""
    from agent.errors import RecordingError
    from agent.store.recording import Recording

    if not path.exists():
        raise RecordingError(f"There is no {path}.", "Make a recording with `android-replay attach --sink dir:PATH`.")
    if not path.is_dir():
        raise RecordingError(f"{path} is a file.", "Give the recording's folder, the one that holds recording.json.")
    return Recording.open(path)

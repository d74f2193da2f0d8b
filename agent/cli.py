"""The command line: names the commands, loads one only when it is called, maps errors to a sentence and a code."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from agent.runtime.signals import unwinding

if TYPE_CHECKING:
    import typer

_STDERR = 2
COMMANDS = {
    "devices": "List the devices that adb sees, and why one cannot be used.",
    "doctor": "Check everything a recording needs, each check with its fix.",
    "attach": "Record and upload attached devices until stopped.",
    "run": "Record while a command runs tests: one recording for each test and attempt.",
    "record": "Record a QA session into one file, with markers and notes, steps and a summary.",
    "mark": "Put a marker into the recordings that run on this host.",
    "upload": "Deliver what waits in the spool, with the receipts.",
    "control": "Start or stop capture of a recorder that runs on this host.",
    "events": "Read a saved logcat into Segment events with their ids.",
    "audit": "List what can be read in a recording, and what is hidden by which rule.",
    "mask": "Show what would be masked of a screen, view by view, and why.",
    "sessions": "List, show, delete or export the sessions that are kept here.",
    "redact": "Hide more of a stored recording, and destroy what is hidden.",
    "relay": "Pass an app's Segment settings and batches on, and lose none.",
    "snippet": "Print the lines that an app adds to be heard: log or relay.",
    "farm": "Run commands on devices of this host, or of many.",
    "view": "Open a recording in the browser.",
    "export": "Turn a recording into a video, a page in one file, steps, a bug bundle or an event list.",
    "collector": "Receive uploads yourself, with the same wire contract, and view them.",
    "emulate": "Run emulated devices behind a real adb server.",
    "demo": "The whole thing with no phone: emulate, attach, upload, view.",
}


def build(names: list[str]) -> typer.Typer:
    """The command line with the named commands loaded in full and the others by name and one line only."""
    import typer

    app = typer.Typer(
        name="android-replay",
        help="Record Android devices over ADB, join the recording with the app's Segment events, mask it, upload it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ) -> None:
        """Exit codes: 0 done, 1 unexpected, 2 wrong arguments, others as in the README."""

    for name, line in COMMANDS.items():
        if name in names:
            module = importlib.import_module(f"agent.commands.{name}")
            command = getattr(module, name)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
        else:
            app.command(name, short_help=line)(lambda: None)
    return app


def _version(asked: bool) -> None:
    if asked:
        import typer

        from agent import __version__
        from agent.commands.console import put

        put(f"android-replay {__version__}")
        raise typer.Exit


class _Words(io.FileIO):
    """Standard error that refuses nothing: what nobody can read (a closed terminal, a full disk) fails no command."""

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        size = rest.nbytes
        with contextlib.suppress(OSError):
            # None where it would have to be waited for.
            while rest and (written := super().write(rest)):
                rest = rest[written:]
        return size


def _open_words() -> None:
    """Make standard error one that can always be written, also where it was closed when the program started, and
    standard output one that takes any text."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        # Else the next file that is opened would be what programs take for standard error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    elif sys.stderr is not sys.__stderr__:
        return
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    # No buffer between: a signal that comes during a write may say something, too, and a buffer refuses that.
    words: Any = _Words(_STDERR, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(words, encoding, errors="backslashreplace", write_through=True)


def main() -> None:
    """Entry point of `android-replay`. Ends the process with the documented exit code."""
    _open_words()
    with unwinding():
        _main()


def _main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    app = build(words[:1])
    from agent.commands.console import say
    from agent.errors import AgentError, StorageError, exit_code, worded
    from agent.store.disk import sweep_private
    from bridge.errors import BridgeError

    sweep_private()
    try:
        try:
            app()
        except OSError as error:
            if error.filename is None:
                raise
            # A name that no file system takes, or one in a folder that may not be looked into.
            raise StorageError(
                f"{error.filename} cannot be used: {error.strerror}.", "Check the path, and what you may do there."
            ) from error
    except (AgentError, BridgeError) as error:
        say(f"android-replay: {worded(error)}")
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

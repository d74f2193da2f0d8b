"""`android-replay record`: a QA session into one file, with markers and notes while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands.masking import Block, Mask, Unmask, rules

if TYPE_CHECKING:
    import asyncio

    from agent.commands.progress import Progress
    from agent.commands.rig import Rig
    from agent.export.summary import Summary
    from agent.settings import Settings
    from bridge.types import Stamp

WORKING = ".recording"
# How far back the key k goes when --last does not say.
LAST_SECONDS = 30.0


def record(
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write, NAME.replay.", show_default=False)],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "-s", "--device", help="SERIAL, usb:SERIAL, emulator:PORT, tcp:HOST:PORT or emulated:SCENARIO; repeatable."
        ),
    ] = None,
    app: Annotated[str | None, typer.Option(help="The app's package; the one in front when left out.")] = None,
    last: Annotated[
        float | None, typer.Option(min=1, help="Keep only the last so many seconds; with the key k, from k back.")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=1, help="Stop after so many seconds.")] = None,
    http: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Take markers over HTTP on loopback; 0 takes a free port."),
    ] = None,
    token_env: Annotated[
        str, typer.Option(metavar="NAME", help="Environment variable with the token for --http. Left out: a new one.")
    ] = "",
    bundle: Annotated[
        Path | None, typer.Option(help="Also write a bug bundle: a folder, or FILE.zip (see `export --format bundle`).")
    ] = None,
    title: Annotated[str, typer.Option(help="The title of the bug in the bundle.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    sink: Annotated[
        list[str] | None, typer.Option(help="Also send it there: dir:PATH, collector:URL, amplitude:us|eu|URL.")
    ] = None,
    relay: Annotated[
        bool, typer.Option("--relay", help="Relay the app's Segment uploads, too (see `snippet relay`).")
    ] = False,
    quality: Annotated[
        str | None, typer.Option(help="text (views, no pictures), low, medium or high. Left out: medium.")
    ] = None,
    level: Annotated[str | None, typer.Option(help="Masking: light, medium or conservative.")] = None,
    block: Block = None,
    mask: Mask = None,
    unmask: Unmask = None,
    display: Annotated[
        int | None, typer.Option(min=0, help="The display to record, as `devices` lists it. Left out: the default one.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Ids come from the event itself, never by inference.")
    ] = False,
    log_format: Annotated[
        str | None, typer.Option(help="text, or json: all that is said on stderr as one JSON object a line.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The closing summary as JSON on stdout.")] = False,
) -> None:
    """Record a session into one .replay file; at its end say what is in it: sessions, markers, gaps, findings, steps.

    On a terminal keys mark it: m a marker, n a note (type it, Enter), k keep only what comes from 30 s (--last) before
    now, a keep all again, q stop. `android-replay mark` does so from another terminal, --http for other programs.
    Ctrl-C stops in order.

    Until the end it is a folder beside the file, NAME.recording, which `view` opens at any time. When the program is
    killed that folder stays: `android-replay upload` brings what was on its way, `android-replay export NAME.recording
    --format replay -o NAME.replay` makes the file.

    Exit codes: 0 written; 2 an argument, a package that is not installed, or a file in the way; 3 no device; 11 the
    disk; 15 nothing was recorded; 130 a second Ctrl-C. What was recorded until then is kept, also by the others.

    Example: android-replay record --app com.example.shop -o checkout.replay --bundle checkout-bug
    """
    import os
    import shlex

    from agent.commands.console import logged, put_json, say
    from agent.commands.phones import phones
    from agent.commands.rig import Wanted, check_stored
    from agent.commands.view import opened
    from agent.errors import ConfigError
    from agent.export import bug
    from agent.export.steps import page
    from agent.settings import load

    flags = {
        "capture.quality": quality,
        "privacy.level": level,
        "capture.display": display,
        "privacy.rules": rules(block, mask, unmask),
        "plugin.strict": strict or None,
        "log.format": log_format,
    }
    settings = load(flags, config).settings
    with logged(settings, hide=[os.environ.get(token_env, "")]):
        if title and bundle is None:
            raise ConfigError("A title is that of the bug bundle.", "Leave --title away, or give --bundle.")
        token = _token(http, token_env)
        working = prepared(out, bundle, force)
        with phones(settings, device or ()) as there:
            sinks = (f"dir:{working.absolute()}", *(sink or ()))
            wanted = Wanted(there.specs, app=app or there.app, sinks=sinks, relay=relay, alone=False)
            told, summary = recorded(
                there.settings, wanted, out, force, working, last, duration, http, token, token_env
            )
        say(f"\n{out}: {summary.seconds:.0f} s, {out.stat().st_size:,} bytes")
        for line in page(summary):
            say(line)
        told |= {"file": str(out), "bytes": out.stat().st_size, **summary.facts()}
        if bundle is not None:
            with opened(out) as recording:
                told["bundle"] = bug.write(recording, summary, bundle, force, title or out.stem)
            say(f"{bundle}: the bug bundle; {bug.TICKET} in it is the text for the tracker.")
        if as_json:
            put_json(told)
        check_stored(told["recorder"]["unstored"], settings.spool)
        say(f"Watch it: android-replay view {shlex.quote(str(out))}")


def _token(http: int | None, name: str) -> str:
    from agent.access import from_environment, new_token
    from agent.errors import ConfigError

    if http is None:
        if name:
            raise ConfigError("--token-env is for --http.", "Give --http, too, or leave it away.")
        return ""
    return from_environment(name) if name else new_token()


def prepared(out: Path, bundle: Path | None, force: bool) -> Path:
    """The folder to record into until the file is made. Raises ConfigError when something is in the way, BuildError
    when a bundle could not be made."""
    from agent.errors import ConfigError
    from agent.export import bug
    from agent.export.output import check_free
    from agent.store.bundle import SUFFIX
    from agent.store.disk import FolderLock, FolderTaken
    from agent.store.recording import LOCK
    from agent.viewer.assets import check_build

    if out.suffix != SUFFIX:
        raise ConfigError(f"{out} is no name for a recording.", f"Give one that ends in {SUFFIX}: {out.name}{SUFFIX}.")
    check_free(out, force)
    if bundle is not None:
        check_build()
        bug.check_free(bundle, force)
    working = out.with_suffix(WORKING)
    if working.exists():
        try:
            FolderLock(working / LOCK, shared=False).close()
        except FolderTaken as error:
            raise ConfigError(f"Another recorder writes {working} now.", "Stop it, or give another name.") from error
        raise ConfigError(
            f"{working} is there: it was left by a recorder that was killed.",
            f"Make its file with {pick_up(working, out)}, or delete it.",
        )
    return working


def pick_up(working: Path, out: Path) -> str:
    """How what a recorder left is made a file."""
    import shlex

    there, here = shlex.quote(str(working)), shlex.quote(str(out))
    return f"`android-replay upload`, then `android-replay export {there} --format replay -o {here}`"


def recorded(
    settings: Settings,
    wanted: Any,
    out: Path,
    over: bool,
    working: Path,
    last: float | None,
    duration: float | None,
    http: int | None,
    token: str,
    token_env: str,
) -> tuple[dict[str, Any], Summary]:
    """Record until it is stopped, and make the file, `over` one that is there. Gives the recorder's facts and what is
    in the file.

    Raises AgentError; what was recorded by then is in `out`, or stays in `working`, and it is said where.
    """
    import asyncio
    import contextlib
    import shutil

    from agent.commands.console import say
    from agent.commands.progress import Progress
    from agent.commands.rig import rigged
    from agent.errors import AgentError
    from agent.runtime.signals import finishing
    from agent.store.recording import Recording
    from bridge.errors import BridgeError

    failure: AgentError | BridgeError | None = None
    left, refused, began = 0, 0, False
    ours = f"dir:{working.absolute()}"
    try:
        Recording.create(working)
        with rigged(settings, wanted) as rig, contextlib.ExitStack() as stack:
            say(f"Recording into {working}; if this program is killed: {pick_up(working, out)}.")
            before = rig.spool.refused(ours)
            with Progress(rig.statuses, rig.uploader) as progress:
                session = Session(rig, progress, last)
                if http is not None:
                    stack.enter_context(session.door(http, token, token_env))
                began = True
                try:
                    asyncio.run(session.run(duration))
                except (AgentError, BridgeError) as error:
                    failure = error
                # What ends a job from outside leaves what Ctrl-C leaves.
                finishing()
                progress.note("storing what is left")
                rig.flush()
            facts = rig.summary()
            left, refused = rig.spool.pending(ours), rig.spool.refused(ours) - before
            if failure is None:
                rig.tell(facts)
        _check_all_there(left, refused, settings, working, out)
        summary = packed(working, out, *session.kept(), over=over)
    except BaseException:
        # What waits was told of; what a second Ctrl-C has left may still be in the spool alone.
        if began and not left and not refused:
            say(f"What was recorded is kept in {working}. Make its file with {pick_up(working, out)}.")
        elif not began:
            shutil.rmtree(working, ignore_errors=True)
        raise
    if failure is not None:
        if summary is not None:
            say(f"{out}: what was recorded until then, {summary.seconds:.0f} s.")
        raise failure
    if summary is None:
        raise AgentError("Nothing was recorded.", _why_nothing(rig))
    return {"recorder": facts}, summary


def _check_all_there(left: int, refused: int, settings: Settings, working: Path, out: Path) -> None:
    """Raises StorageFull when the folder has not got all that was recorded, StorageError when it never will."""
    from agent.errors import StorageError, StorageFull

    if left:
        raise StorageFull(
            f"{left} segments found no room in {working} and wait in {settings.spool}.",
            f"Free some space, then make the file with {pick_up(working, out)}.",
        )
    if refused:
        raise StorageError(
            f"{refused} segments are damaged in {settings.spool} and did not come into {working}.",
            f"Make a file of the others with {pick_up(working, out)}; the first says what is wrong.",
        )


def _why_nothing(rig: Rig) -> str:
    """What a person can do about a recording in which nothing is."""
    for status in rig.statuses.values():
        if status.problem:
            return f"{status.serial}: {status.problem}"
        if status.paused:
            return f"Nothing was captured: {status.paused}."
        if not status.session_id:
            return (
                f"No session id was seen in the log of {status.package or 'the app'}, and a replay belongs to one: "
                f"`android-replay doctor --app {status.package or 'PACKAGE'}` says why, `android-replay snippet log` "
                "what the app adds."
            )
    if rig.statuses:
        return "Nothing happened on the screen, or the app was not in front."
    return "No device came. `android-replay devices` tells what adb sees."


def packed(working: Path, out: Path, from_ms: int | None, to_ms: int, *, over: bool) -> Summary | None:
    """Make the file of what was recorded, from a time on, and take the working folder away; None when that is nothing.

    Raises StorageError, RecordingError, ConfigError when a file came meanwhile that it may not be written `over`; then
    the folder stays.
    """
    import shutil
    import tempfile

    from agent.errors import AgentError
    from agent.export.output import whole
    from agent.export.part import parts
    from agent.export.summary import summarize
    from agent.store import bundle
    from agent.store.disk import guarded
    from agent.store.excerpt import excerpt
    from agent.store.recording import Recording

    recording = Recording.open(working)
    serials = sorted({manifest.serial for manifest in recording.manifests()})
    if not serials:
        shutil.rmtree(working, ignore_errors=True)
        return None
    with guarded(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-") as cut:
        if from_ms is not None:
            for serial in serials:
                excerpt(recording, serial, from_ms, to_ms, Path(cut) / "cut")
            recording = Recording.open(Path(cut) / "cut")
            if not recording.manifests():
                raise AgentError(
                    "Nothing was recorded in the time that is to be kept.", "All of it is there, see above."
                )
        with whole(out, over) as aside:
            bundle.pack(recording, aside)
        summary = summarize(recording, parts(recording))
    shutil.rmtree(working, ignore_errors=True)
    return summary


class Session:
    """A recording while it runs: what people and programs mark, and from when on it is kept."""

    def __init__(self, rig: Rig, progress: Progress, last: float | None) -> None:
        from agent.commands.keys import Keys

        self._rig = rig
        self._progress = progress
        self._last = last
        self._keys = Keys()
        self._stop: asyncio.Event | None = None
        self._markers = 0
        self._keep_ms: int | None = None
        self._whole = False
        self._noted: Stamp | None = None
        self._ended_ms: int | None = None

    def kept(self) -> tuple[int | None, int]:
        """From when (None: from the beginning) to when it is kept, epoch ms."""
        ended_ms = self._ended_ms or self._rig.clock.now().wall_ms
        if self._keep_ms is None and self._last is not None and not self._whole:
            return ended_ms - round(self._last * 1000), ended_ms
        return self._keep_ms, ended_ms

    async def run(self, duration: float | None) -> None:
        """Record until it is stopped. Raises AgentError."""
        import asyncio

        from agent.commands.keys import KEYS, listening
        from agent.commands.rig import until_stopped

        self._stop = asyncio.Event()
        ending = asyncio.create_task(self._end(self._stop))
        try:
            with listening(asyncio.get_running_loop(), self._typed) as keys:
                self._progress.note(KEYS if keys else "Ctrl-C stops")
                await until_stopped(self._rig, duration, self._stop)
        finally:
            ending.cancel()

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._ended_ms = self._rig.clock.now().wall_ms
        self._progress.note("stopping")

    @contextmanager
    def door(self, port: int, token: str, token_env: str = "") -> Iterator[None]:
        """Take markers over HTTP while the block runs, and say how to bring them. Raises AddressTaken, ConfigError.

        A token that came from the variable `token_env` is told by its name alone.
        """
        import shlex

        from agent.collector.server import Server
        from agent.commands.console import say
        from agent.commands.remarks import PATH, make_app

        app = make_app(lambda name, note: self._mark(name, note, "http"), token)
        with Server(app, "127.0.0.1", port, "--http") as server:
            bearer = "Authorization: Bearer "
            asked = f'"{bearer}${token_env}"' if token_env else shlex.quote(bearer + token)
            say(f'Markers over HTTP: curl -H {asked} -d \'{{"name": "wrong total"}}\' {server.url}{PATH}')
            yield

    def _mark(self, name: str, note: str, by: str, at: Stamp | None = None) -> int:
        from agent.model import Marker

        return self._rig.mark(Marker(at or self._rig.clock.now(), name, note, by))

    def _typed(self, data: bytes) -> None:
        for pressed in self._keys.feed(data):
            if pressed.what == "marker":
                self._markers += 1
                name = f"marker {self._markers}"
                self._say(f"{name} is set" if self._mark(name, "", "key") else "no device yet, nothing is marked")
            elif pressed.what == "begin":
                # What is noted was seen now, however long it takes to say it.
                self._noted = self._rig.clock.now()
            elif pressed.what == "note":
                told = self._mark("note", pressed.text, "key", self._noted)
                self._say("the note is taken" if told else "no device yet, nothing is noted")
            elif pressed.what == "cancel":
                self._say("no note")
            elif pressed.what == "keep":
                back = self._last or LAST_SECONDS
                self._whole = False
                self._keep_ms = self._rig.clock.now().wall_ms - round(back * 1000)
                self._say(f"what is older than {back:g} s will be left out")
            elif pressed.what == "all":
                self._keep_ms, self._whole = None, True
                self._say("all of it will be kept")
            elif self._stop is not None:
                self._stop.set()
        if self._keys.typing is not None:
            self._progress.note(f"note: {self._keys.typing}_ (Enter takes it, Esc does not)")

    def _say(self, words: str) -> None:
        from agent.commands.keys import KEYS

        self._progress.note(f"{words} | {KEYS}")

"""`android-replay export`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.export.part import Part
    from agent.store.recording import Recording

PLAIN_SECONDS = 5.0
_interrupted = threading.Event()


class Format(StrEnum):
    HTML = "html"
    MP4 = "mp4"
    RRWEB = "rrweb"
    REPLAY = "replay"
    STEPS = "steps"
    BUNDLE = "bundle"


SUFFIXES = {
    Format.BUNDLE: ".zip",
    Format.STEPS: ".md",
    Format.HTML: ".html",
    Format.MP4: ".mp4",
    Format.RRWEB: ".json",
    Format.REPLAY: ".replay",
}


def export(
    path: Annotated[Path, typer.Argument(help="The recording: its folder or a .replay file.", show_default=False)],
    form: Annotated[Format, typer.Option("--format", help="What to make of it.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="The file to write, or a folder (a name without a suffix).", show_default=False
        ),
    ],
    session: Annotated[int | None, typer.Option(help="Only the session of this id.")] = None,
    device: Annotated[str | None, typer.Option(help="Only sessions of this device id.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Begin here: 90, 1:30 or 0:01:30 from the start, or a date and time.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End here, given as --from is.")] = None,
    title: Annotated[str, typer.Option(help="The title of the bug in a bundle. Left out: the recording's name.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was written, a JSON line a file, on stdout.")] = False,
) -> None:
    """Turn a recording into one file that opens anywhere.

    html: the viewer with the recording inside, in one page that needs no network. mp4: a video with the fingers drawn
    (needs PyAV, the extra `video`). rrweb: the plain event list of a session, pictures in line, for any rrweb player.
    replay: the recording itself as one file, which view, audit and export open. steps: what was done, in sentences that
    name what was touched, as Markdown for a ticket. bundle: a bug bundle, a folder or FILE.zip: the .replay, the page,
    the steps, the app's log, device facts, findings, and ticket.md, the text for a tracker.
    Pauses of more than a minute are played as 3 seconds in mp4 and rrweb, and say how long they were.

    mp4 and rrweb hold one session a file: with several in the recording choose one by --session, or give a folder. A
    page and the steps hold all of them, or those that --session and --device name.
    Masks are part of the stored pictures, so no export shows more than the recording does. Ctrl-C leaves no file.

    Exit codes: 0 written; 2 no such session, nothing recorded yet, a bad time, or a file in the way; 11 the recording
    or the disk, also when a damaged segment or picture had to be left out (of replay and bundle, which are whole or not
    there, nothing is written then); 14 PyAV or the viewer's player is missing; 130 Ctrl-C.

    Example: android-replay export replays --format mp4 -o checkout.mp4 --from 0:30 --to 2:00
    """
    import signal

    from agent.commands.view import opened
    from agent.errors import ConfigError, RecordingError
    from agent.export.part import check_filled
    from agent.runtime.signals import ending, patient

    if form in (Format.REPLAY, Format.BUNDLE) and (session, device, begin, end) != (None, None, None, None):
        what = "A .replay file" if form is Format.REPLAY else "A bug bundle"
        raise ConfigError(f"{what} holds the whole recording.", "Leave --session, --device, --from and --to away.")
    if str(out) == "-":
        raise ConfigError("An export goes to a file.", "Give its name; one that is called - is ./-.")
    if title and form is not Format.BUNDLE:
        raise ConfigError("A title is that of a bug bundle.", "Leave --title away, or take --format bundle.")
    if form is Format.HTML and (begin, end) != (None, None):
        raise ConfigError("A page holds whole sessions.", "Leave --from and --to away, or take another format.")
    # A job that is ended from outside leaves no half file either.
    _interrupted.clear()
    told = patient(_interrupt)
    for number in ending():
        signal.signal(number, told)
    problems: list[str] = []
    with opened(path) as recording:
        check_filled(recording, path)
        for row in _write(recording, form, out, (session, device, begin, end), force, problems, title):
            _report(row, as_json)
    if problems:
        shown = "; ".join(problems[:3]) + ("; ..." if len(problems) > 3 else "")
        what = "segments or pictures" if form in (Format.HTML, Format.MP4) else "segments"
        raise RecordingError(f"{len(problems)} damaged {what} were left out: {shown}", "The rest was written.")


def _write(
    recording: Recording,
    form: Format,
    out: Path,
    wanted: tuple[int | None, str | None, str | None, str | None],
    force: bool,
    problems: list[str],
    title: str = "",
) -> Iterator[dict[str, Any]]:
    """Write the files, and say of each what it is."""
    from agent.commands.console import say
    from agent.errors import ConfigError, RecordingError
    from agent.export import bug, eventlist, video
    from agent.export.output import check_free, whole
    from agent.export.part import Chosen, parts
    from agent.export.steps import markdown
    from agent.export.stream import Stream
    from agent.export.summary import summarize
    from agent.store import bundle

    if form is Format.REPLAY:
        file = out / f"{recording.path.resolve().name}{SUFFIXES[form]}" if _is_folder(out) else out
        if file.suffix != SUFFIXES[form]:
            raise ConfigError(f"{file} would be opened by nothing.", f"Give a name that ends in {SUFFIXES[form]}.")
        check_free(file, force)
        with whole(file, force) as aside:
            segments = bundle.pack(recording, aside)
        yield {"file": str(file), "format": form.value, "segments": segments, "bytes": file.stat().st_size}
        return
    problems += [str(problem) for problem in recording.problems()]
    if form is Format.HTML:
        file = out / f"{recording.path.resolve().name}.html" if _is_folder(out) else out
        check_free(file, force)
        chosen = recording if wanted[:2] == (None, None) else Chosen(recording, parts(recording, *wanted))
        with whole(file, force) as aside, _progress(file.name) as tell:
            _page(chosen, aside, tell, problems)
        yield {"file": str(file), "format": form.value, "bytes": file.stat().st_size}
        return
    if form is Format.BUNDLE:
        summary = summarize(recording, parts(recording))
        made = bug.write(recording, summary, out, force, title or recording.name)
        yield {"file": str(out), "format": form.value, "files": made["files"], "bytes": sum(made["files"].values())}
        return
    if form is Format.STEPS:
        file = out / f"{recording.path.resolve().name}{SUFFIXES[form]}" if _is_folder(out) else out
        check_free(file, force)
        summary = summarize(recording, parts(recording, *wanted))
        if not summary.seconds and summary.problems:
            raise RecordingError(f"Nothing of {recording.shown} can be read: {summary.problems[0]}")
        problems += summary.problems
        with whole(file, force) as aside:
            aside.write_text(markdown(summary, recording.name), encoding="utf-8")
        count = sum(step.action for phone in summary.phones for step in phone.steps)
        yield {"file": str(file), "format": form.value, "steps": count, "bytes": file.stat().st_size}
        return
    files = _files(parts(recording, *wanted), form, out)
    for _, file in files:
        check_free(file, force)
    for part, file in files:
        stream = Stream(recording, part)
        with whole(file, force) as aside, _progress(file.name) as tell:
            if form is Format.MP4:
                count = video.write(stream, part, aside, tell)
            else:
                with aside.open("wb") as target:
                    count = eventlist.write(stream, part, target, tell)
            if not count:
                why = next(iter(stream.problems), "no picture and no event is in it.")
                raise RecordingError(f"Nothing of session {part.session_id} can be read: {why}")
        problems += stream.problems
        for note in stream.notes:
            say(note)
        yield {
            "file": str(file),
            "format": form.value,
            "session_id": part.session_id,
            "device_id": part.device_id,
            "from_ms": part.from_ms,
            "to_ms": part.to_ms,
            "frames" if form is Format.MP4 else "events": count,
            "bytes": file.stat().st_size,
        }


def _files(found: list[Part], form: Format, out: Path) -> list[tuple[Part, Path]]:
    """Which file each session goes to. Raises ConfigError when one file is to hold several."""
    from agent.errors import ConfigError
    from agent.export.part import names

    suffix = SUFFIXES[form]
    if _is_folder(out):
        return [(part, out / f"{name}{suffix}") for part, name in zip(found, names(found), strict=True)]
    if len(found) > 1:
        ids = ", ".join(f"{part.session_id} of {part.device_id}" for part in found[:8])
        raise ConfigError(
            f"The recording holds {len(found)} sessions, and a file holds one.",
            f"Choose by --session (and --device), or give a folder with -o. There are: {ids}.",
        )
    return [(found[0], out)]


def _is_folder(out: Path) -> bool:
    """Whether files go into `out`: a folder, or a name that is free and has no suffix."""
    return out.is_dir() or not (out.suffix or out.exists())


def _page(recording: Recording, file: Path, tell: Callable[[float], None], problems: list[str]) -> None:
    from agent.viewer.page import single_file

    manifests = recording.manifests()
    pieces = 3 + len(manifests) + len({digest for manifest in manifests for digest in manifest.pictures})
    with file.open("wb") as target:
        for done, piece in enumerate(single_file(recording, problems.append), 1):
            target.write(piece)
            tell(done / pieces)


def _report(row: dict[str, Any], as_json: bool) -> None:
    from agent.commands.console import put_json, say

    what = "".join(f"{row[name]:,} {name}, " for name in ("frames", "events", "steps") if name in row)
    length = (
        f"{(row['to_ms'] - row['from_ms']) / 1000:.1f} s of session {row['session_id']}, " if "to_ms" in row else ""
    )
    say(f"{row['file']}: {length}{what}{row['bytes']:,} bytes")
    if as_json:
        put_json(row)


def _interrupt() -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def _go_on() -> None:
    """Raises KeyboardInterrupt when one was lost: what is raised while C code calls back, or collects, ends there."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    with _shown(name) as show:

        def tell(share: float) -> None:
            _go_on()
            show(share)

        yield tell
        _go_on()


@contextmanager
def _shown(name: str) -> Iterator[Callable[[float], None]]:
    import time

    from agent.commands.console import lively, say

    if lively():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(name, total=1.0)
            yield lambda share: progress.update(task, completed=min(1.0, share))
        return
    said = time.monotonic()

    def tell(share: float) -> None:
        nonlocal said
        if time.monotonic() - said >= PLAIN_SECONDS:
            said = time.monotonic()
            say(f"{name}: {min(1.0, share):.0%}")

    yield tell

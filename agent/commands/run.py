"""`android-replay run`: a recorder beside any test runner."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agent.commands.masking import Block, Mask, Unmask, rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.commands.beside import Beside
    from agent.commands.rig import Rig, Wanted
    from agent.outbox.spool import Spool
    from agent.runs.junit import Report, Result
    from agent.runs.ledger import Attempt
    from agent.runs.shelf import Shelf
    from agent.runs.table import Facts, Row
    from agent.settings import Settings

T = TypeVar("T")

INTERRUPTED = 130
# So many recordings take a moment.
MANY = 20


class Keep(StrEnum):
    ALL = "all"
    FAILED = "failed"
    FIRST_RETRY = "first-retry"


class Gate(StrEnum):
    DOCTOR = "doctor"
    GAPS = "gaps"


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD...", help="The command that runs the tests.", show_default=False)
    ],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--device",
            help="SERIAL, usb:SERIAL, emulator:PORT, tcp:HOST:PORT or emulated:SCENARIO; repeatable.",
        ),
    ] = None,
    app: Annotated[str | None, typer.Option(help="The app's package; the one in front when left out.")] = None,
    keep: Annotated[
        Keep, typer.Option(help="Which attempts keep their recording; first-retry: second ones alone.")
    ] = Keep.ALL,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Where recordings and tables go; nothing there is written over.")
    ] = Path("replays"),
    junit: Annotated[
        Path | None,
        typer.Option(help="The JUnit file (or folder of files) that CMD writes: it is read, then enriched."),
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            help="Where all of it goes besides, as it is recorded: dir:PATH, collector:URL, amplitude:us|eu|URL; "
            "repeatable. --keep is for --out alone."
        ),
    ] = None,
    relay: Annotated[
        bool, typer.Option("--relay", help="Relay the app's Segment uploads, too (see `snippet relay`).")
    ] = False,
    gate: Annotated[
        list[Gate] | None,
        typer.Option(help="Fail on errors of the app's instrumentation, or on gaps; repeatable."),
    ] = None,
    quality: Annotated[
        str | None, typer.Option(help="text (views, no pictures), low, medium or high. Left out: medium.")
    ] = None,
    level: Annotated[str | None, typer.Option(help="Masking: light, medium or conservative.")] = None,
    block: Block = None,
    mask: Mask = None,
    unmask: Unmask = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The table as JSON on stdout; what CMD prints goes to stderr.")
    ] = False,
) -> None:
    """Record while a command runs tests: one recording for each test and attempt, joined with the app's session ids.

    CMD finds ANDROID_SERIAL (with one phone), ANDROID_REPLAY_RUN_SERIALS (all, with commas) and what leads adb to the
    server that is recorded from (ANDROID_ADB_SERVER_PORT) in its environment. Which test runs when is told by: our
    pytest plugin, where this package is installed beside pytest; HTTP, for any language (POST
    $ANDROID_REPLAY_RUN_URL/tests, see the README); the lines of AndroidX Test in the phone's log; the JUnit file at the
    end. run.json, run.md and index.html in the folder tell all of it.

    Ctrl-C is passed on to CMD and what was recorded is kept; a second one ends all at once. A run that is killed leaves
    its recording in a hidden folder there (.run-...), which `view` opens.

    Exit codes: CMD's own (128 + n when signal n ended it), but: 18 a --gate is shut; 127 CMD cannot be started;
    130 Ctrl-C before CMD began, or twice; 2, 3 and others as in the README when nothing could be recorded, and CMD was
    not started.

    Example: android-replay run --keep failed --junit out.xml -- python -m pytest --junitxml out.xml
    """
    from agent.commands.console import logged, put_json, say
    from agent.commands.rig import Wanted
    from agent.errors import GateShut
    from agent.runs.table import document, headline
    from agent.settings import load

    flags = {"capture.quality": quality, "privacy.level": level, "privacy.rules": rules(block, mask, unmask)}
    settings = load(flags, config).settings
    with logged(settings):
        try:
            wanted = Wanted(tuple(device or ()), app=app, sinks=tuple(sink or ()), relay=relay, alone=False)
            facts, rows = _run(settings, command, wanted, keep, out, junit, gate or [], as_json)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            put_json(document(facts, rows))
        say(headline(facts, rows))
        for note in facts.notes:
            say(f"  {note}")
        if facts.gates:
            raise GateShut(" ".join(facts.gates), f"The command itself ended with {facts.exit_code}.")
    if facts.exit_code:
        raise typer.Exit(facts.exit_code)


def _run(
    settings: Settings,
    command: Sequence[str],
    wish: Wanted,
    keep: Keep,
    out: Path,
    junit: Path | None,
    gate: Sequence[Gate],
    as_json: bool,
) -> tuple[Facts, list[Row]]:
    """Record, run, then make of it what is kept. What was recorded is kept whole when anything goes wrong."""
    import asyncio
    from contextlib import ExitStack, suppress
    from dataclasses import replace
    from shlex import quote

    from agent.commands.beside import Beside
    from agent.commands.console import say
    from agent.commands.phones import phones
    from agent.commands.process import check
    from agent.commands.rig import rigged
    from agent.errors import StorageError
    from agent.runs.shelf import Shelf
    from agent.runs.table import Facts
    from agent.runtime.signals import finishing
    from agent.store.disk import readable
    from bridge.clock import HostClock

    check(command)
    shelf = Shelf(out, HostClock().now().wall_ms)
    for folder in shelf.left():
        say(f"An earlier run left {folder}: `android-replay view {quote(str(folder))}` opens it.")
    before = _stamps(junit)
    beside = Beside(command, quiet=as_json)
    notes: list[str] = []
    try:
        with ExitStack() as stack:
            found = stack.enter_context(phones(settings, wish.devices))
            sinks = f"dir:{shelf.working}", *wish.sinks
            wanted = replace(wish, devices=found.specs, app=wish.app or found.app, sinks=sinks)
            rig = stack.enter_context(rigged(found.settings, wanted, beside.listen))
            stack.enter_context(beside.open(rig, found.environment))
            code = asyncio.run(beside.run())
            # From here on what ends a job from outside is what Ctrl-C is.
            finishing()
            if beside.killed_by:
                notes.append(f"The command was ended by {beside.killed_by}.")
            if beside.failure:
                notes.append(f"The recording failed before the end: {beside.failure}")
            if unheard := rig.unheard:
                notes.append(unheard)
            sent = rig.flush()
            missing = _tried(notes, lambda: _missing(rig.spool, rig.uploader.names[0]))
            notes += missing or ()
            stored = missing == []
            if stored and not sent:
                waiting = f"it waits in {found.settings.spool} for `android-replay upload`"
                notes.append(f"Not all of it could be sent to {', '.join(wish.sinks)}: {waiting}.")
            if wish.sinks and (refused := len(rig.spool.rejections())):
                notes.append(f"{refused} deliveries were refused and are kept: `android-replay upload` says why.")
            findings, gaps = _sum(rig, "findings"), _sum(rig, "gap_reasons")
            serials, failed = rig.serials, [s.serial for s in rig.statuses.values() if s.state == "failed"]
            guessed = [] if wanted.app else sorted({s.package for s in rig.statuses.values() if s.package})
        reports, joined = _joined(junit, before, beside, notes)
        rows, whole = _rows(shelf, beside, keep, serials, notes)
        if not rows:
            _tried(notes, lambda: _tell_nothing(shelf, keep, code, notes))
        if guessed and rows and not any(row.sessions for row in rows):
            notes.append(f"Recorded was {', '.join(guessed)}, the app in front at the start: --app PKG names another.")
        for file, report in reports.items():
            _enrich(file, report, joined, rows, shelf, notes)
        spare = stored and whole and not beside.failure and not beside.interrupted
        empty = _tried(notes, lambda: not shelf.holds())
        if not spare and not empty:
            notes.append(f"The whole recording is kept: `android-replay view {quote(str(shelf.working))}` opens it.")
        facts = Facts(
            # An argument need not be UTF-8.
            command=tuple(map(readable, command)),
            exit_code=code,
            start_ms=beside.begin_ms,
            end_ms=beside.end_ms,
            keep=keep.value,
            folder=str(out),
            serials=serials,
            findings=findings,
            gaps=gaps,
            gates=tuple(_shut(gate, findings, gaps, failed, beside.failure)),
            notes=tuple(notes),
        )
        late: list[str] = []
        _tried(late, lambda: _write(facts, rows, shelf))
        _tell_github(facts, rows, as_json)
        if empty or (spare and not late):
            _tried(late, shelf.clear)
        for line in late:
            say(line)
    except BaseException:
        with suppress(StorageError):
            if shelf.holds():
                say(f"What was recorded is kept: `android-replay view {quote(str(shelf.working))}` opens it.")
            else:
                shelf.clear()
        raise
    return facts, rows


def _tried(notes: list[str], step: Callable[[], T]) -> T | None:
    """What a step after the command's end comes to. A disk that fails by then is noted, and the command's own exit code
    stays; then None."""
    from agent.errors import StorageError

    try:
        return step()
    except StorageError as error:
        notes.append(f"{error.message} {error.hint}")
        return None


def _missing(spool: Spool, folder: str) -> list[str]:
    """What of a recording did not come into the folder that it is kept in, in sentences. Raises StorageError."""
    told = []
    if lost := spool.lost():
        told.append(f"{lost} segments are lost: the disk of {spool.folder} took nothing more.")
    if waiting := spool.pending(folder):
        told.append(f"Not all of it could be stored; {waiting} segments wait in {spool.folder}.")
    if refused := spool.refused(folder):
        told.append(f"{refused} segments are damaged and not stored: `android-replay upload` says why.")
    return told


def _sum(rig: Rig, name: str) -> dict[str, int]:
    """What the phones' counts by name come to."""
    from collections import Counter

    total: Counter[str] = Counter()
    for status in rig.statuses.values():
        total.update(getattr(status, name))
    return dict(total)


def _shut(
    gates: Sequence[Gate], findings: Mapping[str, int], gaps: Mapping[str, int], failed: Sequence[str], failure: str
) -> list[str]:
    """Why gates are shut, a sentence each. That a test runner's touches are not seen is no gap of a test."""
    from agent.analytics.drivers import REASON, STAGE

    told = []
    errors = [
        f"{name.removeprefix('error: ')} ({n} times)" for name, n in findings.items() if name.startswith("error:")
    ]
    if Gate.DOCTOR in gates and errors:
        told.append(f"--gate doctor: the app's instrumentation has errors: {', '.join(errors)}.")
    missing = [f"{name} ({n} times)" for name, n in gaps.items() if name != f"{STAGE}: {REASON}"]
    missing += [f"{serial} failed" for serial in failed]
    if failure:
        missing.append(failure)
    if Gate.GAPS in gates and missing:
        told.append(f"--gate gaps: something is missing from the recording: {', '.join(missing)}.")
    return told


def _files(junit: Path) -> list[Path]:
    return sorted(junit.rglob("*.xml")) if junit.is_dir() else [junit]


def _stamps(junit: Path | None) -> dict[Path, tuple[int, int, int]]:
    """By which a file that was there before is known again."""
    found = {}
    for file in _files(junit) if junit is not None else ():
        try:
            stat = file.stat()
        except OSError:
            continue
        found[file] = stat.st_mtime_ns, stat.st_size, stat.st_ino
    return found


def _joined(
    junit: Path | None, before: Mapping[Path, tuple[int, int, int]], beside: Beside, notes: list[str]
) -> tuple[dict[Path, Report], dict[Result, list[Attempt]]]:
    """The JUnit files that the command wrote, joined with the ledger, which is then closed."""
    from agent.runs.junit import merge

    reports = _reports(junit, before, beside, notes)
    joined = merge(list(reports.values()), beside.ledger)
    # Last: a file may tell how a test ended whose end nobody heard.
    unended = beside.ledger.close(beside.end_ms)
    notes += [f"{attempt.case.title} (attempt {attempt.number}) never ended." for attempt in unended]
    return reports, joined


def _reports(
    junit: Path | None, before: Mapping[Path, tuple[int, int, int]], beside: Beside, notes: list[str]
) -> dict[Path, Report]:
    """The JUnit files that the command wrote; of those that cannot be read, why."""
    from agent.runs.junit import Unreadable, parse

    found: dict[Path, Report] = {}
    if junit is None:
        return found
    after, told = _stamps(junit), len(notes)
    for file, stamp in after.items():
        if before.get(file) == stamp:
            if file == junit:
                notes.append(f"{file} is older than this run: the command did not write it. It stays as it is.")
            continue
        try:
            found[file] = parse(file.read_bytes(), beside.begin_ms, beside.end_ms, file.name)
        except OSError as error:
            notes.append(f"{file} cannot be read: {error.strerror}. The table goes without it.")
        except Unreadable as error:
            notes.append(f"{file} is no JUnit file: {error}. It stays as it is, and the table goes without it.")
    if not found and len(notes) == told:
        notes.append(f"The command wrote no JUnit file {junit}; the table goes without it.")
    return found


def _rows(shelf: Shelf, beside: Beside, keep: Keep, serials: Sequence[str], notes: list[str]) -> tuple[list[Row], bool]:
    """A row for each attempt, its recording cut out if it is wanted; whether all of that went well."""
    from agent.commands.console import say
    from agent.errors import StorageError
    from agent.runs.ledger import kept
    from agent.runs.table import Row

    attempts = sorted(beside.ledger, key=lambda attempt: (attempt.start_ms or beside.end_ms, attempt.number))
    wanted = set(kept(attempts, keep.value))
    if len(wanted) >= MANY:
        say(f"Cutting out {len(wanted)} recordings ...")
    rows, whole = [], True
    for attempt in attempts:
        why = "" if attempt in wanted else f"not kept (--keep {keep.value})"
        try:
            rows.append(shelf.row(attempt, serials, why))
        except StorageError as error:
            whole = False
            notes.append(f"The recording of {attempt.case.title} could not be cut out: {error.message}")
            rows.append(Row(attempt, (), "", "could not be cut out"))
    return rows, whole


def _tell_nothing(shelf: Shelf, keep: Keep, code: int, notes: list[str]) -> None:
    """No test was heard: the run is kept as one recording where a test that ended so would be."""
    notes.append(
        "No test was heard: no pytest plugin, HTTP call, TestRunner line or JUnit file told of one (see the README)."
    )
    if keep is Keep.ALL or (keep is Keep.FAILED and code):
        file = shelf.whole()
        notes.append("Nothing was recorded." if file is None else f"The whole run is kept as {file}.")


def _enrich(
    file: Path,
    report: Report,
    attempts: Mapping[Result, list[Attempt]],
    rows: Sequence[Row],
    shelf: Shelf,
    notes: list[str],
) -> None:
    """Write into a JUnit file what was recorded of each test."""
    from agent.errors import StorageError
    from agent.runs.junit import enriched
    from agent.runs.shelf import write_back

    by_attempt = {row.attempt: row for row in rows}

    def told(result: Result) -> list[tuple[int, Mapping[str, str], str]]:
        return [_told(by_attempt[attempt], shelf.out) for attempt in attempts.get(result, ())]

    try:
        write_back(file, enriched(report, told))
    except StorageError as error:
        notes.append(f"{file} stays as the command wrote it: {error.message}")


def _told(row: Row, out: Path) -> tuple[int, dict[str, str], str]:
    """What a JUnit file is told of an attempt."""
    facts = {"attempt": str(row.attempt.number)}
    if row.sessions:
        facts["session_id"] = ",".join(dict.fromkeys(str(session.session_id) for session in row.sessions))
        facts["device_id"] = ",".join(dict.fromkeys(session.device_id for session in row.sessions))
        facts["serial"] = ",".join(dict.fromkeys(session.serial for session in row.sessions))
    if row.replay:
        facts["replay"] = str(out / row.replay)
    elif row.why:
        facts["no_replay"] = row.why
    return row.attempt.number, facts, _attachment(out / row.replay) if row.replay else ""


def _attachment(file: Path) -> str:
    """Its path as what reads JUnit files wants it: GitLab relative to the project's folder, Jenkins whole."""
    import os

    whole, project = file.resolve(), os.environ.get("CI_PROJECT_DIR", "")
    if project and whole.is_relative_to(Path(project).resolve()):
        return str(whole.relative_to(Path(project).resolve()))
    return str(whole)


def _write(facts: Facts, rows: Sequence[Row], shelf: Shelf) -> None:
    """The table in its three forms. Raises StorageError."""
    import orjson

    from agent.commands.console import say
    from agent.runs.page import page
    from agent.runs.table import document, markdown

    files = {
        ("run", ".json"): orjson.dumps(document(facts, rows), option=orjson.OPT_INDENT_2) + b"\n",
        ("run", ".md"): markdown(facts, rows).encode(),
        ("index", ".html"): page(facts, rows).encode(),
    }
    placed = [
        shelf.place(stem, suffix, lambda aside, data=data: aside.write_bytes(data))  # type: ignore[misc]
        for (stem, suffix), data in files.items()
    ]
    say(f"The table: {', '.join(map(str, placed))}")


def _tell_github(facts: Facts, rows: Sequence[Row], as_json: bool) -> None:
    """Annotations and the step's summary, where GitHub Actions runs us."""
    import os

    from agent.commands.console import put, say
    from agent.runs.github import SUMMARY_BYTES, marked
    from agent.runs.table import markdown

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for command in marked(rows, facts.gates):
        # GitHub reads both outputs.
        (say if as_json else put)(command)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    try:
        with Path(summary).open("ab") as stream:
            stream.write(markdown(facts, rows, SUMMARY_BYTES - stream.tell()).encode())
    except OSError as error:
        say(f"The step's summary {summary} cannot be written: {error.strerror}.")

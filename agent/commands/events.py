"""`android-replay events`: a saved logcat as Segment events."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from agent.analytics.doctor import Doctor
    from agent.model import ParseFailure, SegmentEvent
    from agent.replay.mask import Masker
    from bridge.logbinary import BinaryReader
    from bridge.logcat import Format, TextReader
    from bridge.types import Gap, LogEntry, Stamp

CHUNK = 1 << 16
SAMPLE = 1 << 18
MAX_SESSIONS = 100_000
_STARTED = re.compile(rb"Start proc (\d{1,10}):([^/\s]+)/(?:u(\d{1,4})a(\d{1,6})|(\d{1,10}))\b")
# Android Studio's own line.
_PROCESS_STARTED = re.compile(rb"-{6} PROCESS STARTED \((\d{1,10})\) for package (\S+)")


def events(
    log: Annotated[str, typer.Argument(metavar="LOG", help="A file, or - for standard input.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, binary (`logcat -B`), studio (copied from Android Studio), or the text format: threadtime,"
            " epoch, time, brief, long, process, tag, thread, raw.",
        ),
    ] = "auto",
    app: Annotated[str | None, typer.Option(help="Only this package's processes.")] = None,
    year: Annotated[
        int | None, typer.Option(min=1970, max=9999, help="Year of the first line, if it has none.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Ids come from the event itself, never by inference.")
    ] = False,
    examine: Annotated[
        bool, typer.Option("--doctor", help="Also find what is wrong with the app's instrumentation.")
    ] = False,
    fail_on: Annotated[
        str | None, typer.Option(help="With findings of this level or worse (error, warning, info), exit with 16.")
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(help="Star private values as a recording at this level does (light, medium, conservative)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an event.")] = False,
) -> None:
    """Read a saved logcat into Segment events with the ids that Amplitude's plugin would take.

    Each event says where its ids stood, at which stage the log showed it and what is missing. The closing summary on
    stderr counts what could not be read, by reason. Events are printed as they were logged, private values included:
    --level stars these, with the rules of the environment; ids stay.

    `--doctor` adds findings on the instrumentation, each with its proof and its fix: on stderr, and with --json one
    object {"finding": ...} each after the events.

    Example: adb logcat -d -v threadtime,year,zone | android-replay events - --json
    """
    from agent.analytics.doctor import Doctor
    from agent.commands import findings
    from agent.commands.console import put, put_json, say
    from agent.errors import ConfigError
    from agent.model import ParseFailure
    from bridge.logcat import Format

    least = findings.level(fail_on)
    masker = _masker(level, app) if level is not None else None
    asked = next((known for known in get_args(Format) if known == form), None)
    if asked is None and form != "auto":
        raise ConfigError(f"{form!r} is no format.", f"Take one of: auto, {', '.join(get_args(Format))}.")
    seen, failures, sessions = 0, Counter[str](), set[int]()
    with _opened(log) as stream:
        owner = Owner(app)
        if app and stream.seekable():
            owner.learn(stream)
        doctor = Doctor(app) if examine or least else None
        reading = Reading(stream, asked, year, everything=doctor is not None)
        for found in _until_interrupted(reading.found(owner, strict, doctor)):
            if isinstance(found, ParseFailure):
                failures[found.reason] += 1
                continue
            seen += 1
            if masker is not None:
                found = _masked(found, masker)
            if len(sessions) < MAX_SESSIONS:
                sessions.add(hash((str(found.session_id), found.device_id)))
            if as_json:
                put_json(fact(found, reading.text_of(found.stamp)))
            else:
                put(_line(found, reading.text_of(found.stamp)))
    say(
        f"{seen} events of {len(sessions)}{' or more' * (len(sessions) >= MAX_SESSIONS)} sessions"
        f" in {reading.entries:,} log {reading.unit}"
        f" ({reading.form or 'no format known'}); {sum(failures.values())} not read, {reading.unread} lines unread."
    )
    for reason, count in sorted(failures.items()):
        say(f"  not read: {count} x {reason}")
    if reading.entries == 0 and reading.size and reading.form != "raw":
        raise ConfigError(
            f"{log} holds no log entry that can be read.",
            "Save it with `adb logcat -v threadtime`, or name its format with --format.",
        )
    if app and not owner.known:
        say(f"No line tells which process is {app}: it was started before the log begins, or has another name.")
    if doctor is not None:
        doctor.conclude()
        met = doctor.findings
        if masker is not None:
            met = tuple(replace(each, saw=masker.text(each.saw), proof=masker.text(each.proof)) for each in met)
        for line in findings.lines(met, reading.text_of):
            say(line)
        if as_json:
            for finding in met:
                put_json(findings.fact(finding, reading.text_of(finding.stamp)))
        findings.fail(doctor.findings, least)


def _masker(level: str, app: str | None) -> Masker:
    """Raises ConfigError for a level that there is not."""
    from agent.privacy import Rules
    from agent.replay.mask import Masker
    from agent.settings import load

    privacy = load({"privacy.level": level}).settings.privacy
    return Masker(privacy.level, app, rules=Rules(privacy.rules))


def _masked(found: SegmentEvent, masker: Masker) -> SegmentEvent:
    """As a recording has it; what it says in a private field is starred in all that come after it, too."""
    masker.learn(found.event)
    name, missing = masker.name(found.name), tuple(map(masker.name, found.missing))
    return replace(found, name=name, missing=missing, event=masker.event(found.event))


def _until_interrupted(found: Iterator[SegmentEvent | ParseFailure]) -> Iterator[SegmentEvent | ParseFailure]:
    """Ctrl-C ends a log that is still being written; what was read is summed up."""
    with contextlib.suppress(KeyboardInterrupt):
        yield from found


class Owner:
    """Whose an entry is: by the uid and the process ids that ActivityManager's lines give a package.

    The uid is for good and can be learnt from a whole log beforehand; a process id is the package's from the line that
    says so until a line gives it to another.
    """

    def __init__(self, package: str | None) -> None:
        self._package = package.encode() if package else None
        self._uids: set[int] = set()
        self._pids: set[int] = set()
        self._named: set[int] = set()
        self._others: set[int] = set()

    @property
    def known(self) -> bool:
        """Whether the log told of the package's process."""
        return bool(self._pids or self._uids)

    def learn(self, stream: BufferedReader) -> None:
        """Read a whole log for the package's uid; the stream is rewound."""
        rest = b""
        while chunk := stream.read(CHUNK):
            data = rest + chunk
            self.hear(data)
            if self._package is not None and b" PROCESS STARTED " in data:
                self._named.update(int(p) for p, name in _PROCESS_STARTED.findall(data) if name == self._package)
            rest = data[-256:]
        self._pids = set(self._named)
        stream.seek(0)

    def hear(self, text: bytes) -> None:
        """Take what a part of the log says of processes."""
        if self._package is None:
            return
        for pid, process, user, app, uid in _STARTED.findall(text) if b"Start proc " in text else ():
            self._pids.discard(int(pid))
            self._others.add(int(pid))
            if process.split(b":")[0] == self._package:
                self._others.discard(int(pid))
                self._pids.add(int(pid))
                self._uids.add(int(uid) if uid else int(user) * 100_000 + 10_000 + int(app))

    def owns(self, found: SegmentEvent | ParseFailure | LogEntry) -> bool:
        """Whether it comes from the package; everything does when none is asked for."""
        if self._package is None:
            return True
        uid: int | None = getattr(found, "uid", None)
        return uid in self._uids if uid is not None and self._uids else found.pid in self._pids

    def disowns(self, entry: LogEntry) -> bool:
        """Whether it is known to come from another package; of a process that began before the log nobody knows."""
        if self.owns(entry):
            return False
        return bool(self._uids) if entry.uid is not None else entry.pid in self._others


class Reading:
    """One pass over a log; `everything` in it is read, or only what may concern Segment."""

    def __init__(self, stream: BufferedReader, form: Format | None, year: int | None, *, everything: bool) -> None:
        self._stream = stream
        self._year = year
        self._times: TextReader | None = None
        self._asked = form
        self._reader: TextReader | BinaryReader | None = None
        self.form: Format | None = None
        self.size = 0
        self._gaps = 0
        from agent.analytics.sniffer import WANTED

        # Who examines the app wants all that it writes.
        self._wanted = None if everything else WANTED

    @property
    def entries(self) -> int:
        """How many there were, those that cannot concern Segment included: they are passed over unread."""
        if self._reader is None:
            return 0
        return self._reader.entries + (self._times.passed if self._times else 0)

    @property
    def unit(self) -> str:
        return "entries" if self._times is None or not self._times.passed else "entries and lines"

    @property
    def unread(self) -> int:
        """Lines, or stretches of a binary log, that are no entry."""
        return self._gaps + (self._times.unread if self._times else 0)

    def found(self, owner: Owner, strict: bool, doctor: Doctor | None) -> Iterator[SegmentEvent | ParseFailure]:
        """Events and failures of the owner, as they become certain; a doctor is told of them and of every entry."""
        from agent.analytics.sniffer import Sniffer
        from bridge.types import Gap

        sniffer = Sniffer(strict=strict)
        for item in self._items():
            if isinstance(item, Gap):
                self._gaps += 1
                if doctor is not None:
                    doctor.hear(item)
                continue
            if item.tag == "ActivityManager":
                owner.hear(item.message.encode("utf-8", "replace"))
            if doctor is not None:
                if item.tag == "ActivityManager" or owner.owns(item) or owner.disowns(item):
                    doctor.hear(item, mine=owner.owns(item))
                else:
                    doctor.advance(item.stamp)
            yield from self._owned(owner, sniffer.feed(item), doctor)
        yield from self._owned(owner, sniffer.flush(), doctor)

    def _owned(
        self, owner: Owner, found: list[SegmentEvent | ParseFailure], doctor: Doctor | None
    ) -> Iterator[SegmentEvent | ParseFailure]:
        for each in filter(owner.owns, found):
            if doctor is not None:
                doctor.judge(each)
            yield each

    def text_of(self, stamp: Stamp) -> str:
        """The device's time of an entry as ISO text; with a zone only when the log tells the instant."""
        from datetime import UTC, datetime

        if self._times is not None and not self._times.timed:
            return ""
        try:
            moment = datetime.fromtimestamp(stamp.mono_ns // 1_000_000_000, UTC)
        except (ValueError, OverflowError, OSError):
            return ""
        text = f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp.mono_ns // 1_000_000 % 1000:03d}"
        absolute = self._times is None or self._times.absolute
        dated = self._times is None or self._times.dated or self._year is not None
        return (text if dated else text[5:]) + ("Z" if absolute else "")

    def _items(self) -> Iterator[LogEntry | Gap]:
        head = b""
        reader: TextReader | BinaryReader | None = None
        while chunk := self._stream.read1(CHUNK):
            self.size += len(chunk)
            if reader is None:
                head += chunk
                reader = self._reader = self._reader_of(head, last=len(head) >= SAMPLE)
                chunk, head = (head, b"") if reader else (b"", head)
            if reader is not None:
                yield from reader.feed(chunk)
        if reader is None:
            reader = self._reader = self._reader_of(head, last=True)
            assert reader is not None
            yield from reader.feed(head)
        yield from reader.flush()
        if self._times is not None:
            self.form = self._times.format

    def _reader_of(self, sample: bytes, *, last: bool) -> TextReader | BinaryReader | None:
        """The reader for what the log begins with; None while that cannot be told and there may be more."""
        from bridge.logbinary import BinaryReader
        from bridge.logcat import TextReader, detect, printable

        self.form = self._asked or detect(sample)
        if self.form in (None, "raw") and not self._asked and not last:
            return None
        if self.form is None and states_events(sample):
            self.form = "raw"
        if self.form == "binary":
            return BinaryReader(_device_time, self._wanted)
        self._times = TextReader(_device_time, self.form, self._year, printable=printable(sample), wanted=self._wanted)
        return self._times


def states_events(sample: bytes) -> bool:
    """Whether a text that names neither tags nor processes holds what an app prints of its Segment events."""
    from agent.analytics.forms import Unread, statements

    found = statements(sample.decode("utf-8", "replace"))
    return any(not isinstance(statement, Unread) for statement in found)


def _device_time(time_ns: int) -> Stamp:
    """A saved log has no host clock: order and show by the device's own time."""
    from bridge.types import Stamp

    return Stamp(time_ns, time_ns // 1_000_000)


def _opened(log: str) -> BufferedReader:
    from agent.commands.console import taken
    from agent.errors import ConfigError

    try:
        return os.fdopen(os.dup(taken().fileno()), "rb") if log == "-" else Path(log).open("rb")
    except OSError as error:
        raise ConfigError(
            f"{log} cannot be read: {error.strerror}.", "Give a saved logcat, or - for standard input."
        ) from error


def fact(found: SegmentEvent, time: str) -> dict[str, Any]:
    """What `--json` says of an event; `time` as its source wrote it."""
    return {
        "time": time or None,
        "pid": found.pid or None,
        "uid": found.uid,
        "stage": found.stage,
        "complete": found.complete,
        "event": found.event,
        "session_id": found.session_id,
        "device_id": found.device_id,
        "session_from": found.session_from or "none",
        "device_from": found.device_from or "none",
        "missing": found.missing,
    }


def _line(found: SegmentEvent, time: str) -> str:
    words = [
        time,
        str(found.pid),
        f"{found.kind} {found.name!r}",
        f"session {found.session_id} ({found.session_from or 'nowhere'})",
        f"device {found.device_id} ({found.device_from or 'nowhere'})",
        found.stage,
    ]
    if found.missing:
        words.append(f"missing: {', '.join(found.missing)}")
    return "  ".join(words)

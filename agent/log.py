"""Handlers for the standard logging: lines or JSON, whose they are, repeats damped, secrets starred.

Commands choose with `shown` where the records of our packages go; the runtime and the outbox say with `about` whose
device and recording the records of a thread or task are.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO
from urllib.parse import quote

from agent.errors import StorageDenied

STARS = "*****"
# What is shorter is no secret, and would star words that have nothing to do with it.
SHORTEST = 4
# Different texts from one place in one interval; more of them are repeats, too.
BURST = 20
PLACES = 1000
FILE_BYTES = 10_000_000
FILES = 5
# The plugin's logLevel (`session-replay-config.ts` and its Android module in amplitude/Amplitude-TypeScript).
LEVELS = (logging.CRITICAL + 1, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
WORDS = "agent.commands"
# What a terminal obeys, or a reader of lines takes for an end.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")

Format = Literal["text", "json"]


class Subject(Protocol):
    """Whose a record is; a device's status is one, and a segment's manifest."""

    @property
    def serial(self) -> str: ...
    @property
    def session_id(self) -> int | None: ...
    @property
    def device_id(self) -> str | None: ...


# `extra` of a record that is no device's, though a device's work was done.
NOBODY: Mapping[str, object] = {"serial": None}
_subject: ContextVar[Subject | None] = ContextVar("subject", default=None)


@contextlib.contextmanager
def about(subject: Subject) -> Iterator[None]:
    """The records of the block, and of tasks and workers that it starts, are this device's."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


def hidden(text: str, *secrets: str) -> str:
    """The text with stars for each secret, as it is or as an address spells it."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = text.replace(secret, STARS).replace(quote(secret, safe=""), STARS)
    return text


@dataclass(slots=True)
class _Held:
    """What is known of one message since `since` (monotonic): the last one, and how many of them were not told."""

    since: float
    last: logging.LogRecord
    count: int = 0


class Damped(logging.Handler):
    """Passes a message on, and holds back those like it until `every` seconds are over; then the last one is told, with
    `repeats` = how many it stands for. What is held back at the end is told when this is closed.

    Alike are messages of one device from one place in the code that say the same; of those that differ, BURST pass.
    """

    def __init__(self, target: logging.Handler, every: float, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._target = target
        self._every = every
        self._now = now
        self._held: dict[tuple[object, ...], _Held] = {}
        self._texts: dict[tuple[object, ...], tuple[float, int]] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def emit(self, record: logging.LogRecord) -> None:
        now = self._now()
        self._tell(now)
        place = record.name, record.levelno, record.pathname, record.lineno, getattr(record, "serial", None)
        key: tuple[object, ...] = (*place, record.getMessage())
        if key not in self._held:
            since, texts = self._texts.get(place, (now, 0))
            if now - since >= self._every:
                since, texts = now, 0
            self._texts[place] = since, texts + 1
            if texts < BURST:
                if len(self._held) >= PLACES:
                    self._tell(now, everything=True)
                if self._every:
                    self._held[key] = _Held(now, record)
                self._target.handle(record)
                return
            key = place
        held = self._held.setdefault(key, _Held(now, record))
        held.last, held.count = record, held.count + 1
        self._wake(held.since + self._every - now)

    def close(self) -> None:
        """Tell what is held back, and close the target."""
        with self._locked():
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._tell(self._now(), everything=True)
        self._target.close()
        super().close()

    def _locked(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock

    def _tell(self, now: float, everything: bool = False) -> None:
        for key, held in list(self._held.items()):
            if not everything and now - held.since < self._every:
                continue
            del self._held[key]
            if held.count:
                held.last.__dict__["repeats"] = held.count
                self._target.handle(held.last)
                if not everything:
                    self._held[key] = _Held(now, held.last)
        if len(self._texts) > PLACES:
            self._texts.clear()

    def _wake(self, seconds: float) -> None:
        """What is held back is told in time, also when nothing else is said."""
        if self._timer is None and not self._closed:
            self._timer = threading.Timer(max(seconds, 0.0), self._due)
            self._timer.daemon = True
            self._timer.name = "log"
            self._timer.start()

    def _due(self) -> None:
        with self._locked():
            self._timer = None
            if self._closed:
                return
            now = self._now()
            self._tell(now)
            waiting = [held.since for held in self._held.values() if held.count]
            if waiting:
                self._wake(min(waiting) + self._every - now)


class _Lines(logging.Formatter):
    """`2026-01-31T09:30:00.000Z WARNING agent.runtime.pipeline [SERIAL 1700000000000]: words`."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record)
        whose = " ".join(str(facts[name]) for name in ("serial", "session_id") if name in facts)
        line = f"{facts['time']} {record.levelname} {record.name}{f' [{whose}]' if whose else ''}: {facts['message']}"
        if "repeats" in facts:
            line += f" ({_times(facts['repeats'])} since)"
        if "traceback" in facts:
            line += "\n" + facts["traceback"]
        return hidden(line, *self._secrets)


class _Json(logging.Formatter):
    """One JSON object a line: time, level, logger, message and, where known, serial, session_id, device_id,
    recording, repeats, traceback."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record)
        # Before it is JSON, in which a secret may be spelled in another way.
        return json.dumps(
            {name: hidden(value, *self._secrets) if isinstance(value, str) else value for name, value in facts.items()}
        )


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    facts: dict[str, Any] = {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _plain(record.getMessage()),
    }
    for name in ("serial", "session_id", "device_id", "repeats"):
        value = getattr(record, name, None)
        if value is not None:
            facts[name] = value
    if "session_id" in facts and "device_id" in facts:
        # As Amplitude names a replay.
        facts["recording"] = f"{facts['device_id']}/{facts['session_id']}"
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        facts["traceback"] = "\n".join(_plain(line) for line in trace.splitlines())
    return facts


def _plain(text: str) -> str:
    """What a device or a server said may not end the line or steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text).replace("\n", "\\n")


def _times(count: int) -> str:
    return "once more" if count == 1 else f"{count} times more"


def _known(record: logging.LogRecord) -> bool:
    """Notes whose the record is while it is made: later another thread may tell it."""
    subject = _subject.get()
    if subject is not None and "serial" not in record.__dict__:
        record.__dict__["serial"] = subject.serial
        if subject.session_id is not None:
            record.__dict__ |= {"session_id": subject.session_id, "device_id": subject.device_id}
    return True


class _Screen(logging.StreamHandler[TextIO]):
    """Standard error as it is at the time: while a live line stands there, what is written goes above it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _File(RotatingFileHandler):
    """FILES files of FILE_BYTES, for their owner alone. A disk that refuses ends the log, never what is logged."""

    def __init__(self, path: Path) -> None:
        self._refused = False
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> io.TextIOWrapper[Any]:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        binary = open(self.baseFilename, "ab", opener=private)  # noqa: SIM115 - the handler closes it
        return io.TextIOWrapper(binary, encoding=self.encoding, errors=self.errors, write_through=True)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the file is full. One that another process has put aside already is left to it: the next is open."""
        try:
            here = Path(self.baseFilename).stat()
        except OSError:
            here = None
        if (stream := self.stream) is not None:
            held = os.fstat(stream.fileno())
            if here is None or (here.st_dev, here.st_ino) != (held.st_dev, held.st_ino):
                stream.close()
                # Where it cannot be opened now the next record tries again.
                self.stream = None
                self.stream = self._open()
        return bool(super().shouldRollover(record))

    def close(self) -> None:
        # What could not be written would be tried again.
        with contextlib.suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._refused:
            self._refused = True
            sys.stderr.write(f"The log {self.baseFilename} cannot be written: {sys.exc_info()[1]}.\n")


@contextlib.contextmanager
def shown(
    level: int,
    secrets: Collection[str] = (),
    form: Format = "text",
    file: Path | None = None,
    every: float = 30.0,
) -> Iterator[Callable[..., None]]:
    """Send our packages' log to stderr, or to `file`, while the block runs, from 0 (nothing) over 2 (warnings) to 4
    (everything); `secrets` never show in it. A message that repeats is told once in `every` seconds.

    Gives what takes a command's own words as a record, of level INFO when none is given, and shows it in any case.
    Raises StorageDenied when the file cannot be opened.
    """
    try:
        target: logging.Handler = _Screen() if file is None else _File(file)
    except OSError as error:
        raise StorageDenied(
            f"The log {file} cannot be written: {error.strerror}.", "Set log.file to a file in a folder that is yours."
        ) from error
    target.setFormatter(_Json(secrets) if form == "json" else _Lines(secrets))
    handler = Damped(target, every)
    handler.addFilter(_known)
    loggers = [logging.getLogger(name) for name in ("agent", "bridge")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(LEVELS[level])
        logger.propagate = False

    def told(words: str, level: int = logging.INFO) -> None:
        target.handle(logging.LogRecord(WORDS, level, "", 0, words, None, None))

    try:
        yield told
    finally:
        for logger, (number, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(number)
            logger.propagate = propagate
        handler.close()

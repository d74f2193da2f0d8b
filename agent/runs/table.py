"""The table of a run: test, attempt, session id, device id, replay. As a JSON-able document and as Markdown.

Ids are those of what was recorded, never guessed; a test without a session says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from agent.model import SegmentManifest
from agent.runs.ledger import BAD, Attempt

SCHEMA = 1
HEAD = ("test", "attempt", "outcome", "seconds", "session id", "device id", "replay")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """A session that a test met: whose, and on which phone it was seen."""

    session_id: int
    device_id: str
    serial: str


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt, the sessions that were on the screen meanwhile, and its recording ("" = none, and `why`)."""

    attempt: Attempt
    sessions: tuple[Session, ...] = ()
    replay: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told of the run itself; times are epoch milliseconds."""

    command: tuple[str, ...]
    exit_code: int
    start_ms: int
    end_ms: int
    keep: str
    folder: str
    serials: tuple[str, ...]
    findings: Mapping[str, int]
    gaps: Mapping[str, int]
    gates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def met(attempt: Attempt, manifests: Iterable[SegmentManifest]) -> tuple[Session, ...]:
    """The sessions whose segments reach into the time of an attempt, by the time they began."""
    if attempt.start_ms is None or attempt.end_ms is None:
        return ()
    found: dict[Session, int] = {}
    for manifest in manifests:
        if attempt.serial not in (None, manifest.serial):
            continue
        if manifest.start_ms <= attempt.end_ms and manifest.end_ms >= attempt.start_ms:
            session = Session(manifest.session_id, manifest.device_id, manifest.serial)
            found[session] = min(found.get(session, manifest.start_ms), manifest.start_ms)
    return tuple(sorted(found, key=lambda session: (found[session], session)))


def document(facts: Facts, rows: Sequence[Row]) -> dict[str, Any]:
    """All of it, for machines."""
    return {
        "schema": SCHEMA,
        **asdict(facts),
        "outcomes": dict(Counter(row.attempt.outcome or "unknown" for row in rows)),
        "tests": [_row(row) for row in rows],
    }


def _row(row: Row) -> dict[str, Any]:
    attempt = row.attempt
    return {
        "test": attempt.case.title,
        "class": attempt.case.group,
        "name": attempt.case.name,
        "file": attempt.case.file,
        "attempt": attempt.number,
        "outcome": attempt.outcome or "unknown",
        "message": attempt.message,
        "serial": attempt.serial,
        "start_ms": attempt.start_ms,
        "end_ms": attempt.end_ms,
        "estimated": attempt.estimated,
        "sources": list(attempt.sources),
        "sessions": [asdict(session) for session in row.sessions],
        "replay": row.replay or None,
        "why": row.why,
    }


def headline(facts: Facts, rows: Sequence[Row]) -> str:
    """The run in one sentence."""
    counts = Counter(row.attempt.outcome or "unknown" for row in rows)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda item: -item[1]))
    replays = sum(bool(row.replay) for row in rows)
    many = "1 attempt" if len(rows) == 1 else f"{len(rows)} attempts"
    return f"{many}: {told or 'no test was heard'}; {replays} recordings; exit code {facts.exit_code}."


def markdown(facts: Facts, rows: Sequence[Row], limit: int | None = None) -> str:
    """The table for people, to stand beside the replays, to which it links.

    `limit` = it stands elsewhere, and may have so many bytes of UTF-8: rows that went well are left out first, and it
    says how many. Phones have a column where there are several.
    """
    top = f"### Tests and their replays\n\n{_words(headline(facts, rows))}\n\n"
    end = "".join(f"- {_words(note)}\n" for note in (*facts.gates, *facts.notes))
    end = f"\n{end}" if end else ""
    phones = len(facts.serials) > 1
    names = (*HEAD[:-1], "phone", HEAD[-1]) if phones else HEAD
    head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
    lines = {row.attempt: _line(row, phones, "" if limit is None else facts.folder) for row in rows}
    shown = list(rows)
    if limit is not None:
        left = limit - len((top + head + end).encode()) - 200
        shown = []
        for row in sorted(rows, key=lambda row: row.attempt.outcome not in BAD):
            left -= len(lines[row.attempt].encode())
            if left < 0:
                break
            shown.append(row)
        chosen = {row.attempt for row in shown}
        shown = [row for row in rows if row.attempt in chosen]
    missing = len(rows) - len(shown)
    more = f"\n{missing} more attempts are in the table of the run.\n" if missing else ""
    return top + (head if rows else "") + "".join(lines[row.attempt] for row in shown) + more + end


def _line(row: Row, phones: bool, folder: str) -> str:
    """A row; replays are links, or paths in a `folder`."""
    attempt = row.attempt
    sessions = "<br>".join(str(session.session_id) for session in row.sessions) or "no session"
    devices = "<br>".join(_words(device) for device in dict.fromkeys(s.device_id for s in row.sessions)) or "–"
    named = _words(f"{folder}/{row.replay}") if folder else f"[{_words(row.replay)}]({row.replay})"
    replay = named if row.replay else _words(row.why) or "–"
    seen = [attempt.serial] if attempt.serial else sorted({session.serial for session in row.sessions})
    test, outcome = _words(attempt.case.title), attempt.outcome or "unknown"
    phone = ["<br>".join(map(_words, seen)) or "–"] if phones else []
    cells = (test, str(attempt.number), outcome, seconds(attempt), sessions, devices, *phone, replay)
    return f"| {' | '.join(cells)} |\n"


def seconds(attempt: Attempt) -> str:
    """How long it took; with "≤" where only a bound is known, "–" where nothing is."""
    if attempt.start_ms is None or attempt.end_ms is None:
        return "–"
    return ("≤ " if attempt.estimated else "") + f"{(attempt.end_ms - attempt.start_ms) / 1000:.1f}"


def clock(at_ms: int) -> str:
    """A time in UTC, for people."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _words(text: str) -> str:
    """A text as Markdown shows it as it is, in a cell of a table."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))

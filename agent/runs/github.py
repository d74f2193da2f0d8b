"""What GitHub Actions shows of a run: annotations and the step's summary, within its limits.

Source: GitHub's documentation of workflow commands: 10 annotations of a kind in a step, a summary of 1 MiB a step;
`%`, CR and LF are escaped in a message, `:` and `,` besides in a property.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.runs.ledger import BAD
from agent.runs.table import Row

ANNOTATIONS = 10
SUMMARY_BYTES = 1 << 20
MESSAGE_CHARACTERS = 1_000


def marked(rows: Sequence[Row], gates: Sequence[str] = ()) -> list[str]:
    """Workflow commands: an error for each gate and each test that went wrong in its last attempt, a warning for one
    that was tried again and then went well. Ten of a kind at most, the tenth then says how many more there are."""
    last = {(row.attempt.case, row.attempt.serial): row for row in rows}
    errors = [_command("error", "Gate", gate) for gate in gates]
    errors += [_annotation("error", row) for row in last.values() if row.attempt.outcome in BAD]
    flaky = [
        _annotation("warning", row)
        for row in rows
        if row.attempt.outcome in BAD and last[row.attempt.case, row.attempt.serial].attempt.outcome == "passed"
    ]
    return [*_limited("error", errors), *_limited("warning", flaky)]


def _limited(kind: str, commands: list[str]) -> list[str]:
    if len(commands) <= ANNOTATIONS:
        return commands
    more = len(commands) - ANNOTATIONS + 1
    return [*commands[: ANNOTATIONS - 1], _command(kind, "And more", f"{more} more: see the step's summary.")]


def _annotation(kind: str, row: Row) -> str:
    attempt = row.attempt
    told = [f"{attempt.outcome} in attempt {attempt.number}."]
    if attempt.message:
        told.append(attempt.message)
    told += [f"Session {session.session_id} of device {session.device_id}." for session in row.sessions]
    told.append(f"Replay: {row.replay}" if row.replay else f"No replay: {row.why}" if row.why else "No replay.")
    return _command(kind, attempt.case.title, "\n".join(told), attempt.case.file)


def _command(kind: str, title: str, message: str, file: str = "") -> str:
    places = [f"file={_property(file)}"] if file else []
    properties = ",".join([*places, f"title={_property(title)}"])
    return f"::{kind} {properties}::{_escaped(message[:MESSAGE_CHARACTERS])}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")

"""`android-replay audit`: what of a recording can be read and what is hidden, by which rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.replay.audit import Audit, Span
    from agent.store.recording import Problem, Recording

WIDEST = 60


def audit(
    path: Annotated[Path, typer.Argument(help="The recording: its folder or a .replay file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """List the texts that stayed visible, the covers by rule with their share of time and screen, the blocked pictures.

    Texts are those of the recorded views; log lines and event properties are not among them. Text that is only drawn
    (in a picture, on a canvas) cannot be listed: look at the pictures, too.

    Exit codes: 0 all of it was read; 2 wrong arguments, or nothing was recorded yet; 11 there is no recording, or a
    part of it cannot be read: what that part shows is not in the list, and it is named.

    Example: android-replay audit replays/checkout --json
    """
    from agent.commands.view import opened
    from agent.export.part import check_filled

    with opened(path) as stored:
        check_filled(stored, path)
        _audit(stored, path, as_json)


def _audit(stored: Recording, path: Path, as_json: bool) -> None:
    import orjson

    from agent.commands.console import put, put_json, say
    from agent.errors import RecordingError
    from agent.replay.audit import Audit

    manifests, unread = stored.scan()
    problems = list(unread)
    found = Audit()
    for manifest in manifests:
        try:
            events = [orjson.loads(line) for line in stored.events(manifest.id)]
        except (RecordingError, orjson.JSONDecodeError) as error:
            problems.append(_problem(manifest.id, error))
            continue
        found.feed(manifest.id, f"{manifest.device_id}/{manifest.session_id}/{manifest.serial}", events)
    if as_json:
        put_json(_facts(path, found, problems))
    else:
        for line in _lines(found):
            put(line)
    say(
        f"{found.segments} segments of {found.ms / 1000:.0f} s: {len(found.texts)} texts visible,"
        f" covers by {len(found.covers)} rules,"
        f" {sum(span.ms for span in found.blocked.values()) / 1000:.1f} s blocked whole."
    )
    if problems:
        for problem in problems:
            say(f"Not read: {problem}")
        raise RecordingError(
            f"{len(problems)} {'part' if len(problems) == 1 else 'parts'} of {path} could not be read.",
            "What these show is not in the list: get an undamaged copy, or delete them.",
        )


def _problem(segment: str, error: Exception) -> Problem:
    from agent.store.recording import Problem

    return Problem(f"{segment}.jsonl", str(error))


def _facts(path: Path, found: Audit, problems: list[Problem]) -> dict[str, Any]:
    return {
        "recording": str(path),
        "segments": found.segments,
        "ms": found.ms,
        "texts": [
            {
                "text": text.text,
                "count": text.count,
                "first_ms": text.first_ms,
                "ms": text.ms,
                "segment": text.segment,
                "views": [{"id": name, "class": cls} for name, cls in text.views],
            }
            for text in found.texts.values()
        ],
        "covers": [{"rule": rule, **_span(span, found.ms, rule)} for rule, span in _longest(found.covers)],
        "blocked": [{"reason": reason, **_span(span, found.ms, reason)} for reason, span in _longest(found.blocked)],
        "problems": [{"file": problem.file, "reason": problem.reason} for problem in problems],
    }


def _span(span: Span, whole: int, rule: str) -> dict[str, Any]:
    from agent.replay.verdicts import reason

    return {
        "why": reason(rule),
        "count": span.count,
        "ms": span.ms,
        "time_share": round(span.ms / whole, 4) if whole else 0.0,
        "screen_share": round(span.area, 4),
    }


def _longest(spans: dict[str, Span]) -> list[tuple[str, Span]]:
    return sorted(spans.items(), key=lambda item: (-item[1].ms, item[0]))


def _lines(found: Audit) -> list[str]:
    from agent.commands.console import table
    from agent.replay.verdicts import reason

    texts = [
        (
            f"  {text.count} x",
            f"{text.ms / 1000:.1f} s",
            _time(text.first_ms),
            ", ".join(name.rpartition(":id/")[2] or cls.rpartition(".")[2] for name, cls in text.views)[:WIDEST],
            _short(text.text),
        )
        for text in found.texts.values()
    ]
    lines = ["Texts that stayed visible (how often, how long, since, where)", *table(texts)]
    for title, spans in (("Covers by rule", found.covers), ("Blocked pictures", found.blocked)):
        rows = [
            (
                f"  {rule}",
                f"{span.count} x",
                f"{span.ms / 1000:.1f} s",
                f"{100 * span.ms / max(1, found.ms):.1f} % of the time",
                f"{100 * span.area:.1f} % of the screen",
                reason(rule),
            )
            for rule, span in _longest(spans)
        ]
        lines += [f"{title}", *table(rows)]
    return lines


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


def _time(wall_ms: int) -> str:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromtimestamp(wall_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return "-"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"

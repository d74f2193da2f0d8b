"""The text of a bug for a tracker, in Markdown: where it was seen, how to come there, what to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent import OWNER, __version__
from agent.export.prose import MARKDOWN, clock, code, day, escaped, sentence
from agent.export.steps import body
from agent.export.summary import CRASHES, Summary

MAX_FINDINGS = 20


def ticket(summary: Summary, title: str, files: Mapping[str, str]) -> str:
    """`files` are what is attached: names and what each is."""
    out = [f"# {escaped(title)}", "", *_environment(summary)]
    for phone in summary.phones:
        out += ["", f"## Steps on {escaped(phone.name)}" if len(summary.phones) > 1 else "## Steps", ""]
        out += body(phone, summary.from_ms) or ["No step was recorded."]
    crashes = [step for _, step in summary.of_kind(*CRASHES)]
    actual = [f"- `{clock(step.at_ms - summary.from_ms)}` {sentence(step, MARKDOWN)}" for step in crashes]
    out += ["", "## Expected", "", "_What should have happened._", ""]
    out += ["## Actual", "", *(actual or ["_What happened instead._"])]
    marks = summary.of_kind("marker", "note")
    told = (f"- `{clock(step.at_ms - summary.from_ms)}` {sentence(step, MARKDOWN)}" for _, step in marks)
    out += _section("Marked moments", told)
    findings = (
        f"- {escaped(each.severity)} {code(each.rule)}: {escaped(each.meaning)} {escaped(each.fix)}"
        for each in summary.findings[:MAX_FINDINGS]
    )
    out += _section("Instrumentation", findings)
    out += _section("Attached", (f"- {code(name)}: {escaped(words)}" for name, words in files.items()))
    return "\n".join(out) + "\n"


def _section(title: str, rows: Iterable[str]) -> list[str]:
    found = list(rows)
    return ["", f"## {title}", "", *found] if found else []


def _environment(summary: Summary) -> list[str]:
    rows: list[tuple[str, str]] = []
    for phone in summary.phones:
        facts = phone.facts
        rows += [
            ("App", _celled(facts["package"]) if facts.get("package") else "not known"),
            ("Device", f"{escaped(phone.name)} ({_celled(phone.serial)})"),
        ]
        if facts.get("android"):
            level = f" (API {escaped(facts['api_level'])})" if facts.get("api_level") else ""
            rows.append(("Android", escaped(facts["android"]) + level))
        for part in phone.sessions:
            first = part.segments[0]
            rows += [
                ("Session id", f"{_celled(str(part.session_id))} from {escaped(first.session_from or 'no source')}"),
                ("Device id", f"{_celled(part.device_id)} from {escaped(first.device_from or 'no source')}"),
            ]
    rows += [
        ("Recorded", f"{day(summary.from_ms)}, {clock(summary.to_ms - summary.from_ms)} long"),
        ("Recorder", f"{OWNER} {__version__}"),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _celled(text: str) -> str:
    """A code span within a table, where a bar would end the cell."""
    return code(text).replace("|", "\\|")

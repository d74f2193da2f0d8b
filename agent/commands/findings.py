"""Findings of the instrumentation doctor as commands show them: cleaned text, the worst first, and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.model import Finding, Severity
    from bridge.types import Stamp

PROOF_CHARS = 400
SHOWN_CHARS = 160


def level(text: str | None) -> Severity | None:
    """The level that `--fail-on` names. Raises ConfigError for another word."""
    from agent.analytics.rules import SEVERITIES
    from agent.errors import ConfigError

    found = next((severity for severity in SEVERITIES if severity == text), None)
    if text is not None and found is None:
        raise ConfigError(f"{text!r} is no level to fail on.", f"Take one of: {', '.join(SEVERITIES)}.")
    return found


def fact(finding: Finding, time: str) -> dict[str, Any]:
    """A finding as a JSON-able mapping, under the one key `finding` that no event line has."""
    return {
        "finding": {
            "rule": finding.rule,
            "severity": finding.severity,
            "count": finding.count,
            "time": time,
            "pid": finding.pid,
            "saw": _clean(finding.saw, PROOF_CHARS),
            "meaning": finding.meaning,
            "fix": finding.fix,
            "proof": _clean(finding.proof, PROOF_CHARS),
        }
    }


def lines(findings: Sequence[Finding], time_of: Callable[[Stamp], str]) -> list[str]:
    """A table with what each finding means, its proof and its fix below it; one line when there is none."""
    from agent.commands.console import table

    if not findings:
        return ["Instrumentation: nothing to find fault with."]
    heads = table(
        [
            (found.severity, found.rule, f"x {found.count}", time_of(found.stamp), f"pid {found.pid}")
            for found in findings
        ]
    )
    shown = [f"Instrumentation: {len(findings)} findings."]
    for head, found in zip(heads, findings, strict=True):
        shown += [head, f"    {found.meaning} Here: {_clean(found.saw, SHOWN_CHARS)}."]
        if found.proof:
            shown.append(f"    proof: {_clean(found.proof, SHOWN_CHARS)}")
        shown.append(f"    fix: {found.fix}")
    return shown


def fail(findings: Sequence[Finding], least: Severity | None) -> None:
    """Raises FaultsFound when a finding is as bad as `least`, or worse."""
    from agent.analytics.rules import SEVERITIES
    from agent.errors import FaultsFound

    if least is None:
        return
    bad = [found.rule for found in findings if SEVERITIES.index(found.severity) <= SEVERITIES.index(least)]
    if bad:
        raise FaultsFound(
            f"The app's instrumentation has faults of level {least} or worse: {', '.join(bad)}.",
            "Each finding above names its fix.",
        )


def _clean(text: str, limit: int) -> str:
    """One line without what is private from medium up, nor what a terminal would obey: a proof may be shown where a
    recording would not. Cut last: half a secret is no pattern any more."""
    from agent.export.prose import harmless
    from agent.replay.text import scrub

    text = " ".join(harmless(scrub(text, "medium")).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

"""The steps of a recording, a line each for a terminal, or as a Markdown page for a ticket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.export.prose import MARKDOWN, PLAIN, clock, code, day, escaped, harmless, sentence, sight
from agent.export.summary import Phone, Summary, numbered
from agent.replay.steps import Step

# A gap that is no longer is of no interest to who does the steps again.
SHORT_GAP_MS = 1_000


def told(steps: Sequence[Step]) -> list[tuple[int, Step]]:
    """The numbered steps that are told in prose: without gaps that nobody would notice."""
    return [pair for pair in numbered(steps) if pair[1].kind != "gap" or pair[1].facts["ms"] >= SHORT_GAP_MS]


def lines(phone: Phone, from_ms: int) -> Iterator[str]:
    """The steps for a terminal, a line each; what came of a step stands on its line."""
    for number, step in told(phone.steps):
        seen = "".join(f" \N{RIGHTWARDS ARROW} {sight(each, PLAIN)}" for each in step.seen)
        yield f"{clock(step.at_ms - from_ms):>7}  {f'{number}.' if number else '-':<4}{sentence(step, PLAIN)}{seen}"


def page(summary: Summary) -> Iterator[str]:
    """The summary for a terminal: whose sessions, what was marked, what is missing, what is wrong, what was done."""
    # Names, ids and findings are as somebody else wrote them.
    return map(harmless, _page(summary))


def _page(summary: Summary) -> Iterator[str]:

    def at(ms: int) -> str:
        return clock(ms - summary.from_ms)

    for phone in summary.phones:
        android = f", Android {phone.facts['android']}" if phone.facts.get("android") else ""
        yield f"{phone.name} ({phone.serial}){android}"
        for part in phone.sessions:
            first = part.segments[0]
            yield (
                f"  session {part.session_id} ({first.session_from or 'no source'}) of device {part.device_id} "
                f"({first.device_from or 'no source'}): {at(part.from_ms)} to {at(part.to_ms)}"
            )
    marks = summary.of_kind("marker", "note", "crash", "anr", "lowmemory")
    yield from _listed("Marked", [f"{at(step.at_ms)} {sentence(step, PLAIN)}" for _, step in marks])
    gaps = [step for _, step in summary.of_kind("gap")]
    told_gaps = [f"{at(step.at_ms)} {sentence(step, PLAIN)}" for step in gaps if step.facts["ms"] >= SHORT_GAP_MS]
    if len(gaps) > len(told_gaps):
        told_gaps.append(f"{len(gaps) - len(told_gaps)} of less than a second")
    yield from _listed("Gaps", told_gaps)
    yield from _listed("Left out", [f"{count} x {reason}" for reason, count in summary.lost.items()])
    findings = [f"{each.severity} {each.rule}: {each.meaning} {each.fix}" for each in summary.findings]
    yield from _listed("Instrumentation", findings)
    for phone in summary.phones:
        yield from _listed(
            "Steps" + (f" on {phone.serial}" if len(summary.phones) > 1 else ""), lines(phone, summary.from_ms)
        )


def _listed(title: str, rows: Iterable[str]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if not number:
            yield title
        yield f"  {row}"


def markdown(summary: Summary, title: str) -> str:
    """A Markdown page with the steps of every device."""
    out = [
        f"# Steps: {escaped(title)}",
        "",
        f"Recorded {day(summary.from_ms)}, {clock(summary.to_ms - summary.from_ms)} long.",
    ]
    for phone in summary.phones:
        out += ["", f"## {escaped(phone.name)} ({code(phone.serial)})" if len(summary.phones) > 1 else "## Steps", ""]
        out += body(phone, summary.from_ms) or ["No step was recorded."]
    return "\n".join(out) + "\n"


def body(phone: Phone, from_ms: int) -> list[str]:
    """The steps as Markdown: a numbered list of what was done; what befell stands between, set off."""
    out: list[str] = []
    for number, step in told(phone.steps):
        at = f"`{clock(step.at_ms - from_ms)}`"
        if number:
            out.append(f"{number}. {at} {sentence(step, MARKDOWN)}")
            indent = " " * len(f"{number}. ")
            out += [f"{indent}- \N{RIGHTWARDS ARROW} {sight(each, MARKDOWN)}" for each in step.seen]
            continue
        if out and out[-1]:
            out.append("")
        seen = "".join(f" \N{RIGHTWARDS ARROW} {sight(each, MARKDOWN)}" for each in step.seen)
        out += [f"> {at} {sentence(step, MARKDOWN)}{seen}", ""]
    return out

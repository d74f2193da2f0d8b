"""A JUnit file: what it tells of tests, and the same file with what was recorded of each.

Forms read: `testsuites` or `testsuite` as root, suites in suites; Maven Surefire's `rerunFailure`, `rerunError`,
`flakyFailure`, `flakyError` for further attempts; a test that stands there several times (Gradle's retries, and those
of pytest-rerunfailures, of which the last alone has its outcome) likewise.
Sources: the schemas of Jenkins' xUnit plugin and of Maven Surefire; Jenkins and GitLab read `[[ATTACHMENT|path]]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

from agent.runs.ledger import BAD, Attempt, Ledger, Outcome, Source, worse
from agent.runs.names import Case, read

MAX_BYTES = 64_000_000
MAX_DEPTH = 50
MAX_SECONDS = 1e6
# So much of what a test printed is looked at for why it failed.
TEXT = 2_000
PREFIX = "android-replay."
ATTACHMENT = "[[ATTACHMENT|{}]]"
_MAIN: Mapping[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_FLAKY: Mapping[str, Outcome] = {"flakyFailure": "failed", "flakyError": "error"}
_AGAIN: Mapping[str, Outcome] = {"rerunFailure": "failed", "rerunError": "error"}
_JUNIT: tuple[Source, str] = ("junit", "")
# What an XML text may hold (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Unreadable(ValueError):
    """A file that is no JUnit file; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A test case of the file: the outcomes of its attempts in order, and between which times it ran (epoch ms). `hint`
    is what its suite says of itself, and may name the phone."""

    case: Case
    outcomes: tuple[Outcome, ...]
    message: str
    span: tuple[int, int] | None
    element: ElementTree.Element
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A file that was read."""

    root: ElementTree.Element
    results: tuple[Result, ...]


def parse(data: bytes, begin_ms: int, end_ms: int, name: str = "") -> Report:
    """Read a file of that name, which tells of tests that ran between two times. Raises Unreadable."""
    if not data.strip():
        raise Unreadable("it is empty")
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it has {len(data):,} bytes, more than {MAX_BYTES:,}")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise Unreadable("it declares a document type, as no JUnit file does")
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))  # noqa: S314 - no entities
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Unreadable(f"it is broken: {error}") from None
    _check_depth(root)
    _unqualified(root)
    if _tag(root) not in ("testsuites", "testsuite"):
        raise Unreadable(f"it begins with <{_tag(root)[:40]}>, not with <testsuites> or <testsuite>")
    results: list[Result] = []
    for suite in (element for element in root.iter() if _tag(element) == "testsuite"):
        # pytest-xdist writes one without a name when a worker dies; whose it was stands in the one that has it.
        cases = [element for element in suite if _tag(element) == "testcase" and element.get("name", "").strip()]
        spans = _spans(suite, cases, begin_ms, end_ms)
        words = [*suite.attrib.values(), *(item.get("value", "") for item in suite.iterfind("./properties/property"))]
        results.extend(_result(case, span, " ".join([name, *words])) for case, span in zip(cases, spans, strict=True))
    return Report(root, tuple(results))


def merge(reports: Sequence[Report], ledger: Ledger) -> dict[Result, list[Attempt]]:
    """Join what the files of a run tell with the ledger; which attempts each of their test cases stands for.

    A test that nobody else told of is added: with times when it ran once and its file tells when. Where a test ran on
    several phones, a case is that of the phone whose serial its suite or file names, else of the only attempt that
    ended so; if that is not one alone, it is nobody's.
    """
    groups: dict[Case, list[Result]] = {}
    for report in reports:
        for result in report.results:
            groups.setdefault(result.case, []).append(result)
    joined: dict[Result, list[Attempt]] = {}
    named = {attempt.case for attempt in ledger}
    # Whose name is known in full comes first: what has only a part of one may be another's.
    for case, results in sorted(groups.items(), key=lambda item: item[0] not in named):
        # Retries may have files of their own, in any order.
        results.sort(key=lambda result: result.span[0] if result.span else 0)
        known = [attempt for attempt in ledger.of(case) if _JUNIT not in attempt.told]
        known.sort(key=lambda attempt: (attempt.start_ms or 0, attempt.number))
        serials = sorted({attempt.serial for attempt in known if attempt.serial})
        if len(serials) < 2:
            _align(results, known or _added(ledger, results), joined)
            continue
        phones = {result: next((s for s in serials if s in result.hint), None) for result in results}
        for serial in serials:
            of_phone = [attempt for attempt in known if attempt.serial == serial]
            _align([result for result in results if phones[result] == serial], of_phone, joined)
        for result in (result for result in results if phones[result] is None):
            free = [a for a in known if _JUNIT not in a.told and _as_good(_so_far(a), result.outcomes[-1])]
            if len(free) == 1:
                _join(result, result.outcomes[-1], free[0], joined)
    return joined


def _so_far(attempt: Attempt) -> Outcome:
    """How it went as far as was heard: of a test whose process dies nobody hears the end."""
    return "crashed" if attempt.start_ms is not None and attempt.end_ms is None else attempt.outcome


def _align(results: list[Result], attempts: list[Attempt], joined: dict[Result, list[Attempt]]) -> None:
    """Join a test's cases with its attempts. The last of both is the same one; of retries a file may tell the last
    alone, which then stands for those before."""
    flat = [(result, outcome) for result in results for outcome in result.outcomes]
    if not flat:
        return
    for attempt, (result, outcome) in zip(reversed(attempts), reversed(flat), strict=False):
        _join(result, outcome, attempt, joined)
    more = attempts[: max(len(attempts) - len(flat), 0)]
    if more:
        joined[results[0]] = more + joined[results[0]]


def _join(result: Result, outcome: Outcome, attempt: Attempt, joined: dict[Result, list[Attempt]]) -> None:
    joined.setdefault(result, []).insert(0, attempt)
    attempt.told.setdefault(_JUNIT, True)
    attempt.outcome = worse(attempt.outcome, outcome)
    attempt.message = attempt.message or (result.message if outcome in _MAIN.values() else "")
    group = max(attempt.case.group, result.case.group, key=len)
    attempt.case = Case(group, attempt.case.name, attempt.case.file or result.case.file)


def _as_good(one: Outcome, other: Outcome) -> bool:
    return one == other or (one in BAD and other in BAD)


def enriched(report: Report, of: Callable[[Result], list[tuple[int, Mapping[str, str], str]]]) -> bytes:
    """The file with what was recorded: `of` tells the attempts of a test case as (number, properties, attachment).

    Properties of the last attempt are named `android-replay.NAME`, those of an earlier one
    `android-replay.attempt-N.NAME`. An attachment is a path, "" for none. Done twice it says the same.
    """
    for result in report.results:
        rows = of(result)
        if not rows:
            continue
        element = result.element
        holder = next((child for child in element if _tag(child) == "properties"), None)
        if holder is None:
            holder = ElementTree.Element("properties")
            element.insert(0, holder)
        for old in [child for child in holder if child.get("name", "").startswith(PREFIX)]:
            holder.remove(old)
        last = rows[-1]
        for row in rows:
            prefix = PREFIX if row is last else f"{PREFIX}attempt-{row[0]}."
            for name, value in row[1].items():
                ElementTree.SubElement(holder, "property", {"name": prefix + name, "value": _NOT_XML.sub("?", value)})
        _attach(element, [ATTACHMENT.format(_NOT_XML.sub("?", path)) for _, _, path in rows if path])
    text: bytes = ElementTree.tostring(report.root, "utf-8", xml_declaration=True)
    return text + b"\n"


def _attach(element: ElementTree.Element, lines: list[str]) -> None:
    if not lines:
        return
    output = next((child for child in element if _tag(child) == "system-out"), None)
    if output is None:
        output = ElementTree.SubElement(element, "system-out")
    before = output.text or ""
    fresh = [line for line in lines if line not in before]
    if fresh:
        glue = "" if not before or before.endswith("\n") else "\n"
        output.text = before + glue + "\n".join(fresh) + "\n"


def _added(ledger: Ledger, results: list[Result]) -> list[Attempt]:
    """Attempts of a test that nobody but a file tells of, now in the ledger."""
    made: list[Attempt] = []
    for result in results:
        for outcome in result.outcomes:
            # Of several attempts in one case nobody knows which took how long.
            span = result.span if len(result.outcomes) == 1 else None
            start, end = span or (None, None)
            number, message = len(made) + 1, result.message
            made.append(Attempt(result.case, number, None, start, end, outcome, message, estimated=span is not None))
    for attempt in made:
        ledger.add(attempt)
    return made


def _check_depth(root: ElementTree.Element) -> None:
    """Raises Unreadable when elements stand too deep in one another to be written again."""
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return
    raise Unreadable(f"its elements stand more than {MAX_DEPTH} deep in one another")


def _result(element: ElementTree.Element, span: tuple[int, int] | None, hint: str) -> Result:
    tags = [_tag(child) for child in element]
    main: Outcome = next((_MAIN[tag] for tag in tags if tag in _MAIN), "passed")
    flaky = [_FLAKY[tag] for tag in tags if tag in _FLAKY]
    again = [_AGAIN[tag] for tag in tags if tag in _AGAIN]
    # Jest and Maestro say why in the element's text alone.
    told = next((c.get("message") or (c.text or "")[:TEXT] for c in element if _tag(c) in (*_MAIN, *_FLAKY)), "")
    group, name = element.get("classname", ""), element.get("name", "")
    # Some write a node id, or the class in brackets, as the name.
    case = read(name) if not group else Case(group, " ".join(name.split()))
    file = element.get("file") or case.file
    message = " ".join(told.split())[:300]
    return Result(Case(case.group, case.name, file), (*flaky, main, *again), message, span, element, hint)


def _spans(
    suite: ElementTree.Element, cases: list[ElementTree.Element], begin_ms: int, end_ms: int
) -> list[tuple[int, int] | None]:
    """When each case of a suite ran: one after the other, later by what the suite took longer at most."""
    start = _start(suite.get("timestamp", ""), begin_ms, end_ms)
    took = [_ms(case.get("time")) for case in cases]
    if start is None or None in took:
        return [None] * len(cases)
    total = sum(ms or 0 for ms in took)
    whole = _ms(suite.get("time"))
    spare = max(min(end_ms - start, math.inf if whole is None else whole) - total, 0)
    spans: list[tuple[int, int] | None] = []
    at = start
    for ms in took:
        spans.append((at, round(at + (ms or 0) + spare)))
        at += ms or 0
    return spans


def _start(text: str, begin_ms: int, end_ms: int) -> int | None:
    """When a suite began; None when it does not say so, or says another time than that of the run. Without a zone it
    is UTC (Gradle) or the host's time (pytest before 8.4): the one that can be."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    try:
        readings = [at] if at.tzinfo else [at.replace(tzinfo=UTC), at.astimezone()]
        times = [round(reading.timestamp() * 1000) for reading in readings]
    except (OverflowError, OSError, ValueError):
        return None
    # Whole seconds are what most write.
    return next((max(ms, begin_ms) for ms in times if begin_ms - 1_000 <= ms <= end_ms), None)


def _ms(text: str | None) -> int | None:
    try:
        seconds = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return round(seconds * 1000) if 0 <= seconds <= MAX_SECONDS else None


def _unqualified(root: ElementTree.Element) -> None:
    """Say the one namespace of all elements once, as files do: else each would get a prefix that no reader knows."""
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    spaces = {element.tag.rpartition("}")[0].removeprefix("{") for element in elements}
    if len(spaces) == 1 and (space := spaces.pop()):
        for element in elements:
            element.tag = _tag(element)
        root.set("xmlns", space)


def _tag(element: ElementTree.Element) -> str:
    """The tag without its namespace; "" for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""

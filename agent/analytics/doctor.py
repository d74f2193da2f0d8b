"""The instrumentation doctor: a log's entries and what the sniffer made of them in, findings with proof out.

It asks nothing and changes nothing. What shows at once is told at once; what shows only by its absence is told when
enough was heard, or by `conclude`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from agent.analytics.keys import WRITE_KEY, keys, starred
from agent.analytics.rules import RULES, SEVERITIES
from agent.analytics.sniffer import TAG
from agent.analytics.symptoms import (
    ONLY_RAW,
    App,
    Hit,
    Process,
    at,
    completeness,
    device,
    failure,
    named,
    own_session,
    plugin_seen,
    raw,
    remember,
    session,
    starts,
    without_ids,
)
from agent.model import Finding, ParseFailure, SegmentEvent
from bridge.types import Gap, LogEntry, Stamp

MAX_LINES = 512
MAX_SAME = 32
MAX_PROCESSES = 64
MAX_KEYS = 16
MAX_TEXT = 4096
# How long a running app may stay silent.
SILENCE_NS = 5_000_000_000

_SDK_TAGS = re.compile(r"ReactNative|amplitude|segment|analytics|replay", re.IGNORECASE)
_STARTED = re.compile(r"Start proc (\d{1,10}):([^/\s]+)/")
_EVENTFUL = re.compile(r"""SegmentReplay/\d|event saved'|"messageId":|messageId: '""")
# At the start of a line: text formats print several entries of one instant as one, and events may quote anything.
_RUNNING = re.compile(r'^Running "', re.MULTILINE)
_NO_SETTINGS = re.compile(
    r"^Could not receive settings from Segment(?!.*[Ww]ill use the default settings)", re.MULTILINE
)
_THREW = re.compile(r"^'?Destination .{0,80}failed to execute", re.MULTILINE)
_DROPPED = re.compile(r"^'?Dropped \d{1,9} events? due to permanent errors", re.MULTILINE)
_REFUSED = re.compile(r"^'?(?:Invalid URL has been passed|Error in getEndpoint:.{0,20}fallback to)", re.MULTILINE)


class Doctor:
    """Hears every entry, then what the sniffer found in it. One owner; memory is bounded.

    `package` is the app that is looked at (None: whatever the log holds), `api_key` the project's key of this recorder
    ("" when it has none). Every call returns the findings of this call; `findings` has each rule once, with its first
    proof and its count.
    """

    def __init__(self, package: str | None = None, api_key: str = "") -> None:
        self._package = package
        self._api_key = api_key
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._lines: OrderedDict[tuple[int, int], list[LogEntry]] = OrderedDict()
        self._processes: OrderedDict[int, Process] = OrderedDict()
        self._apps: OrderedDict[int, App] = OrderedDict()
        self._owners: OrderedDict[object, None] = OrderedDict()
        self._found: dict[str, Finding] = {}
        self._now: Stamp | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Each rule that was met, the worst first, then in the order of their first proof."""
        return tuple(sorted(self._found.values(), key=lambda found: SEVERITIES.index(found.severity)))

    def hear(self, item: LogEntry | Gap, *, mine: bool = True) -> list[Finding]:
        """An entry, or a hole in the log. `mine`: of the app that is looked at, or nobody knows whose it is."""
        if isinstance(item, Gap):
            overrun = item.stage == "log" and item.reason == "overrun"
            hit = Hit("log-overrun", f"the log ended: {item.detail}")
            return self._take([hit], item.end, 0, None) if overrun else []
        self.advance(item.stamp)
        if item.tag == "ActivityManager":
            self._process_started(item)
            return []
        if not mine:
            # What another app logs is no proof to show or record.
            return self._take(self._stranger(item), item.stamp, item.pid, None)
        item = _bounded(item)
        if item.tag in (TAG, "chatty") or item.message.startswith("SegmentReplay/"):
            here = (item.pid, item.stamp.mono_ns)
            lines = remember(self._lines, here, [], MAX_LINES)
            lines.append(item)
            del lines[:-MAX_SAME]
        return self._take(self._line(item), item.stamp, item.pid, item)

    def advance(self, now: Stamp) -> None:
        """It is so late by now, as a line says of which nobody knows whose it is."""
        if self._now is None or now > self._now:
            self._now = now

    def judge(self, found: SegmentEvent | ParseFailure) -> list[Finding]:
        """What the sniffer made of the app's entries heard so far."""
        line = self._line_of(found)
        process = self._process(found.pid)
        if isinstance(found, ParseFailure):
            process.reports += 1
            hits = failure(found, line)
        elif found.stage == "session":
            hits = self._session_line(found, process, line)
        else:
            process.reports += 1
            hits = self._event(found, process, line)
        return self._take(hits, found.stamp, found.pid, line)

    def conclude(self) -> list[Finding]:
        """The log ended, or nobody listens any longer: what shows by its absence."""
        told: list[Finding] = []
        if self._now is None:
            return told
        for pid, process in self._processes.items():
            told += self._take(self._absences(process, self._now), self._now, pid, None)
        return told

    def _event(self, event: SegmentEvent, process: Process, line: LogEntry | None) -> Iterator[Hit]:
        app = process.app = self._app(event)
        yield from self._owner(event)
        yield from starts(event, app)
        yield from completeness(event, line)
        if event.stage == "raw":
            yield from raw(process, line)
            return
        process.whole += 1
        if event.name == "session_start" and line is not None and own_session(event):
            yield from plugin_seen(process, line)
        if event.stage == "before":
            if not process.stamped:
                yield Hit("plugin-order", f"{named(event)} is shown as it was before the session plugin")
            return
        yield from session(event, process, line)
        yield from device(event, app)

    def _session_line(self, event: SegmentEvent, process: Process, line: LogEntry | None) -> Iterator[Hit]:
        app = process.app = self._app(event)
        yield from starts(event, app)
        if line is not None:
            yield from plugin_seen(process, line)

    def _line(self, entry: LogEntry) -> Iterator[Hit]:
        text = entry.message
        if entry.tag == TAG:
            process = self._process(entry.pid)
            if process.began is None and _RUNNING.search(text):
                process.began, process.began_ns = entry, entry.stamp.mono_ns
            if _NO_SETTINGS.search(text):
                process.no_settings = entry
            for rule, pattern in (("plugin-failed", _THREW), ("events-dropped", _DROPPED), ("proxy-refused", _REFUSED)):
                for told in pattern.finditer(text):
                    yield Hit(rule, told[0].strip("'"))
        if self._package is not None or _SDK_TAGS.search(entry.tag):
            yield from self._printed_keys(text)

    def _printed_keys(self, text: str) -> Iterator[Hit]:
        for name, key in keys(text):
            yield Hit("api-key-logged", f"{name} is printed")
            if name == WRITE_KEY:
                continue
            others = [known for known in (self._api_key, *self._keys) if known and known != key]
            if others:
                with_ours = self._api_key and key != self._api_key
                yield Hit(
                    "key-mismatch",
                    "the app's API key is not this recorder's" if with_ours else "a second API key is printed",
                )
            remember(self._keys, key, None, MAX_KEYS)

    def _stranger(self, entry: LogEntry) -> Iterator[Hit]:
        if entry.tag == TAG and _EVENTFUL.search(entry.message[:MAX_TEXT]):
            yield Hit("several-apps", f"process {entry.pid} is another app's")

    def _owner(self, event: SegmentEvent) -> Iterator[Hit]:
        """Whether a log of nobody in particular holds the events of more than one app."""
        if self._package is not None:
            return
        namespace = at(event.event, "context", "app", "namespace")
        owner = namespace if isinstance(namespace, str) else event.uid
        if owner is None:
            return
        remember(self._owners, owner, None, MAX_PROCESSES)
        same_kind = [each for each in self._owners if type(each) is type(owner)]
        if same_kind[0] != owner:
            yield Hit("several-apps", f"events of {same_kind[0]} and of {owner}", severity="warning")

    def _absences(self, process: Process, now: Stamp) -> Iterator[Hit]:
        if process.no_settings is not None and not process.plugin and not process.off_told:
            process.off_told = True
            yield Hit("destination-off", "the settings could not be had", process.no_settings)
        yield from without_ids(process)
        if process.raw is not None and not process.whole and not process.raw_told:
            process.raw_told = True
            yield Hit("raw-events-only", ONLY_RAW, process.raw, times=process.raw_count)
        began = process.began or process.plugin
        if began is None and process.began_ns is None:
            return
        began_ns = process.began_ns if process.began_ns is not None else began.stamp.mono_ns if began else 0
        heard_ns = (process.ended_ns or now.mono_ns) - began_ns
        if not process.reports and heard_ns >= SILENCE_NS:
            yield Hit("logger-silenced", f"no event in {heard_ns / 1e9:.0f} s", began)

    def _process_started(self, entry: LogEntry) -> None:
        match = _STARTED.search(entry.message)
        if match is None or self._package is None or match[2] != self._package:
            return
        for process in self._processes.values():
            process.ended_ns = process.ended_ns or entry.stamp.mono_ns
        self._processes.pop(int(match[1]), None)
        process = self._process(int(match[1]))
        process.began_ns = entry.stamp.mono_ns
        process.began = _bounded(entry)

    def _app(self, event: SegmentEvent) -> App:
        return remember(self._apps, event.uid if event.uid is not None else -event.pid, App(), MAX_PROCESSES)

    def _process(self, pid: int) -> Process:
        return remember(self._processes, pid, Process(), MAX_PROCESSES)

    def _line_of(self, found: SegmentEvent | ParseFailure) -> LogEntry | None:
        """The entry behind a report: several of one process may carry one time."""
        lines = self._lines.get((found.pid, found.stamp.mono_ns))
        if not lines:
            return None
        if len(lines) > 1 and isinstance(found, SegmentEvent):
            for word in (found.message_id, found.name):
                fitting = [line for line in lines if word and word in line.message]
                if fitting:
                    return fitting[0]
        return lines[-1]

    def _take(self, hits: Iterator[Hit] | list[Hit], stamp: Stamp, pid: int, line: LogEntry | None) -> list[Finding]:
        told: list[Finding] = []
        for hit in hits:
            rule = RULES[hit.rule]
            proof = hit.proof or line
            finding = Finding(
                rule.name, hit.severity or rule.severity, stamp, pid, self._starred(hit.saw), rule.meaning, rule.fix,
                self._starred(f"{proof.level}/{proof.tag}: {proof.message}") if proof is not None else "", hit.times,
                proof.stamp if proof is not None else None,
            )  # fmt: skip
            told.append(finding)
            first = self._found.setdefault(rule.name, finding)
            if first is not finding:
                self._found[rule.name] = replace(first, count=first.count + hit.times)
        return told

    def _starred(self, text: str) -> str:
        return starred(text, (key for key in (self._api_key, *self._keys) if key))


def _bounded(entry: LogEntry) -> LogEntry:
    """The entry with a text of MAX_TEXT at most, ended between two words so that no half of a secret is left."""
    if len(entry.message) <= MAX_TEXT:
        return entry
    text = entry.message[:MAX_TEXT]
    return replace(entry, message=text[: max(text.rfind(" "), text.rfind(","), 1)])

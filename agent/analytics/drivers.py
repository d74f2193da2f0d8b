"""Who taps in a person's place: test runners and mirrors, known by what they leave in the log.

Their touches do not pass the touch panel and are not seen. Sources of the lines: AOSP ActivityManagerService,
RuntimeInit and ZygoteInit, androidx.test's TestRunner; the packages are those of Appium, Maestro and uiautomator2.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from bridge.types import Gap, LogEntry, Stamp

STAGE = "touch"
REASON = "injected touches are not seen"
FIRST_APP_UID = 10_000
MAX_AT_WORK = 32
# One who begins again so soon, as with every call of `input` or every test of a run, has never stopped.
PAUSE_NS = 30_000_000_000

_UIAUTOMATION = "a tool that holds UiAutomation"
_TESTS = "an instrumented test"
_PACKAGES = {
    "io.appium.uiautomator2.server": "Appium",
    "io.appium.uiautomator2.server.test": "Appium",
    "dev.mobile.maestro": "Maestro",
    "dev.mobile.maestro.test": "Maestro",
    "com.github.uiautomator": "uiautomator2",
    "com.github.uiautomator.test": "uiautomator2",
}
# Programs that the shell starts on a Java machine of their own. Our dumps come from com.wetest.uia2.Main: it taps not.
_PROGRAMS = {
    "com.android.commands.monkey.Monkey": "monkey",
    "com.android.commands.input.Input": "`input`",
    "com.genymobile.scrcpy.Server": "scrcpy",
}
# These do without it, and who holds it already is seen by that.
_WITHOUT = frozenset((*_PROGRAMS.values(), _UIAUTOMATION))
_ENTRY = re.compile(r"Calling main entry (\S+)")
_INSTRUMENT = re.compile(r"Force stopping (\S+) .*: (start instr|finished inst)$", re.MULTILINE)
_STARTED = re.compile(r"Start proc (\d{1,10}):([^/\s]+)/")
_DIED = re.compile(r"Process (\S+) \(pid (\d{1,10})\) has died")
_KILLED = re.compile(r"Killing (\d{1,10}):([^/\s]+)/")
_RUN = re.compile(r"run (started|finished|ended)|(started): \S")


class Drivers:
    """Hears every entry of the log; tells once for each stretch that somebody else's touches are not seen. One owner.

    `ours` are names of drivers that this recorder started itself: they only look.
    """

    def __init__(self, ours: frozenset[str] = frozenset()) -> None:
        self._ours = ours
        self._at_work: OrderedDict[str, str] = OrderedDict()
        self._ended_ns: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Who is at work now."""
        return tuple(dict.fromkeys(self._at_work.values()))

    @property
    def holders(self) -> tuple[str, ...]:
        """Who of them needs UiAutomation, of which a phone has one: instrumentations do, or may at any moment."""
        return tuple(name for name in self.names if name not in _WITHOUT)

    def hear(self, entry: LogEntry) -> list[Gap]:
        """One entry, of whomever."""
        tag, text = entry.tag, entry.message
        if tag == "TestRunner":
            found = _RUN.match(text)
            if found is not None:
                key = f"run {entry.pid}"
                if found[1] in ("finished", "ended"):
                    return self._ends(entry.stamp, key)
                return self._begins(entry.stamp, key, _TESTS)
        elif tag == "AndroidRuntime":
            return self._program(entry)
        elif entry.uid is not None and entry.uid >= FIRST_APP_UID:
            return []
        elif tag == "ActivityManager":
            return self._manager(entry.stamp, text)
        elif tag == "am_proc_start" and entry.buffer == "events":
            return self._process(entry.stamp, str(entry.values[3]) if len(entry.values) > 3 else "")
        elif tag in ("am_proc_died", "am_kill") and entry.buffer == "events":
            return self._ends(
                entry.stamp, *(f"run {value}" if isinstance(value, int) else str(value) for value in entry.values[1:3])
            )
        return []

    def held(self, at: Stamp) -> list[Gap]:
        """Another tool holds UiAutomation."""
        return self._begins(at, _UIAUTOMATION, _UIAUTOMATION)

    def free(self, at: Stamp) -> None:
        """Nobody else holds UiAutomation any longer."""
        self._ends(at, _UIAUTOMATION)

    def forget(self) -> None:
        """What was told so far was told to nobody."""
        self._ended_ns.clear()

    def _manager(self, at: Stamp, text: str) -> list[Gap]:
        if (found := _INSTRUMENT.match(text)) is not None:
            key = f"instrumentation of {found[1]}"
            if found[2] == "finished inst":
                return self._ends(at, key)
            return self._begins(at, key, _PACKAGES.get(found[1], _TESTS))
        if (found := _STARTED.match(text)) is not None:
            return self._process(at, found[2])
        if (found := _DIED.match(text)) is not None:
            return self._ends(at, found[1], f"run {found[2]}")
        if (found := _KILLED.match(text)) is not None:
            return self._ends(at, found[2], f"run {found[1]}")
        return []

    def _program(self, entry: LogEntry) -> list[Gap]:
        key = f"program {entry.pid}"
        found = _ENTRY.search(entry.message)
        if found is not None and found[1] in _PROGRAMS:
            return self._begins(entry.stamp, key, _PROGRAMS[found[1]])
        return self._ends(entry.stamp, key) if entry.message.startswith("Shutting down VM") else []

    def _process(self, at: Stamp, name: str) -> list[Gap]:
        package = name.partition(":")[0]
        return self._begins(at, name, _PACKAGES[package]) if package in _PACKAGES else []

    def _begins(self, at: Stamp, key: str, name: str) -> list[Gap]:
        if name in self._ours:
            return []
        quiet = not self._at_work
        self._at_work[key] = name
        while len(self._at_work) > MAX_AT_WORK:
            self._at_work.popitem(last=False)
        told_ns = self._ended_ns.get(name)
        lasting = told_ns is not None and at.mono_ns - told_ns < PAUSE_NS
        return [Gap(at, at, STAGE, REASON, f"{name} is at work")] if quiet and not lasting else []

    def _ends(self, at: Stamp, *keys: str) -> list[Gap]:
        for key in keys:
            name = self._at_work.pop(key, None)
            if name is not None:
                self._ended_ns[name] = at.mono_ns
        return []

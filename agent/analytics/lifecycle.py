"""What happened to the app and to the phone around it, from the system's log and from what is in front.

Of other apps nothing is told but that one of them is in front. Sources of the lines: AOSP ActivityManagerService,
ProcessRecord, lmkd, bionic's debuggerd handler, `EventLogTags.logtags`; React Native's ExceptionsManager.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from agent.model import Happening, HappeningKind
from bridge.types import EventValue, Foreground, LogEntry, Stamp

_K = TypeVar("_K")
_V = TypeVar("_V")

MAX_TEXT = 4096
MAX_KEPT = 64
MAX_FRAMES = 24
# A crash that Java or the native handler told of is told again by the activity manager, an ANR when its traces are
# written, a death by whoever killed.
SAME_NS = 60_000_000_000
# How long the lines of a tombstone may follow the signal.
TOMBSTONE_NS = 1_000_000_000
FIRST_APP_UID = 10_000

_JAVA = re.compile(r"FATAL EXCEPTION: ")
_OF_PROCESS = re.compile(r"^Process: ([^\s,]+), PID: (\d{1,10})", re.MULTILINE)
_ENGINE = re.compile(r", js engine: \w+")
_SIGNAL = re.compile(r"Fatal signal \d+ \(\w+\)")
_PID = re.compile(r"\bpid (\d{1,10})\b")
_TOMBSTONE = re.compile(r"pid: (\d{1,10}), tid: \d+, name: .*>>> (\S+) <<<")
_TOMBSTONE_LINE = re.compile(r"signal \d|Abort message: |Cause: |backtrace:| *#\d\d +pc ")
_ANR = re.compile(r"ANR in (\S+)")
_ANR_PID = re.compile(r"^PID: (\d{1,10})", re.MULTILINE)
_ANR_REASON = re.compile(r"^Reason: (.*)", re.MULTILINE)
_LOW_MEMORY = re.compile(r"Kill(?:ing)? '([^']*)' \((\d{1,10})\)(?:.*?reason: (.*)|.*? because (.*))?", re.DOTALL)
_STARTED = re.compile(r"Start proc (\d{1,10}):([^/\s]+)/")
_DIED = re.compile(r"Process (\S+) \(pid (\d{1,10})\) has died")
_KILLED = re.compile(r"Killing (\d{1,10}):([^/\s]+)/\S+ \(adj -?\d+\): (.*)", re.DOTALL)
_DISPLAYED = re.compile(r"Displayed ([\w.]+)/([\w.$]+)(?: for user \d+)?: \+((?:\d+[dhms]+)+)")
_SLEEP = re.compile(r"(Going to sleep|Waking up) ")
_DURATION = re.compile(r"(\d+)(ms|[dhms])")
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
# Names of packages, classes and components; what is not the app's own may be another app's.
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_][\w$]*)+(?:/[\w.$]+)?")
_FOCUS_TAGS = frozenset(("wm_on_resume_called", "screen_toggled"))


def turns(entry: LogEntry) -> bool:
    """Whether an entry says that something else may be in front now, or that the screen was switched."""
    return entry.tag in _FOCUS_TAGS or (
        entry.tag in ("ActivityTaskManager", "ActivityManager") and entry.message.startswith("Displayed ")
    )


@dataclass(slots=True)
class _Dying:
    """A native crash whose tombstone is being written."""

    stamp: Stamp
    pid: int
    lines: list[str] = field(default_factory=list)


class Lifecycle:
    """Hears every entry of the log and sees what is in front; tells what happened to the app of `package`.

    `uid` is the app's, None when it is not known: then only what names the package counts; it may be set anew. One
    owner; memory is bounded. What is told carries the stamp at which it happened, a native crash up to a second later.
    """

    def __init__(self, package: str, uid: int | None) -> None:
        self.uid = uid
        self._package = package
        self._seen: OrderedDict[tuple[str, int, str], int] = OrderedDict()
        self._dying: OrderedDict[int, _Dying] = OrderedDict()
        self._writers: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._front: tuple[bool, str] | None = None
        self._front_ns = 0
        self._asked = False
        self._screen = "on"
        self._screen_ns = 0
        self._keyboard = False
        self._rotation = 0

    def hear(self, entry: LogEntry) -> list[Happening]:
        """One entry, of whomever."""
        told = self.advance(entry.stamp)
        if entry.buffer == "events":
            return [*told, *self._event(entry)]
        own = self.uid is not None and entry.uid == self.uid
        if entry.tag == "DEBUG":
            self._tombstone(entry)
        elif entry.tag == "AndroidRuntime":
            told += self._java(entry, own)
        elif own:
            if entry.tag == "libc":
                self._signal(entry)
            elif entry.tag == "ReactNativeJS" and entry.level in ("E", "F") and _ENGINE.search(entry.message):
                told += self._once(entry.stamp, "crash", entry.pid, {"kind": "javascript"}, entry.message)
        elif entry.uid is None or entry.uid < FIRST_APP_UID:
            told += self._system(entry)
        return told

    def see(self, state: Foreground) -> list[Happening]:
        """What the window manager says. It is older than a line of the log that came while it was being asked."""
        told: list[Happening] = []
        at = state.stamp
        if not self._asked:
            # What the log told so far was before anybody listened.
            self._asked, self._front = True, None
        if state.package and at.mono_ns > self._front_ns:
            told += self._in_front(at, state.package == self._package, state.activity)
        if state.awake is not None and at.mono_ns > self._screen_ns:
            told += self._switched(at, "on" if state.awake else "off")
        mine = self._front is not None and self._front[0]
        if (state.keyboard_shown and mine) != self._keyboard:
            self._keyboard = state.keyboard_shown and mine
            told.append(_told(at, "keyboard", {"shown": self._keyboard}))
        if state.rotation != self._rotation:
            self._rotation = state.rotation
            told.append(_told(at, "rotation", {"degrees": 90 * state.rotation}))
        return told

    def advance(self, now: Stamp) -> list[Happening]:
        """Time has passed: tombstones that must be whole by now."""
        due = [d for d in self._dying.values() if now.mono_ns - d.stamp.mono_ns >= TOMBSTONE_NS]
        return [happening for dying in due for happening in self._dead(dying.pid)]

    def flush(self) -> list[Happening]:
        """The log ended."""
        return [happening for pid in list(self._dying) for happening in self._dead(pid)]

    def _event(self, entry: LogEntry) -> list[Happening]:
        """An entry of the event log. The app's own process writes that its activities were resumed."""
        values, at = entry.values, entry.stamp
        if entry.tag == "wm_on_resume_called":
            self._front_ns = at.mono_ns
            own = self.uid is not None and entry.uid == self.uid
            return self._in_front(at, own, _string(values, 1)) if self.uid is not None else []
        if entry.uid is not None and entry.uid >= FIRST_APP_UID:
            return []
        if entry.tag == "screen_toggled":
            # 2 says that the lock is gone; the screen was on before.
            return self._switched(at, "off" if values[:1] == (0,) else "on")
        if entry.tag == "killinfo":
            mine = self.uid is not None and _number(values, 1) == self.uid
            return self._low_memory(at, _number(values, 0), "", "") if mine else []
        pid, name = _number(values, 1), _string(values, 3 if entry.tag == "am_proc_start" else 2)
        if not self._is_own(name):
            return []
        match entry.tag:
            case "am_proc_start":
                return self._started(at, pid, name)
            case "am_proc_died":
                return self._died(at, pid, name, "")
            case "am_kill":
                return self._died(at, pid, name, _string(values, 4))
            case "am_anr":
                return self._anr(at, pid, _string(values, 4))
            case "am_crash":
                native = _string(values, 4) == "Native crash"
                text = ": ".join(filter(None, (_string(values, 4), _string(values, 5))))
                if native and pid in self._dying:
                    return []
                return self._once(at, "crash", pid, {"kind": "native" if native else "java"}, text, of="process")
        return []

    def _system(self, entry: LogEntry) -> list[Happening]:
        at, text = entry.stamp, entry.message
        if entry.tag in ("lowmemorykiller", "lmkd"):
            low = _LOW_MEMORY.match(text)
            if low is not None and self._is_own(low[1]):
                return self._low_memory(at, int(low[2]), low[1], low[3] or low[4] or "")
        elif entry.tag == "PowerManagerService":
            power = _SLEEP.match(text)
            if power is not None:
                return self._switched(at, "off" if power[1] == "Going to sleep" else "on")
        elif entry.tag in ("ActivityManager", "ActivityTaskManager"):
            return self._manager(at, text)
        return []

    def _manager(self, at: Stamp, text: str) -> list[Happening]:
        if (found := _STARTED.match(text)) is not None and self._is_own(found[2]):
            return self._started(at, int(found[1]), found[2])
        if (found := _DIED.match(text)) is not None and self._is_own(found[1]):
            return self._died(at, int(found[2]), found[1], "")
        if (found := _KILLED.match(text)) is not None and self._is_own(found[2]):
            return self._died(at, int(found[1]), found[2], found[3])
        if (found := _ANR.match(text)) is not None and self._is_own(found[1]):
            # What follows lists the processes of the whole phone.
            pid, reason = _ANR_PID.search(text), _ANR_REASON.search(text)
            return self._anr(at, int(pid[1]) if pid else 0, reason[1] if reason else "")
        if (found := _DISPLAYED.match(text)) is not None and found[1] == self._package:
            took = sum(int(count) * _MILLISECONDS[unit] for count, unit in _DURATION.findall(found[3]))
            facts = {"state": "displayed", "activity": self._full(found[2]), "ms": took}
            return [*self._in_front(at, True, found[2]), _told(at, "app", facts)]
        return []

    def _java(self, entry: LogEntry, own: bool) -> list[Happening]:
        if not _JAVA.match(entry.message):
            return []
        process = _OF_PROCESS.search(entry.message)
        if not own and (self.uid is not None or process is None or not self._is_own(process[1])):
            return []
        pid = int(process[2]) if process is not None else entry.pid
        return self._once(entry.stamp, "crash", pid, {"kind": "java"}, entry.message, of="process")

    def _signal(self, entry: LogEntry) -> None:
        if _SIGNAL.match(entry.message):
            named = _PID.search(entry.message)
            pid = int(named[1]) if named else entry.pid
            if pid not in self._dying:
                _keep(self._dying, pid, _Dying(entry.stamp, pid, [entry.message]))

    def _tombstone(self, entry: LogEntry) -> None:
        """A line of the native crash handler, which is a process of its own and names the one that it looks at."""
        writer = (entry.pid, entry.tid)
        if entry.message.startswith("*** ***"):
            self._writers.pop(writer, None)
            return
        head = _TOMBSTONE.match(entry.message)
        if head is not None and self._is_own(head[2]):
            pid = int(head[1])
            _keep(self._writers, writer, pid)
            if pid not in self._dying:
                _keep(self._dying, pid, _Dying(entry.stamp, pid))
            self._dying[pid].lines.append(entry.message)
        elif _TOMBSTONE_LINE.match(entry.message):
            known = self._dying.get(self._writers.get(writer, -1))
            if known is not None and len(known.lines) < MAX_FRAMES:
                known.lines.append(entry.message)

    def _dead(self, pid: int) -> list[Happening]:
        dying = self._dying.pop(pid, None)
        if dying is None:
            return []
        return self._once(dying.stamp, "crash", pid, {"kind": "native"}, "\n".join(dying.lines), of="process")

    def _started(self, at: Stamp, pid: int, name: str) -> list[Happening]:
        told = self._once(at, "process", pid, {"state": "started", **self._which(name)}, of="started")
        if told:
            # What was told of this number was of an earlier process.
            for key in [key for key in self._seen if key[1] == pid and key[2] != "started"]:
                del self._seen[key]
        return told

    def _died(self, at: Stamp, pid: int, name: str, reason: str) -> list[Happening]:
        told = self._dead(pid)
        self._seen.pop(("process", pid, "started"), None)
        facts = {"state": "died", **self._which(name)}
        return [*told, *self._once(at, "process", pid, facts, self._discreet(reason), of="died")]

    def _low_memory(self, at: Stamp, pid: int, name: str, reason: str) -> list[Happening]:
        return self._once(at, "lowmemory", pid, self._which(name), self._discreet(reason), of="process")

    def _anr(self, at: Stamp, pid: int, reason: str) -> list[Happening]:
        return self._once(at, "anr", pid, {}, self._discreet(reason) or "no reason was given", of="process")

    def _in_front(self, at: Stamp, mine: bool, activity: str) -> list[Happening]:
        front = (mine, self._full(activity) if mine else "")
        if front == self._front:
            return []
        self._front = front
        facts: Mapping[str, object] = {"state": "front", "activity": front[1]} if mine else {"state": "another app"}
        return [_told(at, "app", facts)]

    def _switched(self, at: Stamp, state: str) -> list[Happening]:
        self._screen_ns = at.mono_ns
        if state == self._screen:
            return []
        self._screen = state
        return [_told(at, "screen-state", {"state": state})]

    def _once(
        self, at: Stamp, kind: HappeningKind, pid: int, facts: Mapping[str, object], text: str = "", of: str = ""
    ) -> list[Happening]:
        """A happening, unless the same was told of this process before. `of` says what is the same, "" = its text."""
        text = _bounded(text)
        key = (kind, pid, of or text)
        last = self._seen.get(key)
        if last is not None and at.mono_ns - last < SAME_NS:
            return []
        _keep(self._seen, key, at.mono_ns)
        return [_told(at, kind, {**facts, "pid": pid}, text)]

    def _is_own(self, process: str) -> bool:
        return process == self._package or process.startswith(self._package + ":")

    def _which(self, process: str) -> dict[str, object]:
        """The part of a process name after the package's, where the app has several."""
        part = process.partition(":")[2]
        return {"process": part} if part else {}

    def _full(self, activity: str) -> str:
        return self._package + activity if activity.startswith(".") else activity

    def _discreet(self, reason: str) -> str:
        """A reason in the system's words, without the names of other apps."""

        def own(found: re.Match[str]) -> str:
            name = found[0]
            mine = name == self._package or name.startswith((self._package + ".", self._package + "/"))
            return name if mine or name.startswith(("android.", "java.")) else "another app"

        return _DOTTED.sub(own, reason.strip().split("\n", 1)[0])


def _named(kind: HappeningKind, facts: Mapping[str, object]) -> str:
    match kind:
        case "process":
            part = f" ({facts['process']})" if "process" in facts else ""
            return f"Process {facts['pid']}{part} {facts['state']}"
        case "app" if facts["state"] == "another app":
            return "Another app in front"
        case "app":
            activity = str(facts["activity"]).rpartition(".")[2] or "App"
            return f"{activity} displayed in {facts['ms']} ms" if "ms" in facts else f"{activity} in front"
        case "crash":
            return {"javascript": "JavaScript error", "java": "Crash", "native": "Native crash"}[str(facts["kind"])]
        case "keyboard":
            return "Keyboard shown" if facts["shown"] else "Keyboard hidden"
        case "screen-state":
            return f"Screen {facts['state']}"
        case "rotation":
            return f"Turned to {facts['degrees']}\N{DEGREE SIGN}"
        case "lowmemory":
            return "Killed for low memory"
        case "anr":
            return "Not responding"


def _told(at: Stamp, kind: HappeningKind, facts: Mapping[str, object], text: str = "") -> Happening:
    return Happening(at, kind, _named(kind, facts), facts, text)


def _bounded(text: str) -> str:
    """A text of MAX_TEXT at most, ended between two words so that no half of a secret is left."""
    if len(text) <= MAX_TEXT:
        return text
    text = text[:MAX_TEXT]
    return text[: max(text.rfind(" "), text.rfind(","), text.rfind("\n"), 1)]


def _keep(kept: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)


def _number(values: tuple[EventValue, ...], index: int) -> int:
    value = values[index] if index < len(values) else 0
    return value if isinstance(value, int) else 0


def _string(values: tuple[EventValue, ...], index: int) -> str:
    value = values[index] if index < len(values) else ""
    return value if isinstance(value, str) else ""

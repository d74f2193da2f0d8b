"""What an app's log has told of its sessions and devices, and what may be inferred from that for an event without ids.

Source of the rules: `AmplitudeSessionPlugin.tsx` of @segment/analytics-react-native-plugin-amplitude-session. A session
outlives the process; it ends 300 s after the last event, or at a reset; a start is printed, a resumption is not.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.model import NO_SESSION

IDLE_NS = 300_000_000_000
MAX_PROCESSES = 8
MAX_STYLES = 32
MAX_PERSONS = 16

FROM_LINE = "inferred: session plugin line"
FROM_EVENT = "inferred: other events of the session"
FROM_BEFORE_RESTART = "inferred: session resumed after a restart"
FROM_BEFORE_HOLE = "inferred: session from before lines that are missing"
FROM_PROCESS = "inferred: other events of the process"


@dataclass(slots=True)
class Process:
    """One process of the app: the device id its events showed, and whether its session plugin can be at work."""

    device: str | None = None
    plugin_off: bool = False


@dataclass(slots=True)
class App:
    """The state of one app (a uid, or a pid when the log has no uids)."""

    current: int | None = None
    source: str = ""
    current_pid: int = 0
    last_ns: int = 0
    prints_lines: bool = False
    # Whether lines are missing since its session was seen last.
    holed: bool = False
    evidence: bool = False
    with_ids: set[str] = field(default_factory=set)
    processes: OrderedDict[int, Process] = field(default_factory=OrderedDict)
    persons: OrderedDict[str, int | None] = field(default_factory=OrderedDict)

    def process(self, pid: int) -> Process:
        """The process `pid`, made when new."""
        if pid not in self.processes:
            self.processes[pid] = Process()
            if len(self.processes) > MAX_PROCESSES:
                self.processes.popitem(last=False)
        return self.processes[pid]

    def since(self, anonymous: str, now_ns: int) -> int | None:
        """When this anonymous id took the place of another one; None for the first. With a reset, and when the app's
        data is deleted, a new one comes and the session goes, but an app may also choose one."""
        if anonymous not in self.persons:
            self.persons[anonymous] = now_ns if self.persons else None
            if len(self.persons) > MAX_PERSONS:
                self.persons.popitem(last=False)
        return self.persons[anonymous]

    def started(self, session_id: int, pid: int, now_ns: int, source: str, *, now: bool = False) -> None:
        """A session began, by a line or by its `session_start` event. `now` says that it is told as it happens."""
        self.evidence = True
        self.process(pid).plugin_off = False
        # Ids are times of day: a smaller one is an older session that is mentioned again, or the clock was set back.
        if now or self.current is None or session_id >= self.current:
            self.current, self.source, self.current_pid, self.holed = session_id, source, pid, False
        self.last_ns = max(self.last_ns, now_ns)
        if now:
            # Whoever came before that has a session now.
            self.persons = OrderedDict.fromkeys(self.persons)

    def ended(self, session_id: int) -> None:
        """A session was over when its end was printed; its successor's start comes next."""
        self.evidence = True
        if self.current == session_id:
            self.current = None

    def reset(self, pid: int) -> None:
        """The client dropped user, anonymous id and session."""
        self.current = None
        self.process(pid).device = None

    def shown(self, session_id: int, pid: int, now_ns: int, style: str) -> None:
        """An event carried its session id."""
        if len(self.with_ids) < MAX_STYLES:
            self.with_ids.add(style)
        self.started(session_id, pid, now_ns, FROM_EVENT)

    def at(self, pid: int, now_ns: int) -> tuple[int, str]:
        """Session and source for an event of now; NO_SESSION when the session may have ended by the idle rule."""
        if self.current is None or now_ns - self.last_ns >= IDLE_NS:
            return NO_SESSION, ""
        return self.last_known(pid)

    def last_known(self, pid: int) -> tuple[int, str]:
        """The same without the idle rule, for a plugin that prints each start and printed none."""
        if self.current is None or self.process(pid).plugin_off:
            return NO_SESSION, ""
        if self.holed:
            return self.current, FROM_BEFORE_HOLE
        return self.current, self.source if pid == self.current_pid else FROM_BEFORE_RESTART

"""The app as it is installed now: whose log lines are its."""

from __future__ import annotations

import re

from bridge.types import Foreground, LogEntry, Stamp

# UserHandle of AOSP: a uid is the user's number times this, and the number that the app has for all users.
PER_USER = 100_000
APPS = range(10_000, 20_000)
_STARTED = re.compile(r"Start proc \d{1,10}:([^/\s]+)/u(\d{1,4})a(\d{1,6})\b")


class Install:
    """The uid of the app of `package`, which was `uid` at `since`.

    An app that is removed and installed again gets another one, and each user of the phone (a work profile too) has an
    app of its own with data of its own. The system's log says the uid of each process that it starts, what is in front
    whose app that is: that one is recorded. One owner.
    """

    def __init__(self, package: str, uid: int, since: Stamp) -> None:
        self.uid = uid
        self.package = package
        self._since_ns = since.mono_ns
        self._expected = uid

    def expect(self, uid: int) -> None:
        """The package manager says that it is this one now, which counts from the first line that bears it: what is
        heard after it may still be older."""
        self._expected = uid

    def hear(self, entry: LogEntry) -> bool:
        """An entry of the log; whether the uid is another from it on. What was logged before `since` says nothing: the
        package manager knew better then."""
        before = self.uid
        if entry.uid == self._expected:
            self.uid = self._expected
        elif entry.stamp.mono_ns >= self._since_ns and (entry.uid is None or entry.uid < APPS.start):
            uid = self._started(entry)
            # Another user's app of the same installation may start behind the one that is looked at.
            if uid is not None and uid % PER_USER in APPS and uid % PER_USER != self.uid % PER_USER:
                self.uid = self._expected = uid
        return self.uid != before

    def see(self, state: Foreground) -> bool:
        """What is in front; whether the uid is another from now on."""
        if state.package != self.package or state.user is None or self.uid % PER_USER not in APPS:
            return False
        before = self.uid
        # The package manager tells of the first user's.
        self.uid = self._expected = state.user * PER_USER + self.uid % PER_USER
        return self.uid != before

    def _started(self, entry: LogEntry) -> int | None:
        """The uid of a process of the app that the system started."""
        if entry.tag == "am_proc_start" and entry.buffer == "events":
            match entry.values:
                case (int(), int(), int(uid), str(name), *_) if self._owns(name):
                    return uid
        elif entry.tag == "ActivityManager":
            found = _STARTED.match(entry.message)
            if found is not None and self._owns(found[1]):
                return int(found[2]) * PER_USER + APPS.start + int(found[3])
        return None

    def _owns(self, process: str) -> bool:
        return process.partition(":")[0] == self.package

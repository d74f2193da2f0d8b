"""A command of the user's in a process group of its own: started, told of signals, ended with all that it left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.errors import NoCommand

TERM_SECONDS = 3.0
KILL_SECONDS = 1.0
STEP_SECONDS = 0.02
STDERR = 2
_GROUPS = hasattr(os, "killpg")


def check(words: Sequence[str]) -> None:
    """Raises NoCommand when there is no such program: before phones are touched for it."""
    if not words or not words[0]:
        raise NoCommand("There is no command to run.", "Write it after --, as a shell would start it.")
    if shutil.which(words[0]) is None:
        what = "is no program that may be run" if Path(words[0]).exists() else "is not there, or not on PATH"
        raise NoCommand(f"{words[0]!r} {what}.", "Write the command after --, as a shell would start it.")


class Process:
    """The running command. Its standard input is ours; its output goes where ours goes, or to standard error."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], quiet: bool = False) -> None:
        """`quiet` = nothing of it goes to standard output. Raises NoCommand."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command
                list(words),
                env=dict(environment),
                stdout=STDERR if quiet else None,
                # Ctrl-C in a terminal reaches us alone, and we pass it on: who hears it twice ends at once.
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise NoCommand(f"{words[0]!r} cannot be started: {why}.", "Check the program and its rights.") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> int:
        """Until it has ended; its exit code, 128 + n when signal n ended it, as shells have it."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    @property
    def killed_by(self) -> str:
        """The name of the signal that ended it; "" when none did."""
        code = self._process.returncode
        if code is None or code >= 0:
            return ""
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"

    def tell(self, number: int) -> bool:
        """Pass a signal on to it and all that it started; False when that may not be: all of it is another user's
        (`sudo`)."""
        try:
            if _GROUPS:
                os.killpg(self.pid, number)
            else:
                self._process.send_signal(number)
        except ProcessLookupError:
            pass
        except PermissionError:
            return not self.lives
        return True

    def end(self, at_once: bool = False) -> bool:
        """End all that is left of its group, by force if need be, as far as we may; whether anything was left.
        Idempotent."""
        left = self.lives
        if left and not at_once and self.tell(signal.SIGTERM):
            self._gone(TERM_SECONDS)
        if self.lives and self.tell(getattr(signal, "SIGKILL", signal.SIGTERM)):
            self._gone(KILL_SECONDS)
        return left

    @property
    def lives(self) -> bool:
        """Whether any process of its group runs; after `end`, one that is another user's."""
        ended = self._process.poll() is not None
        if not _GROUPS:
            return not ended
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            # macOS says so, too, of a group of which only dead processes are left.
            return not ended or _runs(self.pid, unknown=False)
        return _runs(self.pid, unknown=True)

    def _gone(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.lives and time.monotonic() < end:
            time.sleep(STEP_SECONDS)


def _runs(group: int, unknown: bool) -> bool:
    """Whether any process of a group runs; Linux tells of those that are dead and not yet fetched by their parent.
    `unknown` is for who does not tell."""
    if not Path("/proc/self/stat").exists():
        return unknown
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue
            if int(number) == group and state not in ("Z", "X"):
                return True
    return False

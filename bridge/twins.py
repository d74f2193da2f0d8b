"""Which serials are ways to the same phone: adb lists one that is on a cable and on the network twice."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from bridge.adb import AdbShell
from bridge.deadline import Deadline
from bridge.errors import BridgeError, DeviceTaken

SAME_SECONDS = 3.0
# A phone that was found to be open already is asked again after so long: an address may be another phone's by then.
TRUSTED_SECONDS = 60.0
# How long the shell that is looked for from elsewhere stays, should nobody end it.
_STAYS = 3
_PID = re.compile(rb"(\d{1,10})\r?\n")


def same(one: AdbShell, other: AdbShell, deadline: Deadline) -> bool:
    """Whether two shells are on the same phone: what runs in one is seen in the other. Raises BridgeError."""
    token = secrets.token_hex(8)
    with one.stream(f"exec:echo $$; sleep {_STAYS}; : {token}", deadline) as stream:
        said = b""
        while (found := _PID.search(said)) is None:
            data = stream.read_some(deadline, 64)
            if not data or len(said) > 256:
                return False
            said += data
        return token in other.text(f"cat /proc/{int(found[1])}/cmdline", deadline)


def twin(shell: AdbShell, others: Iterable[str], deadline: Deadline) -> str:
    """Which of the `others`, serials, is a way to the phone of this shell, too; "" for none. One that does not answer
    is none."""
    mine = _boot_id(shell, deadline)
    for serial in others if mine else ():
        other = AdbShell(shell.socket, serial)
        if _boot_id(other, deadline) == mine and _same(shell, other, deadline):
            return serial
    return ""


@dataclass(eq=False, slots=True)
class _Way:
    serial: str
    boot_id: str


class Ways:
    """By which serial each open phone is open. Any thread."""

    def __init__(self) -> None:
        # Single operations on a list and on a dict are atomic in CPython.
        self._open: list[_Way] = []
        self._refused: dict[str, tuple[_Way, float]] = {}

    def check(self, serial: str) -> None:
        """Without asking anybody: raises DeviceTaken when `take` did a short while ago, and nothing has changed."""
        way, until = self._refused.get(serial, (None, 0.0))
        if way is not None and way in self._open and time.monotonic() < until:
            raise _error(serial, way)

    def take(self, shell: AdbShell, boot_id: str, deadline: Deadline) -> Callable[[], None]:
        """Note that a phone is open by this shell's serial; the call that ends it. Raises DeviceTaken when it is open
        by another one."""
        way = _Way(shell.serial, boot_id)
        self._open.append(way)
        try:
            taken = self._taken(way, shell, deadline)
        except BaseException:
            self._end(way)
            raise
        if taken is not None:
            self._end(way)
            self._refused[way.serial] = taken, time.monotonic() + TRUSTED_SECONDS
            raise _error(way.serial, taken)
        return partial(self._end, way)

    def _taken(self, way: _Way, shell: AdbShell, deadline: Deadline) -> _Way | None:
        """The way to the same phone that was there before; of two that come at once the first in the list stays."""
        for other in self._open[: self._open.index(way)]:
            alike = bool(way.boot_id) and other.boot_id == way.boot_id and other.serial != way.serial
            if alike and _same(shell, AdbShell(shell.socket, other.serial), deadline):
                return other
        return None

    def _end(self, way: _Way) -> None:
        if way in self._open:
            self._open.remove(way)


def _boot_id(shell: AdbShell, deadline: Deadline) -> str:
    try:
        return shell.boot_id(Deadline(min(SAME_SECONDS, deadline.remaining())))
    except BridgeError:
        return ""


def _same(one: AdbShell, other: AdbShell, deadline: Deadline) -> bool:
    """One of two that does not answer is in nobody's way."""
    try:
        return same(one, other, Deadline(min(SAME_SECONDS, deadline.remaining())))
    except BridgeError:
        return False


def _error(serial: str, way: _Way) -> DeviceTaken:
    return DeviceTaken(serial, "open", way.serial)

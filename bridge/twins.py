"""Which serials are ways to the same phone: adb lists one that is on a cable and on the network twice."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Set

from bridge.adb import AdbShell
from bridge.deadline import Deadline
from bridge.errors import BridgeError

# A phone that does not answer so soon is taken for another one: the rest of them waits meanwhile.
ASK_SECONDS = 2.0
# How long the shell that is looked for from elsewhere stays, should nobody end it.
_STAYS = 3
_PID = re.compile(rb"(\d{1,10})\r?\n")
# What adb calls a device on the network: an IPv4 address or a name, or an IPv6 address in brackets, and a port; or what
# it was found there by.
_ADDRESS = re.compile(r"(?:[^\s:]+|\[[^\s\]]+\]):\d+")
_FOUND = re.compile(r".*\._adb(?:-tls-connect)?\._tcp\.?")


def has_address(serial: str) -> bool:
    """Whether a serial is an address that `adb connect` takes."""
    return _ADDRESS.fullmatch(serial) is not None


def by_network(serial: str) -> bool:
    """Whether adb reaches the device of this serial over the network."""
    return has_address(serial) or _FOUND.fullmatch(serial) is not None


class Twins:
    """Tells which of the devices that are there are a second way to a phone. One thread.

    The kernel's boot id tells most phones apart; those with the same (they were started from one saved state, or share
    a kernel) are one only if what runs in a shell of one is seen in the other.
    """

    def __init__(self, shell: Callable[[str], AdbShell]) -> None:
        self._shell = shell
        self._boots: dict[str, str] = {}
        self._spares: dict[str, str] = {}

    def see(self, there: Set[str]) -> dict[str, str]:
        """The second ways among the usable devices that are there, each with the serial that is used for its phone: the
        one that was there first, of several that come at once that of a cable. Asks those that are new."""
        self._boots = {serial: boot for serial, boot in self._boots.items() if serial in there}
        # When the one that is used goes, one of the others takes its place.
        heirs: dict[str, str] = {}
        for spare in sorted(self._spares.keys() & there, key=_cables_first):
            first = self._spares[spare]
            heirs.setdefault(first, first if first in there else spare)
        self._spares = {
            spare: heirs[first] for spare, first in self._spares.items() if spare in there and heirs[first] != spare
        }
        # No phone has two cables.
        if any(map(by_network, there)):
            for serial in sorted(there - self._boots.keys(), key=_cables_first):
                boot = self._boot_id(serial)
                others = [other for other in self._boots if boot and self._boots[other] == boot]
                used = next((other for other in others if self._second(serial, other)), None)
                self._boots[serial] = boot
                if used is not None:
                    self._spares[serial] = used
        return dict(self._spares)

    def _second(self, serial: str, other: str) -> bool:
        network = by_network(serial) or by_network(other)
        return network and other not in self._spares and self._same(serial, other)

    def _boot_id(self, serial: str) -> str:
        try:
            return self._shell(serial).boot_id(Deadline(ASK_SECONDS))
        except BridgeError:
            return ""

    def _same(self, one: str, other: str) -> bool:
        try:
            return same(self._shell(one), self._shell(other), Deadline(ASK_SECONDS))
        except BridgeError:
            return False


def _cables_first(serial: str) -> tuple[bool, str]:
    return by_network(serial), serial


def same(one: AdbShell, other: AdbShell, deadline: Deadline) -> bool:
    """Whether two shells are on the same phone. Raises BridgeError."""
    token = secrets.token_hex(8)
    with one.stream(f"exec:echo $$; sleep {_STAYS}; : {token}", deadline) as stream:
        said = b""
        while (found := _PID.search(said)) is None:
            data = stream.read_some(deadline, 64)
            if not data or len(said) > 256:
                return False
            said += data
        return token in other.text(f"cat /proc/{int(found[1])}/cmdline", deadline)

"""What we change on devices: noted before, undone after, also what a killed run has left."""

from __future__ import annotations

import re
import shlex
import socket

from bridge.deadline import Deadline
from bridge.ports import Notebook
from bridge.smartsocket import SmartSocket, too_many_files
from bridge.types import Trace

PROBE_SECONDS = 0.5
_SPECIAL = re.compile(r"([.\\*+?^${}()|\[\]])")


class Unnoted:
    """A notebook of nothing that outlives this process: for who leaves nothing behind unless it is killed."""

    def __init__(self) -> None:
        self._made: dict[str, list[Trace]] = {}

    def made(self, serial: str, trace: Trace) -> None:
        mine = self._made.setdefault(serial, [])
        if trace not in mine:
            mine.append(trace)

    def undone(self, serial: str, trace: Trace) -> None:
        if trace in self.ours(serial):
            self._made[serial].remove(trace)

    def left(self, serial: str) -> tuple[Trace, ...]:
        return ()

    def ours(self, serial: str) -> tuple[Trace, ...]:
        return tuple(self._made.get(serial, ()))


def undo(smart: SmartSocket, notebook: Notebook, serial: str, traces: tuple[Trace, ...], deadline: Deadline) -> None:
    """Undo each of them and note it. What a device does not answer stays noted. Raises BridgeError."""
    for trace in traces:
        if trace.kind == "reverse":
            remote, _, local = trace.what.partition(" ")
            # It may lead to somebody else by now, or to another run of ours.
            if smart.reverses(serial, deadline).get(remote) == local:
                if lives(local):
                    # Whoever listens there takes it away; until then it stays noted.
                    continue
                smart.remove_reverse(serial, remote, deadline)
        elif trace.kind == "file":
            smart.exec(serial, f"rm -f {shlex.quote(trace.what)}", deadline)
        else:
            # Written so that it does not match its own command line.
            pattern = f"[{trace.what[0]}]" + _SPECIAL.sub(r"\\\1", trace.what[1:])
            smart.exec(serial, f"pkill -f {shlex.quote(pattern)}", deadline)
        notebook.undone(serial, trace)


def lives(local: str) -> bool:
    """Whether somebody listens at an address of this host; one of another kind counts as living. Raises
    TooManyFiles."""
    kind, _, port = local.rpartition(":")
    if kind != "tcp" or not port.isdigit():
        return True
    try:
        socket.create_connection(("127.0.0.1", int(port)), PROBE_SECONDS).close()
    except OSError as error:
        if (full := too_many_files("", f"try {local}", error)) is not None:
            raise full from error
        return False
    return True

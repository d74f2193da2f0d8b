"""Keeps `adb reverse` of devices: a port of the phone leads to a port of this host, for as long as we run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from agent.errors import AgentError
from bridge.deadline import Deadline
from bridge.errors import BridgeError
from bridge.ports import Notebook
from bridge.registry import Registry
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.traces import Unnoted, lives, undo
from bridge.types import Trace

log = logging.getLogger(__name__)

# A device that came back has another transport id, so a look at the list tells; the full look also finds a listener
# that somebody else took away.
LOOK_SECONDS = 1.0
FULL_LOOKS = 10
CALL_SECONDS = 5.0
# What a phone does not let us take away in this time stays noted for a later run.
STOP_SECONDS = 5.0


@dataclass(slots=True)
class _Device:
    transport: int
    looks: int = 0
    problem: str = ""


class Tunnels:
    """Leads `phone_port` of every wanted device to `port_of(serial)` on this host. A thread of its own.

    A device that comes, comes back or lost its listener gets it anew; at the end each is taken away again. A listener
    that leads to another living program is left alone. `tell` gets a line for people at each change.
    """

    def __init__(
        self,
        registry: Registry,
        server: AdbServer,
        wanted: tuple[str, ...],
        phone_port: int,
        port_of: Callable[[str], int],
        tell: Callable[[str], None],
        notebook: Notebook | None = None,
    ) -> None:
        """`wanted` is empty for every device. Listeners are noted in `notebook`."""
        self._registry = registry
        self._server = server
        self._socket = SmartSocket(server)
        self._wanted = wanted
        self._remote = f"tcp:{phone_port}"
        self._port_of = port_of
        self._tell = tell
        self._notebook = notebook or Unnoted()
        self._devices: dict[str, _Device] = {}
        self._made: dict[str, str] = {}
        self._stopped = threading.Event()
        # A daemon: where an adb server does not answer when it is asked for its devices, nobody waits for that.
        self._thread = threading.Thread(target=self._run, name="tunnels", daemon=True)

    @property
    def serials(self) -> tuple[str, ...]:
        """The devices whose port leads here now, as far as we know."""
        return tuple(serial for serial, device in self._devices.copy().items() if not device.problem)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take the listeners away from the devices that are still there, within STOP_SECONDS. Idempotent."""
        if self._stopped.is_set():
            return
        deadline = Deadline(STOP_SECONDS)
        self._stopped.set()
        # Wakes the thread; from here on it makes no more listeners.
        self._socket.close()
        made = self._made.copy()
        take_away = partial(self._take_away, SmartSocket(self._server), deadline)
        with ThreadPoolExecutor(max(1, len(made)), thread_name_prefix="tunnels") as pool:
            list(pool.map(take_away, made.keys(), made.values()))
        self._thread.join(deadline.remaining())

    def _take_away(self, smart: SmartSocket, deadline: Deadline, serial: str, local: str) -> None:
        try:
            if smart.reverses(serial, deadline).get(self._remote) == local:
                smart.remove_reverse(serial, self._remote, deadline)
            self._notebook.undone(serial, Trace("reverse", f"{self._remote} {local}"))
        except BridgeError as error:
            # A device that has gone has no listener.
            log.debug("the listener of %s: %s", serial, error)

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS if self._devices else LOOK_SECONDS / 5):
            try:
                listed = self._registry.list(Deadline(CALL_SECONDS))
            except BridgeError as error:
                log.debug("devices: %s", error)
                continue
            # A phone has one such port, however many ways lead to it.
            spares = self._registry.spares
            there = {row.serial: row.transport_id for row in listed if row.usable and row.serial not in spares}
            for serial in self._devices.keys() - there.keys():
                del self._devices[serial]
            for serial, transport in there.items():
                if not self._stopped.is_set() and (not self._wanted or serial in self._wanted):
                    self._look(serial, transport)

    def _look(self, serial: str, transport: int) -> None:
        device = self._devices.get(serial)
        if device is None or device.transport != transport:
            device = self._devices[serial] = _Device(transport, problem="new" if device is None else device.problem)
        device.looks += 1
        if device.looks % FULL_LOOKS != 1 and not device.problem:
            return
        try:
            problem = self._keep(serial)
        except BridgeError as error:
            problem = str(error)
        except AgentError as error:
            problem = f"{error} {error.hint}"
        except OSError as error:
            # What stands in the way of one phone's port on this host may be over at the next look.
            problem = error.strerror or str(error)
        if problem != device.problem and not self._stopped.is_set():
            device.problem = problem
            self._tell(f"{serial}: {problem}" if problem else f"{serial}: {self._remote} of the phone leads here.")

    def _keep(self, serial: str) -> str:
        """Make the listener if it is not there; what is in the way, "" for nothing. Raises BridgeError."""
        local = f"tcp:{self._port_of(serial)}"
        undo(self._socket, self._notebook, serial, self._notebook.left(serial), Deadline(CALL_SECONDS))
        held = self._socket.reverses(serial, Deadline(CALL_SECONDS)).get(self._remote)
        if held == local:
            return ""
        if held is not None and lives(held):
            return f"{self._remote} of the phone leads to another program on this host ({held}); take another port."
        self._made[serial] = local
        self._notebook.made(serial, Trace("reverse", f"{self._remote} {local}"))
        self._socket.reverse(serial, self._remote, local, Deadline(CALL_SECONDS))
        return ""

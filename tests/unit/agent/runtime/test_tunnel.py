"""`adb reverse` kept over a real adb server and emulated phones."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from fakes.adb_server import FakeAdbServer, Peer, says
from fakes.wait import until

from agent.errors import AddressTaken
from agent.runtime import tunnel as module
from agent.runtime.tunnel import Tunnels
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.emulated.lab import Lab
from bridge.registry import Registry
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.types import Trace

PORT = 8378


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with Lab(2, autopilot=False) as lab:
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    until(lambda: len(usable(shared.port)) == 2, "the phones")
    return shared


@pytest.fixture
def begin() -> Iterator[Callable[..., tuple[Tunnels, list[str]]]]:
    with ExitStack() as stack:

        def start(
            port: int, wanted: tuple[str, ...] = (), port_of: Callable[[str], int] = port_of
        ) -> tuple[Tunnels, list[str]]:
            server, told = AdbServer("127.0.0.1", port), list[str]()
            registry = Registry(server, HostClock())
            stack.callback(registry.close)
            tunnels = Tunnels(registry, server, wanted, PORT, port_of, told.append)
            tunnels.start()
            stack.callback(tunnels.stop)
            return tunnels, told

        yield start


def port_of(serial: str) -> int:
    """A port of the host for each serial; nothing needs to listen there."""
    return 20_000 + sum(serial.encode())


def usable(port: int) -> list[str]:
    registry = Registry(AdbServer("127.0.0.1", port), HostClock())
    return [row.serial for row in registry.list(Deadline(5)) if row.usable]


def led(lab: Lab, index: int) -> str | None:
    return lab.call(lambda: lab.phones[index].reverses.get(f"tcp:{PORT}"))


def test_every_phone_is_led_to_a_port_of_its_own_until_the_end(lab: Lab, begin) -> None:
    tunnels, told = begin(lab.port)
    wanted = [f"tcp:{port_of(serial)}" for serial in lab.serials]
    until(lambda: [led(lab, 0), led(lab, 1)] == wanted, "the listeners")
    until(lambda: set(tunnels.serials) == set(lab.serials), "the word of it")
    tunnels.stop()
    assert [led(lab, 0), led(lab, 1)] == [None, None]
    assert sorted(told) == sorted(f"{serial}: tcp:{PORT} of the phone leads here." for serial in lab.serials)


def test_only_the_wanted_phone(lab: Lab, begin) -> None:
    begin(lab.port, (lab.serials[1],))
    until(lambda: led(lab, 1), "the listener")
    assert led(lab, 0) is None


def test_a_phone_that_comes_back_is_led_again(lab: Lab, begin) -> None:
    begin(lab.port)
    until(lambda: led(lab, 0), "the listener")
    lab.call(lambda: lab.adbds[0].drop())
    until(lambda: led(lab, 0) is None or len(usable(lab.port)) < 2, "the listener to be gone")
    until(lambda: led(lab, 0), "the listener again", 20)


def test_a_listener_that_somebody_took_away_is_made_again(lab: Lab, begin) -> None:
    begin(lab.port)
    until(lambda: led(lab, 0), "the listener")
    SmartSocket(AdbServer("127.0.0.1", lab.port)).remove_reverse(lab.serials[0], f"tcp:{PORT}", Deadline(5))
    until(lambda: led(lab, 0), "the listener again")


def test_a_living_program_s_listener_is_left_alone_and_a_dead_one_s_taken_over(lab: Lab, begin) -> None:
    smart = SmartSocket(AdbServer("127.0.0.1", lab.port))
    with socket.create_server(("127.0.0.1", 0)) as other:
        local = f"tcp:{other.getsockname()[1]}"
        smart.reverse(lab.serials[0], f"tcp:{PORT}", local, Deadline(5))
        _, told = begin(lab.port, (lab.serials[0],))
        until(lambda: told, "a word")
        assert "another program" in told[0]
        assert led(lab, 0) == local
    until(lambda: led(lab, 0) == f"tcp:{port_of(lab.serials[0])}", "the dead one's listener to be ours")


def test_a_foreign_listener_is_not_taken_away_at_the_end(lab: Lab, begin) -> None:
    tunnels, _ = begin(lab.port, (lab.serials[0],))
    until(lambda: led(lab, 0), "the listener")
    tunnels.stop()
    smart = SmartSocket(AdbServer("127.0.0.1", lab.port))
    smart.reverse(lab.serials[0], f"tcp:{PORT}", "tcp:1", Deadline(5))
    tunnels.stop()
    assert led(lab, 0) == "tcp:1"
    smart.remove_reverse(lab.serials[0], f"tcp:{PORT}", Deadline(5))


def test_a_phone_that_refuses_says_why_once(begin) -> None:
    with FakeAdbServer() as server:
        server.services["reverse:list-forward"] = says("0000")
        server.services["reverse:forward:"] = says("FAIL0009no ports!")
        tunnels, told = begin(server.port)
        until(lambda: told, "a word")
        until(lambda: server.requests.count("reverse:list-forward") > 3, "more tries")
        assert len(told) == 1
        assert "no ports!" in told[0]
        assert tunnels.serials == ()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (AddressTaken("Another program listens there.", "Stop it."), "Another program listens there. Stop it."),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_a_port_of_this_host_that_cannot_be_had_is_told_once_and_tried_again(
    lab: Lab, begin, trouble: Exception, words: str
) -> None:
    asked: list[str] = []
    first = lab.serials[0]

    def scarce(serial: str) -> int:
        asked.append(serial)
        if serial == first and asked.count(first) < 4:
            raise trouble
        return port_of(serial)

    _, told = begin(lab.port, (), scarce)
    until(lambda: led(lab, 0) and led(lab, 1), "the listeners of both")
    until(lambda: len(told) == 3, "the word of it")
    assert told.count(f"{first}: {words}") == 1


def stalls(peer: Peer) -> None:
    peer.gone()


def rows(local: str) -> Callable[[Peer], None]:
    """A phone whose port leads there."""
    return says(Peer.block(f"host-1 tcp:{PORT} {local}\n"))


def test_phones_that_hang_are_waited_for_together(begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 1.0)
    monkeypatch.setattr(module, "STOP_SECONDS", 1.0)
    serials = ("A", "B", "C", "D")
    with FakeAdbServer() as server:
        server.states = dict.fromkeys(serials, "device")
        server.services["reverse:list-forward"] = says("0000")
        server.services["reverse:forward:"] = says("OKAY")
        tunnels, _ = begin(server.port)
        until(lambda: set(tunnels.serials) == set(serials), "the listeners")
        server.services["reverse:list-forward"] = stalls
        asked = len(server.requests)
        tunnels.stop()
        # Whoever waited for one after the other would have no time left for the last ones.
        assert {f"host:transport:{serial}" for serial in serials} <= set(server.requests[asked:])


def test_a_phone_that_hangs_while_it_is_looked_at_keeps_nobody_waiting(begin) -> None:
    asked = threading.Event()

    def hang(peer: Peer) -> None:
        asked.set()
        peer.gone()

    with FakeAdbServer() as server:
        server.services["reverse:list-forward"] = hang
        tunnels, told = begin(server.port)
        assert asked.wait(10)
        began = time.monotonic()
        tunnels.stop()
        assert time.monotonic() - began < module.CALL_SECONDS / 2
        assert told == []
        assert not tunnels._thread.is_alive()


def test_a_listener_that_cannot_be_taken_away_stays_noted(begin) -> None:
    with FakeAdbServer() as server:
        server.services["reverse:list-forward"] = says("0000")
        server.services["reverse:forward:"] = says("OKAY")
        tunnels, _ = begin(server.port)
        until(lambda: tunnels.serials == ("SERIAL",), "the listener")
        local = f"tcp:{port_of('SERIAL')}"
        server.services["reverse:list-forward"] = rows(local)
        server.refused["reverse:killforward"] = "device offline"
        tunnels.stop()
    assert tunnels._notebook.ours("SERIAL") == (Trace("reverse", f"tcp:{PORT} {local}"),)


def test_no_adb_server_is_waited_for(begin) -> None:
    with FakeAdbServer() as gone:
        pass
    tunnels, told = begin(gone.port)
    tunnels.stop()
    assert told == []

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.adb_server import FakeAdbServer, Peer, says, two_ways

from bridge import twins
from bridge.adb import BOOT_ID, AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.emulated.lab import Lab
from bridge.registry import Registry
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.twins import Twins, by_network, has_address, same

CABLE, NETWORK = "R58", "192.168.1.7:5555"


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    """One phone by two ways."""
    with FakeAdbServer() as server:
        two_ways(server)
        yield server


@pytest.fixture
def found(server: FakeAdbServer) -> Iterator[Twins]:
    socket = SmartSocket(AdbServer(port=server.port))
    yield Twins(lambda serial: AdbShell(socket, serial))
    socket.close()


def test_one_phone_by_two_names_and_one_that_was_started_from_the_same_state() -> None:
    with Lab(devices=2, profile="small", autopilot=False) as lab:
        lab.phones[1].boot_id = lab.phones[0].boot_id
        first, other = lab.serials
        registry = Registry(AdbServer(port=lab.port), HostClock())
        second = registry.connect(first.replace("127.0.0.1", "localhost"), Deadline(15))
        shells = [AdbShell(SmartSocket(AdbServer(port=lab.port)), serial) for serial in (first, second, other)]
        assert same(shells[0], shells[1], Deadline(15))
        assert not same(shells[0], shells[2], Deadline(15))
        assert registry.twins([second, other, first]) == {second: first}
        registry.close()
        assert lab.gaps == []


def test_the_way_that_was_there_first_stays_and_of_two_the_cable(server: FakeAdbServer, found: Twins) -> None:
    assert found.see({NETWORK, CABLE}) == {NETWORK: CABLE}
    asked = len(server.requests)
    assert found.see({NETWORK, CABLE}) == {NETWORK: CABLE}
    assert found.see({NETWORK}) == {}
    assert len(server.requests) == asked
    assert found.see({CABLE, NETWORK}) == {CABLE: NETWORK}
    assert found.see({CABLE}) == {}
    assert found.see(set()) == {}


def test_a_third_way_is_one_to_that_which_is_used(server: FakeAdbServer, found: Twins) -> None:
    server.states["[fe80::7]:5555"] = "device"
    ways = {NETWORK, CABLE, "[fe80::7]:5555"}
    assert found.see(ways) == {NETWORK: CABLE, "[fe80::7]:5555": CABLE}
    # Who goes leaves its place to one of them, and comes back as another way to that.
    asked = len(server.requests)
    assert found.see(ways - {CABLE}) == {"[fe80::7]:5555": NETWORK}
    assert len(server.requests) == asked
    assert found.see(ways) == {"[fe80::7]:5555": NETWORK, CABLE: NETWORK}
    assert found.see({CABLE, "[fe80::7]:5555"}) == {"[fe80::7]:5555": CABLE}
    server.states["10.0.0.7:5555"] = "device"
    assert found.see({"10.0.0.7:5555", "[fe80::7]:5555"}) == {"10.0.0.7:5555": "[fe80::7]:5555"}
    assert found.see({"10.0.0.7:5555", "[fe80::7]:5555", CABLE})[CABLE] == "[fe80::7]:5555"
    assert found.see({"10.0.0.7:5555", CABLE}) == {"10.0.0.7:5555": CABLE}


def test_phones_on_cables_are_not_asked(server: FakeAdbServer, found: Twins) -> None:
    server.states["R59"] = "device"
    assert found.see({CABLE, "R59"}) == {}
    assert server.requests == []
    # Both say that they are the same phone as the one on the network: no phone has two cables.
    assert found.see({CABLE, "R59", NETWORK}) == {NETWORK: CABLE}


@pytest.mark.parametrize(
    ("service", "answer"),
    [
        ("exec:echo $$", says(b"")), ("exec:echo $$", says(b"sh: no\n")), ("exec:echo $$", says(b"x" * 1000)),
        ("exec:echo $$", Peer.gone), ("exec:cat /proc/77/cmdline", says(b"sh\0-c\0another\0")),
        ("exec:cat /proc/77/cmdline", Peer.gone), (f"exec:{BOOT_ID}", says(b"cat: no such file\n")),
        (f"exec:{BOOT_ID}", Peer.gone),
    ],
)  # fmt: skip
def test_who_is_not_proved_to_be_the_same_phone_is_another(
    server: FakeAdbServer, found: Twins, monkeypatch: pytest.MonkeyPatch, service: str, answer: object
) -> None:
    monkeypatch.setattr(twins, "ASK_SECONDS", 0.3)
    server.services[service] = answer  # type: ignore[assignment]
    assert found.see({NETWORK, CABLE}) == {}


def test_one_that_is_away_is_another(server: FakeAdbServer, found: Twins) -> None:
    server.states[CABLE] = "offline"
    assert found.see({NETWORK, CABLE}) == {}


@pytest.mark.parametrize(
    ("serial", "network", "address"),
    [
        ("R58M123ABC", False, False),
        ("emulator-5554", False, False),
        ("192.168.1.7:5555", True, True),
        ("[fe80::1%wlan0]:5555", True, True),
        ("adb-R3CY106LKVX-xtn5zd (2)._adb-tls-connect._tcp", True, False),
        ("adb-R3CY106LKVX-xtn5zd._adb._tcp.", True, False),
    ],
)
def test_what_is_on_the_network(serial: str, network: bool, address: bool) -> None:
    assert (by_network(serial), has_address(serial)) == (network, address)

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.adb_server import FakeAdbServer, Peer, says, two_ways

from bridge import twins
from bridge.adb import BOOT_ID, AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.emulated.lab import Lab
from bridge.errors import DeviceTaken
from bridge.registry import Registry, by_network
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.twins import Ways

BOOT = "0b2c4b1e-6a3f-4c57-9d0e-2f1a7c8b9d10"


def soon() -> Deadline:
    return Deadline(15)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two phones that were started from one saved state; the first is on the network by two names."""
    with Lab(devices=2, profile="small", autopilot=False) as lab:
        lab.phones[1].boot_id = lab.phones[0].boot_id
        yield lab
        assert lab.gaps == []


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    registry = Registry(AdbServer(port=lab.port), HostClock())
    yield registry
    registry.close()


@pytest.fixture
def ways(lab: Lab, registry: Registry) -> tuple[str, str]:
    first = lab.serials[0]
    return first, registry.connect(first.replace("127.0.0.1", "localhost"), soon())


def test_a_phone_by_two_ways_is_open_by_one_of_them(lab: Lab, registry: Registry, ways: tuple[str, str]) -> None:
    first, second = ways
    device = registry.open(first, soon())
    for _ in range(2):
        with pytest.raises(DeviceTaken, match=f"the same phone as {first}"):
            registry.open(second, soon())
    # Another phone, though its kernel says that it is the same.
    registry.open(lab.serials[1], soon()).close()
    device.close()
    device = registry.open(second, soon())
    assert device.info.boot_id == lab.phones[0].boot_id
    with pytest.raises(DeviceTaken):
        registry.open(first, soon())
    device.close()
    device.close()
    registry.open(first, soon()).close()


def test_which_of_the_devices_are_one_phone(lab: Lab, registry: Registry, ways: tuple[str, str]) -> None:
    first, second = ways
    assert registry.twins([second, *lab.serials], soon()) == {first: second}
    assert registry.twin(second, lab.serials, soon()) == first
    assert registry.twin(second, [lab.serials[1], "127.0.0.1:1"], soon()) == ""
    assert registry.twin("127.0.0.1:1", lab.serials, soon()) == ""


class Phones:
    """A phone by two ways, and one that says the same of itself; `said` is what the shell that is looked for says."""

    def __init__(self, server: FakeAdbServer) -> None:
        two_ways(server)
        self.server = server
        server.states["R59"] = "device"
        server.services["exec:echo $$"] = self.shell
        self.said: tuple[bytes, ...] = (b"7", b"7\r\n")
        self.registry = Registry(AdbServer(port=server.port), HostClock())

    def shell(self, peer: Peer) -> None:
        for part in self.said:
            peer.send(part)
        if self.said[-1].endswith(b"\n"):
            peer.gone()

    def twin(self) -> str:
        return self.registry.twin("192.168.1.7:5555", ["R58"], soon())


@pytest.fixture
def phones() -> Iterator[Phones]:
    with FakeAdbServer() as server:
        phones = Phones(server)
        yield phones
        phones.registry.close()


def test_a_cable_is_used_before_the_network(phones: Phones) -> None:
    assert phones.registry.twins(phones.server.states, soon()) == {"192.168.1.7:5555": "R58"}
    phones.server.requests.clear()
    # No phone has two cables: nobody is asked.
    assert phones.registry.twin("R59", ["R58"], soon()) == ""
    assert phones.server.requests == ["host:transport:R59", f"exec:{BOOT_ID}"]


def test_who_is_not_proved_to_be_the_same_phone_is_another(phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "SAME_SECONDS", 0.3)
    assert phones.twin() == "R58"
    for said in ((b"",), (b"sh: no\n",), (b"x" * 1000,), (b"77",)):
        phones.said = said
        assert phones.twin() == ""
    phones.said = (b"77\n",)
    assert phones.twin() == "R58"
    for running in (says(b"sh\0-c\0another\0"), Peer.gone):
        phones.server.services["exec:cat /proc/77/cmdline"] = running
        assert phones.twin() == ""
    two_ways(phones.server)
    assert phones.twin() == "R58"
    phones.server.states["R58"] = "offline"
    assert phones.twin() == ""
    phones.server.states["R58"] = "device"
    phones.server.services[f"exec:{BOOT_ID}"] = says("cat: no such file\n")
    assert phones.twin() == ""


def test_one_that_was_refused_is_asked_again_after_a_while(phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways()
    cable, network = (AdbShell(SmartSocket(AdbServer(port=phones.server.port)), s) for s in ("R58", "192.168.1.7:5555"))
    release = ways.take(cable, BOOT, soon())
    ways.check("192.168.1.7:5555")
    with pytest.raises(DeviceTaken):
        ways.take(network, BOOT, soon())
    with pytest.raises(DeviceTaken):
        ways.check("192.168.1.7:5555")
    # The address may be another phone's by now.
    monkeypatch.setattr(twins, "TRUSTED_SECONDS", 0.0)
    with pytest.raises(DeviceTaken):
        ways.take(network, BOOT, soon())
    ways.check("192.168.1.7:5555")
    ways.take(network, "", soon())()
    release()
    ways.take(network, BOOT, soon())()


@pytest.mark.parametrize(
    ("serial", "network"),
    [
        ("R58M123ABC", False),
        ("emulator-5554", False),
        ("192.168.1.7:5555", True),
        ("[fe80::1%wlan0]:5555", True),
        ("adb-R3CY106LKVX-xtn5zd (2)._adb-tls-connect._tcp", True),
        ("adb-R3CY106LKVX-xtn5zd._adb._tcp.", True),
    ],
)
def test_what_is_on_the_network(serial: str, network: bool) -> None:
    assert by_network(serial) is network

import errno
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest
from fakes.adb_server import FakeAdbServer, Peer, says, two_ways
from fakes.wait import until
from hypothesis import given
from hypothesis import strategies as st

from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import (
    AdbMissing,
    AdbServerError,
    BridgeError,
    DeviceGone,
    DeviceUnauthorized,
    ServerPortTaken,
    ServiceRefused,
    TooManyFiles,
)
from bridge.registry import (
    FACTS_SECONDS,
    FLAP_NS,
    AdbServer,
    Attached,
    Detached,
    Listed,
    Presence,
    Registry,
    listing,
    start_server,
    too_old,
)

LONG = """\
R58M123ABC             device usb:1-4 product:beyond1 model:SM_G973F device:beyond1 transport_id:3
127.0.0.1:41001        offline product:emu model:Pixel_7 device:emu transport_id:12
0123456789             unauthorized usb:1-2 transport_id:4
????????????           no permissions (user in plugdev group; are your udev rules wrong?); see [http://x] usb:1-1
HT4A1                  bootloader
HT4A2                  strange
"""


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


@pytest.fixture
def registry(server: FakeAdbServer) -> Iterator[Registry]:
    registry = Registry(AdbServer(port=server.port), HostClock())
    yield registry
    registry.close()


def soon() -> Deadline:
    return Deadline(5)


def test_listing() -> None:
    found = {listed.serial: listed for listed in listing(LONG)}
    phone = found["R58M123ABC"]
    assert (phone.model, phone.product, phone.transport_id, phone.usable, phone.why) == (
        "SM G973F",
        "beyond1",
        3,
        True,
        "",
    )
    assert listing(f"S device transport_id:{'9' * 5000}\n")[0].transport_id == 0
    # Two phones of one name on the network, as adb lists them.
    name = "adb-R3CY106LKVX-xtn5zd (2)._adb-tls-connect._tcp"
    for state in ("device", "offline"):
        (clash,) = listing(f"{name} {state} product:pa3qksx model:SM_S938N transport_id:124\n")
        assert (clash.serial, clash.state, clash.model) == (name, state, "SM S938N")
    (odd,) = listing("R58 detached transport_id:3\n")
    assert (odd.serial, odd.state, odd.usable) == ("R58", "detached", False)
    assert found["????????????"].state == "no permissions"
    assert "udev" in found["????????????"].why
    assert "unlock" in found["0123456789"].why
    assert "adb connect" in found["127.0.0.1:41001"].why
    assert "strange" in found["HT4A2"].why
    assert all(listed.why for listed in found.values() if not listed.usable)
    assert [listed.serial for listed in found.values() if listed.usable] == ["R58M123ABC"]


@given(st.text(max_size=200))
def test_any_listing_is_read(text: str) -> None:
    listing(text)


def test_list(server: FakeAdbServer, registry: Registry) -> None:
    server.states = {"A": "device", "B": "unauthorized"}
    assert [(listed.serial, listed.usable) for listed in registry.list(soon())] == [("A", True), ("B", False)]


def test_short_absence_is_no_departure() -> None:
    presence = Presence()
    assert list(presence.see({"a", "b"}, 0)) == [Attached("a"), Attached("b")]
    assert list(presence.see({"b"}, 10)) == []
    assert presence.due_ns == 10 + FLAP_NS
    assert list(presence.settle(FLAP_NS)) == []
    assert list(presence.see({"a", "b"}, FLAP_NS + 5)) == []
    assert presence.due_ns is None
    assert list(presence.settle(10 * FLAP_NS)) == []


def test_lasting_absence_is_a_departure() -> None:
    presence = Presence()
    list(presence.see({"a"}, 0))
    list(presence.see(set(), 10))
    list(presence.see(set(), 20))
    assert list(presence.settle(10 + FLAP_NS)) == [Detached("a")]
    assert list(presence.see({"a"}, 11 + FLAP_NS)) == [Attached("a")]
    assert list(presence.lose()) == [Detached("a")]
    assert list(presence.lose()) == []


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.integers(0, 2 * FLAP_NS)), max_size=20))
def test_events_of_a_device_alternate(snapshots: list[tuple[set[str], int]]) -> None:
    presence, now_ns, here = Presence(), 0, set[str]()
    for usable, step_ns in snapshots:
        now_ns += step_ns
        for event in [*presence.settle(now_ns), *presence.see(usable, now_ns)]:
            assert (event.serial in here) == isinstance(event, Detached)
            here ^= {event.serial}
    list(presence.settle(now_ns + FLAP_NS))
    assert presence.serials == (snapshots[-1][0] if snapshots else set())


class Watch:
    """A watch on its own thread whose events a test takes one by one."""

    def __init__(self, registry: Registry) -> None:
        self.events: Queue[Attached | Detached | Listed] = Queue()
        self._pool = ThreadPoolExecutor(1)
        self.done = self._pool.submit(self._run, registry)

    def _run(self, registry: Registry) -> None:
        for event in registry.watch():
            self.events.put(event)

    def next(self) -> Attached | Detached | Listed:
        return self.events.get(timeout=5)

    def join(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def watch(registry: Registry) -> Iterator[Callable[[], Watch]]:
    """Starts a watch, which ends with the test."""
    watches: list[Watch] = []

    def begin() -> Watch:
        watches.append(Watch(registry))
        return watches[-1]

    yield begin
    registry.close()
    for each in watches:
        each.join()


def _state(event: object) -> tuple[str, str]:
    assert isinstance(event, Listed), event
    return event.serial, event.state


def test_watch_follows_devices_and_ends_with_close(
    server: FakeAdbServer, registry: Registry, watch: Callable[[], Watch]
) -> None:
    server.states = {"A": "device", "B": "offline"}
    events = watch()
    assert events.next() == Attached("A")
    assert _state(events.next()) == ("B", "offline")
    server.set_states({"A": "device", "B": "device"})
    assert events.next() == Attached("B")
    server.set_states({"A": "offline", "B": "device"})
    assert _state(events.next()) == ("A", "offline")
    assert events.next() == Detached("A")
    server.set_states({"A": "offline", "B": "device", "C": "offline"})
    assert _state(events.next()) == ("C", "offline")
    server.set_states({"A": "unauthorized", "B": "device", "C": "offline"})
    listed = events.next()
    assert _state(listed) == ("A", "unauthorized")
    assert isinstance(listed, Listed)
    assert "USB debugging" in listed.why
    registry.close()
    events.done.result(5)
    assert events.events.empty()


def test_watch_coalesces_flaps(
    server: FakeAdbServer, registry: Registry, watch: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.registry.FLAP_NS", 60 * 10**9)
    events = watch()
    assert events.next() == Attached("SERIAL")
    server.set_states({"SERIAL": "offline"})
    assert _state(events.next()) == ("SERIAL", "offline")
    server.set_states({})
    server.set_states({"SERIAL": "device"})
    server.set_states({"SERIAL": "device", "OTHER": "device"})
    assert events.next() == Attached("OTHER")


CABLE, NETWORK = {"R58": "device"}, {"192.168.1.7:5555": "device"}


def test_a_phone_by_two_ways_is_attached_once_and_by_the_other_when_one_goes(
    server: FakeAdbServer, registry: Registry, watch: Callable[[], Watch]
) -> None:
    two_ways(server)
    events = watch()
    assert events.next() == Attached("R58")
    spare = events.next()
    assert _state(spare) == ("192.168.1.7:5555", "device")
    assert isinstance(spare, Listed)
    assert not spare.usable
    assert "the same phone as R58" in spare.why
    until(lambda: registry.spares == {"192.168.1.7:5555"}, "the second way to be known")
    server.set_states(NETWORK)
    assert [events.next(), events.next()] == [Detached("R58"), Attached("192.168.1.7:5555")]
    # The cable again: what is recorded by the network goes on.
    server.set_states(CABLE | NETWORK)
    assert _state(events.next()) == ("R58", "device")
    until(lambda: registry.spares == {"R58"}, "the cable to wait")
    server.set_states(CABLE)
    assert [events.next(), events.next()] == [Detached("192.168.1.7:5555"), Attached("R58")]
    until(lambda: not registry.spares, "nothing to wait")
    server.set_states(CABLE | {"R59": "device"})
    assert events.next() == Attached("R59")
    assert events.events.empty()


def test_one_that_is_away_for_a_moment_keeps_its_place(
    server: FakeAdbServer, watch: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.registry.FLAP_NS", 60 * 10**9)
    two_ways(server)
    events = watch()
    assert [events.next(), _state(events.next())] == [Attached("R58"), ("192.168.1.7:5555", "device")]
    server.set_states(NETWORK)
    server.set_states(CABLE | NETWORK | {"R59": "device"})
    assert events.next() == Attached("R59")


def test_a_way_that_nobody_wants_takes_no_place(server: FakeAdbServer, registry: Registry) -> None:
    two_ways(server)
    events = registry.watch({"192.168.1.7:5555", "R60"})
    assert next(events) == Attached("192.168.1.7:5555")
    server.set_states(CABLE | NETWORK | {"R59": "offline", "R60": "offline"})
    assert _state(next(events)) == ("R60", "offline")
    events.close()


def test_watch_of_a_dying_server_detaches_everything_first(
    server: FakeAdbServer, registry: Registry, watch: Callable[[], Watch]
) -> None:
    events = watch()
    assert events.next() == Attached("SERIAL")
    server.close()
    assert events.next() == Detached("SERIAL")
    with pytest.raises(AdbServerError):
        events.done.result(5)


def test_connect(server: FakeAdbServer, registry: Registry) -> None:
    answers = {
        "127.0.0.1:41001": "connected to 127.0.0.1:41001",
        "127.0.0.1:41002": "already connected to 127.0.0.1:41002",
        "127.0.0.1:41003": "failed to authenticate to 127.0.0.1:41003",
        "127.0.0.1:41004": "failed to connect to '127.0.0.1:41004': Connection refused",
    }
    for address, answer in answers.items():
        server.services[f"host:connect:{address}"] = lambda peer, answer=answer: peer.send(Peer.block(answer))
    assert registry.connect("127.0.0.1:41001", soon()) == "127.0.0.1:41001"
    assert registry.connect("127.0.0.1:41002", soon()) == "127.0.0.1:41002"
    with pytest.raises(DeviceUnauthorized):
        registry.connect("127.0.0.1:41003", soon())
    with pytest.raises(DeviceGone, match="refused"):
        registry.connect("127.0.0.1:41004", soon())


def test_connected_address_that_is_away_is_asked_for_again(
    server: FakeAdbServer, registry: Registry, watch: Callable[[], Watch]
) -> None:
    asked = threading.Event()

    def connect(peer: Peer) -> None:
        peer.send(Peer.block("connected to 127.0.0.1:41001"))
        if server.requests.count("host:connect:127.0.0.1:41001") > 1:
            asked.set()

    server.services["host:connect:127.0.0.1:41001"] = connect
    registry.connect("127.0.0.1:41001", soon())
    events = watch()
    events.next()
    assert asked.wait(10)


def test_foreign_port(server: FakeAdbServer, registry: Registry) -> None:
    server.greeting = b"HTTP/1.1 200 OK\r\n\r\n"
    with pytest.raises(ServerPortTaken):
        registry.list(soon())


def test_absent_server_is_not_started_unasked(server: FakeAdbServer, registry: Registry) -> None:
    server.close()
    with pytest.raises(AdbServerError, match="adb start-server"):
        registry.list(soon())


def test_missing_adb_is_named(server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.close()
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "adb"))
    with pytest.raises(AdbMissing):
        Registry(AdbServer(port=server.port), HostClock(), start=True).list(soon())


def test_adb_that_fails_to_start_speaks(server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.close()
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\necho 'cannot bind' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(program))
    with pytest.raises(AdbServerError, match="cannot bind"):
        Registry(AdbServer(port=server.port), HostClock(), start=True).list(soon())


def test_a_server_that_another_tool_puts_in_the_place_of_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.registry.REPLACED_SECONDS", 10.0)
    monkeypatch.setattr("bridge.registry.start_server", lambda *_: pytest.fail("a server was started"))
    began: list[FakeAdbServer] = []
    with FakeAdbServer() as first:
        port = first.port
        registry = Registry(AdbServer(port=port), HostClock(), start=True)
        registry.list(soon())
    later = threading.Timer(0.3, lambda: began.append(FakeAdbServer(port)))
    later.start()
    try:
        registry.list(soon())
    finally:
        later.join()
        registry.close()
        for server in began:
            server.close()


@pytest.mark.parametrize(("number", "kind"), [(errno.EMFILE, TooManyFiles), (errno.EIO, AdbServerError)])
def test_a_host_that_cannot_start_programs_is_told(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BridgeError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(kind, match="start the adb server"):
        start_server(AdbServer(), soon())


def test_without_a_descriptor_left_no_server_is_started_and_no_device_goes_away(
    server: FakeAdbServer, watch: Callable[[], Watch], monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    connects = threading.Event()
    server.services["host:connect:127.0.0.1:41001"] = says(Peer.block("connected to 127.0.0.1:41001"))
    registry.connect("127.0.0.1:41001", soon())
    events = watch()
    assert events.next() == Attached("SERIAL")

    def refuse(*_: object, **__: object) -> None:
        connects.set()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("bridge.registry.start_server", lambda *_: pytest.fail("a server was started"))
    with pytest.raises(TooManyFiles):
        Registry(AdbServer(port=server.port), HostClock(), start=True).list(soon())
    connects.clear()
    assert connects.wait(5)
    server.set_states({"SERIAL": "device", "OTHER": "device"})
    assert events.next() == Attached("OTHER")


def test_the_server_that_is_started_knows_none_of_our_settings(
    server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It outlives us, and one of them is a key."""
    program, seen = tmp_path / "adb", tmp_path / "seen"
    program.write_text(f"#!/bin/sh\nenv >{seen}\n")
    program.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(program))
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__API_KEY", "canary-key")
    monkeypatch.setenv("ADB_TRACE", "1")
    start_server(AdbServer(port=server.port), soon())
    assert "canary" not in seen.read_text()
    assert {"ADB_TRACE=1", f"ANDROID_ADB_SERVER_PORT={server.port}"} <= set(seen.read_text().splitlines())


def test_open_of_a_device_that_is_too_old(server: FakeAdbServer, registry: Registry) -> None:
    mark = "\n@@next@@\n"
    facts = "[ro.build.version.release]: [6.0.1]\n[ro.build.version.sdk]: [23]"
    server.services["exec:getprop"] = says(mark.join((facts, "Physical size: 10x20", "", "", "")))
    with pytest.raises(ServiceRefused, match=r"Android 6\.0\.1 \(API level 23\) is too old"):
        registry.open("SERIAL", soon())
    # Nothing else was asked of it.
    assert len([request for request in server.requests if request.startswith("exec:")]) == 1


def test_which_android_is_too_old() -> None:
    assert [bool(too_old("", level)) for level in (0, 1, 21, 23, 24, 35)] == [False, True, True, True, False, False]


def test_open_of_an_absent_device(registry: Registry) -> None:
    with pytest.raises(DeviceGone, match="not found"):
        registry.open("OTHER", soon())


def test_close_ends_an_open_of_a_device_that_hangs(server: FakeAdbServer, registry: Registry) -> None:
    asked = threading.Event()

    def hang(peer: Peer) -> None:
        asked.set()
        peer.gone()

    server.services["exec:"] = hang
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(registry.open, "SERIAL", Deadline(60))
        assert asked.wait(5)
        registry.close()
        with pytest.raises(DeviceGone, match="closed by us"):
            # Well before it would have given up by itself.
            opening.result(FACTS_SECONDS / 2)

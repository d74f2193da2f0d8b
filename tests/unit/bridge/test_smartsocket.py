import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.adb_server import FakeAdbServer, Peer
from hypothesis import given
from hypothesis import strategies as st

from bridge import smartsocket as module
from bridge.deadline import Deadline
from bridge.errors import (
    AdbServerError,
    BridgeError,
    BridgeTimeout,
    CommandFailed,
    DeviceGone,
    DeviceUnauthorized,
    ServerPortTaken,
    ServiceRefused,
    TooManyFiles,
)
from bridge.smartsocket import AdbServer, SmartSocket, Stream, Tally, _packets, never, refusal


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


@pytest.fixture
def smart(server: FakeAdbServer) -> Iterator[SmartSocket]:
    smart = SmartSocket(AdbServer(port=server.port))
    yield smart
    smart.close()


def soon() -> Deadline:
    return Deadline(5)


def packet(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


def sends(*chunks: bytes) -> Callable[[Peer], None]:
    def service(peer: Peer) -> None:
        for chunk in chunks:
            peer.send(chunk)

    return service


def stalls(peer: Peer) -> None:
    peer.gone()


def test_version(smart: SmartSocket) -> None:
    assert smart.version(soon()) == 41


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EMFILE, TooManyFiles, "ulimit -n"),
        (errno.ENFILE, TooManyFiles, "this host"),
        (errno.ECONNREFUSED, AdbServerError, "nothing listens"),
    ],
)
def test_no_descriptor_left_is_no_missing_server(
    smart: SmartSocket, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BridgeError], words: str
) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(number, "no")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(kind, match=words):
        smart.version(soon())


def test_exec_returns_every_byte(server: FakeAdbServer, smart: SmartSocket) -> None:
    data = bytes(range(256)) * 4096
    server.services["exec:screencap"] = sends(data)
    assert smart.exec("SERIAL", "screencap", soon()) == data
    assert smart.exec("SERIAL", "screencap", soon(), expect=len(data) + 1) == data
    assert smart.exec("SERIAL", "screencap", soon(), expect=len(data)) == data
    # And counts them, with the few of the server's answers.
    assert 3 * len(data) < smart.received < 3 * len(data) + 100


@pytest.mark.parametrize("length", [0, 1, 5_000, 1_048_575, 1_048_576, 1_048_577, 3_000_000])
def test_exec_into_the_callers_buffer(server: FakeAdbServer, smart: SmartSocket, length: int) -> None:
    data = bytes(range(256)) * 4096
    server.services["exec:screencap"] = sends(data)
    buffer = bytearray(b"\xee" * length)
    count = smart.exec_into("SERIAL", "screencap", buffer, soon())
    assert (count, buffer[:count]) == (len(data), data)
    assert buffer[count:length] == b"\xee" * (length - count)
    assert len(buffer) == length if length > count else len(buffer) <= 2 * len(data)


@pytest.mark.parametrize("length", [0, 999, 1_000, 1_001, 50_000])
def test_a_flood_is_not_taken(server: FakeAdbServer, smart: SmartSocket, length: int) -> None:
    server.services["exec:yes"] = sends(*[bytes(1 << 16)] * 100)
    server.services["exec:head"] = sends(bytes(1_000))
    buffer = bytearray(length)
    with pytest.raises(CommandFailed, match="more than 1,000 bytes"):
        smart.exec_into("SERIAL", "yes", buffer, soon(), limit=1_000)
    assert len(buffer) == max(1_001, length)
    with pytest.raises(CommandFailed, match="more than 1,000 bytes"):
        smart.exec("SERIAL", "yes", soon(), length, limit=1_000)
    assert len(smart.exec("SERIAL", "head", soon(), length, limit=1_000)) == 1_000


def test_a_flood_from_a_shell_is_not_taken(
    server: FakeAdbServer, smart: SmartSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 1_000)
    for packet in (b"\1\4\0\0\0abcd", b"\1\xff\xff\xff\xff" + bytes(4096)):
        server.services["shell,v2,raw:yes"] = sends(packet * 1_000)
        with pytest.raises(CommandFailed, match="more than 1,000 bytes"):
            smart.shell("SERIAL", "yes", soon())


def test_request_carries_its_length_in_bytes(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.services["exec:"] = sends(b"done")
    assert smart.exec("SERIAL", "echo äö", soon()) == b"done"
    assert server.requests[-1] == "exec:echo äö"


def test_request_too_long_is_refused_before_it_is_sent(server: FakeAdbServer, smart: SmartSocket) -> None:
    with pytest.raises(ServiceRefused, match="65,535"):
        smart.exec("SERIAL", "x" * 70_000, soon())


def test_shell_splits_outputs_and_status(server: FakeAdbServer, smart: SmartSocket) -> None:
    whole = packet(1, b"out") + packet(2, b"err") + packet(1, b"put") + packet(3, b"\x07")
    server.services["shell,v2,raw:job"] = sends(*(whole[i : i + 1] for i in range(len(whole))))
    result = smart.shell("SERIAL", "job", soon())
    assert (result.stdout, result.stderr, result.code) == (b"output", b"err", 7)


def test_shell_that_ends_without_status_is_a_lost_device(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.services["shell,v2,raw:job"] = sends(packet(1, b"half"))
    with pytest.raises(DeviceGone, match="before the exit status"):
        smart.shell("SERIAL", "job", soon())


def test_shell_with_an_unknown_packet_is_an_error(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.services["shell,v2,raw:job"] = sends(packet(9, b"what"))
    with pytest.raises(CommandFailed, match="unknown shell packet 9"):
        smart.shell("SERIAL", "job", soon())


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8), st.data())
def test_packets_survive_any_split(packets: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = b"".join(packet(kind, payload) for kind, payload in packets)
    pending, found, at = bytearray(), [], 0
    while at < len(whole):
        step = data.draw(st.integers(1, len(whole) - at))
        pending += whole[at : at + step]
        at += step
        found += list(_packets(pending))
    assert found == packets
    assert not pending


def test_deadline_is_for_the_whole_call_not_per_read(server: FakeAdbServer, smart: SmartSocket) -> None:
    def drip(peer: Peer) -> None:
        while True:
            peer.send(b".")
            if stop.wait(0.05):
                return

    stop = threading.Event()
    server.services["exec:drip"] = drip
    began = time.monotonic()
    with pytest.raises(BridgeTimeout):
        smart.exec("SERIAL", "drip", Deadline(0.4))
    stop.set()
    assert time.monotonic() - began < 2


def test_passed_deadline_asks_nothing(server: FakeAdbServer, smart: SmartSocket) -> None:
    with pytest.raises(BridgeTimeout):
        smart.version(Deadline(0))
    assert server.requests == []


def test_a_server_that_waits_for_the_end_of_a_line_is_none_of_adb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any HTTP server does."""
    monkeypatch.setattr(module, "VERSION_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        smart = SmartSocket(AdbServer(port=other.getsockname()[1]))
        with pytest.raises(ServerPortTaken, match="is no adb server"):
            smart.version(soon())
        # Who had no time to wait knows nothing of it.
        with pytest.raises(BridgeTimeout):
            smart.version(Deadline(0.1))


@pytest.mark.parametrize("service", ["exec:stall", "shell,v2,raw:stall"])
def test_stall_ends_with_the_deadline(server: FakeAdbServer, smart: SmartSocket, service: str) -> None:
    server.services[service] = stalls
    call = smart.exec if service.startswith("exec") else smart.shell
    began = time.monotonic()
    with pytest.raises(BridgeTimeout) as caught:
        call("SERIAL", "stall", Deadline(0.3))
    assert time.monotonic() - began < 2
    assert caught.value.serial == "SERIAL"
    assert caught.value.op == service


@pytest.mark.parametrize("close", ["stream", "socket"])
def test_close_wakes_a_blocked_reader(server: FakeAdbServer, smart: SmartSocket, close: str) -> None:
    reading = threading.Event()
    server.services["exec:tail"] = lambda peer: (peer.send(b"first"), stalls(peer))[1]
    stream = smart.service("SERIAL", "exec:tail", soon())

    def read() -> list[bytes]:
        found = [stream.read_some(never())]
        reading.set()
        try:
            found.append(stream.read_some(never()))
        except DeviceGone as error:
            assert "closed by us" in error.detail
        return found

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(read)
        assert reading.wait(5)
        (stream if close == "stream" else smart).close()
        found = future.result(5)
    assert found[0] == b"first"
    assert found[1:] in ([], [b""])
    stream.close()
    with pytest.raises(DeviceGone):
        stream.read_some(soon())


def test_a_reader_never_waits_on_the_socket_that_got_its_number(server: FakeAdbServer, smart: SmartSocket) -> None:
    """Closed under a reader, a socket's number goes to the next one that is opened, which may be silent for ever."""
    server.services["exec:silent"] = stalls
    for _ in range(400):
        stream = smart.service("SERIAL", "exec:silent", soon())
        waiting = threading.Thread(target=lambda stream=stream: closed_by_us(stream))
        waiting.start()
        stream.close()
        ours, theirs = socket.socketpair()
        try:
            waiting.join(5)
            assert not waiting.is_alive()
        finally:
            theirs.close()
            ours.close()


def closed_by_us(stream: Stream) -> None:
    with contextlib.suppress(DeviceGone):
        while stream.read_some(Deadline(60)):
            pass


def test_closed_socket_opens_nothing_more(smart: SmartSocket) -> None:
    smart.close()
    with pytest.raises(DeviceGone, match="closed by us"):
        smart.exec("SERIAL", "echo", soon())


def test_readable_waits_without_eating(server: FakeAdbServer, smart: SmartSocket) -> None:
    go = threading.Event()
    server.services["exec:late"] = lambda peer: (go.wait(5), peer.send(b"now"))[1]
    with smart.service("SERIAL", "exec:late", soon()) as stream:
        assert not stream.readable(Deadline(0.05))
        go.set()
        assert stream.readable(soon())
        assert stream.read_exactly(3, soon()) == b"now"


def test_a_peer_that_went_silent_is_found_out(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.services["exec:tail"] = stalls
    with smart.service("SERIAL", "exec:tail", soon()) as stream:
        sock = stream._sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        names = ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        found = [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names if hasattr(socket, name)]
    assert found == [15, 5, 3]


class GivenUp(socket.socket):
    """What the host took for dead: nothing answered its probes."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        raise OSError(errno.ETIMEDOUT, "Connection timed out")


def test_a_connection_that_the_host_gave_up_is_lost_and_no_deadline_that_passed() -> None:
    stream = Stream(GivenUp(), "SERIAL", "exec:tail", lambda stream: None, Tally())
    stream.device = True
    with stream:
        with pytest.raises(DeviceGone, match="Connection timed out"):
            stream.read_some(never())
        with pytest.raises(DeviceGone, match="Connection timed out"):
            stream.readable(soon())


def test_short_stream_is_named(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.services["exec:cut"] = sends(b"abc")
    with smart.service("SERIAL", "exec:cut", soon()) as stream, pytest.raises(DeviceGone, match="3 of 4 bytes"):
        stream.read_exactly(4, soon())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("closed", ServiceRefused),
        ("device offline", DeviceGone),
        ("device 'X' not found", DeviceGone),
        ("no devices/emulators found", DeviceGone),
        ("device still connecting", DeviceGone),
        ("device still authorizing", DeviceUnauthorized),
        ("device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", DeviceUnauthorized),
        ("more than one device/emulator", ServiceRefused),
        ("insufficient permissions for device", ServiceRefused),
        ("device 'abc: x' not found", DeviceGone),
        ("cannot bind listener: Address already in use", ServiceRefused),
    ],
)
def test_refusals(text: str, kind: type[BridgeError]) -> None:
    error = refusal("S", "op", text)
    assert type(error) is kind
    assert (error.serial, error.op) == ("S", "op")
    assert error.detail == text
    assert type(refusal("", "host:frobnicate", "unknown host service")) is AdbServerError


@pytest.mark.parametrize(
    ("state", "kind"), [("offline", DeviceGone), ("unauthorized", DeviceUnauthorized), ("still connecting", DeviceGone)]
)
def test_device_states(server: FakeAdbServer, smart: SmartSocket, state: str, kind: type[BridgeError]) -> None:
    server.states = {"SERIAL": state}
    with pytest.raises(kind):
        smart.exec("SERIAL", "echo", soon())


def test_absent_device(smart: SmartSocket) -> None:
    with pytest.raises(DeviceGone, match="'OTHER' not found"):
        smart.exec("OTHER", "echo", soon())


def test_refused_service(smart: SmartSocket) -> None:
    with pytest.raises(ServiceRefused, match="closed"):
        smart.service("SERIAL", "tcp:9008", soon())


def test_foreign_listener_is_named(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with pytest.raises(ServerPortTaken, match="HTTP"):
        smart.version(soon())


def test_server_that_hangs_up_is_a_server_error(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.greeting = b""
    with pytest.raises(AdbServerError, match="hung up"):
        smart.version(soon())


@pytest.mark.parametrize("length", [b"zzzz", b"-001", b"0x1f", b" 1f ", b"1_23"])
def test_bad_length_is_a_server_error(server: FakeAdbServer, smart: SmartSocket, length: bytes) -> None:
    server.greeting = b"OKAY" + length
    with pytest.raises(AdbServerError, match="bad length"):
        smart.version(soon())


def test_version_that_is_no_number(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.greeting = b"OKAY0004none"
    with pytest.raises(AdbServerError, match="none"):
        smart.version(soon())


def test_no_server_says_what_to_do(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.close()
    with pytest.raises(AdbServerError, match="adb start-server"):
        smart.version(soon())


def test_reverse(server: FakeAdbServer, smart: SmartSocket) -> None:
    server.services["reverse:forward:tcp:0;tcp:80"] = sends(b"OKAY00047002")
    server.services["reverse:forward:tcp:0;tcp:81"] = sends(b"OKAYffff" + b"1" * 5000)
    assert smart.reverse("SERIAL", "tcp:0", "tcp:81", soon()) == 0
    server.services["reverse:killforward:tcp:7002"] = sends(b"FAIL0016listener 'x' not found")
    assert smart.reverse("SERIAL", "tcp:0", "tcp:80", soon()) == 7002
    with pytest.raises(ServiceRefused, match="listener"):
        smart.remove_reverse("SERIAL", "tcp:7002", soon())


def test_what_a_device_listens_at(server: FakeAdbServer, smart: SmartSocket) -> None:
    listing = "UsbFfs tcp:8081 tcp:8081\nhost-7 tcp:8378 tcp:40123\n\nodd\n"
    server.services["reverse:list-forward"] = sends(f"{len(listing):04x}{listing}".encode())
    assert smart.reverses("SERIAL", soon()) == {"tcp:8081": "tcp:8081", "tcp:8378": "tcp:40123"}

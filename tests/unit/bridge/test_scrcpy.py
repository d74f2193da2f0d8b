from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from fakes.adb_server import FakeAdbServer, Peer, says
from fakes.h264 import HEIGHT, WIDTH, drawn, encoded
from fakes.wait import until
from hypothesis import given
from hypothesis import strategies as st

from bridge import scrcpy
from bridge.adb import AdbShell
from bridge.clock import DeviceClock, HostClock, Reading
from bridge.deadline import Deadline
from bridge.emulated.programs.scrcpy import parted
from bridge.errors import BridgeError, CaptureFailed, DeviceGone, FrameMalformed, StreamRestarting
from bridge.picture import Display
from bridge.scrcpy import Composed, Demuxer, Packet, Scrcpy, max_size, supported, version_of
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.traces import Unnoted
from bridge.types import Frame, Size
from bridge.video import VideoSettings

SECOND = 1_000_000_000
MARK = "@@next@@"


def soon() -> Deadline:
    return Deadline(5)


@pytest.mark.parametrize(
    ("name", "stated", "version"),
    [
        ("scrcpy-server-v3.3.4", "", "3.3.4"),
        ("scrcpy-server-v4.1.jar", "", "4.1"),
        ("scrcpy-server-3.1", "", "3.1"),
        ("scrcpy-server", "", ""),
        ("scrcpy-server.jar", "4.0", "4.0"),
        ("scrcpy-server-v3.3.4", "3.3", "3.3"),
        ("server_v4.jar", "", ""),
    ],
)
def test_the_version_is_in_the_name_or_stated(name: str, stated: str, version: str) -> None:
    assert version_of(Path("/some/2.0/folder") / name, stated) == version


def test_two_generations_are_spoken_with() -> None:
    assert [supported(version) for version in ("3.0", "4.1", "2.7", "5.0", "", "31.0", "1.24")] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "size", [Size(1080, 2400), Size(1080, 1920), Size(1440, 3120), Size(720, 1600), Size(540, 1200), Size(2400, 1080)]
)
def test_the_size_asked_for_keeps_the_shape_after_the_server_has_cut_it(size: Size) -> None:
    longer = max_size(size, 540)
    shorter, wide = sorted((size.width, size.height))
    got = longer * shorter // wide // 8 * 8
    assert longer % 8 == 0
    assert abs(got * wide / longer / shorter - 1) < 0.005
    assert 500 <= got <= 600


def stream(version: str, packets: list[Packet], size: tuple[int, int] = (96, 160)) -> bytes:
    """What a server of that version sends."""
    sessions = version.startswith("4")
    data = b"h264" + (struct.pack(">III", 1 << 31, *size) if sessions else struct.pack(">II", *size))
    top = 62 if sessions else 63
    for packet in packets:
        head = packet.config << top | packet.key << (top - 1) | packet.pts_ns // 1000
        data += struct.pack(">QI", head, len(packet.data)) + packet.data
    return data


PACKETS = st.lists(
    st.builds(
        Packet,
        st.binary(min_size=1, max_size=40),
        st.booleans(),
        st.booleans(),
        st.integers(0, 2**50).map(lambda value: value * 1000),
    ),
    max_size=6,
)


@pytest.mark.parametrize("version", ["3.3.4", "4.1"])
@given(packets=PACKETS, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_cut_anywhere_gives_its_packets(version: str, packets: list[Packet], cuts: list[int]) -> None:
    data = stream(version, packets)
    demuxer = Demuxer(version)
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    found = [packet for start, end in pairwise(edges) for packet in demuxer.feed(data[start:end])]
    assert found == packets
    assert not demuxer.cut
    demuxer.feed(b"\0")
    assert demuxer.cut


@pytest.mark.parametrize("version", ["3.3.4", "4.1"])
@given(data=st.lists(st.binary(max_size=40), max_size=6))
def test_garbage_is_malformed_or_waited_for(version: str, data: list[bytes]) -> None:
    demuxer = Demuxer(version)
    try:
        for part in data:
            demuxer.feed(part)
    except FrameMalformed:
        pass


def test_what_a_server_says_instead_of_video() -> None:
    for start, words in ((b"\0\0\0\0", "no video"), (b"\0\0\0\1", "encoder"), (b"h265", "h265"), (b"\0Pix", "codec")):
        for version in ("3.1", "4.1"):
            with pytest.raises(FrameMalformed, match=words):
                Demuxer(version, "SERIAL").feed(start)
    # The other generation's stream, and nonsense.
    whole = stream("4.1", [Packet(b"x", True, False, 0)])
    with pytest.raises(FrameMalformed, match="protocol"):
        Demuxer("3.1").feed(whole + bytes(30))
    with pytest.raises(FrameMalformed, match="0 bytes"):
        Demuxer("4.1").feed(whole + bytes(12))


def device_clock(boot_offset_ns: int = 5 * SECOND) -> DeviceClock:
    clock = DeviceClock(HostClock())
    now = clock.host.now().mono_ns
    clock.update([Reading(now - 1000, now, now + 7 * SECOND, 1)], [Reading(now - 1000, now, now + boot_offset_ns, 1)])
    return clock


def test_times_of_a_phone_that_never_slept_are_exact() -> None:
    clock = device_clock()
    composed = Composed(clock)
    now = clock.host.now().mono_ns
    under_way = []
    for latency in (90_000_000, 30_000_000, 300_000_000, 20_000_000):
        drawn_ns = now - latency
        pts_ns = drawn_ns + clock.fix.boot_offset_ns
        composed.arrived(pts_ns, now)
        earliest, latest = composed.drawn(pts_ns)
        assert abs((earliest + latest) // 2 - drawn_ns) < 1_500_000
        under_way.append(latest - earliest)
    # A bound says, too, for how long a picture may be under way: what is usual, or what the slowest took.
    usual, slow = scrcpy.LATENCY_NS, 300_000_000
    assert under_way == pytest.approx([usual, usual, slow, slow], abs=3_000_000)


def test_times_of_a_phone_that_slept_are_those_of_the_least_delay() -> None:
    clock = device_clock()
    composed = Composed(clock)
    now, slept = clock.host.now().mono_ns, 3600 * SECOND

    def seen(drawn_ns: int, latency_ns: int, slept_ns: int) -> tuple[int, int]:
        pts_ns = drawn_ns + clock.fix.boot_offset_ns - slept_ns
        composed.arrived(pts_ns, drawn_ns + latency_ns)
        return composed.drawn(pts_ns)

    seen(now, 40_000_000, slept)
    earliest, latest = seen(now + SECOND, 700_000_000, slept)
    assert earliest <= now + SECOND <= latest
    assert latest - earliest <= 700_000_000 + scrcpy.LATENCY_NS
    # It slept again: what came before says nothing any more.
    for second in range(20, 24):
        earliest, latest = seen(now + second * SECOND, 60_000_000, slept + 500 * SECOND)
    assert earliest <= now + 23 * SECOND <= latest
    # A minute later the least delay is that of the last minute.
    earliest, latest = seen(now + 120 * SECOND, 140_000_000, slept + 500 * SECOND)
    assert latest == now + 120 * SECOND + 140_000_000
    assert latest - earliest == scrcpy.LATENCY_NS


class Phone:
    """A scrcpy server behind the fake adb server: pushed to, started, connected to."""

    def __init__(self, server: FakeAdbServer) -> None:
        self.server = server
        self.video: list[bytes] = []
        self.says = b"[server] INFO: Device: [Emulated] Small\n"
        self.ended = threading.Event()
        self.hangs_up = threading.Event()
        server.services |= {
            "exec:wm size": says(f"Physical size: {WIDTH}x{HEIGHT}\n{MARK}\n  mRotation=0\n".encode()),
            "exec:CLASSPATH": self.process,
            "exec:rm -f": lambda peer: None,
            "localabstract:scrcpy_": self.connection,
            "sync:": self.sync,
        }

    def process(self, peer: Peer) -> None:
        peer.send(self.says)
        peer.sock.settimeout(0.02)
        while not self.ended.is_set():
            try:
                if not peer.sock.recv(1):
                    return
            except TimeoutError:
                continue

    def connection(self, peer: Peer) -> None:
        for data in self.video:
            peer.send(data)
        peer.sock.settimeout(0.02)
        while not self.hangs_up.is_set():
            try:
                if not peer.sock.recv(1):
                    return
            except TimeoutError:
                continue

    def sync(self, peer: Peer) -> None:
        """A file is sent."""
        while head := peer.read(8):
            kind, length = struct.unpack("<4sI", head)
            if kind == b"DONE":
                peer.send(b"OKAY" + bytes(4))
                return
            peer.read(length)


@pytest.fixture
def phone() -> Iterator[Phone]:
    with FakeAdbServer() as server:
        phone = Phone(server)
        yield phone
        phone.ended.set()
        phone.hangs_up.set()


@contextmanager
def source(phone: Phone, tmp_path: Path, name: str) -> Iterator[tuple[Scrcpy, Future[None]]]:
    jar = tmp_path / name
    jar.write_bytes(b"PK")
    shell = AdbShell(SmartSocket(AdbServer(port=phone.server.port)), "SERIAL")
    settings = VideoSettings(width=WIDTH, scrcpy_server=jar)
    made = Scrcpy(shell, device_clock(), Display(Size(WIDTH, HEIGHT)), settings, Unnoted())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.run)
        try:
            yield made, running
        finally:
            made.close()
            running.exception(5)


def captured(made: Scrcpy) -> Frame:
    """The first picture."""
    while True:
        try:
            return made.capture(soon())
        except StreamRestarting:
            continue


def film(version: str, count: int) -> list[Packet]:
    pytest.importorskip("av")
    packets = []
    for number, unit in enumerate(encoded([drawn(number) for number in range(count)])):
        sets, rest = parted(unit)
        if sets:
            packets.append(Packet(sets, True, False, 0))
        packets.append(Packet(rest, False, bool(sets), number * 1_000_000))
    return packets


@pytest.mark.parametrize("version", ["3.3.4", "4.1"])
def test_a_server_is_pushed_started_read_and_removed(phone: Phone, tmp_path: Path, version: str) -> None:
    data = stream(version, film(version, 3))
    phone.video = [data[at : at + 700] for at in range(0, len(data), 700)]
    with source(phone, tmp_path, f"scrcpy-server-v{version}") as (made, running):
        until(lambda: captured(made).stamp, "the first picture")
        until(lambda: sum(request.startswith("exec:rm -f") for request in phone.server.requests), "its removal")
        frame = captured(made)
        assert (frame.size, frame.screen, frame.source) == (Size(WIDTH, HEIGHT), Size(WIDTH, HEIGHT), "scrcpy")
        assert any(f" {scrcpy.MAIN} {version} scid=" in request for request in phone.server.requests)
        made.close()
        running.result(5)
    with pytest.raises(DeviceGone):
        made.capture(soon())


def reason(made: Scrcpy, running: Future[None]) -> BridgeError:
    """Why it gives no pictures, once it has ended by itself."""
    running.result(9)
    with pytest.raises(CaptureFailed) as caught:
        made.capture(soon())
    return caught.value


def test_a_server_that_ends_says_its_own_words(phone: Phone, tmp_path: Path) -> None:
    phone.says = b"[server] INFO: x\n[server] ERROR: The server version (3.1) does not match the client (3.3)\n"
    phone.server.refused["localabstract:"] = "closed"
    phone.ended.set()
    with source(phone, tmp_path, "scrcpy-server-v3.3") as (made, running):
        assert "does not match the client" in str(reason(made, running))


def test_a_server_that_hangs_up(phone: Phone, tmp_path: Path) -> None:
    phone.video = [stream("4.1", film("4.1", 2))]
    with source(phone, tmp_path, "scrcpy-server-v4.1") as (made, running):
        captured(made)
        phone.hangs_up.set()
        assert "hung up" in str(reason(made, running))


@pytest.mark.parametrize(
    ("name", "limit", "data", "words"),
    [
        ("scrcpy-server-v4.1", "FIRST_SECONDS", b"", "no picture"),
        ("scrcpy-server-v4.1", "FIRST_SECONDS", stream("4.1", []), "no picture"),
        ("scrcpy-server-v4.1", "HALF_SECONDS", b"h264\0\0", "middle of a packet"),
        ("scrcpy-server-v4.1", "", b"\0\0\0\1", "encoder"),
        ("scrcpy-server-v3.3.4", "", stream("4.1", [Packet(b"abc", True, False, 0)]) + bytes(40), "protocol"),
        ("scrcpy-server-v3.3.4", "", stream("3.3.4", [Packet(b"abc", False, True, 0)]), "lost"),
        ("scrcpy-server-v2.7", "", b"", "not 2.7"),
        ("scrcpy-server", "", b"", "unknown version"),
    ],
)
def test_what_cannot_be_used_is_named(
    phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: str, data: bytes, words: str
) -> None:
    if limit:
        monkeypatch.setattr(scrcpy, limit, 0.2)
    phone.video = [data]
    with source(phone, tmp_path, name) as (made, running):
        assert words in str(reason(made, running))


def test_a_server_that_never_listens(phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrcpy, "START_SECONDS", 0.2)
    phone.server.refused["localabstract:"] = "closed"
    with source(phone, tmp_path, "scrcpy-server-v4.1") as (made, running):
        assert "does not listen" in str(reason(made, running))


def test_a_jar_that_is_gone(phone: Phone, tmp_path: Path) -> None:
    shell = AdbShell(SmartSocket(AdbServer(port=phone.server.port)), "SERIAL")
    settings = VideoSettings(scrcpy_server=tmp_path / "scrcpy-server-v4.1")
    made = Scrcpy(shell, device_clock(), Display(Size(WIDTH, HEIGHT)), settings, Unnoted())
    made.run()
    with pytest.raises(CaptureFailed, match="No such file"):
        made.capture(soon())

import base64
import errno
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from fakes.adb_server import FakeAdbServer, Peer
from fakes.wait import until

from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.errors import (
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    DeviceBusy,
    DeviceGone,
    HierarchyEmpty,
    HierarchyMalformed,
    ScreenBlocked,
    ServiceRefused,
    TooManyFiles,
)
from bridge.picture import Display
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.traces import Unnoted
from bridge.types import Size, Trace
from bridge.uia import JAR, UiaHierarchy, UiaScreen, UiaServer, _jar

DUMP = (
    "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\r\n<hierarchy rotation=\"1\">"
    '<node index="0" text="Größe" resource-id="com.shop:id/size" class="android.widget.TextView" package="com.shop" '
    'content-desc="" bounds="[0,0][20,10]" /></hierarchy>'
)


def http(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)


def result(value: object) -> bytes:
    return http(json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode())


def failure(message: str) -> bytes:
    error = {"code": -32002, "message": message, "data": "at android.app.UiAutomation\n..."}
    return http(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())


class Uia:
    """The HTTP side of the uiautomator2 server: answers RPCs with `answer`, and pings."""

    def __init__(self, server: FakeAdbServer) -> None:
        self.answer: Callable[[dict[str, Any]], bytes] = lambda call: result(DUMP)
        self.calls: list[dict[str, Any]] = []
        self.heads: list[bytes] = []
        server.services["tcp:9008"] = self.serve

    def serve(self, peer: Peer) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.line()
        self.heads.append(head)
        if head.startswith(b"GET /ping"):
            peer.send(http(b"pong"))
            return
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        call = json.loads(peer.read(length))
        self.calls.append(call)
        peer.send(self.answer(call))


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        yield server


@pytest.fixture
def uia(server: FakeAdbServer) -> Uia:
    return Uia(server)


class Rig:
    """What the device wires together, on the fake server."""

    def __init__(self, server: FakeAdbServer) -> None:
        address = AdbServer(port=server.port)
        self.clock = HostClock()
        self.display = Display(Size(10, 20))
        self.notes = Unnoted()
        self.server = UiaServer(AdbShell(SmartSocket(address), "SERIAL"), self.clock, self.notes)
        self.tree = UiaHierarchy("SERIAL", self.server, self.clock, self.display)
        self.screen = UiaScreen("SERIAL", self.server, self.clock, self.display)


@pytest.fixture
def rig(server: FakeAdbServer) -> Iterator[Rig]:
    rig = Rig(server)
    yield rig
    rig.server.close()


def soon() -> Deadline:
    return Deadline(5)


def test_dump(uia: Uia, rig: Rig) -> None:
    before = rig.clock.now()
    tree = rig.tree.dump(soon())
    assert before <= tree.stamp <= rig.clock.now()
    assert tree.rotation == rig.display.rotation == 1
    assert [node.text for node in tree.walk()] == ["Größe"]
    assert uia.calls[0]["method"] == "dumpWindowHierarchy"
    # A tree that is too deep to be read must not come without its depths.
    assert uia.calls[0]["params"] == [False, 513]
    assert b"Accept-Encoding: identity" in uia.heads[0]


def test_unchanged_dump_keeps_its_nodes_and_gets_a_new_stamp(uia: Uia, rig: Rig) -> None:
    first, second = rig.tree.dump(soon()), rig.tree.dump(soon())
    assert second.roots is first.roots
    assert second.stamp > first.stamp
    uia.answer = lambda call: result(DUMP.replace("Größe", "Farbe"))
    assert rig.tree.dump(soon()).digest != first.digest


@pytest.mark.parametrize("value", [None, "", "<hierarchy rotation='0' />"])
def test_empty_dump(uia: Uia, rig: Rig, value: str | None) -> None:
    uia.answer = lambda call: result(value)
    with pytest.raises(HierarchyEmpty):
        rig.tree.dump(soon())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failure("java.lang.StackOverflowError: stack size 8MB"), HierarchyMalformed),
        (failure("java.lang.SecurityException: no"), ScreenBlocked),
        (failure("IllegalStateException: UiAutomationService already registered!"), DeviceBusy),
        (failure("java.lang.NullPointerException"), CaptureFailed),
        (result("<hierarchy"), HierarchyMalformed),
        (http(b"not json"), CaptureFailed),
        (http(b"[]"), CaptureFailed),
        (http(b'{"jsonrpc": "2.0"}'), CaptureFailed),
        (http(b'{"error": "words"}'), CaptureFailed),
        (http(b"", b"500 Internal Error"), CaptureFailed),
        (b"SSH-2.0-OpenSSH\r\n\r\n", CaptureFailed),
        (http(b"x" * 10)[:-3], DeviceGone),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", CaptureFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", CaptureFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n", CaptureFailed),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", CaptureFailed),
        (b"x" * 200_000, CaptureFailed),
    ],
)
def test_failures_are_typed(uia: Uia, rig: Rig, answer: bytes, kind: type[BridgeError]) -> None:
    uia.answer = lambda call: answer
    with pytest.raises(kind) as caught:
        rig.tree.dump(soon())
    assert type(caught.value) is kind


def test_answers_without_length(uia: Uia, rig: Rig) -> None:
    body = json.dumps({"result": DUMP}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:100], body[100:])) + b"0\r\n\r\n"
    for answer in (
        b"HTTP/1.1 200 OK\r\n\r\n" + body,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
    ):
        uia.answer = lambda call, answer=answer: answer
        assert rig.tree.dump(soon()).roots


def test_an_answer_without_end_is_a_failed_one(uia: Uia, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.uia.MAX_BODY", 100_000)
    for head in (b"", b"Transfer-Encoding: chunked\r\n"):
        uia.answer = lambda call, head=head: b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"1" * 1_000_000
        with pytest.raises(CaptureFailed, match="more than 100,000 bytes"):
            rig.tree.dump(soon())


def test_stalled_server_ends_with_the_deadline(uia: Uia, rig: Rig) -> None:
    over = threading.Event()

    def stall(call: dict[str, Any]) -> bytes:
        over.wait(20)
        return b""

    uia.answer = stall
    began = time.monotonic()
    with pytest.raises(BridgeTimeout):
        rig.tree.dump(Deadline(0.2))
    took = time.monotonic() - began
    over.set()
    assert took < 0.9


def test_screenshot(uia: Uia, rig: Rig) -> None:
    data = simplejpeg.encode_jpeg(np.full((20, 10, 3), 90, np.uint8), colorspace="RGB")
    uia.answer = lambda call: result(base64.b64encode(data).decode())
    frame = rig.screen.capture(soon())
    assert (frame.size, frame.media_type, frame.source) == (Size(10, 20), "image/jpeg", "uiautomator2-jpeg")
    assert bytes(frame.data) == data
    assert uia.calls[0]["params"] == [1.0, 80]


def test_a_screenshot_that_is_sent_again_keeps_its_bytes_and_gets_a_new_stamp(uia: Uia, rig: Rig) -> None:
    shown = [simplejpeg.encode_jpeg(np.full((20, 10, 3), grey, np.uint8), colorspace="RGB") for grey in (90, 91)]
    uia.answer = lambda call: result(base64.b64encode(shown[0]).decode())
    first, second = rig.screen.capture(soon()), rig.screen.capture(soon())
    assert (second.data is first.data, second.digest) == (True, first.digest)
    assert second.stamp > first.stamp
    uia.answer = lambda call: result(base64.b64encode(shown[1]).decode())
    assert bytes(rig.screen.capture(soon()).data) == shown[1]


@pytest.mark.parametrize(
    ("value", "kind"), [(None, ScreenBlocked), ("", ScreenBlocked), ("!!!", CaptureFailed), ("AAAA", CaptureFailed)]
)
def test_bad_screenshot(uia: Uia, rig: Rig, value: str | None, kind: type[BridgeError]) -> None:
    uia.answer = lambda call: result(value)
    with pytest.raises(kind):
        rig.screen.capture(soon())


def test_running_server_is_used_as_it_is(server: FakeAdbServer, uia: Uia, rig: Rig) -> None:
    rig.server.start(soon())
    rig.tree.dump(soon())
    assert not [request for request in server.requests if request.startswith("shell:")]


class Launcher:
    """The shell side: the jar is in place, and starting the server makes it listen, or prints why it cannot."""

    def __init__(self, server: FakeAdbServer, words: bytes = b"") -> None:
        self.words = words
        self.launched = 0
        self._server = server
        server.services["exec:md5sum"] = self.digest
        server.services["shell:CLASSPATH="] = self.launch

    def digest(self, peer: Peer) -> None:
        peer.send(hashlib.md5(_jar().read_bytes()).hexdigest().encode() + f"  {JAR}\n".encode())

    def launch(self, peer: Peer) -> None:
        self.launched += 1
        if self.words:
            peer.send(self.words)
            return
        Uia(self._server)
        peer.gone()
        self._server.services.pop("tcp:9008", None)


def test_start_launches_the_server_and_close_ends_it(server: FakeAdbServer, rig: Rig) -> None:
    launcher = Launcher(server)
    rig.server.start(soon())
    assert launcher.launched == 1
    assert rig.tree.dump(soon()).roots
    rig.server.close()
    end = time.monotonic() + 5
    while "tcp:9008" in server.services and time.monotonic() < end:
        time.sleep(0.01)
    assert "tcp:9008" not in server.services
    with pytest.raises(DeviceGone):
        rig.server.start(soon())


def test_a_jar_that_a_run_before_has_left_is_noted_to_be_taken_away(server: FakeAdbServer, rig: Rig) -> None:
    Launcher(server)
    rig.server.start(soon())
    assert "sync:" not in server.requests
    assert rig.notes.ours("SERIAL") == (Trace("file", JAR),)


@pytest.mark.parametrize(("number", "kind"), [(errno.EMFILE, TooManyFiles), (errno.EIO, CaptureFailed)])
def test_a_jar_that_this_host_cannot_read_is_told(
    server: FakeAdbServer, rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BridgeError]
) -> None:
    Launcher(server)

    def fail(path: Path) -> bytes:
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(kind, match="start the uiautomator2 server"):
        rig.server.start(soon())


def test_dead_server_is_told_and_started_again(server: FakeAdbServer, rig: Rig) -> None:
    launcher = Launcher(server)
    with pytest.raises(CaptureFailed, match="server is down"):
        rig.tree.dump(soon())
    assert launcher.launched == 0
    began = rig.clock.now()
    tree = rig.tree.dump(soon())
    assert tree.roots
    assert launcher.launched == 1
    # What starting it took is not part of when the dump was taken.
    assert tree.bound_ns < (rig.clock.now().mono_ns - began.mono_ns) / 4


def down(rig: Rig) -> None:
    """A call finds that the server is not there."""
    with pytest.raises(CaptureFailed, match="server is down"):
        rig.tree.dump(soon())


def test_taken_uiautomation_is_busy_and_not_asked_again_at_once(server: FakeAdbServer, rig: Rig) -> None:
    launcher = Launcher(server, b"java.lang.IllegalStateException: UiAutomationService@5dalready registered!\n")
    down(rig)
    for _ in range(2):
        with pytest.raises(DeviceBusy, match="another tool"):
            rig.tree.dump(soon())
    assert launcher.launched == 1


def test_the_longer_starts_are_refused_the_longer_the_next_one_waits(
    server: FakeAdbServer, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.uia.RETRY_SECONDS", ((math.inf, 0.0),))
    launcher = Launcher(server, b"java.lang.IllegalStateException: UiAutomationService@5dalready registered!\n")
    down(rig)
    for _ in range(3):
        with pytest.raises(DeviceBusy):
            rig.tree.dump(soon())
    launched = launcher.launched
    assert launched > 2
    monkeypatch.setattr("bridge.uia.RETRY_SECONDS", ((0.0, 0.0), (math.inf, 60.0)))
    for _ in range(10):
        with pytest.raises(DeviceBusy):
            rig.tree.dump(soon())
    # One that had begun, and the one that found out that it is to wait.
    assert launcher.launched <= launched + 2


def test_a_server_of_somebody_else_that_hangs_is_asked_for_a_moment_and_then_not_for_a_while(
    server: FakeAdbServer, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.uia.ALIVE_SECONDS", 0.1)
    monkeypatch.setattr("bridge.uia.DEAF_SECONDS", 60.0)
    asked = []

    def hang(peer: Peer) -> None:
        asked.append(1)
        peer.gone()

    server.services["tcp:9008"] = hang
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(BridgeTimeout):
            rig.server.start(Deadline(20))
    assert time.monotonic() - began < 5
    assert len(asked) == 1
    assert not [request for request in server.requests if request.startswith("shell:")]


def test_a_server_of_ours_that_hangs_again_and_again_is_started_after_longer_and_longer(
    server: FakeAdbServer, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.uia.HANGS_NS", 0)
    monkeypatch.setattr("bridge.uia.RETRY_SECONDS", ((math.inf, 60.0),))
    launcher = Launcher(server)
    rig.server.start(soon())
    server.services["tcp:9008"] = lambda peer: peer.gone()
    for _ in range(4):
        with pytest.raises(BridgeTimeout):
            rig.tree.dump(Deadline(0.1))
    # The fourth would have started the next one.
    assert launcher.launched == 1


def test_a_phone_without_room_for_the_jar_is_left_alone_for_a_minute(
    server: FakeAdbServer, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.uia.RETRY_SECONDS", ((math.inf, 0.0),))
    pushed = []

    def full(*_: object) -> None:
        pushed.append(1)
        raise ServiceRefused("SERIAL", "push", "No space left on device")

    server.services["exec:md5sum"] = lambda peer: peer.send(b"md5sum: no such file\n")
    monkeypatch.setattr(AdbShell, "push", full)
    for _ in range(3):
        with pytest.raises(CaptureFailed, match="No space left"):
            rig.server.start(soon())
    assert len(pushed) == 1


def test_a_tool_that_leaves_is_noticed_and_the_waits_begin_anew(
    server: FakeAdbServer, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.uia.RETRY_SECONDS", ((math.inf, 0.0),))
    words = b"java.lang.IllegalStateException: UiAutomationService@5dalready registered!\n"
    launcher = Launcher(server, words)
    for _ in range(2):
        down(rig)
        launcher.words = words
        with pytest.raises(DeviceBusy):
            rig.tree.dump(soon())
        launcher.words = b""
        assert rig.tree.dump(soon()).roots
        server.services.pop("tcp:9008")


def test_it_steps_aside_at_once_for_who_needs_uiautomation_and_comes_back(server: FakeAdbServer, rig: Rig) -> None:
    launcher = Launcher(server)
    down(rig)
    assert rig.tree.dump(soon()).roots
    rig.server.step_aside("Appium")
    until(lambda: "tcp:9008" not in server.services, "the end of our server")
    for _ in range(2):
        with pytest.raises(DeviceBusy, match="Appium needs UiAutomation"):
            rig.tree.dump(soon())
    assert launcher.launched == 1
    rig.server.step_aside("")
    assert rig.tree.dump(soon()).roots
    assert launcher.launched == 2


def test_server_that_does_not_come_up(server: FakeAdbServer, rig: Rig) -> None:
    Launcher(server, b"Aborted\n")
    with pytest.raises(CaptureFailed):
        rig.server.start(soon())


def test_a_server_whose_uiautomation_stays_lost_is_started_less_and_less_often(
    server: FakeAdbServer, uia: Uia, rig: Rig
) -> None:
    uia.answer = lambda call: failure("java.lang.IllegalStateException: UiAutomation not connected!")
    for _ in range(4):
        with pytest.raises(CaptureFailed, match="not connected"):
            rig.tree.dump(soon())
    # The last two came within a second of a start that had not helped.
    assert len(uia.calls) == 2

from __future__ import annotations

import json
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import xxhash
from fakes.adb_server import FakeAdbServer, Peer, says
from fakes.wait import until

from bridge import device as module
from bridge import picture, ports
from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.device import FAILURES, MEASURED, SLOW_NS, AndroidDevice, Screen
from bridge.errors import (
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    DeviceBusy,
    DeviceGone,
    FrameMalformed,
    ScreenBlocked,
    StreamRestarting,
)
from bridge.picture import Display
from bridge.registry import Registry
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.types import Frame, LogEntry, MediaType, Size, Stamp, Touch

SIZE = Size(8, 16)
MARK = "@@next@@"
DUMP = '<hierarchy rotation="0"><node class="a.B" package="com.shop" bounds="[0,0][8,16]"/></hierarchy>'


def soon() -> Deadline:
    return Deadline(5)


def still(fill: int = 9, size: Size = SIZE, media_type: MediaType = "image/x-rgba", source: str = "one") -> Frame:
    data = bytes([fill]) * (size.width * size.height * 4)
    return Frame(Stamp(1, 1), 1, size, size, 0, media_type, data, xxhash.xxh3_64_intdigest(data), source)


class Source:
    """A screen source that gives what a test lined up, the last one for ever."""

    def __init__(self, name: str, *results: Frame | BridgeError) -> None:
        self.name = name
        self._results = deque(results)
        self.calls = 0

    def run(self) -> None: ...

    def capture(self, deadline: Deadline) -> Frame:
        assert deadline.remaining() > 0
        self.calls += 1
        result = self._results[0] if len(self._results) == 1 else self._results.popleft()
        if isinstance(result, BridgeError):
            raise result
        return result

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def server() -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        server.services["exec:wm size"] = lambda peer: peer.send(b"Physical size: 8x16\n")
        server.services["exec:dumpsys display"] = lambda peer: peer.send(b"")
        yield server


def screen(server: FakeAdbServer, *sources: Source) -> Screen:
    shell = AdbShell(SmartSocket(AdbServer(port=server.port)), "SERIAL")
    return Screen(shell, Display(SIZE), sources)


def test_the_first_source_is_used(server: FakeAdbServer) -> None:
    one, two = Source("one", still()), Source("two", still())
    made = screen(server, one, two)
    assert made.capture(soon()) == still()
    assert (made.name, one.calls, two.calls) == ("one", 1, 0)
    assert server.requests == []


@pytest.mark.parametrize(
    "error", [CaptureFailed("SERIAL", "x"), FrameMalformed("SERIAL", "x"), BridgeTimeout("SERIAL", "x")]
)
def test_three_failures_in_a_row_make_room_for_the_next(server: FakeAdbServer, error: BridgeError) -> None:
    server.services["exec:echo"] = says(b"\n")
    bad, good = Source("bad", error), Source("good", still())
    made = screen(server, bad, good)
    for _ in range(FAILURES):
        with pytest.raises(type(error)):
            made.capture(soon())
    assert made.name == "good"
    assert made.capture(soon()) == still()
    assert bad.calls == FAILURES


def test_a_device_that_does_not_answer_is_asked_little_and_no_source_is_blamed(server: FakeAdbServer) -> None:
    hung = threading.Event()

    def silent(peer: Peer) -> None:
        hung.wait(10)

    server.services["exec:echo"] = silent
    late = BridgeTimeout("SERIAL", "x")
    one = Source("one", late, still())
    made = screen(server, one, Source("two", still()))
    began = time.monotonic()
    for _ in range(FAILURES + 1):
        with pytest.raises(BridgeTimeout):
            made.capture(soon())
    assert time.monotonic() - began < 4
    assert (one.calls, made.name) == (1, "one")
    hung.set()
    server.services["exec:echo"] = says(b"\n")
    assert made.capture(soon()) == still()
    assert made.name == "one"


def test_a_success_between_failures_keeps_the_source(server: FakeAdbServer) -> None:
    error = CaptureFailed("SERIAL", "x")
    one = Source("one", error, error, still(), error, error, still())
    made = screen(server, one, Source("two", still()))
    for failing in (True, True, False, True, True, False):
        if failing:
            with pytest.raises(CaptureFailed):
                made.capture(soon())
        else:
            made.capture(soon())
    assert made.name == "one"


def test_the_last_source_makes_room_for_the_first(server: FakeAdbServer) -> None:
    made = screen(server, Source("one", CaptureFailed("SERIAL", "x")))
    for _ in range(FAILURES + 1):
        with pytest.raises(CaptureFailed):
            made.capture(soon())
    assert made.name == "one"


def test_a_busy_source_makes_room_at_once(server: FakeAdbServer) -> None:
    made = screen(server, Source("busy", DeviceBusy("SERIAL", "x", "taken")), Source("two", still()))
    with pytest.raises(CaptureFailed, match="taken"):
        made.capture(soon())
    assert made.name == "two"


def test_a_blocked_screen_is_no_fault_of_the_source(server: FakeAdbServer) -> None:
    made = screen(server, Source("one", ScreenBlocked("SERIAL", "x")), Source("two", still()))
    for _ in range(2 * FAILURES):
        with pytest.raises(ScreenBlocked):
            made.capture(soon())
    assert made.name == "one"


def test_a_quicker_source_that_never_gave_a_picture_tells_of_no_blocked_screen(server: FakeAdbServer) -> None:
    late = Source("one", slow("one", 2 * SLOW_NS))
    made = screen(server, late, Source("two", ScreenBlocked("SERIAL", "x")))
    names = []
    for _ in range(MEASURED + 4):
        try:
            made.capture(soon())
            names.append(made.name)
        except ScreenBlocked:
            names.append("blocked")
    assert names == [*["one"] * MEASURED, "blocked", *["one"] * 3]


def test_a_lost_device_goes_through(server: FakeAdbServer) -> None:
    made = screen(server, Source("one", DeviceGone("SERIAL", "x")), Source("two", still()))
    for _ in range(2 * FAILURES):
        with pytest.raises(DeviceGone):
            made.capture(soon())
    assert made.name == "one"


def test_a_black_picture_of_a_fold_says_when_another_panel_is_lit(server: FakeAdbServer) -> None:
    info = 'Display 0:\n mBaseDisplayInfo=DisplayInfo{"Cover", real 10 x 20, state ON, uniqueId "local:47"}\n'
    panels = "@@next@@\nDisplay 46 (HWC display 0): port=0\nDisplay 47 (HWC display 1): port=1\n"
    server.services["exec:dumpsys display"] = lambda peer: peer.send((info + panels).encode())
    display = Display(SIZE, physical="46")
    shell = AdbShell(SmartSocket(AdbServer(port=server.port)), "SERIAL")
    lit = still(size=Size(10, 20))
    made = Screen(shell, display, (Source("one", still(0), lit),))
    with pytest.raises(ScreenBlocked, match="the phone was folded, another panel is lit now"):
        made.capture(soon())
    assert (display.physical, display.natural) == ("47", Size(10, 20))
    assert made.capture(soon()) is lit


def test_black_is_an_error(server: FakeAdbServer) -> None:
    with pytest.raises(ScreenBlocked, match="all black"):
        screen(server, Source("one", still(0))).capture(soon())


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg"])
def test_black_in_an_encoded_picture_is_an_error_and_large_ones_are_not_decoded(
    server: FakeAdbServer, media_type: MediaType
) -> None:
    import io

    from PIL import Image

    size = Size(640, 1280)

    def encoded(image: Image.Image) -> Frame:
        buffer = io.BytesIO()
        image.save(buffer, "PNG" if media_type == "image/png" else "JPEG", quality=80)
        return Frame(Stamp(1, 1), 1, size, size, 0, media_type, buffer.getvalue(), 1, "one")

    noise = np.random.default_rng(1).integers(0, 255, (1280, 640, 3), np.uint8)
    black, busy = Image.new("RGB", (640, 1280)), Image.fromarray(noise)
    made = screen(server, Source("one", encoded(black), encoded(busy), encoded(Image.new("RGB", (640, 1280), "white"))))
    made._display.natural = size
    with pytest.raises(ScreenBlocked):
        made.capture(soon())
    made.capture(soon())
    made.capture(soon())


def test_a_turned_picture_is_of_this_screen(server: FakeAdbServer) -> None:
    turned = still(size=Size(16, 8))
    assert screen(server, Source("one", turned)).capture(soon()) is turned
    assert server.requests == []


def test_a_picture_of_another_size_is_checked_against_the_screen_as_it_is_now(server: FakeAdbServer) -> None:
    other = still(size=Size(10, 20))
    made = screen(server, Source("one", other))
    with pytest.raises(FrameMalformed, match="10x20"):
        made.capture(soon())
    server.services["exec:wm size"] = lambda peer: peer.send(b"Physical size: 8x16\nOverride size: 10x20\n")
    assert made.capture(soon()) is other


def test_a_source_that_failed_is_tried_again_and_one_failure_is_enough_then(
    server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = Source("bad", CaptureFailed("SERIAL", "x")), Source("good", still())
    made = screen(server, bad, good)
    for _ in range(FAILURES):
        with pytest.raises(CaptureFailed):
            made.capture(soon())
    for _ in range(5):
        made.capture(soon())
    assert bad.calls == FAILURES
    made._rests[0].until_ns = 0
    with pytest.raises(CaptureFailed):
        made.capture(soon())
    made.capture(soon())
    assert (bad.calls, made.name) == (FAILURES + 1, "good")
    # Each time it is left alone for longer.
    assert made._rests[0].seconds == 4 * module.RETRY_SECONDS
    bad._results.append(still(11))
    bad._results.popleft()
    made._rests[0].until_ns = 0
    assert made.capture(soon()).data[0] == 11
    assert (made.name, made._rests[0].seconds) == ("bad", module.RETRY_SECONDS)


def slow(source: str, taken_ns: int) -> Frame:
    return replace(still(source=source), bound_ns=taken_ns // 2)


def test_a_late_source_makes_room_for_a_quicker_one(server: FakeAdbServer) -> None:
    raw, jpeg, png = (
        Source("raw", slow("raw", 3 * SLOW_NS)),
        Source("jpeg", slow("jpeg", 4 * SLOW_NS)),
        Source("png", slow("png", 2 * SLOW_NS)),
    )
    made = screen(server, raw, jpeg, png)
    names = [made.capture(soon()).source for _ in range(3 * MEASURED + 3)]
    assert names == ["raw"] * MEASURED + ["jpeg"] * MEASURED + ["png"] * (MEASURED + 3)


def test_a_hiccup_does_not_make_a_source_late(server: FakeAdbServer) -> None:
    frames = [slow("raw", 9 * SLOW_NS), slow("raw", SLOW_NS), slow("raw", 9 * SLOW_NS), slow("raw", 9 * SLOW_NS)]
    made = screen(server, Source("raw", *frames), Source("png", slow("png", 1)))
    assert [made.capture(soon()).source for _ in frames] == ["raw"] * 4


class Film(Source):
    """A stream: `run` lasts until it is closed, or until a test ends it."""

    def __init__(self, name: str, *results: Frame | BridgeError) -> None:
        super().__init__(name, *results)
        self.runs = 0
        self.over = threading.Event()
        self.closed = 0

    def now(self, result: Frame | BridgeError) -> None:
        self._results = deque([result])

    def run(self) -> None:
        self.runs += 1
        assert self.over.wait(10)

    def close(self) -> None:
        self.closed += 1
        self.over.set()


WAITS = StreamRestarting("SERIAL", "film", "not begun")


class Lane:
    """Runs a screen as the runtime does, on a thread of its own."""

    def __init__(self, made: Screen) -> None:
        self._made = made
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._made.run()
            self._stopped.wait(0.002)

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._made.close()
        self._thread.join(5)


def filming(server: FakeAdbServer, polled: Source, *films: Film) -> Screen:
    """A screen over films; each can be made anew, which gives the same one."""

    def make(film: Film) -> Callable[[], Film]:
        def again() -> Film:
            film.over.clear()
            return film

        return again

    shell = AdbShell(SmartSocket(AdbServer(port=server.port)), "SERIAL")
    return Screen(shell, Display(SIZE), (polled,), tuple(make(film) for film in films))


def test_a_stream_takes_over_with_its_first_picture(server: FakeAdbServer) -> None:
    film, polled = Film("film", WAITS), Source("polled", still(source="polled"))
    made = filming(server, polled, film)
    # Nobody runs it yet.
    assert made.capture(soon()).source == "polled"
    with Lane(made):
        until(lambda: film.runs, "the stream to begin")
        assert made.capture(soon()).source == "polled"
        film.now(still(7, source="film"))
        assert made.capture(soon()).source == "film"
        assert made.name == "film"
        calls = polled.calls
        # That it begins anew is told, and no reason to leave it.
        film.now(StreamRestarting("SERIAL", "film", "the screen has turned"))
        for _ in range(2 * FAILURES):
            with pytest.raises(StreamRestarting, match="turned"):
                made.capture(soon())
        film.now(still(8, source="film"))
        assert made.capture(soon()).data[0] == 8
        assert (polled.calls, film.runs) == (calls, 1)
    assert film.closed


def test_a_stream_that_fails_says_why_once_and_is_tried_again(server: FakeAdbServer) -> None:
    film, polled = Film("film", still(7, source="film")), Source("polled", still(source="polled"))
    made = filming(server, polled, film)
    with Lane(made):
        until(lambda: film.runs, "the stream to begin")
        assert made.capture(soon()).source == "film"
        film.now(CaptureFailed("SERIAL", "film", "the process ended"))
        film.over.set()
        with pytest.raises(CaptureFailed, match="ended"):
            made.capture(soon())
        for _ in range(3):
            assert made.capture(soon()).source == "polled"
        assert (film.runs, made.name) == (1, "polled")
        made._stream_rests[0].until_ns = 0
        until(lambda: film.runs == 2, "the stream to begin again")
        # The same reason again, from one that never served: nothing was lost, and it is known.
        assert made.capture(soon()).source == "polled"
        assert made._stream_rests[0].seconds == 4 * module.RETRY_SECONDS
        made._stream_rests[0].until_ns = 0
        film.now(still(9, source="film"))
        until(lambda: film.runs == 3, "the stream to begin again")
        assert made.capture(soon()).source == "film"


def test_an_ended_stream_waits_until_its_reason_was_told(server: FakeAdbServer) -> None:
    film, polled = Film("film", CaptureFailed("SERIAL", "film", "no encoder")), Source("polled", still())
    made = filming(server, polled, film)
    film.over.set()
    again = made._streams[0]
    made._streams = (lambda: film,)
    made.run()
    made.run()
    assert film.runs == 1
    with pytest.raises(CaptureFailed, match="no encoder"):
        made.capture(soon())
    assert made.capture(soon()).source == "one"
    made.run()
    assert film.runs == 1
    assert again() is film


def test_broken_pictures_are_borne_a_few_times(server: FakeAdbServer) -> None:
    broken = FrameMalformed("SERIAL", "film", "lost")
    film, polled = Film("film", still(7, source="film")), Source("polled", still(source="polled"))
    made = filming(server, polled, film)
    with Lane(made):
        until(lambda: film.runs, "the stream to begin")
        made.capture(soon())
        film.now(broken)
        for _ in range(FAILURES - 1):
            with pytest.raises(FrameMalformed):
                made.capture(soon())
        film.now(still(8, source="film"))
        assert made.capture(soon()).source == "film"
        film.now(broken)
        for _ in range(FAILURES):
            with pytest.raises(FrameMalformed):
                made.capture(soon())
        assert made.capture(soon()).source == "polled"


def test_a_beginning_that_takes_too_long_is_a_failure(server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    film, polled = Film("film", still(7, source="film")), Source("polled", still(source="polled"))
    made = filming(server, polled, film)
    with Lane(made):
        until(lambda: film.runs, "the stream to begin")
        made.capture(soon())
        film.now(WAITS)
        monkeypatch.setattr(module, "RESTART_SECONDS", -1)
        with pytest.raises(StreamRestarting):
            made.capture(soon())
        assert made.capture(soon()).source == "polled"
        made._stream_rests[0].until_ns = 0
        monkeypatch.setattr(module, "TRIAL_SECONDS", 0)
        until(lambda: film.runs == 2, "the stream to begin again")
        assert made.capture(soon()).source == "polled"
        until(lambda: film.over.is_set(), "the stream to be ended")


def test_the_better_stream_comes_back(server: FakeAdbServer) -> None:
    best, next_best = Film("best", CaptureFailed("SERIAL", "x", "no jar")), Film("next", still(7, source="next"))
    polled = Source("polled", still(source="polled"))
    made = filming(server, polled, best, next_best)
    with Lane(made):
        until(lambda: best.runs, "the best to begin")
        with pytest.raises(CaptureFailed, match="no jar"):
            made.capture(soon())
        until(lambda: next_best.runs, "the next to begin")
        assert made.capture(soon()).source == "next"
        best.now(still(5, source="best"))
        made._stream_rests[0].until_ns = 0
        assert made.capture(soon()).source == "polled"
        until(lambda: best.runs == 2, "the best to begin again")
        assert made.capture(soon()).source == "best"


def test_a_black_picture_of_a_stream_is_a_blocked_screen(server: FakeAdbServer) -> None:
    data = bytes([16]) * 128 + bytes([128]) * 64
    dark = Frame(Stamp(1, 1), 1, SIZE, SIZE, 0, "image/x-i420", data, 99, "film")
    film = Film("film", dark)
    made = filming(server, Source("polled", still(source="polled")), film)
    with Lane(made):
        until(lambda: film.runs, "the stream to begin")
        for _ in range(2 * FAILURES):
            with pytest.raises(ScreenBlocked, match="black"):
                made.capture(soon())
        film.now(replace(dark, data=bytes([60]) * 128 + bytes([128]) * 64, digest=98))
        assert made.capture(soon()).source == "film"


def test_a_device_that_is_gone_ends_the_lane_and_closing_wakes_it(server: FakeAdbServer) -> None:
    class Lost(Film):
        def run(self) -> None:
            raise DeviceGone("SERIAL", "film")

    lost = Lost("film", WAITS)
    with pytest.raises(DeviceGone):
        filming(server, Source("polled", still()), lost).run()
    film = Film("film", WAITS)
    made = filming(server, Source("polled", still()), film)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.run)
        until(lambda: film.runs, "the stream to begin")
        made.close()
        running.result(5)
    made.run()
    assert film.runs == 1


class Phone:
    """A whole phone on the fake server: facts, clocks, pictures, trees, log, touches."""

    def __init__(self, server: FakeAdbServer) -> None:
        self._changed = threading.Condition()
        self._lines: dict[str, bytes] = {}
        self.hung_up: list[str] = []
        boot_id = "0b2c4b1e-6a3f-4c57-9d0e-2f1a7c8b9d10"
        facts = ["[ro.build.version.sdk]: [34]", "Physical size: 8x16", "Physical density: 160", boot_id, ""]
        window = f"  mRotation=0\n  mCurrentFocus=Window{{1 u0 com.shop/.Main}}\n{MARK}\n  mInputShown=false\n"
        pixels = struct.pack("<4I", 8, 16, 1, 0) + bytes([7]) * (8 * 16 * 4)
        server.services |= {
            "exec:getprop": says(f"\n{MARK}\n".join(facts).encode()),
            "exec:while": self.clocks,
            "exec:dumpsys window": says(window.encode()),
            "exec:dumpsys package": says(b""),
            "exec:dumpsys display": says(b""),
            "exec:pm list packages": says(b"package:com.shop uid:10123\n"),
            "exec:screencap": says(pixels),
            "exec:logcat": lambda peer: self.follow(peer, "log"),
            "exec:getevent -lp": says(PANEL),
            "exec:getevent -lt": lambda peer: self.follow(peer, "touch"),
            "tcp:9008": self.uia,
        }

    def clocks(self, peer: Peer) -> None:
        while line := peer.line():
            peer.send(b"1700000000.000001\n" if b"EPOCH" in line else b"5000.00\n")
        self.hung_up.append("clocks")

    def uia(self, peer: Peer) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.line()
        body = b"pong"
        if head.startswith(b"POST"):
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Len"))
            peer.read(length)
            body = json.dumps({"result": DUMP}).encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def follow(self, peer: Peer, name: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: name in self._lines, 10)
        peer.send(self._lines[name])
        if peer.gone():
            self.hung_up.append(name)

    def put(self, name: str, data: bytes) -> None:
        with self._changed:
            self._lines[name] = data
            self._changed.notify_all()


PANEL = b"""\
add device 1: /dev/input/event2
  events:
    ABS (0003): ABS_MT_SLOT           : value 0, min 0, max 9, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_X     : value 0, min 0, max 7, fuzz 0, flat 0, resolution 0
                ABS_MT_POSITION_Y     : value 0, min 0, max 15, fuzz 0, flat 0, resolution 0
                ABS_MT_TRACKING_ID    : value 0, min 0, max 65535, fuzz 0, flat 0, resolution 0
"""
DOWN = b"""\
[    5000.000000] EV_ABS       ABS_MT_TRACKING_ID   00000001
[    5000.000000] EV_ABS       ABS_MT_POSITION_X    00000003
[    5000.000000] EV_ABS       ABS_MT_POSITION_Y    00000004
[    5000.000000] EV_SYN       SYN_REPORT           00000000
"""


def entry(message: str) -> bytes:
    payload = b"\x04Tag\0" + message.encode() + b"\0"
    return struct.pack("<HHiIIIII", len(payload), 28, 42, 43, 1_700_000_000, 0, 0, 10123) + payload


@pytest.fixture
def phone(server: FakeAdbServer) -> Iterator[Phone]:
    phone = Phone(server)
    yield phone
    phone.put("log", b"")
    phone.put("touch", b"")


@pytest.fixture
def device(server: FakeAdbServer, phone: Phone) -> Iterator[AndroidDevice]:
    registry = Registry(AdbServer(port=server.port), HostClock())
    device = registry.open("SERIAL", soon())
    yield device
    device.close()
    registry.close()


def test_it_is_a_device_in_every_way(device: AndroidDevice, phone: Phone) -> None:
    seen: ports.Device = device
    assert (seen.serial, seen.info.size, seen.info.api_level, seen.info.rotation) == ("SERIAL", SIZE, 34, 0)
    frame = seen.screen().capture(soon())
    assert (frame.size, frame.source) == (SIZE, "screencap")
    assert picture.decode(frame).min() == 7
    tree = seen.hierarchy().dump(soon())
    assert [node.cls for node in tree.walk()] == ["a.B"]
    front = seen.foreground(soon())
    assert (front.package, front.keyboard_shown) == ("com.shop", False)
    assert seen.package_uid("com.shop", soon()) == 10123
    assert seen.package_uid("com.other", soon()) is None
    fix = seen.clock_fix(soon())
    assert fix.offset_ns + fix.stamp.mono_ns >= 1_700_000_000_000_001_000


def test_its_streams(device: AndroidDevice, phone: Phone) -> None:
    phone.put("log", entry("hello"))
    phone.put("touch", DOWN)
    line, touch = next(device.log().entries()), next(device.touch().touches())
    assert isinstance(line, LogEntry)
    assert (line.message, line.time_ns) == ("hello", 1_700_000_000 * 10**9)
    assert isinstance(touch, Touch)
    assert (touch.kind, touch.x, touch.y) == ("down", 3, 4)


def test_close_from_another_thread_wakes_every_source(
    device: AndroidDevice, phone: Phone, server: FakeAdbServer
) -> None:
    stalled = threading.Event()

    def stall(peer: Peer) -> None:
        stalled.set()
        peer.gone()

    server.services["exec:screencap"] = stall
    with ThreadPoolExecutor(3) as pool:
        log = pool.submit(list, device.log().entries())
        touch = pool.submit(list, device.touch().touches())
        capture = pool.submit(device.screen().capture, Deadline(60))
        assert stalled.wait(5)
        until(lambda: {"exec:logcat", "exec:getevent"} <= {name[:13].split(" ")[0] for name in server.requests}, "both")
        device.close()
        assert log.result(5) == []
        assert touch.result(5) == []
        with pytest.raises(DeviceGone, match="closed by us"):
            capture.result(5)
    until(lambda: "clocks" in phone.hung_up, "the probe's shell")
    device.close()
    for call in (device.clock_fix, device.foreground, device.hierarchy().dump):
        with pytest.raises(DeviceGone):
            call(soon())


def test_closing_it_ends_the_stream_of_pictures(device: AndroidDevice) -> None:
    film = Film("film", WAITS)
    device._screen = film
    device.close()
    assert film.closed


def test_the_other_sources_need_no_raw_picture(server: FakeAdbServer, device: AndroidDevice) -> None:
    server.services["exec:screencap"] = says(b"Error: no display\n")
    for _ in range(FAILURES):
        with pytest.raises(CaptureFailed, match="no display"):
            device.screen().capture(soon())
    assert device.screen().name == "uiautomator2-jpeg"


def test_a_device_without_a_tree_opens_all_the_same(server: FakeAdbServer, phone: Phone) -> None:
    del server.services["tcp:9008"]
    registry = Registry(AdbServer(port=server.port), HostClock())
    device = registry.open("SERIAL", soon())
    assert device.screen().capture(soon()).size == SIZE
    with pytest.raises(CaptureFailed, match="closed"):
        device.hierarchy().dump(soon())
    device.close()
    registry.close()

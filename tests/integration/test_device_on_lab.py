"""An emulated phone behind the real adb server, opened as the product opens a device: every method of the port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from fakes.wait import until
from numpy.typing import NDArray

from bridge import picture
from bridge.adb import ScreencapPng
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.device import AndroidDevice
from bridge.emulated.lab import Lab
from bridge.emulated.logd import Record
from bridge.emulated.phone import Phone
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.world import APP_UID, World
from bridge.errors import BridgeError, DeviceGone, ServiceRefused
from bridge.hierarchy import parse
from bridge.picture import Display
from bridge.ports import Device
from bridge.registry import AdbServer, Attached, Detached, Registry
from bridge.types import Condition, Frame, Gap, LogEntry, Node, Rotation, Size, Stamp, Touch
from bridge.uia import UiaScreen

SIZE = Size(540, 1200)
SOCKETS = Path("/proc/self/fd")


def soon() -> Deadline:
    return Deadline(15)


def open_sockets() -> set[str]:
    """The sockets of this process, where the system shows them."""
    links = SOCKETS.iterdir() if SOCKETS.is_dir() else ()
    found = set()
    for link in links:
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return {name for name in found if name.startswith("socket:")}


@pytest.fixture
def lab() -> Iterator[Lab]:
    before = open_sockets()
    with Lab(devices=1, profile="small", autopilot=False) as lab:
        yield lab
        # A phone is asked for nothing that a phone does not have.
        assert lab.gaps == []
    until(lambda: open_sockets() <= before, "every socket to be closed")


@pytest.fixture
def phone(lab: Lab) -> Phone:
    return lab.phones[0]


@pytest.fixture
def world(lab: Lab, phone: Phone) -> World:
    """The app is open."""
    lab.call(lambda: phone.world.launch(PACKAGE))
    until(lambda: lab.call(lambda: phone.world.find("email")), "the app's first screen")
    lab.call(lambda: phone.world.act("permission"))
    return phone.world


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    registry = Registry(AdbServer(port=lab.port), HostClock())
    yield registry
    registry.close()


class Reader:
    """A stream's items, read on a thread of its own, taken one by one."""

    def __init__(self, items: Iterator[LogEntry | Touch | Gap]) -> None:
        self._items: Queue[LogEntry | Touch | Gap] = Queue()
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._run, items)

    def _run(self, items: Iterator[LogEntry | Touch | Gap]) -> None:
        for item in items:
            self._items.put(item)

    def next(self) -> LogEntry | Touch | Gap:
        return self._items.get(timeout=10)

    def entry(self, tag: str) -> LogEntry:
        """The next entry with this tag."""
        while True:
            item = self.next()
            if isinstance(item, LogEntry) and item.tag == tag:
                return item

    def end(self) -> None:
        """The stream ended, as it must once it is closed."""
        self._done.result(10)

    def join(self) -> None:
        self._pool.shutdown()


Read = Callable[[Iterator[LogEntry | Touch | Gap]], Reader]


@pytest.fixture
def read() -> Iterator[Read]:
    """Reads streams until the device is closed."""
    readers: list[Reader] = []

    def begin(items: Iterator[LogEntry | Touch | Gap]) -> Reader:
        readers.append(Reader(items))
        return readers[-1]

    yield begin
    for reader in readers:
        reader.join()


@pytest.fixture
def device(lab: Lab, registry: Registry, read: Read) -> Iterator[AndroidDevice]:
    device = registry.open(lab.serials[0], soon())
    yield device
    device.close()


def test_facts(lab: Lab, device: AndroidDevice) -> None:
    seen: Device = device
    info = seen.info
    assert (seen.serial, info.serial) == (lab.serials[0], lab.serials[0])
    assert (info.model, info.manufacturer, info.api_level, info.android) == ("Small", "Emulated", 34, "14")
    assert (info.size, info.density, info.rotation) == (SIZE, 210, 0)
    assert len(info.boot_id) == 36


def shown(lab: Lab, world: World) -> NDArray[np.uint8]:
    return lab.call(lambda: world.pixels().copy())


def captured(
    lab: Lab, world: World, capture: Callable[[Deadline], Frame]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Frame]:
    """A frame's pixels and the true ones, when the screen stood still meanwhile."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        before = shown(lab, world)
        frame = capture(soon())
        if np.array_equal(before, shown(lab, world)):
            return picture.decode(frame), before, frame
    raise AssertionError("the screen never stood still")


def test_raw_picture(lab: Lab, world: World, device: AndroidDevice) -> None:
    began = HostClock().now()
    pixels, truth, frame = captured(lab, world, device.screen().capture)
    assert began.mono_ns <= frame.stamp.mono_ns <= time.monotonic_ns()
    assert (frame.size, frame.rotation, frame.source) == (SIZE, 0, "screencap")
    assert np.array_equal(pixels, truth)
    assert pixels[..., :3].std() > 1


def test_png_and_jpeg_pictures(lab: Lab, world: World, device: AndroidDevice) -> None:
    display = Display(SIZE)
    clock = HostClock()
    png = ScreencapPng(device.shell, clock, display)
    pixels, truth, frame = captured(lab, world, png.capture)
    assert frame.media_type == "image/png"
    assert np.array_equal(pixels, truth)
    jpeg = UiaScreen(device.serial, device.server, clock, display)
    pixels, truth, frame = captured(lab, world, jpeg.capture)
    assert (frame.media_type, frame.size) == ("image/jpeg", SIZE)
    assert np.abs(pixels[..., :3].astype(int) - truth[..., :3]).mean() < 8


@pytest.mark.parametrize("rotation", [1, 2, 3])
def test_pictures_of_a_turned_screen(lab: Lab, world: World, device: AndroidDevice, rotation: Rotation) -> None:
    lab.call(lambda: world.rotate(rotation))
    assert device.foreground(soon()).rotation == rotation
    frame = device.screen().capture(soon())
    turned = Size(SIZE.height, SIZE.width) if rotation % 2 else SIZE
    assert (frame.size, frame.rotation) == (turned, rotation)
    assert device.hierarchy().dump(soon()).rotation == rotation


def test_hierarchy(lab: Lab, world: World, device: AndroidDevice) -> None:
    tree = device.hierarchy().dump(soon())
    truth = parse(lab.call(world.dump_xml), Stamp(0, 0), 0)
    assert [(node.cls, node.bounds, node.text, node.flags) for node in tree.walk()] == [
        (node.cls, node.bounds, node.text, node.flags) for node in truth.walk()
    ]
    largest = max(tree.walk(), key=lambda node: node.bounds.area)
    assert largest.package == PACKAGE
    assert device.hierarchy().dump(soon()).roots == tree.roots


def test_hierarchy_follows_the_screen(lab: Lab, world: World, device: AndroidDevice) -> None:
    before = device.hierarchy().dump(soon())
    lab.call(lambda: world.act("home"))
    after = device.hierarchy().dump(soon())
    assert before.digest != after.digest
    assert PACKAGE not in {node.package for node in after.walk() if isinstance(node, Node)}


def write(lab: Lab, phone: Phone, *texts: str, tag: str = "probe") -> list[int]:
    """Let a program on the phone log; the CLOCK_REALTIME of each entry."""

    def append() -> list[int]:
        times = []
        for text in texts:
            times.append(phone.clock.wall_ns())
            record = Record(times[-1], phone.clock.mono_ns(), 4242, 4243, APP_UID, 4, tag, text.encode())
            phone.logd.append(record)
        return times

    return lab.call(append)


def test_log_and_its_resumption(lab: Lab, phone: Phone, device: AndroidDevice, read: Read) -> None:
    write(lab, phone, "before the start")
    log = device.log()
    reader = read(log.entries())
    assert reader.entry("probe").message == "before the start"
    until(lambda: write(lab, phone, "hello") and True, "a write")
    first = reader.entry("probe")
    assert (first.message, first.pid, first.tid, first.uid, first.level) == ("hello", 4242, 4243, APP_UID, "I")
    lines = [f"line {number}\nsecond part ä" for number in range(500)]
    times = write(lab, phone, *lines)
    found = [reader.entry("probe") for _ in lines]
    assert [entry.message for entry in found] == lines
    assert [entry.time_ns for entry in found] == times
    true_ns = phone.clock.truth_offset_ns()
    assert max(abs(entry.stamp.mono_ns - (entry.time_ns - true_ns)) for entry in found) < 5_000_000
    log.close()
    reader.end()
    missed = [f"missed {number}" for number in range(20)]
    write(lab, phone, *missed)
    resumed = device.log(since=found[-5])
    reader = read(resumed.entries())
    assert [reader.entry("probe").message for _ in range(24)] == [*lines[-4:], *missed]
    resumed.close()
    reader.end()


def test_log_that_was_overwritten_meanwhile_says_so(lab: Lab, phone: Phone, device: AndroidDevice, read: Read) -> None:
    log = device.log()
    reader = read(log.entries())
    write(lab, phone, "seen")
    since = reader.entry("probe")
    log.close()
    reader.end()
    for _ in range(3):
        write(lab, phone, *["x" * 4000] * 40)
    resumed = device.log(since)
    reader = read(resumed.entries())
    gap = reader.next()
    assert isinstance(gap, Gap)
    assert (gap.stage, gap.reason, gap.start) == ("log", "overwritten", since.stamp)
    resumed.close()
    reader.end()


@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
def test_touch(lab: Lab, world: World, phone: Phone, device: AndroidDevice, rotation: Rotation, read: Read) -> None:
    lab.call(lambda: world.rotate(rotation))
    device.foreground(soon())
    touch = device.touch()
    reader = read(touch.touches())
    until(lambda: lab.call(lambda: bool(world.on_touch)), "getevent")
    steps = [
        ("down", 0, 100, 200),
        ("down", 1, 300, 50),
        ("move", 0, 110, 220),
        ("up", 1, 300, 50),
        ("up", 0, 110, 220),
    ]
    sent = []
    for kind, pointer, x, y in steps:
        sent.append(time.monotonic_ns())
        lab.call(lambda step=(kind, pointer, x, y): world.touch(*step, injected=False))
    for (kind, pointer, x, y), sent_ns in zip(steps, sent, strict=True):
        found = reader.next()
        assert isinstance(found, Touch)
        assert (found.kind, found.pointer) == (kind, pointer)
        assert abs(found.x - x) < 1
        assert abs(found.y - y) < 1
        assert -10_000_000 < found.stamp.mono_ns - sent_ns < 200_000_000
    touch.close()
    reader.end()


def test_injected_touches_are_not_of_the_glass(lab: Lab, world: World, device: AndroidDevice, read: Read) -> None:
    touch = device.touch()
    reader = read(touch.touches())
    until(lambda: lab.call(lambda: bool(world.on_touch)), "getevent")
    device.shell.shell("input tap 10 20", soon(), check=True)
    lab.call(lambda: world.touch("down", 0, 30, 40, injected=False))
    found = reader.next()
    assert isinstance(found, Touch)
    assert (round(found.x), round(found.y)) == (30, 40)
    touch.close()
    reader.end()


def test_clock(lab: Lab, phone: Phone, device: AndroidDevice) -> None:
    fix = device.clock_fix(soon())
    assert fix.jump_ns == 0
    assert abs(fix.offset_ns - phone.clock.truth_offset_ns()) <= fix.bound_ns + 10_000 < 5_000_000
    assert abs(fix.boot_offset_ns - phone.clock.truth_boot_offset_ns()) <= fix.boot_bound_ns + 10_000 < 12_000_000
    lab.call(lambda: phone.clock.step(-3600))
    jumped = device.clock_fix(soon())
    assert jumped.jump_ns == pytest.approx(-3600e9, abs=20e6)
    assert abs(jumped.offset_ns - phone.clock.truth_offset_ns()) <= jumped.bound_ns + 10_000
    assert device.clock_fix(soon()).jump_ns == 0


def test_log_stamps_survive_a_clock_that_is_set(lab: Lab, phone: Phone, device: AndroidDevice, read: Read) -> None:
    log = device.log()
    reader = read(log.entries())
    write(lab, phone, "before")
    before = reader.entry("probe")
    lab.call(lambda: phone.clock.step(120))
    write(lab, phone, "after")
    after = reader.entry("probe")
    assert after.time_ns - before.time_ns > 120 * 10**9
    assert after.stamp.mono_ns - before.stamp.mono_ns < 10 * 10**9
    log.close()
    reader.end()


def test_foreground_and_uid(lab: Lab, world: World, device: AndroidDevice) -> None:
    front = device.foreground(soon())
    assert (front.package, front.activity) == (PACKAGE, f"{PACKAGE}.MainActivity")
    assert front.keyboard_shown == lab.call(lambda: world.keyboard_shown)
    assert device.package_uid(PACKAGE, soon()) == APP_UID
    assert device.package_uid("com.example.absent", soon()) is None
    box = lab.call(lambda: world.find("email"))
    assert box is not None
    x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
    device.shell.shell(f"input tap {x} {y}", soon(), check=True)
    until(lambda: device.foreground(soon()).keyboard_shown, "the keyboard")


def test_close_from_another_thread_wakes_blocked_calls(
    lab: Lab, world: World, device: AndroidDevice, read: Read
) -> None:
    began = threading.Event()

    def stalled() -> bytearray:
        began.set()
        return device.shell.exec("logcat -B", Deadline(600))

    log, touch = read(device.log().entries()), read(device.touch().touches())
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(stalled)
        assert began.wait(5)
        until(lambda: lab.call(lambda: bool(world.on_touch)), "getevent")
        closed = time.monotonic()
        device.close()
        log.end()
        touch.end()
        with pytest.raises(DeviceGone):
            call.result(10)
    assert time.monotonic() - closed < 5
    device.close()
    for ask in (device.screen().capture, device.hierarchy().dump, device.clock_fix, device.foreground):
        with pytest.raises(BridgeError):
            ask(soon())
    # What ran on the phone for us has ended.
    until(lambda: lab.call(lambda: not world.on_touch), "getevent's end")


def test_unplugged_device_ends_its_streams_with_an_error(
    lab: Lab, phone: Phone, registry: Registry, device: AndroidDevice, read: Read
) -> None:
    watch = registry.watch()
    assert next(watch) == Attached(device.serial)
    log, touch = read(device.log().entries()), read(device.touch().touches())
    until(lambda: lab.call(lambda: bool(phone.world.on_touch)), "getevent")
    write(lab, phone, "hello")
    log.entry("probe")
    lab.fault("unplug")
    for reader in (log, touch):
        with pytest.raises(DeviceGone):
            reader.end()
    with pytest.raises(BridgeError):
        device.screen().capture(soon())
    # First it is listed as offline, then it has been away long enough.
    assert Detached(device.serial) in (next(watch), next(watch))
    registry.close()
    assert list(watch) == []


def test_a_phone_on_the_network_is_asked_for_again_when_the_server_restarted() -> None:
    """It was connected by somebody else, and the new server knows nothing of it."""
    with Lab(devices=1, profile="small", autopilot=False) as lab:
        (serial,) = lab.serials
        registry = Registry(AdbServer(port=lab.port), HostClock())
        came = threading.Event()

        def watch() -> None:
            for event in registry.watch():
                if isinstance(event, Attached) and event.serial == serial:
                    came.set()

        watching = threading.Thread(target=watch)
        try:
            registry.open(serial, soon()).close()
            lab.server.restart()
            assert serial not in {device.serial for device in registry.list(soon())}
            watching.start()
            assert came.wait(20)
        finally:
            registry.close()
            if watching.ident is not None:
                watching.join()


def test_files_that_are_put_on_the_phone(phone: Phone, device: AndroidDevice, tmp_path: Path) -> None:
    source, target = tmp_path / "file.jar", "/data/local/tmp/file.jar"
    source.write_bytes(data := bytes(range(256)) * 20_000)
    device.shell.push(source, target, soon())
    assert device.shell.exec(f"cat {target}", soon()) == data
    phone.faults.disk_full = True
    with pytest.raises(ServiceRefused, match="No space left on device"):
        device.shell.push(source, "/data/local/tmp/other.jar", soon())


def test_how_the_phone_is(lab: Lab, phone: Phone, registry: Registry) -> None:
    condition = registry.condition(lab.serials[0], Deadline(10))
    assert condition == Condition(83, 28.7, 72_000_000 * 1024)
    phone.battery, phone.tenths, phone.faults.disk_full = 7, 461, True
    assert registry.condition(lab.serials[0], Deadline(10)) == Condition(7, 46.1, 0)

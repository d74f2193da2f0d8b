"""Phones with several displays and folds, behind the real adb server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest
from fakes.recorder import Recorder, recording
from fakes.wait import until

from agent.commands.rig import check_display
from agent.errors import ConfigError
from agent.replay.validator import validate
from agent.store.recording import Recording
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.device import AndroidDevice
from bridge.emulated.lab import Lab
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.world import World
from bridge.errors import BridgeError, CommandFailed
from bridge.registry import AdbServer, Registry
from bridge.types import Gap, Size, Touch

INNER, COVER, SECOND = Size(900, 1080), Size(540, 1260), Size(720, 960)


def soon() -> Deadline:
    return Deadline(20)


def opened(lab: Lab, display: int = 0) -> AndroidDevice:
    return Registry(AdbServer(port=lab.port), HostClock(), display=display).open(lab.serials[0], Deadline(40))


def second(lab: Lab) -> World:
    world = lab.phones[0].second
    assert world is not None
    return world


def tap(lab: Lab, world: World, x: float, y: float) -> None:
    lab.call(lambda: [world.touch(kind, 0, x, y, injected=False) for kind in ("down", "up")])


class Fingers:
    """The touches of a device, read on a thread of their own."""

    def __init__(self, device: AndroidDevice) -> None:
        self.seen: Queue[Touch | Gap] = Queue()
        self._pool = ThreadPoolExecutor(1)
        self._touch = device.touch()
        self._done = self._pool.submit(self._read)

    def _read(self) -> None:
        for item in self._touch.touches():
            self.seen.put(item)

    def down(self) -> tuple[float, float]:
        """Where the next finger came down."""
        while True:
            item = self.seen.get(timeout=15)
            if isinstance(item, Touch) and item.kind == "down":
                return item.x, item.y

    def end(self) -> None:
        self._touch.close()
        self._done.result(15)
        self._pool.shutdown()


@pytest.fixture(scope="module")
def desk() -> Iterator[Lab]:
    with Lab(1, profile="desk", scenario="idle", autopilot=False) as lab:
        lab.call(lambda: lab.phones[0].world.launch(PACKAGE))
        for world in (lab.phones[0].world, second(lab)):
            until(lambda world=world: lab.call(lambda: world.find("email")), "the app's first screen")
            lab.call(lambda world=world: world.act("permission"))
        yield lab
        assert lab.gaps == []


def test_the_displays_of_a_phone(desk: Lab) -> None:
    registry = Registry(AdbServer(port=desk.port), HostClock())
    try:
        found = registry.displays(desk.serials[0], soon())
        assert [(each.id, each.size, each.on) for each in found] == [(0, Size(540, 1200), True), (2, SECOND, True)]
        assert registry.displays("nobody", soon()) == ()
    finally:
        registry.close()


@pytest.mark.parametrize(("number", "size"), [(0, Size(540, 1200)), (2, SECOND)])
def test_one_display_alone_is_seen(desk: Lab, number: int, size: Size) -> None:
    device = opened(desk, number)
    fingers = Fingers(device)
    try:
        assert device.info.size == size
        assert device.screen().capture(soon()).size == size
        tree = device.hierarchy().dump(soon())
        assert max(root.bounds.right for root in tree.roots) == size.width
        assert max(root.bounds.bottom for root in tree.roots) == size.height
        front = device.foreground(soon())
        assert (front.package, front.size) == (PACKAGE, size)
        worlds = {0: desk.phones[0].world, 2: second(desk)}
        until(lambda: desk.call(lambda: all(world.on_touch for world in worlds.values())), "the touch stream")
        for world in (worlds.pop(2 - number), worlds[number]):
            tap(desk, world, 100 + world.display, 300)
        x, y = fingers.down()
        assert (round(x), round(y)) == (100 + number, 300)
    finally:
        fingers.end()
        device.close()


def test_a_turned_second_display(desk: Lab) -> None:
    desk.call(lambda: second(desk).rotate(1))
    device = opened(desk, 2)
    try:
        assert device.foreground(soon()).rotation == 1
        assert device.hierarchy().dump(soon()).rotation == 1
        frame = device.screen().capture(soon())
        assert (frame.size, frame.rotation) == (Size(960, 720), 1)
    finally:
        desk.call(lambda: second(desk).rotate(0))
        device.close()


def test_a_display_that_is_not_there(desk: Lab) -> None:
    with pytest.raises(CommandFailed, match="the device has 0, 2"):
        opened(desk, 5)


def captured(device: AndroidDevice, size: Size) -> bool:
    try:
        return device.screen().capture(soon()).size == size
    except BridgeError:
        return False


def test_a_display_that_no_phone_has_is_said_before_recording(desk: Lab) -> None:
    registry = Registry(AdbServer(port=desk.port), HostClock())
    try:
        with pytest.raises(ConfigError, match=r"has no display 7; it has 0, 2\."):
            check_display(registry, (desk.serials[0],), 7)
        check_display(registry, (desk.serials[0],), 2)
        check_display(registry, ("nobody",), 7)
    finally:
        registry.close()


def test_a_fold_goes_on_on_the_other_panel() -> None:
    with Lab(1, profile="fold", scenario="idle", autopilot=False) as lab:
        world = lab.phones[0].world
        device = opened(lab)
        fingers = Fingers(device)
        try:
            until(lambda: lab.call(lambda: world.on_touch), "the touch stream")
            for fault, size in (("", INNER), ("fold", COVER), ("", INNER)):
                if fault:
                    assert device.foreground(soon()).density == device.info.density == 210
                    # The other panel is another display to the phone, with other settings.
                    device.shell.shell("wm density 333", soon(), check=True)
                    lab.fault(fault)
                else:
                    lab.heal("fold")
                until(lambda size=size: captured(device, size), f"a picture of {size}")
                front = device.foreground(soon())
                assert (front.size, front.density) == (size, 333 if fault else front.density)
                tap(lab, world, 60, size.height - 200)
                x, y = fingers.down()
                assert abs(x - 60) < 1
                assert abs(y - size.height + 200) < 1
        finally:
            fingers.end()
            device.close()
        assert lab.gaps == []


def test_a_recording_goes_on_over_a_fold(tmp_path: Path) -> None:
    def more(pictures: int) -> None:
        known = recorder.wait(lab.serials[0], recording, "a recording")["frames"]
        recorder.wait(lab.serials[0], lambda now: now["frames"] >= known + pictures, "pictures")

    def conduct() -> None:
        more(4)
        lab.fault("fold")
        more(8)
        lab.heal("fold")
        more(8)

    with Lab(1, profile="fold", scenario="scroll") as lab:
        recorder = Recorder(lab, tmp_path)
        recorder.record([conduct])
        assert lab.gaps == []
    stored = Recording.open(recorder.replays)
    sizes: list[tuple[int, int]] = []
    for manifest in sorted(stored.manifests(), key=lambda manifest: manifest.start_ms):
        events = [json.loads(event) for event in stored.events(manifest.id)]
        assert validate(stored.events(manifest.id)) == []
        meta = events[0]["data"]
        sizes.append((meta["width"], meta["height"]))
        gaps = [event["data"]["payload"] for event in events if event["data"].get("tag") == "gap"]
        assert all(gap["reason"] for gap in gaps)
        assert "DeviceGone" not in {gap["reason"] for gap in gaps}
    shapes = [width > 500 for width, _ in sizes]
    assert shapes == sorted(shapes, reverse=True) or shapes[-1]
    assert {True, False} == set(shapes)

"""The panel as the product reads it: what goes in as fingers comes out as touches."""

from __future__ import annotations

import asyncio

import pytest
from fakes.adb_host import run, until
from fakes.programs import Run, phone_with_screen, ran, running

from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.programs.getevent import getevent
from bridge.getevent import Panel, TouchReader, parse_panels
from bridge.types import Rotation, Stamp, Touch

DEVICE = "/dev/input/event2"

POINTS = [(0.0, 0.0), (100.0, 300.0), (539.0, 17.0)]


async def described(phone: Phone) -> Panel:
    out, err, status = await ran(getevent, phone, "getevent -lp")
    assert (err, status) == ("", 0)
    panel, *_ = parse_panels(out)
    return panel


async def follow(phone: Phone, started: Run) -> None:
    """Until it listens."""
    await until(lambda: phone.world.on_touch)
    assert started.take() == b""


async def settled(started: Run, reports: int) -> bytes:
    """The lines, once so many reports are complete."""
    await until(lambda: started.out.count(b"SYN_REPORT") == reports)
    return started.take()


def test_the_panel_is_described() -> None:
    async def work() -> None:
        for name, profile in PROFILES.items():
            panel = await described(phone_with_screen(profile))
            assert panel.path == DEVICE
            assert (panel.x.maximum, panel.y.maximum) == profile.panel, name

    run(work())


@pytest.mark.parametrize("rotation", [0, 1, 2, 3])
@pytest.mark.parametrize("words", ["getevent -lt", f"getevent -lt {DEVICE}"])
def test_a_finger_comes_out_where_it_touched(rotation: Rotation, words: str) -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.world.rotate(rotation)
        reader = TouchReader(
            await described(phone), lambda: phone.profile.size, lambda: rotation, lambda ns: Stamp(ns, 0)
        )
        async with running(getevent, phone, words) as started:
            await follow(phone, started)
            before = phone.clock.mono_ns()
            for kind, (x, y) in zip(("down", "move", "up"), POINTS, strict=True):
                phone.world.touch(kind, 0, x, y, injected=False)
            after = phone.clock.mono_ns()
            text = await settled(started, 3)
        assert (DEVICE.encode() in text) == (words == "getevent -lt")
        touches = [fact for fact in reader.feed(text) if isinstance(fact, Touch)]
        assert [touch.kind for touch in touches] == ["down", "move", "up"]
        for touch, (x, y) in zip(touches[:2], POINTS[:2], strict=True):
            assert touch.x == pytest.approx(x, abs=1)
            assert touch.y == pytest.approx(y, abs=1)
            assert before - 1000 <= touch.stamp.mono_ns <= after

    run(work())


def test_two_fingers_have_a_slot_each_and_one_button() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        async with running(getevent, phone, "getevent -lt") as started:
            await follow(phone, started)
            for kind, pointer in (("down", 0), ("down", 1), ("up", 0), ("cancel", 1)):
                phone.world.touch(kind, pointer, 50, 60, injected=False)
            text = (await settled(started, 4)).decode()
        assert [line.split()[-1] for line in text.splitlines() if "BTN_TOUCH" in line] == ["DOWN", "UP"]
        tracking = [line.split()[-1] for line in text.splitlines() if "TRACKING_ID" in line]
        assert tracking == ["00000001", "00000002", "ffffffff", "ffffffff"]
        slots = [line.split()[-1] for line in text.splitlines() if "ABS_MT_SLOT" in line]
        assert slots == ["00000000", "00000001", "00000000", "00000001"]

    run(work())


def test_injected_touches_are_not_of_the_panel() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        async with running(getevent, phone, "getevent -lt") as started:
            await follow(phone, started)
            phone.world.touch("down", 0, 1, 1)
            phone.world.touch("up", 0, 1, 1)
            phone.world.touch("down", 0, 1, 1, injected=False)
            assert (await settled(started, 1)).count(b"BTN_TOUCH") == 1

    run(work())


def test_it_lets_go_of_the_screen() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        async with running(getevent, phone, "getevent -lt") as started:
            await follow(phone, started)
        assert phone.world.on_touch == []
        assert isinstance(started.task, asyncio.Future)
        assert started.task.cancelled()

    run(work())

from __future__ import annotations

import struct

from fakes.adb_host import run
from fakes.programs import phone_with_screen, ran, running

from bridge import dumpsys
from bridge.emulated.displays import SECOND, panels, shown
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.programs.getevent import getevent
from bridge.emulated.programs.screencap import screencap
from bridge.emulated.programs.services import dumpsys as program
from bridge.emulated.world import World
from bridge.getevent import parse_panels
from bridge.types import Size


def desk() -> Phone:
    phone = phone_with_screen(PROFILES["desk"])
    phone.second = World(phone.clock, Size(720, 960), 210, "idle", autopilot=False)
    phone.second.display = SECOND
    return phone


def size_of(raw: bytearray) -> tuple[int, ...]:
    return struct.unpack_from("<II", raw)


def test_a_phone_with_one_display_needs_no_name_for_it() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        (panel,) = panels(phone)
        assert (panel.number, panel.world) == (0, phone.world)
        async with running(screencap, phone, "screencap") as started:
            await started.task
            assert size_of(started.out) == (540, 1200)
            assert not started.err

    run(work())


def test_a_fold_has_one_lit_side_and_the_other_is_black() -> None:
    async def work() -> None:
        phone = phone_with_screen(PROFILES["fold"])
        inner, cover = panels(phone)
        assert [panel.number for panel in (inner, cover)] == [0, -1]
        phone.world.fold(Size(540, 1260), shut=True)
        assert [panel.number for panel in panels(phone)] == [-1, 0]
        assert [panel.physical for panel in shown(phone)] == [cover.physical]
        for words, size, lit in (("", (900, 1080), False), (f" -d {cover.physical}", (540, 1260), True)):
            async with running(screencap, phone, f"screencap{words}") as started:
                await started.task
                assert size_of(started.out) == size
                assert any(started.out[16:4016:4]) == lit
                assert (b"[Warning]" in started.err) == (not words)

    run(work())


def test_a_display_that_screencap_does_not_know() -> None:
    async def work() -> None:
        _, err, status = await ran(screencap, phone_with_screen(), "screencap -d 9")
        assert (err, status) == ("Display Id '9' is not valid.\n", 1)

    run(work())


def test_the_system_s_words_on_two_displays_agree() -> None:
    async def work() -> None:
        phone = desk()
        listed = dumpsys.displays((await ran(program, phone, "dumpsys display"))[0])
        assert [(each.id, each.size) for each in listed] == [(0, Size(540, 1200)), (SECOND, Size(720, 960))]
        flinger = (await ran(program, phone, "dumpsys SurfaceFlinger --display-id"))[0]
        assert dumpsys.physical(flinger) == tuple(each.physical for each in listed)
        touch = parse_panels((await ran(getevent, phone, "getevent -lp"))[0])
        belongs = dumpsys.touch_displays((await ran(program, phone, "dumpsys input"))[0])
        assert [belongs[panel.path] for panel in touch] == [0, SECOND]
        window = (await ran(program, phone, "dumpsys window"))[0]
        assert dumpsys.shown_size(dumpsys.display_part(window, SECOND)) == Size(720, 960)

    run(work())

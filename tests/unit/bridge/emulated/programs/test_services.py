from __future__ import annotations

import pytest
from fakes.adb_host import run
from fakes.programs import phone_with_screen, ran, ran_raw

from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.program import Program
from bridge.emulated.programs.services import (
    INSTALL_CHUNK,
    ZIP,
    am,
    cmd,
    dumpsys,
    input_,
    monkey,
    pm,
    settings,
    wm,
)
from bridge.emulated.world.shop import PACKAGE


def said(program: Program, *lines: str, phone: Phone | None = None) -> list[tuple[str, str, int]]:
    """What each command line gives on one phone, in turn."""

    async def work() -> list[tuple[str, str, int]]:
        used = phone or phone_with_screen()
        return [await ran(program, used, line) for line in lines]

    return run(work())


def test_size_and_density_with_overrides() -> None:
    outs = said(wm, "wm size", "wm size 600x800", "wm size", "wm density", "wm size reset", "wm size", "wm size bad x")
    assert [out for out, _, _ in outs] == [
        "Physical size: 540x1200\n",
        "",
        "Physical size: 540x1200\nOverride size: 600x800\n",
        "Physical density: 210\n",
        "",
        "Physical size: 540x1200\n",
        "",
    ]
    assert {status for _, _, status in outs} == {0}
    assert said(wm, "wm", "wm shape") == [("", "Unknown command: \n", 255), ("", "Unknown command: shape\n", 255)]


def test_settings() -> None:
    outs = said(
        settings,
        "settings get system x",
        "settings put system x 1",
        "settings list system",
        "settings list global",
        "settings get system x",
        "settings get global x",
        "settings delete system x",
        "settings delete system x",
        "settings get system x",
    )
    assert [out for out, _, _ in outs] == [
        "null\n",
        "",
        "x=1\n",
        "",
        "1\n",
        "null\n",
        "Deleted 1 rows\n",
        "Deleted 0 rows\n",
        "null\n",
    ]


@pytest.mark.parametrize("profile", ["small", "old"])
def test_what_is_in_front(profile: str) -> None:
    async def work() -> None:
        phone = phone_with_screen(PROFILES[profile])
        for launched in (False, True):
            if launched:
                phone.world.launch(PACKAGE)
            package, activity = phone.world.foreground
            window, _, _ = await ran(dumpsys, phone, "dumpsys window")
            assert f"mCurrentFocus=Window{{1b2c3d u0 {package}/{activity}}}" in window
            assert f"mRotation={phone.world.rotation} " in window
            out, _, _ = await ran(dumpsys, phone, "dumpsys activity")
            name = "topResumedActivity" if PROFILES[profile].api_level >= 31 else "mResumedActivity"
            assert name in out
            assert f"{package}/{activity.removeprefix(package)}" in out
        windows, _, _ = await ran(dumpsys, phone, "dumpsys window windows")
        assert ("mCurrentFocus" in windows) == (PROFILES[profile].api_level < 29)

    run(work(), 20)


def test_other_services() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.world.rotate(1)
        assert "mInputShown=false" in (await ran(dumpsys, phone, "dumpsys input_method"))[0]
        phone.world.act("launch")
        phone.world.act("focus:email")
        assert "mInputShown=true" in (await ran(dumpsys, phone, "dumpsys input_method"))[0]
        assert "orientation=1}" in (await ran(dumpsys, phone, "dumpsys display"))[0]
        assert "init=540x1200 210dpi cur=1200x540 " in (await ran(dumpsys, phone, "dumpsys window"))[0]
        assert "userId=10231" in (await ran(dumpsys, phone, f"dumpsys package {PACKAGE}"))[0]
        assert "Unable to find package: x" in (await ran(dumpsys, phone, "dumpsys package x"))[0]
        assert "level: 83" in (await ran(dumpsys, phone, "dumpsys battery"))[0]
        assert "Display 46" in (await ran(dumpsys, phone, "dumpsys SurfaceFlinger --display-id"))[0]
        assert await ran(dumpsys, phone, "dumpsys nothing") == ("Can't find service: nothing\n", "", 0)
        assert (await ran(dumpsys, phone, "dumpsys"))[2] == 0

    run(work())


def test_the_app_is_started_and_stopped() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        out, err, status = await ran(am, phone, f"am start -n {PACKAGE}/.MainActivity")
        assert (out, err, status) == (f"Starting: Intent {{ cmp={PACKAGE} }}\n", "", 0)
        assert phone.world.foreground[0] == PACKAGE
        assert phone.world.app_pid > 0
        assert await ran(cmd, phone, f"cmd activity force-stop {PACKAGE}") == ("", "", 0)
        assert phone.world.app_pid == 0
        assert (await ran(monkey, phone, f"monkey -p {PACKAGE} -c x 1")) == ("Events injected: 1\n", "", 0)
        assert phone.world.app_pid > 0
        assert (await ran(monkey, phone, "monkey -p other 1"))[2] == 252
        assert (await ran(monkey, phone, "monkey -p"))[2] == 252
        assert (await ran(am, phone, "am start other/.X"))[1:] == ("Error: Activity class does not exist.\n", 1)
        assert (await ran(am, phone, "am start"))[2] == 1
        assert "result=0" in (await ran(am, phone, "am broadcast -a x"))[0]
        assert await ran(am, phone, "am dance") == ("", "Unknown command: dance\n", 255)
        assert await ran(am, phone, "am") == ("", "Unknown command: \n", 255)

    run(work())


def test_packages() -> None:
    everything, third, named, numbered = said(
        pm, "pm list packages", "pm list packages -3", "pm list packages inputmethod", f"pm list packages -U {PACKAGE}"
    )
    assert f"package:{PACKAGE}\n" in everything[0]
    assert len(everything[0].splitlines()) == 5
    assert third[0] == f"package:{PACKAGE}\n"
    assert named[0] == "package:com.google.android.inputmethod.latin\n"
    assert numbered[0] == f"package:{PACKAGE} uid:10231\n"
    assert said(cmd, f"cmd package path {PACKAGE}", "cmd package path x") == [
        (f"package:/data/app/{PACKAGE}/base.apk\n", "", 0),
        ("", "", 1),
    ]
    assert said(pm, "pm", f"pm uninstall {PACKAGE}")[1][0].startswith("Failure")


def test_installing() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        apk = ZIP + bytes(3 * INSTALL_CHUNK)
        size = len(apk)
        assert await ran_raw(pm, phone, f"pm install -S {size}", apk + b"more") == (b"Success\n", b"", 0)
        for stdin in (apk[:-1], b"no" + apk[2:], b""):
            out, _, status = await ran_raw(cmd, phone, f"cmd package install -S {size}", stdin)
            assert (out, status) == (b"Failure [INSTALL_PARSE_FAILED_NOT_APK: Failed to parse base.apk]\n", 1)
        phone.files.write("/data/local/tmp/a.apk", apk)
        phone.files.write("/data/local/tmp/b.apk", b"text")
        assert await ran(pm, phone, "pm install -r /data/local/tmp/a.apk") == ("Success\n", "", 0)
        assert (await ran(pm, phone, "pm install /data/local/tmp/b.apk"))[2] == 1
        assert await ran(pm, phone, "pm install /no.apk") == ("", "Error: Unable to open file: /no.apk\n", 1)
        assert (await ran(pm, phone, "pm install"))[2] == 1

    run(work())


def test_unknown_services_of_cmd() -> None:
    assert said(cmd, "cmd", "cmd nothing x") == [
        ("", "cmd: Can't find service: \n", 20),
        ("", "cmd: Can't find service: nothing\n", 20),
    ]


def test_injected_input() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        world = phone.world
        human: list[str] = []
        world.on_touch.append(lambda kind, pointer, x, y: human.append(kind))
        where = world.find("launch")
        assert where is not None
        at = f"{(where.left + where.right) / 2} {(where.top + where.bottom) / 2}"
        assert await ran(input_, phone, f"input touchscreen tap {at}") == ("", "", 0)
        assert world.foreground[0] == PACKAGE
        world.act("go:login")
        world.act("focus:email")
        await ran(input_, phone, "input text no%sra")
        await ran(input_, phone, "input keyevent 67")
        assert any(secret.text == "no r" for secret in world.truth()[-1].secrets)
        await ran(input_, phone, "input keyevent KEYCODE_BACK")
        assert not world.keyboard_shown
        await ran(input_, phone, "input keyevent HOME")
        assert world.foreground[0] != PACKAGE
        assert human == []

    run(work())


def test_a_swipe_scrolls() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.world.act("launch")
        phone.world.act("go:list")
        before = phone.world.find("product-2")
        assert await ran(input_, phone, "input swipe 270 900 270 600 50") == ("", "", 0)
        after = phone.world.find("product-2")
        assert before is not None
        assert after is not None
        assert before.top - after.top == 300

    run(work())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("", "Unknown command: "),
        ("dance", "Unknown command: dance"),
        ("tap 1", "Invalid arguments for command: tap"),
        ("tap x y", "Invalid arguments for command: tap"),
        ("swipe 1 2 3", "Invalid arguments for command: swipe"),
        ("swipe 1 2 3 4 nan", "Invalid arguments for command: swipe"),
        ("swipe 1 2 3 4 inf", "Invalid arguments for command: swipe"),
        ("keyevent NOTHING", "Invalid arguments for command: keyevent"),
    ],
)
def test_input_that_is_none(words: str, error: str) -> None:
    ((out, err, status),) = said(input_, f"input {words}")
    assert (out, err, status) == ("", f"Error: {error}\n", 255)

"""The tools that ask the system: wm, dumpsys, am, pm, cmd, settings, input, monkey."""

from __future__ import annotations

import asyncio

from bridge.emulated.displays import Panel, panels, shown
from bridge.emulated.phone import Phone
from bridge.emulated.program import Io
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.system import INPUT, LAUNCHER, SYSTEMUI
from bridge.emulated.world.world import APP_UID, LAUNCHER_UID, World
from bridge.types import Size

PACKAGES = {PACKAGE: APP_UID, LAUNCHER: LAUNCHER_UID, INPUT: 10135, SYSTEMUI: 10050, "com.android.settings": 1000}
MIN_SIDE = 200
TOUCH_STEP = 0.016
INSTALL_CHUNK = 64 * 1024
ZIP = b"PK\x03\x04"
# An app that did not answer some time ago: what was on the screen then is told first, for two hours.
_LAST_ANR = """\
WINDOW MANAGER LAST ANR (dumpsys window lastanr)
  Application at fault: ActivityRecord{77aa u0 com.example.bank/.Main t9}
Last ANR continued
WINDOW MANAGER DISPLAY CONTENTS (dumpsys window displays)
  Display: mDisplayId=0 (organized)
    init=600x800 160dpi cur=800x600 app=800x600
  mRotation=3 mDeferredRotationPauseCount=0
  mCurrentFocus=Window{9f8e u0 com.example.bank/com.example.bank.Main}
    mAwake=false mScreenOnEarly=false mScreenOnFully=false
"""


async def _say(io: Io, text: str) -> None:
    await io.write(text.encode() + b"\n")


async def wm(io: Io, phone: Phone) -> int:
    """`wm size` and `wm density`, with overrides."""
    await phone.delay("wm")
    what, value = [*io.argv[1:], "", ""][:2]
    if what not in ("size", "density"):
        await io.error(b"Unknown command: " + what.encode() + b"\n")
        return 255
    key = ("wm", what)
    if value == "reset":
        phone.settings.pop(key, None)
    elif value:
        phone.settings[key] = value
    if value and what == "size":
        sides = value.split("x")
        given = len(sides) == 2 and all(side.isdigit() and int(side) >= MIN_SIDE for side in sides)
        phone.world.resize(Size(*map(int, sides)) if given else shown(phone)[0].size)
    if value:
        return 0
    size = shown(phone)[0].size
    natural = f"{size.width}x{size.height}" if what == "size" else str(phone.profile.density)
    await _say(io, f"Physical {what}: {natural}")
    if key in phone.settings:
        await _say(io, f"Override {what}: {phone.settings[key]}")
    return 0


async def dumpsys(io: Io, phone: Phone) -> int:
    """The parts of a few services that tools read; the layout follows the Android version."""
    await phone.delay("dumpsys")
    what, *rest = [*io.argv[1:], ""]
    component = _component(phone.world)
    record = f"ActivityRecord{{4f1c2aa u0 {component} t214}}"
    if what == "window":
        focus = phone.profile.api_level < 29 or rest[0] != "windows"
        on = str(phone.world.awake).lower()
        if not rest[0]:
            await _say(io, _LAST_ANR)
        await _say(io, "WINDOW MANAGER POLICY STATE (dumpsys window policy)")
        await _say(io, f"    mAwake={on} mScreenOnEarly={on} mScreenOnFully={on}")
        await _say(io, "WINDOW MANAGER DISPLAY CONTENTS (dumpsys window displays)")
        # What came last is told first.
        for panel in reversed(shown(phone)):
            world = panel.world
            if world is None:
                continue
            size, whole, natural = world.size, panel.size, world.natural
            base = "" if natural == whole else f" base={natural.width}x{natural.height} {phone.profile.density}dpi"
            await _say(
                io,
                f"  Display: mDisplayId={panel.number} (organized)\n"
                f"    init={whole.width}x{whole.height} {phone.profile.density}dpi{base}"
                f" cur={size.width}x{size.height} app={size.width}x{size.height}",
            )
            await _say(io, f"  mRotation={world.rotation} mDeferredRotationPauseCount=0")
            if focus:
                app = _component(world)
                await _say(io, f"  mCurrentFocus=Window{{1b2c3d u0 {'/'.join(world.foreground)}}}")
                await _say(io, f"  mFocusedApp=ActivityRecord{{4f1c2aa u0 {app} t214}}")
    elif what == "activity":
        name = "topResumedActivity" if phone.profile.api_level >= 31 else "mResumedActivity"
        await _say(io, f"  {name}={record}" if name == "topResumedActivity" else f"    {name}: {record}")
        await _say(io, f"  ACTIVITY {component} 4f1c2aa pid={phone.world.app_pid}")
    elif what == "input_method":
        visible = str(phone.world.keyboard_shown).lower()
        await _say(io, f"  mCurMethodId={INPUT}/.LatinIME\n  mShowRequested={visible} mInputShown={visible}")
    elif what == "package":
        uid = PACKAGES.get(rest[0])
        if uid is None:
            await _say(io, f"Unable to find package: {rest[0]}")
        else:
            await _say(io, f"Packages:\n  Package [{rest[0]}] (1a2b3c):\n    userId={uid}\n    versionName=4.12.0")
    elif what == "display":
        await _displays(io, phone)
    elif what == "input":
        await _inputs(io, phone)
    elif what == "battery":
        facts = f"level: {phone.battery}\n  scale: 100\n  voltage: 4312\n  temperature: {phone.tenths}"
        await _say(io, f"Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  {facts}")
    elif what == "SurfaceFlinger":
        for port, panel in enumerate(panels(phone)):
            words = f"(HWC display {port}): port={port} pnpId=GGL"
            await _say(io, f'Display {panel.physical} {words} displayName="{panel.name}"')
    else:
        await _say(io, f"Can't find service: {what}")
    return 0


def _component(world: World) -> str:
    package, activity = world.foreground
    return f"{package}/{activity.removeprefix(package)}"


async def _displays(io: Io, phone: Phone) -> None:
    """The logical displays, each with what its hardware is and what the window manager makes of it."""
    state = "ON" if phone.world.awake else "OFF"
    for panel in shown(phone):
        world = panel.world
        if world is None:
            continue

        def info(name: str, width: int, height: int, turn: int, panel: Panel = panel) -> str:
            return (
                f'    {name}=DisplayInfo{{"{panel.name}", displayId {panel.number}, FLAG_SECURE, '
                f"real {width} x {height}, largest app {height} x {height}, mode 1, rotation {turn}, state {state}, "
                f'type INTERNAL, uniqueId "local:{panel.physical}", app {width} x {height}, '
                f"density {phone.profile.density} (210.0 x 210.0) dpi, layerStack {panel.number}}}"
            )

        await _say(io, f"  Display {panel.number}:\n    mDisplayId={panel.number}")
        await _say(io, info("mBaseDisplayInfo", world.natural.width, world.natural.height, 0))
        await _say(io, info("mOverrideDisplayInfo", world.size.width, world.size.height, world.rotation))
        await _say(io, f"  DisplayViewport{{orientation={world.rotation}}}\n  SurfaceOrientation: {world.rotation}")


async def _inputs(io: Io, phone: Phone) -> None:
    """Which input devices there are, and what each one's viewport is."""
    known = list(enumerate(panels(phone), 3))
    # From Android 11 on the reader's numbers are its own.
    own = phone.profile.api_level >= 30
    await _say(io, "Event Hub State:\n  Devices:")
    for number, panel in known:
        await _say(io, f"    {number}: touchscreen\n      Classes: TOUCH | TOUCH_MT\n      Path: {panel.input}")
    await _say(io, "Input Reader State:")
    for number, panel in known:
        await _say(io, f"  Device {number + own}: touchscreen")
        if own:
            await _say(io, f"    EventHub Devices: [ {number} ]")
        await _say(io, "    Touch Input Mapper (mode - DIRECT):")
        await _say(io, f"      Viewport INTERNAL: displayId={panel.number}, uniqueId=local:{panel.physical}")


async def am(io: Io, phone: Phone) -> int:
    """`am start`, `am force-stop`, `am broadcast`."""
    await phone.delay("am")
    words = io.argv[1:]
    verb = words[0] if words else ""
    if verb in ("start", "start-activity"):
        target = next((w.partition("/")[0] for w in words[1:] if "/" in w), words[-1])
        await _say(io, f"Starting: Intent {{ cmp={target} }}")
        if not phone.world.launch(target):
            await io.error(b"Error: Activity class does not exist.\n")
            return 1
    elif verb == "force-stop":
        phone.world.stop(words[-1])
    elif verb == "broadcast":
        await _say(io, "Broadcasting: Intent {}\nBroadcast completed: result=0")
    else:
        await io.error(f"Unknown command: {verb}\n".encode())
        return 255
    return 0


async def pm(io: Io, phone: Phone) -> int:
    """`pm list packages [-U] [-3] [NAME]`, `pm path NAME`, `pm install [-S BYTES] [PATH]` and `pm uninstall NAME`."""
    await phone.delay("pm")
    words = io.argv[1:]
    if words[:1] == ["install"]:
        return await _install(io, phone, words[1:])
    if words[:1] == ["uninstall"]:
        await _say(io, "Failure [DELETE_FAILED_INTERNAL_ERROR]")
        return 1
    if words[:2] == ["list", "packages"]:
        part = next((w for w in words[2:] if not w.startswith("-")), "")
        for name, uid in PACKAGES.items():
            if part in name and ("-3" not in words or name == PACKAGE):
                await _say(io, f"package:{name}" + (f" uid:{uid}" if "-U" in words else ""))
        return 0
    if words[:1] == ["path"] and words[-1] in PACKAGES:
        await _say(io, f"package:/data/app/{words[-1]}/base.apk")
        return 0
    return 1


async def _install(io: Io, phone: Phone, words: list[str]) -> int:
    """Takes any APK, from a file or (`-S`) from standard input, and keeps none: this phone has one app."""
    if "-S" in words[:-1] and words[words.index("-S") + 1].isdigit():
        left = int(words[words.index("-S") + 1])
        start = b""
        while left and (data := await io.read(min(left, INSTALL_CHUNK))):
            start = start or data
            left -= len(data)
        path = "base.apk"
    else:
        left, path = 0, words[-1] if words else ""
        try:
            start = phone.files.read(path)
        except OSError:
            await io.error(f"Error: Unable to open file: {path}\n".encode())
            return 1
    if left or not start.startswith(ZIP):
        await _say(io, f"Failure [INSTALL_PARSE_FAILED_NOT_APK: Failed to parse {path}]")
        return 1
    await _say(io, "Success")
    return 0


async def cmd(io: Io, phone: Phone) -> int:
    """`cmd package ...` = `pm ...`, `cmd activity ...` = `am ...`."""
    tools = {"package": pm, "activity": am, "settings": settings}
    tool = tools.get(io.argv[1]) if len(io.argv) > 1 else None
    if tool is None:
        await io.error(f"cmd: Can't find service: {' '.join(io.argv[1:2])}\n".encode())
        return 20
    io.argv = io.argv[1:]
    return await tool(io, phone)


async def settings(io: Io, phone: Phone) -> int:
    """`settings get|put|delete NAMESPACE KEY [VALUE]`, `settings list NAMESPACE`."""
    await phone.delay("settings")
    verb, namespace, key, value = [*io.argv[1:], "", "", "", ""][:4]
    if verb == "get":
        await _say(io, phone.settings.get((namespace, key), "null"))
    elif verb == "list":
        for (where, name), kept in sorted(phone.settings.items()):
            if where == namespace:
                await _say(io, f"{name}={kept}")
    elif verb == "put":
        phone.settings[(namespace, key)] = value
    elif verb == "delete":
        found = phone.settings.pop((namespace, key), None)
        await _say(io, f"Deleted {int(found is not None)} rows")
    return 0


async def monkey(io: Io, phone: Phone) -> int:
    """`monkey -p PACKAGE ... 1`: launches the app."""
    words = io.argv[1:]
    package = words[words.index("-p") + 1] if "-p" in words[:-1] else ""
    if not phone.world.launch(package):
        await _say(io, "** No activities found to run, monkey aborted.")
        return 252
    await _say(io, "Events injected: 1")
    return 0


async def input_(io: Io, phone: Phone) -> int:
    """`input tap|swipe|draganddrop|text|keyevent`: injected, so `getevent` does not show it."""
    await phone.delay("input")
    words = [w for w in io.argv[1:] if w not in ("touchscreen", "keyboard")]
    verb, arguments = (words[0], words[1:]) if words else ("", [])
    world = phone.world
    try:
        if verb == "tap":
            x, y = map(float, arguments[:2])
            world.touch("down", 0, x, y)
            world.touch("up", 0, x, y)
        elif verb in ("swipe", "draganddrop"):
            x1, y1, x2, y2 = map(float, arguments[:4])
            seconds = float(arguments[4]) / 1000 if len(arguments) > 4 else 0.3
            steps = max(1, round(seconds / TOUCH_STEP))
            world.touch("down", 0, x1, y1)
            for step in range(1, steps + 1):
                await asyncio.sleep(seconds / steps)
                world.touch("move", 0, x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps)
            world.touch("up", 0, x2, y2)
        elif verb == "text":
            world.type_text(" ".join(arguments).replace("%s", " "))
        elif verb == "keyevent":
            names = {"KEYCODE_HOME": 3, "HOME": 3, "KEYCODE_BACK": 4, "BACK": 4, "KEYCODE_ENTER": 66, "KEYCODE_DEL": 67}
            for word in arguments:
                world.key(names.get(word) or int(word))
        else:
            await io.error(f"Error: Unknown command: {verb}\n".encode())
            return 255
    except (ValueError, OverflowError):
        await io.error(f"Error: Invalid arguments for command: {verb}\n".encode())
        return 255
    return 0

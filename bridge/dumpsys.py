"""What `dumpsys`, `wm`, `pm` and `getprop` print on Android 8 to 15. Pure; patterns, never positions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.types import Condition, DisplayInfo, Rotation, Size

_COMPONENT = r"u(?P<user>\d{1,4}) (?P<package>[A-Za-z_][\w.]*)/(?P<activity>[\w.$]+)"
# mCurrentFocus=Window{41b3 u0 com.app/com.app.Main}; `null` between two windows; one line per display from Android 10.
_FOCUS = re.compile(rf"mCurrentFocus=Window\{{\S+ {_COMPONENT}\}}")
# mFocusedApp=ActivityRecord{1a u0 com.app/.Main t7}; before Android 10 inside AppWindowToken{... Token{... }}.
_APP = re.compile(rf"mFocusedApp=.*?ActivityRecord\{{\S+ {_COMPONENT}[ }}]")
_RESUMED = re.compile(
    rf"(?:mResumedActivity|topResumedActivity|ResumedActivity)[=:] ?ActivityRecord\{{\S+ {_COMPONENT}[ }}]"
)
_SHOWN = re.compile(r"\bmInputShown=(true|false)")
_VIEW_SHOWN = re.compile(r"\bmIsInputViewShown=(true|false)")
_ROTATIONS = (
    re.compile(r"\bmCurrentRotation=(?:ROTATION_)?(\d+)"),
    re.compile(r"\bmRotation=(?:ROTATION_)?(\d+)"),
    re.compile(r"\bDisplayFrames w=\d+ h=\d+ r=(\d+)"),
    re.compile(r"\bDisplayInfo\{.*?\brotation (\d+)"),
    re.compile(r"\bSurfaceOrientation: (\d+)"),
)
_THEN = re.compile(r"^WINDOW MANAGER LAST ANR\b", re.MULTILINE)
_NOW = re.compile(r"^WINDOW MANAGER POLICY STATE\b", re.MULTILINE)
_DISPLAY = re.compile(r"^ *Display: mDisplayId=(\d{1,10})\b", re.MULTILINE)
# A logical display's own line: what the hardware is, and what the window manager makes of it.
_BASE = re.compile(r'mBaseDisplayInfo=DisplayInfo\{"(?P<name>[^"]*)"(?P<facts>[^\n]*)')
_OVERRIDE = re.compile(r'mOverrideDisplayInfo=DisplayInfo\{"[^"]*"(?P<facts>[^\n]*)')
_LOGICAL = re.compile(r"^ *(?:Display (\d{1,10}):|mDisplayId=(\d{1,10})) *$", re.MULTILINE)
_REAL = re.compile(r"\breal (\d{1,5}) x (\d{1,5})")
_TURN = re.compile(r"\brotation (\d+)")
_DPI = re.compile(r"\bdensity (\d{1,5})")
_PHYSICAL = re.compile(r"^Display (\d+) \(", re.MULTILINE)
_UNIQUE = re.compile(r'\buniqueId "local:(\d+)"')
_STATE = re.compile(r"\bstate (\w+)")
_HUB_DEVICE = re.compile(r"^ +(-?\d{1,10}): ")
_PATH = re.compile(r"^ +Path: (/dev/\S+)")
_READER_DEVICE = re.compile(r"^ +Device (-?\d{1,10}): ")
_MADE_OF = re.compile(r"^ +EventHub Devices: \[((?: +-?\d{1,10})+) *\]")
_VIEWPORT = re.compile(r"^ +Viewport\b.*?\bdisplayId=(-?\d{1,10})\b")
_AWAKE = re.compile(
    r"\bmAwake=(?P<awake>true|false)|\bmScreenOnFully=(?P<fully>true|false)|\bscreenState=SCREEN_STATE_(?P<state>\w+)"
)
# Newer layouts print degrees (ROTATION_90), older ones quarter turns.
_TURNS: dict[str, Rotation] = {"0": 0, "1": 1, "90": 1, "2": 2, "180": 2, "3": 3, "270": 3}
_SIZE = re.compile(r"(Physical|Override) size: (\d{1,5})x(\d{1,5})")
# init=1080x2400 420dpi base=720x1600 280dpi cur=1600x720 app=...; `cur` follows overrides, folds and turns.
_CURRENT = re.compile(r"\bcur=(\d{1,5})x(\d{1,5})\b")
_DENSITY = re.compile(r"(Physical|Override) density: (\d{1,5})")
# What the developer options set, up to 10 (AOSP Settings.Global).
ANIMATIONS = "window_animation_scale", "transition_animation_scale", "animator_duration_scale"
MAX_SCALE = 20.0
_SCALE = re.compile(r"^(\w+_scale)=(\d{1,4}(?:\.\d{1,9})?)\s*$", re.MULTILINE | re.ASCII)
_SERVICES = re.compile(r"^enabled_accessibility_services=(\S+)\s*$", re.MULTILINE)
_NUMBER = re.compile(r"\d{1,9}")
_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*?)\]\r?$", re.MULTILINE | re.DOTALL)
_BATTERY = re.compile(r"^ +(level|scale|temperature): (-?\d{1,9})\r?$", re.MULTILINE)
# /dev/block/dm-5 112000000 40000000 72000000 36% /data; a long name may end its line before the numbers.
_FREE = re.compile(r"\s\d+\s+\d+\s+(\d{1,15})\s+\d{1,3}%\s+/\S*")
_LISTED = re.compile(r"^package:(\S+) uid:(\d{1,10})\b", re.MULTILINE)
_USER_ID = re.compile(r"^\s+(?:userId|appId)=(\d{1,10})\b", re.MULTILINE)


def condition(battery: str, disk: str) -> Condition:
    """From `dumpsys battery` (its temperature is in tenths of a degree) and `df -k /data`."""
    # The first of a name counts: what vendors add comes after.
    told = {name: int(value) for name, value in reversed(_BATTERY.findall(battery))}
    level, scale, tenths = told.get("level"), told.get("scale", 100), told.get("temperature")
    free = _FREE.search(disk)
    return Condition(
        None if level is None or level < 0 or scale <= 0 else min(100, level * 100 // scale),
        None if tenths is None else tenths / 10,
        int(free[1]) * 1024 if free else None,
    )


@dataclass(frozen=True, slots=True)
class Front:
    """What is in front, and of which of the phone's users: empty strings and None when nothing is (between two windows,
    locked screen)."""

    package: str = ""
    activity: str = ""
    user: int | None = None


def current(window: str) -> str:
    """What `dumpsys window` says of now. For two hours after an app did not answer it begins with a copy of all windows
    as they were then, which holds no part of the policy's (WindowManagerService: dumpLastANRLocked,
    LAST_ANR_LIFETIME_DURATION_MSECS)."""
    then, now = _THEN.search(window), _NOW.search(window)
    return window[now.start() :] if then is not None and now is not None and then.start() < now.start() else window


def display_part(window: str, display: int) -> str:
    """What `dumpsys window` says of one display, "" where it knows none of that number. Displays that came later come
    first, as those of a mirror do (RootWindowContainer: POSITION_BOTTOM).

    Of the default one old layouts tell all over: what is its own stands first in that.
    """
    parts = [(int(head[1]), part) for head, part in _parts(_DISPLAY, window)]
    own = next((part for number, part in parts if number == display), "")
    if display != 0 or (len(parts) > 1 and "mCurrentFocus=" in own):
        return own
    return own + window if len(parts) > 1 else window


def displays(display: str) -> tuple[DisplayInfo, ...]:
    """The logical displays from `dumpsys display`, by their numbers. A layout that is not known gives none, and one
    without a size, or with one that no screen has, is none."""
    found: dict[int, DisplayInfo] = {}
    for head, part in _parts(_LOGICAL, display):
        base, override = _BASE.search(part), _OVERRIDE.search(part)
        real = _sides(_REAL.search(base["facts"])) if base else None
        if base is None or real is None:
            continue
        facts, now = base["facts"], override["facts"] if override else base["facts"]
        turn, dpi, unique, state = (
            p.search(f) for p, f in ((_TURN, now), (_DPI, now), (_UNIQUE, facts), (_STATE, facts))
        )
        number = int(head[1] or head[2])
        found.setdefault(
            number,
            DisplayInfo(
                number,
                base["name"],
                real,
                _TURNS.get(turn[1], 0) if turn else 0,
                int(dpi[1]) if dpi else 160,
                unique[1] if unique else "",
                state is None or state[1] == "ON",
            ),
        )
    return tuple(found[number] for number in sorted(found))


def physical(flinger: str) -> tuple[str, ...]:
    """What `dumpsys SurfaceFlinger --display-id` calls the physical displays."""
    return tuple(_PHYSICAL.findall(flinger))


def touch_displays(input: str) -> dict[str, int]:
    """Which display each input device belongs to, by its path, from `dumpsys input`; -1 = to none at the moment.

    From Android 11 on the reader gives devices numbers of its own, and says which of the hub's each is made of
    (InputReader: `EventHub Devices: [ 5 ]`); before, both used the same.
    """
    paths: dict[int, str] = {}
    found: dict[str, int] = {}
    at: list[int] = []
    reading = False
    for line in input.splitlines():
        reading = reading or line.startswith("Input Reader State")
        if not reading and (hub := _HUB_DEVICE.match(line)) is not None:
            at = [int(hub[1])]
        elif (path := _PATH.match(line)) is not None:
            paths |= dict.fromkeys(at, path[1])
        elif (device := _READER_DEVICE.match(line)) is not None:
            at = [int(device[1])]
        elif (made_of := _MADE_OF.match(line)) is not None:
            at = [int(number) for number in made_of[1].split()]
        elif (viewport := _VIEWPORT.match(line)) is not None:
            found |= {paths[number]: int(viewport[1]) for number in at if number in paths}
    return found


def front(window: str) -> Front:
    """The focused window's component from `dumpsys window`, else the focused or resumed app's.

    A window without a component (popup, notification shade) has the focus for a moment only; the app stays in front.
    """
    for pattern in (_FOCUS, _APP, _RESUMED):
        found = pattern.search(window)
        if found:
            package, activity = found["package"], found["activity"]
            return Front(package, package + activity if activity.startswith(".") else activity, user=int(found["user"]))
    return Front()


def rotation(window: str) -> Rotation | None:
    """The display's rotation from `dumpsys window` or `dumpsys input`, in quarter turns; None when it is not said."""
    for pattern in _ROTATIONS:
        found = pattern.search(window)
        if found:
            return _TURNS.get(found[1])
    return None


def awake(window: str) -> bool | None:
    """Whether the screen is on, from the policy part of `dumpsys window`; None when it is not said."""
    found = _AWAKE.search(window)
    if found is None:
        return None
    return found["state"] in ("ON", "TURNING_ON") if found["state"] else (found["awake"] or found["fully"]) == "true"


def keyboard_shown(input_method: str) -> bool:
    """Whether `dumpsys input_method` says that the keyboard is on the screen: asked for, and with a view. Those of test
    runners have none."""
    told = [found[1] for pattern in (_SHOWN, _VIEW_SHOWN) if (found := pattern.search(input_method)) is not None]
    return bool(told) and set(told) == {"true"}


def size(text: str) -> Size | None:
    """The natural screen size from `wm size`; an override wins. None when there is none, or one that no screen
    has."""
    found = {said[1]: _sides(said, 2) for said in _SIZE.finditer(text)}
    return found["Override"] if "Override" in found else found.get("Physical")


def shown_size(window: str) -> Size | None:
    """The size of a display as it is turned now, from what `dumpsys window` says of it first. None when it is not said,
    or is one that no screen has: it is 0x0 while the display is being configured."""
    return _sides(_CURRENT.search(window))


def density(text: str) -> int | None:
    """The density in dpi from `wm density`; an override wins. None when there is none."""
    found = {kind: int(value) for kind, value in _DENSITY.findall(text)}
    return found.get("Override") or found.get("Physical") or None


def number(text: str) -> int | None:
    """A whole number of up to nine digits, as a property holds one; None for any other words."""
    return int(text) if _NUMBER.fullmatch(text) else None


def animations(text: str) -> float:
    """The greatest of the scales in `settings list global`, up to MAX_SCALE; one that is not set is 1."""
    told = {found[1]: min(float(found[2]), MAX_SCALE) for found in _SCALE.finditer(text)}
    return max(told.get(name, 1.0) for name in ANIMATIONS)


def services(text: str) -> tuple[str, ...]:
    """The packages in `enabled_accessibility_services` of `settings list secure`, a list of `package/class`."""
    found = _SERVICES.search(text)
    names = found[1].split(":") if found else []
    return tuple(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


def properties(text: str) -> dict[str, str]:
    """The system properties from `getprop`; values may hold newlines."""
    return dict(_PROPERTY.findall(text))


def listed_uid(listing: str, package: str) -> int | None:
    """The uid from `pm list packages -U NAME`, which lists every package that contains the name."""
    return {name: int(uid) for name, uid in _LISTED.findall(listing)}.get(package)


def package_uid(dump: str, package: str) -> int | None:
    """The uid from `dumpsys package NAME`; None when it does not describe the package."""
    start = dump.find(f"Package [{package}]")
    found = _USER_ID.search(dump, start) if start >= 0 else None
    return int(found[1]) if found else None


def _sides(found: re.Match[str] | None, at: int = 1) -> Size | None:
    """The size in two groups of a match from `at` on; None when no screen has it."""
    size = Size(int(found[at]), int(found[at + 1])) if found else None
    return size if size and size.possible else None


def _parts(head: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """What begins with each `head`, up to the next one."""
    heads = list(head.finditer(text))
    ends = [found.start() for found in heads[1:]] + [len(text)]
    for found, end in zip(heads, ends, strict=False):
        yield found, text[found.start() : end]

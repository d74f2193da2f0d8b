"""The programs of an emulated device: what its shell can run beside its tools."""

from __future__ import annotations

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io, Program
from bridge.emulated.programs.getevent import getevent
from bridge.emulated.programs.logcat import log, logcat
from bridge.emulated.programs.scrcpy import MAIN, scrcpy
from bridge.emulated.programs.screencap import screencap
from bridge.emulated.programs.screenrecord import screenrecord
from bridge.emulated.programs.services import am, cmd, dumpsys, input_, monkey, pm, settings, wm
from bridge.emulated.programs.uiautomator import app_process


async def _app_process(io: Io, phone: Phone) -> int:
    """Java programs by the name of their class."""
    return await (scrcpy if MAIN in io.argv else app_process)(io, phone)


PROGRAMS: dict[str, Program] = {
    "am": am,
    "app_process": _app_process,
    "cmd": cmd,
    "dumpsys": dumpsys,
    "getevent": getevent,
    "input": input_,
    "log": log,
    "logcat": logcat,
    "monkey": monkey,
    "pm": pm,
    "screencap": screencap,
    "screenrecord": screenrecord,
    "settings": settings,
    "wm": wm,
}

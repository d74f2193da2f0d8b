"""`getevent`: the touch panels' events (protocol B) of human fingers; injected touches do not appear here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.emulated.displays import Panel, panels, shown
from bridge.emulated.phone import Phone
from bridge.emulated.program import Io
from bridge.emulated.world.world import World

BATCH_SECONDS = 0.005


async def getevent(io: Io, phone: Phone) -> int:
    """`-p` describes the panels, `-lt` follows all or the one that is named, with labels and CLOCK_MONOTONIC stamps."""
    flags = {letter for word in io.argv[1:] if word.startswith("-") for letter in word[1:]}
    if "p" in flags:
        for number, panel in enumerate(panels(phone), 1):
            await io.write(_described(number, panel, *phone.profile.panel))
        return 0
    lines: list[str] = []
    arrived = asyncio.Event()
    only = next((word for word in io.argv[1:] if word.startswith("/dev/")), None)
    started = 0

    def follow(number: int, world: World) -> Callable[[str, int, float, float], None]:
        tracking: dict[int, int] = {}

        def touched(kind: str, pointer: int, x: float, y: float) -> None:
            nonlocal started
            panel = next((panel for panel in shown(phone) if panel.number == number), None)
            if panel is None or only not in (None, panel.input):
                return
            events: list[tuple[str, str, str]] = [("EV_ABS", "ABS_MT_SLOT", f"{pointer:08x}")]
            if kind == "down":
                started += 1
                tracking[pointer] = started
                events.append(("EV_ABS", "ABS_MT_TRACKING_ID", f"{started:08x}"))
                if len(tracking) == 1:
                    events.append(("EV_KEY", "BTN_TOUCH", "DOWN"))
            if kind in ("down", "move"):
                px, py = _raw(panel, world, phone.profile.panel, x, y)
                events += [("EV_ABS", "ABS_MT_POSITION_X", f"{px:08x}"), ("EV_ABS", "ABS_MT_POSITION_Y", f"{py:08x}")]
            else:
                tracking.pop(pointer, None)
                events.append(("EV_ABS", "ABS_MT_TRACKING_ID", "ffffffff"))
                if not tracking:
                    events.append(("EV_KEY", "BTN_TOUCH", "UP"))
            events.append(("EV_SYN", "SYN_REPORT", "00000000"))
            seconds, rest = divmod(phone.clock.mono_ns(), 1_000_000_000)
            for type_, code, value in events:
                where = f"{panel.input}: " if only is None else ""
                lines.append(f"[{seconds:8d}.{rest // 1000:06d}] {where}{type_:<12} {code:<20} {value:<20}\n")
            arrived.set()

        return touched

    followed = [(panel.world, follow(panel.number, panel.world)) for panel in shown(phone) if panel.world is not None]
    for world, touched in followed:
        world.on_touch.append(touched)
    try:
        while not io.hangup.is_set():
            await arrived.wait()
            await asyncio.sleep(BATCH_SECONDS)
            arrived.clear()
            batch, lines[:] = "".join(lines), []
            await io.write(batch.encode())
    finally:
        for world, touched in followed:
            world.on_touch.remove(touched)
    return 0


def _described(number: int, panel: Panel, max_x: int, max_y: int) -> bytes:
    name = "touchscreen" if number == 1 else f"touchscreen{number}"
    return (
        f'add device {number}: {panel.input}\n  name:     "{name}"\n  events:\n'
        f"    KEY (0001): BTN_TOUCH\n"
        f"    ABS (0003): ABS_MT_SLOT           : value 0, min 0, max 9, fuzz 0, flat 0, resolution 0\n"
        f"                ABS_MT_POSITION_X     : value 0, min 0, max {max_x}, fuzz 0, flat 0, resolution 0\n"
        f"                ABS_MT_POSITION_Y     : value 0, min 0, max {max_y}, fuzz 0, flat 0, resolution 0\n"
        f"                ABS_MT_TRACKING_ID    : value 0, min 0, max 65535, fuzz 0, flat 0, resolution 0\n"
        f"  input props:\n    INPUT_PROP_DIRECT\n"
    ).encode()


def _raw(panel: Panel, world: World, maxima: tuple[int, int], x: float, y: float) -> tuple[int, int]:
    """Screen pixels of the current rotation to panel units of the natural orientation."""
    width, height = panel.size.width, panel.size.height
    natural = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[world.rotation]
    max_x, max_y = maxima
    px = round(natural[0] * (max_x + 1) / width)
    py = round(natural[1] * (max_y + 1) / height)
    return min(max(px, 0), max_x), min(max(py, 0), max_y)

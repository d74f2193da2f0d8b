"""The user of the emulated phone: scenarios as lists of steps, done by fingers on the glass."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from bridge.emulated.world.faulty import FAULTY
from bridge.emulated.world.hazards import HAZARDS

if TYPE_CHECKING:
    from bridge.emulated.world.world import World

EMAIL, PASSWORD = "nora@quill.example", "Heron-77-Mq"
CARD, CVC, ADDRESS = "4539578763621486", "7319", "18 Lantern Quay"
SECRETS = (EMAIL, PASSWORD, CARD, CVC, ADDRESS)

_LOGIN = (
    "wait 0.4", "launch", "wait 1.2", "tap permission", "wait 0.5", "tap email", f"type {EMAIL}", "tap password",
    f"type {PASSWORD}", "tap key:done", "wait 0.2", "tap signin",
)  # fmt: skip
_BUY = (
    "wait 0.7", "fling", "wait 0.8", "tap product:4", "wait 0.6", "tap picture", "wait 0.3", "tap add", "wait 0.3",
    "tap go:cart", "wait 0.5", "tap go:checkout", "wait 0.3", "tap card-number", f"type {CARD}", "tap card-cvc",
    f"type {CVC}",
    "tap address", f"type {ADDRESS}", "tap key:done", "wait 0.4", "tap pay", "wait 0.9", "tap approve", "wait 0.7",
)  # fmt: skip
_LEAVE = ("tap go:list", "wait 0.3", "tap go:account", "wait 0.4", "tap logout")
_BROWSE = (
    "wait 0.8",
    "fling",
    "wait 1",
    "tap product:2",
    "wait 0.8",
    "tap add",
    "wait 0.8",
    "tap go:cart",
    "wait 1",
    "back",
)
# A customer of many hours; the pauses let one host play many of them.
_ERRANDS = (
    *_LOGIN, *_BUY, *_LEAVE, "wait 8", *_BROWSE, "rotate 1", "wait 4", "rotate 0", *_BROWSE, "home", "wait 6", "launch",
    "wait 12", "stop", "wait 2",
) * 500  # fmt: skip
# Again and again from the app's start, so that whoever comes to listen hears one.
_TRY = (
    "wait 0.3", "launch", "wait 1", "tap permission", "wait 0.3", "tap signin", "wait 0.5", "tap product:2", "wait 6",
    "stop", "wait 1",
) * 60  # fmt: skip

SCENARIOS: dict[str, tuple[str, ...]] = {
    "shop": (
        *_LOGIN,
        *_BUY,
        *_LEAVE,
        *_BROWSE,
        "notify Dr. Vale: your results are ready",
        "wait 1.5",
        "notify",
        *_BROWSE,
        *_BROWSE,
    ),
    "idle": ("launch", "wait 1.2", "tap permission"),
    "login": _LOGIN,
    "scroll": (*_LOGIN, *(("wait 0.3", "fling", "wait 0.3", "fling back") * 1000)),
    "rotate": (*_LOGIN, *(("wait 1.5", "rotate 1", "wait 1.5", "rotate 0") * 10)),
    "crash": (*_LOGIN, "wait 1", "crash", "wait 1.5", "launch", *_BROWSE),
    "background": (*_LOGIN, "wait 1", "home", "wait 0.5", "sleep 301", "launch", *_BROWSE),
    "errands": _ERRANDS,
    # An app with nothing to find fault with, and one for each rule of the instrumentation doctor.
    "instrumented": _TRY,
    **dict.fromkeys(FAULTY, _TRY),
    # Screens on which a recorder leaks easily.
    **HAZARDS,
}


class Autopilot:
    """Does a scenario's steps one after the other, with a person's small delays."""

    def __init__(self, world: World, steps: tuple[str, ...], seed: int) -> None:
        self._world = world
        self._rng = random.Random(seed * 7919 + 5)
        self._steps = list(reversed(steps))
        self._moves: list[tuple[int, str, float, float]] = []
        self._rest = 0.12
        self.due_ns: int | None = 0

    def tick(self, now_ns: int) -> None:
        """Do what is due."""
        if self.due_ns is None or now_ns < self.due_ns:
            return
        if self._moves:
            _, kind, x, y = self._moves.pop(0)
            self._world.touch(kind, 0, x, y, injected=False)
            self.due_ns = self._moves[0][0] if self._moves else now_ns + self._delay(self._rest)
            return
        if not self._steps:
            self.due_ns = None
            return
        self._step(self._steps.pop(), now_ns)

    def _step(self, step: str, now: int) -> None:
        name, _, value = step.partition(" ")
        self.due_ns = now + self._delay(0.08)
        if name == "wait":
            self.due_ns = now + int(float(value) * 1e9)
        elif name == "launch":
            self._world.act("launch")
        elif name == "home":
            self._world.key(3)
        elif name == "back":
            self._world.key(4)
        elif name == "rotate":
            self._world.rotate(1 if value == "1" else 0)
        elif name == "crash":
            self._world.crash()
        elif name == "stop":
            self._world.stop(self._world.foreground[0])
        elif name == "notify":
            self._world.notify(value)
        elif name == "sleep":
            self._world.skip(float(value))
        elif name == "tap":
            self._tap(value, now)
        elif name == "type":
            self._steps.extend(f"press {character}" for character in reversed(value))
        elif name == "press":
            if self._world.find(f"key:{value}") is not None:
                self._tap(f"key:{value}", now, hold=0.03)
            else:
                self._world.act(f"key:{value}")
        elif name == "do":
            self._world.act(value)
        elif name == "drag":
            self._drag(value, now)
        elif name == "fling":
            self._fling(now, -1 if value == "back" else 1)

    def _tap(self, target: str, now: int, hold: float = 0.08) -> None:
        bounds = self._world.find(target)
        if bounds is None:
            return
        x = bounds.left + bounds.width * self._rng.uniform(0.35, 0.65)
        y = bounds.top + bounds.height * self._rng.uniform(0.35, 0.65)
        self._rest = hold
        self._moves = [(now, "down", x, y), (now + int(hold * 1e9), "up", x, y)]
        self.due_ns = now

    def _fling(self, now: int, way: int) -> None:
        size = self._world.size
        x, span = size.width * 0.5, size.height * 0.3
        start = size.height * (0.7 if way > 0 else 0.35)
        steps = 8
        for index in range(steps + 1):
            kind = "down" if index == 0 else "up" if index == steps else "move"
            self._moves.append((now + index * 20_000_000, kind, x, start - way * span * index / steps))
        self.due_ns = now

    def _drag(self, what: str, now: int) -> None:
        """`NAME DX DY HOLD`: a finger comes down on a view, below it (`NAME:below`), or at a side or the foot of the
        screen, holds for so many seconds and goes so many dp."""
        target, dx, dy, hold = what.split()
        target, _, below = target.partition(":")
        size, scale = self._world.size, self._world.scale
        places = {
            "foot": (size.width * 0.5, size.height - 8 * scale),
            "left": (6 * scale, size.height * 0.5),
            "right": (size.width - 6 * scale, size.height * 0.5),
        }
        bounds = self._world.find(target)
        if target in places:
            x, y = places[target]
        elif bounds is not None:
            x = bounds.left + bounds.width * 0.5
            y = bounds.bottom + 24 * scale if below else bounds.top + bounds.height * 0.5
        else:
            return
        steps, after = 16, now + int(float(hold) * 1e9)
        self._moves = [(now, "down", x, y)]
        for index in range(1, steps + 1):
            far = index / steps * scale
            self._moves.append((after + index * 30_000_000, "move", x + float(dx) * far, y + float(dy) * far))
        self._moves.append((after + 900_000_000, "up", x + float(dx) * scale, y + float(dy) * scale))
        self.due_ns = now

    def _delay(self, seconds: float) -> int:
        return int(seconds * self._rng.uniform(0.7, 1.4) * 1e9)

"""A scripted session on the emulated shop, recorded on virtual time, with the truth of what was touched."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fakes.leaks import SERIAL, Handset, Trees, _Over

from agent.model import SealedSegment, Snapshot
from agent.runtime.capture import CaptureLoop
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Settings
from agent.store.recording import Recording
from bridge.emulated.world import shop
from bridge.emulated.world.autopilot import Autopilot
from bridge.emulated.world.views import View, place
from bridge.types import Bounds, Gap, Hierarchy, Size

LOGIN = (
    "launch", "wait 1.5", "tap permission", "wait 1", "tap email", "type nora@quill.example", "tap password",
    "type Heron-77-Mq", "tap key:done", "wait 0.8", "tap signin", "wait 1",
)  # fmt: skip
# Twenty things to touch in the app, in two sessions, with typing and a secure window in between.
TWENTY = (
    *LOGIN, "tap product:1", "wait 1", "tap picture", "wait 1", "tap picture", "wait 1", "tap add", "wait 1",
    "tap go:cart", "wait 1", "tap go:checkout", "wait 1", "tap card-number", "type 4539578763621486", "tap card-cvc",
    "type 731", "tap address", "type 18 Lantern Quay", "tap key:done", "wait 1", "tap pay", "wait 1.2", "tap approve",
    "wait 1", "tap go:list", "wait 1", "fling", "wait 2.5", "tap go:account", "wait 1", "tap logout", "wait 1.5",
    "tap product:0", "wait 1", "tap add", "wait 1", "tap go:cart", "wait 2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Touched:
    """A view of the app that a finger came down on: where the world has it, its id and its description."""

    at_ms: int
    screen: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Session:
    """What was recorded, and what the world knows of it; `scrolls` are the flings."""

    recording: Recording
    touched: tuple[Touched, ...]
    segments: tuple[SealedSegment, ...]


def session(
    folder: Path, script: tuple[str, ...] = TWENTY, seconds: float = 60, seed: int = 1, trees: Trees = "prompt"
) -> Session:
    """Record a script into a folder."""
    phone = Handset("login", "medium", trees, "screencap", Size(360, 800), 160, seed)
    world = phone.world
    world._pilot = Autopilot(world, script, seed)
    touched: list[Touched] = []

    def note(kind: str, pointer: int, x: float, y: float) -> None:
        if kind == "down" and world.foreground[0] == shop.PACKAGE:
            view, window = _under(phone, x, y)
            if view is not None and window == shop.PACKAGE:
                touched.append(Touched(phone.now().wall_ms, world.truth()[-1].screen, view.res, view.desc))

    world.on_touch.append(note)
    settings = Settings()
    sealed: list[SealedSegment] = []
    stage = Stage(shop.PACKAGE, settings, sealed.append, DeviceStatus(SERIAL), phone.now)
    stage.attach(phone)  # type: ignore[arg-type]
    phone.stage = stage
    until = phone.ns + int(seconds * 1e9)

    def take() -> None:
        if phone.ns > until:
            raise _Over

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        stage.process([(item, loop.masked) if isinstance(item, Snapshot) else item])

    loop = CaptureLoop(phone, phone, phone, settings.capture, emit, wake=phone)  # type: ignore[arg-type]
    phone.loop = loop
    phone.on_capture = take
    with suppress(_Over):
        loop.run()
    stage.finish()
    recording = Recording.create(folder)
    for segment in sealed:
        recording.write(segment)
    return Session(recording, tuple(touched), tuple(sealed))


def _under(phone: Handset, x: float, y: float) -> tuple[View | None, str]:
    """The view that the world gives a tap to, and whose window it is in."""
    world = phone.world
    whole = Bounds(0, 0, world.size.width, world.size.height)
    for window in reversed(world.windows()):
        found: View | None = None
        inside = False
        for placed in place(window.root, world.scale, whole):
            if placed.bounds.contains(x, y):
                inside = inside or placed.view.look != "none"
                if placed.view.tap or placed.view.scrolls:
                    found = placed.view
        if inside or found is not None:
            return found, window.package
    return None, ""

"""A phone whose screen moves as a real one does: what is drawn and what the view tree tells are not the same."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from bridge.emulated.clock import DeviceClock
from bridge.emulated.logd import Record
from bridge.emulated.world import grip, hazards, paint, shop, system
from bridge.emulated.world.grip import Grip
from bridge.emulated.world.views import View, Window, dump, place
from bridge.emulated.world.world import FRAME_NS, World
from bridge.types import Bounds, Rotation, Size

MAX_SCENES = 256
# AOSP: activity transitions 300 to 450 ms, the keyboard's 200 to 285, a heads-up notification's 250 to 400.
SLIDE_S, KEYBOARD_S, NOTICE_S, TURN_S, SWITCH_S = 0.35, 0.25, 0.3, 0.4, 0.3
# AOSP android.view.animation and layout transitions: 300 ms.
FOLD_S = 0.3
# AOSP EdgeEffect.
ABSORB_S = 0.4
PREVIEW_NS = 70_000_000
PAGE_S, PAGE_MOVE_S = 1.6, 0.35
# How long after an app switch has begun to be drawn the tree still shows the app.
SWITCH_TREE_S = 0.06
_UNFOCUSED = frozenset((system.SYSTEMUI, system.INPUT))


@dataclass(frozen=True, slots=True)
class Scene:
    """The screen from `boot_ns` on: what is drawn and what the tree tells, lowest window first.

    `turned` is the picture from before a rotation, as long as it is still seen, and how much of it.
    """

    boot_ns: int
    size: Size
    rotation: Rotation
    drawn: tuple[Window, ...]
    told: tuple[Window, ...]
    secure: bool
    code: int
    turned: tuple[NDArray[np.uint8], float] | None = None


class LivelyWorld(World):
    """A World with animations, key previews, other apps and a carousel, for the scenarios of `hazards`.

    `marks` says which views are private: those are drawn in the colours of `paint.SECRET`, and nothing else has any of
    them. Without it everything is drawn in its own colours.
    """

    def __init__(
        self,
        clock: DeviceClock,
        size: Size,
        density: int,
        scenario: str,
        seed: int = 1,
        log: Callable[[Record], None] = lambda record: None,
        autopilot: bool = True,
        marks: paint.Marks | None = None,
    ) -> None:
        self._marks = marks
        self._scenes: deque[Scene] = deque(maxlen=MAX_SCENES)
        self._moving: dict[str, tuple[int, float]] = {}
        self._old: Window | None = None
        self._over = ""
        self._dialog = ""
        self._preview: tuple[str, tuple[float, float, float, float]] | None = None
        self._leaving: dict[str, Window] = {}
        self._turned: NDArray[np.uint8] | None = None
        self._grip: Grip | None = None
        self._float: tuple[float, float] | None = None
        self._frame_ns = 0
        self._page_ns = 0
        super().__init__(clock, size, density, scenario, seed, log, autopilot)

    @property
    def foreground(self) -> tuple[str, str]:
        if self._told_over():
            package = hazards.MAIL if self._over == "mail" else system.LAUNCHER
            return package, f"{package}.MainActivity"
        return super().foreground

    @property
    def animating(self) -> bool:
        return bool(self._moving) or super().animating

    def at(self, boot_ns: int) -> Scene:
        """The scene that was there at a boottime; the oldest that is known for one before that."""
        found = self._scenes[0]
        for scene in reversed(self._scenes):
            found = scene
            if scene.boot_ns <= boot_ns:
                break
        return found

    def picture(self, scene: Scene) -> NDArray[np.uint8]:
        """RGBA of a scene."""
        if scene.secure:
            black = np.zeros((scene.size.height, scene.size.width, 4), np.uint8)
            black[..., 3] = 255
            return black
        pixels = paint.screen(list(scene.drawn), scene.size, self.scale, scene.code, self._marks)
        if scene.turned is not None:
            old, share = scene.turned
            if old.shape == pixels.shape:
                pixels = (old * share + pixels * (1 - share)).astype(np.uint8)
        return pixels

    def tree(self, scene: Scene, only_active: bool = False) -> bytes:
        """The dump of a scene; `only_active` leaves out all windows but the one with the focus.

        In that an app's screen has the views that paint the ground of the system's bars, as most have on phones.
        """
        windows = list(scene.told)
        if only_active:
            width, height = scene.size.width / self.scale, scene.size.height / self.scale
            windows = [window for window in windows if window.package not in _UNFOCUSED][-1:]
            windows = [_grounded(window, width, height) for window in windows]
        screen = Bounds(0, 0, scene.size.width, scene.size.height)
        return dump(windows, self.scale, screen, scene.rotation)

    def pixels(self) -> NDArray[np.uint8]:
        if self._pixels is None:
            self._pixels = self.picture(self._scenes[-1])
        return self._pixels

    def dump_xml(self, max_depth: int = 50, only_active: bool = False) -> bytes:
        windows = self.windows()
        if only_active:
            windows = [window for window in windows if window.package not in _UNFOCUSED][-1:]
        return dump(windows, self.scale, self._screen(), self.rotation, max_depth, self.display)

    def windows(self) -> list[Window]:
        width, height = self._dp()
        if not self._told_over():
            shown = super().windows()
            if self._dialog and self._front == "app":
                make = hazards.accounts if self._dialog == "accounts" else hazards.coupon
                shown.append(make(width, height))
            if self._float is not None:
                shown.append(hazards.player(width, height, self._float))
            return shown
        cover = hazards.mail if self._over == "mail" else hazards.recents
        bars = [system.status_bar(width, self._clock_text()), system.navigation_bar(width, height)]
        return [cover(width, height), *bars]

    def drawn(self) -> list[Window]:
        """What is on the glass: the windows in motion where they are now, with what no tree tells."""
        width, height = self._dp()
        shown = self.windows()
        if self._over and not self._told_over():
            shown = [(hazards.mail if self._over == "mail" else hazards.recents)(width, height), *shown[-2:]]
        moved: list[Window] = []
        for window in shown:
            share = 1.0
            dx = dy = 0.0
            if window.package == system.INPUT:
                share = self._share("keyboard")
                dy = (1 - share) * (shop.KEYBOARD + shop.NAVIGATION)
            elif window.package == system.SYSTEMUI and "notification" in window.root.res:
                dy = -(1 - self._share("notice")) * 140
            elif window.package == hazards.ACCOUNTS or (window.package == shop.PACKAGE and window is not shown[0]):
                dy = (1 - self._share("dialog")) * 260
            elif window is shown[0] and self._over:
                dy = (1 - self._share("switch")) * height
            elif window is shown[0]:
                if "fold" in self._moving:
                    window = replace(window, root=self._folding(width, height))
                dx = (1 - self._share("slide")) * width
                if self._old is not None and dx:
                    moved.append(_shifted(self._old, -0.3 * (width - dx), 0))
            moved.append(_shifted(window, dx, dy))
        if self._over and self._share("switch") < 1 and self._old is not None:
            moved.insert(0, self._old)
        for name, window in self._leaving.items():
            share = self._share(name)
            way = {"keyboard": (0.0, share * 284), "notice": (0.0, -share * 140), "dialog": (0.0, share * 300)}[
                name.removesuffix("-out")
            ]
            moved.append(_shifted(window, *way))
        if self._grip is not None:
            moved = grip.drawn(self._grip, moved, self._dp(), self._clock.boot_ns(), _shifted)
        if "absorb" in self._moving:
            by = grip.STRETCH * (1 - self._share("absorb")) * (1 if self._state.scroll <= 0 else -1)
            moved = [
                replace(window, root=grip.stretched(window.root, by)) if window.package == shop.PACKAGE else window
                for window in moved
            ]
        if self._preview is not None:
            label, box = self._preview
            bubble = View(box, "android.widget.TextView", "key", "#ffffff", label, font=24, align="center")
            moved.append(Window(system.INPUT, bubble))
        return moved

    def tick(self) -> None:
        super().tick()
        now = self._clock.boot_ns()
        if self._moving and now >= self._frame_ns:
            self._frame_ns = now + FRAME_NS
            for name in [n for n, (since, seconds) in self._moving.items() if now - since >= seconds * 1e9]:
                del self._moving[name]
                self._leaving.pop(name, None)
                if name in ("slide", "switch"):
                    self._old = None
                if name == "turn":
                    self._turned = None
            self._loosen()
            self._changed()
        if self._grip is not None and not self._grip.loose and now >= self._frame_ns:
            # A magnifier comes up without the finger's moving.
            self._frame_ns = now + FRAME_NS
            if self._grip.kind == "text":
                self._changed()
        if self._front == "app" and self._state.screen == "carousel" and now >= self._page_ns:
            self._turn_page(now)

    def next_due_ns(self) -> int | None:
        times = [super().next_due_ns()]
        if self._moving or self._grip is not None:
            times.append(self._frame_ns)
        if self._front == "app" and self._state.screen == "carousel":
            times.append(self._page_ns)
        return min(time for time in times if time is not None)

    def touch(self, kind: str, pointer: int, x: float, y: float, injected: bool = True) -> None:
        if kind == "down" and self.keyboard_shown:
            self._press(x, y)
        if kind == "down" and not injected and pointer == 0:
            self._hold(x / self.scale, y / self.scale)
        held = self._grip if not injected and pointer == 0 else None
        if held is None or held.loose or held.kind == "list":
            super().touch(kind, pointer, x, y, injected)
        else:
            for callback in list(self.on_touch):
                callback(kind, pointer, x, y)
        if held is not None and not held.loose:
            self._drag(held, kind, x / self.scale, y / self.scale)
        if kind in ("up", "cancel") and self._preview is not None:
            self._later(PREVIEW_NS / 1e9, self._release)

    def _hold(self, x: float, y: float) -> None:
        over = self._front != "app" or self._over or self._dialog
        scroll, limit = self._state.scroll, self._scroll_range()
        held = None if over else grip.taken(self.windows(), x, y, self._dp(), scroll <= 0, scroll >= limit)
        self._moving.pop("grip", None)
        self._grip = held
        if held is not None:
            held.since_ns = self._frame_ns = self._clock.boot_ns()

    def _drag(self, held: Grip, kind: str, x: float, y: float) -> None:
        held.dx, held.dy = x - held.x, y - held.y
        if kind in ("up", "cancel"):
            held.dropped = held.dx, held.dy
            held.loose = True
            self._move("grip", held.seconds)
        self._changed()

    def _loosen(self) -> None:
        """What was let go is on its way back, or to a side of the screen, and its tree follows at the end."""
        held = self._grip
        if held is None or not held.loose:
            return
        held.share = 1 - self._share("grip")
        if held.kind == "window" and self._float is not None:
            width, height = self._dp()
            across, down = held.dropped
            left, top = self._float[0] + across, self._float[1] + down
            wide, high = hazards.FLOAT_DP
            end = (
                12.0 if left + wide / 2 < width / 2 else width - wide - 12.0,
                min(max(60.0, top), height - high - 60),
            )
            held.share = 1.0
            gone = self._share("grip")
            if "grip" not in self._moving:
                self._float = end
            else:
                held.dx, held.dy = across + (end[0] - left) * gone, down + (end[1] - top) * gone
        if "grip" not in self._moving:
            self._grip = None

    def _scroll_to(self, offset: float) -> None:
        limit = self._scroll_range()
        inside = 0 < self._state.scroll < limit
        super()._scroll_to(offset)
        if self._fling is not None and inside and not 0 < self._state.scroll < limit:
            # What is left of its speed stretches what it ran into.
            self._move("absorb", ABSORB_S)

    def act(self, action: str) -> None:
        name, _, value = action.partition(":")
        below = self.windows()[0]
        keyboard = self.windows() if self.keyboard_shown else []
        if name in ("recents", "mail"):
            self._over = name
            self._old = below
            self._move("switch", SWITCH_S)
        elif name == "back":
            if self._over:
                self._over = ""
                self._slide(below)
            self._dismiss()
        elif name in ("accounts", "coupon"):
            self._dialog = name
            self._move("dialog", KEYBOARD_S)
        elif name == "fill":
            self._state.typed.update({"card-number": hazards.TYPED[2], "card-cvc": "7319", "address": hazards.SEAT})
        elif name == "forget":
            self._state.typed.clear()
        elif name == "submit":
            self._submit()
        elif name == "fold":
            self._state.scroll = hazards.FOLD_DP - self._state.scroll
            self._move("fold", FOLD_S)
        elif name == "float":
            self._float = 12.0, 120.0
        elif name == "sink":
            self._float = None
        elif name == "show":
            # Leaves while the keyboard is up.
            self._go(value)
            self._slide(below)
        else:
            if name == "launch":
                self._over = ""
            screen, front = self._state.screen, self._front
            super().act(action)
            if name in ("go", "signin", "launch") and (screen, front) != (self._state.screen, self._front):
                self._slide(below)
        for window in keyboard:
            if window.package == system.INPUT and not self.keyboard_shown:
                self._leaving["keyboard-out"] = window
                self._move("keyboard-out", KEYBOARD_S)
        if self.keyboard_shown and not keyboard:
            self._move("keyboard", KEYBOARD_S)
        self._changed()

    def notify(self, words: str) -> None:
        card = [window for window in self.windows() if "notification" in window.root.res]
        if words:
            self._move("notice", NOTICE_S)
        elif card:
            self._leaving["notice-out"] = card[0]
            self._move("notice-out", NOTICE_S)
        super().notify(words)

    def rotate(self, rotation: Rotation) -> None:
        if (rotation - self.rotation) % 2:
            self._turned = np.ascontiguousarray(np.rot90(self.pixels()))
            self._move("turn", TURN_S)
        super().rotate(rotation)

    def _changed(self) -> None:
        super()._changed()
        turned = None
        if self._turned is not None:
            gone = self._share("turn")
            turned = self._turned, 1.0 if gone < 0.5 else max(0.0, 2 * (1 - gone))
        self._scenes.append(
            Scene(
                self._clock.boot_ns(), self.size, self.rotation, tuple(self.drawn()), tuple(self.windows()),
                self.secure and not self._over, self._code, turned,
            )
        )  # fmt: skip

    def _app_screen(self, width: float, height: float) -> View:
        return shop.screen(self._state, width, height, hazards.BODIES.get(self._state.screen))

    def _folding(self, width: float, height: float) -> View:
        """The app's screen while a card unfolds: the tree has it unfolded at once."""
        gone = 1 - self._share("fold")
        scroll = self._state.scroll + (hazards.FOLD_DP - 2 * self._state.scroll) * gone
        return shop.screen(replace(self._state, scroll=scroll), width, height, hazards.BODIES["folds"])

    def _scroll_range(self) -> float:
        if self._state.screen in hazards.BODIES:
            return hazards.scroll_range(self._state.screen, self.size.height / self.scale)
        return super()._scroll_range()

    def _dp(self) -> tuple[float, float]:
        return self.size.width / self.scale, self.size.height / self.scale

    def _told_over(self) -> bool:
        """Whether the tree has already noticed that another app is in front."""
        return bool(self._over) and self._age("switch") >= SWITCH_TREE_S

    def _move(self, name: str, seconds: float) -> None:
        now = self._clock.boot_ns()
        self._moving[name] = now, seconds
        self._frame_ns = now

    def _age(self, name: str) -> float:
        since, _ = self._moving.get(name, (0, 0.0))
        return (self._clock.boot_ns() - since) / 1e9

    def _share(self, name: str) -> float:
        """How far a movement is, eased; 1 for none."""
        if name not in self._moving:
            return 1.0
        left = 1 - min(1.0, self._age(name) / self._moving[name][1])
        return 1 - left * left

    def _windows_of(self, package: str) -> Window | None:
        return next((window for window in self.windows() if window.package == package), None)

    def _slide(self, old: Window) -> None:
        self._old = old
        self._dialog = ""
        self._page_ns = self._clock.boot_ns() + int(PAGE_S * 1e9)
        self._move("slide", SLIDE_S)

    def _dismiss(self) -> None:
        if self._dialog:
            self._leaving["dialog-out"] = self.windows()[-1]
            self._move("dialog-out", KEYBOARD_S)
            self._dialog = ""

    def _turn_page(self, now: int) -> None:
        """The carousel goes on: the pages' places in the tree move with the drawing."""
        page, part = divmod(self._state.scroll, 1)
        part += FRAME_NS / 1e9 / PAGE_MOVE_S
        if part >= 1:
            self._state.scroll, self._page_ns = (page + 1) % hazards.PAGES, now + int(PAGE_S * 1e9)
        elif page + 1 >= hazards.PAGES:
            self._state.scroll, self._page_ns = 0.0, now + int(PAGE_S * 1e9)
        else:
            self._state.scroll, self._page_ns = page + part, now + FRAME_NS
        self._changed()

    def _press(self, x: float, y: float) -> None:
        keys = self._windows_of(system.INPUT)
        for placed in place(keys.root, self.scale, self._screen()) if keys is not None else ():
            if placed.bounds.contains(x, y) and placed.view.tap.startswith("key:") and len(placed.view.text) == 1:
                left, top, right, _ = placed.view.box
                self._preview = placed.view.text, (left - 6, top - 62, right + 6, top - 2)
                self._changed()

    def _release(self) -> None:
        self._preview = None
        self._changed()

    def _submit(self) -> None:
        """A careless app: what was typed goes to its log, in every writing."""
        typed = dict(self._state.typed)
        text = json.dumps(typed)
        self._console(f"submit {text}")
        self._console(f"POST /form?{'&'.join(f'{name}={quote(value)}' for name, value in typed.items())}")
        self._console(f"body {json.dumps(text)}")
        for value in typed.values():
            self._console(f"blob {base64.b64encode(value.encode()).decode()}")
        self._analytics.track("Form Sent", {"form": self._state.screen, **typed})


def _grounded(window: Window, width: float, height: float) -> Window:
    if window.package != shop.PACKAGE or window.root.box[3] < height:
        return window
    grounds = (
        View((0, 0, width, shop.STATUS), res="android:id/statusBarBackground"),
        View((0, height - shop.NAVIGATION, width, height), res="android:id/navigationBarBackground"),
    )
    return replace(window, root=replace(window.root, children=[*window.root.children, *grounds]))


def _shifted(window: Window, dx: float, dy: float) -> Window:
    return replace(window, root=_moved(window.root, dx, dy)) if dx or dy else window


def _moved(view: View, dx: float, dy: float) -> View:
    left, top, right, bottom = view.box
    return replace(
        view,
        box=(left + dx, top + dy, right + dx, bottom + dy),
        children=[_moved(child, dx, dy) for child in view.children],
    )

"""What a finger takes along on the glass: it is drawn there at once, while the view tree stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from bridge.emulated.world import hazards, shop
from bridge.emulated.world.views import View, Window

Kind = Literal["home", "side", "window", "text", "list"]
# AOSP: the strips of gestures, 24 dp of each side and 32 dp at the foot of the screen; EdgeEffect's 3.2 per cent.
SIDE, FOOT = 24.0, 32.0
STRETCH, PULLED = 0.032, 150.0
# What is let go is back in its place after so long, and a magnifier gone.
BACK_S, SHUT_S, HELD_S = 0.3, 0.15, 0.25
SLOP, HANDLE = 8.0, 32.0


@dataclass(slots=True)
class Grip:
    """A finger that holds something, in dp: where it came down, how far it went since, and `share`, how much of that
    is still drawn. It let go at `dropped`."""

    kind: Kind
    x: float
    y: float
    since_ns: int
    view: View | None = None
    dx: float = 0.0
    dy: float = 0.0
    dropped: tuple[float, float] = (0.0, 0.0)
    loose: bool = False
    share: float = 1.0

    @property
    def seconds(self) -> float:
        """How long what was let go stays in motion."""
        return SHUT_S if self.kind == "text" else BACK_S

    @property
    def dragging(self) -> bool:
        return max(abs(self.dx), abs(self.dy)) > SLOP


def taken(windows: list[Window], x: float, y: float, size: tuple[float, float], top: bool, end: bool) -> Grip | None:
    """What a finger that comes down here takes hold of. `top` and `end` say whether the app's list is at either."""
    width, height = size
    if y >= height - FOOT:
        return Grip("home", x, y, 0)
    if x <= SIDE or x >= width - SIDE:
        return Grip("side", x, y, 0)
    for window in reversed(windows):
        if window.package == hazards.MAIL and _inside(window.root, x, y):
            return Grip("window", x, y, 0, window.root)
        if window.package != shop.PACKAGE and _inside(window.root, x, y):
            return None
    views = [view for window in windows if window.package == shop.PACKAGE for view in _all(window.root)]
    # By the text itself or by the handle that hangs below its line.
    field = next(
        (view for view in views if view.focused and (_inside(view, x, y) or _inside(view, x, y - HANDLE))), None
    )
    if field is not None:
        return Grip("text", x, y, 0, field)
    pane = next((view for view in views if view.scrolls and _inside(view, x, y)), None)
    return Grip("list", x, y, 0, pane) if pane is not None and (top or end) else None


def drawn(
    grip: Grip, windows: list[Window], size: tuple[float, float], now_ns: int, moved: Callable[..., Window]
) -> list[Window]:
    """The windows as they are drawn while `grip` holds; `moved` shifts one by so many dp."""
    width, height = size
    dx, dy = grip.dx * grip.share, grip.dy * grip.share
    if grip.kind == "home" and dy < -SLOP:
        return [hazards.recents(width, height), moved(windows[0], 0.2 * dx, 0.9 * dy), *windows[1:]]
    if grip.kind == "side" and abs(dx) > SLOP:
        return [hazards.mail(width, height), moved(windows[0], max(-60.0, min(60.0, 0.4 * dx)), 0), *windows[1:]]
    if grip.kind == "window":
        return [moved(window, dx, dy) if window.package == hazards.MAIL else window for window in windows]
    if grip.kind == "list":
        by = STRETCH * max(-1.0, min(1.0, dy / PULLED))
        return [replace(windows[0], root=stretched(windows[0].root, by)), *windows[1:]]
    if grip.kind == "text" and grip.view is not None and (grip.dragging or now_ns - grip.since_ns >= HELD_S * 1e9):
        return [*windows, _lens(grip, grip.view)]
    return windows


def stretched(root: View, by: float) -> View:
    """What scrolls drawn longer by this share, from its upper edge on, or for less than 0 from its lower one."""
    if not root.scrolls:
        return replace(root, children=[stretched(child, by) for child in root.children])
    fixed = root.box[1] if by > 0 else root.box[3]

    def longer(view: View) -> View:
        left, top, right, bottom = view.box
        box = left, fixed + (top - fixed) * (1 + abs(by)), right, fixed + (bottom - fixed) * (1 + abs(by))
        return replace(view, box=box, children=[longer(child) for child in view.children])

    return replace(root, children=[longer(child) for child in root.children])


def _lens(grip: Grip, field: View) -> Window:
    """The text in a magnifier above its line, or, taken far from it, under the finger."""
    x, y = grip.x + grip.dx, grip.y + grip.dy
    far = abs(grip.dy) > 24
    middle = y if far else field.box[1] - 36
    half = 58.0 if far else 96.0
    box = (x - half, middle - 22, x + half, middle + 22)
    return Window(
        shop.PACKAGE, View(box, look="card", colour="#ffffff", text=field.text, font=20, private=field.text or "held")
    )


def _inside(view: View, x: float, y: float) -> bool:
    left, top, right, bottom = view.box
    return left <= x < right and top <= y < bottom


def _all(view: View) -> list[View]:
    return [view, *(below for child in view.children for below in _all(child))]

"""The views of the emulated screen: one tree gives the dump, the pixels and the touch targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import quoteattr

from bridge.types import Bounds

Look = Literal["none", "fill", "card", "button", "text", "image", "field", "timecode", "key", "circle", "secret"]


@dataclass(slots=True)
class View:
    """A view in dp of the current rotation. `box` is (left, top, right, bottom); `tap` names what a tap on it does."""

    box: tuple[float, float, float, float]
    cls: str = "android.view.ViewGroup"
    look: Look = "none"
    colour: str = "#ffffff"
    text: str = ""
    ink: str = "#1c1b1f"
    font: float = 14
    bold: bool = False
    align: Literal["left", "center"] = "left"
    res: str = ""
    desc: str = ""
    hint: str = ""
    tap: str = ""
    password: bool = False
    focused: bool = False
    scrolls: bool = False
    private: str = ""
    children: list[View] = field(default_factory=list)

    def add(self, *views: View) -> View:
        self.children.extend(views)
        return self


@dataclass(slots=True)
class Window:
    """A top-level window: its package and its root view."""

    package: str
    root: View
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A view with its visible rectangle in pixels."""

    view: View
    bounds: Bounds
    depth: int


def place(view: View, scale: float, clip: Bounds, depth: int = 0) -> Iterator[Placed]:
    """The view and all below it in drawing order; what is outside `clip` is left out with all its children."""
    left, top, right, bottom = (round(edge * scale) for edge in view.box)
    bounds = Bounds(left, top, right, bottom).intersect(clip)
    if bounds.empty:
        return
    yield Placed(view, bounds, depth)
    for child in view.children:
        yield from place(child, scale, bounds, depth + 1)


def dump(
    windows: list[Window], scale: float, screen: Bounds, rotation: int, max_depth: int = 50, display: int = 0
) -> bytes:
    """The dump of uiautomator2's server: the windows as siblings under <hierarchy>."""
    out = [f"<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<hierarchy rotation=\"{rotation}\">"]

    def write(view: View, package: str, clip: Bounds, index: int, depth: int) -> None:
        left, top, right, bottom = (round(edge * scale) for edge in view.box)
        bounds = Bounds(left, top, right, bottom).intersect(clip)
        if bounds.empty or depth > max_depth:
            return
        edit = view.cls.endswith("EditText")
        flags = {
            "checkable": False, "checked": False, "clickable": bool(view.tap), "enabled": True,
            "focusable": bool(view.tap) or edit, "focused": view.focused, "scrollable": view.scrolls,
            "long-clickable": edit, "password": view.password, "selected": False, "visible-to-user": True,
        }  # fmt: skip
        attributes = [
            f'index="{index}"', f"text={quoteattr(view.text)}", f"resource-id={quoteattr(view.res)}",
            f'class="{view.cls}"', f'package="{package}"', f"content-desc={quoteattr(view.desc)}",
            *(f'{name}="{str(on).lower()}"' for name, on in flags.items()),
            f'bounds="[{bounds.left},{bounds.top}][{bounds.right},{bounds.bottom}]"',
            f'drawing-order="{index + 1}"', f"hint={quoteattr(view.hint)}", f'display-id="{display}"',
        ]  # fmt: skip
        out.append(f"<node {' '.join(attributes)}>")
        for position, child in enumerate(view.children):
            write(child, package, bounds, position, depth + 1)
        out.append("</node>")

    for position, window in enumerate(windows):
        write(window.root, window.package, screen, position, 1)
    out.append("</hierarchy>")
    return "".join(out).encode()

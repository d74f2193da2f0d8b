"""Synthetic view trees and pictures that agree with them: every view is painted in a colour of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from agent.model import SegmentEvent, Snapshot
from agent.replay.canvas import RgbaCanvas
from agent.replay.survey import Survey, survey
from bridge.types import Bounds, Frame, Hierarchy, LogEntry, Node, NodeFlag, Rotation, Size, Stamp, Touch, TouchKind

APP = "com.example.shop"
SCREEN = Size(1080, 2400)
DPI = 420
EPOCH = 1_760_000_000_000
APP_COLOR = (250, 250, 250)
FRAME = "android.widget.FrameLayout"
TEXT = "android.widget.TextView"
EDIT = "android.widget.EditText"
SCROLL = "android.widget.ScrollView"


def at(seconds: float) -> Stamp:
    return Stamp(int(seconds * 1e9), EPOCH + int(seconds * 1000))


def view(
    left: int,
    top: int,
    right: int,
    bottom: int,
    cls: str = TEXT,
    text: str = "",
    children: Iterable[Node] = (),
    flags: NodeFlag = NodeFlag.VISIBLE,
    package: str = APP,
    **more: str,
) -> Node:
    return Node(
        Bounds(left, top, right, bottom), cls, text=text, package=package, flags=flags, children=tuple(children), **more
    )


def app(*children: Node, package: str = APP, bounds: tuple[int, int, int, int] = (0, 0, 1080, 2400)) -> Node:
    return view(*bounds, FRAME, children=children, package=package)


def status_bar() -> Node:
    clock = view(20, 0, 120, 63, text="9:02", package="com.android.systemui")
    return view(0, 0, 1080, 63, FRAME, children=[clock], package="com.android.systemui")


def keyboard() -> Node:
    """A keyboard as large as the screen, transparent above its keys."""
    package = "com.example.inputmethod.keys"
    keys = [view(108 * i, 1700, 108 * i + 100, 1800, text="qwertyuiop"[i], package=package) for i in range(10)]
    panel = view(0, 1650, 1080, 2400, FRAME, children=keys, package=package)
    return view(
        0,
        0,
        1080,
        2400,
        FRAME,
        children=[view(0, 0, 1080, 2400, FRAME, children=[panel], package=package)],
        package=package,
    )


def tree(*roots: Node, seconds: float = 0.0, rotation: Rotation = 0) -> Hierarchy:
    return Hierarchy(at(seconds), 0, rotation, roots, xxhash.xxh3_64_intdigest(repr(roots).encode()))


def surveyed(*roots: Node) -> Survey:
    """What is known of these windows at medium."""
    return survey(tree(*roots), APP, "medium", SCREEN, DPI, set(), lambda text: text)


def painted(*roots: Node, size: Size = SCREEN) -> NDArray[np.uint8]:
    """RGBA: the app's ground, and each leaf that says something in a colour of its own."""
    pixels = np.zeros((size.height, size.width, 4), np.uint8)
    pixels[..., :3] = APP_COLOR
    pixels[..., 3] = 255
    for root in roots:
        for node in root.walk():
            if node.text or (node.desc and not node.children):
                b = node.bounds
                pixels[max(0, b.top) : max(0, b.bottom), max(0, b.left) : max(0, b.right), :3] = color(node)
    return pixels


def color(node: Node) -> tuple[int, int, int]:
    """Never grey, so that no cover looks like it."""
    seed = xxhash.xxh3_64_intdigest(f"{node.text}{node.desc}{node.bounds}".encode())
    return 255, seed % 90, (seed >> 8) % 90


def snapshot(
    pixels: NDArray[np.uint8],
    before: Hierarchy | None,
    after: Hierarchy | None,
    seconds: float = 0.0,
    rotation: Rotation = 0,
) -> Snapshot:
    height, width = pixels.shape[:2]
    frame = Frame(
        at(seconds),
        0,
        Size(width, height),
        Size(width, height),
        rotation,
        "image/x-rgba",
        b"",
        int(seconds * 1000),
        "fake",
    )
    return Snapshot(frame, before, after)


def still(*roots: Node, seconds: float = 0.0) -> tuple[Snapshot, RgbaCanvas]:
    """A snapshot of a screen that does not move, and its picture."""
    pixels = painted(*roots)
    dump = tree(*roots, seconds=seconds)
    calm = replace(snapshot(pixels, dump, dump, seconds), since=at(seconds - 0.2), until=at(seconds + 0.2))
    return calm, RgbaCanvas(pixels)


def touch(seconds: float, kind: TouchKind, x: float = 500, y: float = 900, pointer: int = 0) -> Touch:
    return Touch(at(seconds), kind, pointer, x, y)


def log(seconds: float, message: str, tag: str = "ReactNativeJS") -> LogEntry:
    stamp = at(seconds)
    return LogEntry(stamp, stamp.wall_ms * 1_000_000, 100, 101, 10_123, "I", tag, message)


def event(
    seconds: float,
    session_id: object = EPOCH,
    device_id: str | None = "device-1",
    name: str = "Tapped",
    message_id: str = "",
    properties: Mapping[str, Any] | None = None,
    **more: Any,
) -> SegmentEvent:
    stamp = at(seconds)
    made = SegmentEvent(
        stamp, 100, 10_123, "after", "track", name, message_id, stamp.wall_ms, True, session_id, "integrations",
        device_id, "anonymousId", (), {"type": "track", "event": name, "properties": dict(properties or {})},
    )  # fmt: skip
    return replace(made, **more)

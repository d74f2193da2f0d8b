"""A dump of the view tree: read when it changed and when it did not, beside Python's own XML reader."""

from __future__ import annotations

import re
import time
from typing import Any
from xml.etree import ElementTree

from benchmarks.measure import CheckFailed, Result, alternating, result
from benchmarks.rehearsal import Clock
from bridge.deadline import Deadline
from bridge.emulated.world.views import View, Window, dump
from bridge.hierarchy import parse
from bridge.picture import Display
from bridge.types import Bounds, Size, Stamp
from bridge.uia import UiaHierarchy

VIEWS = 1000
ROUNDS = 15
BOUNDS = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")
FLAGS = ("checkable", "checked", "clickable", "enabled", "focusable", "focused", "scrollable", "long-clickable",
         "password", "selected", "visible-to-user")  # fmt: skip
PEER = "xml.etree, attributes read"


class _Server:
    """Answers with the dump of the moment."""

    def __init__(self) -> None:
        self.answer = ""

    def revive(self) -> None:
        """It never goes down."""

    def call(self, method: str, params: list[Any], deadline: Deadline) -> str:
        return self.answer


def run() -> list[Result]:
    """Scenario 15."""
    dumps = [_dump(title) for title in ("One", "Two")]
    server: Any = _Server()
    clock: Any = Clock()
    source = UiaHierarchy("BENCH", server, clock, Display(Size(1080, 2400)))
    stamp = Stamp(0, 0)
    found = parse(dumps[0], stamp, 0)
    if sum(1 for _ in found.walk()) != VIEWS or [n.text for n in found.walk()] != [v[1] for v in _peer(dumps[0])]:
        raise CheckFailed("the two readers do not agree")

    def same() -> None:
        server.answer = texts[0]
        source.dump(Deadline(5))

    turn = [0]

    def changed() -> None:
        turn[0] ^= 1
        server.answer = texts[turn[0]]
        source.dump(Deadline(5))

    texts = [data.decode() for data in dumps]
    same()
    unchanged_ms, peer_ms = alternating(same, lambda: _peer(dumps[0]), ROUNDS, 3, time.process_time)
    changed_ms, peer_too_ms = alternating(changed, lambda: _peer(dumps[0]), ROUNDS, 3, time.process_time)
    kilobytes = len(dumps[0]) // 1000
    return [
        result(f"tree/unchanged ({kilobytes} kB)", unchanged_ms, peer_ms, PEER, "CPU ms", 200),
        result(f"tree/changed ({kilobytes} kB)", changed_ms, peer_too_ms, PEER, "CPU ms", 1),
    ]


def _dump(title: str) -> bytes:
    root = View((0, 0, 411, 914), "android.widget.FrameLayout")
    rows = root
    for index in range(1, VIEWS):
        if index % 10 == 1:
            rows = View((0, index / 2, 411, 914), "android.widget.LinearLayout", res=f"row-{index}", tap="row")
            root.add(rows)
        else:
            text = f"{title} & view {index}"
            rows.add(View((index % 10 * 40, index / 2, 411, 914), "android.widget.TextView", "text", text=text))
    return dump([Window("com.example.many", root)], 2.625, Bounds(0, 0, 1080, 2400), 0)


def _peer(xml: bytes) -> list[tuple[Any, ...]]:
    """Each element with what a recorder needs of it."""
    found: list[tuple[Any, ...]] = []
    for element in ElementTree.fromstring(xml).iter("node"):  # noqa: S314  # made above
        get = element.attrib.get
        edges = BOUNDS.fullmatch(get("bounds", ""))
        assert edges is not None
        flags = [get(name) == "true" for name in FLAGS]
        bounds = tuple(map(int, edges.groups()))
        found.append(
            (
                get("class"),
                get("text"),
                get("resource-id"),
                get("content-desc"),
                get("hint"),
                get("package"),
                bounds,
                flags,
            )
        )
    return found

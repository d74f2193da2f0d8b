"""The masked views as rrweb nodes: flat, absolutely placed boxes, and what changed between two sets of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from agent.model import MaskedNode
from agent.replay.rrweb import FIRST_VIEW_ID, Event, element
from bridge.types import Bounds, NodeFlag

Attributes = Mapping[str, str]
# More than some screens have. An app that goes on making views of new names has each of them remembered.
MAX_KEYS = 1_024
_SHOWN_FLAGS = (
    NodeFlag.CHECKED, NodeFlag.CLICKABLE, NodeFlag.FOCUSED, NodeFlag.PASSWORD, NodeFlag.SCROLLABLE, NodeFlag.SELECTED,
)  # fmt: skip


class NodeIds:
    """rrweb node ids of views, the same id for the same key as long as it is remembered. Ids are never used twice."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._next = FIRST_VIEW_ID

    def of(self, key: str) -> int:
        node_id = self._ids.pop(key, None)
        if node_id is None:
            node_id = self._next
            self._next += 1
        self._ids[key] = node_id
        return node_id

    def forget_oldest(self) -> None:
        """Call between two documents only."""
        while len(self._ids) > MAX_KEYS:
            del self._ids[next(iter(self._ids))]


@dataclass(frozen=True, slots=True)
class Change:
    """What turns one set of views into another."""

    attributes: list[tuple[int, dict[str, str | None]]]
    removes: list[int]
    adds: list[Event]

    @property
    def empty(self) -> bool:
        return not (self.attributes or self.removes or self.adds)


def boxes(nodes: Iterable[MaskedNode], dpi: int, wireframe: bool = False) -> dict[str, Attributes]:
    """The attributes of each view's box by key, lengths in dp. In a wireframe those that hold no other show words."""
    return {node.key: _attributes(node, 160 / dpi, "v t" if wireframe and node.leaf else "v") for node in nodes}


def document(views: Mapping[str, Attributes], ids: NodeIds) -> list[Event]:
    """The boxes as child nodes of a full snapshot."""
    return [element(ids.of(key), "div", attributes) for key, attributes in views.items()]


def diff(old: Mapping[str, Attributes], new: Mapping[str, Attributes], ids: NodeIds) -> Change:
    """The change from `old` to `new`; new boxes are drawn on top."""
    attributes: list[tuple[int, dict[str, str | None]]] = []
    for key, now in new.items():
        then = old.get(key)
        if then is not None and then != now:
            changed: dict[str, str | None] = {name: value for name, value in now.items() if then.get(name) != value}
            changed |= dict.fromkeys(then.keys() - now.keys())
            attributes.append((ids.of(key), changed))
    return Change(
        attributes,
        [ids.of(key) for key in old if key not in new],
        [element(ids.of(key), "div", value) for key, value in new.items() if key not in old],
    )


def placed(b: Bounds, across: float, down: float, digits: int = 1) -> str:
    """The style that puts a box, times `across` and `down`, at its place."""
    sides = {"left": b.left * across, "top": b.top * down, "width": b.width * across, "height": b.height * down}
    return ";".join(f"{side}:{round(length, digits):g}px" for side, length in sides.items())


# Most views stay what and where they are from one dump to the next.
@lru_cache(maxsize=4096)
def _attributes(node: MaskedNode, scale: float, cls: str) -> Attributes:
    box = placed(node.bounds, scale, scale)
    attributes = {"class": cls, "style": box, "data-class": node.cls}
    if node.resource_id:
        attributes["data-res"] = node.resource_id
    if node.label:
        attributes["aria-label"] = node.label
    flags = " ".join(flag.name.lower() for flag in _SHOWN_FLAGS if flag.name and node.flags & flag)
    if flags:
        attributes["data-flags"] = flags
    return attributes

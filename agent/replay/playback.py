"""rrweb events played to what a viewer sees at a time: the picture and its layers, the views, the window, the fingers.

Applies events as rrweb's replayer does (rrweb 2.2: packages/rrweb/src/replay): a mutation is its removes, its adds, its
texts, then its attributes; children of an added node are not built; what names an unknown node has no effect.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any

from agent.replay.rrweb import PICTURE_ID, TOUCH, custom, meta

LAYER_CLASS = "l"
VIEW_CLASS = "v"
# What covers a segment's first picture is told so long after its full snapshot.
OPENING_MS = 1
# rrweb's node types.
_DOCUMENT, _DOCTYPE, _ELEMENT = 0, 1, 2
_TOUCH_KINDS = {7: "down", 9: "up", 10: "cancel"}


class Change(IntFlag):
    """What an event changed for the viewer."""

    NONE = 0
    WINDOW = 1
    PICTURE = 2
    VIEWS = 4
    FINGERS = 8
    MASK = 16


@dataclass(frozen=True, slots=True)
class Box:
    """A place in the window, in dp."""

    left: float
    top: float
    width: float
    height: float

    def within(self, outer: Box, slack: float) -> bool:
        """Whether all of it lies in `outer`, give or take `slack`."""
        return (
            self.left >= outer.left - slack
            and self.top >= outer.top - slack
            and self.left + self.width <= outer.left + outer.width + slack
            and self.top + self.height <= outer.top + outer.height + slack
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """A picture laid over a part of the base picture; `source` is its `src` as written."""

    id: int
    box: Box
    source: str


@dataclass(frozen=True, slots=True)
class View:
    """A view's node: its place and its attributes, `text` what stands in it."""

    id: int
    box: Box
    attributes: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Finger:
    """Where a finger is, or was when it went up at `at_ms`. In dp; `drawn` says whether a player shows it."""

    pointer: int
    x: float
    y: float
    down: bool
    at_ms: int
    drawn: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """What is shown from `at_ms` on. Width and height of the window in dp, `base` is the picture's `src` as written.

    Layers and views are in drawing order. `mask` is the payload of the document's last `mask` event.
    """

    at_ms: int
    href: str
    width: int
    height: int
    base: str
    layers: tuple[Layer, ...]
    views: tuple[View, ...]
    fingers: tuple[Finger, ...]
    mask: Mapping[str, Any]

    @property
    def blocked(self) -> str:
        """Why the whole picture is covered, "" when it is not."""
        return str(self.mask.get("blocked") or "")

    @property
    def sources(self) -> tuple[str, ...]:
        """The pictures that are on the glass, the base first."""
        return (self.base, *(layer.source for layer in self.layers))


@dataclass(slots=True, eq=False)
class _Node:
    """Children are linked to each other: where one goes or comes, it does not matter how many there are."""

    id: int
    tag: str
    type: int
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    parent: _Node | None = None
    first: _Node | None = None
    last: _Node | None = None
    previous: _Node | None = None
    following: _Node | None = None

    @property
    def children(self) -> Iterator[_Node]:
        child = self.first
        while child is not None:
            yield child
            child = child.following

    def walk(self) -> Iterator[_Node]:
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            child = node.last
            while child is not None:
                stack.append(child)
                child = child.previous

    def put(self, node: _Node, following: _Node | None = None) -> None:
        """Make a node that has no parent a child: before `following`, or the last one where that is no child of it."""
        if following is not None and following.parent is not self:
            following = None
        node.parent, node.following = self, following
        node.previous = self.last if following is None else following.previous
        if node.previous is None:
            self.first = node
        else:
            node.previous.following = node
        if following is None:
            self.last = node
        else:
            following.previous = node

    def leave(self) -> None:
        """Take the node, with all below it, from its parent, if it has one."""
        parent, previous, following = self.parent, self.previous, self.following
        if parent is None:
            return
        if previous is None:
            parent.first = following
        else:
            previous.following = following
        if following is None:
            parent.last = previous
        else:
            following.previous = previous
        self.parent = self.previous = self.following = None


class Playback:
    """The document and the fingers while events are played, in order of time."""

    def __init__(self) -> None:
        self._nodes: dict[int, _Node] = {}
        self._root: _Node | None = None
        self._fingers: dict[int, Finger] = {}
        self._mask: Mapping[str, Any] = {}
        self._href = ""
        self._size = (0, 0)
        self._at_ms = 0
        # The document's last state, until it changes: most events move fingers.
        self._seen: State | None = None

    def feed(self, event: Mapping[str, Any]) -> Change:
        """Play one event; says what it changed."""
        data = event.get("data")
        if not isinstance(data, Mapping):
            return Change.NONE
        if (at_ms := ms_of(event)) >= 0:
            self._at_ms = at_ms
        kind = event.get("type")
        if kind == 4:
            self._href = str(data.get("href", ""))
            return self._resize(data)
        if kind == 2:
            return self._full(data)
        if kind == 3:
            return self._incremental(data)
        if kind == 5 and data.get("tag") == "mask" and isinstance(data.get("payload"), Mapping):
            self._mask = data["payload"]
            return Change.MASK
        if kind == 6 and data.get("plugin") == TOUCH and isinstance(data.get("payload"), Mapping):
            finger = data["payload"]
            return self._finger(finger, finger.get("kind"), drawn=False)
        return Change.NONE

    def opening(self, at_ms: int) -> list[dict[str, Any]]:
        """The events of a list that begins now with all that is shown: Meta at `at_ms`; a full snapshot and the masks
        one ms later, as a player wants it. Nothing when there is no document yet.
        """
        if self._root is None:
            return []
        data = {"initialOffset": {"top": 0, "left": 0}, "node": _described(self._root)}
        events = [meta(at_ms, self._href, *self._size), {"type": 2, "timestamp": at_ms + 1, "data": data}]
        return [*events, custom(at_ms + 1, "mask", self._mask)] if self._mask else events

    @property
    def raised(self) -> list[dict[str, Any]]:
        """The nodes of the layers as rrweb writes them, lowest first."""
        nodes = self._root.walk() if self._root is not None else ()
        return [_described(node) for node in nodes if _is_layer(node)]

    @property
    def opened(self) -> bool:
        """Whether there is a document."""
        return self._root is not None

    @property
    def fingers(self) -> tuple[Finger, ...]:
        return tuple(self._fingers.values())

    @property
    def state(self) -> State:
        """What is shown now."""
        if self._seen is None:
            self._seen = self._looked()
        return replace(
            self._seen,
            at_ms=self._at_ms,
            href=self._href,
            width=self._size[0],
            height=self._size[1],
            fingers=self.fingers,
            mask=self._mask,
        )

    def _looked(self) -> State:
        base, layers, views = "", [], []
        for node in self._root.walk() if self._root is not None else ():
            classes = node.attributes.get("class", "").split()
            if node.id == PICTURE_ID:
                base = node.attributes.get("src", "")
            elif _is_layer(node):
                layers.append(Layer(node.id, _box(node.attributes), node.attributes.get("src", "")))
            elif VIEW_CLASS in classes:
                text = "".join(child.text for child in node.children)
                views.append(View(node.id, _box(node.attributes), dict(node.attributes), text))
        return State(
            self._at_ms,
            self._href,
            *self._size,
            base,
            tuple(layers),
            tuple(views),
            self.fingers,
            self._mask,
        )

    def _resize(self, data: Mapping[str, Any]) -> Change:
        size = max(0, _int(data.get("width"))), max(0, _int(data.get("height")))
        if size == self._size:
            return Change.NONE
        self._size = size
        return Change.WINDOW

    def _full(self, data: Mapping[str, Any]) -> Change:
        self._nodes, self._root, self._seen = {}, None, None
        # What covers a document is told behind it; older recordings do not tell that nothing does.
        uncovered, self._mask = Change.MASK if self._mask else Change.NONE, {}
        document = data.get("node")
        if isinstance(document, Mapping):
            self._root = self._build(document, deep=True)
        return Change.PICTURE | Change.VIEWS | uncovered

    def _incremental(self, data: Mapping[str, Any]) -> Change:
        source = data.get("source")
        if source == 0:
            return self._mutation(data)
        if source == 2:
            touched = _TOUCH_KINDS.get(_int(data.get("type")))
            return Change.NONE if touched is None else self._finger(data, touched)
        if source == 4:
            return self._resize(data)
        change = Change.NONE
        if source == 6:
            for position in mappings(data.get("positions")):
                change |= self._finger({"pointer": data.get("pointer", 0), **position}, "move")
        return change

    def _mutation(self, data: Mapping[str, Any]) -> Change:
        self._seen = None
        change = Change.NONE
        for remove in mappings(data.get("removes")):
            node = self._nodes.get(_int(remove.get("id")))
            if node is not None:
                change |= _kind(node)
                self._remove(node)
        for add in mappings(data.get("adds")):
            parent = self._nodes.get(_int(add.get("parentId")))
            described = add.get("node")
            if parent is None or not isinstance(described, Mapping):
                continue
            if (there := self._nodes.get(_int(described.get("id")))) is not None:
                change |= _kind(there)
                self._remove(there)
            node = self._build(described, deep=False)
            parent.put(node, self._nodes.get(_int(add.get("nextId"))))
            change |= _kind(node)
        for text in mappings(data.get("texts")):
            node = self._nodes.get(_int(text.get("id")))
            if node is not None:
                node.text = str(text.get("value") or "")
                change |= _kind(node)
        for entry in mappings(data.get("attributes")):
            node = self._nodes.get(_int(entry.get("id")))
            if node is not None and isinstance(entry.get("attributes"), Mapping):
                change |= _kind(node)
                _set(node, entry["attributes"])
                change |= _kind(node)
        return change

    def _finger(self, data: Mapping[str, Any], kind: object, drawn: bool = True) -> Change:
        pointer, x, y = _int(data.get("pointer", 0)), data.get("x"), data.get("y")
        if not isinstance(x, int | float) or not isinstance(y, int | float):
            return Change.NONE
        down = kind in ("down", "move")
        known = self._fingers.get(pointer)
        if not down and (known is None or not known.down):
            # A segment opens with the end of a touch, that players let go of a finger which they still have.
            return Change.NONE
        if known is not None and kind == "cancel":
            # Where a gesture that is broken off ends was told before.
            x, y = known.x, known.y
        self._fingers[pointer] = Finger(pointer, float(x), float(y), down, self._at_ms, drawn)
        return Change.FINGERS

    def _build(self, root: Mapping[str, Any], deep: bool) -> _Node:
        built = self._node(root)
        stack = [(root, built)] if deep else []
        while stack:
            described, node = stack.pop()
            for child in mappings(described.get("childNodes")):
                below = self._node(child)
                node.put(below)
                stack.append((child, below))
        return built

    def _node(self, described: Mapping[str, Any]) -> _Node:
        node = _Node(_int(described.get("id")), str(described.get("tagName", "")), _int(described.get("type")))
        node.text = str(described.get("textContent") or "")
        attributes = described.get("attributes")
        _set(node, attributes if isinstance(attributes, Mapping) else {})
        self._nodes[node.id] = node
        return node

    def _remove(self, node: _Node) -> None:
        node.leave()
        for gone in node.walk():
            self._nodes.pop(gone.id, None)


def _is_layer(node: _Node) -> bool:
    return node.tag == "img" and LAYER_CLASS in node.attributes.get("class", "").split()


def _kind(node: _Node) -> Change:
    """What the viewer sees of a node."""
    if node.tag == "img":
        return Change.PICTURE
    if VIEW_CLASS in node.attributes.get("class", "").split() or node.text:
        return Change.VIEWS
    return Change.NONE


def _described(root: _Node) -> dict[str, Any]:
    """A node and all below it as rrweb writes it."""
    made: dict[int, dict[str, Any]] = {}
    for node in root.walk():
        described: dict[str, Any] = {"type": node.type, "id": node.id}
        if node.type == _DOCTYPE:
            described |= {"name": "html", "publicId": "", "systemId": ""}
        elif node.type == _ELEMENT:
            described |= {"tagName": node.tag, "attributes": dict(node.attributes), "childNodes": []}
        elif node.type == _DOCUMENT:
            described["childNodes"] = []
        else:
            described["textContent"] = node.text
        made[id(node)] = described
        if node is not root and node.parent is not None:
            made[id(node.parent)]["childNodes"].append(described)
    return made[id(root)]


def _set(node: _Node, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        if value is None:
            node.attributes.pop(name, None)
        elif name == "style" and isinstance(value, Mapping):
            style = _declarations(node.attributes.get("style", ""))
            for prop, set_to in value.items():
                if set_to is False:
                    style.pop(str(prop), None)
                else:
                    style[str(prop)] = str(set_to[0] if isinstance(set_to, list) else set_to)
            node.attributes["style"] = ";".join(f"{prop}:{set_to}" for prop, set_to in style.items())
        elif isinstance(value, str | int | float):
            node.attributes[name] = str(value)


def _declarations(style: str) -> dict[str, str]:
    pairs = (entry.partition(":") for entry in style.split(";"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _box(attributes: Mapping[str, str]) -> Box:
    style = _declarations(attributes.get("style", ""))
    return Box(*(_length(style.get(side, "")) for side in ("left", "top", "width", "height")))


def _length(value: str) -> float:
    try:
        length = float(value.removesuffix("px"))
    except ValueError:
        return 0.0
    return length if math.isfinite(length) else 0.0


def ms_of(event: Mapping[str, Any]) -> int:
    """An event's time, which others than we write with a fraction; -1 when there is none."""
    at = event.get("timestamp")
    return int(at) if isinstance(at, int | float) and math.isfinite(at) else -1


def _int(value: object) -> int:
    """An integer; -1, which no node has, for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; none where something else stands."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []

"""Checks a list of rrweb events against what an unmodified player needs (rrweb 2.2: packages/rrweb/src/replay)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

from agent.model import Picture
from agent.replay.picture import media_type
from agent.replay.rrweb import CUSTOM_TAGS, LAYERS_ID

MAX_EVENT_BYTES = 9_000_000
MAX_BATCH_BYTES = 6_000_000
MAX_LAYERS = 15
# Sources whose data is a list of places: MouseMove, TouchMove, Drag.
_MOVES = frozenset((1, 6, 12))
_TOUCH_MOVE = 6
_MOUSE_TYPES = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 9, 10))
# rrweb's node types.
_DOCUMENT, _ELEMENT = 0, 2
_DATA = "data:"
_PICTURE = "picture:"


@dataclass(frozen=True, slots=True)
class Problem:
    """Rule `rule` is broken by event `index` (-1: by the list as a whole)."""

    index: int
    rule: str
    detail: str = ""


def validate(
    events: Iterable[Mapping[str, Any] | bytes],
    pictures: Mapping[str, Picture] | None = None,
    *,
    closed: bool = True,
    batch: bool = True,
) -> list[Problem]:
    """Every broken rule, none for a good list.

    `pictures` holds what `picture:<digest>` names, None leaves these unchecked; `closed` asks for the closing event.
    `batch` says that the list is posted as one, so that an upload's limit holds for it.
    """
    problems: list[Problem] = []
    check = _Check(pictures)
    total = 0
    for index, event in enumerate(events):
        try:
            data = event if isinstance(event, bytes) else orjson.dumps(event)
        except orjson.JSONEncodeError as error:
            problems.append(Problem(index, "json", str(error)))
            continue
        total += len(data)
        if len(data) > MAX_EVENT_BYTES:
            problems.append(Problem(index, "event-size", f"{len(data)} bytes"))
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            problems.append(Problem(index, "json", str(error)))
            continue
        wrong = misshapen(value)
        if wrong:
            problems.append(Problem(index, "shape", wrong))
        else:
            problems += [Problem(index, rule, detail) for rule, detail in check.event(value)]
    if batch and total > MAX_BATCH_BYTES:
        problems.append(Problem(-1, "batch-size", f"{total} bytes"))
    problems += [Problem(-1, rule, detail) for rule, detail in check.rest(closed)]
    return problems


def misshapen(event: object) -> str:
    """What an event lacks to be one at all: an object of a known type with a timestamp and data. "" when nothing."""
    if not isinstance(event, dict):
        return "not an object"
    if not _is_int(event.get("type")) or not 0 <= event["type"] <= 6:
        return "type"
    if not _is_int(event.get("timestamp")):
        return "timestamp"
    return "" if isinstance(event.get("data"), dict) else "data"


class _Check:
    """The state of the document while the list is gone through."""

    def __init__(self, pictures: Mapping[str, Picture] | None) -> None:
        self._pictures = pictures
        self._children: dict[int, set[int]] = {}
        self._meta_ms: int | None = None
        self._last_ms: int | None = None
        self._snapshots = 0
        self._meta_pending = False
        self._count = 0
        self._ended = False

    def event(self, event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        at, kind, data = event["timestamp"], event["type"], event["data"]
        self._count += 1
        if self._ended and kind != 4:
            # A list of several segments goes on with the next one's Meta.
            yield "after-end", ""
        if self._last_ms is not None and at < self._last_ms:
            yield "order", f"{at} after {self._last_ms}"
        self._last_ms = max(at, self._last_ms or at)
        if self._meta_ms is None and kind != 4:
            yield "meta-first", ""
        if kind == 4:
            yield from self._meta(at, data)
        elif kind == 2:
            yield from self._full(at, data)
        elif self._snapshots == 0 or self._meta_pending:
            yield "snapshot-second", ""
        if kind == 3:
            yield from self._incremental(data)
        elif kind == 5:
            yield from self._custom(data)

    def rest(self, closed: bool) -> Iterator[tuple[str, str]]:
        if self._count < 2:
            yield "two-events", f"{self._count}"
        if closed and not self._ended:
            yield "end", "no closing event"

    def _meta(self, at: int, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from _sized("meta-size", data)
        if not isinstance(data.get("href"), str):
            yield "meta-href", ""
        self._meta_ms = at
        self._meta_pending = True
        self._ended = False

    def _full(self, at: int, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if not self._meta_pending:
            yield "meta-first", "full snapshot without its own meta"
        if self._meta_ms is not None and at <= self._meta_ms:
            yield "snapshot-time", "not after its meta"
        self._meta_pending = False
        self._snapshots += 1
        self._children = {}
        node = data.get("node")
        if not isinstance(node, dict) or node.get("type") != _DOCUMENT:
            yield "document", ""
            return
        roots = [child for child in _dicts(node.get("childNodes")) if child.get("type") == _ELEMENT]
        if len(roots) != 1 or str(roots[0].get("tagName")).lower() != "html":
            yield "document", "one html element is needed, and no other"
        yield from self._build(node, deep=True)
        if len(self._children.get(LAYERS_ID, ())) > MAX_LAYERS:
            yield "layers", f"{len(self._children[LAYERS_ID])} are over the picture, at most {MAX_LAYERS} may be"

    def _incremental(self, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        source = data.get("source")
        if source == 0:
            yield from self._mutation(data)
        elif source == 2:
            if _id(data.get("type")) not in _MOUSE_TYPES:
                yield "touch-type", str(data.get("type"))
            yield from self._touched(data.get("id"))
        elif _is_int(source) and source in _MOVES:
            yield from self._moved(source, data.get("positions"))
        elif source == 4:
            yield from _sized("resize", data)
        elif not _is_int(source) or not 0 <= source <= 16:
            yield "source", str(source)

    def _moved(self, source: int, given: object) -> Iterator[tuple[str, str]]:
        positions = _dicts(given)
        if not positions:
            yield "positions", "there are none"
        for number, position in enumerate(positions):
            if wrong := [name for name in ("x", "y", "timeOffset") if not _is_number(position.get(name))]:
                yield "positions", f"{wrong[0]} of position {number} is no number"
                break
        if source != _TOUCH_MOVE:
            return
        if len(positions) != 1 or positions[0].get("timeOffset") != 0:
            yield "touch-move", "one position at offset 0"
        else:
            yield from self._touched(positions[0].get("id"))

    def _touched(self, node_id: object) -> Iterator[tuple[str, str]]:
        if _id(node_id) not in self._children:
            yield "touch-id", str(node_id)

    def _mutation(self, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        lists = [data.get(name) for name in ("removes", "adds", "attributes", "texts")]
        if not all(isinstance(entries, list) for entries in lists):
            yield "four-arrays", ""
            return
        for remove in _dicts(data["removes"]):
            parent, node_id = _id(remove.get("parentId")), _id(remove.get("id"))
            if node_id not in self._children.get(parent, ()):
                yield "remove-id", str(node_id)
            else:
                self._children[parent].discard(node_id)
                self._forget(node_id)
        for add in _dicts(data["adds"]):
            node, parent = add.get("node"), _id(add.get("parentId"))
            if parent not in self._children:
                yield "add-parent", str(parent)
            if add.get("nextId") is not None and _id(add["nextId"]) not in self._children.get(parent, ()):
                yield "add-next", str(add["nextId"])
            if not isinstance(node, dict):
                yield "add-node", ""
                continue
            if node.get("childNodes"):
                yield "add-children", "each descendant needs its own add"
            if parent == LAYERS_ID or _is_layer(node):
                yield from _layer(node, parent)
            yield from self._build(node, deep=False)
            if parent in self._children:
                self._children[parent].add(_id(node.get("id")))
        for change in _dicts(data["attributes"]):
            if _id(change.get("id")) not in self._children:
                yield "attribute-id", str(change.get("id"))
            values = change.get("attributes")
            if not isinstance(values, dict):
                yield "attributes", ""
                continue
            for name, value in values.items():
                if not (value is None or isinstance(value, str) or (name == "style" and isinstance(value, dict))):
                    yield "attribute-value", name
            yield from self._source(values)
        if len(self._children.get(LAYERS_ID, ())) > MAX_LAYERS:
            yield "layers", f"{len(self._children[LAYERS_ID])} are over the picture, at most {MAX_LAYERS} may be"

    def _forget(self, node_id: int) -> None:
        stack = [node_id]
        while stack:
            stack.extend(self._children.pop(stack.pop(), ()))

    def _build(self, root: Mapping[str, Any], deep: bool) -> Iterator[tuple[str, str]]:
        """`deep` says that a player builds what is in the node as well."""
        stack = [root]
        while stack:
            node = stack.pop()
            node_id = _id(node.get("id"))
            if node_id <= 0:
                yield "id", f"{node.get('id')} is not a positive integer"
                continue
            if node_id in self._children:
                yield "id", f"{node_id} is there twice"
            if deep and node.get("type") in (_DOCUMENT, _ELEMENT) and not isinstance(node.get("childNodes"), list):
                yield "children", f"{node_id} has no list of them"
            children = _dicts(node.get("childNodes"))
            for child in children:
                if node_id == LAYERS_ID or _is_layer(child):
                    yield from _layer(child, node_id)
            self._children[node_id] = {_id(child.get("id")) for child in children}
            stack.extend(children)
            if isinstance(node.get("attributes"), dict):
                yield from self._source(node["attributes"])

    def _source(self, attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        source = attributes.get("src")
        if not isinstance(source, str):
            return
        if source.startswith(_PICTURE):
            digest = source.removeprefix(_PICTURE)
            if self._pictures is None:
                return
            picture = self._pictures.get(digest)
            if picture is None:
                yield "picture", f"{digest} is missing"
            elif media_type(picture.data) != picture.media_type:
                yield "picture-type", picture.media_type
        elif source.startswith(_DATA):
            head, _, body = source.removeprefix(_DATA).partition(";base64,")
            try:
                # Enough for every magic number.
                magic = base64.b64decode(body[:32], validate=True)
            except ValueError:
                magic = b""
            if media_type(magic) != head and not head.startswith("video/"):
                yield "picture-type", head
        else:
            yield "picture", "neither a data URI nor a stored picture"

    def _custom(self, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        tag = str(data.get("tag"))
        if tag not in CUSTOM_TAGS:
            yield "tag", tag
        self._ended = tag == "end"


def _is_layer(node: Mapping[str, Any]) -> bool:
    attributes = node.get("attributes")
    return isinstance(attributes, dict) and "l" in str(attributes.get("class", "")).split()


def _layer(node: Mapping[str, Any], parent: int) -> Iterator[tuple[str, str]]:
    """A picture over a part of the base picture: an `img` with a place, in the container of the layers."""
    if parent != LAYERS_ID:
        yield "layer-parent", str(parent)
    attributes = node.get("attributes")
    style = attributes.get("style") if isinstance(attributes, dict) else None
    if node.get("tagName") != "img" or not _is_layer(node):
        yield "layer", f"{node.get('id')} is no layer"
    elif not isinstance(style, str) or not all(f"{side}:" in style for side in ("left", "top", "width", "height")):
        yield "layer", f"{node.get('id')} has no place"


def _sized(rule: str, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not all(_is_int(data.get(side)) and data[side] > 0 for side in ("width", "height")):
        yield rule, f"{data.get('width')} x {data.get('height')}"


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _id(value: object) -> int:
    """A node id; -1, which no node has, for anything else."""
    return value if _is_int(value) else -1


def _dicts(value: object) -> list[Mapping[str, Any]]:
    """The entries of a list; what is no object is an empty one."""
    return [entry if isinstance(entry, dict) else {} for entry in value] if isinstance(value, list) else []

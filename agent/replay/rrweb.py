"""rrweb events of a phone's replay: plain JSON values, one function per shape.

Shapes per rrweb's event types (rrweb: packages/types); ids are fixed: 7 body, 10 picture, 11 container of the layers on
it, 12 container of the views.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from bridge.types import TouchKind

Event = dict[str, Any]

BODY_ID = 7
PICTURE_ID = 10
LAYERS_ID = 11
VIEWS_ID = 12
FIRST_VIEW_ID = 100
CUSTOM_TAGS = frozenset((
    "segment:track", "segment:screen", "segment:identify", "segment:group", "segment:alias", "session", "marker",
    "note", "mask", "gap", "doctor", "crash", "anr", "lowmemory", "process", "app", "keyboard", "screen-state",
    "rotation", "end",
))  # fmt: skip
CONSOLE = "rrweb/console@1"
TOUCH = "android/touch@1"
UNTOLD = "untold"
_CSS = (
    "html,body{margin:0;background:#111;overflow:hidden}#s{position:absolute;left:0;top:0;width:100vw;height:100vh}"
    ".l,.v{position:absolute}"
)
# Where no picture is: each view's outline, and the words of those that hold no other.
_WIREFRAME = (
    "#s{background:#fff}.v{box-sizing:border-box;border:1px solid #b8bec7;font:13px/1.25 sans-serif;color:#20242b;"
    "overflow:hidden}.t::after{content:attr(aria-label)}"
)
_TOUCH_TYPES: Mapping[TouchKind, int] = {"down": 7, "up": 9, "cancel": 10}


def meta(at_ms: int, href: str, width: int, height: int) -> Event:
    """Width and height in dp."""
    return {"type": 4, "timestamp": at_ms, "data": {"href": href, "width": width, "height": height}}


def full_snapshot(
    at_ms: int, picture: str | None, width: int, height: int, views: Sequence[Event], layers: Sequence[Event] = ()
) -> Event:
    """The document: one picture (`src` text) as large as the window, layers on it, and the views over it.

    Without a picture the views are drawn as a wireframe.
    """
    image = {"id": "s", "src": picture or "", "width": str(width), "height": str(height), "alt": "screen"}
    body = [
        element(PICTURE_ID, "img", image) if picture is not None else element(PICTURE_ID, "div", {"id": "s"}),
        element(LAYERS_ID, "div", {"id": "rects"}, layers),
        element(VIEWS_ID, "div", {"id": "views"}, views),
    ]
    css = _CSS if picture is not None else _CSS + _WIREFRAME
    style = element(5, "style", {"type": "text/css"}, [{"type": 3, "id": 6, "textContent": css}])
    html = element(3, "html", {}, [element(4, "head", {}, [style]), element(BODY_ID, "body", {}, body)])
    doctype = {"type": 1, "id": 2, "name": "html", "publicId": "", "systemId": ""}
    document = {"type": 0, "id": 1, "childNodes": [doctype, html]}
    return {"type": 2, "timestamp": at_ms, "data": {"initialOffset": {"top": 0, "left": 0}, "node": document}}


def element(node_id: int, tag: str, attributes: Mapping[str, str], children: Sequence[Event] = ()) -> Event:
    return {"type": 2, "id": node_id, "tagName": tag, "attributes": dict(attributes), "childNodes": list(children)}


def mutation(
    at_ms: int,
    attributes: Iterable[tuple[int, Mapping[str, str | None]]] = (),
    removes: Iterable[int] = (),
    adds: Iterable[Event] = (),
    layers: Iterable[tuple[Event, int | None]] = (),
    fallen: Iterable[int] = (),
    read_ms: int | None = None,
) -> Event:
    """Changes of attributes by node id (None takes one away), views that go, views that come.

    `layers` come, each with the id of the one above it, the uppermost first; `fallen` are those that go. By `read_ms`
    the views had been read from the phone; players pass it over.
    """
    return _incremental(
        at_ms,
        {
            "source": 0,
            "texts": [],
            "attributes": [{"id": node_id, "attributes": dict(values)} for node_id, values in attributes],
            "removes": [
                *({"parentId": LAYERS_ID, "id": node_id} for node_id in fallen),
                *({"parentId": VIEWS_ID, "id": node_id} for node_id in removes),
            ],
            "adds": [
                *({"parentId": LAYERS_ID, "nextId": above, "node": node} for node, above in layers),
                *({"parentId": VIEWS_ID, "nextId": None, "node": node} for node in adds),
            ],
            **({} if read_ms is None else {"read_ms": read_ms}),
        },
    )


def touch(at_ms: int, kind: TouchKind, x: float, y: float, pointer: int) -> Event:
    """A finger in dp. A move is one position at offset 0: the player plays several in one event as one jump."""
    if kind == "move":
        positions = [{"x": x, "y": y, "id": BODY_ID, "timeOffset": 0}]
        return _incremental(at_ms, {"source": 6, "positions": positions, "pointer": pointer})
    data = {
        "source": 2,
        "type": _TOUCH_TYPES[kind],
        "id": BODY_ID,
        "x": x,
        "y": y,
        "pointerType": 2,
        "pointer": pointer,
    }
    return _incremental(at_ms, data)


def other_finger(at_ms: int, kind: TouchKind, x: float, y: float, pointer: int) -> Event:
    """A finger beside the first: kept, but not played, because the player has one cursor."""
    return _plugin(at_ms, TOUCH, {"kind": kind, "x": x, "y": y, "pointer": pointer})


def untold(at_ms: int) -> Event:
    """From here on fingers touch places that are not told: where typing would show."""
    return _plugin(at_ms, TOUCH, {"kind": UNTOLD})


def scroll(at_ms: int) -> Event:
    """The page goes to where it is. To stock players that is somebody's doing, which the change of a picture is not,
    and by default they pass quickly over what is nobody's (rrweb: Replayer, isUserInteraction)."""
    return _incremental(at_ms, {"source": 3, "id": BODY_ID, "x": 0, "y": 0})


def log(at_ms: int, level: str, text: str) -> Event:
    return _plugin(at_ms, CONSOLE, {"level": level, "payload": [text], "trace": []})


def custom(at_ms: int, tag: str, payload: Mapping[str, object]) -> Event:
    return {"type": 5, "timestamp": at_ms, "data": {"tag": tag, "payload": payload}}


def dumps(event: Event) -> bytes:
    """JSON text; numbers that JSON or JavaScript cannot hold and broken characters come out as text or null."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        return orjson.dumps(_plain(event))


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(_plain(str(k))): _plain(v) for k, v in value.items()}
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    return _plain(str(value))


def _incremental(at_ms: int, data: Mapping[str, object]) -> Event:
    return {"type": 3, "timestamp": at_ms, "data": data}


def _plugin(at_ms: int, name: str, payload: Mapping[str, object]) -> Event:
    return {"type": 6, "timestamp": at_ms, "data": {"plugin": name, "payload": payload}}

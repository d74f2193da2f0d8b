"""Reader of view hierarchy dumps: the XML of uiautomator2's server, of `uiautomator dump` and of Appium's page source.

All three have views as elements under <hierarchy rotation="N">. They differ in the elements' name (`node`, or the
view's class), in their attributes, and in the words that a shell puts around them. Attributes are read by name, so
unknown ones do no harm (AOSP AccessibilityNodeInfoDumper.java, Appium's UiElement names).
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import cast
from xml.parsers import expat

import xxhash

from bridge.errors import HierarchyEmpty, HierarchyMalformed
from bridge.types import Bounds, Hierarchy, Node, NodeFlag, Rotation, Stamp

MAX_BYTES = 5_000_000
MAX_DEPTH = 512
# Dumps of apps hold up to some hundred views in a handful of windows.
MAX_VIEWS, MAX_WINDOWS = 10_000, 64
ROOT = "hierarchy"
NODE = "node"

_FLAGS = {
    "checkable": NodeFlag.CHECKABLE.value,
    "checked": NodeFlag.CHECKED.value,
    "clickable": NodeFlag.CLICKABLE.value,
    "enabled": NodeFlag.ENABLED.value,
    "focusable": NodeFlag.FOCUSABLE.value,
    "focused": NodeFlag.FOCUSED.value,
    "scrollable": NodeFlag.SCROLLABLE.value,
    "long-clickable": NodeFlag.LONG_CLICKABLE.value,
    "password": NodeFlag.PASSWORD.value,
    "selected": NodeFlag.SELECTED.value,
}
_VISIBLE = NodeFlag.VISIBLE.value
# `uiautomator dump` has neither: it leaves out what is not visible.
_SHOWN = ("visible-to-user", "displayed")
_WORDS = ("bounds", "class", "resource-id", "text", "content-desc", "hint", "package")
# All of them as the uiautomator2 server writes them, at once: half the time of one by one.
_EVERY_WORD = itemgetter(*_WORDS)
_EVERY_SWITCH = itemgetter(*_FLAGS, "visible-to-user")
_BOUNDS = re.compile(r"\[(-?\d{1,9}),(-?\d{1,9})\]\[(-?\d{1,9}),(-?\d{1,9})\]")
_OP = "read the view tree"


def parse(xml: bytes, stamp: Stamp, bound_ns: int, serial: str = "", display: int = 0) -> Hierarchy:
    """The hierarchy of a dump in UTF-8 or UTF-16; text before and after the XML is skipped. Windows that say that they
    are on another display than `display` are left out; who tells of no display tells of the default one (uiautomator2's
    server below Android 11, `uiautomator dump`).

    Raises HierarchyEmpty when it has no view. Raises HierarchyMalformed when it is cut off or is no hierarchy, is
    larger than 5 MB, has more than 10,000 views or 64 windows, is deeper than 512 views, or declares a document type
    (the way to entities).
    """
    if len(xml) > MAX_BYTES:
        raise HierarchyMalformed(serial, _OP, f"{len(xml)} bytes, more than {MAX_BYTES}")
    reader = _Reader(serial, display)
    document = _document(xml, serial)
    # No value has this sign.
    views = document.count(b"<") - document.count(b"</") - document.count(b"<?") - 1
    if views > MAX_VIEWS:
        raise HierarchyMalformed(serial, _OP, f"{views} views, more than {MAX_VIEWS}")
    reader.read(document)
    if not reader.roots:
        raise HierarchyEmpty(serial, _OP, "the dump holds no view")
    if len(reader.roots) > MAX_WINDOWS:
        raise HierarchyMalformed(serial, _OP, f"{len(reader.roots)} windows, more than {MAX_WINDOWS}")
    return Hierarchy(stamp, bound_ns, reader.rotation, tuple(reader.roots), xxhash.xxh3_64_intdigest(xml))


class _Reader:
    """Builds the nodes bottom-up while expat reads; the open views are a list, so depth costs no call stack."""

    def __init__(self, serial: str, display: int) -> None:
        self._display = str(display)
        self.roots: list[Node] = []
        self.rotation: Rotation = 0
        self._serial = serial
        self._open: list[tuple[str, dict[str, str], list[Node]]] = []
        # The siblings of the view that ends next, so far.
        self._nodes = self.roots
        self._ended = False

    def read(self, document: bytes) -> None:
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(document, True)
        except expat.ExpatError as error:
            # `uiautomator dump /dev/tty` says where it dumped to behind the XML.
            if not self._ended:
                raise self._malformed(str(error)) from error
        finally:
            # It holds this object's methods: each would keep the other, and every view, until a collection.
            del self._parser

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        """The outermost element."""
        if name != ROOT:
            raise self._malformed(f"the outermost element is <{name[:60]}>")
        rotation = attributes.get("rotation", "")
        if rotation not in ("0", "1", "2", "3"):
            raise self._malformed(f"a rotation of {rotation[:20]!r}")
        self.rotation = cast(Rotation, int(rotation))
        self._parser.StartElementHandler = self._start

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        opened = self._open
        if len(opened) >= MAX_DEPTH:
            raise self._malformed(f"deeper than {MAX_DEPTH} views")
        opened.append((name, attributes, self._nodes))
        self._nodes = []

    def _end(self, name: str) -> None:
        if not self._open:
            self._ended = True
            self._parser.StartElementHandler = None
            return
        children = self._nodes
        name, attributes, self._nodes = self._open.pop()
        if not self._open and attributes.get("display-id", "0") != self._display:
            return
        try:
            edges, cls, resource_id, text, desc, hint, package = _EVERY_WORD(attributes)
            switches = "\0".join(_EVERY_SWITCH(attributes))
            if "displayed" in attributes:
                switches = f"{switches}\0{attributes['displayed']}"
        except KeyError:
            get = attributes.get
            edges, cls, resource_id, text, desc, hint, package = (get(word, "") for word in _WORDS)
            switches = "\0".join((*(get(flag, "") for flag in _FLAGS), *(get(shown, "true") for shown in _SHOWN)))
        bounds = _bounds(edges)
        if bounds is None:
            raise self._malformed(f"bounds of {edges[:60]!r} in <{name[:60]}>")
        cls = cls or ("" if name == NODE else name)
        self._nodes.append(Node(bounds, cls, resource_id, text, desc, hint, package, _flags(switches), tuple(children)))

    def _doctype(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise self._malformed(f"it declares a document type {name[:60]!r}")

    def _malformed(self, detail: str) -> HierarchyMalformed:
        return HierarchyMalformed(self._serial, _OP, detail)


# Nearly every dump repeats the rectangles and the flags of the one before it: half of the time per view.
@lru_cache(maxsize=8192)
def _bounds(text: str) -> Bounds | None:
    edges = _BOUNDS.fullmatch(text)
    return None if edges is None else Bounds(int(edges[1]), int(edges[2]), int(edges[3]), int(edges[4]))


@lru_cache(maxsize=1024)
def _flags(switches: str) -> NodeFlag:
    """The flags of the values of _FLAGS, then of _SHOWN or its first, with NULs between, which no XML has."""
    values = switches.split("\0")
    flags = 0
    for flag, value in zip(_FLAGS.values(), values, strict=False):
        if value == "true":
            flags |= flag
    if all(value == "true" for value in values[len(_FLAGS) :]):
        flags |= _VISIBLE
    return NodeFlag(flags)


def _document(xml: bytes, serial: str) -> bytes:
    """The XML as UTF-8, whatever encoding it declares, from its first tag on."""
    wide = _wide(xml)
    if wide is not None:
        try:
            xml = xml.decode(wide).encode()
        except UnicodeDecodeError as error:
            raise HierarchyMalformed(serial, _OP, f"broken {wide}: {error.reason}") from error
    starts = [at for at in (xml.find(b"<?xml"), xml.find(b"<hierarchy")) if at >= 0]
    if not starts:
        raise HierarchyMalformed(serial, _OP, _describe(xml))
    return xml[min(starts) :]


def _wide(xml: bytes) -> str | None:
    """The UTF-16 variant of a dump that a Windows shell wrote to a file; None for UTF-8."""
    if xml.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if xml.startswith(b"<\0"):
        return "utf-16-le"
    if xml.startswith(b"\0<"):
        return "utf-16-be"
    return None


def _describe(sent: bytes) -> str:
    """What came instead of XML: a shell's words, but none of a dump whose beginning is missing, which are the app's."""
    words = " ".join(sent[:200].decode("utf-8", "replace").split())
    if not words:
        return "nothing was sent"
    if b"<" in sent or b"=" in sent or b">" in sent:
        return f"{len(sent)} bytes without the beginning of the XML"
    return f"no XML, but {words[:100]!r}"

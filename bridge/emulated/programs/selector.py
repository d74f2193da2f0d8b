"""Selectors of the uiautomator2 client over a dump: which views fit, and what the server tells of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree  # our own dump

_BOUNDS = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")
_TEXTS = {"text": "text", "className": "class", "description": "content-desc", "packageName": "package",
          "resourceId": "resource-id"}  # fmt: skip
_FLAGS = {
    "checkable", "checked", "clickable", "longClickable", "scrollable", "enabled", "focusable", "focused", "selected",
}  # fmt: skip
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "": lambda seen, wanted: seen == wanted,
    "Contains": lambda seen, wanted: wanted in seen,
    "StartsWith": lambda seen, wanted: seen.startswith(wanted),
    "Matches": lambda seen, wanted: re.fullmatch(wanted, seen, re.DOTALL) is not None,
}
_INSTANCE = 0x01000000


class NotFound(Exception):
    """No view fits the selector."""


@dataclass(frozen=True, slots=True)
class View:
    """A view of the dump with its children."""

    attributes: dict[str, str]
    children: tuple[View, ...]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        match = _BOUNDS.fullmatch(self.attributes["bounds"])
        left, top, right, bottom = map(int, match.groups()) if match else (0, 0, 0, 0)
        return left, top, right, bottom

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    def below(self) -> Iterable[View]:
        for child in self.children:
            yield child
            yield from child.below()


def views(dump: bytes) -> list[View]:
    """Every view of a dump of ours, parents before children."""

    def made(element: ElementTree.Element) -> View:
        return View(dict(element.attrib), tuple(made(child) for child in element))

    root = made(ElementTree.fromstring(dump))
    return list(root.below())


def find(among: Iterable[View], selector: dict[str, Any]) -> list[View]:
    """The views that fit, in the dump's order; with an instance only that one."""
    pool = list(among)
    fitting = [view for view in pool if _fits(view, selector)]
    if int(selector.get("mask", 0)) & _INSTANCE:
        fitting = fitting[selector["instance"] : selector["instance"] + 1]
    for relation, inner in zip(
        selector.get("childOrSibling", []), selector.get("childOrSiblingSelector", []), strict=True
    ):
        if relation == "child":
            near = [below for view in fitting for below in view.below()]
        else:
            near = [child for view in pool for child in view.children if any(c in fitting for c in view.children)]
        fitting = find(near, inner)
    return fitting


def info(view: View) -> dict[str, Any]:
    """What `objInfo` says of a view."""
    attributes = view.attributes
    left, top, right, bottom = view.box
    bounds = {"bottom": bottom, "left": left, "right": right, "top": top}
    return {
        "bounds": bounds,
        "visibleBounds": bounds,
        "childCount": len(view.children),
        "className": attributes["class"],
        "contentDescription": attributes["content-desc"],
        "packageName": attributes["package"],
        "resourceName": attributes["resource-id"] or None,
        "text": attributes["text"],
        **{name: attributes[_attribute(name)] == "true" for name in sorted(_FLAGS)},
    }


def _attribute(flag: str) -> str:
    return "long-clickable" if flag == "longClickable" else flag


def _fits(view: View, selector: dict[str, Any]) -> bool:
    for name, wanted in selector.items():
        if name in ("mask", "instance", "childOrSibling", "childOrSiblingSelector"):
            continue
        if name in _FLAGS:
            fits = view.attributes[_attribute(name)] == ("true" if wanted else "false")
        elif name == "index":
            fits = view.attributes["index"] == str(wanted)
        else:
            word = next((end for end in ("Contains", "StartsWith", "Matches") if name.endswith(end)), "")
            fits = _TESTS[word](view.attributes[_TEXTS[name.removesuffix(word)]], str(wanted))
        if not fits:
            return False
    return True

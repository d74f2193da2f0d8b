"""The views of one dump, with what is decided of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.types import Bounds, Node


@dataclass(frozen=True, slots=True)
class Private:
    """A private view: where, what to do, and the scrolling views around it, outermost first, as (key, bounds)."""

    key: str
    bounds: Bounds
    kind: Literal["mask", "block"]
    rule: str
    scrolls: tuple[tuple[str, Bounds], ...]


@dataclass(slots=True)
class Row:
    """A view and what was decided of it.

    `hidden` is the rule by which it is, "" when it is not; `kind` says whether what is below is left out of the tree,
    too. `shown` is the rule by which a user shows it, `typed` says that it or a view around it is a hidden input,
    `below` that something in it is hidden, `pad` that it lies in a keypad; `own` is what it says itself.
    """

    node: Node
    parent: int
    key: str
    bounds: Bounds
    scrolls: tuple[tuple[str, Bounds], ...]
    hidden: str = ""
    kind: Literal["", "mask", "block"] = ""
    shown: str = ""
    typed: bool = False
    covered: Bounds | None = None
    below: bool = False
    pad: bool = False
    own: str = ""


def taint(rows: list[Row], i: int) -> None:
    """Note for a view, and for those around it, that something in them is hidden."""
    while i >= 0 and not rows[i].below:
        rows[i].below = True
        i = rows[i].parent


def root_of(rows: list[Row], i: int) -> int:
    """The window that a view is in."""
    while rows[i].parent >= 0:
        i = rows[i].parent
    return i


def within(inner: Bounds, outer: Bounds | None) -> bool:
    """Whether one rectangle lies in another, which is not empty."""
    return outer is not None and not outer.empty and inner.union(outer) == outer


def words_of(row: Row) -> str:
    """What a view says: its text, without one its description."""
    return (row.node.text or row.node.desc).strip()

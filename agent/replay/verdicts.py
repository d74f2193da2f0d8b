"""What became of each view of a dump and why, read off the covers that were burnt and the labels that are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.model import MaskedNode, MaskedSnapshot, MaskRect
from agent.replay.rows import Row
from agent.replay.windows import outside
from bridge.types import Bounds, Hierarchy, Node

REASONS: Mapping[str, str] = {
    "password": "a password field, or one that once was",
    "editable": "an editable text, which is masked from medium up",
    "private-input": "an input for an address, a phone number or a card",
    "unknown-input": "an input that says nothing of what it is for",
    "text": "a text, which is masked at conservative",
    "web": "a web view",
    "map": "a map",
    "drawing": "a place to draw a code or a signature",
    "pattern": "its words look private, or somebody typed them elsewhere",
    "echo": "it repeats what stands in a private input",
    "keypad": "a keypad, whose keys say what is typed",
    "keyboard": "the keyboard",
    "outside-app": "outside the app's windows",
    "other-app": "another app's",
    "system-ui": "the system's",
    "status-bar": "where the status bar lies over the app",
    "navigation-bar": "where the navigation bar or a keyboard may lie over the app",
    "moving": "private views moved around here between the two dumps",
    "settling": "a private view has just come and may still be sliding in",
    "dragged": "a finger may have magnified, dragged or stretched a private view here",
    "behind": "a private view of the screen before may be seen around this window",
    "no-tree": "there is no view tree for the picture",
    "rotation": "picture and view tree were turned differently",
    "size": "the view tree is larger than the picture",
    "unstable": "the view tree changed around the picture",
    "not-app": "the app has no window here",
    "secure": "the app forbids pictures of this window",
    "no-picture": "no picture had been taken yet",
    "tightened": "masking became stricter, and no picture has been taken since",
}


def reason(rule: str) -> str:
    """The sentence for a rule's name."""
    return REASONS.get(rule, "a rule of yours" if rule else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One view: `covered` is how much of it is, from 0 to 1, `label` and `name` are what a recording tells of it.

    `told` says whether the recording's tree has it at all, `itself` whether the rule means this view or one around it,
    and not another that covers it.
    """

    node: Node
    decision: Literal["show", "mask", "block"]
    rule: str
    covered: float
    told: bool
    itself: bool
    name: str = ""
    label: str = ""


def verdicts(tree: Hierarchy, rows: Sequence[Row], masked: MaskedSnapshot) -> Iterator[Verdict]:
    """Every view of the dump, parents first. `rows` and `masked` are what masking made of it."""
    if masked.blocked:
        yield from (_verdict(node, "block", masked.blocked, 1.0, None, False) for node in tree.walk())
        return
    judged = {id(row.node): row for row in rows}
    told = {node.key: node for node in masked.nodes}
    screen, covers = masked.screen, masked.covers
    for node in tree.walk():
        area = node.bounds.intersect(Bounds(0, 0, screen.width, screen.height))
        share, over = _covered(area, covers)
        row = judged.get(id(node))
        shown = told.get(row.key) if row is not None else None
        if row is not None and row.hidden:
            yield _verdict(node, "block" if row.kind == "block" else "mask", row.hidden, share, shown, True)
        elif over is not None and share == 1:
            yield _verdict(node, over.kind, over.rule, share, shown, False)
        else:
            yield _verdict(node, "show", row.shown if row is not None else "", share, shown, True)


def _verdict(
    node: Node,
    decision: Literal["show", "mask", "block"],
    rule: str,
    share: float,
    shown: MaskedNode | None,
    itself: bool,
) -> Verdict:
    if shown is None:
        return Verdict(node, decision, rule, share, False, itself)
    return Verdict(node, decision, rule, share, True, itself, shown.resource_id, shown.label)


def _covered(area: Bounds, covers: Sequence[MaskRect]) -> tuple[float, MaskRect | None]:
    """The share of an area that covers hide, and the one that hides most of it."""
    over = [cover for cover in covers if not cover.bounds.intersect(area).empty]
    if area.empty or not over:
        return 0.0, None
    left = sum(part.area for part in outside([cover.bounds for cover in over], area))
    return 1 - left / area.area, max(over, key=lambda cover: cover.bounds.intersect(area).area)

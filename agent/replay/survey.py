"""What one dump says: which views are private, where they are, what scrolls, what may be shown."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Literal

import xxhash

from agent.model import MaskedNode, MaskLevel, MaskRect
from agent.replay import rules
from agent.replay.text import STARS, alone, is_secret
from agent.replay.windows import hull, split
from bridge.types import Bounds, Hierarchy, Node, NodeFlag, Size

MIN_KEYS = 9
_NAMED = NodeFlag.CLICKABLE | NodeFlag.LONG_CLICKABLE | NodeFlag.CHECKABLE | NodeFlag.SCROLLABLE | NodeFlag.FOCUSED


@dataclass(frozen=True, slots=True)
class Private:
    """A private view: where, what to do, and the scrolling views around it, outermost first, as (key, bounds)."""

    key: str
    bounds: Bounds
    kind: Literal["mask", "block"]
    rule: str
    scrolls: tuple[tuple[str, Bounds], ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """The result for one dump; bounds are clipped to the screen.

    `app` are the app's windows, `covers` what lies outside or over them, `scrolling` the content of each scrolling view
    as hashes of its texts and classes, `passwords` the keys of password fields, `secrets` what stood in private inputs.
    """

    package: str
    extent: tuple[int, int]
    app: tuple[Bounds, ...]
    covers: tuple[MaskRect, ...]
    private: tuple[Private, ...]
    scrolling: dict[tuple[str, Bounds], frozenset[int]]
    nodes: tuple[MaskedNode, ...]
    silent: tuple[Bounds, ...]
    passwords: frozenset[str]
    secrets: tuple[str, ...]
    worded: bool


@dataclass(slots=True)
class _Row:
    node: Node
    parent: int
    key: str
    bounds: Bounds
    scrolls: tuple[tuple[str, Bounds], ...]
    hidden: str = ""
    below: bool = False


def survey(
    tree: Hierarchy,
    package: str | None,
    level: MaskLevel,
    screen: Size,
    dpi: int,
    known_passwords: Set[str],
    clean: Callable[[str], str],
) -> Survey:
    """Judge every view of a dump. `known_passwords` are keys that once had the password flag, which never wears off.

    `clean` takes what is private out of a text that stays.
    """
    windows = split(tree, package, screen, dpi)
    whole = Bounds(0, 0, screen.width, screen.height)
    rows, blocked = _rows(windows.own, windows.package, whole)
    private: list[Private] = []
    passwords: set[str] = set()
    secrets: dict[str, None] = {}
    keys: dict[int, list[int]] = {}
    calculators: set[int] = set()
    label = ""
    for i, row in enumerate(rows):
        node = row.node
        above = rows[row.parent] if row.parent >= 0 else None
        if above is not None and above.hidden:
            row.hidden = above.hidden
            _note_secret(node, row.hidden, secrets)
            continue
        verdict = rules.judge(node, label, level)
        if row.key in known_passwords:
            verdict = "mask", "password"
        # A label names the input after it, and only that one.
        label = "" if rules.editable(node) else node.text or node.desc or label
        if verdict is not None:
            kind, row.hidden = verdict
            if row.hidden == "password":
                passwords.add(row.key)
            _note_secret(node, row.hidden, secrets)
            _taint(rows, row.parent)
            if not row.bounds.empty:
                private.append(Private(row.key, row.bounds, kind, row.hidden, row.scrolls))
        elif rules.keypad_digit(node):
            keys.setdefault(_root_of(rows, i), []).append(i)
        elif rules.calculator_key(node):
            calculators.add(_root_of(rows, i))
    keypads: list[Bounds] = []
    for root, members in keys.items():
        if len({rules.keypad_digit(rows[i].node) for i in members}) >= MIN_KEYS and root not in calculators:
            keypads += hull([rows[i].bounds for i in members if not rows[i].bounds.empty])
            for i in members:
                rows[i].hidden = "keypad"
                _taint(rows, rows[i].parent)
    private += [Private("", b, "block", "keypad", ()) for b in keypads]
    private += _echoes(rows, secrets)
    return Survey(
        package=windows.package,
        extent=(
            max((r.bounds.right for r in tree.roots), default=0),
            max((r.bounds.bottom for r in tree.roots), default=0),
        ),
        app=tuple(r.bounds.intersect(whole) for r in windows.own),
        covers=windows.covers + tuple(blocked),
        private=tuple(private),
        scrolling=_scrolling(rows),
        nodes=tuple(_shown(rows, clean)),
        silent=windows.silent + tuple(keypads),
        passwords=frozenset(passwords),
        secrets=tuple(secrets),
        worded=any(row.node.text for row in rows),
    )


def _rows(roots: tuple[Node, ...], package: str, whole: Bounds) -> tuple[list[_Row], list[MaskRect]]:
    """The app's views, parents first, and what to block because it belongs to another app inside the app's window."""
    rows: list[_Row] = []
    blocked: list[MaskRect] = []
    stack: list[tuple[Node, int, str, tuple[tuple[str, Bounds], ...]]] = []
    for n, root in enumerate(reversed(roots)):
        stack.append((root, -1, f"{len(roots) - n}", ()))
    while stack:
        node, parent, seed, scrolls = stack.pop()
        bounds = node.bounds.intersect(whole)
        if node.package and node.package != package:
            if not bounds.empty:
                blocked.append(MaskRect(bounds, "block", "other-app"))
            continue
        key = xxhash.xxh3_64_hexdigest(f"{seed}/{node.cls}/{node.resource_id}".encode("utf-8", "replace"))
        me = len(rows)
        rows.append(_Row(node, parent, key, bounds, scrolls))
        if node.flags & NodeFlag.SCROLLABLE:
            scrolls = (*scrolls, (key, bounds))
        # Counting only alike siblings keeps a key when another sibling comes or goes.
        alike: dict[tuple[str, str], int] = {}
        below = []
        for child in node.children:
            name = (child.cls, child.resource_id)
            alike[name] = alike.get(name, 0) + 1
            below.append((child, me, f"{key}{alike[name]}", scrolls))
        stack.extend(reversed(below))
    return rows, blocked


def _note_secret(node: Node, rule: str, secrets: dict[str, None]) -> None:
    if rule in ("text", "web", "map"):
        return
    for line in {node.text.strip(), *map(str.strip, node.text.splitlines())}:
        if line != node.hint and is_secret(line):
            secrets[line] = None


def _taint(rows: list[_Row], i: int) -> None:
    while i >= 0 and not rows[i].below:
        rows[i].below = True
        i = rows[i].parent


def _root_of(rows: list[_Row], i: int) -> int:
    while rows[i].parent >= 0:
        i = rows[i].parent
    return i


def _echoes(rows: list[_Row], secrets: dict[str, None]) -> list[Private]:
    """Views that repeat what stands in a private input, for instance a suggestion list under it."""
    patterns = [alone(secret) for secret in secrets]
    found: list[Private] = []
    for row in rows:
        node = row.node
        if not patterns or row.hidden or not (node.text or node.desc):
            continue
        if not any(p.search(node.text) or p.search(node.desc) for p in patterns):
            continue
        if node.text or not node.children:
            row.hidden = "echo"
            if not row.bounds.empty:
                found.append(Private(row.key, row.bounds, "mask", "echo", row.scrolls))
        _taint(rows, row.parent)
        row.below = True
    return found


def _scrolling(rows: list[_Row]) -> dict[tuple[str, Bounds], frozenset[int]]:
    found: dict[tuple[str, Bounds], set[int]] = {}
    for row in rows:
        for view in row.scrolls:
            node = row.node
            if node.text or node.desc or node.resource_id:
                found.setdefault(view, set()).add(hash((node.cls, node.resource_id, node.text, node.desc)))
    return {view: frozenset(content) for view, content in found.items()}


def _shown(rows: list[_Row], clean: Callable[[str], str]) -> list[MaskedNode]:
    """The views worth showing: named, labelled or touchable ones. What is below a blocked view is left out."""
    shown: list[MaskedNode] = []
    for row in rows:
        node = row.node
        above = rows[row.parent].hidden if row.parent >= 0 else ""
        if row.bounds.empty or above in ("web", "map"):
            continue
        words = node.text or node.desc
        # The words of a container are its children's, joined; an empty private view says nothing by its stars.
        label = STARS if row.hidden or (row.below and words) else clean(words)
        if label or node.resource_id or node.flags & _NAMED or not node.children:
            shown.append(MaskedNode(row.key, row.bounds, node.cls, clean(node.resource_id), label, node.flags))
    return shown

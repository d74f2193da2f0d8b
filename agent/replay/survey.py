"""What one dump says: which views are private, where they are, what scrolls, what may be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

import xxhash

from agent.model import MaskedNode, MaskLevel, MaskRect
from agent.privacy import Rules, own_words
from agent.replay import rules
from agent.replay.dots import dots
from agent.replay.echoes import boxed, echoes, grouped, parted
from agent.replay.keypads import keypads
from agent.replay.rows import Private, Row, root_of, taint, within, words_of
from agent.replay.secrets import MIN_SECRET, is_telling, secrets_in
from agent.replay.spelling import fold
from agent.replay.text import STARS
from agent.replay.windows import PICTURES, few, outside, reach, split
from bridge.types import Bounds, Hierarchy, Node, NodeFlag, Size

MAX_FRAME = 8
# Beside how many views a container's words are looked for, and in how many pieces.
MAX_TOLD, MAX_PARTS = 32, 24
OUTERMOST = 2
# In how many scrolling views a view is known to be; what it says is noted for each of them.
MAX_SCROLLS = 16
# A pen writes into a field from where it comes down so near to it (AOSP InputMethod handwriting bounds), in dp.
PEN_DP = 40
_NO_RULES = Rules()
# An input that is there for its keys alone, and is not to be seen, in dp.
UNSEEN_DP = 4
_NAMED = NodeFlag.CLICKABLE | NodeFlag.LONG_CLICKABLE | NodeFlag.CHECKABLE | NodeFlag.SCROLLABLE | NodeFlag.FOCUSED
_CURSOR = NodeFlag.FOCUSED | NodeFlag.SELECTED | NodeFlag.CHECKED


@dataclass(frozen=True, slots=True)
class Survey:
    """The result for one dump; bounds are clipped to the screen.

    `app` are the app's windows, `covers` what lies outside or over them, `scrolling` the content of each scrolling view
    as hashes of its texts and classes, `passwords` the keys of password fields, `secrets` what stood in private inputs,
    `hard` those of them that no later screen may show either, `texts` what the level hides without
    its having been typed, `ruled` what a user's rule does. `drawn` is where
    words and pictures are for sure, `frames` tells the kinds of windows apart. `rows` are the app's
    views, judged. `inked` is where a pen begins to write into private inputs, `buttons` whether the navigation bar has
    some. `over` are those of `covers` that are windows'; `screen` is what all of it is on. `dots` is how many
    characters the longest password has that shows as dots, 0 for none.
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
    hard: tuple[str, ...]
    texts: tuple[str, ...]
    ruled: tuple[str, ...]
    worded: bool
    drawn: tuple[Bounds, ...]
    frames: frozenset[str]
    rows: tuple[Row, ...]
    inked: tuple[Bounds, ...]
    buttons: bool
    over: tuple[MaskRect, ...]
    screen: Size
    dots: int


def survey(
    tree: Hierarchy,
    package: str | None,
    level: MaskLevel,
    screen: Size,
    dpi: int,
    known_passwords: Set[str],
    clean: Callable[[str], str],
    user: Rules = _NO_RULES,
    made_of: Callable[[str], bool] = lambda name: False,
    *,
    keyboard: bool = False,
) -> Survey:
    """Judge every view of a dump. `known_passwords` are keys that once had the password flag, which never wears off;
    `keyboard` says that one is on the screen, whether the dump tells of it or not.

    `clean` takes what is private out of a text that stays. A view whose text is not clean is covered, too. The rules of
    the `user` hold for a view and all below it: block, then mask, then a password field, then unmask, then the level.
    `made_of` says whether a name is made of what was typed on an earlier screen or is hidden by a rule.
    """
    windows = split(tree, package, screen, dpi, keyboard=keyboard)
    whole = Bounds(0, 0, screen.width, screen.height)
    rows, blocked = _rows(windows.own, windows.package, whole)
    private: list[Private] = []
    passwords: set[str] = set()
    secrets: dict[str, None] = {}
    hard: dict[str, None] = {}
    texts: dict[str, None] = {}
    ruled: dict[str, None] = {}
    barred: list[Bounds] = []
    hidden = 0
    label = ""
    described: dict[int, bool] = {}
    texted: dict[int, bool] = {}
    for i, row in enumerate(rows):
        node = row.node
        above = rows[row.parent] if row.parent >= 0 else None
        wish, name = user.judge(node) or ("", "")
        verdict = rules.judge(node, label, level)
        if verdict is None and level == "conservative" and _told_by_words(row, rows, i, texted, described):
            verdict = "mask", "text"
        if not known_passwords.isdisjoint(_names(row)):
            verdict = "mask", "password"
        sort = verdict[1] if verdict else ""
        # A label names the input after it, and only that one; a star or a sign of an icon font beside it is none.
        words = node.text or node.desc
        label = "" if rules.editable(node) else words if any(map(str.isalnum, words)) else label
        if sort == "password":
            passwords.update(_names(row))
            hidden = max(hidden, dots(node.text) if node.text != node.hint else 0)
        inherited = above is not None and bool(above.hidden)
        if above is not None and inherited:
            row.hidden, row.kind, row.covered = above.hidden, above.kind, above.covered
            if wish == "block" and row.kind == "mask":
                row.hidden, row.kind = name, "block"
                barred.append(row.bounds)
            # What is below need not be inside: few views clip their children.
            if not row.bounds.empty and not within(row.bounds, row.covered):
                private.append(Private(row.key, row.bounds, "mask", row.hidden, row.scrolls))
        else:
            row.shown = name if wish == "unmask" else above.shown if above is not None else ""
            if wish == "block" or wish == "mask":
                verdict = wish, name
                if wish == "block":
                    barred.append(row.bounds)
            elif row.shown and sort != "password":
                verdict = None
            if verdict is None and not _clean(row, clean):
                verdict = "mask", "pattern"
            if verdict is None:
                if level == "conservative" and not row.shown and node.children and row.own:
                    parts = _drawn_by(node, row.bounds, told=_tells_text(rows, i, texted))
                    private += [Private(f"{row.key}/{n}", b, "mask", "text", row.scrolls) for n, b in enumerate(parts)]
                    taint(rows, i)
                continue
            if verdict[1] == rules.DRAWING:
                barred.append(row.bounds)
            row.kind, row.hidden = verdict
            row.covered = row.bounds
            taint(rows, row.parent)
            if not row.bounds.empty:
                private.append(Private(row.key, row.bounds, row.kind or "mask", row.hidden, row.scrolls))
        row.typed = rules.editable(node) or sort == "password" or (above is not None and above.typed)
        if sort in ("password", "private-input"):
            _note_secret(node, node.text, hard)
        if row.typed or row.hidden == "pattern":
            _note_secret(node, node.text, secrets)
        elif row.hidden not in ("web", "map", rules.DRAWING):
            # What the words of a view are may be its description alone; a rule's name has a space in it.
            words = row.own if row.hidden == "text" or " " in row.hidden else node.text
            _note_secret(node, words, texts if row.hidden in ("text", "keypad") else ruled)
    for words, sorts in boxed(rows):
        secrets |= dict.fromkeys(secrets_in(words))
        if sorts & {"password", "private-input"}:
            hard |= dict.fromkeys(secrets_in(words))
    pen = PEN_DP * dpi // 160
    pads = keypads(rows, whole)
    private += [Private("", b, "block", "keypad", ()) for b in pads]
    silent = *windows.silent, *pads, *(b for b in barred if not b.empty)
    for line in grouped(rows, clean):
        secrets |= dict.fromkeys(secrets_in(" ".join(map(words_of, line))))
        for row in line:
            row.hidden = "pattern"
            taint(rows, row.parent)
        private += [Private(row.key, row.bounds, "mask", "pattern", row.scrolls) for row in line]
    private += echoes(rows, secrets)
    private += parted(rows, UNSEEN_DP * dpi // 160)
    return Survey(
        package=windows.package,
        extent=(
            max((r.bounds.right for r in tree.roots), default=0),
            max((r.bounds.bottom for r in tree.roots), default=0),
        ),
        app=tuple(b for r in windows.own if not (b := r.bounds.intersect(whole)).empty),
        covers=windows.covers + tuple(blocked),
        private=tuple(private),
        scrolling=_scrolling(rows),
        nodes=tuple(_shown(rows, clean, level, _made_of((*secrets, *filter(is_telling, (*ruled, *texts))), made_of))),
        silent=silent,
        passwords=frozenset(passwords),
        secrets=tuple(secrets),
        hard=tuple(hard),
        texts=tuple(texts),
        ruled=tuple(ruled),
        worded=any(row.node.text for row in rows),
        drawn=tuple(row.bounds for row in rows if _draws(row)),
        frames=frozenset(map(_frame, windows.own)),
        rows=tuple(rows),
        inked=tuple(row.bounds.grown(pen, pen, pen) for row in rows if row.typed and row.hidden),
        buttons=windows.buttons,
        over=windows.covers,
        screen=screen,
        dots=hidden,
    )


def _rows(roots: tuple[Node, ...], package: str, whole: Bounds) -> tuple[list[Row], list[MaskRect]]:
    """The app's views, parents first, and what to block because it belongs to another app inside the app's window."""
    rows: list[Row] = []
    blocked: list[MaskRect] = []
    stack: list[tuple[Node, int, str, tuple[tuple[str, Bounds], ...]]] = []
    for n, root in enumerate(reversed(roots)):
        stack.append((root, -1, f"{len(roots) - n}", ()))
    while stack:
        node, parent, seed, scrolls = stack.pop()
        bounds = node.bounds.intersect(whole)
        if node.package and node.package != package:
            blocked += [MaskRect(b, "block", "other-app") for b in reach(node, whole)]
            continue
        key = xxhash.xxh3_64_hexdigest(f"{seed}/{node.cls}/{node.resource_id}".encode("utf-8", "replace"))
        me = len(rows)
        rows.append(Row(node, parent, key, bounds, scrolls, own=own_words(node)))
        if node.flags.has(NodeFlag.SCROLLABLE) and len(scrolls) < MAX_SCROLLS:
            scrolls = (*scrolls, (key, bounds))
        # Counting only alike siblings keeps a key when another sibling comes or goes.
        alike: dict[tuple[str, str], int] = {}
        below = []
        for child in node.children:
            name = (child.cls, child.resource_id)
            alike[name] = alike.get(name, 0) + 1
            below.append((child, me, f"{key}{alike[name]}", scrolls))
        stack.extend(reversed(below))
    return rows, few(blocked)


def _names(row: Row) -> tuple[str, ...]:
    """By what a password field is known again: its place in the tree, and any input of its id or at its place."""
    node = row.node
    if not rules.editable(node):
        return (row.key,)
    return (row.key, *((f"#{node.resource_id}",) if node.resource_id else ()), f"@{node.bounds}")


def _told_by_words(row: Row, rows: list[Row], i: int, texted: dict[int, bool], described: dict[int, bool]) -> bool:
    """Whether a picture's description is what is drawn: a toolkit that draws all words itself (Flutter) tells of each
    by a description, and of a row with a picture in it as one picture. `described` keeps which windows do so."""
    node = row.node
    if not node.desc or node.children or not node.cls.endswith(PICTURES) or _tells_text(rows, i, texted):
        return False
    root = root_of(rows, i)
    if root not in described:
        described[root] = any(
            each.desc and not each.children and each.cls == "android.view.View" for each in rows[root].node.walk()
        )
    return described[root]


def _clean(row: Row, clean: Callable[[str], str]) -> bool:
    """Whether a view says nothing private itself. The words of a container are its children's as far as these are, and
    what is private in all of them together and in none alone is its own."""
    node = row.node
    if node.text or not node.children:
        return all(clean(words) == words for words in (node.text, node.desc) if words)
    if clean(row.own) != row.own:
        return False
    return clean(node.desc) == node.desc or any(
        clean(words) != words for below in node.walk() if below is not node for words in (below.text, below.desc)
    )


def _tells_text(rows: list[Row], i: int, texted: dict[int, bool]) -> bool:
    """Whether a view's window tells any text beside what is typed, as all do whose toolkit has views for it. `texted`
    keeps which do."""
    root = root_of(rows, i)
    if root not in texted:
        texted[root] = any(each.text for each in rows[root].node.walk() if not rules.editable(each))
    return texted[root]


def _drawn_by(node: Node, bounds: Bounds, *, told: bool) -> list[Bounds]:
    """Where a container may draw words itself: beside the pictures and the words of what is in it. Where the window has
    not `told` any text they may also stand on a picture that fills half of it."""
    leaves = (below for below in node.walk() if below is not node and not below.children)
    beside = [
        leaf.bounds
        for leaf in leaves
        if (leaf.cls.endswith(PICTURES) and (told or leaf.bounds.area * 2 <= bounds.area))
        or ((leaf.text or leaf.desc) and not leaf.cls.endswith(PICTURES))
    ]
    parts = outside(beside[:MAX_TOLD], bounds) if not bounds.empty else []
    return parts if len(parts) <= MAX_PARTS else [bounds]


def _note_secret(node: Node, words: str, secrets: dict[str, None]) -> None:
    secrets |= dict.fromkeys(line for line in secrets_in(words) if line != node.hint)


def _draws(row: Row) -> bool:
    """Whether something is drawn there for sure: words, or a picture."""
    node = row.node
    if row.bounds.empty:
        return False
    return bool(node.text) or rules.editable(node) or (not node.children and node.cls.endswith(PICTURES))


def _frame(root: Node) -> str:
    """By what a window of an activity is told from one of a dialog: what frames its content, from the outside in.

    Android builds both around `android:id/content`, each with its own views; without that the outermost ones count.
    """
    parts: list[str] = []
    node = root
    while len(parts) < MAX_FRAME:
        parts.append(f"{node.cls}#{node.resource_id}")
        large = [child for child in node.children if child.bounds.area * 100 >= root.bounds.area * 85]
        if node.resource_id == "android:id/content" or not large:
            break
        node = large[0]
    framed = parts if "android:id/content" in parts[-1] else parts[:OUTERMOST]
    return "/".join(framed)


def _made_of(secrets: Iterable[str], before: Callable[[str], bool]) -> Callable[[str], bool]:
    """Whether a name is made of one of the secrets, or of one `before`."""
    folded = [word for secret in secrets if len(word := fold(secret)) >= MIN_SECRET]

    def made_of(name: str) -> bool:
        plain = fold(name)
        return any(word in plain for word in folded) or before(name)

    return made_of


def _scrolling(rows: list[Row]) -> dict[tuple[str, Bounds], frozenset[int]]:
    found: dict[tuple[str, Bounds], set[int]] = {}
    for row in rows:
        for view in row.scrolls:
            node = row.node
            if node.text or node.desc or node.resource_id:
                found.setdefault(view, set()).add(hash((node.cls, node.resource_id, node.text, node.desc)))
    return {view: frozenset(content) for view, content in found.items()}


def _shown(
    rows: list[Row], clean: Callable[[str], str], level: MaskLevel, typed: Callable[[str], bool]
) -> list[MaskedNode]:
    """The views worth showing: named, labelled or touchable ones. What is below a blocked view is left out.

    At conservative no words are told: those of a picture or of a container are often those of a text beside it, and a
    name with spaces is made of some. A testID made of what somebody typed is not told at any level.
    """
    shown: list[MaskedNode] = []
    for row in rows:
        node = row.node
        if row.bounds.empty or (row.parent >= 0 and rows[row.parent].kind == "block"):
            continue
        words = node.text or node.desc
        strict = level == "conservative" and not row.shown
        # The words of a container are its children's, joined; an empty private view says nothing by its stars.
        label = STARS if row.hidden or ((row.below or strict) and words) else clean(words)
        name = STARS if strict and " " in node.resource_id else clean(node.resource_id)
        if name and ":id/" not in name and typed(name):
            name = STARS
        # Which key has the focus is what is typed, where that is done without fingers.
        flags = node.flags & ~_CURSOR if row.pad else node.flags
        if label or name or flags.has(_NAMED) or not node.children:
            shown.append(MaskedNode(row.key, row.bounds, clean(node.cls), name, label, flags, not node.children))
    return shown

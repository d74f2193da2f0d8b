"""Which windows of a dump belong to the recorded app, and what all others draw over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.model import MaskRect
from bridge.types import Bounds, Hierarchy, Node, NodeFlag, Size

_SHEETS = frozenset((
    "android", "com.android.systemui", "com.google.android.gms",
    "com.android.permissioncontroller", "com.google.android.permissioncontroller",
    "com.android.packageinstaller", "com.google.android.packageinstaller",
))  # fmt: skip
_KEYBOARD_WORDS = ("inputmethod", "keyboard", "swiftkey", "honeyboard", ".latin", ".ime", "baidu.input", "smartinput")
PICTURES = ("ImageView", "ImageButton", "SurfaceView", "TextureView", "WebView")
_STATUS_BAR_DP = _NAVIGATION_BAR_DP = 48
# AOSP status_bar_height is 24 dp, the bar of gestures is 16 dp high on some phones.
_LEAST_BAR_DP = 16
# Only a bar of three buttons has one for the overview: where a gesture goes home there is a back button as well, with
# two buttons, or while a keyboard is up.
_OVERVIEW = "com.android.systemui:id/recent_apps"
_GROUNDS = "android:id/statusBarBackground", "android:id/navigationBarBackground"
# A keyboard with its suggestions and key previews, over a navigation bar.
_KEYBOARD_DP = 420
# A key that is down shows its letter above the keyboard, in a window of which no tree tells (AOSP LatinIME draws it
# 80 dp high, over the key).
_PREVIEW_DP = 72
# What is covered is cut out of all that is left, piece by piece.
MAX_COVERS = 256


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one dump.

    `package` is whose windows `own` are ("" when there is none). `covers` is what hides everything else: the area
    outside the app and what foreign windows draw. `silent` are the places where a touch says what was typed. `buttons`
    says that the navigation bar has all three of them: then no gesture takes the app from the screen.
    """

    package: str
    own: tuple[Node, ...]
    covers: tuple[MaskRect, ...]
    silent: tuple[Bounds, ...]
    buttons: bool = False


def split(tree: Hierarchy, package: str | None, screen: Size, dpi: int, *, keyboard: bool = False) -> Windows:
    """Tell the app's windows from all others. `keyboard` says that one is on the screen: a dump leaves out a window
    that gives no root at that moment (AOSP AccessibilityWindowInfo.getRoot).

    Without `package` the app is that of the largest window that is neither system, keyboard nor launcher. The order of
    windows in a dump is not their order on the screen (the u2 server collects them in a hash set), so every foreign
    window counts as lying on top.
    """
    whole = Bounds(0, 0, screen.width, screen.height)
    owners = [(root, owner(root)) for root in tree.roots]
    target = package or _largest(owners, whole)
    own = tuple(root for root, name in owners if target and name == target and reach(root, whole))
    covers = [MaskRect(b, "block", "outside-app") for b in outside([r.bounds.intersect(whole) for r in own], whole)]
    silent: list[Bounds] = []
    buttons = False
    for root, name in owners:
        if target and name == target:
            continue
        buttons = buttons or any(node.resource_id == _OVERVIEW for node in root.walk())
        rule = "keyboard" if is_keyboard(name) else "system-ui" if name in _SHEETS else "other-app"
        drawn = _drawn(root, name, whole)
        above = _PREVIEW_DP * dpi // 160 if rule == "keyboard" else 0
        covers += [MaskRect(Bounds(b.left, max(0, b.top - above), b.right, b.bottom), "block", rule) for b in drawn]
        silent += hull([b for b in drawn if rule != "system-ui" or not is_bar(b, whole)])
    unseen = keyboard and not any(is_keyboard(name) for _, name in owners)
    low = screen.height - _KEYBOARD_DP * dpi // 160
    keys = Bounds(0, max(0, low), screen.width, screen.height)
    if own and unseen:
        covers.append(MaskRect(keys, "block", "keyboard"))
        silent.append(keys)
    alone = own and len(own) == len(owners)
    large = alone and max(r.bounds.area for r in own) * 10 > whole.area * 9
    if alone and not large and _typing(own):
        # All around is covered; where keys may be there no finger is told either.
        silent += [cover.bounds for cover in covers]
    if large:
        # A dump of the active window alone tells neither of the bars that lie over it nor of a keyboard.
        strip, low = _bars(own, screen, dpi)
        below = Bounds(0, max(0, low), screen.width, screen.height)
        if _typing(own):
            below = keys
            silent.append(keys)
        covers.append(MaskRect(Bounds(0, 0, screen.width, strip), "block", "status-bar"))
        covers.append(MaskRect(below, "block", "navigation-bar"))
    return Windows(target if own else "", own, tuple(few(covers)), tuple(silent), buttons)


def _typing(own: tuple[Node, ...]) -> bool:
    """Whether something in the app's windows is focused that one may type into: a keyboard may be up."""
    return any(
        node.flags.has(NodeFlag.FOCUSED) and not node.cls.endswith(("Button", "ImageView", "Layout", "ScrollView"))
        for root in own
        for node in root.walk()
    )


def _bars(own: tuple[Node, ...], screen: Size, dpi: int) -> tuple[int, int]:
    """Down to where the status bar may lie over the app's windows, and from where on the navigation bar.

    A window that is not drawn under the bars paints their ground, by views of just their size (AOSP DecorView).
    """
    least = _LEAST_BAR_DP * dpi // 160
    upper, lower = min(_STATUS_BAR_DP * dpi // 160, screen.height), screen.height - _NAVIGATION_BAR_DP * dpi // 160
    for node in (node for root in own for node in root.walk() if node.resource_id in _GROUNDS):
        b = node.bounds
        if b.left <= 0 and b.right >= screen.width and least <= b.height <= 2 * _STATUS_BAR_DP * dpi // 160:
            if node.resource_id == _GROUNDS[0] and b.top <= 0:
                upper = b.bottom
            elif node.resource_id == _GROUNDS[1] and b.bottom >= screen.height:
                lower = b.top
    return upper, lower


def owner(root: Node) -> str:
    """The package of a window: that of its root, or of the first node that names one."""
    return root.package or next((n.package for n in root.walk() if n.package), "")


def is_keyboard(package: str) -> bool:
    name = package.lower()
    return any(word in name for word in _KEYBOARD_WORDS)


def outside(inside: list[Bounds], whole: Bounds) -> list[Bounds]:
    """Rectangles that fill `whole` except for `inside`."""
    left = [whole]
    for hole in inside:
        left = [piece for part in left for piece in _without(part, hole)]
    return left


def _without(part: Bounds, hole: Bounds) -> Iterator[Bounds]:
    cut = part.intersect(hole)
    if cut.empty:
        yield part
        return
    for piece in (
        Bounds(part.left, part.top, part.right, cut.top),
        Bounds(part.left, cut.bottom, part.right, part.bottom),
        Bounds(part.left, cut.top, cut.left, cut.bottom),
        Bounds(cut.right, cut.top, part.right, cut.bottom),
    ):
        if not piece.empty:
            yield piece


def _largest(owners: list[tuple[Node, str]], whole: Bounds) -> str:
    best, area = "", 0
    for root, name in owners:
        shown = root.bounds.intersect(whole).area
        if shown > area and name not in _SHEETS and not is_keyboard(name) and "launcher" not in name:
            best, area = name, shown
    return best


def is_bar(part: Bounds, whole: Bounds) -> bool:
    """Whether it is part of a status or navigation bar: a twelfth of the screen at an edge."""
    return (
        part.bottom * 12 <= whole.bottom
        or part.top * 12 >= whole.bottom * 11
        or part.right * 12 <= whole.right
        or part.left * 12 >= whole.right * 11
    )


def floats(keys: Bounds, whole: Bounds) -> bool:
    """Whether a keyboard does not stand at the foot of the screen."""
    return keys.bottom * 12 < whole.bottom * 11


def hull(parts: list[Bounds]) -> list[Bounds]:
    """The one rectangle around all `parts`, as a list; none for none."""
    if not parts:
        return []
    left, top = min(b.left for b in parts), min(b.top for b in parts)
    return [Bounds(left, top, max(b.right for b in parts), max(b.bottom for b in parts))]


def few(covers: list[MaskRect]) -> list[MaskRect]:
    """The covers as they are, or of too many one for each rule around all of its."""
    if len(covers) <= MAX_COVERS:
        return covers
    parts: dict[str, list[Bounds]] = {}
    for cover in covers:
        parts.setdefault(cover.rule, []).append(cover.bounds)
    return [MaskRect(b, "block", rule) for rule, each in parts.items() for b in hull(each)]


def reach(view: Node, whole: Bounds) -> list[Bounds]:
    """Where a view and all below it may draw: a view may be smaller than its children, or empty."""
    shown = view.bounds.intersect(whole)
    parts = {} if shown.empty else {shown: None}
    for node in view.walk():
        area = node.bounds.intersect(whole)
        if not area.empty and (shown.empty or area.union(shown) != shown):
            parts[area] = None
    return list(parts)


def _drawn(root: Node, package: str, whole: Bounds) -> list[Bounds]:
    """What a foreign window hides.

    An app's window is opaque: all of it. The system's and a keyboard's may be a transparent sheet as large as the
    screen with the content somewhere on it: there a part counts when it is at most half the screen, or says or shows
    something itself. A bare larger view is a container or a dimming layer.
    """
    shown = root.bounds.intersect(whole)
    if not (package in _SHEETS or is_keyboard(package)) or shown.area * 2 <= whole.area:
        return reach(root, whole)
    parts: list[Bounds] = []
    stack = [root]
    while stack:
        node = stack.pop()
        area = node.bounds.intersect(whole)
        if not area.empty and (area.area * 2 <= whole.area or node.text or node.desc or node.cls.endswith(PICTURES)):
            parts.append(area)
        else:
            # A view may be smaller than its children, or empty, when the parent does not clip.
            stack.extend(node.children)
    # Keys come with gaps, and some keyboards tell nothing of their keys.
    return (hull(parts) or [shown]) if is_keyboard(package) else parts

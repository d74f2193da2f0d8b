"""What stands at a place of a screen: the view that a person would say was touched, by its words and its selectors.

The recorded views are flat boxes without an order of drawing, so of those around a place the smallest that can be
clicked counts, then the smallest that has a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.privacy import STARS
from agent.replay.playback import Box, View

By = Literal["testid", "id", "text", "desc"]

MAX_WORDS = 80
MAX_PARTS = 3
# Half a dp: boxes are told with one digit.
SLACK = 0.5
# How far over an input its label may end, in dp.
NEAR = 32.0
# Endings of class names, the first that fits counts.
_ROLES = (
    ("EditText", "field"), ("AutoCompleteTextView", "field"), ("TextInputLayout", "field"), ("ImageButton", "button"),
    ("RadioButton", "radio button"), ("ToggleButton", "switch"), ("Button", "button"), ("CheckBox", "check box"),
    ("CheckedTextView", "check box"), ("Switch", "switch"), ("SwitchCompat", "switch"), ("SwitchMaterial", "switch"),
    ("SeekBar", "slider"), ("Slider", "slider"), ("Spinner", "drop-down list"), ("ImageView", "image"),
    ("TextView", "text"), ("WebView", "web page"), ("MapView", "map"), ("RecyclerView", "list"), ("ListView", "list"),
    ("GridView", "grid"), ("ScrollView", "list"), ("ViewPager", "pager"), ("ViewPager2", "pager"),
)  # fmt: skip
# Views whose label is their text; that of others is their description.
_WORDED = ("Text", "Button", "Box", "Switch", "Chip", "Tab")


@dataclass(frozen=True, slots=True)
class Target:
    """A view that was touched. `role` says what it is, `words` what it shows ("" when nothing, or nothing to tell).

    `name` is its testID or its resource id, `label` its own text or description. `hidden` says that its words are
    masked. What stands in an input is what somebody typed, and is never told. `near` is the text above a view that has
    neither words nor a name.
    """

    role: str
    words: str
    name: str
    label: str
    cls: str
    hidden: bool = False
    near: str = ""

    @property
    def selector(self) -> tuple[By, str] | None:
        """How to find it again: its testID, its id, its text, its description; None when it has none of them."""
        if self.name:
            return ("id" if ":id/" in self.name else "testid"), self.name
        if self.label:
            plain = self.cls.rpartition(".")[2]
            return ("text" if any(word in plain for word in _WORDED) else "desc"), self.label
        return None


def touched(views: Sequence[View], x: float, y: float) -> Target | None:
    """The view that a tap at a place (dp) meant; None when nothing there has a name or can be clicked."""
    around = [view for view in views if _holds(view.box, x, y)]
    for wanted in (_clickable, _named):
        found = _smallest(view for view in around if wanted(view))
        if found is not None:
            return described(found, views)
    return None


def scrolled(views: Sequence[View], x: float, y: float) -> Target | None:
    """The innermost view at a place that scrolls."""
    found = _smallest(view for view in views if _holds(view.box, x, y) and "scrollable" in _flags(view))
    return None if found is None else described(found, ())


def focused(views: Iterable[View]) -> Target | None:
    """The input that what is typed goes to."""
    for view in views:
        if "focused" in _flags(view):
            target = described(view, ())
            if target.role == "field":
                return target
    return None


def described(view: View, views: Sequence[View]) -> Target:
    """A view as a target. Without words of its own those of the views in it are its words."""
    cls = view.attributes.get("data-class", "")
    role = _role(view, cls)
    label, name = view.attributes.get("aria-label", ""), view.attributes.get("data-res", "")
    hidden = label == STARS
    own = "" if hidden or role == "field" else label
    words = own if own or hidden or role == "field" else _inside(view, views)
    name = "" if STARS in name else name
    near = "" if words or name else _above(view, views)
    return Target(role, _short(words), name, own, cls, hidden, _short(near))


def _above(view: View, views: Sequence[View]) -> str:
    """The text that stands over a view, as the label of an input does."""
    box = view.box
    found: list[tuple[float, str]] = []
    for other in views:
        words, far = _told(other), box.top - (other.box.top + other.box.height)
        beside = other.box.left >= box.left + box.width or other.box.left + other.box.width <= box.left
        if words and -SLACK <= far <= NEAR and not beside:
            found.append((far, words))
    return min(found, default=(0.0, ""))[1]


def _told(view: View) -> str:
    """A view's label, unless it is masked or what somebody typed."""
    label = view.attributes.get("aria-label", "")
    return "" if label == STARS or _role(view, view.attributes.get("data-class", "")) == "field" else label


def _inside(view: View, views: Sequence[View]) -> str:
    """The words that stand in a view, from above, each once."""
    within = [
        other
        for other in views
        if other is not view and other.box.width * other.box.height < view.box.width * view.box.height
        and _holds(view.box, other.box.left, other.box.top)
        and _holds(view.box, other.box.left + other.box.width, other.box.top + other.box.height)
    ]  # fmt: skip
    within.sort(key=lambda other: (other.box.top, other.box.left))
    words = dict.fromkeys(label for other in within if (label := _told(other)))
    return ", ".join(list(words)[:MAX_PARTS])


def _short(words: str) -> str:
    plain = " ".join(words.split())
    return plain if len(plain) <= MAX_WORDS else plain[: MAX_WORDS - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _role(view: View, cls: str) -> str:
    for ending, role in _ROLES:
        if cls.endswith(ending):
            return role
    flags = _flags(view)
    return "button" if "clickable" in flags else "list" if "scrollable" in flags else "element"


def _smallest(views: Iterable[View]) -> View | None:
    return min(views, key=lambda view: view.box.width * view.box.height, default=None)


def _holds(box: Box, x: float, y: float) -> bool:
    across = box.left - SLACK <= x <= box.left + box.width + SLACK
    return across and box.top - SLACK <= y <= box.top + box.height + SLACK


def _clickable(view: View) -> bool:
    return "clickable" in _flags(view)


def _named(view: View) -> bool:
    return bool(view.attributes.get("data-res") or view.attributes.get("aria-label"))


def _flags(view: View) -> frozenset[str]:
    return frozenset(view.attributes.get("data-flags", "").split())

"""The shop app: its screens as view trees of its state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.emulated.world.views import View

PACKAGE = "com.northbay.shop"
ACTIVITY = f"{PACKAGE}.MainActivity"
PRODUCTS = (
    ("Harbor Mug", 18, "#b5652a"), ("Linen Tote", 34, "#7a8b6f"), ("Desk Lamp", 79, "#c9a227"),
    ("Wool Throw", 120, "#8d5a97"), ("Trail Bottle", 29, "#2e7d8c"), ("Cedar Candle", 24, "#a8443a"),
    ("Canvas Cap", 27, "#4d6cad"), ("Walnut Tray", 58, "#6b4a34"), ("Ceramic Vase", 46, "#3f8f6b"),
    ("Reading Chair", 340, "#54606e"), ("Field Notebook", 14, "#b08a3e"), ("Rain Jacket", 149, "#d0762c"),
)  # fmt: skip
ACCENT, PAPER, INK, SOFT = "#0f5e6b", "#f6f3ee", "#1d2529", "#6b7478"
HEADER, STRIP, STATUS, NAVIGATION, KEYBOARD = 56, 10, 32, 24, 260
FIELDS = {
    "login": (("email", "Email", False), ("password", "Password", True)),
    "checkout": (
        ("card-number", "Card number", False), ("card-cvc", "CVC", False), ("address", "Street and city", False),
    ),
}  # fmt: skip


@dataclass(slots=True)
class State:
    """What the user did so far, as far as it is seen."""

    screen: str = "splash"
    product: int = 0
    picture: int = 0
    cart: list[int] = field(default_factory=list)
    typed: dict[str, str] = field(default_factory=dict)
    focus: str = ""
    scroll: float = 0.0

    @property
    def keyboard(self) -> bool:
        return bool(self.focus)


def scroll_range(state: State, height: float) -> float:
    """How far the list can be scrolled on a screen of `height` dp."""
    if state.screen != "list":
        return 0.0
    rows = (len(PRODUCTS) + 1) // 2
    return max(0.0, rows * 232 + 16 - (height - STATUS - HEADER - STRIP - NAVIGATION - 56))


def screen(
    state: State, width: float, height: float, body_of: Callable[[State, View, float, float], None] | None = None
) -> View:
    """The app's window: React Native's nest of containers around the current screen, drawn by `body_of` if given."""
    bottom = height - NAVIGATION
    root = View((0, 0, width, height), "android.widget.FrameLayout", "fill", PAPER)
    inner = root
    for cls in ("android.widget.LinearLayout", "android.widget.FrameLayout", "android.widget.FrameLayout"):
        nested = View((0, STATUS, width, bottom), cls)
        inner.add(nested)
        inner = nested
    for _ in range(8):
        nested = View((0, STATUS, width, bottom))
        inner.add(nested)
        inner = nested
    body = View((0, STATUS + HEADER + STRIP, width, bottom))
    if state.screen == "splash":
        inner.add(
            View((0, STATUS, width, bottom), look="fill", colour=ACCENT),
            View(
                (width / 2 - 48, height / 2 - 96, width / 2 + 48, height / 2),
                "android.widget.ImageView",
                "circle",
                PAPER,
            ),
            text("Northbay", (0, height / 2 + 16, width, height / 2 + 64), 32, "#ffffff", bold=True, align="center"),
        )
    else:
        inner.add(_header(state, width))
        inner.add(body)
        (body_of or _BODIES[state.screen])(state, body, width, bottom)
    inner.add(
        View((0, STATUS + HEADER, width, STATUS + HEADER + STRIP), "android.view.View", "timecode", res="timecode")
    )
    return root


def text(
    words: str,
    box: tuple[float, float, float, float],
    font: float = 15,
    ink: str = INK,
    *,
    bold: bool = False,
    align: str = "left",
    res: str = "",
) -> View:
    view = View(box, "android.widget.TextView", "text", text=words, ink=ink, font=font, bold=bold, res=res)
    view.align = "center" if align == "center" else "left"
    return view


def button(label: str, box: tuple[float, float, float, float], res: str, tap: str, colour: str = ACCENT) -> View:
    button = View(box, look="button", colour=colour, res=res, desc=label, tap=tap)
    return button.add(text(label, box, 16, "#ffffff", bold=True, align="center"))


def _header(state: State, width: float) -> View:
    titles = {"list": "Shop", "product": PRODUCTS[state.product][0], "login": "Sign in", "pin": "Card PIN"}
    title = titles.get(state.screen, state.screen.rstrip("0123456789").capitalize())
    bar = View((0, STATUS, width, STATUS + HEADER), look="fill", colour=ACCENT)
    bar.add(text(title, (20, STATUS, width - 150, STATUS + HEADER), 21, "#ffffff", bold=True))
    if state.screen in ("list", "product"):
        bar.add(
            button(
                f"Cart {len(state.cart)}",
                (width - 100, STATUS + 10, width - 16, STATUS + 46),
                "cart",
                "go:cart",
                "#0a4751",
            )
        )
    return bar


def _form(state: State, body: View, width: float, top: float) -> float:
    for key, label, password in FIELDS[state.screen]:
        value = state.typed.get(key, "")
        shown = "•" * len(value) if password else value
        body.add(text(label, (24, top, width - 24, top + 22), 13, SOFT))
        body.add(
            View(
                (24, top + 24, width - 24, top + 72), "android.widget.EditText", "field", "#ffffff", shown, INK, 17,
                res=key, hint=label, tap=f"focus:{key}", password=password, focused=state.focus == key, private=value,
            )
        )  # fmt: skip
        top += 88
    return top


def _login(state: State, body: View, width: float, bottom: float) -> None:
    top = STATUS + HEADER + STRIP + 24.0
    body.add(text("Welcome back", (24, top, width - 24, top + 40), 28, bold=True))
    top = _form(state, body, width, top + 56)
    body.add(button("Sign in", (24, top + 8, width - 24, top + 60), "sign-in", "signin"))


def _list(state: State, body: View, width: float, bottom: float) -> None:
    top = STATUS + HEADER + STRIP
    pane = View((0, top, width, bottom - 56), "android.widget.ScrollView", scrolls=True, res="product-list")
    half = (width - 48) / 2
    for index, (name, price, colour) in enumerate(PRODUCTS):
        left = 16 + (index % 2) * (half + 16)
        upper = top + 16 + (index // 2) * 232 - state.scroll
        box = (left, upper, left + half, upper + 216)
        card = View(box, look="card", tap=f"product:{index}", desc=f"{name}, ${price}", res=f"product-{index}")
        card.add(
            View((left, upper, left + half, upper + 150), "android.widget.ImageView", "image", colour),
            text(name, (left + 12, upper + 156, left + half - 8, upper + 182), 15, bold=True),
            text(f"${price}", (left + 12, upper + 182, left + half - 8, upper + 206), 14, ACCENT),
        )
        pane.add(card)
    body.add(pane)
    tabs = View((0, bottom - 56, width, bottom), look="fill", colour="#ffffff")
    third = width / 3
    for slot, (label, tap) in enumerate((("Shop", "go:list"), ("Cart", "go:cart"), ("Account", "go:account"))):
        box = (slot * third, bottom - 56, (slot + 1) * third, bottom)
        tabs.add(
            View(box, tap=tap, desc=label, res=f"tab-{label.lower()}").add(text(label, box, 14, ACCENT, align="center"))
        )
    body.add(tabs)


def _product(state: State, body: View, width: float, bottom: float) -> None:
    name, price, colour = PRODUCTS[state.product]
    top = STATUS + HEADER + STRIP
    body.add(
        View(
            (0, top, width, top + 320),
            "android.widget.ImageView",
            "image",
            colour,
            desc=f"picture {state.picture + 1} of 3",
            tap="picture",
        )
    )
    for dot in range(3):
        x = width / 2 - 24 + dot * 20
        body.add(
            View(
                (x, top + 330, x + 10, top + 340),
                "android.view.View",
                "circle",
                ACCENT if dot == state.picture else "#c9c4ba",
            )
        )
    body.add(
        text(name, (24, top + 352, width - 24, top + 392), 26, bold=True),
        text(f"${price}", (24, top + 392, width - 24, top + 424), 20, ACCENT, bold=True),
        text("Made to last, kind to hands and homes.", (24, top + 428, width - 24, top + 456), 15, SOFT),
        button("Add to cart", (24, top + 480, width - 24, top + 532), "add-to-cart", "add"),
    )


def _cart(state: State, body: View, width: float, bottom: float) -> None:
    top = STATUS + HEADER + STRIP + 16.0
    for index in state.cart:
        name, price, colour = PRODUCTS[index]
        row = View((16, top, width - 16, top + 80), look="card", desc=f"{name}, ${price}")
        row.add(
            View((28, top + 12, 84, top + 68), "android.widget.ImageView", "image", colour),
            text(name, (100, top + 14, width - 100, top + 44), 17, bold=True),
            text(f"${price}", (100, top + 42, width - 100, top + 68), 15, ACCENT),
        )
        body.add(row)
        top += 96
    total = sum(PRODUCTS[index][1] for index in state.cart)
    body.add(text(f"Total ${total}", (24, top + 8, width - 24, top + 44), 20, bold=True))
    body.add(button("Check out", (24, top + 56, width - 24, top + 108), "check-out", "go:checkout"))


def _checkout(state: State, body: View, width: float, bottom: float) -> None:
    top = _form(state, body, width, STATUS + HEADER + STRIP + 20.0)
    body.add(button("Pay now", (24, top + 8, width - 24, top + 60), "pay", "pay"))


def _pin(state: State, body: View, width: float, bottom: float) -> None:
    top = STATUS + HEADER + STRIP + 60
    body.add(text("Confirm with your bank", (0, top, width, top + 40), 22, bold=True, align="center"))
    body.add(button("Approve", (24, top + 100, width - 24, top + 152), "approve", "approve"))


def _done(state: State, body: View, width: float, bottom: float) -> None:
    top = STATUS + HEADER + STRIP + 60
    body.add(View((width / 2 - 48, top, width / 2 + 48, top + 96), "android.view.View", "circle", "#3f8f6b"))
    body.add(text("Thank you", (0, top + 120, width, top + 164), 28, bold=True, align="center"))
    body.add(button("Keep browsing", (24, top + 200, width - 24, top + 252), "keep-browsing", "go:list"))


def _account(state: State, body: View, width: float, bottom: float) -> None:
    top = STATUS + HEADER + STRIP + 24
    body.add(text("Your account", (24, top, width - 24, top + 40), 26, bold=True))
    body.add(button("Log out", (24, top + 80, width - 24, top + 132), "log-out", "logout", "#a8443a"))


_BODIES = {
    "login": _login, "list": _list, "product": _product, "cart": _cart, "checkout": _checkout, "pin": _pin,
    "done": _done, "account": _account,
}  # fmt: skip

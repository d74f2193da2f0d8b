"""Screens and windows on which a recorder leaks easily, and scripts that bring them up: worlds of the leak test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from bridge.emulated.world import shop
from bridge.emulated.world.shop import ACCENT, HEADER, INK, NAVIGATION, SOFT, STATUS, STRIP, State
from bridge.emulated.world.system import LAUNCHER
from bridge.emulated.world.views import View, Window

Body = Callable[[State, View, float, float], None]

MAIL = "com.lakeside.mail"
ACCOUNTS = "com.google.android.gms"
CHAT_ROWS, CHAT_STEP, CHAT_EVERY = 30, 76, 3
STEPS, FOLD_DP = 3, 140
PAGES, PAGE_DP = 4, 300
FLOAT_DP = 160, 100
_LOGIN = ("wait 0.3", "launch", "wait 1", "tap permission", "wait 0.4", "do signin", "wait 0.6")


def token(seed: str) -> str:
    """Words of nobody: ten letters and digits that stand nowhere else."""
    return "".join("bcdfghjkmnpqrstvwxz23456789"[byte % 27] for byte in hashlib.sha256(seed.encode()).digest()[:10])


DRAFTS = tuple(f"draft {token(f'draft {row}')}" for row in range(CHAT_ROWS))
MESSAGES = tuple(f"says {token(f'message {row}')}" for row in range(CHAT_ROWS))
COUPON, SEAT = f"coupon {token('coupon')}", f"seat {token('seat')}"
CARD_NAME, WEB_WORDS = f"holder {token('holder')}", f"form {token('web form')}"
NOTICE = f"Dr. Vale: result {token('notice')}"
SUBJECTS = tuple(f"Re: {token(f'subject {row}')}" for row in range(12))
OWNER = f"{token('owner')}@quill.example"
TICKETS = tuple(f"ticket {token(f'ticket {step}')}" for step in range(STEPS))
MAILS = tuple(f"{token(f'mail {step}')}@quill.example" for step in range(STEPS))
TYPED = (f"{token('typed')}@quill.example", token("password"), "4485275742308327")

# What nothing that is stored may say; MESSAGES may be said below conservative.
HIDDEN = (*DRAFTS, COUPON, SEAT, CARD_NAME, WEB_WORDS, NOTICE, *SUBJECTS, OWNER, *TYPED, *TICKETS, *MAILS)


def _often(*steps: str) -> tuple[str, ...]:
    return (*_LOGIN, *steps * 400)


HAZARDS: dict[str, tuple[str, ...]] = {
    "signing-in": (
        *("wait 0.3", "launch", "wait 1", "tap permission", "wait 0.4"),
        *(
            "tap email", f"type {TYPED[0]}", "tap password", f"type {TYPED[1]}", "wait 0.3", "tap key:done", "wait 0.4",
            "do submit", "tap signin", "wait 1", "do forget", "do go:login", "wait 0.6",
        ) * 400,
    ),
    "paying": _often(
        "do go:checkout", "wait 0.7", "tap card-number", f"type {TYPED[2]}", "tap card-cvc", "type 7319",
        "wait 0.5", "tap key:done", "wait 0.4", "do submit", "wait 0.8", "do forget", "do go:list", "wait 0.7",
    ),
    "chat": _often(
        "do go:chat", "wait 0.5", "fling", "wait 0.2", "fling", "wait 1.2", "fling", "wait 0.6", "fling back",
        "wait 0.3", "fling back", "wait 1.5", "fling", "wait 2",
    ),
    "carousel": _often("do go:carousel", "wait 15", "do go:list", "wait 0.7"),
    "slides": _often(
        "do go:checkout", "wait 0.9", "do go:account", "wait 0.5", "do go:chat", "wait 0.3", "do go:list", "wait 1.6",
        "do go:booking", "wait 0.2", "do go:checkout", "wait 1.1", "do go:list", "wait 0.4",
    ),
    "keyboard": _often(
        "do go:booking", "wait 0.5", "tap seat", "wait 0.7", "type 12a", "wait 0.6", "tap key:done", "wait 0.6",
        "tap note", "type 9z", "do show:list", "wait 0.9",
    ),
    "turning": _often(
        "do go:checkout", "wait 0.8", "rotate 1", "wait 1.2", "rotate 0", "wait 0.9", "do go:chat", "wait 0.4",
        "rotate 1", "wait 0.6", "rotate 0", "wait 1.3",
    ),
    "notices": _often(
        "do go:list", "wait 0.9", f"notify {NOTICE}", "wait 1.4", "notify", "wait 0.8", "do go:carousel",
        f"notify {NOTICE}", "wait 1", "notify", "wait 1.7",
    ),
    "switching": _often(
        "do go:checkout", "wait 0.9", "do recents", "wait 0.8", "do mail", "wait 1.2", "do recents", "wait 0.5",
        "do back", "wait 1.4", "do mail", "wait 0.6", "do back", "wait 0.9", "home", "wait 0.7", "do launch",
        "wait 1.1",
    ),
    "dialogs": _often(
        "do go:list", "wait 0.9", "do accounts", "wait 1.1", "do back", "wait 0.7", "do go:account", "do coupon",
        "wait 1.2", "do back", "wait 0.8",
    ),
    "web": _often("do go:web", "wait 1.2", "fling", "wait 1.4", "fling back", "wait 0.9", "do go:list", "wait 0.7"),
    "secure": _often("do go:booking", "wait 0.8", "do go:pin", "wait 1.1", "do go:list", "wait 0.7"),
    "steps": _often(
        "do go:step1", "wait 1.1", "do go:step2", "wait 0.3", "do go:step3", "wait 1.2", "do go:step2", "wait 0.9",
        "do go:page1", "wait 1", "do go:page2", "wait 0.7", "do go:page3", "wait 1.3", "do go:page1", "wait 0.2",
    ),
    "unfolding": _often(
        "do go:folds", "wait 0.9", "do fold", "wait 1.1", "do fold", "wait 0.6", "do fold", "wait 0.8",
    ),
    "gestures": _often(
        "do fill", "do go:checkout", "wait 0.9", "tap card-number", "wait 0.6", "drag card-number 70 0 0.4", "wait 0.8",
        "drag card-number:below 80 10 0", "wait 0.8", "drag card-number 20 150 0.5", "wait 0.9", "tap key:done",
        "wait 0.5", "drag foot 10 -260 0", "wait 1.1",
        "drag left 150 0 0", "wait 1.2", "drag right -150 10 0", "wait 0.8", "do forget", "do go:list", "wait 0.6",
    ),
    "floating": _often(
        "do go:list", "do float", "wait 1.2", "drag player 20 260 0.1", "wait 1.3", "drag player 120 -60 0", "wait 0.4",
        "drag player -140 120 0.2", "wait 1.6", "do sink", "wait 0.9",
    ),
    "stretching": _often(
        "do go:chat", "wait 0.7", "drag conversations 0 200 0", "wait 1", "fling", "wait 0.5", "fling back", "wait 0.3",
        "fling back", "wait 1.3", "drag conversations 5 120 0.1", "wait 0.4", "do go:list", "wait 0.6",
    ),
    "still-login": ("wait 0.3", "launch", "wait 1", "tap permission", "wait 0.4"),
    "still-checkout": (*_LOGIN, "do fill", "do go:checkout"),
    "still-list": (*_LOGIN, "do go:list"),
    "still-chat": (*_LOGIN, "do go:chat"),
}  # fmt: skip
STILL = tuple(name for name in HAZARDS if name.startswith("still-"))


def scroll_range(screen: str, height: float) -> float:
    """How far a screen of this module can be scrolled on a screen of `height` dp."""
    content = {"chat": CHAT_ROWS * CHAT_STEP, "web": 1400}.get(screen, 0)
    return max(0.0, content - (height - STATUS - HEADER - STRIP - NAVIGATION))


def _input(box: tuple[float, float, float, float], words: str, res: str, focused: bool = False, hint: str = "") -> View:
    return View(
        box, "android.widget.EditText", "field", "#ffffff", words, INK, 15, res=res, hint=hint,
        tap=f"focus:{res}", focused=focused, private=words,
    )  # fmt: skip


def _chat(state: State, body: View, width: float, bottom: float) -> None:
    """Conversations; below every third stands what was begun to answer."""
    top = STATUS + HEADER + STRIP
    pane = View((0, top, width, bottom), "android.widget.ScrollView", scrolls=True, res="conversations")
    for row in range(CHAT_ROWS):
        upper = top + row * CHAT_STEP - state.scroll
        item = View((0, upper, width, upper + CHAT_STEP), look="fill", colour="#ffffff")
        item.add(
            View((12, upper + 14, 52, upper + 54), "android.widget.ImageView", "circle", ACCENT),
            shop.text(f"Friend {row}", (64, upper + 6, width - 60, upper + 28), 14, bold=True),
            shop.text(MESSAGES[row], (64, upper + 28, width - 60, upper + 46), 12, SOFT, res="message"),
        )
        if row % CHAT_EVERY == 0:
            item.add(_input((64, upper + 47, width - 24, upper + 73), DRAFTS[row], "draft"))
        pane.add(item)
    body.add(pane)


def _carousel(state: State, body: View, width: float, bottom: float) -> None:
    """Pages that go by on their own; `state.scroll` is how many of them, with a fraction."""
    top = STATUS + HEADER + STRIP + 16
    pane = View((0, top, width, top + PAGE_DP), "androidx.viewpager.widget.ViewPager", scrolls=True, res="pages")
    for page in range(PAGES):
        left = (page - state.scroll) * width
        sheet = View((left, top, left + width, top + PAGE_DP), look="fill", colour=("#d8e2dc", "#cfe0c3")[page % 2])
        sheet.add(shop.text(f"Offer {page}", (left + 24, top + 16, left + width - 24, top + 56), 22, bold=True))
        if page % 2:
            sheet.add(_input((left + 40, top + 120, left + width - 40, top + 168), COUPON, "coupon"))
        pane.add(sheet)
    body.add(pane, shop.text("News of the week", (24, top + PAGE_DP + 16, width - 24, top + PAGE_DP + 56), 20))


def _booking(state: State, body: View, width: float, bottom: float) -> None:
    """Inputs at the lower end: a keyboard comes up over them and its key previews reach into the app."""
    low = bottom - 150
    body.add(
        shop.text("Your seat", (24, STATUS + HEADER + STRIP + 24, width - 24, STATUS + HEADER + STRIP + 64), 26),
        _input((24, low - 210, width - 24, low - 162), state.typed.get("seat", SEAT), "seat", state.focus == "seat"),
        _input((24, low - 150, width - 24, low - 102), state.typed.get("note", ""), "note", state.focus == "note"),
        shop.button("Book", (24, low, width - 24, low + 52), "book", "go:list"),
    )


def _web(state: State, body: View, width: float, bottom: float) -> None:
    """A page in a web view, with a form."""
    top = STATUS + HEADER + STRIP
    page = View((0, top, width, bottom), "android.webkit.WebView", "fill", "#ffffff", scrolls=True, private=WEB_WORDS)
    for row in range(14):
        upper = top + 20 + row * 96 - state.scroll
        words = (WEB_WORDS, CARD_NAME)[row % 2]
        page.add(_input((24, upper, width - 24, upper + 48), words, f"field-{row}"))
    body.add(page)


def _step(state: State, body: View, width: float, bottom: float) -> None:
    """The steps of a form, each built as the one before: what is typed there differs, and hardly a word; the pages are
    in a scrolling view."""
    top, step = STATUS + HEADER + STRIP, int(state.screen[-1]) - 1
    pane = body
    if state.screen.startswith("page"):
        pane = View((0, top, width, bottom), "android.widget.ScrollView", scrolls=True, res="page")
        body.add(pane)
    else:
        body.add(shop.text(f"Passenger {step + 1}", (24, top + 8, width - 24, top + 36), 15))
    pane.add(
        shop.text("Travel document", (24, top + 40, width - 24, top + 70), 18, bold=True),
        shop.text("Ticket", (24, top + 84, width - 24, top + 106), 13, SOFT),
        _input((24, top + 110, width * 0.6, top + 158), TICKETS[step], "ticket"),
        shop.text("Sent to", (24, top + 180, width - 24, top + 202), 13, SOFT),
        _mail(step, width, top + 206),
        shop.text("It is sent once the journey is paid", (24, top + 270, width - 24, top + 292), 13, SOFT),
        shop.button("Next", (24, bottom - 120, width - 24, bottom - 68), "next", ""),
    )


def _mail(step: int, width: float, top: float) -> View:
    view = shop.text(MAILS[step], (24, top, width - 24, top + 28), 15)
    view.private = view.text
    return view


def _folds(state: State, body: View, width: float, bottom: float) -> None:
    """A card that unfolds, by `state.scroll`, above what is private."""
    top = STATUS + HEADER + STRIP + 24
    low = top + 40 + state.scroll
    card = View((24, top, width - 24, low), look="card", colour="#ffffff")
    body.add(
        card.add(shop.text("What is this?", (40, top + 8, width - 40, top + 32), 15)),
        _input((24, low + 16, width * 0.7, low + 64), SEAT, "seat"),
        _mail(0, width, low + 80),
    )
    pane = View((0, low + 120, width, bottom), "android.widget.ScrollView", scrolls=True, res="pane")
    pane.add(shop.text("Also", (24, low + 130, width - 24, low + 154), 15), _mail(1, width, low + 170))
    body.add(pane)


BODIES: dict[str, Body] = {
    "chat": _chat, "carousel": _carousel, "booking": _booking, "web": _web, "folds": _folds,
    **{f"{kind}{step + 1}": _step for kind in ("step", "page") for step in range(STEPS)},
}  # fmt: skip


def mail(width: float, height: float) -> Window:
    """Another app's inbox."""
    root = View((0, 0, width, height - NAVIGATION), "android.widget.FrameLayout", "fill", "#ffffff")
    for row, subject in enumerate(SUBJECTS):
        upper = 60.0 + row * 60
        root.add(shop.text(subject, (20, upper, width - 20, upper + 50), 16, res=f"{MAIL}:id/subject"))
    return Window(MAIL, root)


def player(width: float, height: float, at: tuple[float, float]) -> Window:
    """Another app's small window, somewhere over all others: its picture in picture."""
    left, top = at
    box = (left, top, left + FLOAT_DP[0], top + FLOAT_DP[1])
    root = View(box, "android.widget.FrameLayout", "card", "#ffffff", res=f"{MAIL}:id/player", tap="player")
    return Window(MAIL, root.add(shop.text(SUBJECTS[0], (left + 8, top + 8, left + 150, top + 40), 14)))


def recents(width: float, height: float) -> Window:
    """The overview of running apps: cards of this app and of another, each a small picture of its screen."""
    root = View((0, 0, width, height), "android.widget.FrameLayout", "fill", "#35505f")
    for left, name in ((width * 0.18, "Northbay"), (-width * 0.5, "Lakeside Mail")):
        card = View((left, 120, left + width * 0.64, height - 160), "android.widget.ImageView", "card", "#ffffff")
        card.desc = name
        root.add(card)
    return Window(LAUNCHER, root)


def accounts(width: float, height: float) -> Window:
    """The system's account chooser, a sheet at the lower end of a window as large as the screen."""
    root = View((0, 0, width, height), "android.widget.FrameLayout", "none")
    top = height - NAVIGATION - 220
    sheet = View((0, top, width, height - NAVIGATION), "android.widget.LinearLayout", "card", "#ffffff")
    sheet.add(
        shop.text("Choose an account", (24, top + 16, width - 24, top + 48), 18, bold=True),
        shop.text(OWNER, (24, top + 70, width - 24, top + 110), 16),
    )
    return Window(ACCOUNTS, root.add(sheet))


def coupon(width: float, height: float) -> Window:
    """A dialog of the app itself: a window smaller than the screen, with an input."""
    top = height / 2 - 90
    root = View((32, top, width - 32, top + 180), "android.widget.FrameLayout", "card", "#ffffff")
    root.add(
        shop.text("Redeem", (52, top + 16, width - 52, top + 48), 18, bold=True),
        _input((52, top + 64, width - 52, top + 112), COUPON, "coupon"),
    )
    return Window(shop.PACKAGE, root)

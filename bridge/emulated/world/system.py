"""The windows that are not the app's: bars, keyboard, permission dialog, launcher, a notification."""

from __future__ import annotations

from bridge.emulated.world.shop import KEYBOARD, NAVIGATION, STATUS
from bridge.emulated.world.views import View, Window

SYSTEMUI = "com.android.systemui"
INPUT = "com.google.android.inputmethod.latin"
PERMISSION = "com.google.android.permissioncontroller"
LAUNCHER = "com.google.android.apps.nexuslauncher"
_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm@.")


def status_bar(width: float, clock: str) -> Window:
    root = View((0, 0, width, STATUS), "android.widget.FrameLayout", "fill", "#1d2529", res=f"{SYSTEMUI}:id/status_bar")
    time = View((20, 0, 120, STATUS), "android.widget.TextView", "text", text=clock, ink="#ffffff", font=13)
    time.res = f"{SYSTEMUI}:id/clock"
    battery = View(
        (width - 44, 10, width - 20, 22), "android.widget.ImageView", "fill", "#ffffff", desc="Battery 83 percent."
    )
    return Window(SYSTEMUI, root.add(time, battery))


def navigation_bar(width: float, height: float) -> Window:
    root = View((0, height - NAVIGATION, width, height), "android.widget.FrameLayout", "fill", "#f6f3ee")
    pill = (width / 2 - 54, height - 14, width / 2 + 54, height - 9)
    return Window(
        SYSTEMUI, root.add(View(pill, "android.widget.ImageView", "fill", "#1d2529", desc="Home", tap="home"))
    )


def keyboard(width: float, height: float) -> Window:
    """The soft keyboard; a key's tap is `key:` and its character."""
    top = height - NAVIGATION - KEYBOARD
    root = View((0, top, width, height - NAVIGATION), "android.widget.FrameLayout", "fill", "#dfe3e6")
    step = (KEYBOARD - 12) / 5
    for row, keys in enumerate(_ROWS):
        slot = (width - 8) / len(_ROWS[0])
        left = 4 + (width - 8 - slot * len(keys)) / 2
        for column, key in enumerate(keys):
            box = (
                left + column * slot + 2,
                top + 6 + row * step,
                left + (column + 1) * slot - 2,
                top + row * step + step,
            )
            root.add(_key(key, box, f"key:{key}"))
    low = top + 6 + 4 * step
    root.add(
        _key("shift", (4, low, width * 0.2, low + step - 6), "key:shift"),
        _key("space", (width * 0.2 + 4, low, width * 0.6, low + step - 6), "key: "),
        _key("del", (width * 0.6 + 4, low, width * 0.8, low + step - 6), "key:del"),
        _key("done", (width * 0.8 + 4, low, width - 4, low + step - 6), "key:done"),
    )
    return Window(INPUT, root)


def permission_dialog(width: float, height: float) -> Window:
    root = View((0, 0, width, height), "android.widget.FrameLayout", "none")
    box = (28, height / 2 - 130, width - 28, height / 2 + 130)
    card = View(box, look="card", res=f"{PERMISSION}:id/grant_dialog")
    words = View((52, box[1] + 28, width - 52, box[1] + 92), "android.widget.TextView", "text", font=18, bold=True)
    words.text = "Allow Northbay to send you notifications?"
    card.add(words)
    for slot, (label, tap) in enumerate((("Allow", "permission"), ("Don't allow", "permission"))):
        top = box[1] + 120 + slot * 62
        button = View(
            (52, top, width - 52, top + 50), "android.widget.Button", "button", "#d7e6e8", tap=tap, text=label
        )
        button.res = f"{PERMISSION}:id/permission_{'allow' if slot == 0 else 'deny'}_button"
        card.add(button)
    return Window(PERMISSION, root.add(card))


def launcher(width: float, height: float, app: str) -> Window:
    root = View((0, 0, width, height), "android.widget.FrameLayout", "fill", "#35505f")
    icon = View(
        (40, height - 220, 110, height - 150), "android.widget.TextView", "circle", "#0f5e6b", tap="launch", desc=app
    )
    label = View(
        (20, height - 146, 130, height - 122), "android.widget.TextView", "text", text=app, ink="#ffffff", font=13
    )
    label.align = "center"
    return Window(LAUNCHER, root.add(icon, label))


def notification(width: float, words: str) -> Window:
    box = (12, STATUS + 8, width - 12, STATUS + 92)
    card = View(box, "android.widget.FrameLayout", "card", res=f"{SYSTEMUI}:id/notification", private=words)
    text = View((32, box[1] + 24, width - 32, box[1] + 60), "android.widget.TextView", "text", text=words, font=15)
    return Window(SYSTEMUI, card.add(text))


def _key(label: str, box: tuple[float, float, float, float], tap: str) -> View:
    return View(box, "android.view.View", "key", "#ffffff", label, font=17, align="center", tap=tap, desc=label)

from __future__ import annotations

import pytest
from fakes.views import EDIT, view

from agent.model import MaskLevel
from agent.replay import rules
from bridge.types import NodeFlag


def judged(
    level: MaskLevel, cls: str = EDIT, label: str = "", text: str = "x", flags: NodeFlag = NodeFlag.NONE, **more: str
) -> str:
    verdict = rules.judge(view(0, 0, 9, 9, cls, text, flags=flags, **more), label, level)
    return "" if verdict is None else verdict[1]


@pytest.mark.parametrize(
    "more",
    [
        {"hint": "E-mail"},
        {"resource_id": "com.example:id/phone_input"},
        {"resource_id": "cardNumber"},
        {"desc": "Security code"},
        {"label": "Correo"}, {"label": "手机号"}, {"label": "カード番号"}, {"label": "Номер телефона"},
        {"label": "رقم الهاتف"}, {"label": "טלפון נייד"}, {"label": "फ़ोन नंबर"}, {"resource_id": "otpInput"},
        {"resource_id": "com.example:id/etCvv"}, {"resource_id": "CVVField"},
        {"text": "anna@example.com", "hint": "Who?"},
        {"text": "4111 1111 1111 1111", "hint": "?"},
    ],
)  # fmt: skip
def test_light_finds_private_inputs_by_what_is_said_of_them(more: dict[str, str]) -> None:
    assert judged("light", **more) == "private-input"


def test_light_leaves_inputs_that_say_they_are_something_else() -> None:
    assert judged("light", hint="First name") == ""
    assert judged("light", label="Search for shoes") == ""


def test_the_label_of_an_input_may_be_in_it() -> None:
    label = view(2, 2, 5, 5, text="Phone number")
    assert rules.judge(view(0, 0, 9, 9, EDIT, "555", children=[label]), "Sign in", "light") == ("mask", "private-input")
    eye = view(5, 2, 9, 5, "android.widget.Button", desc="Show password")
    for level in ("light", "medium"):
        assert rules.judge(view(0, 0, 9, 9, EDIT, "x", children=[eye]), "Sign in", level) == ("mask", "password")
    other = view(0, 0, 9, 9, EDIT, "Anna", children=[view(2, 2, 5, 5, text="Name")])
    assert rules.judge(other, "Sign in", "light") is None
    # What is in it may be no label.
    assert rules.judge(other, "", "light") == ("mask", "unknown-input")


def test_light_takes_no_chance_with_an_input_that_says_nothing() -> None:
    assert judged("light") == "unknown-input"


@pytest.mark.parametrize("words", ["Password", "Passwort", "PIN", "Contraseña", "passcode", "пароль", "密码"])
@pytest.mark.parametrize("level", ["light", "medium", "conservative"])
def test_passwords_are_found_by_name_in_any_level(words: str, level: MaskLevel) -> None:
    assert judged(level, hint=words) == "password"


@pytest.mark.parametrize(
    "words", ["密碼", "كلمة المرور", "סיסמה", "Wachtwoord", "Şifre", "Hasło", "Mật khẩu", "पासवर्ड"]
)
def test_passwords_are_found_in_many_languages(words: str) -> None:
    assert judged("light", label=words) == judged("medium", hint=words) == "password"


def test_names_are_read_word_by_word() -> None:
    for name in ("pinInput", "userPIN", "com.example.shop:id/etPin"):
        assert judged("medium", resource_id=name) == "password", name
    for name in ("spinner", "shippingAddress", "hasLocation"):
        assert judged("medium", resource_id=name) == "editable", name
    assert judged("light", cls="android.view.View", text="", resource_id="customerSignature") == "drawing"
    assert judged("light", cls="android.widget.FrameLayout", text="", resource_id="storeMap") == "map"
    assert rules.keypad_digit(view(0, 0, 9, 9, resource_id="passcodeKey2")) == "2"


@pytest.mark.parametrize(
    "more",
    [
        {"hint": "Cerca una parola"}, {"hint": "Parola chiave"}, {"label": "Code postal"},
        {"resource_id": "codePostal"},
        {"resource_id": "com.flipkart.android:id/search"}, {"hint": "Марка автомобиля"}, {"hint": "Картинка"},
    ],
)  # fmt: skip
def test_words_that_only_look_like_those_of_private_inputs(more: dict[str, str]) -> None:
    assert judged("light", **more) == ""
    assert judged("medium", **more) == "editable"


def test_a_plan_of_seats_is_no_map() -> None:
    assert judged("light", cls="android.view.View", text="", resource_id="seatMap") == ""


def test_the_password_flag_needs_no_input_class() -> None:
    assert judged("light", cls="android.view.View", flags=NodeFlag.PASSWORD) == "password"


@pytest.mark.parametrize(
    ("cls", "private"),
    [
        ("com.facebook.react.views.textinput.ReactEditText", True),
        ("androidx.appcompat.widget.AppCompatAutoCompleteTextView", True),
        ("android.widget.SearchView$SearchAutoComplete", True),
        ("android.widget.TextView", False),
        ("android.widget.Button", False),
    ],
)
def test_medium_masks_every_input(cls: str, private: bool) -> None:
    assert judged("medium", cls=cls) == ("editable" if private else "")


def test_a_hint_makes_an_input_of_any_class() -> None:
    assert judged("medium", cls="android.view.View", hint="Name", flags=NodeFlag.FOCUSABLE) == "editable"


def test_conservative_masks_every_text_and_leaves_pictures() -> None:
    assert judged("conservative", cls="android.widget.Button") == "text"
    assert judged("conservative", cls="android.widget.TextView", text="") == "text"
    assert judged("conservative", cls="android.view.View", text="", desc="Anna") == "text"
    assert judged("conservative", cls="android.widget.ImageView", text="", desc="A shoe") == ""
    # A row of Flutter's with a picture in it.
    assert judged("conservative", cls="android.widget.ImageView", text="", desc="Anna Bell\nBerlin") == "text"
    assert judged("conservative", cls="android.view.View", text="") == ""
    assert judged("conservative", cls="android.webkit.WebView") == "web"


def test_a_google_map_is_known_by_its_description() -> None:
    assert judged("light", cls="android.view.View", text="", desc="Google Map") == "map"


@pytest.mark.parametrize(
    "more",
    [
        {"desc": "Google Maps"},
        {"desc": "Showing a Map created with Mapbox. Scroll by dragging two fingers."},
        {"resource_id": "com.example.shop:id/map"},
        {"resource_id": "com.example.shop:id/mapbox_mapView"},
        {"resource_id": "home-map"},
        {"resource_id": "com.example.shop:id/map_container"},
    ],
)
def test_a_map_is_known_by_what_is_said_of_it(more: dict[str, str]) -> None:
    assert judged("light", cls="android.widget.FrameLayout", text="", **more) == "map"


@pytest.mark.parametrize("name", ["com.example.shop:id/bitmap", "sitemap", "com.example.shop:id/map_legend", "mapping"])
def test_what_only_sounds_like_a_map_is_none(name: str) -> None:
    assert judged("medium", cls="android.widget.FrameLayout", text="", resource_id=name) == ""


def test_keys_of_a_keypad() -> None:
    assert rules.keypad_digit(view(0, 0, 9, 9, text=" 7 ")) == "7"
    assert rules.keypad_digit(view(0, 0, 9, 9, desc="7")) == "7"
    assert rules.keypad_digit(view(0, 0, 9, 9, text="12")) == ""
    for label in ("2.", "2 ABC", "2 АБВГ", "2\nABC\nΑΒΓ", "2 אבג", "2 ㄱㅋ", "2 かきくけこ", "2, A B C"):
        assert rules.keypad_digit(view(0, 0, 9, 9, text=label)) == "2", label
    assert rules.keypad_digit(view(0, 0, 9, 9, text="٢ ب ت ث")) == "٢"
    for label in ("2 items", "2 Items", "2 товара", "2ABC", "2 ABC 3", "2 A.", "2 ABCDEFGHIJKLM"):
        assert rules.keypad_digit(view(0, 0, 9, 9, text=label)) == "", label
    for label in ("Tecla 2", "Número 2", "PIN 2", "Enter 2", "code digit 2", "2 button", "two", "Two"):
        assert rules.keypad_digit(view(0, 0, 9, 9, desc=label)) == "2", label
        assert rules.keypad_digit(view(0, 0, 9, 9, text=label)) == "", label
        assert rules.keypad_digit(view(0, 0, 9, 9, desc=label, children=[view(0, 0, 5, 5, desc="x")])) == "", label
    for name in ("com.example.shop:id/key_2", "pin-key-2", "btn2", "com.example.shop:id/numpad_2", "keypad-button-2"):
        assert rules.keypad_digit(view(0, 0, 9, 9, resource_id=name)) == "2", name
    for name in ("com.example.shop:id/row_2", "page2", "key_22", "com.example.shop:id/monkey2"):
        assert rules.keypad_digit(view(0, 0, 9, 9, resource_id=name)) == "", name
    assert rules.operator_key(view(0, 0, 9, 9, text="=")) == "="
    assert rules.operator_key(view(0, 0, 9, 9, text="-")) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"cls": "com.andrognito.patternlockview.PatternLockView"}, {"cls": "com.example.SignaturePad"},
        {"resource_id": "com.example.shop:id/pattern_lock_view"}, {"resource_id": "signature-pad"},
        {"resource_id": "checkout.signature"},
    ],
)  # fmt: skip
def test_where_a_code_or_a_signature_is_drawn_is_blocked(more: dict[str, str]) -> None:
    assert judged("light", text="", **({"cls": "android.view.View"} | more)) == "drawing"


@pytest.mark.parametrize("name", ["signature_hint", "com.example.shop:id/patterned", "lockscreen", "designature_x"])
def test_what_only_sounds_like_one_is_none(name: str) -> None:
    assert judged("light", cls="android.view.View", text="", resource_id=name) == ""

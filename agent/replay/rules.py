"""Which views are private at which level: pure questions about one node and its surroundings.

The levels are those of Amplitude's mobile SDKs (docs: session replay, mask data, Android), light taken as the union of
what its platforms describe: password, e-mail, phone and card inputs, web and map views; medium adds every editable
text, conservative every text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from agent.model import MaskLevel
from agent.replay.text import looks_private
from bridge.types import Node, NodeFlag

DRAWING = "drawing"
Verdict = tuple[Literal["mask", "block"], str]

_EDITABLE = ("EditText", "AutoCompleteTextView", "TextInput", "TextField", "SearchAutoComplete", "ExtractEditText")
_TEXT = ("TextView", "Button", "Chip", "CheckBox", "Switch", "Chronometer", "TextClock")
_WEB = ("WebView", "GeckoView", "XWalkView")
# A dump names the class that a view says it is, which of a map is its parent's: its description or its id may tell.
_MAP = ("MapView", "AIRMap", "MapFragment")
_MAP_SAID = re.compile(r"google maps?|.*\b(?:created|made) with (?:mapbox|maplibre)\b.*", re.IGNORECASE | re.DOTALL)
_MAP_ID = re.compile(
    r"(?:.*[/_-])?(?:google|mapbox|maplibre)?_?map(?:_?(?:view|container|fragment|host))?", re.IGNORECASE | re.DOTALL
)
_NO_PLACE = re.compile(r"(?:seat|site|mind|road|heat|image)map", re.IGNORECASE)
# What is drawn there is a code, or somebody's hand.
_DRAWING = re.compile(
    r"(?:.*[/._-])?(?:pattern[_-]?lock|lock[_-]?pattern|gesture[_-]?lock|unlock[_-]?pattern|signature)"
    r"(?:[_-]?(?:view|pad|canvas|container|area|box|field))?",
    re.IGNORECASE | re.DOTALL,
)
_PICTURE = ("ImageView", "ImageButton")
# Where a word begins in a name of several: pinInput, CVVField.
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PASSWORD_WORDS = re.compile(
    r"pass[\W_]*(?:word|code|wort|phrase)|passwd|pwd|contrase|mot de passe|senha|парол|密码|密碼|パスワード|비밀번호|"
    r"暗証|wachtwoord|l[öo]senord|passord|adgangskode|salasana|hasło|heslo|jelsz[óo]|parolă|"
    r"(?<!una )(?<!per )parola(?! chiave)|lozink|[şs]ifre|"
    r"kata sandi|m[ậa]t kh[ẩa]u|συνθηματικ|κωδικ\w{0,4} πρ[όο]σβ|كلمة (?:ال)?(?:مرور|سر)|סיסמ|पासवर्ड|รหัสผ่าน|"
    r"(?<![a-z])pin(?![a-z])",
    re.IGNORECASE,
)
_LIGHT_WORDS = re.compile(
    r"e[\W_]*mail|correo|почт|邮箱|メール|이메일|phone|mobile|telef|(?<![a-z])(?:tel|sms|otp|cvv|cvc|iban|pan)(?![a-z])|handy|telepon|"
    r"电话|電話|전화|card|credit|karte|tarjeta|carte|cart[aã]o|expir|security[\W_]*code|cc[\W_]*(?:num|exp|csc)|"
    r"(?<![a-z])e[-\s_]?posta(?!l)|cep no|(?<![a-z])kart|телефон|(?<!авто)мобил|карт(?!ин)|"
    r"手机|手機|邮件|郵箱|郵件|卡号|卡號|信用卡|验证码|驗證碼|携帯|カード|"
    r"휴대|카드|τηλ[εέ]|κινητ|κ[άα]ρτα|[đd]i[ệe]n tho[ạa]i|thẻ t[íi]n|بريد|هاتف|جوال|بطاقة|דוא|מייל|טלפון|נייד|"
    r"אשראי|ईमेल|फ\u093c?ोन|\u095eोन|मोबाइल|कार्ड|อีเมล|โทรศัพท์|มือถือ|บัตร",
    re.IGNORECASE,
)

# With the letters that stand on it (ITU-T E.161), of one or two alphabets.
_KEY = re.compile(
    r"(?i:(?:digit|number|key|button|ziffer|taste) )?(?P<digit>\d)\.?"
    r"(?P<letters>[\s,]+(?:\+|[^\W\d_](?:[\s,]*[^\W\d_]){0,11}))?"
)
# A key that is a picture says what it is in any language, in a word or by its name alone.
_KEY_SAID = re.compile(r"(?:[^\W\d_]{1,12}[ :]+){1,2}(?P<digit>\d)\.?|(?P<other>\d) [^\W\d_]{1,12}")
_KEY_NAMED = re.compile(
    r"(?:.*[/._-])?(?:key(?:pad|board)?|digit|num(?:ber|pad|key)?|btn|button|pin|dial|code)[_-]?"
    r"(?:key|digit|num(?:ber)?|btn|button)?[_-]?(?P<digit>\d)",
    re.IGNORECASE | re.DOTALL,
)
_DIGIT_WORDS = {
    word: str(n)
    for n, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
}


def editable(node: Node) -> bool:
    """Whether one can type into it. Dumps have no flag for it: the class says so, or a hint, which only inputs have."""
    filled = bool(node.text) and node.text != node.hint
    return node.cls.endswith(_EDITABLE) or (bool(node.hint) and (filled or node.flags.has(NodeFlag.FOCUSABLE)))


def password(node: Node) -> bool:
    """Whether it is a password field by its flag, or an input that names itself one (its content may be shown)."""
    return node.flags.has(NodeFlag.PASSWORD) or (editable(node) and bool(_PASSWORD_WORDS.search(_said_of(node))))


def judge(node: Node, label: str, level: MaskLevel) -> Verdict | None:
    """What to do with a node: mask it, block it and what is below, or None. `label` is the text just before it."""
    if password(node):
        return "mask", "password"
    if node.cls.endswith(_WEB):
        return "block", "web"
    if node.cls.endswith(_MAP) or _MAP_SAID.fullmatch(node.desc) or _is_map(node.resource_id):
        return "block", "map"
    if not node.text and (_is_drawn_on(node.cls) or _is_drawn_on(node.resource_id)) and not editable(node):
        return "block", DRAWING
    if editable(node):
        if level != "light":
            return "mask", "editable"
        return _judge_light(node, label)
    if level == "conservative" and _has_text(node):
        return "mask", "text"
    return None


@lru_cache(maxsize=4096)
def _is_map(name: str) -> bool:
    # A seatMap shows no place of anybody's.
    return bool(_MAP_ID.fullmatch(name) or (_MAP_ID.fullmatch(_apart(name)) and not _NO_PLACE.search(name)))


@lru_cache(maxsize=4096)
def _is_drawn_on(name: str) -> bool:
    return (_DRAWING.fullmatch(name) or _DRAWING.fullmatch(_apart(name))) is not None


@lru_cache(maxsize=4096)
def _apart(name: str) -> str:
    """A name whose words begin with a capital, with signs between them."""
    return _HUMP.sub("_", name)


def _said_of(node: Node) -> str:
    """What an input says of itself. Its label may be in it, as Compose has it, and its button that shows what is
    typed."""
    within = (words for below in node.walk() if below is not node for words in (below.text, below.desc))
    return " ".join((node.resource_id, _apart(node.resource_id), node.hint, node.desc, *within))


def _judge_light(node: Node, label: str) -> Verdict | None:
    about = f"{_said_of(node)} {label}"
    if _PASSWORD_WORDS.search(about):
        return "mask", "password"
    if _LIGHT_WORDS.search(about) or looks_private(node.text) or _half_typed(node.text):
        return "mask", "private-input"
    # An input that says nothing about itself may be any of the four. What is in it may be what was typed.
    itself = f"{node.resource_id}{node.hint}{node.desc}{label}"
    return None if itself.strip() else ("mask", "unknown-input")


def _half_typed(text: str) -> bool:
    """Whether it may become an address or a number that is private as a whole."""
    return "@" in text or sum(c.isdigit() for c in text) >= 6


def _has_text(node: Node) -> bool:
    if node.text or node.cls.endswith(_TEXT):
        return True
    # A row with a picture in it is one picture to Flutter, which describes it by all of its lines.
    return bool(node.desc) and not node.children and (not node.cls.endswith(_PICTURE) or "\n" in node.desc.strip())


def keypad_digit(node: Node) -> str:
    """The digit on a key of an on-screen keypad, with its letters or not; "" for any other node."""
    return _key(node)[0]


def keypad_letters(node: Node) -> str:
    """The letters beside that digit, "" for none. Those of a keypad's keys differ, those of a unit do not."""
    return _key(node)[1]


def _key(node: Node) -> tuple[str, str]:
    if node.flags.has(NodeFlag.PASSWORD):
        return "", ""
    label = (node.text or node.desc).strip()
    key = _KEY.fullmatch(label)
    letters = (key["letters"] or "").strip() if key else ""
    # Small letters are a word's: "3 items".
    if key and letters == letters.upper():
        return key["digit"], letters
    if node.text or node.children:
        return "", ""
    if label:
        said = _KEY_SAID.fullmatch(label)
        return (said["digit"] or said["other"]) if said else _DIGIT_WORDS.get(label.lower(), ""), ""
    named = _KEY_NAMED.fullmatch(node.resource_id) or _KEY_NAMED.fullmatch(_apart(node.resource_id))
    return named["digit"] if named else "", ""


def keyboard_letter(node: Node) -> str:
    """The letter on a key of an app's own keyboard, "" for any other node."""
    label = (node.text or node.desc).strip()
    return label.lower() if len(label) == 1 and label.isalpha() and not node.flags.has(NodeFlag.PASSWORD) else ""


def late_day(node: Node) -> str:
    """The day in a cell of a calendar, from the tenth on, "" for any other node: no key says more than one digit."""
    label = (node.text or node.desc).strip()
    return label if len(label) == 2 and label.isascii() and label.isdigit() and "10" <= label <= "31" else ""


def operator_key(node: Node) -> str:
    """The sign on a key of a calculator, whose digits are no secret, "" for any other node. One sign makes none: a
    cross closes things and takes back digits."""
    label = (node.text or node.desc).strip()
    return label if label in ("=", "÷", "×") else ""

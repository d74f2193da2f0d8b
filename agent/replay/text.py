"""Private text: patterns that are never let through, the names of private fields, and texts seen under a mask."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from agent.model import MaskLevel

STARS = "*****"
MIN_SECRET = 4
MAX_SECRETS = 256
MAX_DEPTH = 64

_EMAIL = re.compile(r"[\w.+'-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_CARD = re.compile(r"(?<!\w)[2-6](?:[ -]?\d){12,18}(?!\d)")
_PHONE = re.compile(
    r"(?<![\w+])(?:\+|%2B)\d(?:[\s().-]{0,2}\d){7,14}(?!\d)|(?<![\w.-])\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}(?![\w.-])"
)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?")
_BEARER = re.compile(r"\b(bearer)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_KEY = re.compile(r"\b(?:[spr]k_(?:live|test)_\w{8,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|gh[opsur]_\w{20,})")
# The name may be quoted (JSON, RN inspect) and the value, too; a quoted value ends at its quote, a bare one at a space.
_ASSIGNED = re.compile(
    r"""(?P<name>(?:passw(?:or)?d\w{0,24}|passcode|passwd|pwd|secret|token|api[_-]?key|write[_-]?key|auth[_-]?key|"""
    r"""access[_-]?key|authorization|cookie|card[_-]?number|(?<![A-Za-z])(?:cvv|cvc|pin|otp|ssn|iban))["']?\s*[:=]\s*)"""
    r"""(?P<value>(?:bearer|basic)\s+[^\s"',;]+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&})\]"']+)""",
    re.IGNORECASE,
)
_CARD_LENGTHS = {"2": (16,), "3": (14, 15, 16), "4": (13, 16, 19), "5": (16, 17, 18, 19), "6": (16, 17, 18, 19)}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_ALWAYS = frozenset((
    "password", "passwd", "passwort", "passcode", "pwd", "secret", "token", "jwt", "authorization", "cookie",
    "card", "cardnumber", "pan", "cvv", "cvc", "iban", "pin", "otp", "ssn", "apikey", "writekey", "accesskey",
    "authkey", "privatekey", "credential", "credentials",
))  # fmt: skip
_AT_MEDIUM = frozenset((
    "email", "mail", "phone", "telephone", "mobile", "msisdn", "address", "street", "city", "zip", "zipcode",
    "postal", "postcode", "postalcode", "firstname", "lastname", "fullname", "surname", "username", "nickname",
    "birthday", "birthdate", "dob", "latitude", "longitude", "lat", "lng", "lon", "ip",
))  # fmt: skip
_IN_TRAITS = frozenset(("name",))
# The ids that join a replay with its events stay whole, since a 13-digit session id is no card number. Only an address
# is starred even there: an app that takes one for an id has it in the segment's own key, and nowhere else.
_IDS = frozenset((
    "messageid", "anonymousid", "sessionid", "previoussessionid", "eventsessionid", "deviceid", "timestamp",
    "originaltimestamp",
))  # fmt: skip
_NAMES = frozenset(("event", "type"))
# What a field shows while it is empty: remembering these would star ordinary words in every log line.
_PLACEHOLDERS = frozenset((
    "a", "your", "the", "an", "or", "and", "of", "to", "in", "for", "enter", "type", "add", "e", "mail", "email",
    "phone", "telephone", "mobile", "number", "password", "passcode", "pin", "code", "confirm", "repeat", "new",
    "current", "old", "search", "find", "name", "first", "last", "full", "user", "username", "nickname", "company",
    "street", "address", "city", "town", "state", "country", "zip", "postal", "postcode", "date", "birth", "card",
    "holder", "expiry", "cvv", "cvc", "message", "comment", "comments", "note", "notes", "title", "description",
    "optional", "required", "here", "write", "something", "url", "website", "amount", "price", "quantity", "test",
    "text", "input", "value", "field", "today", "true", "false", "null", "none", "undefined",
))  # fmt: skip


def scrub(text: str) -> str:
    """`text` with e-mail addresses, card and phone numbers, tokens, keys and assigned secrets replaced by STARS."""
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(STARS, text)
    if "eyJ" in text:
        text = _JWT.sub(STARS, text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(_starred_value, text)
    text = _BEARER.sub(rf"\1 {STARS}", text)
    text = _KEY.sub(STARS, text)
    if sum(map(text.count, "0123456789")) >= 8:
        text = _PHONE.sub(STARS, _CARD.sub(_starred_card, text))
    return text


def is_card(text: str) -> bool:
    """Whether the digits of `text` are a card number: known first digit, a length of that issuer, right check digit."""
    digits = "".join(c for c in text if c.isascii() and c.isdigit())
    if len(digits) not in _CARD_LENGTHS.get(digits[:1], ()):
        return False
    total = 0
    for i, c in enumerate(reversed(digits)):
        n = int(c) * (1 + i % 2)
        total += n - 9 if n > 9 else n
    return total % 10 == 0


def looks_private(text: str) -> bool:
    """Whether `text` holds something that `scrub` would replace."""
    return scrub(text) != text


def private_name(name: str, level: MaskLevel, traits: bool = False) -> bool:
    """Whether a field of this name holds something private: `card_number`, `userEmail`; more words from medium up."""
    words = [w.lower() for w in _WORD.findall(name)]
    private = _ALWAYS if level == "light" else _ALWAYS | _AT_MEDIUM | (_IN_TRAITS if traits else frozenset())
    return (
        "".join(words) in private
        or any(w in private for w in words)
        or any(a + b in private for a, b in itertools.pairwise(words))
    )


def is_placeholder(text: str) -> bool:
    """Whether `text` is made only of the words with which an empty field asks for its content."""
    return all(w.lower() in _PLACEHOLDERS for w in re.findall(r"[^\W\d_]+", text)) and not any(
        c.isdigit() for c in text
    )


class Secrets:
    """The latest texts that stood in masked fields, bounded; not thread-safe.

    A text counts where it stands alone: "Anna" is starred in "Hi Anna!" and not in "Annapolis".
    """

    def __init__(self) -> None:
        self._seen: dict[str, re.Pattern[str]] = {}

    def remember(self, texts: Iterable[str]) -> None:
        for text in texts:
            pattern = self._seen.pop(text, None)
            self._seen[text] = pattern or alone(text)
        while len(self._seen) > MAX_SECRETS:
            del self._seen[next(iter(self._seen))]

    def scrub(self, text: str) -> str:
        for secret, pattern in self._seen.items():
            if secret in text:
                text = pattern.sub(STARS, text)
        return text


def alone(text: str) -> re.Pattern[str]:
    """Matches `text` where no letter or digit touches it."""
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")


def is_secret(text: str) -> bool:
    """Whether the content of a masked field is worth remembering: long enough, not dots, not a placeholder."""
    return len(text.strip()) >= MIN_SECRET and any(c.isalnum() for c in text) and not is_placeholder(text)


def clean_event(event: Mapping[str, object], level: MaskLevel, secrets: Secrets) -> dict[str, object]:
    """A deep copy of an event with private values starred; ids, event name and type stay.

    Values that JSON cannot hold come back as text. Deeper than MAX_DEPTH comes back as STARS.
    """
    out: dict[str, object] = {}
    for key, value in event.items():
        if key in _NAMES and isinstance(value, str):
            out[key] = scrub(value)
        else:
            out[_key(key)] = _clean(key, value, level, secrets, key == "traits", 1)
    return out


def _clean(name: str, value: object, level: MaskLevel, secrets: Secrets, traits: bool, depth: int) -> object:
    folded = "".join(_WORD.findall(name)).lower()
    if value is None or isinstance(value, bool):
        return value
    if depth > MAX_DEPTH:
        return STARS
    if folded not in _IDS and private_name(name, level, traits):
        return STARS
    if isinstance(value, Mapping):
        return {
            _key(k): _id(v)
            if k == "id" and folded == "device" and isinstance(v, str | int)
            else _inside(k, v, level, secrets, traits, depth)
            for k, v in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_clean(name, v, level, secrets, traits, depth + 1) for v in value]
    if folded in _IDS:
        return _id(value)
    if isinstance(value, int | float):
        return STARS if is_card(str(value)) else value
    return secrets.scrub(scrub(str(value)))


def _inside(key: object, value: object, level: MaskLevel, secrets: Secrets, traits: bool, depth: int) -> object:
    return _clean(str(key), value, level, secrets, traits or key == "traits", depth + 1)


def _id(value: object) -> object:
    return value if isinstance(value, int | float) else _EMAIL.sub(STARS, str(value))


def _key(key: object) -> str:
    return scrub(str(key))


def _starred_card(match: re.Match[str]) -> str:
    return STARS if is_card(match[0]) else match[0]


def _starred_value(match: re.Match[str]) -> str:
    value = match["value"]
    quote = value[0] if value[0] in "\"'" else ""
    if value in ("null", "undefined", "None", "true", "false"):
        return match[0]
    return f"{match['name']}{quote}{STARS}{quote}"

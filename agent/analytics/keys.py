"""API keys and write keys as they are printed in logs: found, and starred."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

API_KEY = "API key"
WRITE_KEY = "write key"
STARS = "*****"

_KEY = re.compile(
    r"""(?P<name>api[_ -]?key|write[_ -]?key)["']?\s*(?:[:=]|\bis\b)\s*["']?(?P<key>[\w-]{16,64})(?![\w-])""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"""Authorization["']?\s*[:=]\s*["']?Bearer\s+(?P<key>[0-9a-f]{32})\b""", re.IGNORECASE)
_SETTINGS_URL = re.compile(r"/projects/(?P<key>[A-Za-z0-9]{16,64})/settings\b")
_WORDS = re.compile(r"key|bearer|/projects/", re.IGNORECASE)


def keys(text: str) -> Iterator[tuple[str, str]]:
    """Kind (API_KEY or WRITE_KEY) and value of each key in a text. What only stands for a key has no digit."""
    if not _WORDS.search(text):
        return
    for match in _KEY.finditer(text):
        if _like_a_key(match["key"]):
            yield (WRITE_KEY if match["name"].lower().startswith("write") else API_KEY), match["key"]
    for match in _BEARER.finditer(text):
        yield API_KEY, match["key"]
    for match in _SETTINGS_URL.finditer(text):
        if _like_a_key(match["key"]):
            yield WRITE_KEY, match["key"]


def starred(text: str, known: Iterable[str] = ()) -> str:
    """The text with every key in it, and every one of `known`, replaced by STARS."""
    for pattern in (_KEY, _BEARER, _SETTINGS_URL):
        text = pattern.sub(_star, text)
    for key in known:
        text = text.replace(key, STARS)
    return text


def _like_a_key(text: str) -> bool:
    return any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _star(match: re.Match[str]) -> str:
    start, end = match.start("key") - match.start(), match.end("key") - match.start()
    return f"{match[0][:start]}{STARS}{match[0][end:]}"

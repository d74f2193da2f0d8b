"""The ways in which a text may stand in another: case, accents apart, what separates its words and its groups of
digits, escapes, base64, digits of other scripts."""

from __future__ import annotations

import base64
import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from html import entities
from typing import NamedTuple

from agent.privacy import Span

# What is done with texts up to this length is kept: names and the words of views come again and again.
SHORT = 128
# A match of up to so many characters may begin within another.
REACH = 512
# Shorter texts look like any word in base64.
MIN_ENCODED = 6
# As many digits as are not in many texts by chance.
MIN_DIGITS, MAX_DIGITS = 6, 32
# So many letters and digits are a text's own, whatever stands between them. A number so long may have a prefix, and be
# without its first zeros; dates are shorter.
MIN_CORE, MAX_CORE, MIN_PREFIXED, MIN_LONG = 6, 48, 9, 10
DIGIT_RUNS = re.compile("[0-9]+")
# With its currency, before it or behind.
_CURRENCY = r"\W{0,3}[^\W\d_]{0,3}\W{0,3}"
_AMOUNT = re.compile(
    rf"{_CURRENCY}(?P<whole>[0-9]{{1,3}}(?:[.,'\s][0-9]{{3}})+|[0-9]{{4,}})(?:[.,](?P<cents>[0-9]{{1,2}}))?{_CURRENCY}"
)
MIN_AMOUNT = 4
RUNS = re.compile("[A-Za-z0-9]+")
# White space between two words, in all the ways in which a character may be written.
_GAP = (
    r"(?:\s|\+|%(?:25)?(?:20|0[9AaDd])|\\+[nrt]|\\+u00(?:[aA]0|20|0[9aAdD])"
    r"|&(?:amp;)?(?:nbsp|#0*(?:9|10|13|32|160)|#[xX]0*(?:9|[aAdD]|20|[aA]0));)+"
)
# What is put between the groups of a number and the words of a name that is made of several.
_BETWEEN_ESCAPES = r"%(?:25)?(?:2[0-9A-Fa-f]|0[9AaDd])|(?<!\\)\\++(?:[nrt]|u00[2aA][0-9A-Fa-f])|&(?:amp;)?nbsp;"
_BETWEEN = rf"(?:[\s\-_./()+]|{_BETWEEN_ESCAPES}){{0,4}}+"
_BETWEEN_ESCAPED = re.compile(_BETWEEN_ESCAPES)
# Before a number: what the world calls its country by; of a long one also without a sign of that.
_PREFIX = r"(?:(?:\+|00)?[0-9]{1,4}(?:[\s\-_./()]|%20){1,2}|(?:\+|00)[0-9]{1,4})?"
_LONG_PREFIX = rf"(?:(?:\+|00)?[0-9]{{1,4}}{_BETWEEN}|\+)?"
_DROPPED = {c: None for c in range(128) if not chr(c).isalnum()}
# The letters of scripts that put no spaces between words, and those of Korean, which ties its particles to them: such a
# letter beside a word says nothing of where that ends.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
_EDGE = (
    rf"(?:(?<![^\W_])|(?<=[{_UNSPACED}])"
    r"|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4}))"
)
_END = rf"(?![^\W_{_UNSPACED}])"
# How many backslashes stand before a character that was escaped again and again: each time twice as many.
MAX_ESCAPED = 15
# Of a longer text no longer beginning is looked for.
MAX_BEGINNING = 80
# Soft hyphens, joiners, marks of direction, the mark of the byte order: of no width.
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")


def plain(text: str) -> str:
    """`text`, character by character, with the digits, spaces, dashes and signs of ASCII for those of other scripts."""
    if text.isascii():
        return text
    known = _others()
    for odd in known.keys() & set(text):
        text = text.replace(odd, known[odd])
    return text


@functools.cache
def _others() -> dict[str, str]:
    plain = {chr(c): str(n) for c in range(0x80, 0x20000) if (n := unicodedata.decimal(chr(c), None)) is not None}
    plain |= dict.fromkeys("\u00a0\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))), " ")
    plain |= dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-")
    plain |= {"\uff1a": ":", "\uff1d": "=", "\uff0b": "+", "\uff08": "(", "\uff09": ")"}
    return plain


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """The letters and digits of a text in lower case: what `Anna Bell`, `anna-bell` and `annaBell` have in common."""
    return "".join(filter(str.isalnum, lowered(text)))


def squeezed(text: str) -> str:
    """`text` in which `core` is looked for: its letters and digits alone, none of an escape between them."""
    if "%" in text or "\\" in text or "&" in text:
        text = _BETWEEN_ESCAPED.sub(" ", text)
    low = lowered(plain(text))
    return low.translate(_DROPPED) if low.isascii() else "".join(filter(str.isalnum, low))


def core(text: str) -> str:
    """The letters and digits of a text where they are enough to know it by, "" where not; of a number without the zeros
    before it, which its other forms may lack."""
    found = squeezed(composed(text))
    if found.isdigit() and len(found.lstrip("0")) >= MIN_PREFIXED:
        found = found.lstrip("0")
    return found if MIN_CORE <= len(found) <= MAX_CORE else ""


def composed(text: str) -> str:
    """`text` with each letter and its accent as one character."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def lowered(text: str) -> str:
    """`text` in lower case, character by character, with one form for letters that are alike without case."""
    return (
        text if text.isascii() else text.replace("\u0130", "i").replace("\u0131", "i").replace("\u017f", "s")
    ).lower()


def alone(text: str) -> re.Pattern[str]:
    """Matches `text`, plain or escaped, where no letter or digit touches it, of scripts with spaces between words."""
    words = text.split()
    plain_text = _GAP.join("".join(map(_escaped, word)) for word in words)
    # Then whatever touches it is beside it.
    before = "" if UNSPACED.match("".join(words)) else _EDGE
    after = "" if UNSPACED.match("".join(words)[-1:]) else _END
    encoded = "|".join(re.escape(code) for code in (*_base64(text), *_number(text)))
    written = [f"{before}(?:{plain_text}){after}", *([f"{_EDGE}(?:{encoded}){_END}"] if encoded else [])]
    if composed(text) != text:
        written.append(
            f"{before}(?:{_GAP.join(''.join(map(_escaped, word)) for word in composed(text).split())}){after}"
        )
    if own := core(text):
        prefix = ""
        if own.isdigit() and len(own) >= MIN_PREFIXED:
            prefix = (_LONG_PREFIX if len(own) >= MIN_LONG else _PREFIX) + "0*"
        written.append(f"{before}{prefix}{_BETWEEN.join(map(_escaped, own))}{after}")
    return re.compile("|".join(written), re.IGNORECASE)


def beginning(text: str, least: int) -> re.Pattern[str]:
    """Matches the first characters of `text`, at least so many and as many as stand there, plain or escaped, where no
    letter or digit touches them; see `alone`."""
    signs = [_GAP if c.isspace() else _escaped(c) for c in " ".join(text.split())[:MAX_BEGINNING]]
    more = "".join(f"(?:{sign}" for sign in signs[least:]) + ")?" * len(signs[least:])
    before = "" if UNSPACED.match(text.lstrip()) else _EDGE
    return re.compile(rf"{before}{''.join(signs[:least])}{more}{_END}", re.IGNORECASE)


def _escaped(c: str) -> str:
    return re.escape(c) if c.isascii() and c.isalnum() else _escapes(c)


def _escapes(c: str) -> str:
    """A character as it is, as in a JSON string, as in an address (a byte of a non-ASCII one may be in any case), as in
    HTML."""
    units = c.encode("utf-16-be", "surrogatepass").hex()
    json = "".join(rf"\\{{1,{MAX_ESCAPED}}}u{units[i : i + 4]}" for i in range(0, len(units), 4))
    percent = "".join(f"%(?:25)?{byte:02x}" for byte in c.encode("utf-8", "surrogatepass"))
    name = "apos" if c == "'" else entities.codepoint2name.get(ord(c))
    markup = rf"&(?:amp;)?(?:#0*{ord(c)}|#x0*{ord(c):x}{f'|{name}' if name else ''});"
    cases = "".join(f"|{case}" for case in {c.lower(), c.upper(), unicodedata.normalize("NFD", c)} if len(case) > 1)
    return rf"(?:\\{{0,{MAX_ESCAPED}}}{re.escape(c)}{cases}|{json}|{percent}|{markup})"


def _base64(text: str) -> tuple[str, ...]:
    if len(text) < MIN_ENCODED:
        return ()
    code = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    return tuple(dict.fromkeys((code, code.replace("+", "-").replace("/", "_"))))


def _number(text: str) -> tuple[str, ...]:
    """The digits alone of a text with enough of them: a number is written in one form and logged in another. Of an
    amount the forms that a program gives it, with its decimals and without."""
    written = plain(text)
    digits = "".join(DIGIT_RUNS.findall(written))
    forms = [digits] if MIN_DIGITS <= len(digits) <= MAX_DIGITS else []
    if (amount := _AMOUNT.fullmatch(written)) is not None:
        whole = "".join(DIGIT_RUNS.findall(amount["whole"]))
        if MIN_AMOUNT <= len(whole) <= MAX_DIGITS and (amount["cents"] or whole != amount["whole"]):
            forms += [*([f"{whole}.{amount['cents']}"] if amount["cents"] else ()), whole]
    return tuple(form for form in dict.fromkeys(forms) if form != text)


def everywhere(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Each match, also one that begins in another: "a b a" stands twice in "a b a b a"."""
    match = pattern.search(text)
    while match is not None and match[0]:
        yield match.span()
        short = match.end() - match.start() <= REACH
        match = pattern.search(text, match.start() + 1 if short else match.end())


class Signs(NamedTuple):
    """What stands in any text that `alone` of one may match, for each way of writing: looked for first, that is fast.

    Either all of one of `ways` in the text in lower case, or `core` in what is left of it `squeezed`.
    """

    ways: tuple[tuple[str, ...], ...]
    core: str


def may_stand(signs: Signs, text: str) -> bool:
    """Whether `alone` of the text that these are the signs of may match in `text`."""
    low = lowered(text)
    if any(all(sign in low for sign in way) for way in signs.ways):
        return True
    return bool(signs.core) and signs.core in squeezed(text)


def signs_of(text: str) -> Signs:
    # Of ASCII in the text itself: a letter that only counts as one may be escaped.
    written = (
        tuple(sorted({run.lower() for run in RUNS.findall(form)}, key=len, reverse=True)) or ("",)
        for form in dict.fromkeys((text, composed(text)))
    )
    ways = (*written, *((code.lower(),) for code in (*_base64(text), *_number(text))))
    return Signs(ways, core(text))


def seen_through(text: str, find: Callable[[str], Iterable[Span]]) -> Iterator[Span]:
    """What is found in `text` without the characters in it that nobody sees: they keep a number from looking like one.
    Nothing where there are none."""
    if text.isascii() or _UNSEEN.search(text) is None:
        return
    kept = [i for i, c in enumerate(text) if _UNSEEN.match(c) is None]
    for start, end in find("".join(text[i] for i in kept)):
        if start < end:
            yield kept[start], kept[end - 1] + 1

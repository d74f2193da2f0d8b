"""Private text: patterns that are never let through, and what stands beside the names of private fields."""

from __future__ import annotations

import base64
import itertools
import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache

from agent import privacy
from agent.model import MaskLevel
from agent.privacy import Span, starred, torn
from agent.replay.names import NUMBERED, WHOLE, Sort, is_person, names_person, private_name, sort_of
from agent.replay.spelling import DIGIT_RUNS, REACH, SHORT, plain, seen_through

STARS = privacy.STARS

_ATS = ("@", "＠", "%40", "%2540", r"\u0040", "&#64;", "&#x40;")
_LETTER = r"[\w.+'\u0300-\u036f-]|%2[BbEe]|\\u0[0-3][0-9A-Fa-f]{2}"
_LABEL = r"[\w\u0300-\u036f-]{1,63}"
_SIGN = "|".join(map(re.escape, _ATS))
# A package may have its version there (react-native@0.73.4); four numbers are a host's.
_NO_VERSION = r"(?!v?\d+(?:\.\d+){1,2}(?:-[a-z]+\d*(?:\.\d+)*)?(?![\w-]|(?:\.|%2[Ee])\w))"
_EMAIL = re.compile(rf"(?:{_LETTER}){{1,64}}(?:{_SIGN}){_NO_VERSION}{_LABEL}(?:(?:\.|%2[Ee]){_LABEL}){{1,8}}")
# A sign behind what may stand in an address (an escape ends with a letter or a digit) and before a host.
_AT = re.compile(rf"(?<=[\w.+'\u0300-\u036f-])(?:{_SIGN}){_NO_VERSION}(?={_LABEL}(?:\.|%2[Ee])[\w\u0300-\u036f-])")
# How long, escapes counted, the part before the sign may be, and at least what stands behind it.
_LOCAL, _HOST = 64 * 6, 63 + 8 * (3 + 63)
_DIGITS = re.compile(r"(?=\d)(?:(?<![^\W_])|(?<=%20)|(?<=%3[DAda]))(?P<row>\d(?:(?:[ .+-]|%20)?\d){12,30})(?!\d)")
_ON = re.compile(r"(?:[ .+-]|%20)?\d")
# Letters of other scripts, many of which are written without spaces, belong to no number and no key.
_OTHER_LETTERS = re.compile(r"[^\W\x00-\x7f]")
# With more between its groups a card number has groups of a card: columns of a table have others.
_GROUPS = re.compile(
    r"(?=\d)(?<![^\W_])(?=(?P<row>\d{4}(?P<gap>[\s_/]{1,3})(?:\d{4}[\s_/]{1,3}\d{4}[\s_/]{1,3}\d{4}(?:[\s_/]{1,3}\d{3}(?!\d))?"
    r"|\d{6}[\s_/]{1,3}\d{4,5}))(?!\d))"
)
# A full stop or a colon belongs to a number where there are digits on both sides of it, and else to a sentence.
_UNTOUCHED, _OVER = r"(?<![\w%-])(?<!\d[.:])", r"(?![\w-]|[.:]\d)"
# Beside a number: a short date, and a day as files are named by it.
_NO_DATE = r"(?!(?<!/)\d\d\.(?:0[1-9]|1[0-2])\.\d\d(?!\d))"
_NO_DAY = r"(?!(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d))"
_PHONE = re.compile(
    r"(?=[\d+(%\\])(?:(?:(?<![\w+])\+|%2B|\\u002[Bb])\d(?:[\s()./-]{0,2}\d){7,14}(?!\d)"
    rf"|(?<![\w-])(?<!\d\.)(?:1[\s.-])?\(?\d{{3}}\)?[\s.-]\d{{3}}[\s.-]\d{{4}}(?![\w-]|\.\d)"
    rf"|{_UNTOUCHED}(?:00?[1-9]\d{{8,12}}|0[1-9](?:[ .-]\d\d){{4}}){_OVER}"
    rf"|{_UNTOUCHED}\(?0[1-9]\d{{1,2}}\)?[ /-]{{1,3}}{_NO_DATE}\d{{2,3}}(?:[ .]\d\d){{2}}{_OVER}"
    rf"|{_UNTOUCHED}\(?0\d{{2,4}}\)?[ /-]{{1,3}}\d{{3,4}}[ -]?\d{{2,6}}{_OVER}"
    rf"|{_UNTOUCHED}(?:06[ -]{_NO_DAY}\d{{4}}|06 (?!(?:19|20)\d\d )\d{{4}} )\d{{4}}{_OVER}"
    rf"|{_UNTOUCHED}(?:\(0[2378]\) ?\d{{4}} |[1-9][1-9] 9\d{{4}}-)\d{{4}}{_OVER}"
    rf"|{_UNTOUCHED}00[1-9]\d{{0,2}}[ -]{{1,2}}(?:\(0\) ?)?\(?[1-9](?:[ ().-]{{0,2}}\d){{6,11}}{_OVER}"
    rf"|{_UNTOUCHED}(?:8[ -]?\(\d{{3,5}}\)[ -]?\d{{1,3}}[ -]?\d\d[ -]?\d\d|1[3-9]\d-\d{{4}}-\d{{4}}){_OVER}"
    r"|(?<![\w)])\(\d\d\) ?9?\d{4}-\d{4}(?![\w-]))"
)
_CALLS = ("tel", "phone", "mobile", "whatsapp", "handy", "fax")
# Where a word tells that it is one. Groups of digits alone may be anything, and a date is none.
_CALLED_SO = (
    r"""(?:\\*["'`])?\s{0,3}[:=]?\s{0,3}(?:\\*["'`])?(?!(?:19|20)\d\d[-./ ]\d\d[-./ ])(?!1[5-9]\d{11}(?!\d))"""
    r"(?P<number>\(?\d(?:[ ().-]{0,2}\d){7,14})(?!\w|[.:]\d)"
)
_CALLED = re.compile(
    r"(?:(?<![^\W_])|(?<=[a-z])(?=[A-Z]))(?i:tel(?:e(?:phone|fono?))?|phone|mobile|whatsapp|handy|fax)"
    rf"(?i:[ _-]?(?:number|no\.?|nr\.?))?{_CALLED_SO}"
)
_NUMBER = re.compile(_CALLED_SO)
# The word in other scripts. `sold` are also goods, with prices and numbers of their own: of fewer digits.
_CALLED_ELSEWHERE = re.compile(
    rf"(?:电话|電話|(?P<sold>手机|手機|携帯|휴대폰|핸드폰)|联系方式|전화|연락처){NUMBERED}?"
    r"|(?<![^\W_])(?i:телефон[^\W\d_]{0,3}|тел|моб|τηλ(?:[εέ]φων[^\W\d_]{0,3})?|κινητ[^\W\d_]{1,3})\.?"
    r"|(?:هاتف|جوال|טלפון|נייד|โทรศัพท์)"
)
MIN_MOBILE = 10
# Words may follow, and the next number.
_IBAN = re.compile(r"(?<![^\W_])(?=(?P<row>[A-Za-z]{2}\d{2}(?:(?:[ .+-]|%20)?[A-Za-z\d]){11,34})(?![^\W_]))")
_IBAN_GAP = re.compile("[ .+-]|%20")
_IBAN_LENGTHS = {
    15: "NO", 16: "BE BI", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA", 30: "JO KW", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
# What states number persons by in a form of its own: American, Brazilian, Korean.
_SSN = re.compile(
    r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}|(?<!\d[.])\d{3}\.\d{3}\.\d{3}-\d{2}"
    r"|\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6})(?![\w-])"
)
# An encrypted one has five parts, of which the second may be empty.
_JWT = re.compile(r"(?:(?<![\w-])eyJ[\w-]{5,}|(?<=-)eyJ[\w-]{5,1024})\.{1,2}[\w-]{5,}(?:\.[\w-]+){0,2}(?:\.[\w-]*)?")
_BEARER = re.compile(r"\bbearer\s+(?P<code>[\w.~+/=-]{8,})", re.IGNORECASE)
_BASIC = re.compile(r"\bbasic\s+(?P<code>[\w+/-]{6,}={0,2})", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?:[espr]k_(?:live|test)_\w{8,}|(?:cs|pi|seti|src)_\w{1,128}?_secret_\w{8,}|sk-(?:proj|ant|svcacct)-[\w-]{16,}"
    r"|whsec_[\w+/=]{8,}|A[KS]IA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|x(?:ox[a-z]|app)-[\w-]{10,})"
)
_LOGIN = re.compile(r"""://(?:[^\s/?#@:"'<>]*:)?(?P<password>[^\s/?#"'<>]+)@""")
# What lets in whoever follows a link: a code of OAuth or of a mail, what a link is signed with.
_LINK_CODE = re.compile(
    r"(?:[?&#]|%3F|%26|\\u0026)(?:oobCode|code|ticket|sig|signature|X-Amz-Signature|magic|invite)(?:=|%3D)"
    r"(?P<code>(?:[\w.~+/:!*()-]|%(?!26|23)[0-9A-F]{2}){8,})",
    re.IGNORECASE,
)
# Among the fields of a form; elsewhere a pass is of many kinds.
_FORM_PASS = re.compile(
    r"""(?:(?:[?&]|%3F|%26|\\u0026)(?:pass|psw|pswd|pw)(?:=|%3D)|(?<![^\s"'])(?:pass|psw|pswd|pw)=(?=[^\s&"'<>]+&))"""
    r"""(?P<code>(?:(?!%26|\\u0026)[^\s&"'<>])+)""",
    re.IGNORECASE,
)
# As Android and GeoJSON write where somebody is; a pair of numbers by itself may be anything.
_PLACE = re.compile(
    r"(?:lat/lng: ?\(|Location\[\w+ |\bgeo:|\bcoordinates\W{1,8})(?P<place>-?\d{1,3}[.,]\d+, ?-?\d{1,3}[.,]\d+)"
)
_PLACES = ("lat/lng", "Location[", "geo:", "coordinates")
# Which key, and where a finger was: dispatchers and views print what they were given.
_INPUT = re.compile(r"\b(?:Key|Motion)Event ?(?=[({])")
# The name may be quoted (JSON, RN inspect; with backslashes when JSON stands in JSON; escaped) and the value, too; a
# quoted value ends at its quote or with a line that was cut, a bare one at a space.
_NAME = re.compile(
    r"""(?<![\w-])(?P<name>[\w-]++)(?:\\*["'`]|%22|&quot;)?(?:\](?==))?"""
    # React Native joins what `console.log` was given by commas: 'Token: ', 'abc' and 'user', { name: 'Anna' }.
    # What is quoted there may be the next name of an object instead.
    r"""(?:\s*(?:={1,3}>?|:=?>?|%3[ADad])"""
    r"""(?:\s*\\*["'`],(?=\s+(?:\\*["'`](?![\w.-]{1,64}\\*["'`]\s*[:=])|[-+]?\d|[\[{]|null|undefined)))?"""
    r"""|(?P<aside>(?<=["'`]),(?=\s+(?:\[\s*)?\{)))(?:\s|%20)*"""
)
# The name is itself a value: in a pair in a list, in the entry of a form, in a preference in a file.
_QUOTED_NAME = r"""(?P<quote>\\*["'`])(?P<name>[\w@.:/-]{2,64})(?P=quote)"""
_PAIR = re.compile(rf"(?P<within>\[\s*|,\s*)?\[\s*{_QUOTED_NAME}\s*,\s*")
_ENTRY = re.compile(
    r"""\b(?:name|key|field|field_?name|input_?name|(?P<kind>(?:input_?)?type))\\*["'`]?\s*[:=]\s*"""
    r"""(?P<quote>\\*["'`])(?P<name>[\w-]{2,64})(?P=quote)(?:\s*,\s*\\*["'`]?(?:values?|(?:field|input)_?value)\\*["'`]?\s*[:=]\s*|>)""",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"""(?:^(?:\w/[\w.-]+: )?|\n)(?P<quote>["'`])[^"'`\n]{0,80}?(?<![\w-])(?P<name>[\w-]{2,64}+)(?P=quote), """
    r"""(?=["'`]|[-+]?\d)"""
)
_CLOSES = re.compile(r"\s*\]")
_BETWEEN_TAGS = re.compile("[^<>]+")
_TAGGED = re.compile(r"<(?P<name>[\w.:-]{2,64})(?:\s[^<>]{0,200})?>(?P<value>[^<>]+)</")
_QUOTED = (
    r"""\\+"(?:(?!\\+").)*(?:\\+"|$)|"(?:[^"\\]|\\.)*(?:"|\\?$)|'(?:[^'\\]|\\.)*(?:'|\\?$)|`(?:[^`\\]|\\.)*(?:`|\\?$)|"""
    r"""%22(?:(?!%22)[^\s&])*(?:%22)?|&quot;(?:(?!&quot;).)*(?:&quot;|$)"""
)
_BARE = r"""[^\s,;&})\]"'`<，；。、）】」]+"""
_VALUE = re.compile(rf"""(?:bearer|basic)\s+[^\s"',;]+|{_QUOTED}|{_BARE}""", re.IGNORECASE | re.DOTALL)
_VALUE_AT_MEDIUM = re.compile(rf"{_QUOTED}|{_BARE}", re.DOTALL)
# After a common word.
_VALUE_IN_FORM = re.compile(rf"""{_QUOTED}|(?:(?<==)|(?<=%3[Dd]))(?!0x){_BARE}|[-+]?\d(?!x)[\d.]*""", re.DOTALL)
# A list or an object ends with its own bracket; Kotlin, Java and Dart print one behind the name of its class.
_PRINTED = re.compile(r"(?<![\w.-])(?P<name>[A-Z]\w*+)(?=\(\w+(?:=|: )|\{\w+=)")
_OPENS = re.compile(r"(?:[A-Za-z_][\w.$]*+)?[\[{(]")
# Of a value that a bracket is part of.
_GOES_ON = re.compile(rf"(?:{_BARE}|(?:[ -]\d[\d.-]*+)+)")
# How many persons may stand in one another, and over how much text their own fields are looked for.
MAX_PERSONS, MAX_PERSON = 4, 4_000
# What says more than how far something was moved.
_SPEAKS = re.compile(r"""["'`]|[:=]\s*[^\W\d_]|\d{4}""")
_BRACKETS = re.compile(r"""\\.|"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|[\[\]{}]""", re.DOTALL)
_PARENTHESES = re.compile("[()]")
# Of several words without quotes, and no more than that; the apostrophe of O'Neill is none.
MAX_PHRASE = 200
_PIECE = r"""(?:[^,;&})\]"'`<\r\n，；。、）】」]|(?<=\w)'(?=\w))"""
_REACHES = {
    "word": re.compile(_BARE),
    "phrase": re.compile(rf"{_PIECE}{{1,{MAX_PHRASE}}}+"),
    "line": re.compile(r"[^\r\n]+"),
}
_TRAIT = Sort(always=False, common=False, reach="phrase")
# As Java and Kotlin print an object's fields: with no other `=` up to what ends it.
_FIELD = re.compile(rf"(?:(?!=){_PIECE}){{1,{MAX_PHRASE}}}+(?=[,)}}&;])")
# One of a printed object, where any other stands in a sentence.
_LISTED = re.compile(r"[(,{]\s?$")
# Numbers are written in groups.
_NUMBERS = re.compile(r"[-+]?\d[\d.-]*+(?:[ -]\d[\d.-]*+)+(?![\w:])")
_NOTHING = frozenset(("null", "undefined", "None", "true", "false"))
_QUOTE = re.compile(r"\\*[\"'`]|%22|&quot;")
CUT = 1_000
_SPAN = re.Match.span
_CARD_LENGTHS = {"2": (16,), "3": (14, 15, 16), "4": (13, 16, 19), "5": (16, 17, 18, 19), "6": (16, 17, 18, 19)}
_LONGEST_CARD = 19
# The range of Mastercard's that begins with a 2: years in a row are none.
_IN_TWO = re.compile(r"22[2-9]|2[3-6]|27[01]|2720|220[0-4]").match


def scrub(text: str, level: MaskLevel = "light") -> str:
    """`text` with e-mail addresses, card, account and phone numbers, tokens, keys and assigned secrets starred.

    From medium up also what is assigned to the names of personal fields.
    """
    return starred(text, spans(text, level))


def spans(text: str, level: MaskLevel = "light") -> tuple[Span, ...]:
    """Where in `text` stands what `scrub` stars, for each reason by itself."""
    return _spans(text, level) if len(text) > SHORT else _spans_before(text, level)


def _spans(text: str, level: MaskLevel) -> tuple[Span, ...]:
    return (*_found(text, level), *seen_through(text, lambda plain: _found(plain, level)))


# The words of views come again with every dump.
_spans_before = lru_cache(maxsize=4096)(_spans)


def _found(text: str, level: MaskLevel) -> Iterator[Span]:
    text = plain(text)
    apart = text if text.isascii() else _OTHER_LETTERS.sub("|", text)
    lower = apart.lower()
    yield from map(_SPAN, _addresses(text))
    if "eyJ" in text:
        yield from map(_SPAN, _JWT.finditer(apart))
    if "=" in text or ":" in text or "%3" in text:
        for _, start, end in _assigned(text, level):
            yield _unquoted(text, start, end)
    for name, start, end in _paired(text, lower):
        if private_name(name, level):
            yield _unquoted(text, start, end)
    if "Event" in text:
        yield from _inputs(text)
    if level != "light" and any(word in text for word in _PLACES):
        for match in _PLACE.finditer(text):
            yield match.span("place")
    if "</" in text:
        for match in _TAGGED.finditer(text):
            if private_name(match["name"], level):
                yield match.span("value")
    if "bearer" in lower:
        for match in _BEARER.finditer(apart):
            yield match.span("code")
    if "basic" in lower:
        for match in _BASIC.finditer(apart):
            if _is_login(match["code"]):
                yield match.span("code")
    if "://" in text and "@" in text:
        for match in _LOGIN.finditer(text):
            yield match.span("password")
    if ("=" in text or "%3" in text) and any(sign in text for sign in ("?", "&", "#", "%3", "%26", "u0026")):
        for match in itertools.chain(_LINK_CODE.finditer(text), _FORM_PASS.finditer(text)):
            yield match.span("code")
    yield from map(_SPAN, _KEY.finditer(apart))
    if _digits(text) >= 8:
        for match in _IBAN.finditer(apart):
            yield from _account(match)
        for match in itertools.chain(_rows(apart), _GROUPS.finditer(apart)):
            yield from _cards(match["row"], match.start("row"))
        yield from map(_SPAN, _PHONE.finditer(apart))
        if any(word in lower for word in _CALLS):
            for match in _CALLED.finditer(apart):
                yield match.span("number")
        for _, start, end in _called_elsewhere(text, apart):
            yield start, end
        yield from map(_SPAN, _SSN.finditer(apart))


def _called_elsewhere(text: str, apart: str) -> Iterator[tuple[int, int, int]]:
    """Phone numbers behind a word for such in a script of its own: where that begins, the number, and its end. `apart`
    is the text without letters of these scripts."""
    for word in _CALLED_ELSEWHERE.finditer(text) if not text.isascii() else ():
        match = _NUMBER.match(apart, word.end())
        if match is not None and not (word["sold"] and _digits(match["number"]) < MIN_MOBILE):
            yield word.start(), *match.span("number")


def _inputs(text: str) -> Iterator[Span]:
    """What dispatchers and views print of the input that they were given."""
    done = 0
    for match in _INPUT.finditer(text):
        if match.end() >= done:
            done = _closed(text, match.end())
            yield match.end() + 1, done - text.endswith(("}", ")"), 0, done)


def _rows(text: str) -> Iterator[re.Match[str]]:
    """The rows of digits; where one had to end, the next begins with the first group that may begin a card which goes
    on behind it."""
    at = 0
    while (match := _DIGITS.search(text, at)) is not None:
        yield match
        at = match.end()
        if _ON.match(text, at):
            row = match["row"].replace("%20", "   ")
            groups = [group.start() for group in DIGIT_RUNS.finditer(row)]
            late = (start for start in groups[1:] if _digits(row[start:]) < _LONGEST_CARD)
            at = match.start() + next(late, len(row))


def reaching(before: str, text: str, level: MaskLevel) -> int:
    """How many characters at the head of `text` end something private that begins in `before`, the line above it."""
    reach = len(before) + len(text) if may_be_cut(before) else REACH
    tail = before[-reach:]
    joined, edge = plain(tail + text[:reach]), len(tail)
    apart = joined if joined.isascii() else _OTHER_LETTERS.sub("|", joined)
    patterns = [_JWT, _BEARER, _KEY, _IBAN]
    if _digits(joined) >= 8:
        patterns += (_DIGITS, _PHONE, _CALLED, _SSN)
    found = (match for pattern in patterns for match in pattern.finditer(apart))
    numbers = (match.span("row") if match.re is _IBAN else match.span() for match in found)
    told = itertools.chain(_assigned(joined, level), _called_elsewhere(joined, apart))
    ways = itertools.chain(map(_SPAN, _addresses(joined)), numbers, ((start, end) for start, _, end in told))
    return max((end for start, end in ways if start < edge < end), default=edge) - edge


def _addresses(text: str) -> Iterator[re.Match[str]]:
    """The matches of _EMAIL, looked for around its signs only: it tries every word at each of its letters."""
    done = 0
    for sign in _AT.finditer(text):
        if sign.start() < done:
            continue
        match = _EMAIL.search(text, max(done, sign.start() - _LOCAL), sign.end() + _HOST)
        # Where the search ends an address may go on, or go back to an earlier sign.
        match = match and _EMAIL.match(text, match.start())
        if match is not None:
            done = match.end()
            yield match


def without_addresses(text: str) -> str:
    """`text` with e-mail addresses starred, and nothing else."""
    return starred(text, map(_SPAN, _addresses(text)))


def _digits(text: str) -> int:
    return sum(map(text.count, "0123456789"))


def may_be_cut(text: str) -> bool:
    """Whether the end of a log line may be missing: liblog cuts at 4,068 bytes, older React Native at 1,023, apps that
    log in pieces at lengths of their own."""
    return len(text) >= CUT or (
        4 * len(text) >= CUT and not text.isascii() and len(text.encode(errors="replace")) >= CUT
    )


def is_open(text: str) -> bool:
    """Whether an object or a list in it goes on in the next line, as where one is printed line by line."""
    return text.count("{") + text.count("[") > text.count("}") + text.count("]")


def without_torn(text: str) -> str:
    return starred(text, torn(text))


def is_card(text: str) -> bool:
    """Whether the digits of `text` are a card number: known first digit, a length of that issuer, right check digit."""
    digits = "".join(DIGIT_RUNS.findall(plain(text)))
    if len(digits) not in _CARD_LENGTHS.get(digits[:1], ()) or (digits[0] == "2" and not _IN_TWO(digits)):
        return False
    total = 0
    for i, c in enumerate(reversed(digits)):
        n = int(c) * (1 + i % 2)
        total += n - 9 if n > 9 else n
    return total % 10 == 0


def looks_private(text: str) -> bool:
    """Whether `text` holds something that `scrub` would replace."""
    return scrub(text) != text


def _cards(text: str, at: int) -> Iterator[Span]:
    """The card numbers in a row of groups of digits that stands there: an amount or a date may be beside one."""
    text = text.replace("%20", "   ")
    groups = list(DIGIT_RUNS.finditer(text))
    first = 0
    while first < len(groups):
        start = groups[first].start()
        ends = text[start] in _CARD_LENGTHS and [
            i for i in range(len(groups), first, -1) if is_card(text[start : groups[i - 1].end()])
        ]
        if ends:
            yield at + start, at + groups[ends[0] - 1].end()
            first = ends[0]
        else:
            first += 1


def _account(match: re.Match[str]) -> Iterator[Span]:
    """The account number in it, without words behind."""
    text = match["row"]
    for end in (len(text), *(gap.start() for gap in reversed(list(_IBAN_GAP.finditer(text))))):
        if _is_account(text[:end]):
            yield match.start(), match.start() + end
            return


def _is_account(text: str) -> bool:
    """Whether the check digits are right; in an unusual form also whether the length is that of the country."""
    groups = _IBAN_GAP.split(text.upper())
    code = "".join(groups)
    if len(code) < 15 or int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 != 1:
        return False
    joined = any(sign in text for sign in "-.+")
    if joined and any(len(group) != 4 for group in groups[:-1]):
        return False
    return (text.isupper() and not joined) or code[:2] in _IBAN_LENGTHS.get(len(code), "")


def _is_login(code: str) -> bool:
    """Whether a word in base64 is a user's name and password."""
    try:
        text = base64.b64decode(code.replace("-", "+").replace("_", "/").rstrip("=") + "==").decode()
    except ValueError:
        return False
    return ":" in text and text.isprintable()


def _assigned(text: str, level: MaskLevel) -> Iterator[tuple[int, int, int]]:
    """What `text` assigns to private names: where the name begins, the value, and where that ends."""
    # What is private from medium up only hides no name of what always is: a quote may be missing, or too much.
    sure = done = told = silent = 0
    printed = deque(_printed(text) if level != "light" and ("(" in text or "{" in text) else ())
    persons: list[Span] = []
    for match in _NAME.finditer(text):
        start, at = match.start(), match.end()
        if start < sure:
            continue
        while printed and printed[0][0] < start:
            persons.append(printed.popleft())
        while persons and persons[-1][1] <= start:
            persons.pop()
        # What an object that stands aside is called may be a screen: only a person is worth a guess.
        sort = None if match["aside"] else sort_of(match["name"])
        if sort is None and level != "light":
            # By the same rules as the event that the line tells of.
            whose = start < told and private_name(match["name"], level, True)
            if whose or (persons and names_person(match["name"]) and _is_right_in(text, persons[-1], start)):
                sort = _TRAIT
        before = text[start - 1 : start]
        if sort is None and before in ("%", "\\"):
            # The name begins behind an escape.
            sort = sort_of(match["name"][2 if before == "%" else 1 :])
        if sort is None:
            if level != "light" and text.startswith(("{", "["), at):
                if match["name"] == "traits" and at >= told:
                    told = _closed(text, at)
                elif len(persons) < MAX_PERSONS and (
                    is_person(match["name"])
                    or (match["name"] in WHOLE and persons and _is_right_in(text, persons[-1], start))
                ):
                    persons.append((at, _closed(text, at)))
            continue
        if not (sort.always or (level != "light" and start >= done)):
            continue
        form = _VALUE_IN_FORM if sort.common else _VALUE if sort.always else _VALUE_AT_MEDIUM
        value = form.match(text, at)
        opened = _OPENS.match(text, at)
        # A header's line may hold brackets of its own.
        if opened and (sort.reach != "line" or len(opened[0]) == 1):
            gesture = sort.common and opened[0] == "{" and "=" not in match[0] and start >= told
            if gesture and at < silent:
                continue
            closed = _closed(text, opened.end() - 1)
            if gesture and not _SPEAKS.search(text, opened.end(), closed):
                silent = closed
                continue
            rest = _GOES_ON.match(text, closed)
            end = max(closed if rest is None else rest.end(), _end(value, sort, match) if value is not None else 0)
            yield start, at, end
        elif value is not None and value[0] not in _NOTHING:
            end = _end(value, sort, match)
            yield start, value.start(), end
        else:
            continue
        sure, done = end if sort.always else sure, max(done, end)


def _paired(text: str, lower: str) -> Iterator[tuple[str, int, int]]:
    """Names that stand as values, each with where the value that belongs to it stands."""
    for match in _ENTRY.finditer(text) if "value" in lower or ">" in text else ():
        tagged = text[match.end() - 1] == ">"
        value = (_BETWEEN_TAGS if tagged else _VALUE_AT_MEDIUM).match(text, match.end())
        if match["kind"] and (tagged or (sort := sort_of(match["name"])) is None or sort.common):
            # Devices and messages may be of the type `phone`.
            continue
        if value is not None and value[0] not in _NOTHING:
            yield match["name"], *value.span()
    for match in _SAID.finditer(text) if ", " in text else ():
        sort, value = sort_of(match["name"]), _VALUE_AT_MEDIUM.match(text, match.end())
        if sort and value is not None and (not sort.common or any(c.isdigit() for c in value[0])):
            yield match["name"], *value.span()
    for match in _PAIR.finditer(text) if "[" in text and "," in text else ():
        value = _VALUE_AT_MEDIUM.match(text, match.end())
        closed = value is not None and _CLOSES.match(text, value.end())
        if value is not None and closed and is_pair(match["name"], value[0], within=match["within"] is not None):
            yield match["name"], *value.span()


def is_pair(name: str, value: str, *, within: bool) -> bool:
    """Whether two texts in a list are a name and its value: two in a list of such pairs are, and else where the value
    is no plain word. Lists of words that name private fields are many."""
    sort = sort_of(name)
    return within or (sort is not None and not sort.common and any(c.isdigit() for c in value))


def _end(value: re.Match[str], sort: Sort, named: re.Match[str]) -> int:
    """Where what is assigned to a private name ends: before the next such name at the latest."""
    text, start, end = value.string, value.start(), value.end()
    if _QUOTE.match(value[0]):
        return end
    longer = [_NUMBERS.match(text, start)]
    if ":" in text[named.end("name") : start]:
        if not sort.common:
            longer.append(_REACHES[sort.reach].match(text, start))
    elif sort.reach == "phrase" or _LISTED.search(text, max(0, named.start() - 2), named.start()):
        longer.append(_FIELD.match(text, start))
    furthest = max((match.end() for match in longer if match is not None), default=end)
    for other in _NAME.finditer(text, end) if furthest > end and sort.reach != "line" else ():
        if other.start() >= furthest:
            break
        if not other["aside"] and private_name(other["name"], "light" if sort.always else "medium"):
            next_sort = sort_of(other["name"])
            if next_sort is not None and next_sort.common and not _VALUE_IN_FORM.match(text, other.end()):
                # What stands behind that name is not taken for its own.
                continue
            return max(end, other.start())
    return max(end, furthest)


def _printed(text: str) -> Iterator[Span]:
    """Where what tells of a person stands, as Kotlin, Java and Dart print an object."""
    done = 0
    for match in _PRINTED.finditer(text):
        if match.end() >= done and is_person(match["name"]):
            done = _closed(text, match.end())
            yield match.end(), done


def _is_right_in(text: str, person: Span, at: int) -> bool:
    """Whether what stands there is a field of a person itself, and of nothing else in it; of a list's, of one in it."""
    begin = person[0] + 1
    if at - begin > MAX_PERSON:
        return True
    deep = sum(text.count(sign, begin, at) for sign in "{[(") - sum(text.count(sign, begin, at) for sign in "}])")
    return deep == (text[person[0]] == "[")


def _closed(text: str, start: int) -> int:
    """Where the list or the object that begins there ends; the text's end when that was cut."""
    depth = 0
    for sign in (_PARENTHESES if text[start] == "(" else _BRACKETS).finditer(text, start):
        depth += (sign[0] in "[{(") - (sign[0] in "]})")
        if not depth:
            return sign.end()
    return len(text)


def _unquoted(text: str, start: int, end: int) -> Span:
    quote = _QUOTE.match(text, start)
    opening = quote[0] if quote else ""
    closed = end - start > len(opening) and text.endswith(opening, start, end)
    return start + len(opening), end - len(opening) if closed else end

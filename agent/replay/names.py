"""The names of private fields: one table, for the fields of events and for what a text assigns to a name.

A name counts by its words, which end where the case changes, at `_`, `-` and digits, without accents: `cardCvv`,
`card_cvv` and `CARD-CVV` are the same. Words that are written as one count by the ends of the long ones (`accesstoken`)
and by what commonly stands around the short ones (`userpin`, `pincode`), so that `spin` and `company` stay what they
are.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from agent.model import MaskLevel

MAX_NAME = 64
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Sort:
    """What a name says of its field: private at every `level` or from medium up only.

    `common` words stand in log lines of any kind, too: there they count before a quoted text or a number alone. What
    stands unquoted behind a colon is a `word`, a `phrase` up to the next comma or bracket, or all of a header's `line`.
    """

    always: bool
    common: bool
    reach: Literal["word", "phrase", "line"] = "word"


_SORTS = {
    Sort(always=True, common=False, reach="line"): ("authorization", "cookie"),
    Sort(always=True, common=False, reach="phrase"): (
        "password", "passwd", "passwort", "passcode", "passphrase", "pwd",
        "contrasena", "senha", "motdepasse", "mdp", "kennwort", "wachtwoord", "haslo", "heslo", "losenord", "sifre",
        "парол", "mnemonic", "seedphrase", "recoveryphrase",
    ),
    Sort(always=True, common=False): (
        "secret", "token", "jwt", "csrf", "credential", "cardnumber", "cvv", "cvc", "iban", "pin", "otp", "ssn",
        "apikey", "writekey", "accesskey", "authkey", "privatekey", "secretkey", "signingkey", "encryptionkey",
        "sessionkey", "accountnumber", "accountno", "bankaccount", "routingnumber", "sortcode", "securitycode",
        "securityanswer", "smscode", "verificationcode", "totp", "cvn", "socialsecurity", "nino", "userpass", "dbpass",
        "adminpass", "loginpass", "wifipass", "smtppass", "ephemeralkey", "recoverykey", "recoverycode", "backupcode",
        "codeverifier", "authcode", "logincode", "onetimecode", "activationcode", "resetcode", "verifycode",
        "jsessionid", "phpsessid",
    ),
    Sort(always=True, common=True): ("card", "pan", "mfa", "csc"),
    Sort(always=False, common=False, reach="phrase"): (
        "street", "firstname", "lastname", "fname", "lname", "fullname", "surname", "givenname", "familyname",
        "middlename", "maidenname", "recipientname", "birth", "birthday", "birthdate", "dateofbirth", "dob",
    ),
    Sort(always=False, common=False): (
        "msisdn", "username", "nickname", "postal", "postcode", "postalcode", "zipcode", "passport", "taxid",
        "nationalid", "driverlicense", "driverlicence", "driverslicense", "driverslicence", "drivinglicence",
        "drivinglicense", "aadhaar", "aadhar", "bsn", "codicefiscale", "cpf", "curp", "dni", "nhsnumber", "nif",
        "personnummer", "pesel", "steuerid",
    ),
    Sort(always=False, common=True): (
        "email", "mail", "phone", "telephone", "tel", "mobile", "address", "addr", "city", "town", "zip", "latitude",
        "longitude", "lat", "lng", "lon", "latlng", "coordinate", "geo", "gps", "ip",
    ),
}  # fmt: skip
# In scripts without spaces: a name ends with one, or with one and a word for a number.
_UNSPACED = {
    Sort(always=True, common=False, reach="phrase"): ("密码", "密碼", "パスワード", "비밀번호"),
    Sort(always=True, common=False): (
        "口令", "令牌", "验证码", "驗證碼", "校验码", "动态码", "安全码", "安全碼", "卡号", "卡號", "银行账号",
        "認証コード", "暗証番号", "セキュリティコード", "カード番号", "口座番号",
        "인증번호", "보안코드", "카드번호", "계좌번호", "토큰",
    ),
    Sort(always=False, common=False, reach="phrase"): (
        "姓名", "收货人", "收貨人", "收件人", "联系人", "聯絡人", "持卡人", "出生日期", "出生年月",
        "收货地址", "收貨地址", "详细地址", "詳細地址", "家庭地址", "联系地址", "住址", "氏名", "生年月日",
        "성함", "수령인", "생년월일", "배송지",
    ),
    Sort(always=False, common=False): (
        "身份证", "身分證", "护照", "護照", "身分証", "パスポート", "マイナンバー", "주민등록번호", "여권번호",
    ),
    Sort(always=False, common=True): (
        "电话", "電話", "手机", "手機", "联系方式", "邮箱", "郵箱", "电邮", "電郵", "地址", "邮编",
        "携帯", "メール", "メールアドレス", "住所", "郵便番号",
        "전화번호", "휴대폰", "핸드폰", "휴대전화", "연락처", "이메일", "주소", "우편번호",
    ),
}  # fmt: skip
# Words of other scripts, and such as another word may end with.
_WORDS = {
    Sort(always=True, common=False): ("пин", "пинкод", "токен", "токена", "סיסמה", "סיסמא"),
    Sort(always=False, common=False, reach="phrase"): (
        "生日", "생일", "фамилия", "фамилии", "отчество", "отчества", "фио", "рождения", "γεννησης",
    ),
    Sort(always=False, common=False): ("паспорт", "паспорта", "снилс"),
    Sort(always=False, common=True): (
        "전화", "телефон", "телефона", "почта", "почты", "адрес", "адреса", "τηλεφωνο", "τηλεφωνου",
        "κινητο", "κινητου", "هاتف", "جوال", "טלפון", "נייד",
    ),
}  # fmt: skip
_TABLE = {word: sort for table in (_SORTS, _UNSPACED, _WORDS) for sort, words in table.items() for word in words}
# What stands behind one that is a number.
NUMBERED = "(?:号码|號碼|番号|번호|号|號)"
_NUMBERED = re.compile(f"{NUMBERED}$")
_RANKS = {sort: rank for rank, sort in enumerate(_SORTS)}
# No other word ends with one of these.
_ENDINGS = (
    "password", "passwd", "passwort", "passcode", "passphrase", "pwd", "secret", "token", "authorization", "cookie",
    "credential", "cardnumber", "apikey", "writekey", "accesskey", "authkey", "privatekey", "secretkey",
    "accountnumber", "firstname", "lastname", "fullname", "username", "nickname", "surname", "street", "birthday",
    "birthdate", "postcode", "zipcode", "contrasena", "senha", "motdepasse", "парол",
    *(word for words in _UNSPACED.values() for word in words),
)  # fmt: skip
_BEGINNINGS = ("password", "passwd", "парол")
_AROUND = (
    "user", "customer", "client", "member", "account", "contact", "primary", "emergency", "my", "new", "old", "current",
    "login", "auth", "access", "session", "device", "api", "app", "card", "credit", "debit", "bank", "payment",
    "billing", "shipping", "delivery", "home", "work", "office", "business", "mobile", "cell", "phone", "email",
    "mail", "ip", "sms", "id", "value", "key", "hash", "code", "number", "no", "string", "text", "data", "field",
    "input", "holder",
)  # fmt: skip
_COMPOUND = re.compile(
    rf"(?:{'|'.join(_AROUND)}){{0,3}}(?P<core>{'|'.join(sorted(_TABLE, key=len, reverse=True))})s?"
    rf"(?:{'|'.join(_AROUND)}){{0,3}}"
)
# Whose `name` is a person's.
_PERSONS = frozenset((
    "user", "profile", "customer", "contact", "recipient", "patient", "person", "passenger", "cardholder",
))  # fmt: skip
# Whose name is called by both words, `customerName`, and by what else a person is then.
_NAMED = _PERSONS - {"user", "profile"} | {
    "holder", "sender", "beneficiary", "payee", "guest", "traveler", "traveller", "employee", "student", "doctor",
}  # fmt: skip
# What tells of somebody may be called so after them.
_FACTS = frozenset((
    "info", "data", "detail", "details", "properties", "props", "traits", "attributes", "model", "entity", "dto",
    "object",
))  # fmt: skip
# In what tells of somebody, what stands under these does, too: Amplitude's operations on a user, behind a `$`.
WHOLE = frozenset(("set", "setOnce"))
_PERSONS_NAMES = frozenset((("name",), ("display", "name"), ("legal", "name"), ("preferred", "name")))
# What these count or describe is not the thing itself.
_MEASURES = frozenset((
    "count", "index", "type", "kind", "width", "height", "size", "length", "limit", "style", "color", "colour",
    "position", "visible", "enabled", "disabled", "required", "verified", "valid", "status", "model", "version", "x",
    "y",
))  # fmt: skip
_ORDINARY = re.compile(r"(?<![A-Za-z])iphone", re.IGNORECASE)


@lru_cache(maxsize=4096)
def sort_of(name: str) -> Sort | None:
    """What the name of a field says of it; None when it is nothing private."""
    words = words_of(_ORDINARY.sub("", name[-MAX_NAME:]))
    joined = "".join(words)
    if len(words) > 1 and words[-1] in _MEASURES:
        return None
    near = (*map("".join, itertools.pairwise(words)), *map("".join, zip(words, words[1:], words[2:], strict=False)))
    found = [_TABLE[form] for word in (*near, joined) for form in _singulars(word) if form in _TABLE]
    found += [sort for word in words if (sort := _sort_of_word(word)) is not None]
    if len(words) > 1 and "name" in _singulars(words[-1]) and not _NAMED.isdisjoint(_singulars(words[-2])):
        found.append(_TABLE["fullname"])
    return min(found, key=_RANKS.__getitem__, default=None)


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case."""
    if not name.isascii():
        # Composed again: what is no accent, as the marks of Korean, belongs to its letter.
        apart = unicodedata.normalize("NFKD", name)
        name = unicodedata.normalize("NFKC", "".join(c for c in apart if not "\u0300" <= c <= "\u036f"))
    return tuple(word.lower() for word in _WORD.findall(name))


@lru_cache(maxsize=4096)
def private_name(name: str, level: MaskLevel, traits: bool = False) -> bool:
    """Whether a field of this name holds something private: `card_number`, `userEmail`; more words from medium up."""
    sort = sort_of(name)
    if sort is not None and (sort.always or level != "light"):
        return True
    return traits and level != "light" and "name" in words_of(name)


@lru_cache(maxsize=4096)
def is_person(name: str) -> bool:
    """Whether what stands under this name tells of a person: `currentUser`, `contacts`, `userInfo`."""
    words = words_of(name[-MAX_NAME:])
    if len(words) > 1 and words[-1] in _FACTS:
        words = words[:-1]
    return bool(words) and not _PERSONS.isdisjoint(_singulars(words[-1]))


@lru_cache(maxsize=4096)
def names_person(name: str) -> bool:
    """Whether a field of this name, right below one of a person, is that person's name."""
    return words_of(name) in _PERSONS_NAMES


def _singulars(word: str) -> tuple[str, ...]:
    return word, word.removesuffix("s"), word.removesuffix("es")


def _sort_of_word(word: str) -> Sort | None:
    forms = _singulars(word) if word.isascii() else (word, _NUMBERED.sub("", word))
    for form in forms:
        if form in _TABLE:
            return _TABLE[form]
    for form in forms:
        for ending in _ENDINGS:
            if form.endswith(ending):
                return _TABLE[ending]
    if word.startswith(_BEGINNINGS):
        return _TABLE["password"]
    compound = _COMPOUND.fullmatch(word)
    return _TABLE[compound["core"]] if compound is not None else None

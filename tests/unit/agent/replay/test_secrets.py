from __future__ import annotations

import base64
import html
import json
import tracemalloc
import unicodedata
from urllib.parse import quote

import pytest
from fakes.traced import traced
from hypothesis import example, given
from hypothesis import strategies as st

from agent.replay.secrets import MAX_SECRETS, Secrets, is_placeholder, is_secret
from agent.replay.text import STARS


def test_the_content_of_a_field_is_worth_remembering_unless_it_is_a_placeholder() -> None:
    assert is_secret("Anna")
    assert is_secret("4711")
    for text in ("abc", "••••••", "Enter email address", "Search", "   ", "Phone *"):
        assert not is_secret(text), text
    assert is_placeholder("Card number (optional)")


def test_two_ideographs_or_syllables_are_a_name() -> None:
    assert [is_secret(text) for text in ("王明", "김철수", "さくら", "李", "Bo")] == [True, True, True, False, False]


@pytest.mark.parametrize("name", ["山田太郎", "김철수", "สมชาย", "王明"])
def test_where_words_have_no_spaces_a_name_is_found_among_others(name: str) -> None:
    secrets = Secrets()
    secrets.remember([name, "Anna Bell"])
    for text in ("ようこそ{}様", "{}님 안녕하세요", "欢迎{}登录", "คุณ{}ครับ", "x{}x", "user_{}"):
        assert secrets.scrub(text.format(name)) == text.format(STARS)
    assert secrets.scrub("欢迎Anna Bell登录") == f"欢迎{STARS}登录"
    assert secrets.scrub("欢迎Anna Bella登录") == "欢迎Anna Bella登录"
    # Its digits alone are a number as any other.
    secrets.remember(["2026年11月27日"])
    assert secrets.scrub("20261127 app_20261127093000.log") == f"{STARS} app_20261127093000.log"


def test_remembered_texts_are_starred_where_they_stand_alone() -> None:
    secrets = Secrets()
    secrets.remember(["Anna", "4711"])
    assert secrets.scrub("Hi Anna, no 4711; Annapolis 47110") == f"Hi {STARS}, no {STARS}; Annapolis 47110"


@pytest.mark.parametrize(
    "text",
    [
        "ANNA O'NEILL, 5",
        "anna\no'neill, 5",
        "q=Anna%20O%27Neill%2C%205&x=1",
        "q=anna+o%27neill%2c+5",
        r"{\"q\":\"Anna O\u0027Neill, 5\"}",
        "\\nAnna O\\'Neill, 5\\n",
        "%3DAnna%2520O'Neill,+5".replace("%2520", "%20"),
        "user_Anna O'Neill, 5_x",
        "Basic " + base64.b64encode(b"Anna O'Neill, 5").decode(),
    ],
)
def test_no_way_of_writing_hides_what_was_seen(text: str) -> None:
    secrets = Secrets()
    secrets.remember(["Anna O'Neill, 5"])
    clean = secrets.scrub(text)
    assert STARS in clean
    assert "neill" not in clean.lower()
    assert "QW5u" not in clean


@pytest.mark.parametrize("full", ["4485275742308327", "Annabel Lindqvist", "anna.bell@quill.example"])
def test_what_was_logged_between_two_dumps_of_what_is_typed_is_starred(full: str) -> None:
    secrets = Secrets()
    for length in range(2, len(full), 3):
        secrets.remember([full[:length]])
    secrets.remember([full])
    for length in range(4, len(full) + 1):
        part = full[:length].strip()
        assert secrets.scrub(f"onChangeText {part}") == f"onChangeText {STARS}"
        assert part not in secrets.scrub(json.dumps({"value": part}))
    assert secrets.scrub(f"x{full}") == f"x{full}"
    # What is deleted letter by letter was there before.
    secrets.remember([full[:-2]])
    assert secrets.scrub(full[:-1]) == STARS


def test_what_was_logged_of_a_long_draft_is_starred_to_its_end() -> None:
    draft = " ".join(f"word{n} of a letter" for n in range(20))
    secrets = Secrets()
    for length in (5, 20, len(draft)):
        secrets.remember([draft[:length]])
    for length in (60, 95, 150, 230):
        assert secrets.scrub(f"onChangeText {draft[:length]}") == f"onChangeText {STARS}", length


def test_a_word_of_a_line_is_no_beginning_of_what_was_typed() -> None:
    secrets = Secrets()
    for full in ("https://bank.example/a", "error in the cart page", "Main Street 5"):
        for length in (9, 12, len(full)):
            secrets.remember([full[:length]])
    for line in ("GET https://api.example/v1/items", "E/net: error: timeout", "screen Main shown"):
        assert secrets.scrub(line) == line
    assert secrets.scrub('{"value":"Main"} and error i') == f'{{"value":"{STARS}"}} and {STARS}'


def test_what_was_not_typed_has_no_beginnings() -> None:
    secrets = Secrets()
    secrets.remember(["Annabel Lindqvist"])
    secrets.remember(["Something else of it"])
    assert secrets.scrub("Annabel went home") == "Annabel went home"


@pytest.mark.parametrize(
    "secret", ["İstanbul 34", "Istanbul 34", "ISTANBUL 34", "ıstanbul 34", "Kaſe istanbul", "Kase İstanbul"]
)
def test_letters_that_are_alike_without_case_are_found(secret: str) -> None:
    secrets = Secrets()
    secrets.remember([secret])
    plain = secret.replace("ı", "i").replace("I", "İ")
    forms = {secret, plain, secret.upper(), secret.lower(), secret.replace("İ", "I")}
    for form in (*forms, json.dumps(secret)[1:-1], quote(secret)):
        assert secrets.scrub(f"to {form}!") == f"to {STARS}!", form
    assert secrets.begun(f"to {secret[:-1]}") == len(secret) - 1
    assert secrets.reaching(f"to {secret[:5]}", f"{secret[5:]}!") == len(secret) - 5


@pytest.mark.parametrize("secret", ["O'Brien & Söhne", '<b>"x" y</b>', "Anna Bell"])
def test_escapes_of_html_and_twice_quoted_addresses_hide_no_secret(secret: str) -> None:
    secrets = Secrets()
    secrets.remember([secret])
    once = html.escape(secret)
    named = once.replace(" ", "&nbsp;").replace("&#x27;", "&#39;").replace("ö", "&ouml;")
    for form in (once, named, html.escape(once), quote(quote(secret, safe=""), safe=""), once.replace(" ", "&#160;")):
        assert secrets.scrub(f"is {form}, ok") == f"is {STARS}, ok", form
    assert secrets.scrub(f"x%2520{quote(quote(secret))}") == f"x%2520{STARS}"


def test_letters_that_have_two_in_the_other_case_are_found() -> None:
    secrets = Secrets()
    secrets.remember(["Straße 5"])
    assert secrets.scrub("STRASSE 5, straße 5, STRAẞE 5") == f"{STARS}, {STARS}, {STARS}"


def test_letters_of_any_script_are_found_escaped() -> None:
    secrets = Secrets()
    secrets.remember(["Jürgen", "пароль", "🔑 key"])
    texts = (r"J\u00fcrgen", "J%C3%BCrgen", "JÜRGEN", r"\u043f\u0430\u0440\u043e\u043b\u044c", r"\ud83d\udd11 key")
    assert [secrets.scrub(text) for text in texts] == [STARS] * 5


@given(st.text(max_size=30), st.text(max_size=60))
@example("0000000000", "")
@example("9876543210", "")
def test_a_secret_never_survives_on_its_own(secret: str, text: str) -> None:
    secrets = Secrets()
    secrets.remember([secret])
    secrets.scrub(text)
    if secret.strip():
        assert secrets.scrub(f" {secret.strip()} ") == f" {STARS} "


WORDS = st.sampled_from(
    ["anna", "bell", "horse", "a@b.cd", "pin=77", "4711", "+1 415 555 2671", "o'neill", "5", "token:"]
)


PHRASES = st.lists(WORDS, min_size=1, max_size=5).map(" ".join).filter(lambda text: len(text) >= 4)


@given(st.lists(PHRASES, min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=4))
def test_no_secret_breaks_another_whichever_came_first(phrases: list[str], picked: list[int]) -> None:
    secrets = Secrets()
    for phrase in phrases:
        secrets.remember([phrase])
    for phrase in phrases:
        assert secrets.scrub(f"note {phrase} end") == f"note {STARS} end"
    text = " und ".join(phrases[i % len(phrases)] for i in picked)
    assert set(secrets.scrub(text).split()) <= {STARS, "und"}


def test_a_secret_that_repeats_itself_is_found_over_itself() -> None:
    secrets = Secrets()
    secrets.remember(["ring bell ring"])
    assert secrets.scrub("ring bell ring bell ring!") == f"{STARS}!"


def test_what_was_shown_before_is_starred_once_it_is_a_secret() -> None:
    secrets = Secrets()
    assert secrets.scrub("Hi Anna") == "Hi Anna"
    secrets.remember(["Anna"])
    assert secrets.scrub("Hi Anna") == f"Hi {STARS}"
    secrets.remember(f"word{i}" for i in range(MAX_SECRETS))
    assert secrets.scrub("Hi Anna") == "Hi Anna"


MESSAGE = " ".join(f"word{i}" for i in range(MAX_SECRETS // 2))


@pytest.mark.parametrize("beside", [(), ("5 Elm Row",)])
def test_a_long_text_that_is_typed_takes_the_room_of_one(beside: tuple[str, ...]) -> None:
    secrets = Secrets()
    secrets.remember(["correct", "correct horse"])
    for n in range(4, len(MESSAGE)):
        secrets.remember([MESSAGE[:n], *beside])
    assert secrets.scrub("correct; correct horse") == f"{STARS}; {STARS}"
    for n in range(len(MESSAGE) - 100, len(MESSAGE)):
        assert secrets.scrub(f"typed {MESSAGE[:n].strip()}!") == f"typed {STARS}!"


def test_of_a_text_that_is_deleted_letter_by_letter_the_longest_form_stays() -> None:
    secrets = Secrets()
    for word in ("hunter22", "swordfish", "correct horse"):
        for n in (*range(4, len(word) + 1), *range(len(word) - 1, 3, -1)):
            secrets.remember([word[:n]])
    secrets.remember(["hunter23"])
    for n in range(4, len(MESSAGE)):
        secrets.remember([MESSAGE[:n]])
    assert secrets.scrub("hunter22 swordfish hunter23, correct horse") == f"{STARS} {STARS} {STARS}, {STARS}"


def test_what_was_typed_before_is_no_partial_of_what_is_typed_now() -> None:
    secrets = Secrets()
    secrets.remember(["Anna"])
    secrets.remember(["other"])
    for n in range(4, 9):
        secrets.remember(["Anna Bell"[:n]])
    for n in range(4, len(MESSAGE)):
        secrets.remember([MESSAGE[:n]])
    assert secrets.scrub("Anna, Annapolis") == f"{STARS}, Annapolis"


def test_the_memory_is_bounded_and_keeps_the_latest() -> None:
    secrets = Secrets()
    secrets.remember(["again"])
    secrets.remember(f"word{i}" for i in range(MAX_SECRETS - 1))
    secrets.remember(["again", "last"])
    assert secrets.scrub("again") == STARS
    assert secrets.scrub("last") == STARS
    assert secrets.scrub("word0") == "word0"


def test_a_secret_of_several_words_that_was_cut_is_found_by_its_beginning() -> None:
    secrets = Secrets()
    secrets.remember(["Anna Maria Bell", "Nora Quill"])
    assert secrets.begun("paid by anna mar") == len("anna mar")
    assert secrets.begun("paid by Nora Quill") == 0
    assert secrets.begun("paid by An") == 0
    assert secrets.reaching("paid by nora qu", "ill, today") == len("ill")
    assert secrets.reaching("paid by nora", " quill") == len(" quill")
    assert secrets.reaching("paid by nora qu", "ilt") == 0


@pytest.mark.parametrize(
    ("typed", "ways"),
    [
        ("9876543210", ["98765 43210", "98765-43210", "09876543210", "+919876543210", "+91 98765%2043210"]),
        ("09876543210", ["+91 98765 43210", "9876543210", "098765) 43210"]),
        ("4711 0815", ["4711-0815", "47110815", "4711%2D0815", "4711/0815"]),
        ("98 76 54", ["98-76-54", "987654", "98.76.54"]),
        ("QQ 12 34 56 C", ["QQ123456C", "qq-12-34-56-c"]),
        ("SW1A 1AA", ["SW1A1AA", "sw1a_1aa"]),
        ("C01X-00T4-7", ["C01X00T47", "C01X 00T4 7"]),
        ("Anna Bell", ["anna-bell", "anna.bell", "anna_bell", "annabell", r"Anna\u002dBell"]),
        ("Müller", ["Mu\u0308ller", "MU\u0308LLER"]),
        ("Mu\u0308ller", ["Müller", "müller"]),
        ("José Díaz", ["jose\u0301-di\u0301az", "josé_díaz"]),
    ],
)
def test_what_separates_its_parts_hides_no_text(typed: str, ways: list[str]) -> None:
    secrets = Secrets()
    secrets.remember([typed])
    for text in ways:
        assert secrets.scrub(f"GET /of/{text}?a=1") == f"GET /of/{STARS}?a=1"
        assert text[0] in "+(" or secrets.scrub(f"x{text}") == f"x{text}"


@pytest.mark.parametrize(
    "text",
    [
        "an nabel 1", "987 654 3211", "hannabella", "129876543", "01 2345", "ts=1021990", "at 10, 21, 990 px",
        "1700098765431", "0,0-100,200", "170098765431 ms",
    ],
)  # fmt: skip
def test_other_texts_of_like_letters_stay(text: str) -> None:
    secrets = Secrets()
    secrets.remember(["Anna Bell", "9876543", "12345", "01.02.1990", "98765431", "100 200"])
    assert secrets.scrub(text) == text


def test_an_amount_is_found_as_a_program_writes_it() -> None:
    secrets = Secrets()
    secrets.remember(["85,000", "\u20ac 1.250,50", "4200.00"])
    text = "salary 85000, sent 1250.50 of 1250 and 4200; 850 and 12505 and 42000 stay"
    stars = f"salary {STARS}, sent {STARS} of {STARS} and {STARS}; 850 and 12505 and 42000 stay"
    assert secrets.scrub(text) == stars


@pytest.mark.parametrize(
    "typed", ["রা\u09dfহান", "\u095eातिमा", "\ufa12美子x", "\ufb2aלום כהן", "Jose\u0301", "\u1fbbx\u1f71yz"]
)
def test_letters_that_are_composed_in_another_way_are_found(typed: str) -> None:
    secrets = Secrets()
    secrets.remember([typed])
    for text in (typed, unicodedata.normalize("NFC", typed), typed.upper().lower()):
        assert secrets.scrub(f"x {text}, y") == f"x {STARS}, y", ascii(text)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text", ["%2520" * 8_000, "\\" * 40_000, "20 " * 13_000, "2 0" * 13_000, "\\n" * 20_000, "&nbsp;" * 6_000]
)
def test_hostile_texts_do_not_take_long(text: str) -> None:
    secrets = Secrets()
    secrets.remember(["20" * 20 + "31", "Anna Bell", "n" * 20, "0" * 12 + "1" * 12])
    secrets.scrub(f"{text} {'20' * 20}31")


def test_lines_that_never_come_again_take_little_room() -> None:
    nothing, some = Secrets(), Secrets()
    some.remember(["Quellenweg 7"])
    with traced():
        before = tracemalloc.get_traced_memory()[0]
        for n in range(4_000):
            assert nothing.spans(f"GET /products/{n} took {n} ms") == ()
            assert some.spans(f"GET /products/{n} took {n} ms, to Quellenweg 7")
        assert tracemalloc.get_traced_memory()[0] - before < 400_000

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.replay.text import (
    MAX_SECRETS,
    STARS,
    Secrets,
    clean_event,
    is_card,
    is_placeholder,
    is_secret,
    private_name,
    scrub,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_DEF-123"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail anna.b+x@mail.example.co.uk now", f"mail {STARS} now"),
        ("?to=anna%40example.com&x=1", f"?to={STARS}&x=1"),
        ("jürgen@münchen.example", STARS),
        ("card 4111 1111 1111 1111.", f"card {STARS}."),
        ("4111-1111-1111-1111", STARS),
        ("378282246310005", STARS),
        ("call +49 (170) 123-45 67!", f"call {STARS}!"),
        ("call 555-123-4567", f"call {STARS}"),
        (f"header {JWT}", f"header {STARS}"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: {STARS}"),
        ("using bearer abcdefgh12345", f"using bearer {STARS}"),
        ('{"password":"hunter \\"22","x":1}', f'{{"password":"{STARS}","x":1}}'),
        ("password=hunter22&next=/", f"password={STARS}&next=/"),
        ("writeKey: 'a1b2c3'", f"writeKey: '{STARS}'"),
        ("api_key=k, cvv = 123", f"api_key={STARS}, cvv = {STARS}"),
        ("user_token: abc", f"user_token: {STARS}"),
        ("stripe sk_live_abcdefgh123", f"stripe {STARS}"),
    ],
)
def test_what_looks_private_is_starred(text: str, clean: str) -> None:
    assert scrub(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "[AmplitudeSession] startNewSession -> 1760000000000",
        "4111 1111 1111 1112",
        "at 2026-11-23T10:11:12.345Z",
        "2026-11-23 10:11:12.345678901",
        "192.168.100.200",
        "6c1b8a52-9f1d-4a07-8a8c-0f6f4a1c2d3e",
        "spinner = 5, mapping: {}",
        "price 12.50, 3 x 250 g",
        '"token": null',
        "@Component loaded",
        "build 1234567890",
    ],
)
def test_what_is_not_private_stays(text: str) -> None:
    assert scrub(text) == text


@given(st.text(max_size=400))
def test_any_text_can_be_scrubbed_and_twice_changes_nothing(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text", ["a" * 40_000 + "@", "password" * 5_000, "1 " * 20_000, "+1(" * 10_000, "eyJ" * 10_000, "@a." * 9_000]
)
def test_hostile_texts_do_not_take_long(text: str) -> None:
    scrub(text)


def test_card_numbers_need_a_right_check_digit_and_length() -> None:
    assert is_card("5555 5555 5555 4444")
    assert not is_card("5555 5555 5555 4445")
    assert not is_card("1760000000000")
    assert not is_card("")


@pytest.mark.parametrize(
    "name", ["password", "userPassword", "card_number", "CardNumber", "cvv", "access-token", "apiKey", "writeKey"]
)
def test_names_that_are_private_at_every_level(name: str) -> None:
    assert private_name(name, "light")


@pytest.mark.parametrize(
    "name", ["email", "userEmail", "phone_number", "shippingAddress", "firstName", "first_name", "IP"]
)
def test_names_that_are_private_from_medium_up(name: str) -> None:
    assert private_name(name, "medium")
    assert private_name(name, "conservative")
    assert not private_name(name, "light")


@pytest.mark.parametrize("name", ["price", "product_id", "discard", "shipping", "description", "name", "spin"])
def test_names_that_are_not_private(name: str) -> None:
    assert not private_name(name, "conservative")


def test_the_content_of_a_field_is_worth_remembering_unless_it_is_a_placeholder() -> None:
    assert is_secret("Anna")
    assert is_secret("4711")
    for text in ("abc", "••••••", "Enter email address", "Search", "   ", "Phone *"):
        assert not is_secret(text), text
    assert is_placeholder("Card number (optional)")


def test_remembered_texts_are_starred_where_they_stand_alone() -> None:
    secrets = Secrets()
    secrets.remember(["Anna", "4711"])
    assert secrets.scrub("Hi Anna, no 4711; Annapolis 47110") == f"Hi {STARS}, no {STARS}; Annapolis 47110"


def test_the_memory_is_bounded_and_keeps_the_latest() -> None:
    secrets = Secrets()
    secrets.remember(["again"])
    secrets.remember(f"word{i}" for i in range(MAX_SECRETS - 1))
    secrets.remember(["again", "last"])
    assert secrets.scrub("again") == STARS
    assert secrets.scrub("last") == STARS
    assert secrets.scrub("word0") == "word0"


def test_an_event_is_cleaned_by_name_and_by_content_and_keeps_its_ids() -> None:
    event = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "anonymousId": "4111111111111111",
        "userId": "anna@example.com",
        "context": {"device": {"id": "5555555555554444", "token": "push"}, "ip": "10.0.0.1"},
        "integrations": {"Actions Amplitude": {"session_id": 1_760_000_000_000}},
        "properties": {
            "session_id": "4111111111111111",
            "email": "x",
            "note": "mail anna@example.com",
            "card": 4111111111111111,
            "digits": 4111111111111111,
            "paid": True,
            "cvv_ok": None,
            "items": [{"sku": "a", "phone": "1"}, "call 555-123-4567"],
            "name": "Shoe",
            "address": {"street": "Elm", "no": 5},
        },
    }
    given_copy = orjson.dumps(event)
    out = clean_event(event, "medium", Secrets())
    assert orjson.dumps(event) == given_copy
    assert out["event"] == "Order Completed"
    assert (out["messageId"], out["anonymousId"], out["userId"]) == ("m-1", "4111111111111111", STARS)
    assert out["context"] == {"device": {"id": "5555555555554444", "token": STARS}, "ip": STARS}
    assert out["integrations"] == event["integrations"]
    assert out["properties"] == {
        "session_id": "4111111111111111",
        "email": STARS,
        "note": f"mail {STARS}",
        "card": STARS,
        "digits": STARS,
        "paid": True,
        "cvv_ok": None,
        "items": [{"sku": "a", "phone": STARS}, f"call {STARS}"],
        "name": "Shoe",
        "address": STARS,
    }


def test_a_persons_name_is_private_in_traits() -> None:
    out = clean_event({"type": "identify", "traits": {"name": "Anna", "plan": {"name": "gold"}}}, "medium", Secrets())
    assert out["traits"] == {"name": STARS, "plan": {"name": STARS}}


def test_names_of_fields_are_cleaned_too() -> None:
    assert clean_event({"properties": {"anna@example.com": 1}}, "light", Secrets()) == {"properties": {STARS: 1}}


def test_depth_has_an_end() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = {"a": deep}
    out = clean_event({"properties": deep}, "light", Secrets())
    assert STARS in repr(out)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("canary@example.com"),
    lambda v: (
        st.lists(v, max_size=4)
        | st.dictionaries(st.text(max_size=12) | st.sampled_from(["email", "id", "device"]), v, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["messageId", "device_id"]), JSON, max_size=5))
@example({"DEVICEID": "canary@example.com"})
@example({"device": {"id": "canary@example.com"}})
def test_no_address_survives_in_any_event(event: dict[str, object]) -> None:
    out = clean_event({"properties": event}, "medium", Secrets())

    def values(x: object) -> list[object]:
        if isinstance(x, dict):
            return [y for v in x.values() for y in values(v)]
        return [y for v in x for y in values(v)] if isinstance(x, list) else [x]

    assert "canary@example.com" not in values(out)

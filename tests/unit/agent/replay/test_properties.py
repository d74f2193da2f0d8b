from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.replay.properties import clean_event, private_values
from agent.replay.secrets import Secrets, secrets_in
from agent.replay.text import STARS, scrub

PRIVATE_NAMES = [
    "accesstoken", "userpassword", "phonenumber", "emailaddress", "dateOfBirth", "date_of_birth", "userPin", "pinCode",
    "pin_code", "cardCvv", "smsOtp", "secretKey", "private_key", "jwt", "passwort", "credentials", "pan", "cardHolder",
    "tokenId", "token_value", "tokens", "cookies", "pins", "passphrase", "Passwort", "ACCESS_TOKEN", "card",
]  # fmt: skip


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_what_is_private_in_an_event_is_private_in_its_log_line(name: str) -> None:
    assert clean_event({"properties": {name: "x7Yq"}}, "medium", Secrets()) == {"properties": {name: STARS}}
    assert scrub(f'{{"{name}":"x7Yq","a":1}}', "medium") == f'{{"{name}":"{STARS}","a":1}}'
    assert scrub(f"?{name}=x7Yq&a=1", "medium") == f"?{name}={STARS}&a=1"
    assert scrub(f"{{ {name}: 'x7Yq', a: 1 }}", "medium") == f"{{ {name}: '{STARS}', a: 1 }}"
    assert scrub(rf"\n{name}: '47 11'", "medium") == rf"\n{name}: '{STARS}'"


@pytest.mark.parametrize("who", ["user", "currentUser", "profile", "customer", "contacts"])
def test_the_name_of_a_person_is_private_wherever_it_stands(who: str) -> None:
    text = f'{{"{who}":{{"name":"Anna Bell","plan":"gold"}},"name":"Shoe"}}'
    assert scrub(text, "medium") == text.replace("Anna Bell", STARS)
    assert scrub(f"{who[0].upper()}{who[1:]}(name=Anna Bell, plan=gold)", "medium").endswith(
        f"(name={STARS}, plan=gold)"
    )
    event = {"properties": {who: [{"name": "Anna Bell", "plan": "gold"}], "name": "Shoe"}}
    cleaned = clean_event(event, "medium", Secrets())
    assert cleaned == {"properties": {who: [{"name": STARS, "plan": "gold"}], "name": "Shoe"}}
    assert private_values(event, "medium") == []
    kept = {"properties": {f"{who}_properties": {"$set": {"name": "Anna Bell", "plan": {"name": "gold"}}}}}
    assert clean_event(kept, "medium", Secrets()) == {
        "properties": {f"{who}_properties": {"$set": {"name": STARS, "plan": {"name": "gold"}}}}
    }
    apart = {"properties": {who: {"name": {"first": "Anna", "last": "Bell"}, "plan": {"name": "gold"}}}}
    assert clean_event(apart, "medium", Secrets()) == {"properties": {who: {"name": STARS, "plan": {"name": "gold"}}}}


def test_what_events_name_beside_private_fields_is_no_secret() -> None:
    properties = {
        "channels": ["email", "push"], "pay": ["card", "paypal"], "button": {"name": "add_address", "text": "Continue"},
        "user": {"screenName": "Settings", "planName": "Premium", "name": "Anna"},
    }  # fmt: skip
    assert private_values({"properties": properties}, "medium") == []
    cleaned = clean_event({"properties": properties}, "medium", Secrets())["properties"]
    assert cleaned == {**properties, "user": {**properties["user"], "name": STARS}}  # type: ignore[dict-item]


def test_the_name_of_an_event_is_starred_for_what_is_no_plain_word() -> None:
    secrets = Secrets()
    secrets.remember(["Home", "anna bell", "hunter22"])
    event = {"event": "Home searched Anna Bell", "properties": {"hunter22": 1, "home": "home"}}
    assert clean_event(event, "light", secrets) == {
        "event": f"Home searched {STARS}",
        "properties": {STARS: 1, "home": STARS},
    }


def test_numbers_are_starred_as_their_digits_are() -> None:
    secrets = Secrets()
    secrets.remember(["47114711"])
    event = {"properties": {"a": 4111111111111111.0, "b": 47114711, "c": 47114711.0, "d": 47, "e": 1.5}}
    assert clean_event(event, "light", secrets) == {
        "properties": {"a": STARS, "b": STARS, "c": STARS, "d": 47, "e": 1.5}
    }


def test_json_in_a_property_is_cleaned_by_its_names() -> None:
    event = {"properties": {"body": '{"firstName":"Anna","plan":"gold"}'}}
    assert clean_event(event, "medium", Secrets()) == {
        "properties": {"body": f'{{"firstName":"{STARS}","plan":"gold"}}'}
    }


def test_private_values_of_an_event_are_told_where_they_are_worth_remembering() -> None:
    event = {
        "type": "identify",
        "traits": {"name": "Anna", "address": {"street": "Elm Row 5", "no": 5}, "plan": "gold"},
    }
    assert sorted(private_values(event, "medium")) == ["Anna", "Elm Row 5"]
    assert private_values(event, "light") == []


def test_the_content_of_a_field_is_remembered_line_by_line_too() -> None:
    assert secrets_in(" Anna Bell\n5 Elm Row\nabc\nSearch ") == [
        "Anna Bell\n5 Elm Row\nabc\nSearch",
        "Anna Bell",
        "5 Elm Row",
    ]
    assert secrets_in("Anna") == ["Anna"]
    assert private_values({"traits": {"address": "Elm Row 5\nBath"}}, "medium") == [
        "Elm Row 5\nBath",
        "Elm Row 5",
        "Bath",
    ]


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


def test_a_field_that_comes_as_its_name_and_its_value_is_judged_by_its_name() -> None:
    form = {"properties": {"fields": [{"name": "password", "value": "x7Yq"}, {"key": "colour", "value": "x7Yq"}]}}
    cleaned = clean_event(form, "light", Secrets())["properties"]
    assert cleaned == {"fields": [{"name": "password", "value": STARS}, {"key": "colour", "value": "x7Yq"}]}


@pytest.mark.parametrize(
    ("properties", "clean"),
    [
        ({"field_name": "first_name", "field_value": "Anna"}, {"field_name": "first_name", "field_value": STARS}),
        (
            {"label": "Enter here", "name": "cvv", "value": "123"},
            {"label": "Enter here", "name": "cvv", "value": STARS},
        ),
        ({"key": "row-1", "name": "password", "value": "x"}, {"key": "row-1", "name": "password", "value": STARS}),
        ({"type": "password", "id": "f1", "value": "x7Yq"}, {"type": "password", "id": "f1", "value": STARS}),
        ({"inputType": "firstName", "value": "Anna"}, {"inputType": "firstName", "value": STARS}),
        ({"type": "phone", "value": 3}, {"type": "phone", "value": 3}),
        ({"name": "row-1", "field": "pin", "value": 1}, {"name": "row-1", "field": "pin", "value": STARS}),
        ({"pairs": [["Authorization", "Token abc"], ["a", "b"]]}, {"pairs": [["Authorization", STARS], ["a", "b"]]}),
        ({"headers": [["x-api-key", "abcdefgh"]]}, {"headers": [["x-api-key", STARS]]}),
        ({"pair": ["password", "hunter2"]}, {"pair": ["password", STARS]}),
        ({"list": ["mail", "sms"]}, {"list": ["mail", "sms"]}),
        ({"list": ["card", "paypal"]}, {"list": ["card", "paypal"]}),
        ({"list": ["pin", "fingerprint"]}, {"list": ["pin", "fingerprint"]}),
        ({"list": ["mail", "sms", "push"]}, {"list": ["mail", "sms", "push"]}),
        ({"name": "add_address", "text": "Continue"}, {"name": "add_address", "text": "Continue"}),
    ],
)
def test_names_and_values_apart_belong_together(properties: dict[str, object], clean: dict[str, object]) -> None:
    assert clean_event({"properties": properties}, "medium", Secrets()) == {"properties": clean}


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

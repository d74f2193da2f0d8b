from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.analytics.keys import API_KEY, STARS, WRITE_KEY, keys, starred

KEY = "0f9e8d7c6b5a49382716050403020100"


def test_kinds() -> None:
    assert list(keys(f'{{"apiKey":"{KEY}","writeKey":"abc123abc123abc123"}}')) == [
        (API_KEY, KEY),
        (WRITE_KEY, "abc123abc123abc123"),
    ]
    assert list(keys("/v1/projects/abc123abc123abc123/settings")) == [(WRITE_KEY, "abc123abc123abc123")]
    assert list(keys("no word of it " + KEY)) == []


def test_a_known_key_is_starred_without_a_name() -> None:
    assert starred(f"with {KEY}", [KEY]) == f"with {STARS}"


@given(st.text(max_size=40), st.text(max_size=40), st.from_regex(r"[a-z][0-9][a-z0-9]{20,40}", fullmatch=True))
def test_what_is_found_is_not_left(before: str, after: str, key: str) -> None:
    text = f"{before} api_key={key} {after}"
    assert key in [value for _, value in keys(text)]
    assert key not in starred(text).replace(before, "").replace(after, "")

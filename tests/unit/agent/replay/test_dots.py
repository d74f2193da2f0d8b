from __future__ import annotations

import pytest

from agent.privacy import starred
from agent.replay.dots import AFTER_NS, EARLY_NS, KEPT_NS, Dots, dots

SECOND = 1_000_000_000


def seen(*lengths: int) -> Dots:
    """Dumps a second apart, the last at ten seconds."""
    made = Dots()
    for n, length in enumerate(lengths):
        made.note((10 - len(lengths) + 1 + n) * SECOND, length)
    return made


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 0), ("••••••••", 8), ("***", 3), ("●●●● ", 4), ("hunter22", 0), ("• •", 0), ("Password", 0)],
)
def test_a_field_that_shows_nothing_but_dots(text: str, length: int) -> None:
    assert dots(text) == length


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("'signIn', 'anna', 'hunter22'", "'signIn', 'anna', '*****'"),
        ('{"cmd":"hunter22","kind":"login"}', '{"cmd":"*****","kind":"login"}'),
        ("signing in anna hunter22.", "signing in anna *****"),
        ("onChangeText hunt3r", "onChangeText *****"),
        ('{"id":null,"name":"x","pw":"hunt er2"}', '{"id":null,"name":"x","pw":"*****"}'),
        ("pass 'correct horse!'", "pass '*****'"),
        ("GET /v1/session/longer-than-that-1", "GET /v1/session/longer-than-that-1"),
        ("com.example.Shop started, 200 ok", "com.example.Shop started, 200 ok"),
    ],
)
def test_what_is_as_long_and_has_a_digit_or_a_sign_is_starred(line: str, clean: str) -> None:
    assert starred(line, seen(3, 6, 10).spans(line, 11 * SECOND)) == clean


def test_a_plain_word_stays_and_so_does_all_before_and_after() -> None:
    made = seen(8)
    assert list(made.spans("sunshine", 10 * SECOND)) == []
    for near in (10 * SECOND - EARLY_NS, 10 * SECOND, 10 * SECOND + AFTER_NS):
        assert list(made.spans("hunter22", near)) == [(0, 8)]
    for far in (10 * SECOND - EARLY_NS - 1, 10 * SECOND + AFTER_NS + 1):
        assert list(made.spans("hunter22", far)) == []


def test_it_keeps_what_lately_was() -> None:
    made = seen(8)
    made.note(10 * SECOND + KEPT_NS + 1, 4)
    assert list(made.spans("hunter22", 10 * SECOND)) == []
    # A dump that is read again is no new one.
    made.note(5 * SECOND, 12)
    assert list(made.spans("hunter22hunt", 5 * SECOND)) == []

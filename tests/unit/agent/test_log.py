from __future__ import annotations

import logging

import pytest

from agent.log import Damper, hidden, shown


def test_repeats_are_held_back_and_counted() -> None:
    damper = Damper(every=10)
    said = []
    for _ in range(21):
        record = logging.LogRecord("bridge", logging.WARNING, __file__, 1, "stream lost", None, None)
        if damper.filter(record):
            said.append(record.getMessage())
    assert said == ["stream lost", "stream lost (and 9 more like it)", "stream lost (and 9 more like it)"]


def test_other_messages_pass() -> None:
    damper = Damper(every=10)
    records = [logging.LogRecord("bridge", logging.WARNING, __file__, 1, f"line {i}", None, None) for i in range(5)]
    assert all(damper.filter(record) for record in records)


@pytest.mark.parametrize(
    ("level", "said"),
    [(0, []), (1, ["E"]), (2, ["W", "E"]), (3, ["I", "W", "E"]), (4, ["D", "I", "W", "E"])],
)
def test_the_plugin_s_log_levels(capsys: pytest.CaptureFixture[str], level: int, said: list[str]) -> None:
    logger = logging.getLogger("agent.somewhere")
    with shown(level):
        for word, number in (("D", 10), ("I", 20), ("W", 30), ("E", 40)):
            logger.log(number, word)
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == said
    assert logging.getLogger("agent").propagate
    assert logging.getLogger("agent").handlers == []


def test_secrets_are_starred_in_whatever_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("agent.test")
    with shown(4, ["a/key", ""]):
        log.warning("no %s in %s", "a/key", "https://x/?api_key=a%2Fkey")
        try:
            int("a/key")
        except ValueError:
            log.exception("failed")
    said = capsys.readouterr().err
    assert "no ***** in https://x/?api_key=*****" in said
    assert "ValueError: invalid literal" in said
    assert "a/key" not in said.partition("ValueError")[2]


def test_what_is_too_short_for_a_secret_stars_nothing() -> None:
    assert hidden("key, a key", "", "key") == "key, a key"

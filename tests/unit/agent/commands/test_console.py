from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from agent.commands.console import logged, put, put_json, say, saying, structured, table, taken
from agent.errors import ConfigError
from agent.settings import load


def test_words_go_to_stderr_and_facts_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    put("fact")
    put_json({"path": 1, 2: None})
    captured = capsys.readouterr()
    assert captured.err == "hello\n"
    first, second = captured.out.splitlines()
    assert first == "fact"
    assert json.loads(second) == {"path": 1, "2": None}


def test_words_go_where_the_log_goes(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    with saying(heard.append):
        say("hello")
        assert structured()
    say("after")
    assert (heard, structured()) == (["hello"], False)
    assert capsys.readouterr().err == "after\n"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_command_s_log_goes_where_the_settings_say(capsys: pytest.CaptureFixture[str], form: str) -> None:
    settings = load({"log.format": form, "upload.api_key": "canary-key", "metrics.token": "canary-token"}).settings
    logger = logging.getLogger("agent.somewhere")
    with logged(settings):
        logger.warning("no canary-key, no canary-token")
        say("hello")
    with logged(settings, 1):
        logger.warning("not told")
    first, second = capsys.readouterr().err.splitlines()
    assert "no *****, no *****" in first
    assert (second == "hello") is (form == "text")
    assert json.loads(second)["message"] == "hello" if form == "json" else True


def test_a_secret_of_the_command_s_own_is_hidden_too(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(load({"log.format": "json"}).settings, hide=["canary-token"]):
        say("curl -H 'Authorization: Bearer canary-token'")
    assert json.loads(capsys.readouterr().err)["message"] == "curl -H 'Authorization: Bearer *****'"


def test_words_of_json_logs_in_a_file_are_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = load({"log.format": "json", "log.file": tmp_path / "log"}).settings
    with logged(settings):
        logging.getLogger("agent.somewhere").warning("kept")
        say("hello")
    assert capsys.readouterr().err == "hello\n"
    assert json.loads((tmp_path / "log").read_text())["message"] == "kept"


def test_a_table_aligns_all_but_the_last_column() -> None:
    assert table([("a", "bb", "c"), ("aaa", "b", "")]) == ["a    bb  c", "aaa  b"]
    assert table([]) == []


@pytest.mark.parametrize("end", ["\u0085", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_one_value_is_one_line_to_any_reader(capsys: pytest.CaptureFixture[str], end: str) -> None:
    put_json({"text": f"a{end}b"})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"text": f"a{end}b"}


ESCAPES = "x\x1b]52;c;aGk=\x07\x9b31m\u202egpj\r\b"


def test_what_others_wrote_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    put(f"{ESCAPES}\nforged", "next")
    say(f"{ESCAPES}\n  hint")
    put_json({"text": ESCAPES})
    captured = capsys.readouterr()
    first, second, third = captured.out.splitlines()
    assert (first.isprintable(), second) == (True, "next")
    assert first.endswith(" forged")
    said, hint = captured.err.splitlines()
    assert (said.isprintable(), hint) == (True, "  hint")
    assert third.isascii()
    assert third.isprintable()
    assert json.loads(third) == {"text": ESCAPES}


def test_any_text_can_be_put_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "latin-1", errors="backslashreplace"))
    put_json({"text": "é 画 🍕"})
    put("é 画")
    sys.stdout.flush()
    first, second = raw.getvalue().decode("latin-1").splitlines()
    assert json.loads(first) == {"text": "é 画 🍕"}
    assert second == "é \\u753b"


def test_a_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="Standard input is closed"):
        taken()


def test_a_broker_with_a_bracket_in_its_password_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(load({"farm.broker": "redis://:p[ss@host/0"}).settings):
        logging.getLogger("agent.somewhere").warning("no p[ss")
    assert "p[ss" not in capsys.readouterr().err


def test_half_a_character_and_a_huge_number_are_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    put_json({"text": "pizza \ud83c", "\udf55": 2**80, 1: Path("a")})
    assert json.loads(capsys.readouterr().out) == {"text": "pizza ?", "?": str(2**80), "1": "a"}


def test_an_error_that_ends_the_block_is_a_record_too(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load({"log.format": "json"}).settings
    with pytest.raises(SystemExit) as ended, logged(settings):
        raise ConfigError("It is wrong.", "Mend it.")
    assert ended.value.code == 2
    record = json.loads(capsys.readouterr().err)
    assert (record["level"], record["message"]) == ("error", "It is wrong. Mend it.")
    with pytest.raises(ConfigError), logged(load({}).settings):
        raise ConfigError("It is wrong.", "Mend it.")


def test_a_block_in_a_block_tells_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    settings = load({"log.format": "json"}).settings
    with logged(settings):
        with logged(settings):
            logging.getLogger("agent.somewhere").warning("told")
        say("\nafter")
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(each["level"], each["message"]) for each in told] == [("warning", "told"), ("info", "after")]

from __future__ import annotations

import json

import pytest

from agent.commands.console import put, put_json, say, saying, structured, table


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


def test_a_table_aligns_all_but_the_last_column() -> None:
    assert table([("a", "bb", "c"), ("aaa", "b", "")]) == ["a    bb  c", "aaa  b"]
    assert table([]) == []


@pytest.mark.parametrize("end", ["\u0085", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_one_value_is_one_line_to_any_reader(capsys: pytest.CaptureFixture[str], end: str) -> None:
    put_json({"text": f"a{end}b"})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"text": f"a{end}b"}

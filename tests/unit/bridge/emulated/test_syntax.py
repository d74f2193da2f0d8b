import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.syntax import (
    For,
    Group,
    If,
    Loop,
    Part,
    Pipeline,
    Redirect,
    Script,
    ShellSyntaxError,
    Simple,
    parse,
)


def text(words: str, *, quoted: bool = False) -> tuple[Part, ...]:
    return (Part("text", words, quoted),)


def only(script: str) -> object:
    """The one command of a script."""
    ((_, pipeline),) = parse(script).steps
    (command,) = pipeline.commands
    return command


def test_words_and_assignments() -> None:
    assert only("CLASSPATH=/data/u2.jar app_process / com.wetest.uia2.Main -p 9008") == Simple(
        (("CLASSPATH", text("/data/u2.jar", quoted=True)),),
        tuple(text(word) for word in ("app_process", "/", "com.wetest.uia2.Main", "-p", "9008")),
    )


def test_an_assignment_after_the_command_is_a_word() -> None:
    assert only("export A=b") == Simple((), (text("export"), text("A=b")))


def test_operators() -> None:
    steps = parse("a && b || c; d | e\nf").steps
    assert [operator for operator, _ in steps] == [";", "&&", "||", ";", ";"]
    assert [len(pipeline.commands) for _, pipeline in steps] == [1, 1, 1, 2, 1]


def test_quotes() -> None:
    assert only(r"""echo 'a $b' "c $d" e\ f g"h"'i'""") == Simple(
        (),
        (
            text("echo"),
            text("a $b", quoted=True),
            (Part("text", "", True), Part("text", "c ", True), Part("variable", "d", True)),
            (Part("text", "e", False), Part("text", " ", True), Part("text", "f", False)),
            (
                Part("text", "g", False),
                Part("text", "", True),
                Part("text", "h", True),
                Part("text", "i", True),
            ),
        ),
    )


def test_substitutions_and_variables() -> None:
    assert only("echo $(cat /a | wc) ${B:-none} $? $EPOCHREALTIME $ 100$") == Simple(
        (),
        (
            text("echo"),
            (Part("substitution", "cat /a | wc", False),),
            (Part("variable", "B", False, "none"),),
            (Part("variable", "?", False),),
            (Part("variable", "EPOCHREALTIME", False),),
            text("$"),
            (Part("text", "100", False), Part("text", "$", False)),
        ),
    )


def test_redirects() -> None:
    assert only("a <in >out 2>>err 2>&1") == Simple(
        (),
        (text("a"),),
        (
            Redirect(0, "<", text("in")),
            Redirect(1, ">", text("out")),
            Redirect(2, ">>", text("err")),
            Redirect(2, ">&", text("1")),
        ),
    )


def test_compound_commands() -> None:
    assert isinstance(only('while read l; do eval "$l"; done'), Loop)
    assert isinstance(only("until false; do :; done"), Loop)
    assert isinstance(only("for f in a b; do echo $f; done"), For)
    assert isinstance(only("if a; then b; elif c; then d; else e; fi"), If)
    assert isinstance(only("{ a; b; }"), Group)
    assert isinstance(only("( a; b )"), Group)
    assert parse("! a").steps[0][1] == Pipeline((Simple((), (text("a"),)),), negated=True)


def test_nothing_is_a_script() -> None:
    assert parse("") == parse(" \n\t# a comment\n\n") == Script()


@pytest.mark.parametrize(
    "script",
    [
        "'open", '"open', "$(open", "${open", "a &&", "| a", "a | ", "if a; then b", "while a; do b",
        "for in a; do b; done",
        "( a", "{ a", "a )", "`date`", "$((1+1))", "a > ", ";;", "fi", "sleep 1 &", "( " * 80,
    ],
)  # fmt: skip
def test_outside_the_grammar(script: str) -> None:
    with pytest.raises(ShellSyntaxError):
        parse(script)


@given(st.text(st.sampled_from("ab $'\"\\;&|()<>{}\n=*#!?0`ifdothenwle "), max_size=60))
def test_any_text_is_parsed_or_refused(script: str) -> None:
    with contextlib.suppress(ShellSyntaxError):
        assert isinstance(parse(script), Script)


@given(st.text(min_size=1, max_size=30).filter(lambda word: "'" not in word))
def test_single_quotes_keep_everything(word: str) -> None:
    assert only(f"echo '{word}'") == Simple((), (text("echo"), text(word, quoted=True)))

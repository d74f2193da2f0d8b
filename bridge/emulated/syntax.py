"""The grammar of the emulated shell: the part of mksh that hosts send. Text in, a frozen tree out; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal


class ShellSyntaxError(ValueError):
    """The text is outside the grammar."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a word: literal text, a variable's name, or the script of a $(substitution)."""

    kind: Literal["text", "variable", "substitution"]
    text: str
    quoted: bool
    default: str = ""


Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """`fd` `op` `target`; for the op ">&" the target is another file descriptor."""

    fd: int
    op: Literal["<", ">", ">>", ">&"]
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    assigns: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    condition: Script
    body: Script
    until: bool
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class For:
    name: str
    words: tuple[Word, ...]
    body: Script
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class If:
    branches: tuple[tuple[Script, Script], ...]
    otherwise: Script
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    body: Script
    subshell: bool
    redirects: tuple[Redirect, ...] = ()


Node = Simple | Loop | For | If | Group


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: tuple[Node, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """Pipelines, each with the operator before it."""

    steps: tuple[tuple[Literal[";", "&&", "||"], Pipeline], ...] = field(default=())


_RESERVED = {"while", "until", "do", "done", "if", "then", "elif", "else", "fi", "for", "in", "{", "}", "!"}
_OPERATORS = ("&&", "||", ";", "|", "(", ")", "\n", "&")
_REDIRECT = re.compile(r"(\d?)(>>|>&|<|>)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_SPECIAL = "?$#@*!0123456789"
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["word", "operator", "redirect", "end"]
    text: str
    word: Word = ()
    fd: int = 0


@lru_cache(maxsize=512)
def parse(text: str) -> Script:
    """The tree of a script. Raises ShellSyntaxError."""
    parser = _Parser(list(_tokens(text)))
    script = parser.script(())
    if parser.token.kind != "end":
        raise ShellSyntaxError(f"unexpected '{parser.token.text}'")
    return script


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t\r":
            at += 1
        elif char == "#":
            at = _or_end(text.find("\n", at), text)
        elif match := _REDIRECT.match(text, at):
            fd = int(match[1]) if match[1] else 0 if match[2] == "<" else 1
            at = match.end()
            yield _Token("redirect", match[2], fd=fd)
        elif operator := next((op for op in _OPERATORS if text.startswith(op, at)), ""):
            at += len(operator)
            yield _Token("operator", operator)
        else:
            word, end = _word(text, at)
            yield _Token("word", text[at:end], word)
            at = end
    yield _Token("end", "end of file")


def _or_end(position: int, text: str) -> int:
    return len(text) if position < 0 else position


def _word(text: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    while at < len(text) and text[at] not in " \t\r\n;&|()<>":
        char = text[at]
        if char == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise ShellSyntaxError("no closing quote")
            parts.append(Part("text", text[at + 1 : end], quoted=True))
            at = end + 1
        elif char == '"':
            at = _double(text, at + 1, parts)
        elif char == "\\":
            if text[at + 1 : at + 2] != "\n":
                parts.append(Part("text", text[at + 1 : at + 2], quoted=True))
            at += 2
        elif char == "$":
            at = _dollar(text, at, parts, quoted=False)
        elif char == "`":
            raise ShellSyntaxError("unexpected '`'")
        else:
            end = at + 1
            while end < len(text) and text[end] not in " \t\r\n;&|()<>'\"\\$`":
                end += 1
            parts.append(Part("text", text[at:end], quoted=False))
            at = end
    return tuple(parts), at


def _double(text: str, at: int, parts: list[Part]) -> int:
    parts.append(Part("text", "", quoted=True))
    plain: list[str] = []

    def flush() -> None:
        if plain:
            parts.append(Part("text", "".join(plain), quoted=True))
            plain.clear()

    while True:
        if at >= len(text):
            raise ShellSyntaxError("no closing quote")
        char = text[at]
        if char == '"':
            flush()
            return at + 1
        if char == "\\" and text[at + 1 : at + 2] in ("$", "`", '"', "\\", "\n"):
            if text[at + 1] != "\n":
                plain.append(text[at + 1])
            at += 2
        elif char == "$":
            flush()
            at = _dollar(text, at, parts, quoted=True)
        else:
            plain.append(char)
            at += 1


def _dollar(text: str, at: int, parts: list[Part], *, quoted: bool) -> int:
    if match := _NAME.match(text, at + 1):
        parts.append(Part("variable", match[0], quoted))
        return match.end()
    following = text[at + 1 : at + 2]
    if following and following in _SPECIAL:
        parts.append(Part("variable", following, quoted))
        return at + 2
    if following == "{":
        end = text.find("}", at)
        name, _, default = text[at + 2 : end].partition(":-")
        if end < 0 or not (_NAME.fullmatch(name) or (len(name) == 1 and name in _SPECIAL)):
            raise ShellSyntaxError(f"{text[at : _or_end(end, text) + 1]}: bad substitution")
        parts.append(Part("variable", name, quoted, default))
        return end + 1
    if following == "(":
        if text.startswith("$((", at):
            raise ShellSyntaxError("unexpected '(('")
        end = _closing(text, at + 2)
        parts.append(Part("substitution", text[at + 2 : end], quoted))
        return end + 1
    parts.append(Part("text", "$", quoted))
    return at + 1


def _closing(text: str, at: int) -> int:
    depth, quote = 1, ""
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\" and quote == '"':
                at += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "\\":
            at += 1
        elif char in "()":
            depth += 1 if char == "(" else -1
            if not depth:
                return at
        at += 1
    raise ShellSyntaxError("no closing ')'")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def token(self) -> _Token:
        return self._tokens[self._at]

    def script(self, ends: tuple[str, ...]) -> Script:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ShellSyntaxError("nested too deep")
        steps: list[tuple[Literal[";", "&&", "||"], Pipeline]] = []
        operator: Literal[";", "&&", "||"] = ";"
        while True:
            self._skip_newlines()
            if self._ends(ends):
                if operator != ";":
                    raise ShellSyntaxError(f"unexpected '{self.token.text}'")
                break
            steps.append((operator, self._pipeline()))
            match self.token.text if self.token.kind == "operator" else "":
                case "&&":
                    operator = "&&"
                case "||":
                    operator = "||"
                case ";" | "\n":
                    operator = ";"
                case _:
                    break
            self._at += 1
        self._depth -= 1
        return Script(tuple(steps))

    def _ends(self, ends: tuple[str, ...]) -> bool:
        return self.token.kind == "end" or self.token.text in ends or self.token.text == ")"

    def _skip_newlines(self) -> None:
        while self.token.kind == "operator" and self.token.text == "\n":
            self._at += 1

    def _pipeline(self) -> Pipeline:
        negated = False
        if self._word_is("!"):
            self._at += 1
            negated = True
        commands = [self._command()]
        while self.token.kind == "operator" and self.token.text == "|":
            self._at += 1
            self._skip_newlines()
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    def _word_is(self, *texts: str) -> bool:
        return self.token.kind == "word" and self.token.text in texts

    def _expect(self, text: str) -> None:
        if self.token.text != text or self.token.kind not in ("word", "operator"):
            raise ShellSyntaxError(f"unexpected '{self.token.text}'")
        self._at += 1

    def _command(self) -> Node:
        if self.token.kind == "operator" and self.token.text == "(":
            self._at += 1
            body = self.script((")",))
            self._expect(")")
            return Group(body, True, self._redirects())
        if self._word_is("{"):
            self._at += 1
            body = self.script(("}",))
            self._expect("}")
            return Group(body, False, self._redirects())
        if self._word_is("while", "until"):
            until = self.token.text == "until"
            self._at += 1
            condition = self.script(("do",))
            body = self._do()
            return Loop(condition, body, until, self._redirects())
        if self._word_is("for"):
            return self._for()
        if self._word_is("if"):
            return self._if()
        return self._simple()

    def _do(self) -> Script:
        self._expect("do")
        body = self.script(("done",))
        self._expect("done")
        return body

    def _for(self) -> For:
        self._at += 1
        name = self.token.text
        if not _NAME.fullmatch(name):
            raise ShellSyntaxError(f"unexpected '{name}'")
        self._at += 1
        self._expect("in")
        words: list[Word] = []
        while self.token.kind == "word":
            words.append(self.token.word)
            self._at += 1
        if self.token.text in (";", "\n"):
            self._at += 1
        self._skip_newlines()
        body = self._do()
        return For(name, tuple(words), body, self._redirects())

    def _if(self) -> If:
        branches: list[tuple[Script, Script]] = []
        otherwise = Script()
        while self._word_is("if", "elif"):
            self._at += 1
            condition = self.script(("then",))
            self._expect("then")
            branches.append((condition, self.script(("elif", "else", "fi"))))
        if self._word_is("else"):
            self._at += 1
            otherwise = self.script(("fi",))
        self._expect("fi")
        return If(tuple(branches), otherwise, self._redirects())

    def _redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while self.token.kind == "redirect":
            found.append(self._redirect())
        return tuple(found)

    def _redirect(self) -> Redirect:
        token = self.token
        self._at += 1
        if self.token.kind != "word":
            raise ShellSyntaxError(f"unexpected '{self.token.text}'")
        target = self.token.word
        self._at += 1
        match token.text:
            case "<":
                return Redirect(token.fd, "<", target)
            case ">":
                return Redirect(token.fd, ">", target)
            case ">>":
                return Redirect(token.fd, ">>", target)
            case _:
                return Redirect(token.fd, ">&", target)

    def _simple(self) -> Simple:
        assigns: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            if self.token.kind == "redirect":
                redirects.append(self._redirect())
            elif self.token.kind == "word":
                if not words and self.token.text in _RESERVED:
                    raise ShellSyntaxError(f"unexpected '{self.token.text}'")
                assign = None if words else _assignment(self.token.word)
                if assign is None:
                    words.append(self.token.word)
                else:
                    assigns.append(assign)
                self._at += 1
            else:
                break
        if not assigns and not words and not redirects:
            raise ShellSyntaxError(f"unexpected '{self.token.text}'")
        return Simple(tuple(assigns), tuple(words), tuple(redirects))


def _assignment(word: Word) -> tuple[str, Word] | None:
    if not word or word[0].kind != "text" or word[0].quoted:
        return None
    match = _ASSIGN.match(word[0].text)
    if match is None:
        return None
    rest = Part("text", word[0].text[match.end() :], quoted=True)
    return match[1], (rest, *word[1:])

"""A user's privacy rules: which views and words they mean, and what is to be done with these.

A pattern is a glob (`*`, `?`, `[a-z]`, `[!a-z]`) or, between slashes, a regular expression. Both are run by RE2, whose
time grows with the length of the text alone, and which has neither look-around nor back-references for that reason: a
pattern comes from one person and the text from another's app, and no pair of them may hang the recorder.

What hides is generous and what shows is strict: in words (`text`, `desc`) a `block` or a `mask` is found anywhere, an
`unmask` must fit the whole. There `*` is any run without a space, `**` any run in a line, and letters are matched
whatever their case. A name (`id`, `testid`, `class`, `package`) is fitted whole by a glob.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from agent.errors import ConfigError
from bridge.types import Node

Action = Literal["block", "mask", "unmask"]
Span = tuple[int, int]
ACTIONS: tuple[Action, ...] = get_args(Action)
NAMES = ("id", "testid", "class", "package")
WORDS = ("text", "desc")
FIELDS = (*NAMES, *WORDS)
STARS = "*****"
MAX_PATTERN = 500
MAX_RULES = 200
# In a longer text that holds a match all is starred: finding every match of one takes a square of its length.
MAX_SEARCHED = 8_192
MAX_REACH = 512
MAX_KNOWN = 2_000
MAX_KNOWN_CHARS = 200
# Of more words in one container all its own are taken for such.
MAX_OTHERS = 500
_WANTED = f"A rule is FIELD=PATTERN, with FIELD one of {', '.join(FIELDS)}."
_SURROGATES = re.compile("[\ud800-\udfff]")
_WILD = re.compile(r"[*?\[]")
_TORN = re.compile(r"""(?:[+(]?\d[\d ().+/-]*|[^\s,;"'`{}\[\]()<>=]+)(?<=[\w@.%+-])$""")


@dataclass(frozen=True, slots=True)
class Rule:
    """Do `action` with the views that meet all `conditions`, which are (field, pattern) in the order given."""

    action: Action
    conditions: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """What a recording says of it. The words that it looks for may be the secret itself: they are starred."""
        told = (f"{name}={STARS if name in WORDS else pattern}" for name, pattern in self.conditions)
        return " ".join([self.action, *told])

    @property
    def words(self) -> str:
        """The pattern of a rule that is about words alone, which hold wherever they stand; "" for any other."""
        (name, pattern), *more = self.conditions
        return pattern if name == "text" and not more and self.action != "unmask" else ""


def starred(text: str, spans: Iterable[Span]) -> str:
    """`text` with all spans starred, those that overlap or touch as one.

    Whoever stars for several reasons collects the spans of all on the same text: a text starred for one of them holds
    only half of what another looks for. An empty span is a place for stars.
    """
    parts: list[str] = []
    done, end = 0, -1
    for start, stop in sorted(spans):
        if start > end:
            parts += (text[done:start], STARS)
        done = end = max(end, stop)
    return "".join((*parts, text[done:])) if parts else text


def torn(text: str) -> tuple[Span, ...]:
    """The last word or row of digits of a text that was cut: half a secret has no form."""
    match = _TORN.search(text, max(0, len(text) - MAX_REACH))
    return (match.span(),) if match is not None else ()


def rule(action: Action, text: str, where: str = "") -> Rule:
    """The rule of a flag, `FIELD=PATTERN`; `where` is what a message calls it. Raises ConfigError."""
    where = where or f"--{action} {text!r}"
    name, sign, pattern = text.partition("=")
    if not sign:
        raise ConfigError(f"{where} is no rule.", _WANTED)
    return _checked(action, {name.strip(): pattern}, where)


def read(value: object, where: str) -> Rule:
    """The rule of a settings file or of the environment: `{"action": ..., FIELD: PATTERN, ...}`. Raises ConfigError.

    `where` says which rule it is, for the message.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {value!r}, not a table.", 'Write it as {action = "mask", id = "card_*"}.')
    fields = dict(value)
    action = fields.pop("action", None)
    known = next((one for one in ACTIONS if one == action), None)
    if known is None:
        what = f"has the action {action!r}" if action is not None else "has no action"
        raise ConfigError(f"{where} {what}.", f"Take one of: {', '.join(ACTIONS)}.")
    return _checked(known, fields, where)


def _checked(action: Action, fields: Mapping[str, object], where: str) -> Rule:
    conditions = []
    for given, pattern in fields.items():
        name = str(given).lower()
        if name not in FIELDS:
            raise ConfigError(f"{where}: there is no field {given!r}.", _WANTED)
        if not isinstance(pattern, str) or not pattern.strip():
            raise ConfigError(f"{where}: {name} has no pattern.", _WANTED)
        if len(pattern) > MAX_PATTERN:
            raise ConfigError(f"{where}: a pattern has {len(pattern)} characters.", f"Up to {MAX_PATTERN} are taken.")
        conditions.append((name, pattern))
        try:
            _Pattern(name, pattern, whole=False)
        except ValueError as error:
            raise ConfigError(
                f"{where}: {error}.", "Write a glob (* ? [a-z]), or a regular expression of RE2 between slashes."
            ) from error
    if not conditions:
        raise ConfigError(f"{where} names no view.", _WANTED)
    return Rule(action, tuple(conditions))


class Rules:
    """All rules of a recording. `block` beats `mask` beats `unmask`; among equals the first one gives its name."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        """Raises ConfigError for more than MAX_RULES: every view of every dump is held against each."""
        if len(rules) > MAX_RULES:
            raise ConfigError(f"There are {len(rules)} privacy rules.", f"Join some: up to {MAX_RULES} are taken.")
        ordered = sorted(rules, key=lambda rule: ACTIONS.index(rule.action))
        self._rules = [
            (rule, [_Pattern(name, text, whole=rule.action == "unmask") for name, text in rule.conditions])
            for rule in ordered
        ]
        self._words = [_Pattern("text", rule.words, whole=False) for rule in ordered if rule.words]
        self.literals = tuple(
            rule.words
            for rule in ordered
            if rule.words and not _expression(rule.words) and not _WILD.search(rule.words)
        )

    def __bool__(self) -> bool:
        return bool(self._rules)

    def judge(self, node: Node) -> tuple[Action, str] | None:
        """What the rules say of a view by itself, with the name of the rule; None when none means it."""
        for rule, patterns in self._rules:
            if all(pattern.means(node) for pattern in patterns):
                return rule.action, rule.name
        return None

    def scrub(self, text: str) -> str:
        """`text` with the words starred that a rule about words alone hides."""
        return starred(text, self.spans(text))

    def spans(self, text: str) -> Iterator[Span]:
        """Where such words stand in `text`, which may be over one another."""
        for pattern in self._words:
            yield from pattern.hidden(text)

    def reaching(self, before: str, text: str) -> int:
        """How many characters at the head of `text` end such words that begin in `before`, the line above it."""
        tail = before[-MAX_REACH:]
        joined, edge = tail + text[:MAX_REACH], len(tail)
        ends = [end for pattern in self._words for start, end in pattern.spans(joined) if start < edge < end]
        return max(ends, default=edge) - edge


def beyond(words: str, others: Iterable[str]) -> str:
    """What words say that none of the `others` says, each of them once; "" when that is nothing but punctuation."""
    folded = words.lower()
    if len(folded) != len(words):
        folded = words
    for other in sorted(others, key=len, reverse=True)[:MAX_OTHERS]:
        said = other.strip().lower()
        at = folded.find(said) if said else -1
        while at >= 0:
            end = at + len(said)
            if not folded[at - 1 : at].isalnum() and not folded[end : end + 1].isalnum():
                folded = folded[:at] + " " * len(said) + folded[end:]
                words = words[:at] + " " * len(said) + words[end:]
                break
            at = folded.find(said, at + 1)
    return words if any(map(str.isalnum, folded)) else ""


def own_words(node: Node) -> str:
    """What a view says itself: its text, else what its description says that no view in it says. That of a container is
    its children's words, joined, and what is left the container draws (a row of Flutter's beside its button, a chart).
    """
    return node.text or _own_description(node)


def _own_description(node: Node) -> str:
    if not node.desc or not node.children:
        return node.desc
    return beyond(
        node.desc, (words for below in node.walk() if below is not node for words in (below.text, below.desc))
    )


class _Pattern:
    """One condition, ready to be held against views. Raises ValueError in words when it cannot be read."""

    def __init__(self, name: str, pattern: str, *, whole: bool) -> None:
        self._name = name
        expression = _expression(pattern)
        # A glob fits the whole of a name, and an expression is found in it unless it shows what would be hidden.
        self._whole = whole or (name in NAMES and expression is None)
        flags = "(?i)" if name in WORDS else ""
        self._compiled = _compiled(flags + (_glob(pattern, name in WORDS) if expression is None else expression))
        # A dump says mostly what the one before it said.
        self._known: dict[str, bool] = {}

    def means(self, node: Node) -> bool:
        return any(value and self._fits(value) for value in self._values(node))

    def spans(self, text: str) -> Iterator[Span]:
        """Where words stand in a text; never an empty place."""
        for match in self._compiled.finditer(_plain(text)):
            if match.end() > match.start():
                yield match.span()

    def hidden(self, text: str) -> Iterable[Span]:
        """What of a text is to be starred."""
        if not self._fits(text):
            return ()
        return ((0, len(text)),) if len(text) > MAX_SEARCHED else self.spans(text)

    def _fits(self, text: str) -> bool:
        fits = self._known.get(text)
        if fits is None:
            fits = self._matches(text)
            if len(text) <= MAX_KNOWN_CHARS:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[text] = fits
        return fits

    def _matches(self, text: str) -> bool:
        if self._whole:
            return self._compiled.fullmatch(_plain(text)) is not None
        return next(self.spans(text), None) is not None

    def _values(self, node: Node) -> tuple[str, ...]:
        if self._name == "class":
            return node.cls, node.cls.rpartition(".")[2]
        if self._name == "package":
            return (node.package,)
        if self._name == "desc":
            return (node.desc,)
        if self._name == "text":
            return self._text(node)
        # React Native gives a testID as a resource id without a package.
        _, mark, short = node.resource_id.partition(":id/")
        if self._name == "testid":
            return () if mark else (node.resource_id,)
        return node.resource_id, short

    def _text(self, node: Node) -> tuple[str, ...]:
        """What a view says itself: the description of a container is its children's words as far as these are."""
        if self._whole:
            return (node.text or node.desc,)
        return node.text, _own_description(node)


def _expression(pattern: str) -> str | None:
    """What stands between the slashes of a regular expression; None for a glob."""
    return pattern[1:-1] if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/") else None


def _glob(pattern: str, words: bool) -> str:
    """The regular expression of a glob. In words a space is any white space."""
    some = r"[^\s\x{a0}]" if words else "(?s:.)"
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        c = pattern[at]
        closing = pattern.find("]", at + 2)
        if pattern.startswith("**", at) and words:
            parts.append(".*")
            at += 1
        elif c == "*":
            parts.append(f"{some}*")
        elif c == "?":
            parts.append(some)
        elif c == "[" and closing > 0:
            inner = pattern[at + 1 : closing].replace("\\", r"\\").replace("[", r"\[")
            parts.append(f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner.replace('^', chr(92) + '^')}]")
            at = closing
        elif c == " " and words:
            parts.append(r"[\s\x{a0}]+")
        else:
            parts.append(re.escape(c) if c.isascii() else c)
        at += 1
    return "".join(parts)


@functools.cache
def _compiled(expression: str) -> Any:
    # Imported here because most recordings have no rules.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_plain(expression), options)
    except re2.error as error:
        words = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"the pattern cannot be read: {words}") from error


def _plain(text: str) -> str:
    """A text that UTF-8 can hold, of the same length."""
    return text if text.isascii() else _SURROGATES.sub("�", text)

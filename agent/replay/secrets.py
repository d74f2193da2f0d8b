"""Texts that were seen under a mask or in a private field, and where they stand in others."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator

from agent.privacy import Span, starred
from agent.replay.spelling import (
    MAX_BEGINNING,
    REACH,
    RUNS,
    SHORT,
    UNSPACED,
    Signs,
    alone,
    beginning,
    everywhere,
    fold,
    lowered,
    seen_through,
    signs_of,
    squeezed,
)

MIN_SECRET = 4
MAX_SECRETS = 256
# Texts on the way to a longer one, which a log line that comes late may hold.
MAX_PARTIALS = 128
# What stands behind a value: its text's end, too.
_VALUE_ENDS = ("", '"', "'", "\n", "}", "]", ")", "<", "&", "\\")
_TRAILING = re.compile(r"[\W_]+$")
# Where more texts change at once it is another screen, not a field in which somebody types.
MAX_CHANGED = 8
# Of how many texts it is kept what was found in them: more than some screens have. Lines of a log hardly come again.
MAX_DONE = 512
_TELLING = re.compile(r"(?=.{6})(?:.*[\W\d_])", re.DOTALL)
# What a field shows while it is empty: remembering these would star ordinary words in every log line.
_PLACEHOLDERS = frozenset((
    "a", "your", "the", "an", "or", "and", "of", "to", "in", "for", "enter", "type", "add", "e", "mail", "email",
    "phone", "telephone", "mobile", "number", "password", "passcode", "pin", "code", "confirm", "repeat", "new",
    "current", "old", "search", "find", "name", "first", "last", "full", "user", "username", "nickname", "company",
    "street", "address", "city", "town", "state", "country", "zip", "postal", "postcode", "date", "birth", "card",
    "holder", "expiry", "cvv", "cvc", "message", "comment", "comments", "note", "notes", "title", "description",
    "optional", "required", "here", "write", "something", "url", "website", "amount", "price", "quantity", "test",
    "text", "input", "value", "field", "today", "true", "false", "null", "none", "undefined",
))  # fmt: skip


class Secrets:
    """The latest texts that stood in masked fields, bounded; not thread-safe.

    A text counts where it stands alone: "Anna" is starred in "Hi Anna!" and not in "Annapolis". Neither case nor line
    breaks nor the escapes of JSON and of addresses hide it, nor does base64 of the whole; nor, where it is of some
    length, what separates its parts: `98765 43210`, `anna-bell`. What is typed letter by letter takes the room of one
    text: those on the way to it are kept apart, the latest of them.
    """

    def __init__(self) -> None:
        self._limit = MAX_SECRETS
        self._seen: dict[str, Signs] = {}
        self._partials: dict[str, Signs] = {}
        # Texts that were seen to grow. What was logged on the way there no dump may have seen.
        self._grown: dict[str, re.Pattern[str] | None] = {}
        # Texts that are in a field for the first time, and whether they came of taking something out.
        self._typed: dict[str, bool] = {}
        # Made when a text may hold one: most never stand in any.
        self._patterns: dict[str, re.Pattern[str]] = {}
        # What was found in short texts, as long as no secret comes or goes.
        self._done: dict[tuple[str, bool], tuple[Span, ...]] = {}
        self._folded: dict[str, str] = {}

    def widen(self, more: int) -> None:
        """Make room for so many more, so that none is forgotten for them."""
        self._limit += more

    def remember(self, texts: Iterable[str]) -> None:
        """Learn what stands in fields now. What stood there before and was typed on is a partial from now on; of a text
        that is deleted letter by letter the longest form stays."""
        now = dict.fromkeys(texts)
        new = {text: False for text in now if text not in self._seen}
        gone = [text for text in self._typed if text not in now and text in self._seen]
        if gone and len(gone) <= MAX_CHANGED >= len(new):
            for text in new:
                for before in filter(functools.partial(_goes_on, text), gone):
                    new[text] |= len(text) < len(before)
                    self._grow(before, text)
                    if self._typed[before] or len(text) > len(before):
                        seen = self._seen.pop(before, None)
                        self._partials[before] = seen or signs_of(before)
        for text in now:
            known = self._seen.pop(text, None) or self._partials.pop(text, None)
            self._seen[text] = known or signs_of(text)
            if not known:
                self._done.clear()
            if not known and is_telling(text):
                self._folded[text] = fold(text)
        self._typed = {text: self._typed[text] for text in now if text in self._typed} | new
        self._forget(self._seen, self._limit)
        self._forget(self._partials, MAX_PARTIALS)

    def _grow(self, before: str, text: str) -> None:
        """One was typed on, or deleted from."""
        longer = max(before, text, key=len)
        self._grown = {known: by for known, by in self._grown.items() if not longer.startswith(known)}
        self._grown[longer] = None
        while len(self._grown) > MAX_PARTIALS:
            del self._grown[next(iter(self._grown))]
        self._done.clear()

    def _forget(self, known: dict[str, Signs], limit: int) -> None:
        while len(known) > limit:
            self._done.clear()
            oldest = next(iter(known))
            del known[oldest]
            self._patterns.pop(oldest, None)
            self._folded.pop(oldest, None)

    def scrub(self, text: str, *, telling: bool = False) -> str:
        """`text` with the secrets starred; only the `telling` ones where a single word is more likely a name."""
        return starred(text, self.spans(text, telling=telling))

    def spans(self, text: str, *, telling: bool = False) -> tuple[Span, ...]:
        """Where in `text` they stand, which may be over one another."""
        if not (self._seen or self._partials or self._grown):
            return ()
        done = self._done.get((text, telling))
        if done is None:
            found = functools.partial(self._found, telling=telling)
            done = (*found(text), *seen_through(text, found))
            if len(text) <= SHORT:
                if len(self._done) >= MAX_DONE:
                    self._done.clear()
                self._done[text, telling] = done
        return done

    def _found(self, text: str, *, telling: bool) -> Iterator[Span]:
        folded = lowered(text)
        apart: str | None = None
        for secret, (ways, core) in itertools.chain(self._seen.items(), self._partials.items()):
            for signs in ways:
                if signs[0] in folded and all(sign in folded for sign in signs):
                    break
            else:
                if not core:
                    continue
                apart = squeezed(text) if apart is None else apart
                if core not in apart:
                    continue
            if not telling or is_telling(secret):
                if secret not in self._patterns:
                    self._patterns[secret] = alone(secret)
                yield from everywhere(self._patterns[secret], text)
        for typed, by in self._grown.items():
            # Of other signs there are more ways to write them.
            runs = RUNS.findall(typed[:MIN_SECRET])
            if any(run.lower() not in folded for run in runs):
                continue
            pattern = by or beginning(typed, MIN_SECRET)
            self._grown[typed] = pattern
            for at in everywhere(pattern, text):
                at = at[0], _further(typed, text, at)
                # Signs at its end tell nothing: every address begins alike.
                if is_telling(_TRAILING.sub("", text[slice(*at)])) or (not telling and _ends(typed, text, at)):
                    yield at

    def begun(self, text: str) -> int:
        """How many characters at the end of `text` are the beginning of a secret whose end is missing."""
        tail = lowered(text[-REACH:])
        lengths = (
            n
            for secret in itertools.chain(self._seen, self._partials)
            for n in range(MIN_SECRET, min(len(secret), len(tail) + 1))
            if tail.endswith(lowered(secret[:n]))
        )
        return max(lengths, default=0)

    def reaching(self, before: str, text: str) -> int:
        """How many characters at the head of `text` end a secret that begins at the end of `before`, the line above."""
        tail, head = lowered(before[-REACH:]), lowered(text[:REACH])
        left = (
            len(secret) - n
            for secret in itertools.chain(self._seen, self._partials)
            for n in range(1, len(secret))
            if head.startswith(lowered(secret[n:])) and tail.endswith(lowered(secret[:n]))
        )
        return max(left, default=0)

    def named(self, name: str) -> bool:
        """Whether a name is made of a secret, in whatever case and with whatever between its words."""
        folded = fold(name)
        return any(word in folded for word in self._folded.values())


def _further(typed: str, text: str, at: Span) -> int:
    """Where a long beginning ends of which a pattern matches the first part only."""
    start, end = at
    if end - start > MAX_BEGINNING // 2 and lowered(typed).startswith(lowered(text[start:end])):
        pairs = zip(lowered(typed[end - start :]), lowered(text[end:]), strict=False)
        end += sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return end


def _ends(typed: str, text: str, at: Span) -> bool:
    """Whether the beginning of a typed text ends there as what is typed does: within a word, or with the value. A whole
    word that a line goes on after is more likely a word of the line's."""
    part = lowered(text[slice(*at)])
    following = lowered(typed)[len(part) : len(part) + 1] if lowered(typed).startswith(part) else "x"
    return following.isalnum() or text[at[1] : at[1] + 1] in _VALUE_ENDS


def _goes_on(one: str, other: str) -> bool:
    """Whether the longer one is the other with something put in at one place."""
    short, long = sorted((one, other), key=len)
    head = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return long.endswith(short[head:])


def secrets_in(text: str) -> list[str]:
    """What of the content of a masked field is worth remembering: the whole of it, and each line by itself."""
    return [line for line in dict.fromkeys((text.strip(), *map(str.strip, text.splitlines()))) if is_secret(line)]


def is_telling(text: str) -> bool:
    """Whether a text is not what an app calls its screens, views and events: more than a word, or than letters."""
    return _TELLING.search(text) is not None


def is_secret(text: str) -> bool:
    """Whether the content of a masked field is worth remembering: long enough, not dots, not a placeholder."""
    # A syllable or an ideograph says as much as two letters: most names there have two or three.
    long = len(text.strip()) + len(UNSPACED.findall(text)) >= MIN_SECRET
    return long and any(c.isalnum() for c in text) and not is_placeholder(text)


def is_placeholder(text: str) -> bool:
    """Whether `text` is made only of the words with which an empty field asks for its content."""
    return all(w.lower() in _PLACEHOLDERS for w in re.findall(r"[^\W\d_]+", text)) and not any(
        c.isdigit() for c in text
    )

"""Passwords that are shown as dots: how long they are is all that a dump tells of them.

What is logged while one is typed, or soon after, is starred where it is about as long and has a digit or a sign in it.
A plain word stays: no length tells it from the words of any line.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from agent.privacy import Span

MIN_LENGTH, MAX_LENGTH = 4, 64
# A dump that shows the first dots may be late. What was typed is logged as it is sent, and when that has failed.
EARLY_NS, AFTER_NS = 3_000_000_000, 10_000_000_000
# What may be typed between the last dump and the end.
MORE = 4
# Items are placed a minute late at most, before a session is known.
KEPT_NS = 90_000_000_000
_QUOTED = re.compile(r"""(?P<quote>["'`])(?P<held>(?:(?!(?P=quote))[^\r\n])*+)(?P=quote)""")
_TOKEN = re.compile(r"""[^\s"'`,;:=(){}\[\]<>&?/]+""")
_LIKELY = re.compile(r"\d|[^\w\s.:/-]")


def dots(text: str) -> int:
    """How many characters a field holds that shows nothing but dots; 0 for any other, an empty one too."""
    shown = text.strip()
    return len(shown) if shown and not any(c.isalnum() or c.isspace() for c in shown) else 0


class Dots:
    """The lengths of what was shown as dots lately. Not thread-safe."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def note(self, mono_ns: int, length: int) -> None:
        """A dump of then shows a field with so many dots."""
        if not self._seen or mono_ns > self._seen[-1][0]:
            self._seen.append((mono_ns, length))
        while self._seen[-1][0] - self._seen[0][0] > KEPT_NS:
            self._seen.popleft()

    def spans(self, text: str, mono_ns: int) -> Iterator[Span]:
        """Where in a text of then one of them may stand."""
        if not self._seen or self._seen[-1][0] < mono_ns - AFTER_NS:
            return
        near = (length for at_ns, length in self._seen if mono_ns - AFTER_NS <= at_ns <= mono_ns + EARLY_NS)
        longest = max(near, default=0)
        if not longest:
            return
        for match in (*_QUOTED.finditer(text), *_TOKEN.finditer(text)):
            start, end = match.span("held") if match.re is _QUOTED else match.span()
            if MIN_LENGTH <= end - start <= min(longest + MORE, MAX_LENGTH) and _LIKELY.search(text, start, end):
                yield start, end

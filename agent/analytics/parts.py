"""Joins the numbered parts of event texts: interleaved, repeated and lost ones, within a fixed budget."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.analytics.forms import SAMPLE, Part, Unread
from agent.analytics.hold import Due, Hold
from bridge.types import LogEntry

MAX_TOTAL = 4096
MAX_OPEN = 64
MAX_CHARS = 8 << 20
DONE_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Joined:
    """An event text from its parts, stamped by the first one seen. `whole` is False when it ends at a lost part."""

    entry: LogEntry
    message_id: str
    text: str
    whole: bool


@dataclass(slots=True)
class _Open:
    entry: LogEntry
    total: int
    due: Due
    texts: dict[int, str] = field(default_factory=dict)
    torn: set[int] = field(default_factory=set)


class Parts:
    """Open texts by (process, message id). One owner; `hold` is told of every entry before it is added."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._open: OrderedDict[tuple[int, str], _Open] = OrderedDict()
        self._done: dict[int, None] = {}
        self._chars = 0

    def add(self, entry: LogEntry, part: Part) -> list[Joined | Unread]:
        """What this part completes. A repeated part, or one of a text that is done, yields nothing."""
        key = (entry.pid, part.message_id)
        if hash(key) in self._done:
            return []
        if not 1 <= part.index <= part.total <= MAX_TOTAL:
            return [Unread("part malformed", f"{part.message_id} {part.index}/{part.total}"[:SAMPLE])]
        text = self._open.get(key)
        if text is None:
            text = self._open[key] = _Open(entry, part.total, self._hold.due())
        if part.total != text.total:
            return [Unread("part malformed", f"{part.message_id} {part.index}/{part.total}"[:SAMPLE])]
        if part.index not in text.texts:
            text.texts[part.index] = part.text
            self._chars += len(part.text)
            if entry.cut:
                text.torn.add(part.index)
        found: list[Joined | Unread] = []
        if len(text.texts) == text.total:
            found.append(self._close(key))
        while self._open and (len(self._open) > MAX_OPEN or self._chars > MAX_CHARS):
            found.append(self._close(next(iter(self._open))))
        return found

    def expire(self) -> list[tuple[LogEntry, Joined | Unread]]:
        """Texts whose missing parts have not come in time."""
        late = [key for key, text in self._open.items() if self._hold.over(text.due)]
        return [(self._open[key].entry, self._close(key)) for key in late]

    def flush(self) -> list[tuple[LogEntry, Joined | Unread]]:
        """All that is open: the log ended."""
        return [(self._open[key].entry, self._close(key)) for key in list(self._open)]

    def _close(self, key: tuple[int, str]) -> Joined | Unread:
        text = self._open.pop(key)
        self._chars -= sum(map(len, text.texts.values()))
        self._done[hash(key)] = None
        if len(self._done) > DONE_KEPT:
            del self._done[next(iter(self._done))]
        joined: list[str] = []
        # All parts but the last are equally long: one that is not was cut by the log.
        size = len(text.texts.get(1, ""))
        for index in range(1, text.total + 1):
            if index not in text.texts:
                break
            joined.append(text.texts[index])
            if index in text.torn or (index < text.total and len(text.texts[index]) != size):
                break
        else:
            return Joined(text.entry, key[1], "".join(joined), True)
        if not joined:
            return Unread("part lost", f"{key[1]} has {len(text.texts)} of {text.total} parts")
        return Joined(text.entry, key[1], "".join(joined), False)

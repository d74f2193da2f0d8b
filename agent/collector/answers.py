"""Scripted answers to uploads: what makes the collector a test double that is reached over real HTTP."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `store` says whether the upload is kept all the same, `delay_s` how long the answer takes."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = '{"code":200}'
    delay_s: float = 0.0
    store: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """An upload as it came: headers by lower-case name, query, body as sent."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class Answers:
    """The next answers, first come first served, and what was asked. Once used up, the collector answers itself."""

    def __init__(self, *answers: Answer) -> None:
        self._lock = threading.Lock()
        self._next = deque(answers)
        self._seen: list[Seen] = []

    def add(self, *answers: Answer) -> None:
        with self._lock:
            self._next.extend(answers)

    def take(self, seen: Seen) -> Answer | None:
        with self._lock:
            self._seen.append(seen)
            return self._next.popleft() if self._next else None

    @property
    def seen(self) -> tuple[Seen, ...]:
        with self._lock:
            return tuple(self._seen)

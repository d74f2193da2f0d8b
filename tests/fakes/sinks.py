"""A sink that plays a script and remembers what it was given."""

from __future__ import annotations

import threading
from collections import deque

from agent.model import Delivered, Delivery, Retry, SealedSegment


class ScriptedSink:
    """Answers with the scripted deliveries in turn, then `then`. `block` makes `send` wait until `close`."""

    def __init__(self, name: str, *script: Delivery, then: Delivery | None = None, block: bool = False) -> None:
        self._name = name
        self._script = deque(script)
        self._then = then or Delivered("ok")
        self._block = block
        self._closed = threading.Event()
        self.parallel = 1
        self.entered = threading.Event()
        self.sent: list[SealedSegment] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def check(self) -> str:
        return "always usable"

    def says(self, *script: Delivery) -> None:
        """Go on with these."""
        self._script.extend(script)

    def send(self, sealed: SealedSegment) -> Delivery:
        self.sent.append(sealed)
        self.entered.set()
        if self._block:
            self._closed.wait(30)
            return Retry(0.0, "closed")
        return self._script.popleft() if self._script else self._then

    def close(self) -> None:
        self._closed.set()

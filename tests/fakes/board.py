"""What hosts and submitters share, in this process; `away` makes it unreachable."""

from __future__ import annotations

from agent.errors import FarmError
from agent.farm.host import KEEP_SECONDS


class SharedBoard:
    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.hosts: set[str] = set()
        self.away = False
        self.closed = False

    def ping(self) -> None:
        if self.away:
            raise FarmError("The board is away.")

    def get(self, *names: str) -> list[bytes | None]:
        self.ping()
        return [self.values.get(name) for name in names]

    def put(self, name: str, value: bytes, seconds: int = KEEP_SECONDS, new: bool = False) -> bool:
        self.ping()
        if new and name in self.values:
            return False
        self.values[name] = value
        return True

    def drop(self, *names: str) -> None:
        self.ping()
        for name in names:
            self.values.pop(name, None)

    def join(self, host: str) -> None:
        self.ping()
        self.hosts.add(host)

    def leave(self, host: str) -> None:
        self.ping()
        self.hosts.discard(host)

    def close(self) -> None:
        self.closed = True

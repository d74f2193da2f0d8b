"""What a program on the emulated phone is: a coroutine with standard streams, arguments and an environment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bridge.emulated.phone import Phone


class Io(Protocol):
    """The world as a running program sees it. Belongs to the lab's event loop.

    `argv[0]` is the program's name as it was called, `env` its own copy of the environment. `hangup` is set when the
    host closed the stream; about half a second later the program's task is cancelled, so clean up in `finally`. That is
    SIGHUP: commands have a terminal, `exec:` too, which ends with the stream (AOSP shell_service.cpp, StartSubprocess).
    """

    argv: list[str]
    env: dict[str, str]
    hangup: asyncio.Event

    async def read(self, n: int = -1) -> bytes:
        """Up to `n` bytes of standard input (-1 = all until its end), b"" at its end."""
        ...

    async def readline(self) -> bytes:
        """One line of standard input with its newline, b"" at the end."""
        ...

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Standard output. Waits while the host does not take it; BrokenPipeError after a hang-up."""
        ...

    async def error(self, data: bytes) -> None:
        """Standard error, which the raw shell mixes into standard output."""
        ...


Program = Callable[[Io, "Phone"], Awaitable[int]]


class Writer(Protocol):
    """The sending half of a device-side socket; the subset of asyncio.StreamWriter that handlers use."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Waits while too much is buffered. Raises ConnectionResetError once the peer is gone."""
        ...

    def is_closing(self) -> bool: ...

    def close(self) -> None:
        """Sends what is buffered, then closes."""
        ...


Handler = Callable[[asyncio.StreamReader, Writer], Awaitable[None]]

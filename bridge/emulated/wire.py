"""ADB messages and streams, device side (AOSP packages/modules/adb, protocol.txt).

A message is a 24-byte little-endian header (command, two arguments, payload length, checksum, command xor 0xffffffff)
and a payload. A stream is stop-and-wait in both directions: one WRTE, then nothing until its OKAY.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol

HEADER = struct.Struct("<6I")
VERSION_CHECKSUM = 0x01000000
VERSION_SKIP_CHECKSUM = 0x01000001
MAX_PAYLOAD = 1024 * 1024
MAX_PAYLOAD_V1 = 4 * 1024
_BATCH_BYTES = 64 * 1024
_BATCH_SECONDS = 0.010
_HIGH_WATER = 256 * 1024
_READ_LIMIT = 1024 * 1024


class WireError(Exception):
    """The peer does not speak ADB."""


class Command(IntEnum):
    CNXN = 0x4E584E43
    AUTH = 0x48545541
    STLS = 0x534C5453
    OPEN = 0x4E45504F
    OKAY = 0x59414B4F
    WRTE = 0x45545257
    CLSE = 0x45534C43


@dataclass(frozen=True, slots=True)
class Message:
    command: Command
    arg0: int
    arg1: int
    payload: bytes | memoryview = b""


def checksum(payload: bytes | memoryview) -> int:
    """The sum of all bytes, 32 bits."""
    return sum(payload) & 0xFFFFFFFF


def header(message: Message, *, with_checksum: bool = False) -> bytes:
    command = int(message.command)
    total = checksum(message.payload) if with_checksum else 0
    return HEADER.pack(command, message.arg0, message.arg1, len(message.payload), total, command ^ 0xFFFFFFFF)


class Decoder:
    """Messages out of a byte stream cut anywhere. Raises WireError on a bad header or checksum."""

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload = max_payload
        self.verify = False
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            number, arg0, arg1, length, total, magic = HEADER.unpack_from(buffer, start)
            if magic != number ^ 0xFFFFFFFF or number not in _KNOWN:
                raise WireError(f"bad header {bytes(buffer[start : start + HEADER.size]).hex()}")
            if length > self.max_payload:
                raise WireError(f"payload of {length} bytes, the limit is {self.max_payload}")
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            payload = bytes(memoryview(buffer)[start + HEADER.size : end])
            if self.verify and total != checksum(payload):
                raise WireError("bad checksum")
            messages.append(Message(Command(number), arg0, arg1, payload))
            start = end
        if start:
            del buffer[:start]
        return messages


_KNOWN = frozenset(int(command) for command in Command)


class Link(Protocol):
    """What a stream needs of its connection."""

    max_payload: int

    @property
    def stop_acks(self) -> bool: ...

    def send(self, message: Message) -> None: ...

    def forget(self, stream: Stream) -> None: ...


class Stream:
    """One ADB stream, seen from the device. `reader` holds what the host wrote; an OKAY goes out as soon as there is
    room in it. Writes are gathered as a pipe would: the first goes at the end of the loop's turn, later ones after
    10 ms or 64 KiB, all of them on `flush` and `close`.
    """

    def __init__(self, link: Link, local: int, remote: int = 0) -> None:
        self.local = local
        self.remote = remote
        self.hangup = asyncio.Event()
        self.on_hangup: Callable[[], object] | None = None
        self.opened: asyncio.Future[None] | None = None
        self._link = link
        self._loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(limit=_READ_LIMIT)
        self.reader.set_transport(_Throttle(self))
        self._out: deque[memoryview] = deque()
        self._size = 0
        self._credit = True
        self._paused = False
        self._owed = False
        self._hold: asyncio.Handle | None = None
        self._last = 0.0
        self._state: Literal["open", "closing", "closed"] = "open"
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def gone(self) -> bool:
        """The host closed its end, or the transport is lost."""
        return self.hangup.is_set()

    def accept(self) -> None:
        self._link.send(Message(Command.OKAY, self.local, self.remote))

    def refuse(self) -> None:
        """Answer OPEN with CLSE: no such service."""
        self._state = "closed"
        self._link.forget(self)
        self._link.send(Message(Command.CLSE, 0, self.remote))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Buffer a copy of `data`; dropped when the host is gone."""
        if self._state != "open" or self.gone or not len(data):
            return
        view = memoryview(bytes(data))
        self._out.append(view)
        self._size += len(view)
        if self._size >= _BATCH_BYTES:
            self.flush()
        elif self._hold is None:
            wait = self._last + _BATCH_SECONDS - self._loop.time()
            self._hold = self._loop.call_later(wait, self.flush) if wait > 0 else self._loop.call_soon(self.flush)

    def write_empty(self) -> None:
        """A WRTE without payload, as `jdwp` sends it."""
        self._link.send(Message(Command.WRTE, self.local, self.remote))

    def flush(self) -> None:
        """Send what is buffered as fast as the host acknowledges."""
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        self._pump()

    async def drain(self) -> None:
        """Wait until little is buffered. ConnectionResetError when the host is gone."""
        while self._size > _HIGH_WATER and not self.gone:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        if self.gone:
            raise ConnectionResetError("closed by the host")

    def is_closing(self) -> bool:
        return self._state != "open" or self.gone

    def close(self) -> None:
        """Send what is buffered, then CLSE."""
        if self._state == "open":
            self._state = "closing"
            self.flush()

    # What the connection calls.

    def acknowledged(self) -> None:
        self._credit = True
        if self._hold is None:
            self._pump()

    def received(self, payload: bytes | memoryview) -> None:
        if self._state == "closed":
            return
        self.reader.feed_data(bytes(payload))
        if self._paused:
            self._owed = True
        else:
            self._acknowledge()

    def closed_by_host(self) -> None:
        if self._state == "closed":
            # The real adbd answers the host's CLSE to its own with another one.
            self._link.send(Message(Command.CLSE, self.local, self.remote))
        self.lost()
        self._link.forget(self)

    def lost(self) -> None:
        """No byte goes either way any more."""
        if self.gone:
            return
        self.hangup.set()
        self._out.clear()
        self._size = 0
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
        self.reader.feed_eof()
        self._wake()
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(ConnectionRefusedError("refused by the host"))
        if self.on_hangup is not None:
            self.on_hangup()

    def throttle(self, paused: bool) -> None:
        self._paused = paused
        if not paused and self._owed:
            self._owed = False
            self._acknowledge()

    def _acknowledge(self) -> None:
        if not self._link.stop_acks and not self.gone:
            self._link.send(Message(Command.OKAY, self.local, self.remote))

    def _pump(self) -> None:
        if self._credit and self._size and not self.gone:
            payload = self._take(self._link.max_payload)
            self._credit = False
            self._last = self._loop.time()
            self._link.send(Message(Command.WRTE, self.local, self.remote, payload))
            if self._size <= _HIGH_WATER:
                self._wake()
        if self._state == "closing" and not self._size and not self.gone:
            self._state = "closed"
            self._link.send(Message(Command.CLSE, self.local, self.remote))

    def _take(self, limit: int) -> memoryview | bytes:
        parts: list[memoryview] = []
        room = limit
        while self._out and room:
            part = self._out.popleft()
            if len(part) > room:
                self._out.appendleft(part[room:])
                part = part[:room]
            parts.append(part)
            room -= len(part)
        self._size -= limit - room
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Throttle(asyncio.Transport):
    """What a StreamReader asks to pause when it is full: the pause withholds the OKAY."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    def pause_reading(self) -> None:
        self._stream.throttle(True)

    def resume_reading(self) -> None:
        self._stream.throttle(False)

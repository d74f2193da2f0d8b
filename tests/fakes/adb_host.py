"""The host half of an ADB transport, for tests of an emulated adbd without an adb server between."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bridge.emulated.adbd import Adbd
from bridge.emulated.logd import LogRing
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES, Profile
from bridge.emulated.wire import HEADER, MAX_PAYLOAD, VERSION_SKIP_CHECKSUM, Command, Decoder, Message

T = TypeVar("T")
_PACKET = struct.Struct("<BI")


def run(work: Coroutine[Any, Any, T], seconds: float = 8.0) -> T:
    """Run a coroutine in a loop of its own; a hang is a TimeoutError."""

    async def limited() -> T:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(limited())


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the loop work until `condition` holds; TimeoutError names nothing but the line that waited."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.002)


class HostStream:
    """One stream as the adb server sees it. `data` is what the device wrote so far; every WRTE is acknowledged
    unless `acknowledge` is off."""

    def __init__(self, host: AdbHost, local: int) -> None:
        self.local = local
        self.remote = 0
        self.data = bytearray()
        self.writes: list[int] = []
        self.acknowledge = True
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self._host = host
        self._credit = asyncio.Event()
        self._grown = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """One WRTE and its OKAY."""
        self._credit.clear()
        self._host.send(Message(Command.WRTE, self.local, self.remote, data))
        await self._credit.wait()

    def post(self, data: bytes) -> None:
        """One WRTE without waiting."""
        self._host.send(Message(Command.WRTE, self.local, self.remote, data))

    async def read(self, count: int) -> bytes:
        """Exactly `count` bytes; ConnectionError when the device closes before."""
        while len(self.data) < count:
            if self.closed.is_set():
                raise ConnectionError(f"closed after {bytes(self.data)!r}")
            self._grown.clear()
            await self._grown.wait()
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    async def read_all(self) -> bytes:
        """Everything up to the device's CLSE."""
        await self.closed.wait()
        taken = bytes(self.data)
        self.data.clear()
        return taken

    def close(self) -> None:
        self._host.send(Message(Command.CLSE, self.local, self.remote))

    def got(self, message: Message) -> None:
        """A message of the device for this stream."""
        match message.command:
            case Command.OKAY:
                self.remote = message.arg0
                self.opened.set()
                self._credit.set()
            case Command.WRTE:
                self.data += message.payload
                self.writes.append(len(message.payload))
                if self.acknowledge:
                    self._host.send(Message(Command.OKAY, self.local, message.arg0))
            case Command.CLSE:
                if not self.closed.is_set():
                    self.closed.set()
                    if message.arg0:
                        self.close()
                self.opened.set()
                self._credit.set()
            case _:
                raise AssertionError(f"{message.command.name} for a stream")
        self._grown.set()


class AdbHost:
    """One transport to a device on loopback. `log` holds every message of the device, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.log: list[Message] = []
        self.streams: dict[int, HostStream] = {}
        self.lost = asyncio.Event()
        self.wanted: asyncio.Queue[Message] = asyncio.Queue()
        """OPENs of the device (`adb reverse`) and everything of the handshake."""
        self._reader = reader
        self._writer = writer
        self._next = 100
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def dial(cls, port: int) -> AdbHost:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def online(cls, port: int) -> AdbHost:
        """A host that is through the handshake with a device that takes any signature."""
        host = await cls.dial(port)
        host.greet()
        if (await host.wanted.get()).command is Command.AUTH:
            host.send(Message(Command.AUTH, 2, 0, bytes(256)))
            answer = await host.wanted.get()
            assert answer.command is Command.CNXN, answer
        return host

    def greet(self, version: int = VERSION_SKIP_CHECKSUM, max_payload: int = MAX_PAYLOAD) -> None:
        self.send(Message(Command.CNXN, version, max_payload, b"host::features=shell_v2,cmd,stat_v2"))

    def send(self, message: Message) -> None:
        number = int(message.command)
        total = sum(message.payload) & 0xFFFFFFFF
        head = HEADER.pack(number, message.arg0, message.arg1, len(message.payload), total, number ^ 0xFFFFFFFF)
        self._writer.write(head + bytes(message.payload))

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def request(self, service: bytes) -> HostStream:
        """OPEN without waiting for its answer."""
        self._next += 1
        stream = self.streams[self._next] = HostStream(self, self._next)
        self.send(Message(Command.OPEN, stream.local, 0, service + b"\0"))
        return stream

    async def open(self, service: bytes | str) -> HostStream:
        """ConnectionRefusedError when the device answers CLSE."""
        stream = self.request(service.encode() if isinstance(service, str) else service)
        await stream.opened.wait()
        if not stream.remote:
            raise ConnectionRefusedError(service)
        return stream

    def adopt(self, message: Message) -> HostStream:
        """Accept an OPEN of the device."""
        self._next += 1
        stream = self.streams[self._next] = HostStream(self, self._next)
        stream.remote = message.arg0
        self.send(Message(Command.OKAY, stream.local, stream.remote))
        return stream

    async def shell(self, command: str) -> bytes:
        return await (await self.open(f"shell:{command}")).read_all()

    async def shell2(self, command: str, stdin: bytes = b"") -> tuple[bytes, bytes, int]:
        """Standard output, standard error and exit status of `shell,v2,raw:`."""
        stream = await self.open(f"shell,v2,raw:{command}")
        if stdin:
            await stream.write(_PACKET.pack(0, len(stdin)) + stdin)
        stream.post(_PACKET.pack(3 + 1, 0))
        data = await stream.read_all()
        taken = {1: b"", 2: b"", 3: b""}
        while data:
            kind, length = _PACKET.unpack_from(data)
            taken[kind] += data[5 : 5 + length]
            data = data[5 + length :]
        return taken[1], taken[2], taken[3][0]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := await self._reader.read(1 << 16):
                for message in decoder.feed(data):
                    self._got(message)
        except OSError:
            # The device cut the connection.
            pass
        finally:
            self.lost.set()
            for stream in self.streams.values():
                stream.closed.set()
                stream.opened.set()

    def _got(self, message: Message) -> None:
        self.log.append(message)
        stream = self.streams.get(message.arg1)
        if message.command in (Command.CNXN, Command.AUTH, Command.OPEN):
            self.wanted.put_nowait(message)
        elif stream is not None:
            stream.got(message)


def bare_phone(profile: Profile = PROFILES["small"], seed: int = 7) -> Phone:
    """A phone with a log and no screen. Inside a running loop."""
    phone = Phone("EMU00001", profile, seed=seed)
    phone.logd = LogRing()
    return phone


@contextlib.asynccontextmanager
async def plugged(phone: Phone | None = None) -> AsyncIterator[Adbd]:
    """A listening adbd over `phone`."""
    adbd = Adbd(phone or bare_phone())
    try:
        await adbd.plug()
        yield adbd
    finally:
        await adbd.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(phone: Phone | None = None) -> AsyncIterator[tuple[Adbd, AdbHost]]:
    """A listening adbd and a host that is through its handshake."""
    async with plugged(phone) as adbd:
        host = await AdbHost.online(adbd.port)
        try:
            yield adbd, host
        finally:
            await host.close()


def with_host(body: Callable[[Adbd, AdbHost], Awaitable[T]], profile: Profile = PROFILES["small"]) -> T:
    """Run `body` with a phone of `profile`, its adbd and a host."""

    async def work() -> T:
        async with connected(bare_phone(profile)) as (adbd, host):
            return await body(adbd, host)

    return run(work())

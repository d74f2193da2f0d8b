"""The device side of ADB: listens on loopback, authenticates the host, opens services. One event loop owns it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Literal, cast

from bridge.emulated import services
from bridge.emulated.keys import TOKEN_BYTES, Trust
from bridge.emulated.phone import Phone
from bridge.emulated.program import Writer
from bridge.emulated.wire import (
    MAX_PAYLOAD_V1,
    VERSION_CHECKSUM,
    Command,
    Decoder,
    Message,
    Stream,
    WireError,
    header,
)

_AUTH_TOKEN, _AUTH_SIGNATURE, _AUTH_PUBLIC_KEY = 1, 2, 3
_JOIN_BELOW = 64 * 1024
# The real one reads on for up to a second, then closes the terminal of the command, which is SIGHUP to what runs there.
_HANGUP_GRACE = 0.5

Direction = Literal["in", "out"]
Hook = Callable[[Direction, Message], Message | None]
"""Sees every message; returns it, another one in its place, or None to lose it."""


class Connection(asyncio.Protocol):
    """One transport: an adb server at the other end."""

    def __init__(self, adbd: Adbd) -> None:
        self.max_payload = adbd.phone.profile.max_payload
        self.online = False
        self._adbd = adbd
        self._phone = adbd.phone
        self._decoder = Decoder()
        self._checksums = False
        self._streams: dict[int, Stream] = {}
        self._asked = False
        self._transport: asyncio.Transport | None = None
        self._token = b""
        self._next_id = 1

    @property
    def stop_acks(self) -> bool:
        return self._phone.faults.stop_acks

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # asyncio leaves Nagle's algorithm on for a socket that it did not make itself.
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._adbd.connections.append(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._receive(message)
        except WireError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.online:
            # Listeners of `adb reverse` end with their transport.
            self._phone.reverses.clear()
        self.online = False
        with contextlib.suppress(ValueError):
            self._adbd.connections.remove(self)
        for stream in list(self._streams.values()):
            stream.lost()
        self._streams.clear()

    def pause(self, paused: bool) -> None:
        """Stop or go on hearing the host."""
        if self._transport is not None:
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    # Link

    def send(self, message: Message) -> None:
        hook = self._adbd.hook
        kept = message if hook is None else hook("out", message)
        transport = self._transport
        if kept is None or transport is None:
            return
        head = header(kept, with_checksum=self._checksums)
        if len(kept.payload) < _JOIN_BELOW:
            transport.write(b"".join((head, kept.payload)))
        else:
            transport.write(head)
            transport.write(kept.payload)

    def forget(self, stream: Stream) -> None:
        self._streams.pop(stream.local, None)

    # Streams

    async def open(self, destination: str) -> tuple[asyncio.StreamReader, Writer]:
        """Ask the host for a connection. ConnectionRefusedError when it does not want it."""
        stream = self._new_stream()
        stream.opened = asyncio.get_running_loop().create_future()
        self.send(Message(Command.OPEN, stream.local, 0, destination.encode() + b"\0"))
        await stream.opened
        return stream.reader, stream

    @property
    def asking(self) -> bool:
        """The host waits for the user's answer."""
        return self._asked and not self.online

    def authorised(self) -> None:
        """The host may come in."""
        if self.online or self._transport is None:
            return
        self.online = True
        self.send(Message(Command.CNXN, self._adbd.version, self._phone.profile.max_payload, self._adbd.banner()))

    def _new_stream(self, remote: int = 0) -> Stream:
        stream = Stream(self, self._next_id, remote)
        self._streams[self._next_id] = stream
        self._next_id += 1
        return stream

    def _receive(self, message: Message) -> None:
        hook = self._adbd.hook
        kept = message if hook is None else hook("in", message)
        if kept is None:
            return
        match kept.command:
            case Command.CNXN:
                self._greet(kept)
            case Command.AUTH:
                self._authenticate(kept)
            case Command.OPEN if self.online:
                self._serve(kept)
            case Command.OKAY | Command.WRTE | Command.CLSE if self.online:
                self._dispatch(kept)
            case _:
                pass

    def _greet(self, message: Message) -> None:
        faults = self._phone.faults
        if faults.offline:
            return
        self._checksums = min(message.arg0, self._adbd.version) <= VERSION_CHECKSUM
        self._decoder.verify = self._checksums
        self.max_payload = min(message.arg1, self._phone.profile.max_payload)
        if self._checksums:
            self.max_payload = min(self.max_payload, MAX_PAYLOAD_V1)
        if self._adbd.trust.policy == "none":
            self.authorised()
        else:
            self._challenge()

    def _challenge(self) -> None:
        self._token = self._phone.rng.randbytes(TOKEN_BYTES)
        self.send(Message(Command.AUTH, _AUTH_TOKEN, 0, self._token))

    def _authenticate(self, message: Message) -> None:
        trust = self._adbd.trust
        if message.arg0 == _AUTH_SIGNATURE:
            if trust.accepts(bytes(message.payload), self._token):
                self.authorised()
            else:
                self._challenge()
        elif message.arg0 == _AUTH_PUBLIC_KEY:
            try:
                trusted = trust.ask(bytes(message.payload))
            except ValueError as error:
                raise WireError(str(error)) from error
            self._asked = not trusted
            if trusted:
                self.authorised()

    def _dispatch(self, message: Message) -> None:
        stream = self._streams.get(message.arg1)
        if stream is None:
            if message.command is not Command.CLSE:
                self.send(Message(Command.CLSE, 0, message.arg0))
            return
        if message.command is Command.CLSE:
            stream.closed_by_host()
        elif message.command is Command.WRTE:
            stream.received(message.payload)
        elif stream.opened is not None and not stream.opened.done():
            stream.remote = message.arg0
            stream.opened.set_result(None)
        else:
            stream.acknowledged()

    def _serve(self, message: Message) -> None:
        stream = self._new_stream(message.arg0)
        self._adbd.start(self._run(stream, bytes(message.payload).removesuffix(b"\0")))

    async def _run(self, stream: Stream, name: bytes) -> None:
        faults = self._phone.faults
        if _named(name, faults.hang):
            await stream.hangup.wait()
            return
        service = None if _named(name, faults.refuse) else services.find(name, self._phone)
        if service is None:
            stream.refuse()
            return
        stream.accept()
        task = asyncio.current_task()
        assert task is not None
        stream.on_hangup = lambda: asyncio.get_running_loop().call_later(_HANGUP_GRACE, task.cancel)
        try:
            await service(stream)
        except (ConnectionError, asyncio.IncompleteReadError):
            # The host hung up.
            pass
        finally:
            stream.on_hangup = None
            stream.close()


def _named(name: bytes, prefixes: set[str]) -> bool:
    return any(name.startswith(prefix.encode()) for prefix in prefixes)


class Adbd:
    """The adb daemon of one phone: binds a port of loopback once and keeps it through unplugging and reboots.

    `hook` sees each message in both directions. `trust` says which hosts may come in. `on_plug` run when it listens.
    """

    def __init__(self, phone: Phone, host: str = "127.0.0.1") -> None:
        self.phone = phone
        self.trust = Trust()
        self.hook: Hook | None = None
        self.on_plug: list[Callable[[], None]] = []
        self.connections: list[Connection] = []
        self._host = host
        self._socket = _bound(host, 0)
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        phone.cable = self
        phone.open_host = self._open_host

    @property
    def version(self) -> int:
        return self.phone.profile.wire_version

    @property
    def address(self) -> str:
        """What `adb connect` takes and what adb then calls the phone."""
        return f"{self._host}:{self.port}"

    def banner(self) -> bytes:
        profile = self.phone.profile
        return (
            f"device::ro.product.name={profile.product};ro.product.model={profile.model};"
            f"ro.product.device={profile.device};features={','.join(profile.features)}"
        ).encode()

    async def plug(self) -> None:
        """Listen. A port taken in the meantime raises OSError."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(self), sock=self._socket)
            for act in self.on_plug:
                act()

    def unplug(self) -> None:
        """Cut all transports and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
            # Bound and not listening: connections are refused and nobody else gets the port.
            self._socket = _bound(self._host, self.port)
        self.drop()

    def drop(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def authorise(self) -> None:
        """The user accepts the keys that wait; their hosts come in at once."""
        self.trust.authorise()
        for connection in self.connections:
            if connection.asking:
                connection.authorised()

    def revoke(self) -> None:
        """The user takes all authorisations back: hosts are thrown out and must ask."""
        self.trust.revoke()
        self.drop()

    def reboot(self, down_s: float = 30.0, ntp_s: float = 5.0) -> None:
        self.start(self._reboot(down_s, ntp_s))

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the daemon is closed. A crash of it is recorded as a gap."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.phone.gaps.append(f"crash: {error!r}")

    async def close(self) -> None:
        """End everything; the object is of no use after this."""
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.close()

    async def _reboot(self, down_s: float, ntp_s: float) -> None:
        # Let the answer to `reboot:` leave first.
        await asyncio.sleep(0.05)
        self.unplug()
        self.phone.shut_down()
        await asyncio.sleep(down_s)
        self.phone.boot()
        await self.plug()
        await asyncio.sleep(ntp_s)
        self.phone.clock.synchronise()

    async def _open_host(self, destination: str) -> tuple[asyncio.StreamReader, Writer]:
        for connection in reversed(self.connections):
            if connection.online:
                return await connection.open(destination)
        raise ConnectionRefusedError(f"{self.phone.name}: no host to reach {destination}")


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock

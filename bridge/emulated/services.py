"""The services that an emulated adbd opens (AOSP SERVICES.TXT), by the name in the OPEN message."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bridge.emulated.phone import Phone
from bridge.emulated.shell import Buffered, Nothing, ProcessIo, Shell, Sink, Streams, fresh_environment
from bridge.emulated.sync import SyncSession
from bridge.emulated.wire import Stream

Service = Callable[[Stream], Awaitable[None]]

_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = 0, 1, 2, 3, 4
_PACKET = struct.Struct("<BI")
_MAX_PACKET = 256 * 1024
_FRAMEBUFFER = struct.Struct("<14I")
_SCREENCAP = struct.Struct("<4I")
_SRGB = 1
_SOCKETS = ("tcp:", "localabstract:", "localfilesystem:", "localreserved:", "local:", "dev:", "vsock:")


def find(name: bytes, phone: Phone) -> Service | None:
    """The service called `name`, None when the phone does not have it (answered with CLSE)."""
    text = name.decode(errors="surrogateescape")
    if text.startswith(_SOCKETS):
        return _socket(text, phone)
    kind, _, rest = text.partition(":")
    kind, *flags = kind.split(",")
    known = _SERVICES.get(kind)
    if known is None:
        phone.gaps.append(f"service: {text}")
        return None
    return lambda stream: known(_Request(stream, phone, rest, flags))


@dataclass(slots=True)
class _Request:
    stream: Stream
    phone: Phone
    rest: str
    flags: list[str]

    def answer(self, text: str) -> None:
        self.stream.write(text.encode())


class _Input(Buffered):
    """Standard input straight from the stream. What was written goes out before the program waits."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.reader)
        self._stream = stream

    async def read(self, n: int = -1) -> bytes:
        self._stream.flush()
        return await super().read(n)

    async def readline(self) -> bytes:
        self._stream.flush()
        return await super().readline()


class _PacketInput:
    """Standard input in shell v2 packets: 1 byte of kind, 4 of length."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._ended = False

    async def read(self, n: int = -1) -> bytes:
        while not self._ended and (n < 0 or not self._buffer):
            await self._fill()
        return self._take(len(self._buffer) if n < 0 else n)

    async def readline(self) -> bytes:
        while b"\n" not in self._buffer and not self._ended:
            await self._fill()
        end = self._buffer.find(b"\n")
        return self._take(len(self._buffer) if end < 0 else end + 1)

    def _take(self, n: int) -> bytes:
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def _fill(self) -> None:
        self._stream.flush()
        try:
            kind, length = _PACKET.unpack(await self._stream.reader.readexactly(_PACKET.size))
            data = await self._stream.reader.readexactly(length)
        except asyncio.IncompleteReadError:
            self._ended = True
            return
        if kind == _STDIN:
            self._buffer += data
        elif kind == _CLOSE_STDIN:
            self._ended = True


def _raw_sink(stream: Stream) -> Sink:
    async def put(data: bytes | bytearray | memoryview) -> None:
        if stream.gone:
            raise BrokenPipeError("closed by the host")
        stream.write(data)
        await stream.drain()

    return put


def _packet_sink(stream: Stream, kind: int) -> Sink:
    async def put(data: bytes | bytearray | memoryview) -> None:
        if stream.gone:
            raise BrokenPipeError("closed by the host")
        view = memoryview(data)
        for start in range(0, len(view), _MAX_PACKET):
            chunk = view[start : start + _MAX_PACKET]
            stream.write(_PACKET.pack(kind, len(chunk)) + bytes(chunk))
            await stream.drain()

    return put


async def _begin_shell(phone: Phone) -> None:
    await phone.delay("shell")
    if phone.faults.slow_shell:
        await asyncio.sleep(phone.faults.slow_shell)


async def _shell(request: _Request) -> None:
    """`shell:` and `shell,v2,...:`. Raw means: one stream, no exit status, standard error mixed in."""
    stream, phone = request.stream, request.phone
    await _begin_shell(phone)
    if "v2" in request.flags:
        streams = Streams(_PacketInput(stream), _packet_sink(stream, _STDOUT), _packet_sink(stream, _STDERR))
    else:
        streams = Streams(_Input(stream), _raw_sink(stream), _raw_sink(stream))
    with phone.shell(request.rest) as pid:
        shell = Shell.login(phone, streams, stream.hangup, pid)
        if request.rest:
            status = await shell.run(request.rest)
        else:
            status = await shell.run_lines(prompt="" if "raw" in request.flags else f"{phone.profile.device}:/ $ ")
    if "v2" in request.flags:
        stream.write(_PACKET.pack(_EXIT, 1) + bytes([status & 0xFF]))


async def _exec(request: _Request) -> None:
    stream = request.stream
    await _begin_shell(request.phone)
    streams = Streams(_Input(stream), _raw_sink(stream), _raw_sink(stream))
    with request.phone.shell(request.rest) as pid:
        await Shell.login(request.phone, streams, stream.hangup, pid).run(request.rest)


async def _abb_exec(request: _Request) -> None:
    """`abb_exec:SERVICE\\0ARGUMENT...` is `cmd` without a process."""
    stream = request.stream
    await _cmd(request, Streams(_Input(stream), _raw_sink(stream), _raw_sink(stream)))


async def _abb(request: _Request) -> None:
    """The same in shell v2 packets."""
    stream = request.stream
    sinks = _packet_sink(stream, _STDOUT), _packet_sink(stream, _STDERR)
    status = await _cmd(request, Streams(_PacketInput(stream), *sinks))
    stream.write(_PACKET.pack(_EXIT, 1) + bytes([status & 0xFF]))


async def _cmd(request: _Request, streams: Streams) -> int:
    phone = request.phone
    program = phone.programs.get("cmd")
    if program is None:
        phone.gaps.append(f"abb: {request.rest}")
        await streams.stderr(b"cmd: Can't find service\n")
        return 20
    argv = ["cmd", *request.rest.split("\0")]
    return await program(ProcessIo(argv, fresh_environment(phone), request.stream.hangup, streams), phone)


async def _sync(request: _Request) -> None:
    await SyncSession(request.stream, request.phone.files).run()


async def _framebuffer(request: _Request) -> None:
    """Runs screencap and puts the framebuffer header (version 2) before its pixels."""
    stream, phone = request.stream, request.phone
    program = phone.programs.get("screencap")
    if program is None:
        phone.gaps.append("framebuffer")
        return
    taken = bytearray()

    async def keep(data: bytes | bytearray | memoryview) -> None:
        taken.extend(data)

    io = ProcessIo(["screencap"], fresh_environment(phone), stream.hangup, Streams(Nothing(), keep, keep))
    await program(io, phone)
    start = phone.profile.screencap_header
    if len(taken) < start:
        return
    width, height = _SCREENCAP.unpack_from(taken)[:2]
    size = len(taken) - start
    head = _FRAMEBUFFER.pack(2, 32, _SRGB, size, width, height, 0, 8, 16, 8, 8, 8, 24, 8)
    stream.write(head)
    stream.write(memoryview(taken)[start:])


async def _reverse(request: _Request) -> None:
    """Answers inside the stream: OKAY or FAIL + length + text, for tcp also the port."""
    phone = request.phone
    kind, _, rest = request.rest.partition(":")
    if kind == "list-forward":
        listing = "".join(f"host-1 {remote} {local}\n" for remote, local in phone.reverses.items())
        request.answer(f"{len(listing):04x}{listing}")
    elif kind == "killforward-all":
        phone.reverses.clear()
        request.answer("OKAY")
    elif kind == "killforward":
        if phone.reverses.pop(rest, None) is None:
            request.answer(_fail(f"listener '{rest}' not found"))
        else:
            request.answer("OKAY")
    elif kind == "forward":
        request.answer(_add_reverse(phone, rest))
    else:
        request.answer(_fail("not a reverse forwarding command"))


def _add_reverse(phone: Phone, rest: str) -> str:
    norebind = rest.startswith("norebind:")
    remote, _, local = rest.removeprefix("norebind:").partition(";")
    if not remote or not local:
        return _fail(f"bad forward: {rest}")
    if remote == "tcp:0":
        remote = next(f"tcp:{port}" for port in range(40_000, 65_536) if f"tcp:{port}" not in phone.reverses)
    if norebind and remote in phone.reverses:
        return _fail("cannot rebind existing socket")
    if remote in phone.ports:
        return _fail(f"cannot bind listener: Address already in use ({remote})")
    phone.reverses[remote] = local
    if not remote.startswith("tcp:"):
        return "OKAY"
    port = remote.removeprefix("tcp:")
    return f"OKAY{len(port):04x}{port}"


def _fail(text: str) -> str:
    return f"FAIL{len(text):04x}{text}"


async def _root(request: _Request) -> None:
    request.answer("adbd cannot run as root in production builds\n")


async def _unroot(request: _Request) -> None:
    request.answer("adbd not running as root\n")


async def _remount(request: _Request) -> None:
    request.answer('Not running as root. Try "adb root" first.\n')


async def _reboot(request: _Request) -> None:
    if request.phone.cable is not None:
        request.phone.cable.reboot()


async def _restart(request: _Request, text: str) -> None:
    """adbd starts again: all transports end, the port comes back."""
    request.answer(text)
    request.stream.flush()
    cable = request.phone.cable
    if cable is not None:
        asyncio.get_running_loop().call_later(0.1, cable.drop)


async def _tcpip(request: _Request) -> None:
    if not request.rest.isdigit():
        request.answer("invalid port\n")
        return
    await _restart(request, f"restarting in TCP mode port: {request.rest}\n")


async def _usb(request: _Request) -> None:
    await _restart(request, "restarting in USB mode\n")


async def _silent(request: _Request) -> None:
    """A list of debuggable processes: there is none, and no change."""
    request.stream.write_empty()
    await request.stream.hangup.wait()


_SERVICES: dict[str, Callable[[_Request], Awaitable[None]]] = {
    "abb": _abb,
    "abb_exec": _abb_exec,
    "exec": _exec,
    "framebuffer": _framebuffer,
    "jdwp": _silent,
    "reboot": _reboot,
    "remount": _remount,
    "reverse": _reverse,
    "root": _root,
    "shell": _shell,
    "sync": _sync,
    "tcpip": _tcpip,
    "track-app": _silent,
    "track-jdwp": _silent,
    "unroot": _unroot,
    "usb": _usb,
}


def _socket(address: str, phone: Phone) -> Service | None:
    if address.startswith("tcp:"):
        # tcp:PORT or tcp:PORT:HOST
        address = ":".join(address.split(":")[:2])
    handler = phone.ports.get(address)
    if handler is None:
        return None

    async def serve(stream: Stream) -> None:
        await handler(stream.reader, stream)

    return serve

"""The host half of traces between real adb servers and a real adbd, played against the emulated one.

What the device answers is compared as far as it is the same on every phone: services and their order of messages,
lengths, exit codes, error numbers. Not compared: inode numbers, times, the logs.
"""

import ast
import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.adb_host import AdbHost, bare_phone, plugged, run, until

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io
from bridge.emulated.wire import Command, Message

FOLDER = Path(__file__).parents[3] / "shared" / "fixtures" / "adb_wire"
TRACES = sorted(FOLDER.glob("*.txt")) if FOLDER.is_dir() else []
LINE = re.compile(r"\s*[\d.]+ (H>D|D>H) (\w{4}) a0=(0x\w+) a1=(0x\w+) len=(\d+) crc=0x\w+ magicok=True (b['\"].*)$")
FILE = "/data/local/tmp/b.bin"
FILE_SIZE = 200_000
STAT = struct.Struct("<4sIQQIIIIQqqq")
ENTRY = struct.Struct("<4sIQQIIIIQqqqI")


@dataclass(frozen=True)
class Line:
    """One message. `shown` is the beginning of its payload, `length` the payload's length."""

    to_device: bool
    command: Command
    arg0: int
    arg1: int
    length: int
    shown: bytes


@dataclass
class Conversation:
    """One stream of a trace: the host's writes, and the device's messages and data (its beginning)."""

    service: bytes
    writes: list[Line] = field(default_factory=list)
    answers: list[Line] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return b"".join(line.shown for line in self.answers if line.command is Command.WRTE)

    @property
    def length(self) -> int:
        return sum(line.length for line in self.answers if line.command is Command.WRTE)


def read(path: Path) -> tuple[list[Line], list[Conversation]]:
    """The handshake and the streams in their order."""
    handshake: list[Line] = []
    streams: dict[int, Conversation] = {}
    for text in path.read_text().splitlines():
        match = LINE.match(text)
        assert match, text
        way, command, arg0, arg1, length, shown = match.groups()
        line = Line(way == "H>D", Command[command], int(arg0, 16), int(arg1, 16), int(length), literal(shown))
        if line.command in (Command.CNXN, Command.AUTH):
            handshake.append(line)
        elif line.command is Command.OPEN:
            streams[line.arg0] = Conversation(line.shown.removesuffix(b"\0"))
        elif line.to_device:
            if line.command is Command.WRTE:
                streams[line.arg0].writes.append(line)
        else:
            streams[line.arg1].answers.append(line)
    return handshake, list(streams.values())


def literal(text: str) -> bytes:
    """A bytes literal, which may be cut off anywhere."""
    quote = text[1]
    if len(text) < 3 or not text.endswith(quote):
        text = re.sub(r"(?<!\\)((?:\\\\)*)\\(x[0-9a-f]?)?$", r"\1", text) + quote
    value = ast.literal_eval(text)
    assert isinstance(value, bytes)
    return value


def order(commands: list[Command]) -> list[Command]:
    """Messages in their order, repetitions as one: how a pipe's output is cut into writes is a matter of timing."""
    return [command for index, command in enumerate(commands) if not index or command is not commands[index - 1]]


@pytest.fixture(params=TRACES, ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> tuple[list[Line], list[Conversation]]:
    return read(request.param)


if not TRACES:
    pytest.skip("the traces are not here", allow_module_level=True)


def test_the_handshake(trace: tuple[list[Line], list[Conversation]]) -> None:
    lines, _ = trace
    theirs = [line for line in lines if not line.to_device]

    async def work() -> list[Message]:
        async with plugged() as adbd:
            host = await AdbHost.dial(adbd.port)
            answers = []
            for line in lines:
                if line.to_device:
                    host.send(Message(line.command, line.arg0, line.arg1, line.shown.ljust(line.length, b"\0")))
                else:
                    answers.append(await host.wanted.get())
            await host.close()
            return answers

    ours = run(work())
    assert [(m.command, m.arg0, m.arg1) for m in ours] == [(line.command, line.arg0, line.arg1) for line in theirs]
    assert len(ours[0].payload) == theirs[0].length == 20
    assert bytes(ours[1].payload).startswith(b"device::ro.product.name=")


def test_the_streams(trace: tuple[list[Line], list[Conversation]]) -> None:
    _, conversations = trace
    assert len(conversations) >= 12

    async def work() -> None:
        phone = bare_phone()

        async def logcat(io: Io, phone: Phone) -> int:
            return 1

        phone.programs["logcat"] = logcat
        async with plugged(phone) as adbd:
            host = await AdbHost.online(adbd.port)
            for conversation in conversations:
                if any(b"SND2" in line.shown for line in conversation.writes):
                    # The real device claims brotli; ours does not, so no host sends it that.
                    phone.files.write(FILE, os.urandom(FILE_SIZE), mode=0o666)
                    continue
                prepare(phone, conversation)
                await play(host, conversation)
            await host.close()
        assert phone.gaps == []

    run(work())


def prepare(phone: Phone, conversation: Conversation) -> None:
    """Make a file that the real phone still had from the session before."""
    if conversation.writes and conversation.writes[0].shown.startswith(b"STA2"):
        path = conversation.writes[0].shown[8:].decode()
        _, error, _, _, mode, *_, size, _, _, _ = STAT.unpack_from(conversation.data)
        if not error and not phone.files.exists(path):
            phone.files.write(path, bytes(size), mode=mode & 0o777)


async def play(host: AdbHost, conversation: Conversation) -> None:
    """The host's half of one stream, and the comparison of the device's half."""
    stream = await host.open(conversation.service)
    wanted = conversation.length
    if b"logcat" in conversation.service:
        data = await stream.read_all()
        assert data.endswith(b"\x03\x01\0\0\0\x01")
        assert conversation.data.endswith(data)
        return
    for line in conversation.writes:
        if line.shown == b"\x04\0\0\0\0":
            # The end of standard input races with the program's end.
            stream.post(line.shown)
        else:
            await stream.write(payload(line))
    if conversation.service == b"jdwp":
        await until(lambda: stream.writes)
        assert stream.writes == [0]
        stream.close()
        return
    data = await stream.read_all()
    check(conversation, data, wanted)
    kinds = order([m.command for m in host.log if m.arg1 == stream.local])
    assert kinds == order([line.command for line in conversation.answers])


def payload(line: Line) -> bytes:
    """What the host wrote; a file's content, of which the trace has the beginning only, is made up."""
    if len(line.shown) == line.length:
        return line.shown
    assert line.shown.startswith(b"DATA")
    (size,) = struct.unpack_from("<I", line.shown, 4)
    out, left = b"", FILE_SIZE
    while left:
        chunk = os.urandom(min(left, size))
        out += struct.pack("<4sI", b"DATA", len(chunk)) + chunk
        left -= len(chunk)
    out += struct.pack("<4sI", b"DONE", 1_700_000_000)
    assert len(out) == line.length
    return out


def check(conversation: Conversation, data: bytes, wanted: int) -> None:
    theirs = conversation.data
    first = conversation.writes[0].shown if conversation.writes else b""
    if first.startswith(b"STA2") and theirs[4:8] == b"\0\0\0\0":
        ours, real = STAT.unpack_from(data), STAT.unpack_from(theirs)
        # Kind and mode, links, owner, group, size.
        assert (ours[0], ours[1], *ours[4:9]) == (real[0], real[1], *real[4:9])
        assert len(data) == wanted
        assert data[STAT.size : STAT.size + 8] == theirs[STAT.size : STAT.size + 8]
    elif first.startswith(b"LIS2"):
        ours_by_name, real_by_name = entries(data), entries(theirs)
        assert len(data) == wanted
        assert real_by_name
        assert ours_by_name.items() >= real_by_name.items()
    elif b"list-forward" in conversation.service:
        assert re.sub(rb"host-\d+", b"", data[4:]) == re.sub(rb"host-\d+", b"", theirs[4:])
        assert int(data[:4], 16) == len(data) - 4
    else:
        assert data == theirs


def entries(data: bytes) -> dict[bytes, tuple[int, ...]]:
    """Mode, owner, group and size by name, folders by their kind only; as far as `data` goes."""
    found: dict[bytes, tuple[int, ...]] = {}
    while len(data) >= ENTRY.size:
        kind, *facts, length = ENTRY.unpack_from(data)
        data = data[ENTRY.size :]
        if kind == b"DONE" or len(data) < length:
            break
        mode = facts[3]
        found[data[:length]] = (mode & 0o170000,) if mode & 0o40000 else (mode, *facts[5:8])
        data = data[length:]
    return found

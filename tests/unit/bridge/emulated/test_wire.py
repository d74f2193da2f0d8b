import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
from fakes.adb_host import run
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.wire import (
    HEADER,
    MAX_PAYLOAD,
    Command,
    Decoder,
    Message,
    Stream,
    WireError,
    checksum,
    header,
)

MESSAGES = st.builds(
    Message,
    st.sampled_from(list(Command)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=200),
)


def encoded(message: Message, *, with_checksum: bool = True) -> bytes:
    return header(message, with_checksum=with_checksum) + bytes(message.payload)


def test_a_header_is_as_the_protocol_says() -> None:
    # AOSP protocol.txt: A_OPEN is "OPEN" read as a little-endian number, magic its complement.
    data = encoded(Message(Command.OPEN, 1, 0, b"shell:\0"))
    assert data == b"OPEN" + struct.pack("<IIII", 1, 0, 7, sum(b"shell:\0")) + b"\xb0\xaf\xba\xb1" + b"shell:\0"
    assert encoded(Message(Command.OKAY, 3, 4), with_checksum=False) == b"OKAY" + struct.pack(
        "<4I", 3, 4, 0, 0
    ) + bytes(byte ^ 0xFF for byte in b"OKAY")


def test_a_checksum_is_a_byte_sum_of_32_bits() -> None:
    assert checksum(b"\xff" * 1000) == 255_000
    assert checksum(memoryview(b"")) == 0


@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(1, 60), max_size=40))
def test_messages_survive_any_cut(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(encoded(message) for message in messages)
    decoder = Decoder()
    decoder.verify = True
    found: list[Message] = []
    for size in cuts:
        found += decoder.feed(data[:size])
        data = data[size:]
    found += decoder.feed(data)
    assert found == messages


@given(st.binary(min_size=24, max_size=300))
def test_noise_is_refused_or_waits_for_more(data: bytes) -> None:
    try:
        found = Decoder().feed(data)
    except WireError:
        return
    for message in found:
        assert encoded(message, with_checksum=False)[:4] in data


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEADER.pack(Command.WRTE, 1, 1, 0, 0, Command.WRTE),
        HEADER.pack(0x11223344, 1, 1, 0, 0, 0x11223344 ^ 0xFFFFFFFF),
        HEADER.pack(Command.WRTE, 1, 1, MAX_PAYLOAD + 1, 0, Command.WRTE ^ 0xFFFFFFFF),
    ],
)
def test_bad_headers(data: bytes) -> None:
    with pytest.raises(WireError):
        Decoder().feed(data)


def test_a_wrong_checksum_counts_only_when_asked() -> None:
    data = bytearray(encoded(Message(Command.WRTE, 1, 2, b"abc")))
    data[16] ^= 1
    assert len(Decoder().feed(bytes(data))) == 1
    decoder = Decoder()
    decoder.verify = True
    with pytest.raises(WireError, match="checksum"):
        decoder.feed(bytes(data))


class RecordingLink:
    """A connection that keeps what streams send."""

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload = max_payload
        self.stop_acks = False
        self.sent: list[Message] = []
        self.forgotten: list[Stream] = []

    def send(self, message: Message) -> None:
        self.sent.append(Message(message.command, message.arg0, message.arg1, bytes(message.payload)))

    def forget(self, stream: Stream) -> None:
        self.forgotten.append(stream)

    def of(self, command: Command) -> list[Message]:
        return [message for message in self.sent if message.command is command]


def on_stream(body: Callable[[Stream, RecordingLink], Awaitable[None]], max_payload: int = MAX_PAYLOAD) -> None:
    async def work() -> None:
        link = RecordingLink(max_payload)
        await body(Stream(link, 5, 9), link)

    run(work())


def test_one_write_until_its_okay() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.write(b"first")
        await asyncio.sleep(0)
        stream.write(b"second")
        stream.write(b" third")
        stream.flush()
        assert [m.payload for m in link.of(Command.WRTE)] == [b"first"]
        stream.acknowledged()
        assert [m.payload for m in link.of(Command.WRTE)] == [b"first", b"second third"]
        assert {(m.arg0, m.arg1) for m in link.sent} == {(5, 9)}

    on_stream(body)


def test_writes_of_one_turn_leave_as_one_message() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        for number in range(100):
            stream.write(b"%d\n" % number)
        assert not link.sent
        await asyncio.sleep(0.001)
        assert len(link.of(Command.WRTE)) == 1

    on_stream(body)


def test_payloads_keep_to_the_limit() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.write(b"a" * 2500)
        stream.close()
        for _ in range(3):
            stream.acknowledged()
        assert [len(m.payload) for m in link.of(Command.WRTE)] == [1000, 1000, 500]
        assert link.sent[-1].command is Command.CLSE

    on_stream(body, max_payload=1000)


def test_a_writer_waits_while_much_is_buffered() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.write(bytes(MAX_PAYLOAD))
        await stream.drain()
        stream.write(bytes(MAX_PAYLOAD))
        waiting = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        stream.acknowledged()
        await waiting

    on_stream(body)


def test_a_writer_learns_of_the_hang_up() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.write(bytes(3 * MAX_PAYLOAD))
        waiting = asyncio.ensure_future(stream.drain())
        await asyncio.sleep(0)
        stream.closed_by_host()
        with pytest.raises(ConnectionResetError):
            await waiting
        assert stream.is_closing()
        assert link.forgotten == [stream]
        before = len(link.sent)
        stream.write(b"more")
        stream.flush()
        assert len(link.sent) == before

    on_stream(body)


def test_a_full_reader_withholds_its_okay() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.received(bytes(MAX_PAYLOAD))
        stream.received(bytes(MAX_PAYLOAD))
        stream.received(bytes(MAX_PAYLOAD))
        given_now = len(link.of(Command.OKAY))
        assert given_now < 3
        await stream.reader.readexactly(3 * MAX_PAYLOAD)
        assert len(link.of(Command.OKAY)) > given_now

    on_stream(body)


def test_a_fault_stops_the_okays() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        link.stop_acks = True
        stream.received(b"data")
        assert not link.sent
        assert await stream.reader.readexactly(4) == b"data"

    on_stream(body)


def test_the_second_close_of_the_host_is_answered() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.close()
        assert [m.command for m in link.sent] == [Command.CLSE]
        stream.closed_by_host()
        assert [m.command for m in link.sent] == [Command.CLSE, Command.CLSE]

    on_stream(body)


def test_refused() -> None:
    async def body(stream: Stream, link: RecordingLink) -> None:
        stream.refuse()
        assert link.sent == [Message(Command.CLSE, 0, 9)]

    on_stream(body)

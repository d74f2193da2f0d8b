from __future__ import annotations

import asyncio

import pytest
from fakes.adb_host import bare_phone, run, until
from fakes.programs import ran, running

from bridge.emulated.netcat import nc
from bridge.emulated.program import Writer


async def echo(reader: asyncio.StreamReader, writer: Writer) -> None:
    while data := await reader.read(100):
        writer.write(data.upper())
        await writer.drain()
        if data.endswith(b"."):
            break
    writer.close()


def test_it_connects_to_a_port_of_the_phone() -> None:
    async def work() -> None:
        phone = bare_phone()
        phone.ports["tcp:7002"] = echo
        assert await ran(nc, phone, "nc localhost 7002", b"words.") == ("WORDS.", "", 0)

    run(work())


def test_the_end_of_input_is_not_the_end_of_the_connection() -> None:
    async def work() -> None:
        phone = bare_phone()
        go = asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: Writer) -> None:
            await reader.readexactly(3)
            await go.wait()
            writer.write(b"answer")
            writer.close()

        phone.ports["tcp:7002"] = late
        async with running(nc, phone, "nc 127.0.0.1 7002") as started:
            started.stdin.feed_data(b"ask")
            started.stdin.feed_eof()
            await asyncio.sleep(0)
            assert not started.task.done()
            go.set()
            assert await started.task == 0
            assert started.take() == b"answer"

    run(work())


def test_it_sends_while_it_receives() -> None:
    async def work() -> None:
        phone = bare_phone()
        phone.ports["tcp:7002"] = echo
        async with running(nc, phone, "nc localhost 7002") as started:
            for word in (b"one", b"two"):
                started.stdin.feed_data(word)
                assert await started.saw(3) == word.upper()

    run(work())


def test_it_takes_one_connection() -> None:
    async def work() -> None:
        phone = bare_phone()
        async with running(nc, phone, "nc -l -p 7010") as started:
            await until(lambda: "tcp:7010" in phone.ports)
            reader, writer = await phone.connect("tcp:7010")
            writer.write(b"in")
            assert await started.saw(2) == b"in"
            with pytest.raises(ConnectionRefusedError):
                await phone.connect("tcp:7010")
            started.stdin.feed_data(b"out")
            assert await reader.readexactly(3) == b"out"
            assert not started.task.done()
            writer.close()
            assert await started.task == 0
            assert await reader.read() == b""

    run(work())


def test_a_listener_that_is_ended_leaves_its_port() -> None:
    async def work() -> None:
        phone = bare_phone()
        async with running(nc, phone, "nc -l -p 7010"):
            await until(lambda: "tcp:7010" in phone.ports)
        assert phone.ports == {}

    run(work())


def test_errors() -> None:
    async def work() -> None:
        phone = bare_phone()
        assert await ran(nc, phone, "nc localhost 7002") == ("", "nc: connect: Connection refused\n", 1)
        for words in ("nc", "nc localhost", "nc localhost x", "nc localhost -1"):
            assert await ran(nc, phone, words) == ("", "nc: bad port\n", 1)
        phone.ports["tcp:7002"] = echo
        phone.reverses["tcp:7003"] = "tcp:1"
        for port in (7002, 7003):
            assert await ran(nc, phone, f"nc -l -p {port}") == ("", "nc: bind: Address already in use\n", 1)
        assert list(phone.ports) == ["tcp:7002"]

    run(work())

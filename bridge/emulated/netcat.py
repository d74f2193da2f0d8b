"""`nc` of the emulated phone (toybox): one TCP connection of the phone on standard input and output."""

from __future__ import annotations

import asyncio

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io, Writer

_CHUNK = 64 * 1024


async def nc(io: Io, phone: Phone) -> int:
    """`nc HOST PORT` connects, `nc -l -p PORT` takes one connection. Ends when the peer closes."""
    words = io.argv[1:]
    port = words[-1] if words else ""
    if not port.isdigit():
        await io.error(b"nc: bad port\n")
        return 1
    if "-l" in words:
        return await _listen(io, phone, f"tcp:{port}")
    try:
        reader, writer = await phone.connect(f"tcp:{port}")
    except ConnectionRefusedError:
        await io.error(b"nc: connect: Connection refused\n")
        return 1
    await _join(io, reader, writer)
    return 0


async def _listen(io: Io, phone: Phone, address: str) -> int:
    if address in phone.ports or address in phone.reverses:
        await io.error(b"nc: bind: Address already in use\n")
        return 1
    taken = asyncio.Event()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        phone.ports.pop(address, None)
        taken.set()
        try:
            await _join(io, reader, writer)
        finally:
            ended.set()

    phone.ports[address] = serve
    try:
        await taken.wait()
        await ended.wait()
    finally:
        if not taken.is_set():
            phone.ports.pop(address, None)
    return 0


async def _join(io: Io, reader: asyncio.StreamReader, writer: Writer) -> None:
    """Copy both ways until the peer closes. The end of standard input is not the end of the connection."""

    async def upload() -> None:
        while data := await io.read(_CHUNK):
            writer.write(data)
            await writer.drain()

    sending = asyncio.ensure_future(upload())
    try:
        while data := await reader.read(_CHUNK):
            await io.write(data)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()

"""`app_process / com.genymobile.scrcpy.Server VERSION key=value...`: the servers of scrcpy 3 and 4, video only.

What stands for the jar may hold the words `scrcpy-server VERSION`: then only that version is taken, as the real one
does. A file without them is the server of whatever version is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct

from bridge.emulated.phone import Phone
from bridge.emulated.program import Io, Writer
from bridge.emulated.programs.screenrecord import POLL_SECONDS, Encoding, Packet, claimed
from bridge.h264 import PPS, SPS, START, nals
from bridge.types import Size

MAIN = "com.genymobile.scrcpy.Server"
CODEC, REFUSED = b"h264", b"\0\0\0\1"
NAME_BYTES = 64
REPEAT_SECONDS = 0.1
KNOWN = frozenset(
    {
        "scid", "log_level", "video", "audio", "control", "cleanup", "tunnel_forward", "max_size", "max_fps",
        "video_bit_rate", "video_codec", "send_device_meta", "send_frame_meta", "send_dummy_byte", "send_codec_meta",
        "send_stream_meta", "raw_stream",
    }
)  # fmt: skip
_STATED = re.compile(rb"scrcpy-server (\d[\d.]*)")


async def scrcpy(io: Io, phone: Phone) -> int:
    """Serves one connection for video; ends with its stream, or when the connection ends."""
    after = io.argv.index(MAIN) + 1
    version, words = io.argv[after] if len(io.argv) > after else "", io.argv[after + 1 :]
    jar = io.env.get("CLASSPATH", "")
    try:
        stated = _STATED.search(phone.files.read(jar))
    except OSError:
        await io.error(f"Error: could not find class '{MAIN}' in {jar}\n".encode())
        return 1
    await phone.delay("scrcpy")
    own = stated[1].decode() if stated else version
    if own != version:
        why = f"The server version ({own}) does not match the client ({version})"
        await io.error(f"[server] ERROR: {why}\njava.lang.IllegalArgumentException: {why}\n".encode())
        return 1
    for process in phone.processes.values():
        if process.task is asyncio.current_task():
            # What kills the uiautomator server, which is an app_process, too, leaves this one alone.
            process.name = "scrcpy"
    options = dict(word.split("=", 1) for word in words if "=" in word)
    phone.gaps.extend(f"scrcpy option {name}" for name in options if name not in KNOWN)
    profile = phone.profile
    await io.write(f"[server] INFO: Device: [{profile.manufacturer}] {profile.model}\n".encode())
    server = _Server(phone, version, options)
    address = f"localabstract:scrcpy_{int(options.get('scid', '0'), 16):08x}"
    phone.ports[address] = server.serve
    try:
        waits = [asyncio.ensure_future(io.hangup.wait()), asyncio.ensure_future(server.ended.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    finally:
        phone.ports.pop(address, None)
        server.close()
    return 0


class _Server:
    """The server's one connection."""

    def __init__(self, phone: Phone, version: str, options: dict[str, str]) -> None:
        self._phone = phone
        self._sessions = int(version.partition(".")[0] or 0) >= 4
        self._options = options
        self._writer: Writer | None = None
        self._begun = False
        self.ended = asyncio.Event()

    def close(self) -> None:
        """The process is gone: so is its connection."""
        self.ended.set()
        if self._writer is not None:
            self._writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """Send video until either side ends."""
        if self._writer is not None:
            writer.close()
            return
        self._writer = writer
        try:
            with contextlib.suppress(ConnectionError):
                await self._head(writer)
                while not self.ended.is_set() and not writer.is_closing():
                    await self._video(writer)
        finally:
            self.ended.set()
            writer.close()

    def _says(self, name: str) -> bool:
        return self._options.get(name, "true") == "true" and self._options.get("raw_stream") != "true"

    async def _head(self, writer: Writer) -> None:
        head = b"\0" if self._says("send_dummy_byte") else b""
        if self._says("send_device_meta"):
            head += self._phone.profile.model.encode().ljust(NAME_BYTES, b"\0")
        if head:
            await self._send(writer, head)

    async def _video(self, writer: Writer) -> None:
        """One encoder's life: until the screen has another size."""
        phone, world = self._phone, self._phone.world
        screen = world.size
        size = video_size(screen, int(self._options.get("max_size", "0")))
        meta = self._says("send_stream_meta" if self._sessions else "send_codec_meta")
        with claimed(phone, size, int(self._options.get("video_bit_rate", "8000000"))) as encoding:
            if encoding is None:
                await self._send(writer, REFUSED)
                self.ended.set()
                return
            if meta and not self._begun:
                await self._send(writer, CODEC if self._sessions else CODEC + struct.pack(">II", *_sides(size)))
            if meta and self._sessions:
                await self._send(writer, struct.pack(">III", 1 << 31, *_sides(size)))
            self._begun = True
            await self._pictures(writer, encoding, screen)

    async def _pictures(self, writer: Writer, encoding: Encoding, screen: Size) -> None:
        phone, world = self._phone, self._phone.world
        pause = max(POLL_SECONDS, 1 / float(self._options.get("max_fps", "60")))
        loop = asyncio.get_running_loop()
        shown, repeat_at = -1, float("inf")
        while world.size == screen and not writer.is_closing() and not self.ended.is_set():
            if phone.faults.video == "dies":
                self.ended.set()
                return
            if world.revision != shown:
                # The first is composed when the encoder begins, whenever it was drawn.
                composed_ns = phone.clock.mono_ns() if shown < 0 else world.drawn_ns
                shown, repeat_at = world.revision, loop.time() + REPEAT_SECONDS
                await self._packets(writer, await encoding.encode(world.pixels(), composed_ns))
            elif loop.time() >= repeat_at:
                # The encoder is told to repeat the last picture, once it has stood still.
                repeat_at = float("inf")
                await self._packets(writer, await encoding.encode(world.pixels(), phone.clock.mono_ns()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), pause)

    async def _packets(self, writer: Writer, packets: list[Packet]) -> None:
        top = 62 if self._sessions else 63
        for packet in packets:
            config, picture = parted(packet.data)
            if config:
                await self._frame(writer, 1 << top, config)
            key = 1 << (top - 1) if packet.key else 0
            await self._frame(writer, key | packet.mono_ns // 1000, picture)

    async def _frame(self, writer: Writer, head: int, data: bytes) -> None:
        meta = struct.pack(">QI", head, len(data)) if self._says("send_frame_meta") else b""
        await self._send(writer, meta + data)

    async def _send(self, writer: Writer, data: bytes) -> None:
        if self._phone.faults.video != "silent":
            writer.write(data)
            await writer.drain()


def parted(unit: bytes) -> tuple[bytes, bytes]:
    """The parameter sets of an access unit, and the rest of it."""
    sets, rest = b"", b""
    for kind, body in nals(unit):
        if kind in (SPS, PPS):
            sets += b"\0" + START + body
        else:
            rest += b"\0" + START + body
    return sets, rest


def video_size(screen: Size, limit: int) -> Size:
    """The screen shrunk so that no side is longer than `limit` (0: as it is), both cut to multiples of 8."""
    longer = max(screen.width, screen.height)
    part = limit if 0 < limit < longer else longer
    return Size(screen.width * part // longer // 8 * 8, screen.height * part // longer // 8 * 8)


def _sides(size: Size) -> tuple[int, int]:
    return size.width, size.height

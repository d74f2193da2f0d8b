from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from fakes.adb_host import run, until
from fakes.programs import Run, phone_with_screen, running

from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.programs.scrcpy import MAIN, parted, scrcpy, video_size
from bridge.h264 import KEY_SLICE, PPS, SEI, SLICE, SPS, START, nals
from bridge.types import Size

pytest.importorskip("av")
JAR = "/data/local/tmp/server.jar"
BARE = "audio=false control=false send_device_meta=false send_dummy_byte=false max_size=600"
CONFIG_3, KEY_3 = 1 << 63, 1 << 62
CONFIG_4, KEY_4 = 1 << 62, 1 << 61


@dataclass
class Client:
    """What connected to the server."""

    run: Run
    reader: asyncio.StreamReader

    async def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f">{form}", await self.reader.readexactly(struct.calcsize(f">{form}")))

    async def packet(self) -> tuple[int, bytes]:
        head, length = await self.numbers("QI")
        return head, await self.reader.readexactly(length)


def line(version: str, words: str) -> str:
    return f"app_process / {MAIN} {version} scid=0000002a tunnel_forward=true {words}"


@contextlib.asynccontextmanager
async def connected(version: str, words: str = BARE, phone: Phone | None = None) -> AsyncIterator[tuple[Phone, Client]]:
    phone = phone or phone_with_screen()
    phone.files.write(JAR, b"PK\x03\x04")
    async with running(scrcpy, phone, line(version, words), CLASSPATH=JAR) as started:
        await until(lambda: "localabstract:scrcpy_0000002a" in phone.ports)
        reader, writer = await phone.connect("localabstract:scrcpy_0000002a")
        try:
            yield phone, Client(started, reader)
        finally:
            writer.close()
    assert phone.gaps == []


def kinds(unit: bytes) -> list[int]:
    return [kind for kind, _ in nals(unit) if kind != SEI]


def test_version_3_says_codec_and_size_once() -> None:
    async def work() -> None:
        async with connected("3.3.4") as (phone, client):
            assert await client.numbers("4sII") == (b"h264", 264, 600)
            head, data = await client.packet()
            assert (head, kinds(data)) == (CONFIG_3, [SPS, PPS])
            head, data = await client.packet()
            assert (head & CONFIG_3, head & KEY_3, kinds(data)) == (0, KEY_3, [KEY_SLICE])
            phone.world.notify("words")
            head, data = await client.packet()
            while (head & (KEY_3 - 1)) * 1000 < phone.world.drawn_ns - 1000:
                head, data = await client.packet()
            assert kinds(data) == [SLICE]
            assert head * 1000 == pytest.approx(phone.world.drawn_ns, abs=1000)
            phone.world.rotate(1)
            while not head & CONFIG_3:
                head, data = await client.packet()
            assert kinds(data) == [SPS, PPS]

    run(work())


def test_version_4_says_the_size_in_session_packets() -> None:
    async def work() -> None:
        async with connected("4.1") as (phone, client):
            assert await client.numbers("4s") == (b"h264",)
            assert await client.numbers("III") == (1 << 31, 264, 600)
            head, data = await client.packet()
            assert (head, kinds(data)) == (CONFIG_4, [SPS, PPS])
            head, data = await client.packet()
            assert (head & CONFIG_4, head & KEY_4, kinds(data)) == (0, KEY_4, [KEY_SLICE])
            phone.world.rotate(3)
            while True:
                (first,) = await client.numbers("Q")
                if first >> 63:
                    break
                (length,) = await client.numbers("I")
                await client.reader.readexactly(length)
            assert (first & 0xFFFFFFFF, *await client.numbers("I")) == (600, 264)
            assert (await client.packet())[0] == CONFIG_4

    run(work())


def test_the_greeting_as_it_is_by_default_and_raw() -> None:
    async def work() -> None:
        async with connected("3.1", "audio=false control=false") as (phone, client):
            assert await client.reader.readexactly(1) == b"\0"
            assert (await client.reader.readexactly(64)).rstrip(b"\0") == phone.profile.model.encode()
            assert await client.numbers("4sII") == (b"h264", 536, 1200)
        async with connected("4.0", "raw_stream=true") as (_, client):
            assert await client.reader.readexactly(5) == b"\0" + START + b"\x67"

    run(work())


def test_a_picture_that_stands_still_is_repeated_once() -> None:
    async def work() -> None:
        async with connected("3.3.4", f"{BARE} send_codec_meta=false") as (phone, client):
            times = []
            for _ in range(3):
                head, _ = await client.packet()
                times.append(head & (KEY_3 - 1))
            assert times[2] * 1000 > phone.world.drawn_ns
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.packet()

    run(work())


def test_it_ends_with_its_connection_and_its_connection_with_it() -> None:
    async def work() -> None:
        async with connected("3.3.4") as (phone, client):
            await client.packet()
            client.run.hangup.set()
            assert await client.run.task == 0
            while await client.reader.read(1 << 16):
                pass
            assert phone.ports == {}
            await until(lambda: not phone.encoders)
        async with connected("4.1") as (phone, client):
            await client.packet()
            phone.faults.video = "dies"
            assert await client.run.task == 0

    run(work())


def test_a_jar_of_another_version_says_so() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.files.write(JAR, b"PK\x03\x04 scrcpy-server 3.1 ")
        async with running(scrcpy, phone, line("3.3.4", BARE), CLASSPATH=JAR) as started:
            assert await started.task == 1
            assert b"The server version (3.1) does not match the client (3.3.4)" in started.err
        async with running(scrcpy, phone, line("3.1", BARE), CLASSPATH=JAR) as started:
            await until(lambda: phone.ports)
        async with running(scrcpy, phone, line("3.1", BARE), CLASSPATH="/nowhere") as started:
            assert await started.task == 1
            assert b"could not find class" in started.err

    run(work())


def test_no_encoder_and_unknown_options() -> None:
    async def work() -> None:
        phone = phone_with_screen(PROFILES["small"])
        phone.faults.video = "refused"
        async with connected("4.1", phone=phone) as (_, client):
            assert await client.numbers("I") == (1,)
        phone.faults.video = "silent"
        async with connected("4.1", phone=phone) as (_, client):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.reader.read(1)
        async with running(scrcpy, phone, line("4.1", "new_option=1"), CLASSPATH=JAR) as started:
            await until(lambda: started.out)
        assert phone.gaps == ["scrcpy option new_option"]

    run(work())


def test_sizes_and_parameter_sets() -> None:
    assert video_size(Size(1080, 2400), 0) == Size(1080, 2400)
    assert video_size(Size(1080, 2400), 1200) == Size(536, 1200)
    assert video_size(Size(2400, 1080), 1120) == Size(1120, 504)
    sets, rest = parted(b"\0\0\0\1\x67a\0\0\1\x68b\0\0\0\1\x06c\0\0\1\x65d")
    assert sets == b"\0\0\0\1\x67a\0\0\0\1\x68b"
    assert rest == b"\0\0\0\1\x06c\0\0\0\1\x65d"

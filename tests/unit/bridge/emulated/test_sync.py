import asyncio
import os
import stat
import struct
from collections.abc import Awaitable, Callable

import pytest
from fakes.adb_host import AdbHost, HostStream, bare_phone, connected, run, with_host
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.emulated.adbd import Adbd
from bridge.emulated.phone import Phone

TMP = "/data/local/tmp"


def request(kind: bytes, path: str) -> bytes:
    data = path.encode()
    return struct.pack("<4sI", kind, len(data)) + data


def data(*chunks: bytes, mtime: int = 1_700_000_000) -> bytes:
    out = b"".join(struct.pack("<4sI", b"DATA", len(chunk)) + chunk for chunk in chunks)
    return out + struct.pack("<4sI", b"DONE", mtime)


def session(body: Callable[[Phone, HostStream], Awaitable[None]]) -> None:
    """Run `body` on an open `sync:` stream."""

    async def work(adbd: Adbd, host: AdbHost) -> None:
        await body(adbd.phone, await host.open("sync:"))

    with_host(work)


async def failure(stream: HostStream) -> str:
    kind, length = struct.unpack("<4sI", await stream.read(8))
    assert kind == b"FAIL"
    return (await stream.read(length)).decode()


async def okay(stream: HostStream) -> None:
    assert await stream.read(8) == b"OKAY\0\0\0\0"


async def received(stream: HostStream) -> bytes:
    out = b""
    while True:
        kind, length = struct.unpack("<4sI", await stream.read(8))
        if kind == b"DONE":
            return out
        assert kind == b"DATA"
        assert length <= 64 * 1024
        out += await stream.read(length)


def test_stat() -> None:
    async def body(phone: Phone, stream: HostStream) -> None:
        phone.files.write(f"{TMP}/f", b"12345", mode=0o640, mtime=99)
        stream.post(request(b"STAT", f"{TMP}/f"))
        assert struct.unpack("<4sIII", await stream.read(16)) == (b"STAT", stat.S_IFREG | 0o640, 5, 99)
        stream.post(request(b"STAT", "/none"))
        assert struct.unpack("<4sIII", await stream.read(16)) == (b"STAT", 0, 0, 0)
        stream.post(request(b"STA2", f"{TMP}/f"))
        answer = struct.unpack("<4sIQQIIIIQqqq", await stream.read(72))
        assert (answer[:2], answer[4], answer[8], answer[10]) == ((b"STA2", 0), stat.S_IFREG | 0o640, 5, 99)
        stream.post(request(b"STA2", "/none"))
        assert await stream.read(72) == struct.pack("<4sI", b"STA2", 2) + bytes(64)
        stream.post(request(b"STA2", "/sdcard") + request(b"LST2", "/sdcard"))
        followed = struct.unpack("<4sIQQIIIIQqqq", await stream.read(72))
        itself = struct.unpack("<4sIQQIIIIQqqq", await stream.read(72))
        assert stat.S_ISDIR(followed[4])
        assert itself[0] == b"LST2"
        assert stat.S_ISLNK(itself[4])

    session(body)


def test_list() -> None:
    async def body(phone: Phone, stream: HostStream) -> None:
        phone.files.write(f"{TMP}/a", b"1")
        phone.files.write(f"{TMP}/é", b"22")
        stream.post(request(b"LIST", TMP))
        names = {}
        while True:
            kind, _, size, _, length = struct.unpack("<4sIIII", await stream.read(20))
            if kind == b"DONE":
                break
            names[(await stream.read(length)).decode()] = size
        assert names == {".": 4096, "..": 4096, "a": 1, "é": 2}
        stream.post(request(b"LIST", "/none"))
        assert await stream.read(20) == b"DONE" + bytes(16)
        stream.post(request(b"LIS2", TMP))
        second = []
        while True:
            *facts, length = struct.unpack("<4sIQQIIIIQqqqI", await stream.read(76))
            if facts[0] == b"DONE":
                break
            assert facts[0] == b"DNT2"
            second.append((await stream.read(length)).decode())
        assert second == list(names)

    session(body)


@pytest.mark.parametrize("version", [1, 2])
def test_send_and_receive(version: int) -> None:
    content = os.urandom(150_000)
    chunks = [content[:65_536], content[65_536:131_072], content[131_072:]]

    async def body(phone: Phone, stream: HostStream) -> None:
        path = f"{TMP}/new/folder/f.bin"
        if version == 1:
            head = request(b"SEND", f"{path},{stat.S_IFREG | 0o755}")
        else:
            head = request(b"SND2", path) + struct.pack("<4sII", b"SND2", stat.S_IFREG | 0o755, 0)
        stream.post(head + data(*chunks, mtime=1234))
        await okay(stream)
        assert phone.files.read(path) == content
        node = phone.files.stat(path)
        assert (node.mtime, node.mode) == (1234, stat.S_IFREG | 0o777)
        stream.post(
            request(b"RECV", path) if version == 1 else request(b"RCV2", path) + struct.pack("<4sI", b"RCV2", 0)
        )
        assert await received(stream) == content
        stream.post(struct.pack("<4sI", b"QUIT", 0))
        assert await stream.read_all() == b""

    session(body)


def test_a_link_and_an_empty_file() -> None:
    async def body(phone: Phone, stream: HostStream) -> None:
        stream.post(request(b"SEND", f"{TMP}/empty,33188") + data())
        await okay(stream)
        assert phone.files.read(f"{TMP}/empty") == b""
        stream.post(request(b"SEND", f"{TMP}/link,{stat.S_IFLNK | 0o777}") + data(b"/data/local/tmp/empty\0"))
        await okay(stream)
        assert phone.files.stat(f"{TMP}/link", follow=False).target == "/data/local/tmp/empty"

    session(body)


def test_a_path_with_a_comma() -> None:
    async def body(phone: Phone, stream: HostStream) -> None:
        stream.post(request(b"SEND", f"{TMP}/a,b,33188") + data(b"x"))
        await okay(stream)
        assert phone.files.read(f"{TMP}/a,b") == b"x"

    session(body)


@pytest.mark.parametrize(
    ("path", "fault", "words"),
    [
        ("/system/x", "", "Read-only file system"),
        ("/data/local", "", "Is a directory"),
        (f"{TMP}/f", "disk_full", "No space left on device"),
        (f"{TMP}/f", "read_only", "Read-only file system"),
        ("/data/local/tmp/file/inside", "", "Not a directory"),
    ],
)
def test_a_push_that_fails_keeps_the_session(path: str, fault: str, words: str) -> None:
    async def body(phone: Phone, stream: HostStream) -> None:
        phone.files.write(f"{TMP}/file", b"")
        if fault:
            setattr(phone.faults, fault, True)
        stream.post(request(b"SEND", f"{path},33188") + data(b"x" * 1000, b"y"))
        assert words in await failure(stream)
        stream.post(request(b"STAT", "/data"))
        assert (await stream.read(16))[:4] == b"STAT"

    session(body)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (request(b"RECV", "/none"), "open failed: No such file or directory"),
        (request(b"RECV", "/data"), "read failed: Is a directory"),
        (struct.pack("<4sI", b"STAT", 5000), "path too long"),
        (request(b"ABCD", "/x"), "unknown command ABCD"),
        (request(b"SEND", f"{TMP}/x,33188") + struct.pack("<4sI", b"DATA", 70_000), "invalid data message"),
        (request(b"SEND", f"{TMP}/x,33188") + struct.pack("<4sI", b"WHAT", 0), "invalid data message"),
        (
            request(b"SND2", f"{TMP}/x") + struct.pack("<4sII", b"SND2", 33188, 1) + data(b"packed"),
            "unsupported compression",
        ),
    ],
)
def test_refusals(sent: bytes, words: str) -> None:
    async def body(phone: Phone, stream: HostStream) -> None:
        stream.post(sent)
        assert words in await failure(stream)

    session(body)


def test_a_host_that_leaves_in_the_middle() -> None:
    async def work(adbd: Adbd, host: AdbHost) -> None:
        stream = await host.open("sync:")
        stream.post(request(b"SEND", f"{TMP}/half,33188") + struct.pack("<4sI", b"DATA", 100) + b"some")
        stream.close()
        assert await host.shell("echo on") == b"on\n"
        assert adbd.phone.gaps == []

    with_host(work)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_requests_cut_anywhere(cuts: list[int]) -> None:
    async def work() -> None:
        async with connected(bare_phone()) as (_, host):
            stream = await host.open("sync:")
            sent = request(b"SEND", f"{TMP}/f,33188") + data(b"abc", b"", b"defg") + request(b"RECV", f"{TMP}/f")
            for size in cuts:
                if sent:
                    stream.post(sent[:size])
                    sent = sent[size:]
            if sent:
                stream.post(sent)
            await okay(stream)
            assert await received(stream) == b"abcdefg"
            stream.close()
            await asyncio.sleep(0)

    run(work())

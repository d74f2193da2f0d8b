import asyncio
import struct

import pytest
from fakes.adb_host import AdbHost, until, with_host

from bridge.emulated.adbd import Adbd
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.program import Io, Writer
from bridge.emulated.wire import Command, Message

PIXELS = bytes(range(240)) * 4


async def screencap(io: Io, phone: Phone) -> int:
    """A raw picture of 16 x 15."""
    await io.write(struct.pack("<4I", 16, 15, 1, 1)[: phone.profile.screencap_header] + PIXELS)
    return 0


async def cmd(io: Io, phone: Phone) -> int:
    await io.write(("|".join(io.argv) + "|").encode() + (await io.read() if "read" in io.argv else b""))
    await io.error(b"!")
    return 5


async def upper(reader: asyncio.StreamReader, writer: Writer) -> None:
    while data := await reader.read(4096):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


def test_the_raw_shell_mixes_its_outputs() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        assert await host.shell("echo out; echo err >&2; exit 3") == b"out\nerr\n"

    with_host(body)


def test_shell_v2_keeps_them_apart() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        assert await host.shell2("echo out; echo err >&2; exit 3") == (b"out\n", b"err\n", 3)
        assert await host.shell2("cat; echo end", b"from the host\n") == (b"from the host\nend\n", b"", 0)
        assert await host.shell2("nothing") == (b"", b"/system/bin/sh: nothing: inaccessible or not found\n", 127)

    with_host(body)


def test_flags_in_any_order() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        for flags in ("v2,TERM=xterm-256color,raw", "raw,v2", "v2", "pty,v2"):
            stream = await host.open(f"shell,{flags}:echo x")
            assert await stream.read_all() == b"\x01\x02\0\0\0x\n\x03\x01\0\0\0\0"
        assert await (await host.open("shell,raw:echo x")).read_all() == b"x\n"

    with_host(body)


def test_an_interactive_shell() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        stream = await host.open("shell:")
        await stream.write(b"X=5\necho a$X\nexit\n")
        assert await stream.read_all() == b"small:/ $ small:/ $ a5\nsmall:/ $ "
        stream = await host.open("shell,v2,raw:")
        stream.post(b"\x00\x07\0\0\0exit 4\n")
        assert await stream.read_all() == b"\x03\x01\0\0\0\x04"
        # A window size and an unknown packet are no input.
        stream = await host.open("shell,v2,raw:cat")
        stream.post(b"\x05\x04\0\0\x0024x8" + b"\x09\x01\0\0\0?" + b"\x00\x01\0\0\0a" + b"\x04\0\0\0\0")
        assert await stream.read_all() == b"\x01\x01\0\0\0a\x03\x01\0\0\0\0"

    with_host(body)


def test_a_probe_stream_answers_at_once() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        stream = await host.open('exec:while read l; do eval "$l"; done')
        for _ in range(5):
            await stream.write(b"echo $EPOCHREALTIME\n")
            answer = await stream.read(18)
            assert abs(float(answer) - adbd.phone.clock.wall_ns() / 1e9) < 0.5
        stream.close()

    with_host(body)


def test_exec_is_plain_bytes() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        adbd.phone.files.write("/data/b", bytes(range(256)) * 5000)
        assert await (await host.open("exec:cat /data/b")).read_all() == bytes(range(256)) * 5000
        stream = await host.open("exec:md5sum")
        await stream.write(b"x")
        stream.close()

    with_host(body)


def test_output_is_gathered() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        async def lines(io: Io, phone: Phone) -> int:
            for number in range(5000):
                await io.write(b"%04d\n" % number)
            return 0

        adbd.phone.programs["lines"] = lines
        stream = await host.open("exec:lines")
        assert (await stream.read_all()).count(b"\n") == 5000
        assert len(stream.writes) < 50

    with_host(body)


def test_a_host_that_does_not_read_holds_the_program() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        wrote = 0

        async def pour(io: Io, phone: Phone) -> int:
            nonlocal wrote
            for _ in range(100):
                await io.write(bytes(100_000))
                wrote += 100_000
            return 0

        adbd.phone.programs["pour"] = pour
        stream = host.request(b"exec:pour")
        stream.acknowledge = False
        await until(lambda: wrote)
        await asyncio.sleep(0.02)
        assert wrote < 3_000_000
        stream.close()
        await until(lambda: not adbd.phone.processes)

    with_host(body)


def test_abb_runs_cmd_without_a_shell() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        adbd.phone.programs["cmd"] = cmd
        assert await (await host.open(b"abb_exec:package\0install\0-S\x0012 x")).read_all() == (
            b"cmd|package|install|-S|12 x|!"
        )
        assert await (await host.open(b"abb:settings\0get")).read_all() == (
            b"\x01\x11\0\0\0cmd|settings|get|" + b"\x02\x01\0\0\0!" + b"\x03\x01\0\0\0\x05"
        )
        stream = await host.open(b"abb_exec:package\0read")
        await stream.write(b"data")
        stream.close()

    with_host(body)


def test_the_framebuffer() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        adbd.phone.programs["screencap"] = screencap
        data = await (await host.open("framebuffer:")).read_all()
        # AOSP framebuffer_service.cpp: version, bpp, colorSpace, size, width, height, then offset and length of red,
        # blue, green, alpha.
        assert struct.unpack_from("<14I", data) == (2, 32, 1, 960, 16, 15, 0, 8, 16, 8, 8, 8, 24, 8)
        assert data[56:] == PIXELS

    with_host(body)


def test_no_framebuffer_without_pictures() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        assert await (await host.open("framebuffer:")).read_all() == b""
        assert adbd.phone.gaps == ["framebuffer"]

    with_host(body)


def test_reverse_answers() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        async def ask(text: str) -> bytes:
            return await (await host.open(f"reverse:{text}")).read_all()

        assert await ask("forward:tcp:7002;tcp:7003") == b"OKAY00047002"
        assert await ask("list-forward") == b"0019host-1 tcp:7002 tcp:7003\n"
        assert await ask("forward:norebind:tcp:7002;tcp:7009") == b"FAIL001dcannot rebind existing socket"
        assert await ask("forward:tcp:7002;tcp:7009") == b"OKAY00047002"
        assert adbd.phone.reverses == {"tcp:7002": "tcp:7009"}
        assert await ask("forward:localabstract:x;tcp:7004") == b"OKAY"
        chosen = await ask("forward:tcp:0;tcp:7005")
        assert chosen.startswith(b"OKAY0005")
        assert adbd.phone.reverses[f"tcp:{int(chosen[8:])}"] == "tcp:7005"
        assert await ask("killforward:tcp:7002") == b"OKAY"
        assert (await ask("killforward:tcp:7002")).startswith(b"FAIL")
        assert await ask("killforward-all") == b"OKAY"
        assert await ask("list-forward") == b"0000"
        for bad in ("forward:tcp:1", "forward:;tcp:1", "nothing", ""):
            assert (await ask(bad)).startswith(b"FAIL")
        adbd.phone.ports["tcp:9008"] = upper
        assert b"Address already in use" in await ask("forward:tcp:9008;tcp:1")

    with_host(body)


def test_reverse_data_flows_both_ways() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        await (await host.open("reverse:forward:tcp:7002;tcp:7003")).read_all()
        connecting = asyncio.ensure_future(adbd.phone.connect("tcp:7002"))
        message = await host.wanted.get()
        assert (message.command, bytes(message.payload)) == (Command.OPEN, b"tcp:7003\0")
        stream = host.adopt(message)
        reader, writer = await connecting
        writer.write(b"to the host")
        await writer.drain()
        assert await stream.read(11) == b"to the host"
        await stream.write(b"to the phone")
        assert await reader.readexactly(12) == b"to the phone"
        stream.close()
        assert await reader.read() == b""

    with_host(body)


def test_a_host_that_refuses_the_reverse() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        await (await host.open("reverse:forward:tcp:7002;tcp:7003")).read_all()
        connecting = asyncio.ensure_future(adbd.phone.connect("tcp:7002"))
        message = await host.wanted.get()
        host.send(Message(Command.CLSE, 0, message.arg0))
        with pytest.raises(ConnectionRefusedError):
            await connecting

    with_host(body)


@pytest.mark.parametrize("address", ["tcp:9008", "localabstract:scrcpy", "localfilesystem:/data/s"])
def test_sockets(address: str) -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        with pytest.raises(ConnectionRefusedError):
            await host.open(address)
        adbd.phone.ports[address] = upper
        stream = await host.open(address)
        await stream.write(b"abc")
        assert await stream.read(3) == b"ABC"
        stream.close()
        if address.startswith("tcp:"):
            assert (await host.open(f"{address}:127.0.0.1")).remote
        assert adbd.phone.gaps == []

    with_host(body)


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("root:", b"adbd cannot run as root in production builds\n"),
        ("unroot:", b"adbd not running as root\n"),
        ("remount:", b"Not running as root"),
        ("tcpip:x", b"invalid port\n"),
    ],
)
def test_words(service: str, words: bytes) -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        assert (await (await host.open(service)).read_all()).startswith(words)

    with_host(body)


@pytest.mark.parametrize(
    ("service", "words"),
    [("tcpip:5555", b"restarting in TCP mode port: 5555\n"), ("usb:", b"restarting in USB mode\n")],
)
def test_a_restart_of_the_daemon_drops_the_transport(service: str, words: bytes) -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        assert await (await host.open(service)).read_all() == words
        await host.lost.wait()
        again = await AdbHost.online(adbd.port)
        await again.close()

    with_host(body)


def test_reboot_drops_the_transport() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        assert await (await host.open("reboot:")).read_all() == b""
        await host.lost.wait()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", adbd.port)

    with_host(body)


@pytest.mark.parametrize("service", ["jdwp", "track-jdwp", "track-app"])
def test_lists_of_debuggable_processes_stay_open_and_empty(service: str) -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        stream = await host.open(service)
        await until(lambda: stream.writes)
        assert stream.writes == [0]
        assert not stream.closed.is_set()
        stream.close()

    with_host(body)


def test_an_unknown_service_is_refused_and_recorded() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        for name in (b"sideload:1", b"\xff\xfe", b"", b"shell2:x"):
            with pytest.raises(ConnectionRefusedError):
                await host.open(name)
        assert len(adbd.phone.gaps) == 4
        assert adbd.phone.gaps[0] == "service: sideload:1"

    with_host(body)


def test_an_old_phone_has_smaller_messages() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        adbd.phone.files.write("/data/b", bytes(1_000_000))
        stream = await host.open("exec:cat /data/b")
        assert len(await stream.read_all()) == 1_000_000
        assert max(stream.writes) <= 256 * 1024

    with_host(body, PROFILES["old"])

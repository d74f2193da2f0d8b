import asyncio
import base64
import struct

import pytest
from fakes.adb_host import AdbHost, bare_phone, connected, plugged, run, until, with_host

from bridge.emulated.adbd import Adbd, Direction
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.program import Io
from bridge.emulated.wire import HEADER, VERSION_CHECKSUM, VERSION_SKIP_CHECKSUM, Command, Message


def test_the_banner() -> None:
    async def work() -> None:
        async with plugged(bare_phone(PROFILES["pixel7"])) as adbd:
            adbd.trust.policy = "none"
            host = await AdbHost.dial(adbd.port)
            host.greet()
            answer = await host.wanted.get()
            await host.close()
        assert (answer.command, answer.arg0, answer.arg1) == (Command.CNXN, VERSION_SKIP_CHECKSUM, 1024 * 1024)
        assert bytes(answer.payload).startswith(
            b"device::ro.product.name=panther;ro.product.model=Pixel 7;ro.product.device=panther;features=shell_v2,cmd,"
        )

    run(work())


def test_a_host_signs_a_token_of_twenty_bytes() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            host = await AdbHost.dial(adbd.port)
            host.greet()
            token = await host.wanted.get()
            assert (token.command, token.arg0, len(token.payload)) == (Command.AUTH, 1, 20)
            host.send(Message(Command.OPEN, 5, 0, b"shell:echo early\0"))
            host.send(Message(Command.AUTH, 2, 0, bytes(256)))
            assert (await host.wanted.get()).command is Command.CNXN
            # What came before the handshake's end was not served.
            assert [message.command for message in host.log] == [Command.AUTH, Command.CNXN]
            await host.close()

    run(work())


def test_a_refused_signature_gives_a_new_token() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            adbd.trust.policy = "known"
            host = await AdbHost.dial(adbd.port)
            host.greet()
            first = await host.wanted.get()
            host.send(Message(Command.AUTH, 2, 0, bytes(256)))
            second = await host.wanted.get()
            assert (second.arg0, second.payload != first.payload) == (1, True)
            await host.close()

    run(work())


def test_a_key_that_is_none_cuts_the_connection() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            adbd.trust.policy = "known"
            host = await AdbHost.dial(adbd.port)
            host.greet()
            await host.wanted.get()
            host.send(Message(Command.AUTH, 3, 0, b"no key\0"))
            await host.lost.wait()
            await host.close()

    run(work())


def test_noise_cuts_the_connection_and_no_other() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            noisy = await AdbHost.dial(adbd.port)
            noisy.send_raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await noisy.lost.wait()
            assert await host.shell("echo fine") == b"fine\n"
            await noisy.close()
            assert adbd.phone.gaps == []

    run(work())


def test_an_old_host_gets_checksums_and_small_messages() -> None:
    async def work() -> None:
        phone = bare_phone()
        phone.files.write("/data/big", b"z" * 20_000)
        async with plugged(phone) as adbd:
            reader, writer = await asyncio.open_connection("127.0.0.1", adbd.port)

            def send(message: Message) -> None:
                number = int(message.command)
                total = sum(message.payload)
                writer.write(HEADER.pack(number, message.arg0, message.arg1, len(message.payload), total,
                                         number ^ 0xFFFFFFFF) + bytes(message.payload))  # fmt: skip

            async def receive() -> tuple[int, int, bytes, int]:
                number, arg0, _, length, total, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
                return number, arg0, await reader.readexactly(length), total

            adbd.trust.policy = "none"
            send(Message(Command.CNXN, VERSION_CHECKSUM, 4096, b"host::\0"))
            await receive()
            send(Message(Command.OPEN, 7, 0, b"shell:cat /data/big\0"))
            _, remote, _, _ = await receive()
            got = b""
            while len(got) < 20_000:
                number, _, payload, total = await receive()
                assert number == Command.WRTE
                assert len(payload) <= 4096
                assert total == sum(payload)
                got += payload
                send(Message(Command.OKAY, 7, remote))
            assert got == b"z" * 20_000
            writer.close()
            await writer.wait_closed()

    run(work())


def test_streams_beside_each_other() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        outs = await asyncio.gather(*(host.shell(f"echo {number}; sleep 0.01; echo end") for number in range(20)))
        assert outs == [b"%d\nend\n" % number for number in range(20)]
        await until(lambda: not adbd.phone.processes)

    with_host(body)


def test_closes_as_the_real_daemon_does() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        stream = await host.open("shell:echo x")
        await stream.closed.wait()
        await until(lambda: [m.command for m in host.log if m.arg1 == stream.local].count(Command.CLSE) == 2)
        # A write or a close for a stream that is gone is answered with a close, or with nothing.
        host.send(Message(Command.CLSE, stream.local, stream.remote))
        host.send(Message(Command.WRTE, stream.local, 4711, b"late"))
        assert await host.shell("echo on") == b"on\n"
        assert host.log[-1].command in (Command.CLSE, Command.OKAY, Command.WRTE)

    with_host(body)


def test_a_hang_up_ends_the_program() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        ended = asyncio.Event()

        async def endless(io: Io, phone: Phone) -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return 0

        adbd.phone.programs["endless"] = endless
        stream = await host.open("shell:endless")
        await until(lambda: adbd.phone.processes)
        stream.close()
        await asyncio.wait_for(ended.wait(), 2)
        await until(lambda: not adbd.phone.processes)

    with_host(body)


def test_a_lost_transport_ends_all_programs_and_reverses() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        await host.open("shell:sleep 60")
        await (await host.open("reverse:forward:tcp:7002;tcp:7003")).read_all()
        await until(lambda: adbd.phone.processes)
        assert adbd.phone.reverses
        adbd.drop()
        await host.lost.wait()
        await until(lambda: not adbd.phone.processes)
        assert not adbd.phone.reverses

    with_host(body)


def test_a_crash_of_a_program_is_a_gap() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        async def broken(io: Io, phone: Phone) -> int:
            raise KeyError("oops")

        adbd.phone.programs["broken"] = broken
        assert await host.shell("broken") == b""
        await until(lambda: adbd.phone.gaps)
        assert adbd.phone.gaps == ["crash: KeyError('oops')"]

    with_host(body)


def test_unplugged_and_plugged_in_again_at_the_same_port() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        plugs: list[int] = []
        adbd.on_plug.append(lambda: plugs.append(1))
        adbd.unplug()
        await host.lost.wait()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", adbd.port)
        adbd.unplug()
        await adbd.plug()
        await adbd.plug()
        assert plugs == [1]
        again = await AdbHost.online(adbd.port)
        assert await again.shell("echo back") == b"back\n"
        await again.close()

    with_host(body)


def test_the_user_accepts_the_key_that_waits() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            adbd.trust.policy = "known"
            host = await AdbHost.dial(adbd.port)
            host.greet()
            await host.wanted.get()
            blob = struct.pack("<II", 64, 0) + b"\x05" * 256 + bytes(256) + struct.pack("<I", 65537)
            host.send(Message(Command.AUTH, 3, 0, base64.b64encode(blob) + b" me@host\0"))
            await until(lambda: adbd.trust.asked)
            assert host.wanted.empty()
            adbd.authorise()
            assert (await host.wanted.get()).command is Command.CNXN
            adbd.revoke()
            await host.lost.wait()
            await host.close()

    run(work())


def test_a_reboot() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        boot_id = adbd.phone.boot_id
        adbd.reboot(down_s=0.05, ntp_s=0.05)
        await host.lost.wait()
        await until(lambda: adbd.phone.boot_id != boot_id)
        again = await AdbHost.online(adbd.port)
        assert adbd.phone.clock.boot_ns() < 5e9
        await until(lambda: adbd.phone.clock.wall_ns() > 10**18)
        await again.close()

    with_host(body)


def test_a_hook_sees_and_loses_messages() -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        seen: list[tuple[Direction, Command]] = []

        def hook(direction: Direction, message: Message) -> Message | None:
            seen.append((direction, message.command))
            if direction == "out" and message.command is Command.WRTE:
                return Message(message.command, message.arg0, message.arg1, bytes(message.payload).upper())
            return message

        adbd.hook = hook
        assert await host.shell("echo x") == b"X\n"
        assert seen[0] == ("in", Command.OPEN)
        adbd.hook = lambda direction, message: None if message.command is Command.OPEN else message
        stream = host.request(b"shell:echo lost")
        await asyncio.sleep(0.02)
        assert not stream.opened.is_set()

    with_host(body)


@pytest.mark.parametrize("fault", ["offline", "hang", "refuse", "stop_acks", "slow_shell"])
def test_faults_of_the_transport(fault: str) -> None:
    async def body(adbd: Adbd, host: AdbHost) -> None:
        faults = adbd.phone.faults
        match fault:
            case "offline":
                faults.offline = True
                other = await AdbHost.dial(adbd.port)
                other.greet()
                await asyncio.sleep(0.05)
                assert other.log == []
                await other.close()
                assert await host.shell("echo x") == b"x\n"
            case "hang":
                faults.hang.add("shell:")
                stream = host.request(b"shell:echo x")
                assert await (await host.open("exec:echo y")).read_all() == b"y\n"
                assert not stream.opened.is_set()
            case "refuse":
                faults.refuse.add("exec:")
                with pytest.raises(ConnectionRefusedError):
                    await host.open("exec:echo x")
                assert await host.shell("echo x") == b"x\n"
            case "stop_acks":
                stream = await host.open("shell:cat")
                faults.stop_acks = True
                stream.post(b"data")
                assert await stream.read(4) == b"data"
                log = [m.command for m in host.log if m.arg1 == stream.local]
                assert log == [Command.OKAY, Command.WRTE]
            case _:
                faults.slow_shell = 0.1
                loop = asyncio.get_running_loop()
                start = loop.time()
                assert await host.shell("echo x") == b"x\n"
                assert loop.time() - start >= 0.1

    with_host(body)


def test_closing_leaves_nothing() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            await host.open("shell:sleep 60")
            await host.open("track-jdwp")
            await until(lambda: adbd.phone.processes)
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert not adbd.phone.processes
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", adbd.port)

    run(work())

import asyncio

import pytest
from fakes.adb_host import bare_phone, run, until

from bridge.emulated.phone import Phone
from bridge.emulated.program import Writer


def test_a_fresh_phone() -> None:
    async def work() -> None:
        phone = bare_phone()
        assert phone.props["ro.serialno"] == "EMU00001"
        assert phone.files.is_dir("/sdcard/Download")
        assert phone.files.read("/proc/sys/kernel/random/boot_id").decode().strip() == phone.boot_id
        assert (phone.gaps, phone.ports, phone.reverses) == ([], {}, {})

    run(work())


def test_the_same_seed_gives_the_same_phone() -> None:
    async def work() -> None:
        assert bare_phone(seed=3).boot_id == bare_phone(seed=3).boot_id != bare_phone(seed=4).boot_id

    run(work())


def test_processes_by_name_and_number() -> None:
    async def work() -> None:
        phone = bare_phone()
        tasks = [asyncio.get_running_loop().create_future() for _ in range(3)]
        first, second, other = (
            phone.spawn(name, task) for name, task in zip(["u2", "u2", "logcat"], tasks, strict=True)
        )
        assert len({first.pid, second.pid, other.pid}) == 3
        assert phone.kill("u2") == 2
        assert (first.killed, other.killed) == (True, False)
        assert [task.cancelled() for task in tasks] == [True, True, False]
        phone.reap(first)
        phone.reap(first)
        assert first.pid not in phone.processes
        assert phone.kill("nothing") == 0

    run(work())


def test_a_reboot_forgets_what_lives_in_memory() -> None:
    async def work() -> None:
        phone = bare_phone()
        told: list[str] = []
        phone.on_shut_down.append(lambda: told.append("down"))
        phone.on_boot.append(lambda: told.append("up"))
        process = phone.spawn("u2", asyncio.get_running_loop().create_future())
        phone.ports["tcp:9008"] = echo
        phone.reverses["tcp:7002"] = "tcp:7003"
        phone.files.write("/data/kept", b"1")
        phone.settings[("system", "show_touches")] = "1"
        before = phone.boot_id
        phone.shut_down()
        assert process.killed
        assert phone.props["sys.boot_completed"] == ""
        assert (phone.ports, phone.reverses) == ({}, {})
        phone.boot()
        assert phone.props["sys.boot_completed"] == "1"
        assert phone.boot_id != before
        assert phone.clock.boot_ns() < 10**9
        assert phone.clock.wall_ns() < 10**9
        assert phone.files.read("/data/kept") == b"1"
        assert phone.settings
        assert told == ["down", "up"]

    run(work())


async def echo(reader: asyncio.StreamReader, writer: Writer) -> None:
    while data := await reader.read(100):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


def test_a_port_on_the_phone_itself() -> None:
    async def work() -> None:
        phone = bare_phone()
        phone.ports["tcp:9008"] = echo
        reader, writer = await phone.connect("tcp:9008")
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"ABC"
        writer.close()
        assert writer.is_closing()
        assert await reader.read() == b""

    run(work())


def test_nothing_listens() -> None:
    async def work() -> None:
        phone = bare_phone()
        with pytest.raises(ConnectionRefusedError, match="tcp:1"):
            await phone.connect("tcp:1")

    run(work())


def test_a_full_pipe_holds_its_writer() -> None:
    async def work() -> None:
        phone = bare_phone()
        wrote: list[int] = []

        async def pour(reader: asyncio.StreamReader, writer: Writer) -> None:
            for _ in range(50):
                writer.write(bytes(10_000))
                await writer.drain()
                wrote.append(10_000)
            writer.close()

        phone.ports["tcp:1"] = pour
        reader, _ = await phone.connect("tcp:1")
        await until(lambda: wrote)
        await asyncio.sleep(0.01)
        assert sum(wrote) < 300_000
        assert len(await reader.read()) == 500_000

    run(work())


def test_delays_follow_the_profile() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await bare_phone().delay("screencap")
        assert loop.time() - start < 0.1 < Phone("X").profile.latency("screencap")
        start = loop.time()
        await Phone("X").delay("shell")
        assert loop.time() - start >= 0.013
        start = loop.time()
        await bare_phone().delay("u2-dump", extra=0.02)
        assert loop.time() - start >= 0.017

    run(work())

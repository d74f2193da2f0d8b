import asyncio

import pytest
from fakes.adb_host import AdbHost, bare_phone, connected, plugged, run, until

from bridge.emulated.faults import FAULTS, parse_fault
from bridge.emulated.injection import Injector
from bridge.emulated.logd import BUFFERS
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES, Profile
from bridge.emulated.world.shop import PACKAGE
from bridge.emulated.world.world import World
from bridge.types import Size

FLAGS = {
    "slow-shell=0.25": ("slow_shell", 0.25),
    "stop-acks": ("stop_acks", True),
    "screencap=garbage": ("screencap", "garbage"),
    "video=lost": ("video", "lost"),
    "u2-stall=3": ("u2_stall", 3.0),
    "u2-taken": ("u2_taken", True),
    "u2-screenshot=black": ("u2_screenshot", "black"),
    "u2-dump=dead-object": ("u2_dump", "dead-object"),
    "disk-full": ("disk_full", True),
    "read-only": ("read_only", True),
    "hang=tcp:": ("hang", {"tcp:"}),
    "refuse=exec:": ("refuse", {"exec:"}),
    "offline": ("offline", True),
}
ACTIONS = {"unplug", "flaky", "unauthorized", "u2-dies", "reboot", "log-storm", "clock-step", "clock-drift", "suspend"}
OF_THE_APP = {
    "crash": (b"FATAL EXCEPTION", b"has died"),
    "native-crash": (b"Fatal signal", b">>> com.northbay.shop <<<"),
    "anr": (b"Input dispatching timed out",),
    "low-memory": (b"Kill 'com.northbay.shop'", b"has died"),
    "test-runner": (b"start instr", b"run started"),
}
ACTIONS |= {"screen-off", "fold"}
OF_THE_LAB = {"server-killed", "foreign-adb"}


def test_the_tests_of_this_file_know_every_fault() -> None:
    assert {text.partition("=")[0] for text in FLAGS} | ACTIONS | set(OF_THE_APP) | OF_THE_LAB == set(FAULTS)


@pytest.mark.parametrize("text", FLAGS)
def test_flags_on_and_off(text: str) -> None:
    async def work() -> None:
        async with plugged() as adbd:
            injector, faults = Injector(adbd), adbd.phone.faults
            name, value = FLAGS[text]
            before = getattr(faults, name)
            assert before != value
            before = set(before) if isinstance(before, set) else before
            await injector.begin(parse_fault(text))
            assert getattr(faults, name) == value
            await injector.end(parse_fault(text))
            assert getattr(faults, name) == before

    run(work())


def test_at_its_time_for_its_duration() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            loop = asyncio.get_running_loop()
            start = loop.time()
            task = asyncio.ensure_future(Injector(adbd).run(parse_fault("disk-full@0.05:0.05")))
            await asyncio.sleep(0)
            assert not adbd.phone.faults.disk_full
            await until(lambda: adbd.phone.faults.disk_full)
            assert loop.time() - start >= 0.05
            await task
            assert not adbd.phone.faults.disk_full
            assert loop.time() - start >= 0.1

    run(work())


def test_unplug() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            injector = Injector(adbd)
            await injector.begin(parse_fault("unplug"))
            await host.lost.wait()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", adbd.port)
            await injector.end(parse_fault("unplug"))
            await (await AdbHost.online(adbd.port)).close()

    run(work())


def test_flaky_once_and_again() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            injector = Injector(adbd)
            await injector.begin(parse_fault("flaky=0.05"))
            await host.lost.wait()
            for _ in range(2):
                again = await AdbHost.online(adbd.port)
                await again.lost.wait()
                await again.close()
            await injector.end(parse_fault("flaky=0.05"))
            steady = await AdbHost.online(adbd.port)
            await asyncio.sleep(0.12)
            assert not steady.lost.is_set()
            await steady.close()

    run(work())


def test_unauthorized_until_the_user_accepts() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            injector = Injector(adbd)
            await injector.begin(parse_fault("unauthorized"))
            await host.lost.wait()
            assert adbd.trust.policy == "known"
            await injector.end(parse_fault("unauthorized"))
            await (await AdbHost.online(adbd.port)).close()

    run(work())


def test_the_uiautomator_server_dies() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            process = adbd.phone.spawn("app_process", asyncio.get_running_loop().create_future())
            await Injector(adbd).begin(parse_fault("u2-dies"))
            assert process.killed

    run(work())


def phone_with_app(profile: Profile = PROFILES["small"]) -> Phone:
    """A phone whose app runs and whose user does nothing."""
    phone = bare_phone(profile)
    log = phone.logd.append
    phone.world = World(phone.clock, phone.profile.size, phone.profile.density, "idle", log=log, autopilot=False)
    phone.world.launch(PACKAGE)
    return phone


@pytest.mark.parametrize("name", OF_THE_APP)
def test_the_app_s_own_ends(name: str) -> None:
    async def work() -> None:
        async with plugged(phone_with_app()) as adbd:
            await Injector(adbd).begin(parse_fault(name))
            records, _ = adbd.phone.logd.since(0, BUFFERS)
            texts = b"\n".join(record.text for record in records)
            assert all(words in texts for words in OF_THE_APP[name])

    run(work())


def test_the_screen_is_off_for_a_while() -> None:
    async def work() -> None:
        async with plugged(phone_with_app()) as adbd:
            injector, world = Injector(adbd), adbd.phone.world
            assert world.pixels()[..., :3].any()
            await injector.begin(parse_fault("screen-off"))
            assert not world.pixels()[..., :3].any()
            world.touch("down", 0, 5, 5)
            await injector.end(parse_fault("screen-off"))
            assert world.pixels()[..., :3].any()
            toggled = [r.values for r in adbd.phone.logd.since(0, ("events",))[0] if r.tag == "screen_toggled"]
            assert toggled == [(0,), (1,)]

    run(work())


@pytest.mark.parametrize(("profile", "shut"), [("fold", Size(540, 1260)), ("small", Size(540, 1200))])
def test_a_phone_is_shut_and_opened(profile: str, shut: Size) -> None:
    async def work() -> None:
        async with plugged(phone_with_app(PROFILES[profile])) as adbd:
            injector, world = Injector(adbd), adbd.phone.world
            whole = world.natural
            await injector.begin(parse_fault("fold"))
            assert (world.natural, world.pixels().shape[:2]) == (shut, (shut.height, shut.width))
            await injector.end(parse_fault("fold"))
            assert world.natural == whole

    run(work())


def test_reboot() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            before = adbd.phone.boot_id
            await Injector(adbd).run(parse_fault("reboot@0:0.05"))
            await host.lost.wait()
            await until(lambda: adbd.phone.boot_id != before)
            assert adbd.phone.clock.wall_ns() < 60 * 10**9

    run(work())


def test_a_log_storm_has_everything_bad() -> None:
    async def work() -> None:
        async with plugged(bare_phone()) as adbd:
            ring = adbd.phone.logd
            ring.resize(4 << 20, ("main",))
            injector = Injector(adbd)
            await injector.begin(parse_fault("log-storm=2000"))
            await asyncio.sleep(0.2)
            await injector.end(parse_fault("log-storm=2000"))
            records, position = ring.since(0, BUFFERS)
            assert 200 <= len(records) <= 2000
            texts = b"".join(record.text for record in records)
            assert b"\xff\xfe" in texts
            assert bytes(range(1, 32)) in texts
            assert max(len(record.text) for record in records) >= 4000
            assert {record.prio for record in records} == {3, 4, 5, 6, 7}
            await asyncio.sleep(0.05)
            assert ring.since(position, BUFFERS)[0] == []

    run(work())


def test_a_storm_that_cannot_keep_up_leaves_the_loop_free() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            injector = Injector(adbd)
            await injector.begin(parse_fault("log-storm=300000"))
            assert await host.shell("echo alive") == b"alive\n"
            await injector.end(parse_fault("log-storm"))

    run(work())


def test_the_clock() -> None:
    async def work() -> None:
        async with plugged() as adbd:
            injector, clock = Injector(adbd), adbd.phone.clock
            offset = clock.truth_offset_ns()
            await injector.begin(parse_fault("clock-step=-60"))
            assert clock.truth_offset_ns() == offset - 60 * 10**9
            await injector.end(parse_fault("clock-step=-60"))
            assert clock.truth_offset_ns() == offset
            await injector.begin(parse_fault("clock-drift=10000"))
            await asyncio.sleep(0.05)
            gained = clock.truth_offset_ns() - offset
            assert gained >= 500_000
            await injector.end(parse_fault("clock-drift=10000"))
            steady = clock.truth_offset_ns()
            await asyncio.sleep(0.02)
            assert clock.truth_offset_ns() == steady

    run(work())


def test_a_sleeping_phone_hears_nothing() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            clock = adbd.phone.clock
            stream = await host.open("exec:cat")
            boot, mono = clock.truth_boot_offset_ns(), clock.truth_mono_offset_ns()
            task = asyncio.ensure_future(Injector(adbd).run(parse_fault("suspend@0:0.1")))
            await until(lambda: clock.asleep)
            stream.post(b"anyone?")
            await asyncio.sleep(0.05)
            assert not stream.data
            assert await stream.read(7) == b"anyone?"
            await task
            assert not clock.asleep
            assert clock.truth_boot_offset_ns() == boot
            assert mono - clock.truth_mono_offset_ns() >= 90_000_000

    run(work())


def test_a_wake_before_the_time() -> None:
    async def work() -> None:
        async with connected() as (adbd, host):
            injector = Injector(adbd)
            await injector.begin(parse_fault("suspend@0:60"))
            await until(lambda: adbd.phone.clock.asleep)
            await injector.end(parse_fault("suspend"))
            assert await host.shell("echo up") == b"up\n"
            assert not adbd.phone.clock.asleep

    run(work())

from __future__ import annotations

import importlib

import numpy as np
import pytest
from fakes.adb_host import run, until
from fakes.programs import phone_with_screen, ran, running
from numpy.typing import NDArray

from bridge.emulated.profile import PROFILES
from bridge.emulated.programs.screenrecord import NO_CODEC, TOO_LONG, USAGE, claimed, screenrecord
from bridge.types import Size

pytest.importorskip("av")
START = b"\0\0\0\1"
WORDS = "screenrecord --output-format=h264 --size 270x600"


def pictures(stream: bytes) -> list[NDArray[np.uint8]]:
    """The pictures of an Annex B stream as RGB."""
    import av

    codec = av.CodecContext.create("h264", "r")
    frames = [frame for packet in codec.parse(stream) for frame in codec.decode(packet)]
    frames += [frame for packet in codec.parse(b"") for frame in codec.decode(packet)]
    frames += codec.decode(None)
    return [frame.to_ndarray(format="rgb24") for frame in frames]


def test_a_frame_whenever_the_display_changed() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        async with running(screenrecord, phone, f"{WORDS} -") as started:
            await until(lambda: started.out)
            size = len(started.out)
            phone.world.notify("words")
            await until(lambda: len(started.out) > size)
            size = len(started.out)
            phone.world.act("launch")
            await until(lambda: len(started.out) > size)
            started.hangup.set()
            assert await started.task == 0
            stream = started.take()
        assert stream.startswith(START)
        shown = pictures(stream)
        assert [picture.shape for picture in shown] == [(600, 270, 3)] * 3
        assert not np.array_equal(shown[0], shown[2])

    run(work())


def test_the_picture_is_the_screen() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        out = bytearray()
        async with running(screenrecord, phone, "screenrecord --output-format=h264 --bit-rate 8M -") as started:
            await until(lambda: started.out)
            started.hangup.set()
            await started.task
            out += started.take()
        (shown,) = pictures(bytes(out))
        apart = np.abs(shown.astype(int) - phone.world.pixels()[..., :3])
        assert apart.mean() < 6

    run(work())


def test_a_rotated_picture_is_letterboxed() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        async with running(screenrecord, phone, f"{WORDS} -") as started:
            await until(lambda: started.out)
            size = len(started.out)
            phone.world.rotate(1)
            await until(lambda: len(started.out) > size)
            started.hangup.set()
            await started.task
            shown = pictures(started.take())
        assert shown[-1].shape == (600, 270, 3)
        assert shown[-1][:200].max() < 40
        assert shown[-1][-200:].max() < 40
        assert shown[-1][270:330].max() > 60

    run(work())


def test_it_ends_at_its_limit() -> None:
    async def work() -> None:
        async with running(screenrecord, phone_with_screen(), f"{WORDS} --time-limit 0.05 -") as started:
            assert await started.task == 0
            assert len(pictures(started.take())) == 1

    run(work())


@pytest.mark.parametrize(
    ("words", "size"), [("--size 271x601", (602, 272)), ("--size=100x200", (200, 100)), ("", (1200, 540))]
)
def test_sizes_are_even(words: str, size: tuple[int, int]) -> None:
    async def work() -> None:
        line = f"screenrecord --output-format h264 {words} --time-limit 0.01 -"
        async with running(screenrecord, phone_with_screen(), line) as started:
            assert await started.task == 0
            assert pictures(started.take())[0].shape[:2] == size

    run(work())


@pytest.mark.parametrize(
    "words",
    [
        "",
        "-",
        "/sdcard/film.mp4",
        "--output-format=h264 /sdcard/film.h264",
        "--output-format=mp4 -",
        "--output-format=h264 --size 0x10 -",
        "--output-format=h264 --size wide -",
        "--output-format=h264 --size 1x2x3 -",
        "--output-format=h264 --bit-rate 0 -",
        "--output-format=h264 --bit-rate xM -",
        "--output-format=h264 --time-limit -1 -",
        "--output-format=h264 --unknown -",
        "--output-format=h264 - --size",
    ],
)
def test_what_cannot_be_served(words: str) -> None:
    async def work() -> None:
        assert await ran(screenrecord, phone_with_screen(), f"screenrecord {words}") == ("", USAGE.decode(), 2)

    run(work())


def test_without_a_codec_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package has a function of the module's name.
    module = importlib.import_module(screenrecord.__module__)
    monkeypatch.setattr(module, "find_spec", lambda name: None)

    async def work() -> None:
        out, err, status = await ran(screenrecord, phone_with_screen(), f"{WORDS} -")
        assert (out, status) == ("", 1)
        assert "codec" in err

    run(work())


def test_a_limit_is_a_matter_of_the_android() -> None:
    async def work() -> None:
        for limit in ("0", "181"):
            old = phone_with_screen(PROFILES["old"])
            done = await ran(screenrecord, old, f"{WORDS} --time-limit {limit} -")
            assert done == ("", TOO_LONG.decode(), 2)
            async with running(screenrecord, phone_with_screen(), f"{WORDS} --time-limit {limit} -") as started:
                await until(lambda: started.out)

    run(work())


def test_there_are_only_so_many_encoders() -> None:
    async def work() -> None:
        phone = phone_with_screen(PROFILES["old"])
        async with running(screenrecord, phone, f"{WORDS} -") as first:
            await until(lambda: first.out)
            assert await ran(screenrecord, phone, f"{WORDS} -") == ("", NO_CODEC.decode(), 1)
            first.hangup.set()
            await first.task
        async with running(screenrecord, phone, f"{WORDS} -") as second:
            await until(lambda: second.out)

    run(work())


def test_a_small_screen_is_grown_to_fit() -> None:
    async def work() -> None:
        line = "screenrecord --output-format=h264 --size 1080x2500 --time-limit 0.01 -"
        async with running(screenrecord, phone_with_screen(), line) as started:
            await started.task
            (shown,) = pictures(started.take())
        assert max(shown[:46].max(), shown[-46:].max()) < 20
        assert min(shown[54:64].min(), shown[-64:-54].min()) >= 20

    run(work())


def test_faults_of_the_encoder() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.faults.video = "refused"
        assert await ran(screenrecord, phone, f"{WORDS} -") == ("", NO_CODEC.decode(), 1)
        phone.faults.video = "dies"
        assert (await ran(screenrecord, phone, f"{WORDS} -"))[2] == 1
        phone.faults.video = "silent"
        async with running(screenrecord, phone, f"{WORDS} --time-limit 0.1 -") as silent:
            await silent.task
            assert silent.take() == b""
        sizes = {}
        for fault in ("", "lost", "cut"):
            phone.faults.video = fault
            with claimed(phone, Size(270, 600), 1_000_000) as encoding:
                assert encoding is not None
                packets = []
                for number in range(5):
                    phone.world.notify(f"number {number}")
                    packets += await encoding.encode(phone.world.pixels(), number)
            sizes[fault] = [len(packet.data) for packet in packets]
        assert sizes["lost"] == sizes[""][:4]
        assert sizes["cut"] == [*sizes[""][:4], sizes[""][4] // 2]

    run(work())

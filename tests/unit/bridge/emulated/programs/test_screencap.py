from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from fakes.adb_host import run
from fakes.programs import phone_with_screen, ran_raw
from PIL import Image

from bridge.emulated.faults import Screencap
from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES
from bridge.emulated.programs.screencap import GARBAGE, screencap
from bridge.types import Rotation

WIDTH, HEIGHT = 540, 1200


async def taken(phone: Phone, words: str = "screencap") -> bytes:
    out, err, status = await ran_raw(screencap, phone, words)
    assert (err, status) == (b"", 0)
    return out


@pytest.mark.parametrize("header", [12, 16])
@pytest.mark.parametrize("rotation", [0, 1])
def test_raw(header: int, rotation: Rotation) -> None:
    async def work() -> None:
        phone = phone_with_screen(replace(PROFILES["small"], screencap_header=header))
        phone.world.rotate(rotation)
        data = await taken(phone)
        width, height = (WIDTH, HEIGHT) if rotation == 0 else (HEIGHT, WIDTH)
        words = np.frombuffer(data[:header], "<u4").tolist()
        assert words == [width, height, 1, 1][: header // 4]
        pixels = np.frombuffer(data[header:], np.uint8).reshape(height, width, 4)
        assert np.array_equal(pixels, phone.world.pixels())
        assert pixels[..., :3].any()

    run(work())


def test_png() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        picture = Image.open(io.BytesIO(await taken(phone, "screencap -p")))
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), phone.world.pixels())

    run(work())


def test_a_secure_window_is_black() -> None:
    async def work() -> None:
        phone = phone_with_screen()
        phone.world.act("launch")
        phone.world.act("pay")
        assert not np.frombuffer((await taken(phone))[16:], np.uint8).reshape(-1, 4)[:, :3].any()

    run(work())


@pytest.mark.parametrize("words", ["screencap", "screencap -p"])
@pytest.mark.parametrize("fault", ["empty", "truncated", "wrong-size", "garbage", "black"])
def test_faults(words: str, fault: Screencap) -> None:
    async def work() -> None:
        phone = phone_with_screen()
        whole = await taken(phone, words)
        shown = phone.world.pixels().copy()
        phone.faults.screencap = fault
        data = await taken(phone, words)
        if fault == "empty":
            assert data == b""
        elif fault == "truncated":
            assert data == whole[: len(whole) // 2]
        elif fault == "garbage":
            assert data == GARBAGE + whole
        elif fault == "wrong-size":
            width = Image.open(io.BytesIO(data)).width if "-p" in words else int.from_bytes(data[:4], "little")
            assert width not in (WIDTH, HEIGHT)
        elif "-p" in words:
            assert np.asarray(Image.open(io.BytesIO(data)))[..., :3].max() == 0
        else:
            assert len(data) == len(whole)
            assert not np.frombuffer(data[16:], np.uint8).reshape(-1, 4)[:, :3].any()
        # The fault is of the picture, not of the screen.
        assert np.array_equal(phone.world.pixels(), shown)
        phone.faults.screencap = ""
        assert await taken(phone, words) == whole

    run(work())

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from bridge.emulated.controller import PNG, RGB888, RGBA8888, SERVICE, Controller
from bridge.emulated.lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(1, scenario="idle", autopilot=False) as lab:
        yield lab


@pytest.mark.parametrize("form", [PNG, RGBA8888, RGB888])
def test_every_format_is_the_world_s_pixels(lab: Lab, form: int) -> None:
    controller = Controller(lab.phones[0])
    port = lab.call(controller.start)
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)])
    try:
        answer: bytes = channel.unary_unary(f"/{SERVICE}/getScreenshot")(bytes([8, form]), timeout=10)
    finally:
        channel.close()
        controller.stop()
    pixels = lab.call(lab.phones[0].world.pixels)
    if form == PNG:
        with Image.open(io.BytesIO(answer[answer.index(b"\x89PNG") :])) as image:
            assert np.array_equal(np.asarray(image), pixels)
    else:
        assert (pixels if form == RGBA8888 else np.ascontiguousarray(pixels[..., :3])).tobytes() in answer
    assert controller.calls == 1


def test_what_a_running_emulator_writes(lab: Lab, tmp_path: Path) -> None:
    Controller(lab.phones[0], "t").announce(tmp_path, 5554, 8554)
    (file,) = (tmp_path / "avd" / "running").glob("pid_*.ini")
    assert {"port.serial=5554", "grpc.port=8554", "grpc.token=t"} <= set(file.read_text().splitlines())

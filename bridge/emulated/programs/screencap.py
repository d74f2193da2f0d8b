"""`screencap`: the display as raw RGBA or PNG."""

from __future__ import annotations

import asyncio
import io as bytesio
import struct

import numpy as np
from PIL import Image

from bridge.emulated.displays import panels
from bridge.emulated.phone import Phone
from bridge.emulated.program import Io

RGBA_8888 = 1
SRGB = 1
SEVERAL = b"[Warning] Multiple displays were found, but no display id was specified! Defaulting to the first display.\n"
GARBAGE = b'WARNING: linker: Warning: "/system/bin/screencap" has unsupported flags\n'


async def screencap(io: Io, phone: Phone) -> int:
    """Raw: 12 or (Android 9+) 16 bytes of header, then rows without padding. `-p`: PNG. Secure windows are black.

    `-d` names a physical display; without it the first one is taken, with a warning where there are several.
    """
    words = io.argv[1:]
    png = "-p" in words
    known = panels(phone)
    panel = known[0]
    if "-d" in words[:-1]:
        wanted = words[words.index("-d") + 1]
        found = next((each for each in known if each.physical == wanted), None)
        if found is None:
            await io.error(f"Display Id '{wanted}' is not valid.\n".encode())
            return 1
        panel = found
    elif len(known) > 1:
        await io.error(SEVERAL)
    await phone.delay("screencap-png" if png else "screencap")
    fault = phone.faults.screencap
    if fault == "empty":
        return 0
    if panel.world is None:
        pixels = np.zeros((panel.size.height, panel.size.width, 4), np.uint8)
    else:
        pixels = panel.world.pixels()
    if fault == "black":
        pixels = pixels.copy()
        pixels[..., :3] = 0
    height, width = pixels.shape[:2]
    if png:
        if fault == "wrong-size":
            pixels = pixels[:, : width - 7]
        file = bytesio.BytesIO()
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        )
        data: bytes = file.getvalue()
    else:
        stated = (width + 7, height) if fault == "wrong-size" else (width, height)
        header = struct.pack("<III", *stated, RGBA_8888)
        if phone.profile.screencap_header == 16:
            header += struct.pack("<I", SRGB)
        data = header + pixels.tobytes()
    if fault == "truncated":
        data = data[: len(data) // 2]
    await io.write(GARBAGE + data if fault == "garbage" else data)
    return 0

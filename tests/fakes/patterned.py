"""Recordings whose every picture says its own number, so that a test can read from a screenshot what is shown."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import xxhash
from PIL import Image, ImageDraw

from agent.model import Counts, Picture, SealedSegment, SegmentManifest
from agent.replay import rrweb
from agent.replay.rrweb import Event
from agent.store.recording import Recording

BITS = 8
DEVICE = "6c1b8a52-9f1d-4a07-8a8c-0f6f4a1c2d3e"
SESSION = 1_760_000_000_000
OTHER_SESSION = SESSION + 7_200_000
LENGTH_MS = 10_000
STEP_MS = 1000
PAUSE_MS = 720_000
UPRIGHT = (360, 640)
FLAT = (640, 360)
HOSTILE = "<img src=x onerror=alert(1)>"


def picture(code: int, size: tuple[int, int] = UPRIGHT) -> Picture:
    """Four columns of two cells, white for a set bit of `code`, black for a clear one, on a colour of its own."""
    width, height = size
    image = Image.new("RGB", size, (40 + code * 37 % 200, 40 + code * 71 % 200, 40 + code * 113 % 200))
    draw = ImageDraw.Draw(image)
    for bit in range(BITS):
        column, row = bit % 4, bit // 4
        left, top = width * (column + 0.5) / 5, height * (row + 0.5) / 3
        cell = (left, top, left + width / 5, top + height / 3)
        draw.rectangle(cell, fill=(255, 255, 255) if code >> bit & 1 else (0, 0, 0))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80, method=0)
    return Picture(xxhash.xxh3_128_hexdigest(out.getvalue()), "image/webp", out.getvalue())


def read(png: bytes) -> int:
    """The number in a screenshot of a picture, at any scale. Raises ValueError when a cell is neither colour."""
    image = Image.open(io.BytesIO(png)).convert("L")
    code = 0
    for bit in range(BITS):
        column, row = bit % 4, bit // 4
        shade = image.getpixel((int(image.width * (column + 1) / 5), int(image.height * (row + 1) / 3)))
        assert isinstance(shade, int)
        if 60 < shade < 195:
            raise ValueError(f"cell {bit} is grey ({shade})")
        code |= (shade > 127) << bit
    return code


def segment(
    seq: int,
    start_ms: int,
    codes: Iterable[int],
    *,
    session_id: int = SESSION,
    size: tuple[int, int] = UPRIGHT,
    extra: Iterable[Event] = (),
) -> SealedSegment:
    """Ten seconds: a picture every second, a tap from 2.5 s to 3.1 s, an event at 4 s, a log line every 100 ms."""
    width, height = size
    shown = [picture(code, size) for code in codes]
    events = [
        rrweb.meta(start_ms, "android-app://com.example.shop/.MainActivity", width, height),
        rrweb.full_snapshot(start_ms + 1, f"picture:{shown[0].digest}", width, height, []),
    ]
    for n, each in enumerate(shown[1:], 1):
        events.append(rrweb.mutation(start_ms + n * STEP_MS, [(rrweb.PICTURE_ID, {"src": f"picture:{each.digest}"})]))
    events.append(rrweb.touch(start_ms + 2500, "down", width / 2, height / 4, 0))
    events.append(rrweb.touch(start_ms + 3100, "up", width / 2, height / 4, 0))
    events.append(segment_event(start_ms + 4000, "track", f"Step {seq}", session_id=session_id))
    for n, at in enumerate(range(start_ms + 50, start_ms + LENGTH_MS, 100)):
        letter, level = [("I", "info"), ("D", "debug"), ("W", "warn"), ("E", "error")][0 if n % 10 else seq % 4]
        events.append(rrweb.log(at, level, f"{letter}/Shop: line {seq}.{n}"))
    end = start_ms + LENGTH_MS
    segment_id = xxhash.xxh3_128_hexdigest(f"{session_id}/{seq}".encode())
    events += [*extra, rrweb.custom(end, "end", {"id": segment_id, "seq": seq})]
    manifest = SegmentManifest(
        id=segment_id,
        session_id=session_id,
        device_id=DEVICE,
        serial="emulator-5554",
        seq=seq,
        start_ms=start_ms,
        end_ms=end,
        reason="time",
        counts=Counts(frames=len(shown), touches=2, events=1, logs=100),
        pictures=tuple(dict.fromkeys(each.digest for each in shown)),
        bytes=1,
        device={"manufacturer": "Google", "model": "Pixel 7", "android": "14"},
        session_from="integrations",
        device_from="context.device.id",
    )
    lines = tuple(rrweb.dumps(event) for event in sorted(events, key=lambda event: int(event["timestamp"])))
    return SealedSegment(manifest, lines, {each.digest: each for each in shown})


def segment_event(at_ms: int, kind: str, name: str, **more: object) -> Event:
    payload: Mapping[str, object] = {
        "event": name,
        "messageId": f"message-{at_ms}",
        "session_id": SESSION,
        "device_id": DEVICE,
        "session_from": "integrations",
        "device_from": "context.device.id",
        "stage": "after",
        "complete": True,
        "missing": [],
        "properties": {"total": 12.5},
        **more,
    }
    return rrweb.custom(at_ms, f"segment:{kind}", payload)


def record(folder: Path) -> Recording:
    """Two sessions: pictures 1-10, 11-20, a pause of PAUSE_MS, 21-30 in landscape; and pictures 201-210."""
    recording = Recording.create(folder)
    first, second = SESSION + 1000, SESSION + 1000 + LENGTH_MS
    third = second + LENGTH_MS + PAUSE_MS
    gap = {"stage": "screen", "reason": "secure window", "detail": "", "from_ms": first + 6000, "to_ms": first + 7500}
    mask = {"count": 2, "kinds": {"mask": 2}, "rules": {"password": 2}, "blocked": ""}
    recording.write(
        segment(
            0,
            first,
            range(1, 11),
            extra=[rrweb.custom(first + 6000, "gap", {**gap, "ms": 1500}), rrweb.custom(first + 1500, "mask", mask)],
        )
    )
    odd = segment_event(second + 6000, "screen", HOSTILE, session_id=None, session_from="", missing=["context"])
    recording.write(segment(1, second, range(11, 21), extra=[odd]))
    recording.write(segment(2, third, range(21, 31), size=FLAT))
    recording.write(segment(0, OTHER_SESSION + 1000, range(201, 211), session_id=OTHER_SESSION))
    return recording

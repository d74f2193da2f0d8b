"""Bytes of a minute: a shop session of 60 s at level medium, beside the same pictures stored in other ways."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

from agent.replay.canvas import I420Canvas
from benchmarks.checks import BRACKET_NS, Quality, readable
from benchmarks.clips import EPOCH_NS, MICROSECOND, SIZE, Clip, Pixels, clip
from benchmarks.likeness import luma
from benchmarks.measure import Result, result
from benchmarks.peers import decoded_frames
from benchmarks.rehearsal import Take, rehearse
from benchmarks.screens import say
from bridge.types import Bounds, Size

WIDTH = 540
WEBP_QUALITY, JPEG_QUALITY, BIT_RATE = 50, 30, 75_000
LIMIT = 0.75
# Pictures are of equal quality when the text in them differs by less than this from what the screen showed.
EQUAL = 0.01


@dataclass(frozen=True, slots=True)
class Shown:
    """A masked picture and when it was on the screen."""

    at_ms: int
    index: int
    pixels: Pixels


def run() -> list[Result]:
    """Ours at the default rates and quality; full WebP pictures are the ones to beat."""
    session = clip("session")
    take = rehearse(session, f"h264-{WIDTH}", 2, 5)
    say("session, default rates", take, 2)
    size = Size(WIDTH, session.height(WIDTH))
    video = decoded_frames(session, WIDTH)

    def shown(at_ms: int, mask: Mapping[str, Any]) -> Shown:
        index = session.index(at_ms * 1_000_000 - EPOCH_NS)
        return Shown(at_ms, index, _masked(video[index], size, mask))

    same: list[Shown] = []
    for state in take.states():
        found = shown(state.at_ms, state.mask)
        if not same or not np.array_equal(found.pixels, same[-1].pixels):
            same.append(found)
    seconds = [
        shown(EPOCH_NS // 1_000_000 + second * 1000, state.mask)
        for second in range(round(session.seconds))
        if (state := take.state_at(second * 1_000_000_000)) is not None
    ]
    a_minute = 60 / session.seconds / 1e6
    ours = take.picture_bytes * a_minute
    events = sum(len(event) for segment in take.segments for event in segment.events) * a_minute
    full, quality = _stills(session, same, "WEBP", quality=WEBP_QUALITY, method=0)
    mine = _ours(take)
    equal = "" if mine.text >= quality.text - EQUAL else "; NOT of equal quality, so the ratio says too much"
    rows = [
        result(
            "size/session",
            ours,
            full * a_minute,
            f"the same {len(same)} pictures, full WebP q{WEBP_QUALITY}: text SSIM {quality.text:.3f}",
            "MB/min",
            1 / LIMIT,
            note=f"ours has text SSIM {mine.text:.3f}; its events, uncompressed, are {events:.2f} MB/min more{equal}",
        )
    ]
    for name, (count, other) in {
        f"JPEG q{JPEG_QUALITY} at 1 fps": _stills(session, seconds, "JPEG", quality=JPEG_QUALITY),
        f"H.264 at {BIT_RATE // 1000} kbit/s": _video(session, same),
    }.items():
        rows.append(result("size/session", ours, count * a_minute, f"{name}: text SSIM {other.text:.3f}", "MB/min", 0))
    return rows


def _ours(take: Take) -> Quality:
    """How well ours can be read: each state of the screen beside the shot that it is most like of those in which it may
    have been drawn."""
    found: list[float | None] = []
    for state in take.states():
        picture = luma(take.composed(state))
        at_ns = state.at_ms * 1_000_000 - EPOCH_NS
        bracket = range(take.clip.index(at_ns - BRACKET_NS), take.clip.index(at_ns + BRACKET_NS) + 1)
        values = [value for i in bracket if (value := readable(take.clip, i, picture)) is not None]
        found.append(max(values, default=None))
    return _quality(found)


def _masked(planes: Pixels, size: Size, mask: Mapping[str, Any]) -> Pixels:
    """RGB of a frame in which is covered what the recording says it covered, as it covers it."""
    covers = [Bounds(*edges) for *edges, _ in mask.get("rects", ())]
    return I420Canvas(planes, size, SIZE).masked(covers, size.width).rgb()


def _stills(clip: Clip, pictures: Sequence[Shown], form: str, **options: int) -> tuple[int, Quality]:
    """Bytes of pictures stored whole, and how well they can be read."""
    total, found = 0, []
    for shown in pictures:
        out = io.BytesIO()
        Image.fromarray(shown.pixels).save(out, form, **options)
        total += len(out.getvalue())
        with Image.open(out) as image:
            found.append(readable(clip, shown.index, luma(np.asarray(image.convert("RGB")))))
    return total, _quality(found)


def _video(clip: Clip, pictures: Sequence[Shown]) -> tuple[int, Quality]:
    """Bytes of the same pictures as one H.264 stream, and how well they can be read."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].pixels.shape[:2]
    encoder.pix_fmt, encoder.bit_rate, encoder.time_base = "yuv420p", BIT_RATE, MICROSECOND
    encoder.framerate = Fraction(5)
    encoder.options = {"preset": "veryfast", "threads": "1"}
    packets: list[Any] = []
    for shown in pictures:
        frame = av.VideoFrame.from_ndarray(shown.pixels, "rgb24")
        frame.pts, frame.time_base = shown.at_ms * 1000, MICROSECOND
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.extradata = encoder.extradata
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    found = [
        readable(clip, shown.index, luma(frame.to_ndarray(format="rgb24")))
        for shown, frame in zip(pictures, frames, strict=True)
    ]
    return sum(packet.size for packet in packets), _quality(found)


def _quality(found: Sequence[float | None]) -> Quality:
    known = [value for value in found if value is not None]
    return Quality(statistics.mean(known), min(known), len(known))

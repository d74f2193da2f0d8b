"""Is it right? Asked before anything is timed, so that no speed is bought with missing, late, unmasked or unreadable
pictures. What is not right raises CheckFailed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.clips import EPOCH_NS, SIZE, Clip
from benchmarks.likeness import Plane, likeness, luma, scaled
from benchmarks.measure import CheckFailed
from benchmarks.peers import Output
from benchmarks.rehearsal import Take
from bridge.types import Bounds

# Encoders ring and chroma is halved: a cover's pixels are grey within this, a frame of pixels inside its edge.
GREY, GREY_WITHIN, EDGE = 128, 14, 6
TEXT_FLOOR = 0.9
SAMPLES = 8
# Half of the bracket in which a picture of `screenrecord` was drawn, and a frame.
BRACKET_NS = 120_000_000
STILL_NS, SETTLED_NS = 2_000_000_000, 1_600_000_000
# Of the changes that somebody sees who looks at the ceiling's rate, so many must be there: what has just come on the
# screen stays covered for a moment, and a secure screen shows nothing.
SHOWN_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Quality:
    """Of the pictures looked at: mean text SSIM to what the screen showed, the worst one, and how many."""

    text: float
    worst: float
    pictures: int


def recording(take: Take, rate: float) -> Quality:
    """A recording: what is private is covered, the rest is readable, every change and every still screen is there."""
    clip = take.clip
    states = [state for state in take.states() if not state.blocked]
    if not states:
        raise CheckFailed(f"{clip.name}: nothing was recorded")
    found = []
    private = 0
    for state in states[:: max(1, len(states) // SAMPLES)]:
        picture = luma(take.composed(state))
        at_ns = state.at_ms * 1_000_000 - EPOCH_NS
        index = clip.index(at_ns)
        private += covered(clip, index, picture, f"{clip.name} at {at_ns / 1e9:.2f} s")
        # The stamp is the middle of a bracket: the screen showed the picture somewhere in it.
        bracket = range(clip.index(at_ns - BRACKET_NS), clip.index(at_ns + BRACKET_NS) + 1)
        near = [readable(clip, i, picture) for i in bracket]
        values = [value for value in near if value is not None]
        if values:
            found.append(max(values))
    for shot, after in zip(clip.shots, [*clip.shots[1:], None], strict=True):
        until_ns = after.at_ns if after is not None else clip.end_ns
        if until_ns - shot.at_ns < STILL_NS or not shot.texts:
            continue
        state = take.state_at(shot.at_ns + SETTLED_NS)
        if state is None or state.blocked:
            if shot.at_ns > SETTLED_NS:
                raise CheckFailed(f"{clip.name}: the still screen at {shot.at_ns / 1e9:.2f} s is missing")
            continue
        value = readable(clip, clip.shots.index(shot), luma(take.composed(state)))
        if value is not None:
            found.append(value)
            if value < TEXT_FLOOR:
                raise CheckFailed(f"{clip.name}: another picture stands at {shot.at_ns / 1e9:.2f} s: SSIM {value:.3f}")
    shown = len({state.sources for state in states})
    wanted = clip.changes(rate) * SHOWN_SHARE
    if shown < wanted:
        raise CheckFailed(f"{clip.name}: {shown} pictures where at least {wanted:.0f} are seen at {rate:g} fps")
    return quality(clip.name, found)


def outputs(clip: Clip, made: list[Output], count: int, *, masked: bool) -> Quality:
    """A peer's pictures: as many as there should be, covered if it masks, readable."""
    if len(made) != count:
        raise CheckFailed(f"{clip.name}: the peer made {len(made)} pictures of {count}")
    found = []
    for output in made[:: max(1, len(made) // SAMPLES)]:
        with Image.open(io.BytesIO(output.data)) as image:
            picture = luma(scaled(np.asarray(image.convert("RGB")), 540))
        if masked:
            covered(clip, output.index, picture, f"the peer's {clip.name}")
        value = readable(clip, output.index, picture)
        if value is not None:
            found.append(value)
    return quality(clip.name, found)


def frames(path: Path, least: int) -> None:
    """A peer's video: so many frames at least."""
    with av.open(str(path)) as container:
        count = sum(1 for _ in container.decode(video=0))
    if count < least:
        raise CheckFailed(f"{path.name}: {count} frames of at least {least}")


def video(clip: Clip, path: Path) -> Quality:
    """A peer's masked video as large as the stream: each shot is there at its time, covered, readable."""
    frames(path, len(clip.shots))
    found = []
    with av.open(str(path)) as container:
        for count, frame in enumerate(container.decode(video=0)):
            if count % max(1, len(clip.shots) // SAMPLES):
                continue
            assert frame.time is not None
            at_ns = round(frame.time * 1e9)
            picture = luma(frame.to_ndarray(format="rgb24"))
            values = [readable(clip, clip.index(ns), picture) for ns in (at_ns - BRACKET_NS // 2, at_ns)]
            known = [value for value in values if value is not None]
            if known:
                found.append(max(known))
            covered(clip, clip.index(at_ns), picture, path.name)
    return quality(clip.name, found)


def covered(clip: Clip, index: int, picture: Plane, where: str) -> int:
    """How many private places were looked at. CheckFailed when one is not grey."""
    scale = picture.shape[1] / SIZE.width
    secrets = clip.shots[index].secrets
    for b in secrets:
        part = _part(picture, b, scale)
        if part.size and np.abs(part - GREY).max() > GREY_WITHIN:
            raise CheckFailed(f"{where}: {b} is private and shown")
    return len(secrets)


def readable(clip: Clip, index: int, picture: Plane) -> float | None:
    """Text SSIM of a picture to what the screen showed, of all texts that are not covered; None when there are none."""
    scale = picture.shape[1] / SIZE.width
    texts = [b for b in clip.shots[index].texts if _shows(_part(picture, b, scale))]
    if not texts:
        return None
    truth = _truth(clip, index, picture.shape[1])
    values = [likeness(truth, picture, _scaled(b, scale), GREY) for b in texts]
    known = np.concatenate(values)
    return float(known.mean()) if known.size else None


def quality(name: str, found: list[float]) -> Quality:
    """CheckFailed when the mean is below the floor."""
    if not found:
        raise CheckFailed(f"{name}: no text is to be read anywhere")
    mean = sum(found) / len(found)
    if mean < TEXT_FLOOR:
        raise CheckFailed(f"{name}: text SSIM {mean:.3f} is below {TEXT_FLOOR}")
    return Quality(mean, min(found), len(found))


@lru_cache(maxsize=64)
def _truth(clip: Clip, index: int, width: int) -> Plane:
    return luma(scaled(clip.pixels(index), width))


def _scaled(b: Bounds, scale: float) -> Bounds:
    return Bounds(round(b.left * scale), round(b.top * scale), round(b.right * scale), round(b.bottom * scale))


def _part(picture: Plane, b: Bounds, scale: float) -> Plane:
    return picture[
        round(b.top * scale) + EDGE : round(b.bottom * scale) - EDGE,
        round(b.left * scale) + EDGE : round(b.right * scale) - EDGE,
    ]


def _shows(part: Plane) -> bool:
    """Whether there is anything but one colour."""
    return bool(part.size) and float(part.max() - part.min()) > 2 * GREY_WITHIN

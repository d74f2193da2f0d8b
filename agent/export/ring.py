"""The ring that follows a finger, drawn into a picture; it fades when the finger has gone up."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw

from agent.replay.playback import Finger

RADIUS_DP = 22.0
FADE_MS = 300
# A finger of which nothing came for so long is gone: its end was not seen.
STALE_MS = 10_000
STEPS = 8
_SHARPER = 4
_FILL, _EDGE = (56, 132, 255, 90), (56, 132, 255, 235)


def strength(finger: Finger, at_ms: float) -> float:
    """How much of its ring is to be seen: 1 while the finger is down, falling to 0 in FADE_MS after."""
    age = at_ms - finger.at_ms
    if finger.down:
        return 1.0 if age < STALE_MS else 0.0
    return max(0.0, 1.0 - age / FADE_MS)


def draw(picture: Image.Image, x: float, y: float, scale: float, shown: float) -> tuple[int, int, int, int] | None:
    """Draw a ring of strength `shown` around a pixel place; `scale` is pixels per dp.

    Gives back where it is drawn (left, top, right, bottom), None for one that is not seen.
    """
    step = round(shown * STEPS)
    if step <= 0:
        return None
    ring = _ring(round(RADIUS_DP * scale), step)
    # A finger may have been told from anywhere: so far out there is no pixel, nor a number of one.
    if not (-ring.width < x < picture.width + ring.width and -ring.height < y < picture.height + ring.height):
        return None
    left, top = round(x - ring.width / 2), round(y - ring.height / 2)
    picture.paste(ring, (left, top), ring)
    return left, top, left + ring.width, top + ring.height


@lru_cache(maxsize=64)
def _ring(radius: int, step: int) -> Image.Image:
    side, line = 2 * radius + 2, max(2, radius // 6)
    large = Image.new("RGBA", (side * _SHARPER, side * _SHARPER), (*_EDGE[:3], 0))
    edge = _SHARPER, _SHARPER, (side - 1) * _SHARPER, (side - 1) * _SHARPER
    ImageDraw.Draw(large).ellipse(edge, fill=_FILL, outline=_EDGE, width=line * _SHARPER)
    ring = large.resize((side, side), Image.Resampling.LANCZOS)
    ring.putalpha(ring.getchannel("A").point([round(value * step / STEPS) for value in range(256)]))
    return ring

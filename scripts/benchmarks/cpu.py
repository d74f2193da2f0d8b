"""CPU time of a minute of a device, the whole way, at a ceiling of 5 pictures a second: a shop session of 60 s."""

from __future__ import annotations

from benchmarks import checks, peers
from benchmarks.clips import clip
from benchmarks.measure import Result, contest, result
from benchmarks.rehearsal import Meter
from benchmarks.screens import UNIT, ours, png_way, timed

RATE = 5


def run() -> list[Result]:
    """Ours with the default WebP pictures from H.264 at 540, beside (a), (b) and (c)."""
    session = clip("session")
    count = round(session.seconds * RATE)
    checks.outputs(session, peers.screenshots(session, RATE, Meter()), count, masked=True)
    checks.outputs(session, peers.decoded(session, 1080, Meter()), len(session.shots), masked=False)
    cost = contest(
        {
            "ours": ours(session, "h264-540", RATE),
            "a": timed(session, lambda meter: peers.screenshots(session, RATE, meter)),
            "b": png_way(session, RATE),
            "c": timed(session, lambda meter: peers.decoded(session, 1080, meter)),
        }
    )
    return [
        result("cpu/a", cost["ours"], cost["a"], "uiautomator2 screenshot, Pillow, mask, JPEG, each picture", UNIT, 4),
        result("cpu/b", cost["ours"], cost["b"], "screencap -p, Pillow, JPEG, each picture", UNIT, 10),
        result("cpu/c", cost["ours"], cost["c"], "scrcpy client, 1080, every frame to BGR and JPEG", UNIT, 3),
    ]

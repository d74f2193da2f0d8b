"""CPU time of a minute of a device, the whole way, at a ceiling of 5 pictures a second: a shop session of 60 s."""

from __future__ import annotations

from benchmarks import checks, peers
from benchmarks.clips import clip
from benchmarks.measure import Result, contest, result
from benchmarks.rehearsal import Meter
from benchmarks.screens import UNIT, explained, ours, png_way, timed

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
            "decoding": timed(session, lambda meter: peers.decoded_only(session, 540, meter)),
            "a": timed(session, lambda meter: peers.screenshots(session, RATE, meter)),
            "b": png_way(session, RATE),
            "c": timed(session, lambda meter: peers.decoded(session, 1080, meter)),
        }
    )

    def row(name: str, peer: str, target: float) -> Result:
        floor = f"decoding alone would be {cost[name] / cost['decoding']:.1f}x"
        return result(f"cpu/{name}", cost["ours"], cost[name], peer, UNIT, target, note=floor)

    first, *others = (
        row("a", "uiautomator2 screenshot, Pillow, mask, JPEG, each picture", 4),
        row("b", "screencap -p, Pillow, JPEG, each picture", 10),
        row("c", "scrcpy client, 1080, every frame to BGR and JPEG", 3),
    )
    return [explained(first, session, "h264-540", RATE), *others]

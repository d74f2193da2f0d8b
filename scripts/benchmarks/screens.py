"""What a minute of a device costs by each source, beside what others do with the same bytes.

The pictures are the product's default ones, masked at level medium. Every way's output is checked before it is timed
(`benchmarks.checks`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from agent.export.part import parts
from agent.export.stream import Stream
from agent.export.video import write
from agent.store.recording import Recording
from benchmarks import checks, peers
from benchmarks.clips import Clip, clip
from benchmarks.measure import Result, contest, result
from benchmarks.rehearsal import Meter, Take, rehearse

ADBUTILS = "adbutils' way: PNG, Pillow, JPEG, every picture"
UIAUTOMATOR2 = "uiautomator2's way: base64, Pillow, draw, JPEG, every picture"
UNIT = "CPU s/min"


def ours(clip: Clip, source: str, rate: float) -> Callable[[], float]:
    """A way for `contest`, checked once."""
    say(f"{clip.name}, {source}, {rate:g} fps", rehearse(clip, source, rate, rate), rate)
    return lambda: rehearse(clip, source, rate, rate).per_minute


def say(name: str, take: Take, rate: float) -> checks.Quality:
    """Check a recording and tell what it is like."""
    quality = checks.recording(take, rate)
    print(
        f"  {name}: {len(take.pictures)} pictures, {take.picture_bytes * 60 / take.clip.seconds / 1e6:.2f} MB/min,"
        f" text SSIM {quality.text:.3f}",
        file=sys.stderr,
    )
    return quality


def timed(clip: Clip, work: Callable[[Meter], object]) -> Callable[[], float]:
    """A peer as a way for `contest`."""

    def way() -> float:
        meter = Meter()
        work(meter)
        return meter.seconds * 60 / clip.seconds

    return way


def png_way(clip: Clip, fps: float) -> Callable[[], float]:
    """adbutils' way, checked."""
    checks.outputs(clip, peers.screencaps(clip, fps, Meter()), round(clip.seconds * fps), masked=False)
    return timed(clip, lambda meter: peers.screencaps(clip, fps, meter))


def raw() -> list[Result]:
    """Scenario 1."""
    typical = clip("typical")
    cost = contest({"ours": ours(typical, "raw", 5), "peer": png_way(typical, 5)})
    return [result("raw/5 fps", cost["ours"], cost["peer"], ADBUTILS, UNIT, 12)]


def jpeg() -> list[Result]:
    """Scenario 2."""
    typical = clip("typical")
    checks.outputs(typical, peers.screenshots(typical, 5, Meter()), 150, masked=True)
    cost = contest(
        {
            "ours": ours(typical, "jpeg", 5),
            "peer": timed(typical, lambda meter: peers.screenshots(typical, 5, meter)),
        }
    )
    return [result("jpeg/5 fps", cost["ours"], cost["peer"], UIAUTOMATOR2, UNIT, 3.5)]


def png() -> list[Result]:
    """Scenario 3."""
    typical = clip("typical")
    rows = []
    for fps, target in ((5.0, 3.0), (2.0, 2.2)):
        cost = contest({"ours": ours(typical, "png", fps), "peer": png_way(typical, fps)})
        rows.append(result(f"png/{fps:g} fps", cost["ours"], cost["peer"], ADBUTILS, UNIT, target))
    return rows


def video() -> list[Result]:
    """Scenarios 4 to 8."""
    typical = clip("typical")
    with tempfile.TemporaryDirectory(prefix="android-replay-bench-") as name:
        folder = Path(name)
        frames = len(typical.shots)
        checks.video(typical, peers.transcoded(typical, 540, folder, Meter()))
        checks.frames(peers.airtest(typical, folder, Meter()), round(typical.seconds * peers.AIRTEST_FPS))
        checks.outputs(typical, peers.decoded(typical, 1080, Meter()), frames, masked=False)
        cost = contest(
            {
                "ours at 5": ours(typical, "h264-540", 5),
                "ours at 2": ours(typical, "h264-540", 2),
                "ffmpeg": timed(typical, lambda meter: peers.transcoded(typical, 540, folder, meter)),
                "ffmpeg at 5": timed(typical, lambda meter: peers.transcoded(typical, 540, folder, meter, "-r", "5")),
                "airtest": timed(typical, lambda meter: peers.airtest(typical, folder, meter)),
                "scrcpy": timed(typical, lambda meter: peers.decoded(typical, 1080, meter)),
                "png": png_way(typical, 2),
                "film": lambda: film(typical, folder),
            }
        )
        sizes = [(folder / f"{typical.name}-{name}.mp4").stat().st_size for name in ("film", "540")]
    transcoder = (
        "ffmpeg, drawbox, x264 veryfast" if peers.ffmpeg() else "drawbox and x264 veryfast in PyAV (no ffmpeg program)"
    )
    sparing = f"told to keep 5 fps (-r 5) ffmpeg takes {cost['ffmpeg at 5']:.2f} s: {{:.2g}}x ours"
    five, two = cost["ours at 5"], cost["ours at 2"]
    return [
        result(
            "video/5 fps", five, cost["ffmpeg"], transcoder, UNIT, 5, note=sparing.format(cost["ffmpeg at 5"] / five)
        ),
        result("video/5 fps, airtest", five, cost["airtest"], "airtest's recorder, 800 px, 10 fps", UNIT, 10),
        result("video/5 fps, scrcpy", five, cost["scrcpy"], "scrcpy client, 1080, every frame to JPEG", UNIT, 5),
        result(
            "video/2 fps", two, cost["ffmpeg"], transcoder, UNIT, 3.5, note=sparing.format(cost["ffmpeg at 5"] / two)
        ),
        result("video/2 fps, PNG", two, cost["png"], f"{ADBUTILS}, 2 fps", UNIT, 4.5),
        result(
            "video/MP4",
            cost["film"],
            cost["ffmpeg"],
            transcoder,
            UNIT,
            4,
            note=(
                "recorded as pictures and exported from them, fingers drawn:"
                f" {sizes[0] / 1e6:.2f} MB, ffmpeg's {sizes[1] / 1e6:.2f} MB"
            ),
        ),
    ]


def film(clip: Clip, folder: Path) -> float:
    """Record at 5 fps and export as MP4: CPU seconds a minute of both."""
    take = rehearse(clip, "h264-540")
    meter = Meter()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        recording = Recording.create(Path(name))
        for segment in take.segments:
            recording.write(segment)
        (part,) = parts(recording)
        with meter.inside():
            frames = write(Stream(recording, part), part, folder / f"{clip.name}-film.mp4", lambda share: None)
    if frames < clip.changes(5):
        raise SystemExit(f"the film has {frames} frames")
    return take.per_minute + meter.seconds * 60 / clip.seconds


def sizes() -> list[Result]:
    """Scenario 10."""
    typical = clip("typical")
    take = rehearse(typical, "h264-540", 2, 2)
    say("typical, h264-540, 2 fps", take, 2)
    each = peers.screencaps(typical, 2, Meter())
    checks.outputs(typical, each, round(typical.seconds * 2), masked=False)
    a_minute = 60 / typical.seconds / 1e6
    peer = sum(len(output.data) for output in each) * a_minute
    return [result("sizes/2 fps", take.picture_bytes * a_minute, peer, "JPEG q75 of each, 1080", "MB/min", 7)]


def idle() -> list[Result]:
    """Scenario 12: the ratio is how many times less a still screen costs."""
    rows = []
    for source, target in (("h264-540", 20.0), ("jpeg", 20.0), ("png", 20.0), ("raw", 1 / 0.6)):
        still, used = clip("idle"), clip("typical")
        checks.recording(rehearse(still, source), 5)
        cost = contest(
            {
                "idle": lambda: rehearse(still, source).per_minute,  # noqa: B023  # called at once
                "typical": lambda: rehearse(used, source).per_minute,  # noqa: B023
            }
        )
        rows.append(result(f"idle/{source}", cost["idle"], cost["typical"], "the clip `typical`", UNIT, target))
    return rows


def spinner() -> list[Result]:
    """Scenario 13."""
    ring = clip("spinner")
    take = rehearse(ring, "h264-540")
    checks.recording(take, 0.001)
    every = peers.masked_changes(ring, 540, 5)
    return [
        result("spinner/pictures", len(take.pictures), every, "each picture with any changed pixel", "pictures", 10)
    ]

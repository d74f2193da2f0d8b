"""What a minute of a device costs by each source, beside what others do with the same bytes.

The pictures are the product's default ones, masked at level medium. Every way's output is checked before it is timed
(`benchmarks.checks`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from agent.export.part import parts
from agent.export.stream import Stream
from agent.export.video import write
from agent.store.recording import Recording
from benchmarks import checks, peers
from benchmarks.clips import Clip, clip
from benchmarks.measure import CheckFailed, Result, contest, failure, result, tried
from benchmarks.rehearsal import Meter, Take, rehearse
from benchmarks.shares import shares

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


def explained(row: Result, clip: Clip, source: str, rate: float) -> Result:
    """A row that misses its target says where our time goes."""
    if not row.missed:
        return row
    where = shares(lambda: rehearse(clip, source, rate, rate), clip.seconds)
    words = f"ours by stages: {where}"
    return replace(row, note=f"{row.note}; {words}" if row.note else words)


def raw() -> Iterator[Result]:
    """Scenario 1."""
    typical = clip("typical")
    cost = contest({"ours": ours(typical, "raw", 5), "peer": png_way(typical, 5)})
    yield explained(result("raw/5 fps", cost["ours"], cost["peer"], ADBUTILS, UNIT, 12), typical, "raw", 5)


def jpeg() -> Iterator[Result]:
    """Scenario 2."""
    typical = clip("typical")
    checks.outputs(typical, peers.screenshots(typical, 5, Meter()), 150, masked=True)
    cost = contest(
        {
            "ours": ours(typical, "jpeg", 5),
            "peer": timed(typical, lambda meter: peers.screenshots(typical, 5, meter)),
        }
    )
    yield explained(result("jpeg/5 fps", cost["ours"], cost["peer"], UIAUTOMATOR2, UNIT, 3.5), typical, "jpeg", 5)


def png() -> Iterator[Result]:
    """Scenario 3."""
    typical = clip("typical")
    for fps, target in ((5.0, 3.0), (2.0, 2.2)):
        cost = contest({"ours": ours(typical, "png", fps), "peer": png_way(typical, fps)})
        row = result(f"png/{fps:g} fps", cost["ours"], cost["peer"], ADBUTILS, UNIT, target)
        yield explained(row, typical, "png", fps)


def video() -> Iterator[Result]:
    """Scenarios 4 to 8. A peer that is not right costs its own rows alone."""
    typical = clip("typical")
    ffmpeg = (
        "ffmpeg, drawbox, x264 veryfast" if peers.ffmpeg() else "drawbox, x264 veryfast in PyAV (no ffmpeg program)"
    )
    with tempfile.TemporaryDirectory(prefix="android-replay-bench-") as name:
        folder = Path(name)
        frames = len(typical.shots)

        def transcoder(*options: str) -> Callable[[], float]:
            if not options:
                checks.video(typical, peers.transcoded(typical, 540, folder, Meter()))
            return timed(typical, lambda meter: peers.transcoded(typical, 540, folder, meter, *options))

        def airtest() -> Callable[[], float]:
            checks.frames(peers.airtest(typical, folder, Meter()), round(typical.seconds * peers.AIRTEST_FPS))
            return timed(typical, lambda meter: peers.airtest(typical, folder, meter))

        def scrcpy() -> Callable[[], float]:
            checks.outputs(typical, peers.decoded(typical, 1080, Meter()), frames, masked=False)
            return timed(typical, lambda meter: peers.decoded(typical, 1080, meter))

        cost, wrong = tried(
            {
                "ours at 5": lambda: ours(typical, "h264-540", 5),
                "ours at 2": lambda: ours(typical, "h264-540", 2),
                "decoding": lambda: timed(typical, lambda meter: peers.decoded_only(typical, 540, meter)),
                "ffmpeg": transcoder,
                "ffmpeg at 5": lambda: transcoder("-r", "5"),
                "airtest": airtest,
                "scrcpy": scrcpy,
                "png": lambda: png_way(typical, 2),
                "film": lambda: lambda: film(typical, folder),
            }
        )
        sizes = {
            name: file.stat().st_size / 1e6
            for name in ("film", "540")
            if (file := folder / f"{typical.name}-{name}.mp4").exists()
        }

    def row(scenario: str, our: str, peer: str, peer_name: str, target: float, note: str = "") -> Result:
        broken = next((wrong[way] for way in (our, peer) if way in wrong), "")
        if broken:
            return failure(scenario, broken, peer_name, UNIT, target)
        found = result(scenario, cost[our], cost[peer], peer_name, UNIT, target, note=note)
        if found.missed and "decoding" in cost:
            floor = f"decoding alone takes {cost['decoding']:.2f} s: at most {cost[peer] / cost['decoding']:.3g}x"
            found = replace(found, note=f"{note}; {floor}" if note else floor)
        return found if our == "film" else explained(found, typical, "h264-540", 2 if our == "ours at 2" else 5)

    def sparing(our: str) -> str:
        if not {our, "ffmpeg at 5"} <= cost.keys():
            return ""
        times = cost["ffmpeg at 5"] / cost[our]
        return f"told to keep 5 fps (-r 5) ffmpeg takes {cost['ffmpeg at 5']:.2f} s: {times:.2g}x ours"

    stored = "recorded as pictures and exported from them, fingers drawn"
    if len(sizes) == 2:
        stored += f": {sizes['film']:.2f} MB, ffmpeg's {sizes['540']:.2f} MB"
    yield row("video/5 fps", "ours at 5", "ffmpeg", ffmpeg, 5, sparing("ours at 5"))
    yield row("video/5 fps, airtest", "ours at 5", "airtest", "airtest's recorder, 800 px, 10 fps", 10)
    yield row("video/5 fps, scrcpy", "ours at 5", "scrcpy", "scrcpy client, 1080, every frame to JPEG", 5)
    yield row("video/2 fps", "ours at 2", "ffmpeg", ffmpeg, 3.5, sparing("ours at 2"))
    yield row("video/2 fps, PNG", "ours at 2", "png", f"{ADBUTILS}, 2 fps", 4.5)
    yield row("video/MP4", "film", "ffmpeg", ffmpeg, 4, stored)


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
        raise CheckFailed(f"the film has {frames} frames")
    return take.per_minute + meter.seconds * 60 / clip.seconds


def sizes() -> Iterator[Result]:
    """Scenario 10."""
    typical = clip("typical")
    take = rehearse(typical, "h264-540", 2, 2)
    say("typical, h264-540, 2 fps", take, 2)
    each = peers.screencaps(typical, 2, Meter())
    checks.outputs(typical, each, round(typical.seconds * 2), masked=False)
    a_minute = 60 / typical.seconds / 1e6
    peer = sum(len(output.data) for output in each) * a_minute
    yield result("sizes/2 fps", take.picture_bytes * a_minute, peer, "JPEG q75 of each, 1080", "MB/min", 7)


def idle() -> Iterator[Result]:
    """Scenario 12: the ratio is how many times less a still screen costs."""
    still, used = clip("idle"), clip("typical")
    for source, target in (("h264-540", 20.0), ("jpeg", 20.0), ("png", 20.0), ("raw", 1 / 0.6)):
        scenario = f"idle/{source}"
        try:
            checks.recording(rehearse(still, source), 5)
        except CheckFailed as error:
            yield failure(scenario, str(error), "", UNIT, target)
            continue
        cost = contest(
            {
                "idle": lambda: rehearse(still, source).per_minute,  # noqa: B023  # called at once
                "typical": lambda: rehearse(used, source).per_minute,  # noqa: B023
            }
        )
        row = result(scenario, cost["idle"], cost["typical"], "the clip `typical`", UNIT, target)
        yield explained(row, still, source, 5)


def spinner() -> Iterator[Result]:
    """Scenario 13."""
    ring = clip("spinner")
    take = rehearse(ring, "h264-540")
    checks.recording(take, 0.001)
    every = peers.masked_changes(ring, 540, 5)
    yield result("spinner/pictures", len(take.pictures), every, "each picture with any changed pixel", "pictures", 10)

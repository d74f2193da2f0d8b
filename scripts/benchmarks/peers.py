"""How others get pictures off a device, step by step as their code does, over what a device sends.

Each takes a clip and gives the pictures that it makes, with the shot that each shows; what they cost is the caller's to
measure.
"""

from __future__ import annotations

import base64
import io
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import simplejpeg
from PIL import Image, ImageDraw

from benchmarks.clips import MICROSECOND, SIZE, Clip, Pixels
from benchmarks.measure import CheckFailed
from benchmarks.rehearsal import Meter
from bridge.types import Bounds

GREY = (128, 128, 128)
OPENCV_QUALITY = 95
CRF = 23
AIRTEST_FPS, AIRTEST_SIDE, AIRTEST_CRF = 10, 800, 25


@dataclass(frozen=True, slots=True)
class Output:
    """A picture that a peer made of shot `index`."""

    index: int
    data: bytes


def screenshots(clip: Clip, fps: float, meter: Meter) -> list[Output]:
    """uiautomator2's `screenshot()`, the private rectangles drawn over it, and Pillow's JPEG at its default quality."""
    outputs = []
    for index in clip.every(fps):
        with meter.outside():
            answer, covers = clip.jpeg(index), clip.shots[index].covers
        with meter.inside():
            raw = base64.b64decode(json.loads(answer)["result"])
            image = Image.open(io.BytesIO(raw)).convert("RGB")
            draw = ImageDraw.Draw(image)
            for b in covers:
                draw.rectangle([b.left, b.top, b.right - 1, b.bottom - 1], GREY)
            out = io.BytesIO()
            image.save(out, "JPEG")
        outputs.append(Output(index, out.getvalue()))
    return outputs


def screencaps(clip: Clip, fps: float, meter: Meter) -> list[Output]:
    """adbutils' `screenshot()`: `screencap -p`, Pillow, JPEG at its default quality. Nothing is masked."""
    outputs = []
    for index in clip.every(fps):
        png = clip.shots[index].png
        with meter.inside():
            image = Image.open(io.BytesIO(png)).convert("RGB")
            out = io.BytesIO()
            image.save(out, "JPEG")
        outputs.append(Output(index, out.getvalue()))
    return outputs


def decoded(clip: Clip, width: int, meter: Meter) -> list[Output]:
    """A Python scrcpy client: each frame of the stream to BGR, and JPEG. Nothing is masked.

    The encoder is libjpeg-turbo, as OpenCV's is, at OpenCV's default quality.
    """
    stream = clip.stream(width)
    with meter.inside():
        return [Output(index, _bgr_jpeg(frame)) for index, frame in enumerate(_frames(stream))]


def decoded_only(clip: Clip, width: int, meter: Meter) -> int:
    """Nothing but the stream's pictures, decoded and let go: what nobody who wants pixels can do without."""
    stream = clip.stream(width)
    with meter.inside():
        return sum(1 for _ in _frames(stream))


def decoded_frames(clip: Clip, width: int) -> list[Pixels]:
    """What a device's encoder makes of each shot: the planes Y, U, V one after the other."""
    return [frame.to_ndarray(format="yuv420p").reshape(-1) for frame in _frames(clip.stream(width))]


def masked_changes(clip: Clip, width: int, fps: float) -> int:
    """How many pictures somebody writes who looks `fps` times a second and takes any changed pixel for a change."""
    scale = width / SIZE.width
    shown = set(clip.every(fps))
    count, last = 0, b""
    for index, frame in enumerate(_frames(clip.stream(width))):
        if index not in shown:
            continue
        pixels = frame.to_ndarray(format="yuv420p")[: clip.height(width)].copy()
        for b in clip.shots[index].covers:
            top, left = int(b.top * scale), int(b.left * scale)
            pixels[top : math.ceil(b.bottom * scale), left : math.ceil(b.right * scale)] = 0
        seen = pixels.tobytes()
        count += seen != last
        last = seen
    return count


def _frames(stream: Sequence[bytes]) -> Iterator[Any]:
    codec: Any = av.CodecContext.create("h264", "r")
    for data in [*stream, b""]:
        # The empty one gives out what the parser holds.
        for packet in codec.parse(data):
            yield from codec.decode(packet)
    yield from codec.decode(None)


def _bgr_jpeg(frame: Any) -> bytes:
    bgr = frame.to_ndarray(format="bgr24")
    data: bytes = simplejpeg.encode_jpeg(bgr, OPENCV_QUALITY, "BGR", "420")
    return data


def airtest(clip: Clip, folder: Path, meter: Meter) -> Path:
    """airtest's recorder (airtest.aircv.screen_recorder): ten times a second a JPEG of the screen, at most 800 pixels
    high, in the middle of a square, piped into ffmpeg's x264 veryfast. Nothing is masked.

    Its OpenCV is stood in for by libjpeg-turbo and by the cheapest scaling there is.
    """
    target, side = folder / f"{clip.name}-airtest.mp4", AIRTEST_SIDE - AIRTEST_SIDE % 32 + 32
    pictures = [base64.b64decode(json.loads(clip.jpeg(index))["result"]) for index in clip.every(AIRTEST_FPS)]
    with meter.inside():
        square = np.zeros((side, side, 3), np.uint8)
        with _encoder(target, side) as write:
            for data in pictures:
                bgr = simplejpeg.decode_jpeg(data, "BGR")
                scale = AIRTEST_SIDE / max(bgr.shape)
                size = int(bgr.shape[1] * scale), int(bgr.shape[0] * scale)
                small = np.asarray(Image.fromarray(bgr).resize(size, Image.Resampling.NEAREST))[..., ::-1]
                top, left = (side - size[1]) // 2, (side - size[0]) // 2
                square[:] = 0
                square[top : top + size[1], left : left + size[0]] = small
                write(square.copy())
    return target


@contextmanager
def _encoder(target: Path, side: int) -> Iterator[Callable[[Pixels], None]]:
    """ffmpeg at the other end of a pipe; without the program, its encoder in PyAV."""
    program = ffmpeg()
    if program is None:
        with av.open(str(target), "w") as container:
            track: Any = container.add_stream(
                "libx264", rate=AIRTEST_FPS, options={"preset": "veryfast", "crf": str(AIRTEST_CRF), "threads": "1"}
            )
            track.width = track.height = side
            track.pix_fmt = "yuv420p"
            yield lambda pixels: container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(track.encode(None))
        return
    process = subprocess.Popen(
        [program, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{side}x{side}",
         "-framerate", str(AIRTEST_FPS), "-i", "pipe:", "-pix_fmt", "yuv420p", "-c:v", "libx264",
         "-crf", str(AIRTEST_CRF), "-threads", "1", "-preset", "veryfast", str(target)],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    pipe = process.stdin
    yield lambda pixels: pipe.write(pixels.tobytes()) and None
    pipe.close()
    if process.wait():
        raise CheckFailed("ffmpeg failed")


def ffmpeg() -> str | None:
    """The program, None when it is not installed."""
    return shutil.which("ffmpeg")


def transcoded(clip: Clip, width: int, folder: Path, meter: Meter, *options: str) -> Path:
    """ffmpeg's command line over the stream: the private rectangles drawn while they are there, x264 veryfast.

    Without the program, its filters and encoder in PyAV do the same steps.
    """
    source = folder / f"{clip.name}-{width}.mkv"
    target = folder / f"{clip.name}-{width}{''.join(options)}.mp4"
    if not source.exists():
        write_stream(clip, width, source)
    boxes = drawboxes(clip, width)
    with meter.inside():
        program = ffmpeg()
        if program is not None:
            drawn = ",".join(f"drawbox={box}" for box in boxes)
            subprocess.run(
                [program, "-v", "error", "-nostdin", "-y", "-i", str(source), "-vf", drawn,
                 "-c:v", "libx264", "-preset", "veryfast", "-crf", str(CRF), *options, str(target)],
                check=True, capture_output=True,
            )  # fmt: skip
        else:
            _filtered(source, target, boxes)
    return target


def drawboxes(clip: Clip, width: int) -> list[str]:
    """Arguments of ffmpeg's drawbox, each for as long as its rectangle is on the screen."""
    spans: dict[Bounds, list[list[float]]] = {}
    for index, shot in enumerate(clip.shots):
        until = clip.shots[index + 1].at_ns / 1e9 if index + 1 < len(clip.shots) else clip.seconds + 1
        for b in shot.covers:
            known = spans.setdefault(b, [])
            if known and known[-1][1] == shot.at_ns / 1e9:
                known[-1][1] = until
            else:
                known.append([shot.at_ns / 1e9, until])
    scale = width / SIZE.width
    boxes = []
    for b, times in spans.items():
        when = "+".join(f"between(t,{since:.3f},{until - 0.001:.3f})" for since, until in times)
        x, y, w, h = (round(side * scale) for side in (b.left, b.top, b.width, b.height))
        boxes.append(f"x={x}:y={y}:w={w}:h={h}:color=gray:t=fill:enable='{when}'")
    return boxes


def write_stream(clip: Clip, width: int, path: Path) -> None:
    """The stream in a container, which keeps the frames' times."""
    with av.open(str(path), "w", format="matroska") as container:
        track: Any = container.add_stream("h264", rate=30)
        track.width, track.height, track.pix_fmt = width, clip.height(width), "yuv420p"
        for shot, data in zip(clip.shots, clip.stream(width), strict=True):
            packet = av.Packet(data)
            packet.stream, packet.time_base = track, MICROSECOND
            packet.pts = packet.dts = shot.at_ns // 1000
            container.mux(packet)


def _filtered(source: Path, target: Path, boxes: Sequence[str]) -> None:
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        track = reading.streams.video[0]
        out: Any = writing.add_stream("libx264", rate=Fraction(30), options={"preset": "veryfast", "crf": str(CRF)})
        out.width, out.height, out.pix_fmt = track.width, track.height, "yuv420p"
        out.time_base = out.codec_context.time_base = track.time_base
        graph = av.filter.Graph()
        last = graph.add_buffer(template=track)
        for box in boxes:
            drawn = graph.add("drawbox", box)
            last.link_to(drawn)
            last = drawn
        sink = graph.add("buffersink")
        last.link_to(sink)
        graph.configure()
        for frame in reading.decode(track):
            graph.push(frame)
            while True:
                try:
                    done: Any = graph.pull()
                except (BlockingIOError, EOFError):
                    break
                writing.mux(out.encode(done))
        writing.mux(out.encode(None))

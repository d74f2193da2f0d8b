"""Where the CPU time of a rehearsal goes: told beside a row that misses its target."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any

# What a stage is called: the functions that are it, without those of other stages that they call. Each stands where its
# callers look for it. What the rehearsed device does itself is nobody's.
STAGES = {
    "decoding video": ("bridge.decoder:Decoder.decode",),
    "cutting the stream": ("bridge.h264:Splitter.feed", "bridge.h264:Splitter.flush"),
    "decoding pictures": ("bridge.picture:decode",),
    "receiving and hashing": (
        "bridge.adb:Screencap.capture",
        "bridge.adb:ScreencapPng.capture",
        "bridge.video:Held.capture",
        "bridge.uia:UiaScreen.capture",
    ),
    "reading dumps": ("bridge.uia:UiaHierarchy.dump",),
    "when to look": ("agent.runtime.capture:CaptureLoop.run",),
    "judging views": ("agent.replay.mask:survey",),
    "deciding what is covered": ("agent.replay.mask:Masker.snapshot",),
    "shrinking and covering": ("agent.replay.canvas:RgbaCanvas.masked", "agent.replay.canvas:I420Canvas.masked"),
    "comparing": (
        "agent.replay.canvas:RgbaCanvas.changes",
        "agent.replay.canvas:I420Canvas.changes",
        "agent.replay.canvas:RgbaCanvas.unlike",
        "agent.replay.canvas:I420Canvas.unlike",
    ),
    "encoding": ("agent.replay.picture:PictureEncoder.encode",),
    "making segments": (
        "agent.replay.recorder:Recorder.feed",
        "agent.replay.recorder:Recorder.advance",
        "agent.replay.recorder:Recorder.drafts",
        "agent.replay.recorder:Recorder.finish",
    ),
    "handing on": ("agent.runtime.stage:Stage.process", "agent.runtime.stage:Stage.advance"),
    "writing": ("agent.outbox.spool:Spool.put",),
    "": ("benchmarks.rehearsal:_Wire.exec_into", "benchmarks.rehearsal:_Wire.call"),
}
LEAST = 0.01


def shares(work: Callable[[], Any], seconds: float) -> str:
    """CPU seconds a minute of each stage in words, the dearest first; `seconds` is how long what `work` records took.

    Only stages are timed: a profile of every call makes Python's own functions look several times dearer than
    libraries' are.
    """
    with _timed() as spent:
        work()
    per_minute = {stage: each * 60 / seconds for stage, each in spent.most_common() if stage}
    return ", ".join(f"{stage} {each:.2f}" for stage, each in per_minute.items() if each >= LEAST)


@contextmanager
def _timed() -> Iterator[Counter[str]]:
    """The CPU seconds of each stage within the block."""
    spent: Counter[str] = Counter()
    # What the stages within one that is under way took, the innermost last.
    inner: list[float] = []

    def wrapped(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                took = time.process_time() - began
                spent[stage] += took - inner.pop()
                if inner:
                    inner[-1] += took

        return call

    replaced: list[tuple[Any, str, Any]] = []
    try:
        for stage, places in STAGES.items():
            for place in places:
                owner, _, name = place.rpartition("." if "." in place.partition(":")[2] else ":")
                holder = resolve_name(owner)
                function = getattr(holder, name)
                replaced.append((holder, name, function))
                setattr(holder, name, wrapped(stage, function))
        yield spent
    finally:
        for holder, name, function in replaced:
            setattr(holder, name, function)

"""Where the CPU time of a rehearsal goes, by a profile: told beside a row that misses its target."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any

# What a stage is called: the functions that are it. None of them calls one of another line.
STAGES = {
    "decoding video": ("bridge/decoder.py:decode",),
    "cutting the stream": ("bridge/h264.py:feed", "bridge/h264.py:flush"),
    "decoding pictures": ("bridge/picture.py:decode",),
    "receiving and hashing": ("bridge/adb.py:capture", "bridge/video.py:capture", "bridge/uia.py:capture"),
    "reading dumps": ("bridge/hierarchy.py:parse",),
    "judging views": ("agent/replay/survey.py:survey",),
    "shrinking and covering": ("agent/replay/canvas.py:masked",),
    "comparing": ("agent/replay/canvas.py:changes", "agent/replay/canvas.py:alike"),
    "encoding": ("agent/replay/picture.py:encode",),
    "writing": ("agent/outbox/spool.py:put",),
}
# What the rehearsed device does itself in the course of one, which is nobody's cost.
OUTSIDE = {"receiving and hashing": "benchmarks/rehearsal.py:exec_into"}
LEAST = 0.01


def shares(work: Callable[[], Any], seconds: float) -> str:
    """CPU seconds a minute of each stage in words, the dearest first; `seconds` is how long what `work` records took.

    A profile makes Python's own functions look dearer than libraries' are: the figures are about, not exact.
    """
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    try:
        work()
    finally:
        profile.disable()
    stats: Any = pstats.Stats(profile)
    spent: dict[str, float] = {}
    for (file, _line, name), (_calls, _primitive, _own, total, _callers) in stats.stats.items():
        for stage, functions in STAGES.items():
            if any(f"{file}:{name}".replace("\\", "/").endswith(function) for function in functions):
                spent[stage] = spent.get(stage, 0.0) + total * 60 / seconds
            if stage in OUTSIDE and f"{file}:{name}".replace("\\", "/").endswith(OUTSIDE[stage]):
                spent[stage] = spent.get(stage, 0.0) - total * 60 / seconds
    ordered = sorted(spent.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{stage} {each:.2f}" for stage, each in ordered if each >= LEAST)

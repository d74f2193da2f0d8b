from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from fakes.cards import BLUE, GREEN, RED, card, red
from fakes.segments import SESSION, segment
from fakes.views import APP, DPI, SCREEN, at, event, log
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.model import Happening, Marker, SealedSegment
from agent.replay.mask import Masker
from agent.replay.recorder import Recorder
from agent.runtime import ring as ring_module
from agent.runtime.ring import Ring, Triggers
from bridge.types import Stamp

START_MS = SESSION + 1000


def moment(ms: int) -> Stamp:
    return Stamp(ms * 1_000_000, START_MS + ms)


def told(kept: list[SealedSegment]) -> set[int]:
    """The milliseconds, from the start, that are in what was kept: of each event that is not made by the cut."""
    return {
        line["timestamp"] - START_MS
        for one in kept
        for line in map(orjson.loads, one.events)
        if line["type"] in (3, 6) or (line["type"] == 5 and line["data"]["tag"] not in ("end", "mask"))
    }


def test_without_a_trigger_nothing_is_kept() -> None:
    kept: list[SealedSegment] = []
    ring = Ring(10, Triggers(crash=True), kept.append)
    for seq in range(10):
        ring.take(segment(seq))
    assert kept == []
    assert ring.triggered == 0


@example([(32_400, 0)], 1)
@given(st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 9_000)), min_size=1, max_size=3), st.integers(1, 60))
def test_exactly_what_lies_around_a_trigger_is_kept(moments: list[tuple[int, int]], seconds: int) -> None:
    kept: list[SealedSegment] = []
    ring = Ring(seconds, Triggers(), kept.append)
    segments = [segment(seq) for seq in range(10)]
    # What is told late is told of an earlier moment.
    due = [(ms + late, ms) for ms, late in moments]
    due.sort()
    for sealed in segments:
        while due and START_MS + due[0][0] <= sealed.manifest.end_ms:
            ring.trigger(moment(due.pop(0)[1]))
        ring.take(sealed)
    for _, ms in due:
        ring.trigger(moment(ms))
    every = told(segments)
    wanted = {ms for ms in every if any(abs(ms - at_ms) <= seconds * 1000 for at_ms, _ in moments)}
    # What lies just where a stretch begins comes after what opens it, which takes a millisecond.
    begun = {ms for at_ms, _ in moments if (ms := at_ms - seconds * 1000) in every}
    assert {ms - (ms - 1 in begun and ms not in every) for ms in told(kept)} == wanted
    assert len({one.manifest.id for one in kept}) == len(kept)


def test_triggers_that_follow_each_other_cut_nothing_to_pieces() -> None:
    kept: list[SealedSegment] = []
    ring = Ring(60, Triggers(), kept.append)
    segments = [segment(seq) for seq in range(6)]
    moments = iter(range(0, 170_000, 250))
    for sealed in segments:
        while START_MS + (ms := next(moments, 10**9)) <= sealed.manifest.end_ms:
            ring.trigger(moment(ms))
        ring.take(sealed)
    assert kept == segments
    kept.clear()
    apart = Ring(5, Triggers(), kept.append)
    for ms in (70_000, 10_000, 40_000, 12_000):
        apart.trigger(moment(ms))
    for sealed in segments[:3]:
        apart.take(sealed)
    assert [(one.manifest.start_ms - START_MS) // 1000 for one in kept] == [5, 35, 65]


def test_what_no_trigger_kept_lies_beneath_nothing_that_is_kept() -> None:
    kept: list[SealedSegment] = []
    ring = Ring(4, Triggers(), kept.append)
    recorder = Recorder("serial-1", {}, Masker("medium", APP), lambda value: SESSION, SCREEN, DPI)
    shown = [(1.5, RED), (4.5, RED), (8, BLUE), (11, GREEN), (14, BLUE), (36, GREEN)]
    for item in (event(1), *(card(seconds, colour) for seconds, colour in shown)):
        for sealed in recorder.feed(item):
            ring.take(sealed)
    for sealed in recorder.finish():
        ring.take(sealed)
    ring.trigger(at(12.5))
    ring.trigger(at(36))
    assert len(kept) == 2
    assert red(picture.data for one in kept for picture in one.pictures.values()) == 0


def test_a_ring_that_is_full_goes_back_less_far(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ring_module, "MAX_BYTES", 2 * segment().manifest.bytes)
    kept: list[SealedSegment] = []
    ring = Ring(300, Triggers(), kept.append)
    for seq in range(5):
        ring.take(segment(seq))
    ring.trigger(moment(150_000))
    assert {one.manifest.seq for one in kept} <= {3, 4}
    assert kept
    assert "the ring is full" in caplog.text


@pytest.mark.parametrize(
    ("words", "met"),
    [
        (("crash",), {"crash", "anr"}),
        (("error",), {"error"}),
        (("event:Order Completed",), {"event"}),
        (("signal",), {"marker"}),
        (("crash", "error", "event:Order Completed", "signal"), {"crash", "anr", "error", "event", "marker"}),
    ],
)
def test_what_triggers(words: tuple[str, ...], met: set[str]) -> None:
    triggers = Triggers.parse(words)
    failed = replace(log(1, "it broke"), level="E")
    items = {
        "crash": Happening(at(1), "crash", "Crash"),
        "anr": Happening(at(1), "anr", "Hang"),
        "front": Happening(at(1), "app", "Pay in front"),
        "error": failed,
        "event": event(1, name="Order Completed"),
        "other event": event(1),
        "line": log(1, "all is well"),
        "marker": Marker(at(1), "here"),
    }
    found = {name for name, item in items.items() if triggers.met(item) is not None}
    assert found == met


@pytest.mark.parametrize("word", ["", "boom", "event:", "Crash"])
def test_what_is_no_trigger_is_said(word: str) -> None:
    with pytest.raises(ConfigError, match="nothing to keep on"):
        Triggers.parse((word,))

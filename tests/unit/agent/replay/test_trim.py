from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import orjson
from fakes import leaks
from fakes.leaks import Handset
from fakes.segments import SESSION, segment
from fakes.shown import state_at
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.model import Counts, Looked, SealedSegment, Snapshot
from agent.replay import rrweb
from agent.replay.composite import compose
from agent.replay.playback import State
from agent.replay.trim import trim
from agent.replay.validator import validate
from agent.runtime.capture import CaptureLoop
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Replay, Settings
from bridge.emulated.world import shop
from bridge.types import Gap, Hierarchy, Stamp

FRAMES = 24


class _Enough(Exception):
    """As many pictures as are wanted."""


@cache
def recorded() -> SealedSegment:
    """The longest segment of an emulated shop, recorded on virtual time: layers, views, fingers, masks."""
    sealed: list[SealedSegment] = []
    handset = Handset("shop", "medium", "prompt", "screencap", *leaks.SCREENS[0], 5)
    chosen = Settings(replay=Replay(segment_seconds=60))
    stage = Stage(shop.PACKAGE, chosen, sealed.append, DeviceStatus("emulated-1"), handset.now)
    stage.attach(handset)
    handset.stage = stage
    taken = 0

    def emit(item: Snapshot | Hierarchy | Gap) -> None:
        nonlocal taken
        if not isinstance(item, Snapshot):
            stage.process([item])
            return
        if taken == FRAMES:
            raise _Enough
        taken += 1
        stage.process([(item, loop.masked)])

    def looked(began: Stamp) -> None:
        stage.process([Looked(began)])

    loop = CaptureLoop(handset, handset, handset, chosen.capture, emit, wake=handset, looked=looked)
    handset.loop = loop
    with suppress(_Enough):
        loop.run()
    stage.finish()
    return max(sealed, key=lambda one: len(one.events))


def parsed(one: SealedSegment) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in one.events]


def seen(state: State) -> tuple[object, ...]:
    views = [(view.id, view.box, view.attributes, view.text) for view in state.views]
    return state.href, state.width, state.height, views, state.mask


def pixels(state: State, one: SealedSegment) -> NDArray[np.float64]:
    image = compose(
        state, lambda source: one.pictures[source.removeprefix("picture:")].data, (state.width, state.height)
    )
    return np.asarray(image).astype(float)


def tags(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["data"]["tag"] for event in events if event["type"] == 5]


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.floats(-0.1, 1.1), st.floats(-0.1, 1.1), st.floats(0, 1)))
def test_a_cut_segment_shows_what_the_whole_shows(where: tuple[float, float, float]) -> None:
    whole = recorded()
    m = whole.manifest
    span = m.end_ms - m.start_ms
    from_ms, to_ms = sorted(m.start_ms + round(share * span) for share in where[:2])
    cut = trim(whole, from_ms, to_ms)
    if to_ms < m.start_ms or from_ms > m.end_ms:
        assert cut is None
        return
    assert cut is not None
    assert validate(cut.events, cut.pictures, closed=True) == []
    assert from_ms <= cut.manifest.start_ms <= cut.manifest.end_ms <= to_ms + 2
    # The full snapshot comes one ms after its Meta.
    opened = cut.manifest.start_ms + 1
    at = opened + round(where[2] * (min(to_ms, m.end_ms) - opened))
    if opened <= min(to_ms, m.end_ms):
        ours, theirs = state_at(parsed(cut), at), state_at(parsed(whole), at)
        assert seen(ours) == seen(theirs)
        # What hid something from before is encoded once more.
        assert abs(pixels(ours, cut) - pixels(theirs, whole)).mean() < 4
    told = [event for event in parsed(whole) if event["type"] == 5 and from_ms <= event["timestamp"] <= to_ms]
    kept = [tag for tag in tags(parsed(cut)) if tag not in ("mask", "end")]
    assert kept == [tag for tag in tags(told) if tag not in ("mask", "end")]


def test_all_of_it_is_the_segment_itself() -> None:
    whole = segment()
    m = whole.manifest
    assert trim(whole, m.start_ms, m.end_ms) is whole
    assert trim(whole, m.end_ms + 1, m.end_ms + 5) is None
    assert trim(whole, m.start_ms - 5, m.start_ms - 1) is None
    assert trim(whole, m.start_ms + 5, m.start_ms + 1) is None


def test_what_is_left_is_counted_and_the_rest_s_pictures_stay_behind() -> None:
    whole = segment()
    m = whole.manifest
    cut = trim(whole, m.start_ms + 1000, m.start_ms + 1390)
    assert cut is not None
    assert cut.manifest.counts == Counts(frames=2, hierarchies=1, touches=2, events=1)
    assert cut.manifest.reason == "cut"
    assert len(cut.pictures) == len(cut.manifest.pictures) < len(whole.pictures)
    assert cut.manifest.id not in ("", m.id)
    rest = trim(whole, m.start_ms + 1391, m.end_ms)
    assert rest is not None
    assert rest.manifest.reason == m.reason
    assert rest.manifest.counts.logs == 1
    assert rest.manifest.counts.gaps == 1


def test_the_end_of_a_touch_at_an_opening_is_not_counted() -> None:
    opened = SESSION + 1000
    whole = segment(extra=[rrweb.touch(opened + 2, "cancel", 0, 0, 0)])
    assert whole.manifest.start_ms == opened
    cut = trim(whole, opened, opened + 1390)
    assert cut is not None
    assert sum(event["type"] == 3 and event["data"]["source"] == 2 for event in parsed(cut)) == 3
    assert cut.manifest.counts.touches == 2

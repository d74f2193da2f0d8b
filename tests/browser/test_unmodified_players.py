"""Exported lists in players that know nothing of us: at any time they show what the list says, and never a blank.

What is expected comes from `agent.replay.playback` and the stored pictures, without a browser. RENDERED_SEGMENTS sets
how many segments are looked at.
"""

from __future__ import annotations

import base64
import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from fakes import film, player
from fakes.replayer import PACKAGES, PIXELS, Replayer, packages
from fakes.shown import state_at
from playwright.sync_api import Browser

from agent.export import eventlist
from agent.export.part import Part, parts
from agent.export.stream import Stream
from agent.model import SegmentManifest
from agent.replay import rrweb
from agent.replay.composite import compose
from agent.replay.playback import Playback, State
from agent.replay.validator import validate
from agent.store.recording import Recording
from bridge.emulated.world import shop
from bridge.types import Gap

COUNT = int(os.environ.get("RENDERED_SEGMENTS", "4"))
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120 + 30 * COUNT)]
SEEKS = 6
# A time too near an event is before it or after it by the player's own rounding.
CLEAR_MS = 3
FLAT = 6.0
PLAYED_MS = 6_000


@dataclass(frozen=True)
class Listed:
    """An exported list and what it is."""

    name: str
    events: list[dict[str, Any]]

    @property
    def start(self) -> int:
        return int(self.events[0]["timestamp"])

    @property
    def length(self) -> int:
        return int(self.events[-1]["timestamp"]) - self.start

    def tells(self, tag: str) -> bool:
        return any(event["type"] == 5 and event["data"]["tag"] == tag for event in self.events)

    def at(self, t_ms: float) -> State:
        return state_at(self.events, self.start + int(t_ms))


def shot(scenario: str, seconds: float, **options: Any) -> Callable[[int], list[Any]]:
    """A way to make segments by a seed."""

    def made(seed: int) -> list[Any]:
        taken = film.film(scenario, seed, seconds)
        return film.develop(taken, segment_ms=8_000, **options)[0]

    return made


def gapped(seed: int) -> list[Any]:
    """The shop, with the screen lost for a while and the phone away for another."""
    taken = film.film("shop", seed, 20.0)
    stamps = [each.snapshot.frame.stamp for each in taken.shots]
    first, second = len(stamps) // 3, len(stamps) * 2 // 3
    gaps = [
        Gap(stamps[first], stamps[first + 8], "screen", "CaptureFailed"),
        Gap(stamps[second], stamps[second + 8], "device", "DeviceGone"),
    ]
    taken.shots = [
        each for n, each in enumerate(taken.shots) if n not in (*range(first, first + 8), *range(second, second + 8))
    ]
    return film.develop(taken, segment_ms=8_000, gaps=gaps)[0]


KINDS: dict[str, Callable[[int], list[Any]]] = {
    "shop": shot("shop", 20.0),
    "turned": shot("rotate", 14.0),
    "text": shot("shop", 12.0, wireframe=True),
    "gapped": gapped,
    "flung": shot("scroll", 14.0),
    "away": shot("background", 14.0),
}


def exported(recording: Recording, part: Part) -> list[dict[str, Any]]:
    out = io.BytesIO()
    eventlist.write(Stream(recording, part), part, out, lambda share: None)
    events: list[dict[str, Any]] = orjson.loads(out.getvalue())
    return events


def alone(manifest: SegmentManifest) -> Part:
    return Part(manifest.session_id, manifest.device_id, (manifest,), manifest.start_ms, manifest.end_ms)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> list[Listed]:
    """COUNT lists of a segment each, of all kinds in turn, and a whole session of several segments of each kind."""
    folder = tmp_path_factory.mktemp("rendered")
    found: dict[str, list[Listed]] = {kind: [] for kind in KINDS}
    whole: list[Listed] = []
    # Of the others none would be chosen.
    filmed = dict(list(KINDS.items())[:COUNT])
    seed = 0
    while sum(map(len, found.values())) < COUNT:
        seed += 1
        for kind, make in filmed.items():
            recording = Recording.create(folder / f"{kind}-{seed}")
            for sealed in make(seed):
                recording.write(sealed)
            found[kind] += [
                Listed(f"{kind}-{seed}-{m.seq}", exported(recording, alone(m))) for m in recording.manifests()
            ]
            if seed == 1:
                part = max(parts(recording), key=lambda part: len(part.segments))
                whole.append(Listed(f"{kind}-whole", exported(recording, part)))
    chosen: list[Listed] = []
    while len(chosen) < COUNT and any(found.values()):
        # The longest first: a segment that a rotation cut short has little to see.
        for kind in KINDS:
            found[kind].sort(key=lambda listed: (kind == "gapped" and listed.tells("gap"), listed.length))
            if found[kind] and len(chosen) < COUNT:
                chosen.append(found[kind].pop())
    return [*chosen, *(listed for listed in whole if len(KINDS) < COUNT or listed.name == "turned-whole")]


@pytest.fixture(scope="module")
def players(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return packages(tmp_path_factory.mktemp("players"))


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest, players: dict[str, Path]) -> Path:
    return players[request.param]


def load(source: str) -> bytes:
    return base64.b64decode(source.partition(",")[2])


def expected(state: State, pixels: float = PIXELS) -> np.ndarray:
    return np.asarray(compose(state, load, (round(state.width * pixels), round(state.height * pixels))))


def strip(picture: np.ndarray) -> np.ndarray:
    top, bottom = shop.STATUS + shop.HEADER, shop.STATUS + shop.HEADER + shop.STRIP
    return picture[round(top * PIXELS) : round(bottom * PIXELS)]


def seeks(listed: Listed, rng: random.Random) -> list[int]:
    """Random times, some of them while a finger is down, none beside an event."""
    times = [event["timestamp"] - listed.start for event in listed.events if event["type"] != 6]
    near = {at + d for at in times for d in range(-CLEAR_MS, CLEAR_MS + 1)}
    clear = [t for t in range(5, listed.length) if t not in near]
    touches = [e["timestamp"] for e in listed.events if e["type"] == 3 and e["data"]["source"] in (2, 6)]
    during = [at - listed.start + CLEAR_MS + 1 for at in touches]
    during = [t for t in during if t not in near]
    return [*rng.sample(clear, min(SEEKS, len(clear))), *rng.sample(during, min(SEEKS // 2, len(during)))]


def test_the_lists_are_good_and_of_all_kinds(lists: list[Listed]) -> None:
    for listed in lists:
        assert validate(listed.events, {}, batch=False) == [], listed.name
    layers, fingers, sizes, wireframes = 0, 0, set(), 0
    for listed in lists:
        playback = Playback()
        for event in listed.events:
            if not playback.feed(event):
                continue
            state = playback.state
            layers += len(state.layers)
            sizes.add((state.width, state.height))
        fingers += sum(event["type"] == 3 and event["data"]["source"] == 2 for event in listed.events)
        wireframes += not playback.state.base
    assert layers
    assert fingers
    assert wireframes
    assert len(sizes) >= 2
    assert any(listed.tells("gap") for listed in lists)


def test_every_seek_shows_what_the_list_says(browser: Browser, package: Path, lists: list[Listed]) -> None:
    rng = random.Random(7)
    wrong: list[object] = []
    codes: set[int] = set()
    looked = rings = 0
    for listed in lists:
        with Replayer(browser, package, listed.events) as replayer:
            for t in seeks(listed, rng):
                replayer.seek(t)
                state, seen = listed.at(t), replayer.picture()
                looked += 1
                if state.base:
                    want = expected(state)
                    code = player.read(strip(want))
                    if seen.shape != want.shape or player.read(strip(seen)) != code:
                        wrong.append((listed.name, t, "code", player.read(strip(seen)), code))
                    elif np.abs(seen.astype(int) - want).mean() > 3:
                        wrong.append((listed.name, t, "pixels", float(np.abs(seen.astype(int) - want).mean())))
                    codes |= {code} - {None}
                else:
                    wrong += [(listed.name, t, *odd) for odd in misplaced(replayer, state)]
                down = [(f.x, f.y) for f in state.fingers if f.down and f.drawn]
                ring = replayer.finger()
                rings += ring is not None
                if (ring is None) != (not down) or (
                    ring and max(abs(a - b) for a, b in zip(ring, down[0], strict=True)) > 2
                ):
                    wrong.append((listed.name, t, "finger", ring, down))
            wrong += [(listed.name, fault) for fault in replayer.faults]
    print(f"{package.name}: {looked} looks at {len(lists)} lists, {len(codes)} time codes, {rings} rings")
    assert wrong == []
    assert len(codes) > COUNT
    assert rings


def misplaced(replayer: Replayer, state: State) -> Iterator[tuple[object, ...]]:
    """The views that are not where the list says."""
    seen = replayer.views()
    if set(seen) != {view.id for view in state.views}:
        yield "views", len(seen), len(state.views)
        return
    for view in state.views:
        box = view.box
        if max(abs(a - b) for a, b in zip(seen[view.id], (box.left, box.top, box.width, box.height), strict=True)) > 1:
            yield "view", view.id, seen[view.id], box


def test_nothing_blank_is_ever_composited(browser: Browser, package: Path, lists: list[Listed]) -> None:
    blank: list[object] = []
    frames = 0
    # Where every picture is covered whole there is nothing but one colour to see.
    watched = [(listed, begin, end) for listed in lists for begin, end in [busy(listed)] if end > begin]
    assert len(watched) >= 0.75 * len(lists)
    for listed, begin, end in watched:
        with Replayer(browser, package, listed.events, pixels=1) as replayer:
            for n, seen in enumerate(replayer.played(begin, end)):
                frames += 1
                if deviation(seen) < FLAT:
                    blank.append((listed.name, n))
            blank += [(listed.name, fault) for fault in replayer.faults]
    print(f"{package.name}: {frames} composited frames of {len(watched)} of {len(lists)} lists")
    assert blank == []
    assert frames > 3 * len(watched)


def test_a_blank_would_be_seen(browser: Browser, package: Path, lists: list[Listed]) -> None:
    listed = next(listed for listed in lists if listed.name.startswith("shop"))
    begin, end = busy(listed)
    middle = (begin + end) // 2
    at, shown = listed.start + middle, listed.at(middle - 2)
    flash = [
        rrweb.mutation(at, [(rrweb.PICTURE_ID, {"src": None})], fallen=[layer.id for layer in shown.layers]),
        rrweb.mutation(at + 800, [(rrweb.PICTURE_ID, {"src": shown.base})]),
    ]
    quiet = [event for event in listed.events if event["type"] in (2, 4, 5) or event["timestamp"] < at - 1]
    events = sorted([*quiet, *flash], key=lambda event: int(event["timestamp"]))
    with Replayer(browser, package, events, pixels=1) as replayer:
        assert min(deviation(seen) for seen in replayer.played(begin, middle + 600, speed=1)) < FLAT


def deviation(picture: np.ndarray) -> float:
    """How much a picture's colours vary; next to nothing in one of one colour."""
    return float(picture[8:-8, 8:-8].std(axis=(0, 1)).mean())


def busy(listed: Listed) -> tuple[int, int]:
    """The longest stretch in which what is shown is never flat by itself."""
    playback = Playback()
    best: tuple[int, int] = (0, 0)
    since: int | None = None
    flat: dict[object, bool] = {}
    state = playback.state
    for event in listed.events:
        state = playback.state if playback.feed(event) else state
        at = event["timestamp"] - listed.start
        key = (state.sources, state.layers, () if state.base else tuple((view.box, view.text) for view in state.views))
        if key not in flat:
            flat[key] = bool(not state.width or deviation(expected(state, 0.5)) < 2 * FLAT)
        if flat[key]:
            since = None
        elif since is None:
            since = at + 5
        if since is not None and at - since > best[1] - best[0]:
            best = since, at
    return best[0], min(best[1], best[0] + PLAYED_MS)

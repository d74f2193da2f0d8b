from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from fakes.views import EPOCH, at

from agent.model import Cost, Loss, MaskedNode, MaskedSnapshot, MaskRect, SessionKey
from agent.replay import rrweb
from agent.replay.canvas import RgbaCanvas
from agent.replay.layers import Layer, key_picture
from agent.replay.picture import PictureEncoder
from agent.replay.playback import Change, Playback
from agent.replay.segment import Origin, SegmentWriter, Shown
from agent.replay.tree import NodeIds
from agent.replay.validator import validate
from bridge.types import Bounds, NodeFlag, Size

KEY = SessionKey(EPOCH, "device-1")
ORIGIN = Origin(KEY, "serial-1", {"model": "m"}, "integrations", "anonymousId")
ENCODER = PictureEncoder()
SCREEN = Size(1080, 2400)


def shown(seconds: float, shade: int, label: str = "", covers: tuple[MaskRect, ...] = ()) -> Shown:
    node = MaskedNode("k", Bounds(0, 0, 105, 105), "android.widget.Button", "", label, NodeFlag.NONE)
    canvas = RgbaCanvas(np.full((120, 54, 4), shade, np.uint8), SCREEN)
    nodes = (node,) if label else ()
    return Shown.of(MaskedSnapshot(at(seconds), SCREEN, 420, 0, canvas, nodes, covers), key_picture(canvas, ENCODER))


def writer(first: Shown, start_ms: int = EPOCH) -> SegmentWriter:
    return SegmentWriter(ORIGIN, 0, start_ms, "android-app://x/y", first, NodeIds(), resting=False)


def show(to: SegmentWriter, new: Shown) -> int:
    before = to.size
    events, size = to.change(new)
    to.show(new, events)
    assert to.size - before == size
    return len(events)


def events_of(to: SegmentWriter, end_ms: int = EPOCH + 30_000) -> list[dict[str, Any]]:
    sealed = to.seal("time", end_ms, ())
    assert validate(sealed.events, sealed.pictures) == []
    return [orjson.loads(event) for event in sealed.events]


def test_a_segment_opens_with_what_is_shown_and_ends_with_its_facts() -> None:
    first = shown(0, 10, "Pay")
    to = writer(first)
    to.count(frames=1)
    cost = Cost(cpu_ms=700, lost=2)
    sealed = to.seal("stop", EPOCH + 5000, (Loss("logs", "x", 2),), cost)
    assert validate(sealed.events, sealed.pictures) == []
    meta, full, _, end = map(orjson.loads, sealed.events)
    assert (meta["type"], meta["timestamp"], meta["data"]["width"], meta["data"]["height"]) == (4, EPOCH, 411, 914)
    assert (full["type"], full["timestamp"]) == (2, EPOCH + 1)
    assert f"picture:{first.stack.base.digest}".encode() in sealed.events[1]
    assert b"Pay" in sealed.events[1]
    payload = end["data"]["payload"]
    assert end["timestamp"] == payload["end_ms"] == sealed.manifest.end_ms == EPOCH + 5000
    assert payload == {
        "id": sealed.manifest.id,
        "seq": 0,
        "session_id": EPOCH,
        "device_id": "device-1",
        "serial": "serial-1",
        "reason": "stop",
        "counts": {"frames": 1, "hierarchies": 0, "touches": 0, "events": 0, "logs": 0, "gaps": 0, "blocked": 0},
        "losses": [{"stage": "logs", "reason": "x", "count": 2}],
        "start_ms": EPOCH,
        "end_ms": EPOCH + 5000,
        "device": {"model": "m"},
        "session_from": "integrations",
        "device_from": "anonymousId",
        "cost": {"cpu_ms": 700, "captured": 0, "written": 0, "uploaded": 0, "taken": 0, "blocked": 0, "lost": 2},
    }
    assert sealed.manifest.cost == cost
    assert sealed.manifest.pictures == tuple(sealed.pictures) == (first.stack.base.digest,)


def test_a_new_picture_and_new_views_are_one_event() -> None:
    to = writer(shown(0, 10, "Pay"))
    assert show(to, shown(1, 20, "Paid")) == 1
    change = events_of(to)[3]["data"]
    assert [a["id"] for a in change["attributes"]] == [10, 100]
    assert change["attributes"][1]["attributes"] == {"aria-label": "Paid"}


def test_what_did_not_change_is_no_event() -> None:
    first = shown(0, 10, "Pay")
    to = writer(first)
    assert show(to, replace(first, stamp=at(1))) == 0
    assert first.same(replace(first, stamp=at(1)))
    assert not first.same(shown(1, 99, "Pay"))
    assert not first.same(shown(1, 10, "Paid"))


def test_covers_are_told_when_they_change_and_at_the_start() -> None:
    covers = (MaskRect(Bounds(0, 0, 9, 9), "mask", "password"), MaskRect(Bounds(0, 9, 9, 19), "block", "web"))
    to = writer(shown(0, 10, covers=covers))
    show(to, shown(1, 99, covers=covers))
    show(to, replace(shown(2, 99, covers=covers[:1]), blocked="unstable"))
    masks = [e["data"]["payload"] for e in events_of(to) if e["type"] == 5 and e["data"]["tag"] == "mask"]
    password = [0, 0, 9, 9, "password"]
    assert masks == [
        {
            "count": 2,
            "kinds": {"mask": 1, "block": 1},
            "rules": {"password": 1, "web": 1},
            "blocked": "",
            "rects": [password, [0, 9, 9, 19, "web"]],
            "screen": [1080, 2400],
        },
        {
            "count": 1,
            "kinds": {"mask": 1},
            "rules": {"password": 1},
            "blocked": "unstable",
            "rects": [password],
            "screen": [1080, 2400],
        },
    ]


def test_events_are_sorted_and_none_comes_before_the_opening() -> None:
    to = writer(shown(0, 10))
    to.append(
        [rrweb.log(EPOCH + 50, "info", "b"), rrweb.log(EPOCH - 99, "info", "a"), rrweb.log(EPOCH + 40, "info", "c")]
    )
    stamps = [e["timestamp"] - EPOCH for e in events_of(to)]
    assert stamps == [0, 1, 2, 2, 40, 50, 30_000]


def test_the_end_is_never_before_the_last_event() -> None:
    to = writer(shown(0, 10))
    to.append([rrweb.log(EPOCH + 31_000, "info", "late")])
    assert to.seal("time", EPOCH + 30_000, ()).manifest.end_ms == EPOCH + 31_001


def test_an_id_tells_segments_apart_and_is_the_same_for_the_same() -> None:
    def made(start_ms: int = EPOCH, text: str = "a", origin: Origin = ORIGIN, seq: int = 0) -> str:
        to = SegmentWriter(origin, seq, start_ms, "x", shown(0, 10), NodeIds())
        to.append([rrweb.log(EPOCH + 50, "info", text)])
        return to.seal("stop", EPOCH + 99, ()).manifest.id

    assert made() == made()
    other = [made(EPOCH + 1), made(text="b"), made(origin=replace(ORIGIN, serial="s2")), made(seq=1)]
    assert len({made(), *other}) == 5
    assert len(made()) == 32
    made(origin=replace(ORIGIN, key=SessionKey(EPOCH, "half \ud83d")))


def test_size_counts_a_picture_as_often_as_it_is_inlined() -> None:
    a, b = shown(0, 10), shown(1, 200)
    to = writer(a)
    opened = to.size
    show(to, b)
    show(to, replace(a, stamp=at(2)))
    inlined = round(len(a.stack.base.data) * 4 / 3) + round(len(b.stack.base.data) * 4 / 3)
    assert to.size - opened > inlined
    sealed = to.seal("stop", EPOCH + 9000, ())
    assert len(sealed.pictures) == 2
    assert sealed.manifest.bytes == sum(map(len, sealed.events)) + len(a.stack.base.data) + len(b.stack.base.data)


def layered(seconds: float, *boxes: Bounds, wireframe: bool = False) -> Shown:
    base = key_picture(RgbaCanvas(np.full((120, 54, 4), 200, np.uint8), SCREEN), ENCODER)
    layers = tuple(
        Layer(box, ENCODER.encode(RgbaCanvas(np.full((120, 54, 4), i, np.uint8), SCREEN), box))
        for i, box in enumerate(boxes)
    )
    stack = None if wireframe else replace(base, layers=layers)
    return Shown.of(MaskedSnapshot(at(seconds), SCREEN, 420, 0, None, (), ()), stack)


LOW, MIDDLE, HIGH = Bounds(0, 0, 27, 12), Bounds(0, 24, 54, 60), Bounds(10, 60, 20, 70)


def played(events: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """The places and pictures of the layers, lowest first, after each event that changes them."""
    playback = Playback()
    states = []
    for event in events:
        if playback.feed(event) & Change.PICTURE:
            boxes = [(layer.box, layer.source) for layer in playback.state.layers]
            states.append([(f"{b.left:g} {b.top:g} {b.width:g} {b.height:g}", source) for b, source in boxes])
    return states


def test_layers_come_and_go_and_the_rest_stays() -> None:
    first, second, third = layered(0, LOW), layered(1, LOW, MIDDLE, HIGH), layered(2, LOW, HIGH)
    # The third picture's own digests: a layer is known by its pixels and its place.
    third = replace(third, stack=replace(third.stack, layers=(second.stack.layers[0], second.stack.layers[2])))
    to = writer(first)
    for shown in (second, third, replace(second, stamp=at(3))):
        show(to, shown)
    events = events_of(to)
    mutations = [e["data"] for e in events if e["type"] == 3]
    assert [len(data["adds"]) for data in mutations] == [2, 0, 1]
    assert [len(data["removes"]) for data in mutations] == [0, 1, 0]
    assert mutations[2]["adds"][0]["nextId"] is not None
    names = [f"picture:{layer.picture.digest}" for layer in second.stack.layers]
    shapes = [[source for _, source in state] for state in played(events)]
    assert shapes == [names[:1], names, [names[0], names[2]], names]
    assert played(events)[1][1][0] == "0 182.8 411 274.2"


def test_a_segment_opens_with_the_layers_that_are_there() -> None:
    sealed = writer(layered(0, LOW, MIDDLE)).seal("stop", EPOCH + 5000, ())
    assert validate(sealed.events, sealed.pictures) == []
    assert len(sealed.manifest.pictures) == 3
    assert len(played([orjson.loads(event) for event in sealed.events])[0]) == 2


def test_another_base_takes_all_layers_away() -> None:
    to = writer(layered(0, LOW, MIDDLE))
    show(to, shown(1, 10))
    (mutation,) = (e["data"] for e in events_of(to) if e["type"] == 3)
    assert len(mutation["removes"]) == 2
    assert mutation["attributes"][0]["id"] == rrweb.PICTURE_ID


def test_without_pictures_the_views_are_a_wireframe() -> None:
    node = MaskedNode("k", Bounds(0, 0, 105, 105), "android.widget.Button", "", "Pay", NodeFlag.NONE, leaf=True)
    first = Shown.of(MaskedSnapshot(at(0), SCREEN, 420, 0, None, (node,), ()), None)
    to = writer(first)
    show(to, replace(first, views={}, stamp=at(1)))
    sealed = to.seal("stop", EPOCH + 5000, ())
    assert validate(sealed.events, sealed.pictures) == []
    assert sealed.pictures == {}
    assert b"attr(aria-label)" in sealed.events[1]
    assert b'"class":"v t"' in sealed.events[1]
    assert layered(0, wireframe=True).geometry != layered(0).geometry


def test_the_manifest_names_every_source_that_gave_pictures() -> None:
    to = SegmentWriter(
        replace(ORIGIN, device={"model": "m", "screen": "screencap"}), 0, EPOCH, "x", shown(0, 1), NodeIds()
    )
    for source in ("screenrecord", "screenrecord", "screencap"):
        to.describe({"screen": source})
    assert to.seal("stop", EPOCH + 1000, ()).manifest.device == {"model": "m", "screen": "screencap, screenrecord"}


@pytest.mark.parametrize("resting", [True, False])
def test_a_snapshot_under_no_finger_says_so(resting: bool) -> None:
    to = SegmentWriter(ORIGIN, 0, EPOCH, "x", shown(0, 1), NodeIds(), resting=resting)
    _, _, *rest, _, _ = events_of(to)
    assert [event["data"] for event in rest] == [rrweb.touch(0, "cancel", 0, 0, 0)["data"]] * resting


def test_a_snapshot_under_no_cover_says_so() -> None:
    nothing = {"count": 0, "kinds": {}, "rules": {}, "blocked": "", "rects": [], "screen": [1080, 2400]}
    told, _ = (event["data"]["payload"] for event in events_of(writer(shown(0, 10))) if event["type"] == 5)
    assert told == nothing


def test_stock_players_are_told_that_something_goes_on_where_no_finger_does() -> None:
    to = writer(shown(0, 10))
    for second in range(1, 28):
        if second == 12:
            to.append([rrweb.touch(EPOCH + 12_000, "down", 5, 5, 0), rrweb.touch(EPOCH + 12_050, "up", 5, 5, 0)])
        # From then on the picture stands still, and only views change.
        show(to, shown(second, min(10 + second, 30), f"{second}"))
    told = [event for event in events_of(to) if event["type"] == 3 and event["data"]["source"] == 3]
    assert [event["timestamp"] - EPOCH for event in told] == [5000, 10_000, 18_000]
    assert {(event["data"]["id"], event["data"]["x"], event["data"]["y"]) for event in told} == {(rrweb.BODY_ID, 0, 0)}

from __future__ import annotations

import time
from typing import Any

import pytest
from fakes.shown import state_at
from hypothesis import given
from hypothesis import strategies as st

from agent.replay import rrweb
from agent.replay.composite import compose
from agent.replay.playback import Box, Change, Playback
from agent.replay.rrweb import Event

VIEW = rrweb.element(100, "div", {"class": "v", "style": "left:16px;top:430px;width:380px;height:48px"})


def opened(*views: Event) -> Playback:
    playback = Playback()
    assert playback.feed(rrweb.meta(1000, "android-app://a/.B", 412, 916)) == Change.WINDOW
    change = playback.feed(rrweb.full_snapshot(1001, "picture:a", 412, 916, views))
    assert change == Change.PICTURE | Change.VIEWS
    return playback


def layer(node_id: int, source: str, box: str = "left:1px;top:2.5px;width:30px;height:40px") -> Event:
    return rrweb.element(node_id, "img", {"class": "l", "src": source, "style": box})


def mutation(at_ms: int, **lists: list[Any]) -> Event:
    data = {"source": 0, "texts": [], "attributes": [], "removes": [], "adds": [], **lists}
    return {"type": 3, "timestamp": at_ms, "data": data}


def add(node: Event, parent: int = 11, before: int | None = None) -> dict[str, Any]:
    return {"parentId": parent, "nextId": before, "node": node}


def test_a_snapshot_is_shown() -> None:
    state = opened(VIEW).state
    assert (state.at_ms, state.href, state.width, state.height) == (1001, "android-app://a/.B", 412, 916)
    assert state.base == "picture:a"
    assert state.layers == ()
    assert [(view.id, view.box) for view in state.views] == [(100, Box(16, 430, 380, 48))]
    assert state.blocked == ""


def test_a_swap_is_a_change_of_the_picture_alone() -> None:
    playback = opened(VIEW)
    assert playback.feed(rrweb.mutation(1100, [(rrweb.PICTURE_ID, {"src": "picture:b"})])) == Change.PICTURE
    assert playback.state.base == "picture:b"


def test_layers_lie_over_the_base_in_order_and_go_with_a_key_picture() -> None:
    playback = opened()
    assert playback.feed(mutation(1100, adds=[add(layer(13, "picture:b")), add(layer(14, "picture:c"))])) == (
        Change.PICTURE
    )
    playback.feed(mutation(1200, adds=[add(layer(15, "picture:d"), before=14)]))
    state = playback.state
    assert state.sources == ("picture:a", "picture:b", "picture:d", "picture:c")
    assert state.layers[0].box == Box(1, 2.5, 30, 40)
    removes = [{"parentId": 11, "id": node_id} for node_id in (13, 14, 15)]
    swap = [{"id": rrweb.PICTURE_ID, "attributes": {"src": "picture:e"}}]
    assert playback.feed(mutation(1300, removes=removes, attributes=swap)) == Change.PICTURE
    assert playback.state.sources == ("picture:e",)


def test_views_come_change_and_go() -> None:
    playback = opened(VIEW)
    other = rrweb.element(101, "div", {"class": "v", "style": "left:0px;top:0px;width:1px;height:1px"})
    moved = {"style": "left:0px;top:1px;width:2px;height:3px", "aria-label": "Pay"}
    assert playback.feed(rrweb.mutation(1100, [(100, moved)], adds=[other])) == Change.VIEWS
    assert [(view.id, view.box) for view in playback.state.views] == [(100, Box(0, 1, 2, 3)), (101, Box(0, 0, 1, 1))]
    assert playback.state.views[0].attributes["aria-label"] == "Pay"
    playback.feed(rrweb.mutation(1200, [(100, {"aria-label": None})]))
    assert "aria-label" not in playback.state.views[0].attributes
    assert playback.feed(rrweb.mutation(1300, removes=[100])) == Change.VIEWS
    assert [view.id for view in playback.state.views] == [101]


def test_a_style_may_change_in_part() -> None:
    playback = opened(VIEW)
    style = {"left": "7px", "width": False, "top": ["8px", "important"]}
    playback.feed(mutation(1100, attributes=[{"id": 100, "attributes": {"style": style}}]))
    assert playback.state.views[0].box == Box(7, 8, 0, 48)


def test_the_text_in_a_view_is_its_own() -> None:
    playback = opened(VIEW)
    text = {"type": 3, "id": 200, "textContent": "Pay"}
    assert playback.feed(mutation(1100, adds=[add(text, parent=100)])) == Change.VIEWS
    assert playback.state.views[0].text == "Pay"
    assert playback.feed(mutation(1200, texts=[{"id": 200, "value": "Pay now"}])) == Change.VIEWS
    assert playback.state.views[0].text == "Pay now"


def test_children_of_an_added_node_are_not_built() -> None:
    playback = opened()
    playback.feed(mutation(1100, adds=[add(rrweb.element(50, "div", {}, [layer(51, "picture:b")]))]))
    assert playback.state.layers == ()


def test_what_names_an_unknown_node_has_no_effect() -> None:
    playback = opened(VIEW)
    before = playback.state
    change = playback.feed(
        mutation(
            1001,
            removes=[{"parentId": 12, "id": 999}],
            adds=[add(layer(13, "picture:b"), parent=999)],
            attributes=[{"id": 999, "attributes": {"src": "x"}}],
            texts=[{"id": 999, "value": "x"}],
        )
    )
    assert change == Change.NONE
    assert playback.state == before


def test_the_window_turns() -> None:
    playback = opened()
    resize = {"type": 3, "timestamp": 1100, "data": {"source": 4, "width": 916, "height": 412}}
    assert playback.feed(resize) == Change.WINDOW
    assert (playback.state.width, playback.state.height) == (916, 412)
    assert playback.feed(resize) == Change.NONE


def test_fingers() -> None:
    playback = opened()
    assert playback.feed(rrweb.touch(1100, "down", 10, 20, 0)) == Change.FINGERS
    playback.feed(rrweb.other_finger(1110, "down", 50, 60, 1))
    playback.feed(rrweb.touch(1120, "move", 11, 22, 0))
    first, second = playback.state.fingers
    assert (first.pointer, first.x, first.y, first.down, first.at_ms, first.drawn) == (0, 11, 22, True, 1120, True)
    assert (second.pointer, second.x, second.y, second.down, second.drawn) == (1, 50, 60, True, False)
    playback.feed(rrweb.touch(1130, "up", 11, 22, 0))
    playback.feed(rrweb.other_finger(1140, "cancel", 50, 60, 1))
    assert [finger.down for finger in playback.state.fingers] == [False, False]


def test_a_touch_that_ends_without_a_finger_is_none() -> None:
    playback = opened()
    for end in (rrweb.touch(1100, "cancel", 0, 0, 0), rrweb.touch(1101, "up", 5, 5, 0)):
        assert playback.feed(end) == Change.NONE
    assert playback.feed(rrweb.other_finger(1102, "cancel", 0, 0, 1)) == Change.NONE
    assert playback.state.fingers == ()


def test_a_finger_that_is_up_stays_where_it_went_up() -> None:
    playback = opened()
    playback.feed(rrweb.touch(1100, "down", 10, 20, 0))
    playback.feed(rrweb.touch(1200, "up", 11, 22, 0))
    lifted = playback.state.fingers
    assert [(finger.x, finger.y, finger.at_ms) for finger in lifted] == [(11, 22, 1200)]
    assert playback.feed(rrweb.touch(1300, "cancel", 0, 0, 0)) == Change.NONE
    assert playback.state.fingers == lifted


def test_a_touch_that_is_broken_off_ends_where_it_was() -> None:
    playback = opened()
    playback.feed(rrweb.touch(1100, "down", 10, 20, 0))
    playback.feed(rrweb.touch(1200, "move", 11, 22, 0))
    assert playback.feed(rrweb.touch(1300, "cancel", 0, 0, 0)) == Change.FINGERS
    (finger,) = playback.state.fingers
    assert (finger.x, finger.y, finger.down, finger.at_ms) == (11, 22, False, 1300)


def test_the_mask_in_force_is_the_last_one_told() -> None:
    playback = opened()
    assert playback.feed(rrweb.custom(1100, "mask", {"blocked": "secure", "count": 1})) == Change.MASK
    assert playback.state.blocked == "secure"
    assert playback.feed(rrweb.custom(1200, "note", {"text": "x"})) == Change.NONE
    playback.feed(rrweb.custom(1300, "mask", {"blocked": "", "count": 1}))
    assert playback.state.blocked == ""


def test_a_new_document_is_not_covered_by_what_covered_the_last_one() -> None:
    playback = opened()
    playback.feed(rrweb.custom(1100, "mask", {"blocked": "secure"}))
    again = rrweb.full_snapshot(2001, "picture:b", 412, 916, [])
    assert playback.feed(rrweb.meta(2000, "android-app://a/.C", 412, 916)) == Change.NONE
    assert playback.state.blocked == "secure"
    assert playback.feed(again) == Change.PICTURE | Change.VIEWS | Change.MASK
    assert playback.state.mask == {}
    playback.feed(rrweb.custom(2001, "mask", {"blocked": "secure"}))
    assert playback.state.blocked == "secure"
    assert [event["type"] for event in playback.opening(3000)] == [4, 2, 5]


def test_a_checkout_begins_a_new_document() -> None:
    playback = opened(VIEW)
    playback.feed(mutation(1100, adds=[add(layer(13, "picture:b"))]))
    playback.feed(rrweb.meta(2000, "android-app://a/.C", 412, 916))
    playback.feed(rrweb.full_snapshot(2001, "picture:c", 412, 916, []))
    assert playback.state.sources == ("picture:c",)
    assert playback.state.views == ()
    assert playback.state.href == "android-app://a/.C"


def test_the_state_at_a_time() -> None:
    events = [
        rrweb.meta(1000, "x", 412, 916),
        rrweb.full_snapshot(1001, "picture:a", 412, 916, []),
        rrweb.mutation(1100, [(rrweb.PICTURE_ID, {"src": "picture:b"})]),
    ]
    assert [state_at(events, at).base for at in (1000, 1001, 1099, 1100, 5000)] == [
        "", "picture:a", "picture:a", "picture:b", "picture:b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        {"type": 3, "timestamp": 1, "data": None},
        {"type": 3, "timestamp": 1, "data": {"source": 0}},
        {"type": 3, "timestamp": 1, "data": {"source": 0, "adds": [None, 1, {"parentId": "x"}], "removes": {}}},
        {"type": 3, "timestamp": 1, "data": {"source": 6, "positions": [{"x": "1", "y": None}]}},
        {"type": 2, "timestamp": 1, "data": {"node": 5}},
        {"type": 2, "timestamp": 1, "data": {"node": {"id": "x", "childNodes": [3, {"attributes": 4}]}}},
        {"type": 9},
        {},
    ],
)
def test_a_malformed_event_is_played_as_far_as_it_goes(event: dict[str, Any]) -> None:
    playback = opened(VIEW)
    playback.feed(event)
    assert playback.state.width == 412


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=8)
)
IDS = st.one_of(st.sampled_from([1, 7, 10, 11, 12, 100]), LEAVES)
STYLES = st.one_of(st.sampled_from(["left:1px;top:2px;width:3px;height:4px", "left:1e999px;width:-5px", ":;;"]), LEAVES)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["src", "class", "style", "aria-label"]),
    st.one_of(
        st.sampled_from(["l", "v t", "picture:a"]), STYLES, st.dictionaries(st.text(max_size=5), STYLES, max_size=2)
    ),
    max_size=4,
)
NODES = st.recursive(
    st.one_of(
        LEAVES, st.fixed_dictionaries({"id": IDS, "tagName": st.sampled_from(["img", "div"]), "attributes": ATTRIBUTES})
    ),
    lambda below: st.fixed_dictionaries(
        {"id": IDS, "attributes": ATTRIBUTES, "childNodes": st.lists(below, max_size=3)}
    ),
    max_leaves=5,
)
CHANGES = st.lists(
    st.one_of(
        LEAVES,
        st.fixed_dictionaries({"id": IDS, "parentId": IDS, "nextId": IDS, "node": NODES, "attributes": ATTRIBUTES}),
    ),
    max_size=3,
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "source": st.one_of(st.sampled_from([0, 2, 4, 6]), LEAVES),
        "type": st.one_of(st.sampled_from([7, 9, 10]), LEAVES, st.lists(LEAVES, max_size=1)),
        "node": NODES,
        "adds": CHANGES,
        "removes": CHANGES,
        "attributes": st.one_of(CHANGES, LEAVES),
        "texts": CHANGES,
        "positions": st.lists(st.dictionaries(st.sampled_from(["x", "y", "id"]), LEAVES), max_size=2),
        "x": LEAVES,
        "y": LEAVES,
        "width": LEAVES,
        "height": LEAVES,
        "tag": st.one_of(st.just("mask"), LEAVES),
        "plugin": st.one_of(st.just(rrweb.TOUCH), LEAVES),
        "payload": st.one_of(
            LEAVES, st.dictionaries(st.sampled_from(["blocked", "kind", "x", "y", "pointer"]), LEAVES)
        ),
    },
)
EVENTS = st.fixed_dictionaries(
    {"type": st.one_of(st.integers(0, 6), LEAVES), "timestamp": LEAVES, "data": st.one_of(DATA, LEAVES)}
)


@given(st.lists(EVENTS, max_size=6))
def test_whatever_comes_is_played_and_drawn_without_an_error(events: list[dict[str, Any]]) -> None:
    playback = opened(VIEW)
    for event in events:
        playback.feed(event)
    state = playback.state
    assert isinstance(state.blocked, str)
    compose(state, lambda source: b"RIFF", (20, 40))


class Listed:
    """Layers as a list, in the way that they are to be played."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def add(self, node_id: int, before: int) -> None:
        self.remove(node_id)
        self.ids.insert(self.ids.index(before) if before in self.ids else len(self.ids), node_id)

    def remove(self, node_id: int) -> None:
        if node_id in self.ids:
            self.ids.remove(node_id)


@given(st.lists(st.tuples(st.booleans(), st.integers(20, 27), st.integers(20, 28)), max_size=40))
def test_children_come_and_go_in_their_places(steps: list[tuple[bool, int, int]]) -> None:
    playback, listed = opened(), Listed()
    for comes, node_id, before in steps:
        if comes:
            listed.add(node_id, before)
            playback.feed(mutation(1100, adds=[add(layer(node_id, "picture:b"), before=before)]))
        else:
            listed.remove(node_id)
            playback.feed(mutation(1100, removes=[{"parentId": 11, "id": node_id}]))
        assert [shown.id for shown in playback.state.layers] == listed.ids
        assert [node["id"] for node in playback.raised] == listed.ids


def test_the_place_of_a_child_is_found_without_a_search() -> None:
    count = 30_000
    ids = range(1000, 1000 + count)
    views = [rrweb.element(node_id, "div", {"class": "v"}) for node_id in ids]
    playback = opened(*views)
    began = time.process_time()
    playback.feed(mutation(1100, removes=[{"parentId": 12, "id": node_id} for node_id in reversed(ids)]))
    assert playback.state.views == ()
    playback.feed(mutation(1200, adds=[add(view, 12, before=ids[-1]) for view in (views[-1], *views[:-1])]))
    assert [view.id for view in playback.state.views] == [*ids]
    # With a search it takes twenty seconds, without one half of one.
    assert time.process_time() - began < 6


def test_a_node_that_is_added_again_moves() -> None:
    playback = opened()
    playback.feed(mutation(1100, adds=[add(layer(13, "picture:b")), add(layer(14, "picture:c"))]))
    playback.feed(mutation(1200, adds=[add(layer(13, "picture:d"))]))
    assert playback.state.sources == ("picture:a", "picture:c", "picture:d")

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from fakes import segments
from hypothesis import given
from hypothesis import strategies as st

from agent.replay import rrweb
from agent.replay.validator import Problem, validate

PICTURE = segments.picture(9)
DATA_URI = "data:image/webp;base64," + base64.b64encode(PICTURE.data).decode()


def good() -> list[dict[str, Any]]:
    box = rrweb.element(100, "div", {"class": "v"})
    return [
        rrweb.meta(1000, "android-app://x/y", 411, 914),
        rrweb.full_snapshot(1001, DATA_URI, 411, 914, [box]),
        rrweb.touch(1002, "down", 1, 2, 0),
        rrweb.touch(1003, "move", 1, 2, 0),
        rrweb.touch(1004, "up", 1, 2, 0),
        rrweb.mutation(1005, [(10, {"src": DATA_URI}), (100, {"style": None})], [], [rrweb.element(101, "div", {})]),
        rrweb.mutation(1006, [], [100]),
        rrweb.log(1007, "info", "x"),
        rrweb.custom(1008, "gap", {}),
        rrweb.custom(1009, "end", {}),
    ]


def rules(events: list[Any]) -> set[str]:
    return {problem.rule for problem in validate(events)}


def test_a_good_list_has_no_problem() -> None:
    assert validate(good()) == []
    assert validate([orjson.dumps(event) for event in good()]) == []


def test_segments_made_for_other_tests_are_good() -> None:
    sealed = segments.segment()
    assert validate(sealed.events, sealed.pictures) == []


def attribute(name: str, value: object) -> list[dict[str, Any]]:
    """The good list with one attribute of its first mutation set."""
    return change(5, lambda e: e["data"]["attributes"][0]["attributes"].update({name: value}))


def body(event: dict[str, Any]) -> Any:
    """The body of a full snapshot."""
    return event["data"]["node"]["childNodes"][1]["childNodes"][1]


def change(index: int, edit: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    events = copy.deepcopy(good())
    edit(events[index])
    return events


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        (good()[1:], "meta-first"),
        ([good()[0], *good()[2:]], "snapshot-second"),
        ([good()[0], good()[2], good()[1], *good()[3:]], "snapshot-second"),
        ([*good()[:3], good()[1], *good()[3:]], "meta-first"),
        (good()[:-1], "end"),
        ([*good(), rrweb.custom(1010, "note", {})], "after-end"),
        (good()[:1], "two-events"),
        (change(5, lambda e: e.update(timestamp=1003)), "order"),
        (change(5, lambda e: e.update(timestamp=1005.5)), "shape"),
        (change(5, lambda e: e.update(type=9)), "shape"),
        (change(5, lambda e: e.update(data=[])), "shape"),
        (change(1, lambda e: e.update(timestamp=1000)), "snapshot-time"),
        (change(0, lambda e: e["data"].update(width=0)), "meta-size"),
        (change(0, lambda e: e["data"].pop("href")), "meta-href"),
        (change(1, lambda e: e["data"].pop("node")), "document"),
        (change(1, lambda e: e["data"]["node"]["childNodes"].pop()), "document"),
        (change(1, lambda e: e["data"]["node"]["childNodes"][1].update(tagName="div")), "document"),
        (change(1, lambda e: e["data"]["node"]["childNodes"].append(rrweb.element(300, "html", {}))), "document"),
        (change(1, lambda e: e["data"]["node"].pop("childNodes")), "children"),
        (change(1, lambda e: body(e)["childNodes"][0].pop("childNodes")), "children"),
        (change(1, lambda e: body(e)["childNodes"][0].update(childNodes=None)), "children"),
        (change(1, lambda e: e["data"]["node"]["childNodes"][0].update(id=0)), "id"),
        (change(1, lambda e: e["data"]["node"]["childNodes"][0].update(id=7)), "id"),
        (change(2, lambda e: e["data"].update(id=0)), "touch-id"),
        (change(2, lambda e: e["data"].update(type=8)), "touch-type"),
        (change(3, lambda e: e["data"]["positions"].append({})), "touch-move"),
        (change(3, lambda e: e["data"]["positions"][0].update(timeOffset=-5)), "touch-move"),
        (change(3, lambda e: e["data"]["positions"][0].update(id=500)), "touch-id"),
        (change(3, lambda e: e["data"].update(source=99)), "source"),
        (change(5, lambda e: e["data"].pop("texts")), "four-arrays"),
        (change(5, lambda e: e["data"]["attributes"][0].update(id=500)), "attribute-id"),
        (attribute("width", 5), "attribute-value"),
        (change(5, lambda e: e["data"]["attributes"][0].pop("attributes")), "attributes"),
        (attribute("src", "x.webp"), "picture"),
        (attribute("src", DATA_URI.replace("webp", "png", 1)), "picture-type"),
        (attribute("src", "data:image/webp;base64,!"), "picture-type"),
        (attribute("src", "data:image/webp;base64,é"), "picture-type"),
        (change(5, lambda e: e["data"]["adds"][0].update(parentId=500)), "add-parent"),
        (change(5, lambda e: e["data"]["adds"][0].update(nextId=500)), "add-next"),
        (change(5, lambda e: e["data"]["adds"][0].update(node=None)), "add-node"),
        (change(5, lambda e: e["data"]["adds"][0]["node"].update(childNodes=[{"id": 200}])), "add-children"),
        (change(5, lambda e: e["data"]["adds"][0]["node"].update(id=100)), "id"),
        (change(6, lambda e: e["data"]["removes"][0].update(id=500)), "remove-id"),
        (change(6, lambda e: e["data"]["removes"][0].update(parentId=7)), "remove-id"),
        (change(8, lambda e: e["data"].update(tag="surprise")), "tag"),
        (change(8, lambda e: e["data"].update(payload="x" * 9_000_001)), "event-size"),
        (change(8, lambda e: e["data"].update(payload="x" * 6_000_000)), "batch-size"),
        ([b"{", *good()], "json"),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named(events: list[Any], rule: str) -> None:
    assert rule in rules(events)


def test_stored_pictures_are_looked_up() -> None:
    events = attribute("src", f"picture:{PICTURE.digest}")
    assert validate(events) == []
    assert validate(events, {PICTURE.digest: PICTURE}) == []
    assert validate(events, {}) == [Problem(5, "picture", f"{PICTURE.digest} is missing")]
    lying = {PICTURE.digest: replace(PICTURE, media_type="image/png")}
    assert validate(events, lying) == [Problem(5, "picture-type", "image/png")]


POSITION = {"x": 1, "y": 2.5, "id": 7, "timeOffset": -20}


@pytest.mark.parametrize("source", [1, 6, 12])
@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({}, "there are none"),
        ({"positions": []}, "there are none"),
        ({"positions": {"0": POSITION}}, "there are none"),
        ({"positions": [{**POSITION, "x": "1"}]}, "x of position 0 is no number"),
        ({"positions": [POSITION, {"y": True, "timeOffset": 0}]}, "x of position 1 is no number"),
        ({"positions": [{**POSITION, "timeOffset": None}, {}]}, "timeOffset of position 0 is no number"),
        ({"positions": [POSITION, None]}, "x of position 1 is no number"),
    ],
)
def test_a_move_without_places_is_named(source: int, data: dict[str, Any], detail: str) -> None:
    events = change(3, lambda event: event.update(data={"source": source, **data}))
    found = [problem for problem in validate(events) if problem.rule != "touch-move"]
    assert found == [Problem(3, "positions", detail)]


@pytest.mark.parametrize("source", [1, 12])
def test_what_a_mouse_moves_over_is_good(source: int) -> None:
    assert validate(change(3, lambda e: e.update(data={"source": source, "positions": [POSITION, POSITION]}))) == []


def test_what_is_added_alone_needs_no_children() -> None:
    assert validate(change(5, lambda e: e["data"]["adds"][0]["node"].pop("childNodes"))) == []


def test_an_open_list_needs_no_end() -> None:
    assert validate(good()[:-1], closed=False) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 20) | st.text(max_size=3),
    lambda v: st.lists(v, max_size=3),
    max_leaves=5,
)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["type", "data", "timestamp"]), JSON), max_size=3), st.data()
)
def test_broken_lists_are_reported_and_never_raise(edits: list[tuple[int, str, Any]], data: st.DataObject) -> None:
    events = copy.deepcopy(good())
    for index, name, value in edits:
        target: Any = events[index]
        if name == "data":
            target = target["data"] if isinstance(target["data"], dict) else target
            name = data.draw(st.sampled_from(sorted(target)))
            inner = target[name]
            if isinstance(inner, list) and inner and isinstance(inner[0], dict) and data.draw(st.booleans()):
                target, name = inner[0], data.draw(st.sampled_from(sorted(inner[0]) or ["id"]))
        target[name] = value
    validate(events)


def layered(*layers: tuple[int, str, int]) -> list[dict[str, Any]]:
    """The good list with layers (id, style, parent) added, one mutation each."""
    events = good()
    for n, (node_id, style, parent) in enumerate(layers):
        node = rrweb.element(node_id, "img", {"class": "l", "src": DATA_URI, "style": style})
        event = rrweb.mutation(1006)
        event["data"]["adds"] = [{"parentId": parent, "nextId": None, "node": node}]
        events.insert(7 + n, event)
    return events


PLACED = "left:0px;top:1px;width:2px;height:3px"


def test_fifteen_layers_may_lie_over_the_picture() -> None:
    assert validate(layered(*((200 + n, PLACED, 11) for n in range(15)))) == []
    assert rules(layered(*((200 + n, PLACED, 11) for n in range(16)))) == {"layers"}


def test_a_layer_has_a_place_and_its_own_container() -> None:
    assert rules(layered((200, "left:0px", 11))) == {"layer"}
    assert rules(layered((200, PLACED, 7))) == {"layer-parent"}
    events = layered((200, PLACED, 11))
    events[7]["data"]["adds"][0]["node"]["tagName"] = "div"
    assert rules(events) == {"layer"}


def test_layers_may_stand_in_the_snapshot() -> None:
    for count, broken in ((15, set()), (16, {"layers"})):
        events = good()
        holder = next(node for node in body(events[1])["childNodes"] if node["id"] == 11)
        attributes = {"class": "l", "src": DATA_URI, "style": PLACED}
        holder["childNodes"] = [rrweb.element(200 + n, "img", attributes) for n in range(count)]
        assert rules(events) == broken


def test_a_list_of_segments_ends_once_each() -> None:
    again = [{**event, "timestamp": event["timestamp"] + 10} for event in copy.deepcopy(good())]
    assert validate([*good(), *again]) == []
    assert rules([*good(), rrweb.custom(1010, "note", {}), *again]) == {"after-end"}
    assert rules([*good(), *again[:-1]]) == {"end"}


def test_a_resize_needs_a_size() -> None:
    def resized(width: object) -> list[dict[str, Any]]:
        data = {"source": 4, "width": width, "height": 411}
        return [*good()[:-1], {"type": 3, "timestamp": 1008, "data": data}, good()[-1]]

    assert validate(resized(914)) == []
    assert rules(resized("914")) == rules(resized(0)) == {"resize"}


def test_the_limit_of_an_upload_is_no_limit_of_a_list() -> None:
    events = change(8, lambda e: e["data"].update(payload="x" * 6_000_000))
    assert rules(events) == {"batch-size"}
    assert validate(events, batch=False) == []


@pytest.mark.parametrize("value", ["\ud83d", 2**64])
def test_what_no_json_of_ours_can_say_is_told(value: object) -> None:
    events = [*good()[:-1], rrweb.custom(1008, "note", {"value": value}), good()[-1]]
    assert rules(events) == {"json"}

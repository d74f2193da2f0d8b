from __future__ import annotations

import math

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agent.replay import rrweb


def test_the_document_has_the_ids_that_viewers_rely_on() -> None:
    event = rrweb.full_snapshot(5, "picture:x", 411, 914, [rrweb.element(100, "div", {"class": "v"})])
    html = event["data"]["node"]["childNodes"][1]
    body = html["childNodes"][1]
    image, _, views = body["childNodes"]
    assert (body["id"], image["id"], views["id"]) == (7, 10, 12)
    assert image["attributes"] == {"id": "s", "src": "picture:x", "width": "411", "height": "914", "alt": "screen"}
    assert [view["id"] for view in views["childNodes"]] == [100]
    assert "margin:0" in html["childNodes"][0]["childNodes"][0]["childNodes"][0]["textContent"]


def test_a_mutation_has_all_four_lists() -> None:
    data = rrweb.mutation(5, [(10, {"src": "x"})])["data"]
    assert data == {
        "source": 0,
        "texts": [],
        "attributes": [{"id": 10, "attributes": {"src": "x"}}],
        "removes": [],
        "adds": [],
    }
    assert rrweb.mutation(5, read_ms=9)["data"] == {
        "source": 0, "texts": [], "attributes": [], "removes": [], "adds": [], "read_ms": 9,
    }  # fmt: skip


def test_that_a_place_is_not_told_has_none() -> None:
    assert rrweb.untold(5)["data"] == {"plugin": rrweb.TOUCH, "payload": {"kind": "untold"}}


def test_touches() -> None:
    down = rrweb.touch(5, "down", 1.5, 2.5, 0)["data"]
    assert down == {"source": 2, "type": 7, "id": 7, "x": 1.5, "y": 2.5, "pointerType": 2, "pointer": 0}
    assert rrweb.touch(5, "up", 1, 2, 0)["data"]["type"] == 9
    assert rrweb.touch(5, "cancel", 1, 2, 0)["data"]["type"] == 10
    move = rrweb.touch(5, "move", 1, 2, 0)["data"]
    assert move == {"source": 6, "positions": [{"x": 1, "y": 2, "id": 7, "timeOffset": 0}], "pointer": 0}
    assert rrweb.other_finger(5, "move", 1, 2, 1)["type"] == 6


def test_a_log_line() -> None:
    assert rrweb.log(5, "info", "I/Tag: x") == {
        "type": 6,
        "timestamp": 5,
        "data": {"plugin": "rrweb/console@1", "payload": {"level": "info", "payload": ["I/Tag: x"], "trace": []}},
    }


def test_what_json_cannot_hold_comes_out_as_text_or_null() -> None:
    odd = {"nan": math.nan, "huge": 2**70, "half": "\ud83d", "set": {1}, "deep": [{"\udc00": b"x"}], "obj": object}
    out = orjson.loads(rrweb.dumps(rrweb.custom(1, "note", odd)))["data"]["payload"]
    assert (out["nan"], out["huge"], out["half"], out["set"]) == (None, str(2**70), "?", [1])
    assert list(out["deep"][0]) == ["?"]


@given(
    st.recursive(
        st.none() | st.floats() | st.integers() | st.text() | st.characters(categories=["Cs"]), st.lists, max_leaves=9
    )
)
def test_anything_can_be_dumped(value: object) -> None:
    orjson.loads(rrweb.dumps(rrweb.custom(1, "note", {"x": value})))

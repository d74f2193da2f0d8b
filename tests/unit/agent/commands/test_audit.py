from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.segments import custom, segment

from agent.store.recording import Recording

START = segment().manifest.start_ms


@pytest.fixture
def shop(tmp_path: Path) -> Recording:
    made = Recording.create(tmp_path / "shop")
    rects = [[0, 0, 108, 24, "editable"], [0, 0, 1080, 100, "mask id=total"]]
    payload: dict[str, object] = {
        "count": 2, "rules": {"editable": 1, "mask id=total": 1}, "blocked": "", "rects": rects, "screen": [1080, 2400],
    }  # fmt: skip
    blocked: dict[str, object] = {"count": 1, "rules": {"secure": 1}, "blocked": "secure", "rects": []}
    made.write(
        segment(extra=[custom(START + 4000, "mask", payload), custom(START + 9000, "mask", blocked)], shades=(1, 2))
    )
    made.write(segment(1))
    return made


def test_what_was_seen_and_what_was_hidden(call, shop: Recording) -> None:
    ended = call("audit", str(shop.path))
    assert ended.code == 0
    assert "2 x" not in ended.out
    assert "Pay" in ended.out
    assert "editable" in ended.out
    assert "5.0 s" in ended.out
    assert "a rule of yours" in ended.out
    assert "the app forbids pictures of this window" in ended.out
    assert "Order Completed" not in ended.out
    assert "2 segments of 58 s: 1 texts visible, covers by 2 rules, 20.0 s blocked whole." in ended.err


def test_the_same_as_json(call, shop: Recording) -> None:
    told = json.loads(call("audit", str(shop.path), "--json").out)
    (text,) = told["texts"]
    assert (text["text"], text["count"], text["first_ms"]) == ("Pay", 1, START + 1)
    assert text["views"] == [{"id": "com.example.shop:id/pay", "class": "android.widget.Button"}]
    assert {cover["rule"]: cover["ms"] for cover in told["covers"]} == {"editable": 5000, "mask id=total": 5000}
    assert told["covers"][0]["time_share"] == pytest.approx(5 / 58, abs=1e-3)
    assert [(block["reason"], block["ms"]) for block in told["blocked"]] == [("secure", 20_000)]
    assert told["problems"] == []


def test_a_damaged_segment_is_named_and_the_others_are_read(call, shop: Recording) -> None:
    name = segment(1).manifest.id
    (shop.path / "segments" / f"{name}.jsonl").write_bytes(b"{}\n")
    ended = call("audit", str(shop.path))
    assert ended.code == 11
    assert "Pay" in ended.out
    (line,) = [line for line in ended.err.splitlines() if line.startswith("Not read: ")]
    assert line.count(f"{name}.jsonl") == 1
    assert "1 segments" in ended.err
    assert "1 part of" in ended.err
    told = call("audit", str(shop.path), "--json")
    assert told.code == 11
    assert [problem["file"] for problem in json.loads(told.out)["problems"]] == [f"{name}.jsonl"]


def test_no_recording(call, tmp_path: Path) -> None:
    ended = call("audit", str(tmp_path / "none"))
    assert ended.code == 11
    assert "There is no" in ended.err

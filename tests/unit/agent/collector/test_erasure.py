from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.collector import erasure
from agent.store.replays import Key, Who

ROWS: list[dict[str, Any]] = [
    {"n": 0, "device_id": "d", "session_id": 5, "user_id": "u"},
    {"n": 1, "device_id": "d", "session_id": 6},
    {"n": 2, "device_id": "e", "session_id": 5},
    {"n": 3, "user_id": "u"},
    {"n": 4, "device_id": ["d"], "session_id": 5},
    {"n": 5, "user_id": 12345},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in ROWS) + b'{"torn')
    (tmp_path / "interactions.jsonl").write_bytes(orjson.dumps({"device_id": "d", "session_id": 6}) + b"\n")
    return tmp_path


@pytest.mark.parametrize(
    ("who", "replays", "gone"),
    [
        (Who(device="d"), set(), {0, 1}),
        (Who(session=5), set(), {0, 2, 4}),
        (Who(user="u"), set(), {0, 3}),
        (Who(user="u"), {("d", 6)}, {0, 1, 3}),
        (Who(user="12345"), set(), {5}),
        (Who(device="d", session=5), set(), {0}),
        (Who(), {("e", 5)}, {2}),
        (Who(), set(), set()),
    ],
)
def test_what_is_meant_goes_and_the_rest_stays(folder: Path, who: Who, replays: set[Key], gone: set[int]) -> None:
    assert {event["n"] for event in erasure.events(folder, who, replays)} == gone
    with (folder / "events.jsonl").open("rb") as before:
        lines, size = erasure.erase(folder, who, replays)
        old = before.read()
    assert size > 0
    left = [orjson.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    assert left == [row for row in ROWS if row["n"] not in gone]
    # The file that was there before holds nothing of it any more, either.
    assert all(orjson.dumps(ROWS[n]) not in old for n in gone)
    assert b"torn" not in old
    told = (folder / "interactions.jsonl").read_bytes()
    assert (told == b"") is ((who.device == "d" and who.session is None) or ("d", 6) in replays)
    assert lines == len(gone) + 1 + (told == b"")


def test_a_folder_without_them(tmp_path: Path) -> None:
    assert list(erasure.events(tmp_path, Who(device="d"), set())) == []
    assert erasure.erase(tmp_path, Who(device="d"), set()) == (0, 0)

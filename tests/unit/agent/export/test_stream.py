from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes import patterned
from fakes.cards import BLUE, GREEN, RED, card, red
from fakes.patterned import LENGTH_MS, PAUSE_MS, SESSION
from fakes.shown import state_at
from fakes.views import APP, DPI, SCREEN
from fakes.views import event as tracked

from agent.export.part import parts
from agent.export.stream import LONG_MS, SHORT_MS, Stream, is_end, shortened
from agent.replay import rrweb
from agent.replay.mask import Masker
from agent.replay.recorder import Recorder
from agent.replay.rrweb import Event
from agent.replay.validator import validate
from agent.store.recording import Recording

START = SESSION + 1000


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return patterned.record(tmp_path / "shop")


def stream(recording: Recording, begin: str | None = None, end: str | None = None) -> Stream:
    return Stream(recording, parts(recording, SESSION, begin=begin, end=end)[0])


def number(made: Stream, events: list[Event], at_ms: int) -> str:
    """What picture the events show at a time."""
    return state_at(events, at_ms).base.removeprefix("picture:")


def test_segments_follow_each_other_with_true_times(recording: Recording) -> None:
    made = stream(recording)
    events = list(made)
    assert validate(events, batch=False) == []
    assert [event["timestamp"] - START for event in events if event["type"] == 4] == [
        0, LENGTH_MS + 1, 2 * LENGTH_MS + PAUSE_MS,
    ]  # fmt: skip
    assert sum(event["type"] == 2 for event in events) == 3
    assert events[-1]["timestamp"] == START + 3 * LENGTH_MS + PAUSE_MS
    assert is_end(events[-1])
    assert made.problems == []
    assert [event["timestamp"] for event in made] == [event["timestamp"] for event in events]


def test_a_part_begins_with_what_is_shown_then(recording: Recording) -> None:
    made = stream(recording, "3.5", "6")
    events = list(made)
    assert validate(events, batch=False) == []
    assert events[0]["timestamp"] == START + 3500
    assert events[-1]["timestamp"] == START + 6000
    assert number(made, events, START + 3502) == patterned.picture(4).digest
    assert number(made, events, START + 4000) == patterned.picture(5).digest
    # The tap and the log lines of before are no part of it.
    assert not any(event["type"] == 3 and event["data"]["source"] == 2 for event in events)
    assert sum(event["type"] == 6 for event in events) == 25
    assert any(event["type"] == 5 and event["data"]["tag"] == "segment:track" for event in events)
    assert events[-1]["data"]["payload"]["reason"] == "export"


def test_a_part_holds_nothing_from_before_it(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "cards")
    recorder = Recorder("serial-1", {}, Masker("medium", APP), lambda value: SESSION, SCREEN, DPI)
    shown = [(1.5, RED, "Salary slip"), (4.5, RED, "Salary slip"), (8, BLUE, "Offer"), (11, GREEN, ""), (14, BLUE, "")]
    items = (tracked(1), *map(card, *zip(*shown, strict=True)))
    for sealed in [*(each for item in items for each in recorder.feed(item)), *recorder.finish()]:
        recording.write(sealed)
    made = stream(recording, "9")
    told = [rrweb.dumps(each) for each in made]
    digests = {digest for line in told for digest in re.findall(rb'"picture:([0-9a-f]+)"', line)}
    pictures = [made.picture(digest.decode()) for digest in digests]
    assert pictures
    assert red(picture.data for picture in pictures if picture is not None) == 0
    assert b"Salary" not in b"".join(told)
    assert validate(told, batch=False) == []


def test_a_part_of_a_pause_shows_what_stood(recording: Recording) -> None:
    made = stream(recording, "5:00", "6:00")
    events = list(made)
    assert validate(events, batch=False) == []
    assert (events[0]["timestamp"], events[-1]["timestamp"]) == (START + 300_000, START + 360_000)
    assert number(made, events, events[-1]["timestamp"]) == patterned.picture(20).digest


def test_segments_that_overlap_come_one_after_the_other(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "overlap")
    recording.write(patterned.segment(0, START, range(1, 11)))
    recording.write(patterned.segment(1, START + LENGTH_MS - 500, range(11, 21)))
    events = list(stream(recording))
    assert validate(events, batch=False) == []


def test_a_damaged_segment_is_a_named_gap(recording: Recording) -> None:
    manifests = recording.manifests()
    broken = recording.path / "segments" / f"{manifests[1].id}.jsonl"
    broken.write_bytes(broken.read_bytes()[:-100])
    made = stream(recording)
    events = list(made)
    assert validate(events, batch=False) == []
    assert sum(event["type"] == 2 for event in events) == 2
    assert len(made.problems) == 1
    assert "Damaged" in made.problems[0]
    (gap,) = [
        e["data"]["payload"] for e in events if e["type"] == 5 and e["data"]["payload"].get("stage") == "recording"
    ]
    assert (gap["from_ms"], gap["to_ms"], gap["ms"]) == (START + LENGTH_MS, START + 2 * LENGTH_MS, LENGTH_MS)


def test_a_missing_picture_is_a_damaged_segment_the_last_one_too(recording: Recording) -> None:
    (recording.path / "pictures" / f"{patterned.picture(25, patterned.FLAT).digest}.webp").unlink()
    made = stream(recording)
    events = list(made)
    assert sum(event["type"] == 2 for event in events) == 2
    assert events[-1]["data"]["tag"] == "end"
    assert events[-2]["data"]["payload"]["reason"] == "segment damaged"
    assert len(made.problems) == 1
    assert validate(events, batch=False) == []


def test_nothing_readable_is_no_event(recording: Recording) -> None:
    for file in (recording.path / "segments").glob("*.jsonl"):
        file.unlink()
    made = stream(recording)
    assert list(made) == []
    assert len(made.problems) == 3


def test_pictures_of_a_recent_event_are_at_hand(recording: Recording) -> None:
    made = stream(recording)
    for event in made:
        for digest in [event["data"]["node"]["childNodes"]] if event["type"] == 2 else []:
            assert digest
        if event["type"] == 3 and event["data"]["source"] == 0:
            for change in event["data"]["attributes"]:
                assert made.load(change["attributes"]["src"])[:4] == b"RIFF"
    assert made.problems == []
    absent = "picture:00000000000000000000000000000000"
    for source in (absent, "data:image/gif;base64,R0lGODlh", absent):
        assert made.load(source) == b""
    assert [problem.partition("shows ")[2] for problem in made.problems] == [
        f"'{absent}', which is not stored.", "'data:image/gif;base64,R0lGODlh', which is not stored.",
    ]  # fmt: skip


def test_a_long_pause_is_shortened_and_says_its_length(recording: Recording) -> None:
    events = list(shortened(stream(recording)))
    assert validate(events, batch=False) == []
    assert events[-1]["timestamp"] - events[0]["timestamp"] == 3 * LENGTH_MS + SHORT_MS
    (gap,) = [e for e in events if e["type"] == 5 and e["data"]["payload"].get("stage") == "recording"]
    assert gap["timestamp"] == START + 2 * LENGTH_MS
    assert gap["data"]["payload"]["ms"] == PAUSE_MS
    assert gap["data"]["payload"]["from_ms"] == START + 2 * LENGTH_MS


def test_pauses_up_to_the_limit_stay() -> None:
    events = [rrweb.custom(at, "note", {}) for at in (0, LONG_MS, 2 * LONG_MS + 1)]
    times = [(event["timestamp"], event["data"]["tag"]) for event in shortened(events)]
    assert times == [(0, "note"), (LONG_MS, "note"), (LONG_MS, "gap"), (LONG_MS + SHORT_MS, "note")]
    assert list(shortened([])) == []


def left_out(events: list[Event]) -> list[dict[str, Any]]:
    told = [event["data"]["payload"] for event in events if event["type"] == 5 and event["data"]["tag"] == "gap"]
    return [payload for payload in told if payload["reason"] == "events left out"]


@pytest.mark.parametrize(
    ("event", "lacks"),
    [
        (b"{}", "type"),
        (b"[]", "not an object"),
        (b'{"type":9,"timestamp":1,"data":{}}', "type"),
        (b'{"type":3,"timestamp":"x","data":{}}', "timestamp"),
        (b'{"type":5,"timestamp":1,"data":[]}', "data"),
    ],
)
def test_what_a_foreign_sender_stored_that_is_no_event_is_left_out_and_named(
    recording: Recording, event: bytes, lacks: str
) -> None:
    foreign = patterned.segment(9, START + 800_000, [1])
    recording.write(replace(foreign, events=(event, *foreign.events[:5], event, *foreign.events[5:], event)))
    made = stream(recording)
    events = list(made)
    assert validate(events, batch=False) == []
    assert made.problems == []
    assert made.notes == [f"3 events of segment {foreign.manifest.id} are left out (event 0: {lacks})."]
    assert [payload["detail"] for payload in left_out(events)] == [
        f"3 of {foreign.manifest.id} that are none of rrweb, the first is event 0: {lacks}"
    ]
    assert number(made, events, events[-1]["timestamp"]) == patterned.picture(1).digest
    assert sum(event["type"] == 6 for event in events) == 400


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("broken", [{"data": []}, {"type": 9}, {"type": None}])
def test_a_segment_without_its_document_is_damaged(recording: Recording, lost: int, broken: dict[str, Any]) -> None:
    before = list(stream(recording))
    foreign = patterned.segment(9, START + 800_000, [1])
    events = list(foreign.events)
    events[lost] = orjson.dumps(orjson.loads(events[lost]) | broken)
    recording.write(replace(foreign, events=tuple(events)))
    made = stream(recording)
    told = list(made)
    assert validate(told, batch=False) == []
    assert [foreign.manifest.id in problem for problem in made.problems] == [True]
    assert sum(event["type"] == 2 for event in told) == sum(event["type"] == 2 for event in before)


@pytest.mark.parametrize(
    "lines",
    [
        [b"{"],
        [b"[]", b"{}"],
        [b'{"type":4,"timestamp":1,"data":{}}', b"nonsense"],
        [b'{"type":4,"timestamp":1,"data":{}}', b'{"type":2,"timestamp":2,"data":[]}'],
    ],
)
def test_what_cannot_be_read_at_all_is_a_damaged_segment(recording: Recording, lines: list[bytes]) -> None:
    foreign = patterned.segment(9, START + 800_000, [1])
    recording.write(replace(foreign, events=tuple(lines)))
    made = stream(recording)
    events = list(made)
    assert validate(events, batch=False) == []
    assert len(made.problems) == 1
    assert foreign.manifest.id in made.problems[0]
    assert left_out(events) == []


def test_a_time_with_a_fraction_is_a_time(recording: Recording) -> None:
    at = START + 800_000
    foreign = patterned.segment(9, at, [1])
    lines = tuple(
        rrweb.dumps({**each, "timestamp": each["timestamp"] + 0.75}) for each in map(orjson.loads, foreign.events)
    )
    recording.write(replace(foreign, events=lines))
    made = stream(recording)
    events = list(made)
    assert validate(events, batch=False) == []
    assert (made.problems, left_out(events)) == ([], [])
    assert [event["timestamp"] for event in events if event["type"] == 4][-1] == at


@pytest.mark.parametrize("shuffle", [lambda lines: lines[::-1], lambda lines: [*lines[50:], *lines[:50]]])
@pytest.mark.parametrize("times", [(None, None), ("3.5", "6")])
def test_events_are_taken_in_order_of_time_whatever_their_order_in_the_file(
    tmp_path: Path, shuffle: Callable[[list[bytes]], list[bytes]], times: tuple[str | None, str | None]
) -> None:
    sealed = patterned.segment(0, START, range(1, 11))
    told = []
    for name in ("sorted", "shuffled"):
        recording = Recording.create(tmp_path / name)
        lines = list(sealed.events)
        recording.write(replace(sealed, events=tuple(shuffle(lines) if name == "shuffled" else lines)))
        made = stream(recording, *times)
        events = list(made)
        assert validate(events, batch=False) == []
        assert (made.problems, made.notes) == ([], [])
        told.append(sorted(map(rrweb.dumps, events)))
    assert told[0] == told[1]


@pytest.mark.parametrize("data", [{}, {"tag": None}, {"source": []}, {"source": 0}])
def test_events_with_little_in_them_pass_through(recording: Recording, data: dict[str, object]) -> None:
    at = START + 800_500
    odd = [{"type": kind, "timestamp": at + kind, "data": data} for kind in (3, 5, 6)]
    recording.write(patterned.segment(9, START + 800_000, [1], extra=odd))
    assert sum(event["data"] == data for event in stream(recording)) == 3
    assert list(stream(recording, begin="800.8"))[-1]["data"]["tag"] == "end"

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from fakes import patterned

from agent.errors import RecordingError
from agent.export import check
from agent.export.check import Fault
from agent.replay import rrweb
from agent.store.recording import Recording


def faults(found: object) -> list[Fault]:
    return [fault for fault in found if fault is not None]  # type: ignore[attr-defined]


def test_a_good_recording_has_none_and_counts_its_segments(tmp_path: Path) -> None:
    assert list(check.recording(patterned.record(tmp_path / "shop"))) == [None] * 4


def test_each_fault_has_its_place(tmp_path: Path) -> None:
    recording = patterned.record(tmp_path / "shop")
    bad = patterned.segment(
        7, patterned.SESSION + 5_000_000, [1], extra=[rrweb.custom(patterned.SESSION, "surprise", {})]
    )
    recording.write(bad)
    first = recording.manifests()[0].id
    (recording.path / "segments" / f"{first}.jsonl").write_bytes(b"{}\n")
    (recording.path / "segments" / ("0" * 32 + ".json")).write_bytes(b"{")
    found = faults(check.recording(Recording.open(recording.path)))
    places = {(fault.file, fault.rule) for fault in found}
    assert ("segments/" + "0" * 32 + ".json", "damaged") in places
    assert (f"segments/{first}.jsonl", "damaged") in places
    (tag,) = [fault for fault in found if fault.rule == "tag"]
    assert (tag.file, tag.event, tag.detail) == (f"segments/{bad.manifest.id}.jsonl", 0, "surprise")


def test_an_event_list(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    events = [rrweb.meta(1, "x", 10, 20), rrweb.full_snapshot(2, "picture:" + "0" * 32, 10, 20, [])]
    file.write_bytes(orjson.dumps(events))
    found = faults(check.event_list(file))
    assert Fault(str(file), 1, "picture", "0" * 32 + " is missing") in found
    assert Fault(str(file), None, "end", "no closing event") in found


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1,", None])
def test_what_is_no_list_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "list.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecordingError) as told:
        list(check.event_list(file))
    assert str(file) in told.value.message
    assert "rrweb" in told.value.hint

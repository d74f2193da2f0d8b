from __future__ import annotations

from pathlib import Path

import orjson
from fakes import segments
from fakes.segments import DEVICE, SERIAL, SESSION, custom

from agent.export.part import parts
from agent.export.summary import Summary, numbered, summarize
from agent.replay.steps import Step
from agent.store.recording import Recording

FINDING = {"rule": "plugin-order", "severity": "warning", "meaning": "m", "fix": "f", "saw": "s", "proof": "p"}


def recorded(folder: Path) -> Recording:
    """Two sessions of a phone, one of another; a marker, a crash and a finding in each of the first two."""
    recording = Recording.create(folder)
    for serial, session, device in (
        (SERIAL, SESSION, DEVICE),
        (SERIAL, SESSION + 60_000, DEVICE),
        ("other", SESSION, "d2"),
    ):
        at = session + 2_000
        extra = [
            custom(at, "marker", {"name": "bug", "note": "off by one", "by": "key"}),
            custom(at + 1, "crash", {"name": "Crash", "kind": "java", "text": "cart is null"}),
            custom(at + 2, "doctor", FINDING),
        ]
        recording.write(segments.segment(0, session, device, serial, extra=extra if serial == SERIAL else ()))
    return recording


def summary(recording: Recording) -> Summary:
    return summarize(recording, parts(recording))


def test_whose_sessions_what_was_marked_what_is_missing(tmp_path: Path) -> None:
    found = summary(recorded(tmp_path / "r"))
    facts = orjson.loads(orjson.dumps(found.facts()))
    assert (facts["from_ms"], facts["to_ms"]) == (SESSION + 1000, SESSION + 90_000)
    assert [(each["session_id"], each["device_id"], each["serial"]) for each in facts["sessions"]] == [
        (SESSION, DEVICE, SERIAL), (SESSION + 60_000, DEVICE, SERIAL), (SESSION, "d2", "other"),
    ]  # fmt: skip
    assert facts["sessions"][0]["session_from"] == "integrations"
    assert facts["sessions"][0]["device_from"] == "context.device.id"
    assert [(each["name"], each["note"], each["by"]) for each in facts["markers"]] == [("bug", "off by one", "key")] * 2
    assert [each["text"] for each in facts["crashes"]] == ["cart is null"] * 2
    assert len(facts["gaps"]) == 3
    assert facts["lost"] == {"screen: superseded": 6}
    (finding,) = facts["findings"]
    assert (finding["rule"], finding["sessions"], finding["at_ms"]) == ("plugin-order", 2, SESSION + 2_002)
    assert facts["problems"] == []


def test_the_steps_of_each_device_with_their_selectors(tmp_path: Path) -> None:
    found = summary(recorded(tmp_path / "r"))
    assert [phone.serial for phone in found.phones] == [SERIAL, "other"]
    assert found.phones[0].name == "Pixel 7"
    taps = [step for step in found.facts()["steps"] if step["kind"] == "tap"]
    assert [step["number"] for step in taps] == [1, 2, 1]
    assert taps[0]["text"] == "Tap “Pay” (pay)"
    assert taps[0]["target"]["selector"] == {"id": "com.example.shop:id/pay"}
    assert [sight["event"] for sight in taps[0]["seen"]] == ["Order Completed"]


def test_a_damaged_segment_is_a_problem_and_the_rest_is_told(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "r")
    broken = recording.manifests()[0]
    (recording.path / "segments" / f"{broken.id}.jsonl").write_bytes(b"")
    found = summary(recording)
    assert len(found.problems) == 1
    assert broken.id in found.problems[0]
    assert len(found.of_kind("tap")) == 2


def test_only_what_was_done_has_a_number() -> None:
    steps = [Step(0, 0, "session"), Step(1, 1, "tap"), Step(2, 2, "marker"), Step(3, 3, "scroll")]
    assert [number for number, _ in numbered(steps)] == [0, 1, 0, 2]

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.segments import DEVICE, SESSION, custom, segment

from agent.errors import RecordingError
from agent.store.recording import Recording
from agent.store.replays import Who, replays, tracked


@pytest.mark.parametrize(
    ("who", "users", "meant"),
    [
        (Who(), [], True),
        (Who(device="d"), [], True),
        (Who(device="e"), [], False),
        (Who(session=5), [], True),
        (Who(session=6), [], False),
        (Who(user="u"), ["u", "v"], True),
        (Who(user="u"), ["v"], False),
        (Who("d", 5, "u"), ["u"], True),
        (Who("d", 6, "u"), ["u"], False),
    ],
)
def test_who_is_meant(who: Who, users: list[str], meant: bool) -> None:
    assert who.means(("d", 5), users) is meant
    assert bool(who) is (who != Who())


def test_replays_and_their_users(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path)
    at = SESSION + 2000
    said = [
        custom(at, "segment:track", {"event": "a", "userId": "anna"}),
        custom(at, "segment:track", {"event": "b", "userId": {"not": "one"}}),
        custom(at, "segment:identify", {"userId": 12345}),
        custom(at, "note", {"userId": "nobody"}),
        {"type": 5, "timestamp": at, "data": '"segment:'},
    ]
    recording.write(segment(1, extra=said))
    recording.write(segment(0))
    recording.write(segment(0, session_id=SESSION + 1))
    found = replays(recording)
    assert list(found) == [(DEVICE, SESSION), (DEVICE, SESSION + 1)]
    assert [manifest.seq for manifest in found[DEVICE, SESSION].segments] == [0, 1]
    assert found[DEVICE, SESSION].users == {"anna", "12345"}
    assert [event["kind"] for event in tracked(recording, segment(1).manifest.id)] == [
        "track",
        "track",
        "identify",
        "track",
    ]


def test_what_a_spool_delivers_meanwhile_is_not_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording.create(tmp_path)
    recording.write(segment(0))
    recording.write(segment(0, session_id=SESSION + 1))
    listed = recording.manifests()
    recording.remove(segment(0).manifest.id)
    monkeypatch.setattr(Recording, "manifests", lambda self: listed)
    (key,) = replays(recording)
    assert key == (DEVICE, SESSION + 1)


def test_damaged_events_show_no_users(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path)
    recording.write(segment(0))
    (tmp_path / "segments" / f"{segment(0).manifest.id}.jsonl").write_bytes(b"x\n")
    assert replays(recording)[DEVICE, SESSION].users == set()
    with pytest.raises(RecordingError):
        list(tracked(recording, segment(0).manifest.id))

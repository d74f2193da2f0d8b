from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import closing
from itertools import count
from pathlib import Path

import orjson
from fakes.crash import crashes, run_as_script
from fakes.segments import DEVICE, SESSION, custom, segment

from agent.collector.ingest import Ingest
from agent.commands.holdings import Place, erase, holdings, places
from agent.outbox.spool import Spool
from agent.store.recording import Recording
from agent.store.replays import Who

OTHER = "0f0f0f0f-1111-4222-8333-444455556666"
USER = "user-4711"
WORK = Who(user=USER)


def test_a_killed_deletion_is_finished_by_the_next(tmp_path: Path) -> None:
    run_as_script(__file__, tmp_path)


def test_places(tmp_path: Path) -> None:
    fill(tmp_path)
    assert [place.folder.name for place in found(tmp_path)] == ["collected", "1"]
    assert places(tmp_path / "nothing", asked=False) == []
    assert [place.is_spool for place in found(tmp_path)] == [False, True]


def test_a_user_known_by_analytics_events_alone_is_found(tmp_path: Path) -> None:
    fill(tmp_path)
    held, problems = holdings(found(tmp_path), Who(user="only-there"))
    assert list(held) == [(OTHER, SESSION)]
    assert problems == []


def fill(base: Path) -> None:
    said = custom(SESSION + 2000, "segment:identify", {"event": "", "userId": USER, "properties": {}})
    kept = Recording.create(base / "collected")
    kept.write(segment(0, extra=[said], shades=(1,)))
    kept.write(segment(0, device_id=OTHER, shades=(2,)))
    with closing(Ingest(base / "collected")) as ingest:
        events = [
            {"event_type": "Paid", "device_id": DEVICE, "session_id": SESSION, "insert_id": "one"},
            {"event_type": "Paid", "device_id": OTHER, "session_id": SESSION, "user_id": "only-there"},
        ]
        ingest.take(orjson.dumps({"api_key": "key", "events": events}), "")
    with closing(Spool(base / "spool" / "1")) as spool:
        # Nothing here tells of the user.
        spool.put(segment(1, shades=(3,)), ["dir:/x"])
        spool.put(segment(1, device_id=OTHER, shades=(2,)), ["dir:/x"])


def found(base: Path) -> list[Place]:
    return [*places(base / "collected"), *places(base / "spool")]


def check(base: Path) -> None:
    files = [file for file in base.rglob("*") if file.is_file()]
    left = b"\n".join(str(file).encode() + file.read_bytes() for file in files)
    for mark in (DEVICE, USER, segment(0).manifest.id, segment(1).manifest.id):
        assert mark.encode() not in left, mark
    assert [manifest.device_id for place in found(base) for manifest in place.recording.manifests()] == [OTHER] * 2
    assert not list(base.rglob("*.part"))
    assert not list(base.rglob("erasing.json"))


def _kill_everywhere(parent: Path) -> None:
    """A crash at every file operation of a deletion: nothing of another is lost, and the next run finishes it."""

    def work(folder: Path) -> None:
        erase(found(folder), WORK, dry_run=False, skipped=[])

    fill(parent / "full")
    runs = crashes(work, parent)
    for n in count(1):
        shutil.copytree(parent / "full", parent / str(n))
        run = next(runs, None)
        if run is None:
            break
        folder = run[0]
        assert [m.device_id for place in found(folder) for m in place.recording.manifests()].count(OTHER) == 2
        assert all(not place.recording.problems() for place in found(folder))
        work(folder)
        check(folder)
        shutil.rmtree(folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as name:
        _kill_everywhere(Path(name))

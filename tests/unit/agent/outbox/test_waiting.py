from __future__ import annotations

from contextlib import closing
from pathlib import Path

from fakes.drafts import OPEN, drafts
from fakes.segments import SESSION, segment

from agent.outbox.journal import encode
from agent.outbox.spool import Recovery, Spool
from agent.outbox.waiting import QUEUE, held, left_open, spools, still_open, waiting
from agent.store.recording import Recording

SINKS = ("collector:http://a", "dir:/b")


def test_what_waits_is_told_as_the_spool_has_it(tmp_path: Path) -> None:
    """While a recorder is at work, after it was killed, and once the next has opened its spool."""
    place = tmp_path / "1"
    with closing(Spool(place)) as spool:
        for seq in (0, 1):
            spool.put(segment(seq), SINKS)
        spool.ack(segment(1).manifest.id, SINKS[0])
        for draft in drafts(segment(2)):
            spool.append(draft, SINKS[1:])
        for sink in SINKS:
            spool.put(segment(3), SINKS)
            spool.ack(segment(3).manifest.id, sink)
        orphan = segment(0, SESSION + 1)
        Recording.open(place / QUEUE).write(orphan)
        before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
        found = waiting(place)
        assert {one.manifest.id: one.sinks for one in found if one.open is None} == {
            segment(0).manifest.id: SINKS,
            segment(1).manifest.id: SINKS[1:],
            orphan.manifest.id: None,
        }
        (left,) = [one for one in found if one.open is not None]
        assert (left.sinks, left.manifest.key) == (SINKS[1:], found[0].manifest.key)
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before
    with closing(Spool(place)) as spool:
        assert spool.sealed(left.manifest.id) == left.sealed()
        assert {one.manifest.id: one.sinks or () for one in waiting(place)} == spool.segments()


def test_what_of_drafts_is_no_segment(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "1")) as spool:
        for draft in drafts(segment(0)):
            spool.append(draft, SINKS)
        (name,) = (tmp_path / "1/drafts").iterdir()
        kept = name.read_bytes()
        spool.put(segment(0), SINKS)
    # A kill between: the segment is in the queue, and its draft is still there.
    name.write_bytes(kept)
    (tmp_path / "1/drafts/torn.draft").write_bytes(kept[:100])
    assert list(still_open(tmp_path / "1")) == [(tmp_path / "1/drafts/torn.draft", None)]
    assert [one.open for one in waiting(tmp_path / "1")] == [None]


def test_of_a_damaged_draft_it_is_not_said_that_only_its_end_is_missing(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "1")) as spool:
        for draft in drafts(OPEN):
            spool.append(draft, SINKS)
    (file,) = (tmp_path / "1/drafts").iterdir()
    data = bytearray(file.read_bytes())
    data[sum(map(len, encode(drafts(OPEN)[0], SINKS))) + 40] ^= 1
    file.write_bytes(data)
    (left,) = waiting(tmp_path / "1")
    assert left.manifest.losses[-1].reason.endswith("what came from a damaged append on is missing")
    assert b"damaged append" in left.sealed().events[-2]
    with closing(Spool(tmp_path / "1")) as spool:
        assert spool.recovery == Recovery(sealed=1)
        assert spool.sealed(left.manifest.id) == left.sealed()


def test_what_is_held_of_the_budget_is_what_is_sealed_and_what_is_open(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "1")) as spool:
        assert held(tmp_path / "1") == 0
        spool.put(segment(0), SINKS)
        spool.append(drafts(segment(1))[0], SINKS)
        (file,) = (tmp_path / "1/drafts").iterdir()
        assert held(tmp_path / "1") == segment(0).manifest.bytes + file.stat().st_size


def test_what_a_running_recorder_has_open_is_not_left(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "1")) as spool:
        spool.append(drafts(segment(0))[0], SINKS)
        assert left_open(tmp_path / "1") == 0
    assert left_open(tmp_path / "1") == 1
    (tmp_path / "1/lock").unlink()
    assert left_open(tmp_path / "1") == 1


def test_spools(tmp_path: Path) -> None:
    Spool(tmp_path / "all/2").close()
    (tmp_path / "all/devices").mkdir()
    assert spools(tmp_path / "all") == spools(tmp_path / "all/2") == [tmp_path / "all/2"]
    assert spools(tmp_path / "none") == []

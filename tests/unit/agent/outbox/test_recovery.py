"""What the spool makes of it is in test_spool.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.drafts import OPEN, drafts
from fakes.segments import SESSION, segment

from agent.errors import StorageDenied, StorageFull
from agent.outbox import journal
from agent.outbox.journal import Journal
from agent.outbox.ledger import FILE, Row, read_ledger, write_ledger
from agent.outbox.recovery import NOTES, Found, recover
from agent.replay.segment import draft_id
from agent.store.recording import Recording

A, B = "dir:/a", "collector:http://b"
NOW_MS = 1_700_000_000_000
ONE, TWO = segment(), segment(0, SESSION + 1)


@pytest.fixture
def queue(tmp_path: Path) -> Recording:
    return Recording.create(tmp_path / "queue")


@pytest.fixture
def drafted(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path)) as made:
        yield made


def _recover(queue: Recording, drafted: Journal) -> Found:
    return recover(queue.path.parent, queue, drafted, NOW_MS)


def _put(name: str, *sinks: str, draft: str = "") -> Row:
    return Row("put", name, sinks, 9, at_ms=NOW_MS - 1, draft=draft)


def test_an_empty_folder_holds_nothing(queue: Recording, drafted: Journal) -> None:
    found = _recover(queue, drafted)
    assert (found.entries, list(found.notes)) == ({}, [])
    assert (found.torn, found.damaged, found.lost, found.orphans, found.undone) == (False, 0, 0, 0, None)


def test_the_ledger_is_brought_to_what_is_there(queue: Recording, drafted: Journal, tmp_path: Path) -> None:
    gone, done, known, orphan = (sealed.manifest.id for sealed in (segment(7), segment(8), ONE, TWO))
    for sealed in (ONE, TWO, segment(8)):
        queue.write(sealed)
    note = Row("expire", "e" * 32, (A,), reason="old")
    rows = [note, _put(gone, A), _put(done, A), _put(known, A, B), Row("ack", done, (A,)), Row("ack", known, (A,))]
    write_ledger(tmp_path, rows)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes() + b"torn")
    found = _recover(queue, drafted)
    assert (found.torn, found.lost, found.orphans) == (True, 1, 1)
    assert set(found.entries) == {known, orphan}
    assert {manifest.id for manifest in queue.manifests()} == {known, orphan}
    assert read_ledger(tmp_path).rows == (note, _put(known, A, B), Row("ack", known, (A,)))


def test_only_the_newest_notes_are_kept(queue: Recording, drafted: Journal, tmp_path: Path) -> None:
    write_ledger(tmp_path, [Row("expire", f"{n:032x}", (A,)) for n in range(NOTES + 5)])
    found = _recover(queue, drafted)
    assert [note.segment for note in found.notes] == [f"{n:032x}" for n in range(5, NOTES + 5)]


def _left_between(queue: Recording, drafted: Journal, folder: Path) -> str:
    """A segment without a row, and its draft."""
    for draft in drafts(OPEN):
        drafted.append(draft, (B,), sync=True)
    drafted.close()
    queue.write(OPEN)
    queue.write(ONE)
    write_ledger(folder, [_put(ONE.manifest.id, A)])
    return draft_id(OPEN.manifest)


def test_a_draft_tells_where_its_segment_goes_and_is_not_needed_then(
    queue: Recording, drafted: Journal, tmp_path: Path
) -> None:
    _left_between(queue, drafted, tmp_path)
    found = _recover(queue, drafted)
    assert {name: set(entry.sinks) for name, entry in found.entries.items()} == {
        ONE.manifest.id: {A},
        OPEN.manifest.id: {B},
    }
    assert (found.undone, journal.drafts(tmp_path)) == (None, {})


def test_on_a_full_disk_the_old_ledger_serves_and_the_draft_stays(
    queue: Recording, drafted: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, rows: object) -> None:
        raise StorageFull("No room.", "Free some space.")

    draft = _left_between(queue, drafted, tmp_path)
    before = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(before + b"torn")
    monkeypatch.setattr("agent.outbox.recovery.write_ledger", full)
    found = _recover(queue, drafted)
    assert (set(found.entries), found.undone) == ({ONE.manifest.id}, {draft})
    assert set(journal.drafts(tmp_path)) == {draft}
    assert (tmp_path / FILE).read_bytes() == before


def test_a_ledger_that_cannot_be_written_otherwise_is_a_fault(
    queue: Recording, drafted: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(folder: Path, rows: object) -> None:
        raise StorageDenied("It may not be written.", "Choose another folder.")

    monkeypatch.setattr("agent.outbox.recovery.write_ledger", denied)
    with pytest.raises(StorageDenied):
        _recover(queue, drafted)

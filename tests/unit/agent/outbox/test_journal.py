from __future__ import annotations

from pathlib import Path

import pytest
from fakes.drafts import OPEN, drafts
from fakes.segments import segment

from agent.errors import RecordingError, StorageError
from agent.model import Draft
from agent.outbox import journal
from agent.outbox.journal import Journal, Opened, encode, read
from agent.replay.segment import draft_id

NAME = draft_id(OPEN.manifest)
SINKS = ("dir:/a", "collector:http://b")
DRAFTS = drafts(OPEN)


def written(folder: Path, *appended: Draft) -> Path:
    made = Journal(folder)
    for draft in appended:
        made.append(draft, SINKS)
    made.close()
    return journal.drafts(folder)[NAME]


def check(opened: Opened | None, appended: list[Draft]) -> None:
    assert opened is not None
    assert opened.events == tuple(event for draft in appended for event in draft.events)
    assert opened.pictures == {d: shown for draft in appended for d, shown in draft.pictures.items()}
    assert opened.manifest.counts == appended[-1].manifest.counts
    assert opened.manifest.pictures == appended[-1].manifest.pictures
    assert opened.sinks == SINKS


def test_appends_come_back_as_one(tmp_path: Path) -> None:
    file = written(tmp_path, *DRAFTS)
    opened = read(file)
    check(opened, DRAFTS)
    assert opened is not None
    assert (opened.torn, opened.damaged) == (False, False)
    assert file.stat().st_mode & 0o777 == 0o600


def test_torn_at_any_byte_the_whole_appends_are_left(tmp_path: Path) -> None:
    file = written(tmp_path, *DRAFTS)
    data = file.read_bytes()
    pieces = [encode(draft, SINKS) for draft in DRAFTS]
    sizes = [sum(map(len, each)) for each in pieces]
    assert all(size % 4096 == 0 for size in sizes)
    # The last piece of each is padding, which nobody misses.
    ends = [sum(sizes[: n + 1]) - len(pieces[n][-1]) for n in range(len(sizes))]
    for size in range(0, len(data), 7):
        file.write_bytes(data[:size])
        opened = read(file)
        whole = [draft for draft, end in zip(DRAFTS, ends, strict=True) if end <= size]
        if not whole:
            assert opened is None
            continue
        check(opened, whole)
        assert opened is not None
        assert opened.torn == (size > sum(sizes[: len(whole)]))


def test_damage_ends_what_can_be_read(tmp_path: Path) -> None:
    file = written(tmp_path, *DRAFTS)
    data = bytearray(file.read_bytes())
    first = sum(map(len, encode(DRAFTS[0], SINKS)))
    data[first + 40] ^= 1
    file.write_bytes(data)
    opened = read(file)
    check(opened, DRAFTS[:1])
    assert opened is not None
    assert opened.damaged


def test_a_newer_form_is_refused_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, *DRAFTS)
    file.write_bytes(b"ARD2" + file.read_bytes()[4:])
    with pytest.raises(RecordingError, match="newer version"):
        read(file)


def test_a_sealed_segment_s_draft_goes(tmp_path: Path) -> None:
    made = Journal(tmp_path)
    made.append(DRAFTS[0], SINKS, sync=True)
    assert made.holds(NAME)
    made.discard(NAME)
    made.discard(NAME)
    assert journal.drafts(tmp_path) == {}
    assert not made.holds(NAME)
    assert journal.drafts(tmp_path / "elsewhere") == {}
    made.close()


def test_what_the_disk_refused_is_written_with_the_next(tmp_path: Path) -> None:
    made = Journal(tmp_path)
    made.append(DRAFTS[0], SINKS)
    made.folder.rename(tmp_path / "away")
    other = drafts(segment(9))[0]
    with pytest.raises(StorageError):
        made.append(other, SINKS)
    (tmp_path / "away").rename(made.folder)
    more = drafts(segment(9))[1]
    made.append(more, SINKS)
    made.close()
    opened = read(journal.drafts(tmp_path)[draft_id(other.manifest)])
    assert opened is not None
    assert opened.events == (*other.events, *more.events)


def test_what_is_parked_holds_nothing_and_keeps_its_file(tmp_path: Path) -> None:
    made = Journal(tmp_path)
    made.append(DRAFTS[0], SINKS)
    with pytest.raises(StorageError):
        made.append(DRAFTS[1], SINKS, check=_refused)
    size = made.size()
    assert size == made.size(NAME) == journal.drafts(tmp_path)[NAME].stat().st_size
    made.park(NAME)
    made.park(NAME)
    assert made.size() == size
    made.close()
    again = Journal(tmp_path)
    assert again.size() == size
    check(read(journal.drafts(tmp_path)[NAME]), DRAFTS[:1])
    again.discard(NAME)
    assert (again.size(), again.size(NAME)) == (0, 0)
    again.close()


def _refused(size: int) -> None:
    assert size % 4096 == 0
    raise StorageError("No.")

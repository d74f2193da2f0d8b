from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import StorageDenied, StorageError, StorageFull
from agent.relay.queue import DAMAGED, REFUSED, Parcel, Queue, open_queue
from agent.store import disk
from agent.store.disk import FolderTaken


def parcel(body: bytes = b"body", key: str = "K") -> Parcel:
    return Parcel(key, (("content-type", "application/json"), ("x-retry-count", "1")), body, 2)


def test_gives_batches_back_in_order_and_whole(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for name in (b"1", b"2\n\xff\x00", b""):
        queue.put(parcel(name))
    queue.close()
    queue = Queue(tmp_path)
    assert (queue.batches, queue.events, queue.lanes()) == (3, 6, ("K",))
    found = []
    while (held := queue.first("K")) is not None:
        found.append(held[1])
        queue.remove(held[0])
    assert found == [parcel(b"1"), parcel(b"2\n\xff\x00"), parcel(b"")]
    assert not queue.waiting("K")
    queue.close()


def test_keys_do_not_wait_for_each_other(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put(parcel(b"a", "A"))
    queue.put(parcel(b"b", "B"))
    assert queue.waiting("B")
    assert not queue.waiting("C")
    held = queue.first("B")
    assert held is not None
    assert held[1].body == b"b"
    queue.close()


def test_a_full_queue_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    queue = Queue(tmp_path, budget=400)
    queue.put(parcel(bytes(200)))
    with pytest.raises(StorageFull, match="full: 1 batches"):
        queue.put(parcel(bytes(200)))
    assert queue.batches == 1
    queue.close()


def test_a_full_disk_keeps_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(StorageFull, match="No room"):
        queue.put(parcel())
    monkeypatch.undo()
    assert queue.batches == 0
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    queue.put(parcel())
    assert queue.batches == 1
    queue.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageDenied):
        Queue(tmp_path / "file" / "queue")


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    queue.put(parcel())
    queue.close()
    batch = next((tmp_path / "queue").glob("*.batch"))
    assert batch.stat().st_mode & 0o077 == 0
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(st.data())
def test_a_torn_file_is_put_aside_and_the_others_are_sent(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("queue")
    queue = Queue(folder)
    for name in (b"first", b"second", b"third"):
        queue.put(parcel(name))
    queue.close()
    torn = folder / "0000000000000002.batch"
    whole = torn.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    torn.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
    queue = Queue(folder)
    try:
        bodies = []
        while (held := queue.first("K")) is not None:
            bodies.append(held[1].body)
            queue.remove(held[0])
        assert bodies == [b"first", b"third"]
        assert queue.damaged == 1
        assert (folder / DAMAGED / torn.name).exists()
        queue.put(parcel(b"fourth"))
        assert (folder / "0000000000000004.batch").exists()
    finally:
        queue.close()


def test_damage_while_it_is_open(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put(parcel(b"first"))
    queue.put(parcel(b"second"))
    (tmp_path / "0000000000000001.batch").write_bytes(b"?")
    held = queue.first("K")
    assert held is not None
    assert held[1].body == b"second"
    assert queue.damaged == 1
    queue.close()


def test_a_file_that_somebody_removed(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put(parcel(b"first"))
    (tmp_path / "0000000000000001.batch").unlink()
    assert queue.first("K") is None
    assert queue.batches == 0
    queue.close()


def test_a_crash_while_writing_leaves_nothing(tmp_path: Path) -> None:
    Queue(tmp_path).close()
    (tmp_path / "0000000000000001.batch.12-34.part").write_bytes(b"half")
    queue = Queue(tmp_path)
    assert queue.batches == 0
    assert not list(tmp_path.glob("*.part"))
    queue.close()


def test_what_segment_refused_is_kept_and_its_number_not_used_again(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.put(parcel(b"bad"))
    held = queue.first("K")
    assert held is not None
    where = queue.refuse(held[0], 400)
    assert where == tmp_path / REFUSED / "0000000000000001-400.batch"
    assert b"bad" in where.read_bytes()
    assert (queue.batches, queue.refused) == (0, 1)
    queue.close()
    queue = Queue(tmp_path, budget=250)
    assert queue.refused == 1
    queue.put(parcel(b"good"))
    assert (tmp_path / "0000000000000002.batch").exists()
    with pytest.raises(StorageFull):
        queue.put(parcel(b"good"))
    queue.close()


def test_a_refused_batch_that_cannot_be_kept_apart_yet_waits_and_is_counted_once(tmp_path: Path) -> None:
    queue = Queue(tmp_path, budget=400)
    queue.put(parcel(b"bad"))
    (tmp_path / REFUSED).write_text("in the way")
    for _ in range(5):
        with pytest.raises(StorageDenied):
            queue.refuse(1, 400)
    assert (queue.batches, queue.refused) == (1, 0)
    # Nor has it taken room that it does not take.
    queue.put(parcel(b"good"))
    (tmp_path / REFUSED).unlink()
    queue.refuse(1, 400)
    assert (queue.batches, queue.refused) == (1, 1)
    queue.close()


def test_a_refused_batch_that_was_moved_is_counted_though_the_disk_does_not_promise_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    queue = Queue(tmp_path)
    (tmp_path / REFUSED).mkdir()
    queue.put(parcel(b"bad"))
    monkeypatch.setattr(disk.os, "fsync", broken)
    with pytest.raises(StorageError):
        queue.refuse(1, 400)
    monkeypatch.undo()
    assert queue.first("K") is None
    assert (queue.batches, queue.refused, queue.damaged) == (0, 1, 0)
    queue.close()


def test_one_process_has_a_folder(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    with pytest.raises(FolderTaken, match=str(os.getpid())):
        Queue(tmp_path)
    queue.close()


def test_a_second_relay_gets_a_queue_of_its_own_and_the_next_run_the_one_with_batches(tmp_path: Path) -> None:
    first, second = open_queue(tmp_path), open_queue(tmp_path)
    second.put(parcel(b"left"))
    first.close()
    second.close()
    third = open_queue(tmp_path)
    assert third.batches == 1
    third.close()

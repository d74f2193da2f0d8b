from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path

import orjson
import pytest
from fakes.crash import crashes, run_as_script
from fakes.drafts import OPEN, drafts, lost
from fakes.segments import SESSION, segment
from fakes.wait import until
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import RecordingError, StorageError, StorageFull
from agent.model import Loss, SealedSegment
from agent.outbox import spool as module
from agent.outbox.ledger import FILE, Row, read_ledger, write_ledger
from agent.outbox.receipts import read_receipts
from agent.outbox.spool import KEEP_SECONDS, Recovery, Rejection, Spool, open_free
from agent.outbox.waiting import waiting
from agent.replay.validator import validate
from agent.store.disk import FolderTaken
from agent.store.recording import Recording

SINKS = ("dir:/a", "collector:http://b")
A, B = SINKS
# Three segments of one session and two of others.
SEGMENTS = [
    *(segment(seq, shades=(seq, 200)) for seq in range(3)),
    segment(0, SESSION + 1, shades=(7,)),
    segment(0, device_id="other", shades=(9,)),
]
BY_ID = {sealed.manifest.id: sealed for sealed in (*SEGMENTS, OPEN)}


def take(spool: Spool, sink: str = A) -> SealedSegment:
    sealed = spool.claim(sink)
    assert sealed is not None
    return sealed


def deliver_all(spool: Spool, sink: str) -> list[str]:
    done = []
    while (sealed := spool.claim(sink)) is not None:
        assert sealed == BY_ID[sealed.manifest.id]
        spool.ack(sealed.manifest.id, sink)
        done.append(sealed.manifest.id)
    return done


def look(spool: Spool) -> None:
    """As when a minute has passed."""
    spool._next_expiry = 0.0
    assert spool.claim("dir:/nobody") is None


def fail_all(spool: Spool, sink: str) -> list[str]:
    """Each segment that can be tried now is, in vain; those of one session go after each other."""
    failed = []
    while (sealed := spool.claim(sink)) is not None:
        failed.append(sealed.manifest.id)
        spool.retry(failed[-1], sink, 3600.0, "down")
    return failed


def age(folder: Path, *names: str, hours: float = 100.0) -> None:
    """Of a closed spool: these were put so many hours sooner, or by a clock that was behind."""
    rows = read_ledger(folder).rows
    write_ledger(
        folder,
        [replace(row, at_ms=row.at_ms - int(hours * 3_600_000)) if row.segment in names else row for row in rows],
    )


def rewrite(spool: Spool) -> None:
    """As when its ledger has become long."""
    spool._ledger.grown = 1_000_000
    spool._tidy()


class SpoolModel(RuleBasedStateMachine):
    """What was put for a sink is delivered to it, rejected by it, or pending; whatever happens to the process. It goes
    without that only when it is too old and each sink that has not had it refused it, or failed since the spool was
    opened.

    A crash is a copy of the folder at that moment, with the end of the ledger cut off, synced or not. That is more than
    a disk does, and of a segment that had left the queue since the start it may make anything: it was delivered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.generation = 0
        self.spool = Spool(self.folder / "0")
        self.put: dict[str, set[str]] = {}
        self.settled: dict[str, set[str]] = {}
        self.claimed: dict[str, str] = {}
        self.left: set[str] = set()
        self.old: set[str] = set()
        self.failed: set[tuple[str, str]] = set()
        self.passed_ms = 0
        now_ms, steady = module._now_ms, module._steady
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "_now_ms", lambda: now_ms() + self.passed_ms)
        self.patch.setattr(module, "_steady", lambda: steady() + self.passed_ms / 1000)
        self.patch.setattr(module, "EXPIRY_SECONDS", 0.0)

    @rule(sealed=st.sampled_from(SEGMENTS), sinks=st.sampled_from([(A,), (B,), SINKS]))
    def put_segment(self, sealed: SealedSegment, sinks: tuple[str, ...]) -> None:
        name = sealed.manifest.id
        if name not in self.put:
            self.put[name] = set(sinks)
            self.settled[name] = set()
        self.spool.put(sealed, sinks)
        self.forget_finished()

    @rule(sink=st.sampled_from(SINKS))
    def claim(self, sink: str) -> None:
        if sink in self.claimed:
            return
        self.expire()
        sealed = self.spool.claim(sink)
        if sealed is not None:
            assert sealed == BY_ID[sealed.manifest.id]
            assert sink in self.put[sealed.manifest.id] - self.settled[sealed.manifest.id]
            self.claimed[sink] = sealed.manifest.id

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), verdict=st.sampled_from(["ack", "reject", "retry", "later"]))
    def settle(self, data: st.DataObject, verdict: str) -> None:
        sink = data.draw(st.sampled_from(sorted(self.claimed)))
        name = self.claimed.pop(sink)
        if verdict == "ack":
            self.spool.ack(name, sink)
            self.settled[name].add(sink)
            self.forget_finished()
        elif verdict == "reject":
            self.spool.reject(name, sink, "no")
            self.settled[name].add("rejected")
            self.settled[name].add(sink)
        else:
            self.spool.retry(name, sink, 3600.0 if verdict == "later" else 0.0, "again")
            self.failed.add((name, sink))

    @rule(sink=st.sampled_from(SINKS))
    def is_down(self, sink: str) -> None:
        while sink not in self.claimed:
            self.claim(sink)
            if sink not in self.claimed:
                return
            name = self.claimed.pop(sink)
            self.spool.retry(name, sink, 3600.0, "down")
            self.failed.add((name, sink))

    @rule()
    def days_pass(self) -> None:
        self.passed_ms += 100 * 3_600_000
        self.old = {*self.put}
        self.expire()
        look(self.spool)

    @rule(sink=st.sampled_from(SINKS))
    def hurry(self, sink: str) -> None:
        self.spool.hurry(sink)

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.claimed.clear()
        self.left.clear()
        self.failed.clear()
        self.spool = Spool(self.spool.folder)
        assert self.spool.recovery == Recovery()

    @rule()
    def tidy(self) -> None:
        rewrite(self.spool)
        self.left.clear()

    @rule(cut=st.integers(0, 200))
    def crash(self, cut: int) -> None:
        """Cuts the ledger by up to `cut` bytes."""
        self.generation += 1
        copy = self.folder / str(self.generation)
        shutil.copytree(self.spool.folder, copy)
        self.spool.close()
        self.claimed.clear()
        self.failed.clear()
        ledger = copy / FILE
        data = ledger.read_bytes()
        ledger.write_bytes(data[: max(0, len(data) - cut)])
        self.spool = Spool(copy)
        assert self.spool.recovery.lost <= len(self.left)
        self.spool.adopt(SINKS)
        for name in self.left & self.put.keys() - self.spool._entries.keys():
            del self.put[name], self.settled[name]
        self.left.clear()
        # What is left to do may have grown (a lost ack, an adopted orphan), never shrunk.
        for name, sinks in self.put.items():
            delivery = {sink for sink in SINKS if self.waits(name, sink)}
            assert sinks - self.settled[name] <= delivery
            self.put[name] = delivery | (self.put[name] & self.settled[name])
            self.settled[name] -= delivery
            if not any(rejection.segment == name for rejection in self.spool.rejections()):
                self.settled[name].discard("rejected")
        self.forget_finished()
        # An orphan is as old as its adoption.
        limit_ms = module._now_ms() - KEEP_SECONDS * 1000
        self.old = {name for name, entry in self.spool._entries.items() if entry.at_ms <= limit_ms}

    @invariant()
    def pending_is_what_is_not_settled(self) -> None:
        for sink in SINKS:
            assert self.spool.pending(sink) == sum(
                sink in sinks and sink not in self.settled[name] for name, sinks in self.put.items()
            )
        held = {rejection.segment for rejection in self.spool.rejections()}
        assert held == {name for name, settled in self.settled.items() if "rejected" in settled}
        assert (self.spool.used > 0) == bool(self.put)

    def waits(self, name: str, sink: str) -> bool:
        delivery = self.spool._entries[name].sinks.get(sink) if name in self.spool._entries else None
        return delivery is not None and delivery.state == "open"

    def forget_finished(self) -> None:
        """A segment that all its sinks have leaves the queue, and may be put anew."""
        for name in [name for name, sinks in self.put.items() if sinks <= self.settled[name]]:
            if "rejected" not in self.settled[name]:
                self.forget(name)

    def expire(self) -> None:
        for name in self.old & self.put.keys() - {*self.claimed.values()}:
            if all((name, sink) in self.failed for sink in self.put[name] - self.settled[name]):
                self.forget(name)

    def forget(self, name: str) -> None:
        del self.put[name], self.settled[name]
        self.left.add(name)
        self.old.discard(name)
        self.failed -= {(name, sink) for sink in SINKS}

    def teardown(self) -> None:
        self.spool._keep_seconds = 0.0
        for sink in SINKS:
            self.spool.hurry(sink)
            for held, name in list(self.claimed.items()):
                if held == sink:
                    self.spool.retry(name, sink, 0.0, "teardown")
            wanted = {n for n, sinks in self.put.items() if sink in sinks and sink not in self.settled[n]}
            assert set(deliver_all(self.spool, sink)) == wanted
        self.spool.close()
        self.patch.undo()
        shutil.rmtree(self.folder)


SpoolModel.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSpoolModel = SpoolModel.TestCase


def test_a_segment_leaves_once_every_sink_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], SINKS)
    name = SEGMENTS[0].manifest.id
    for sink in SINKS:
        assert (tmp_path / "s/queue/segments" / f"{name}.json").exists()
        assert take(spool, sink) == SEGMENTS[0]
        assert spool.claim(sink) is None
        spool.ack(name, sink)
    assert spool.pending() == 0
    assert spool.used == 0
    assert [path for folder in ("segments", "pictures") for path in (tmp_path / "s/queue" / folder).iterdir()] == []
    spool.close()
    spool.close()


def test_sessions_keep_their_order_and_do_not_wait_for_each_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for sealed in SEGMENTS[:4]:
        spool.put(sealed, [A])
    first, *_, other = SEGMENTS[:4]
    assert take(spool) == first
    spool.retry(first.manifest.id, A, 3600.0, "down")
    assert take(spool) == other
    assert spool.claim(A) is None
    spool.hurry(A)
    assert take(spool) == first
    spool.retry(first.manifest.id, A, 3600.0, "wait", asked=True)
    spool.hurry(A)
    assert spool.claim(A) is None
    assert spool.attempts(first.manifest.id, A) == 2
    spool.close()


def test_a_rejected_segment_is_kept_and_frees_its_session(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for sealed in SEGMENTS[:2]:
        spool.put(sealed, [A])
    name = take(spool).manifest.id
    spool.reject(name, A, "400 bad")
    assert take(spool) == SEGMENTS[1]
    spool.close()
    spool = Spool(tmp_path / "s")
    assert spool.rejections() == (Rejection(name, A, "400 bad"),)
    assert spool.pending() == 1
    assert (tmp_path / "s/queue/segments" / f"{name}.json").exists()
    spool.close()


def test_attempts_survive(tmp_path: Path) -> None:
    for attempts in range(3):
        spool = Spool(tmp_path / "s")
        spool.put(SEGMENTS[0], [A])
        assert spool.attempts(SEGMENTS[0].manifest.id, A) == attempts
        spool.retry(take(spool).manifest.id, A, 0.0, "down")
        spool.close()


def test_the_budget_is_kept_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", budget=4000)
    spool.put(SEGMENTS[0], [A])
    with pytest.raises(StorageFull, match="budget is 4000") as told:
        spool.put(SEGMENTS[1], [A])
    assert told.value.hint
    spool.ack(take(spool).manifest.id, A)
    spool.put(SEGMENTS[1], [A])
    assert deliver_all(spool, A) == [SEGMENTS[1].manifest.id]
    spool.close()


def test_what_cannot_be_stored_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    with pytest.raises(RecordingError):
        spool.put(replace(SEGMENTS[0], events=(b'{"a":\n1}',)), [A])
    with pytest.raises(ValueError, match="at least one sink"):
        spool.put(SEGMENTS[0], [])
    assert spool.used == 0
    spool.put(SEGMENTS[0], [A])
    assert spool.pending() == 1
    spool.close()


def test_a_damaged_segment_is_rejected_by_name_and_the_rest_goes_on(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for sealed in SEGMENTS[:2]:
        spool.put(sealed, [A])
    name = SEGMENTS[0].manifest.id
    (tmp_path / "s/queue/segments" / f"{name}.jsonl").write_bytes(b"{}\n")
    assert take(spool) == SEGMENTS[1]
    (rejection,) = spool.rejections()
    assert rejection.segment == name
    assert "Damaged" in rejection.reason
    spool.close()


@pytest.mark.parametrize("known", [True, False])
def test_a_manifest_that_cannot_be_read_keeps_no_picture_of_what_is_delivered(tmp_path: Path, known: bool) -> None:
    folder = tmp_path / "s"
    spool = Spool(folder)
    spool.put(SEGMENTS[0], [A])
    spool.close()
    name = SEGMENTS[0].manifest.id
    manifest = folder / f"queue/segments/{name}.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(bytes(300))
    if not known:
        (folder / FILE).unlink()
    for _ in range(2):
        spool = Spool(folder)
        # It is in the budget, and comes to an end like any other.
        size = sum(file.stat().st_size for file in (folder / "queue").glob("*/*") if file != manifest)
        assert size <= spool.used <= size + 300
        spool.adopt([A])
        for sealed in SEGMENTS[1:]:
            spool.put(sealed, [A])
        assert sorted(deliver_all(spool, A)) == sorted(sealed.manifest.id for sealed in SEGMENTS[1:])
        assert [(refused.segment, refused.sink) for refused in spool.rejections()] == [(name, A)]
        assert {file.stem for file in (folder / "queue/pictures").iterdir()} == set(SEGMENTS[0].manifest.pictures)
        assert size <= spool.used <= size + 300
        spool.close()
    manifest.write_bytes(whole)
    spool = Spool(folder)
    spool.reopen()
    assert deliver_all(spool, A) == [name]
    assert [file.name for file in (folder / "queue").rglob("*") if file.is_file()] == ["recording.json"]
    spool.close()


@pytest.mark.parametrize("known", [True, False])
def test_what_waits_for_too_long_is_deleted_even_if_nothing_of_it_can_be_read(tmp_path: Path, known: bool) -> None:
    folder = tmp_path / "s"
    spool = Spool(folder)
    for sealed in SEGMENTS[:2]:
        spool.put(sealed, [A])
    spool.close()
    for file in (folder / "queue/segments").glob(f"{SEGMENTS[0].manifest.id}.*"):
        # A link to itself is there and cannot be read.
        file.unlink()
        file.symlink_to(file.name)
    if not known:
        rows = [row for row in read_ledger(folder).rows if row.segment != SEGMENTS[0].manifest.id]
        write_ledger(folder, rows)
    spool = Spool(folder)
    spool.adopt([A])
    assert deliver_all(spool, A) == [SEGMENTS[1].manifest.id]
    spool.close()
    age(folder, SEGMENTS[0].manifest.id)
    spool = Spool(folder)
    assert (spool.expired, spool.pending(A)) == ([], 1)
    fail_all(spool, A)
    look(spool)
    assert [receipt.segment for receipt in spool.expired] == [SEGMENTS[0].manifest.id]
    assert [file.name for file in (folder / "queue").rglob("*") if file.is_file()] == ["recording.json"]
    spool.close()


def test_a_reason_that_is_no_unicode_text_is_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], [A])
    spool.reject(take(spool).manifest.id, A, "No room in /x\udcff")
    spool.close()
    spool = Spool(tmp_path / "s")
    assert spool.rejections()[0].reason == "No room in /x\\udcff"
    spool.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    with pytest.raises(FolderTaken, match="in use by process"):
        Spool(tmp_path / "s")
    spool.close()
    Spool(tmp_path / "s").close()


def test_a_disk_that_does_not_tell_what_is_there_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def failing(path: Path, **more: bool) -> os.stat_result:
        if path.parent.name == "pictures":
            raise OSError(errno.EIO, "Input/output error")
        return stat(path, **more)

    with closing(Spool(tmp_path)) as spool:
        spool.put(SEGMENTS[0], [A])
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", failing)
            assert spool.claim(A) is None
            with pytest.raises(StorageError, match="Input/output error"):
                spool.put(SEGMENTS[3], [A])
        assert spool.attempts(SEGMENTS[0].manifest.id, A) == 1
        spool.hurry(A)
        assert take(spool) == SEGMENTS[0]


def test_what_is_deleted_or_was_never_written_is_not_missing(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with closing(Spool(folder)) as spool:
        for sealed in SEGMENTS[:2]:
            spool.put(sealed, [A])
    # Deletion was killed before it came to the rows.
    Recording.open(folder / "queue").condemn([SEGMENTS[0].manifest.id])
    (folder / "drafts" / ("0" * 32 + ".draft")).touch()
    with closing(Spool(folder)) as spool:
        assert (spool.recovery.lost, spool.recovery.discarded, spool.take_losses()) == (0, 0, ())
    assert not list((folder / "drafts").iterdir())


def test_what_is_missing_in_a_spool_that_is_only_looked_at_is_told_by_the_one_that_is_taken(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "1")) as spool:
        for sealed in SEGMENTS[:2]:
            spool.put(sealed, [A])
    (tmp_path / "1/queue/segments" / f"{SEGMENTS[0].manifest.id}.json").unlink()
    with closing(open_free(tmp_path, [B])) as spool:
        assert spool.folder == tmp_path / "2"
        (loss,) = spool.take_losses()
    assert (loss.stage, loss.count) == ("spool", 1)


def test_open_free_gives_each_process_its_own_and_unfinished_ones_first(tmp_path: Path) -> None:
    one = open_free(tmp_path, [A])
    two = open_free(tmp_path, [A])
    assert (one.folder.name, two.folder.name) == ("1", "2")
    two.put(SEGMENTS[0], [A])
    for spool in (one, two):
        spool.close()
    again = open_free(tmp_path, [B, A])
    assert again.folder.name == "2"
    other = open_free(tmp_path, [A])
    assert other.folder.name == "1"
    for spool in (again, other):
        spool.close()


def test_what_goes_elsewhere_and_what_is_full_is_left_to_others(tmp_path: Path) -> None:
    with closing(open_free(tmp_path, [A])) as spool:
        spool.put(SEGMENTS[0], [A])
        size = spool.used
    with closing(open_free(tmp_path, [B])) as spool:
        assert spool.folder.name == "2"
        spool.put(SEGMENTS[1], [B])
        spool.claim(B)
        spool.reject(SEGMENTS[1].manifest.id, B, "no")
    # Its own backlog is picked up while there is room beside it.
    for sink, budget, name in ((A, 2 * size, "1"), (A, size, "3"), (B, 4 * size, "2"), (B, size // 2, "3")):
        with closing(open_free(tmp_path, [sink], budget=budget)) as spool:
            assert spool.folder.name == name


def test_open_free_lets_go_of_what_it_holds_when_a_spool_cannot_be_read(tmp_path: Path) -> None:
    open_free(tmp_path, [A]).close()
    (tmp_path / "2/queue").mkdir(parents=True)
    (tmp_path / "2/queue/recording.json").write_bytes(b"{")
    with pytest.raises(StorageError, match=r"recording\.json"):
        open_free(tmp_path, [A])
    Spool(tmp_path / "1").close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        Spool(tmp_path / "file" / "s")


def test_waiting_ends_with_a_put_a_retry_that_is_due_and_a_wake(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    stopped, ended = threading.Event(), threading.Event()
    got: list[str] = []

    def lane() -> None:
        while not stopped.is_set():
            spool.wait(A, 60.0, stopped.is_set)
            sealed = spool.claim(A)
            if sealed is not None:
                got.append(sealed.manifest.id)
                spool.retry(sealed.manifest.id, A, 0.05 if len(got) == 1 else 3600.0, "down")
        ended.set()

    thread = threading.Thread(target=lane)
    thread.start()
    assert spool.wait_drained([B], 0.0)
    spool.put(SEGMENTS[0], [A])
    until(lambda: len(got) == 2, "two tries")
    assert not spool.wait_drained([A], 0.01)
    stopped.set()
    spool.wake()
    assert ended.wait(5)
    thread.join()
    spool.close()


def test_the_ledger_may_be_torn_at_any_byte(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for sealed in SEGMENTS[:2]:
        spool.put(sealed, SINKS)
    spool.ack(take(spool).manifest.id, A)
    spool.reject(take(spool, B).manifest.id, B, "no")
    spool.close()
    ledger = (tmp_path / "s" / FILE).read_bytes()
    assert len(read_ledger(tmp_path / "s").rows) == 6
    for end in range(0, len(ledger), 5):
        (tmp_path / "s" / FILE).write_bytes(ledger[:end])
        spool = Spool(tmp_path / "s")
        spool.adopt(SINKS)
        assert spool.recovery.lost == 0
        assert spool.recovery.damaged == 0
        known = set(spool._entries)
        assert known == {sealed.manifest.id for sealed in SEGMENTS[:2]}
        assert spool.pending(A) >= 1
        assert spool.pending(B) >= 1
        spool.close()


def test_what_a_dead_recorder_left_open_is_sealed_says_so_and_goes_where_it_was_meant_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    appended = drafts(OPEN)
    for draft in appended[:2]:
        spool.append(draft, [B])
    # What a kill leaves: nobody closes anything.
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "s", copy)
    spool.close()
    spool = Spool(copy)
    assert spool.recovery == Recovery(sealed=1)
    assert (spool.pending(A), spool.pending(B)) == (0, 1)
    sealed = take(spool, B)
    assert sealed == lost(OPEN, appended[:2])
    assert validate(sealed.events, sealed.pictures) == []
    assert set(appended[0].events + appended[1].events) < set(sealed.events)
    assert sealed.manifest.reason == "lost"
    assert sealed.manifest.counts.gaps == OPEN.manifest.counts.gaps + 1
    assert "last append" in sealed.manifest.losses[-1].reason
    spool.ack(sealed.manifest.id, B)
    spool.close()
    spool = Spool(copy)
    assert (spool.pending(), spool.recovery) == (0, Recovery())
    spool.close()


def test_a_sealed_segment_s_draft_is_no_second_segment(tmp_path: Path) -> None:
    """Whatever a crash between put and the draft's end leaves."""
    spool = Spool(tmp_path / "s")
    for draft in drafts(OPEN):
        spool.append(draft, [A])
    shutil.copytree(tmp_path / "s/drafts", tmp_path / "drafts")
    spool.put(OPEN, [A])
    assert list((tmp_path / "s/drafts").iterdir()) == []
    for delivered in (False, True):
        if delivered:
            spool.ack(take(spool).manifest.id, A)
        copy = tmp_path / f"copy{delivered}"
        shutil.copytree(tmp_path / "s", copy)
        shutil.copytree(tmp_path / "drafts", copy / "drafts", dirs_exist_ok=True)
        again = Spool(copy)
        assert again.recovery.sealed == 0
        assert deliver_all(again, A) == ([] if delivered else [OPEN.manifest.id])
        assert list((copy / "drafts").iterdir()) == []
        again.close()
    spool.close()


@pytest.mark.parametrize("drafted", [False, True])
def test_a_segment_whose_row_is_missing_goes_where_it_was_meant_to(tmp_path: Path, drafted: bool) -> None:
    """Its recorder was killed between the two; the sinks of the next run are others."""
    spool = Spool(tmp_path / "s")
    for draft in drafts(OPEN) if drafted else ():
        spool.append(draft, [B])
    shutil.copytree(tmp_path / "s/drafts", tmp_path / "drafts")
    spool.put(OPEN, [B])
    spool.close()
    ledger = (tmp_path / "s" / FILE).read_bytes()
    (tmp_path / "s" / FILE).write_bytes(ledger[: ledger.rindex(b"\n", 0, -1) + 1])
    shutil.copytree(tmp_path / "drafts", tmp_path / "s/drafts", dirs_exist_ok=True)
    assert [one.sinks for one in waiting(tmp_path / "s")] == [(B,)]
    for _ in range(2):
        spool = Spool(tmp_path / "s")
        assert spool.adopt([A]) == 0
        assert (spool.pending(A), spool.pending(B), spool.recovery.orphans) == (0, 1, 0)
        assert list((tmp_path / "s/drafts").iterdir()) == []
        spool.close()
    spool = Spool(tmp_path / "s")
    assert deliver_all(spool, B) == [OPEN.manifest.id]
    spool.close()


def test_what_is_gone_is_told_in_the_next_manifest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "s"
    with closing(Spool(folder)) as spool:
        for sealed in SEGMENTS[:2]:
            spool.put(sealed, [A])
    (folder / "queue/segments" / f"{SEGMENTS[0].manifest.id}.json").unlink()
    (folder / "drafts" / ("0" * 32 + ".draft")).write_bytes(b"nothing whole")
    with closing(Spool(folder)) as spool:
        assert spool.recovery == Recovery(lost=1, discarded=1)
        assert spool.take_losses() == (
            Loss("spool", "a queued segment that is gone, unless it was delivered from a full disk", 1),
            Loss("spool", "an open segment of which nothing whole was left", 1),
        )
        assert spool.pending() == 1
    (record,) = [record for record in caplog.records if "was not closed in order" in record.message]
    assert record.levelname == "WARNING"
    with closing(Spool(folder)) as spool:
        assert (spool.recovery, spool.take_losses()) == (Recovery(), ())


def test_what_was_planned_and_never_written_is_not_missed(tmp_path: Path) -> None:
    Spool(tmp_path / "s").close()
    write_ledger(tmp_path / "s", [Row("put", SEGMENTS[0].manifest.id, (A,), 9, planned=True)])
    spool = Spool(tmp_path / "s")
    assert (spool.recovery, spool.pending()) == (Recovery(), 0)
    spool.close()


def test_what_waits_for_too_long_and_fails_once_more_is_deleted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "s"
    spool = Spool(folder, keep_seconds=3600)
    for sealed in SEGMENTS[:3]:
        spool.put(sealed, SINKS)
    old, rejected, young = (sealed.manifest.id for sealed in SEGMENTS[:3])
    spool.ack(take(spool).manifest.id, A)
    spool.reject(take(spool).manifest.id, A, "no")
    spool.close()
    age(folder, old, rejected)
    spool = Spool(folder, keep_seconds=3600)
    # B is not asked yet.
    look(spool)
    assert (spool.expired, spool.pending(B), spool.take_losses()) == ([], 3, ())
    for name in (old, rejected, young):
        assert fail_all(spool, B) == [name]
        look(spool)
    assert [(r.segment, r.sink) for r in spool.expired] == [(old, B), (rejected, A), (rejected, B)]
    assert spool.take_losses() == (Loss("spool", "a segment, kept for 1 hours without delivery, deleted", 2),)
    assert spool.take_losses() == ()
    assert caplog.text.count("kept for 1 hours without delivery, deleted") == 2
    spool.hurry(B)
    assert deliver_all(spool, B) == [young]
    assert {path.stem for path in (folder / "queue/segments").iterdir()} == {young}
    spool.close()
    for _ in range(2):
        Spool(folder).close()
        notes = [row for row in read_ledger(folder).rows if row.op == "expire"]
        assert {note.segment: note.sinks for note in notes} == {old: (B,), rejected: SINKS}
        assert {r.segment for r in read_receipts(folder) if r.outcome == "expired"} == {old, rejected}


def test_nothing_is_deleted_for_its_age_before_it_was_tried(tmp_path: Path) -> None:
    """Days without a network, or a clock that was days behind: what is tried first may go out."""
    folder = tmp_path / "1"
    with closing(Spool(folder)) as spool:
        for sealed in SEGMENTS:
            spool.put(sealed, [A])
    age(folder, *(sealed.manifest.id for sealed in SEGMENTS))
    # Who only looks which one to take deletes nothing.
    open_free(tmp_path, [B]).close()
    with closing(Spool(folder)) as spool:
        look(spool)
        spool.release(take(spool).manifest.id, A)
        look(spool)
        assert len(deliver_all(spool, A)) == len(SEGMENTS)
        assert (spool.expired, spool.take_losses()) == ([], ())


def test_what_a_server_refused_before_goes_for_its_age_unless_it_is_asked_again(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    names = [sealed.manifest.id for sealed in SEGMENTS[3:]]
    with closing(Spool(folder)) as spool:
        for sealed in SEGMENTS[3:]:
            spool.put(sealed, [A])
            spool.reject(take(spool).manifest.id, A, "no")
    age(folder, *names)
    with closing(Spool(folder)) as spool:
        assert spool.expired == []
        assert spool.reopen() == 2
        look(spool)
        assert spool.pending(A) == 2
        spool.ack(take(spool).manifest.id, A)
    with closing(Spool(folder)) as spool:
        spool.reject(take(spool).manifest.id, A, "no")
    with closing(Spool(folder)) as spool:
        look(spool)
        assert [receipt.segment for receipt in spool.expired] == names[1:]


def test_what_was_put_before_the_clock_was_set_is_as_old_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"ms": 1_700_000_000_000, "s": 1000.0}
    monkeypatch.setattr("agent.outbox.spool._now_ms", lambda: clock["ms"])
    monkeypatch.setattr("agent.outbox.spool._steady", lambda: clock["s"])
    monkeypatch.setattr("agent.outbox.spool.EXPIRY_SECONDS", 0.0)
    spool = Spool(tmp_path / "s", keep_seconds=3600)
    spool.put(SEGMENTS[0], SINKS)
    spool.ack(take(spool, A).manifest.id, A)
    # Ten days and 30 minutes later, says the host, of which the ten days were never there.
    clock["ms"] += 10 * 86_400_000 + 1_800_000
    clock["s"] += 1800
    spool.retry(take(spool, B).manifest.id, B, 0.0, "down")
    assert spool.expired == []
    spool.close()
    spool = Spool(tmp_path / "s", keep_seconds=3600)
    spool.retry(take(spool, B).manifest.id, B, 0.0, "down")
    spool.retry(take(spool, B).manifest.id, B, 0.0, "down")
    assert (spool.expired, spool.pending(A), spool.pending(B)) == ([], 0, 1)
    clock["ms"] += 1_900_000
    assert spool.claim(B) is None
    assert [receipt.segment for receipt in spool.expired] == [SEGMENTS[0].manifest.id]
    spool.close()


def test_nothing_is_too_old_without_a_limit_or_a_clock(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for sealed in SEGMENTS[:2]:
        spool.put(sealed, [A])
    spool.close()
    first, second = (row for row in read_ledger(tmp_path / "s").rows if not row.planned)
    write_ledger(tmp_path / "s", [replace(first, at_ms=1000), replace(second, at_ms=second.at_ms - 400 * 3_600_000)])
    for keep_seconds, gone in ((0.0, 0), (KEEP_SECONDS, 1)):
        spool = Spool(tmp_path / "s", keep_seconds=keep_seconds)
        for name in (first.segment, second.segment):
            assert take(spool).manifest.id == name
            spool.reject(name, A, "no")
        look(spool)
        assert [receipt.segment for receipt in spool.expired] == [second.segment] * gone
        spool.reopen()
        spool.close()
    spool = Spool(tmp_path / "s")
    assert spool.pending() == 1
    spool.close()


def test_a_spool_of_before_has_no_times_and_begins_to_count_now(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], [A])
    spool.close()
    text = orjson.dumps({"op": "put", "segment": SEGMENTS[0].manifest.id, "sinks": [A], "size": 100})
    (tmp_path / "s" / FILE).write_bytes(f"{zlib.crc32(text):08x} ".encode() + text + b"\n")
    spool = Spool(tmp_path / "s")
    assert (spool.recovery, spool.expired, spool.pending(A)) == (Recovery(), [], 1)
    spool.close()
    assert (tmp_path / "s" / FILE).read_bytes().split(b"\n")[0].endswith(b'{"schema":2}')
    assert read_ledger(tmp_path / "s").rows[0].at_ms > 0


def test_a_spool_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    Spool(tmp_path / "s").close()
    text = b'{"schema":3}'
    data = f"{zlib.crc32(text):08x} ".encode() + text + b"\n"
    (tmp_path / "s" / FILE).write_bytes(data)
    with pytest.raises(StorageError, match="newer version") as told:
        Spool(tmp_path / "s")
    assert "Install" in told.value.hint
    assert (tmp_path / "s" / FILE).read_bytes() == data


def test_a_disk_that_is_nearly_full_is_left_alone_and_what_came_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", reserve=2**62)
    with pytest.raises(StorageFull, match="left to others"):
        spool.put(SEGMENTS[0], [A])
    spool.keep(SEGMENTS[0], [A])
    spool.keep(SEGMENTS[1], [A])
    assert (spool.unstored(), spool.pending()) == (2, 0)
    spool._reserve = 0
    spool.append(drafts(OPEN)[0], [A])
    assert (spool.unstored(), spool.pending()) == (0, 2)
    assert spool.take_losses() == ()
    spool.close()


@pytest.mark.parametrize("full", ["budget", "disk"])
def test_segments_that_find_no_room_hold_no_descriptor_and_their_drafts_no_more_than_the_room(
    tmp_path: Path, full: str
) -> None:
    spool = Spool(tmp_path / "s", budget=100_000)
    sealed = [segment(seq, shades=(seq, 100 + seq)) for seq in range(40)]
    before = len(list(Path("/dev/fd").iterdir()))
    for number, one in enumerate(sealed):
        if full == "disk" and number == 4:
            spool._reserve = 2**62
        for draft in drafts(one):
            spool.append(draft, [A])
        spool.keep(one, [A])
        assert spool.used <= 100_000
        assert len(list(Path("/dev/fd").iterdir())) <= before + 1
    assert spool.unstored() > 5
    assert sum(file.stat().st_size for file in (tmp_path / "s/drafts").iterdir()) <= 100_000 - spool._entries.size
    spool._reserve, spool._budget = 0, 10_000_000
    assert spool.unstored() == 0
    assert list((tmp_path / "s/drafts").iterdir()) == []
    found = []
    while (one_sealed := spool.claim(A)) is not None:
        found.append(one_sealed)
        spool.ack(one_sealed.manifest.id, A)
    assert found == sealed
    spool.close()


def test_of_segments_that_found_no_room_a_kill_leaves_what_was_appended(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    appended = drafts(OPEN)
    for draft in appended[:2]:
        assert spool.append(draft, [B])
    spool._reserve = 2**62
    assert not spool.append(appended[2], [B])
    spool.keep(OPEN, [B])
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "s", copy)
    spool._reserve = 0
    assert (spool.unstored(), spool.pending(B)) == (0, 1)
    assert deliver_all(spool, B) == [OPEN.manifest.id]
    spool.close()
    spool = Spool(copy)
    assert take(spool, B) == lost(OPEN, appended[:2])
    spool.close()


def test_what_neither_disk_nor_memory_takes_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.outbox.spool.HELD_BYTES", 5000)
    spool = Spool(tmp_path / "s", reserve=2**62)
    for sealed in SEGMENTS[:3]:
        spool.keep(sealed, [A])
    (loss,) = spool.take_losses()
    assert loss.stage == "spool"
    assert loss.count + spool.unstored() == 3
    assert loss.count == spool.dropped > 0
    spool._reserve = 0
    assert (spool.unstored(), spool.dropped) == (0, loss.count)
    spool.close()


@contextmanager
def full_disk() -> Iterator[None]:
    """Nothing can be written; what is there can be read, cut and removed."""

    def full(file: FileIO, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.store.disk._write", full)
        yield


@pytest.mark.parametrize("torn", [b"", b"0123 torn", b"0123 torn\n"])
def test_a_full_disk_keeps_no_spool_from_being_opened_and_drained(tmp_path: Path, torn: bytes) -> None:
    folder = tmp_path / "s"
    with closing(Spool(folder)) as spool:
        for sealed in SEGMENTS:
            spool.put(sealed, SINKS)
        for draft in drafts(OPEN):
            spool.append(draft, [A])
    for name in (FILE, "receipts.jsonl"):
        (folder / name).write_bytes((folder / name).read_bytes() + torn)
    with full_disk(), closing(Spool(folder)) as spool:
        assert spool.recovery == Recovery(torn=bool(torn), unsealed=1)
        assert len(deliver_all(spool, A)) == len(SEGMENTS)
        assert len(deliver_all(spool, B)) == len(SEGMENTS)
        assert list((folder / "queue/segments").iterdir()) == []
        assert spool.pending() == 0
    # What could not be said of them is that they are delivered; the draft is still there.
    with closing(Spool(folder)) as spool:
        assert spool.recovery == Recovery(lost=len(SEGMENTS), sealed=1)
        assert take(spool) == lost(OPEN, drafts(OPEN))


def test_what_a_full_disk_did_not_take_is_written_as_soon_as_there_is_room(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with closing(Spool(folder)) as spool:
        spool.put(SEGMENTS[0], SINKS)
        spool.put(SEGMENTS[3], [B])
        spool.put(SEGMENTS[4], [A])
        spool.reject(take(spool, B).manifest.id, B, "no")
    (folder / FILE).write_bytes((folder / FILE).read_bytes() + b"0123 torn")
    with full_disk():
        spool = Spool(folder)
        assert spool.reopen() == 1
        spool.ack(take(spool, A).manifest.id, A)
        spool.ack(take(spool, B).manifest.id, B)
        spool.redirect(["dir:/c"])
    spool.ack(take(spool, "dir:/c").manifest.id, "dir:/c")
    spool.close()
    assert len(read_ledger(folder).rows) == 1
    with closing(Spool(folder)) as spool:
        assert (spool.recovery, spool.segments()) == (Recovery(), {SEGMENTS[4].manifest.id: ("dir:/c",)})


def test_on_a_full_disk_orphans_are_delivered_and_stay_orphans_for_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with closing(Spool(folder)) as spool:
        spool.put(SEGMENTS[0], [A])
        spool.put(SEGMENTS[3], [A])
    (folder / FILE).write_bytes(b"")
    with full_disk(), closing(Spool(folder)) as spool:
        assert spool.adopt([B]) == 2
        spool.ack(take(spool, B).manifest.id, B)
    with closing(Spool(folder)) as spool:
        assert spool.recovery == Recovery(orphans=1)


def test_on_a_full_disk_a_segment_that_its_draft_alone_tells_of_waits_for_room(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    spool = Spool(folder)
    for draft in drafts(OPEN):
        spool.append(draft, [B])
    shutil.copytree(folder / "drafts", tmp_path / "drafts")
    spool.put(OPEN, [B])
    spool.close()
    ledger = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(ledger[: ledger.rindex(b"\n", 0, -1) + 1])
    shutil.copytree(tmp_path / "drafts", folder / "drafts", dirs_exist_ok=True)
    with full_disk(), closing(Spool(folder)) as spool:
        assert (spool.recovery, spool.adopt([A]), spool.pending()) == (Recovery(unsealed=1), 0, 0)
    with closing(Spool(folder)) as spool:
        assert (spool.recovery, spool.adopt([A])) == (Recovery(), 0)
        assert deliver_all(spool, B) == [OPEN.manifest.id]


def test_what_cannot_be_told_on_a_full_disk_is_not_deleted_for_its_age(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with closing(Spool(folder)) as spool:
        spool.put(SEGMENTS[0], [A])
    age(folder, SEGMENTS[0].manifest.id)
    with closing(Spool(folder)) as spool:
        with full_disk():
            fail_all(spool, A)
            look(spool)
            assert (spool.expired, spool.pending()) == ([], 1)
        look(spool)
        assert [receipt.segment for receipt in spool.expired] == [SEGMENTS[0].manifest.id]


def test_a_ledger_that_grew_long_is_written_anew_while_the_spool_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox.spool.LEDGER_ROWS", 10)
    monkeypatch.setattr("agent.outbox.spool.EXPIRY_SECONDS", 0.0)
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], SINKS)
    spool.ack(take(spool).manifest.id, A)
    for _ in range(20):
        spool.put(SEGMENTS[3], [A])
        spool.ack(take(spool).manifest.id, A)
        assert len(read_ledger(tmp_path / "s").rows) < 16
    spool.retry(take(spool, B).manifest.id, B, 0.0, "down")
    rewrite(spool)
    spool.put(SEGMENTS[4], [B])
    # What a kill leaves.
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "s", copy)
    spool.close()
    spool = Spool(copy)
    assert (spool.recovery, spool.pending(A), spool.pending(B)) == (Recovery(), 0, 2)
    assert spool.attempts(SEGMENTS[0].manifest.id, B) == 1
    spool.close()


def test_rows_that_tell_of_a_file_that_could_not_be_removed_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], [A])
    name = take(spool).manifest.id

    def stuck(recording: Recording, segment_id: str) -> None:
        raise StorageError("It stays.")

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "remove", stuck)
        with pytest.raises(StorageError, match="It stays"):
            spool.ack(name, A)
    rewrite(spool)
    spool.close()
    spool = Spool(tmp_path / "s")
    assert spool.adopt([B]) == 0
    assert list((tmp_path / "s/queue/segments").iterdir()) == []
    spool.close()


def test_an_orphan_is_one_after_its_ledger_was_written_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], [A])
    spool.close()
    (tmp_path / "s" / FILE).unlink()
    for _ in range(2):
        spool = Spool(tmp_path / "s")
        assert spool.recovery.orphans == 1
        rewrite(spool)
        spool.close()


def test_a_crash_at_any_file_operation_loses_nothing(tmp_path: Path) -> None:
    run_as_script(__file__, tmp_path)


def _work(folder: Path) -> None:
    spool = Spool(folder / "s")
    for draft in drafts(OPEN):
        spool.append(draft, [B])
    (folder / "appended").touch()
    spool.put(OPEN, [B])
    for number, sealed in enumerate(SEGMENTS[:2]):
        spool.put(sealed, [A])
        (folder / f"put{number}").touch()
    rewrite(spool)
    name = take(spool).manifest.id
    (folder / "delivered0").touch()
    spool.ack(name, A)
    rewrite(spool)
    spool.reject(take(spool).manifest.id, A, "no")
    spool.close()


def _check(parent: Path) -> None:
    runs = 0
    for folder, _ in crashes(_work, parent):
        runs += 1
        spool = Spool(folder / "s")
        # Whose it is, is known whenever it ended: nothing goes to the sinks of another run.
        assert spool.adopt(["dir:/another"]) == 0
        assert spool.recovery.lost == 0
        opened = spool.claim(B)
        if (folder / "appended").exists():
            assert opened in (OPEN, lost(OPEN, drafts(OPEN)))
        if opened is not None:
            spool.ack(opened.manifest.id, B)
        assert spool.pending(B) == 0
        rejected = {rejection.segment for rejection in spool.rejections()}
        left = {*deliver_all(spool, A), *rejected}
        for number, sealed in enumerate(SEGMENTS[:2]):
            promised = (folder / f"put{number}").exists()
            delivered = (folder / f"delivered{number}").exists()
            assert delivered or not promised or sealed.manifest.id in left, (folder, number)
        spool.close()
    assert runs > 20


if __name__ == "__main__":
    _check(Path(sys.argv[1]))


@pytest.mark.parametrize("again", [False, True], ids=["now", "after a crash"])
def test_what_was_rejected_is_due_again_when_somebody_wants_it(tmp_path: Path, again: bool) -> None:
    spool = Spool(tmp_path / "s")
    for sealed in SEGMENTS[:2]:
        spool.put(sealed, [A])
    for _ in SEGMENTS[:2]:
        spool.reject(take(spool).manifest.id, A, "401")
    assert spool.destinations() == ()
    assert spool.reopen() == 2
    assert spool.destinations() == (A,)
    if again:
        spool.close()
        spool = Spool(tmp_path / "s")
    assert spool.rejections() == ()
    assert sorted(deliver_all(spool, A)) == sorted(sealed.manifest.id for sealed in SEGMENTS[:2])
    assert spool.used == 0
    spool.close()


@pytest.mark.parametrize("again", [False, True], ids=["now", "after a crash"])
def test_what_waits_can_go_elsewhere_but_not_twice_to_one_sink(tmp_path: Path, again: bool) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(SEGMENTS[0], SINKS)
    spool.put(SEGMENTS[3], [B])
    spool.ack(take(spool, A).manifest.id, A)
    spool.redirect([A, "dir:/c"])
    assert set(spool.destinations()) == {A, "dir:/c"}
    if again:
        spool.close()
        spool = Spool(tmp_path / "s")
    assert deliver_all(spool, B) == []
    assert deliver_all(spool, A) == [SEGMENTS[3].manifest.id]
    assert sorted(deliver_all(spool, "dir:/c")) == sorted(SEGMENTS[n].manifest.id for n in (0, 3))
    assert spool.used == 0
    spool.close()

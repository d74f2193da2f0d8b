"""A fault at every file operation of recorder, spool, ledger, journal and both stores: nothing that was told to be safe
is lost, what is missing is named, and every manifest is true. FAULT_STEP=1 goes through all, else every few.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest
from fakes.crash import Kind, faults, run_as_script
from fakes.drafts import drafts
from fakes.segments import DEVICE, SESSION, segment

from agent.collector.ingest import FILE as EVENTS
from agent.collector.ingest import Ingest
from agent.errors import StorageError
from agent.model import Delivered
from agent.outbox.folder import FolderSink
from agent.outbox.ledger import FILE as LEDGER
from agent.outbox.spool import Spool
from agent.replay.segment import KILLED, draft_id
from agent.replay.validator import validate
from agent.store.recording import Recording

KINDS: tuple[Kind, ...] = ("crash", "torn", "EIO", "ENOSPC", "full")
STEP = int(os.environ.get("FAULT_STEP", "23"))
COLLECTOR = "collector:http://c"
# Two are sealed, one is left open; a picture is in two of them.
SEALED = [segment(0, shades=(1, 2)), segment(1, shades=(2, 3))]
OPEN = segment(2, shades=(3, 4))
DRAFTS = drafts(OPEN, 2)


def work(folder: Path, tell: Callable[[str], None]) -> None:
    """A recorder and its uploader. Tells what is safe from then on, and each error's name."""

    def named(what: Callable[[], object]) -> bool:
        return _named(what, tell)

    opened: list[Spool] = []
    if not named(lambda: opened.append(_spool(folder))) and not named(lambda: opened.append(_spool(folder))):
        return
    spool, kept = opened[0], FolderSink(folder / "kept")
    sinks = (COLLECTOR, "dir:kept")
    for number, sealed in enumerate(SEALED):
        for draft in drafts(sealed, 2):
            spool.append(draft, sinks)
        if named(lambda sealed=sealed: spool.keep(sealed, sinks)) and not spool.unstored():
            tell(f"sealed {number}")
    for number, draft in enumerate(DRAFTS):
        if spool.append(draft, sinks):
            tell(f"appended {number}")
    _deliver(folder, spool, kept, tell, named)
    if not spool.unstored():
        for number in range(len(SEALED)):
            tell(f"sealed {number}")
    kept.close()
    spool.close()


def recover(folder: Path, tell: Callable[[str], None]) -> None:
    """The next process over what a killed one left; it ends early when it cannot even open the spool."""
    for number in range(len(SEALED)):
        tell(f"sealed {number}")
    for number in range(len(DRAFTS)):
        tell(f"appended {number}")
    for _ in range(2):
        try:
            with closing(_spool(folder)) as spool, closing(FolderSink(folder / "kept")) as kept:
                spool.adopt((COLLECTOR, "dir:kept"))
                _deliver(folder, spool, kept, tell, lambda what: _named(what, tell))
        except StorageError as error:
            tell(f"error {type(error).__name__}")
        else:
            return


def prepare(folder: Path) -> None:
    """A recorder was killed: one segment is delivered to one sink, one has no row yet, one is open."""
    with closing(_spool(folder)) as spool:
        for number, sealed in enumerate(SEALED):
            spool.put(sealed, (COLLECTOR, "dir:kept"))
            if number == 0:
                assert spool.claim("dir:kept") == sealed
                Recording.create(folder / "kept").write(sealed)
                spool.ack(sealed.manifest.id, "dir:kept")
        for draft in DRAFTS:
            spool.append(draft, (COLLECTOR, "dir:kept"))
    # The second one's row is gone, as if it had been killed between the two; an append is torn.
    ledger = folder / "spool" / LEDGER
    rows = [line for line in ledger.read_bytes().splitlines(True) if SEALED[1].manifest.id.encode() not in line]
    ledger.write_bytes(b"".join(rows) + b"0123 torn")
    (draft,) = (folder / "spool/drafts").iterdir()
    draft.write_bytes(draft.read_bytes() + b"ARD1 torn")


def _named(what: Callable[[], object], tell: Callable[[str], None]) -> bool:
    try:
        what()
    except StorageError as error:
        assert error.message
        tell(f"error {type(error).__name__}")
        return False
    return True


def _deliver(
    folder: Path,
    spool: Spool,
    kept: FolderSink,
    tell: Callable[[str], None],
    named: Callable[[Callable[[], object]], bool],
) -> None:
    def collect() -> None:
        recording = Recording.create(folder / "collected")
        while (sealed := spool.claim(COLLECTOR)) is not None:
            name = sealed.manifest.id
            try:
                recording.write(sealed)
            except StorageError:
                spool.retry(name, COLLECTOR, 0.0, "the collector's disk")
                raise
            spool.ack(name, COLLECTOR)
        with closing(Ingest(folder / "collected")) as ingest:
            event = {"event_type": "Paid", "device_id": DEVICE, "session_id": SESSION, "insert_id": "one"}
            if ingest.take(orjson.dumps({"api_key": "k", "events": [event]}), "")[0] == 200:
                tell("event")

    def keep() -> None:
        while (sealed := spool.claim("dir:kept")) is not None:
            name = sealed.manifest.id
            if not isinstance(kept.send(sealed), Delivered):
                spool.retry(name, "dir:kept", 3600.0, "the folder's disk")
                tell("error Retry")
                return
            spool.ack(name, "dir:kept")

    for send in (collect, keep):
        # What a sink's thread does: an error is told, and it tries again.
        for _ in range(2):
            if named(send):
                break


def _spool(folder: Path) -> Spool:
    return Spool(folder / "spool", reserve=0)


def check(folder: Path, told: list[str]) -> None:
    """What the next process finds and delivers."""
    spool = _spool(folder)
    where = f"{folder.name}: {told}, {spool.recovery}"
    assert spool.recovery.damaged == 0, where
    spool.adopt((COLLECTOR, "dir:kept"))
    for rejection in spool.rejections():
        raise AssertionError(f"{where}: {rejection}")
    stores = {COLLECTOR: Recording.create(folder / "collected"), "dir:kept": Recording.create(folder / "kept")}
    for sink, store in stores.items():
        spool.hurry(sink)
        while (sealed := spool.claim(sink)) is not None:
            store.write(sealed)
            spool.ack(sealed.manifest.id, sink)
    assert spool.segments() == {}, where
    spool.close()
    assert Spool(folder / "spool").close() is None
    for store in stores.values():
        manifests, problems = store.scan()
        assert problems == (), where
        by_draft = Counter(draft_id(manifest) for manifest in manifests)
        assert max(by_draft.values(), default=1) == 1, where
        for number, sealed in enumerate(SEALED):
            if f"sealed {number}" in told:
                assert store.sealed(sealed.manifest.id) == sealed, where
        for manifest in manifests:
            found = store.sealed(manifest.id)
            assert validate(found.events, found.pictures) == [], where
            if manifest.id not in {sealed.manifest.id for sealed in SEALED}:
                assert manifest.reason == "lost"
                assert any(KILLED in loss.reason for loss in manifest.losses)
        safe = [draft for number, draft in enumerate(DRAFTS) if f"appended {number}" in told]
        if safe:
            (name,) = (manifest.id for manifest in manifests if draft_id(manifest) == draft_id(OPEN.manifest))
            there = set(store.events(name))
            assert all(event in there for draft in safe for event in draft.events), where
    if "event" in told:
        assert b'"one"' in (folder / "collected" / EVENTS).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_was_safe_is_lost(kind: str, tmp_path: Path) -> None:
    (tmp_path / kind).mkdir()
    run_as_script(__file__, tmp_path / kind)


def test_the_check_would_see_a_loss(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "spool/queue/segments" / f"{SEALED[0].manifest.id}.json").unlink()
    with pytest.raises((AssertionError, StorageError)):
        check(tmp_path, ["sealed 0"])


def _all(parent: Path, kind: Kind) -> None:
    for name, does, made in (("record", work, _nothing), ("recover", recover, prepare)):
        runs = 0
        (parent / name).mkdir()
        for folder, told in faults(does, parent / name, kind, 1 + KINDS.index(kind), STEP, made):
            check(folder, told)
            runs += 1
            with suppress(FileNotFoundError):
                shutil.rmtree(folder)
        assert runs > 50 // STEP, runs
        sys.stdout.write(f"{kind}, {name}: {runs} runs\n")


def _nothing(folder: Path) -> None: ...


if __name__ == "__main__":
    _place = Path(sys.argv[1])
    for _kind in KINDS:
        if _kind == _place.name:
            _all(_place, _kind)

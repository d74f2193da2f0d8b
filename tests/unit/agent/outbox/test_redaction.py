from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import orjson
import pytest
from fakes.crash import crashes, run_as_script
from fakes.drafts import OPEN, drafts
from fakes.segments import custom, segment

from agent.errors import RecordingError, StorageError, StorageFull
from agent.outbox.journal import Journal
from agent.outbox.redaction import foresee, hold, replace
from agent.outbox.spool import Spool
from agent.privacy import Rules, rule
from agent.replay.redaction import Order
from agent.store.disk import FolderTaken
from agent.store.recording import Recording
from agent.store.redaction import redact

START = segment().manifest.start_ms
SINK = "collector:http://b"
SAID = [
    segment(seq, shades=(1,), extra=[custom(START + 5000 + seq * 30_000, "note", {"text": "Anna Bell"})])
    for seq in (0, 1)
]


def fill(base: Path) -> None:
    recording = Recording.create(base / "shop")
    recording.write(SAID[0])
    with closing(Spool(base / "spool/1")) as spool:
        spool.put(SAID[0], [SINK])
        spool.put(SAID[1], [SINK, f"dir:{base / 'shop'}"])


def run(base: Path) -> None:
    recording = Recording.open(base / "shop")
    order = Order(None, Rules([rule("mask", "text=Anna Bell", "--text")]), (), 0, 2**62)
    with ExitStack() as stack:
        held = hold(base / "spool", recording, stack)
        redact(recording, order, {}, 1, dry_run=False, tell=lambda what, share: None)
        replace(held, recording)


def check(base: Path) -> None:
    files = [file for file in base.rglob("*") if file.is_file()]
    assert [file for file in files if b"Anna" in file.read_bytes()] == []
    copies = {manifest.id for manifest in Recording.open(base / "shop").manifests()}
    assert len(copies) == 2
    with closing(Spool(base / "spool/1")) as spool:
        assert spool.recovery.orphans == 0
        assert spool.segments() == dict.fromkeys(copies, (SINK,))


def test_what_waits_is_replaced_once(tmp_path: Path) -> None:
    fill(tmp_path)
    for _ in range(2):
        run(tmp_path)
        check(tmp_path)


def test_what_was_redacted_twice_while_it_waited_becomes_the_last_copy(tmp_path: Path) -> None:
    said = segment(extra=[custom(START + 5000 + n, "note", {"text": text}) for n, text in enumerate(("Anna", "Nora"))])
    recording = Recording.create(tmp_path / "shop")
    recording.write(said)
    with closing(Spool(tmp_path / "spool/1")) as spool:
        spool.put(said, [SINK])
    for n, name in enumerate(("Anna", "Nora"), 1):
        order = Order(None, Rules([rule("mask", f"text={name}", "--text")]), (), 0, 2**62)
        redact(recording, order, {}, n, dry_run=False, tell=lambda what, share: None)
    with ExitStack() as stack:
        assert replace(hold(tmp_path / "spool", recording, stack), recording) == 1
    (last,) = Recording.open(tmp_path / "shop").manifests()
    with closing(Spool(tmp_path / "spool/1")) as spool:
        assert spool.segments() == {last.id: (SINK,)}
    held = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"Anna" not in held
    assert b"Nora" not in held


def damage(file: Path, fault: str) -> None:
    if fault == "the disk":
        # A link to itself is there and cannot be read.
        file.unlink()
        file.symlink_to(file.name)
    elif fault == "damaged":
        file.write_bytes(bytes(300))
    else:
        file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | {"schema": 99}))


def snapshot(base: Path) -> dict[Path, bytes]:
    """Of what is recorded and what waits."""
    places = (base / "shop", base / "spool/1/queue")
    return {file: file.read_bytes() for place in places for file in place.rglob("*") if file.is_file()}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("fault", ["the disk", "damaged", "newer"])
def test_what_cannot_be_read_now_ends_it_before_anything_is_touched(tmp_path: Path, fault: str, dry_run: bool) -> None:
    fill(tmp_path)
    name = SAID[1].manifest.id
    manifest = tmp_path / f"spool/1/queue/segments/{name}.json"
    whole = manifest.read_bytes()
    damage(manifest, fault)
    before = snapshot(tmp_path)
    with ExitStack() as stack, pytest.raises(RecordingError, match=name) as told:
        (foresee if dry_run else hold)(tmp_path / "spool", Recording.open(tmp_path / "shop"), stack)
    assert "queue/segments" in told.value.hint
    assert snapshot(tmp_path) == before
    manifest.unlink()
    manifest.write_bytes(whole)
    run(tmp_path)
    check(tmp_path)


@pytest.mark.parametrize("dry_run", [False, True])
def test_so_does_what_a_running_process_holds_and_nobody_can_read(tmp_path: Path, dry_run: bool) -> None:
    fill(tmp_path)
    damage(tmp_path / f"spool/1/queue/segments/{SAID[1].manifest.id}.json", "damaged")
    with closing(Spool(tmp_path / "spool/1")) as spool:
        spool.ack(SAID[0].manifest.id, SINK)
        with ExitStack() as stack, pytest.raises(FolderTaken, match=SAID[1].manifest.id):
            (foresee if dry_run else hold)(tmp_path / "spool", Recording.open(tmp_path / "shop"), stack)


def test_what_a_full_disk_keeps_out_of_reach_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder was killed before the row of a segment: its draft alone tells where that is to go."""

    def full(folder: Path, rows: object) -> None:
        raise StorageFull("No room.", "Free some space.")

    fill(tmp_path)
    with closing(Journal(tmp_path / "spool/1")) as journal:
        for draft in drafts(OPEN):
            journal.append(draft, (SINK, f"dir:{tmp_path / 'shop'}"), sync=True)
    Recording.create(tmp_path / "spool/1/queue").write(OPEN)
    monkeypatch.setattr("agent.outbox.recovery.write_ledger", full)
    with ExitStack() as stack, pytest.raises(StorageError, match=OPEN.manifest.id) as told:
        hold(tmp_path / "spool", Recording.open(tmp_path / "shop"), stack)
    assert "Free some space" in told.value.hint


def test_what_did_not_come_into_the_recording_is_not_done_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kept it from being seen a moment ago."""
    fill(tmp_path)
    monkeypatch.setattr("agent.outbox.redaction.scan", lambda place: ([], []))
    with ExitStack() as stack, pytest.raises(RecordingError, match=SAID[1].manifest.id):
        hold(tmp_path / "spool", Recording.open(tmp_path / "shop"), stack)
    with closing(Spool(tmp_path / "spool/1")) as spool:
        assert spool.segments()[SAID[1].manifest.id] == (SINK, f"dir:{tmp_path / 'shop'}")


def test_a_killed_redaction_is_finished_by_the_next(tmp_path: Path) -> None:
    run_as_script(__file__, tmp_path)


def _kill_everywhere(parent: Path) -> None:
    runs = crashes(run, parent)
    for n in count(1):
        fill(parent / str(n))
        killed = next(runs, None)
        if killed is None:
            break
        run(killed[0])
        check(killed[0])
        shutil.rmtree(killed[0])
    assert n > 30, n


if __name__ == "__main__":
    _kill_everywhere(Path(sys.argv[1]))

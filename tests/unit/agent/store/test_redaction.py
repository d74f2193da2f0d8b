from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.segments import SESSION, custom, segment

from agent.errors import ConfigError, RecordingError
from agent.privacy import Rules, rule
from agent.replay.redaction import Order
from agent.replay.validator import validate
from agent.store import recording as store
from agent.store.recording import REDACTIONS, Recording
from agent.store.redaction import redact
from bridge.types import Bounds

WORDS = b"4111 Anna"
PAY = Order(None, Rules([rule("mask", "id=pay"), rule("mask", "text=4111 Anna")]))
AT = 1_760_000_500_000


def made(path: Path) -> Recording:
    """Three segments, of which two tell the words; all show the Pay button."""
    recording = Recording.create(path)
    start = segment().manifest.start_ms
    note = custom(start + 2000, "note", {"text": WORDS.decode()})
    recording.write(segment(extra=[note]))
    recording.write(segment(1, shades=(200, 201)))
    recording.write(
        segment(0, SESSION + 5_000_000, extra=[custom(start + 5_002_000, "note", {"text": WORDS.decode()})])
    )
    return recording


def run(recording: Recording, order: Order = PAY, *, dry_run: bool = False, tell: Any = None) -> dict[str, Any]:
    return redact(recording, order, {"rules": []}, AT, dry_run=dry_run, tell=tell or (lambda what, share: None))


def data(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file())


def contents(path: Path) -> dict[Path, bytes]:
    """Of all files but the lock, which is made where none is."""
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "lock"}


def check(recording: Recording) -> None:
    """It is whole, and says nothing of what is hidden."""
    manifests, problems = Recording.open(recording.path).scan()
    assert problems == ()
    assert len(manifests) == 3
    for manifest in manifests:
        sealed = recording.sealed(manifest.id)
        assert validate(sealed.events, sealed.pictures) == []
        assert manifest.bytes == sum(map(len, sealed.events)) + sum(len(p.data) for p in sealed.pictures.values())


def test_old_segments_are_replaced_and_destroyed_and_a_receipt_tells_it(tmp_path: Path) -> None:
    recording = made(tmp_path / "r")
    before = {manifest.id for manifest in recording.manifests()}
    old_pictures = {digest for manifest in recording.manifests() for digest in manifest.pictures}
    receipt = run(recording)
    check(recording)
    after = {manifest.id: manifest for manifest in recording.manifests()}
    assert {pair["before"] for pair in receipt["segments"]} == before
    assert {pair["after"] for pair in receipt["segments"]} == after.keys()
    assert {manifest.supersedes for manifest in after.values()} == before
    assert old_pictures.isdisjoint(digest for manifest in after.values() for digest in manifest.pictures)
    assert WORDS not in data(recording.path)
    assert not any(old.encode() in b"".join(map(str.encode, map(str, recording.path.rglob("*")))) for old in before)
    stored = orjson.loads((recording.path / REDACTIONS / f"{AT}.json").read_bytes())
    assert stored["state"] == "done"
    assert stored["segments"] == receipt["segments"]
    assert stored["destroyed"]["files"] == 2 * len(before) + len(old_pictures)
    assert receipt["pictures"] == len(old_pictures)


def test_old_bytes_are_overwritten_before_they_are_unlinked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = made(tmp_path / "r")
    kept = {file.name: file for file in recording.path.rglob("*") if file.is_file() and file.parent != recording.path}
    for name, file in kept.items():
        (tmp_path / f"link-{name}").hardlink_to(file)
    run(recording)
    left = {file.name: file.read_bytes() for file in tmp_path.glob("link-*")}
    assert len(left) == len(kept)
    assert all(not any(content) for content in left.values())


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    recording = made(tmp_path / "r")
    run(recording)
    before = data(recording.path)
    assert run(recording)["segments"] == []
    assert data(recording.path) == before


def test_a_dry_run_changes_nothing_and_says_what_would_be(tmp_path: Path) -> None:
    recording = made(tmp_path / "r")
    before = data(recording.path)
    receipt = run(recording, dry_run=True)
    assert (receipt["state"], len(receipt["segments"])) == ("dry run", 3)
    assert data(recording.path) == before


class Killed(BaseException):
    """As if the process had ended here."""


def test_a_run_that_ends_anywhere_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(1, 200):
        recording = made(tmp_path / str(n))
        undo = kills_at(monkeypatch, n)
        killed = False
        try:
            run(recording)
        except Killed:
            killed = True
        undo()
        again = Recording.open(recording.path)
        assert len(again.manifests()) == 3
        assert again.problems() == ()
        run(again)
        check(again)
        assert WORDS not in data(again.path)
        if not killed:
            break
    assert n > 10


def kills_at(monkeypatch: pytest.MonkeyPatch, n: int) -> Any:
    """Makes the n-th write or removal of the store die; returns what undoes that."""
    real = {name: getattr(store, name) for name in ("write_files", "overwrite", "sync_folder")}
    calls = 0

    def dying(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == n:
                raise Killed
            return real[name](*arguments)

        return call

    for name in real:
        monkeypatch.setattr(store, name, dying(name))
    return monkeypatch.undo


def test_a_damaged_segment_stops_it_before_anything_is_changed(tmp_path: Path) -> None:
    recording = made(tmp_path / "r")
    name = recording.manifests()[1].id
    (recording.path / "segments" / f"{name}.jsonl").write_bytes(b"{}\n")
    before = contents(recording.path)
    with pytest.raises(RecordingError, match="Damaged"):
        run(recording)
    assert contents(recording.path) == before
    (recording.path / "segments" / f"{name}.json").write_bytes(b"{}\n")
    with pytest.raises(RecordingError, match="cannot be read"):
        run(Recording.open(recording.path))
    (recording.path / "segments" / f"{name}.json").unlink()
    (recording.path / "segments" / f"{name}.jsonl").unlink()
    assert len(run(recording)["segments"]) == 2


def test_a_place_that_cannot_be_found_is_refused(tmp_path: Path) -> None:
    recording = Recording.create(tmp_path / "r")
    start = segment().manifest.start_ms
    recording.write(segment(extra=[custom(start + 4000, "mask", {"rules": {"web": 1}, "blocked": ""})]))
    with pytest.raises(ConfigError, match="how many pixels"):
        run(recording, Order(None, Rules(), (Bounds(0, 0, 9, 9),)))


def test_a_segment_that_was_redacted_does_not_come_back(tmp_path: Path) -> None:
    recording = made(tmp_path / "r")
    old = recording.sealed(recording.manifests()[0].id)
    run(recording)
    twice = Order(None, Rules([rule("mask", "text=CheckoutActivity")]))
    again = redact(recording, twice, {}, AT + 1, dry_run=False, tell=lambda what, share: None)
    assert again["segments"]
    (recording.path / REDACTIONS / "0.json").write_bytes(b"half a rec")
    assert WORDS in b"".join(old.events)
    Recording.open(recording.path).write(old)
    assert WORDS not in data(recording.path)

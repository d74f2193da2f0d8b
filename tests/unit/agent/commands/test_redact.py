from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from fakes.drafts import drafts
from fakes.segments import SESSION, custom, segment

from agent.outbox.receipts import Receipt, Receipts
from agent.outbox.spool import Spool
from agent.store.disk import FolderLock
from agent.store.recording import LOCK, Recording

START = segment().manifest.start_ms


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
    made = Recording.create(tmp_path / "shop")
    screen: dict[str, object] = {"rules": {}, "blocked": "", "rects": [], "screen": [824, 1832]}
    made.write(
        segment(extra=[custom(START + 2, "mask", screen), custom(START + 5000, "note", {"text": "for Anna Bell"})])
    )
    made.write(segment(1, shades=(1, 2)))
    return made


def stored(recording: Recording) -> bytes:
    return b"".join(file.read_bytes() for file in recording.path.rglob("*") if file.is_file())


def test_words_are_gone_and_it_says_what_became_of_them(call, shop: Recording) -> None:
    ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert ended.code == 0
    assert b"Anna" not in stored(shop)
    assert "1 of 2 segments were changed" in ended.err
    assert "overwritten and deleted" in ended.err
    assert "knows of no upload" in ended.err
    assert ended.out == ""


def test_the_receipt_as_json_names_no_words(call, shop: Recording) -> None:
    old = segment().manifest.id
    ended = call("redact", str(shop.path), "--text", "Anna Bell", "--block", "id=pay", "--json")
    told = json.loads(ended.out)
    assert told["state"] == "done"
    assert told["asked"]["rules"] == ["block id=pay", "mask text=*****"]
    assert old in {pair["before"] for pair in told["segments"]}
    assert told["pictures"] > 0
    assert "Anna" not in ended.out
    assert json.loads(Path(told["receipt"]).read_text())["segments"] == told["segments"]


def test_a_dry_run_changes_nothing(call, shop: Recording) -> None:
    before = stored(shop)
    ended = call("redact", str(shop.path), "--block", "id=pay", "--dry-run")
    assert ended.code == 0
    assert "would be changed" in ended.err
    assert stored(shop) == before


def test_what_was_uploaded_is_said(call, shop: Recording, tmp_path: Path) -> None:
    folder = tmp_path / "spool" / "1"
    folder.mkdir(parents=True)
    receipts = Receipts(folder)
    for sink in ("collector:http://127.0.0.1:1", f"dir:{shop.path}"):
        receipts.add(Receipt(1, segment().manifest.id, sink, "delivered", ""))
    receipts.close()
    waiting = Recording.create(folder / "queue")
    waiting.write(segment())
    ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert "1 of the changed segments went to collector:http://127.0.0.1:1 before" in ended.err
    assert "dir:" not in ended.err
    assert "1 segments that wait in the spool were replaced" in ended.err


def spooled(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_what_waits_in_the_spool_is_redacted_too(call, shop: Recording, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "spool/1", f"dir:{tmp_path / 'elsewhere'}"
    said = custom(START + 65_000, "note", {"text": "for Anna Bell"})
    with closing(Spool(folder)) as spool:
        for name in [manifest.id for manifest in shop.manifests()]:
            spool.put(shop.sealed(name), [elsewhere, f"dir:{shop.path}"])
            spool.ack(name, f"dir:{shop.path}")
        # These have not reached the folder yet; one was still open when its recorder was killed.
        spool.put(segment(2, extra=[said]), [elsewhere, f"dir:{shop.path}"])
        for draft in drafts(segment(3, extra=[{**said, "timestamp": START + 95_000}])):
            spool.append(draft, [elsewhere, f"dir:{shop.path}"])
    assert spooled(folder).count(b"Anna Bell") == 3
    ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert ended.code == 0
    assert "3 segments that wait in the spool were replaced" in ended.err
    assert b"Anna" not in spooled(folder) + stored(shop)
    assert call("upload").code == 0
    sent = Recording.open(tmp_path / "elsewhere")
    assert {manifest.id for manifest in sent.manifests()} == {manifest.id for manifest in shop.manifests()}
    assert len(sent.manifests()) == 4
    assert b"Anna" not in stored(sent)
    assert call("redact", str(shop.path), "--text", "Anna Bell").code == 0


def test_a_redaction_that_was_interrupted_before_the_spool_is_finished_by_the_next(
    call, shop: Recording, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "spool/1", f"dir:{tmp_path / 'elsewhere'}"
    (first, *_) = shop.manifests()
    old = shop.sealed(first.id)
    assert call("redact", str(shop.path), "--text", "Anna Bell").code == 0
    with closing(Spool(folder)) as spool:
        spool.put(old, [elsewhere])
    ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert "0 of 2 segments were changed" in ended.err
    assert "1 segments that wait" in ended.err
    assert b"Anna" not in spooled(folder)


def test_what_waits_for_others_alone_is_refused_with_the_next_step(call, shop: Recording, tmp_path: Path) -> None:
    folder = tmp_path / "spool/1"
    with closing(Spool(folder)) as spool:
        spool.put(segment(2), ["collector:http://127.0.0.1:1"])
        # Of another session: nobody asks for it.
        spool.put(segment(0, SESSION + 5), ["collector:http://127.0.0.1:1"])
    before = stored(shop)
    ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert ended.code == 11
    assert "it would be sent as it is" in ended.err
    assert stored(shop) == before
    command = ended.err.split("`")[1].split()
    assert command[:2] == ["android-replay", "upload"]
    call(*command[1:])
    assert call("redact", str(shop.path), "--text", "Anna Bell").code == 0


def test_a_spool_in_use_is_refused_when_it_holds_of_these_sessions(call, shop: Recording, tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "spool/1")) as spool:
        assert call("redact", str(shop.path), "--text", "Nobody").code == 0
        spool.append(drafts(segment(2))[0], [f"dir:{shop.path}"])
        ended = call("redact", str(shop.path), "--text", "Anna Bell")
        assert ended.code == 11
        assert "Stop that process, then redact" in ended.err
    assert call("redact", str(shop.path), "--text", "Anna Bell").code == 0


def test_what_a_collector_keeps_besides_is_said(call, shop: Recording) -> None:
    (shop.path / "events.jsonl").write_text('{"who": "Anna Bell"}\n')
    (shop.path / "interactions.jsonl").write_text("")
    ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert ended.code == 0
    assert "Not touched: events.jsonl," in ended.err


def test_a_place_for_a_time(call, shop: Recording) -> None:
    told = json.loads(
        call(
            "redact", str(shop.path), "--rect", "0,0,400,100", "--from", "0", "--to", "0:01", "--dry-run", "--json"
        ).out
    )
    assert [pair["before"] for pair in told["segments"]] == [segment().manifest.id]
    assert told["asked"]["from_ms"] == START
    assert told["asked"]["to_ms"] == START + 1000


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ([], 2, "Nothing to hide was named"),
        (["--level", "none"], 2, "privacy.level (flag)"),
        (["--mask", "colour=red"], 2, "--mask 'colour=red'"),
        (["--text", "/(/"], 2, "--text '/(/'"),
        (["--rect", "1,2,3"], 2, "--rect '1,2,3'"),
        (["--rect", "5,5,5,9"], 2, "holds no pixel"),
        (["--text", "x", "--from", "later"], 2, "'later' is no time"),
        (["--text", "x", "--from", "9", "--to", "3"], 2, "--to is not after --from"),
    ],
)
def test_wrong_options_are_named(call, shop: Recording, words: list[str], code: int, named: str) -> None:
    before = stored(shop)
    ended = call("redact", str(shop.path), *words)
    assert ended.code == code
    assert named in ended.err
    assert stored(shop) == before


def test_no_recording(call, tmp_path: Path) -> None:
    ended = call("redact", str(tmp_path), "--text", "x")
    assert ended.code == 11


def test_a_recording_in_use_is_refused(call, shop: Recording) -> None:
    before = stored(shop)
    with closing(FolderLock(shop.path / LOCK, shared=True)):
        ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert ended.code == 11
    assert "is in use by process" in ended.err
    (shop.path / LOCK).unlink()
    assert stored(shop) == before

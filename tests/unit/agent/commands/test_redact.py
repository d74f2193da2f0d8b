from __future__ import annotations

import json
import resource
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest
from fakes.drafts import drafts
from fakes.segments import SESSION, custom, picture, segment

from agent.commands.redact import _Asked, _redact_bundle
from agent.errors import ConfigError
from agent.outbox.receipts import Receipt, Receipts
from agent.outbox.spool import Spool
from agent.privacy import rule
from agent.store.bundle import pack, unpacked
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


def killed(spool: Path, *sinks: str) -> None:
    """A recorder of two sessions was killed: one has a segment that is sealed and one that is open, one is open."""
    with closing(Spool(spool)) as kept:
        said = custom(SESSION + 7000, "note", {"text": "for Anna Bell"})
        kept.put(segment(0, SESSION + 5, extra=[said]), sinks)
        for seq, session in ((1, SESSION + 5), (0, SESSION + 9)):
            at = segment(seq, session).manifest.start_ms + 5
            for draft in drafts(segment(seq, session, extra=[custom(at, "note", {"text": "for Anna Bell"})])):
                kept.append(draft, sinks)


@pytest.mark.parametrize("linked", [False, True])
def test_of_a_killed_recording_what_waits_in_the_spool_is_redacted(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    """None of these sessions has reached the folder yet, and one has nothing sealed."""
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
    fresh = Recording.create(tmp_path / "fresh")
    (tmp_path / "link").symlink_to(tmp_path / "fresh")
    killed(tmp_path / "spool/1", f"dir:{tmp_path / 'link' if linked else fresh.path}")
    before = spooled(tmp_path / "spool"), stored(fresh)
    words = "redact", str(fresh.path), "--text", "Anna Bell", "--json"
    planned = call(*words, "--dry-run")
    assert (planned.code, spooled(tmp_path / "spool"), stored(fresh)) == (0, *before)
    assert "3 segments that wait in the spool" in planned.err
    assert "would be brought into it first" in planned.err
    ended = call(*words)
    assert ended.code == 0
    assert "3 of 3 segments were changed" in ended.err
    told, expected = json.loads(ended.out), json.loads(planned.out)
    for name in ("segments", "pictures", "texts", "touches", "came", "waiting", "uploaded"):
        assert told[name] == expected[name], name
    assert call("upload").code == 0
    assert len(fresh.manifests()) == 3
    assert b"Anna" not in spooled(tmp_path / "spool") + stored(fresh)


def test_a_date_and_a_time_from_the_start_go_together(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what waits is all that there is."""
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
    fresh = Recording.create(tmp_path / "fresh")
    killed(tmp_path / "spool/1", f"dir:{fresh.path}")
    words = "redact", str(fresh.path), "--rect", "0,0,9,9", "--from", "2025-10-09T08:53:20Z", "--to", "0:20", "--json"
    told = json.loads(call(*words, "--dry-run").out)
    assert told["asked"]["to_ms"] == SESSION + 5 + 1000 + 20_000


def test_a_second_session_on_its_way_to_others_too_is_replaced_there(call, shop: Recording, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    killed(tmp_path / "spool/1", f"dir:{elsewhere}", f"dir:{shop.path}")
    planned = json.loads(call("redact", str(shop.path), "--text", "Anna Bell", "--dry-run", "--json").out)
    ended = call("redact", str(shop.path), "--text", "Anna Bell", "--json")
    assert (ended.code, json.loads(ended.out)["waiting"], planned["waiting"]) == (0, 3, 3)
    assert call("upload").code == 0
    assert len(Recording.open(elsewhere).manifests()) == 3
    assert b"Anna" not in spooled(tmp_path)


def test_a_running_recorder_that_is_to_write_here_is_refused(call, shop: Recording, tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "spool/1")) as spool:
        spool.append(drafts(segment(0, SESSION + 9))[0], [f"dir:{shop.path}"])
        for more in ([], ["--dry-run"]):
            ended = call("redact", str(shop.path), "--text", "Anna Bell", *more)
            assert ended.code == 11
            assert "Stop that process, then redact" in ended.err


def test_what_cannot_be_closed_is_named(call, shop: Recording, tmp_path: Path) -> None:
    killed(tmp_path / "spool/1", f"dir:{shop.path}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        ended = call("redact", str(shop.path), "--text", "Anna Bell")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended.code == 11
    assert "was still open when its recorder ended" in ended.err


def test_the_spool_of_a_settings_file_is_looked_into(
    call, shop: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tmp_path / "other/1", f"dir:{shop.path}")
    config = tmp_path / "settings.toml"
    config.write_text(f'spool = "{tmp_path / "other"}"\n')
    monkeypatch.delenv("ANDROID_REPLAY_SPOOL")
    ended = call("redact", str(shop.path), "--text", "Anna Bell", "--config", str(config))
    assert ended.code == 0
    assert "4 of 5 segments were changed" in ended.err
    assert b"Anna" not in spooled(tmp_path / "other") + stored(shop)


def in_use(shop: Recording, spool: Path) -> AbstractContextManager[object]:
    return closing(FolderLock(shop.path / LOCK, shared=True))


def spool_in_use(shop: Recording, spool: Path) -> AbstractContextManager[object]:
    used = Spool(spool)
    used.put(segment(2), [f"dir:{shop.path}"])
    return closing(used)


def waits_for_others(shop: Recording, spool: Path) -> AbstractContextManager[object]:
    with closing(Spool(spool)) as kept:
        kept.put(segment(2), ["collector:http://127.0.0.1:1"])
    return nullcontext()


def damaged_manifest(shop: Recording, spool: Path) -> AbstractContextManager[object]:
    (shop.path / "segments" / f"{segment(1).manifest.id}.json").write_text("{")
    return nullcontext()


def damaged_picture(shop: Recording, spool: Path) -> AbstractContextManager[object]:
    # Not one that is covered: its segment is written anew, for its words.
    (shop.path / "pictures" / f"{picture(110).digest}.webp").write_bytes(b"x")
    return nullcontext()


def damaged_in_the_spool(shop: Recording, spool: Path) -> AbstractContextManager[object]:
    killed(spool, f"dir:{shop.path}")
    (events,) = (spool / "queue/segments").glob("*.jsonl")
    events.write_bytes(b"x\n")
    return nullcontext()


@pytest.mark.parametrize(
    "trouble", [in_use, spool_in_use, waits_for_others, damaged_manifest, damaged_picture, damaged_in_the_spool]
)
def test_a_dry_run_ends_as_the_run_would(
    call, shop: Recording, tmp_path: Path, trouble: Callable[[Recording, Path], AbstractContextManager[object]]
) -> None:
    with trouble(shop, tmp_path / "spool/1"):
        before = stored(shop)
        planned = call("redact", str(shop.path), "--text", "Anna Bell", "--dry-run")
        assert stored(shop) == before
        ended = call("redact", str(shop.path), "--text", "Anna Bell")
    assert (planned.code, ended.code) == (11, 11)
    assert planned.err.splitlines()[-2:] == ended.err.splitlines()[-2:]


def test_of_a_bundle_a_new_one_is_written(call, shop: Recording, tmp_path: Path) -> None:
    file, new = tmp_path / "shop.replay", tmp_path / "new.replay"
    file.touch()
    pack(shop, file)
    before = file.read_bytes()
    with closing(Spool(tmp_path / "spool/1")) as spool:
        spool.put(shop.sealed(segment().manifest.id), ["collector:http://127.0.0.1:1"])
    words = "redact", str(file), "--text", "Anna Bell", "--json"
    assert "-o shop-redacted.replay" in call(*words).err
    assert call(*words, "-o", str(tmp_path / "new.zip")).code == 2
    planned = call(*words, "--dry-run")
    assert "1 of 2 segments would be changed" in planned.err
    ended = call(*words, "-o", str(new))
    assert ended.code == 0
    assert file.read_bytes() == before
    assert "still shows all of it" in ended.err
    assert "1 of these segments wait in" in ended.err
    told = json.loads(ended.out)
    assert told["file"] == str(new)
    assert told["segments"] == json.loads(planned.out)["segments"]
    kept = json.loads(Path(told["receipt"]).read_text())
    assert (kept["state"], kept["segments"]) == ("done", told["segments"])
    with unpacked(new) as made:
        assert len(made.manifests()) == 2
        assert b"Anna" not in stored(made)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (new, Path(told["receipt"]))} == {0o600}
    assert call(*words, "-o", str(new)).code == 2
    assert call(*words, "-o", str(file)).code == 2
    assert file.read_bytes() == before
    assert call(*words, "-o", str(new), "--force").code == 0
    assert call("redact", str(shop.path), "--text", "x", "-o", str(tmp_path / "n.replay")).code == 2
    same = call("redact", str(file), "--text", "Nobody", "-o", str(tmp_path / "same.replay"))
    assert (same.code, "still shows" in same.err) == (0, False)
    assert not (tmp_path / "same.replay.receipt.json").exists()


def test_a_file_that_came_meanwhile_is_not_written_over(shop: Recording, tmp_path: Path) -> None:
    out = tmp_path / "new.replay"
    out.write_text("another's")
    asked = _Asked(None, [rule("mask", "text=Anna Bell", "--text")], (), (None, None))
    receipt = tmp_path / "new.replay.receipt.json"
    for there, absent in ((out, receipt), (receipt, out)):
        absent.unlink(missing_ok=True)
        there.write_text("another's")
        with pytest.raises(ConfigError, match="is there already"):
            _redact_bundle(shop.path, shop, asked, tmp_path / "spool", out, over=False, as_json=False)
        assert there.read_text() == "another's"
        assert list(tmp_path.glob("new*")) == [there]

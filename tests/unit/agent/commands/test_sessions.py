from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import pytest
from fakes.drafts import drafts
from fakes.segments import DEVICE, SESSION, custom, segment, segment_id

from agent.collector.ingest import Ingest
from agent.model import SealedSegment
from agent.outbox.receipts import Receipt
from agent.outbox.spool import Recovery, Spool
from agent.store.bundle import pack
from agent.store.disk import AppendFile, FolderLock
from agent.store.recording import LOCK, Recording

OTHER = "0f0f0f0f-1111-4222-8333-444455556666"
USER = "user-4711"
SINK = "collector:http://127.0.0.1:1"


def mine(seq: int = 0) -> SealedSegment:
    """A segment of the session that goes; one picture is shown by the other session, too."""
    said = custom(SESSION + 2000 + 30_000 * seq, "segment:identify", {"event": "", "userId": USER, "properties": {}})
    return segment(seq, shades=(10, 60 + seq, 200), extra=[said] if seq == 0 else [])


def theirs(seq: int = 0) -> SealedSegment:
    return segment(seq, SESSION + 1, OTHER, shades=(10, 99))


class Host:
    """A host with a recording, a collector's folder and a spool that all hold of two sessions."""

    def __init__(self, base: Path) -> None:
        self.recording, self.collected, self.spool = base / "replays", base / "collected", base / "spool"
        for folder in (self.recording, self.collected):
            kept = Recording.create(folder)
            for sealed in (mine(0), mine(1), theirs()):
                kept.write(sealed)
        with closing(Ingest(self.collected)) as ingest:
            events = [
                {"event_type": "Paid", "device_id": DEVICE, "session_id": SESSION, "insert_id": "one", "time": 5},
                {"event_type": "Paid", "device_id": OTHER, "session_id": SESSION + 1, "insert_id": "two"},
                {"event_type": "Seen", "user_id": USER, "insert_id": "three"},
            ]
            assert ingest.take(orjson.dumps({"api_key": "key", "events": events}), "")[0] == 200
        with closing(AppendFile(self.collected / "interactions.jsonl")) as file:
            file.append(orjson.dumps({"device_id": DEVICE, "session_id": SESSION, "interaction": {}}) + b"\n", False)
        with closing(Spool(self.spool / "1")) as spool:
            for sealed in (mine(0), mine(1), theirs()):
                spool.put(sealed, [SINK, f"dir:{self.recording}"])
                spool.note(Receipt(7, sealed.manifest.id, SINK, "delivered", "ok"))
            spool.reject(mine(1).manifest.id, SINK, f"{DEVICE} was not liked")
            # Recorders that were killed left these open.
            for sealed in (mine(2), theirs(9)):
                for draft in drafts(sealed):
                    spool.append(draft, [SINK])
            # One without a whole append may hold anything.
            (self.spool / "1/drafts" / ("0" * 32 + ".draft")).write_bytes(DEVICE.encode())

    def bytes(self) -> bytes:
        """Names and contents of all files but locks, in which processes write their numbers."""
        files = [file for base in self.folders for file in sorted(base.rglob("*")) if file.is_file()]
        files = [file for file in files if file.name != LOCK]
        return b"\n".join(str(file).encode() + b"\n" + file.read_bytes() for file in files)

    @property
    def folders(self) -> tuple[Path, Path, Path]:
        return self.recording, self.collected, self.spool


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(made.spool))
    return made


def marks() -> list[bytes]:
    """What only the session that goes has."""
    kept = theirs().pictures
    pictures = [shown for n in (0, 1, 2) for shown in mine(n).pictures.values() if shown.digest not in kept]
    assert pictures
    return [
        DEVICE.encode(),
        str(SESSION).encode(),
        USER.encode(),
        *(segment_id(seq=n).encode() for n in (0, 1)),
        *(shown.digest.encode() for shown in pictures),
        *(shown.data for shown in pictures),
    ]


def check_gone(host: Host) -> None:
    left = host.bytes()
    assert [mark for mark in marks() if mark in left] == []
    for folder in (host.recording, host.collected, host.spool / "1" / "queue"):
        kept = Recording.open(folder)
        assert [manifest.device_id for manifest in kept.manifests()] == [OTHER]
        assert kept.problems() == ()
        assert kept.sealed(theirs().manifest.id).events == theirs().events
        assert not (folder / "erasing.json").exists()
    rows = [json.loads(line)["insert_id"] for line in (host.collected / "events.jsonl").read_bytes().splitlines()]
    assert rows == ["two"]
    with closing(Spool(host.spool / "1")) as spool:
        # What was open of the other session is sealed now.
        assert spool.recovery == Recovery(sealed=1)
        assert spool.pending() == 3


@pytest.mark.parametrize("whose", [("--user", USER), ("--device", DEVICE, "--user", USER)])
def test_no_byte_is_left(call, host: Host, whose: tuple[str, ...]) -> None:
    assert all(mark in host.bytes() for mark in marks())
    ended = call("sessions", "delete", str(host.recording), str(host.collected), *whose, "--yes", "--json")
    if len(whose) > 2:
        # An event of the user alone is not of this device.
        assert call("sessions", "delete", str(host.collected), "--user", USER, "--yes").code == 0
    assert ended.code == 0
    told = json.loads(ended.out)
    assert told["sessions"] == [{"device_id": DEVICE, "session_id": SESSION}]
    assert told["segments"] == sorted(segment_id(seq=n) for n in (0, 1))
    assert told["users"] == [USER]
    assert told["sent_to"] == {SINK: 2}
    assert told["files"] > 0
    assert f"2 segments went to {SINK}: delete them there" in ended.err
    assert "user privacy API" in ended.err
    assert f'{{"user_ids": ["{USER}"], "ignore_invalid_id": true, "requester": "..."}}' in ended.err
    check_gone(host)


@pytest.mark.parametrize("whose", [("--device", DEVICE), ("--session", str(SESSION))])
def test_by_device_and_by_session(call, host: Host, whose: tuple[str, ...]) -> None:
    assert call("sessions", "delete", str(host.recording), str(host.collected), *whose, "--yes").code == 0
    left = host.bytes()
    assert DEVICE.encode() not in left
    assert segment_id().encode() not in left


def test_a_dry_run_changes_nothing(call, host: Host) -> None:
    before = host.bytes()
    ended = call("sessions", "delete", str(host.recording), "--device", DEVICE, "--dry-run")
    assert ended.code == 0
    assert "1 sessions, 2 segments would be deleted" in ended.err
    assert host.bytes() == before


def test_whom_amplitude_is_to_delete_is_said_before_and_after(call, host: Host) -> None:
    known = call("sessions", "delete", str(host.recording), "--device", DEVICE, "--dry-run", "--json")
    assert json.loads(known.out)["users"] == [USER]
    assert f'"user_ids": ["{USER}"]' in known.err
    assert "Amplitude id." not in known.err
    assert "30 days after its upload" in known.err
    unknown = call("sessions", "delete", str(host.recording), "--device", OTHER, "--dry-run", "--json")
    assert json.loads(unknown.out)["users"] == []
    assert '"amplitude_ids": ["..."]' in unknown.err
    assert "In 1 sessions no user id is known: what Amplitude holds of these goes by Amplitude id." in unknown.err


def test_another_user_of_the_same_session_is_told_apart(call, host: Host) -> None:
    also = custom(SESSION + 62_000, "segment:identify", {"event": "", "userId": "user-2", "properties": {}})
    Recording.open(host.recording).write(segment(2, extra=[also]))
    ended = call("sessions", "delete", str(host.recording), "--user", USER, "--dry-run", "--json")
    assert json.loads(ended.out)["users"] == ["user-2", USER]
    assert f"The others than {USER} are of the same sessions" in ended.err


def test_a_folder_that_was_sent_a_copy_is_named(call, host: Host) -> None:
    with closing(Spool(host.spool / "1")) as spool:
        spool.note(Receipt(8, segment_id(), f"dir:{host.recording}", "delivered", ""))
    ended = call("sessions", "delete", "--device", DEVICE, "--yes")
    assert f"1 segments lie in {host.recording}, too: give that folder, too." in ended.err
    assert "dir:" not in call("sessions", "delete", str(host.recording), "--device", DEVICE, "--yes").err


def test_without_a_person_nothing_is_deleted(call, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.bytes()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ended = call("sessions", "delete", str(host.recording), "--device", DEVICE)
    assert ended.code == 2
    assert "--yes" in ended.err
    assert host.bytes() == before


@pytest.mark.parametrize("typed", ["", "n\n"])
def test_who_does_not_say_yes_deletes_nothing(call, host: Host, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    before = host.bytes()
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    ended = call("sessions", "delete", str(host.recording), "--device", DEVICE)
    assert ended.code == 2
    assert "Not confirmed" in ended.err
    assert host.bytes() == before


def test_what_waits_in_the_relay_is_said(call, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_RELAY__FOLDER", str(tmp_path / "relay"))
    (tmp_path / "relay" / "1" / "refused").mkdir(parents=True)
    (tmp_path / "relay" / "1" / "0000000000000001.batch").write_bytes(f"x {DEVICE} x".encode())
    (tmp_path / "relay" / "1" / "refused" / "0000000000000002-400.batch").write_bytes(b"another's")
    ended = call("sessions", "delete", str(host.recording), "--session", str(SESSION), "--yes", "--json")
    assert json.loads(ended.out)["relay_batches"] == 1
    assert "1 batches in the relay's queue" in ended.err


def test_a_user_with_analytics_events_alone(call, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Ingest(host.collected)) as ingest:
        ingest.take(orjson.dumps({"api_key": "key", "events": [{"event_type": "Seen", "user_id": "only-here"}]}), "")
    told = json.loads(call("sessions", "dsar", str(host.collected), "--user", "only-here").out)
    assert (told["replays"], len(told["analytics_events"])) == ([], 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert call("sessions", "delete", str(host.collected), "--user", "only-here").code == 2
    assert b"only-here" in host.bytes()
    assert call("sessions", "delete", str(host.collected), "--user", "only-here", "--yes").code == 0
    assert b"only-here" not in host.bytes()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    with closing(FolderLock(folder / LOCK)):
        yield


def test_a_folder_in_use_is_refused_and_nothing_is_touched(call, host: Host) -> None:
    for folder in (host.recording, host.collected, host.spool / "1"):
        before = host.bytes()
        with held(folder):
            ended = call("sessions", "delete", str(host.recording), str(host.collected), "--device", DEVICE, "--yes")
        assert ended.code == 11
        assert f"{folder} is in use by process {os.getpid()}" in ended.err
        assert "Stop that process" in ended.err
        assert host.bytes() == before


def test_a_spool_in_use_that_holds_none_of_it_is_left_alone(call, host: Host) -> None:
    with held(host.spool / "1"):
        ended = call("sessions", "delete", str(host.recording), "--device", "nobody", "--yes")
    assert ended.code == 0
    assert f"{host.spool / '1'} is in use and holds none of it" in ended.err


def test_a_damaged_segment_stops_it_before_anything_is_touched(call, host: Host) -> None:
    (host.recording / "segments" / f"{segment_id(seq=1)}.json").write_text("{")
    before = host.bytes()
    ended = call("sessions", "delete", str(host.recording), "--device", DEVICE, "--yes")
    assert ended.code == 11
    assert f"{segment_id(seq=1)}.json cannot be read" in ended.err
    assert host.bytes() == before


def test_list(call, host: Host) -> None:
    ended = call("sessions", "list", str(host.recording), str(host.spool), "--json")
    first, second = (json.loads(line) for line in ended.out.splitlines())
    assert (first["device_id"], second["device_id"]) == (OTHER, DEVICE)
    assert second["users"] == [USER]
    assert second["segments"] == 2
    assert second["places"] == [str(host.recording), str(host.spool / "1")]
    assert call("sessions", "list", "--user", USER).out.count("\n") == 1
    assert call("sessions", "list", str(host.recording), "--user", "nobody").out == ""


def test_a_bundle_is_told_of_and_left_alone(call, host: Host, tmp_path: Path) -> None:
    file = tmp_path / "kept.replay"
    pack(Recording.open(host.recording), file)
    told = [json.loads(line) for line in call("sessions", "list", str(file), "--json").out.splitlines()]
    assert [(each["session_id"], each["places"]) for each in told] == [
        (SESSION + 1, [str(file)]),
        (SESSION, [str(file)]),
    ]
    assert f"  {file} segment 0" in call("sessions", "show", str(file), "--session", str(SESSION)).out
    assert json.loads(call("sessions", "dsar", str(file), "--user", USER).out)["replays"]
    before = file.read_bytes()
    ended = call("sessions", "delete", str(file), "--user", USER, "--yes")
    assert (ended.code, file.read_bytes()) == (2, before)
    assert "Remove the file" in ended.err
    file.write_bytes(before[:100])
    assert call("sessions", "list", str(file)).code == 11


def test_show(call, host: Host) -> None:
    ended = call("sessions", "show", str(host.recording), str(host.spool), "--session", str(SESSION), "--json")
    told = json.loads(ended.out)
    assert {part["seq"] for part in told["parts"]} == {0, 1}
    assert [receipt["outcome"] for receipt in told["deliveries"]] == ["delivered"] * 2
    assert told["parts"][0]["losses"] == [{"stage": "screen", "reason": "superseded", "count": 2}]
    words = call("sessions", "show", str(host.recording), "--session", str(SESSION)).out
    assert f"{DEVICE}/{SESSION}" in words
    # What sinks answered is in the spool, which need not be named for that.
    assert words.count(": delivered") == 2
    assert USER in words


def test_dsar_has_names_times_and_ids_and_nothing_else(call, host: Host, tmp_path: Path) -> None:
    out = tmp_path / "dsar.json"
    paths = str(host.recording), str(host.collected)
    assert call("sessions", "dsar", *paths, "--user", USER, "-o", str(out)).code == 0
    told = json.loads(out.read_bytes())
    (replay,) = told["replays"]
    assert [receipt["outcome"] for receipt in replay["deliveries"]] == ["delivered"] * 2
    assert [event["event"] for event in replay["events"]] == ["", "Order Completed", "Order Completed"]
    assert replay["events"][0]["userId"] == USER
    assert replay["events"][1]["messageId"] == f"message-{SESSION}-0"
    assert replay["device"]["model"] == "Pixel 7"
    assert {event["insert_id"] for event in told["analytics_events"]} == {"one", "three"}
    text = out.read_text()
    assert "naïve" not in text
    assert "picture:" not in text
    assert "paid" not in text.lower().replace('"paid"', "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads(call("sessions", "dsar", *paths, "--user", USER).out) == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("forget", "PATH"), "Take one of"),
        (("delete", "PATH"), "Give --device, --session or --user"),
        (("show", "PATH", "--user", "nobody"), "No such session is here"),
        (("dsar", "PATH", "--user", "nobody"), "No such session is here"),
        (("list", "NOTHING"), "not there"),
        (("list", "EMPTY"), "no recording, no collector's folder and no spool"),
        (("list", "FILE"), "no recording, no collector's folder and no spool"),
        (("list", "x" * 300), "cannot be read"),
    ],
)
def test_what_it_cannot_do_is_said(call, host: Host, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    known = {"PATH": str(host.recording)}
    known |= {name.upper(): str(tmp_path / name) for name in ("nothing", "empty", "file")}
    ended = call("sessions", *(known.get(word, word) for word in words))
    assert ended.code in (2, 11)
    assert said in ended.err


def test_a_running_recorder_that_has_the_session_open_is_named(call, host: Host) -> None:
    """Its open segment is all that it has of the session."""
    third = segment(0, SESSION + 2, "third-device")
    with closing(Spool(host.spool / "2")) as spool:
        spool.append(drafts(third)[0], [SINK])
        before = host.bytes()
        ended = call("sessions", "delete", str(host.recording), "--device", "third-device", "--yes")
        assert ended.code == 11
        assert "in use by process" in ended.err
        assert "Stop that process" in ended.err
        assert host.bytes() == before
    assert call("sessions", "delete", str(host.recording), "--device", "third-device", "--yes").code == 0
    assert b"third-device" not in host.bytes()


def test_what_a_killed_recorder_left_open_counts(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the one session was ever sealed; of the other a segment was."""
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
    with closing(Spool(tmp_path / "spool/1")) as spool:
        spool.put(theirs(), [SINK])
        for sealed in (mine(0), theirs(1)):
            for draft in drafts(sealed):
                spool.append(draft, [SINK])
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    ended = call("sessions", "list", "--json")
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [(one["device_id"], one["segments"], one["open"], one["unread"]) for one in told] == [
        (OTHER, 1, 1, []),
        (DEVICE, 0, 1, []),
    ]
    assert told[1]["users"] == [USER]
    assert told[1]["places"] == [str(tmp_path / "spool/1")]
    assert told[1]["bytes"] > 1000
    assert "1 segments, 1 open" in call("sessions", "list").out
    assert "`android-replay upload` closes it" in ended.err
    shown = call("sessions", "show", "--user", USER)
    assert (shown.code, "segment 0 is still open" in shown.out) == (0, True)
    answer = json.loads(call("sessions", "dsar", "--user", USER).out)
    (replay,) = answer["replays"]
    assert [event["event"] for event in replay["events"]] == ["", "Order Completed"]
    assert [(draft["seq"], draft["reason"]) for draft in replay["drafts"]] == [(0, "open")]
    assert (replay["parts"], answer["unread"]) == ([], [])
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert call("sessions", "dsar", "--user", "nobody").code == 2


def damage_events(host: Host) -> Path:
    file = host.recording / "segments" / f"{segment_id(seq=1)}.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    return file


def damage_manifest(host: Host) -> Path:
    file = host.recording / "segments" / f"{segment_id(seq=1)}.json"
    file.write_text("{")
    return file


@pytest.mark.parametrize("damage", [damage_events, damage_manifest])
def test_what_cannot_be_read_is_in_the_answer_and_in_the_exit_code(call, host: Host, tmp_path: Path, damage) -> None:
    file = damage(host)
    out = tmp_path / "dsar.json"
    ended = call("sessions", "dsar", str(host.recording), "--user", USER, "-o", str(out))
    assert ended.code == 11
    assert "1 files, which are or may be of it, could not be read" in ended.err
    answer = json.loads(out.read_bytes())
    (unread,) = answer["unread"]
    assert (unread["place"], unread["file"]) == (str(host.recording), file.name)
    assert unread["reason"]
    assert [event["event"] for event in answer["replays"][0]["events"]] == ["", "Order Completed"]
    for words in (("list",), ("show", "--session", str(SESSION))):
        shown = call("sessions", *words, str(host.recording), "--json")
        assert shown.code == 0
        (one,) = [row for line in shown.out.splitlines() if (row := json.loads(line))["device_id"] == DEVICE]
        assert one["unread"] == [unread]
    # What is damaged for sure of another session is none of this one's business.
    other = call("sessions", "dsar", str(host.recording), "--device", OTHER)
    assert other.code == (11 if damage is damage_manifest else 0)
    nobody = call("sessions", "dsar", str(host.recording), "--user", "nobody")
    assert (nobody.code, "may be of it, cannot be read" in nobody.err) == (11, True)
    shown = call("sessions", "show", str(host.recording), "--device", "nobody")
    assert shown.code == (11 if damage is damage_manifest else 2)


def test_a_draft_of_which_nothing_is_whole_is_named(call, host: Host) -> None:
    ended = call("sessions", "dsar", str(host.spool), "--device", OTHER)
    assert ended.code == 11
    assert json.loads(ended.out)["unread"] == [
        {"place": str(host.spool / "1"), "file": "0" * 32 + ".draft", "reason": "Nothing whole is in it."}
    ]


@pytest.mark.parametrize("words", [("-o", "answer.json"), ("--dry-run",), ("--yes",)])
def test_what_is_for_another_verb_is_refused(
    call, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("sessions", "list", *words)
    assert (ended.code, list(tmp_path.iterdir())) == (2, [])

from __future__ import annotations

import json
import shlex
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import patterned
from fakes.adb_server import FakeAdbServer
from fakes.patterned import LENGTH_MS, OTHER_SESSION, SESSION

from agent.commands.record import Session, _check_all_there, packed, pick_up, prepared
from agent.errors import AddressTaken, AgentError, ConfigError, RecordingError, StorageError, StorageFull
from agent.outbox.spool import open_free
from agent.settings import load
from agent.store.bundle import unpacked
from agent.store.disk import FolderLock
from agent.store.recording import LOCK, Recording
from agent.viewer import assets
from bridge.types import Stamp


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        yield server


def left(folder: Path | None = None) -> list[str]:
    return sorted(file.name for file in (folder or Path()).iterdir())


def test_no_device_leaves_nothing(call, server: FakeAdbServer) -> None:
    server.states = {}
    ended = call("record", "-o", "a.replay")
    assert (ended.code, left()) == (3, [])
    assert "android-replay emulate" in ended.err


def test_a_file_that_is_there(call, server: FakeAdbServer) -> None:
    Path("a.replay").write_text("mine")
    ended = call("record", "-o", "a.replay")
    assert (ended.code, "--force" in ended.err, left()) == (2, True, ["a.replay"])
    assert Path("a.replay").read_text() == "mine"
    # With leave it is written over at the end, when there is something to write.
    server.states = {}
    assert call("record", "-o", "a.replay", "--force").code == 3
    assert Path("a.replay").read_text() == "mine"


def test_a_bundle_that_is_there(call, server: FakeAdbServer) -> None:
    Path("bug").mkdir()
    Path("bug/ticket.md").write_text("mine")
    ended = call("record", "-o", "a.replay", "--bundle", "bug")
    assert (ended.code, left()) == (2, ["bug"])


def test_a_bundle_that_could_not_be_made(call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "STATIC", Path("nowhere"))
    ended = call("record", "-o", "a.replay", "--bundle", "bug")
    assert (ended.code, "player" in ended.err, left()) == (14, True, [])
    assert server.requests == []


def test_all_that_is_said_is_json_where_that_is_asked_for(call, server: FakeAdbServer) -> None:
    Path("a.replay").write_text("mine")
    ended = call("record", "-o", "a.replay", "--log-format", "json")
    (told,) = [json.loads(line) for line in ended.err.splitlines()]
    assert (ended.code, told["level"]) == (2, "error")
    assert "--force" in told["message"]


def test_a_title_without_a_bundle_is_refused(call, server: FakeAdbServer) -> None:
    ended = call("record", "-o", "a.replay", "--title", "Wrong total")
    assert (ended.code, "--bundle" in ended.err, server.requests) == (2, True, [])


def test_a_port_that_is_taken_is_named_by_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(AddressTaken) as told:
        session = Session(None, None, None)  # type: ignore[arg-type]
        with session.door(other.getsockname()[1], "token"):
            pass
    assert "--http" in told.value.hint


@pytest.mark.parametrize("name", ["", "CI_TOKEN"])
def test_a_token_from_the_environment_is_told_by_its_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    session = Session(None, None, None)  # type: ignore[arg-type]
    with session.door(0, "canary-token", name):
        said = capsys.readouterr().err
    asked = shlex.split(said.partition("curl ")[2])[:2]
    assert asked == ["-H", f"Authorization: Bearer {'$CI_TOKEN' if name else 'canary-token'}"]
    # A shell puts the value into double quotes alone.
    assert ('"Authorization: Bearer $CI_TOKEN"' in said) is bool(name)


def test_a_token_from_the_environment_is_in_no_record(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_TOKEN", "canary-token")
    words = ("-o", "canary-token.zip", "--http", "0", "--token-env", "CI_TOKEN", "--log-format", "json")
    ended = call("record", *words)
    assert (ended.code, "canary" in ended.err, "*****.zip is no name" in ended.err) == (2, False, True)


def test_the_last_seconds_that_were_asked_for_are_those_of_the_key_too() -> None:
    rig = SimpleNamespace(clock=SimpleNamespace(now=lambda: Stamp(10**9, 1_000_000)))
    session = Session(rig, SimpleNamespace(note=lambda words: None), 300.0)  # type: ignore[arg-type]
    assert session.kept() == (700_000, 1_000_000)
    session._typed(b"a")
    assert session.kept() == (None, 1_000_000)
    session._typed(b"k")
    assert session.kept() == (700_000, 1_000_000)


def test_a_token_is_for_a_port(call, server: FakeAdbServer) -> None:
    ended = call("record", "-o", "a.replay", "--token-env", "HOME")
    assert (ended.code, "--http" in ended.err, server.requests) == (2, True, [])


def test_what_is_to_be_typed_can_be() -> None:
    words = shlex.split(pick_up(Path("my bug/a b.recording"), Path("it's.replay")).strip("`"))
    assert "my bug/a b.recording" in words
    assert "it's.replay" in words


def test_a_name_that_is_none(call, server: FakeAdbServer) -> None:
    ended = call("record", "-o", "a.zip")
    assert (ended.code, "a.zip.replay" in ended.err) == (2, True)


def test_a_folder_that_cannot_be_written(call, server: FakeAdbServer) -> None:
    Path("file").write_text("in the way")
    ended = call("record", "-o", "file/a.replay")
    assert (ended.code, left()) == (11, ["file"])


def test_a_token_that_is_not_there(call, server: FakeAdbServer) -> None:
    ended = call("record", "-o", "a.replay", "--http", "0", "--token-env", "NOWHERE")
    assert (ended.code, "NOWHERE" in ended.err, left()) == (2, True, [])


def test_what_a_killed_recorder_left_is_named_with_the_way_to_pick_it_up(
    call, server: FakeAdbServer, tmp_path: Path
) -> None:
    working = patterned.record(Path("a.recording"))
    ended = call("record", "-o", "a.replay")
    assert ended.code == 2
    assert pick_up(Path("a.recording"), Path("a.replay")) in ended.err
    assert len(working.manifests()) == 4
    # And that way leads there.
    open_free(tmp_path / "spool", []).close()
    assert call("upload").code == 0
    assert call("export", "a.recording", "--format", "replay", "-o", "a.replay").code == 0
    with unpacked(Path("a.replay")) as recording:
        assert len(recording.manifests()) == 4
    lock = FolderLock(working.path / LOCK, shared=True)
    with pytest.raises(ConfigError, match="Another recorder"):
        prepared(Path("a.replay"), None, force=True)
    lock.close()


def test_a_recording_of_a_newer_program_is_refused(call, server: FakeAdbServer) -> None:
    recording = patterned.record(Path("a.recording"))
    header = json.loads((recording.path / "recording.json").read_text())
    (recording.path / "recording.json").write_text(json.dumps({**header, "schema": 99}))
    before = signal.getsignal(signal.SIGTERM)
    ended = call("export", "a.recording", "--format", "steps", "-o", "steps.md")
    signal.signal(signal.SIGTERM, before)
    assert (ended.code, "newer" in ended.err) == (11, True)
    with pytest.raises(RecordingError, match="newer"):
        packed(recording.path, Path("a.replay"), None, 0, over=False)
    assert left() == ["a.recording"]


def test_the_folder_becomes_a_file(tmp_path: Path) -> None:
    working, out = patterned.record(tmp_path / "a.recording").path, tmp_path / "a.replay"
    summary = packed(working, out, None, OTHER_SESSION, over=False)
    assert summary is not None
    assert [part.session_id for part in summary.parts] == [SESSION, OTHER_SESSION]
    assert left(tmp_path) == ["a.replay"]
    assert out.stat().st_mode & 0o777 == 0o600


def test_only_the_last_seconds_are_kept(tmp_path: Path) -> None:
    working, out = patterned.record(tmp_path / "a.recording").path, tmp_path / "a.replay"
    end = OTHER_SESSION + 1000 + LENGTH_MS
    summary = packed(working, out, end - 4000, end, over=False)
    assert summary is not None
    assert [part.session_id for part in summary.parts] == [OTHER_SESSION]
    assert 3900 <= summary.to_ms - summary.from_ms <= 4000
    assert left(tmp_path) == ["a.replay"]
    with unpacked(out) as recording:
        (manifest,) = recording.manifests()
        assert manifest.start_ms >= end - 4000


def test_a_time_without_anything_leaves_all_of_it(tmp_path: Path) -> None:
    working = patterned.record(tmp_path / "a.recording").path
    with pytest.raises(AgentError, match="time that is to be kept"):
        packed(working, tmp_path / "a.replay", OTHER_SESSION * 2, OTHER_SESSION * 2 + 5, over=False)
    assert left(tmp_path) == ["a.recording"]
    assert len(Recording.open(working).manifests()) == 4


def test_a_file_that_came_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    working, out = patterned.record(tmp_path / "a.recording").path, tmp_path / "a.replay"
    out.write_text("another's")
    with pytest.raises(ConfigError, match="came while"):
        packed(working, out, None, OTHER_SESSION, over=False)
    assert (out.read_text(), left(tmp_path)) == ("another's", ["a.recording", "a.replay"])
    assert packed(working, out, None, OTHER_SESSION, over=True) is not None
    assert left(tmp_path) == ["a.replay"]


def test_nothing_recorded_leaves_nothing(tmp_path: Path) -> None:
    working = Recording.create(tmp_path / "a.recording").path
    assert packed(working, tmp_path / "a.replay", None, 0, over=False) is None
    assert left(tmp_path) == []


def test_a_disk_that_takes_no_file_leaves_the_folder(tmp_path: Path) -> None:
    working = patterned.record(tmp_path / "a.recording").path
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        packed(working, tmp_path / "file" / "a.replay", None, 0, over=False)
    assert len(Recording.open(working).manifests()) == 4


def test_a_file_is_not_made_as_if_all_were_there(tmp_path: Path) -> None:
    settings = load({"spool": str(tmp_path / "spool")}).settings
    _check_all_there(0, 0, settings, tmp_path / "w", tmp_path / "out")
    with pytest.raises(StorageFull, match="2 segments found no room"):
        _check_all_there(2, 1, settings, tmp_path / "w", tmp_path / "out")
    with pytest.raises(StorageError, match="1 segments are damaged") as told:
        _check_all_there(0, 1, settings, tmp_path / "w", tmp_path / "out")
    assert "export" in told.value.hint

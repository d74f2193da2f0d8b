from __future__ import annotations

from pathlib import Path

import pytest
from fakes.adb_server import FakeAdbServer, two_ways


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAdbServer:
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
        monkeypatch.chdir(tmp_path)
        yield server


def test_no_device(call, server: FakeAdbServer) -> None:
    server.states = {}
    ended = call("attach")
    assert ended.code == 3
    assert "android-replay emulate" in ended.err


def test_an_unknown_serial_names_those_that_are_there(call, server: FakeAdbServer) -> None:
    server.states = {"emulator-5554": "device"}
    ended = call("attach", "-s", "emulator-5556")
    assert ended.code == 3
    assert "emulator-5554" in ended.err


def test_several_devices_need_a_choice(call, server: FakeAdbServer) -> None:
    server.states = {"one": "device", "two": "device"}
    ended = call("attach")
    assert ended.code == 3
    assert "There are 2 devices: one, two." in ended.err
    assert "--all" in ended.err


def test_one_phone_by_two_ways_needs_no_choice(call, server: FakeAdbServer, tmp_path: Path) -> None:
    two_ways(server)
    for named in ((), ("-s", "R58", "-s", "192.168.1.7:5555")):
        ended = call("attach", *named, "--duration", "1", "--sink", f"dir:{tmp_path}")
        assert ended.err.startswith("192.168.1.7:5555 is the same phone as R58, which is used.\n")
        assert "R58: 0 segments" in ended.err
        assert "192.168.1.7:5555: 0 segments" not in ended.err
    ended = call("attach", "-s", "192.168.1.7:5555", "--duration", "1", "--sink", f"dir:{tmp_path}")
    assert "the same phone" not in ended.err
    assert "192.168.1.7:5555: 0 segments" in ended.err
    server.states["R59"] = "device"
    ended = call("attach")
    assert "There are 2 devices: R58, R59." in ended.err


def test_the_only_device_is_not_authorised(call, server: FakeAdbServer) -> None:
    server.states = {"R58": "unauthorized"}
    ended = call("attach")
    assert ended.code == 3
    assert "R58 cannot be used: unauthorized." in ended.err
    assert "USB debugging" in ended.err


def test_a_spool_that_cannot_be_written(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "file" / "spool"))
    ended = call("attach", "-s", "SERIAL")
    assert ended.code == 11
    assert "ANDROID_REPLAY_SPOOL" in ended.err


@pytest.mark.parametrize("sink", ["ftp:somewhere", "collector:", "collector:nowhere", "dir:", ""])
def test_a_sink_that_is_none(call, server: FakeAdbServer, sink: str) -> None:
    ended = call("attach", "-s", "SERIAL", "--sink", sink)
    assert ended.code in {2, 12}
    assert "android-replay: " in ended.err


def test_triggers_without_a_ring_are_refused(call, server: FakeAdbServer) -> None:
    ended = call("attach", "--keep-on", "crash")
    assert ended.code == 2
    assert "--ring" in ended.err


def test_a_wrong_level_names_the_right_ones(call, server: FakeAdbServer) -> None:
    ended = call("attach", "--level", "all")
    assert ended.code == 2
    assert "medium" in ended.err


def test_a_settings_file_that_is_not_there(call, server: FakeAdbServer) -> None:
    ended = call("attach", "--config", "nowhere.toml")
    assert ended.code == 2
    assert "nowhere.toml" in ended.err


def test_no_adb_server_and_no_adb_to_start_one(call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAdbServer() as gone:
        pass
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(gone.port))
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/nowhere/adb")
    assert call("attach").code == 8


@pytest.mark.parametrize("spec", ["usb:", "emulator:five", "tcp:"])
def test_a_device_spec_that_is_none(call, server: FakeAdbServer, spec: str) -> None:
    ended = call("attach", "-s", spec)
    assert ended.code == 2
    assert "tcp:HOST:PORT" in ended.err


def test_device_specs_name_serials(call, server: FakeAdbServer) -> None:
    ended = call("attach", "-s", "emulator:5556")
    assert ended.code == 3
    assert "adb sees no device emulator-5556" in ended.err


@pytest.mark.parametrize("flag", ["--block", "--mask", "--unmask"])
def test_a_privacy_rule_that_is_none(call, server: FakeAdbServer, flag: str) -> None:
    ended = call("attach", "-s", "SERIAL", flag, "colour=red")
    assert ended.code == 2
    assert f"{flag} 'colour=red'" in ended.err
    assert "id, testid, class" in ended.err


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("nowhere/scrcpy-server-v3.3.4", "", "There is no scrcpy server"),
        ("scrcpy-server", "", "capture.scrcpy_version"),
        ("scrcpy-server-v2.7", "", "3.x or 4.x"),
        ("scrcpy-server-v3.3.4", "5.0", "3.x or 4.x"),
    ],
)
def test_a_scrcpy_server_that_is_none(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, version: str, words: str
) -> None:
    for jar in ("scrcpy-server", "scrcpy-server-v2.7", "scrcpy-server-v3.3.4"):
        (tmp_path / jar).write_bytes(b"PK")
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__SCRCPY_SERVER", str(tmp_path / name))
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__SCRCPY_VERSION", version)
    ended = call("attach", "-s", "SERIAL")
    assert ended.code == 2
    assert words in ended.err


@pytest.mark.parametrize("command", ["attach", "relay"])
def test_all_devices_and_some_are_a_contradiction(call, server: FakeAdbServer, command: str) -> None:
    ended = call(command, "--all", "-s", "R58")
    assert (ended.code, "-s names some" in ended.err) == (2, True)
    assert server.requests == []


def test_a_proxy_that_the_relay_cannot_use_is_told_before_anything_is_recorded(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("ANDROID_REPLAY_RELAY__FOLDER", str(tmp_path / "relay"))
    ended = call("attach", "--all", "--relay", "--duration", "1", "--sink", f"dir:{tmp_path / 'replays'}")
    assert (ended.code, "names a proxy that cannot be used" in ended.err) == (2, True)

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.adb_server import FakeAdbServer
from fakes.refusing import refusing

from agent.commands import doctor


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAdbServer:
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
        yield server


def checks(out: str) -> dict[str, dict[str, object]]:
    facts = [json.loads(line) for line in out.splitlines()]
    return {fact["check"]: fact for fact in facts if "check" in fact}


def test_no_device_is_a_failed_check_with_its_fix(call, server: FakeAdbServer) -> None:
    server.states = {}
    ended = call("doctor", "--json")
    assert ended.code == 1
    found = checks(ended.out)
    assert found["packages"]["ok"]
    assert found["spool"]["ok"]
    assert found["adb server"]["ok"]
    assert not found["device"]["ok"]
    assert "android-replay emulate" in str(found["device"]["fix"])


def test_an_unauthorised_device_is_told_what_to_accept(call, server: FakeAdbServer) -> None:
    server.states = {"R58": "unauthorized"}
    ended = call("doctor", "-s", "R58")
    assert ended.code == 1
    assert "FAIL  device" in ended.out
    assert "USB debugging" in ended.out


def test_settings_are_shown_with_their_origin_and_no_secret(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__API_KEY", "key-31337")
    ended = call("doctor", "--json")
    rows = {fact["setting"]: fact for fact in map(json.loads, ended.out.splitlines()) if "setting" in fact}
    assert rows["upload.api_key"]["origin"] == "environment"
    assert rows["privacy.level"] == {"setting": "privacy.level", "value": "medium", "origin": "default"}
    assert "31337" not in ended.out + ended.err


def test_which_pictures_are_asked_for(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def video() -> dict[str, object]:
        return checks(call("doctor", "--json").out)["video"]

    monkeypatch.setattr("bridge.decoder.find_spec", lambda name: object())
    assert video()["found"] == "screenrecord, else single pictures"
    jar = tmp_path / "scrcpy-server-v4.1"
    jar.write_bytes(b"PK")
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__SCRCPY_SERVER", str(jar))
    assert video()["found"] == "scrcpy 4.1, else screenrecord, else single pictures"
    monkeypatch.setattr("bridge.decoder.find_spec", lambda name: None)
    without = video()
    assert (without["ok"], "PyAV is not installed" in str(without["found"])) == (True, True)
    assert "[video]" in str(without["fix"])
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__VIDEO", "off")
    assert "capture.video" in str(video()["found"])
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__VIDEO", "on")
    monkeypatch.setenv("ANDROID_REPLAY_CAPTURE__SCRCPY_SERVER", str(tmp_path / "nothing"))
    assert (video()["ok"], "scrcpy_server" in str(video()["fix"])) == (False, True)


def test_a_sink_that_does_not_answer(call, server: FakeAdbServer) -> None:
    with FakeAdbServer() as gone:
        pass
    ended = call("doctor", "--json", "--sink", f"collector:http://127.0.0.1:{gone.port}", "--sink", "ftp:x")
    found = checks(ended.out)
    assert not found[f"sink collector:http://127.0.0.1:{gone.port}"]["ok"]
    assert "Known forms" in str(found["sink ftp:x"]["fix"])


def test_a_spool_that_cannot_be_written(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "file" / "spool"))
    ended = call("doctor", "--json")
    assert not checks(ended.out)["spool"]["ok"]


def test_a_full_disk_is_said_before_it_matters(call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 62)
    assert not checks(call("doctor", "--json").out)["spool"]["ok"]


def test_something_else_on_the_server_s_port(call, server: FakeAdbServer) -> None:
    server.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    found = checks(call("doctor", "--json").out)
    assert not found["adb server"]["ok"]
    assert "ANDROID_ADB_SERVER_PORT" in str(found["adb server"]["fix"])


def test_amplitude_is_looked_at_without_a_replay_and_without_the_key(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing() as proxy:
        spec = f"amplitude:{proxy.url}/track"
        without = checks(call("doctor", "--json", "--sink", spec).out)[f"sink {spec}"]
        assert not without["ok"]
        assert "API_KEY" in str(without["fix"])
        assert proxy.posts == []
        monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__API_KEY", "key-31337")
        ended = call("doctor", "--json", "--sink", spec)
    found = checks(ended.out)[f"sink {spec}"]
    assert (found["ok"], "first upload" in str(found["found"])) == (True, True)
    assert [(post.method, post.body) for post in proxy.posts] == [("HEAD", b"")]
    assert "31337" not in ended.out + ended.err + str(proxy.posts)

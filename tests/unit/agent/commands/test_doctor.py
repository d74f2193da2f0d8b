from __future__ import annotations

import json
import os
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest
from fakes.adb_server import FakeAdbServer, says
from fakes.drafts import drafts
from fakes.rawserver import Connection, raw_server
from fakes.refusing import refusing
from fakes.segments import segment

from agent.commands import doctor
from agent.outbox.spool import Spool
from agent.store.traces import Traces
from bridge.deadline import Deadline
from bridge.emulated.lab import Lab
from bridge.errors import DeviceGone
from bridge.ports import Device
from bridge.registry import Registry
from bridge.types import Trace
from bridge.uia import JAR, _jar


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


def test_a_device_that_is_too_old_is_a_failed_check(call, server: FakeAdbServer) -> None:
    server.states = {"R58": "device"}
    facts = "[ro.build.version.release]: [6.0.1]\n[ro.build.version.sdk]: [23]"
    server.services["exec:getprop"] = says("\n@@next@@\n".join((facts, "Physical size: 10x20", "", "", "")))
    ended = call("doctor", "--json")
    assert ended.code == 1
    device = checks(ended.out)["device"]
    assert not device["ok"]
    assert "Android 6.0.1 (API level 23) is too old" in str(device)


def test_a_jar_that_a_killed_run_has_left_is_taken_away_and_the_library_s_own_stays(
    call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = "/data/local/tmp/u2.jar"
    with Lab(autopilot=False) as lab:
        for name, value in lab.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
        files, jar = lab.phones[0].files, _jar().read_bytes()
        lab.call(lambda: [files.write(path, jar) for path in (JAR, theirs)])
        found = checks(call("doctor", "-s", lab.serials[0], "--json").out)
        assert found["view tree"]["ok"]
        assert lab.call(lambda: [files.exists(path) for path in (JAR, theirs)]) == [False, True]


@pytest.fixture
def unopened(server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> Trace:
    """What was put on a device whose opening failed after it."""
    jar = Trace("file", JAR)

    def fail(registry: Registry, serial: str, deadline: Deadline) -> Device:
        registry._notebook.made(serial, jar)
        raise DeviceGone(serial, "open", "the link broke")

    monkeypatch.setattr(Registry, "open", fail)
    return jar


def test_what_was_put_on_a_device_that_could_not_be_opened_is_taken_away(
    call, server: FakeAdbServer, unopened: Trace, tmp_path: Path
) -> None:
    server.services["exec:rm"] = says("")
    ended = call("doctor", "--json")
    assert "the link broke" in str(checks(ended.out)["device"])
    assert f"exec:rm -f {unopened.what}" in server.requests
    assert list((tmp_path / "spool" / "devices").iterdir()) == []


def test_what_could_not_be_taken_away_is_noted_for_the_next_run(
    call, server: FakeAdbServer, unopened: Trace, tmp_path: Path
) -> None:
    server.refused["exec:rm"] = "closed"
    assert call("doctor", "--json").code == 1
    with closing(Traces(tmp_path / "spool" / "devices")) as notes:
        assert notes.left("SERIAL") == (unopened,)


def test_a_device_is_left_as_it_was_when_nothing_can_be_noted(
    call, server: FakeAdbServer, unopened: Trace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "file" / "spool"))
    server.services["exec:rm"] = says("")
    found = checks(call("doctor", "--json").out)
    assert (found["spool"]["ok"], "the link broke" in str(found["device"])) == (False, True)
    assert f"exec:rm -f {unopened.what}" in server.requests


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


def test_what_waits_too_long_is_told(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def waiting() -> dict[str, object]:
        return checks(call("doctor", "--json").out)["waiting"]

    assert (waiting()["ok"], "nothing waits" in str(waiting()["found"])) == (True, True)
    spool = Spool(tmp_path / "spool" / "1")
    spool.put(segment(), ["dir:x"])
    spool.close()
    assert waiting()["ok"]
    assert "1 segments, the oldest for 0.0 h; given up when a try fails after 72 h" in str(waiting()["found"])
    (file,) = (tmp_path / "spool" / "1" / "queue" / "segments").glob("*.json")
    old = time.time_ns() // 1_000_000_000 - 60 * 3600
    os.utime(file, (old, old))
    late = waiting()
    assert (late["ok"], "android-replay upload" in str(late["fix"])) == (False, True)
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__KEEP_HOURS", "0")
    assert waiting()["ok"]


def test_a_spool_without_room_is_told(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def waiting() -> dict[str, object]:
        return checks(call("doctor", "--json").out)["waiting"]

    size = segment().manifest.bytes
    with closing(Spool(tmp_path / "spool" / "1")) as spool:
        spool.put(segment(), ["dir:x"])
    Spool(tmp_path / "spool" / "2").close()
    monkeypatch.setattr("agent.outbox.spool.BUDGET_BYTES", 2 * size)
    assert waiting()["ok"]
    assert f"{tmp_path / 'spool' / '1'} holds {size:,} of at most {2 * size:,} bytes" in str(waiting()["found"])
    monkeypatch.setattr("agent.outbox.spool.BUDGET_BYTES", size)
    assert (waiting()["ok"], "android-replay upload" in str(waiting()["fix"])) == (False, True)


def test_secrets_and_recordings_that_others_can_read_are_told(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, config = tmp_path / "the key", tmp_path / "settings.toml"
    key.write_text("canary-key\n")
    monkeypatch.setenv("ANDROID_REPLAY_UPLOAD__API_KEY_FILE", str(key))
    key.chmod(0o600)
    assert checks(call("doctor", "--json").out)["access"]["ok"]
    key.chmod(0o640)
    told = checks(call("doctor", "--json").out)["access"]
    assert (told["ok"], told["fix"]) == (False, f"chmod go= '{key}'")
    key.chmod(0o600)
    config.write_text('[metrics]\ntoken = "canary-token"\n')
    config.chmod(0o644)
    told = checks(call("doctor", "--json", "--config", str(config)).out)["access"]
    assert (told["ok"], str(config) in str(told["found"])) == (False, True)
    config.write_text('[log]\nformat = "json"\n')
    assert checks(call("doctor", "--json", "--config", str(config)).out)["access"]["ok"]
    (tmp_path / "spool").chmod(0o755)
    assert not checks(call("doctor", "--json").out)["access"]["ok"]


def test_a_log_file_that_cannot_be_is_told(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def log() -> dict[str, object]:
        return checks(call("doctor", "--json").out)["log"]

    assert log()["found"] == "text on standard error"
    monkeypatch.setenv("ANDROID_REPLAY_LOG__FILE", str(tmp_path / "rack.log"))
    assert (log()["ok"], log()["found"]) == (True, f"text in {tmp_path / 'rack.log'}")
    assert not (tmp_path / "rack.log").exists()
    monkeypatch.setenv("ANDROID_REPLAY_LOG__FILE", str(tmp_path / "none" / "rack.log"))
    assert (log()["ok"], "log.file" in str(log()["fix"])) == (False, True)


def test_a_port_for_the_figures_that_is_taken_or_open_to_all_is_told(
    call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def metrics() -> dict[str, object]:
        return checks(call("doctor", "--json").out)["metrics"]

    assert "off" in str(metrics()["found"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("ANDROID_REPLAY_METRICS__PORT", str(port))
        assert (metrics()["ok"], "metrics.port" in str(metrics()["fix"])) == (False, True)
    assert (metrics()["ok"], metrics()["found"]) == (True, f"127.0.0.1:{port} for this host, without a token")
    monkeypatch.setenv("ANDROID_REPLAY_METRICS__HOST", "0.0.0.0")
    assert (metrics()["ok"], "METRICS__TOKEN" in str(metrics()["fix"])) == (False, True)
    monkeypatch.setenv("ANDROID_REPLAY_METRICS__TOKEN", "canary-token")
    told = call("doctor", "--json")
    assert checks(told.out)["metrics"]["found"] == f"0.0.0.0:{port} for the token"
    assert "canary" not in told.out + told.err


def test_a_disk_that_takes_nothing_is_told(call, server: FakeAdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder in which nobody, root included, can make a file.
    monkeypatch.setenv("ANDROID_REPLAY_SPOOL", "/proc/self/spool")
    told = checks(call("doctor", "--json").out)["spool"]
    assert (told["ok"], "ANDROID_REPLAY_SPOOL" in str(told["fix"])) == (False, True)


def test_what_a_killed_recorder_left_open_waits_too(call, server: FakeAdbServer, tmp_path: Path) -> None:
    def waiting() -> str:
        return str(checks(call("doctor", "--json").out)["waiting"]["found"])

    spool = Spool(tmp_path / "spool" / "1")
    spool.append(drafts(segment())[0], ["dir:x"])
    # While its recorder runs that is nobody else's business.
    assert "nothing waits" in waiting()
    spool.close()
    (draft,) = (tmp_path / "spool/1/drafts").iterdir()
    assert waiting() == (
        "1 that were still open when their recorder was killed; given up when a try fails after 72 h; "
        f"{tmp_path / 'spool/1'} holds {draft.stat().st_size:,} of at most 4,000,000,000 bytes"
    )
    with closing(Spool(tmp_path / "spool" / "1")) as spool:
        spool.append(drafts(segment(1))[0], ["dir:x"])
    assert "1 segments, the oldest for 0.0 h, and 1 that were still open" in waiting()


def test_what_answers_every_address_is_no_collector(call, server: FakeAdbServer) -> None:
    def page(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>")

    with raw_server(page) as url:
        ended = call("doctor", "--json", "--sink", f"collector:{url}")
    found = checks(ended.out)[f"sink collector:{url}"]
    assert (ended.code, found["ok"], "what answered is no collector" in str(found["found"])) == (1, False, True)


@pytest.mark.parametrize("option", [("--listen", "5"), ("--fail-on", "error")])
def test_what_is_for_listening_needs_an_app(call, option: tuple[str, str]) -> None:
    ended = call("doctor", *option)
    assert (ended.code, option[0] in ended.err, "--app" in ended.err) == (2, True, True)

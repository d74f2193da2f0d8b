from __future__ import annotations

import json

import pytest
from fakes.adb_server import FakeAdbServer, says, two_ways


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeAdbServer:
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        yield server


def test_lists_what_adb_sees_and_why_one_cannot_be_used(call, server: FakeAdbServer) -> None:
    server.states = {"emulator-5554": "device", "R58": "unauthorized", "0a1": "offline"}
    ended = call("devices")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("emulator-5554  device")
    assert "ready" in lines[0]
    assert "accept the question about USB debugging" in lines[1]
    assert "plug it in again" in lines[2]


def test_the_android_version_of_those_that_answer(call, server: FakeAdbServer) -> None:
    server.states = {"emulator-5554": "device", "R58": "device"}
    server.services["exec:getprop ro.build.version.release"] = says(b"14\n")
    assert ["Android 14" in line for line in call("devices").out.splitlines()] == [True, True]
    facts = [json.loads(line) for line in call("devices", "--json").out.splitlines()]
    assert [fact["android"] for fact in facts] == ["14", "14"]
    server.services.clear()
    assert "Android" not in call("devices").out


def test_a_phone_that_adb_lists_twice(call, server: FakeAdbServer) -> None:
    two_ways(server)
    lines = call("devices").out.splitlines()
    assert ["ready" in line for line in lines] == [True, True]
    assert ["ready; the same phone as R58" in line for line in lines] == [True, False]
    facts = [json.loads(line) for line in call("devices", "--json").out.splitlines()]
    assert [fact["same_as"] for fact in facts] == ["R58", ""]


def test_a_device_that_is_too_old_says_so(call, server: FakeAdbServer) -> None:
    server.services["exec:getprop ro.build.version.release"] = says(b"6.0.1\n23\n")
    line = call("devices").out
    assert "Android 6.0.1" in line
    assert "(API level 23) is too old" in line
    assert "ready" not in line
    fact = json.loads(call("devices", "--json").out)
    assert (fact["android"], fact["usable"], "Android 7 or newer" in fact["why"]) == ("6.0.1", False, True)
    server.services["exec:getprop ro.build.version.release"] = says(b"7.0\n24\n")
    assert "ready" in call("devices").out


def test_json_is_one_object_a_device(call, server: FakeAdbServer) -> None:
    server.states = {"emulator-5554": "device", "R58": "unauthorized"}
    ended = call("devices", "--json")
    facts = [json.loads(line) for line in ended.out.splitlines()]
    assert [(fact["serial"], fact["usable"]) for fact in facts] == [("emulator-5554", True), ("R58", False)]
    assert ended.err == ""


def test_the_displays_of_a_device_that_has_several(call, server: FakeAdbServer) -> None:
    server.states = {"emulator-5554": "device", "R58": "unauthorized"}
    facts = 'rotation 0, state {}, uniqueId "local:46", density 420'
    info = '  Display {}:\n    mBaseDisplayInfo=DisplayInfo{{"{}", real 20 x 30, ' + facts + "}}\n"
    server.services["exec:dumpsys display"] = says(
        (info.format(0, "Inner", "ON") + info.format(2, "Desk", "OFF")).encode()
    )
    lines = call("devices").out.splitlines()
    assert [line.strip() for line in lines[1:3]] == ["display 0: Inner, 20 x 30, on", "display 2: Desk, 20 x 30, off"]
    listed = [json.loads(line)["displays"] for line in call("devices", "--json").out.splitlines()]
    assert [[(each["id"], each["name"], each["on"]) for each in displays] for displays in listed] == [
        [(0, "Inner", True), (2, "Desk", False)], [],
    ]  # fmt: skip


def test_no_device_is_said(call, server: FakeAdbServer) -> None:
    server.states = {}
    ended = call("devices")
    assert ended.code == 0
    assert ended.out == ""
    assert "adb sees no device" in ended.err


def test_another_program_on_the_port(call, server: FakeAdbServer) -> None:
    server.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    ended = call("devices")
    assert ended.code == 9
    assert "android-replay: " in ended.err


def test_no_server_and_no_adb_to_start_one(call, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAdbServer() as gone:
        pass
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(gone.port))
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/nowhere/adb")
    ended = call("devices")
    assert ended.code == 8
    assert "ADBUTILS_ADB_PATH" in ended.err

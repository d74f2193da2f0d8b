from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "segment_logs"


def line(text: str, pid: int = 4242, tag: str = "ReactNativeJS", second: int = 1) -> str:
    return f"2026-03-03 12:00:{second:02d}.500 +0000 {pid:5d} {pid:5d} I {tag}: {text}\n"


def event(name: str, message: str, session: object = 1_772_000_000_000, device: str = "dev-1") -> str:
    body = {
        "type": "track",
        "event": name,
        "messageId": message,
        "timestamp": "2026-03-03T12:00:01.500Z",
        "anonymousId": "anonymous",
        "integrations": {"Actions Amplitude": {"session_id": session}},
        "context": {"device": {"id": device}},
        "properties": {},
    }
    return f"SegmentReplay/1 {message} 1/1 " + json.dumps(body)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.txt"
    file.write_text(
        "--------- beginning of main\n"
        + line("Start proc 4242:com.example.shop/u0a123 for activity", 900, "ActivityManager")
        + line("Start proc 5151:com.example.other/u0a124 for activity", 900, "ActivityManager")
        + line(event("Opened", "m-1"))
        + line(event("Elsewhere", "m-2", device="dev-2"), 5151)
        + line("SegmentReplay/1 m-3 1/2 {half", second=2)
        + line(event("Bought", "m-4", session="1772000000000"), second=3)
    )
    return file


def test_one_json_object_an_event(call, log: Path) -> None:
    ended = call("events", str(log), "--json")
    assert ended.code == 0
    facts = [json.loads(text) for text in ended.out.splitlines()]
    assert [fact["name"] for fact in facts] == ["Opened", "Elsewhere", "Bought"]
    first = facts[0]
    assert first["time"] == "2026-03-03T12:00:01.500Z"
    assert (first["session_id"], first["session_from"]) == (1_772_000_000_000, "integrations")
    assert (first["device_id"], first["device_from"]) == ("dev-1", "context.device.id")
    assert first["event"]["messageId"] == "m-1"
    assert set(first) >= {"pid", "uid", "stage", "complete", "missing"}
    assert "3 events" in ended.err
    assert "1 not read" in ended.err


def test_words_for_people(call, log: Path) -> None:
    ended = call("events", str(log))
    assert "track 'Opened'  session 1772000000000 (integrations)  device dev-1 (context.device.id)" in ended.out


def test_only_one_package(call, log: Path) -> None:
    ended = call("events", str(log), "--app", "com.example.other", "--json")
    assert [json.loads(text)["name"] for text in ended.out.splitlines()] == ["Elsewhere"]


def test_a_package_that_the_log_does_not_know(call, log: Path) -> None:
    ended = call("events", str(log), "--app", "com.example.absent")
    assert ended.out == ""
    assert "No line tells which process is com.example.absent" in ended.err


def test_standard_input(log: Path) -> None:
    words = [sys.executable, "-P", "-m", "agent.cli", "events", "-", "--json", "--app", "com.example.shop"]
    done = subprocess.run(words, input=log.read_bytes(), capture_output=True, timeout=60)
    assert done.returncode == 0
    assert [json.loads(text)["name"] for text in done.stdout.splitlines()] == ["Opened", "Bought"]


def test_a_binary_log(call, tmp_path: Path) -> None:
    payload = b"\x04ReactNativeJS\0" + event("Opened", "m-1").encode() + b"\0"
    header = struct.pack("<HHiIIIII", len(payload), 28, 4242, 4242, 1_772_539_201, 500_000_000, 0, 10123)
    (tmp_path / "log.bin").write_bytes(header + payload)
    ended = call("events", str(tmp_path / "log.bin"), "--json")
    (fact,) = map(json.loads, ended.out.splitlines())
    assert (fact["name"], fact["uid"], fact["time"]) == ("Opened", 10123, "2026-03-03T12:00:01.500Z")
    assert "(binary)" in ended.err


@pytest.mark.parametrize("content", [b"no log at all\n" * 20, bytes(range(256)) * 40])
def test_no_log_at_all(call, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    ended = call("events", str(tmp_path / "file"))
    assert ended.code == 2
    assert "no log entry" in ended.err


def test_an_empty_log_has_no_events(call, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ended = call("events", str(tmp_path / "file"))
    assert ended.code == 0
    assert ended.err.startswith("0 events")


@pytest.mark.parametrize("words", [("nowhere.txt",), (".",), ("nowhere.txt", "--format", "yaml")])
def test_what_cannot_be_read(call, words: tuple[str, ...]) -> None:
    ended = call("events", *words)
    assert ended.code == 2
    assert "android-replay: " in ended.err


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the shared fixtures are not here")
@pytest.mark.parametrize("kind", ["logcat.txt", "logcat.bin"])
def test_whole_events_of_real_apps_have_the_ids_of_the_plugin(call, kind: str) -> None:
    compared = 0
    for scenario in json.loads((FIXTURES / "index.json").read_text())["scenarios"]:
        folder = FIXTURES / scenario["name"]
        truth = {
            entry["event"]["messageId"]: entry["expect"]
            for entry in map(json.loads, (folder / "events.jsonl").read_text().split("\n")[:-1])
            if entry["log"]["status"] == "full" and entry["main"]
        }
        ended = call("events", str(folder / kind), "--json")
        found = {fact["message_id"]: fact for fact in map(json.loads, ended.out.splitlines()) if fact["complete"]}
        for message, expect in truth.items():
            assert message in found, (scenario["name"], message)
            assert found[message]["session_id"] == expect["session_id"], (scenario["name"], message)
            assert found[message]["device_id"] == expect["device_id"], (scenario["name"], message)
            compared += 1
    assert compared > 50

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.instrumented import OF_FIXTURES

FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "segment_logs"
FIELDS = [
    "time", "pid", "uid", "stage", "complete", "event", "session_id", "device_id", "session_from", "device_from",
    "missing",
]  # fmt: skip


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
    assert [fact["event"]["event"] for fact in facts] == ["Opened", "Elsewhere", "Bought"]
    assert all(list(fact) == FIELDS for fact in facts)
    first = facts[0]
    assert first["time"] == "2026-03-03T12:00:01.500Z"
    assert (first["session_id"], first["session_from"]) == (1_772_000_000_000, "integrations")
    assert (first["device_id"], first["device_from"]) == ("dev-1", "context.device.id")
    assert first["event"]["messageId"] == "m-1"
    assert "3 events" in ended.err
    assert "1 not read" in ended.err


def test_words_for_people(call, log: Path) -> None:
    ended = call("events", str(log))
    assert "track 'Opened'  session 1772000000000 (integrations)  device dev-1 (context.device.id)" in ended.out


def test_only_one_package(call, log: Path) -> None:
    ended = call("events", str(log), "--app", "com.example.other", "--json")
    assert [json.loads(text)["event"]["event"] for text in ended.out.splitlines()] == ["Elsewhere"]


def test_a_package_that_the_log_does_not_know(call, log: Path) -> None:
    ended = call("events", str(log), "--app", "com.example.absent")
    assert ended.out == ""
    assert "No line tells which process is com.example.absent" in ended.err


def test_standard_input(log: Path) -> None:
    words = [sys.executable, "-P", "-m", "agent.cli", "events", "-", "--json", "--app", "com.example.shop"]
    done = subprocess.run(words, input=log.read_bytes(), capture_output=True, timeout=60)
    assert done.returncode == 0
    assert [json.loads(text)["event"]["event"] for text in done.stdout.splitlines()] == ["Opened", "Bought"]


def test_a_binary_log(call, tmp_path: Path) -> None:
    payload = b"\x04ReactNativeJS\0" + event("Opened", "m-1").encode() + b"\0"
    header = struct.pack("<HHiIIIII", len(payload), 28, 4242, 4242, 1_772_539_201, 500_000_000, 0, 10123)
    (tmp_path / "log.bin").write_bytes(header + payload)
    ended = call("events", str(tmp_path / "log.bin"), "--json")
    (fact,) = map(json.loads, ended.out.splitlines())
    assert (fact["event"]["event"], fact["uid"], fact["time"]) == ("Opened", 10123, "2026-03-03T12:00:01.500Z")
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


@pytest.mark.parametrize(
    ("form", "prefix", "suffix"),
    [
        ("process", "I( 4242) ", "  (ReactNativeJS)"),
        ("tag", "I/ReactNativeJS: ", ""),
        ("thread", "I( 4242: 4250) ", ""),
        ("raw", "", ""),
    ],
)
def test_logs_without_times_tags_or_processes(call, tmp_path: Path, form: str, prefix: str, suffix: str) -> None:
    lines = [event("Opened", "m-1"), "no event", event("Bought", "m-2")]
    (tmp_path / "log").write_text("".join(f"{prefix}{text}{suffix}\n" for text in lines))
    ended = call("events", str(tmp_path / "log"), "--json")
    facts = [json.loads(text) for text in ended.out.splitlines()]
    assert [fact["event"]["event"] for fact in facts] == ["Opened", "Bought"]
    assert {fact["pid"] for fact in facts} == {4242 if "4242" in prefix else None}
    assert {fact["time"] for fact in facts} == {None}
    assert f"({form})" in ended.err


def test_buffers_that_are_empty(call, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("--------- beginning of main\n--------- beginning of system\n")
    ended = call("events", str(tmp_path / "log"), "--json")
    assert (ended.code, ended.out) == (0, "")


def test_copied_from_android_studio(call, tmp_path: Path) -> None:
    head = "2023-06-01 18:13:09.576  8468-8470  ReactNativeJS           com.example.shop                     I  "
    other = head.replace("8468", "9999").replace("com.example.shop", "com.example.game")
    (tmp_path / "log").write_text(
        "-------- PROCESS STARTED (8468) for package com.example.shop --------\n"
        + head + "'TRACK event saved', { type: 'track',\n" + " " * len(head) + "  event: 'Opened', properties: {} }\n"
        + other + event("Elsewhere", "m-2") + "\n"
    )  # fmt: skip
    ended = call("events", str(tmp_path / "log"), "--json", "--app", "com.example.shop")
    (fact,) = map(json.loads, ended.out.splitlines())
    assert (fact["event"]["event"], fact["time"], fact["pid"]) == ("Opened", "2023-06-01T18:13:09.576", 8468)
    assert "(studio)" in ended.err


def test_doctor_tells_findings_with_proof_and_fix(call, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(
        line(event("Opened", "m-1"))
        + line(event("Bought", "m-2", session=-1), second=2)
        + line("api_key=0f9e8d7c6b5a49382716050403020100 of nora@quill.example", second=3)
    )
    ended = call("events", str(file), "--doctor")
    assert ended.code == 0
    assert "Instrumentation: 2 findings." in ended.err
    assert "negative-session-id" in ended.err
    assert "2026-03-03T12:00:02.500Z" in ended.err
    assert "proof: I/ReactNativeJS: SegmentReplay/1 m-2" in ended.err
    assert "fix: Add the Amplitude session plugin" in ended.err
    assert "0f9e8d7c" not in ended.out + ended.err
    assert "quill.example" not in ended.err
    assert "finding" not in ended.out
    assert "Instrumentation" not in call("events", str(file)).err


def test_findings_as_json_are_told_from_events(call, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(line(event("Bought", "m-2", session=-1)) + line(event("Bought", "m-3", session=-1), second=3))
    facts = [json.loads(text) for text in call("events", str(file), "--doctor", "--json").out.splitlines()]
    assert ["finding" in fact for fact in facts] == [False, False, True]
    finding = facts[2]["finding"]
    assert list(facts[2]) == ["finding"]
    assert set(finding) == {"rule", "severity", "count", "time", "pid", "saw", "meaning", "fix", "proof"}
    assert (finding["rule"], finding["severity"], finding["count"]) == ("negative-session-id", "error", 2)
    assert finding["time"] == "2026-03-03T12:00:01.500Z"


@pytest.mark.parametrize(("level", "code"), [("error", 0), ("warning", 16), ("info", 16)])
def test_fail_on_a_level(call, tmp_path: Path, level: str, code: int) -> None:
    file = tmp_path / "log.txt"
    file.write_text(line(event("Opened", "m-1")) + line("Invalid URL has been passed", second=2))
    ended = call("events", str(file), "--fail-on", level)
    assert ended.code == code
    assert ("faults of level" in ended.err) == bool(code)


def test_a_level_that_is_none(call, log: Path) -> None:
    ended = call("events", str(log), "--fail-on", "fatal")
    assert ended.code == 2
    assert "error, warning, info" in ended.err


def test_a_healthy_log_has_nothing_to_find_fault_with(call, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(line(event("Opened", "m-1", device="dev-12")))
    ended = call("events", str(file), "--fail-on", "info")
    assert ended.code == 0
    assert "nothing to find fault with" in ended.err


def test_doctor_keeps_to_the_app(call, log: Path) -> None:
    err = call("events", str(log), "--doctor", "--app", "com.example.shop").err
    assert "several-apps" in err
    assert "dev-2" not in err
    # No line tells the app's process: nothing is known to be another's.
    unknown = log.with_name("unknown.txt")
    unknown.write_text(line(event("Opened", "m-1")))
    assert "nothing to find" in call("events", str(unknown), "--doctor", "--app", "com.example.shop").err


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not there")
@pytest.mark.parametrize("file", ["logcat.txt", "logcat.bin"])
@pytest.mark.parametrize("name", OF_FIXTURES)
def test_text_and_binary_of_a_fixture_have_the_same_findings(call, name: str, file: str) -> None:
    scenarios = json.loads((FIXTURES / "index.json").read_text())["scenarios"]
    package = next(scenario["app"]["package"] for scenario in scenarios if scenario["name"] == name)
    ended = call("events", str(FIXTURES / name / file), "--app", package, "--doctor", "--json")
    facts = [fact["finding"] for fact in map(json.loads, ended.out.splitlines()) if "finding" in fact]
    assert {fact["rule"]: fact["count"] for fact in facts} == OF_FIXTURES[name]


def test_a_process_id_that_another_app_takes_over_is_not_ours_any_more(call, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        line("Start proc 4242:com.example.shop/u0a123 for activity", 900, "ActivityManager")
        + line(event("Opened", "m-1"))
        + line("Start proc 4242:com.example.other/u0a124 for activity", 900, "ActivityManager", 3)
        + line(event("Elsewhere", "m-2"), second=4)
        + line("Start proc 4300:com.example.shop/u0a123 for activity", 900, "ActivityManager", 5)
        + line(event("Again", "m-3"), 4300, second=6)
    )
    ended = call("events", str(tmp_path / "log"), "--json", "--app", "com.example.shop")
    assert [json.loads(text)["event"]["event"] for text in ended.out.splitlines()] == ["Opened", "Again"]


def test_a_log_without_line_ends_is_read_in_bounded_memory(call, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"03-03 12:00:01.500  4242  4250 I ReactNativeJS: " + b'{"type":"track",' * 200_000)
    ended = call("events", str(tmp_path / "log"), "--json")
    assert (ended.code, ended.out) == (0, "")
    assert "1 not read" in ended.err


def test_the_doctor_reads_every_tag(call, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(
        line("Start proc 4242:com.example.shop/u0a123 for activity", 900, "ActivityManager")
        + line("--> GET https://x.example/config?api_key=0f9e8d7c6b5a49382716050403020100", tag="okhttp.OkHttpClient")
        + line("a tick", 900, "Other", second=9)
    )
    err = call("events", str(file), "--doctor", "--app", "com.example.shop").err
    assert "api-key-logged" in err
    assert "logger-silenced" in err
    assert "0f9e8d7c" not in err


def test_a_process_from_before_the_log_is_not_called_another_app_s(call, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(
        line(event("Before", "m-1"), 4100)
        + line("Start proc 4242:com.example.shop/u0a123 for activity", 900, "ActivityManager", 2)
        + line(event("After", "m-2", device="dev-12"), 4242, second=3)
    )
    assert "nothing to find" in call("events", str(file), "--doctor", "--app", "com.example.shop").err


def private(message: str) -> str:
    body = json.loads(event("Seen by anna@example.com", message).partition("1/1 ")[2])
    body["properties"] = {"email": "anna@example.com", "note": "for Anna Bell", "firstName": "Anna Bell", "total": 3}
    return f"SegmentReplay/1 {message} 1/1 " + json.dumps(body)


def test_private_values_are_starred_at_a_level_and_ids_stay(call, tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(line(private("m-1")) + line(event("Bell rang for Anna Bell", "m-2"), second=2))
    plain = call("events", str(file), "--json")
    assert "anna@example.com" in plain.out
    for level in ("medium", "conservative"):
        ended = call("events", str(file), "--json", "--level", level)
        assert ended.code == 0
        assert "anna@" not in ended.out.lower()
        assert "Anna Bell" not in ended.out
        first, second = (json.loads(text) for text in ended.out.splitlines())
        assert list(first) == FIELDS
        assert first["event"]["properties"]["total"] == 3
        assert (first["session_id"], first["device_id"]) == (1_772_000_000_000, "dev-1")
        assert second["event"]["event"] == "Bell rang for *****"
    assert "anna" not in call("events", str(file), "--level", "medium", "--doctor").out.lower()


def test_a_level_that_there_is_not(call, log: Path) -> None:
    ended = call("events", str(log), "--level", "none")
    assert ended.code == 2
    assert "privacy.level" in ended.err


def test_rules_of_the_environment_hold_for_events(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_PRIVACY__RULES", '[{"action": "mask", "text": "Opened"}]')
    file = tmp_path / "log.txt"
    file.write_text(line(event("Opened it", "m-1")))
    assert json.loads(call("events", str(file), "--json", "--level", "light").out)["event"]["event"] == "***** it"

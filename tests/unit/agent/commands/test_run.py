"""The command as a user has it: a real pytest, a real adb server, an emulated phone whose truth is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fakes.adb_server import FakeAdbServer
from fakes.collecting import collecting
from fakes.segments import segment

from agent.commands.beside import Beside
from agent.commands.run import Gate, _attachment, _joined, _missing, _shut, _stamps
from agent.outbox.spool import Spool
from agent.replay.validator import validate
from agent.runs.ledger import Signal
from agent.runs.names import Case
from agent.store.bundle import unpacked
from agent.store.recording import Recording
from bridge.emulated.lab import Lab
from bridge.emulated.world.analytics import Sent

SAMPLES = Path(__file__).parents[3] / "samples"
# What a script does without our package: a test told by HTTP, one by the log of the phone, then pytest.
SCRIPT = """
import json, os, subprocess, sys, urllib.request

def tell(**body):
    request = urllib.request.Request(os.environ["ANDROID_REPLAY_RUN_URL"] + "/tests", json.dumps(body).encode())
    request.add_header("Authorization", "Bearer " + os.environ["ANDROID_REPLAY_RUN_TOKEN"])
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

def log(text):
    adb = [os.environ["ADBUTILS_ADB_PATH"], "-s", os.environ["ANDROID_SERIAL"]]
    subprocess.run([*adb, "shell", f"log -t TestRunner '{text}'"], check=True)

assert tell(name="checkout", event="started")["attempt"] == 1
log("started: testCart(com.northbay.shop.CartTest)")
log("failed: testCart(com.northbay.shop.CartTest)")
log("finished: testCart(com.northbay.shop.CartTest)")
assert tell(name="checkout", event="finished", outcome="failed", message="no receipt")["outcome"] == "failed"
pytest = [sys.executable, "-m", "pytest", "-p", "no:randomly", sys.argv[1]]
assert subprocess.run([*pytest, "-k", "crashes"]).returncode == 3
os.execv(sys.executable, [*pytest, "-k", "not crashes", "--reruns", "1", "--junitxml", "out.xml"])
"""


@dataclass(frozen=True)
class Ran:
    folder: Path
    ended: subprocess.CompletedProcess[str]
    table: dict[str, Any]
    sent: list[Sent]
    collected: Path

    def rows(self) -> dict[tuple[str, int], dict[str, Any]]:
        return {(row["name"], row["attempt"]): row for row in self.table["tests"]}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "script.py").write_text(SCRIPT)
    collected = folder / "collected"
    with Lab(1, profile="small", scenario="shop") as lab, collecting(collected) as collector:
        words = [
            "run", "--device", lab.serials[0], "--app", "com.northbay.shop", "--keep", "failed", "--junit", "out.xml",
            "--sink", f"collector:{collector.url}", "--json", "--", sys.executable, "script.py", str(SAMPLES),
        ]  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "agent.cli", *words],
            cwd=folder,
            env={
                **os.environ, **lab.environment, "GITHUB_ACTIONS": "true",
                "ANDROID_REPLAY_SPOOL": str(folder / "spool"), "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )  # fmt: skip
        assert ended.stdout, ended.stderr
        yield Ran(folder, ended, json.loads(ended.stdout), lab.sent()[lab.serials[0]], collected)


def test_the_exit_code_is_pytest_s_and_stdout_the_table(ran: Ran) -> None:
    assert ran.ended.returncode == ran.table["exit_code"] == 1, ran.ended.stderr
    assert json.loads((ran.folder / "replays" / "run.json").read_bytes()) == ran.table
    assert "Traceback" not in ran.ended.stderr.partition("short test summary")[2]


def test_each_test_and_attempt_is_there_once(ran: Ran) -> None:
    assert {name: (row["outcome"], row["sources"]) for name, row in ran.rows().items()} == {
        ("checkout", 1): ("failed", ["http"]),
        ("testCart", 1): ("failed", ["log"]),
        ("test_that_passes", 1): ("passed", ["pytest", "junit"]),
        ("test_that_fails", 1): ("failed", ["pytest", "junit"]),
        ("test_that_fails", 2): ("failed", ["pytest", "junit"]),
        ("test_that_is_flaky", 1): ("failed", ["pytest", "junit"]),
        ("test_that_is_flaky", 2): ("passed", ["pytest", "junit"]),
        ("test_that_is_skipped", 1): ("skipped", ["pytest", "junit"]),
        ("test_that_crashes", 1): ("crashed", ["pytest"]),
    }


def test_ids_are_those_that_the_app_sent(ran: Ran) -> None:
    known = {(event.session_id, event.device_id) for event in ran.sent}
    for row in ran.table["tests"]:
        before = [event for event in ran.sent if event.session_id > 0 and event.wall_ms <= row["start_ms"]]
        during = [
            event for event in ran.sent if row["start_ms"] < event.wall_ms <= row["end_ms"] and event.session_id > 0
        ]
        # The first test may be over before the app's first event: what was recorded until then is that session's.
        after = [event for event in ran.sent if event.wall_ms > row["end_ms"] and event.session_id > 0]
        expected = {event.session_id for event in [*before[-1:], *during] or after[:1]}
        found = {(session["session_id"], session["device_id"]) for session in row["sessions"]}
        assert found <= known
        assert {session for session, _ in found} == expected, row


def test_exactly_what_failed_keeps_a_recording_of_its_time(ran: Ran) -> None:
    replays = {path.name for path in (ran.folder / "replays").glob("*.replay")}
    bad = [row for row in ran.table["tests"] if row["outcome"] in ("failed", "crashed", "error")]
    assert {row["replay"] for row in bad} == replays
    assert len(bad) == len(replays) == 6
    assert all(row["replay"] is None and "--keep failed" in row["why"] for row in ran.table["tests"] if row not in bad)
    for row in bad:
        with unpacked(ran.folder / "replays" / row["replay"]) as recording:
            manifests = recording.manifests()
            assert manifests
            for manifest in manifests:
                assert row["start_ms"] <= manifest.start_ms
                # A cut ends a millisecond after what it holds.
                assert manifest.end_ms <= row["end_ms"] + 1
                sealed = recording.sealed(manifest.id)
                assert list(validate([json.loads(event) for event in sealed.events], sealed.pictures)) == []


def test_tests_are_marked_in_the_recording(ran: Ran) -> None:
    row = ran.rows()["checkout", 1]
    with unpacked(ran.folder / "replays" / row["replay"]) as recording:
        events = [json.loads(line) for m in recording.manifests() for line in recording.events(m.id)]
    names = [event["data"]["payload"]["name"] for event in events if event["data"].get("tag") == "marker"]
    assert "checkout: started" in names
    assert "com.northbay.shop.CartTest.testCart: failed" in names


def test_the_junit_file_names_replay_session_and_device(ran: Ran) -> None:
    root = ElementTree.parse(ran.folder / "out.xml").getroot()
    # pytest-rerunfailures has a case for each attempt.
    cases: dict[tuple[str, int], ElementTree.Element] = {}
    for case in root.iter("testcase"):
        name = case.get("name", "")
        cases[name, sum(known == name for known, _ in cases) + 1] = case
    assert cases.keys() == {name for name, row in ran.rows().items() if "junit" in row["sources"]}
    assert len(cases) == 6
    for (name, attempt), case in cases.items():
        row = ran.rows()[name, attempt]
        told = {item.get("name"): item.get("value") for item in case.iter("property")}
        assert told["android-replay.session_id"] == ",".join(str(s["session_id"]) for s in row["sessions"])
        assert told["android-replay.device_id"] == row["sessions"][0]["device_id"]
        assert told["android-replay.attempt"] == str(attempt)
        if row["replay"]:
            path = ran.folder / "replays" / row["replay"]
            assert told["android-replay.replay"] == f"replays/{row['replay']}"
            assert f"[[ATTACHMENT|{path.resolve()}]]" in (case.findtext("system-out") or "")
        else:
            assert "[[ATTACHMENT" not in (case.findtext("system-out") or "")


def test_an_attachment_s_path_is_what_its_reader_wants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "project" / "replays" / "a.replay"
    monkeypatch.delenv("CI_PROJECT_DIR", raising=False)
    assert _attachment(file) == str(file)
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "project"))
    assert _attachment(file) == "replays/a.replay"
    assert _attachment(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")


def test_github_is_told(ran: Ran) -> None:
    lines = ran.ended.stderr.splitlines()
    assert sum(line.startswith("::error ") for line in lines) == 4
    assert sum(line.startswith("::warning ") for line in lines) == 1
    summary = (ran.folder / "summary.md").read_text()
    assert "| replays/suite.test\\_that\\_is\\_flaky-attempt1.replay |" in summary
    assert len(summary.splitlines()) == len((ran.folder / "replays" / "run.md").read_text().splitlines())


def test_nothing_else_is_left(ran: Ran) -> None:
    left = {path.name for path in (ran.folder / "replays").iterdir() if path.suffix != ".replay"}
    assert left == {"run.json", "run.md", "index.html"}
    assert "test_that_crashes-attempt1.replay" in (ran.folder / "replays" / "index.html").read_text()


def test_a_sink_gets_what_the_folder_keeps_and_what_it_does_not(ran: Ran) -> None:
    kept, times = set[str](), list[tuple[int, int]]()
    for file in (ran.folder / "replays").glob("*.replay"):
        with unpacked(file) as recording:
            kept |= messages(recording)
            times += spans(recording)
    collected = Recording.open(ran.collected)
    assert kept <= messages(collected) <= {sent.message_id for sent in ran.sent}
    # Tests may run at the same time: what was recorded of each lies in the whole.
    whole = spans(collected)
    assert all(start < end for start, end in times)
    assert min(whole)[0] <= min(times)[0]
    assert max(end for _, end in times) <= max(end for _, end in whole)
    assert not any("refused" in note or "sent" in note for note in ran.table["notes"])


def messages(recording: Recording) -> set[str]:
    """The ids of the Segment events in it."""
    events = (json.loads(line) for each in recording.manifests() for line in recording.events(each.id))
    custom = (event["data"] for event in events if event["type"] == 5)
    return {data["payload"]["messageId"] for data in custom if data["tag"].startswith("segment:")}


def spans(recording: Recording) -> list[tuple[int, int]]:
    return [(each.start_ms, each.end_ms) for each in recording.manifests()]


def ended(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`run` beside a phone of its own, which gives up soon on what is not sent."""
    with Lab(1, profile="small", scenario="shop") as lab:
        device = ("--device", lab.serials[0], "--app", "com.northbay.shop", "--json")
        return subprocess.run(
            [sys.executable, "-P", "-m", "agent.cli", "run", *device, *words],
            cwd=tmp_path,
            env={
                **os.environ, **lab.environment, "ANDROID_REPLAY_SPOOL": str(tmp_path / "spool"),
                "ANDROID_REPLAY_UPLOAD__FLUSH_SECONDS": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )  # fmt: skip


def test_a_sink_that_is_away_is_told_of_and_the_table_is_whole(tmp_path: Path) -> None:
    done = ended(tmp_path, "--sink", "collector:http://127.0.0.1:9", "--", sys.executable, "-c", "")
    assert done.returncode == 0, done.stderr
    assert sum("sent to collector:http://127.0.0.1:9" in note for note in json.loads(done.stdout)["notes"]) == 1
    left = {path.name for path in (tmp_path / "replays").iterdir()}
    assert {"run.json", "run.md", "index.html"} < left
    assert not any(name.startswith(".run") for name in left)


def test_a_folder_that_cannot_be_written_any_more_leaves_the_command_its_exit_code(tmp_path: Path) -> None:
    command = "import os, sys; os.rename('replays', 'aside'); open('replays', 'w').close(); sys.exit(3)"
    done = ended(tmp_path, "--", sys.executable, "-c", command)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["exit_code"] == 3
    assert "Traceback" not in done.stderr


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAdbServer]:
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        monkeypatch.setenv("ANDROID_REPLAY_SPOOL", str(tmp_path / "spool"))
        monkeypatch.chdir(tmp_path)
        yield server


def test_without_a_phone_the_command_is_not_started(call, server: FakeAdbServer, tmp_path: Path) -> None:
    server.states = {}
    ended = call("run", "--", "touch", "started")
    assert ended.code == 3
    assert "adb sees no device" in ended.err
    assert not (tmp_path / "started").exists()
    assert list((tmp_path / "replays").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run",), 2, "CMD"),
        (("run", "--", "nowhere-at-all"), 127, "not on PATH"),
        (("run", "--device", "emulated:holiday", "--", "true"), 2, "no scenario"),
        (("run", "--keep", "some", "--", "true"), 2, "first-retry"),
        (("run", "--gate", "luck", "--", "true"), 2, "doctor"),
        (("run", "--level", "all", "--", "true"), 2, "medium"),
        (("run", "--out", "file", "--", "true"), 11, "a file is in the way"),
    ],
)
def test_what_is_wrong_is_said(
    call, server: FakeAdbServer, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = call(*words)
    assert ended.code == code
    assert said in ended.err


SUITE = b'<testsuite><testcase classname="A" name="t"><failure/></testcase></testsuite>'


def joined(junit: Path, write: Callable[[], object]) -> tuple[dict[Path, Any], list[str], Beside]:
    """What becomes of JUnit files when a command does that."""
    beside, notes, before = Beside(["true"]), [], _stamps(junit)
    write()
    return dict(_joined(junit, before, beside, notes)[0]), notes, beside


@pytest.mark.parametrize(
    ("data", "words"),
    [(None, "wrote no JUnit file"), (b"", "it is empty"), (b"<testsuite><t", "it is broken"), (b"<html/>", "<html>")],
)
def test_without_a_good_junit_file_the_table_goes_without(tmp_path: Path, data: bytes | None, words: str) -> None:
    file = tmp_path / "out.xml"
    found, (note,), _ = joined(file, lambda: None if data is None else file.write_bytes(data))
    assert found == {}
    assert words in note
    assert str(file) in note


def test_a_file_of_an_earlier_run_is_none_of_this(tmp_path: Path) -> None:
    file = tmp_path / "out.xml"
    file.write_bytes(SUITE)
    found, (note,), beside = joined(file, lambda: None)
    assert (found, len(beside.ledger)) == ({}, 0)
    assert "older than this run" in note
    found, notes, beside = joined(file, lambda: file.write_bytes(SUITE + b"\n"))
    assert (list(found), notes, len(beside.ledger)) == ([file], [], 1)


def test_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "old.xml").write_bytes(SUITE)

    def write() -> None:
        (tmp_path / "a" / "TEST-1.xml").write_bytes(SUITE)
        (tmp_path / "a" / "TEST-2.xml").write_bytes(SUITE.replace(b'"t"', b'"u"'))
        (tmp_path / "notes.txt").write_text("no result")

    found, notes, beside = joined(tmp_path, write)
    assert (len(found), notes) == (2, [])
    assert [(attempt.case.name, attempt.outcome) for attempt in beside.ledger] == [("t", "failed"), ("u", "failed")]


def test_a_file_tells_how_a_test_ended_whose_end_nobody_heard(tmp_path: Path) -> None:
    def lost(data: bytes) -> tuple[list[str], list[tuple[str, int | None]]]:
        """A command that writes that file, and of whose last two tests the ends are lost from the phone's log."""
        beside, notes, file = Beside(["true"]), [], tmp_path / "out.xml"
        for at, name in enumerate(("t", "u")):
            beside.ledger.hear(Signal("log", Case("A", name), "started", at, "R58"))
        beside.end_ms = 9
        file.write_bytes(data)
        _joined(file, {}, beside, notes)
        return notes, [(attempt.outcome, attempt.end_ms) for attempt in beside.ledger]

    passed = SUITE.replace(b"<failure/>", b"")
    assert lost(passed) == (["A.u (attempt 1) never ended."], [("passed", 9), ("crashed", 9)])
    # Its process may have died of it.
    assert lost(SUITE)[1] == [("crashed", 9), ("crashed", 9)]


def test_what_did_not_come_into_the_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.outbox.spool.HELD_BYTES", 5000)
    with closing(Spool(tmp_path)) as spool:
        spool.put(segment(0), ["dir:/other"])
        assert _missing(spool, "dir:/ours") == []
        spool.put(segment(1), ["dir:/ours"])
        assert _missing(spool, "dir:/ours") == [
            f"Not all of it could be stored; 1 segments wait in {tmp_path}.",
        ]
        spool.reject(segment(1).manifest.id, "dir:/ours", "Damaged.")
        assert _missing(spool, "dir:/ours") == [
            "1 segments are damaged and not stored: `android-replay upload` says why.",
        ]
        spool._reserve = 2**62
        for seq in range(2, 5):
            spool.keep(segment(seq), ["dir:/ours"])
        assert spool.unstored() < 3
        assert _missing(spool, "dir:/ours")[0] == f"3 segments are lost: the disk of {tmp_path} took nothing more."


def test_gates() -> None:
    both = [Gate.DOCTOR, Gate.GAPS]
    assert _shut(both, {"warning: plugin-order": 1}, {"touch: injected touches are not seen": 3}, [], "") == []
    (doctor,) = _shut(both, {"error: negative-session-id": 2}, {}, [], "")
    assert "negative-session-id (2 times)" in doctor
    (gaps,) = _shut(both, {}, {"screen: DeviceGone": 1}, ["S"], "the disk is full")
    assert all(words in gaps for words in ("screen: DeviceGone (1 times)", "S failed", "the disk is full"))
    assert _shut([], {"error: negative-session-id": 2}, {"screen: DeviceGone": 1}, ["S"], "x") == []

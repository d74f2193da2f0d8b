"""A whole run under failures: the project's key and private texts are nowhere, and everything is its owner's alone."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes.collecting import collecting
from fakes.rawserver import Connection, raw_server
from fakes.wait import until

from agent.runtime.control import SOCKET, ask
from agent.store.recording import Recording
from bridge.emulated.lab import Lab
from bridge.emulated.world import SECRETS

KEY = "canary/key+4711=="
TOKEN = "canary-token-4712"
SECONDS = 12
SHOP = "com.northbay.shop"
# Nothing listens on port 9.
DEAD = "http://127.0.0.1:9"
PROGRAM = (sys.executable, "-P", "-m", "agent.cli")


@dataclass(frozen=True)
class Run:
    """What a run left: its folder, what it said, what the system showed of it while it ran."""

    base: Path
    said: bytes
    shown: bytes
    received: bytes


def echo(connection: Connection) -> None:
    """Refuses every request and says back its head, Authorization among the first."""
    lines = connection.request().partition(b"\r\n\r\n")[0].split(b"\r\n")
    head = b" ".join(sorted(lines))
    answer = b'{"error":"%b"}' % head.replace(b'"', b"'")
    connection.send(
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nX-Echo: %b\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b" % (head, len(answer), answer)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    base = tmp_path_factory.mktemp("run")
    config = base / "settings.toml"
    (base / "key").write_text(KEY + "\n")
    (base / "token").write_text(TOKEN + "\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config.write_text(
        f'[upload]\napi_key_file = "{base / "key"}"\n[plugin]\nlog_level = 4\n'
        f'[log]\nformat = "json"\nfile = "{base / "out" / "rack.log"}"\n'
        f'[metrics]\nport = {port}\ntoken_file = "{base / "token"}"\n'
    )
    out = base / "out" / "deeper"
    environment = {
        **os.environ,
        "ANDROID_REPLAY_SPOOL": str(out / "spool"),
        "ANDROID_REPLAY_REPLAY__SEGMENT_SECONDS": "3",
    }
    previous = os.umask(0o022)
    try:
        with (
            Lab(1, profile="small", scenario="shop", faults=["screencap=truncated@6:1"]) as lab,
            raw_server(echo, parallel=True) as hostile,
            collecting(base / "out" / "collected", KEY) as collector,
        ):
            sinks = (f"dir:{out / 'replays'}", *(f"collector:{url}" for url in (hostile, DEAD, collector.url)))
            words = ("--all", "--app", SHOP, "--duration", str(SECONDS), "--config", str(config), "--json")
            command = [*PROGRAM, "attach", *words, *(word for sink in sinks for word in ("--sink", sink))]
            environment["ANDROID_ADB_SERVER_PORT"] = str(lab.port)
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
                control = out / "spool" / "1" / SOCKET
                until(control.exists, "the control socket", 20)
                shown = json.dumps(ask(control, "status")).encode()
                assert stat.S_IMODE(control.stat().st_mode) == 0o600
                address = f"http://127.0.0.1:{port}/metrics"
                until(lambda: "recording" in told_of(control), "the device to be recorded", 40)
                shown += httpx.get(address).content
                figures = httpx.get(address, headers={"Authorization": f"Bearer {TOKEN}"}).content
                assert b'state="recording"} 1.0' in figures
                shown += figures
                for name in ("cmdline", "comm"):
                    file = Path(f"/proc/{process.pid}/{name}")
                    shown += file.read_bytes() if file.exists() else b""
                try:
                    said, told = process.communicate(timeout=90)
                finally:
                    if process.poll() is None:
                        process.send_signal(signal.SIGKILL)
            received = b"".join(seen.body for seen in collector.answers.seen)
            assert process.returncode == 0, told
            # Where no adb server runs it starts one, which stays.
            doctor = subprocess.run(
                [*PROGRAM, "doctor", "--config", str(config)],
                capture_output=True, env=environment, timeout=60,
            )  # fmt: skip
            assert b"upload.api_key" in doctor.stdout + doctor.stderr
    finally:
        os.umask(previous)
    paths = str(out / "replays"), str(base / "out" / "collected"), str(out / "spool")
    listed = subprocess.run(
        [*PROGRAM, "sessions", "list", *paths, "--json"],
        capture_output=True, env=environment, timeout=60,
    )  # fmt: skip
    assert listed.stdout.count(b"\n") >= 1
    yield Run(
        base / "out",
        b"".join((said, told, doctor.stdout, doctor.stderr, listed.stdout, listed.stderr)),
        shown,
        received,
    )


def told_of(control: Path) -> list[str]:
    answer = ask(control, "status")
    return [device["state"] for device in answer["devices"]] if answer else []


def files(run: Run) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(run.base.rglob("*")) if file.is_file()}


def test_the_run_met_what_it_was_to_meet(run: Run) -> None:
    assert Recording.open(run.base / "deeper" / "replays").manifests()
    assert Recording.open(run.base / "collected").manifests()
    receipts = (run.base / "deeper" / "spool" / "1" / "receipts.jsonl").read_text()
    assert "*****" in receipts
    assert "rejected" in receipts or "retry" in receipts
    records = [json.loads(line) for line in (run.base / "rack.log").read_text().splitlines()]
    assert {"debug", "info", "warning"} <= {record["level"] for record in records}
    assert any("*****" in record["message"] for record in records)
    assert {"serial", "session_id", "recording"} <= {name for record in records for name in record}
    assert run.received


def test_the_key_is_nowhere(run: Run) -> None:
    forms = [
        KEY.encode(),
        TOKEN.encode(),
        b"canary/key",
        b"canary%2Fkey",
        b"canary\\/key",
        base64.b64encode(KEY.encode()),
    ]
    everything = {**files(run), "said": run.said, "shown": run.shown, "received": run.received}
    assert [(name, form) for name, data in everything.items() for form in forms if form in data] == []


def test_private_texts_are_nowhere(run: Run) -> None:
    long = [text.encode() for text in SECRETS if len(text) >= 8]
    everything = {**files(run), "said": run.said, "shown": run.shown}
    assert [(name, text) for name, data in everything.items() for text in long if text in data] == []


def test_files_are_their_owners_alone(run: Run) -> None:
    found = [
        run.base / "rack.log",
        run.base / "deeper",
        *(run.base / "deeper").rglob("*"),
        *(run.base / "collected").rglob("*"),
    ]
    assert len(found) > 10
    wrong = [(str(p), oct(stat.S_IMODE(p.stat().st_mode))) for p in found if p.stat().st_mode & 0o077]
    assert wrong == []

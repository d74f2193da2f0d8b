"""The instrumentation doctor on live logs: emulated phones behind the real adb server, one for each fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from fakes.instrumented import EXACT, PACKAGE, UID
from fakes.recorder import Recorder
from fakes.wait import until

from agent.analytics.doctor import SILENCE_NS
from agent.commands.doctor import Ear
from agent.model import Finding
from agent.store.recording import Recording
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.emulated.lab import Lab
from bridge.ports import Device
from bridge.registry import AdbServer, Registry
from bridge.types import LogEntry

SETTLED_NS = 2_000_000_000


def use(lab: Lab) -> None:
    """Start the app on every phone, sign in, look at a product."""
    worlds = [phone.world for phone in lab.phones]

    def all_do(action: str) -> None:
        lab.call(lambda: [world.act(action) for world in worlds])

    def on_login() -> bool:
        return lab.call(lambda: all(world.truth()[-1].screen == "login" for world in worlds))

    all_do("launch")
    until(on_login, "every app to start", 20)
    all_do("signin")
    all_do("product:2")


class Listener:
    """Hears one phone's log to the end that the test sets."""

    def __init__(self, device: Device) -> None:
        self._log = device.log()
        self.findings: list[Finding] = []
        self._ear = Ear(PACKAGE, UID, "", self.findings)
        self.heard_ns = 0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def end(self) -> None:
        self._log.close()
        self._thread.join(10)
        self._ear.close()

    def _read(self) -> None:
        for item in self._log.entries():
            self._ear.take(item)
            if isinstance(item, LogEntry):
                self.heard_ns = max(self.heard_ns, item.stamp.mono_ns)


def test_each_fault_is_found_live_and_nothing_else() -> None:
    names = list(EXACT)
    clock = HostClock()
    with Lab(len(names), scenario=names, autopilot=False) as lab, ExitStack() as stack:
        registry = Registry(AdbServer("127.0.0.1", lab.port), clock)
        stack.callback(registry.close)
        with ThreadPoolExecutor(4) as pool:
            devices = list(pool.map(lambda serial: registry.open(serial, Deadline(60)), lab.serials))
        for device in devices:
            stack.callback(device.close)
        listeners = [Listener(device) for device in devices]
        try:
            until(lambda: all(listener.heard_ns for listener in listeners), "every log to be heard", 30)
            use(lab)
            enough = clock.now().mono_ns + SILENCE_NS + SETTLED_NS
            until(lambda: all(listener.heard_ns > enough for listener in listeners), "the apps' silence", 40)
        finally:
            for listener in listeners:
                listener.end()
    found = {
        name: {finding.rule: finding.count for finding in listener.findings}
        for name, listener in zip(names, listeners, strict=True)
    }
    assert found == EXACT


def lines(stream: Iterator[bytes], into: list[str]) -> Callable[[], None]:
    return lambda: into.extend(line.decode() for line in stream)


def test_doctor_listens_until_ctrl_c_and_fails_for_ci() -> None:
    with Lab(1, scenario="key-mismatch", autopilot=False) as lab:
        words = ["doctor", "-s", lab.serials[0], "--app", PACKAGE, "--listen", "60", "--json", "--fail-on", "error"]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agent.cli", *words],
            env={**os.environ, **lab.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        assert process.stdout is not None
        said: list[str] = []
        put: list[str] = []
        readers = [
            threading.Thread(target=lines(iter(stream), into))
            for stream, into in ((process.stderr, said), (process.stdout, put))
        ]
        for reader in readers:
            reader.start()
        try:
            until(lambda: any("Listening" in line for line in said), "the listening", 40)
            # Its log is open once it hears what is no line of the app.
            until(lambda: any("0 lines of the app" in line for line in said), "the first word on how it goes", 30)
            lab.call(lambda: lab.phones[0].world.test(on=True))
            use(lab)
            until(lambda: any("2 findings" in line for line in said), "both faults", 30)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 16
        finally:
            process.kill()
            process.wait()
            for reader in readers:
                reader.join(10)
            process.stdout.close()
            process.stderr.close()
    facts = [json.loads(line) for line in put]
    found = {fact["finding"]["rule"]: fact["finding"] for fact in facts if "finding" in fact}
    assert set(found) == {"api-key-logged", "key-mismatch"}
    assert "*****" in found["api-key-logged"]["proof"]
    assert found["api-key-logged"]["time"].endswith("Z")
    checks = {fact["check"]: fact for fact in facts if "check" in fact}
    assert checks["instrumentation"]["ok"]
    assert checks["touches"]["found"].startswith("an instrumented test at work")
    assert any("faults of level error or worse: api-key-logged, key-mismatch" in line for line in said)
    assert not any("Traceback" in line for line in said)


def test_attach_marks_the_fault_in_the_recording(tmp_path: Path) -> None:
    def conduct() -> None:
        recorder.wait(lab.serials[0], lambda now: bool(now["findings"]), "the fault")
        # Time for what should not be told.
        threading.Event().wait(3)

    with Lab(1, scenario="negative-session-id") as lab:
        recorder = Recorder(lab, tmp_path)
        summary, _ = recorder.record([conduct])
    (device,) = summary["devices"]
    assert set(device["findings"]) == {"error: negative-session-id"}
    recording = Recording.open(tmp_path / "replays")
    events = [event for manifest in recording.manifests() for event in recording.events(manifest.id)]
    marks = [event["data"]["payload"] for event in map(json.loads, events) if event["data"].get("tag") == "doctor"]
    assert [mark["rule"] for mark in marks] == ["negative-session-id"]
    assert "Product Viewed" in marks[0]["saw"]

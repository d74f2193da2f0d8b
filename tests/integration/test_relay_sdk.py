"""The real SDK, in Node, through the real relay, to a Segment that answers badly; the relay is killed on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from fakes.node import install, program
from fakes.relaying import RelayProcess, free_port
from fakes.segment_api import Say, SegmentApi
from fakes.wait import until

from agent.analytics.enrichment import REPLAY_ID

PACKAGES = [
    "@segment/analytics-react-native@2.24.1",
    "@segment/sovran-react-native@1.1.3",
    "@segment/analytics-react-native-plugin-amplitude-session@0.4.2",
]
APP = Path(__file__).parents[1] / "fakes" / "segment_app.cjs"
EVENTS = 80


class App:
    """A run of the app: `events` is what its SDK made, as it was after all plugins."""

    def __init__(self, folder: Path, port: int, count: int) -> None:
        self._process = subprocess.Popen(
            [program(), "segment_app.cjs", str(port), str(count), str(folder / "storage.json")],
            cwd=folder,
            env={**os.environ, "NODE_OPTIONS": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.done = threading.Event()
        self._readers = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_err)]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        for line in iter(self._process.stdout.readline, ""):
            value = json.loads(line)
            if "done" in value:
                self.done.set()
            else:
                self.events.append(value)

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        self.said.extend(iter(self._process.stderr.readline, ""))

    def enough(self) -> None:
        """No more events than EVENTS are needed."""
        assert self._process.stdin is not None
        self._process.stdin.write("enough\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)
        for reader in self._readers:
            reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    install(PACKAGES, folder)
    shutil.copy(APP, folder)
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("enrichment", ["none", "legacy"])
def test_every_event_arrives_once_and_unchanged(folder: Path, tmp_path: Path, enrichment: str) -> None:
    port = free_port()
    (folder / "storage.json").unlink(missing_ok=True)
    with SegmentApi() as segment:
        segment.say(Say(), Say(429, {"Retry-After": "1"}), Say(), Say(500), Say(), Say(hang=True, take=True))
        segment.say(Say(reset=True), Say(503, {"Retry-After": "1"}), Say(reset=True, take=True), Say())
        options = ["--listen", str(port), "--upstream", segment.url, "--folder", str(tmp_path)]
        options += ["--enrichment", enrichment]
        relay = RelayProcess(*options)
        app = App(folder, port, EVENTS)
        try:
            for count in (15, 50):
                until(lambda count=count: len(app.events) >= count, f"event {count}: {app.said[-3:]}", 60)
                relay.kill()
                relay = RelayProcess(*options)
            # On a busy host the events come in fewer batches than there are troubles.
            until(lambda: segment.left == 0, "all of the troubles", 90)
            app.enough()
            assert app.done.wait(90), app.said
            made = {event["messageId"] for event in app.events}

            def arrived() -> set[str]:
                return {event["messageId"] for event in segment.taken}

            until(lambda: arrived() >= made, "every event to arrive", 120)
        finally:
            app.end()
            relay.end()
        assert len(made) >= EVENTS + 1
        truth = {event["messageId"]: event for event in app.events}
        assert arrived() == made
        for taken in segment.taken:
            wanted = json.loads(json.dumps(truth[taken["messageId"]]))
            if enrichment == "legacy" and wanted["type"] in ("track", "screen"):
                session = wanted["integrations"]["Actions Amplitude"]["session_id"]
                wanted["properties"][REPLAY_ID] = f"{wanted['anonymousId']}/{session}"
            got = {key: value for key, value in taken.items() if key != "_metadata"}
            assert got == wanted
        assert segment.left == 0
        assert any(got.headers.get("x-retry-count") for got in segment.posts)
        assert not list(tmp_path.rglob("*.batch"))

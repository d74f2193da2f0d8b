"""A QA session as a person has it: `record` on a terminal, over an emulated phone behind a real adb server."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.wait import until

from agent.store.bundle import unpacked
from bridge.emulated.lab import Lab

COMMAND = (sys.executable, "-P", "-m", "agent.cli")
END_SECONDS = 40.0
CURL = re.compile(r"Markers over HTTP: curl -H '(Authorization): ([^']*)' .*? (http://\S+)")


class Terminal:
    """A program on a terminal of its own; `shown` is all that it wrote there."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self._outer, inner = pty.openpty()
        self._out: list[bytes] = []
        self.process = subprocess.Popen(
            [*COMMAND, *words], stdin=inner, stderr=inner, stdout=subprocess.PIPE, env=environment,
            start_new_session=True, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(inner)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def shown(self) -> str:
        return b"".join(self._out).decode("utf-8", "replace")

    def type(self, keys: str) -> None:
        os.write(self._outer, keys.encode())

    def end(self) -> tuple[int, str]:
        """Its exit code and what it wrote on standard output."""
        out, _ = self.process.communicate(timeout=END_SECONDS)
        self._reader.join(5)
        os.close(self._outer)
        return self.process.returncode, out.decode()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._outer, 1 << 16)
            except OSError:
                return
            if not data:
                return
            self._out.append(data)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@dataclass(frozen=True)
class Done:
    folder: Path
    code: int
    told: dict[str, Any]
    shown: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("qa")
    with Lab(1, profile="small", scenario="shop") as lab:
        environment = {
            **os.environ, **lab.environment, "ANDROID_REPLAY_SPOOL": str(folder / "spool"), "TERM": "xterm",
            "COLUMNS": "200",
        }  # fmt: skip
        out, bundle = str(folder / "qa.replay"), str(folder / "bug")
        terminal = Terminal(
            environment, "record", "-o", out, "--app", "com.northbay.shop", "--http", "0", "--bundle", bundle,
            "--title", "Wrong total", "--json",
        )  # fmt: skip
        until(lambda: re.search(r"recording.* [1-9]\d* events", terminal.shown), "events", 40)
        terminal.type("m")
        until(lambda: "marker 1 is set" in terminal.shown, "the marker")
        terminal.type("n")
        until(lambda: "note: _" in terminal.shown, "a line for the note")
        terminal.type("the total [/b] is wrong")
        terminal.type("\r")
        until(lambda: "the note is taken" in terminal.shown, "the note")
        marked = subprocess.run(
            [*COMMAND, "mark", "elsewhere", "--note", "from another terminal"], env=environment, capture_output=True
        )
        assert marked.returncode == 0, marked.stderr
        curl = CURL.search(terminal.shown)
        assert curl is not None
        answer = httpx.post(curl[3], headers={curl[1]: curl[2]}, json={"name": "by a script"})
        assert answer.json() == {"ok": True, "marked": 1}
        # The first is the permission's, which is none of the app's.
        until(lambda: re.search(r" ([4-9]|\d\d+) touches", terminal.shown), "touches", 40)
        terminal.type("q")
        code, told = terminal.end()
    yield Done(folder, code, json.loads(told), terminal.shown)


def test_there_is_one_file_and_a_bundle_and_nothing_else(done: Done) -> None:
    assert done.code == 0, done.shown
    assert "Traceback" not in done.shown
    assert sorted(file.name for file in done.folder.iterdir()) == ["bug", "qa.replay", "spool"]
    with unpacked(done.folder / "qa.replay") as recording:
        assert recording.manifests()
        assert recording.problems() == ()
    assert (done.folder / "bug" / "ticket.md").read_text().startswith("# Wrong total\n")


def test_all_four_ways_to_mark_are_in_it(done: Done) -> None:
    markers = done.told["markers"]
    assert [(each["name"], each["note"], each["by"]) for each in markers] == [
        ("marker 1", "", "key"), ("note", "the total [/b] is wrong", "key"),
        ("elsewhere", "from another terminal", "control"), ("by a script", "", "http"),
    ]  # fmt: skip
    begin, end = done.told["from_ms"], done.told["to_ms"]
    assert all(begin <= each["at_ms"] <= end for each in markers)
    assert "Note: the total [/b] is wrong" in done.shown


def test_the_summary_is_on_the_terminal_and_as_json(done: Done) -> None:
    (session, *_) = done.told["sessions"]
    assert f"session {session['session_id']} (integrations) of device {session['device_id']}" in done.shown
    assert done.told["file"] == str(done.folder / "qa.replay")
    assert any(step["kind"] == "tap" for step in done.told["steps"])
    assert "Steps" in done.shown
    assert "Watch it: android-replay view" in done.shown

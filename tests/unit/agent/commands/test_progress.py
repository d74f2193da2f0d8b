from __future__ import annotations

import io
import os
import pty
import sys

import pytest
from fakes.wait import until

from agent.commands import progress
from agent.commands.console import saying
from agent.commands.progress import Progress
from agent.runtime.status import DeviceStatus


class Uploads:
    def stats(self) -> dict[str, object]:
        return {"collector": "2 sent, 1 waiting"}


def test_plain_lines_say_each_state_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.01)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    status = DeviceStatus("R58", state="recording", session_id=17, device_id="d-1", frames=3)
    with Progress({"R58": status}, Uploads()) as shown:
        until(lambda: "R58 recording" in heard.getvalue(), "the first line")
        status.frames = 4
        shown.note("uploading what is left")
        until(lambda: "uploading what is left" in heard.getvalue(), "the note")
    lines = [line for line in heard.getvalue().splitlines() if line.startswith("R58")]
    assert lines[0].startswith("R58 recording | session 17 device d-1 | 3 frames")
    assert len(lines) == len(set(lines)) or len(lines) == 2
    assert "uploads: collector 2 sent, 1 waiting" in heard.getvalue()


def test_trouble_is_shown_beside_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.01)
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    with Progress({"R58": DeviceStatus("R58", state="lost", problem="R58: read: unplugged")}, Uploads()):
        until(lambda: "R58 lost (R58: read: unplugged) | no session yet" in heard.getvalue(), "the trouble")


@pytest.mark.parametrize(("kind", "live"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_gets_a_live_line_and_a_dumb_one_plain_ones(
    monkeypatch: pytest.MonkeyPatch, kind: str, live: bool
) -> None:
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.01)
    monkeypatch.setenv("TERM", kind)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        status = DeviceStatus("R58", state="recording")
        with Progress({"R58": status}, Uploads()):
            heard = b""
            while b"R58 recording" not in heard:
                heard += os.read(ours, 4096)
    os.close(ours)
    assert (b"\x1b" in heard) is live


def test_a_structured_log_gets_a_record_a_line_also_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LIVE_SECONDS", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    heard: list[str] = []
    with saying(heard.append), Progress({"R58": DeviceStatus("R58", state="recording")}, Uploads()):
        until(lambda: len(heard) == 2, "both lines")
    assert heard[0].startswith("R58 recording")
    assert heard[1] == "uploads: collector 2 sent, 1 waiting"


def test_nothing_to_show_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    with Progress({}, Uploads()):
        pass
    assert heard.getvalue() == ""


def test_the_rate_of_pictures_is_that_of_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    status = DeviceStatus("R58", frames=100)
    shown = Progress({"R58": status}, Uploads())
    texts = [shown._text()]
    for _ in range(30):
        now[0] += 0.5
        status.frames += 2
        texts.append(shown._text())
    assert "100 frames (0.0/s)" in texts[0]
    assert "160 frames (4.0/s)" in texts[-1]
    for _ in range(10):
        now[0] += 0.5
        texts.append(shown._text())
    assert "160 frames (0.0/s)" in texts[-1]

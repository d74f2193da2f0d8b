"""Which sessions are recorded, on an emulated phone: sample, remote config, start and stop, the server's word."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import collecting
from fakes.recorder import Recorder, recording

from agent.collector.answers import Answer
from agent.collector.app import make_app
from agent.collector.config import RemoteConfig
from agent.collector.server import Server
from agent.outbox.wire import SKIP_HEADER
from agent.runtime.control import SOCKET, ask
from agent.store.recording import Recording
from bridge.emulated.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(1, profile="small", scenario="shop") as lab:
        yield lab


def flags(**plugin: object) -> dict[str, object]:
    return {"replay.segment_seconds": 2.0, **{f"plugin.{name}": value for name, value in plugin.items()}}


def run(
    lab: Lab, folder: Path, given: Mapping[str, object], watch: Callable[[Recorder, str], object], sink: str = ""
) -> Mapping[str, Any]:
    """Record until `watch`, called with the recorder and the phone's serial, returns; the facts of the phone."""
    recorder = Recorder(lab, folder, given, sink)
    summary, _ = recorder.record([lambda: watch(recorder, lab.serials[0])])
    (device,) = summary["devices"]
    found: Mapping[str, Any] = device
    return found


def pause(seconds: float) -> None:
    """Time for what must not happen."""
    threading.Event().wait(seconds)


def gaps(folder: Path) -> list[dict[str, Any]]:
    recording = Recording.open(folder)
    events = [json.loads(line) for m in recording.manifests() for line in recording.events(m.id)]
    return [event["data"]["payload"] for event in events if event["data"].get("tag") == "gap"]


def test_a_rate_of_nothing_records_nothing_and_says_so(lab: Lab, tmp_path: Path) -> None:
    def watch(recorder: Recorder, serial: str) -> None:
        recorder.wait(serial, lambda now: now["paused"] == "not in the sample", "the session")
        pause(2.0)

    device = run(lab, tmp_path, flags(sample_rate=0.0), watch)
    assert device["segments"] == 0
    assert device["paused"] == "not in the sample"
    assert device["losses"]["session: not in the sample"] >= 1


@pytest.mark.parametrize("plugin", [{"opt_out": True}, {"auto_start": False}])
def test_what_forbids_capture_stops_capture_itself(lab: Lab, tmp_path: Path, plugin: dict[str, object]) -> None:
    def watch(recorder: Recorder, serial: str) -> None:
        recorder.wait(serial, lambda now: now["state"] == "recording" and now["paused"], "the phone")
        pause(1.5)

    device = run(lab, tmp_path, flags(**plugin), watch)
    assert (device["frames"], device["hierarchies"], device["touches"], device["logs"]) == (0, 0, 0, 0)
    assert device["segments"] == 0
    assert device["paused"] in ("opted out", "not started")


def test_the_remote_config_rules(lab: Lab, tmp_path: Path) -> None:
    for enabled, rate, some in ((False, 1.0, False), (True, 0.0, False), (True, 1.0, True)):
        folder = tmp_path / f"{enabled}-{rate}"
        app = make_app(
            Recording.create(folder / "collector"), api_key="k", config=RemoteConfig(enabled, rate, "conservative")
        )
        with Server(app) as server:
            given = {
                "upload.api_key": "k", "plugin.remote_config": True, "plugin.remote_url": f"{server.url}/config",
                "plugin.sample_rate": 0.5,
            }  # fmt: skip

            def watch(recorder: Recorder, serial: str, some: bool = some) -> None:
                if some:
                    recorder.wait(serial, lambda now: recording(now) and now["frames"] >= 2, "pictures")
                else:
                    recorder.wait(serial, lambda now: now["state"] == "recording" and now["paused"], "the rule")
                    pause(1.5)

            device = run(lab, folder, given, watch)
        app.state.collector.close()
        assert (device["segments"] > 0) is some, (enabled, rate, device)
        if not enabled:
            assert device["frames"] == 0
            assert device["paused"] == "capture switched off by remote config"


def test_a_remote_config_that_cannot_be_had_captures_nothing(lab: Lab, tmp_path: Path) -> None:
    given = {
        "upload.api_key": "k", "plugin.remote_config": True, "plugin.remote_url": "http://127.0.0.1:9/config",
        "plugin.remote_form": "web",
    }  # fmt: skip

    def watch(recorder: Recorder, serial: str) -> None:
        recorder.wait(serial, lambda now: now["state"] == "recording" and now["paused"], "the phone")
        pause(1.5)

    device = run(lab, tmp_path, given, watch)
    assert device["frames"] == 0
    assert device["paused"].startswith("remote config not available")


def test_stopped_and_started_while_running(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "spool" / "1" / SOCKET

    def watch(recorder: Recorder, serial: str) -> None:
        recorder.wait(serial, lambda now: recording(now) and now["frames"] >= 2, "a recording")
        answer = ask(socket, "stop")
        assert answer is not None
        assert answer["reason"] == "stopped"
        before = recorder.wait(serial, lambda now: now["paused"] == "stopped", "the pause")["frames"]
        # The gap begins when the call that is under way is over.
        pause(2.0)
        assert recorder.device(serial)["frames"] <= before + 1
        ask(socket, "start")
        recorder.wait(serial, lambda now: now["frames"] > before + 1, "pictures again")

    run(lab, tmp_path, flags(), watch)
    (gap,) = [gap for gap in gaps(tmp_path / "replays") if gap["stage"] == "capture"]
    assert gap["reason"] == "stopped"
    assert 900 < gap["ms"] < 8000
    assert not socket.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals here")
def test_signals_stop_and_start(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "spool" / "1" / SOCKET

    def reason() -> str | None:
        answer = ask(socket, "status")
        return answer["reason"] if answer and answer["devices"] else None

    def watch(recorder: Recorder, serial: str) -> None:
        recorder.until(lambda: reason() == "", "a recording")
        os.kill(os.getpid(), signal.SIGUSR2)
        recorder.until(lambda: reason() == "stopped", "the pause")
        os.kill(os.getpid(), signal.SIGUSR1)
        recorder.until(lambda: reason() == "", "the recording")

    run(lab, tmp_path, flags(), watch)


def test_uploads_announce_the_rate_of_the_remote_config(lab: Lab, tmp_path: Path) -> None:
    with collecting(tmp_path / "c", api_key="k") as collector:
        given = {
            "upload.api_key": "k", "plugin.remote_config": True, "plugin.remote_url": f"{collector.url}/config",
            "plugin.sample_rate": 0.0,
        }  # fmt: skip

        def watch(recorder: Recorder, serial: str) -> None:
            recorder.wait(serial, lambda now: recording(now) and now["frames"] >= 2, "pictures")

        run(lab, tmp_path, given, watch, f"collector:{collector.url}")
        seen = collector.answers.seen
    assert seen
    assert {upload.headers["x-client-sample-rate"] for upload in seen} == {"1"}


@pytest.mark.parametrize("code", ["4004", "4005"])
def test_the_server_s_word_stops_capture_of_the_session(lab: Lab, tmp_path: Path, code: str) -> None:
    def watch(recorder: Recorder, serial: str) -> None:
        recorder.wait(serial, lambda now: code in now["paused"], "the server's word")
        # Time for the segment that would be next.
        pause(4.0)

    with collecting(tmp_path / "c") as collector:
        collector.answers.add(*[Answer(headers={SKIP_HEADER: code}, store=False)] * 4)
        device = run(lab, tmp_path, flags(), watch, f"collector:{collector.url}")
        sent = len(collector.answers.seen)
    assert any(code in reason for reason in device["losses"]), device["losses"]
    assert sent <= 3

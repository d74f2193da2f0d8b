"""Which sessions are recorded, on an emulated phone: sample, remote config, start and stop, the server's word."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import collecting
from fakes.wait import until

from agent.collector.answers import Answer
from agent.collector.app import make_app
from agent.collector.config import RemoteConfig
from agent.collector.server import Server
from agent.commands.attach import record
from agent.outbox.wire import SKIP_HEADER
from agent.runtime.control import SOCKET, ask
from agent.settings import Settings, load
from agent.store.recording import Recording
from bridge.emulated.lab import Lab

SHOP = "com.northbay.shop"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(1, profile="small", scenario="shop") as lab:
        yield lab


def settings(lab: Lab, folder: Path, **plugin: object) -> Settings:
    given = {f"plugin.{name}": value for name, value in plugin.items()}
    return load({"spool": folder / "spool", "adb.port": lab.port, "replay.segment_seconds": 2.0, **given}).settings


def run(given: Settings, sink: str, seconds: float) -> dict[str, Any]:
    summary = record(given, (), True, SHOP, [sink], seconds)
    (device,) = summary["devices"]
    found: dict[str, Any] = device
    return found


def gaps(folder: Path) -> list[dict[str, Any]]:
    recording = Recording.open(folder)
    events = [json.loads(line) for m in recording.manifests() for line in recording.events(m.id)]
    return [event["data"]["payload"] for event in events if event["data"].get("tag") == "gap"]


def test_a_rate_of_nothing_records_nothing_and_says_so(lab: Lab, tmp_path: Path) -> None:
    device = run(settings(lab, tmp_path, sample_rate=0.0), f"dir:{tmp_path / 'r'}", 4)
    assert device["segments"] == 0
    assert device["paused"] == "not in the sample"
    assert device["losses"]["session: not in the sample"] >= 1


@pytest.mark.parametrize("plugin", [{"opt_out": True}, {"auto_start": False}])
def test_what_forbids_capture_stops_capture_itself(lab: Lab, tmp_path: Path, plugin: dict[str, object]) -> None:
    device = run(settings(lab, tmp_path, **plugin), f"dir:{tmp_path / 'r'}", 2)
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
            given = load({
                "spool": folder / "spool", "adb.port": lab.port, "upload.api_key": "k", "plugin.remote_config": True,
                "plugin.remote_url": f"{server.url}/config", "plugin.sample_rate": 0.5,
            }).settings  # fmt: skip
            device = run(given, f"dir:{folder / 'r'}", 3)
        app.state.collector.close()
        assert (device["segments"] > 0) is some, (enabled, rate, device)
        if not enabled:
            assert device["frames"] == 0
            assert device["paused"] == "capture switched off by remote config"


def test_a_remote_config_that_cannot_be_had_captures_nothing(lab: Lab, tmp_path: Path) -> None:
    given = load({
        "spool": tmp_path / "spool", "adb.port": lab.port, "upload.api_key": "k", "plugin.remote_config": True,
        "plugin.remote_url": "http://127.0.0.1:9/config", "plugin.remote_form": "web",
    }).settings  # fmt: skip
    device = run(given, f"dir:{tmp_path / 'r'}", 2)
    assert device["frames"] == 0
    assert device["paused"].startswith("remote config not available")


def beside(work: Callable[[], None]) -> Callable[[], None]:
    """Run `work` on a thread; what comes back joins it and raises what it raised."""
    errors: list[AssertionError] = []

    def run() -> None:
        try:
            work()
        except AssertionError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def join() -> None:
        thread.join(30)
        assert not thread.is_alive()
        if errors:
            raise errors[0]

    return join


def test_stopped_and_started_while_running(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "spool" / "1" / SOCKET

    def device() -> dict[str, Any]:
        answer = ask(socket, "status")
        return answer["devices"][0] if answer and answer["devices"] else {"frames": 0, "segments": 0, "paused": ""}

    def remote() -> None:
        until(lambda: device()["frames"] >= 2 and device()["session_id"], "a recording", 20)
        answer = ask(socket, "stop")
        assert answer is not None
        assert answer["reason"] == "stopped"
        until(lambda: device()["paused"] == "stopped", "the pause")
        before = device()["frames"]
        threading.Event().wait(1.0)
        assert device()["frames"] <= before + 1
        ask(socket, "start")
        until(lambda: device()["frames"] > before + 1, "pictures again", 20)

    join = beside(remote)
    run(settings(lab, tmp_path), f"dir:{tmp_path / 'r'}", 9)
    join()
    (gap,) = [gap for gap in gaps(tmp_path / "r") if gap["stage"] == "capture"]
    assert gap["reason"] == "stopped"
    assert 900 < gap["ms"] < 8000
    assert not socket.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals here")
def test_signals_stop_and_start(lab: Lab, tmp_path: Path) -> None:
    socket = tmp_path / "spool" / "1" / SOCKET

    def reason() -> str | None:
        answer = ask(socket, "status")
        return answer["reason"] if answer and answer["devices"] else None

    def remote() -> None:
        until(lambda: reason() == "", "a recording", 20)
        os.kill(os.getpid(), signal.SIGUSR2)
        until(lambda: reason() == "stopped", "the pause")
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: reason() == "", "the recording")

    join = beside(remote)
    run(settings(lab, tmp_path), f"dir:{tmp_path / 'r'}", 5)
    join()


def test_uploads_announce_the_rate_of_the_remote_config(lab: Lab, tmp_path: Path) -> None:
    with collecting(tmp_path / "c", api_key="k") as collector:
        given = load({
            "spool": tmp_path / "spool", "adb.port": lab.port, "upload.api_key": "k", "plugin.remote_config": True,
            "plugin.remote_url": f"{collector.url}/config", "plugin.sample_rate": 0.0,
        }).settings  # fmt: skip
        run(given, f"collector:{collector.url}", 4)
        seen = collector.answers.seen
    assert seen
    assert {upload.headers["x-client-sample-rate"] for upload in seen} == {"1"}


@pytest.mark.parametrize("code", ["4004", "4005"])
def test_the_server_s_word_stops_capture_of_the_session(lab: Lab, tmp_path: Path, code: str) -> None:
    with collecting(tmp_path / "c") as collector:
        collector.answers.add(*[Answer(headers={SKIP_HEADER: code}, store=False)] * 4)
        device = run(settings(lab, tmp_path), f"collector:{collector.url}", 8)
        sent = len(collector.answers.seen)
    assert any(code in reason for reason in device["losses"]), device["losses"]
    assert sent <= 3

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from pathlib import Path

import httpx
import pytest
import uvicorn
from fakes.adb_server import FakeAdbServer
from fakes.relaying import RelayProcess, free_port
from fakes.segment_api import Say, SegmentApi
from fakes.wait import until

from agent.cli import main
from agent.commands import relay as module

EVENT = {
    "type": "track",
    "event": "Added",
    "properties": {"a": 1},
    "messageId": "m1",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "integrations": {"Actions Amplitude": {"session_id": 1_767_225_600_000}},
    "anonymousId": "anon",
}
BODY = {"batch": [EVENT], "writeKey": "KEY"}


def test_listens_without_adb_tells_each_event_and_sums_up(tmp_path: Path) -> None:
    with SegmentApi() as segment:
        options = ("--listen", "0", "--upstream", segment.url, "--folder", str(tmp_path), "--json")
        with RelayProcess(*options, "--enrichment", "legacy") as relay:
            url = f"http://127.0.0.1:{relay.port}/v1/b"
            assert httpx.post(url, json=BODY).status_code == 200
            segment.say(Say(reset=True), *[Say(503, take=False)] * 99)
            assert httpx.post(url, json=BODY).status_code == 200
            until(lambda: len(relay.out) == 2, "the events")
            assert relay.end() == 0
    fact = json.loads(relay.out[0])
    assert fact["event"] == EVENT
    assert (fact["serial"], fact["session_id"], fact["device_id"]) == ("host", 1_767_225_600_000, "anon")
    assert (fact["session_from"], fact["device_from"]) == ("integrations", "anonymousId")
    assert (fact["stage"], fact["complete"], fact["missing"]) == ("after", True, [])
    assert segment.posts[0].batch[0]["properties"]["[Amplitude] Session Replay ID"] == "anon/1767225600000"
    assert "1 batches (1 events) wait on disk" in relay.err[-1]
    assert "Traceback" not in "\n".join(relay.err)


def test_says_now_and_then_what_came(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    with SegmentApi() as segment:
        port = free_port()

        def post() -> None:
            until(lambda: _answers(port), "the relay")
            httpx.post(f"http://127.0.0.1:{port}/v1/b", json=BODY)

        app = threading.Thread(target=post)
        app.start()
        options = ("--listen", str(port), "--upstream", segment.url, "--folder", str(tmp_path))
        ended = call("relay", *options, "--duration", "3")
        app.join()
    assert ended.err.count("Relay: 1 batches, 1 events, 1 passed on.") == 2


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_sigterm_ends_it_too(tmp_path: Path) -> None:
    with RelayProcess("--listen", "0", "--folder", str(tmp_path)) as relay:
        assert relay.end(signal.SIGTERM) == 0
    assert relay.err[-1] == "Relay: nothing came."


def test_a_duration(call, tmp_path: Path) -> None:
    ended = call("relay", "--listen", "0", "--folder", str(tmp_path), "--duration", "1")
    assert ended.code == 0
    assert ended.err.endswith("Relay: nothing came.\n")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--listen", "0", "--upstream", "ftp://x"), 2, "ftp://x"),
        (("--listen", "0", "--enrichment", "all"), 2, "relay.enrichment"),
        (("--all", "--port", "0"), 2, "relay.port"),
        (("--listen", "0", "--port", "8378"), 2, "--port"),
        (("--listen", "0", "--all"), 2, "--all"),
    ],
)
def test_a_wrong_option_is_named(call, tmp_path: Path, options: tuple[str, ...], code: int, words: str) -> None:
    ended = call("relay", "--folder", str(tmp_path), *options)
    assert ended.code == code
    assert words in ended.err


def test_a_taken_port_is_named(call, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = call("relay", "--listen", port, "--folder", str(tmp_path))
    assert ended.code == 13
    assert port in ended.err


def test_a_folder_that_cannot_be_written(call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = call("relay", "--listen", "0", "--folder", str(tmp_path / "file" / "queue"))
    assert ended.code == 11
    assert str(tmp_path / "file") in ended.err


@pytest.mark.parametrize("where", [("--listen", "0"), ("--all",)])
def test_a_proxy_that_cannot_be_used_is_told_at_once(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[str, ...]
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with FakeAdbServer() as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        ended = call("relay", *where, "--folder", str(tmp_path), "--duration", "1")
    assert ended.code == 2
    assert "names a proxy that cannot be used" in ended.err


def test_a_relay_that_ends_by_itself_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(server: uvicorn.Server) -> None:
        raise RuntimeError("not thought of")

    monkeypatch.setattr(uvicorn.Server, "main_loop", broken)
    monkeypatch.setattr(sys, "argv", ["android-replay", "relay", "--listen", "0", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 15
    assert "android-replay: The relay ended by a fault of its own: not thought of.\n" in capsys.readouterr().err


def test_no_device(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAdbServer() as server:
        server.states = {}
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        assert call("relay", "--folder", str(tmp_path)).code == 3


def test_an_adb_server_on_another_host(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_REPLAY_ADB__HOST", "192.0.2.1")
    ended = call("relay", "--all", "--folder", str(tmp_path))
    assert ended.code == 2
    assert "192.0.2.1" in ended.err


def test_a_port_of_the_host_and_a_phone_are_a_contradiction(call) -> None:
    ended = call("relay", "--listen", "0", "-s", "R58")
    assert (ended.code, "--listen" in ended.err) == (2, True)


def test_a_port_of_the_host_that_is_taken_is_named_by_its_option(call, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = call("relay", "--listen", str(other.getsockname()[1]), "--folder", str(tmp_path))
    assert (ended.code, "--listen" in ended.err, "--port" in ended.err) == (13, True, False)


def test_a_closed_terminal_ends_it_in_order(tmp_path: Path) -> None:
    with RelayProcess("--listen", "0", "--folder", str(tmp_path)) as relay:
        assert relay.end(signal.SIGHUP) == 0
    assert "Relay: nothing came" in relay.err[-1]

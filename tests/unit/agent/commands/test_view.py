from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import url2pathname

import httpx
import pytest
from fakes.segments import segment
from fakes.wait import until

from agent.commands.export import Format, export
from agent.commands.view import recording, view
from agent.errors import AddressTaken, BuildError, ConfigError, InvalidReplay, RecordingError
from agent.store.recording import Recording
from agent.viewer import assets


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    made = Recording.create(tmp_path / "shop")
    made.write(segment())
    return made.path


def test_serves_until_it_is_interrupted(shop: Path) -> None:
    command = [sys.executable, "-m", "agent.cli", "view", str(shop), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert len(httpx.get(f"{address}/api/recording").json()["segments"]) == 1
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest == ""
    assert told == "Ctrl-C ends.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_of_a_file_stays_unpacked(call, shop: Path, tmp_path: Path, number: signal.Signals) -> None:
    file, place = tmp_path / "shop.replay", tmp_path / "temporary"
    assert call("export", str(shop), "--format", "replay", "-o", str(file)).code == 0
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-P", "-m", "agent.cli"]
    with subprocess.Popen(
        [*command, "view", str(file), "--no-open"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")
        assert list(place.glob("*/shop/recording.json"))
        process.send_signal(number)
        assert process.wait(20) == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    if number is signal.SIGKILL:
        # The next start finds it, whatever it does.
        subprocess.run([*command, "snippet", "log"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("given", ["", "a fixed one"])
def test_other_machines_need_a_token(shop: Path, given: str) -> None:
    words = ["--host", "0.0.0.0", "--no-open", *(["--token-env", "TOKEN"] if given else [])]
    command = [sys.executable, "-m", "agent.cli", "view", str(shop), *words]
    env = {**os.environ, "TOKEN": given}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().strip())
        # One that its user knows is not printed.
        assert ("token" in address.query) is not bool(given)
        token = given or parse_qs(address.query)["token"][0]
        base = f"http://127.0.0.1:{address.port}"
        with httpx.Client(base_url=base) as browser:
            assert browser.get("/api/recording").status_code == 401
            assert browser.get("/", params={"token": token}).headers["location"] == "/"
            assert browser.get("/api/recording").status_code == 200
        assert httpx.get(f"{base}/api/recording", auth=("", token)).status_code == 200
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert token not in told


def test_the_token_is_not_among_the_words_that_a_browser_is_started_with(shop: Path, tmp_path: Path) -> None:
    """Every user of a host may read those."""
    words, browser = tmp_path / "words", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" >{words}.new && mv {words}.new {words}\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "agent.cli", "view", str(shop), "--host", "0.0.0.0"]
    env = {**os.environ, "BROWSER": f"{browser} %s"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        until(words.exists, "the browser to be started", 20)
        said = words.read_text().strip()
        assert parse_qs(urlsplit(address).query)["token"][0] not in said
        door = Path(url2pathname(urlsplit(said).path))
        assert address in door.read_text()
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert not door.parent.exists()


def test_a_token_that_is_not_there_is_named(shop: Path) -> None:
    with pytest.raises(ConfigError, match="no token in the environment variable NOT_THERE"):
        view(shop, token_env="NOT_THERE", open_browser=False)


def test_a_port_in_use_is_named(shop: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressTaken, match="Another program"):
        view(shop, port=taken.getsockname()[1], open_browser=False)


@pytest.mark.parametrize("kind", ["absent", "file", "other folder"])
def test_what_is_no_recording_is_named_with_a_next_step(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    if kind == "file":
        path.write_bytes(b"")
    elif kind == "other folder":
        path.mkdir()
    with pytest.raises(RecordingError) as told:
        recording(path)
    assert str(path) in told.value.message
    assert told.value.hint


def test_an_incomplete_installation_is_named_before_anything_is_served(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    with pytest.raises(BuildError):
        view(shop, open_browser=False)


def test_check_finds_nothing_in_a_good_recording(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view(shop, check=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert "1 segments checked, no problem." in told.err


def test_check_prints_every_problem_with_its_place(shop: Path, tmp_path: Path) -> None:
    bad = segment(seq=1, extra=[{"type": 5, "timestamp": 1, "data": {"tag": "surprise", "payload": {}}}])
    Recording.open(shop).write(bad)
    command = [sys.executable, "-m", "agent.cli", "view", "--check", "--json"]
    done = subprocess.run([*command, str(shop)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 17
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    place = {"file": f"segments/{bad.manifest.id}.jsonl", "event": 0}
    assert {**place, "rule": "tag", "detail": "surprise"} in rows
    assert f"{len(rows)} problems in 2 segments" in done.stderr


def test_check_takes_an_event_list(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list.json"
    export(shop, Format.RRWEB, file)
    view(file, check=True)
    file.write_bytes(b"[{}]")
    with pytest.raises(InvalidReplay):
        view(file, check=True)
    assert capsys.readouterr().out.splitlines()[0] == f"{file} event 0: shape: type"


def test_a_recording_as_one_file_is_opened(call, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    file = tmp_path / "sent.replay"
    ended = call("export", str(shop), "--format", "replay", "-o", str(file), "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["segments"] == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert call("export", str(shop), "--format", "replay", "-o", str(file)).code == 2
    assert call("export", str(shop), "--format", "replay", "-o", str(file), "--session", "5").code == 2
    assert call("view", str(file), "--check").code == 0
    told, here = (json.loads(call("audit", str(path), "--json").out) for path in (file, shop))
    assert told["texts"] == here["texts"]
    assert call("export", str(file), "--format", "rrweb", "-o", str(tmp_path / "list.json")).code == 0
    file.write_bytes(b"PK no")
    assert call("audit", str(file)).code == 11
    assert list((tmp_path / "temporary").iterdir()) == []


def test_json_is_for_a_check(call, shop: Path) -> None:
    ended = call("view", str(shop), "--json", "--no-open")
    assert (ended.code, "--check" in ended.err) == (2, True)


@pytest.mark.parametrize("option", [("--port", "8080"), ("--host", "::1"), ("--name", "lab"), ("--token-env", "TOKEN")])
def test_a_check_serves_nothing(call, shop: Path, option: tuple[str, str]) -> None:
    ended = call("view", str(shop), "--check", *option)
    assert (ended.code, option[0] in ended.err) == (2, True)

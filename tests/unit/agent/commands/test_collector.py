from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fakes.segments import segment

from agent.outbox.collector import CollectorSink
from agent.store.recording import Recording


@contextmanager
def running(*words: str, **environment: str) -> Iterator[tuple[dict[str, object], subprocess.Popen[str]]]:
    """The command in a process of its own, and what it said once it was ready."""
    command = [sys.executable, "-P", "-m", "agent.cli", "collector", "--port", "0", "--json", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment or None
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline()), process
        finally:
            process.kill()


def test_receives_shows_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    with running("--folder", str(tmp_path / "in")) as (ready, process):
        url = str(ready["url"])
        assert ready["key"] is False
        sink = CollectorSink(url)
        sink.check()
        assert sink.send(segment())
        sink.close()
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in told
    (manifest,) = Recording.open(tmp_path / "in").manifests()
    assert manifest == segment().manifest


def test_a_key_is_asked_of_viewers_too(tmp_path: Path) -> None:
    with running("--folder", str(tmp_path / "in"), "--api-key-env", "KEY", KEY="right") as (ready, _):
        url = str(ready["url"])
        assert ready["key"] is True
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, auth=("anyone", "right")).status_code == 200
        with httpx.Client() as browser:
            assert browser.get(f"{url}/?token=right", follow_redirects=True).status_code == 200
            assert browser.get(f"{url}/api/recording").status_code == 200
        assert httpx.get(f"{url}/config", params={"api_key": "wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "no key is set"),
        (("--api-key-env", "NOT_THERE"), "no key in the environment variable NOT_THERE"),
    ],
)
def test_what_would_let_anybody_in_is_refused(call, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ended = call("collector", "--folder", str(tmp_path / "in"), *words)
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "in").exists()


def test_a_port_in_use_is_named(call, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = call("collector", "--folder", str(tmp_path / "in"), "--port", str(taken.getsockname()[1]))
    assert ended.code == 13
    assert "Another program" in ended.err


def test_a_folder_that_cannot_be_made_is_named(call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = call("collector", "--folder", str(tmp_path / "file" / "in"))
    assert ended.code == 11
    assert "a file is in the way" in ended.err

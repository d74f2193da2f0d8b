from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collector.server import Server
from agent.runs.api import BODY_BYTES, URL, Wrong, make_app, signal_of
from agent.runs.api import TOKEN as TOKEN_NAME
from agent.runs.ledger import Ledger, Signal

ROOT = Path(__file__).parents[4]
TOKEN = "the token"


class Door:
    """A running API and the ledger behind it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.server = Server(make_app(self.hear, lambda: 1000, self.tests, TOKEN))

    def hear(self, signal: Signal) -> dict[str, Any] | None:
        heard = self.ledger.hear(signal)
        return None if heard is None else {"attempt": heard[0].number, "outcome": heard[0].outcome}

    def tests(self) -> list[dict[str, Any]]:
        return [{"test": attempt.case.title, "outcome": attempt.outcome} for attempt in self.ledger]

    def ask(
        self, method: str, body: object = None, token: str | None = TOKEN, **headers: str
    ) -> tuple[int, dict[str, Any] | str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
        try:
            more = {} if token is None else {"Authorization": f"Bearer {token}"}
            data = body if isinstance(body, bytes) or body is None else json.dumps(body)
            connection.request(method, "/tests", data, {**more, **headers})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith("{") else text
        finally:
            connection.close()


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    with door.server:
        yield door


def test_a_test_from_start_to_end(door: Door) -> None:
    assert door.ask("POST", {"name": "checkout", "event": "started"}) == (200, {"attempt": 1, "outcome": ""})
    told = {"name": "checkout", "event": "finished", "outcome": "failed", "message": "no\nreceipt", "serial": "S"}
    assert door.ask("POST", told) == (200, {"attempt": 1, "outcome": "failed"})
    assert door.ask("GET") == (200, {"tests": [{"test": "checkout", "outcome": "failed"}]})
    (attempt,) = door.ledger
    assert (attempt.message, attempt.sources, attempt.start_ms) == ("no receipt", ("http",), 1000)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "not a JSON object"),
        ({"event": "started"}, 400, '"name" is missing'),
        ({"name": "a" * 16_001, "event": "started"}, 400, "more than 16000"),
        ({"name": "a", "event": "began"}, 400, "started, finished"),
        ({"name": 4, "event": "started"}, 400, "not a text"),
        ({"name": "a", "event": "finished", "outcome": "bad"}, 400, "passed, skipped, failed, error, crashed"),
        ({"name": "a", "event": "finished"}, 409, "a has not started"),
        (b" " * (BODY_BYTES + 1), 413, "at most"),
    ],
)
def test_what_makes_no_sense_says_why(door: Door, body: object, status: int, words: str) -> None:
    code, answer = door.ask("POST", body)
    assert code == status
    assert isinstance(answer, dict)
    assert words in answer["error"]
    assert len(door.ledger) == 0


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        (None, {}, 401),
        ("another", {}, 401),
        (TOKEN, {"Host": "evil.example"}, 421),
        (TOKEN, {"Origin": "http://evil.example"}, 403),
    ],
)
def test_only_who_has_the_token_comes_in(door: Door, token: str | None, headers: dict[str, str], status: int) -> None:
    assert door.ask("POST", {"name": "a", "event": "started"}, token, **headers)[0] == status
    assert len(door.ledger) == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_readme_s_commands_tell_of_a_test(door: Door) -> None:
    block = (ROOT / "README.md").read_text().split("## Beside a test runner")[1].split("```")[3]
    assert block.count("curl") == 2
    environment = {**os.environ, URL: door.server.url, TOKEN_NAME: TOKEN}
    ended = subprocess.run(["bash", "-ec", block], env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert [(a.case.title, a.outcome, a.message) for a in door.ledger] == [("pay", "failed", "no receipt")]


@given(
    st.binary(max_size=100)
    | st.dictionaries(st.text(), st.none() | st.text() | st.integers()).map(lambda d: json.dumps(d).encode())
)
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        assert signal_of(body, 5).at_ms == 5
    except Wrong:
        return

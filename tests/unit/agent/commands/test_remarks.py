from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collector.server import Server
from agent.commands.remarks import BODY_BYTES, PATH, make_app, wanted

TOKEN = "let-me-in"
OURS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def marked() -> list[tuple[str, str]]:
    return []


@pytest.fixture(scope="module")
def url(marked: list[tuple[str, str]]) -> Iterator[str]:
    def mark(name: str, note: str) -> int:
        marked.append((name, note))
        return 2

    with Server(make_app(mark, TOKEN)) as server:
        yield server.url + PATH


def test_a_marker_is_taken(url: str, marked: list[tuple[str, str]]) -> None:
    answer = httpx.post(url, headers=OURS, json={"name": "wrong total", "note": "tax twice"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "marked": 2})
    assert marked[-1] == ("wrong total", "tax twice")
    assert httpx.post(url, headers=OURS).status_code == 200
    assert marked[-1] == ("marker", "")
    # What curl -d sends, whatever it calls it.
    typed = {**OURS, "Content-Type": "application/x-www-form-urlencoded"}
    assert httpx.post(url, headers=typed, content='{"note": "slow"}').status_code == 200
    assert marked[-1] == ("note", "slow")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 401),
        ({"Authorization": "Bearer other"}, 401),
        ({**OURS, "Host": "evil.example"}, 421),
        ({**OURS, "Origin": "https://evil.example"}, 403),
    ],
)
def test_nobody_else_may_mark(url: str, marked: list[tuple[str, str]], headers: dict[str, str], code: int) -> None:
    before = len(marked)
    assert httpx.post(url, headers=headers, json={"name": "x"}).status_code == code
    assert len(marked) == before


def test_what_is_no_marker_is_said(url: str, marked: list[tuple[str, str]]) -> None:
    before = len(marked)
    answers = [
        httpx.post(url, headers=OURS, content=b"{"),
        httpx.post(url, headers=OURS, content=b"[" * 5000),
        httpx.post(url, headers=OURS, json={"name": 5}),
        httpx.post(url, headers=OURS, json={"nmae": "x"}),
        httpx.post(url, headers=OURS, json={"name": "x" * 201}),
        httpx.post(url, headers=OURS, content=b" " * (BODY_BYTES + 1)),
        httpx.get(url, headers=OURS),
        httpx.get(url + "/other", headers=OURS),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 400, 413, 405, 404]
    assert all(answer.json()["ok"] is False and answer.json()["error"] for answer in answers)
    assert len(marked) == before


def test_the_readme_s_curl_is_a_marker() -> None:
    readme = (Path(__file__).parents[4] / "README.md").read_text()
    (body,) = re.findall(rf"curl [^`]*-d '([^']+)' http://127.0.0.1:\d+{PATH}", readme)
    assert wanted(json.loads(body)) == ("wrong total", "after login")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "note", "x"]), inner),
    )
)
def test_whatever_is_asked_a_marker_has_a_name(asked: object) -> None:
    found = wanted(asked)
    assert found is None or (found[0].strip() and isinstance(found[1], str))

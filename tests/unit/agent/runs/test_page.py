from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from agent.runs.ledger import Attempt
from agent.runs.names import Case
from agent.runs.page import page
from agent.runs.table import Facts, Row, Session


class Shown(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def facts(**more: str) -> Facts:
    return Facts((more.get("command", "pytest"),), 1, 0, 9000, "all", "my replays", ("S",), {}, {}, (), ("a note",))


def shown(rows: list[Row], **more: str) -> Shown:
    parser = Shown()
    parser.feed(page(facts(**more), rows))
    return parser


def test_each_attempt_leads_to_its_replay() -> None:
    attempt = Attempt(Case("shop", "pay"), 2, "S", 0, 1500, "failed", "no receipt")
    found = shown([Row(attempt, (Session(1_760_000_000_000, "dev", "S"),), "shop.pay-attempt2.replay")])
    assert found.links == ["shop.pay-attempt2.replay"]
    for words in (
        "shop.pay",
        "no receipt",
        "1760000000000",
        "dev",
        "a note",
        "view 'my replays/shop.pay-attempt2.replay'",
    ):
        assert words in found.text


def test_a_test_without_a_session_says_so() -> None:
    found = shown([Row(Attempt(Case("", "pay"), 1, None, 0, 1, "passed"), why="no session was recorded while it ran")])
    assert found.links == []
    assert "no session was recorded while it ran" in found.text


@given(st.text(), st.text(), st.text())
def test_no_words_become_markup(name: str, message: str, device: str) -> None:
    hostile = f"<script>{name}</script><img src=x onerror=1>"
    attempt = Attempt(Case("", hostile), 1, "S", 0, 1, "failed", f"<b>{message}")
    found = shown([Row(attempt, (Session(1, f"<i>{device}", "S"),), why="<u>")], command="<h6>")
    assert not found.tags & {"script", "img", "b", "i", "u", "h6"}

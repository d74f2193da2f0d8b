"""A recording as one HTML file, opened from disk: everything that the served page has, and nothing asked of anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import LENGTH_MS, SESSION
from playwright.sync_api import Page, expect

from agent.viewer.page import single_file

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    made = folder / "shop.html"
    with made.open("wb") as out:
        out.writelines(single_file(patterned.record(folder / "shop")))
    return made


@pytest.fixture
def page(open_page: Callable[..., Page], file: Path) -> Page:
    return open_page(f"{file.as_uri()}#session={SESSION}")


def shown(page: Page, ms: int) -> int:
    page.evaluate("ms => { replay.seek(ms); return replay.whenSettled() }", ms)
    return patterned.read(page.locator(".rr-player__frame").screenshot())


def test_it_plays_from_disk(page: Page) -> None:
    assert [shown(page, ms) for ms in (0, 5000, LENGTH_MS + 2000, 1000)] == [1, 6, 13, 2]
    expect(page.locator("#events li")).to_have_count(4)
    expect(page.locator("#log-count")).to_have_text("300")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_an_address_of_the_file_leads_to_a_moment(open_page: Callable[..., Page], file: Path) -> None:
    page = open_page(f"{file.as_uri()}#session={patterned.OTHER_SESSION}&t=4500")
    page.evaluate("replay.whenSettled()")
    assert patterned.read(page.locator(".rr-player__frame").screenshot()) == 205
    page.get_by_role("link", name=str(SESSION)).click()
    expect(page.locator("#facts")).to_contain_text(str(SESSION))


def test_no_script_but_its_own_runs(open_page: Callable[..., Page], file: Path) -> None:
    page = open_page(file.as_uri(), strict=False)
    refused = page.evaluate(
        """() => new Promise(resolve => {
          document.addEventListener("securitypolicyviolation", e => resolve(e.effectiveDirective), {once: true});
          document.body.append(Object.assign(document.createElement("script"), {textContent: "window.ran = 1"})); })"""
    )
    assert refused.startswith("script-src")
    assert page.evaluate("window.ran") is None

"""A recording as one HTML file, opened from disk: everything that the served page has, and nothing asked of anybody."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import LENGTH_MS, SESSION
from playwright.sync_api import Browser, Page, expect

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


@pytest.fixture
def halting(file: Path) -> Iterator[tuple[str, threading.Event]]:
    """The address of the file; its last segment comes once the event is set."""
    page, go = file.read_bytes(), threading.Event()
    half = page.rindex(b"</script>\n<script id=") + len(b"</script>\n")

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page[:half])
            go.wait(30)
            self.wfile.write(page[half:])

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", go
        finally:
            go.set()
            server.shutdown()
            thread.join()


def test_it_is_shown_while_it_is_read_and_then_is_loaded(
    browser: Browser, halting: tuple[str, threading.Event]
) -> None:
    address, go = halting
    with contextlib.closing(browser.new_page()) as page:
        page.goto(address, wait_until="commit")
        page.wait_for_selector("body.ready")
        assert page.evaluate("document.readyState") == "loading"
        assert shown(page, 5000) == 206
        go.set()
        page.wait_for_selector("body.whole")
        page.wait_for_load_state("load")

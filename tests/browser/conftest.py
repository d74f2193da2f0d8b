"""A real Chromium over a real server. What a page must never do is checked after every test that opens one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import patterned, player
from playwright.sync_api import Browser, ConsoleMessage, Page, Route

from agent.collector.server import Server
from agent.viewer.app import make_app

WINDOW = {"width": 1280, "height": 800}


# Module scope, not session: an open Playwright leaves an event loop running in this thread, where no other test may
# then start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if player.chromium() is None:
        pytest.skip("no Chromium on this machine")
    with player.started() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The viewer over the patterned recording."""
    with Server(make_app(patterned.record(tmp_path_factory.mktemp("patterned") / "shop"))) as server:
        yield server.url


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens addresses, each in a fresh profile. After the test: no error, no policy violation, no request elsewhere."""
    contexts = []
    faults: list[str] = []

    def opened(
        url: str,
        ready: bool = True,
        strict: bool = True,
        prepare: Callable[[Page], None] | None = None,
        **options: Any,
    ) -> Page:
        context = browser.new_context(**{"viewport": WINDOW, "timezone_id": "UTC", "locale": "en-GB", **options})
        contexts.append(context)
        origin = "/".join(url.split("/", 3)[:3])

        def route(asked: Route) -> None:
            if asked.request.url.startswith(origin + "/"):
                asked.continue_()
            else:
                faults.append(f"request to {asked.request.url}")
                asked.abort()

        context.route("**/*", route)
        page = context.new_page()
        if strict:
            watch(page)
        if prepare is not None:
            prepare(page)
        page.goto(url)
        if ready:
            page.wait_for_selector("body.whole")
        return page

    def grave(line: ConsoleMessage) -> bool:
        # A page may still be filling its film strip when its test has already stopped the server.
        return line.type in ("error", "warning") and "net::ERR_CONNECTION_REFUSED" not in line.text

    def watch(page: Page) -> None:
        page.on("console", lambda line: faults.append(line.text) if grave(line) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: Callable[..., Page], address: str) -> Page:
    """The viewer at the start of the patterned recording's first session."""
    return open_page(f"{address}/#session={patterned.SESSION}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recording"

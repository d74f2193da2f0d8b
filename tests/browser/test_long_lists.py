"""Lists too long to stand in the document whole: rows come and go, and nobody notices."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import patterned
from fakes.patterned import SESSION
from playwright.sync_api import Page, expect

from agent.replay import rrweb
from agent.store.recording import Recording
from agent.viewer.page import single_file

pytestmark = pytest.mark.browser

START = SESSION + 1000
COUNT, HALF = 2000, 1000
# Half of the events to each of the two segments.
STEP_MS = patterned.LENGTH_MS // HALF
ROWS = """() => [...document.querySelectorAll("#events > li")].map(row => {
  const {top, bottom} = row.getBoundingClientRect();
  return {at: Number(row.ariaPosInSet), size: Number(row.ariaSetSize), top, bottom}; })"""
# How often to look until nothing moves any more.
LOOKS = 20
SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thousand events, one in three of them high, one in a hundred very high."""
    folder = tmp_path_factory.mktemp("long")
    recording = Recording.create(folder / "long")
    for seq in range(2):
        extra = []
        for n in range(seq * HALF + 1, (seq + 1) * HALF):
            at = START + n * STEP_MS
            if n % 3:
                text = f"Note {n} " + "and so on " * (40 if n % 100 == 50 else 0)
                extra.append(rrweb.custom(at, "note", {"text": text}))
            else:
                extra.append(patterned.segment_event(at, "screen", f"Note {n} "))
        start = START + seq * patterned.LENGTH_MS
        recording.write(patterned.segment(seq, start, range(10 * seq + 1, 10 * seq + 11), extra=extra))
    made = folder / "long.html"
    made.write_bytes(b"".join(single_file(recording)))
    return made


@pytest.fixture
def page(open_page: Callable[..., Page], file: Path) -> Page:
    return open_page(file.as_uri())


def seek(page: Page, ms: int) -> None:
    page.evaluate("ms => { replay.seek(ms); return replay.whenSettled() }", ms)
    page.evaluate(SETTLED)


def rows(page: Page) -> list[dict[str, Any]]:
    """The rows in the document, in its order; each right below the one before it in the list."""
    found: list[dict[str, Any]] = []
    for _ in range(LOOKS):
        page.evaluate(SETTLED)
        # Rows are measured as they come into view, and those below them are moved then.
        before, found = found, page.evaluate(ROWS)
        if found == before:
            break
    for one, other in itertools.pairwise(found):
        assert one["at"] < other["at"]
        if one["at"] + 1 == other["at"]:
            assert one["bottom"] == pytest.approx(other["top"], abs=1)
    assert {row["size"] for row in found} == {COUNT}
    return list(found)


def place(n: int) -> int:
    """Where a note stands: after 4 s of each segment comes an event of its own, at its end no note."""
    return n + (n % HALF > 4000 // STEP_MS)


def in_view(page: Page, at: int) -> bool:
    box = page.locator("#events-box").bounding_box()
    assert box is not None
    row = next(row for row in rows(page) if row["at"] == at)
    return bool(row["top"] >= box["y"] - 1 and row["bottom"] <= box["y"] + box["height"] + 1)


def test_what_is_in_view_stays_there_while_more_is_read(open_page: Callable[..., Page], file: Path) -> None:
    # The first segment is read after this one, and stands above it.
    page = open_page(f"{file.as_uri()}#t={1500 * STEP_MS}")
    expect(page.locator("#events [aria-current=true]")).to_contain_text("Note 1500 ")
    assert in_view(page, place(1500))
    page.get_by_role("tab", name="Gaps and findings").click()
    page.get_by_role("tab", name="Events").click()
    assert in_view(page, place(1500))


def test_a_list_of_thousands_holds_the_rows_in_view(page: Page) -> None:
    expect(page.locator("#events-count")).to_have_text(f"{COUNT:,}")
    for n in (COUNT - 1, 50, 1250, 51, 1):
        seek(page, n * STEP_MS)
        there = rows(page)
        assert len(there) < 40
        expect(page.locator("#events [aria-current=true]")).to_contain_text(f"Note {n} ")
        assert in_view(page, place(n))


def test_a_list_is_scrolled_through_by_hand(page: Page) -> None:
    box = page.locator("#events-box")
    seen: set[int] = set()
    box.hover()
    for _ in range(12):
        page.mouse.wheel(0, 200)
        shown = box.bounding_box()
        assert shown is not None
        low, high = shown["y"], shown["y"] + shown["height"]
        there = [row["at"] for row in rows(page) if row["bottom"] > low and row["top"] < high]
        assert there == list(range(there[0], there[-1] + 1))
        assert not seen or there[0] <= max(seen) + 1
        seen |= set(there)
    assert len(seen) > 40
    box.evaluate("box => { box.scrollTop = box.scrollHeight; }")
    assert rows(page)[-1]["at"] == COUNT


def test_what_was_opened_stays_open_out_of_sight(page: Page) -> None:
    seek(page, 30 * STEP_MS)
    row = page.locator("#events li", has_text="Note 30 ")
    row.locator("summary").click()
    expect(row.locator("pre")).to_be_visible()
    rows(page)
    seek(page, 1500 * STEP_MS)
    page.locator("#play").focus()
    seek(page, 1400 * STEP_MS)
    expect(row).to_have_count(0)
    seek(page, 31 * STEP_MS)
    expect(row.locator("pre")).to_be_visible()
    rows(page)


def test_a_list_is_one_stop_of_the_tab_key(page: Page) -> None:
    seek(page, 600 * STEP_MS)
    page.get_by_role("tab", name="Events").focus()
    page.keyboard.press("Tab")
    focused = page.locator("#events li:has(:focus)")
    expect(focused).to_contain_text("Note 600 ")
    page.keyboard.press("ArrowDown")
    expect(focused).to_contain_text("Note 601 ")
    assert page.evaluate("replay.position") == 601 * STEP_MS
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('#events summary')")
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Log")).to_be_focused()
    # A row that has the focus stays, however far away the list is scrolled.
    page.keyboard.press("Shift+Tab")
    page.locator("#events-box").evaluate("box => { box.scrollTop = 0; }")
    assert {row["at"] for row in rows(page)} >= {1, place(601)}
    expect(focused).to_contain_text("Note 601 ")


def test_kinds_that_are_hidden_leave_no_hole(page: Page) -> None:
    page.get_by_role("button", name="Note", exact=True).click()
    page.evaluate(SETTLED)
    found = page.evaluate(ROWS)
    assert {row["size"] for row in found} == {2 + (COUNT - 1) // 3}
    assert [row["at"] for row in found][:3] == [1, 2, 3]

"""The viewer's page as a person meets it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import DEVICE, HOSTILE, LENGTH_MS, OTHER_SESSION, SESSION
from playwright.sync_api import Locator, Page, expect

from agent.collector.server import Server
from agent.replay import rrweb
from agent.store.recording import Recording
from agent.viewer.app import make_app

pytestmark = pytest.mark.browser

# What is left of the pause between the second and the third segment.
SHORT_MS = 3000
DURATION_MS = 3 * LENGTH_MS + SHORT_MS


def seek(page: Page, ms: int) -> None:
    page.evaluate("ms => { replay.seek(ms); return replay.whenSettled() }", ms)


def shown(page: Page) -> int:
    return patterned.read(page.locator(".rr-player__frame").screenshot())


def position(page: Page) -> float:
    return float(page.evaluate("replay.position"))


def expected(ms: int) -> int:
    """The picture in force at an offset of the first session."""
    if ms < 2 * LENGTH_MS:
        return 1 + ms // 1000
    if ms < 2 * LENGTH_MS + SHORT_MS:
        return 20
    return min(30, 21 + (ms - 2 * LENGTH_MS - SHORT_MS) // 1000)


def current(page: Page, pane: str) -> Locator:
    return page.locator(f"{pane} [aria-current=true]")


def in_view(item: Locator, box: Locator) -> bool:
    inner, outer = item.bounding_box(), box.bounding_box()
    assert inner is not None
    assert outer is not None
    return inner["y"] >= outer["y"] - 1 and inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 1


def test_every_seek_shows_the_picture_of_its_time(page: Page) -> None:
    assert page.evaluate("replay.duration") == DURATION_MS
    edges = [LENGTH_MS - 1, LENGTH_MS, LENGTH_MS + 2, DURATION_MS - 1, DURATION_MS]
    times = [*range(400, DURATION_MS, 2900), 7000, 6999, *edges, 0]
    random.Random(4).shuffle(times)
    wrong = []
    for ms in times:
        seek(page, ms)
        if shown(page) != expected(ms):
            wrong.append((ms, shown(page), expected(ms)))
        assert position(page) == ms
    assert wrong == []


def test_it_plays_to_the_end_and_starts_anew(page: Page) -> None:
    seek(page, DURATION_MS - 1600)
    page.get_by_label("Speed").select_option("2")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert position(page) == DURATION_MS
    page.evaluate("replay.whenSettled()")
    assert shown(page) == 30
    page.keyboard.press("k")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert position(page) < 5000


def test_a_touch_is_a_ring_where_the_finger_was(page: Page) -> None:
    ring = page.locator(".replayer-mouse.touch-active")
    seek(page, 2000)
    expect(ring).to_have_count(0)
    seek(page, 2800)
    expect(ring).to_have_count(1)
    frame, mark = page.locator(".rr-player__frame").bounding_box(), ring.bounding_box()
    assert frame is not None
    assert mark is not None
    assert mark["x"] + mark["width"] / 2 == pytest.approx(frame["x"] + frame["width"] / 2, abs=4)
    assert mark["y"] + mark["height"] / 2 == pytest.approx(frame["y"] + frame["height"] / 4, abs=4)
    seek(page, 3200)
    expect(ring).to_have_count(0)


def test_the_event_list_follows_and_leads(page: Page) -> None:
    rows = page.locator("#events li")
    expect(rows).to_have_count(4)
    seek(page, 3999)
    expect(current(page, "#events")).to_have_count(0)
    seek(page, 4000)
    expect(current(page, "#events")).to_contain_text("Step 0")
    row = current(page, "#events")
    for text in ("0:04.0", "Track", str(SESSION), "from integrations", DEVICE, "from context.device.id"):
        expect(row).to_contain_text(text)
    seek(page, DURATION_MS)
    expect(current(page, "#events")).to_contain_text("Step 2")
    assert in_view(current(page, "#events"), page.locator("#events-box"))
    page.get_by_role("button", name="Step 1").click()
    page.evaluate("replay.whenSettled()")
    assert position(page) == LENGTH_MS + 4000
    assert shown(page) == 15


def test_what_the_log_could_not_show_is_said(page: Page) -> None:
    row = page.locator("#events li", has_text="img src")
    expect(row.locator(".name")).to_have_text(patterned.HOSTILE)
    expect(row).to_contain_text("incomplete")
    expect(row).to_contain_text("nowhere in the log")
    row.locator("summary").click()
    expect(row.locator("pre")).to_contain_text('"missing": [\n    "context"\n  ]')


def test_the_log_follows_and_leads(page: Page) -> None:
    box = page.locator("#log")
    expect(page.locator("#log-count")).to_have_text("300")
    seek(page, 15_000)
    expect(current(page, "#log")).to_contain_text("line 1.49")
    assert in_view(current(page, "#log"), box)
    expect(page.locator("#line")).to_have_text("I/Shop: line 1.49")
    assert page.locator("#log .line").count() < 100
    seek(page, 0)
    expect(current(page, "#log")).to_have_count(0)
    assert box.evaluate("box => box.scrollTop") == 0
    page.locator("#log .line", has_text="line 0.2").first.click()
    assert position(page) == 250
    page.keyboard.press("ArrowDown")
    assert position(page) == 350
    expect(current(page, "#log")).to_contain_text("line 0.3")


def test_a_log_that_is_scrolled_while_it_plays_stays_there_and_tells_the_line(page: Page) -> None:
    seek(page, 8000)
    box = page.locator("#log")
    box.hover()
    page.mouse.wheel(0, -5000)
    page.wait_for_function("() => document.querySelector('#log').scrollTop === 0")
    page.keyboard.press("Space")
    expect(current(page, "#log")).to_contain_text(re.compile(r"line (0\.(8[2-9]|9)|1\.)"))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.locator("#line")).to_contain_text(re.compile(r"line (0\.[89]|1\.)"))
    assert box.evaluate("box => box.scrollTop") == 0
    expect(box).to_have_attribute("aria-activedescendant", re.compile(r"^line-([89]|1\d)\d$"))


def test_the_log_is_sifted_by_text_and_level(page: Page) -> None:
    page.get_by_label("Lowest level").select_option("W")
    expect(page.locator("#log-count")).to_have_text("10 of 300")
    expect(page.locator("#log .line").first).to_have_attribute("data-level", "W")
    page.get_by_label("Lowest level").select_option("V")
    page.get_by_label("Filter log lines").fill("SHOP: line 2.1")
    expect(page.locator("#log-count")).to_have_text("11 of 300")
    page.get_by_label("Filter log lines").fill("nothing like it")
    expect(page.locator("#log .line")).to_have_count(0)


def test_playing_carries_the_lists_along(page: Page) -> None:
    seek(page, 3500)
    page.keyboard.press("Space")
    expect(current(page, "#events")).to_contain_text("Step 0")
    expect(current(page, "#log")).to_contain_text(re.compile(r"line 0\.[45]\d"))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_gaps_and_masks_are_listed_and_a_long_pause_is_cut(page: Page) -> None:
    notices = page.locator("#notices li")
    expect(notices).to_have_text(
        [
            re.compile("Mask2 areas covered: password × 2"),
            re.compile(r"Gapscreen: secure window, 1\.5 s"),
            re.compile("Shortened12 min 0 s without any record"),
        ]
    )
    seek(page, 6500)
    expect(current(page, "#notices")).to_contain_text("secure window")
    expect(page.locator("#veil")).to_have_text(re.compile("No picture . screen: secure window"))
    seek(page, 9000)
    expect(page.locator("#veil")).to_be_empty()
    expect(current(page, "#notices")).to_contain_text("2 areas covered")
    wall = "ms => replay.wall(ms)"
    assert page.evaluate(wall, 2 * LENGTH_MS) == SESSION + 1000 + 2 * LENGTH_MS
    after = 2 * LENGTH_MS + SHORT_MS
    assert page.evaluate(wall, after) == SESSION + 1000 + 2 * LENGTH_MS + patterned.PAUSE_MS


def test_the_time_line_has_marks_by_kind(page: Page) -> None:
    for kind, count in {"track": 3, "screen": 1, "touch": 3, "gap": 1, "cut": 1, "segment": 2, "warning": 10}.items():
        expect(page.locator(f".mark[data-kind={kind}]")).to_have_count(count)
    track = page.locator(".track").bounding_box()
    assert track is not None
    page.mouse.click(track["x"] + track["width"] * 14_000 / DURATION_MS, track["y"] + 60)
    assert position(page) == pytest.approx(14_000, abs=200)
    page.mouse.move(track["x"] + track["width"] * 4000 / DURATION_MS, track["y"] + 60)
    expect(page.locator(".tip")).to_contain_text("Step 0")


def test_a_turned_phone_is_shown_turned(page: Page) -> None:
    frame = page.locator(".rr-player__frame")
    seek(page, 5000)
    upright = frame.bounding_box()
    seek(page, DURATION_MS - 500)
    flat = frame.bounding_box()
    seek(page, 5000)
    again = frame.bounding_box()
    assert upright is not None
    assert flat is not None
    assert upright["width"] / upright["height"] == pytest.approx(9 / 16, abs=0.01)
    assert flat["width"] / flat["height"] == pytest.approx(16 / 9, abs=0.01)
    assert again == upright


def test_every_key_of_the_help_works(page: Page) -> None:
    steps = [
        ("ArrowRight", 5000),
        ("ArrowRight", 10_000),
        ("ArrowLeft", 5000),
        ("ArrowUp", 4000),
        ("ArrowDown", 14_000),
        ("ArrowDown", 16_000),
        (".", 17_000),
        (",", 16_000),
        ("End", DURATION_MS),
        ("Home", 0),
    ]
    for key, ms in steps:
        page.keyboard.press(key)
        assert (key, position(page)) == (key, ms)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.keyboard.press(">")
    expect(page.get_by_label("Speed")).to_have_value("2")
    page.keyboard.press("<")
    expect(page.get_by_label("Speed")).to_have_value("1")


def test_a_filter_is_typed_not_steered(page: Page) -> None:
    seek(page, 4000)
    page.keyboard.press("/")
    expect(page.get_by_label("Filter log lines")).to_be_focused()
    page.keyboard.type("a ?k.")
    expect(page.get_by_label("Filter log lines")).to_have_value("a ?k.")
    assert position(page) == 4000
    assert not page.evaluate("replay.playing")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Filter log lines")).not_to_be_focused()


def test_the_help_opens_and_closes(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("ArrowRight")
    assert position(page) == 0
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_address_leads_to_a_moment(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(f"{address}/#session={OTHER_SESSION}&device={DEVICE}&t=4500")
    page.evaluate("replay.whenSettled()")
    assert shown(page) == 205
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"t=9500$"))
    page.reload()
    page.wait_for_selector("body.whole")
    page.evaluate("replay.whenSettled()")
    assert position(page) == 9500
    assert shown(page) == 210
    page.get_by_role("link", name=str(SESSION)).press("Enter")
    page.wait_for_function("() => window.replay?.duration === 33000 && document.body.classList.contains('whole')")
    page.evaluate("replay.whenSettled()")
    assert shown(page) == 1
    expect(page.locator("nav [aria-current=page]")).to_contain_text(str(SESSION))
    expect(page.get_by_role("link", name=str(SESSION))).to_be_focused()


def test_an_address_without_a_session_leads_to_the_newest(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(f"{address}/#t=NaN")
    assert shown(page) == 201


def test_a_session_that_is_not_there_is_not_replaced_by_another(open_page: Callable[..., Page], address: str) -> None:
    url = f"{address}/#session=12&device={DEVICE}&t=4500"
    page = open_page(url, ready=False)
    status = page.locator("#status")
    expect(status).to_have_text("This recording does not hold session 12. Choose one of those that it holds.")
    expect(page.locator("nav li a")).to_have_count(2)
    expect(page.locator("nav [aria-current=page]")).to_have_count(0)
    expect(page.locator(".rr-player__frame")).to_have_count(0)
    assert page.url == url
    page.get_by_role("link", name=str(SESSION)).click()
    page.wait_for_selector("body.whole")
    expect(page.locator("#status")).to_be_empty()
    assert shown(page) == 1


def test_one_of_a_single_session_is_to_be_chosen_where_another_was_asked_for(
    open_page: Callable[..., Page], folder: Path
) -> None:
    recording = Recording.create(folder)
    recording.write(patterned.segment(0, SESSION + 1000, range(1, 3)))
    with Server(make_app(recording)) as server:
        page = open_page(f"{server.url}/#session={SESSION}&device=another", ready=False)
        said = f"This recording does not hold session {SESSION} of device another."
        expect(page.locator("#status")).to_contain_text(said)
        page.get_by_role("link", name=str(SESSION)).click()
        page.wait_for_selector("body.whole")


def test_the_session_that_is_shown_stays_where_another_is_not_there(page: Page) -> None:
    seek(page, 4000)
    page.evaluate("location.hash = '#session=12'")
    status = page.locator("#status")
    expect(status).to_have_text(f"This recording does not hold session 12. Session {SESSION} is still shown.")
    # Longer than the page takes to write a moment into its address.
    page.wait_for_timeout(500)
    assert page.url.endswith("#session=12")
    assert (position(page), shown(page)) == (4000, 5)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#status")).to_be_empty()
    page.wait_for_url(re.compile(rf"session={SESSION}&.*t=9000$"))


def test_the_way_to_the_player_leads_to_no_other_moment(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(f"{address}/#session={OTHER_SESSION}&device={DEVICE}&t=4500")
    url = page.url
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the player")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#play")).to_be_focused()
    page.wait_for_timeout(500)
    assert (position(page), page.url) == (4500, url)
    page.evaluate("location.hash = '#elsewhere'")
    page.wait_for_timeout(500)
    assert position(page) == 4500


def test_times_of_day_are_the_readers(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(f"{address}/#session={SESSION}", timezone_id="Asia/Kolkata")
    told = "in your own time zone, by the clock of the recording host"
    expect(page.locator("#wall")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d UTC\+5:30$"))
    expect(page.locator("#wall")).to_have_attribute("title", f"Time of day {told}")
    expect(page.locator("#facts")).to_contain_text("UTC+5:30")
    began = page.locator("nav strong").first
    expect(began).to_contain_text("UTC+5:30")
    lines = "e => [e.scrollWidth <= e.clientWidth, e.clientHeight < 2 * parseFloat(getComputedStyle(e).fontSize)]"
    assert began.evaluate(lines) == [True, True]


def test_the_header_tells_whose_it_is(page: Page) -> None:
    header = page.get_by_role("banner")
    for text in ("Google Pixel 7 · Android 14", "emulator-5554", str(SESSION), DEVICE, "segments 3", "log lines 300"):
        expect(header).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s*")), use_inner_text=True)


def test_landmarks_and_names_are_there(page: Page) -> None:
    for role in ("banner", "navigation", "main", "complementary"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("region", name="Time line")).to_have_count(1)
    expect(page.get_by_role("slider", name="Position")).to_have_attribute("aria-valuetext", "0:00.0 of 0:33.0")
    nameless = page.locator("button, select, input, summary, a").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_what_is_said_is_announced(page: Page) -> None:
    # Words that come into what is not rendered are not.
    looks = "e => [e.getAttribute('role'), e.textContent, getComputedStyle(e).display, getComputedStyle(e).opacity]"
    for name in ("#status", "#veil"):
        assert page.locator(name).evaluate(looks) == ["status", "", "block", "0"]
    seek(page, 6500)
    assert page.locator("#veil").evaluate(looks)[2:] == ["block", "1"]
    expect(page.get_by_role("status").filter(has_text="secure window")).to_be_visible()
    page.evaluate(
        """() => {
          window.changes = 0;
          const told = new MutationObserver((all) => (changes += all.length));
          told.observe(document.querySelector("#veil"), {childList: true});
        }"""
    )
    seek(page, 6600)
    assert page.evaluate("changes") == 0
    seek(page, 9000)
    assert page.evaluate("changes") == 1


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page) -> None:
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const e = document.activeElement;
              return [e.id || (e !== document.body && e.className) || e.tagName,
                getComputedStyle(e).outlineStyle, e.matches("input[type=range]")];
            }"""
        )
        assert found[1] != "none" or found[2] or found[0] == "BODY", found
        seen.add(found[0])
    assert {"skip", "help-open", "row", "filter", "level", "log", "play", "previous", "next", "speed", "copy"} <= seen
    assert "IFRAME" not in seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_readable_text(open_page: Callable[..., Page], address: str, scheme: str) -> None:
    page = open_page(f"{address}/#session={SESSION}&t=16000", color_scheme=scheme)
    pairs = page.evaluate(
        """() => {
          const brush = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
          const rgba = colour => { brush.clearRect(0, 0, 1, 1); brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1);
            return [...brush.getImageData(0, 0, 1, 1).data]; };
          const ground = e => { for (; e; e = e.parentElement) {
            const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return rgba("white"); };
          return ["h1", "dt", "dd", "nav a span", ".count", ".name", ".time", ".from", ".badge", "#log .text", "#line",
            ".legend li"].map(s => { const e = document.querySelector(s);
              return [s, rgba(getComputedStyle(e).color), ground(e)]; }); }"""
    )
    low = [(name, contrast(text, ground)) for name, text, ground in pairs if contrast(text, ground) < 4.5]
    assert low == []
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance([int(n) for n in re.findall(r"\d+", body)[:3]]) < 0.1) == (scheme == "dark")


def luminance(rgb: list[int]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    parts = [n / 255 for n in rgb[:3]]
    red, green, blue = (n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[int], other: list[int]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_policy_keeps_the_page_at_home(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(address, strict=False)
    refused = page.evaluate(
        """() => new Promise(resolve => {
          document.addEventListener("securitypolicyviolation", e => resolve(e.effectiveDirective), {once: true});
          new Image().src = "http://127.0.0.1:9/elsewhere.png"; })"""
    )
    assert refused == "img-src"


def test_a_damaged_segment_leaves_the_rest(open_page: Callable[..., Page], folder: Path) -> None:
    recording = patterned.record(folder)
    victim = next(m for m in recording.manifests() if m.session_id == SESSION and m.seq == 1)
    (folder / "segments" / f"{victim.id}.jsonl").write_bytes(b"{}\n")
    with Server(make_app(Recording.open(folder))) as server:
        # The browser itself reports the failed request on the console.
        page = open_page(f"{server.url}/#session={SESSION}", strict=False)
        expect(page.locator("#notices")).to_contain_text("Segment 1 cannot be read")
        expect(page.locator("#notices")).not_to_contain_text(str(folder))
        seek(page, 5000)
        assert shown(page) == 6


def test_a_damaged_manifest_is_named(open_page: Callable[..., Page], folder: Path) -> None:
    recording = patterned.record(folder)
    victim = next(m for m in recording.manifests() if m.session_id == OTHER_SESSION)
    (folder / "segments" / f"{victim.id}.json").write_bytes(b"{}\n")
    with Server(make_app(Recording.open(folder))) as server:
        page = open_page(server.url)
        expect(page.get_by_role("alert")).to_contain_text(f"1 unreadable: segments/{victim.id}.json")
        assert shown(page) == 1


def blocked_between(blocked: str, freed: int) -> list[dict[str, object]]:
    """A picture that is all cover from 3 s on, and one with a password field at `freed`."""
    start = SESSION + 1000
    whole = {"count": 1, "kinds": {"block": 1}, "rules": {blocked: 1}, "blocked": blocked}
    field = {"count": 1, "kinds": {"mask": 1}, "rules": {"password": 1}, "blocked": ""}
    return [rrweb.custom(start + 3000, "mask", whole), rrweb.custom(start + freed, "mask", field)]


def test_a_blocked_stretch_is_as_long_as_it_lasts(open_page: Callable[..., Page], folder: Path) -> None:
    recording = Recording.create(folder)
    recording.write(patterned.segment(0, SESSION + 1000, range(1, 11), extra=blocked_between("secure", 7000)))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        mark, track = page.locator(".mark[data-kind=blocked]").bounding_box(), page.locator(".track").bounding_box()
        assert mark is not None
        assert track is not None
        assert mark["width"] / track["width"] == pytest.approx(0.4, abs=0.01)
        seek(page, 5000)
        expect(page.locator("#veil")).to_have_text("Whole picture blocked: a secure window was in front")
        seek(page, 8000)
        expect(page.locator("#veil")).to_be_empty()
        expect(current(page, "#notices")).to_contain_text("1 area covered: password")


def test_what_covers_a_segment_does_not_outlive_it(open_page: Callable[..., Page], folder: Path) -> None:
    begins = [SESSION + 1000 + n * LENGTH_MS for n in range(3)]
    blocked = {"count": 1, "kinds": {"block": 1}, "rules": {"secure": 1}, "blocked": "secure"}
    recording = Recording.create(folder)
    extras = [[rrweb.custom(begins[0] + 3000, "mask", blocked)], [], [rrweb.custom(begins[2] + 2, "mask", blocked)]]
    for seq, (begin, extra) in enumerate(zip(begins, extras, strict=True)):
        recording.write(patterned.segment(seq, begin, range(1, 11), extra=extra))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        veil, note = page.locator("#veil"), page.locator("#masks-note")
        page.get_by_role("tab", name="Masks").click()
        for ms, covered in ((5000, True), (LENGTH_MS, False), (2 * LENGTH_MS - 1, False), (2 * LENGTH_MS, True)):
            seek(page, ms)
            expect(veil).to_have_text("Whole picture blocked: a secure window was in front" if covered else "")
            expect(note).to_have_text(
                "The whole picture is blocked: secure."
                if covered
                else "The recording does not say what is covered at this moment."
            )


def test_a_screen_tried_again_and_again_is_one_gap(open_page: Callable[..., Page], folder: Path) -> None:
    start = SESSION + 1000

    def gap(begin: int) -> dict[str, object]:
        said = {"stage": "screen", "reason": "ScreenBlocked", "detail": ""}
        return rrweb.custom(begin, "gap", {**said, "from_ms": begin, "to_ms": begin + 200})

    tries = [gap(start + at) for at in (3000, 3500, 4000, 8000)]
    recording = Recording.create(folder)
    recording.write(patterned.segment(0, start, range(1, 11), extra=tries))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        expect(page.locator("#notices .name")).to_have_text(["screen blocked, 1.2 s", "screen blocked, 200 ms"])


def test_a_phone_without_a_picture_has_a_reason(open_page: Callable[..., Page], folder: Path) -> None:
    start = SESSION + 1000
    away = {
        "stage": "device",
        "reason": "DeviceGone",
        "detail": "",
        "from_ms": start,
        "to_ms": start + 9000,
        "ms": 9000,
    }
    sealed = patterned.segment(0, start, range(1, 2))
    lines = (sealed.events[0], rrweb.dumps(rrweb.custom(start, "gap", away)), sealed.events[-1])
    recording = Recording.create(folder)
    recording.write(replace(sealed, events=lines, pictures={}, manifest=replace(sealed.manifest, pictures=())))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        expect(page.locator("#veil")).to_have_text(re.compile("No picture . device gone"))
        seek(page, 9500)
        expect(page.locator("#veil")).to_have_text("No picture of this moment")


def test_a_recording_that_cannot_be_read_says_why(open_page: Callable[..., Page], folder: Path) -> None:
    recording = Recording.create(folder)
    recording.write(sealed := patterned.segment(0, SESSION + 1000, range(1, 2)))
    (folder / "segments" / f"{sealed.manifest.id}.jsonl").write_bytes(b"{}\n")
    with Server(make_app(Recording.open(folder))) as server:
        page = open_page(server.url, ready=False, strict=False)
        expect(page.locator("#status")).to_contain_text("The session cannot be shown: Segment 0 cannot be read: ")


@pytest.mark.parametrize("width", [360, 768])
def test_a_small_window_scrolls_one_way_only(open_page: Callable[..., Page], address: str, width: int) -> None:
    page = open_page(f"{address}/#session={SESSION}", viewport={"width": width, "height": 740})
    for ms in (DURATION_MS, 0):
        seek(page, ms)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".rr-player__frame").bounding_box()
    assert box is not None
    assert box["height"] > 740 * 0.45
    assert 0 <= box["x"] <= width - box["width"]


def test_an_empty_recording_says_so(open_page: Callable[..., Page], folder: Path) -> None:
    with Server(make_app(Recording.create(folder))) as server:
        page = open_page(server.url, ready=False)
        expect(page.locator("#status")).to_contain_text("no replay segment yet")


def fault(at_ms: int, rule: str, severity: str, saw: str = "seen") -> dict[str, object]:
    said = {"saw": saw, "meaning": "It means this.", "fix": "Do that.", "proof": "I/T: the line", "pid": 7}
    return rrweb.custom(at_ms, "doctor", {"rule": rule, "severity": severity, **said})


def test_faults_of_the_instrumentation_are_listed_and_marked(open_page: Callable[..., Page], folder: Path) -> None:
    start = SESSION + 1000
    found = [
        fault(start + 2000, "device-id-fallback", "info"),
        fault(start + 5000, "plugin-order", "warning", saw=HOSTILE),
        fault(start + 6000, "api-key-logged", "error"),
    ]
    recording = Recording.create(folder)
    recording.write(patterned.segment(0, start, range(1, 11), extra=found))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        expect(page.locator("#notices .name")).to_have_text(
            [
                "info device-id-fallback: It means this. Do that.",
                "warning plugin-order: It means this. Do that.",
                "error api-key-logged: It means this. Do that.",
            ]
        )
        expect(page.locator("#notices .badge")).to_have_text(["Hint", "Fault", "Fault"])
        # A hint is in the list only.
        expect(page.locator(".mark[data-kind=fault]")).to_have_count(2)
        expect(page.locator(".mark[data-kind=hint]")).to_have_count(0)
        expect(page.locator(".legend")).to_contain_text("Fault")
        assert page.locator("#events li").count() == 1
        page.get_by_role("tab", name="Gaps and findings").click()
        row = page.locator("#notices li").nth(1)
        row.locator("button").click()
        assert position(page) == 5000
        expect(current(page, "#notices")).to_contain_text("plugin-order")
        row.get_by_label("Details of warning plugin-order").click()
        expect(row.locator("code")).to_contain_text("the line")
        expect(row.locator("dl")).to_contain_text("It means this.")
        page.locator("#notices .row").nth(1).press("ArrowDown")
        assert position(page) == 6000

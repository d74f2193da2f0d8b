"""What stands beside the phone: views, masks, search, kinds, and a session that is read while it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import HOSTILE, LENGTH_MS, SESSION, UPRIGHT
from playwright.sync_api import Page, Route, expect

from agent.collector.server import Server
from agent.model import SealedSegment
from agent.replay import rrweb
from agent.replay.rrweb import Event
from agent.store.recording import Recording
from agent.viewer.app import make_app

pytestmark = pytest.mark.browser

START = SESSION + 1000
DENSITY = 320
LIST = {"data-class": "android.widget.ScrollView", "data-res": "com.example.shop:id/list"}
PAY = {
    "data-class": "android.widget.Button",
    "data-res": "com.example.shop:id/pay",
    "aria-label": 'Pay "now"',
    "data-flags": "clickable",
}


def view(node_id: int, left: int, top: int, width: int, height: int, attributes: dict[str, str]) -> Event:
    style = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    return rrweb.element(node_id, "div", {"class": "v", "style": style, **attributes})


def come(at: int, *views: Event) -> Event:
    return rrweb.mutation(START + at, adds=views)


def known(sealed: SealedSegment) -> SealedSegment:
    """With the screen's density among the device's facts."""
    device = {**sealed.manifest.device, "density": str(DENSITY)}
    return replace(sealed, manifest=replace(sealed.manifest, device=device))


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., str]]:
    """The address of a viewer over ten seconds of numbered pictures with more events."""
    servers = []

    def served(*extra: Event) -> str:
        recording = Recording.create(folder)
        recording.write(known(patterned.segment(0, START, range(1, 11), extra=extra)))
        server = Server(make_app(recording))
        servers.append(server)
        return server.__enter__().url

    yield served
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def shop(open_page: Callable[..., Page], serve: Callable[..., str]) -> Page:
    """A list with a button in it from 2 s on, the button gone at 8 s."""
    gone = rrweb.mutation(START + 8000, removes=[101])
    url = serve(come(2000, view(100, 0, 100, 360, 400, LIST), view(101, 20, 200, 200, 50, PAY)), gone)
    page = open_page(url, permissions=["clipboard-read", "clipboard-write"])
    seek(page, 3000)
    return page


def seek(page: Page, ms: int) -> None:
    page.evaluate("ms => { replay.seek(ms); return replay.whenSettled() }", ms)


def position(page: Page) -> float:
    return float(page.evaluate("replay.position"))


def click_phone(page: Page, x: float, y: float) -> None:
    """Click where a point of the screen (dp) is drawn."""
    box = page.locator(".rr-player__frame").bounding_box()
    assert box is not None
    scale = box["width"] / UPRIGHT[0]
    page.mouse.click(box["x"] + x * scale, box["y"] + y * scale)


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_a_view_is_picked_on_the_screen(shop: Page) -> None:
    shop.keyboard.press("i")
    expect(shop.get_by_role("tab", name="Views")).to_have_attribute("aria-selected", "true")
    click_phone(shop, 30, 210)
    detail = shop.locator("#view")
    for text in ("android.widget.Button", "com.example.shop:id/pay", 'Pay "now"', "clickable"):
        expect(detail).to_contain_text(text)
    expect(detail).to_contain_text("20, 200 · 200 × 50 dp = [40,400][440,500] px")
    for text in (
        'd(resourceId="com.example.shop:id/pay")',
        'new UiSelector().resourceId("com.example.shop:id/pay")',
        '//android.widget.Button[@resource-id="com.example.shop:id/pay"]',
        'id: "com\\\\.example\\\\.shop:id/pay"',
    ):
        expect(detail).to_contain_text(text)
    mark, frame = shop.locator("#overlay .selected").bounding_box(), shop.locator(".rr-player__frame").bounding_box()
    assert mark is not None
    assert frame is not None
    scale = frame["width"] / UPRIGHT[0]
    assert mark["x"] - frame["x"] == pytest.approx(20 * scale, abs=2)
    assert mark["y"] - frame["y"] == pytest.approx(200 * scale, abs=2)
    assert mark["width"] == pytest.approx(200 * scale, abs=2)
    detail.get_by_label("Copy the selector for uiautomator2").click()
    expect(shop.locator("#status")).to_have_text("Selector for uiautomator2 copied.")
    assert clipboard(shop) == 'd(resourceId="com.example.shop:id/pay")'
    shop.keyboard.press("Escape")
    expect(shop.locator("#pick")).to_have_attribute("aria-pressed", "false")


def test_picking_takes_the_focus_from_the_log_that_it_hides(shop: Page) -> None:
    shop.keyboard.press("i")
    assert shop.evaluate("document.activeElement === document.body")
    shop.get_by_role("tab", name="Log").click()
    shop.locator("#log").focus()
    shop.keyboard.press("i")
    expect(shop.get_by_role("tab", name="Views")).to_be_focused()


def test_the_tree_is_that_of_the_moment(shop: Page) -> None:
    shop.get_by_role("tab", name="Views").click()
    rows = shop.locator("#tree [role=treeitem]")
    expect(rows).to_have_count(2)
    assert [row.get_attribute("aria-level") for row in rows.all()] == ["1", "2"]
    shop.locator("#tree").focus()
    shop.keyboard.press("ArrowDown")
    shop.keyboard.press("ArrowDown")
    expect(shop.locator("#tree [aria-selected=true]")).to_contain_text("#pay")
    assert position(shop) == 3000
    seek(shop, 9000)
    expect(rows).to_have_count(1)
    expect(shop.locator("#view")).to_contain_text("not there at this moment")
    expect(shop.locator("#overlay .selected")).to_have_count(0)
    seek(shop, 1000)
    expect(rows).to_have_count(0)
    seek(shop, 5000)
    expect(shop.locator("#view")).to_contain_text("com.example.shop:id/pay")
    shop.get_by_label("Filter views").fill("scroll")
    expect(rows).to_have_count(1)


def test_the_tree_goes_along_while_it_plays(shop: Page) -> None:
    shop.get_by_role("tab", name="Views").click()
    seek(shop, 7500)
    shop.get_by_label("Speed").select_option("4")
    shop.get_by_role("button", name="Play", exact=True).click()
    expect(shop.locator("#tree [role=treeitem]")).to_have_count(1)


def test_covers_are_drawn_where_they_were(open_page: Callable[..., Page], serve: Callable[..., str]) -> None:
    rects = [[40, 80, 240, 160, "password"], [0, 0, 720, 48, HOSTILE], ["x"], None]
    mask = {"count": 2, "kinds": {"mask": 2}, "rules": {"password": 1, HOSTILE: 1}, "blocked": "", "rects": rects}
    none = {"count": 0, "kinds": {}, "rules": {}, "blocked": "", "rects": []}
    page = open_page(serve(rrweb.custom(START + 2000, "mask", mask), rrweb.custom(START + 6000, "mask", none)))
    page.get_by_role("tab", name="Masks").click()
    seek(page, 3000)
    expect(page.locator("#masks li")).to_have_text(["password× 1", f"{HOSTILE}× 1"])
    expect(page.locator("#overlay .cover")).to_have_count(0)
    page.get_by_label("Show on the picture").check()
    expect(page.locator("#overlay .cover")).to_have_text(["password", HOSTILE])
    cover, frame = page.locator(".cover").first.bounding_box(), page.locator(".rr-player__frame").bounding_box()
    assert cover is not None
    assert frame is not None
    scale = frame["width"] / UPRIGHT[0]
    assert cover["x"] - frame["x"] == pytest.approx(20 * scale, abs=2)
    assert cover["height"] == pytest.approx(40 * scale, abs=2)
    seek(page, 7000)
    expect(page.locator("#overlay .cover")).to_have_count(0)
    expect(page.locator("#masks-note")).to_have_text("Nothing is covered at this moment.")


def test_one_search_finds_events_lines_and_views(shop: Page) -> None:
    shop.keyboard.press("s")
    box = shop.get_by_role("combobox", name="Search events")
    expect(box).to_be_focused()
    box.fill("MESSAGE-")
    expect(shop.locator("#found li")).to_have_count(1)
    box.fill("line 0.7")
    expect(shop.locator("#found li")).to_have_count(11)
    shop.keyboard.press("ArrowDown")
    shop.keyboard.press("Enter")
    expect(shop.get_by_role("dialog")).to_have_count(0)
    assert position(shop) == 7050
    shop.get_by_role("button", name="Search").click()
    box.fill('pay "n')
    expect(shop.locator("#found li")).to_have_text(['0:02.0ViewPay "now"'])
    shop.locator("#found li").click()
    assert position(shop) == 2000


def test_a_search_that_was_closed_does_not_keep_the_keyboard(shop: Page) -> None:
    heard = """(key) => {
      const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
      press("s");
      document.activeElement.value = "line 0.7";
      document.activeElement.dispatchEvent(new Event("input"));
      press(key);
      const closed = !document.querySelector("dialog[open]");
      // In the same frame: the browser takes the focus from what is hidden with the next one only.
      press("s");
      return [closed, Boolean(document.querySelector("dialog[open]"))];
    }"""
    for key in ("Enter", "Escape"):
        assert shop.evaluate(heard, key) == [True, True]
        shop.keyboard.press("Escape")


def test_the_legend_hides_and_shows_a_kind(open_page: Callable[..., Page], serve: Callable[..., str]) -> None:
    screen = patterned.segment_event(START + 6000, "screen", "Cart")
    page = open_page(serve(screen))
    chip = page.get_by_role("button", name="Screen", exact=True)
    expect(chip).to_have_attribute("aria-pressed", "true")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".mark[data-kind=screen]")).to_be_hidden()
    expect(page.locator("#events li[data-kind=screen]")).to_be_hidden()
    seek(page, 5000)
    page.get_by_role("button", name="Next event").click()
    assert position(page) == 5000
    chip.click()
    expect(page.locator(".mark[data-kind=screen]")).to_be_visible()
    page.get_by_role("button", name="Next event").click()
    assert position(page) == 6000


def test_kinds_that_the_page_does_not_know_are_told_as_they_are(
    open_page: Callable[..., Page], serve: Callable[..., str]
) -> None:
    page = open_page(
        serve(
            rrweb.custom(START + 2000, "battery_low", {"name": "15 %"}),
            rrweb.custom(START + 3000, f"x-{HOSTILE}", {"odd": [1], "why": HOSTILE}),
            rrweb.custom(START + 5000, "crash", {"pid": 7, "text": "java.lang.IllegalStateException: no cart\n\tat"}),
        )
    )
    rows = page.locator("#events li")
    expect(rows).to_have_count(4)
    expect(rows.nth(0)).to_contain_text("Battery low")
    expect(rows.nth(1).locator(".name")).to_have_text(HOSTILE)
    expect(rows.nth(3).locator(".name")).to_have_text("java.lang.IllegalStateException: no cart")
    expect(page.locator(".legend")).to_contain_text("Battery low")
    rows.nth(1).locator("summary").click()
    expect(rows.nth(1).locator("pre")).to_contain_text(HOSTILE)


def test_a_recording_cannot_write_into_the_page(open_page: Callable[..., Page], serve: Callable[..., str]) -> None:
    nasty = {
        "data-class": HOSTILE,
        "data-res": HOSTILE,
        "aria-label": HOSTILE,
        "onclick": "top.ran = 1",
        "data-text": HOSTILE,
    }
    script = rrweb.element(900, "script", {"src": "data:text/javascript,top.ran=1"})
    # No policy keeps a browser from following such a hint.
    hint = rrweb.element(901, "link", {"rel": "preconnect", "href": "http://127.0.0.1:9"})
    page = open_page(
        serve(
            come(2000, view(100, 0, 0, 300, 300, nasty), script, hint),
            rrweb.custom(START + 2500, "segment:track", {"event": HOSTILE, "stage": HOSTILE, "missing": [HOSTILE]}),
            rrweb.custom(START + 2600, "gap", {"stage": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}),
            rrweb.log(START + 2700, "info", f"E/{HOSTILE}: {HOSTILE}"),
            rrweb.custom(START + 2800, "__proto__", {"constructor": HOSTILE}),
        ),
        # The player itself warns of the script that it does not run.
        strict=False,
    )
    seek(page, 3000)
    page.get_by_role("tab", name="Views").click()
    page.locator("#tree [role=treeitem]").first.click()
    page.keyboard.press("s")
    page.get_by_role("combobox", name="Search events").fill("onerror")
    assert page.locator("#found li").count() > 3
    assert page.evaluate("window.ran") is None
    own = "() => [...document.querySelectorAll('img')].filter(e => e.getAttribute('src') === 'x').length"
    assert page.evaluate(own) == 0
    frame = "() => document.querySelector('iframe').contentDocument.querySelectorAll('script, link').length"
    assert page.evaluate(frame) == 0


def test_what_makes_no_sense_is_counted_and_left_out(open_page: Callable[..., Page], serve: Callable[..., str]) -> None:
    page = open_page(
        serve(
            {"type": 3, "timestamp": START + 3000, "data": {"source": 0, "attributes": "all"}},
            {"type": 6, "timestamp": START + 3100, "data": {"plugin": "rrweb/console@1", "payload": {"payload": 7}}},
            {"type": 5, "timestamp": START + 3200, "data": None},
            {"type": 3, "timestamp": START + 3300, "data": {"source": 6, "positions": []}},
            {"type": 3, "timestamp": START + 3400, "data": {"source": 2, "type": 99, "id": rrweb.BODY_ID}},
        )
    )
    expect(page.locator("#notices")).to_contain_text("5 events of segment 0 make no sense and are left out")
    seek(page, 5000)
    assert patterned.read(page.locator(".rr-player__frame").screenshot()) == 6


def test_layers_are_shown_on_the_phone_and_in_the_strip(open_page: Callable[..., Page], folder: Path) -> None:
    layer = patterned.picture(200)
    style = "left:0px;top:0px;width:360px;height:640px"
    image = rrweb.element(
        90, "img", {"class": "l", "style": f"position:absolute;{style}", "src": f"picture:{layer.digest}"}
    )
    added = rrweb.mutation(START + 4500)
    added["data"]["adds"] = [{"parentId": 11, "nextId": None, "node": image}]
    taken = rrweb.mutation(START + 6500)
    taken["data"]["removes"] = [{"parentId": 11, "id": 90}]
    sealed = patterned.segment(0, START, range(1, 11), extra=[added, taken])
    manifest = replace(sealed.manifest, pictures=(*sealed.manifest.pictures, layer.digest))
    recording = Recording.create(folder)
    recording.write(replace(sealed, manifest=manifest, pictures={**sealed.pictures, layer.digest: layer}))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        shown = []
        for ms in (4400, 5000, 7000, 6000):
            seek(page, ms)
            shown.append(patterned.read(page.locator(".rr-player__frame").screenshot()))
        assert shown == [5, 200, 8, 200]
        expect(page.locator(".cell img").nth(3)).to_be_attached()
        assert page.locator(".cell:has(img:nth-child(2))").count() > 0


def test_a_recording_without_pictures_is_shown(open_page: Callable[..., Page], folder: Path) -> None:
    views = [
        rrweb.element(
            100, "div", {"class": "v", "aria-label": "Pay", "style": "left:0px;top:0px;width:90px;height:9px"}
        )
    ]
    full = rrweb.full_snapshot(START + 1, "", *UPRIGHT, views)
    body = full["data"]["node"]["childNodes"][1]["childNodes"][1]
    body["childNodes"] = [node for node in body["childNodes"] if node["tagName"] != "img"]
    sealed = patterned.segment(0, START, range(1, 2))
    lines = [line for line in sealed.events if b"picture:" not in line]
    recording = Recording.create(folder)
    recording.write(
        replace(
            sealed,
            manifest=replace(sealed.manifest, pictures=()),
            pictures={},
            events=(lines[0], rrweb.dumps(full), *lines[1:]),
        )
    )
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        seek(page, 5000)
        page.get_by_role("tab", name="Views").click()
        expect(page.locator("#tree [role=treeitem]")).to_have_count(1)


class Doors:
    """Holds back the answers to questions for segments until they are let through."""

    def __init__(self, open_at_first: Sequence[str]) -> None:
        self.asked: list[str] = []
        self.pictures: list[str] = []
        self._free = list(open_at_first)
        self._held: list[Route] = []
        self._open = False

    def install(self, page: Page) -> None:
        page.route("**/api/segments/*/events", self._segment)
        page.route("**/api/pictures/*", self._picture)

    def let_through(self) -> None:
        """Those that are held, and all that come from now on."""
        self._open = True
        for route in self._held:
            route.continue_()
        self._held.clear()

    def _segment(self, route: Route) -> None:
        name = route.request.url.split("/")[-2]
        self.asked.append(name)
        if self._open or name in self._free:
            route.continue_()
        else:
            self._held.append(route)

    def _picture(self, route: Route) -> None:
        self.pictures.append(route.request.url)
        route.continue_()


def test_a_session_is_shown_before_all_of_it_is_read(open_page: Callable[..., Page], folder: Path) -> None:
    recording = patterned.record(folder)
    ids = {m.seq: m.id for m in recording.manifests() if m.session_id == SESSION}
    doors = Doors([ids[1]])
    with Server(make_app(recording)) as server:
        page = open_page(f"{server.url}/#session={SESSION}&t=15000", ready=False, prepare=doors.install)
        page.wait_for_selector("body.ready")
        assert doors.asked[0] == ids[1]
        assert patterned.read(page.locator(".rr-player__frame").screenshot()) == 16
        expect(page.locator("#events li")).to_have_count(2)
        page.evaluate("replay.seek(4000)")
        expect(page.locator("#veil")).to_have_text("Loading this moment …")
        doors.let_through()
        page.wait_for_selector("body.whole")
        page.evaluate("replay.whenSettled()")
        assert patterned.read(page.locator(".rr-player__frame").screenshot()) == 5
        expect(page.locator("#events li")).to_have_count(4)
        expect(page.locator("#events [aria-current=true]")).to_contain_text("Step 0")
        for ms, number in ((15_000, 16), (25_000, 23), (9_500, 10)):
            seek(page, ms)
            assert patterned.read(page.locator(".rr-player__frame").screenshot()) == number


def test_playing_goes_on_after_two_seeks_to_what_is_not_there(open_page: Callable[..., Page], folder: Path) -> None:
    recording = patterned.record(folder)
    ids = {m.seq: m.id for m in recording.manifests() if m.session_id == SESSION}
    doors = Doors([ids[0]])
    with Server(make_app(recording)) as server:
        page = open_page(f"{server.url}/#session={SESSION}&t=1000", ready=False, prepare=doors.install)
        page.wait_for_selector("body.ready")
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        for ms in (12_000, 14_000):
            page.evaluate("ms => replay.seek(ms)", ms)
            expect(page.locator("#veil")).to_have_text("Loading this moment …")
            expect(page.get_by_role("button", name="Pause")).to_be_visible()
        chip = page.locator(".legend button").first
        chip.focus()
        doors.let_through()
        page.wait_for_selector("body.whole")
        expect(chip).to_be_focused()
        page.wait_for_function("() => replay.playing && replay.position > 14_000")


def test_playing_waits_for_a_segment_that_is_not_there(open_page: Callable[..., Page], folder: Path) -> None:
    recording = patterned.record(folder)
    ids = {m.seq: m.id for m in recording.manifests() if m.session_id == SESSION}
    doors = Doors([ids[0]])
    with Server(make_app(recording)) as server:
        page = open_page(f"{server.url}/#session={SESSION}&t={LENGTH_MS - 500}", ready=False, prepare=doors.install)
        page.wait_for_selector("body.ready")
        page.keyboard.press("Space")
        expect(page.locator("#veil")).to_have_text("Loading this moment …")
        doors.let_through()
        expect(page.locator("#events [aria-current=true]")).to_contain_text("Step 1", timeout=10_000)
        expect(page.get_by_role("button", name="Pause")).to_be_visible()


FIRST_LINE = """() => {
  const top = document.querySelector("#log").getBoundingClientRect().top;
  const rows = [...document.querySelectorAll("#log .line")];
  return rows.find(row => row.getBoundingClientRect().bottom > top + 1).querySelector(".text").textContent; }"""


def test_a_log_that_was_scrolled_stays_there_while_the_session_is_read(
    open_page: Callable[..., Page], folder: Path
) -> None:
    recording = patterned.record(folder)
    ids = {m.seq: m.id for m in recording.manifests() if m.session_id == SESSION}
    doors = Doors([ids[1]])
    with Server(make_app(recording)) as server:
        page = open_page(f"{server.url}/#session={SESSION}&t=15000", ready=False, prepare=doors.install)
        page.wait_for_selector("body.ready")
        page.locator("#log").hover()
        page.mouse.wheel(0, -5000)
        page.wait_for_function(f"() => ({FIRST_LINE})() === 'line 1.0'")
        doors.let_through()
        page.wait_for_selector("body.whole")
        expect(page.locator("#log-count")).to_have_text("300")
        assert page.evaluate(FIRST_LINE) == "line 1.0"
        expect(page.locator("#log [aria-current=true]")).to_contain_text("line 1.49")
        seek(page, 15_000)
        page.wait_for_function(f"() => ({FIRST_LINE})() !== 'line 1.0'")


def test_only_pictures_that_are_shown_are_asked_for(open_page: Callable[..., Page], address: str) -> None:
    doors = Doors([])
    page = open_page(
        f"{address}/#session={SESSION}&t=1000",
        ready=False,
        prepare=doors.install,
        viewport={"width": 360, "height": 700},
    )
    expect(page.locator("#status")).to_contain_text("Loading")
    assert doors.pictures == []
    doors.let_through()
    page.wait_for_selector("body.ready")
    assert any(url.endswith(patterned.picture(2).digest) for url in doors.pictures)
    assert not any(url.endswith(patterned.picture(30, patterned.FLAT).digest) for url in doors.pictures[:1])


def test_a_link_to_the_moment_is_copied(shop: Page) -> None:
    shop.get_by_role("button", name="Copy link").click()
    expect(shop.locator("#status")).to_have_text("Link to this moment copied.")
    assert clipboard(shop).endswith(f"/#session={SESSION}&device={patterned.DEVICE}&t=3000")


def test_tabs_are_walked_with_arrows(shop: Page) -> None:
    shop.get_by_role("tab", name="Log").focus()
    shop.keyboard.press("ArrowLeft")
    expect(shop.get_by_role("tab", name="Masks")).to_be_focused()
    expect(shop.get_by_role("tabpanel", name="Masks")).to_be_visible()
    shop.keyboard.press("ArrowRight")
    expect(shop.get_by_role("tab", name="Log")).to_be_focused()
    assert position(shop) == 3000


def test_single_keys_can_be_switched_off(shop: Page) -> None:
    shop.keyboard.press("?")
    shop.get_by_label("Single keys work").uncheck()
    shop.keyboard.press("Escape")
    shop.keyboard.press("l")
    shop.keyboard.press("?")
    expect(shop.get_by_role("dialog")).to_have_count(0)
    assert position(shop) == 3000
    shop.keyboard.press("ArrowRight")
    assert position(shop) == 8000
    shop.get_by_role("button", name="Keyboard help").click()
    shop.get_by_label("Single keys work").check()
    shop.keyboard.press("Escape")
    shop.keyboard.press("j")
    assert position(shop) == 0


def test_what_is_long_is_scrolled_with_the_keyboard(open_page: Callable[..., Page], serve: Callable[..., str]) -> None:
    many = {f"key {n}": n for n in range(200)}
    url = serve(
        rrweb.custom(START + 2000, "note", {"text": "Much", **many}),
        rrweb.log(START + 2000, "info", "I/Shop: " + "and so on " * 400),
    )
    page = open_page(url)
    page.locator("#events li", has_text="Much").locator("summary").click()
    for text, box in (("#line", "#line"), ("#events pre", "#events-box")):
        seek(page, 2000)
        page.locator(text).focus()
        page.locator(box).evaluate("box => { box.scrollTop = 0; }")
        place = f"() => document.querySelector('{box}').scrollTop"
        page.keyboard.press("ArrowDown")
        page.wait_for_function(f"() => ({place})() > 0")
        before = page.evaluate(place)
        page.keyboard.press("Space")
        page.wait_for_function(f"before => ({place})() > before", arg=before)
        page.keyboard.press("Home")
        page.wait_for_function(f"() => ({place})() === 0")
        assert position(page) == 2000
        assert not page.evaluate("replay.playing")
    page.locator("#events .row").first.focus()
    page.keyboard.press("End")
    assert position(page) == LENGTH_MS


def test_many_sessions_are_filtered(open_page: Callable[..., Page], folder: Path) -> None:
    recording = Recording.create(folder)
    for n in range(7):
        begin = SESSION + n * 3_600_000
        recording.write(patterned.segment(0, begin + 1000, range(1, 11), session_id=begin))
    with Server(make_app(recording)) as server:
        page = open_page(server.url)
        links = page.locator("nav li")
        expect(links).to_have_count(7)
        page.get_by_label("Filter sessions").fill(str(SESSION + 3_600_000))
        expect(links.filter(visible=True)).to_have_count(1)
        page.locator("nav li a:visible").click()
        expect(page.locator("#facts")).to_contain_text(str(SESSION + 3_600_000))
        expect(links.filter(visible=True)).to_have_count(1)

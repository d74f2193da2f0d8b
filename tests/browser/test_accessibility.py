"""The page held against axe's rules (npm: axe-core) in both colour schemes, narrow and wide, every pane open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fakes import node, patterned
from fakes.patterned import SESSION
from playwright.sync_api import Page

from agent.collector.server import Server
from agent.replay import rrweb
from agent.store.recording import Recording
from agent.viewer.app import make_app

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    node.install(["axe-core@4"], folder)
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer over a recording that holds every kind of thing that is told."""
    start = SESSION + 1000
    kinds = [*sorted(rrweb.CUSTOM_TAGS - {"mask", "gap", "doctor", "end"}), "other"]
    extra = [rrweb.custom(start + 500 + 100 * n, kind, {"name": kind}) for n, kind in enumerate(kinds)]
    said = {"saw": "seen", "meaning": "It means this.", "fix": "Do that.", "proof": "I/T: the line"}
    for n, severity in enumerate(("info", "warning", "error")):
        extra.append(rrweb.custom(start + 3000 + n, "doctor", {"rule": "plugin-order", "severity": severity, **said}))
    gap = {"stage": "screen", "reason": "ScreenBlocked", "detail": "", "from_ms": start + 3500, "to_ms": start + 4000}
    mask = {"count": 1, "rules": {"password": 1}, "blocked": "", "rects": [[0, 0, 200, 90, "password"]]}
    style = "left:10px;top:20px;width:200px;height:60px"
    view = {"class": "v", "style": style, "data-class": "android.widget.Button", "data-res": "a:id/pay"}
    extra += [
        rrweb.custom(start + 4000, "gap", gap),
        rrweb.custom(start + 4200, "mask", {**mask, "blocked": "secure"}),
        rrweb.custom(start + 4500, "mask", mask),
        rrweb.mutation(start + 4600, adds=[rrweb.element(100, "div", {**view, "aria-label": "Pay"})]),
        patterned.segment_event(start + 4700, "track", "Half", complete=False, missing=["context"]),
    ]
    recording = Recording.create(tmp_path_factory.mktemp("rich") / "shop")
    recording.write(patterned.segment(3, start, range(1, 11), extra=extra))
    recording.write(patterned.segment(0, start + 7_200_000, range(1, 11), session_id=patterned.OTHER_SESSION))
    with Server(make_app(recording)) as server:
        yield server.url


def faults(page: Page, part: str) -> list[str]:
    """What axe finds in a part and calls serious or worse. The recorded screen itself is not the page's to mend."""
    found = page.evaluate(
        "part => axe.run({include: [[part]], exclude: [['iframe']]}, {resultTypes: ['violations']})", part
    )
    return [
        f"{rule['id']}: {item['html']} {item.get('failureSummary', '')}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for item in rule["nodes"]
    ]


# What is opened, and the part of the page that it changes; the first is looked at whole.
PANES: dict[str, tuple[str, Callable[[Page], object]]] = {
    "events and log": ("html", lambda page: page.locator("#events summary").first.click()),
    "findings and views": (
        "aside",
        lambda page: (
            page.get_by_role("tab", name="Gaps and findings").click(),
            page.get_by_role("tab", name="Views").click(),
            page.locator("#tree [role=treeitem]").click(),
        ),
    ),
    "details of a finding": ("#pane-notices", lambda page: page.locator("#notices summary").first.click()),
    "masks": ("aside", lambda page: page.get_by_role("tab", name="Masks").click()),
    "search": (
        "#search",
        lambda page: (page.locator("#search-open").click(), page.locator("#search input").fill("e")),
    ),
    "help": ("#help", lambda page: page.locator("#help-open").click()),
}


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    open_page: Callable[..., Page], rich: str, axe: str, scheme: str, width: int
) -> None:
    page = open_page(
        f"{rich}/#session={SESSION}&t=6000",
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        bypass_csp=True,
    )
    page.evaluate(axe)
    found = {}
    for name, (part, shown) in PANES.items():
        shown(page)
        if wrong := faults(page, part):
            found[name] = wrong
        page.keyboard.press("Escape")
    assert found == {}

"""Half an hour in the viewer, from a file and from a server, in headless Chromium.

Beside it rrweb's own player in a bare page that holds the same session whole, pictures in line: the shortest way to
show one.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

from agent.collector.server import Server
from agent.store.recording import Recording
from agent.viewer import assets
from agent.viewer.app import make_app
from agent.viewer.page import single_file
from benchmarks.clips import clip
from benchmarks.longplay import record
from benchmarks.measure import CheckFailed, Result, percentile, result
from benchmarks.rehearsal import rehearse

OPEN_S, SEEK_MS = 2.0, 150.0
ROUNDS, SEEKS = 4, 25
WINDOW = {"width": 1440, "height": 900}
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
# A moment counts as shown when its pictures are decoded and two frames have passed, in which they are painted.
SEEK = """async ([times, seek]) => {
  const go = eval(seek);
  const spent = [];
  for (const ms of times) {
    const began = performance.now();
    go(ms);
    const images = document.querySelector("iframe").contentDocument.images;
    await Promise.all([...images].map((image) => image.decode().catch(() => undefined)));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    spent.push(performance.now() - began);
  }
  return spent;
}"""


def run() -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="bench-viewer-") as name, chromium() as browser:
        folder = Path(name)
        recording = record(folder / "long", rehearse(clip("session"), "h264-540", 2, 5).segments)
        counts = [manifest.counts for manifest in recording.manifests()]
        (folder / "long.html").write_bytes(b"".join(single_file(recording)))
        (folder / "bare.html").write_bytes(b"".join(bare(recording)))
        about = (
            f"{sum(count.frames for count in counts)} pictures in {len(counts)} segments, "
            f"{(folder / 'long.html').stat().st_size / 1e6:.0f} MB; lower quartile of {ROUNDS} openings, for seeks the "
            f"median of {SEEKS} moments, each the fastest of {ROUNDS}"
        )
        with Server(make_app(recording)) as server:
            ours = {
                "file": watch(browser, (folder / "long.html").as_uri(), "body.ready", "body.whole", "replay.seek"),
                "server": watch(browser, server.url, "body.ready", "body.whole", "replay.seek"),
            }
        own = "(ms) => player.getReplayer().pause(ms)"
        peer = watch(browser, (folder / "bare.html").as_uri(), "body.ready", "body.ready", own)
    rows = []
    for way, (opened, sought) in ours.items():
        rows.append(result(f"viewer/open {way}", opened, peer[0], "rrweb-player, all at once", "s", 0, OPEN_S, about))
        rows.append(result(f"viewer/seek {way}", sought, peer[1], "rrweb-player, all at once", "ms", 0, SEEK_MS))
    return rows


@contextmanager
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise CheckFailed("The scenario viewer needs Chromium, and there is none here.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def watch(browser: Browser, address: str, ready: str, whole: str, seek: str) -> tuple[float, float]:
    """Seconds until a page shows its first picture; milliseconds until it shows that of a moment."""
    opened: list[float] = []
    fastest: list[float] = []
    for _ in range(ROUNDS):
        context = browser.new_context(viewport=WINDOW)
        page: Page = context.new_page()
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_selector(ready, state="attached")
        opened.append(time.perf_counter() - began)
        page.wait_for_selector(whole, state="attached")
        chance = random.Random(7)  # noqa: S311 - the same moments for all
        times = [chance.uniform(0, 29 * 60_000) for _ in range(SEEKS)]
        spent = page.evaluate(SEEK, [times, seek])
        fastest = [min(pair) for pair in zip(fastest, spent, strict=True)] if fastest else spent
        context.close()
    return percentile(opened, 0.25), median(fastest)


def bare(recording: Recording) -> Iterator[bytes]:
    """A page with the whole session in line."""
    yield f"<!doctype html><meta charset=utf-8><style>{assets.read('vendor/rrweb-player.css')}</style>".encode()
    yield b"<body><script>" + assets.read("vendor/rrweb-player.js").encode() + b"</script><script>const events = ["
    for manifest in recording.manifests():
        yield b",".join(event.replace(b"<", b"\\u003c") for event in recording.inlined(manifest.id)) + b","
    yield b"""];
const props = { events, width: 400, height: 800, autoPlay: false, skipInactive: false };
const player = new rrwebPlayer.Player({ target: document.body, props });
const image = () => player.getReplayer().iframe.contentDocument.images[0];
const ready = () => document.body.classList.add("ready");
const look = () => (image()?.src ? image().decode().then(ready, look) : setTimeout(look));
look();
</script>"""

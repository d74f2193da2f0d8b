"""An event list in an unmodified rrweb replayer, in a real Chromium, as a test steers it.

`packages(folder)` gets the replayers from npm. `with Replayer(browser, package, events) as replayer:` opens a list; at
the end `faults` holds every error and every warning of the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from fakes import node
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

PACKAGES = {"rrweb": "2.2.2", "@amplitude/rrweb": "2.1.6"}
WINDOW = 920
# The time code's cells are told apart at two device pixels a CSS pixel.
PIXELS = 2


def packages(folder: Path) -> dict[str, Path]:
    """Each package's folder. Skips the test when npm cannot get them."""
    node.install([f"{name}@{version}" for name, version in PACKAGES.items()], folder)
    return {name: folder / "node_modules" / name for name in PACKAGES}


class Replayer:
    """The replayer, paused at the start. Times are ms from the first event, places dp of the window.

    `pixels` is how many device pixels a dp has.
    """

    def __init__(self, browser: Browser, package: Path, events: Sequence[Any], pixels: int = PIXELS) -> None:
        self.faults: list[str] = []
        self._context = browser.new_context(
            viewport={"width": WINDOW, "height": WINDOW}, device_scale_factor=pixels, reduced_motion="reduce"
        )
        self.page = page = self._context.new_page()
        page.on("console", lambda line: self.faults.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.set_content('<!doctype html><body style="margin:0;background:#f0f"><div id="root"></div></body>')
        page.add_style_tag(content=(package / "dist" / "style.css").read_text())
        # A plain replayer's frame has the browser's border, which would move the picture off its touches.
        page.add_style_tag(content="iframe{border:0;display:block}")
        page.add_script_tag(content=(package / "dist" / "rrweb.umd.cjs").read_text())
        page.evaluate(_OPEN, list(events))
        self.seek(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()

    def seek(self, t_ms: float) -> None:
        """Returns when the pictures of that time are decoded and on the glass."""
        self.page.evaluate(_SEEK, t_ms)

    def picture(self) -> NDArray[np.uint8]:
        """The window's pixels, RGB, without the finger."""
        png = self.page.locator("iframe").screenshot(style=".replayer-mouse { visibility: hidden }")
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def finger(self) -> tuple[float, float] | None:
        """The middle of the touch ring, None while no finger is down."""
        at = self.page.evaluate(_FINGER)
        return None if at is None else (at[0], at[1])

    def views(self) -> dict[int, tuple[float, float, float, float]]:
        """Where each view's box is drawn: left, top, width, height by node id."""
        return {int(name): tuple(box) for name, box in self.page.evaluate(_VIEWS).items()}

    def played(self, from_ms: float, to_ms: float, speed: float = 4.0) -> list[NDArray[np.uint8]]:
        """Play a stretch; the window in every frame that the browser composited within it, but for the first two: as it
        starts the player builds its document anew, which on a busy machine may be seen, whatever the list."""
        shots: list[tuple[float, bytes]] = []
        session = self._context.new_cdp_session(self.page)

        def took(shot: dict[str, Any]) -> None:
            shots.append((float(shot["metadata"]["timestamp"]), base64.b64decode(shot["data"])))
            session.send("Page.screencastFrameAck", {"sessionId": shot["sessionId"]})

        self.seek(from_ms)
        began = self.page.evaluate(_PLAY, [from_ms, speed])
        session.on("Page.screencastFrame", took)
        session.send("Page.startScreencast", {"format": "jpeg", "quality": 80, "everyNthFrame": 1})
        # The player is stopped a little late, on a busy machine rather late; its clock begins within `play`, so that a
        # time taken after it would let in what comes next.
        ends = began / 1000 + (to_ms - from_ms) / speed / 1000
        self.page.wait_for_function("to => replayer.getCurrentTime() >= to", arg=to_ms, polling=20)
        self.page.evaluate("() => replayer.pause()")
        session.send("Page.stopScreencast")
        session.detach()
        width, height = self.page.evaluate(_SIZE)
        found = []
        for at, data in shots:
            if at > ends:
                continue
            image = Image.open(io.BytesIO(data)).convert("RGB")
            scale = image.width / WINDOW
            found.append(np.asarray(image.crop((0, 0, int(width * scale), int(height * scale)))))
        return found


_OPEN = """events => {
  const root = document.getElementById("root");
  window.replayer = new rrweb.Replayer(events, { root, skipInactive: false, mouseTail: false, showWarning: true });
}"""
_SEEK = """async ms => {
  replayer.pause(ms);
  const document_ = replayer.iframe.contentDocument;
  await Promise.all([...document_.images].filter(image => image.src).map(image => image.decode()));
  await Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => {})));
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
_FINGER = """() => {
  const ring = document.querySelector(".replayer-mouse.touch-active");
  if (!ring) return null;
  const box = ring.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}"""
_VIEWS = """() => Object.fromEntries([...replayer.iframe.contentDocument.querySelectorAll(".v")].map(view => {
  const box = view.getBoundingClientRect();
  return [replayer.getMirror().getId(view), [box.left, box.top, box.width, box.height]];
}))"""
_PLAY = """async ([from, speed]) => {
  replayer.setConfig({ speed });
  const began = Date.now();
  replayer.play(from);
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return began;
}"""
_SIZE = "() => [replayer.iframe.clientWidth, replayer.iframe.clientHeight]"

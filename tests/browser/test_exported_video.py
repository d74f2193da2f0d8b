"""An exported video in a browser: it plays, knows its length, and shows at any time what was shown then."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from fakes import patterned
from fakes.patterned import OTHER_SESSION
from playwright.sync_api import Browser

from agent.export import video
from agent.export.part import parts
from agent.export.stream import Stream

pytestmark = pytest.mark.browser

pytest.importorskip("av", reason="no PyAV: the extra `video` is not installed")
SEEK = """async seconds => {
  const film = document.querySelector("video");
  const seeked = new Promise(done => film.addEventListener("seeked", done, { once: true }));
  const drawn = new Promise(done => {
    const look = (_, frame) => frame.mediaTime > seconds - 1 && frame.mediaTime <= seconds + 0.01
      ? done() : film.requestVideoFrameCallback(look);
    film.requestVideoFrameCallback(look);
  });
  film.currentTime = seconds;
  await seeked;
  await drawn;
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def test_it_plays_and_every_seek_is_right(browser: Browser, tmp_path: Path) -> None:
    recording = patterned.record(tmp_path / "shop")
    (part,) = parts(recording, OTHER_SESSION)
    video.write(Stream(recording, part), part, tmp_path / "film.mp4", lambda share: None)
    source = base64.b64encode((tmp_path / "film.mp4").read_bytes()).decode()
    page = browser.new_page()
    try:
        if not page.evaluate(
            """() => document.createElement("video").canPlayType('video/mp4; codecs="avc1.64001e"')"""
        ):
            pytest.skip("this Chromium has no H.264")
        page.set_content(f'<body style="margin:0"><video muted src="data:video/mp4;base64,{source}"></video>')
        page.wait_for_function("() => document.querySelector('video').readyState >= 2")
        assert page.evaluate("document.querySelector('video').duration") == pytest.approx(10, abs=0.2)
        for second in (7, 2, 9, 0, 4, 5):
            page.evaluate(SEEK, second + 0.5)
            assert patterned.read(page.locator("video").screenshot()) == 201 + second
        page.evaluate("document.querySelector('video').currentTime = 9")
        page.evaluate("document.querySelector('video').play()")
        page.wait_for_function("() => document.querySelector('video').ended")
        assert page.evaluate("document.querySelector('video').error") is None
    finally:
        page.close()

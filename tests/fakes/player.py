"""A recording played in the viewer's page by a real Chromium, and held against what the emulated world really showed.

`with playing(folder, session_id) as player:` opens the page; `compare(player, Truth.load(file, serial), spread(player,
10))` looks at ten times, and each `Look` must be `right`.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from agent.collector.server import Server
from agent.replay.canvas import COVER
from agent.store.recording import Recording
from agent.viewer.app import make_app
from bridge.emulated.world import shop, timecode
from bridge.emulated.world.analytics import Sent
from bridge.emulated.world.world import TruthFrame
from bridge.types import Bounds

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WINDOW = {"width": 1280, "height": 900}
# The strip is 66 cells wide: two device pixels a CSS pixel tell them apart in any window.
PIXELS = 2
# A strip counts as masked when nearly all of it is the colour of a cover, give or take what encoding does to it.
NOISE, COVERED = 12, 0.9


def chromium() -> str | None:
    """The system's Chromium, None when there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """A running Chromium. While it is open an event loop runs in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def playing(folder: Path, session_id: int | None = None) -> Iterator[Player]:
    """The viewer's page over a recording, ready at the start of a session, the newest unless told."""
    with Server(make_app(Recording.open(folder))) as server, started() as browser:
        page = browser.new_page(viewport=WINDOW, device_scale_factor=PIXELS)
        page.goto(f"{server.url}/" + ("" if session_id is None else f"#session={session_id}"))
        page.wait_for_selector("body.whole")
        yield Player(page)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a phone showed and sent. Times are epoch milliseconds of the phone's wall clock; frames oldest first."""

    frames: tuple[TruthFrame, ...]
    sent: tuple[Sent, ...]

    @classmethod
    def load(cls, file: Path, serial: str) -> Truth:
        """Of one phone, from what `emulate --truth FILE` or `demo --truth FILE` wrote."""
        rows = [row for line in file.read_bytes().splitlines() if (row := orjson.loads(line))["serial"] == serial]
        frames = [
            TruthFrame(row["wall_ns"], row["mono_ns"], row["code"], row["screen"], row["secure"], ())
            for row in rows
            if row["kind"] == "frame"
        ]
        names = Sent.__slots__
        sent = [Sent(**{name: row[name] for name in names}) for row in rows if row["kind"] == "event"]
        return cls(tuple(frames), tuple(sent))

    def drawn(self, from_ms: float, to_ms: float) -> list[TruthFrame]:
        """The states of the screen from one time to another, the one in force at the beginning included."""
        begins = [frame.code for frame in self.frames]
        first = max(0, bisect_right(begins, from_ms) - 1)
        return list(self.frames[first : bisect_right(begins, to_ms)])


@dataclass(frozen=True, slots=True)
class Look:
    """What the page showed at `t_ms` of the replay (`wall_ms` by the host's clock), and whether the world drew it.

    `code` is None where it cannot be read, `covered` says that this is because it is masked. `then`: it is one of the
    states of the screen around the time at which the picture was taken. `fresh`: it still was on the screen at
    `wall_ms` or shortly before.
    """

    t_ms: float
    wall_ms: float
    code: int | None
    covered: bool
    then: bool
    fresh: bool

    @property
    def right(self) -> bool:
        """Whether the page shows what it should; a picture that hides the code cannot be wrong."""
        return self.covered or (self.then and self.fresh)


def compare(
    player: Player, truth: Truth, times: Iterable[float], *, bound_ms: float = 250, late_ms: float = 1500
) -> list[Look]:
    """Look at each time. A picture's stamp may be off by `bound_ms`, a change may be seen `late_ms` after it came."""
    looks = []
    for t in times:
        player.seek(t)
        strip, wall, taken = player.strip(), player.wall_ms(t), player.wall_ms(player.taken(t))
        code, covered = read(strip), bool((np.abs(strip.astype(int) - COVER) < NOISE).mean() > COVERED)
        then = {frame.code for frame in truth.drawn(taken - bound_ms, taken + bound_ms)}
        fresh = {frame.code for frame in truth.drawn(wall - late_ms, wall + bound_ms)}
        looks.append(Look(t, wall, code, covered, code in then, code in fresh))
    return looks


def spread(player: Player, count: int) -> list[float]:
    """`count` times all over the replay at which no picture is blocked, in an order that goes back and forth.

    Raises ValueError when the replay is covered nearly everywhere.
    """
    fine = [player.duration * n / 200 for n in range(4, 200)]
    free = [t for t in fine if not player.blocked(t)]
    if len(free) < count:
        raise ValueError(f"only {len(free)} of {len(fine)} times show a picture")
    chosen = [free[len(free) * n // count] for n in range(count)]
    return chosen[::2] + chosen[1::2][::-1]


def read(strip: NDArray[np.uint8]) -> int | None:
    """The time code in the pixels of its strip, None when it cannot be read."""
    return timecode.read(strip, Bounds(0, 0, strip.shape[1], strip.shape[0]))


class Player:
    """The page as a test steers it. Times are milliseconds from the replay's start, places are dp of the screen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.duration = float(page.evaluate("replay.duration"))
        self._pictures: Sequence[tuple[float, bool]] = page.evaluate(_PICTURES)

    def seek(self, t_ms: float) -> None:
        """Returns when the picture of that time is on the glass."""
        self.page.evaluate("ms => { replay.seek(ms); return replay.whenSettled() }", t_ms)

    def wall_ms(self, t_ms: float) -> float:
        """The host's wall clock then (epoch milliseconds)."""
        return float(self.page.evaluate("ms => replay.wall(ms)", t_ms))

    def at_wall(self, wall_ms: float) -> float:
        """The time of the replay at a host's wall time, where no pause is shortened before it."""
        return wall_ms - self.wall_ms(0)

    def taken(self, t_ms: float) -> float:
        """The time of the replay at which the picture came that is shown at another."""
        times = [at for at, _ in self._pictures]
        return times[max(0, bisect_right(times, t_ms) - 1)]

    def blocked(self, t_ms: float) -> bool:
        """Whether the whole picture is covered then, by the recording's own word."""
        times = [at for at, _ in self._pictures]
        return self._pictures[max(0, bisect_right(times, t_ms) - 1)][1]

    def strip(self) -> NDArray[np.uint8]:
        """The pixels of the time code strip in a screenshot of the phone."""
        png = self.page.locator(".rr-player__frame").screenshot(style=".replayer-mouse { visibility: hidden }")
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        dp = pixels.shape[1] / self._width()
        top, bottom = shop.STATUS + shop.HEADER, shop.STATUS + shop.HEADER + shop.STRIP
        return pixels[round(top * dp) : round(bottom * dp)]

    def finger(self) -> tuple[float, float] | None:
        """Where the ring of a finger is drawn, None when none is down."""
        ring = self.page.locator(".replayer-mouse.touch-active")
        if not ring.count():
            return None
        frame, mark = self.page.locator(".rr-player__frame").bounding_box(), ring.bounding_box()
        assert frame is not None
        assert mark is not None
        dp = frame["width"] / self._width()
        return (
            (mark["x"] + mark["width"] / 2 - frame["x"]) / dp,
            (mark["y"] + mark["height"] / 2 - frame["y"]) / dp,
        )

    def event(self) -> str | None:
        """The name in the event list's current row, None before the first."""
        name = self.page.locator("#events [aria-current=true] .name")
        return name.text_content() if name.count() else None

    def log_line(self) -> str:
        """The current log line, "" before the first."""
        return self.page.locator("#line").text_content() or ""

    def _width(self) -> float:
        return float(self.page.evaluate("replay.player.getReplayer().iframe.width"))


# When each picture comes and whether it is all cover. A mask event says so from then on, in its own millisecond too.
_PICTURES = """() => {
  const found = [];
  const start = replay.events[0].timestamp;
  let blocked = false;
  for (const { type, timestamp, data } of replay.events) {
    const mutation = type === 3 && data.source === 0;
    const layered = ({ parentId }) => parentId === 11;
    const swapped = mutation && (data.attributes.some(({ id, attributes }) => id === 10 && attributes.src)
      || data.adds.some(layered) || data.removes.some(layered));
    if (type === 2 || swapped) found.push([timestamp - start, blocked]);
    if (type === 5 && data.tag === "mask") {
      blocked = Boolean(data.payload.blocked);
      if (found.length && timestamp - start - found.at(-1)[0] <= 2) found.at(-1)[1] = blocked;
    }
  }
  return found;
}"""

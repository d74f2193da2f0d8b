"""What a person sees while a recording runs: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from agent.commands.console import lively, say, structured
from agent.runtime.status import DeviceStatus

LIVE_SECONDS = 0.5
PLAIN_SECONDS = 10.0
# Over so many looks the rate is told.
RATE_LOOKS = 10


class Uploads(Protocol):
    """Where the figures of the uploads come from."""

    def stats(self) -> Mapping[str, object]: ...


class Progress:
    """Shows the statuses until closed. Its thread only reads."""

    def __init__(self, statuses: Mapping[str, DeviceStatus], uploads: Uploads) -> None:
        self._statuses = statuses
        self._uploads = uploads
        self._live = lively() and not structured()
        self._ended = threading.Event()
        self._news = threading.Event()
        self._note = ""
        self._looks: dict[str, deque[tuple[float, int]]] = {}
        self._thread = threading.Thread(target=self._run, name="progress")

    def note(self, text: str) -> None:
        """Say what goes on beside the devices; a terminal shows it at once."""
        self._note = text
        self._news.set()

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        if self._live:
            from rich.console import Console
            from rich.live import Live
            from rich.text import Text

            # What somebody types is no markup.
            with Live(Text(self._text()), console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
                while not self._ended.is_set():
                    self._news.wait(LIVE_SECONDS)
                    self._news.clear()
                    live.update(Text(self._text()), refresh=True)
            return
        shown = ""
        while not self._ended.wait(PLAIN_SECONDS if shown else LIVE_SECONDS):
            text = self._text()
            if text and text != shown:
                shown = text
                for line in text.splitlines():
                    say(line)

    def _text(self) -> str:
        lines = [_line(status, self._rate(status)) for status in list(self._statuses.values())]
        if lines:
            uploads = ", ".join(f"{name} {value}" for name, value in self._uploads.stats().items())
            lines.append(f"uploads: {uploads}" + (f" | {self._note}" if self._note else ""))
        return "\n".join(lines)

    def _rate(self, status: DeviceStatus) -> float:
        """Pictures a second, of late."""
        now = time.monotonic()
        looks = self._looks.setdefault(status.serial, deque([(now, status.frames)], maxlen=RATE_LOOKS))
        looks.append((now, status.frames))
        (began, before), (ended, after) = looks[0], looks[-1]
        return (after - before) / (ended - began) if ended > began else 0.0


def _line(status: DeviceStatus, rate: float) -> str:
    session = f"session {status.session_id} device {status.device_id}" if status.session_id else "no session yet"
    said = status.problem or (f"capturing nothing: {status.paused}" if status.paused else "")
    problem = f" ({said})" if said else ""
    return (
        f"{status.serial} {status.state}{problem} | {session} | {status.frames} frames ({rate:.1f}/s) "
        f"{status.events} events {status.touches} touches {status.gaps} gaps {status.segments} segments"
    )

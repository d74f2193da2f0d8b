"""The screen as H.264 by Android's own `screenrecord`: nothing to install, small on the wire, sent when it changes.

What is known of it (AOSP cmds/screenrecord; seen, not promised: `--output-format=h264` is not in its help): raw bytes
of annex B without times; one run lasts 180 s at most; the picture keeps the size it began with, so a screen that turns
is shrunk into a band between black bars. An encoder that refuses the size that `--size` names ends it with words (only
without one it falls back to 1280x720): some take sides in steps of 8 or 16 alone, and get those then.

So a picture's time is that of its arrival, less what the encoder and the way take: `LATENCY_NS` at most, a few frames
on phones. `stamp` ± `bound_ns` covers all of that. An encoder that keeps a picture back until the next one comes would
break the bound; none is known. The first picture of each run may have been on the screen for long.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from bridge.adb import AdbShell
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.decoder import Decoder, Picture
from bridge.errors import (
    BridgeError,
    BridgeTimeout,
    CaptureFailed,
    DeviceGone,
    FrameMalformed,
    ServiceRefused,
    StreamRestarting,
)
from bridge.h264 import AccessUnit, Splitter
from bridge.picture import Display
from bridge.ports import Notebook
from bridge.smartsocket import Stream
from bridge.types import Frame, Size, Trace
from bridge.video import Held, Pulse, Shown, VideoSettings, content, failed, looks_turned, screen_size, turned

LATENCY_NS = 150_000_000
OPEN_SECONDS = 5.0
LOOK_SECONDS = 2.0
LOOK_AGAIN_NS = 1_000_000_000
# A wait for the next bytes, and how long a picture waits for the rest of itself before it is taken for whole.
WAIT_SECONDS = 0.03
WHOLE_SECONDS = 0.02
# A wait that took longer found nothing there at its beginning.
BLOCKED_NS = 2_000_000
# During a hand-over two streams take turns.
TURN_SECONDS = 0.01
# How long before its limit the next run is begun, and how long it may take to its first picture.
AHEAD_SECONDS = 10.0
FIRST_SECONDS = 5.0
# Runs that end this soon, one after the other, are no way to see the screen.
SHORT_NS = 2_000_000_000
SHORT_RUNS = 3
# By the last digits of the bit rate a run's processes are told from those of another on the same phone: what a run has
# left is ended by its command line.
OURS = secrets.randbelow(1000)
# What the sides of a video are multiples of: no encoder takes odd ones, a macroblock is 16 wide.
EVEN, MACROBLOCK = 2, 16
REFUSED = "unable to configure"


@dataclass(slots=True)
class _Run:
    """One `screenrecord` and what is known of its stream."""

    stream: Stream
    screen: Size
    began_ns: int
    decoder: Decoder
    splitter: Splitter = field(default_factory=Splitter)
    idle_ns: int = 0
    """The last instant at which all that had come was read."""
    since_ns: int = 0
    """The earliest instant at which the bytes may have come that the splitter holds."""
    pictures: int = 0


class Screenrecord:
    """Pictures by `screenrecord`. `run` belongs to one thread, `capture` to another, `close` to any.

    Before a run reaches its limit the next one is begun, and takes over with its first picture. A device that gives
    only one at a time has a hole there, which captures name (StreamRestarting).
    """

    name = "screenrecord"

    def __init__(
        self, shell: AdbShell, clock: HostClock, display: Display, settings: VideoSettings, notebook: Notebook
    ) -> None:
        self._shell = shell
        self._notebook = notebook
        self._clock = clock
        self._display = display
        self._settings = settings
        self._held = Held(shell.serial, self.name, clock, display)
        self._pulse = Pulse(shell)
        self._runs: list[_Run] = []
        self._short_runs = 0
        self._single = False
        self._step = EVEN
        self._bars_ns = 0

    def run(self) -> None:
        """Take in pictures until closed, or until it fails for good, which captures then tell. Raises DeviceGone."""
        try:
            self._look()
            self._record()
        except (DeviceGone, BridgeTimeout) as error:
            if not self._held.closed:
                self._held.put(failed(self._shell.serial, self.name, error))
                if isinstance(error, DeviceGone):
                    raise
        except BridgeError as error:
            self._held.put(failed(self._shell.serial, self.name, error))
        finally:
            self._end(*self._runs)

    def capture(self, deadline: Deadline) -> Frame:
        """The newest picture. It has no time of its own: that none is under way for long, a byte there and back tells.

        Raises StreamRestarting, FrameMalformed, CaptureFailed, DeviceGone.
        """
        if self._held.began and self._pulse.late():
            raise StreamRestarting(self._shell.serial, self.name, "the pictures come late: the phone, or the way to it")
        return self._held.capture(deadline)

    def close(self) -> None:
        """End the recording on the device and wake `run` and `capture`."""
        self._held.close()
        self._pulse.close()
        for run in list(self._runs):
            run.stream.close()

    def _record(self) -> None:
        while not self._held.closed:
            if not self._held.wanted:
                self._end(*self._runs)
                self._held.rest()
                continue
            if not self._runs:
                self._begin()
            current = self._runs[0]
            if turned(current.screen, self._display):
                self._restart("the screen has changed its shape")
                continue
            self._hand_over(current)
            for run in list(self._runs):
                if not any(run is each for each in self._runs):
                    # Damage in the one before it ended it, too.
                    continue
                try:
                    self._take(run, WAIT_SECONDS if len(self._runs) == 1 else TURN_SECONDS)
                except _Ended:
                    self._ended(run)
                except FrameMalformed as error:
                    self._damaged(run, error)

    def _begin(self) -> None:
        screen = screen_size(self._display)
        video = video_size(screen, self._settings.width, self._display, self._step)
        rate, limit = self._settings.bit_rate // 1000 * 1000 + OURS, max(1, round(self._settings.limit_seconds))
        command = (
            f"screenrecord --output-format=h264 --size {video.width}x{video.height} "
            f"--bit-rate {rate} --time-limit {limit} -"
        )
        # It ends with its stream. When the adb server dies with us, a phone on USB hears of it from the next one only.
        self._notebook.made(self._shell.serial, Trace("process", command))
        stream = self._shell.stream(f"exec:{command}", Deadline(OPEN_SECONDS))
        now_ns = time.monotonic_ns()
        run = _Run(stream, screen, now_ns, Decoder(self._shell.serial), idle_ns=now_ns)
        self._runs.append(run)
        if self._held.closed:
            stream.close()

    def _hand_over(self, current: _Run) -> None:
        """Begin the next run in time; let it take over when it has a picture."""
        age_ns = time.monotonic_ns() - current.began_ns
        if len(self._runs) > 1:
            following = self._runs[1]
            if following.pictures:
                self._end(current)
            elif time.monotonic_ns() - following.began_ns > FIRST_SECONDS * 1e9:
                self._end(following)
                self._single = True
            return
        limit = self._settings.limit_seconds
        if not current.pictures:
            if age_ns > FIRST_SECONDS * 1e9:
                raise CaptureFailed(self._shell.serial, self.name, "no picture came: " + (_words(current) or "silence"))
        elif not self._single and age_ns > (limit - min(AHEAD_SECONDS, limit / 3)) * 1e9:
            try:
                self._begin()
            except (ServiceRefused, BridgeTimeout):
                self._single = True

    def _ended(self, run: _Run) -> None:
        """A run's process is gone: by its limit, killed, or refused."""
        first, words = run is self._runs[0], _words(run)
        self._end(run)
        if not first:
            # The device gives one at a time; the current one goes on to its end.
            self._single = True
            return
        if self._runs:
            return
        detail = words or "the recording ended"
        if not run.pictures and REFUSED in words and self._step == EVEN:
            self._step = MACROBLOCK
        elif not run.pictures and words:
            raise CaptureFailed(self._shell.serial, self.name, detail)
        self._held.put(StreamRestarting(self._shell.serial, self.name, detail))
        self._count(run, detail)
        self._look()

    def _damaged(self, run: _Run, error: FrameMalformed) -> None:
        """The stream has a hole: nothing of it until a key picture. A fresh run brings one at once."""
        if run is not self._runs[0]:
            self._end(run)
            return
        self._held.put(error)
        self._end(*self._runs)
        self._count(run, error.detail)

    def _count(self, run: _Run, detail: str) -> None:
        """Give up after a few runs that came to nothing, one after the other."""
        short = not run.pictures or time.monotonic_ns() - run.began_ns < SHORT_NS
        self._short_runs = self._short_runs + 1 if short else 0
        if self._short_runs >= SHORT_RUNS:
            raise CaptureFailed(self._shell.serial, self.name, detail)

    def _restart(self, why: str) -> None:
        self._held.put(StreamRestarting(self._shell.serial, self.name, why))
        self._end(*self._runs)
        # What told us may be older than what the device knows now.
        self._look()

    def _look(self) -> None:
        self._shell.look(self._display, Deadline(LOOK_SECONDS))

    def _end(self, *runs: _Run) -> None:
        for run in runs:
            run.stream.close()
            self._runs.remove(run)

    def _take(self, run: _Run, seconds: float) -> None:
        """Wait for what the run sends, and show its newest picture. Raises _Ended, FrameMalformed, DeviceGone."""
        held = run.splitter.waiting
        began_ns = time.monotonic_ns()
        came = run.stream.readable(Deadline(min(seconds, WHOLE_SECONDS) if held else seconds))
        now_ns = time.monotonic_ns()
        if now_ns - began_ns > BLOCKED_NS:
            # It was waited for, so it has come since; when, a busy host does not let us know.
            run.idle_ns = began_ns
        data = run.stream.read_some(Deadline(OPEN_SECONDS)) if came else b""
        earliest_ns = run.since_ns if held else run.idle_ns
        units = run.splitter.feed(data) if data else run.splitter.flush()
        if units or not held:
            run.since_ns = run.idle_ns
        self._show_units(run, units, earliest_ns, now_ns)
        if run is self._runs[0]:
            self._held.looked(run.since_ns if run.splitter.waiting else run.idle_ns)
        if came and not data:
            raise _Ended

    def _show_units(self, run: _Run, units: list[AccessUnit], earliest_ns: int, latest_ns: int) -> None:
        newest: Picture | None = None
        for unit in units:
            newest = run.decoder.decode(unit.data, unit.key, unit.broken) or newest
        if newest is None:
            return
        part = content(newest.size, run.screen)
        if looks_turned(newest.luma()) and latest_ns - self._bars_ns > LOOK_AGAIN_NS:
            self._look()
            # Still upright: a film between black bars looks the same, and goes on for long.
            self._bars_ns = time.monotonic_ns()
        if turned(run.screen, self._display):
            return
        run.pictures += 1
        if run is self._runs[0] or run.pictures == 1:
            shown = Shown(newest, earliest_ns - LATENCY_NS, latest_ns, run.screen, part)
            self._held.put(shown)


class _Ended(Exception):
    """The process behind a stream is gone."""


def video_size(screen: Size, width: int, display: Display, step: int = EVEN) -> Size:
    """The size of video to ask for: the upright screen's width becomes `width`, never more than it is; sides are
    multiples of `step`."""
    natural = display.natural
    shorter = min(natural.width, natural.height)
    scale = min(1.0, width / shorter)
    sides = (max(step, min(round(side * scale / step), side // step) * step) for side in (screen.width, screen.height))
    return Size(*sides)


def _words(run: _Run) -> str:
    """What the tool said instead of sending pictures."""
    text = " ".join(run.splitter.words.decode("utf-8", "replace").split())
    return text[:200] if text.isprintable() else ""

"""A recorder as a process to be killed: a scripted device, the real stage, spool and uploader. Run as a program.

    python recording.py SPOOL URL TRUTH SESSION

TRUTH is told, in one write a line, what is safe from then on: `a DRAFT MESSAGE...`, the ids of the events in all
appends to an open segment; `s ID DIGEST DRAFT MESSAGE...`, a sealed segment and the xxh3_64 of its events.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from pathlib import Path

import xxhash
from fakes.device import APP, FakeDevice
from fakes.lines import event_line
from fakes.views import at

from agent.model import Draft, SealedSegment, Snapshot
from agent.outbox.sink import parse_sink
from agent.outbox.spool import open_free
from agent.outbox.uploader import Uploader
from agent.replay.segment import draft_id
from agent.runtime.stage import Stage
from agent.runtime.status import DeviceStatus
from agent.settings import Replay, Settings
from bridge.deadline import Deadline
from bridge.types import Stamp

STEP_SECONDS = 0.02
SEGMENT_SECONDS = 6.0
SESSION_STEPS = 40


class Recorder:
    """Virtual time: a step is a second of the phone's, in which there is a picture, an event and an append."""

    def __init__(self, spool: Path, url: str, truth: Path, session: int) -> None:
        self.seconds = 10.0
        self.session = session
        self._truth = os.open(truth, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._told: dict[str, list[str]] = {}
        sink = parse_sink(f"collector:{url}")
        self._spool = open_free(spool, [sink.name])
        self._uploader = Uploader(self._spool, [sink])
        self._uploader.start()
        self._device = FakeDevice("killed", self.now)
        self._device.picture = lambda: int(self.seconds) * 7 % 256
        self.sinks = (sink.name,)
        self.stage = Stage(
            APP,
            Settings(replay=Replay(segment_seconds=SEGMENT_SECONDS)),
            self.keep,
            DeviceStatus("killed"),
            self.now,
            append=self.append,
            lost=self._spool.take_losses,
        )
        self.stage.attach(self._device)

    def now(self) -> Stamp:
        return at(self.seconds)

    def keep(self, sealed: SealedSegment) -> None:
        self._spool.keep(sealed, self.sinks)
        digest = xxhash.xxh3_64_hexdigest(b"\n".join(sealed.events))
        self._tell("s", sealed.manifest.id, digest, draft_id(sealed.manifest), *messages(sealed.events))

    def append(self, draft: Draft) -> None:
        self._spool.append(draft, self.sinks)
        name = draft_id(draft.manifest)
        told = self._told.setdefault(name, [])
        told += messages(draft.events)
        self._tell("a", name, *told)

    def step(self, number: int) -> None:
        self.seconds += 1
        if number % SESSION_STEPS == SESSION_STEPS - 1:
            self.session += 1
        frame_before = self._device.trees.dump(Deadline(1))
        frame = self._device.screens.capture(Deadline(1))
        snapshot = Snapshot(frame, frame_before, self._device.trees.dump(Deadline(1)))
        event = event_line(self.now(), self.session, "device-killed", f"m-{self.session}-{number}")
        self.stage.process([event, (snapshot, lambda blocked: None)])
        self.stage.advance(self.now())

    def _tell(self, *words: str) -> None:
        os.write(self._truth, (" ".join(words) + "\n").encode())


def messages(events: tuple[bytes, ...]) -> list[str]:
    """The message ids in events."""
    found = []
    for event in events:
        _, mark, rest = event.partition(b'"messageId":"')
        if mark:
            found.append(rest.partition(b'"')[0].decode())
    return found


def main(spool: str, url: str, truth: str, session: str) -> None:
    recorder = Recorder(Path(spool), url, Path(truth), int(session))
    for number in count():
        recorder.step(number)
        time.sleep(STEP_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])

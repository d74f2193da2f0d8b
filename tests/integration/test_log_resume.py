"""The log of a phone whose link breaks again and again: each line once, in order, and each event once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from fakes.wait import until

from agent.analytics.sniffer import Sniffer
from agent.model import SegmentEvent
from bridge.clock import HostClock
from bridge.deadline import Deadline
from bridge.device import AndroidDevice
from bridge.emulated.lab import Lab
from bridge.emulated.logd import Record
from bridge.emulated.world.world import APP_UID
from bridge.errors import BridgeError
from bridge.registry import AdbServer, Registry
from bridge.types import LogEntry

LINES = 400
BREAKS = 4
PAUSE_SECONDS = 0.004
TAG = "ReactNativeJS"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(devices=1, profile="small", autopilot=False) as lab:
        yield lab


def message(number: int) -> str:
    body = {"type": "track", "event": f"e{number}", "messageId": f"m{number}", "properties": {"n": number}}
    return f"SegmentReplay/1 m{number} 1/1 {json.dumps(body)}"


class Writer(threading.Thread):
    """An app that logs numbered events, three in one instant, whatever happens to the link, once it is heard."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab
        self.heard = threading.Event()
        self.stop = threading.Event()

    def run(self) -> None:
        written = 0
        while written < LINES and not self.stop.wait(PAUSE_SECONDS):
            if not self.heard.is_set():
                self._write("probe", "is anybody there")
                continue
            self._write(TAG, *map(message, range(written, min(LINES, written + 3))))
            written += 3

    def _write(self, tag: str, *texts: str) -> None:
        def append() -> None:
            phone = self._lab.phones[0]
            wall_ns, mono_ns = phone.clock.wall_ns(), phone.clock.mono_ns()
            for text in texts:
                phone.logd.append(Record(wall_ns, mono_ns, 4242, 4243, APP_UID, 4, tag, text.encode()))

        self._lab.call(append)


def opened(registry: Registry, serial: str) -> AndroidDevice:
    """The phone, as soon as it can be opened again."""
    found: list[AndroidDevice] = []

    def attempt() -> bool:
        try:
            # A server that was started anew does not know the phone.
            registry.connect(serial, Deadline(5))
            found.append(registry.open(serial, Deadline(10)))
        except BridgeError:
            return False
        return True

    until(attempt, "the phone to be there again", seconds=30)
    return found[0]


@pytest.mark.parametrize("fault", ["flaky", "server-killed"])
def test_each_line_once_though_the_stream_is_lost(lab: Lab, fault: str) -> None:
    registry = Registry(AdbServer(port=lab.port), HostClock())
    writer = Writer(lab)
    seen: list[LogEntry] = []
    since: LogEntry | None = None
    losses = 0
    writer.start()
    try:
        while len(seen) < LINES:
            device = opened(registry, lab.serials[0])
            try:
                for entry in device.log(since).entries():
                    assert isinstance(entry, LogEntry), entry
                    since = entry
                    writer.heard.set()
                    if entry.tag == TAG:
                        seen.append(entry)
                    if len(seen) == LINES:
                        break
                    if losses < BREAKS and len(seen) > 50 * (losses + 1):
                        losses += 1
                        lab.fault(fault)
                        lab.heal(fault)
            except BridgeError:
                continue
            finally:
                device.close()
    finally:
        writer.stop.set()
        writer.join(30)
        registry.close()
    assert losses == BREAKS
    assert [entry.message for entry in seen] == [message(number) for number in range(LINES)]
    sniffer = Sniffer(APP_UID)
    found = [event for entry in seen for event in sniffer.feed(entry)] + sniffer.flush()
    assert [event.name for event in found if isinstance(event, SegmentEvent)] == [f"e{n}" for n in range(LINES)]

"""Our path to a device beside the libraries as shipped, on an emulated device in another process."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import time
from typing import Any

from benchmarks.measure import CheckFailed, Result, alternating, percentile, result
from bridge.adb import AdbShell, Screencap
from bridge.clock import ClockProbe, DeviceClock, HostClock
from bridge.deadline import Deadline
from bridge.picture import Display
from bridge.smartsocket import AdbServer, SmartSocket
from bridge.traces import Unnoted
from bridge.types import Size
from bridge.uia import UiaHierarchy, UiaServer

CLOCK_LIMIT_MS = 5.0
PROBES = 40


class Phone:
    """The emulated device's process; see `benchmarks.phone`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.phone"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        hello = json.loads(self._line())
        self.port, self.serial = int(hello["port"]), str(hello["serial"])

    def true_offset_ns(self) -> int:
        """Device CLOCK_REALTIME - host CLOCK_MONOTONIC, which both processes share."""
        assert self._process.stdin is not None
        self._process.stdin.write("offset\n")
        self._process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CheckFailed("the emulated device did not start")
        return line


def run() -> list[Result]:
    """Shell round trip, raw frame, view tree, clock error."""
    phone = Phone()
    try:
        # The library's global client, which uiautomator2 uses as shipped, reads the port at its import.
        os.environ["ANDROID_ADB_SERVER_PORT"] = str(phone.port)
        return measure(phone)
    finally:
        phone.close()


def measure(phone: Phone) -> list[Result]:
    import adbutils
    import uiautomator2

    server = AdbServer(port=phone.port)
    shell = AdbShell(SmartSocket(server), phone.serial)
    library = adbutils.AdbClient(server.host, server.port).device(phone.serial)
    clock = HostClock()
    display = Display(Size(1080, 2400))

    def minute() -> Deadline:
        return Deadline(60)

    ours, peer = alternating(lambda: shell.exec("echo", minute()), lambda: library.shell("echo"), 8, repeat=10)
    results = [result("adb/shell", ours, peer, "adbutils shell", "ms", 20)]

    source = Screencap(shell, clock, display)

    def frame() -> None:
        taken = source.capture(minute())
        assert taken.size == Size(1080, 2400)
        assert len(taken.data) == 1080 * 2400 * 4

    def library_frame() -> None:
        data = library.shell("screencap", encoding=None)
        assert struct.unpack_from("<II", data) == (1080, 2400)

    def screenshot() -> None:
        assert library.screenshot().size == (1080, 2400)

    ours, peer = alternating(frame, library_frame, 5)
    results.append(result("adb/frame", ours, peer, "adbutils, the same bytes", "ms", 10))
    ours, peer = alternating(frame, screenshot, 9)
    results.append(result("adb/picture", ours, peer, "adbutils screenshot()", "ms", 5))
    ours, peer = alternating(frame, screenshot, 9, clock=time.process_time)
    # Ours is the kernel's copy of 10 MB and the digest over it; the peer's is a small PNG to decode. The median of four
    # runs on a busy machine with two cores is 6.5x; 5.4 leaves a fifth.
    results.append(result("adb/picture, CPU of the host", ours, peer, "adbutils screenshot()", "ms", 5.4))

    uia = UiaServer(shell, clock, Unnoted())
    driver = uiautomator2.connect(library)
    expected = driver.dump_hierarchy()
    tree = UiaHierarchy(phone.serial, uia, clock, display)
    assert uia.call("dumpWindowHierarchy", [False, 50], minute()) == expected
    ours, peer = alternating(
        lambda: uia.call("dumpWindowHierarchy", [False, 50], minute()), driver.dump_hierarchy, 6, repeat=5
    )
    results.append(
        result(f"adb/hierarchy ({len(expected) // 1000} kB)", ours, peer, "uiautomator2 dump_hierarchy", "ms", 4)
    )
    assert tree.dump(minute()).roots

    results.append(clock_error(phone, shell, library, clock))
    return results


def clock_error(phone: Phone, shell: AdbShell, library: Any, clock: HostClock) -> Result:
    """p95 of |measured - true| offset, ours beside the midpoint of one `date` by the library."""
    probe = ClockProbe(phone.serial, DeviceClock(clock), shell.stream)
    ours, peer = [], []
    for _ in range(PROBES):
        fix = probe.measure(Deadline(10))
        ours.append(abs(fix.offset_ns - phone.true_offset_ns()) / 1e6)
        sent_ns = time.monotonic_ns()
        answer = library.shell("date +%s.%N")
        received_ns = time.monotonic_ns()
        seconds, fraction = re.match(r"(\d+)\.(\d{9})", answer).groups()
        offset_ns = int(seconds) * 10**9 + int(fraction) - (sent_ns + received_ns) // 2
        peer.append(abs(offset_ns - phone.true_offset_ns()) / 1e6)
    probe.close()
    return result(
        "adb/clock error p95",
        percentile(ours, 0.95),
        percentile(peer, 0.95),
        "adbutils shell('date +%s.%N')",
        "ms",
        3,
        limit=CLOCK_LIMIT_MS,
    )

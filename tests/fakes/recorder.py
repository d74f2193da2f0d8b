"""A recording by this process that ends, as with Ctrl-C, when those who watch it have seen enough."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from fakes.wait import until

from agent.commands.attach import record
from agent.commands.rig import Wanted
from agent.runtime.control import ask
from agent.settings import load
from bridge.emulated.lab import Lab

T = TypeVar("T")
SHOP = "com.northbay.shop"
LONGEST_SECONDS = 90.0
END_SECONDS = 20.0
WAIT_SECONDS = 40.0
# A question to the recorder costs it more than a look at a variable.
ASK_STEP_SECONDS = 0.05


class Recorder:
    """What a running `record` says about itself, asked from other threads.

    Records `lab`'s phones into `folder`/replays, or `sink`; `flags` are settings.
    """

    def __init__(self, lab: Lab, folder: Path, flags: Mapping[str, object] | None = None, sink: str = "") -> None:
        self._lab = lab
        self._spool = folder / "spool"
        self._ended = threading.Event()
        self._settings = load({"spool": self._spool, "adb.port": lab.port, **(flags or {})}).settings
        self.replays = folder / "replays"
        self._sink = sink or f"dir:{self.replays}"

    def record(
        self,
        conductors: Sequence[Callable[[], T]],
        specs: tuple[str, ...] = (),
        every: bool = True,
        relay: bool = False,
    ) -> tuple[dict[str, Any], list[T]]:
        """Record until all conductors are done; the summary, and what they returned."""
        with ThreadPoolExecutor(len(conductors) + 1) as pool:
            working = [pool.submit(conduct) for conduct in conductors]
            stopping = pool.submit(self._stop_after, working)
            try:
                wanted = Wanted(specs, every, SHOP, (self._sink,), relay)
                summary = record(self._settings, wanted, LONGEST_SECONDS)
            finally:
                self._ended.set()
            results = [work.result() for work in working]
            assert time.monotonic() - stopping.result() < END_SECONDS
        return summary, results

    def _stop_after(self, working: list[Future[T]]) -> float:
        """Ask for the end, as Ctrl-C does; when that was (monotonic seconds)."""
        wait(working)
        # Who ends it before it listens to signals ends the tests.
        until(
            lambda: self._ended.is_set() or self.devices(), "the recording's begin", LONGEST_SECONDS, ASK_STEP_SECONDS
        )
        if not self._ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)
        return time.monotonic()

    def devices(self) -> list[Mapping[str, Any]]:
        """The facts of all devices that it knows by now."""
        answers = [ask(path, "status") or {} for path in self._spool.glob("*/control.sock")]
        return [device for answer in answers for device in answer.get("devices", [])]

    def device(self, serial: str) -> Mapping[str, Any]:
        """The facts of a device; empty when there are none yet."""
        return next((device for device in self.devices() if device["serial"] == serial), {})

    def until(self, condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Return when the condition holds. Raises AssertionError after `seconds`, or when the recording has ended."""

        def holds() -> object:
            assert not self._ended.is_set(), f"the recording ended before {what}"
            return condition()

        until(holds, what, seconds, ASK_STEP_SECONDS)

    def wait(self, serial: str, condition: Callable[[Mapping[str, Any]], bool], what: str) -> Mapping[str, Any]:
        """The first facts of a device for which the condition holds."""
        found: dict[str, Any] = {}

        def holds() -> bool:
            found.update(self.device(serial))
            return bool(found) and condition(found)

        try:
            self.until(holds, f"{serial}: {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last seen: {found}") from None
        return found


def recording(now: Mapping[str, Any]) -> bool:
    """Whether a device's facts say that a session of it is recorded."""
    return now["state"] == "recording" and now["session_id"] is not None

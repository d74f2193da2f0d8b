"""A recorder and a command side by side: the command is started when phones are seen, and heard while it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from agent.access import new_token
from agent.collector.server import Server
from agent.commands.console import say
from agent.commands.process import Process
from agent.commands.rig import Rig
from agent.model import Marker
from agent.runs import instrumentation
from agent.runs.api import TOKEN, URL, make_app
from agent.runs.ledger import Attempt, Ledger, Signal
from agent.runtime.lane import start_lane
from agent.runtime.signals import ending
from bridge.registry import LOOPBACK
from bridge.types import LogEntry, Stamp

SERIALS = "ANDROID_REPLAY_RUN_SERIALS"
READY_SECONDS = 30.0
READY_STEP = 0.05
# What the phone told last comes so late: pictures wait for a dump, events for their other parts.
TAIL_SECONDS = 1.5
STOP_SECONDS = 10.0
# Who was ended by force has ended by then.
ENDED_SECONDS = 2.0


class Beside:
    """One run of a command. After `run`: `ledger` has the tests, `begin_ms` and `end_ms` say when the command ran
    (epoch ms), `interrupted` whether somebody asked for its end, `killed_by` which signal ended it, `failure` why the
    recording ended before it, if it did.
    """

    def __init__(self, command: Sequence[str], quiet: bool = False) -> None:
        self._command = tuple(command)
        self._quiet = quiet
        self._lock = threading.Lock()
        self._rig: Rig | None = None
        self._environment: dict[str, str] = {}
        self._asked: list[int] = []
        self._halt: asyncio.Event | None = None
        self._process: Process | None = None
        self._ended = False
        self.ledger = Ledger()
        self.failure = self.killed_by = ""
        self.begin_ms = self.end_ms = 0

    @property
    def interrupted(self) -> bool:
        return bool(self._asked)

    def listen(self, serial: str, entry: LogEntry) -> None:
        """An entry of a phone's log. Any thread."""
        for told in instrumentation.heard(entry, serial):
            self._hear(told, entry.stamp)

    @contextmanager
    def open(self, rig: Rig, environment: Mapping[str, str]) -> Iterator[None]:
        """Listen for runners while the block runs; `environment` is what the command needs to find the phones."""
        self._rig = rig
        token = new_token()

        def hear(told: Signal) -> Mapping[str, Any] | None:
            attempt = self._hear(told, rig.clock.now())
            return None if attempt is None else _facts(attempt)

        def tests() -> list[Mapping[str, Any]]:
            with self._lock:
                return [_facts(attempt) for attempt in self.ledger]

        with Server(make_app(hear, lambda: rig.clock.now().wall_ms, tests, token)) as server:
            self._environment = {
                **_led_to(_past_proxies(os.environ), rig.settings.adb.host, rig.settings.adb.port),
                **environment,
                SERIALS: ",".join(rig.serials),
                URL: server.url,
                TOKEN: token,
            }
            # With several, whoever does not choose one is told so by adb, and does not get another one than meant.
            self._environment.pop("ANDROID_SERIAL", None)
            if len(rig.serials) == 1:
                self._environment["ANDROID_SERIAL"] = rig.serials[0]
            yield

    async def run(self) -> int:
        """Record, and run the command meanwhile; its exit code, 128 + n when signal n ended it.

        The first signal is passed on to the command, a second one ends it by force, or is the end without it when it is
        another user's; a hang-up is never the second. Raises KeyboardInterrupt then, and when the command was not
        started yet; NoCommand; AgentError when nothing can be recorded from the start.
        """
        assert self._rig is not None
        rig, loop, stop = self._rig, asyncio.get_running_loop(), asyncio.Event()
        self._halt = asyncio.Event()
        for number in ending():
            loop.add_signal_handler(number, self._on_signal, number)
        recording = asyncio.create_task(rig.run(stop), name="recording")
        halted = asyncio.create_task(self._halt.wait())
        code = 0
        try:
            await self._ready(rig, recording, halted)
            self.begin_ms = self.end_ms = rig.clock.now().wall_ms
            self._process = process = Process(self._command, self._environment, self._quiet)
            recording.add_done_callback(self._tell_failure)
            ended = _end_of(process)
            try:
                ends: set[asyncio.Future[Any]] = {ended, halted}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Ends what the command left, and the command itself if it is to end at once.
                at_once = self._halt.is_set()
                left: list[bool] = []
                await start_lane("ending", lambda: left.append(process.end(at_once)))
                await asyncio.wait({ended}, timeout=ENDED_SECONDS)
            self._ended, self.end_ms = True, rig.clock.now().wall_ms
            if ended.done():
                code, self.killed_by = ended.result(), process.killed_by
            if process.lives:
                say(f"What could not be ended of the command runs on, as another user's (process group {process.pid}).")
            elif left[0] and not at_once:
                say("The command left processes behind; they were ended.")
            if not self._asked:
                await asyncio.wait({recording, halted}, timeout=TAIL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            await asyncio.wait({recording, halted}, return_when=asyncio.FIRST_COMPLETED)
            if not recording.done():
                await asyncio.wait({recording}, timeout=STOP_SECONDS)
            halted.cancel()
        if self._halt.is_set():
            raise KeyboardInterrupt
        return code

    async def _ready(self, rig: Rig, recording: asyncio.Task[None], halted: asyncio.Task[Any]) -> None:
        """Until every phone is recorded, or it takes too long. Raises what the recording raises; KeyboardInterrupt."""
        end = asyncio.get_running_loop().time() + READY_SECONDS
        while waiting := [serial for serial in rig.serials if not _seen(rig, serial)]:
            if recording.done():
                await recording
                return
            self._check_asked()
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.wait({recording, halted}, timeout=READY_STEP, return_when=asyncio.FIRST_COMPLETED)
        self._check_asked()
        for serial in waiting:
            status = rig.statuses.get(serial)
            why = "" if status is None else f" ({status.problem or status.state})"
            say(f"{serial} is not recorded yet{why}; the command starts all the same.")

    def _check_asked(self) -> None:
        """A signal before the command has begun is passed on to nobody. Raises KeyboardInterrupt."""
        if self._asked:
            assert self._halt is not None
            self._halt.set()
            raise KeyboardInterrupt

    def _on_signal(self, number: int) -> None:
        if self._asked and number == getattr(signal, "SIGHUP", None):
            # A terminal that closes tells it more than once.
            return
        self._asked.append(number)
        if self._process is None:
            return
        if len(self._asked) == 1:
            if self._ended:
                say("The recording is being closed; once more ends everything at once.")
            elif self._process.tell(number):
                say("Passed on to the command; once more ends everything at once.")
            else:
                say("The command is another user's and cannot be told; once more ends the recording, not the command.")
        elif self._halt is not None:
            self._halt.set()

    def _tell_failure(self, recording: asyncio.Task[None]) -> None:
        """A recording that fails does not end the command."""
        error = None if recording.cancelled() else recording.exception()
        if error is not None:
            self.failure = str(error)
            say(f"The recording has failed: {error}" + ("" if self._ended else " The command goes on."))

    def _hear(self, told: Signal, stamp: Stamp) -> Attempt | None:
        if told.serial is None and self._rig is not None and len(self._rig.serials) == 1:
            told = replace(told, serial=self._rig.serials[0])
        with self._lock:
            heard = self.ledger.hear(told)
        if heard is None:
            return None
        attempt, fresh = heard
        if fresh and self._rig is not None and told.event != "told":
            serials = [attempt.serial] if attempt.serial in self._rig.statuses else None
            what = "started" if told.event == "started" else attempt.outcome or "finished"
            name = f"{attempt.case.title}: {what}"
            self._rig.mark(Marker(stamp, name, attempt.message, told.source, {"attempt": attempt.number}), serials)
        return attempt


def _end_of(process: Process) -> asyncio.Future[int]:
    """The command's exit code, when it has ended. What we may not end keeps no thread of ours from ending."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def wait() -> None:
        code = process.wait()
        # Nobody waits for it any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set_result, code)

    threading.Thread(target=wait, name="command", daemon=True).start()
    return ended


def _past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which what a runner tells us goes to us, and to no proxy."""
    made = dict(environment)
    if any(name.upper() in ("HTTP_PROXY", "ALL_PROXY") for name in made):
        for name, other in (("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")):
            # A program that reads both takes one of them: a new one must say what the other does.
            names = environment.get(name) or environment.get(other, "")
            if "127.0.0.1" not in names and names != "*":
                names = f"{names},127.0.0.1".lstrip(",")
            made[name] = names
    return made


def _led_to(environment: Mapping[str, str], host: str, port: int) -> dict[str, str]:
    """The environment in which adb, and adbutils, talk to the server that we record from."""
    made = {**environment, "ANDROID_ADB_SERVER_PORT": str(port)}
    # It would count before the others.
    made.pop("ADB_SERVER_SOCKET", None)
    for name in ("ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_HOST"):
        made.pop(name, None)
        if host not in LOOPBACK:
            made[name] = host
    return made


def _seen(rig: Rig, serial: str) -> bool:
    """Whether pictures of a phone come, or it is known why not."""
    status = rig.statuses.get(serial)
    if status is None:
        return False
    return status.state == "failed" or (status.state == "recording" and bool(status.frames or status.paused))


def _facts(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "test": attempt.case.title,
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "serial": attempt.serial,
        "start_ms": attempt.start_ms,
        "end_ms": attempt.end_ms,
    }

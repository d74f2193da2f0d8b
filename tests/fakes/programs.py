"""Programs of the emulated phone run on their own, with no shell and no adb around them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fakes.adb_host import bare_phone, until

from bridge.emulated.phone import Phone
from bridge.emulated.profile import PROFILES, Profile
from bridge.emulated.program import Program
from bridge.emulated.shell import ProcessIo, Streams
from bridge.emulated.world import World


def phone_with_screen(profile: Profile = PROFILES["small"], scenario: str = "idle", autopilot: bool = False) -> Phone:
    """A phone whose clock is the host's, with a screen and the app's log. Inside a running loop."""
    phone = bare_phone(profile)
    phone.world = World(
        phone.clock, profile.size, profile.density, scenario, log=phone.logd.append, autopilot=autopilot
    )
    return phone


class Run:
    """A program that runs: what it wrote so far, and its status once it ended."""

    def __init__(self, program: Program, phone: Phone, words: str, stdin: bytes | None) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.hangup = asyncio.Event()
        self.stdin = asyncio.StreamReader()
        if stdin is not None:
            self.stdin.feed_data(stdin)
            self.stdin.feed_eof()
        self.environment: dict[str, str] = {}
        streams = Streams(self.stdin, self._put, self._complain)
        io = ProcessIo(words.split(), self.environment, self.hangup, streams)
        self.task = asyncio.ensure_future(program(io, phone))

    async def _put(self, data: bytes | bytearray | memoryview) -> None:
        self.out += data

    async def _complain(self, data: bytes | bytearray | memoryview) -> None:
        self.err += data

    async def saw(self, count: int) -> bytes:
        """What it wrote, once that is `count` bytes; they are taken."""
        await until(lambda: len(self.out) >= count)
        return self.take()

    def take(self) -> bytes:
        taken = bytes(self.out)
        self.out.clear()
        return taken


@contextlib.asynccontextmanager
async def running(program: Program, phone: Phone, words: str, **environment: str) -> AsyncIterator[Run]:
    """A program with an open standard input; it is ended as the shell ends one."""
    started = Run(program, phone, words, None)
    started.environment.update(environment)
    try:
        yield started
    finally:
        started.hangup.set()
        started.task.cancel()
        await asyncio.gather(started.task, return_exceptions=True)


async def ran(program: Program, phone: Phone, words: str, stdin: bytes = b"") -> tuple[str, str, int]:
    """Standard output, standard error and status of a program that ends by itself."""
    out, err, status = await ran_raw(program, phone, words, stdin)
    return out.decode(), err.decode(), status


async def ran_raw(program: Program, phone: Phone, words: str, stdin: bytes = b"") -> tuple[bytes, bytes, int]:
    done = Run(program, phone, words, stdin)
    status = await done.task
    return bytes(done.out), bytes(done.err), status

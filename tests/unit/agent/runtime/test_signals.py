from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from agent.runtime.signals import ended_by, ending, finishing, patient, steered_by, unsteered, unwinding

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEERING = (signal.SIGUSR1, signal.SIGUSR2)
UNWINDS = """
import sys, time
from agent.runtime.signals import unwinding
with unwinding():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("ends", flush=True)
        time.sleep(float(sys.argv[1]))
        print("ended", flush=True)
"""


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*NUMBERS, *STEERING)}
    for number in STEERING:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_program_that_is_to_outlive_its_terminal_does() -> None:
    assert ending() == NUMBERS
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert ending() == NUMBERS[:2]
    finishing()
    with ended_by(lambda: None), unwinding():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_terminal_that_closes_is_heard_once() -> None:
    asked: list[str] = []
    told = patient(lambda: asked.append("end"))
    told(signal.SIGHUP, None)
    told(signal.SIGHUP, None)
    assert asked == ["end"]
    told(signal.SIGTERM, None)
    told(signal.SIGINT, None)
    assert asked == ["end"] * 3


@pytest.mark.parametrize("number", NUMBERS)
def test_each_of_them_is_heard_and_then_given_back(number: signal.Signals) -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    asked: list[str] = []
    with ended_by(lambda: asked.append("end")):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGHUP)
    assert asked == ["end"]
    # What ends already is ended by no hang-up; all others are as before.
    os.kill(os.getpid(), signal.SIGHUP)
    assert [signal.getsignal(number) for number in NUMBERS[:2]] == before[:2]
    with ended_by(lambda: None):
        pass
    assert [signal.getsignal(number) for number in NUMBERS[:2]] == before[:2]


def test_what_was_begun_is_brought_to_its_end() -> None:
    finishing()
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


@pytest.mark.parametrize("begin", [unsteered, finishing])
def test_what_steers_ends_nothing_while_nobody_is_steered(begin: Callable[[], None]) -> None:
    begin()
    for number in STEERING:
        assert callable(signal.getsignal(number))
        os.kill(os.getpid(), number)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    begin()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


def test_outside_the_main_thread_nothing_is_changed() -> None:
    thread = threading.Thread(target=unsteered)
    thread.start()
    thread.join()
    assert {signal.getsignal(number) for number in STEERING} == {signal.SIG_DFL}


def test_a_loop_is_steered_and_leaves_no_signal_that_ends_the_program() -> None:
    asked: list[str] = []

    async def work() -> None:
        heard = asyncio.Event()

        def hears(which: str) -> Callable[[], None]:
            return lambda: (asked.append(which), heard.set())[1]

        with steered_by(hears("first"), hears("second")):
            for number in STEERING:
                # The loop that sleeps is woken.
                threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
                await asyncio.wait_for(heard.wait(), 30)
                heard.clear()

    unsteered()
    before = [signal.getsignal(number) for number in STEERING]
    began = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - began < 20
    assert asked == ["first", "second"]
    assert [signal.getsignal(number) for number in STEERING] == before


@pytest.mark.parametrize(
    ("sent", "seconds", "code", "said"),
    [
        ((signal.SIGTERM,), 0.0, 143, "ends\nended\n"),
        ((signal.SIGHUP, signal.SIGHUP), 0.5, 129, "ends\nended\n"),
        ((signal.SIGTERM, signal.SIGTERM), 30.0, -signal.SIGTERM, "ends\n"),
    ],
)
def test_what_was_made_is_taken_away(sent: tuple[signal.Signals, ...], seconds: float, code: int, said: str) -> None:
    words = [sys.executable, "-c", UNWINDS, str(seconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent[0])
        told = process.stdout.readline()
        for number in sent[1:]:
            process.send_signal(number)
        told += process.stdout.read()
        assert (process.wait(20), told) == (code, said)


def test_what_a_command_set_is_given_back() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with unwinding():
        finishing()
    assert [signal.getsignal(number) for number in NUMBERS] == before

"""The signals that ask a program to end, and how it ends in order for all of them; those that steer it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)
# Windows has none of them.
_STEERING: Mapping[str, signal.Signals] = {
    name: getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
}


def ending() -> tuple[signal.Signals, ...]:
    """Ctrl-C, SIGTERM and SIGHUP, which comes of a closed terminal; that is left out where there is none, and in a
    program that was started to outlive its terminal (nohup)."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    if _HANG_UP is None or signal.getsignal(_HANG_UP) is signal.SIG_IGN:
        return numbers
    return (*numbers, _HANG_UP)


def patient(end: Callable[[], object]) -> Callable[..., None]:
    """A handler that calls `end` for each signal, but for a hang-up after another: a terminal that closes tells it more
    than once (the kernel, and the shell), and nobody is in a hurry for it."""
    begun = False

    def told(number: int, *_: object) -> None:
        nonlocal begun
        if number == _HANG_UP and begun:
            return
        begun = True
        end()

    return told


@contextmanager
def ended_by(end: Callable[[], object]) -> Iterator[None]:
    """`patient(end)` hears these signals while the block runs, and no hang-up ends what comes after one of them. Main
    thread only."""
    heard = False

    def note() -> None:
        nonlocal heard
        heard = True
        end()

    told = patient(note)
    before = {number: signal.signal(number, told) for number in ending()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, _unheard if heard and number == _HANG_UP else handler)


def finishing() -> None:
    """From here on what was begun is brought to its end: SIGTERM is what Ctrl-C is; a hang-up and what steers are
    nothing. Main thread only."""
    unsteered()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        # Not SIG_IGN: that would be handed down to programs that we start.
        signal.signal(_HANG_UP, _unheard)


def unsteered() -> None:
    """From here on SIGUSR1 and SIGUSR2, which would end the program, do nothing while nobody is steered by them.
    Outside the main thread nobody hears signals."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _STEERING.values():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _unheard)


@contextmanager
def steered_by(first: Callable[[], object], second: Callable[[], object]) -> Iterator[None]:
    """SIGUSR1 and SIGUSR2 call these in the running loop while the block runs, and do after it what they did before.
    (A loop's own handlers would leave them to end the program.) Main thread only."""
    loop = asyncio.get_running_loop()

    def told(number: int, *_: object) -> None:
        loop.call_soon_threadsafe(first if number == _STEERING["SIGUSR1"] else second)

    before = {number: signal.signal(number, told) for number in _STEERING.values()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as SystemExit(128 + n), so that it takes away what it made, where they would end
    the program at once. A second SIGTERM does. Outside the main thread nobody hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if _HANG_UP is not None:
            signal.signal(_HANG_UP, _unheard)
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in ending() if number != signal.SIGINT}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unheard(*_: object) -> None:
    """What a hang-up does to a program that ends already, and what steers to one that nobody can steer."""

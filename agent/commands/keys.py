"""Keys of a terminal while a recording runs: single presses, and a line for a note. The terminal is given back."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from agent.runtime.control import MAX_NOTE

KEYS = "m marker, n note, k keep from shortly before now, a keep all, q stop"
READ_BYTES = 1024
# How often it is asked whether a terminal that another program has is ours again.
LOOK_SECONDS = 1.0
_ENTER, _ERASE, _CLEAR, _ESCAPE = "\r\n", "\x7f\b", "\x15", "\x1b"


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a key asks for; `begin` says that somebody begins to type a note, and `note` brings it."""

    what: Literal["marker", "begin", "note", "cancel", "keep", "all", "stop"]
    text: str = ""


_PRESSES: dict[str, Pressed] = {
    "m": Pressed("marker"),
    "n": Pressed("begin"),
    "k": Pressed("keep"),
    "a": Pressed("all"),
    "q": Pressed("stop"),
}


class Keys:
    """Bytes of a terminal to what they ask for. `typing` is the note as far as it is typed, None between notes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequence = ""
        self.typing: str | None = None

    def feed(self, data: bytes) -> list[Pressed]:
        """What was read at once. An escape at its end is the key; before other bytes it begins a sequence of an arrow
        or a function key, which means nothing here."""
        found: list[Pressed] = []
        text = self._decoder.decode(data)
        for index, character in enumerate(text):
            if self._sequence:
                self._sequence = _after(self._sequence, character)
            elif character == _ESCAPE and index + 1 < len(text):
                self._sequence = _ESCAPE
            else:
                found += self._press(character)
        self._sequence = ""
        return found

    def _press(self, character: str) -> list[Pressed]:
        if self.typing is None:
            pressed = _PRESSES.get(character.lower())
            if pressed is None:
                return []
            if pressed.what == "begin":
                self.typing = ""
            return [pressed]
        if character in _ENTER:
            text, self.typing = self.typing.strip(), None
            return [Pressed("note", text) if text else Pressed("cancel")]
        if character == _ESCAPE:
            self.typing = None
            return [Pressed("cancel")]
        if character in _ERASE:
            self.typing = self.typing[:-1]
        elif character == _CLEAR:
            self.typing = ""
        elif character.isprintable() and len(self.typing) < MAX_NOTE:
            self.typing += character
        return []


def _after(sequence: str, character: str) -> str:
    """The sequence with one more character; "" when that ends it (ECMA-48: CSI and SS3)."""
    if sequence == _ESCAPE:
        return sequence + character if character in "[O" else ""
    return "" if "@" <= character <= "~" else sequence + character


@contextlib.contextmanager
def listening(loop: asyncio.AbstractEventLoop, told: Callable[[bytes], None]) -> Iterator[bool]:
    """Give what is typed to `told` while the block runs; False where nobody can type: no terminal, or one that another
    program has.

    The terminal gives each key at once and shows none; at the end, however it comes, it is as it was. A suspended
    program finds it so again when it goes on; one that goes on in the background leaves it to others.
    """
    try:
        import termios
        import tty

        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        ours = _ours(number)
    except (ImportError, AttributeError, OSError, ValueError, termios.error):
        yield False
        return
    if not ours:
        yield False
        return

    def read() -> None:
        try:
            data = os.read(number, READ_BYTES)
        except OSError:
            data = b""
        if data:
            told(data)
        else:
            # The terminal has gone.
            loop.remove_reader(number)

    looks: list[asyncio.TimerHandle] = []

    def again() -> None:
        while looks:
            looks.pop().cancel()
        # Who is told that the terminal has gone is told to go on, too.
        with contextlib.suppress(OSError, termios.error):
            if _ours(number):
                tty.setcbreak(number)
                loop.add_reader(number, read)
            else:
                loop.remove_reader(number)
                # A shell that brings to the front what runs already tells it nothing.
                looks.append(loop.call_later(LOOK_SECONDS, again))

    try:
        tty.setcbreak(number)
        loop.add_reader(number, read)
        if hasattr(signal, "SIGCONT"):
            loop.add_signal_handler(signal.SIGCONT, again)
        yield True
    finally:
        if hasattr(signal, "SIGCONT"):
            loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(number)
        for look in looks:
            look.cancel()
        # What was typed too late is not for the shell.
        with contextlib.suppress(OSError, termios.error):
            if _ours(number):
                termios.tcsetattr(number, termios.TCSAFLUSH, before)


def _ours(number: int) -> bool:
    """Whether a terminal is this program's: who asks or sets anything from the background is stopped for it. Raises
    OSError when it has gone."""
    return os.tcgetpgrp(number) == os.getpgrp()

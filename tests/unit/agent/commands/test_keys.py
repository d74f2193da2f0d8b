from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
import termios
import threading
import tty
from pathlib import Path

import pytest
from fakes.wait import until, until_async
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.keys import Keys, Pressed, listening
from agent.runtime.control import MAX_NOTE


def pressed(*data: bytes) -> list[Pressed]:
    keys = Keys()
    return [each for piece in data for each in keys.feed(piece)]


def test_single_keys_in_any_case_and_no_others() -> None:
    assert [each.what for each in pressed(b"m", b"K", b"xyz?", b"aq")] == ["marker", "keep", "all", "stop"]


def test_a_note_is_a_line_that_can_be_mended() -> None:
    keys = Keys()
    assert keys.feed(b"n") == [Pressed("begin")]
    assert keys.feed(b"qm wrng\x7f\x7fong") == []
    assert keys.typing == "qm wrong"
    assert keys.feed(b"\r") == [Pressed("note", "qm wrong")]
    assert keys.typing is None
    assert pressed(b"n", b"all wrong\x15right", b"\n")[-1] == Pressed("note", "right")


def test_no_note_without_words_and_after_escape() -> None:
    assert [each.what for each in pressed(b"n", b"  ", b"\r", b"n", b"abc", b"\x1b", b"m")] == [
        "begin", "cancel", "begin", "cancel", "marker",
    ]  # fmt: skip


def test_arrows_and_function_keys_mean_nothing() -> None:
    assert pressed(b"\x1b[A", b"\x1b[3~", b"\x1bOP", b"\x1b[1;5Cm") == [Pressed("marker")]
    keys = Keys()
    keys.feed(b"nab\x1b[Dc")
    assert keys.typing == "abc"


def test_letters_may_come_in_pieces() -> None:
    keys = Keys()
    for byte in "n\u00fcber \u20ac".encode():
        keys.feed(bytes([byte]))
    assert keys.feed(b"\r") == [Pressed("note", "\u00fcber \u20ac")]


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_whatever_is_typed_a_note_is_short_and_plain(data: list[bytes]) -> None:
    keys = Keys()
    for piece in data:
        for each in keys.feed(piece):
            assert len(each.text) <= MAX_NOTE
            assert each.text.isprintable()
    assert keys.typing is None or len(keys.typing) <= MAX_NOTE


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> object:
    """A terminal as standard input, which this program has; gives the other end."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "rb", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp())
        yield outer
    os.close(outer)


def flags(number: int) -> tuple[bool, bool]:
    local = termios.tcgetattr(number)[3]
    return bool(local & termios.ECHO), bool(local & termios.ICANON)


def test_a_terminal_gives_each_key_at_once_and_is_given_back(terminal: int) -> None:
    async def run() -> bytes:
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        got: list[bytes] = []

        def told(data: bytes) -> None:
            got.append(data)
            came.set()

        with pytest.raises(ZeroDivisionError), listening(loop, told) as there:
            assert there
            assert flags(terminal) == (False, False)
            os.write(terminal, b"m")
            await asyncio.wait_for(came.wait(), 5)
            1 / 0  # noqa: B018 - whatever happens
        return b"".join(got)

    assert asyncio.run(run()) == b"m"
    assert flags(terminal) == (True, True)


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="this system suspends no program")
def test_who_was_suspended_finds_the_terminal_as_it_was(terminal: int) -> None:
    assert threading.current_thread() is threading.main_thread()

    async def run() -> None:
        with listening(asyncio.get_running_loop(), lambda data: None):
            shell = termios.tcgetattr(terminal)
            shell[3] |= termios.ECHO | termios.ICANON
            termios.tcsetattr(terminal, termios.TCSANOW, shell)
            os.kill(os.getpid(), signal.SIGCONT)
            seen = lambda: flags(terminal) == (False, False)  # noqa: E731
            await asyncio.get_running_loop().run_in_executor(None, until, seen, "the keys")

    asyncio.run(run())


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="this system suspends no program")
def test_who_goes_on_in_the_background_leaves_the_terminal_to_others(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who set it or read from it there would be stopped for it again."""

    monkeypatch.setattr("agent.commands.keys.LOOK_SECONDS", 0.01)
    got = asyncio.Queue[bytes]()

    async def run() -> None:
        loop, number = asyncio.get_running_loop(), sys.stdin.fileno()
        with listening(loop, got.put_nowait):
            shell = termios.tcgetattr(terminal)
            shell[3] |= termios.ECHO | termios.ICANON
            termios.tcsetattr(terminal, termios.TCSANOW, shell)
            monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp() + 1)
            os.kill(os.getpid(), signal.SIGCONT)
            await asyncio.sleep(0.05)
            assert flags(terminal) == (True, True)
            assert not loop.remove_reader(number)
            # Brought to the front it is told nothing.
            monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp())
            await until_async(lambda: flags(terminal) == (False, False), "the terminal")
            os.write(terminal, b"m")
            assert await asyncio.wait_for(got.get(), 5) == b"m"
            monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp() + 1)
            shell[3] = shell[3] & ~termios.ECHO | termios.ICANON
            termios.tcsetattr(terminal, termios.TCSANOW, shell)

    asyncio.run(run())
    # Nor is it given back by who does not have it.
    assert flags(terminal) == (False, True)


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="this system suspends no program")
def test_a_terminal_that_has_gone_is_no_failure(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told that it has gone is told to go on in the same breath."""

    async def run() -> list[object]:
        loop, failed = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda loop, told: failed.append(told))

        def gone(*_: object) -> None:
            raise termios.error(5, "Input/output error")

        with listening(loop, lambda data: None), monkeypatch.context() as patch:
            patch.setattr(tty, "setcbreak", gone)
            os.kill(os.getpid(), signal.SIGCONT)
            await asyncio.sleep(0.05)
        return failed

    assert asyncio.run(run()) == []


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def run() -> bool:
        with listening(asyncio.get_running_loop(), lambda data: None) as there:
            return there

    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert asyncio.run(run()) is False
    monkeypatch.setattr(sys, "stdin", None)
    assert asyncio.run(run()) is False


def test_in_the_background_the_terminal_is_left_alone(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda number: os.getpgrp() + 1)

    async def run() -> bool:
        with listening(asyncio.get_running_loop(), lambda data: None) as there:
            return there

    assert asyncio.run(run()) is False
    assert flags(terminal) == (True, True)

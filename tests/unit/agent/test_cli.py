from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__, cli


def test_help_names_every_command(call) -> None:
    ended = call("--help")
    assert ended.code == 0
    for name in cli.COMMANDS:
        assert name in ended.out


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_of_each_command_has_an_example(call, name: str) -> None:
    ended = call(name, "--help")
    assert ended.code == 0
    assert f"android-replay {name}" in ended.out


@pytest.mark.parametrize("words", [("fly",), ("attach", "--fast"), ("attach", "--duration", "soon"), ("view",)])
def test_wrong_words_are_the_user_s_error(call, words: tuple[str, ...]) -> None:
    ended = call(*words)
    assert ended.code == 2
    assert "Usage" in ended.err


def test_the_version(call) -> None:
    assert call("--version").out == f"android-replay {__version__}\n"


def test_no_words_show_the_help(call) -> None:
    ended = call()
    assert "attach" in ended.out + ended.err


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from agent.cli import build; build([]); "
        "print([m for m in ('numpy','PIL','httpx','starlette','uvicorn','adbutils','uiautomator2','pydantic','orjson',"
        "'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -P -m agent.cli --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "words",
    [
        ("view",), ("audit",), ("redact", "--text", "a"), ("export", "--format", "rrweb", "-o", "out.json"),
        ("sessions", "list"), ("run", "--out", "LONG", "--", "true"), ("run", "--junit", "LONG", "--", "true"),
        ("collector", "--folder"),
        ("record", "--duration", "1", "-o"), ("mask",), ("events",), ("attach", "--config"),
    ],
)  # fmt: skip
def test_a_name_that_no_file_system_takes_is_a_sentence(
    call, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    long = "x" * 300 + ".replay"
    given = words if "LONG" in words else (*words, "LONG")
    ended = call(*(long if word == "LONG" else word for word in given))
    assert ended.code in (2, 11)
    assert "x" * 300 in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_words_that_nobody_can_read_fail_no_command(where: str, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("")
    command = f"{sys.executable} -P -m agent.cli events {tmp_path}/a.log --json {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


SIGNALLED = """
import os, signal, sys
from agent.cli import _open_words
_open_words()
signal.signal(signal.SIGALRM, lambda *_: sys.stderr.write("rang\\n"))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for number in range(20_000):
    sys.stderr.write(f"line {number}\\n")
signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
def test_a_signal_may_say_something_while_something_is_said() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=60)
    told = done.stderr.splitlines()
    assert done.returncode == 0, told[-3:]
    assert [line for line in told if line != "rang"] == [f"line {number}" for number in range(20_000)]
    assert "rang" in told


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_an_output_that_takes_nothing_is_said(where: str) -> None:
    command = f"{sys.executable} -P -m agent.cli doctor --json {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 11
    assert "The output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr

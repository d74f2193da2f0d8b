from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_an_output_that_takes_nothing_is_said(where: str) -> None:
    command = f"{sys.executable} -P -m agent.cli doctor --json {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 11
    assert "The output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr

"""The examples under scripts/deploy say what the command line takes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agent.settings import ENV_PREFIX, load

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "scripts" / "deploy"
UNIT = (DEPLOY / "android-replay-farm.service").read_text()
CONTAINER = (DEPLOY / "Containerfile").read_text()


@pytest.mark.parametrize(
    "words",
    [
        shlex.split(re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)[0])[1:],
        json.loads(re.findall(r"^ENTRYPOINT (.*)$", CONTAINER, re.MULTILINE)[0])[1:],
    ],
)
def test_the_words_of_the_host(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agent.cli", *words], capture_output=True, text=True, env={"HOME": "/nonexistent"}
    )  # fmt: skip
    # It gets as far as to miss its broker.
    assert done.returncode == 2
    assert "No broker is set" in done.stderr


@pytest.mark.parametrize("text", [UNIT, CONTAINER])
def test_the_variables_are_settings(text: str) -> None:
    named = [name.removeprefix(ENV_PREFIX).lower().replace("__", ".") for name in re.findall(ENV_PREFIX + r"\w+", text)]
    known = [name for name, _, _ in load({}).rows()]
    assert named
    assert set(named) <= set(known)

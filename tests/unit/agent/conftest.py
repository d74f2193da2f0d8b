from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs `android-replay WORDS` in this process."""

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["android-replay", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ended(code, captured.out, captured.err)

    return run

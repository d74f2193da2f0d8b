"""Recorder, uploader and collector killed at random instants; `scripts/crashes` does it 500 times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KILLS = 12


def test_every_sealed_segment_is_delivered_once_and_what_is_missing_is_said(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    program = [sys.executable, str(ROOT / "tests/fakes/killing.py"), str(tmp_path / "run"), str(KILLS), "3"]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["faults"] == []
    assert done.returncode == 0
    assert sum(told["kills"].values()) == KILLS
    assert len(told["kills"]) == 3
    assert told["appended"] > 0
    assert told["delivered"] > 0

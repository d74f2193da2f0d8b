"""`scripts/farm` for a moment: hosts as processes with emulated phones, and accidents while jobs run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.broker import require_redis

ROOT = Path(__file__).parents[2]
SHORT = "--hosts 1 --devices 2 --jobs 5 --seconds 0.3 --every 0.3 --accidents 1 --seed 2"
WORDS = os.environ.get("FARM_ARGUMENTS", SHORT).split()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="what is left running is found by /proc")
@pytest.mark.timeout(600)
def test_a_short_run_holds() -> None:
    require_redis()
    ended = subprocess.run(
        [sys.executable, "-m", "farming", "--json", *WORDS],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
        capture_output=True,
        text=True,
    )
    assert ended.stdout, ended.stderr
    verdict = json.loads(ended.stdout)
    assert verdict["faults"] == [], ended.stderr
    assert sum(verdict["outcomes"].values()) == verdict["jobs"]
    assert verdict["outcomes"]["passed"] > 0
    assert sum(verdict["accidents"].values()) > 0
    assert verdict["idle_pulls_ms"]
    assert ended.returncode == 0

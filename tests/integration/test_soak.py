"""`scripts/soak` for a few seconds: the recorder, the phones and the collector as processes, and a verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("SOAK_SECONDS", "8")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what a process holds is read from /proc")
@pytest.mark.timeout(float(SECONDS) + 300)
def test_a_short_soak_holds(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "soaking", "--devices", "1", "--duration", SECONDS, "--json", "--keep", tmp_path / "s"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
        capture_output=True,
        text=True,
    )
    minute, *_, verdict = map(json.loads, ended.stdout.splitlines())
    assert minute["states"] == ["recording"]
    assert minute["files"]["socket"] > 0
    assert verdict["faults"] == []
    assert verdict["drained"]
    assert verdict["events"] > 0
    assert verdict["frames"] > 0
    assert verdict["segments"] > 0
    assert ended.returncode == 0, ended.stderr

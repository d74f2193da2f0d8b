"""Start of the command line: what a person waits for before the first word."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import CheckFailed, Result, alternating, result

ROOT = Path(__file__).resolve().parent.parent.parent
# ru_maxrss of a process begins with what its parent had; Linux's VmHWM does not.
RSS = """
import pathlib, re, resource
status = pathlib.Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else None
print(peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
ROUNDS = 9
HELP_LIMIT_MS = 200.0


def run() -> list[Result]:
    """Wall time of `--help`, of importing the command line, and its memory."""
    command = "import sys; sys.argv = ['android-replay', '--help']; import agent.cli; agent.cli.main()"
    helps = [sys.executable, "-c", command]
    peer = "python -c 'import uiautomator2'"
    library = [sys.executable, "-c", "import uiautomator2"]
    bare = spent(lambda: call([sys.executable, "-c", "pass"]))
    ours_ms, peer_ms = alternating(lambda: call(helps), lambda: call(library), ROUNDS)
    imported_ms, _ = alternating(
        lambda: call([sys.executable, "-c", "import agent.cli"]), lambda: call(library), ROUNDS
    )
    ours_mb, peer_mb = (
        float(call([sys.executable, "-c", f"import {name}\n{RSS}"])) / 1024 for name in ("agent.cli", "uiautomator2")
    )
    return [
        result("start/help", ours_ms, peer_ms, peer, "ms", 2, limit=HELP_LIMIT_MS),
        result("start/import", max(imported_ms - bare, 0.1), max(peer_ms - bare, 0.1), peer, "ms", 10),
        result("start/memory", ours_mb, peer_mb, peer, "MiB", 2),
    ]


def call(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 2):
        raise CheckFailed(f"{command}: {done.stderr}")
    return done.stdout


def spent(work: object) -> float:
    began = time.perf_counter()
    assert callable(work)
    work()
    return (time.perf_counter() - began) * 1e3

